//! Many seeds, each run twice.

mod twice;

use poolkeeper_sim::{Faults, Settings, run};
use std::ops::Range;

const HOURS: u64 = 24;

fn check(seeds: Range<u64>) {
    twice::check(seeds, 100, |seed| {
        run(&Settings {
            seed,
            hours: HOURS,
            faults: Faults::USUAL,
            keep: None,
        })
    });
}

seeds! {
    seeds_0_to_20: 0..20;
    seeds_20_to_40: 20..40;
    seeds_40_to_60: 40..60;
    seeds_60_to_80: 60..80;
    seeds_80_to_100: 80..100;
    seeds_100_to_120: 100..120;
    seeds_120_to_140: 120..140;
    seeds_140_to_160: 140..160;
    seeds_160_to_180: 160..180;
    seeds_180_to_200: 180..200;
}
