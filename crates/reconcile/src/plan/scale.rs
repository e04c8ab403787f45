//! More or fewer nodes (semantics §5).

use super::work::Work;
use domain::meta::Uid;
use domain::name::{NodeName, ZoneName, suffix};
use domain::node::{DeleteCause, Node, NodeBatch, NodeDriver, NodeDriverState, NodePhase, NodeTemplate};
use domain::order::ItemAction;
use domain::place::{self, Removal};
use domain::pool::{ElementKey, PoolResource};
use domain::status;
use fleet::{Command, Observation};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

impl Work<'_> {
    /// Plans the nodes that are missing and takes those that are too many.
    pub fn scale(&mut self, observed: &Observation) {
        if !self.is_building() {
            return;
        }
        self.retry_creation();
        self.replace_zones_without_machines();
        let wanted: Vec<PoolResource> = self.pool.spec.resources.clone();
        for element in &wanted {
            let key = element.element();
            let present = status::present_nodes(self.nodes.values(), &key);
            let given_up = self.pool.status.attempt.given_up_of(&key);
            let delta = place::delta(element, &present, given_up, status::offer(self.input.offers, element));
            self.remove(&key, &delta.remove, observed);
            for (zone, count) in delta.add {
                self.add(element, &zone, count);
            }
        }
        let is_orphaned = |node: &&Node| !wanted.iter().any(|element| element.is(&node.flavor, &node.node_pool));
        let orphaned: BTreeSet<ElementKey> = self.nodes.values().filter(is_orphaned).map(Node::element).collect();
        for key in orphaned {
            let count = status::present_nodes(self.nodes.values(), &key).values().sum();
            self.remove(&key, &Removal::Anywhere(count), observed);
        }
    }

    /// What a creation could not get is tried again after a while, in the background.
    fn retry_creation(&mut self) {
        let attempt = &mut self.pool.status.attempt;
        let Some(at) = attempt.retry_at else { return };
        if self.now >= at {
            attempt.retry_at = None;
            attempt.given_up.clear();
        } else {
            self.wake_at(at);
        }
    }

    /// A node that found no machine in its zone goes to another one, where placement is automatic.
    fn replace_zones_without_machines(&mut self) {
        for name in self.input.no_capacity {
            let Some(node) = self
                .nodes
                .get_mut(name)
                .filter(|node| matches!(node.phase, NodePhase::Creating { .. }) && node.machine.is_none())
            else {
                continue;
            };
            let Some(element) = self.pool.spec.resources.iter().find(|element| element.element() == node.element()) else {
                continue;
            };
            if element.azs.is_some() {
                continue;
            }
            let offer = status::offer(self.input.offers, element);
            let best = offer
                .zones
                .iter()
                .filter(|(_, zone)| zone.free > 0)
                .max_by_key(|(name, zone)| (zone.free, std::cmp::Reverse((*name).clone())));
            if let Some((zone, _)) = best {
                node.az = zone.clone();
                let node = node.clone();
                self.commands
                    .retain(|command| !matches!(command, Command::CreateNode(request) if request.node == node.name));
                let command = self.create_command(&node);
                self.commands.push(command);
            }
        }
    }

    fn add(&mut self, element: &PoolResource, zone: &ZoneName, count: u32) {
        let deadline = self.now.saturating_add(self.policy.node_timeout).unwrap_or(Timestamp::MAX);
        self.wake_at(deadline);
        let mut gaps = self.gaps(element);
        for _ in 0..count {
            let batch = element.creating_step.as_ref().map(|step| {
                gaps.pop().unwrap_or_else(|| {
                    self.pool.status.node_sequence += 1;
                    let uid = self.uid(self.pool.status.node_sequence);
                    let batch = NodeBatch { uid, step: step.clone() };
                    gaps.extend(std::iter::repeat_n(batch.clone(), step.step.saturating_sub(1) as usize));
                    batch
                })
            });
            let node = self.new_node(element, zone, deadline, batch);
            let now = self.now;
            if let Some(order) = self.open_order() {
                order.item(node.name.as_str(), ItemAction::CreateNode, now);
            }
            self.commands.push(self.create_command(&node));
            self.nodes.insert(Box::new(node));
        }
    }

    /// The places that are free in batches of the element that are not whole.
    fn gaps(&self, element: &PoolResource) -> Vec<NodeBatch> {
        let Some(step) = &element.creating_step else { return Vec::new() };
        let key = element.element();
        let mut members: BTreeMap<&Uid, (&NodeBatch, u32)> = BTreeMap::new();
        let own = self
            .nodes
            .values()
            .filter(|node| node.element() == key && !node.phase.is_deleting());
        for batch in own.filter_map(|node| node.batch.as_deref()) {
            members.entry(&batch.uid).or_insert((batch, 0)).1 += 1;
        }
        let of_batch =
            |(batch, count): &(&NodeBatch, u32)| std::iter::repeat_n(NodeBatch::clone(batch), step.step.saturating_sub(*count) as usize);
        members.values().flat_map(of_batch).collect()
    }

    fn new_node(&mut self, element: &PoolResource, zone: &ZoneName, deadline: Timestamp, batch: Option<NodeBatch>) -> Node {
        let name = self.new_name();
        let kind = self
            .input
            .catalogue
            .flavors
            .get(&element.flavor)
            .and_then(|flavor| flavor.accelerator());
        let template = NodeTemplate {
            extend_params: element.extend_params.clone(),
            root_volume: element.root_volume.clone(),
            data_volumes: element.data_volumes.clone(),
            os: element.os.clone(),
            labels: element.labels.clone(),
            tags: element.tags.clone(),
            billing_mode: self.pool.status.attempt.node_billing,
        };
        Node {
            uid: self.uid(self.pool.status.node_sequence),
            name,
            project: self.pool.owner.project.clone(),
            domain: Some(self.pool.owner.domain.clone()),
            pool: self.pool.name.clone(),
            pool_uid: self.pool.uid.clone(),
            flavor: element.flavor.clone(),
            node_pool: element.node_pool(),
            az: zone.clone(),
            created_at: self.now,
            order: self.pool.status.attempt.order.clone(),
            phase: NodePhase::Creating { deadline },
            was_available: false,
            driver: kind.map(|kind| NodeDriver {
                kind,
                installed: None,
                state: NodeDriverState::Settled,
            }),
            machine: None,
            template: (!template.is_empty()).then(|| Box::new(template)),
            is_locked: false,
            is_ha_spare: false,
            quota: None,
            batch: batch.map(Box::new),
            care: domain::node::Care::default(),
        }
    }

    /// A name that no node of the project has: chosen here and stored before any machine is asked for.
    #[expect(
        clippy::expect_used,
        reason = "a prefix that was accepted and five letters are never empty or too long"
    )]
    fn new_name(&mut self) -> NodeName {
        let prefix = self
            .pool
            .node_prefix
            .as_ref()
            .map_or("os-node-created", |prefix| prefix.as_str())
            .to_owned();
        loop {
            self.pool.status.node_sequence += 1;
            let name = NodeName::parse(&format!("{prefix}-{}", suffix(self.seed(self.pool.status.node_sequence))))
                .expect("a generated node name is valid");
            if !self.nodes.contains_key(&name) && !(self.input.taken)(&name) {
                return name;
            }
        }
    }

    /// Takes nodes of an element away.
    fn remove(&mut self, key: &ElementKey, removal: &Removal, observed: &Observation) {
        let quotas: Vec<(Option<ZoneName>, u32)> = match removal {
            Removal::None => return,
            Removal::Anywhere(count) => vec![(None, *count)],
            Removal::In(zones) => zones.iter().map(|(zone, count)| (Some(zone.clone()), *count)).collect(),
        };
        for (zone, count) in quotas {
            let mut chosen = self.removable(key, zone.as_ref(), observed);
            chosen.truncate(count as usize);
            for name in chosen {
                self.take(&name, DeleteCause::ScaleIn);
            }
        }
    }

    /// Nodes in the order in which they go: abnormal, creating, idle, busy ones; within a group the youngest first; spares
    /// last; locked ones never. Those of one batch follow each other, so that a multiple of its size takes it whole: a batch
    /// goes when the first of its nodes would, and one that cannot go whole after all others.
    fn removable(&self, key: &ElementKey, zone: Option<&ZoneName>, observed: &Observation) -> Vec<NodeName> {
        let turn = |node: &Node| {
            let is_busy = observed.nodes.get(&node.name).is_some_and(|fact| fact.is_busy);
            let age = std::cmp::Reverse(node.created_at);
            (node.is_ha_spare, rank(node, is_busy), age, node.name.clone())
        };
        let mut firsts: BTreeMap<&Uid, _> = BTreeMap::new();
        let mut held_back: BTreeSet<&Uid> = BTreeSet::new();
        let mut candidates: Vec<&Node> = Vec::new();
        let own = self
            .nodes
            .values()
            .filter(|node| node.element() == *key && !node.phase.is_deleting());
        for node in own {
            let can_go = !node.is_locked && zone.is_none_or(|zone| node.az == *zone);
            if let Some(batch) = &node.batch {
                if !can_go {
                    held_back.insert(&batch.uid);
                }
                let turn = turn(node);
                let first = firsts.entry(&batch.uid).or_insert_with(|| turn.clone());
                *first = turn.min(first.clone());
            }
            candidates.extend(can_go.then_some(node));
        }
        candidates.sort_by_cached_key(|node| {
            let batch = node.batch.as_ref().map(|batch| &batch.uid);
            let first = batch.and_then(|batch| firsts.get(batch)).cloned().unwrap_or_else(|| turn(node));
            (batch.is_some_and(|batch| held_back.contains(batch)), first, turn(node))
        });
        candidates.into_iter().map(|node| node.name.clone()).collect()
    }

    /// Sends a node away. One that this very plan was to make is not made.
    pub fn take(&mut self, name: &NodeName, cause: DeleteCause) {
        if !self.nodes.was_known(name) {
            self.nodes.remove(name);
            self.commands.retain(|command| command.node() != Some(name));
            return;
        }
        let mark = self.mark();
        let stays = self.nodes.get(name).is_some_and(|node| !node.phase.is_deleting());
        let Some(node) = self.nodes.get_mut(name).filter(|_| stays) else {
            return;
        };
        node.phase = NodePhase::Deleting { cause, since: self.now };
        self.commands.retain(|command| command.node() != Some(name));
        self.commands.push(Command::DeleteNode {
            pool: mark,
            node: name.clone(),
        });
        let now = self.now;
        if let Some(order) = self.open_order() {
            order.item(name.as_str(), ItemAction::DeleteNode, now);
        }
    }
}

fn rank(node: &Node, is_busy: bool) -> u8 {
    match node.phase {
        NodePhase::Abnormal { .. } => 0,
        NodePhase::Creating { .. } | NodePhase::Checking { .. } => 1,
        NodePhase::Available { .. } if !is_busy => 2,
        NodePhase::Available { .. } | NodePhase::Deleting { .. } => 3,
    }
}
