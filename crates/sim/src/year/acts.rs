//! What users, operators and fate do in the year.

use super::agenda::{self, Event};
use super::site::PoolPlan;
use super::{DAY, HOUR, Year, later};
use crate::place;
use domain::name::{NodeName, PoolName};
use domain::node::request::{Reset, Rolling};
use domain::node::{Node, NodePhase};
use domain::pool::draft::{BillingDraft, Patched, PoolDraft, PoolEdit};
use domain::pool::{Pool, UpdateStrategy};
use domain::workload::{NewWorkload, WorkloadKind};
use fleet::sim::MachineFault;
use jiff::SignedDuration;
use service::ServiceError;

use std::time::Duration;

impl Year {
    pub async fn carry_out(&mut self, event: Event) {
        let at = self.clock.now();
        let answer = match &event {
            Event::Create { pool } => self.create(*pool).await,
            Event::Divide { pool } => self.divide(*pool).await,
            Event::Submit { pool } => self.submit(*pool).await,
            Event::Cancel { id } => self.cancel(id).await,
            Event::RollOut { pool, week } => self.roll_out(*pool, *week).await,
            Event::Resize { pool } => self.resize(*pool).await,
            Event::ResizeChild => self.resize_child().await,
            Event::Request => self.request().await,
            Event::Unlock { pool, node } => self.unlock(pool, node).await,
            Event::Renew { pool, node } => self.reset(pool, node).await,
            Event::Outage => self.outage().await,
            Event::LookHourly => {
                self.look_hourly();
                Ok(())
            }
            Event::LookDaily => {
                self.look_daily();
                Ok(())
            }
        };
        if answer.is_err() {
            self.watch.tally.refused += 1;
        }
        let told = answer.err().map_or_else(|| "ok".to_owned(), |error| error.to_string());
        self.recorder.note(&format!("{at} {event:?}: {told}"));
        self.agenda.go_on(&self.site, at, &event);
    }

    async fn create(&mut self, pool: usize) -> Result<(), ServiceError> {
        let plan = self.site.pools[pool].clone();
        self.service.create_pool(&place::context(), || Ok(plan.draft(0))).await.map(drop)
    }

    async fn divide(&mut self, pool: usize) -> Result<(), ServiceError> {
        let plan = self.site.pools[pool].clone();
        for child in 0..plan.children.len() {
            self.service.create_pool(&place::context(), || Ok(plan.child_draft(child))).await?;
        }
        Ok(())
    }

    async fn submit(&mut self, pool: usize) -> Result<(), ServiceError> {
        let plan = self.site.pools[pool].clone();
        let dice = &self.agenda.dice;
        // In a small pool it would keep everybody else waiting for days, and so it would in a sub-pool.
        let is_lasting = dice.below(50) == 0 && plan.nodes >= 16;
        // Each sub-pool is an eighth of its pool, and gets an eighth of the work.
        let child = if is_lasting { usize::MAX } else { dice.below(8) as usize };
        let run = agenda::run(dice);
        let lives = Duration::from_hours(24 + dice.below(48));
        let most = plan
            .children
            .get(child)
            .map_or_else(|| agenda::largest(&plan), |nodes| f64::from(*nodes));
        let nodes = if is_lasting { 1 } else { dice.magnitude(1.0, most) as u32 };
        let kind = match (is_lasting, dice.below(10)) {
            (true, _) => WorkloadKind::Infer,
            (false, 0) => WorkloadKind::Notebook,
            (false, _) => WorkloadKind::Train,
        };
        let new = NewWorkload {
            kind,
            flavor: plan.kind.flavor(),
            nodes,
            lasting: (!is_lasting).then(|| SignedDuration::from_secs(run.as_secs() as i64)),
            priority: 1 + dice.below(3) as u32,
            owner: None,
            job_name: None,
            retries: 3,
        };
        let target = if child < plan.children.len() {
            plan.child_name(child)
        } else {
            plan.name()
        };
        let submitted = self.service.submit_workload(&place::context(), &target, || Ok(new.clone())).await?;
        self.watch.tally.submitted += 1;
        if let Some(fact) = submitted.filter(|_| is_lasting) {
            let id = fact.uid.to_string();
            self.agenda.enter(later(self.clock.now(), lives), Event::Cancel { id });
        }
        Ok(())
    }

    async fn cancel(&self, id: &str) -> Result<(), ServiceError> {
        self.service.cancel_workload(&place::context(), id).await.map(drop)
    }

    async fn roll_out(&mut self, pool: usize, week: u32) -> Result<(), ServiceError> {
        self.check_last_roll_out(pool);
        let plan = self.site.pools[pool].clone();
        let strategy = if week.is_multiple_of(2) {
            UpdateStrategy::Idle
        } else {
            UpdateStrategy::Force
        };
        let driver = plan.driver(week, strategy);
        self.patch(&plan.name(), |draft| draft.driver = Some(driver.clone())).await?;
        self.watch.begin_roll_out(pool, week, strategy);
        Ok(())
    }

