//! Makes a failing world smaller, so that what is left is what matters.

use crate::world::{Settings, run};
use std::collections::BTreeSet;

/// Leaves out events, more and more finely, for as long as something breaks (delta debugging). Gives the smallest
/// settings found; those given, where nothing breaks.
pub fn shrink(settings: &Settings) -> Settings {
    let breaks = |keep: &BTreeSet<usize>| {
        let smaller = Settings {
            keep: Some(keep.clone()),
            ..settings.clone()
        };
        !run(&smaller).violations.is_empty()
    };
    let outcome = run(settings);
    if outcome.violations.is_empty() {
        return settings.clone();
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
    Settings {
        keep: Some(keep),
        ..settings.clone()
    }
}
