//! Who may run what: decisions over a tree of pools, for the nodes of one flavor (semantics §3).
//!
//! Every pool has a guarantee and a ceiling. What a pool guarantees its children is part of its own guarantee; the rest is
//! for the workloads that are submitted to it itself. A pool may use more than its guarantee, up to its ceiling, while others
//! leave something: it borrows. The rules:
//!
//! * Nothing starts beyond a ceiling or beyond the nodes that there are.
//! * Within a pool: priority, then first come. A workload that cannot start holds back those behind it, unless it could not
//!   start even if everything ended that ends by itself: then they go first.
//! * Among pools: requests that a pool on their path is guaranteed, the lower it stands in the tree the earlier; then those that
//!   borrow from everybody; among equals priority, then first come. What waits for shared nodes keeps later requests from
//!   taking them, and a request for which others were asked to give back keeps its claim until it starts.
//! * A request that some pool on its path is guaranteed, and that does not fit, has borrowers asked to give back: children of
//!   pools above the guaranteed one that use more than their guarantee. Who borrows most gives first; within a pool the
//!   lowest priority, then the last to start. Nobody is asked whose nodes are not needed in the end.
//! * What is within a guarantee is never asked to give back, so that no two workloads can push each other out in turn.
//!
//! Hence, with as many nodes as are guaranteed, the first workload in the queue of a pool that has not used up its guarantee
//! starts at the latest when the time that borrowers have to give back is over.

pub mod drill;
mod ledger;
mod round;
mod tree;

pub use ledger::{Decision, Ledger, Run, Wait, WorkId};
pub use round::{Request, Step, round};
pub use tree::{Level, Tree, TreeError};

#[cfg(test)]
mod tests;
