//! Those who do something to the cluster past us: fate, other operators, and people; and those who run pods in pools.

use super::KubeWorld;
use super::act::{Deed, NodeAct, Use};
use super::site::STORAGE_CLASS;
use crate::act::Slot;
use crate::place;
use domain::meta::Uid;
use domain::name::PoolName;
use domain::node::Node;
use domain::node::request::{Bind, Migrate, Reset, Rolling};
use domain::pool::Pool;
use fleet_kube::mark;
use kube_fake::{NodeSpec, RUN_SECONDS, STOP_SECONDS};
use serde_json::{Value, json};
use service::ServiceError;

impl KubeWorld {
    fn machine(&self, at: u64) -> &NodeSpec {
        &self.machines[(at % self.machines.len() as u64) as usize]
    }

    /// Sends a request to the API server as somebody, and gives what came of it in a word.
    pub(super) async fn ask(&self, user: &str, method: &str, path: &str, body: &Value) -> String {
        let kind = if method == "PATCH" {
            "application/merge-patch+json"
        } else {
            "application/json"
        };
        let request = http::Request::builder().method(method).uri(path).header("content-type", kind);
        let Ok(request) = request.body(serde_json::to_vec(body).unwrap_or_default()) else {
            return "no request".to_owned();
        };
        match self.cluster.client_as(user).request::<Value>(request).await {
            Ok(_) => "ok".to_owned(),
            Err(error) => error.to_string().chars().take(120).collect(),
        }
    }

    async fn patch_node(&self, name: &str, patch: Value) -> String {
        self.ask("admin", "PATCH", &format!("/api/v1/nodes/{name}"), &patch).await
    }

    /// Gives how it went.
    pub(super) async fn do_deed(&self, deed: &Deed) -> String {
        let ok = || "ok".to_owned();
        match deed {
            Deed::Silence { machine } => self.cluster.silence_node(&self.machine(*machine).name),
            Deed::Wake { machine } => self.cluster.wake_node(&self.machine(*machine).name),
            Deed::Break { machine } => self.cluster.break_node(&self.machine(*machine).name, "simulated"),
            Deed::LoseAccelerators { machine } => self.cluster.set_allocatable(&self.machine(*machine).name, "nvidia.com/gpu", "0"),
            Deed::Report { machine } => self
                .cluster
                .condition(&self.machine(*machine).name, "SysLogsXIDError", "True", "simulated"),
            Deed::Mend { machine } => self.mend(self.machine(*machine)),
            Deed::Vanish { machine, pause } => {
                let spec = self.machine(*machine);
                self.cluster.delete_node(&spec.name);
                self.house.pause(*pause).await;
                self.put_back(spec);
            }
            Deed::Restart { machine } => self.cluster.reboot_node(&self.machine(*machine).name),
            Deed::Label { machine, key, value } => {
                let labels = json!({*key: value.map(|value| value.to_string())});
                return self
                    .patch_node(&self.machine(*machine).name, json!({"metadata": {"labels": labels}}))
                    .await;
            }
            Deed::Annotate { machine, value } => {
                let annotations = json!({"site.example/note": value.to_string()});
                return self
                    .patch_node(&self.machine(*machine).name, json!({"metadata": {"annotations": annotations}}))
                    .await;
            }
            Deed::Taint { machine, key, effect } => {
                self.taint(&self.machine(*machine).name, |taints| {
                    taints.push(json!({"key": key, "value": "site", "effect": effect}));
                });
            }
            Deed::Untaint { machine } => self.untaint(&self.machine(*machine).name),
            Deed::Cordon { machine, is_on } => {
                return self
                    .patch_node(&self.machine(*machine).name, json!({"spec": {"unschedulable": is_on}}))
                    .await;
            }
            Deed::BadDriver { version, is_bad } => self.cluster.set_driver_fails(version, *is_bad),
            Deed::Compact => self.cluster.compact_all(),
            Deed::StorageClass { is_there: true } => return self.make_storage_class().await,
            Deed::StorageClass { is_there: false } => self.cluster.remove("storageclasses.storage.k8s.io", "", STORAGE_CLASS),
        }
        ok()
    }

    pub(super) async fn make_storage_class(&self) -> String {
        let class = json!({"metadata": {"name": STORAGE_CLASS}, "provisioner": "site.example/disks"});
        self.ask("admin", "POST", "/apis/storage.k8s.io/v1/storageclasses", &class).await
    }

    /// As another operator of the cluster does it: reads the Node, and writes its whole list of taints.
    fn taint(&self, name: &str, change: impl FnOnce(&mut Vec<Value>)) {
        self.cluster.edit("nodes", "", name, |node| {
            let mut taints = node.pointer("/spec/taints").and_then(Value::as_array).cloned().unwrap_or_default();
            change(&mut taints);
            let mut seen = Vec::new();
            taints.retain(|taint| {
                let id = (taint["key"].clone(), taint["effect"].clone());
                let is_new = !seen.contains(&id);
                seen.push(id);
                is_new
            });
            node["spec"]["taints"] = Value::Array(taints);
        });
    }

