use super::*;
use proptest::prelude::*;

mod oracle;
mod plain;
mod rounds;
mod stories;

/// So many cases, or more where the environment asks for them.
fn at_least(cases: u32) -> ProptestConfig {
    let default = ProptestConfig::default();
    ProptestConfig {
        cases: default.cases.max(cases),
        ..default
    }
}

/// A tree of up to six pools whose children are guaranteed no more than their parents, with the nodes that there are.
fn trees() -> impl Strategy<Value = (Vec<Level>, u64)> {
    let pool = (any::<prop::sample::Index>(), 0..4_u64, 0..5_u64);
    (prop::collection::vec(pool, 1..=6), prop_oneof![3 => Just(0_u64), 1 => 1..4_u64]).prop_map(|(pools, missing)| {
        let parents: Vec<Option<usize>> = (0..pools.len()).map(|at| (at > 0).then(|| pools[at].0.index(at))).collect();
        let mut guaranteed: Vec<u64> = pools.iter().map(|(_, own, _)| *own).collect();
        for at in (1..pools.len()).rev() {
            guaranteed[parents[at].unwrap()] += guaranteed[at];
        }
        let mut ceilings = guaranteed.clone();
        for at in 1..pools.len() {
            ceilings[at] = (guaranteed[at] + pools[at].2).min(ceilings[parents[at].unwrap()]);
        }
        let level = |at: usize| Level {
            parent: parents[at],
            guaranteed: guaranteed[at],
            ceiling: ceilings[at],
        };
        let capacity = guaranteed[0].saturating_sub(missing);
        ((0..pools.len()).map(level).collect(), capacity)
    })
}
