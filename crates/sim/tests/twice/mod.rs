//! Seeds that are each run twice: nothing breaks, and the same seed gives the same trace.

use poolkeeper_sim::Outcome;
use std::ops::Range;

/// `least`: fewer lines than these in a trace mean that nothing happened.
pub fn check(seeds: Range<u64>, least: usize, run: impl Fn(u64) -> Outcome) {
    for seed in seeds {
        let first = run(seed);
        let trace = first.trace.join("\n");
        assert!(first.violations.is_empty(), "seed {seed}: {:#?}\n{trace}", first.violations);
        assert!(first.trace.len() > least, "seed {seed}: nothing happened\n{trace}");
        assert_eq!(run(seed), first, "seed {seed} ran otherwise the second time");
    }
}

/// A test for each range of seeds, by the function `check` of where this stands.
#[macro_export]
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
