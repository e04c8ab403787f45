//! A Kubernetes API server inside the process, for tests and the simulation: no sockets, a virtual clock, seeded faults.
//!
//! Owns objects and their versions, watches, patches, admission, and small actors that do what a cluster's own controllers do
//! (kubelet, scheduler, driver roll-out). Must not know pools or fleets.
