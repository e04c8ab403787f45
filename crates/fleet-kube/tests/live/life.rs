//! The life of a pool, each chapter with controllers that are replaced in the middle of it.

use crate::lab::{Lab, fence, in_lab, insist, is_ready, node, run, until};
use crate::site::{GPU, ready, report};
use fleet::{Command, Fleet, MachineState, Observation, PoolMark};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use poolkeeper_fleet_kube::{KubeFleet, mark};
use serde_json::json;
use std::collections::BTreeSet;

/// A controller that is replaced now and then: the old process goes before the new one comes, under the next epoch.
struct Controller<'a> {
    lab: &'a Lab,
    fleet: Option<KubeFleet>,
    epoch: u64,
}

impl<'a> Controller<'a> {
    async fn new(lab: &'a Lab) -> Self {
        let mut it = Self {
            lab,
            fleet: None,
            epoch: 0,
        };
        it.restart().await;
        it
    }

    async fn restart(&mut self) {
        drop(self.fleet.take());
        let fleet = self.lab.fleet().await;
        self.epoch += 1;
        fleet.lead(&fence(self.epoch)).await;
        self.fleet = Some(fleet);
    }

    fn fleet(&self) -> &KubeFleet {
        self.fleet.as_ref().unwrap()
    }

    async fn run(&self, commands: &[Command]) {
        run(self.fleet(), self.epoch, commands).await;
    }

    async fn insist(&self, commands: &[Command]) {
        insist(self.fleet(), self.epoch, commands).await;
    }

    async fn until(&self, pool: &PoolMark, holds: impl Fn(&Observation) -> bool) -> Observation {
        until(self.fleet(), pool, holds).await
    }

    /// The process goes while it carries commands out; another one is told the same.
    async fn run_over_restart(&mut self, commands: &[Command]) {
        {
            let fence = fence(self.epoch);
            let mut going = std::pin::pin!(self.fleet().execute(commands, &fence));
            let before = self.lab.site.history();
            // Until the first write is seen, or all is done.
            loop {
                tokio::select! {
                    biased;
                    _ = &mut going => break,
                    () = crate::site::pause(1) => if self.lab.site.history() != before { break },
                }
            }
        }
        self.restart().await;
        self.insist(commands).await;
    }
}

#[test]
fn a_pool_grows_and_shrinks_while_controllers_come_and_go() {
    in_lab(async |lab: &Lab| {
        lab.add_nodes("a", 8).await;
        let before = lab.foreign().await;
        let (mut controller, pool) = (Controller::new(lab).await, lab.pool(1));
        let first: Vec<Command> = (1..=3).map(|number| lab.create(1, number)).collect();
        controller.run_over_restart(&[vec![lab.ensure(1)], first].concat()).await;
        controller.until(&pool, |seen| (1..=3).all(|number| is_ready(seen, number))).await;
        let owned = lab.owners().await;
        assert_eq!(owned.len(), 3);

        let more: Vec<Command> = (1..=6).map(|number| lab.create(1, number)).collect();
        controller.run_over_restart(&more).await;
        controller.until(&pool, |seen| (1..=6).all(|number| is_ready(seen, number))).await;
        let grown = lab.owners().await;
        assert_eq!(grown.len(), 6);
        assert!(
            owned.iter().all(|(id, host)| grown.get(id) == Some(host)),
            "who was there stays: {owned:?} {grown:?}"
        );

        let host = lab.machines_of(&pool, 2).await.remove(0);
        lab.add_pod("work", &host).await;
        controller.until(&pool, |seen| seen.nodes[&node(2)].is_busy).await;
        let less: Vec<Command> = [2, 4, 6].into_iter().map(|number| lab.delete(1, number)).collect();
        controller.run_over_restart(&less).await;
        let kept = controller.until(&pool, |seen| seen.nodes.len() == 3).await;
        let kept: BTreeSet<_> = kept.nodes.keys().cloned().collect();
        assert_eq!(kept, BTreeSet::from([node(1), node(3), node(5)]));
        assert_eq!(lab.owners().await.len(), 3);
        assert!(lab.pods().get_opt("work").await.unwrap().is_none());

        controller.run_over_restart(&[Command::RemovePool { pool: pool.clone() }]).await;
        controller.until(&pool, |seen| *seen == Observation::default()).await;
        assert_eq!(lab.foreign().await, before);
        lab.judge();
    });
}

