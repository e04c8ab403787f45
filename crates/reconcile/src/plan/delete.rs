//! Pools that go (semantics §10).

use super::work::Work;
use domain::name::NodeName;
use domain::node::DeleteCause;
use domain::order::Outcome;
use domain::pool::PoolPhase;
use fleet::observation::ClusterFact;
use fleet::{Command, Observation};

impl Work<'_> {
    /// Takes everything down; the record goes last.
    pub fn delete(&mut self, observed: &Observation) {
        self.take_down(observed);
        if self.is_bare(observed) {
            self.stop_counting();
            self.end_order(Outcome::Successed);
            self.is_erased = true;
        }
    }

    fn take_down(&mut self, observed: &Observation) {
        let names: Vec<NodeName> = self.nodes.keys().cloned().collect();
        for name in &names {
            self.take_quietly(name);
        }
        self.observe_nodes(observed);
        self.plugins.retain(|template, _| observed.plugins.contains_key(template));
        for template in observed.plugins.keys() {
            self.commands.push(Command::RemovePlugin {
                pool: self.mark(),
                template: template.clone(),
            });
        }
        if self.nodes.is_empty() && observed.nodes.is_empty() && observed.cluster != ClusterFact::Absent {
            self.commands.push(Command::RemovePool { pool: self.mark() });
            self.wake_after(std::time::Duration::from_millis(100));
        }
    }

    /// As `take`, without an item of the order: the pool itself is one.
    fn take_quietly(&mut self, name: &NodeName) {
        if let Some(node) = self.nodes.get_mut(name).filter(|node| !node.phase.is_deleting()) {
            node.phase = domain::node::NodePhase::Deleting {
                cause: DeleteCause::PoolDeleted,
                since: self.now,
            };
        }
    }

    fn is_bare(&self, observed: &Observation) -> bool {
        self.nodes.is_empty() && observed.nodes.is_empty() && observed.cluster == ClusterFact::Absent
    }

    /// A failed creation gives its machines back and is forgotten after three days.
    pub fn clear_failed(&mut self, observed: &Observation) {
        let PoolPhase::CreationFailed { at, .. } = self.pool.status.phase else {
            return;
        };
        self.take_down(observed);
        self.is_erased = self.is_forgotten(at) && self.is_bare(observed);
    }
}
