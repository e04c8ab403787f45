//! What a pool is: pure data and the rules over it.
//!
//! Owns the objects of the resource-management API as types that cannot hold an illegal state, and every rule that
//! needs nothing but those objects: validation, capacity sums, placement, status derivation, state machines.
//! Must not know about I/O, async, clocks, randomness or how anything is spelt on the wire.

pub mod audit;
pub mod capacity;
pub mod catalogue;
pub mod event;
pub mod fault;
pub mod field;
pub mod iam;
pub mod job;
pub mod label;
pub mod meta;
pub mod name;
pub mod network;
pub mod node;
pub mod order;
pub mod place;
pub mod plugin;
pub mod pool;
pub mod principal;
pub mod quantities;
pub mod sample;
pub mod schedule;
pub mod status;
pub mod tag;
pub mod workload;
pub mod workspace;
