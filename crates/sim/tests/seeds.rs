//! Many seeds, each run twice: nothing breaks, and the same seed gives the same trace.

use poolkeeper_sim::{Faults, Settings, run};

const HOURS: u64 = 24;

fn check(seeds: std::ops::Range<u64>) {
    for seed in seeds {
        let settings = Settings {
            seed,
            hours: HOURS,
            faults: Faults::USUAL,
            keep: None,
        };
        let first = run(&settings);
        let trace = first.trace.join("\n");
        assert!(first.violations.is_empty(), "seed {seed}: {:#?}\n{trace}", first.violations);
        assert!(first.trace.len() > 100, "seed {seed}: nothing happened\n{trace}");
        assert_eq!(run(&settings), first, "seed {seed} ran otherwise the second time");
    }
}

macro_rules! seeds {
    ($($name:ident: $seeds:expr;)*) => {
        $(
            #[test]
            fn $name() {
                check($seeds);
            }
        )*
    };
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
