//! Nodes that go to another pool.

#![expect(clippy::unwrap_used, reason = "tests end where something is missing")]
#![expect(dead_code, reason = "each test uses its part of the support")]

mod support;

use domain::name::{NodeName, PoolName};
use domain::node::NodePhase;
use domain::node::request::Migrate;
use domain::pool::Pool;
use domain::principal::Role;
use store::{Expect, TypedBatch};
use support::{World, caller, clock_now, node_of, physical, project};

/// Gives a pool nodes that are available, as many as it wants.
async fn give_nodes(world: &World, pool: &PoolName) -> Vec<NodeName> {
    let now = clock_now(&world.clock);
    let state = world.service.state();
    let found = state.index().read().get::<Pool>(project(), pool).unwrap();
    let mut batch = TypedBatch::default();
    let names: Vec<String> = (0..found.wanted()).map(|at| format!("{}-node-{at}", found.display_name)).collect();
    for name in &names {
        let node = node_of(&found, name, NodePhase::Available { since: now }, now);
        batch.put(node, Expect::Absent);
    }
    state.commit(batch).await.unwrap();
    names.iter().map(|name| NodeName::parse(name).unwrap()).collect()
}

#[tokio::test]
async fn a_node_that_moves_is_counted_where_it_goes_only() {
    let world = World::new(10).await;
    let context = caller(Role::Operator);
    let mut pools = Vec::new();
    for name in ["pool-a", "pool-b"] {
        let created = world.service.create_pool(&context, || Ok(physical(name, 2))).await.unwrap().object;
        let nodes = give_nodes(&world, &created.name).await;
        world.run(&created.name).await;
        pools.push((created.name.clone(), nodes));
    }
    let (from, to) = (&pools[0], &pools[1]);
    let migrate = Migrate {
        names: vec![from.1[0].clone()],
        from: from.0.clone(),
        to: to.0.clone(),
        to_pool: None,
        flavor: None,
        node_pool: None,
        inputs: "{}".to_owned(),
    };
    world
        .service
        .migrate_nodes(&context, &from.0, || Ok(migrate.clone()))
        .await
        .unwrap();
    let counters = |pool: &(_, _)| {
        let found = world.service.state().index().read().get::<Pool>(project(), &pool.0).unwrap();
        found.status.resources.counters()
    };
    assert_eq!((counters(from).available, counters(from).deleting), (1, 0), "of where it was");
    assert_eq!((counters(to).available, counters(to).creating), (2, 1), "of where it goes");
}
