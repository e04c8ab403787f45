//! Worlds that once broke.

#![expect(clippy::unwrap_used, reason = "a file that cannot be read fails the test")]

use poolkeeper_sim::{Kept, Outcome, run, run_kube};
use std::fs;
use std::path::Path;

fn check(folder: &str, run: impl Fn(&Kept) -> Outcome) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut count = 0;
    for file in fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let kept: Kept = toml::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        let outcome = run(&kept);
        let trace = outcome.trace.join("\n");
        assert!(
            outcome.violations.is_empty(),
            "{}: {:#?}\n{trace}",
            path.display(),
            outcome.violations
        );
        if let Some(keep) = kept.keep {
            assert_eq!(outcome.events, keep, "{}: the schedule has changed: find it again", path.display());
        }
        count += 1;
    }
    assert!(count > 0, "nothing is kept");
}

#[test]
fn what_was_found_once_stays_found() {
    check("seeds", |kept| run(&kept.settings()));
}

#[test]
fn what_was_found_over_a_cluster_stays_found() {
    check("seeds-cluster", |kept| run_kube(&kept.kube_settings()));
}
