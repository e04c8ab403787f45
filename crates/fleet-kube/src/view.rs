//! What follows from all Nodes and Pods together, kept up to date one Node at a time: what is on offer, and the facts of nodes.

use crate::amount::Amounts;
use crate::config::KubeConfig;
use crate::context::Context;
use crate::driver::installer::Install;
use crate::facts::{Seen, Told, tell};
use crate::inventory::{self, Class};
use crate::pods::Pod;
use crate::select::Free;
use crate::{driver, edit};
use domain::catalogue::{Flavor, Offer, Offers, ZoneOffer};
use domain::name::{FlavorName, ZoneName};
use fleet::NodeFact;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use kube::core::Selector;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Flavor and zone.
pub type Place = (FlavorName, ZoneName);

/// Everything that is derived.
pub struct View {
    selector: Selector,
    nodes: BTreeMap<String, Derived>,
    stocks: BTreeMap<Place, Stock>,
}

/// What there is of a flavor in a zone.
#[derive(Debug, Default)]
struct Stock {
    all: BTreeSet<String>,
    free: Free,
}

/// What a Node, and what has to do with it, is now.
pub struct Now {
    /// `None`: it is gone.
    pub node: Option<Arc<Node>>,
    pub pods: Vec<Arc<Pod>>,
    /// How far an installation of its driver is.
    pub install: Option<Install>,
    /// Which of its devices are sick.
    pub sick: Option<String>,
}

struct Derived {
    node: Arc<Node>,
    pods: Vec<Arc<Pod>>,
    install: Option<Install>,
    /// Which of its devices are sick, and since when.
    sick: Option<(String, Timestamp)>,
    class: Class,
    block: Option<String>,
    /// Since when accelerators are missing.
    short_since: Option<Timestamp>,
    told: Option<(Arc<NodeFact>, Option<Timestamp>)>,
}

impl View {
    pub fn new(selector: Selector) -> Self {
        Self {
            selector,
            nodes: BTreeMap::new(),
            stocks: BTreeMap::new(),
        }
    }

    /// Takes in what a Node is now.
    pub fn refresh(&mut self, name: &str, now: Now, context: &Context) {
        let Now { node, pods, install, sick } = now;
        let before = self.nodes.remove(name);
        if let Some(Class::Known { flavor, zone }) = before.as_ref().map(|known| &known.class) {
            let place = (flavor.clone(), zone.clone());
            if let Some(stock) = self.stocks.get_mut(&place) {
                stock.all.remove(name);
                stock.free.remove(name);
                if stock.all.is_empty() {
                    self.stocks.remove(&place);
                }
            }
        }
        let Some(node) = node else { return };
        let config = &context.config;
        let class = inventory::classify(&node, config, &self.selector);
        let block = config
            .batch_label
            .as_ref()
            .and_then(|key| edit::label(&node, key).map(str::to_owned));
        if let Class::Known { flavor, zone } = &class {
            let stock = self.stocks.entry((flavor.clone(), zone.clone())).or_default();
            stock.all.insert(name.to_owned());
            if sick.is_none() && inventory::is_candidate(&node, flavor, pods.iter().map(AsRef::as_ref), config) {
                stock.free.insert(name.to_owned(), block.clone());
            }
        }
        let flavor = flavor_of(&class);
        let is_short = driver::has_all_accelerators(&node, flavor, config).is_err();
        let was_sick = before.as_ref().and_then(|known| known.sick.as_ref().map(|(_, since)| *since));
        let was_short = before.and_then(|known| known.short_since);
        let derived = Derived {
            short_since: is_short.then(|| was_short.unwrap_or_else(|| context.now())),
            node,
            pods,
            install,
            sick: sick.map(|which| (which, was_sick.unwrap_or_else(|| context.now()))),
            class,
            block,
            told: None,
        };
        self.nodes.insert(name.to_owned(), derived);
    }

    /// Free and existing machines.
    pub fn offers(&self) -> Offers {
        let mut offers = Offers::new();
        for ((flavor, zone), stock) in &self.stocks {
            let count = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
            let offer: &mut Offer = offers.entry(flavor.clone()).or_default();
            let here = ZoneOffer {
                free: count(stock.free.len()),
                total: count(stock.all.len()),
            };
            offer.zones.insert(zone.clone(), here);
        }
        offers
    }

