//! Jobs: what a batch action on nodes has set going, and how far it is (contract tags… §5).

use crate::meta::Uid;
use crate::name::{NodeName, PoolName, ProjectId, WorkspaceId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    pub id: Uid,
    pub name: String,
    pub project: ProjectId,
    pub workspace: WorkspaceId,
    /// The pool that was asked.
    pub pool: PoolName,
    /// The pool whose nodes it works on; after a migration, the one that they go to.
    pub pool_uid: Uid,
    pub kind: JobKind,
    pub created_at: Timestamp,
    pub nodes: Vec<JobNode>,
    /// Nodes that may be worked on at the same time; absent: all.
    pub at_once: Option<u32>,
    /// The request, as JSON text.
    pub inputs: String,
    pub ended: Option<JobEnd>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum JobKind {
    ReplaceNode,
    RebootNode,
    ResetNodes,
    MigrateNodes,
}

impl JobKind {
    pub const ALL: [Self; 4] = [Self::ReplaceNode, Self::RebootNode, Self::ResetNodes, Self::MigrateNodes];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::ReplaceNode => "replace-node",
            Self::RebootNode => "reboot-node",
            Self::ResetNodes => "reset-nodes",
            Self::MigrateNodes => "migrate-nodes",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobNode {
    pub name: NodeName,
    pub state: JobNodeState,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum JobNodeState {
    /// Waiting or in work.
    Open,
    Done,
    Failed {
        reason: String,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobEnd {
    pub at: Timestamp,
    /// Why it failed; absent: it did not.
    pub failure: Option<String>,
}

impl Job {
    /// `Running`, `Success` or `Failed` (README §8.7).
    pub fn phase(&self) -> &'static str {
        match &self.ended {
            None => "Running",
            Some(JobEnd { failure: None, .. }) => "Success",
            Some(JobEnd { failure: Some(_), .. }) => "Failed",
        }
    }

    /// Notes how it went with a node. What is settled stays as it is.
    pub fn settle(&mut self, node: &NodeName, state: &JobNodeState) {
        for entry in self
            .nodes
            .iter_mut()
            .filter(|entry| entry.name == *node && entry.state == JobNodeState::Open)
        {
            entry.state = state.clone();
        }
    }

    /// Ends the job once nothing of it is open.
    pub fn conclude(&mut self, now: Timestamp) {
        if self.ended.is_some() || self.nodes.iter().any(|entry| entry.state == JobNodeState::Open) {
            return;
        }
        let failures: Vec<String> = self
            .nodes
            .iter()
            .filter_map(|entry| match &entry.state {
                JobNodeState::Failed { reason } => Some(format!("node {}: {reason}", entry.name)),
                JobNodeState::Open | JobNodeState::Done => None,
            })
            .collect();
        self.ended = Some(JobEnd {
            at: now,
            failure: (!failures.is_empty()).then(|| failures.join(", ")),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job() -> Job {
        let entry = |name: &str| JobNode {
            name: NodeName::parse(name).unwrap(),
            state: JobNodeState::Open,
        };
        Job {
            id: Uid::from_text("1"),
            name: "reboot-node-a".to_owned(),
            project: ProjectId::parse(&"a".repeat(32)).unwrap(),
            workspace: WorkspaceId::default_workspace(),
            pool: PoolName::parse("p").unwrap(),
            pool_uid: Uid::from_text("2"),
            kind: JobKind::RebootNode,
            created_at: Timestamp::UNIX_EPOCH,
            nodes: vec![entry("n1"), entry("n2")],
            at_once: None,
            inputs: String::new(),
            ended: None,
        }
    }

    #[test]
    fn a_job_ends_with_its_last_node_and_fails_if_one_did() {
        let mut job = job();
        let [n1, n2] = ["n1", "n2"].map(|name| NodeName::parse(name).unwrap());
        job.settle(&n1, &JobNodeState::Done);
        job.conclude(Timestamp::UNIX_EPOCH);
        assert_eq!(job.phase(), "Running");
        let failed = JobNodeState::Failed { reason: "dead".to_owned() };
        job.settle(&n2, &failed);
        job.settle(&n1, &failed);
        job.conclude(Timestamp::UNIX_EPOCH);
        assert_eq!(job.phase(), "Failed");
        assert_eq!(job.ended.unwrap().failure.as_deref(), Some("node n2: dead"));
    }
}
