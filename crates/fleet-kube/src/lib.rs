//! Machines of a Kubernetes cluster: the adapter behind the fleet port.
//!
//! Owns what pools are in a cluster: marks on Nodes, queues, name spaces, drivers, plug-ins; and what is concluded from what the
//! cluster shows. Must not know pools' rules, storage or transport.

mod amount;
mod object;
mod quota;
mod volcano;