    fn untaint(&self, name: &str) {
        self.taint(name, |taints| taints.retain(|taint| taint["value"] != "site"));
    }

    fn put_back(&self, spec: &NodeSpec) {
        if self.cluster.object("nodes", "", &spec.name).is_none() {
            self.cluster.add_node(spec);
        }
    }

    fn mend(&self, spec: &NodeSpec) {
        self.put_back(spec);
        self.cluster.wake_node(&spec.name);
        self.cluster.mend_node(&spec.name);
    }

    /// Nothing that a stranger did is in the way any more.
    pub(super) async fn mend_everything(&self) {
        for version in ["1", "2"] {
            self.cluster.set_driver_fails(version, false);
        }
        for spec in &self.machines {
            self.mend(spec);
            self.untaint(&spec.name);
            self.cluster.edit("nodes", "", &spec.name, |node| {
                if let Some(spec) = node["spec"].as_object_mut() {
                    spec.remove("unschedulable");
                }
            });
            // A driver that did not install is tried again.
            self.cluster.edit("nodes", "", &spec.name, |node| {
                node["metadata"]["annotations"]["site.example/mended"] = json!("true");
            });
        }
        self.drop_budgets();
        let _made = self.make_storage_class().await;
    }

    fn drop_budgets(&self) {
        for key in self.cluster.objects("poddisruptionbudgets.policy").into_keys() {
            self.cluster.remove(&key.ty, &key.namespace, &key.name);
        }
    }

    /// Pods that would run, or wait, for ever are deleted.
    pub(super) async fn end_pods(&self) {
        for (key, pod) in self.cluster.objects("pods") {
            if pod["metadata"]["labels"].get("job").is_some() {
                let path = format!("/api/v1/namespaces/{}/pods/{}", key.namespace, key.name);
                self.ask("tenant", "DELETE", &path, &json!({})).await;
            }
        }
    }

    fn pool_of(&self, name: &PoolName) -> Option<(Uid, Uid)> {
        let state = self.house.service(0).state();
        let index = state.index().read();
        let pool = index.get::<Pool>(&place::project(), name)?;
        let root = match pool.logical().map(|spec| spec.parent.clone()) {
            Some(Some(parent)) => index.get::<Pool>(&place::project(), &parent.name)?.uid.clone(),
            Some(None) => return None,
            None => pool.uid.clone(),
        };
        Some((pool.uid.clone(), root))
    }

    /// Gives how it went. `id` is unlike all others.
    pub(super) async fn do_use(&self, what: &Use, id: usize) -> String {
        match what {
            Use::Run {
                slot,
                is_child,
                pods,
                seconds,
                stop,
                has_budget,
            } => {
                let name = if *is_child {
                    place::child_name(*slot)
                } else {
                    place::pool_name(*slot)
                };
                let Some((uid, _)) = self.pool_of(&name) else {
                    return "no such pool".to_owned();
                };
                let namespace = mark::object_name(&uid, "-train");
                let mut answer = String::new();
                if *has_budget {
                    let budget = json!({
                        "metadata": {"name": format!("job-{id}")},
                        "spec": {"maxUnavailable": 0, "selector": {"matchLabels": {"job": id.to_string()}}},
                    });
                    let path = format!("/apis/policy/v1/namespaces/{namespace}/poddisruptionbudgets");
                    answer = self.ask("tenant", "POST", &path, &budget).await;
                }
                for at in 0..*pods {
                    let mut pod = pod(id, at, *stop);
                    if let Some(seconds) = seconds {
                        pod["metadata"]["annotations"][RUN_SECONDS] = json!(seconds.to_string());
                    }
                    self.submit(&uid, &mut pod);
                    answer = self
                        .ask("tenant", "POST", &format!("/api/v1/namespaces/{namespace}/pods"), &pod)
                        .await;
                }
                answer
            }
            Use::End { at } => {
                let pods: Vec<_> = self.cluster.objects("pods").into_keys().collect();
                let Some(key) = pods.get((*at % pods.len().max(1) as u64) as usize) else {
                    return "no pods".to_owned();
                };
                let path = format!("/api/v1/namespaces/{}/pods/{}", key.namespace, key.name);
                self.ask("tenant", "DELETE", &path, &json!({})).await
            }
            Use::Budgets => {
                self.drop_budgets();
                "ok".to_owned()
            }
            Use::Node { slot, at, what } => self.node_act(*slot, *at, *what).await,
            Use::Migrate { slot, at } => self.migrate(*slot, *at).await,
            Use::Bind { slot, at } => self.bind(*slot, *at).await,
        }
    }

