//! The binary: configuration, wiring, the demo, and the commands.
//!
//! Owns which implementation stands behind which port. Must not hold rules of its own.

pub mod cli;
pub mod cluster;
pub mod config;
pub mod demo;
pub mod doctor;
mod journal;
mod keeping;
mod keys;
mod machines;
mod replica;
pub mod server;
mod stock;
mod telemetry;