#[test]
fn a_machine_that_fails_is_told_of_also_by_who_comes_later() {
    in_lab(async |lab: &Lab| {
        lab.add_nodes("a", 2).await;
        let (mut controller, pool) = (Controller::new(lab).await, lab.pool(1));
        controller.run(&[lab.ensure(1), lab.create(1, 1)]).await;
        controller.until(&pool, |seen| is_ready(seen, 1)).await;
        let host = lab.machines_of(&pool, 1).await.remove(0);
        let faults = [
            (ready("False"), ready("True"), "said by the test"),
            (
                json!({"allocatable": {GPU: "7"}}),
                json!({"allocatable": {GPU: "8"}}),
                "7 of 8 accelerators",
            ),
        ];
        for (fault, mended, reason) in faults {
            report(&lab.client, &host, fault).await.unwrap();
            controller.until(&pool, |seen| !is_ready(seen, 1)).await;
            controller.restart().await;
            let is_told = |seen: &Observation| matches!(&seen.nodes[&node(1)].state, MachineState::Faulty(why) if why.contains(reason));
            controller.until(&pool, is_told).await;
            let offers = controller.fleet().offers().await.unwrap();
            assert_eq!(offers[&crate::lab::flavor()].zones[&crate::lab::zone("a")].free, 1);
            report(&lab.client, &host, mended).await.unwrap();
            controller.restart().await;
            controller.until(&pool, |seen| is_ready(seen, 1)).await;
        }
        // The control plane has lost the kubelet.
        report(&lab.client, &host, ready("Unknown")).await.unwrap();
        controller.until(&pool, |seen| seen.nodes[&node(1)].silent_since.is_some()).await;
        // A free machine that fails is not offered.
        let hosts = [lab.host("a", 0), lab.host("a", 1)];
        let free = hosts.into_iter().find(|name| *name != host).unwrap();
        report(&lab.client, &free, ready("False")).await.unwrap();
        for _ in 0..500 {
            let offers = controller.fleet().offers().await.unwrap();
            if offers[&crate::lab::flavor()].zones[&crate::lab::zone("a")].free == 0 {
                return;
            }
            crate::site::pause(20).await;
        }
        panic!("a machine that is not ready is offered");
    });
}

/// The type of disruption budgets that the server has.
fn budgets(lab: &Lab) -> Api<DynamicObject> {
    let version = if lab.server.minor < 21 { "v1beta1" } else { "v1" };
    let kind = GroupVersionKind::gvk("policy", version, "PodDisruptionBudget");
    let resource = ApiResource::from_gvk_with_plural(&kind, "poddisruptionbudgets");
    Api::namespaced_with(lab.client.clone(), &lab.work(), &resource)
}

/// What the controller of budgets says: how many pods may go.
async fn allow(lab: &Lab, count: u32) {
    let budget = budgets(lab).get("budget").await.unwrap();
    let status = json!({"status": {
        "observedGeneration": budget.metadata.generation, "disruptionsAllowed": count, "currentHealthy": 1, "desiredHealthy": 1 - count, "expectedPods": 1,
    }});
    let params = PatchParams::default();
    budgets(lab).patch_status("budget", &params, &Patch::Merge(status)).await.unwrap();
}

async fn is_going(lab: &Lab, pod: &str) -> bool {
    let found: Option<Pod> = lab.pods().get_opt(pod).await.unwrap();
    found.is_none_or(|pod| pod.metadata.deletion_timestamp.is_some())
}

