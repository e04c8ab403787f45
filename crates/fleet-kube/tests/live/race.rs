//! Eight controllers at the same Nodes.

use crate::lab::{Lab, fence, in_lab, insist, is_ready, node, until};
use crate::site::pause;
use domain::name::NodeName;
use fleet::{Command, Fleet, FleetError};
use futures::future::join_all;
use kube::ResourceExt;
use poolkeeper_fleet_kube::{KubeFleet, mark};
use std::collections::BTreeSet;

const CONTROLLERS: usize = 8;
const ORDERS: usize = 40;

/// Releases what no order asks for, as the plan does, until there is one Node for each order. How many were too many at first.
async fn settle(lab: &Lab, fleet: &KubeFleet) -> usize {
    let (pool, mut surplus) = (lab.pool(1), None);
    let wanted: BTreeSet<NodeName> = (0..ORDERS).map(node).collect();
    for _ in 0..1_000 {
        let claimed = lab
            .all_nodes()
            .await
            .iter()
            .filter(|node| node.labels().contains_key(mark::POOL))
            .count();
        let too_many = *surplus.get_or_insert(claimed - ORDERS);
        if claimed == ORDERS {
            return too_many;
        }
        let seen = fleet.observe(&pool.uid).await.unwrap();
        let orphans = seen.nodes.keys().filter(|name| !wanted.contains(*name));
        let release = orphans.map(|name| Command::DeleteNode {
            pool: pool.clone(),
            node: name.clone(),
        });
        insist(fleet, 1, &release.collect::<Vec<_>>()).await;
        pause(20).await;
    }
    panic!("there are more Nodes than orders");
}

#[test]
fn of_eight_controllers_with_the_same_orders_one_wins_each_node() {
    in_lab(async |lab: &Lab| {
        lab.add_nodes("a", ORDERS + 20).await;
        let fleets = join_all((0..CONTROLLERS).map(|_| lab.fleet())).await;
        let commands: Vec<Command> = (0..ORDERS).map(|number| lab.create(1, number)).collect();
        // Whoever is not sure, or has lost for too long, is told again.
        join_all(fleets.iter().map(|fleet| insist(fleet, 1, &commands))).await;
        lab.judge();
        // Only the lease keeps two controllers, who see different things, from taking different Nodes for one order.
        let too_many = settle(lab, &fleets[0]).await;
        eprintln!("{too_many} of {ORDERS} orders got a second Node, which was released");
        assert_eq!(lab.owners().await.len(), ORDERS);
        for fleet in &fleets {
            until(fleet, &lab.pool(1), |seen| {
                seen.nodes.len() == ORDERS && (0..ORDERS).all(|number| is_ready(seen, number))
            })
            .await;
        }
        lab.judge();
    });
}

#[test]
fn controllers_with_nodes_of_their_own_share_the_machines_out() {
    in_lab(async |lab: &Lab| {
        lab.add_nodes("a", 40).await;
        let fleets = join_all((0..CONTROLLERS).map(|_| lab.fleet())).await;
        // Each wants six, and there are five for each.
        let all = join_all(fleets.iter().enumerate().map(|(at, fleet)| async move {
            let mut commands: Vec<Command> = (0..6).map(|number| lab.create(at + 1, 10 * at + number)).collect();
            let mut made = 0;
            while !commands.is_empty() {
                let results = fleet.execute(&commands, &fence(1)).await;
                let mut left = Vec::new();
                for (command, result) in commands.into_iter().zip(results) {
                    match result {
                        Ok(()) => made += 1,
                        Err(FleetError::NoCapacity) => {}
                        Err(FleetError::Throttled { .. }) => left.push(command),
                        Err(other) => panic!("{other}"),
                    }
                }
                commands = left;
            }
            made
        }))
        .await;
        let owners = lab.owners().await;
        assert_eq!((all.iter().sum::<usize>(), owners.len()), (40, 40), "{all:?}");
        lab.judge();
    });
}
