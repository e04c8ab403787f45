//! Many seeds of worlds over a cluster, each run twice: nothing breaks, and the same seed gives the same trace.

use poolkeeper_sim::{KubeFaults, KubeSettings, run_kube};

const HOURS: u64 = 6;

fn check(seeds: std::ops::Range<u64>) {
    for seed in seeds {
        let settings = KubeSettings {
            seed,
            hours: HOURS,
            faults: KubeFaults::USUAL,
            keep: None,
        };
        let first = run_kube(&settings);
        let trace = first.trace.join("\n");
        assert!(first.violations.is_empty(), "seed {seed}: {:#?}\n{trace}", first.violations);
        assert!(first.trace.len() > 50, "seed {seed}: nothing happened\n{trace}");
        assert_eq!(run_kube(&settings), first, "seed {seed} ran otherwise the second time");
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
    seeds_0_to_3: 0..3;
    seeds_3_to_6: 3..6;
    seeds_6_to_9: 6..9;
    seeds_9_to_12: 9..12;
}
