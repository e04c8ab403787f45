use super::*;
use crate::workload::Quota;
use domain::pool::JobType;
use domain::pool::tree::Amount;
use domain::workload::{WorkloadKind, WorkloadStatus};
use std::collections::BTreeSet;

pub(super) fn pool(uid: &str) -> PoolMark {
    let name = if uid == "0190" {
        "pool-1".to_owned()
    } else {
        format!("pool-{uid}")
    };
    PoolMark {
        uid: Uid::from_text(uid),
        pool: PoolRef {
            name: PoolName::parse(&name).unwrap(),
            ..mark().pool
        },
    }
}

fn quota(uid: &str, parent: Option<&str>, count: u64, max_count: u64) -> Quota {
    Quota {
        pool: pool(uid),
        parent: parent.map(Uid::from_text),
        amounts: BTreeMap::from([(FlavorName::parse("gpu").unwrap(), Amount { count, max_count })]),
        open: JobType::ALL.into(),
        is_shut: false,
    }
}

/// Three nodes, of which `low` is guaranteed one and may use three, and `high` is guaranteed two.
pub(super) fn quotas() -> Vec<Quota> {
    vec![
        quota("0190", None, 3, 3),
        quota("high", Some("0190"), 2, 2),
        quota("low", Some("0190"), 1, 3),
    ]
}

pub(super) fn job(uid: &str, nodes: u32, seconds: Option<i64>) -> Submission {
    Submission {
        uid: Uid::from_text(uid),
        name: format!("job-{uid}"),
        job_name: uid.to_owned(),
        kind: WorkloadKind::Train,
        owner: "ada".to_owned(),
        flavor: FlavorName::parse("gpu").unwrap(),
        nodes,
        resources: domain::quantities::Quantities::default(),
        priority: 1,
        lasting: seconds.map(SignedDuration::from_secs),
        retries: 1,
    }
}

impl Fixture {
    /// A pool with three nodes that are up, and its quotas.
    pub(super) async fn floor(speed: f64) -> Self {
        let fixture = Self::new(speed, 0.0).await;
        fixture.node().await;
        fixture.command(create("node-2")).await.unwrap();
        fixture.command(create("node-3")).await.unwrap();
        fixture.set_quotas(quotas()).await;
        fixture.pause(3_600).await;
        fixture
    }

    pub(super) async fn set_quotas(&self, quotas: Vec<Quota>) {
        self.command(Command::SetQuotas { pool: mark(), quotas }).await.unwrap();
    }

    pub(super) async fn submit(&self, to: &str, job: Submission) {
        self.fleet.submit(&mark().uid, &Uid::from_text(to), job).await.unwrap().unwrap();
    }

    pub(super) async fn work(&self, uid: &str) -> WorkloadFact {
        let all = self.fleet.workloads(&mark().uid).await.unwrap();
        all.facts().find(|fact| fact.uid.as_str() == uid).expect("the workload").clone()
    }

    pub(super) async fn status(&self, uid: &str) -> WorkloadStatus {
        self.work(uid).await.status
    }

