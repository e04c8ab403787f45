//! Everything that the fuzzer has found, and what it began with.

use poolkeeper_fuzz_properties::PROPERTIES;
use std::fs;
use std::path::Path;

#[test]
fn properties_hold_of_every_case() {
    for (name, property) in PROPERTIES {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/cases").join(name);
        let mut count = 0;
        for file in fs::read_dir(&folder).unwrap() {
            let path = file.unwrap().path();
            println!("{}", path.display());
            property(&fs::read(path).unwrap());
            count += 1;
        }
        assert!(count > 0, "no cases for {name}");
    }
}
