//! What the fleet sends to a cluster, held against the rights that are shipped.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use clock::{Clock, RuntimeClock};
use domain::meta::{Fence, Uid};
use domain::name::{FlavorName, NodeName, PoolName, ProjectId, ZoneName};
use domain::pool::tree::Amount;
use domain::pool::{JobType, PoolRef};
use fleet::{Command, Fleet, NodeRequest, PoolMark, Quota, ResetRequest};
use http::{Method, Request, header};
use jiff::Timestamp;
use kube::client::Body;
use kube_fake::{FakeCluster, FakeServer, NodeSpec, ResourceType, TwinOptions};
use poolkeeper_fleet_kube::config::{DriverMode, Provider, Provisioner, Scheduler};
use poolkeeper_fleet_kube::doctor::{Grant, Shipped, machine_grants};
use poolkeeper_fleet_kube::{KubeConfig, KubeFleet};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;
use tower::Service;

const NAMESPACE: &str = "poolkeeper-system";
const ACCOUNT: &str = "system:serviceaccount:poolkeeper-system:poolkeeper";

/// Notes what is asked for, as the authorization of a real server would see it.
#[derive(Clone)]
struct Recorder {
    inner: FakeServer,
    asked: Arc<Mutex<BTreeSet<Grant>>>,
}

impl Service<Request<Body>> for Recorder {
    type Response = <FakeServer as Service<Request<Body>>>::Response;
    type Error = <FakeServer as Service<Request<Body>>>::Error;
    type Future = <FakeServer as Service<Request<Body>>>::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        self.asked.lock().unwrap().extend(asked(&request));
        self.inner.call(request)
    }
}

/// What has to be granted for a request. Discovery is open to everybody.
fn asked(request: &Request<Body>) -> Vec<Grant> {
    let path: Vec<&str> = request.uri().path().split('/').filter(|part| !part.is_empty()).collect();
    let (group, rest) = match path.as_slice() {
        ["api", "v1", rest @ ..] => ("", rest),
        ["apis", group, _version, rest @ ..] => (*group, rest),
        _ => return Vec::new(),
    };
    let (namespace, rest) = match rest {
        ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (Some((*namespace).to_owned()), rest),
        rest => (None, rest),
    };
    let (resource, name) = match rest {
        [plural] => ((*plural).to_owned(), None),
        [plural, name] => ((*plural).to_owned(), Some((*name).to_owned())),
        [plural, name, subresource] => (format!("{plural}/{subresource}"), Some((*name).to_owned())),
        _ => return Vec::new(),
    };
    let query = request.uri().query().unwrap_or_default();
    let of_one = query
        .split('&')
        .find_map(|pair| pair.strip_prefix("fieldSelector=metadata.name%3D"));
    let kind = request.headers().get(header::CONTENT_TYPE);
    let is_apply = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/apply-patch"));
    let verbs: &[&str] = match (request.method(), &name) {
        (&Method::GET, Some(_)) => &["get"],
        (&Method::GET, None) if query.contains("watch=") => &["watch"],
        (&Method::GET, None) => &["list"],
        (&Method::POST, _) => &["create"],
        (&Method::PUT, _) => &["update"],
        // What is not there yet is created.
        (&Method::PATCH, _) if is_apply => &["patch", "create"],
        (&Method::PATCH, _) => &["patch"],
        (&Method::DELETE, Some(_)) => &["delete"],
        _ => &["deletecollection"],
    };
    let grant = |verb: &&str| Grant {
        group: group.to_owned(),
        resource: resource.clone(),
        verb: (*verb).to_owned(),
        namespace: namespace.clone(),
        // A name says nothing where an object is only being made.
        name: if *verb == "create" {
            None
        } else {
            name.clone().or_else(|| of_one.map(str::to_owned))
        },
    };
    verbs.iter().map(grant).collect()
}

fn cluster(clock: Arc<dyn Clock>, nodes: usize) -> FakeCluster {
    let cluster = FakeCluster::new(clock, 1);
    cluster.add_cluster_api();
    let spec = NodeSpec::new("", "a100-8x80", "").with_accelerators("nvidia.com/gpu", 8);
    cluster.add_machine_template("clusters", "a", &spec, &json!({}));
    cluster.serve_schedulers();
    cluster.register(ResourceType::custom(
        "nvidia.com",
        "v1alpha1",
        "NVIDIADriver",
        "nvidiadrivers",
        false,
    ));
    for number in 0..nodes {
        cluster.add_node(&NodeSpec::new(&format!("n-{number}"), "a100-8x80", "az-1").with_accelerators("nvidia.com/gpu", 8));
    }
    cluster
}

