//! What clients see: the JSON of every object in and out, merge patch, query strings.
//!
//! Owns names, spellings and leniencies of the wire. Must not know the store, HTTP or any rule that needs another object.

pub mod admin;
pub mod decode;
pub mod error;
pub mod event;
pub mod flavor;
pub mod iam;
pub mod job;
pub mod json;
pub mod list;
pub mod merge_patch;
pub mod monitor;
pub mod network;
pub mod node;
pub mod node_batch;
pub mod node_config;
pub mod nodepool;
pub mod order;
pub mod os_config;
pub mod plugin;
pub mod pool;
pub mod query;
pub mod quota;
pub mod scheduled;
pub mod statistics;
pub mod tag;
pub mod time;
pub mod virtual_flavor;
pub mod workload;
pub mod workspace;

#[cfg(test)]
mod testing;
