//! Jobs as clients see them (contract tags… §5).

use domain::job as model;
use serde::Serialize;
use utoipa::ToSchema;

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Job {
    pub job_id: String,
    pub job_name: String,
    /// `replace-node`, `reboot-node`, `reset-nodes` or `migrate-nodes`
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// `Running`, `Success` or `Failed`
    pub phase: &'static str,
    /// Milliseconds since the epoch.
    pub start_timestamp: i64,
    /// Milliseconds since the epoch; 0: not yet.
    pub end_timestamp: i64,
    pub suspend: bool,
    /// JSON text: the pool and the nodes.
    pub involved_objects: String,
    /// JSON text: the request.
    pub inputs: String,
    /// JSON text: how it stands with each node.
    pub conditions: String,
    pub message: String,
}

impl From<&model::Job> for Job {
    fn from(job: &model::Job) -> Self {
        let names: Vec<&str> = job.nodes.iter().map(|entry| entry.name.as_str()).collect();
        let conditions: Vec<_> = job
            .nodes
            .iter()
            .map(|entry| {
                let (status, message) = match &entry.state {
                    model::JobNodeState::Open => ("Running", ""),
                    model::JobNodeState::Done => ("Success", ""),
                    model::JobNodeState::Failed { reason } => ("Failed", reason.as_str()),
                };
                serde_json::json!({"node": entry.name.as_str(), "status": status, "message": message})
            })
            .collect();
        let end = job.ended.as_ref();
        Self {
            job_id: job.id.hyphenated(),
            job_name: job.name.clone(),
            kind: job.kind.as_str(),
            phase: job.phase(),
            start_timestamp: job.created_at.as_millisecond(),
            end_timestamp: end.map_or(0, |end| end.at.as_millisecond()),
            suspend: false,
            involved_objects: serde_json::json!({"pool": job.pool.as_str(), "nodes": names}).to_string(),
            inputs: job.inputs.clone(),
            conditions: serde_json::Value::Array(conditions).to_string(),
            message: end.and_then(|end| end.failure.clone()).unwrap_or_default(),
        }
    }
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct JobList {
    pub count: usize,
    pub items: Vec<Job>,
}
