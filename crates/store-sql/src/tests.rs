//! Both engines against the suite, against the reference, and in what can go wrong with them.

mod fixture;
mod look;
mod postgres;
mod shared;
mod sqlite;
mod statements;
