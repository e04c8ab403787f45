//! A controller that is killed at any named point of any operation leaves nothing behind that the next one does not finish.

use poolkeeper_sim::{Kill, OPERATIONS, kill, passes};

/// Later passes of a point are repetitions of a wait.
const PASSES: usize = 12;

#[test]
fn every_operation_survives_the_death_of_its_controller_at_every_point() {
    let mut kills = 0;
    for name in OPERATIONS {
        let passes = passes(name);
        assert!(passes.contains_key("after-commit"), "{name}: nothing was done: {passes:?}");
        for (point, count) in passes {
            for pass in 1..=count.min(PASSES) {
                let violations = kill(name, Kill { point, pass });
                assert!(violations.is_empty(), "{name}, killed at {point} #{pass}: {violations:#?}");
                kills += 1;
            }
        }
    }
    assert!(kills > 200, "only {kills} kills");
}
