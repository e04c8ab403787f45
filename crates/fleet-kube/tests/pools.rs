//! Pools in a cluster: name spaces, queues, plug-ins, workloads; over the API server inside the process.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

use clock::{Clock, RuntimeClock};
use domain::meta::{Fence, Uid};
use domain::name::{FlavorName, PoolName, ProjectId, TemplateName};
use domain::pool::tree::Amount;
use domain::pool::{JobType, PoolRef};
use domain::workload::WorkloadStatus;
use fleet::observation::{ClusterFact, PluginState};
use fleet::{Command, Fleet, FleetError, Observation, PluginRequest, PoolMark, Quota};
use futures::future::BoxFuture;
use http::{Method, Request};
use jiff::Timestamp;
use kube::client::Body;
use kube_fake::{FakeCluster, FakeServer, ResourceType};
use poolkeeper_fleet_kube::config::{FlavorRule, Scheduler};
use poolkeeper_fleet_kube::{KubeConfig, KubeFleet};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tower::{BoxError, Service};

const QUEUES: &str = "queues.scheduling.volcano.sh";
const CLUSTER_QUEUES: &str = "clusterqueues.kueue.x-k8s.io";
const RELEASES: &str = "helmreleases.helm.toolkit.fluxcd.io";

/// A server that dies after so many writes: what is sent then gets no answer and is not done.
#[derive(Clone)]
struct Dying {
    inner: FakeServer,
    left: Arc<AtomicI64>,
}

impl Service<Request<Body>> for Dying {
    type Response = <FakeServer as Service<Request<Body>>>::Response;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Service::<Request<Body>>::poll_ready(&mut self.inner, context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if request.method() != Method::GET && self.left.fetch_sub(1, Ordering::SeqCst) <= 0 {
            return Box::pin(async { Err(BoxError::from("the connection is broken")) });
        }
        self.inner.call(request)
    }
}

struct World {
    cluster: FakeCluster,
    clock: Arc<dyn Clock>,
    config: KubeConfig,
}