    async fn resize(&mut self, pool: usize) -> Result<(), ServiceError> {
        let plan = self.site.pools[pool].clone();
        let known = self.service.show_pool(&place::context(), &plan.name())?;
        let sizes = [plan.least(), plan.nodes, plan.most()];
        let other: Vec<u32> = sizes.into_iter().filter(|size| *size != known.wanted()).collect();
        let Some(count) = other.get(self.agenda.dice.below(other.len() as u64) as usize).copied() else {
            return Ok(());
        };
        self.patch(&plan.name(), |draft| draft.resources[0].count = count).await?;
        self.watch.tally.resized += 1;
        Ok(())
    }

    async fn resize_child(&mut self) -> Result<(), ServiceError> {
        let parents: Vec<PoolPlan> = self.site.pools.iter().filter(|pool| !pool.children.is_empty()).cloned().collect();
        let Some(plan) = parents.get(self.agenda.dice.below(parents.len() as u64) as usize) else {
            return Ok(());
        };
        let child = self.agenda.dice.below(plan.children.len() as u64) as usize;
        let usual = plan.children[child];
        let count = if self.agenda.dice.below(2) == 0 { usual } else { usual - usual / 3 };
        self.patch(&plan.child_name(child), |draft| draft.resources[0].count = count)
            .await?;
        self.watch.tally.resized += 1;
        Ok(())
    }

    /// Something for one node: half of the time it is to start again or to be installed anew.
    async fn request(&mut self) -> Result<(), ServiceError> {
        let Some(node) = self.any_node() else { return Ok(()) };
        let (context, pool, name) = (place::context(), node.pool.clone(), node.name.clone());
        let names = || Ok(vec![name.clone()]);
        match self.agenda.dice.below(8) {
            0..3 => drop(self.service.reboot_nodes(&context, &pool, names).await?),
            3 | 4 => self.reset(&pool, &name).await?,
            5 | 6 => {
                drop(self.service.lock_nodes(&context, &pool, true, names).await?);
                let (node, at) = (name.clone(), later(self.clock.now(), DAY));
                self.agenda.enter(at, Event::Unlock { pool, node });
            }
            _ => {
                drop(self.service.drain_nodes(&context, &pool, names).await?);
                let (node, at) = (name.clone(), later(self.clock.now(), HOUR * 8));
                self.agenda.enter(at, Event::Renew { pool, node });
            }
        }
        self.watch.tally.requests += 1;
        Ok(())
    }

    async fn reset(&self, pool: &PoolName, node: &NodeName) -> Result<(), ServiceError> {
        let reset = Reset {
            names: vec![node.clone()],
            rolling: Rolling::Number(1),
            image: None,
            runtime: None,
            inputs: "{}".to_owned(),
        };
        self.service
            .reset_nodes(&place::context(), pool, || Ok(reset.clone()))
            .await
            .map(drop)
    }

    /// What was done to a node for a while ends, if it is there still.
    async fn unlock(&self, pool: &PoolName, node: &NodeName) -> Result<(), ServiceError> {
        let names = || Ok(vec![node.clone()]);
        self.service.lock_nodes(&place::context(), pool, false, names).await.map(drop)
    }

    /// One that is available.
    fn any_node(&self) -> Option<Node> {
        let nodes = self.state.index().read().all::<Node>();
        let is_up = |node: &&store::index::Versioned<Node>| matches!(node.phase, NodePhase::Available { .. }) && node.care.task.is_none();
        let up: Vec<_> = nodes.iter().filter(is_up).collect();
        let at = self.agenda.dice.below(up.len() as u64) as usize;
        up.get(at).map(|node| Node::clone(node))
    }

    /// Up to 16 machines of a pool lose their power for some hours.
    async fn outage(&mut self) -> Result<(), ServiceError> {
        let Some(node) = self.any_node() else { return Ok(()) };
        let machines = self.fleet.machines();
        let own = machines
            .iter()
            .filter(|machine| machine.bound.as_ref().is_some_and(|(mark, _)| mark.pool.name == node.pool));
        let ids: Vec<String> = own
            .map(|machine| machine.registration.id.clone())
            .take(4 + self.agenda.dice.below(13) as usize)
            .collect();
        for id in ids {
            let lasting = Some(SignedDuration::from_hours(1 + self.agenda.dice.below(4) as i64));
            let _known = self.fleet.break_machine(&id, MachineFault::Silent { lasting }).await;
        }
        self.watch.tally.outages += 1;
        Ok(())
    }

    async fn patch(&self, name: &PoolName, change: impl Fn(&mut PoolDraft)) -> Result<(), ServiceError> {
        let edit = |pool: &Pool| {
            let mut draft = place::unchanged(pool);
            let counts: Vec<u32> = draft.resources.iter().map(|resource| resource.count).collect();
            change(&mut draft);
            for (resource, before) in draft.resources.iter_mut().zip(&counts) {
                if resource.count != *before && !draft.is_logical {
                    resource.max_count = None;
                }
            }
            Ok(PoolEdit {
                mentions_resources: draft.resources.iter().map(|resource| resource.count).ne(counts),
                draft,
                billing: BillingDraft::default(),
                mentions_billing: false,
                order_id: Patched::Unchanged,
            })
        };
        self.service.patch_pool(&place::context(), name, edit).await.map(drop)
    }
}