    /// The free Nodes of a flavor in a zone.
    pub fn free(&self, place: &Place) -> Option<&Free> {
        self.stocks.get(place).map(|stock| &stock.free)
    }

    /// The racks or supernodes that Nodes are in.
    pub fn blocks<'a>(&self, nodes: impl Iterator<Item = &'a str>) -> BTreeSet<String> {
        nodes.filter_map(|name| self.nodes.get(name)?.block.clone()).collect()
    }

    /// What a Node counts as.
    pub fn flavor(&self, name: &str) -> Option<&FlavorName> {
        flavor_of(&self.nodes.get(name)?.class)
    }

    /// Nodes that several flavors match.
    pub fn unclear(&self) -> BTreeMap<String, Vec<FlavorName>> {
        let several = self.nodes.iter().filter_map(|(name, known)| match &known.class {
            Class::Unclear(flavors) => Some((name.clone(), flavors.clone())),
            Class::Foreign | Class::Homeless(_) | Class::Known { .. } => None,
        });
        several.collect()
    }

    /// Nodes of a flavor that have no zone.
    pub fn homeless(&self) -> Vec<String> {
        let homeless = self.nodes.iter().filter(|(_, known)| matches!(known.class, Class::Homeless(_)));
        homeless.map(|(name, _)| name.clone()).collect()
    }

    /// The flavors of all Nodes, each described by the first Node that is one, with all zones that it is in.
    pub fn flavors(&self) -> BTreeMap<FlavorName, Flavor> {
        let mut flavors: BTreeMap<FlavorName, Flavor> = BTreeMap::new();
        for ((name, zone), stock) in &self.stocks {
            let Some(first) = stock.all.first().and_then(|node| self.nodes.get(node)) else {
                continue;
            };
            let flavor = flavors
                .entry(name.clone())
                .or_insert_with(|| inventory::describe(&first.node, name.clone()));
            flavor.zones.push(zone.clone());
        }
        flavors
    }

    /// A Node of a flavor.
    pub fn sample(&self, flavor: &FlavorName) -> Option<Arc<Node>> {
        let stock = self
            .stocks
            .iter()
            .find(|((name, _), stock)| name == flavor && !stock.all.is_empty())?
            .1;
        self.nodes.get(stock.all.first()?).map(|known| Arc::clone(&known.node))
    }

    /// What every Node of a flavor can allocate, of those that are well and have all their accelerators.
    pub fn least(&self, flavor: &FlavorName, config: &KubeConfig) -> Amounts {
        let stocks = self.stocks.iter().filter(|((name, _), _)| name == flavor);
        let names = stocks.flat_map(|(_, stock)| &stock.all);
        let nodes = names.filter_map(|name| self.nodes.get(name)).map(|known| known.node.as_ref());
        let is_well = |node: &&Node| inventory::is_ready(node) && driver::has_all_accelerators(node, Some(flavor), config).is_ok();
        inventory::least(nodes.filter(is_well))
    }

    /// What is reported of a Node, and until when that holds.
    pub fn fact(&mut self, name: &str, context: &Context) -> Option<(Arc<NodeFact>, Option<Timestamp>)> {
        let now = context.now();
        let known = self.nodes.get_mut(name)?;
        if let Some((fact, until)) = &known.told
            && until.is_none_or(|until| now < until)
        {
            return Some((Arc::clone(fact), *until));
        }
        let pods: Vec<&Pod> = known.pods.iter().map(AsRef::as_ref).collect();
        let Told { fact, until } = tell(&Seen {
            node: &known.node,
            pods: &pods,
            flavor: flavor_of(&known.class),
            short_since: known.short_since,
            install: known.install.as_ref(),
            sick: known.sick.as_ref().map(|(which, since)| (which.as_str(), *since)),
            config: &context.config,
            now,
        });
        let fact = Arc::new(fact);
        known.told = Some((Arc::clone(&fact), until));
        Some((fact, until))
    }
}

fn flavor_of(class: &Class) -> Option<&FlavorName> {
    match class {
        Class::Known { flavor, .. } | Class::Homeless(flavor) => Some(flavor),
        Class::Foreign | Class::Unclear(_) => None,
    }
}
