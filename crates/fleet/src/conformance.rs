//! What every fleet must do, whatever it is made of. Each check takes a fleet with two zones that have at least two free
//! machines of the flavor each, and waits for what takes time through [`Fleet::changed`].

mod pools;

use crate::command::{Command, NodeRequest, PoolMark, ResetRequest};
use crate::observation::{ClusterFact, DriverProgress, MachineState, NodeFact, Observation, RequestFact, RequestProgress};
use crate::port::{Fleet, FleetError};
use domain::meta::{Fence, Uid};
use domain::name::{FlavorName, NodeName, PoolName, ProjectId, TemplateName, ZoneName};
use domain::pool::{NodeOs, PoolRef};
use futures::FutureExt;
use futures::future::BoxFuture;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A fleet under test.
pub struct Subject {
    pub fleet: Arc<dyn Fleet>,
    /// An accelerator flavor, so that drivers can be looked at.
    pub flavor: FlavorName,
    pub zones: [ZoneName; 2],
    /// Two versions that can be installed.
    pub drivers: [&'static str; 2],
    /// A plug-in that can be installed, with two of its versions.
    pub plugin: (TemplateName, [&'static str; 2]),
    /// The same fleet, opened anew by another process.
    pub reopen: Box<dyn Fn() -> BoxFuture<'static, Arc<dyn Fleet>> + Send + Sync>,
}

/// One rule that a fleet keeps; panics where it does not.
pub type Check = for<'a> fn(&'a Subject) -> BoxFuture<'a, ()>;

/// Every check by name. Each needs a fleet of its own.
pub const CHECKS: &[(&str, Check)] = &[
    ("a created node comes up", |it| it.a_created_node_comes_up().boxed()),
    ("a repeated command changes nothing", |it| {
        it.a_repeated_command_changes_nothing().boxed()
    }),
    ("a deleted node gives its machine back", |it| {
        it.a_deleted_node_gives_its_machine_back().boxed()
    }),
    ("nodes never share a machine", |it| it.nodes_never_share_a_machine().boxed()),
    ("without a free machine there is no node", |it| {
        it.without_a_free_machine_there_is_no_node().boxed()
    }),
    ("an old epoch is refused", |it| it.an_old_epoch_is_refused().boxed()),
    ("a driver is installed and replaced", |it| {
        it.a_driver_is_installed_and_replaced().boxed()
    }),
    ("a plug-in comes, changes and goes", |it| {
        it.a_plugin_comes_changes_and_goes().boxed()
    }),
    ("a held node becomes idle", |it| it.a_held_node_becomes_idle().boxed()),
    ("an evicted node is idle", |it| it.an_evicted_node_is_idle().boxed()),
    ("a rebooted node comes up again, once", |it| {
        it.a_rebooted_node_comes_up_again_once().boxed()
    }),
    ("a reset node comes up with what was asked for", |it| {
        it.a_reset_node_comes_up_with_what_was_asked_for().boxed()
    }),
    ("a moved node keeps its machine", |it| it.a_moved_node_keeps_its_machine().boxed()),
    ("a node is kept for a logical pool until it is not", |it| {
        it.a_node_is_kept_for_a_logical_pool_until_it_is_not().boxed()
    }),
    ("quotas are told as they were asked for", |it| {
        it.quotas_are_told_as_they_were_asked_for().boxed()
    }),
    ("a removed pool leaves nothing", |it| it.a_removed_pool_leaves_nothing().boxed()),
    ("commands to what is not there are done", |it| {
        it.commands_to_what_is_not_there_are_done().boxed()
    }),
    ("a restarted fleet knows everything", |it| {
        it.a_restarted_fleet_knows_everything().boxed()
    }),
    ("a change is told also to who comes later", |it| {
        it.a_change_is_told_also_to_who_comes_later().boxed()
    }),
];

const fn fence(epoch: u64) -> Fence {
    Fence {
        lease: String::new(),
        epoch,
    }
}

#[expect(clippy::expect_used, reason = "constant names")]
fn mark(number: u8) -> PoolMark {
    let project = ProjectId::parse("6f5da086876d4cd084d36f8bd3346036").expect("a project id");
    let name = PoolName::parse(&format!("pool-{number}-6f5da086876d4cd084d36f8bd3346036")).expect("a name");
    PoolMark {
        uid: Uid::from_text(&format!("0{number}9{}", "0".repeat(29))),
        pool: PoolRef { project, name },
    }
}

#[expect(clippy::expect_used, reason = "constant names")]
fn node_name(number: u8) -> NodeName {
    NodeName::parse(&format!("os-node-created-{number:05}")).expect("a name")
}

#[expect(clippy::panic, reason = "a check that fails panics, as tests do")]
impl Subject {
    fn create(&self, pool: &PoolMark, number: u8, zone: usize) -> Command {
        Command::CreateNode(NodeRequest {
            pool: pool.clone(),
            node: node_name(number),
            flavor: self.flavor.clone(),
            az: self.zones[zone].clone(),
            driver: Some(self.drivers[0].to_owned()),
            image: None,
            labels: BTreeMap::new(),
        })
    }

    async fn command(&self, commands: &[Command]) {
        for (result, command) in self.fleet.execute(commands, &fence(1)).await.into_iter().zip(commands) {
            assert_eq!(result, Ok(()), "{}", command.name());
        }
    }

    /// Waits until it holds of what is observed. A fleet that never gets there makes the test runner give up.
    async fn until(&self, pool: &PoolMark, holds: impl Fn(&Observation) -> bool) -> Observation {
        loop {
            let observation = self.observe(pool).await;
            if holds(&observation) {
                return observation;
            }
            self.fleet.changed().await;
        }
    }

    async fn observe(&self, pool: &PoolMark) -> Observation {
        match self.fleet.observe(&pool.uid).await {
            Ok(observation) => observation,
            Err(error) => panic!("the pool is not observed: {error}"),
        }
    }

    async fn free(&self, zone: usize) -> u32 {
        match self.fleet.offers().await {
            Ok(offers) => offers[&self.flavor].zones[&self.zones[zone]].free,
            Err(error) => panic!("no offers: {error}"),
        }
    }

    /// A pool with a node in the first zone that is ready, its driver installed.
    async fn ready_node(&self, pool: &PoolMark) -> NodeFact {
        self.command(&[Command::EnsurePool { pool: pool.clone() }, self.create(pool, 1, 0)])
            .await;
        let observation = self.until(pool, |seen| seen.node(&node_name(1)).is_some_and(is_settled)).await;
        NodeFact::clone(&observation.nodes[&node_name(1)])
    }

    async fn a_created_node_comes_up(&self) {
        let before = self.free(0).await;
        let node = self.ready_node(&mark(1)).await;
        assert_eq!(node.az, self.zones[0]);
        assert!(!node.resources.is_empty() && node.private_ip.is_some() && node.instance.is_some() && node.os.is_some());
        assert_eq!(node.driver.and_then(|driver| driver.installed).as_deref(), Some(self.drivers[0]));
        assert_eq!(self.free(0).await, before - 1);
        let pool = mark(1);
        let observation = self.until(&pool, |seen| seen.cluster == ClusterFact::Ready).await;
        assert_eq!(observation.nodes.len(), 1);
    }

    async fn a_repeated_command_changes_nothing(&self) {
        let pool = mark(1);
        let node = self.ready_node(&pool).await;
        let before = self.free(0).await;
        self.command(&[
            Command::EnsurePool { pool: pool.clone() },
            self.create(&pool, 1, 0),
            self.create(&pool, 1, 0),
        ])
        .await;
        let observation = self.observe(&pool).await;
        assert_eq!(observation.nodes.len(), 1);
        assert_eq!(observation.nodes[&node_name(1)].instance, node.instance);
        assert_eq!(self.free(0).await, before);
    }

    async fn a_deleted_node_gives_its_machine_back(&self) {
        let (pool, before) = (mark(1), self.free(0).await);
        self.ready_node(&pool).await;
        let delete = Command::DeleteNode {
            pool: pool.clone(),
            node: node_name(1),
        };
        self.command(std::slice::from_ref(&delete)).await;
        let seen = self.observe(&pool).await;
        assert!(seen.nodes.values().all(|node| node.state == MachineState::Releasing));
        self.command(&[delete]).await;
        self.until(&pool, |seen| seen.nodes.is_empty()).await;
        assert_eq!(self.free(0).await, before);
    }

    async fn nodes_never_share_a_machine(&self) {
        let (one, two) = (mark(1), mark(2));
        let commands = [
            Command::EnsurePool { pool: one.clone() },
            Command::EnsurePool { pool: two.clone() },
            self.create(&one, 1, 0),
            self.create(&two, 2, 0),
            self.create(&one, 3, 1),
            self.create(&two, 4, 1),
        ];
        self.command(&commands).await;
        let mut machines = std::collections::BTreeSet::new();
        for pool in [&one, &two] {
            let seen = self
                .until(pool, |seen| {
                    seen.nodes.len() == 2 && seen.nodes.values().all(|fact| is_settled(fact))
                })
                .await;
            machines.extend(seen.nodes.into_values().filter_map(|node| node.instance.clone()));
        }
        assert_eq!(machines.len(), 4);
    }

    async fn without_a_free_machine_there_is_no_node(&self) {
        let pool = mark(1);
        self.command(&[Command::EnsurePool { pool: pool.clone() }]).await;
        let free = self.free(0).await;
        let commands: Vec<Command> = (0..=free).map(|at| self.create(&pool, u8::try_from(at).unwrap_or(0), 0)).collect();
        let results = self.fleet.execute(&commands, &fence(1)).await;
        let refused: Vec<_> = results.iter().filter(|result| **result == Err(FleetError::NoCapacity)).collect();
        assert_eq!((results.len(), refused.len()), (commands.len(), 1));
        assert_eq!(results.last(), Some(&Err(FleetError::NoCapacity)));
        assert_eq!(self.free(0).await, 0);
        let seen = self.observe(&pool).await;
        assert_eq!(seen.nodes.len(), free as usize);
    }

    async fn an_old_epoch_is_refused(&self) {
        let pool = mark(1);
        let commands = [Command::EnsurePool { pool: pool.clone() }, self.create(&pool, 1, 0)];
        let with = async |epoch| self.fleet.execute(&commands, &fence(epoch)).await;
        assert_eq!(with(2).await, [Ok(()), Ok(())]);
        let late = [Command::DeleteNode {
            pool: pool.clone(),
            node: node_name(1),
        }];
        assert_eq!(self.fleet.execute(&late, &fence(1)).await, [Err(FleetError::Fenced)]);
        let seen = self.observe(&pool).await;
        assert!(seen.nodes[&node_name(1)].state != MachineState::Releasing);
        assert_eq!(with(2).await, [Ok(()), Ok(())]);
        assert_eq!(with(3).await, [Ok(()), Ok(())]);
        assert_eq!(with(2).await, [Err(FleetError::Fenced), Err(FleetError::Fenced)]);
        let reopened = (self.reopen)().await;
        assert_eq!(
            reopened.execute(&late, &fence(2)).await,
            [Err(FleetError::Fenced)],
            "after a restart"
        );
    }

    async fn a_driver_is_installed_and_replaced(&self) {
        let pool = mark(1);
        self.ready_node(&pool).await;
        let set = Command::SetDriver {
            pool: pool.clone(),
            node: node_name(1),
            version: self.drivers[1].to_owned(),
            is_own: false,
        };
        self.command(&[set.clone(), set]).await;
        let is_new = |seen: &Observation| {
            let driver = seen.nodes[&node_name(1)].driver.as_ref();
            driver.is_some_and(|driver| driver.installed.as_deref() == Some(self.drivers[1]) && driver.progress == DriverProgress::Done)
        };
        self.until(&pool, is_new).await;
    }

    async fn a_held_node_becomes_idle(&self) {
        let pool = mark(1);
        self.ready_node(&pool).await;
        let (held, node) = (pool.clone(), node_name(1));
        self.command(&[Command::HoldNode { pool: held, node }]).await;
        self.until(&pool, |seen| {
            seen.nodes[&node_name(1)].is_held && !seen.nodes[&node_name(1)].is_busy
        })
        .await;
        let (opened, node) = (pool.clone(), node_name(1));
        self.command(&[Command::OpenNode { pool: opened, node }]).await;
        self.until(&pool, |seen| !seen.nodes[&node_name(1)].is_held).await;
    }

    async fn an_evicted_node_is_idle(&self) {
        let pool = mark(1);
        self.ready_node(&pool).await;
        let (held, evicted, node) = (pool.clone(), pool.clone(), node_name(1));
        let evict = Command::EvictNode {
            pool: evicted,
            node: node.clone(),
        };
        self.command(&[Command::HoldNode { pool: held, node }, evict.clone(), evict]).await;
        self.until(&pool, |seen| {
            seen.nodes[&node_name(1)].is_held && !seen.nodes[&node_name(1)].is_busy
        })
        .await;
    }

    async fn a_rebooted_node_comes_up_again_once(&self) {
        let pool = mark(1);
        let before = self.ready_node(&pool).await;
        let reboot = |number| Command::RebootNode {
            pool: pool.clone(),
            node: node_name(1),
            number,
        };
        self.command(&[reboot(2)]).await;
        let after = self.until(&pool, |seen| has_done(seen, 2)).await;
        assert_eq!(after.nodes[&node_name(1)].instance, before.instance);
        // A repetition, and one that comes late, change nothing.
        let settled = self.observe(&pool).await;
        self.command(&[reboot(2), reboot(1)]).await;
        assert_eq!(self.observe(&pool).await, settled);
    }

    async fn a_reset_node_comes_up_with_what_was_asked_for(&self) {
        let pool = mark(1);
        let before = self.ready_node(&pool).await;
        let reset = Command::ResetNode(ResetRequest {
            pool: pool.clone(),
            node: node_name(1),
            number: 1,
            image: Some(NodeOs {
                name: Some("Other OS 1".to_owned()),
                ..NodeOs::default()
            }),
            runtime: Some("containerd".to_owned()),
            driver: Some(self.drivers[1].to_owned()),
        });
        self.command(&[reset.clone(), reset]).await;
        let after = self
            .until(&pool, |seen| has_done(seen, 1) && is_settled(&seen.nodes[&node_name(1)]))
            .await;
        let node = &after.nodes[&node_name(1)];
        assert_eq!((&node.instance, node.os.as_deref()), (&before.instance, Some("Other OS 1")));
        let installed = node.driver.as_ref().and_then(|driver| driver.installed.as_deref());
        assert_eq!(installed, Some(self.drivers[1]));
    }

    async fn a_moved_node_keeps_its_machine(&self) {
        let (one, two) = (mark(1), mark(2));
        let before = self.ready_node(&one).await;
        let free = self.free(0).await;
        let take = Command::MoveNode {
            pool: two.clone(),
            node: node_name(1),
            from: one.clone(),
        };
        self.command(&[Command::EnsurePool { pool: two.clone() }, take.clone(), take]).await;
        let after = self.until(&two, |seen| !seen.nodes.is_empty()).await;
        assert_eq!(after.nodes[&node_name(1)].instance, before.instance);
        assert!(self.observe(&one).await.nodes.is_empty());
        assert_eq!(self.free(0).await, free);
    }

    async fn commands_to_what_is_not_there_are_done(&self) {
        let (pool, node) = (mark(1), node_name(1));
        let commands = [
            Command::DeleteNode {
                pool: pool.clone(),
                node: node.clone(),
            },
            Command::HoldNode {
                pool: pool.clone(),
                node: node.clone(),
            },
            Command::EvictNode {
                pool: pool.clone(),
                node: node.clone(),
            },
            Command::RebootNode {
                pool: pool.clone(),
                node: node.clone(),
                number: 1,
            },
            Command::MoveNode {
                pool: pool.clone(),
                node: node.clone(),
                from: mark(2),
            },
            Command::OpenNode {
                pool: pool.clone(),
                node: node.clone(),
            },
            Command::LockNode {
                pool: pool.clone(),
                node,
                is_locked: true,
            },
            Command::RemovePlugin {
                pool: pool.clone(),
                template: self.plugin.0.clone(),
            },
            Command::RemovePool { pool: pool.clone() },
        ];
        self.command(&commands).await;
        assert_eq!(self.observe(&pool).await, Observation::default());
    }

    async fn a_restarted_fleet_knows_everything(&self) {
        let pool = mark(1);
        self.ready_node(&pool).await;
        self.command(&[self.create(&pool, 2, 1)]).await;
        let before = self.observe(&pool).await;
        let reopened = (self.reopen)().await;
        let after = reopened.observe(&pool.uid).await;
        let known = |seen: &Observation| -> Vec<_> {
            seen.nodes
                .iter()
                .map(|(name, node)| (name.clone(), node.az.clone(), node.instance.clone()))
                .collect()
        };
        assert_eq!(after.map(|seen| known(&seen)), Ok(known(&before)));
        assert_eq!(reopened.offers().await, self.fleet.offers().await);
    }

    async fn a_change_is_told_also_to_who_comes_later(&self) {
        let pool = mark(1);
        self.ready_node(&pool).await;
        // Whatever has piled up is read, until nothing more is to come.
        while self.fleet.changed().now_or_never().is_some() {}
        let delete = Command::DeleteNode {
            pool: pool.clone(),
            node: node_name(1),
        };
        self.command(&[delete]).await;
        assert!(self.fleet.changed().await.contains(&pool.uid));
    }
}

/// The first node has been through a request.
fn has_done(seen: &Observation, number: u64) -> bool {
    let done = RequestFact {
        number,
        progress: RequestProgress::Done,
    };
    seen.nodes[&node_name(1)].request == Some(done) && seen.nodes[&node_name(1)].state == MachineState::Ready
}

/// Up, with its driver.
fn is_settled(node: &NodeFact) -> bool {
    let has_driver = node.driver.as_ref().is_some_and(|driver| driver.progress == DriverProgress::Done);
    node.state == MachineState::Ready && has_driver
}
