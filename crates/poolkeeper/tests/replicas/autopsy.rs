//! What there is to see after a failure, for who looks for its cause.

use crate::cluster::{Cluster, pools};
use crate::{PROJECT, history};
use std::fmt::Write;

/// Newest writes of a pool that are shown.
const LINES: usize = 60;

/// How each replica is, what it shows of the pools that a failure names, and what was written of them.
pub async fn look(cluster: &Cluster, failure: &str) -> String {
    let mut told = String::new();
    for (number, replica) in cluster.replicas.iter().enumerate() {
        let metrics = [
            replica.metric("poolkeeper_leader").await,
            Some(replica.steps().await),
            replica.metric("poolkeeper_store_revision").await,
            replica.metric("poolkeeper_index_lag_revisions").await,
        ];
        let _written = writeln!(told, "replica {number}: leader, steps, revision of the store, lag: {metrics:?}");
    }
    for pool in names(failure) {
        for (number, replica) in cluster.replicas.iter().enumerate() {
            let nodes = replica.get(&format!("{}/{pool}/nodes", pools())).await;
            let nodes = nodes.map(|answer| answer.body).unwrap_or_default();
            let nodes = nodes["items"].as_array().into_iter().flatten();
            let nodes: Vec<_> = nodes
                .map(|node| (node["metadata"]["name"].clone(), node["status"]["phase"].clone()))
                .collect();
            let _written = writeln!(told, "{pool} on replica {number}: {nodes:?}");
        }
        let writes = history::of_pool(cluster, &pool).unwrap_or_else(|error| error.to_string());
        let lines: Vec<&str> = writes.lines().collect();
        let newest = &lines[lines.len().saturating_sub(LINES)..];
        let _written = writeln!(told, "{}", newest.join("\n"));
    }
    told
}

/// The pools that a text names.
fn names(text: &str) -> Vec<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
    let mut names: Vec<String> = words
        .filter(|word| word.starts_with("pool-") && word.ends_with(PROJECT))
        .map(ToOwned::to_owned)
        .collect();
    names.sort();
    names.dedup();
    names
}
