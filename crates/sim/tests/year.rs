//! Four weeks of a small installation, twice: everything happens that a year is about, nothing breaks, and both are the same
//! to the byte.

use poolkeeper_sim::{YearSettings, year};

#[test]
fn a_month_of_a_small_installation_goes_well_and_is_the_same_the_second_time() {
    let settings = YearSettings {
        seed: 1,
        nodes: 200,
        days: 28,
    };
    let report = year(&settings, &mut |_, _| {});
    assert!(report.violations.is_empty(), "{report}");
    let tally = &report.tally;
    for (what, count) in [
        ("failures", tally.failures),
        ("reboots", tally.reboots),
        ("resets", tally.resets),
        ("replacements", tally.replaced),
        ("nodes that recovered", tally.recovered),
        ("roll-outs that finished", tally.rolled_out),
        ("nodes that were upgraded", tally.upgraded),
        ("changes of size", tally.resized),
        ("requests for nodes", tally.requests),
        ("workloads that completed", tally.completed),
        ("workloads that were cancelled", tally.cancelled),
    ] {
        assert!(count > 0, "no {what}\n{report}");
    }
    // The last roll-out of each pool is not looked at any more.
    assert!(tally.upgraded > 3 * 100, "{report}");
    assert_eq!(year(&settings, &mut |_, _| {}), report, "it ran otherwise the second time");
}
