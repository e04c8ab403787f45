use super::*;
use crate::meta::Uid;
use crate::name::{DisplayName, DomainId, OrderName, PoolName, ProjectId, WorkspaceId};
use crate::pool::draft::{BillingDraft, Patched, PoolEdit, PoolNetworkDraft};
use crate::pool::{Attempt, AzCount, Billing, Business, Origin, Owner, Pool, PoolPhase, PoolStatus, Purpose, ResourceCounts, Sharing};
use jiff::Timestamp;
use proptest::prelude::*;
use std::collections::BTreeMap;

fn flavor(name: &str) -> FlavorName {
    FlavorName::parse(name).unwrap()
}

fn draft(elements: &[(&str, u32)]) -> PoolDraft {
    PoolDraft {
        display_name: DisplayName::parse("pool-a").unwrap(),
        workspace: None,
        sharing: None,
        node_prefix: None,
        labels: BTreeMap::new(),
        annotations: BTreeMap::new(),
        description: None,
        billing: BillingDraft::default(),
        tags: None,
        is_logical: false,
        scope: Some(vec![JobType::Train]),
        resources: elements
            .iter()
            .map(|(name, count)| ResourceDraft::plain(flavor(name), *count))
            .collect(),
        parent: None,
        network: Some(PoolNetworkDraft {
            name: Some(NetworkName::parse("network").unwrap()),
            vpc: None,
            subnet: None,
        }),
        container_cidr: None,
        service_cidr: None,
        masters: Vec::new(),
        cluster_flavor: None,
        job_flavors: Vec::new(),
        driver: None,
        ipv6: None,
        has_clusters: false,
        has_user_login: false,
    }
}

fn pool(elements: &[(&str, u32)]) -> Pool {
    let draft = draft(elements);
    let project = ProjectId::parse(&"a".repeat(32)).unwrap();
    Pool {
        name: PoolName::of(&draft.display_name, &project),
        uid: Uid::new(0, [0; 10]),
        generation: 1,
        created_at: Timestamp::UNIX_EPOCH,
        deleted_at: None,
        owner: Owner {
            project,
            domain: DomainId::parse("d").unwrap(),
            domain_name: "d".to_owned(),
        },
        display_name: draft.display_name.clone(),
        workspace: WorkspaceId::default_workspace(),
        sharing: Sharing::Unshared,
        node_prefix: None,
        resource_id: "r".to_owned(),
        origin: Origin::Api,
        business: Business::Private,
        last_order: OrderName::parse("o").unwrap(),
        labels: BTreeMap::new(),
        annotations: BTreeMap::new(),
        description: String::new(),
        billing: Billing::default(),
        flavor_resource_ids: BTreeMap::new(),
        tags: Vec::new(),
        spec: new_spec(&draft),
        status: PoolStatus {
            phase: PoolPhase::Running,
            resources: ResourceCounts::default(),
            scopes: Vec::new(),
            drivers: BTreeMap::new(),
            children: 0,
            attempt: Attempt {
                order: OrderName::parse("o").unwrap(),
                purpose: Purpose::Creation,
                started_at: Timestamp::UNIX_EPOCH,
                given_up: BTreeMap::new(),
                retry_at: None,
                is_finished: true,
                node_billing: None,
                previous: None,
            },
            cluster_ready: true,
            unwell_since: None,
            node_sequence: 0,
            event_sequence: 0,
            reported: None,
            dependencies: BTreeMap::new(),
        },
    }
}

fn edit(draft: PoolDraft) -> PoolEdit {
    PoolEdit {
        draft,
        mentions_resources: true,
        billing: BillingDraft::default(),
        mentions_billing: false,
        order_id: Patched::Unchanged,
    }
}

fn messages(errors: &FieldErrors) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

#[test]
fn a_plain_physical_draft_is_accepted() {
    assert_eq!(messages(&check_create(&draft(&[("f1", 1)]))), Vec::<String>::new());
}

#[test]
fn combinations_are_refused_with_their_paths_all_at_once() {
    let mut sent = draft(&[("f1", 0), ("f1", 2)]);
    sent.network = None;
    sent.parent = Some(PoolName::parse("p").unwrap());
    sent.resources[1].max_count = Some(3);
    sent.resources[1].azs = Some(vec![AzCount {
        az: crate::name::ZoneName::parse("az-1").unwrap(),
        count: 1,
    }]);
    assert_eq!(
        messages(&check_create(&sent)),
        [
            "spec.parent: is for logical pools only",
            "spec.network is required",
            "spec.resources[0].count: must be 1 to 2000",
            "spec.resources[1].maxCount: must equal count (2) for a physical pool",
            "spec.resources[1].azs: must add up to count (2), not 1",
            "spec.resources[1]: flavor f1 occurs twice in node pool f1-default",
        ]
    );
}

