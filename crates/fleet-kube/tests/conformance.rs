//! The suite that every fleet must pass, over the API server inside the process and the actors of its cluster.

mod world;

use domain::name::TemplateName;
use fleet::Fleet;
use fleet::conformance::{CHECKS, Subject};
use futures::FutureExt;
use std::sync::Arc;
use std::time::Duration;
use world::World;

#[tokio::test(start_paused = true)]
async fn it_conforms() {
    for (name, check) in CHECKS {
        let world = World::new().await;
        world.add_nodes("a", 3);
        world.add_nodes("b", 3);
        let again = world.clone();
        let subject = Subject {
            fleet: Arc::new(world.fleet().await),
            flavor: world::flavor(),
            zones: [world::zone("a"), world::zone("b")],
            drivers: ["550.90.07", "570.10.01"],
            plugin: (TemplateName::parse("metrics").unwrap(), ["1.0.0", "1.1.0"]),
            reopen: Box::new(move || {
                let world = again.clone();
                async move { Arc::new(world.fleet().await) as Arc<dyn Fleet> }.boxed()
            }),
        };
        eprintln!("{name}");
        tokio::time::timeout(Duration::from_hours(3), check(&subject))
            .await
            .unwrap_or_else(|_| panic!("{name}: never came to an end"));
    }
}
