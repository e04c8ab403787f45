//! What a queue may use of each flavor.

use super::*;
use crate::mark::node_group;
use crate::quota::tests::{mark, per_node, quota};

fn tree(limits: bool) -> Vec<WantedQueue> {
    let two = [("a100", 2, 3), ("h100", 1, 1)];
    let quotas = [quota(0, None, &two), quota(1, Some(0), &[("a100", 1, 2)])];
    let tree = QuotaTree::new(&quotas, &per_node());
    let mut wanted = wanted(&tree);
    if limits {
        limit(&mut wanted, &tree);
    }
    wanted
}

fn carry_out(queues: &mut SeenQueues, wanted: &[WantedQueue]) -> usize {
    let steps = plan(wanted, queues, &BTreeSet::new());
    for step in &steps {
        let Step::Put { name, pool, spec, limits } = step else { continue };
        let seen = SeenQueue {
            pool: pool.clone(),
            spec: spec.clone(),
            limits: limits.clone(),
            state: QueueState::Open,
            is_deleting: false,
        };
        queues.insert(name.clone(), seen);
    }
    steps.len()
}

#[test]
fn a_leaf_is_limited_in_each_group_and_an_inner_queue_is_not() {
    let wanted = tree(true);
    let of = |at: usize| -> BTreeMap<String, Amounts> { serde_json::from_str(wanted[at].limits.as_ref().unwrap()).unwrap() };
    assert_eq!((&wanted[0].limits, &wanted[2].limits), (&None, &None));
    let root = mark(0).uid;
    let group = |flavor: &str, kept: Option<usize>| node_group(&root, flavor, kept.map(|number| mark(number).uid).as_ref());
    let gpus = |limits: &BTreeMap<String, Amounts>, group: &str| limits[group]["nvidia.com/gpu"].to_string();
    let (above, child) = (of(1), of(3));
    assert_eq!(
        (above.len(), gpus(&above, &group("a100", None)), gpus(&above, &group("h100", None))),
        (2, "24".into(), "8".into())
    );
    assert_eq!(
        (
            child.len(),
            gpus(&child, &group("a100", None)),
            gpus(&child, &group("a100", Some(1)))
        ),
        (2, "16".into(), "16".into())
    );
}

#[test]
fn limits_come_and_go_with_the_setting() {
    let mut queues = SeenQueues::new();
    for limits in [false, true, false] {
        let wanted = tree(limits);
        assert!(carry_out(&mut queues, &wanted) > 0);
        assert!(is_conform(&wanted, &queues));
        assert_eq!(carry_out(&mut queues, &wanted), 0, "what is as it should be is not written");
        assert!(!is_conform(&tree(!limits), &queues));
    }
}

#[test]
fn limits_may_be_written_in_another_way() {
    let mut queues = SeenQueues::new();
    let wanted = tree(true);
    carry_out(&mut queues, &wanted);
    for queue in queues.values_mut() {
        queue.limits = queue.limits.as_ref().map(|text| text.replace(':', ": "));
    }
    assert!(is_conform(&wanted, &queues));
}