/// The life of a pool, from its beginning to its end.
fn commands() -> Vec<Command> {
    let pool = PoolMark {
        uid: Uid::from_text(&format!("0193{}", "a".repeat(28))),
        pool: PoolRef {
            name: PoolName::parse("pool-1-6f5da086876d4cd084d36f8bd3346036").unwrap(),
            project: ProjectId::parse("6f5da086876d4cd084d36f8bd3346036").unwrap(),
        },
    };
    let flavor = FlavorName::parse("a100-8x80.8xgpu").unwrap();
    let node = |number: u8| NodeName::parse(&format!("os-node-created-{number:05}")).unwrap();
    let create = |number| {
        Command::CreateNode(NodeRequest {
            pool: pool.clone(),
            node: node(number),
            flavor: flavor.clone(),
            az: ZoneName::parse("az-1").unwrap(),
            driver: Some("535.129.03".to_owned()),
            image: None,
            labels: BTreeMap::new(),
        })
    };
    let on = |make: fn(PoolMark, NodeName) -> Command, number| make(pool.clone(), node(number));
    vec![
        Command::EnsurePool { pool: pool.clone() },
        create(1),
        create(2),
        create(3),
        Command::SetQuotas {
            pool: pool.clone(),
            quotas: vec![Quota {
                pool: pool.clone(),
                parent: None,
                amounts: BTreeMap::from([(flavor.clone(), Amount::default())]),
                open: JobType::ALL.into(),
                is_shut: false,
            }],
        },
        on(|pool, node| Command::HoldNode { pool, node }, 1),
        on(|pool, node| Command::OpenNode { pool, node }, 1),
        on(|pool, node| Command::EvictNode { pool, node }, 1),
        on(|pool, node| Command::RebootNode { pool, node, number: 1 }, 2),
        Command::ResetNode(ResetRequest {
            pool: pool.clone(),
            node: node(3),
            number: 1,
            image: None,
            runtime: None,
            driver: None,
        }),
        Command::SetDriver {
            pool: pool.clone(),
            node: node(1),
            version: "550.90.07".to_owned(),
            is_own: false,
        },
        on(|pool, node| Command::DeleteNode { pool, node }, 1),
        Command::SetQuotas {
            pool: pool.clone(),
            quotas: Vec::new(),
        },
        Command::RemovePool { pool },
    ]
}

/// Pods that a reboot, an eviction and a release have to do with.
async fn add_pods(cluster: &FakeCluster) {
    let client = cluster.client();
    for number in 0..4 {
        let pod = json!({
            "metadata": {"name": format!("work-{number}"), "namespace": "default"},
            "spec": {"nodeName": format!("n-{number}"), "containers": [{"name": "c", "image": "i"}]}
        });
        let api: kube::Api<k8s_openapi::api::core::v1::Pod> = kube::Api::namespaced(client.clone(), "default");
        let pod = serde_json::from_value(pod).unwrap();
        api.create(&kube::api::PostParams::default(), &pod).await.unwrap();
    }
}

async fn make_namespace(cluster: &FakeCluster) {
    let namespace: k8s_openapi::api::core::v1::Namespace = serde_json::from_value(json!({"metadata": {"name": "clusters"}})).unwrap();
    let api = kube::Api::all(cluster.client_as("admin"));
    api.create(&kube::api::PostParams::default(), &namespace).await.unwrap();
}

/// Everything that is asked of a cluster in the life of a pool.
async fn asked_in_a_life(config: KubeConfig, nodes: usize) -> BTreeSet<Grant> {
    let clock: Arc<dyn Clock> = Arc::new(RuntimeClock::starting_at(Timestamp::UNIX_EPOCH));
    let cluster = cluster(Arc::clone(&clock), nodes);
    if nodes == 0 {
        cluster.set_twins(TwinOptions::all());
        make_namespace(&cluster).await;
        tokio::spawn(cluster.clone().run());
    }
    let asked = Arc::new(Mutex::new(BTreeSet::new()));
    let recorder = Recorder {
        inner: cluster.server_as(ACCOUNT),
        asked: Arc::clone(&asked),
    };
    let fleet = KubeFleet::start(kube::Client::new(recorder, "default"), config, Arc::clone(&clock))
        .await
        .unwrap();
    let fence = Fence {
        lease: "fleet".to_owned(),
        epoch: 1,
    };
    for (at, command) in commands().into_iter().enumerate() {
        // Whether it succeeds is for other tests.
        let _outcome = fleet.execute(&[command], &fence).await;
        if at == 3 && nodes > 0 {
            add_pods(&cluster).await;
        }
        // What goes on behind it.
        clock.sleep_until(clock.now().saturating_add(Duration::from_mins(2)).unwrap()).await;
    }
    drop(fleet);
    asked.lock().unwrap().clone()
}

