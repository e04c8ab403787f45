//! What is shown of workloads.

use super::shift::{Floor, Shift};
use super::work::{Submission, Work, WorkState};
use crate::workload::{HostFact, Quota, WorkloadFact};
use domain::capacity::Wait;
use domain::meta::Uid;
use domain::name::NodeName;
use std::collections::BTreeMap;

impl Shift {
    /// Everything that is shown of the workloads, the first submitted first.
    pub fn facts(&self, floor: &Floor<'_>) -> Vec<WorkloadFact> {
        let positions = self.positions();
        let mut all: Vec<&Work> = self.work().collect();
        all.sort_by_key(|work| work.number);
        all.into_iter()
            .map(|work| self.fact(work, positions.get(&work.number).copied(), floor))
            .collect()
    }

    /// What is shown of one workload.
    pub fn one_fact(&self, uid: &Uid, floor: &Floor<'_>) -> Option<WorkloadFact> {
        let work = self.get(uid)?;
        let ahead = |other: &&Work| other.is_waiting() && other.pool.uid == work.pool.uid && other.order() <= work.order();
        let position = work.is_waiting().then(|| self.work().filter(ahead).count());
        Some(self.fact(work, position.and_then(|count| u32::try_from(count).ok()), floor))
    }

    /// The places of those that wait among those of their pool, from 1, by number.
    fn positions(&self) -> BTreeMap<u64, u32> {
        let mut waiting: Vec<&Work> = self.work().filter(|work| work.is_waiting()).collect();
        waiting.sort_by_key(|work| (&work.pool.uid, work.order()));
        let queues = waiting.chunk_by(|one, next| one.pool.uid == next.pool.uid);
        queues.flat_map(|queue| queue.iter().map(|work| work.number).zip(1..)).collect()
    }

    fn fact(&self, work: &Work, position: Option<u32>, floor: &Floor<'_>) -> WorkloadFact {
        let wait = self.waits.get(&work.submission.uid).copied().filter(|_| work.is_waiting());
        let is_shut = work.is_waiting() && floor.is_shut(&work.pool.uid);
        let (ended_at, ending) = match &work.state {
            WorkState::Over { at, how, .. } => (Some(*at), how.reason()),
            WorkState::Waiting | WorkState::Placed { .. } => (None, None),
        };
        let host = |node: &NodeName| HostFact {
            node: node.clone(),
            ip: floor.node(node).and_then(|filed| filed.machine.address(floor.now, floor.rules)),
        };
        let Submission { uid, name, .. } = &work.submission;
        WorkloadFact {
            uid: uid.clone(),
            name: name.clone(),
            gvk: "batch.volcano.sh/v1alpha1, Kind=Job".to_owned(),
            job_name: work.submission.job_name.clone(),
            job_id: uid.hyphenated(),
            kind: work.submission.kind,
            pool: work.pool.clone(),
            owner: work.submission.owner.clone(),
            flavor: work.submission.flavor.clone(),
            priority: work.submission.priority,
            nodes: work.submission.nodes,
            resources: work.submission.resources.clone(),
            status: work.status(wait, floor.now, floor.rules),
            reason: ending
                .map(str::to_owned)
                .or_else(|| wait.map(|wait| explain(wait, floor.quotas)))
                .or_else(|| is_shut.then(|| format!("pool {} lets no workloads start", work.pool.pool.name))),
            position,
            created_at: work.created_at,
            started_at: work.started_at(),
            ended_at,
            hosts: work.nodes().map(host).collect(),
        }
    }
}

fn explain(wait: Wait, quotas: &[Quota]) -> String {
    let name = |at: usize| quotas.get(at).map_or_else(String::new, |quota| quota.pool.pool.name.to_string());
    match wait {
        Wait::TooLarge(pool) => format!("it needs more nodes than pool {} may use", name(pool)),
        Wait::Ceiling(pool) => format!("pool {} uses all that it may", name(pool)),
        Wait::Nodes => "not enough nodes are free".to_owned(),
        Wait::Returning => "its nodes are being given back".to_owned(),
        Wait::Behind => "others of its pool come first".to_owned(),
    }
}
