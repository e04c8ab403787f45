//! The binary: configuration, wiring, the demo, and the commands.
//!
//! Owns which implementation stands behind which port. Must not hold rules of its own.

mod audit;
pub mod cli;
pub mod cluster;
pub mod config;
pub mod demo;
pub mod doctor;
mod journal;
mod keeping;
mod keys;
mod machines;
mod remote;
mod replica;
pub mod server;
mod stock;
mod telemetry;

/// Chooses the cryptography of all TLS of the process, once. A second call changes nothing.
pub fn install_cryptography() {
    // An error means that somebody has chosen already.
    let _chosen = rustls::crypto::ring::default_provider().install_default();
}
