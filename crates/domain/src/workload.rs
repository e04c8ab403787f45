//! Workloads: jobs that run or wait in a pool (contract tags… §4).

use crate::name::FlavorName;
use crate::pool::JobType;
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

/// A workload to be submitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewWorkload {
    pub kind: WorkloadKind,
    pub flavor: FlavorName,
    /// At least 1.
    pub nodes: u32,
    /// `None`: until it is cancelled.
    pub lasting: Option<SignedDuration>,
    /// The higher, the earlier.
    pub priority: u32,
    /// Name of the user; `None`: the operator.
    pub owner: Option<String>,
    pub job_name: Option<String>,
    pub retries: u32,
}

/// What a workload is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum WorkloadKind {
    Train,
    Infer,
    Notebook,
    /// Inference over several nodes; to a pool it is inference.
    XInfer,
}

impl WorkloadKind {
    pub const ALL: [Self; 4] = [Self::Train, Self::Infer, Self::Notebook, Self::XInfer];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Infer => "infer",
            Self::Notebook => "notebook",
            Self::XInfer => "x-infer",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }

    /// The job type that the pool must have enabled.
    pub fn job_type(self) -> JobType {
        match self {
            Self::Train => JobType::Train,
            Self::Infer | Self::XInfer => JobType::Infer,
            Self::Notebook => JobType::Notebook,
        }
    }
}

/// How far a workload is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum WorkloadStatus {
    /// Waits for its turn.
    Queue,
    /// Let in, and waits for nodes that are on their way.
    Pending,
    Abnormal,
    /// On its way out, or back into the queue.
    Terminating,
    /// Has its nodes and is starting there.
    Creating,
    Running,
    Completed,
    /// Ended before its time, because somebody wanted it to.
    Terminated,
    Failed,
}

impl WorkloadStatus {
    pub const ALL: [Self; 9] = [
        Self::Queue,
        Self::Pending,
        Self::Abnormal,
        Self::Terminating,
        Self::Creating,
        Self::Running,
        Self::Completed,
        Self::Terminated,
        Self::Failed,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queue => "Queue",
            Self::Pending => "Pending",
            Self::Abnormal => "Abnormal",
            Self::Terminating => "Terminating",
            Self::Creating => "Creating",
            Self::Running => "Running",
            Self::Completed => "Completed",
            Self::Terminated => "Terminated",
            Self::Failed => "Failed",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }

    /// Whether it neither runs nor will.
    pub fn is_over(self) -> bool {
        match self {
            Self::Completed | Self::Terminated | Self::Failed => true,
            Self::Queue | Self::Pending | Self::Abnormal | Self::Terminating | Self::Creating | Self::Running => false,
        }
    }
}
