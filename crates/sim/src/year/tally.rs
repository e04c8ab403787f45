//! What has happened, in numbers.

/// How often things happened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Calls that were refused.
    pub refused: u64,
    /// Times that a node which had been up became abnormal.
    pub failures: u64,
    /// Requests by which nodes were repaired, by kind, and those that helped.
    pub reboots: u64,
    pub resets: u64,
    pub replaced: u64,
    pub recovered: u64,
    pub outages: u64,
    /// Roll-outs of a driver in one pool.
    pub roll_outs: u64,
    /// Of those, the ones whose pool reported the new version before the next one began.
    pub rolled_out: u64,
    /// Roll-outs that left nodes out because their workloads did not end in time, as `idle` may.
    pub left_out: u64,
    /// Nodes that got another driver.
    pub upgraded: u64,
    pub resized: u64,
    pub requests: u64,
    pub submitted: u64,
    pub completed: u64,
    pub cancelled: u64,
    pub failed: u64,
}
