//! The controller of a cluster ends in the middle of its writes.

use poolkeeper_sim::{KUBE_OPERATIONS, kube_kill, kube_writes};

/// Every so manieth write, beginning with another one in each operation; `poolkeeper-sim kills` does all.
const STRIDE: usize = 9;

#[test]
fn every_operation_survives_the_end_of_its_process_in_the_middle_of_a_write() {
    let mut kills = 0;
    for (number, name) in KUBE_OPERATIONS.iter().enumerate() {
        let writes = kube_writes(name);
        assert!(writes > 0, "{name}: nothing was written, or something broke without any death");
        for at in (0..=writes).skip(number % STRIDE).step_by(STRIDE) {
            let violations = kube_kill(name, at);
            assert!(violations.is_empty(), "{name}, in the middle of write {at}: {violations:#?}");
            kills += 1;
        }
    }
    assert!(kills > 10, "only {kills} kills");
}
