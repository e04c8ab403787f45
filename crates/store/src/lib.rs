//! How state is kept: the port, what goes through it, an implementation in memory, and the read index.
//!
//! Owns the [`Store`] trait with its one write primitive ([`Batch`]), the record form of every object ([`Object`]), the
//! reference implementation ([`MemStore`]), the [`Index`] that all reads are served from, [`State`], which ties a store
//! and its index together, and the suite that every implementation must pass ([`conformance`]).
//! Must not know SQL, HTTP, or what any change is for.

pub mod batch;
pub mod conformance;
pub mod counters;
pub mod follow;
pub mod index;
pub mod mem;
pub mod object;
pub mod port;
pub mod state;

pub use batch::{Batch, CommitError, Committed, Count, CounterKey, Expect, Ground, Write};
pub use follow::{Aside, Follower};
pub use index::{Entry, Index, Snapshot};
pub use mem::MemStore;
pub use object::{Kind, Object, Resource};
pub use port::{Change, Changes, HolderId, Key, Lease, Page, Record, Store, StoreError};
pub use state::{Applied, State, TypedBatch};