impl World {
    fn new(scheduler: Scheduler) -> Self {
        let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let clock: Arc<dyn Clock> = Arc::new(RuntimeClock::starting_at(start));
        let cluster = FakeCluster::new(Arc::clone(&clock), 1);
        let types = [
            ("scheduling.volcano.sh", "v1beta1", "Queue", "queues", false),
            ("bus.volcano.sh", "v1alpha1", "Command", "commands", true),
            ("kueue.x-k8s.io", "v1beta2", "ResourceFlavor", "resourceflavors", false),
            ("kueue.x-k8s.io", "v1beta2", "Cohort", "cohorts", false),
            ("kueue.x-k8s.io", "v1beta2", "ClusterQueue", "clusterqueues", false),
            ("kueue.x-k8s.io", "v1beta2", "LocalQueue", "localqueues", true),
        ];
        for (group, version, kind, plural, is_namespaced) in types {
            cluster.register(ResourceType::custom(group, version, kind, plural, is_namespaced));
        }
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

    async fn fleet(&self) -> KubeFleet {
        let client = self.cluster.client();
        KubeFleet::start(client, self.config.clone(), Arc::clone(&self.clock))
            .await
            .unwrap()
    }

    /// A fleet whose process ends after so many writes.
    async fn dying(&self, writes: i64) -> KubeFleet {
        let server = Dying {
            inner: self.cluster.server_as("system:serviceaccount:poolkeeper-system:poolkeeper"),
            left: Arc::new(AtomicI64::new(writes)),
        };
        let client = kube::Client::new(server, "default");
        KubeFleet::start(client, self.config.clone(), Arc::clone(&self.clock))
            .await
            .unwrap()
    }

    /// Lets watches come up to date, and the cluster empty the name spaces that go.
    async fn pass(&self) {
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

    fn spaces(&self) -> Vec<String> {
        let spaces = self.cluster.objects("namespaces").into_keys().map(|key| key.name);
        spaces.filter(|name| name.starts_with("pk-")).collect()
    }

    fn state(&self, ty: &str, namespace: &str, name: &str) -> Value {
        Value::clone(
            &self
                .cluster
                .object(ty, namespace, name)
                .unwrap_or_else(|| panic!("{ty} {name} is not there")),
        )
    }

    /// Tells the quotas until they hold.
    async fn reach(&self, fleet: &KubeFleet, quotas: &[Quota], epoch: u64) {
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

fn mark(number: usize) -> PoolMark {
    let project = ProjectId::parse("6f5da086876d4cd084d36f8bd3346036").unwrap();
    let name = PoolName::parse(&format!("pool-{number}-{project}")).unwrap();
    PoolMark {
        uid: Uid::from_text(&format!("0193a1b2c3d47e{number:018x}")),
        pool: PoolRef { project, name },
    }
}

fn quota(number: usize, parent: Option<usize>, amounts: &[(&str, u64, u64)]) -> Quota {
    let amounts = amounts.iter().map(|(name, count, max_count)| {
        let (count, max_count) = (*count, *max_count);
        (FlavorName::parse(name).unwrap(), Amount { count, max_count })
    });
    Quota {
        pool: mark(number),
        parent: parent.map(|number| mark(number).uid),
        amounts: amounts.collect(),
        is_shut: false,
    }
}

fn small() -> Vec<Quota> {
    vec![
        quota(0, None, &[("a100", 4, 4)]),
        quota(1, Some(0), &[("a100", 3, 4)]),
        quota(2, Some(0), &[("a100", 1, 2)]),
        quota(3, Some(1), &[("a100", 2, 2)]),
    ]
}

/// The same pools, larger and otherwise divided.
fn large() -> Vec<Quota> {
    vec![
        quota(0, None, &[("a100", 6, 8), ("h100", 1, 1)]),
        quota(1, Some(0), &[("a100", 1, 4)]),
        quota(2, Some(0), &[("a100", 5, 8), ("h100", 1, 1)]),
        quota(3, Some(1), &[("a100", 1, 1)]),
    ]
}

fn set(quotas: &[Quota]) -> Command {
    Command::SetQuotas {
        pool: mark(0),
        quotas: quotas.to_vec(),
    }
}

fn ensure() -> Command {
    Command::EnsurePool { pool: mark(0) }
}

fn remove() -> Command {
    Command::RemovePool { pool: mark(0) }
}

async fn run(fleet: &KubeFleet, epoch: u64, commands: &[Command]) -> Vec<Result<(), FleetError>> {
    let fence = Fence {
        lease: "fleet".to_owned(),
        epoch,
    };
    fleet.execute(commands, &fence).await
}

async fn observe(fleet: &KubeFleet) -> Observation {
    fleet.observe(&mark(0).uid).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_pool_comes_and_goes_and_leaves_nothing() {
    for scheduler in [Scheduler::Volcano, Scheduler::Kueue, Scheduler::None] {
        let world = World::new(scheduler);
        let fleet = world.fleet().await;
        assert_eq!(observe(&fleet).await, Observation::default());
        assert_eq!(run(&fleet, 1, &[ensure(), ensure()]).await, [Ok(()), Ok(())]);
        let seen = observe(&fleet).await;
        assert_eq!((&seen.cluster, seen.quotas.len()), (&ClusterFact::Ready, 0));
        assert_eq!(seen.dependencies, JobType::ALL.map(|job_type| (job_type, Ok(()))).into());
        assert_eq!(run(&fleet, 1, &[set(&small())]).await, [Ok(())]);
        assert_eq!(observe(&fleet).await.quotas, small(), "{scheduler:?}");
        assert_eq!(world.spaces().len(), 6, "three of the physical pool, one of each logical one");
        world.reach(&fleet, &large(), 1).await;
        world.reach(&fleet, &small()[..2], 1).await;
        assert_eq!(world.spaces().len(), 4);
        world.reach(&fleet, &[], 1).await;
        assert_eq!(
            (world.cluster.objects(QUEUES).len(), world.cluster.objects(CLUSTER_QUEUES).len()),
            (0, 0)
        );
        world.reach(&fleet, &large(), 1).await;
        assert_eq!(run(&fleet, 1, &[remove()]).await, [Ok(())]);
        for _ in 0..5 {
            world.pass().await;
        }
        assert_eq!(observe(&fleet).await, Observation::default(), "{scheduler:?}");
        assert_eq!(world.spaces(), Vec::<String>::new());
        for ty in [
            QUEUES,
            CLUSTER_QUEUES,
            "cohorts.kueue.x-k8s.io",
            "resourceflavors.kueue.x-k8s.io",
            "localqueues.kueue.x-k8s.io",
        ] {
            assert_eq!(world.cluster.objects(ty).len(), 0, "{ty}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_as_it_should_be_is_not_written() {
    for scheduler in [Scheduler::Volcano, Scheduler::Kueue, Scheduler::None] {
        let world = World::new(scheduler);
        let fleet = world.fleet().await;
        assert_eq!(run(&fleet, 1, &[ensure(), set(&small())]).await, [Ok(()), Ok(())]);
        world.pass().await;
        let version = world.cluster.version();
        assert_eq!(run(&fleet, 1, &[ensure(), set(&small())]).await, [Ok(()), Ok(())]);
        world.clock.sleep_until(world.clock.now() + Duration::from_hours(1)).await;
        observe(&fleet).await;
        assert_eq!(world.cluster.writes_since(version), 0, "{scheduler:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_crash_after_any_write_is_mended_by_the_next_process() {
    for scheduler in [Scheduler::Volcano, Scheduler::Kueue] {
        // Each is the way from the one before it; the last one is removal.
        let stages = [small(), large(), small()[..2].to_vec(), Vec::new()];
        for stage in 0..=stages.len() {
            for writes in 1.. {
                let world = World::new(scheduler);
                let fleet = world.fleet().await;
                run(&fleet, 1, &[ensure()]).await;
                if stage > 0 {
                    world.reach(&fleet, &stages[stage - 1], 1).await;
                }
                drop(fleet);
                let dying = world.dying(writes).await;
                let command = stages.get(stage).map_or_else(remove, |quotas| set(quotas));
                let result = run(&dying, 2, std::slice::from_ref(&command)).await;
                drop(dying);
                let next = world.fleet().await;
                if let Some(quotas) = stages.get(stage) {
                    world.reach(&next, quotas, 3).await;
                } else {
                    run(&next, 3, &[remove()]).await;
                    for _ in 0..5 {
                        world.pass().await;
                    }
                    assert_eq!(observe(&next).await, Observation::default());
                }
                if result == [Ok(())] {
                    break;
                }
                assert!(writes < 100, "it never gets done");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_somebody_else_has_is_left_alone() {
    let world = World::new(Scheduler::Volcano);
    let fleet = world.fleet().await;
    run(&fleet, 1, &[ensure()]).await;
    let api: kube::Api<kube::api::DynamicObject> = kube::Api::all_with(
        world.cluster.client(),
        &kube::api::ApiResource::from_gvk_with_plural(
            &kube::api::GroupVersionKind::gvk("scheduling.volcano.sh", "v1beta1", "Queue"),
            "queues",
        ),
    );
    let name = mark(0).pool.name.to_string();
    let foreign =
        json!({"apiVersion": "scheduling.volcano.sh/v1beta1", "kind": "Queue", "metadata": {"name": name}, "spec": {"weight": 3}});
    api.create(&kube::api::PostParams::default(), &serde_json::from_value(foreign).unwrap())
        .await
        .unwrap();
    let results = run(&fleet, 1, &[set(&small())]).await;
    assert!(
        matches!(&results[0], Err(FleetError::Refused { reason }) if reason.contains(&name)),
        "{results:?}"
    );
    assert_eq!(world.state(QUEUES, "", &name)["spec"]["weight"], 3);
    assert_ne!(observe(&fleet).await.quotas, small());
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_somebody_changes_is_put_right() {
    let world = World::new(Scheduler::Volcano);
    let fleet = world.fleet().await;
    run(&fleet, 1, &[ensure(), set(&small())]).await;
    let name = mark(1).pool.name.to_string();
    world
        .cluster
        .edit(QUEUES, "", &name, |queue| queue["spec"]["capability"]["cpu"] = json!("1"));
    world.pass().await;
    assert_eq!(observe(&fleet).await.quotas.len(), 3, "the one that does not hold is not told");
    world.reach(&fleet, &small(), 1).await;
    assert_eq!(world.state(QUEUES, "", &name)["spec"]["capability"]["cpu"], "704");
}

fn space(number: usize, kind: &str, world: &World) -> String {
    let uid = mark(number).uid;
    let is_meant = |object: &Value| object["metadata"]["labels"]["poolkeeper.io/pool"] == uid.as_str();
    let spaces = world.cluster.objects("namespaces");
    let mut names = spaces
        .iter()
        .filter(|(_, object)| is_meant(object))
        .map(|(key, _)| key.name.clone());
    names.find(|name| name.ends_with(kind)).unwrap()
}

async fn submit(world: &World, space: &str, name: &str) {
    let template =
        json!({"spec": {"containers": [{"name": "a", "image": "b", "resources": {"requests": {"cpu": "2"}}}], "restartPolicy": "Never"}});
    let job = json!({"metadata": {"name": name}, "spec": {"template": template, "selector": {"matchLabels": {"job": name}}}});
    let job: k8s_openapi::api::batch::v1::Job = serde_json::from_value(job).unwrap();
    let client = world.cluster.client_as("user");
    let made = kube::Api::namespaced(client.clone(), space)
        .create(&kube::api::PostParams::default(), &job)
        .await
        .unwrap();
    let owner = json!({"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": made.metadata.uid, "controller": true});
    let pod = json!({"metadata": {"name": format!("{name}-0"), "ownerReferences": [owner], "finalizers": ["example.org/stays"]}, "spec": template["spec"]});
    let pod: k8s_openapi::api::core::v1::Pod = serde_json::from_value(pod).unwrap();
    kube::Api::namespaced(client, space)
        .create(&kube::api::PostParams::default(), &pod)
        .await
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn workloads_are_told_and_are_ended_with_their_pool() {
    let world = World::new(Scheduler::None);
    let fleet = world.fleet().await;
    run(&fleet, 1, &[ensure(), set(&small())]).await;
    submit(&world, &space(0, "-infer", &world), "serve").await;
    submit(&world, &space(2, "-train", &world), "learn").await;
    world.pass().await;
    let list = fleet.workloads(&mark(0).uid).await.unwrap();
    let mut told: Vec<_> = list
        .facts()
        .map(|fact| (fact.name.clone(), fact.pool.clone(), fact.status, fact.kind.as_str()))
        .collect();
    told.sort_by(|one, other| one.0.cmp(&other.0));
    let expected = [("learn", mark(2), "train"), ("serve", mark(0), "infer")];
    assert_eq!(
        told,
        expected.map(|(name, pool, kind)| (name.to_owned(), pool, WorkloadStatus::Pending, kind))
    );
    assert_eq!(observe(&fleet).await.workloads, [(JobType::Train, 1), (JobType::Infer, 1)].into());
    assert!(
        Arc::ptr_eq(&list, &fleet.workloads(&mark(0).uid).await.unwrap()),
        "nothing has changed"
    );
    // The pool of one of them goes.
    let left = &small()[..2];
    run(&fleet, 1, &[set(left)]).await;
    let closed = space(2, "-train", &world);
    assert_eq!(
        world.state("namespaces", "", &closed)["metadata"]["labels"]["poolkeeper.io/closing"],
        "true"
    );
    assert_ne!(observe(&fleet).await.quotas, left, "a pod of it is left");
    let jobs: Vec<String> = world.cluster.objects("jobs.batch").into_keys().map(|key| key.name).collect();
    assert_eq!(jobs, ["serve"]);
    world.cluster.remove("pods", &closed, "learn-0");
    world.reach(&fleet, left, 1).await;
    // Then the other one's, which is gone on with once its pod has ended.
    assert_eq!(run(&fleet, 1, &[remove()]).await, [Ok(())]);
    world.pass().await;
    assert_eq!(observe(&fleet).await.cluster, ClusterFact::Starting);
    let space = space(0, "-infer", &world);
    assert_eq!(world.cluster.objects("jobs.batch").len(), 0);
    world.cluster.remove("pods", &space, "serve-0");
    for _ in 0..3 {
        world.pass().await;
    }
    assert_eq!(observe(&fleet).await, Observation::default());
}

fn plugin(version: &str, attempt: u32) -> Command {
    Command::EnsurePlugin {
        pool: mark(0),
        plugin: PluginRequest {
            template: TemplateName::parse("monitor").unwrap(),
            version: version.to_owned(),
            values: [("replicas".to_owned(), json!(2))].into(),
            attempt,
        },
    }
}

/// Serves a type as its installer would.
async fn define(world: &World, group: &str, version: &str, kind: &str, plural: &str) {
    let schema = json!({"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}});
    let version = json!({"name": version, "served": true, "storage": true, "schema": schema, "subresources": {"status": {}}});
    let names = json!({"kind": kind, "plural": plural, "singular": kind.to_lowercase(), "listKind": format!("{kind}List")});
    let crd = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": format!("{plural}.{group}")},
        "spec": {"group": group, "scope": "Namespaced", "names": names, "versions": [version]},
    });
    let resource = kube::api::ApiResource::from_gvk(&kube::api::GroupVersionKind::gvk(
        "apiextensions.k8s.io",
        "v1",
        "CustomResourceDefinition",
    ));
    let api: kube::Api<kube::api::DynamicObject> = kube::Api::all_with(world.cluster.client_as("admin"), &resource);
    api.create(&kube::api::PostParams::default(), &serde_json::from_value(crd).unwrap())
        .await
        .unwrap();
}

/// What a chart has, with the labels of its release.
async fn deploy(world: &World, release: &str) {
    let container = |name: &str, cpu: &str| json!({"name": name, "image": "b", "resources": {"requests": {"cpu": cpu}}});
    let labels = json!({"helm.toolkit.fluxcd.io/name": release, "helm.toolkit.fluxcd.io/namespace": "poolkeeper-system"});
    let template = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [container("a", "100m"), container("b", "200m")]}});
    let spec = json!({"replicas": 2, "selector": {"matchLabels": {"a": "b"}}, "template": template});
    let deployment: k8s_openapi::api::apps::v1::Deployment =
        serde_json::from_value(json!({"metadata": {"name": "monitor", "labels": labels}, "spec": spec})).unwrap();
    let api = kube::Api::namespaced(world.cluster.client_as("flux"), "default");
    api.create(&kube::api::PostParams::default(), &deployment).await.unwrap();
}

/// What Flux does once.
fn flux(world: &World, ready: &str) {
    for (key, _) in world.cluster.objects(RELEASES) {
        world.cluster.edit(RELEASES, &key.namespace, &key.name, |release| {
            let (token, version) = (
                release["metadata"]["annotations"]["reconcile.fluxcd.io/requestedAt"].clone(),
                release["spec"]["chart"]["spec"]["version"].clone(),
            );
            release["status"] = json!({
                "observedGeneration": release["metadata"]["generation"], "lastHandledReconcileAt": token,
                "conditions": [{"type": "Ready", "status": ready, "message": "so it is"}],
                "history": [{"chartVersion": version, "status": if ready == "True" { "deployed" } else { "failed" }}],
            });
        });
    }
}

#[tokio::test(start_paused = true)]
async fn a_plugin_is_a_release_of_flux() {
    let world = World::new(Scheduler::None);
    define(&world, "helm.toolkit.fluxcd.io", "v2", "HelmRelease", "helmreleases").await;
    let fleet = world.fleet().await;
    let state = async || {
        world.pass().await;
        let seen = observe(&fleet).await;
        seen.plugins
            .into_values()
            .next()
            .map(|fact| (fact.attempt, fact.running, fact.state))
    };
    assert_eq!(
        run(&fleet, 1, &[ensure(), plugin("1.0", 1), plugin("1.0", 1)]).await,
        [Ok(()), Ok(()), Ok(())]
    );
    assert_eq!(state().await, Some((1, None, PluginState::Installing)));
    flux(&world, "True");
    assert_eq!(state().await, Some((1, Some("1.0".to_owned()), PluginState::Running)));
    let release = world.cluster.objects(RELEASES).into_keys().next().unwrap().name;
    deploy(&world, &release).await;
    world.pass().await;
    let fact = observe(&fleet).await.plugins.into_values().next().unwrap();
    let parts: Vec<_> = fact
        .objects
        .iter()
        .map(|part| (part.kind.as_str(), part.name.as_str(), part.replicas, part.requests["cpu"].as_str()))
        .collect();
    assert_eq!(parts, [("Deployment", "monitor", 2, "300m")]);
    run(&fleet, 1, &[plugin("2.0", 2)]).await;
    assert_eq!(
        state().await.map(|(attempt, _, state)| (attempt, state)),
        Some((2, PluginState::Installing))
    );
    flux(&world, "False");
    assert_eq!(state().await, Some((2, None, PluginState::Failed("so it is".to_owned()))));
    // The same again is a new attempt only under a new number.
    let version = world.cluster.version();
    run(&fleet, 1, &[plugin("2.0", 2), plugin("1.0", 1)]).await;
    assert_eq!(world.cluster.writes_since(version), 0);
    run(&fleet, 1, &[plugin("2.0", 3)]).await;
    assert_eq!(state().await, Some((3, None, PluginState::Installing)));
    flux(&world, "True");
    assert_eq!(state().await, Some((3, Some("2.0".to_owned()), PluginState::Running)));
    let template = TemplateName::parse("monitor").unwrap();
    let remove = Command::RemovePlugin { pool: mark(0), template };
    assert_eq!(run(&fleet, 1, &[remove.clone(), remove]).await, [Ok(()), Ok(())]);
    assert_eq!(state().await, None);
}

#[tokio::test(start_paused = true)]
async fn without_flux_a_chart_is_refused() {
    let world = World::new(Scheduler::None);
    let fleet = world.fleet().await;
    let results = run(&fleet, 1, &[ensure(), plugin("1.0", 1)]).await;
    assert!(
        matches!(&results[1], Err(FleetError::Refused { reason }) if reason.contains(RELEASES)),
        "{results:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn what_job_types_need_is_told_by_what_is_missing() {
    let mut world = World::new(Scheduler::None);
    let rules: poolkeeper_fleet_kube::settings::PoolSettings = serde_json::from_value(json!({
        "requires": ["crd/jobs.example.org"],
        "scope": {"Notebook": ["storageclass/fast"]},
        "plugin": {"monitor": {"present": {"requires": ["storageclass/fast"]}}},
    }))
    .unwrap();
    world.config.pool = rules;
    let fleet = world.fleet().await;
    run(&fleet, 1, &[ensure(), plugin("1.0", 1)]).await;
    let told = |seen: &Observation, job_type| seen.dependencies[&job_type].clone();
    let seen = observe(&fleet).await;
    assert_eq!(told(&seen, JobType::Train), Err("crd/jobs.example.org is not there".to_owned()));
    assert_eq!(seen.plugins.len(), 1);
    define(&world, "example.org", "v1", "Job", "jobs").await;
    world.clock.sleep_until(world.clock.now() + Duration::from_secs(40)).await;
    let seen = observe(&fleet).await;
    assert_eq!((told(&seen, JobType::Train), told(&seen, JobType::Infer)), (Ok(()), Ok(())));
    assert_eq!(told(&seen, JobType::Notebook), Err("storageclass/fast is not there".to_owned()));
    assert!(matches!(seen.plugins.values().next().unwrap().state, PluginState::Failed(_)));
}

#[tokio::test(start_paused = true)]
async fn a_new_pool_is_an_event_of_the_cluster() {
    let world = World::new(Scheduler::None);
    let fleet = world.fleet().await;
    run(&fleet, 1, &[ensure(), ensure()]).await;
    world.pass().await;
    let events = world.cluster.objects("events");
    let reasons: Vec<&Value> = events.values().map(|event| &event["reason"]).collect();
    assert_eq!(reasons, ["PoolCreated"]);
}
