//! The suite that every fleet must pass, over the API server inside the process and the actors of its cluster.

mod world;

use fleet::conformance::CHECKS;
use world::World;

#[tokio::test(start_paused = true)]
async fn it_conforms() {
    for (name, check) in CHECKS {
        let world = World::new().await;
        world.add_nodes("a", 3);
        world.add_nodes("b", 3);
        world::conform(&world, name, *check).await;
    }
}
