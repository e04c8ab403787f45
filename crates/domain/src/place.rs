//! Where nodes of an element should come and go (contract pools §3.2, semantics §5 rules 4–6).

use crate::catalogue::Offer;
use crate::name::ZoneName;
use crate::pool::{AzCount, PoolResource};
use std::collections::BTreeMap;

/// Nodes by zone.
pub type Zones = BTreeMap<ZoneName, u32>;

/// The difference between an element's wish and what exists.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Delta {
    /// New nodes by zone.
    pub add: Zones,
    pub remove: Removal,
}

/// Nodes to be removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Removal {
    #[default]
    None,
    /// So many, wherever.
    Anywhere(u32),
    /// So many in each of these zones.
    In(Zones),
}

impl Removal {
    pub fn count(&self) -> u32 {
        match self {
            Self::None => 0,
            Self::Anywhere(count) => *count,
            Self::In(zones) => zones.values().sum(),
        }
    }
}

/// What has to happen so that `element` is as wanted. `present` are its nodes that are not on their way out,
/// `given_up` how many of the wanted ones are not tried again for now.
pub fn delta(element: &PoolResource, present: &Zones, given_up: u32, offer: &Offer) -> Delta {
    match &element.azs {
        Some(azs) => explicit(azs, present, given_up),
        None => automatic(element.count, present, given_up, offer),
    }
}

fn explicit(azs: &[AzCount], present: &Zones, given_up: u32) -> Delta {
    let wanted: Zones = azs.iter().map(|entry| (entry.az.clone(), entry.count)).collect();
    let mut add = Zones::new();
    let mut remove = Zones::new();
    let mut skipped = given_up;
    for zone in wanted.keys().chain(present.keys().filter(|zone| !wanted.contains_key(*zone))) {
        let want = wanted.get(zone).copied().unwrap_or(0);
        let have = present.get(zone).copied().unwrap_or(0);
        if want > have {
            let missing = want - have;
            let left_out = missing.min(skipped);
            skipped -= left_out;
            if missing > left_out {
                add.insert(zone.clone(), missing - left_out);
            }
        } else if have > want {
            remove.insert(zone.clone(), have - want);
        }
    }
    let remove = if remove.is_empty() { Removal::None } else { Removal::In(remove) };
    Delta { add, remove }
}

fn automatic(count: u32, present: &Zones, given_up: u32, offer: &Offer) -> Delta {
    let have: u32 = present.values().sum();
    if have > count {
        return Delta {
            add: Zones::new(),
            remove: Removal::Anywhere(have - count),
        };
    }
    let missing = (count - have).saturating_sub(given_up);
    Delta {
        add: spread(missing, present, offer),
        remove: Removal::None,
    }
}

/// Automatic placement of `missing` nodes: zones that have nodes of the element first, then the zone with most free
/// machines, ties by name. What no zone has room for waits in the first of them.
fn spread(missing: u32, present: &Zones, offer: &Offer) -> Zones {
    let mut zones: Vec<(bool, u32, &ZoneName)> = offer
        .zones
        .iter()
        .map(|(zone, offer)| (present.get(zone).is_some_and(|count| *count > 0), offer.free, zone))
        .collect();
    zones.sort_by(|a, b| b.0.cmp(&a.0).then(b.1.cmp(&a.1)).then(a.2.cmp(b.2)));
    let mut add = Zones::new();
    let mut left = missing;
    for (_, free, zone) in &zones {
        let here = left.min(*free);
        if here > 0 {
            add.insert((*zone).clone(), here);
            left -= here;
        }
    }
    if left > 0
        && let Some((_, _, first)) = zones.first()
    {
        *add.entry((*first).clone()).or_insert(0) += left;
    }
    add
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::ZoneOffer;
    use crate::name::FlavorName;
    use proptest::prelude::*;

    fn zone(name: &str) -> ZoneName {
        ZoneName::parse(name).unwrap()
    }

    fn zones(entries: &[(&str, u32)]) -> Zones {
        entries.iter().map(|(name, count)| (zone(name), *count)).collect()
    }

    fn offer(entries: &[(&str, u32)]) -> Offer {
        Offer {
            zones: entries
                .iter()
                .map(|(name, free)| (zone(name), ZoneOffer { free: *free, total: 100 }))
                .collect(),
        }
    }

    fn element(count: u32, azs: Option<&[(&str, u32)]>) -> PoolResource {
        let mut element = PoolResource::plain(FlavorName::parse("f").unwrap(), count);
        element.azs = azs.map(|azs| {
            azs.iter()
                .map(|(name, count)| AzCount {
                    az: zone(name),
                    count: *count,
                })
                .collect()
        });
        element
    }

    #[test]
    fn new_nodes_go_where_the_element_already_is_then_where_most_is_free() {
        let offer = offer(&[("az-1", 5), ("az-2", 9), ("az-3", 9)]);
        assert_eq!(delta(&element(3, None), &zones(&[]), 0, &offer).add, zones(&[("az-2", 3)]));
        assert_eq!(
            delta(&element(3, None), &zones(&[("az-1", 1)]), 0, &offer).add,
            zones(&[("az-1", 2)])
        );
        assert_eq!(
            delta(&element(9, None), &zones(&[("az-1", 1)]), 0, &offer).add,
            zones(&[("az-1", 5), ("az-2", 3)])
        );
    }

    #[test]
    fn what_finds_no_machine_waits_in_the_first_zone() {
        assert_eq!(
            delta(&element(5, None), &zones(&[]), 0, &offer(&[("az-1", 1), ("az-2", 0)])).add,
            zones(&[("az-1", 5)])
        );
    }

    #[test]
    fn explicit_zones_are_followed_exactly_and_may_move_nodes() {
        let wanted = element(4, Some(&[("az-1", 1), ("az-2", 3)]));
        let delta = delta(&wanted, &zones(&[("az-1", 3), ("az-3", 1)]), 0, &offer(&[]));
        assert_eq!(delta.add, zones(&[("az-2", 3)]));
        assert_eq!(delta.remove, Removal::In(zones(&[("az-1", 2), ("az-3", 1)])));
    }

    proptest! {
        #[test]
        fn adding_and_removing_reaches_the_wanted_number(count in 0..20_u32, azs in prop::collection::btree_map("[ab]", 0..9_u32, 0..2), free in prop::collection::btree_map("[abc]", 0..9_u32, 1..3), is_explicit: bool) {
            let present: Zones = azs.iter().map(|(name, count)| (zone(name), *count)).collect();
            let offer = Offer { zones: free.iter().map(|(name, free)| (zone(name), ZoneOffer { free: *free, total: 100 })).collect() };
            let wanted = element(count, is_explicit.then_some(&[("c", count)][..]));
            let delta = delta(&wanted, &present, 0, &offer);
            let have: u32 = present.values().sum();
            let added: u32 = delta.add.values().sum();
            prop_assert_eq!(have + added - delta.remove.count(), count);
            if !is_explicit {
                prop_assert!(added == 0 || delta.remove.count() == 0, "never both without explicit zones");
            }
        }

        #[test]
        fn what_was_given_up_is_not_added(count in 1..20_u32, given_up in 0..25_u32) {
            let delta = delta(&element(count, None), &zones(&[]), given_up, &offer(&[("a", 50)]));
            prop_assert_eq!(delta.add.values().sum::<u32>(), count.saturating_sub(given_up));
        }
    }
}