#[test]
fn a_logical_pool_must_not_have_what_is_physical() {
    let mut sent = draft(&[("f1", 1)]);
    sent.is_logical = true;
    sent.ipv6 = Some(true);
    sent.driver = Some(crate::pool::DriverSpec::default());
    let found = messages(&check_create(&sent));
    assert_eq!(
        found,
        [
            "spec.network: is for physical pools only",
            "spec.driver: is for physical pools only",
            "spec.ipv6enable: is for physical pools only"
        ]
    );
    sent = draft(&[("f1", 1)]);
    sent.is_logical = true;
    sent.network = None;
    sent.scope = Some(vec![JobType::Train, JobType::Infer]);
    assert_eq!(messages(&check_create(&sent)), ["spec.scope: a logical pool supports Train only"]);
}

#[test]
fn a_prepaid_pool_needs_its_period() {
    let mut sent = draft(&[("f1", 1)]);
    sent.billing.mode = Some(BillingMode::Prepaid);
    assert_eq!(check_create(&sent).len(), 2);
}

#[test]
fn repeating_what_is_changes_nothing() {
    let old = pool(&[("f1", 2), ("f2", 1)]);
    let change = apply_edit(&old, &edit(draft(&[("f1", 2), ("f2", 1)]))).unwrap();
    assert!(change.is_nothing(&old));
}

#[test]
fn both_directions_at_once_are_refused_in_every_disguise() {
    let old = pool(&[("f1", 2), ("f2", 2)]);
    for after in [&[("f1", 3), ("f2", 1)][..], &[("f1", 3)], &[("f2", 2), ("f3", 1)], &[("f3", 4)]] {
        let errors = apply_edit(&old, &edit(draft(after))).unwrap_err();
        assert_eq!(
            messages(&errors),
            ["spec.resources: a pool cannot be scaled out and in by one request"],
            "{after:?}"
        );
    }
}

#[test]
fn the_last_node_stays() {
    let errors = apply_edit(&pool(&[("f1", 2)]), &edit(draft(&[("f1", 0)]))).unwrap_err();
    assert_eq!(
        messages(&errors),
        ["spec.resources: at least one node must remain; delete the pool instead"]
    );
}

#[test]
fn a_stale_upper_limit_of_a_physical_pool_is_ignored() {
    let mut sent = draft(&[("f1", 3)]);
    sent.resources[0].max_count = Some(2);
    let change = apply_edit(&pool(&[("f1", 2)]), &edit(sent)).unwrap();
    assert_eq!(
        (change.next.spec.resources[0].count, change.next.spec.resources[0].max_count),
        (3, 3)
    );
    assert_eq!(change.scaling, Some(Scaling::Out));
}

#[test]
fn zones_that_add_up_to_the_difference_are_an_increment() {
    let zone = |name: &str, count| AzCount {
        az: crate::name::ZoneName::parse(name).unwrap(),
        count,
    };
    let mut old = pool(&[("f1", 2)]);
    old.spec.resources[0].azs = Some(vec![zone("az-1", 2)]);
    let mut sent = draft(&[("f1", 3)]);
    sent.resources[0].azs = Some(vec![zone("az-2", 1)]);
    let change = apply_edit(&old, &edit(sent.clone())).unwrap();
    assert_eq!(change.next.spec.resources[0].azs, Some(vec![zone("az-1", 2), zone("az-2", 1)]));
    sent.resources[0].azs = Some(vec![zone("az-2", 2)]);
    assert!(apply_edit(&old, &edit(sent)).is_err());
}

#[test]
fn a_workspace_moves_alone() {
    let old = pool(&[("f1", 2)]);
    let mut sent = draft(&[("f1", 2)]);
    sent.workspace = Some(WorkspaceId::parse("w").unwrap());
    assert!(apply_edit(&old, &edit(sent.clone())).unwrap().workspace_changed);
    sent.description = Some("x".to_owned());
    assert!(apply_edit(&old, &edit(sent)).is_err());
}

