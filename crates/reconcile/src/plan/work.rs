//! What a plan is being made of.

use super::roll::{Change, Roll};
use super::{KnownEvent, Plan, PlanInput};
use crate::plan::Policy;
use domain::event::{Event, Occurrence};
use domain::job::Job;
use domain::meta::Uid;
use domain::name::TemplateName;
use domain::node::Node;
use domain::order::Order;
use domain::plugin::Plugin;
use domain::pool::{Pool, PoolPhase, PoolRef};
use fleet::{Command, PoolMark};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::time::Duration;
use store::{Count, Expect, Object, TypedBatch};

/// Working copies of the tree, and what has been decided so far.
pub(super) struct Work<'a> {
    pub input: &'a PlanInput<'a>,
    pub now: Timestamp,
    pub policy: &'a Policy,
    pub pool: Pool,
    pub nodes: Roll<'a>,
    pub plugins: BTreeMap<TemplateName, Plugin>,
    /// While it is open. One that has ended may have thousands of items, and is not copied.
    pub order: Option<Order>,
    /// Jobs that work on its nodes, or did.
    pub jobs: BTreeMap<Uid, Job>,
    pub commands: Vec<Command>,
    pub counts: Vec<Count>,
    /// Descendants as they should be, in the order of the tree; `None`: gone.
    pub descendants: Vec<Option<Pool>>,
    pub descendant_events: Vec<Event>,
    pub descendant_orders: Vec<Order>,
    pub occurrences: Vec<Occurrence>,
    pub wake: Option<Timestamp>,
    /// The root and everything of it goes.
    pub is_erased: bool,
}

impl<'a> Work<'a> {
    pub fn new(input: &'a PlanInput<'a>) -> Self {
        let tree = input.tree;
        let open = tree.order.as_ref().filter(|order| !order.phase.is_ended());
        Self {
            input,
            now: input.now,
            policy: input.policy,
            pool: Pool::clone(&tree.root),
            nodes: Roll::new(&tree.nodes),
            plugins: tree
                .plugins
                .iter()
                .map(|plugin| (plugin.template.clone(), Plugin::clone(plugin)))
                .collect(),
            order: open.map(|order| Order::clone(&order.object)),
            jobs: tree.jobs.iter().map(|job| (job.id.clone(), Job::clone(job))).collect(),
            commands: Vec::new(),
            counts: Vec::new(),
            descendants: tree.descendants.iter().map(|known| Some(Pool::clone(&known.pool))).collect(),
            descendant_events: Vec::new(),
            descendant_orders: Vec::new(),
            occurrences: Vec::new(),
            wake: None,
            is_erased: false,
        }
    }

    pub fn mark(&self) -> PoolMark {
        PoolMark {
            uid: self.pool.uid.clone(),
            pool: PoolRef {
                project: self.pool.owner.project.clone(),
                name: self.pool.name.clone(),
            },
        }
    }

    /// The order in work, while it has not ended: an ended one never changes, whatever the pool does after it.
    pub fn open_order(&mut self) -> Option<&mut Order> {
        self.order.as_mut().filter(|order| !order.phase.is_ended())
    }

    pub fn wake_at(&mut self, at: Timestamp) {
        self.wake = Some(self.wake.map_or(at, |earlier| earlier.min(at)));
    }

    pub fn wake_after(&mut self, wait: Duration) {
        self.wake_at(self.now.saturating_add(wait).unwrap_or(Timestamp::MAX));
    }

    /// Enters a phase if the table allows it; tells it as an event.
    pub fn enter(&mut self, phase: PoolPhase) {
        if !self.pool.status.phase.may_become(&phase) {
            tracing::error!(pool = %self.pool.name, from = self.pool.status.phase.as_str(), to = phase.as_str(), "an illegal change of phase was planned");
            return;
        }
        if self.pool.status.phase.as_str() != phase.as_str() {
            self.occurrences.push(Occurrence::phase_change(&self.pool.status.phase, &phase));
        }
        self.pool.status.phase = phase;
    }

    /// A uid that depends on nothing but the pool and a number.
    pub fn uid(&self, number: u64) -> Uid {
        let mut bytes = [0; 10];
        bytes[..8].copy_from_slice(&self.seed(number).to_le_bytes());
        Uid::new(u64::try_from(self.now.as_millisecond()).unwrap_or(0), bytes)
    }

    /// Reproducible bits out of the pool's uid and a number.
    pub fn seed(&self, number: u64) -> u64 {
        let mut hash = 0xcbf2_9ce4_8422_2325_u64 ^ number;
        for byte in self.pool.uid.as_str().bytes().chain(number.to_le_bytes()) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        hash ^ (hash >> 29)
    }

    pub fn finish(mut self) -> Plan {
        let mut batch = TypedBatch::default();
        if self.is_erased {
            self.erase(&mut batch);
        } else {
            self.write_root(&mut batch);
        }
        self.write_rest(&mut batch);
        let is_quiet = self.commands.is_empty() && self.is_only_news_of_machines(&batch);
        Plan {
            is_quiet,
            batch,
            commands: self.commands,
            wake: self.wake,
        }
    }

