//! Which of the free Nodes a node becomes. Pure, and the same for everybody who sees the same.

use std::collections::{BTreeMap, BTreeSet};

/// Free Nodes by name, each with the rack or supernode that it is in.
pub type Free = BTreeMap<String, Option<String>>;

/// The best Node for a node: in a block in which the pool has Nodes already; then in the block with the fewest free ones, so that large
/// blocks stay whole; then by a hash of both names, so that different nodes want different Nodes and everybody wants the same.
pub fn select<'a>(free: &'a Free, own: &BTreeSet<String>, node: &str, is_taken: impl Fn(&str) -> bool) -> Option<&'a str> {
    let mut sizes: BTreeMap<Option<&str>, usize> = BTreeMap::new();
    for block in free.values() {
        *sizes.entry(block.as_deref()).or_default() += 1;
    }
    let rank = |name: &str, block: Option<&str>| {
        let is_elsewhere = block.is_none_or(|block| !own.contains(block));
        // Nodes outside all blocks are no block.
        let size = block.map_or(usize::MAX, |_| sizes.get(&block).copied().unwrap_or(0));
        (is_elsewhere, size, weight(node, name))
    };
    let open = free.iter().filter(|(name, _)| !is_taken(name));
    open.map(|(name, block)| (rank(name, block.as_deref()), name.as_str()))
        .min()
        .map(|(_, name)| name)
}

/// A hash that is the same everywhere and for all time (FNV-1a with the finalizer of MurmurHash3).
fn weight(node: &str, name: &str) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in node.bytes().chain([0]).chain(name.bytes()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn free(all: &[(&str, Option<&str>)]) -> Free {
        all.iter()
            .map(|(name, block)| ((*name).to_owned(), block.map(str::to_owned)))
            .collect()
    }

    #[test]
    fn the_blocks_of_the_pool_come_first_and_then_small_ones() {
        let all = free(&[("a", Some("big")), ("b", Some("big")), ("c", Some("small")), ("d", None)]);
        let own = BTreeSet::from(["big".to_owned()]);
        assert!(matches!(select(&all, &own, "n", |_| false), Some("a" | "b")));
        assert_eq!(select(&all, &BTreeSet::new(), "n", |_| false), Some("c"));
        assert_eq!(select(&all, &BTreeSet::new(), "n", |name| name != "d"), Some("d"));
        assert_eq!(select(&all, &own, "n", |_| true), None);
    }

    #[test]
    fn different_nodes_want_different_machines() {
        let names: Vec<String> = (0..64).map(|at| format!("gpu-{at}")).collect();
        let all: Free = names.into_iter().map(|name| (name, None)).collect();
        let wanted: BTreeSet<_> = (0..16)
            .map(|at| select(&all, &BTreeSet::new(), &format!("node-{at}"), |_| false))
            .collect();
        assert!(wanted.len() > 10, "{wanted:?}");
    }
}
