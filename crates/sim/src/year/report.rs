//! What a year was like.

use super::YearSettings;
use super::record::Recorded;
use super::tally::Tally;
use std::collections::BTreeMap;
use std::fmt;

/// What happened, and what must not have. Equal for equal settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct YearReport {
    pub settings: YearSettings,
    /// Physical pools.
    pub pools: usize,
    pub events: u64,
    /// Steps of the controller by how they ended.
    pub steps: BTreeMap<&'static str, u64>,
    pub recorded: Recorded,
    pub tally: Tally,
    pub violations: Vec<String>,
}

impl fmt::Display for YearReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let YearSettings { seed, nodes, days } = self.settings;
        let (tally, recorded) = (&self.tally, &self.recorded);
        writeln!(f, "seed {seed}: {days} days, {nodes} nodes, {} pools", self.pools)?;
        writeln!(f, "events     {}, {} refused", self.events, tally.refused)?;
        let steps: Vec<String> = self.steps.iter().map(|(outcome, count)| format!("{count} {outcome}")).collect();
        writeln!(f, "steps      {}", steps.join(", "))?;
        writeln!(
            f,
            "commits    {}, {} refused; {} records, {} MB",
            recorded.commits,
            recorded.conflicts,
            recorded.puts,
            recorded.bytes / 1_000_000
        )?;
        writeln!(f, "failures   {} of nodes, {} outages", tally.failures, tally.outages)?;
        writeln!(
            f,
            "repairs    {} reboots, {} resets, {} replacements; {} nodes recovered",
            tally.reboots, tally.resets, tally.replaced, tally.recovered
        )?;
        writeln!(
            f,
            "roll-outs  {} of pools, {} finished, {} left busy nodes out; {} nodes upgraded",
            tally.roll_outs, tally.rolled_out, tally.left_out, tally.upgraded
        )?;
        writeln!(f, "requests   {} changes of size, {} for nodes", tally.resized, tally.requests)?;
        writeln!(
            f,
            "workloads  {} submitted, {} completed, {} cancelled, {} failed",
            tally.submitted, tally.completed, tally.cancelled, tally.failed
        )?;
        for violation in &self.violations {
            writeln!(f, "broken     {violation}")?;
        }
        write!(f, "digest     {}", recorded.digest)
    }
}
