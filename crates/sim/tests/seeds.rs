//! Many seeds, each run twice: nothing breaks, and the same seed gives the same trace.

use poolkeeper_sim::{FaultRates, Settings, run};
use std::time::Duration;

fn settings(seed: u64, hours: u64) -> Settings {
    let rates = FaultRates {
        unavailable: 10,
        lost_reply: 10,
        conflict: 20,
        slow: 30,
    };
    Settings {
        seed,
        hours,
        rates,
        rest: Duration::from_hours(8),
    }
}

fn check(seeds: std::ops::Range<u64>, hours: u64) {
    for seed in seeds {
        let first = run(settings(seed, hours));
        assert!(
            first.violations.is_empty(),
            "seed {seed}: {:#?}\n{:#?}",
            first.violations,
            first.trace
        );
        assert!(first.trace.len() > 10, "seed {seed}: nothing happened");
        assert_eq!(run(settings(seed, hours)), first, "seed {seed} ran otherwise the second time");
    }
}

#[test]
fn seeds_0_to_5() {
    check(0..5, 24);
}

#[test]
fn seeds_5_to_10() {
    check(5..10, 24);
}

#[test]
fn seeds_10_to_15() {
    check(10..15, 24);
}

#[test]
fn seeds_15_to_20() {
    check(15..20, 24);
}
