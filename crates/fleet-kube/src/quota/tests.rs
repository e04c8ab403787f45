use super::*;
use domain::name::{PoolName, ProjectId};
use domain::pool::tree::Amount as Nodes;
use domain::pool::{JobType, PoolRef};
use proptest::prelude::*;

pub const FLAVORS: [&str; 3] = ["a100", "h100", "cpu"];

pub fn flavor(name: &str) -> FlavorName {
    FlavorName::parse(name).unwrap()
}

pub fn per_node() -> PerNode {
    let amounts = |pairs: &[(&str, &str)]| -> Amounts {
        let read = |(name, text): &(&str, &str)| ((*name).to_owned(), Amount::parse(text).unwrap());
        pairs.iter().map(read).collect()
    };
    let gpu = amounts(&[("nvidia.com/gpu", "8"), ("cpu", "176"), ("memory", "1760Gi")]);
    let cpu = amounts(&[("cpu", "62"), ("memory", "120Gi")]);
    [(flavor("a100"), gpu.clone()), (flavor("h100"), gpu), (flavor("cpu"), cpu)].into()
}

/// The pool with a number; 0 is the physical one.
pub fn mark(number: usize) -> PoolMark {
    let project = ProjectId::parse("6f5da086876d4cd084d36f8bd3346036").unwrap();
    let name = PoolName::parse(&format!("pool-{number}-{project}")).unwrap();
    PoolMark {
        uid: Uid::from_text(&format!("0193a1b2c3d47e{number:018x}")),
        pool: PoolRef { project, name },
    }
}

pub fn quota(number: usize, parent: Option<usize>, amounts: &[(&str, u64, u64)]) -> Quota {
    let read = |(name, count, max_count): &(&str, u64, u64)| {
        let (count, max_count) = (*count, *max_count);
        (flavor(name), Nodes { count, max_count })
    };
    Quota {
        pool: mark(number),
        parent: parent.map(|number| mark(number).uid),
        open: JobType::ALL.into(),
        is_shut: false,
        amounts: amounts.iter().map(read).collect(),
    }
}

/// Lists of quotas of up to six pools, in any proportions; a pool's parent has a smaller number.
pub fn quotas() -> impl Strategy<Value = Vec<Quota>> {
    let amounts = || proptest::collection::btree_map(0..3_usize, (0..6_u64, 0..9_u64), 0..3);
    let pool = (any::<bool>(), 0..5_usize, amounts());
    proptest::collection::vec(pool, 0..6).prop_map(|pools| {
        let mut there: Vec<usize> = Vec::new();
        let mut all = Vec::new();
        for (number, (is_there, parent, amounts)) in pools.into_iter().enumerate() {
            if !is_there && number > 0 {
                continue;
            }
            let amounts: Vec<_> = amounts.into_iter().map(|(at, (count, more))| (FLAVORS[at], count, more)).collect();
            let parent = (number > 0).then(|| there[parent % there.len()]);
            there.push(number);
            all.push(quota(number, parent, &amounts));
        }
        all
    })
}

fn share(count: u64, max_count: u64, own: u64) -> Share {
    Share { count, max_count, own }
}

#[test]
fn the_own_share_is_what_children_leave() {
    let quotas = [
        quota(0, None, &[("a100", 4, 6), ("cpu", 2, 2)]),
        quota(1, Some(0), &[("a100", 2, 4)]),
        quota(2, Some(0), &[("a100", 1, 6)]),
        quota(3, Some(1), &[("a100", 2, 2)]),
    ];
    let tree = QuotaTree::new(&quotas, &per_node());
    let shares: Vec<Share> = tree.pools().iter().map(|pool| pool.shares[&flavor("a100")]).collect();
    assert_eq!(shares, [share(4, 6, 1), share(2, 4, 0), share(1, 6, 1), share(2, 2, 2)]);
    let bounds = tree.bounds(&tree.pools()[0]);
    let text = |amounts: &Amounts| serde_json::to_string(amounts).unwrap();
    assert_eq!(text(&bounds.deserved), r#"{"cpu":"828","memory":"7280Gi","nvidia.com/gpu":"32"}"#);
    assert_eq!(
        text(&bounds.capability),
        r#"{"cpu":"1180","memory":"10800Gi","nvidia.com/gpu":"48"}"#
    );
    assert_eq!(text(&bounds.own), r#"{"cpu":"300","memory":"2000Gi","nvidia.com/gpu":"8"}"#);
}

#[test]
fn what_does_not_fit_is_cut() {
    let quotas = [
        quota(0, None, &[("a100", 2, 2)]),
        quota(1, Some(0), &[("a100", 1, 9), ("h100", 1, 1)]),
        quota(2, Some(0), &[("a100", 3, 1)]),
        quota(3, Some(0), &[("a100", 3, 3)]),
        quota(4, Some(9), &[("a100", 1, 1)]),
    ];
    let tree = QuotaTree::new(&quotas, &per_node());
    let shares: Vec<Share> = tree.pools().iter().map(|pool| pool.shares[&flavor("a100")]).collect();
    assert_eq!(shares, [share(2, 2, 0), share(1, 2, 1), share(1, 1, 1), share(0, 2, 0)]);
    assert_eq!(tree.pools()[1].shares[&flavor("h100")], share(0, 0, 0));
}

#[test]
fn a_pool_without_a_resource_names_it_all_the_same() {
    let tree = QuotaTree::new(
        &[
            quota(0, None, &[("cpu", 1, 1), ("a100", 1, 1)]),
            quota(1, Some(0), &[("cpu", 1, 1)]),
        ],
        &per_node(),
    );
    let bounds = tree.bounds(&tree.pools()[1]);
    assert_eq!(bounds.capability["nvidia.com/gpu"], Amount::ZERO);
    assert_eq!(tree.node(&flavor("cpu"))["nvidia.com/gpu"], Amount::ZERO);
}

#[test]
fn a_flavor_of_which_nobody_knows_what_it_counts_is_told() {
    let tree = QuotaTree::new(&[quota(0, None, &[("b200", 1, 1)])], &per_node());
    assert_eq!(tree.unknown_flavors(), BTreeSet::from([&flavor("b200")]));
    assert!(tree.bounds(&tree.pools()[0]).deserved.is_empty());
}

#[test]
fn quotas_come_level_by_level() {
    let quotas = vec![
        quota(4, Some(1), &[]),
        quota(2, Some(0), &[]),
        quota(3, Some(1), &[]),
        quota(0, None, &[]),
        quota(1, Some(0), &[]),
    ];
    let numbers: Vec<_> = ordered(quotas).into_iter().map(|quota| quota.pool).collect();
    assert_eq!(numbers, [0, 1, 2, 3, 4].map(mark));
}

proptest! {
    #[test]
    fn every_tree_is_lawful(quotas in quotas()) {
        let tree = QuotaTree::new(&quotas, &per_node());
        for pool in tree.pools() {
            for (flavor, share) in &pool.shares {
                let below = tree.pools().iter().filter(|child| child.parent.as_ref() == Some(&pool.mark.uid));
                let below: Vec<Share> = below.filter_map(|child| child.shares.get(flavor).copied()).collect();
                prop_assert!(share.count <= share.max_count);
                prop_assert_eq!(share.own + below.iter().map(|share| share.count).sum::<u64>(), share.count);
                prop_assert!(below.iter().all(|child| child.max_count <= share.max_count));
            }
        }
    }
}