fn by_pod() -> Provider {
    Provider::Pod {
        template: json!({"containers": [{"name": "c", "image": "i"}]}),
    }
}

/// Machines are made where the cluster has too few.
fn with_machines(config: &mut KubeConfig) {
    let template = json!({
        "bootstrap": {"api_version": "bootstrap.cluster.x-k8s.io/v1beta2", "kind": "FakeConfigTemplate", "name": "a"},
        "infrastructure": {"api_version": "infrastructure.cluster.x-k8s.io/v1beta1", "kind": "FakeMachineTemplate", "name": "a"},
        "zones": {"az-1": {"limit": 2}},
    });
    let rule = json!({
        "name": "a100-8x80.8xgpu",
        "match": {"node.kubernetes.io/instance-type": ["a100-8x80"]},
        "accelerator": {"resource": "nvidia.com/gpu", "count": 8},
        "provision": "a",
    });
    config.flavor = vec![serde_json::from_value(rule).unwrap()];
    config.provisioner = Provisioner::ClusterApi;
    config.cluster_api = serde_json::from_value(json!({"namespace": "clusters", "cluster": "site", "template": {"a": template}})).unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_is_asked_where_machines_are_made_is_granted() {
    let mut config = KubeConfig::default();
    with_machines(&mut config);
    let asked = asked_in_a_life(config.clone(), 0).await;
    let mut granted = Shipped::new(NAMESPACE, ACCOUNT).unwrap().grants().to_vec();
    granted.extend(Shipped::of_machines("clusters").unwrap());
    let refused = |asked: &[Grant]| -> Vec<String> {
        let is_granted = |asked: &&Grant| granted.iter().any(|grant| grant.covers(asked));
        asked.iter().filter(|asked| !is_granted(asked)).map(ToString::to_string).collect()
    };
    let asked: Vec<Grant> = asked.into_iter().collect();
    let template = "deploy/helm/poolkeeper/templates/provisioning.yaml does not grant it";
    assert_eq!(refused(&asked), Vec::<String>::new(), "{template}");
    assert_eq!(refused(&machine_grants(&config)), Vec::<String>::new(), "{template}");
    // The doctor asks about all that is used of the kinds that the configuration names.
    let about_machines = asked.iter().filter(|asked| asked.group.ends_with("cluster.x-k8s.io"));
    let told = machine_grants(&config);
    let forgotten: Vec<&Grant> = about_machines
        .filter(|asked| !told.iter().any(|grant| grant.covers(asked)))
        .collect();
    assert!(forgotten.is_empty(), "{forgotten:?}");
    for (resource, verb) in [
        ("machines", "create"),
        ("machines", "delete"),
        ("machines", "patch"),
        ("fakemachines", "create"),
    ] {
        let is_asked = asked.iter().any(|asked| asked.resource == resource && asked.verb == verb);
        assert!(is_asked, "{verb} {resource} was never asked for, so that little was tested");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_asked_of_a_cluster_is_granted() {
    let granted = Shipped::new(NAMESPACE, ACCOUNT).unwrap();
    let mut all = BTreeSet::new();
    for scheduler in [Scheduler::None, Scheduler::Volcano, Scheduler::Kueue] {
        let mut config = KubeConfig {
            scheduler,
            reboot: by_pod(),
            reset: by_pod(),
            ..KubeConfig::default()
        };
        config.driver.mode = DriverMode::Nvidia;
        config.release.clean = by_pod();
        all.extend(asked_in_a_life(config, 4).await);
    }
    let mut config = KubeConfig::default();
    config.driver.mode = DriverMode::Operator;
    all.extend(asked_in_a_life(config, 4).await);
    // Asked for on Nodes with NPUs only.
    all.insert(Grant {
        group: "batch".to_owned(),
        resource: "jobs".to_owned(),
        verb: "create".to_owned(),
        namespace: Some(NAMESPACE.to_owned()),
        name: None,
    });
    let is_granted = |asked: &&Grant| granted.grants().iter().any(|grant| grant.covers(asked));
    let refused: Vec<String> = all.iter().filter(|asked| !is_granted(asked)).map(ToString::to_string).collect();
    assert_eq!(
        refused,
        Vec::<String>::new(),
        "deploy/helm/poolkeeper/templates/rbac.yaml does not grant it"
    );
    for (resource, verb) in [("nodes", "patch"), ("pods/eviction", "create"), ("configmaps", "create")] {
        let is_asked = all.iter().any(|asked| asked.resource == resource && asked.verb == verb);
        assert!(is_asked, "{verb} {resource} was never asked for, so that little was tested");
    }
}
