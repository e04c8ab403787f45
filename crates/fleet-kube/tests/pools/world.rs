//! A cluster with a batch scheduler's rules, and pools by number.

use clock::{Clock, RuntimeClock};
use domain::meta::{Fence, Uid};
use domain::name::{FlavorName, PoolName, ProjectId};
use domain::pool::tree::Amount;
use domain::pool::{JobType, PoolRef};
use fleet::{Command, Fleet, FleetError, Observation, PoolMark, Quota};
use jiff::Timestamp;
use kube_fake::FakeCluster;
use poolkeeper_fleet_kube::config::{FlavorRule, Scheduler};
use poolkeeper_fleet_kube::{KubeConfig, KubeFleet};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

pub struct World {
    pub cluster: FakeCluster,
    pub clock: Arc<dyn Clock>,
    pub config: KubeConfig,
}

impl World {
    pub fn new(scheduler: Scheduler) -> Self {
        let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let clock: Arc<dyn Clock> = Arc::new(RuntimeClock::starting_at(start));
        let cluster = FakeCluster::new(Arc::clone(&clock), 1);
        cluster.serve_schedulers();
        cluster.set_queue_rules(true);
        let rule = |name: &str| -> FlavorRule {
            let counts = json!({"nvidia.com/gpu": "8", "cpu": "176", "memory": "1760Gi"});
            serde_json::from_value(json!({"name": name, "match": {"node.kubernetes.io/instance-type": [name]}, "quota": counts})).unwrap()
        };
        let mut config = KubeConfig {
            scheduler,
            flavor: vec![rule("a100"), rule("h100")],
            ..KubeConfig::default()
        };
        config.pool.requires = Some(Vec::new());
        Self { cluster, clock, config }
    }

    pub async fn fleet(&self) -> KubeFleet {
        let client = self.cluster.client();
        KubeFleet::start(client, self.config.clone(), Arc::clone(&self.clock))
            .await
            .unwrap()
    }

    /// A fleet whose process ends after so many writes.
    pub async fn dying(&self, writes: u32) -> KubeFleet {
        let client = self.cluster.dying_client(writes);
        KubeFleet::start(client, self.config.clone(), Arc::clone(&self.clock))
            .await
            .unwrap()
    }

    /// Lets watches come up to date, and the cluster empty the name spaces that go.
    pub async fn pass(&self) {
        for (key, space) in self.cluster.objects("namespaces") {
            if space.pointer("/metadata/deletionTimestamp").is_none() {
                continue;
            }
            for ty in ["localqueues.kueue.x-k8s.io", "pods", "jobs.batch"] {
                for inside in self.cluster.objects(ty).into_keys().filter(|inside| inside.namespace == key.name) {
                    self.cluster.remove(ty, &inside.namespace, &inside.name);
                }
            }
            self.cluster.remove("namespaces", "", &key.name);
        }
        self.clock.sleep_until(self.clock.now() + Duration::from_secs(6)).await;
    }

    pub fn spaces(&self) -> Vec<String> {
        let spaces = self.cluster.objects("namespaces").into_keys().map(|key| key.name);
        spaces.filter(|name| name.starts_with("pk-")).collect()
    }

    pub fn state(&self, ty: &str, namespace: &str, name: &str) -> Value {
        Value::clone(
            &self
                .cluster
                .object(ty, namespace, name)
                .unwrap_or_else(|| panic!("{ty} {name} is not there")),
        )
    }

    /// Tells the quotas until they hold.
    pub async fn reach(&self, fleet: &KubeFleet, quotas: &[Quota], epoch: u64) {
        let mut last = Vec::new();
        for _ in 0..30 {
            if observe(fleet).await.quotas == quotas {
                return;
            }
            last = run(fleet, epoch, &[set(quotas)]).await;
            self.pass().await;
        }
        panic!("{last:?}: the quotas are not reached: {:#?}", observe(fleet).await.quotas);
    }
}

pub fn mark(number: usize) -> PoolMark {
    let project = ProjectId::parse("6f5da086876d4cd084d36f8bd3346036").unwrap();
    let name = PoolName::parse(&format!("pool-{number}-{project}")).unwrap();
    PoolMark {
        uid: Uid::from_text(&format!("0193a1b2c3d47e{number:018x}")),
        pool: PoolRef { project, name },
    }
}

pub fn quota(number: usize, parent: Option<usize>, amounts: &[(&str, u64, u64)]) -> Quota {
    let amounts = amounts.iter().map(|(name, count, max_count)| {
        let (count, max_count) = (*count, *max_count);
        (FlavorName::parse(name).unwrap(), Amount { count, max_count })
    });
    Quota {
        pool: mark(number),
        parent: parent.map(|number| mark(number).uid),
        amounts: amounts.collect(),
        open: JobType::ALL.into(),
        is_shut: false,
    }
}

pub fn small() -> Vec<Quota> {
    vec![
        quota(0, None, &[("a100", 4, 4)]),
        quota(1, Some(0), &[("a100", 3, 4)]),
        quota(2, Some(0), &[("a100", 1, 2)]),
        quota(3, Some(1), &[("a100", 2, 2)]),
    ]
}

/// The same pools, larger and otherwise divided.
pub fn large() -> Vec<Quota> {
    vec![
        quota(0, None, &[("a100", 6, 8), ("h100", 1, 1)]),
        quota(1, Some(0), &[("a100", 1, 4)]),
        quota(2, Some(0), &[("a100", 5, 8), ("h100", 1, 1)]),
        quota(3, Some(1), &[("a100", 1, 1)]),
    ]
}

pub fn set(quotas: &[Quota]) -> Command {
    Command::SetQuotas {
        pool: mark(0),
        quotas: quotas.to_vec(),
    }
}

pub fn ensure() -> Command {
    Command::EnsurePool { pool: mark(0) }
}

pub fn remove() -> Command {
    Command::RemovePool { pool: mark(0) }
}

pub async fn run(fleet: &KubeFleet, epoch: u64, commands: &[Command]) -> Vec<Result<(), FleetError>> {
    let fence = Fence {
        lease: "fleet".to_owned(),
        epoch,
    };
    fleet.execute(commands, &fence).await
}

pub async fn observe(fleet: &KubeFleet) -> Observation {
    fleet.observe(&mark(0).uid).await.unwrap()
}
