//! Spec to status: what has to happen so that pools become what was asked for, and the loop that makes it happen.
//!
//! Owns the plan (pure), the step that carries one out, the controller that knows which tree needs one, and the audit of the
//! world's invariants (pure). Must not know who asked for anything, nor HTTP or SQL.

pub mod audit;
pub mod backoff;
pub mod controller;
pub mod plan;
pub mod step;

pub use controller::{Controller, LeaseTimes, Observer, Parts, Silent};
pub use plan::{Catalogue, Descendant, Plan, PlanInput, Policy, RepairPolicy, Tree, plan};
pub use step::{NoProbe, POINTS, Probe};
