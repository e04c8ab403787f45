//! The suite that every fleet must pass, where machines are made: with free ones besides, and with none.

mod making;
mod world;

use fleet::conformance::CHECKS;

/// A machine that is made anew is another one, of the image of its template.
const OTHERWISE: &str = "a reset node comes up with what was asked for";

async fn check_all(nodes: usize, limit: u32, is_for_us: fn(&str) -> bool) {
    for (name, check) in CHECKS.iter().filter(|(name, _)| is_for_us(name)) {
        let mut world = making::making(limit).await;
        making::configure(&mut world.config, &[("a", limit), ("b", limit)]);
        world.add_nodes("a", nodes);
        world.add_nodes("b", nodes);
        world::conform(&world, name, *check).await;
    }
}

#[tokio::test(start_paused = true)]
async fn it_conforms_with_machines_that_are_free_and_some_that_can_be_made() {
    check_all(1, 2, |_| true).await;
}

#[tokio::test(start_paused = true)]
async fn it_conforms_where_every_machine_is_made() {
    assert!(CHECKS.iter().any(|(name, _)| *name == OTHERWISE));
    check_all(0, 3, |name| name != OTHERWISE).await;
}
