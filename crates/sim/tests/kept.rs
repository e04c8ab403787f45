//! Worlds that once broke.

use poolkeeper_sim::{Kept, run};
use std::fs;
use std::path::Path;

#[test]
fn what_was_found_once_stays_found() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds");
    let mut count = 0;
    for file in fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let kept: Kept = toml::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        let outcome = run(&kept.settings());
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
