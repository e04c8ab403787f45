//! Nodes together with the Machines that are made for them: what is on offer, and what is reported.

use super::Nodes;
use crate::edit;
use crate::machine;
use crate::machines::{self, Machines};
use crate::mark::{self, Order};
use domain::catalogue::{Offers, ZoneOffer};
use domain::meta::Uid;
use domain::name::NodeName;
use fleet::{MachineState, NodeFact};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt;
use kube::api::DynamicObject;
use std::collections::BTreeMap;
use std::sync::Arc;

impl Nodes {
    /// What there is, and what can be made.
    pub fn offers(&self) -> Offers {
        let mut offers = self.view(|view| view.offers());
        let Some(machines) = &self.machines else { return offers };
        let config = &self.context.config;
        for rule in &config.flavor {
            let zones = config.machine_template(&rule.name).map(|template| &template.zones);
            for (zone, limit) in zones.into_iter().flatten() {
                let place = (rule.name.clone(), zone.clone());
                let count = machines.count(&place);
                let room = limit.limit.saturating_sub(count.all);
                // Those that have a Node are counted with the Nodes.
                let coming = count.all.saturating_sub(count.hosted);
                let offer = offers.entry(rule.name.clone()).or_default();
                let here: &mut ZoneOffer = offer.zones.entry(zone.clone()).or_default();
                here.free = here.free.saturating_add(room);
                here.total = here.total.saturating_add(room).saturating_add(coming);
            }
        }
        offers
    }

    /// Adds what is known of Machines to the facts of a pool's nodes. Until when that holds, if nothing changes.
    pub fn add_machines(&self, pool: &Uid, facts: &mut BTreeMap<NodeName, Arc<NodeFact>>) -> Option<Timestamp> {
        let machines = self.machines.as_ref()?;
        for object in machines.of_pool(pool) {
            self.correct(&object, pool, facts);
        }
        let is_named = |name: &NodeName| facts.contains_key(name);
        let pending = machines.pending(pool, is_named, |object, order| self.is_told(object, order));
        let mut earliest = None;
        for (name, object) in pending {
            let has_node = machine::host(&object).is_some_and(|host| self.nodes.get(host).is_some());
            if let Some((fact, until)) = machines::fact(&object, has_node, self.context.now()) {
                facts.insert(name, Arc::new(fact));
                earliest = [earliest, until].into_iter().flatten().min();
            }
        }
        earliest
    }

    /// The Node that a Machine has become, if it is the node that the Machine was made for. Of which pool it is, it says itself.
    pub fn host_of(&self, object: &DynamicObject, order: &Order) -> Option<Arc<Node>> {
        let node = self.nodes.get(machine::host(object)?)?;
        (edit::label(&node, mark::NODE) == Some(mark::own_slug(order.node.as_str()).as_str())).then_some(node)
    }

    /// Whether all there is to say of a Machine is said by its Node, or by the one that it takes the place of.
    fn is_told(&self, object: &DynamicObject, order: &Order) -> bool {
        if self.host_of(object, order).is_some() {
            return true;
        }
        let Some(reset) = machine::request(object) else { return false };
        let before = self.find(&order.pool.uid, &order.node);
        let running = before.and_then(|node| edit::request(&node));
        running.is_some_and(|running| running.number == reset.number) && !machine::is_released(object)
    }

    /// What the Machine of a node has to say against what its Node says.
    fn correct(&self, object: &DynamicObject, pool: &Uid, facts: &mut BTreeMap<NodeName, Arc<NodeFact>>) {
        let Some(order) = machine::order(object) else { return };
        let Some(node) = self
            .host_of(object, &order)
            .filter(|node| edit::is_node_of(node, pool, &order.node))
        else {
            return;
        };
        let Some(fact) = facts.get_mut(&order.node) else { return };
        let host = node.name_any();
        if fact.instance.as_ref() != Some(&host) {
            return;
        }
        let kept = self.machines.as_ref().and_then(|machines| machines.kept(pool, &order.node));
        Arc::make_mut(fact).is_locked = kept.map(|kept| machine::is_locked(&kept));
        let is_idle = !edit::has_action(&node);
        let is_other = || {
            self.view(|view| view.flavor(&host) != Some(&order.flavor)) || {
                let zone = crate::inventory::zone(&node, &self.context.config);
                zone.as_ref() != Some(&order.az)
            }
        };
        if is_idle && machine::is_going(object) {
            Arc::make_mut(fact).state = MachineState::Releasing;
        } else if fact.state == MachineState::Ready && is_other() {
            // Its labels may come later. A machine of another flavor is given up in time.
            Arc::make_mut(fact).state = MachineState::Booting;
        }
    }

    /// Has the Machines looked at whose Nodes have changed.
    pub fn open_machines<'a>(&self, machines: &'a Machines) -> &'a Machines {
        let touched = self.shared.index().touched.replace(BTreeMap::new());
        for (host, owners) in touched.into_iter().flatten() {
            let owners: Vec<_> = owners.into_iter().collect();
            machines.open_all_of(&host, &owners);
        }
        machines
    }
}
