//! What tests and benchmarks start: a real server in this process on either store, clients that sign, a PostgreSQL server
//! that lasts as long as the test.
//!
//! Named by dev-dependencies only.

#![expect(clippy::expect_used, clippy::panic, reason = "tests end where something is missing")]

pub mod client;
pub mod events;
pub mod outside;
pub mod postgres;
pub mod server;
pub mod tls;

pub use client::{Answer, Client};
pub use events::{Event, Events};
pub use server::{Backend, TestServer};
