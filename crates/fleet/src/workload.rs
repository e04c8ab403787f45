//! Workloads as a fleet reports them, and the quotas by which it lets them in.

use crate::command::PoolMark;
use domain::meta::Uid;
use domain::name::{FlavorName, NodeName};
use domain::pool::JobType;
use domain::pool::tree::Amount;
use domain::quantities::Quantities;
use domain::workload::{WorkloadKind, WorkloadStatus};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

/// What a pool of a tree may use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quota {
    pub pool: PoolMark,
    /// `None`: the physical pool.
    pub parent: Option<Uid>,
    /// Guaranteed and greatest numbers of nodes by flavor.
    pub amounts: BTreeMap<FlavorName, Amount>,
    /// Job types whose workloads may come. Those of others that are there go on until they end. In a logical pool only training
    /// can be among them.
    #[serde(default = "every_type")]
    pub open: BTreeSet<JobType>,
    /// No workload starts in it. Those that run go on.
    #[serde(default)]
    pub is_shut: bool,
}

/// What was written down before quotas spoke of job types let all of them in.
fn every_type() -> BTreeSet<JobType> {
    BTreeSet::from(JobType::ALL)
}

impl Quota {
    /// Whether new workloads of a job type are taken.
    pub fn takes(&self, job_type: JobType) -> bool {
        !self.is_shut && self.open.contains(&job_type)
    }
}

/// A workload of a pool, or one that has ended lately.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkloadFact {
    pub uid: Uid,
    /// Name and kind of the cluster's object, e.g. `batch.volcano.sh/v1alpha1, Kind=Job`.
    pub name: String,
    pub gvk: String,
    /// Name and id that the service has for it which submitted it.
    pub job_name: String,
    pub job_id: String,
    pub kind: WorkloadKind,
    /// The pool that it was submitted to.
    pub pool: PoolMark,
    /// Name of the user.
    pub owner: String,
    pub flavor: FlavorName,
    pub priority: u32,
    /// Nodes that it needs.
    pub nodes: u32,
    /// Quantities that it needs on each node, by resource name.
    pub resources: Quantities,
    pub status: WorkloadStatus,
    /// Why it waits, or how it ended.
    pub reason: Option<String>,
    /// Its place among those that wait in its pool, from 1.
    pub position: Option<u32>,
    pub created_at: Timestamp,
    /// When it started last.
    pub started_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
    /// Where it runs.
    pub hosts: Vec<HostFact>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostFact {
    pub node: NodeName,
    pub ip: Option<String>,
}

/// All that a physical pool has, itself and in the logical ones inside it, at one moment. It is made when something has changed
/// and shared until then, so that reading costs no more than what is shown.
#[derive(Debug, Default)]
pub struct Workloads {
    pools: Vec<Uid>,
    newest_first: Vec<Row>,
    oldest_first: Vec<Row>,
}

/// A workload, and what lists are filtered by: so that filtering does not go to every fact.
#[derive(Debug, Clone)]
struct Row {
    kind: WorkloadKind,
    status: WorkloadStatus,
    /// Position of the pool that it was submitted to.
    pool: usize,
    workload: Arc<Workload>,
}

/// One fact with its serialised form, once somebody has asked for it.
#[derive(Debug)]
pub struct Workload {
    pub fact: WorkloadFact,
    rendered: OnceLock<Rendered>,
}

/// A serialised form with a gap for what time changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    pub before: Box<str>,
    pub after: Box<str>,
}

/// Which workloads are wanted. An empty list lets everything through.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wanted<'a> {
    /// `None`: of every pool.
    pub pools: Option<&'a BTreeSet<Uid>>,
    pub kinds: &'a [WorkloadKind],
    pub statuses: &'a [WorkloadStatus],
    /// Addresses of nodes.
    pub hosts: &'a [String],
    /// By the time of submission.
    pub is_ascending: bool,
}

impl Workload {
    /// The serialised form, made by `render` the first time somebody asks.
    pub fn rendered(&self, render: impl FnOnce(&WorkloadFact) -> Rendered) -> &Rendered {
        self.rendered.get_or_init(|| render(&self.fact))
    }

