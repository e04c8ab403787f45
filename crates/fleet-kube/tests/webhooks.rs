//! Machines that a service of the site starts anew and cleans.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod world;

use async_trait::async_trait;
use fleet::observation::{RequestFact, RequestProgress};
use fleet::{Command, MachineState, Observation};
use kube_fake::FakeCluster;
use poolkeeper_fleet_kube::KubeFleet;
use poolkeeper_fleet_kube::config::{Hook, Provider};
use poolkeeper_fleet_kube::mark;
use poolkeeper_fleet_kube::webhook::{Caller, Order, Reply};
use std::sync::{Arc, Mutex};
use world::{World, create, delete, insist, node, pool, run};

/// A service that answers by a list, the last one again and again, and that starts machines anew when it accepts.
struct Service {
    cluster: FakeCluster,
    answers: Mutex<Vec<Result<Reply, String>>>,
    asked: Mutex<Vec<(String, Order)>>,
}

#[async_trait]
impl Caller for Service {
    async fn call(&self, hook: &Hook, order: &Order) -> Result<Reply, String> {
        let is_known = self.asked.lock().unwrap().iter().any(|(_, known)| known.id == order.id);
        self.asked.lock().unwrap().push((hook.url.clone(), order.clone()));
        let mut answers = self.answers.lock().unwrap();
        let answer = if answers.len() > 1 { answers.remove(0) } else { answers[0].clone() };
        if order.action != "clean" && (!is_known || answers.len() == 1) && matches!(answer, Ok(Reply::Accepted | Reply::Done)) {
            self.cluster.reboot_node(&order.host);
        }
        answer
    }
}

/// A node that is up, in a fleet that asks a service.
async fn start(answers: Vec<Result<Reply, String>>) -> (World, KubeFleet, Arc<Service>) {
    let mut world = World::new().await;
    let hook = |path: &str| {
        Provider::Webhook(Hook {
            url: format!("https://machines.example/{path}"),
            secret_file: None,
        })
    };
    world.config.reboot = hook("reboot");
    world.config.release.clean = hook("clean");
    world.add_nodes("a", 1);
    let service = Arc::new(Service {
        cluster: world.cluster.clone(),
        answers: Mutex::new(answers),
        asked: Mutex::default(),
    });
    let fleet = open(&world, &service).await;
    insist(&world, &fleet, 1, &[create(1, 1)]).await;
    world
        .until(&fleet, &pool(1), |seen| seen.nodes[&node(1)].state == MachineState::Ready)
        .await;
    (world, fleet, service)
}

async fn open(world: &World, service: &Arc<Service>) -> KubeFleet {
    let caller: Arc<dyn Caller> = service.clone();
    let fleet = KubeFleet::start_with(world.cluster.client(), world.config.clone(), Arc::clone(&world.clock), Some(caller));
    fleet.await.unwrap()
}

fn reboot(number: u64) -> Command {
    Command::RebootNode {
        pool: pool(1),
        node: node(1),
        number,
    }
}

fn has_come_to(seen: &Observation, progress: &RequestProgress) -> bool {
    let wanted = RequestFact {
        number: 1,
        progress: progress.clone(),
    };
    seen.nodes[&node(1)].request.as_ref() == Some(&wanted)
}

#[tokio::test(start_paused = true)]
async fn a_service_is_asked_until_it_hears_and_then_no_more() {
    let away = Err("connection refused".to_owned());
    let (world, fleet, service) = start(vec![away.clone(), away, Ok(Reply::Accepted)]).await;
    run(&fleet, 1, &[reboot(1)]).await;
    world
        .until(&fleet, &pool(1), |seen| has_come_to(seen, &RequestProgress::Done))
        .await;
    let asked = service.asked.lock().unwrap().clone();
    assert_eq!(asked.len(), 3, "{asked:?}");
    let (url, order) = &asked[0];
    assert_eq!((url.as_str(), order.action), ("https://machines.example/reboot", "reboot"));
    assert_eq!((order.node.as_str(), order.host.as_str()), ("os-node-created-00001", "a-0"));
    assert!(
        asked.iter().all(|(_, other)| other.id == order.id),
        "each repetition has the same id"
    );
    run(&fleet, 1, &[reboot(1)]).await;
    world.pass(300).await;
    assert_eq!(service.asked.lock().unwrap().len(), 3);
    run(&fleet, 1, &[reboot(2)]).await;
    world.pass(300).await;
    let asked = service.asked.lock().unwrap().clone();
    assert!(asked.len() == 4 && asked[3].1.id != order.id, "{asked:?}");
}

#[tokio::test(start_paused = true)]
async fn another_process_does_not_ask_again_what_was_heard() {
    let (world, fleet, service) = start(vec![Ok(Reply::Accepted)]).await;
    run(&fleet, 1, &[reboot(1)]).await;
    world.pass(2).await;
    assert_eq!(service.asked.lock().unwrap().len(), 1);
    drop(fleet);
    let fleet = open(&world, &service).await;
    run(&fleet, 2, &[]).await;
    world
        .until(&fleet, &pool(1), |seen| has_come_to(seen, &RequestProgress::Done))
        .await;
    assert_eq!(service.asked.lock().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_a_service_refuses_has_failed() {
    let (world, fleet, service) = start(vec![Ok(Reply::Refused("no such machine".to_owned()))]).await;
    run(&fleet, 1, &[reboot(1)]).await;
    let failed = RequestProgress::Failed {
        reason: "no such machine".to_owned(),
    };
    let seen = world.until(&fleet, &pool(1), |seen| has_come_to(seen, &failed)).await;
    assert_eq!(seen.nodes[&node(1)].state, MachineState::Ready, "it is held no more");
    assert_eq!(service.asked.lock().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_machine_is_dirty_until_the_service_says_that_it_is_clean() {
    let (world, fleet, service) = start(vec![Ok(Reply::Accepted), Ok(Reply::Accepted), Ok(Reply::Done)]).await;
    run(&fleet, 1, &[delete(1, 1)]).await;
    world.pass(10).await;
    assert_eq!(world.node("a-0")["metadata"]["labels"][mark::DIRTY], "true");
    world.until(&fleet, &pool(1), |seen| seen.nodes.is_empty()).await;
    assert_eq!(world.node("a-0")["metadata"]["labels"].get(mark::DIRTY), None);
    let asked = service.asked.lock().unwrap().clone();
    assert_eq!(asked.len(), 3, "{asked:?}");
    assert!(asked.iter().all(|(_, order)| order.action == "clean" && order.id == asked[0].1.id));
}
