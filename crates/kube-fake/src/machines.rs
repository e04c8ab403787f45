//! What tests do to machines, and to the actors that stand for them.

use crate::cluster::FakeCluster;
use crate::objects::{Key, set};
use crate::twins::kubelet::{condition, set_condition};
use crate::twins::{self, Task, TwinOptions};
use jiff::Timestamp;
use serde_json::json;
use std::time::Duration;

impl FakeCluster {
    /// Which actors there are from now on. What was before them they learn at their next step.
    pub fn set_twins(&self, options: TwinOptions) {
        self.with_state(|state| state.twins.options = options);
    }

    /// Lets the actors do all that is due now. Returns when they next have something to do.
    pub fn step(&self) -> Option<Timestamp> {
        self.with_state(twins::step)
    }

    /// Lets the actors work for ever: on every change, and when their time has come. To be spawned.
    pub async fn run(self) {
        loop {
            let seen = self.version();
            let next = self.step().unwrap_or(Timestamp::MAX);
            tokio::select! {
                biased;
                () = self.newer_than(seen) => {}
                () = self.sleep_until(next) => {}
            }
        }
    }

    /// The machine reports that it is not ready, with a reason.
    pub fn break_node(&self, node: &str, reason: &str) {
        self.condition(node, "Ready", "False", reason);
    }

    /// The machine is ready again, has all its accelerators, and no fault.
    pub fn mend_node(&self, node: &str) {
        let now = self.now_text();
        self.edit("nodes", "", node, |node| {
            set_condition(node, &now, "Ready", "True", "KubeletReady");
            let others: Vec<String> = node
                .pointer("/status/conditions")
                .and_then(serde_json::Value::as_array)
                .into_iter()
                .flatten()
                .map(|one| crate::objects::text(one, "/type").to_owned())
                .filter(|kind| kind != "Ready" && condition(node, kind) == "True")
                .collect();
            for kind in &others {
                set_condition(node, &now, kind, "False", "");
            }
            let capacity = node.pointer("/status/capacity").cloned().unwrap_or_default();
            set(node, &["status", "allocatable"], capacity);
        });
    }

    /// A condition of a machine, such as `SysLogsXIDError`.
    pub fn condition(&self, node: &str, kind: &str, status: &str, reason: &str) {
        let now = self.now_text();
        self.edit("nodes", "", node, |node| set_condition(node, &now, kind, status, reason));
    }

    /// So much of a resource is left to pods on the machine.
    pub fn set_allocatable(&self, node: &str, resource: &str, amount: &str) {
        self.edit("nodes", "", node, |node| {
            set(node, &["status", "allocatable", resource], json!(amount));
        });
    }

    /// The machine gives no sign of life any more: nothing on it starts or ends, and after a while it is `Unknown`.
    pub fn silence_node(&self, node: &str) {
        self.with_state(|state| {
            state.twins.silent.insert(node.to_owned(), state.now);
            let after = state
                .twins
                .options
                .kubelet
                .map_or(Duration::from_secs(40), |kubelet| kubelet.silent_after);
            let at = crate::server::later(state.now, after);
            state.twins.plan(at, Task::NodeSilent { node: node.to_owned() });
        });
    }

    /// The machine is heard of again.
    pub fn wake_node(&self, node: &str) {
        self.with_state(|state| {
            state.twins.silent.remove(node);
            let now = state.time();
            let key = Key::new("nodes", "", node);
            state.edit(&format!("system:node:{node}"), &key, |node| {
                set_condition(node, &now, "Ready", "True", "KubeletReady");
            });
            for (_, change) in twins::kubelet::on_node(state, node) {
                if let Some(options) = state.twins.options.kubelet {
                    twins::kubelet::pod_changed(state, &change, options);
                }
            }
        });
    }

    /// The machine starts anew: not ready for a while, then with another boot id. Needs the kubelets.
    pub fn reboot_node(&self, node: &str) {
        self.with_state(|state| twins::kubelet::reboot(state, node));
    }

    /// The Node object goes, as when the cloud has taken the machine.
    pub fn delete_node(&self, node: &str) {
        self.remove("nodes", "", node);
    }

    /// This driver version does not install any more, or does again.
    pub fn set_driver_fails(&self, version: &str, fails: bool) {
        self.with_state(|state| {
            if fails {
                state.twins.bad_drivers.insert(version.to_owned());
            } else {
                state.twins.bad_drivers.remove(version);
            }
        });
    }

    fn now_text(&self) -> String {
        self.with_state(|state| state.time())
    }
}
