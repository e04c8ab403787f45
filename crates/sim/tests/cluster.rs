//! Many seeds of worlds over a cluster, each run twice.

mod twice;

use poolkeeper_sim::{KubeFaults, KubeSettings, run_kube};
use std::ops::Range;

const HOURS: u64 = 6;

fn check(seeds: Range<u64>) {
    twice::check(seeds, 50, |seed| {
        run_kube(&KubeSettings {
            seed,
            hours: HOURS,
            faults: KubeFaults::USUAL,
            keep: None,
        })
    });
}

seeds! {
    seeds_0_to_3: 0..3;
    seeds_3_to_6: 3..6;
    seeds_6_to_9: 6..9;
    seeds_9_to_12: 9..12;
}