#[test]
fn billing_comes_with_more_nodes_or_not_at_all() {
    let old = pool(&[("f1", 2)]);
    let mut sent = edit(draft(&[("f1", 2)]));
    sent.billing = BillingDraft {
        mode: Some(BillingMode::PayPerUse),
        ..BillingDraft::default()
    };
    assert!(
        apply_edit(&old, &sent).unwrap().is_nothing(&old),
        "the current value may be repeated"
    );
    sent.billing.mode = Some(BillingMode::Prepaid);
    assert!(apply_edit(&old, &sent).is_err());
    sent.draft = draft(&[("f1", 3)]);
    let change = apply_edit(&old, &sent).unwrap();
    assert_eq!(change.node_billing, Some(BillingMode::Prepaid));
    assert_eq!(change.next.billing, old.billing, "the pool's own billing stays");
}

#[test]
fn a_change_that_waits_for_payment_gives_sub_pools_nothing_and_takes_nothing() {
    use crate::pool::tree;
    let fits = |parent: &Pool, count| tree::check_child(&pool(&[("f1", count)]).spec.resources, parent, [].iter()).is_empty();
    for (before, after) in [(2, 6), (6, 2)] {
        let mut parent = pool(&[("f1", after)]);
        parent.status.attempt.previous = Some(pool(&[("f1", before)]).spec.resources);
        assert!(fits(&parent, 2) && !fits(&parent, 3), "{before} to {after}");
        let child = parent;
        let holds = |count| tree::check_parent(&pool(&[("f1", count)]).spec.resources, [child.clone()].iter()).is_ok();
        assert!(holds(6) && !holds(5), "{before} to {after}");
    }
    let mut parent = pool(&[("f1", 4), ("f2", 1)]);
    parent.status.attempt.previous = Some(pool(&[("f1", 4)]).spec.resources);
    let child = pool(&[("f2", 1)]).spec.resources;
    assert!(
        !tree::check_child(&child, &parent, [].iter()).is_empty(),
        "a flavor that may not come"
    );
}

proptest! {
    #[test]
    fn directions_are_told_by_the_counts(before in prop::collection::btree_map("[abc]", 1..5_u32, 1..4), after in prop::collection::btree_map("[abc]", 1..5_u32, 1..4)) {
        let list = |counts: &BTreeMap<String, u32>| counts.iter().map(|(name, count)| (name.clone(), *count)).collect::<Vec<_>>();
        let (old, new) = (list(&before), list(&after));
        let old: Vec<_> = old.iter().map(|(name, count)| (name.as_str(), *count)).collect();
        let new: Vec<_> = new.iter().map(|(name, count)| (name.as_str(), *count)).collect();
        let count = |counts: &BTreeMap<String, u32>, name: &str| counts.get(name).copied().unwrap_or(0);
        let grows = ["a", "b", "c"].iter().any(|name| count(&after, name) > count(&before, name));
        let shrinks = ["a", "b", "c"].iter().any(|name| count(&after, name) < count(&before, name));
        match apply_edit(&pool(&old), &edit(draft(&new))) {
            Ok(change) => {
                prop_assert!(!(grows && shrinks));
                let expected = if grows { Some(Scaling::Out) } else if shrinks { Some(Scaling::In) } else { None };
                prop_assert_eq!(change.scaling, expected);
            }
            Err(_) => prop_assert!(grows && shrinks),
        }
    }

    #[test]
    fn children_never_get_more_than_their_parent_has(parent in 0..12_u32, children in prop::collection::vec((0..6_u32, 0..3_u32), 0..8)) {
        use crate::pool::tree;
        let root = pool(&[("f1", parent)]);
        let mut admitted: Vec<Pool> = Vec::new();
        for (count, extra) in children {
            let mut child = pool(&[("f1", count)]);
            child.spec.resources[0].max_count = count + extra;
            if tree::check_child(&child.spec.resources, &root, admitted.iter()).is_empty() {
                admitted.push(child);
            }
        }
        let sum: u32 = admitted.iter().map(|child| child.spec.resources[0].count).sum();
        prop_assert!(sum <= parent);
        prop_assert!(admitted.iter().all(|child| child.spec.resources[0].max_count <= parent));
        // The parent may shrink down to what its children hold, and no further.
        let highest = admitted.iter().map(|child| child.spec.resources[0].max_count).max().unwrap_or(0);
        let least = sum.max(highest);
        prop_assert!(tree::check_parent(&pool(&[("f1", least)]).spec.resources, admitted.iter()).is_ok());
        if least > 0 {
            prop_assert!(tree::check_parent(&pool(&[("f1", least - 1)]).spec.resources, admitted.iter()).is_err());
        }
    }
}
