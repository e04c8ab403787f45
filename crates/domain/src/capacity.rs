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
//!   taking them.
//! * A request that some pool on its path is guaranteed, and that does not fit, has borrowers asked to give back: children of
//!   pools above the guaranteed one that use more than their guarantee. Who borrows most gives first; within a pool what does
//!   not run yet, then the lowest priority, then the last to start. Nobody is asked whose nodes are not needed in the end.
//! * A request for which others give back is promised these nodes: it has a claim on them until it starts. Of those that come
//!   before it in the order only such can take its claim as could ask it to give back if it ran; what is kept for all others
//!   is not kept from it. A promise that can no more be kept, since a better one took it or there are fewer machines, is over
//!   in the round that finds out, and counts for nothing in that round.
//! * What is within a guarantee is never asked to give back, so that no two workloads can push each other out in turn. Where
//!   only the claims of a pool make it borrow, only claims are taken from it.
//!
//! Hence:
//!
//! * With as many nodes as are guaranteed, the first workload in the queue of a pool that has not used up its guarantee starts
//!   at the latest when the time that borrowers have to give back is over, in the first round after it.
//! * With any number of nodes, a round that starts nothing and asks nobody, while nothing is giving back, would decide the same
//!   again: who decides needs no further round before something has happened. Where nothing runs, no request is left that
//!   could run alone.
//! * With fewer nodes than are guaranteed there is no such bound on waiting: who is guaranteed lower in the tree goes first,
//!   then priority, then first come, as often as there are such.

pub mod drill;
mod ledger;
mod round;
mod tree;

pub use ledger::{Decision, Ledger, Run, Wait, WorkId};
pub use round::{Request, Step, round};
pub use tree::{Level, Tree, TreeError};

#[cfg(test)]
mod tests;
