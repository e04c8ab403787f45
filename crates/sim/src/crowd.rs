//! The crowd that submits workloads, and what must hold of them.

use crate::act::{CrowdAct, Slot, USERS};
use crate::place;
use crate::world::World;
use domain::meta::Uid;
use domain::name::PoolName;
use domain::pool::{JobType, Pool};
use domain::workload::{NewWorkload, WorkloadKind, WorkloadStatus};
use fleet::WorkloadFact;
use jiff::SignedDuration;
use service::{CallContext, Idempotency};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Name of jobs that run until they are cancelled.
const LASTING: &str = "lasting";

/// The last look at all workloads.
#[derive(Default)]
pub(crate) struct Crowd {
    before: Mutex<BTreeMap<Uid, WorkloadStatus>>,
}

impl World {
    /// Submits or cancels; gives how it was answered. `id` makes its request unlike all others.
    pub async fn crowd(&self, act: &CrowdAct, id: usize) -> String {
        let key = format!("{id:032x}{id:032x}");
        let context = CallContext {
            idempotency: Some(Idempotency { request: key.clone(), key }),
            ..place::context()
        };
        let service = self.house.user(id % USERS).service;
        let answer = match act {
            CrowdAct::Submit {
                slot,
                is_child,
                nodes,
                minutes,
                priority,
                job_type,
            } => {
                let name = target(*slot, *is_child);
                let flavor = service.show_pool(&context, &name).ok();
                let flavor = flavor.and_then(|pool| pool.spec.resources.first().map(|element| element.flavor.clone()));
                let new = NewWorkload {
                    kind: kind_of(*job_type),
                    flavor: flavor.unwrap_or_else(place::cpu),
                    nodes: *nodes,
                    lasting: minutes.map(SignedDuration::from_mins),
                    priority: *priority,
                    owner: None,
                    job_name: minutes.is_none().then(|| LASTING.to_owned()),
                    retries: 2,
                };
                service.submit_workload(&context, &name, || Ok(new.clone())).await.map(drop)
            }
            CrowdAct::Cancel { at } => {
                let all = self.fleet.all_workloads();
                match all.get((*at % all.len().max(1) as u64) as usize) {
                    Some((_, fact)) => service.cancel_workload(&context, fact.uid.as_str()).await.map(drop),
                    None => Ok(()),
                }
            }
        };
        self.look_at_workloads();
        answer.err().map_or_else(|| "ok".to_owned(), |error| error.to_string())
    }

    /// Each node has one workload at most, each workload the nodes that it needs, and nobody has been overtaken just now.
    pub fn look_at_workloads(&self) {
        let all = self.fleet.all_workloads();
        let machines = self.fleet.machines();
        let nodes: BTreeSet<_> = machines
            .iter()
            .filter_map(|machine| machine.bound.as_ref().map(|(mark, node)| (&mark.uid, node)))
            .collect();
        let mut taken = BTreeSet::new();
        for (root, fact) in &all {
            let wanted = if fact.hosts.is_empty() { 0 } else { fact.nodes as usize };
            if fact.hosts.len() != wanted {
                self.house
                    .auditor
                    .report(format!("{} has {} of {wanted} nodes", fact.name, fact.hosts.len()));
            }
            for host in &fact.hosts {
                if !taken.insert((root, &host.node)) {
                    self.house.auditor.report(format!("{} has two workloads", host.node));
                }
                if !nodes.contains(&(root, &host.node)) {
                    self.house
                        .auditor
                        .report(format!("{} runs on {}, which is no node", fact.name, host.node));
                }
            }
        }
        let now: Vec<&WorkloadFact> = all.iter().map(|(_, fact)| fact).collect();
        self.check_order(&now);
        let mut before = self.crowd.before.lock().unwrap_or_else(PoisonError::into_inner);
        *before = now.into_iter().map(|fact| (fact.uid.clone(), fact.status)).collect();
    }

    /// What started at this very moment has not overtaken what is no larger and has waited before, unless it was promised.
    fn check_order(&self, all: &[&WorkloadFact]) {
        let before = self.crowd.before.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.house.clock.now();
        let was = |fact: &WorkloadFact, status: WorkloadStatus| before.get(&fact.uid) == Some(&status);
        let order = |fact: &WorkloadFact| (Reverse(fact.priority), fact.created_at);
        for started in all
            .iter()
            .filter(|fact| fact.started_at == Some(now) && !was(fact, WorkloadStatus::Pending))
        {
            let overtaken = all.iter().find(|other| {
                other.status == WorkloadStatus::Queue
                    && was(other, WorkloadStatus::Queue)
                    && (&other.pool, &other.flavor) == (&started.pool, &started.flavor)
                    && other.nodes <= started.nodes
                    && order(other) < order(started)
            });
            if let Some(other) = overtaken {
                self.house.auditor.report(format!("{} has overtaken {}", started.name, other.name));
            }
        }
    }

    /// Nobody submits any more, and what would run for ever is cancelled: waits until everything that can has run.
    pub async fn let_workloads_end(&self) {
        let is_lasting = |fact: &&WorkloadFact| fact.job_name == LASTING && !fact.status.is_over();
        let all = self.fleet.all_workloads();
        for fact in all.iter().map(|(_, fact)| fact).filter(is_lasting) {
            let _cancelled = self.fleet.cancel(&fact.uid).await;
        }
        for _ in 0..400 {
            if self.fleet.all_workloads().iter().all(|(_, fact)| fact.hosts.is_empty()) {
                break;
            }
            self.house.pause(Duration::from_hours(1)).await;
        }
    }

    /// At rest, whatever has not ended waits, and tells why.
    pub fn check_rest_of_workloads(&self) {
        for (_, fact) in self.fleet.all_workloads() {
            let waits = fact.status == WorkloadStatus::Queue && fact.reason.is_some();
            if !fact.status.is_over() && !waits {
                let status = fact.status.as_str();
                self.house
                    .auditor
                    .report(format!("{} is {status} at rest: {:?}", fact.name, fact.reason));
            }
        }
    }

    /// Job types whose workloads keep a pool from disabling them.
    pub fn job_types_in_use(&self, pool: &Pool) -> BTreeSet<JobType> {
        let all = self.fleet.all_workloads().into_iter();
        all.filter(|(root, fact)| *root == pool.uid && !fact.status.is_over())
            .map(|(_, fact)| fact.kind.job_type())
            .collect()
    }
}

fn target(slot: Slot, is_child: bool) -> PoolName {
    if is_child {
        place::child_name(slot)
    } else {
        place::pool_name(slot)
    }
}

fn kind_of(job_type: JobType) -> WorkloadKind {
    match job_type {
        JobType::Train => WorkloadKind::Train,
        JobType::Infer => WorkloadKind::Infer,
        JobType::Notebook => WorkloadKind::Notebook,
    }
}
