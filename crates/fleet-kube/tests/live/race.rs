//! Eight controllers at the same Nodes.

use crate::lab::{Lab, fence, in_lab};
use fleet::{Command, Fleet, FleetError};
use futures::future::join_all;

const CONTROLLERS: usize = 8;

#[test]
fn of_eight_controllers_one_wins_each_node() {
    in_lab(async |lab: &Lab| {
        lab.add_nodes("a", 50).await;
        let fleets = join_all((0..CONTROLLERS).map(|_| lab.fleet())).await;
        let commands: Vec<Command> = (0..40).map(|number| lab.create(1, number)).collect();
        // Whoever is not sure, or has lost for too long, is told again.
        let all = join_all(fleets.iter().map(|fleet| crate::lab::insist(fleet, 1, &commands))).await;
        assert_eq!(all.len(), CONTROLLERS);
        assert_eq!(lab.owners().await.len(), 40);
        for number in 0..40 {
            assert_eq!(lab.machines_of(&lab.pool(1), number).await.len(), 1);
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
