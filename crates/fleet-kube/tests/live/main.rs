//! The fleet over a real API server, with Nodes that stand for machines and a small site that does what kubelets and controllers do.
//!
//! `POOLKEEPER_TEST_KUBECONFIG` is the path of a kubeconfig: that of a server without controllers, made for tests
//! (`tests/kube/apiserver.sh run …`, or a newer one of the same kind). Without it each test says so and passes. Every test has names and
//! labels of its own, touches nothing else, and takes away what it made.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod conformance;
mod crash;
mod lab;
mod life;
mod outage;
mod race;
mod scale;
mod scope;
mod server;
mod site;
