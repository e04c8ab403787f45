//! The binary: configuration, wiring, the demo, and the commands.
//!
//! Owns which implementation stands behind which port. Must not hold rules of its own.

pub mod cli;
pub mod config;
pub mod demo;
mod journal;
mod keys;
mod replica;
pub mod server;
mod telemetry;
