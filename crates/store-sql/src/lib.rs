//! The store on SQLite and on PostgreSQL (15 or later), through one set of statements.
//!
//! Owns the tables, the migrations and the writing of many batches in one transaction. Must not know what the objects
//! are: a record is a key, a revision and a text. The two engines differ in `engine` only; everything else is written
//! in what both understand: `$n` placeholders, columns of `TEXT` and `BIGINT`, row values, `ON CONFLICT`, `RETURNING`.
//!
//! # How a commit is made
//!
//! One task per store writes. It takes all batches that wait, begins a transaction, takes a stretch of revisions (which
//! on PostgreSQL also locks out the writers of other replicas), reads what the batches depend on, checks each of them
//! in memory against the state that those before it leave, writes the sum of what they change, commits once, and then
//! answers all of them. So the number of statements and of disk flushes does not grow with the number of batches (but
//! for the chunks of large ones), one conflict fails one batch, and revisions have no gaps.
//!
//! Acknowledged means on disk: SQLite writes its log ahead with `synchronous=FULL`, and on PostgreSQL
//! `synchronous_commit` is switched on where it is off.
//!
//! # What it costs
//!
//! Measured in release mode on two cores and one local disk, 64 tasks that each put one new object of 600 bytes at a
//! time, every commit flushed: 43,000 to 58,000 commits a second on SQLite, 35,000 to 44,000 on PostgreSQL 15 through
//! TCP on the same machine. Plain sqlx on SQLite, with the same settings and the same rows in transactions of 64: 15,000
//! to 24,000 rows a second with one statement per row, mostly 120,000 to 155,000 with one statement of 64 rows, which
//! checks nothing and answers nobody.

mod engine;
mod error;
mod group;
mod look;
mod newest;
mod options;
mod read;
mod sql;
mod store;
mod tables;
mod writer;

pub use error::{BackupError, OpenError};
pub use look::{Look, RestoreError, Schema, restore};
pub use options::{Observer, Options};
pub use store::SqlStore;

#[cfg(test)]
mod tests;