    fn is_only_news_of_machines(&self, batch: &TypedBatch) -> bool {
        let root = &self.input.tree.root;
        let is_news = |object: &Object| {
            let Object::Node(node) = object else {
                return object.key() == root.entry.key;
            };
            self.nodes.stored(&node.name).is_some_and(|stored| {
                let machine = stored.machine.clone();
                Node {
                    machine,
                    ..Node::clone(node)
                } == *stored.object
            })
        };
        self.pool == *root.object
            && batch.deletes.is_empty()
            && batch.counts.iter().all(|count| count.add == 0)
            && batch.puts.iter().all(|(object, _)| is_news(object))
    }

    fn erase(&mut self, batch: &mut TypedBatch) {
        let tree = self.input.tree;
        batch.delete(tree.root.entry.key.clone(), Expect::At(tree.root.revision()));
        for plugin in &tree.plugins {
            batch.delete(plugin.entry.key.clone(), Expect::At(plugin.revision()));
        }
        for node in &tree.nodes {
            batch.delete(node.entry.key.clone(), Expect::At(node.revision()));
        }
        for event in &tree.events {
            batch.delete(event.key.clone(), Expect::Any);
        }
        for event in &tree.scheduled {
            batch.delete(event.clone(), Expect::Any);
        }
        for job in &tree.jobs {
            batch.delete(job.entry.key.clone(), Expect::At(job.revision()));
        }
    }

    /// Jobs as they should be; those that ended long ago go.
    fn write_jobs(&self, batch: &mut TypedBatch) {
        for known in &self.input.tree.jobs {
            let Some(next) = self.jobs.get(&known.id) else { continue };
            let kept = |at: Timestamp| at.saturating_add(self.policy.job_retention).unwrap_or(Timestamp::MAX);
            if next.ended.as_ref().is_some_and(|end| kept(end.at) <= self.now) {
                batch.delete(known.entry.key.clone(), Expect::At(known.revision()));
            } else if *next != *known.object {
                batch.put(next.clone(), Expect::At(known.revision()));
            }
        }
    }

    /// Takes away events that are too many or too old.
    fn forget_events(events: &[KnownEvent], batch: &mut TypedBatch) {
        for event in events.iter().filter(|event| event.is_surplus) {
            batch.delete(event.key.clone(), Expect::Any);
        }
    }

    fn write_root(&mut self, batch: &mut TypedBatch) {
        let tree = self.input.tree;
        self.count_nodes();
        for occurrence in std::mem::take(&mut self.occurrences) {
            let event = self.pool.record(occurrence, self.now);
            batch.put(event, Expect::Absent);
        }
        Self::forget_events(&tree.events, batch);
        for change in self.nodes.changes() {
            match change {
                Change::Added(node) => batch.put(node.clone(), Expect::Absent),
                Change::Changed(stored, node) => batch.put(node.clone(), Expect::At(stored.revision())),
                Change::Deleted(stored) => batch.delete(stored.entry.key.clone(), Expect::At(stored.revision())),
            }
        }
        for plugin in &tree.plugins {
            match self.plugins.get(&plugin.template) {
                None => batch.delete(plugin.entry.key.clone(), Expect::At(plugin.revision())),
                Some(next) if *next != *plugin.object => batch.put(next.clone(), Expect::At(plugin.revision())),
                Some(_) => {}
            }
        }
        for (template, plugin) in &self.plugins {
            if !tree.plugins.iter().any(|known| known.template == *template) {
                batch.put(plugin.clone(), Expect::Absent);
            }
        }
        self.write_jobs(batch);
        let writes = !batch.is_empty();
        if self.pool != *tree.root.object || writes {
            batch.put(self.pool.clone(), Expect::At(tree.root.revision()));
        }
    }

    fn write_rest(&mut self, batch: &mut TypedBatch) {
        let tree = self.input.tree;
        if let (Some(known), Some(next)) = (&tree.order, &self.order)
            && *next != *known.object
        {
            batch.put(next.clone(), Expect::At(known.revision()));
        }
        for (known, next) in tree.descendants.iter().zip(&self.descendants) {
            match next {
                Some(next) if *next != *known.pool.object => {
                    batch.put(next.clone(), Expect::At(known.pool.revision()));
                    Self::forget_events(&known.events, batch);
                }
                Some(_) => Self::forget_events(&known.events, batch),
                None => {
                    batch.delete(known.pool.entry.key.clone(), Expect::At(known.pool.revision()));
                    known.events.iter().for_each(|event| batch.delete(event.key.clone(), Expect::Any));
                }
            }
        }
        for event in std::mem::take(&mut self.descendant_events) {
            batch.put(event, Expect::Absent);
        }
        for next in &self.descendant_orders {
            let known = tree
                .descendants
                .iter()
                .filter_map(|known| known.order.as_ref())
                .find(|known| known.name == next.name);
            if let Some(known) = known {
                batch.put(next.clone(), Expect::At(known.revision()));
            }
        }
        batch.counts.append(&mut self.counts);
    }
}
