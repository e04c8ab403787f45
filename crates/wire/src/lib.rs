//! What clients see: the JSON of every object in and out, merge patch, query strings.
//!
//! Owns names, spellings and leniencies of the wire. Must not know the store, HTTP or any rule that needs another object.

pub mod admin;
pub mod decode;
pub mod error;
pub mod flavor;
pub mod iam;
pub mod json;
pub mod list;
pub mod merge_patch;
pub mod network;
pub mod node;
pub mod order;
pub mod os_config;
pub mod pool;
pub mod query;
pub mod quota;
pub mod statistics;
mod time;
pub mod workload;
pub mod workspace;

#[cfg(test)]
mod testing;
