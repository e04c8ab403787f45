//! Makes a failing world smaller, so that what is left is what matters.

use crate::kube::{KubeSettings, run_kube};
use crate::world::{Outcome, Settings, run};
use std::collections::BTreeSet;

/// The smallest settings found that break; those given, where nothing breaks.
pub fn shrink(settings: &Settings) -> Settings {
    let with = |keep: Option<BTreeSet<usize>>| Settings { keep, ..settings.clone() };
    with(smallest(settings.keep.clone(), |keep| run(&with(keep))))
}

/// As [`shrink`], of a world over a cluster.
pub fn shrink_kube(settings: &KubeSettings) -> KubeSettings {
    let with = |keep: Option<BTreeSet<usize>>| KubeSettings { keep, ..settings.clone() };
    with(smallest(settings.keep.clone(), |keep| run_kube(&with(keep))))
}

/// Leaves out events, more and more finely, for as long as something breaks (delta debugging).
fn smallest(given: Option<BTreeSet<usize>>, run: impl Fn(Option<BTreeSet<usize>>) -> Outcome) -> Option<BTreeSet<usize>> {
    let breaks = |keep: &BTreeSet<usize>| !run(Some(keep.clone())).violations.is_empty();
    let outcome = run(given.clone());
    if outcome.violations.is_empty() {
        return given;
    }
    let mut keep = outcome.events;
    let mut parts = 2;
    while keep.len() > 1 {
        let size = keep.len().div_ceil(parts);
        let chunks: Vec<BTreeSet<usize>> = keep
            .iter()
            .copied()
            .collect::<Vec<_>>()
            .chunks(size)
            .map(|chunk| chunk.iter().copied().collect())
            .collect();
        let rest = chunks
            .iter()
            .map(|chunk| keep.difference(chunk).copied().collect::<BTreeSet<usize>>())
            .find(|rest| breaks(rest));
        match rest {
            Some(rest) => {
                keep = rest;
                parts = (parts - 1).max(2);
            }
            None if size == 1 => break,
            None => parts = (parts * 2).min(keep.len()),
        }
    }
    Some(keep)
}