    pub(super) async fn busy(&self) -> Vec<String> {
        let seen = self.seen().await;
        let busy = seen.nodes.iter().filter(|(_, fact)| fact.is_busy);
        busy.map(|(node, _)| node.to_string()).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn a_workload_makes_its_nodes_busy_until_it_is_done() {
    let fixture = Fixture::floor(1.0).await;
    fixture.submit("0190", job("one", 2, Some(100))).await;
    assert_eq!(fixture.status("one").await, WorkloadStatus::Creating);
    assert_eq!(fixture.busy().await, ["node-1", "node-2"]);
    assert_eq!(fixture.seen().await.workloads, BTreeMap::from([(JobType::Train, 1)]));
    fixture.pause(40).await;
    let running = fixture.work("one").await;
    assert_eq!((running.status, running.hosts.len()), (WorkloadStatus::Running, 2));
    fixture.pause(100).await;
    let done = fixture.work("one").await;
    assert_eq!((done.status, done.hosts.len()), (WorkloadStatus::Completed, 0));
    assert!(done.ended_at.unwrap().duration_since(done.started_at.unwrap()) >= SignedDuration::from_secs(105));
    assert_eq!(fixture.busy().await, [""; 0]);
    assert_eq!(fixture.seen().await.workloads, BTreeMap::new());
}

#[tokio::test(start_paused = true)]
async fn the_fleet_tells_when_a_workload_comes_and_goes() {
    let fixture = Fixture::floor(1.0).await;
    while fixture.fleet.changed().now_or_never().is_some() {}
    fixture.submit("0190", job("one", 1, Some(100))).await;
    assert_eq!(fixture.fleet.changed().await, [mark().uid]);
    assert_eq!(fixture.fleet.changed().await, [mark().uid]);
    assert_eq!(fixture.status("one").await, WorkloadStatus::Completed);
}

#[tokio::test(start_paused = true)]
async fn priority_goes_before_first_come() {
    let fixture = Fixture::floor(1.0).await;
    fixture.submit("0190", job("first", 3, Some(100))).await;
    fixture.submit("0190", job("second", 3, Some(100))).await;
    fixture
        .submit(
            "0190",
            Submission {
                priority: 3,
                ..job("third", 3, Some(100))
            },
        )
        .await;
    assert_eq!(fixture.work("second").await.position, Some(2));
    assert_eq!(fixture.work("third").await.position, Some(1));
    fixture.pause(150).await;
    assert_eq!(fixture.status("third").await, WorkloadStatus::Running);
    assert_eq!(fixture.work("second").await.position, Some(1));
}

#[tokio::test(start_paused = true)]
async fn who_borrowed_gives_back_after_its_time_and_waits_again() {
    let fixture = Fixture::floor(1.0).await;
    fixture.submit("low", job("small", 1, None)).await;
    fixture.submit("low", job("large", 2, None)).await;
    fixture.pause(60).await;
    assert_eq!(fixture.status("large").await, WorkloadStatus::Running);
    fixture.submit("high", job("owner", 2, None)).await;
    assert_eq!(fixture.status("owner").await, WorkloadStatus::Pending);
    assert_eq!(
        fixture.work("owner").await.reason.as_deref(),
        Some("its nodes are being given back")
    );
    assert_eq!(fixture.status("large").await, WorkloadStatus::Terminating);
    fixture.pause(59).await;
    assert_eq!(fixture.status("large").await, WorkloadStatus::Terminating);
    fixture.pause(1).await;
    assert_eq!(fixture.status("owner").await, WorkloadStatus::Creating);
    assert_eq!(fixture.status("small").await, WorkloadStatus::Running);
    let large = fixture.work("large").await;
    assert_eq!(
        (large.status, large.reason.as_deref()),
        (WorkloadStatus::Queue, Some("not enough nodes are free"))
    );
    fixture.fleet.cancel(&Uid::from_text("owner")).await.unwrap().unwrap();
    assert_eq!(fixture.status("owner").await, WorkloadStatus::Terminated);
    assert_eq!(fixture.status("large").await, WorkloadStatus::Creating);
    assert_eq!(fixture.fleet.cancel(&Uid::from_text("owner")).await.unwrap(), Some(false));
    assert_eq!(fixture.fleet.cancel(&Uid::from_text("nobody")).await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn at_once_means_that_borrowers_give_back_at_once() {
    let fixture = Fixture::floor(0.0).await;
    fixture.submit("low", job("large", 3, None)).await;
    fixture.submit("high", job("owner", 2, None)).await;
    assert_eq!(fixture.status("owner").await, WorkloadStatus::Running);
    assert_eq!(fixture.status("large").await, WorkloadStatus::Queue);
}

#[tokio::test(start_paused = true)]
async fn a_held_node_goes_on_with_what_runs_and_takes_nothing_new() {
    let fixture = Fixture::floor(1.0).await;
    fixture.submit("0190", job("one", 1, Some(100))).await;
    for node in ["node-1", "node-2", "node-3"] {
        let node = NodeName::parse(node).unwrap();
        fixture.command(Command::HoldNode { pool: mark(), node }).await.unwrap();
    }
    fixture.submit("0190", job("two", 1, Some(100))).await;
    assert_eq!(fixture.busy().await, ["node-1"]);
    fixture.pause(200).await;
    assert_eq!(fixture.busy().await, [""; 0]);
    assert_eq!(fixture.status("two").await, WorkloadStatus::Queue);
    let node = NodeName::parse("node-2").unwrap();
    fixture.command(Command::OpenNode { pool: mark(), node }).await.unwrap();
    assert_eq!(fixture.busy().await, ["node-2"]);
}

#[tokio::test(start_paused = true)]
async fn a_failing_machine_sends_its_workload_back_and_in_the_end_away() {
    let fixture = Fixture::floor(1.0).await;
    fixture.submit("0190", job("one", 3, None)).await;
    fixture.pause(60).await;
    fixture
        .break_machine(MachineFault::Faulty {
            reason: "smoke".to_owned(),
        })
        .await;
    assert_eq!(fixture.status("one").await, WorkloadStatus::Queue);
    fixture.fleet.mend_machine("a-1").await.unwrap().unwrap();
    assert_eq!(fixture.status("one").await, WorkloadStatus::Creating);
    fixture.break_machine(MachineFault::Silent { lasting: None }).await;
    let failed = fixture.work("one").await;
    assert_eq!(
        (failed.status, failed.reason.as_deref()),
        (WorkloadStatus::Failed, Some("a machine failed under it"))
    );
}

#[tokio::test(start_paused = true)]
async fn a_driver_installation_interrupts_what_runs() {
    let fixture = Fixture::floor(1.0).await;
    fixture.submit("0190", job("one", 3, None)).await;
    let set = Command::SetDriver {
        pool: mark(),
        node: NodeName::parse("node-1").unwrap(),
        version: "2".to_owned(),
        is_own: false,
    };
    fixture.pause(60).await;
    fixture.command(set).await.unwrap();
    assert_eq!(fixture.status("one").await, WorkloadStatus::Queue);
    fixture.pause(600).await;
    assert_eq!(fixture.status("one").await, WorkloadStatus::Running);
}

#[tokio::test(start_paused = true)]
async fn workloads_go_with_their_pool() {
    let fixture = Fixture::floor(1.0).await;
    fixture.submit("low", job("one", 1, None)).await;
    fixture.submit("0190", job("two", 1, None)).await;
    fixture.set_quotas(quotas()[..2].to_vec()).await;
    let left = fixture.fleet.workloads(&mark().uid).await.unwrap();
    assert_eq!(left.facts().map(|fact| fact.uid.as_str()).collect::<Vec<_>>(), ["two"]);
    let refused = fixture
        .fleet
        .submit(&mark().uid, &Uid::from_text("low"), job("three", 1, None))
        .await
        .unwrap();
    assert_eq!(refused, Err(Refusal::Closed));
    fixture.command(Command::RemovePool { pool: mark() }).await.unwrap();
    assert!(fixture.fleet.workloads(&mark().uid).await.unwrap().is_empty());
    assert!(fixture.reopened().await.workloads(&mark().uid).await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_job_type_that_is_closed_takes_no_workloads_and_keeps_those_it_has() {
    let fixture = Fixture::floor(1.0).await;
    let submit = async |job: Submission| fixture.fleet.submit(&mark().uid, &mark().uid, job).await.unwrap();
    let served = |uid: &str| Submission {
        kind: WorkloadKind::XInfer,
        ..job(uid, 1, None)
    };
    assert_eq!(submit(served("one")).await, Ok(()));
    let mut closed = quotas();
    for quota in &mut closed {
        quota.open.remove(&JobType::Infer);
    }
    fixture.set_quotas(closed.clone()).await;
    assert_eq!(submit(served("two")).await, Err(Refusal::Closed));
    assert_eq!(submit(job("three", 1, None)).await, Ok(()));
    assert_eq!(fixture.status("one").await, WorkloadStatus::Creating);
    let reopened = fixture.reopened().await.observe(&mark().uid).await.unwrap();
    assert_eq!((reopened.quotas, reopened.workloads[&JobType::Infer]), (closed, 1));
}

#[test]
fn quotas_that_were_written_down_before_they_spoke_of_job_types_let_all_in() {
    let mut old = serde_json::to_value(quota("0190", None, 3, 3)).unwrap();
    old.as_object_mut().unwrap().remove("open").unwrap();
    assert_eq!(serde_json::from_value::<Quota>(old).unwrap(), quota("0190", None, 3, 3));
}

#[tokio::test(start_paused = true)]
async fn what_can_never_fit_is_refused() {
    let fixture = Fixture::floor(1.0).await;
    let refused = fixture
        .fleet
        .submit(&mark().uid, &Uid::from_text("high"), job("one", 3, None))
        .await;
    assert_eq!(refused.unwrap(), Err(Refusal::TooLarge { at_most: 2 }));
}

#[tokio::test(start_paused = true)]
async fn the_list_is_made_again_when_something_in_it_has_changed() {
    let fixture = Fixture::floor(1.0).await;
    let list = async || fixture.fleet.workloads(&mark().uid).await.unwrap();
    fixture.submit("0190", job("one", 3, Some(100))).await;
    fixture.submit("0190", job("two", 1, None)).await;
    let before = list().await;
    fixture.pause(1).await;
    assert!(Arc::ptr_eq(&before, &list().await));
    // It is up by itself, and nothing else happens.
    fixture.pause(40).await;
    let running = list().await;
    assert!(!Arc::ptr_eq(&before, &running));
    assert_eq!(fixture.status("one").await, WorkloadStatus::Running);
    fixture.pause(20).await;
    assert!(Arc::ptr_eq(&running, &list().await));
    fixture.submit("0190", job("three", 1, None)).await;
    assert_eq!(list().await.len(), 3);
    assert_eq!(fixture.fleet.workload(&Uid::from_text("three")), Some(fixture.work("three").await));
    assert_eq!(fixture.work("three").await.position, Some(2));
    fixture.pause(100).await;
    assert_eq!(fixture.status("one").await, WorkloadStatus::Completed);
}

/// Everything at random, and a second fleet from the journal at any time: it knows the same of every workload, however long
/// nobody looked.
#[tokio::test(start_paused = true)]
async fn a_restarted_fleet_has_got_on_as_if_it_had_run() {
    let mut seen = BTreeSet::new();
    for seed in 0..60_u64 {
        let fixture = Fixture::floor(1.0).await;
        let draws = timing::Timing::new(seed, 1.0);
        for step in 0..40_u64 {
            let draw = |purpose: u64, below: u64| (draws.draw(purpose, "test", step) * below as f64) as u64;
            let node = NodeName::parse(&format!("node-{}", 1 + draw(1, 3))).unwrap();
            let machine = format!("a-{}", 1 + draw(2, 3));
            match draw(0, 9) {
                0..=3 => {
                    let to = ["0190", "high", "low"][draw(3, 3) as usize];
                    let work = Submission {
                        priority: draw(4, 3) as u32,
                        ..job(
                            &format!("w{step}"),
                            1 + draw(5, 2) as u32,
                            (draw(6, 4) > 0).then(|| 60 * (1 + draw(7, 20)) as i64),
                        )
                    };
                    fixture.submit(to, work).await;
                }
                4 => drop(fixture.command(Command::HoldNode { pool: mark(), node }).await),
                5 => drop(fixture.command(Command::OpenNode { pool: mark(), node }).await),
                6 => drop(
                    fixture
                        .fleet
                        .break_machine(&machine, MachineFault::Faulty { reason: "x".to_owned() })
                        .await,
                ),
                7 => drop(fixture.fleet.mend_machine(&machine).await),
                _ => drop(fixture.fleet.cancel(&Uid::from_text(&format!("w{}", draw(8, step + 1)))).await),
            }
            fixture.pause(draw(9, 300)).await;
            if draw(10, 2) == 0 {
                let again = fixture.reopened().await;
                assert_eq!(again.all_workloads(), fixture.fleet.all_workloads(), "seed {seed}, step {step}");
                assert_eq!(again.observe(&mark().uid).await, fixture.fleet.observe(&mark().uid).await);
            }
            let listed = fixture.fleet.workloads(&mark().uid).await.unwrap();
            let listed: BTreeMap<Uid, WorkloadFact> = listed.facts().map(|fact| (fact.uid.clone(), fact.clone())).collect();
            for (_, fact) in fixture.fleet.all_workloads() {
                seen.insert(fact.status);
                assert_eq!(listed.get(&fact.uid), Some(&fact), "seed {seed}, step {step}");
                assert_eq!(fixture.fleet.workload(&fact.uid).as_ref(), Some(&fact));
            }
            let busy = fixture.busy().await.len();
            let hosts: Vec<_> = fixture.fleet.all_workloads().into_iter().flat_map(|(_, fact)| fact.hosts).collect();
            assert_eq!(hosts.len(), busy, "each node has one workload, and each workload nodes of its own");
        }
    }
    assert_eq!(seen.len(), WorkloadStatus::ALL.len() - 1, "{seen:?}");
}