    /// To the pool's queue, where there are queues.
    fn submit(&self, pool: &Uid, pod: &mut Value) {
        use fleet_kube::config::Scheduler;
        match self.config.scheduler {
            Scheduler::None => {}
            Scheduler::Kueue => pod["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] = json!("default"),
            Scheduler::Volcano => {
                let is_leaf = |queue: &Value| {
                    queue["metadata"]["labels"][mark::POOL] == pool.as_str()
                        && queue["metadata"]["name"]
                            .as_str()
                            .is_some_and(|name| name.strip_suffix(".tree").is_none())
                };
                let queues = self.cluster.objects("queues.scheduling.volcano.sh");
                if let Some(key) = queues.iter().find(|(_, queue)| is_leaf(queue)).map(|(key, _)| key) {
                    pod["metadata"]["annotations"]["scheduling.volcano.sh/queue-name"] = json!(key.name);
                }
            }
        }
    }

    /// A node of the slot's pool.
    fn node_of(&self, slot: Slot, at: u64) -> Option<Node> {
        let state = self.house.service(slot.user).state();
        let index = state.index().read();
        let name = place::pool_name(slot);
        let nodes: Vec<_> = index.all::<Node>().into_iter().filter(|node| node.pool == name).collect();
        let found = nodes.get((at % nodes.len().max(1) as u64) as usize)?;
        Some(Node::clone(found))
    }

    async fn node_act(&self, slot: Slot, at: u64, what: NodeAct) -> String {
        let Some(node) = self.node_of(slot, at) else {
            return "no such node".to_owned();
        };
        let (service, context) = (self.house.service(slot.user), place::context());
        let names = || Ok(vec![node.name.clone()]);
        let answer = match what {
            NodeAct::Reboot => service.reboot_nodes(&context, &node.pool, names).await.map(drop),
            NodeAct::Reset => {
                let reset = Reset {
                    names: vec![node.name.clone()],
                    rolling: Rolling::Number(1),
                    image: None,
                    runtime: None,
                    inputs: "{}".to_owned(),
                };
                service.reset_nodes(&context, &node.pool, || Ok(reset.clone())).await.map(drop)
            }
            NodeAct::Drain => service.drain_nodes(&context, &node.pool, names).await.map(drop),
            NodeAct::Lock => service.lock_nodes(&context, &node.pool, true, names).await.map(drop),
            NodeAct::Unlock => service.lock_nodes(&context, &node.pool, false, names).await.map(drop),
            NodeAct::Delete => {
                self.house.ledger.doubt_all_counts();
                service.delete_nodes(&context, &node.pool, names).await.map(drop)
            }
        };
        told(answer)
    }
}

impl KubeWorld {
    /// To another pool of the same user, or of the next one.
    async fn migrate(&self, slot: Slot, at: u64) -> String {
        let Some(node) = self.node_of(slot, at) else {
            return "no such node".to_owned();
        };
        let target = Slot {
            number: (slot.number + 1) % crate::act::POOLS,
            ..slot
        };
        let migrate = Migrate {
            names: vec![node.name.clone()],
            from: node.pool.clone(),
            to: place::pool_name(target),
            to_pool: None,
            flavor: None,
            node_pool: None,
            inputs: "{}".to_owned(),
        };
        self.house.ledger.doubt_all_counts();
        let service = self.house.service(slot.user);
        let answer = service.migrate_nodes(&place::context(), &node.pool, || Ok(migrate.clone())).await;
        told(answer.map(drop))
    }

    /// To the slot's logical pool, or to none where it is bound.
    async fn bind(&self, slot: Slot, at: u64) -> String {
        let Some(node) = self.node_of(slot, at) else {
            return "no such node".to_owned();
        };
        let quota = node.quota.is_none().then(|| place::child_name(slot));
        let bind = Bind {
            nodes: vec![(node.name.clone(), quota)],
            drain: at.is_multiple_of(2),
        };
        let service = self.house.service(slot.user);
        let answer = service.bind_nodes(&place::context(), &node.pool, || Ok(bind.clone())).await;
        told(answer.map(drop))
    }
}

fn told(answer: Result<(), ServiceError>) -> String {
    answer.err().map_or_else(|| "ok".to_owned(), |error| error.to_string())
}

fn pod(id: usize, at: u64, stop: u64) -> Value {
    json!({
        "metadata": {
            "name": format!("job-{id}-{at}"), "labels": {"job": id.to_string()},
            "annotations": {STOP_SECONDS: stop.to_string()},
        },
        "spec": {
            "containers": [{"name": "main", "image": "job", "resources": {"requests": {"cpu": "4"}}}],
            "terminationGracePeriodSeconds": stop,
        },
    })
}