    fn runs_on(&self, hosts: &[String]) -> bool {
        let runs_on = |host: &String| self.fact.hosts.iter().any(|known| known.ip.as_ref() == Some(host));
        hosts.iter().any(runs_on)
    }
}

impl Workloads {
    pub fn new(facts: Vec<WorkloadFact>) -> Self {
        let mut places: BTreeMap<Uid, usize> = BTreeMap::new();
        let mut row = |fact: WorkloadFact| {
            let next = places.len();
            Row {
                kind: fact.kind,
                status: fact.status,
                pool: *places.entry(fact.pool.uid.clone()).or_insert(next),
                workload: Arc::new(Workload {
                    fact,
                    rendered: OnceLock::new(),
                }),
            }
        };
        let mut oldest_first: Vec<Row> = facts.into_iter().map(&mut row).collect();
        oldest_first.sort_by(|one, other| one.age().cmp(&other.age()));
        let mut newest_first = oldest_first.clone();
        // Those of one time stay in the order of their ids.
        newest_first.sort_by_key(|row| Reverse(row.workload.fact.created_at));
        let mut pools: Vec<(usize, Uid)> = places.into_iter().map(|(uid, at)| (at, uid)).collect();
        pools.sort();
        Self {
            pools: pools.into_iter().map(|(_, uid)| uid).collect(),
            newest_first,
            oldest_first,
        }
    }

    pub fn len(&self) -> usize {
        self.newest_first.len()
    }

    pub fn is_empty(&self) -> bool {
        self.newest_first.is_empty()
    }

    /// Every fact, the newest first, then by id.
    pub fn facts(&self) -> impl Iterator<Item = &WorkloadFact> {
        self.newest_first.iter().map(|row| &row.workload.fact)
    }

    /// Those of a part that are wanted, from `offset` on and at most `limit`, and how many are wanted over all. Of one time,
    /// they are in the order of their ids.
    pub fn part(&self, wanted: &Wanted<'_>, offset: usize, limit: usize) -> (Vec<Arc<Workload>>, usize) {
        let rows = if wanted.is_ascending {
            &self.oldest_first
        } else {
            &self.newest_first
        };
        if wanted.is_everything() {
            let part = rows.iter().skip(offset).take(limit);
            return (part.map(|row| Arc::clone(&row.workload)).collect(), rows.len());
        }
        let (mut part, mut count) = (Vec::new(), 0);
        let pools = self.of_pools(wanted);
        for row in rows.iter().filter(|row| row.is(wanted, &pools)) {
            if count >= offset && part.len() < limit {
                part.push(Arc::clone(&row.workload));
            }
            count += 1;
        }
        (part, count)
    }

    /// How many there are that are wanted, by kind and status.
    pub fn counts(&self, wanted: &Wanted<'_>) -> BTreeMap<WorkloadKind, BTreeMap<WorkloadStatus, u32>> {
        let mut counts: BTreeMap<WorkloadKind, BTreeMap<WorkloadStatus, u32>> = BTreeMap::new();
        let pools = self.of_pools(wanted);
        for row in self.newest_first.iter().filter(|row| row.is(wanted, &pools)) {
            *counts.entry(row.kind).or_default().entry(row.status).or_default() += 1;
        }
        counts
    }

    /// For each pool, whether its workloads are wanted.
    fn of_pools(&self, wanted: &Wanted<'_>) -> Vec<bool> {
        let is_wanted = |uid: &Uid| wanted.pools.is_none_or(|pools| pools.contains(uid));
        self.pools.iter().map(is_wanted).collect()
    }
}

impl Row {
    fn age(&self) -> (Timestamp, &Uid) {
        (self.workload.fact.created_at, &self.workload.fact.uid)
    }

    fn is(&self, wanted: &Wanted<'_>, pools: &[bool]) -> bool {
        pools[self.pool]
            && (wanted.kinds.is_empty() || wanted.kinds.contains(&self.kind))
            && (wanted.statuses.is_empty() || wanted.statuses.contains(&self.status))
            && (wanted.hosts.is_empty() || self.workload.runs_on(wanted.hosts))
    }
}

impl Wanted<'_> {
    fn is_everything(&self) -> bool {
        self.pools.is_none() && self.kinds.is_empty() && self.statuses.is_empty() && self.hosts.is_empty()
    }
}

#[cfg(test)]
mod tests;