#[test]
fn a_drain_waits_for_the_budget_and_goes_on_after_a_restart() {
    in_lab(async |lab: &Lab| {
        lab.add_nodes("a", 1).await;
        let (mut controller, pool) = (Controller::new(lab).await, lab.pool(1));
        controller.run(&[lab.ensure(1), lab.create(1, 1)]).await;
        controller.until(&pool, |seen| is_ready(seen, 1)).await;
        let budget = json!({
            "metadata": {"name": "budget"}, "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "guarded"}}},
        });
        let budget = serde_json::from_value(budget).unwrap();
        budgets(lab).create(&PostParams::default(), &budget).await.unwrap();
        allow(lab, 0).await;
        let host = lab.host("a", 0);
        lab.add_pod("guarded", &host).await;
        lab.add_pod("other", &host).await;
        // A pod that does not run is not guarded.
        for _ in 0..500 {
            let pods = [lab.pods().get("guarded").await.unwrap(), lab.pods().get("other").await.unwrap()];
            if pods
                .iter()
                .all(|pod| pod.status.as_ref().unwrap().phase.as_deref() == Some("Running"))
            {
                break;
            }
            crate::site::pause(20).await;
        }
        controller.until(&pool, |seen| seen.nodes[&node(1)].is_busy).await;
        let hold = Command::HoldNode {
            pool: pool.clone(),
            node: node(1),
        };
        let evict = Command::EvictNode {
            pool: pool.clone(),
            node: node(1),
        };
        controller.run(&[hold, evict]).await;
        // The one goes at once, though the other may not.
        while !is_going(lab, "other").await {
            crate::site::pause(20).await;
        }
        for _ in 0..2 {
            assert!(!is_going(lab, "guarded").await);
            let seen = controller.until(&pool, |seen| seen.nodes[&node(1)].is_held).await;
            assert!(seen.nodes[&node(1)].is_busy);
            controller.restart().await;
        }
        allow(lab, 1).await;
        let is_empty = |seen: &Observation| !seen.nodes[&node(1)].is_busy && seen.nodes[&node(1)].is_held;
        controller.until(&pool, is_empty).await;
        assert!(lab.pods().get_opt("guarded").await.unwrap().is_none());
        let open = Command::OpenNode {
            pool: pool.clone(),
            node: node(1),
        };
        controller.run_over_restart(&[open]).await;
        controller.until(&pool, |seen| !seen.nodes[&node(1)].is_held).await;
    });
}

#[test]
fn a_driver_is_upgraded_and_a_machine_started_anew_over_restarts() {
    in_lab(async |lab: &Lab| {
        lab.add_nodes("a", 1).await;
        let before = lab.foreign().await;
        let (mut controller, pool) = (Controller::new(lab).await, lab.pool(1));
        controller.run(&[lab.ensure(1), lab.create(1, 1)]).await;
        for version in ["550.90.07", "570.10.01"] {
            let set = Command::SetDriver {
                pool: pool.clone(),
                node: node(1),
                version: version.to_owned(),
                is_own: false,
            };
            controller.run_over_restart(&[set]).await;
            let has_it = |seen: &Observation| {
                let driver = seen.nodes[&node(1)].driver.as_ref();
                driver.is_some_and(|driver| driver.installed.as_deref() == Some(version)) && is_ready(seen, 1)
            };
            controller.until(&pool, has_it).await;
        }
        let boot = |node: &k8s_openapi::api::core::v1::Node| node.status.as_ref().unwrap().node_info.as_ref().unwrap().boot_id.clone();
        let first = boot(&lab.nodes().get(&lab.host("a", 0)).await.unwrap());
        let reboot = Command::RebootNode {
            pool: pool.clone(),
            node: node(1),
            number: 1,
        };
        controller.run_over_restart(std::slice::from_ref(&reboot)).await;
        let is_done = |seen: &Observation| {
            let request = seen.nodes[&node(1)].request.as_ref();
            request.is_some_and(|request| request.progress == fleet::RequestProgress::Done) && is_ready(seen, 1)
        };
        controller.until(&pool, is_done).await;
        let machine = lab.nodes().get(&lab.host("a", 0)).await.unwrap();
        let second = boot(&machine);
        assert_ne!(first, second);
        assert!(!machine.annotations().contains_key(mark::HOLDS));
        // It is done already.
        controller.run_over_restart(&[reboot]).await;
        assert_eq!(boot(&lab.nodes().get(&lab.host("a", 0)).await.unwrap()), second);
        controller.run_over_restart(&[lab.delete(1, 1)]).await;
        controller.until(&pool, |seen| seen.nodes.is_empty()).await;
        assert_eq!(lab.foreign().await, before);
        lab.judge();
    });
}
