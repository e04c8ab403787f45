use super::*;
use crate::quota::tests::{mark, per_node, quota, quotas};
use fleet::Quota;
use proptest::prelude::*;

mod limits;

fn tree(quotas: &[Quota]) -> Vec<WantedQueue> {
    wanted(&QuotaTree::new(quotas, &per_node()))
}

/// What Volcano's admission says to a write.
fn judge(queues: &SeenQueues, step: &Step) -> Result<(), String> {
    match step {
        Step::Put { name, spec, .. } => judge_put(queues, name, spec),
        Step::Delete { name } => match queues.values().find(|queue| queue.spec.parent == *name) {
            Some(_) => Err(format!("{name} has children")),
            None => Ok(()),
        },
        Step::Close { name } | Step::Open { name } => queues.get(name).map(|_| ()).ok_or("not there".to_owned()),
    }
}

fn judge_put(queues: &SeenQueues, name: &str, spec: &QueueSpec) -> Result<(), String> {
    let exceeds = |less: &Amounts, more: &Amounts| less.iter().any(|(name, amount)| *amount > of(more, name));
    if spec.weight < 1 || name == ROOT || name == "default" {
        return Err("not ours, or without weight".to_owned());
    }
    if exceeds(&spec.deserved, &spec.capability) {
        return Err(format!("{name} deserves more than it may use"));
    }
    let sum_below = |parent: &str, own: &QueueSpec| {
        let mut sum = Amounts::new();
        let others = queues.iter().filter(|(other, queue)| *other != name && queue.spec.parent == parent);
        for spec in others.map(|(_, queue)| &queue.spec).chain((own.parent == parent).then_some(own)) {
            crate::amount::add(&mut sum, &spec.deserved, 1);
        }
        sum
    };
    if spec.parent != ROOT {
        let parent = queues.get(&spec.parent).ok_or(format!("{name} has no parent"))?;
        if exceeds(&sum_below(&spec.parent, spec), &parent.spec.deserved) {
            return Err(format!("the children of {} deserve more than it", spec.parent));
        }
        if exceeds(&spec.capability, &parent.spec.capability) {
            return Err(format!("{name} may use more than its parent"));
        }
    }
    if exceeds(&sum_below(name, spec), &spec.deserved) {
        return Err(format!("the children of {name} deserve more than it"));
    }
    let below = queues.iter().filter(|(_, queue)| queue.spec.parent == name);
    if below
        .into_iter()
        .any(|(_, queue)| exceeds(&queue.spec.capability, &spec.capability))
    {
        return Err(format!("a child of {name} may use more than it"));
    }
    Ok(())
}

fn carry_out(queues: &mut SeenQueues, step: &Step) {
    judge(queues, step).unwrap_or_else(|reason| panic!("{step:?} is refused: {reason}\n{queues:#?}"));
    match step {
        Step::Put { name, pool, spec, limits } => {
            let known = queues.remove(name);
            let state = known.map_or(QueueState::Open, |queue| queue.state);
            let queue = SeenQueue {
                pool: pool.clone(),
                spec: spec.clone(),
                limits: limits.clone(),
                state,
                is_deleting: false,
            };
            queues.insert(name.clone(), queue);
        }
        Step::Close { name } => queues.get_mut(name).unwrap().state = QueueState::Closed,
        Step::Open { name } => queues.get_mut(name).unwrap().state = QueueState::Open,
        Step::Delete { name } => drop(queues.remove(name)),
    }
}

fn everyone() -> BTreeSet<Uid> {
    (0..9).map(|number| mark(number).uid).collect()
}

fn reach(queues: &mut SeenQueues, wanted: &[WantedQueue]) {
    let steps = plan(wanted, queues, &everyone());
    for step in &steps {
        carry_out(queues, step);
    }
}

fn example() -> Vec<Quota> {
    vec![
        quota(0, None, &[("a100", 4, 6)]),
        quota(1, Some(0), &[("a100", 2, 4)]),
        quota(2, Some(0), &[("a100", 1, 6)]),
    ]
}

#[test]
fn a_pool_is_an_inner_queue_and_a_leaf() {
    let queues = tree(&example());
    let root = pool_slug(&mark(0));
    let names: Vec<&str> = queues.iter().map(|queue| queue.name.as_str()).collect();
    let child = pool_slug(&mark(1));
    assert_eq!(names[..4], [&inner(&root), &root, &inner(&child), &child]);
    assert_eq!(queues[0].spec.parent, ROOT);
    assert_eq!((&queues[1].spec.parent, &queues[2].spec.parent), (&inner(&root), &inner(&root)));
    let text = serde_json::to_string_pretty(&queues[1].spec).unwrap();
    let group = node_group(&mark(0).uid, "a100", None);
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&text).unwrap(),
        serde_json::json!({
            "parent": inner(&root), "weight": 1, "reclaimable": true,
            "deserved": {"cpu": "176", "memory": "1760Gi", "nvidia.com/gpu": "8"},
            "capability": {"cpu": "1056", "memory": "10560Gi", "nvidia.com/gpu": "48"},
            "affinity": {"nodeGroupAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [group]}},
        })
    );
}

#[test]
fn what_moves_between_siblings_is_taken_before_it_is_given() {
    let mut queues = SeenQueues::new();
    reach(&mut queues, &tree(&example()));
    let mut moved = example();
    moved[1] = quota(1, Some(0), &[("a100", 1, 4)]);
    moved[2] = quota(2, Some(0), &[("a100", 2, 6)]);
    let steps = plan(&tree(&moved), &queues, &BTreeSet::new());
    let names: Vec<String> = steps
        .iter()
        .map(|step| {
            if let Step::Put { name, .. } = step {
                name.clone()
            } else {
                String::new()
            }
        })
        .collect();
    let (one, two) = (pool_slug(&mark(1)), pool_slug(&mark(2)));
    assert_eq!(names, [one.clone(), inner(&one), inner(&two), two]);
}

#[test]
fn a_pool_that_goes_is_closed_first_and_deleted_when_it_is_idle() {
    let mut queues = SeenQueues::new();
    reach(&mut queues, &tree(&example()));
    let left = tree(&example()[..2]);
    let steps = plan(&left, &queues, &BTreeSet::new());
    let gone = pool_slug(&mark(2));
    assert_eq!(steps.last(), Some(&Step::Close { name: gone.clone() }));
    assert!(!steps.iter().any(|step| matches!(step, Step::Delete { .. })));
    for step in &steps {
        carry_out(&mut queues, step);
    }
    assert_eq!(plan(&left, &queues, &BTreeSet::new()), [], "nothing is done twice");
    let steps = plan(&left, &queues, &everyone());
    assert_eq!(steps, [Step::Delete { name: gone.clone() }, Step::Delete { name: inner(&gone) }]);
}

#[test]
fn a_closed_queue_of_a_pool_that_is_wanted_is_opened() {
    let mut queues = SeenQueues::new();
    let wanted = tree(&example());
    reach(&mut queues, &wanted);
    let leaf = pool_slug(&mark(1));
    queues.get_mut(&leaf).unwrap().state = QueueState::Closing;
    assert!(!is_conform(&wanted, &queues));
    assert_eq!(plan(&wanted, &queues, &BTreeSet::new()), [Step::Open { name: leaf }]);
}

#[test]
fn a_queue_that_somebody_changed_is_put_right_again() {
    let mut queues = SeenQueues::new();
    let wanted = tree(&example());
    reach(&mut queues, &wanted);
    let leaf = queues.get_mut(&pool_slug(&mark(1))).unwrap();
    leaf.spec.capability.remove("cpu");
    leaf.spec.affinity = None;
    assert!(!is_conform(&wanted, &queues));
    reach(&mut queues, &wanted);
    assert!(is_conform(&wanted, &queues));
}

#[test]
fn states_that_are_not_known_are_read() {
    assert_eq!(serde_json::from_str::<QueueState>(r#""Open""#).unwrap(), QueueState::Open);
    assert_eq!(serde_json::from_str::<QueueState>(r#""Whatever""#).unwrap(), QueueState::Unknown);
}

fn has_moved(name: &str, before: &SeenQueues, after: &[WantedQueue]) -> bool {
    let Some(old) = before.get(name) else { return false };
    let stays = after.iter().any(|queue| queue.name == name && queue.spec.parent == old.spec.parent);
    !stays || has_moved(&old.spec.parent, before, after)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// From any tree to any other and, after a crash anywhere between, to a third: every single write is lawful.
    #[test]
    fn every_prefix_is_lawful_and_the_wanted_tree_is_reached(
        first in quotas(), second in quotas(), third in quotas(), crash in any::<proptest::sample::Index>()
    ) {
        let mut queues = SeenQueues::new();
        let (first, second, third) = (tree(&first), tree(&second), tree(&third));
        reach(&mut queues, &first);
        prop_assert!(is_conform(&first, &queues));
        let steps = plan(&second, &queues, &everyone());
        let mut whole = queues.clone();
        for step in &steps {
            carry_out(&mut whole, step);
        }
        prop_assert!(is_conform(&second, &whole) && whole.len() == second.len());
        prop_assert_eq!(plan(&second, &whole, &everyone()), []);
        for step in &steps[..crash.index(steps.len() + 1)] {
            carry_out(&mut queues, step);
        }
        reach(&mut queues, &third);
        prop_assert!(is_conform(&third, &queues) && queues.len() == third.len());
        prop_assert_eq!(plan(&third, &queues, &everyone()), []);
    }

    /// No queue is ever given less than it had before and will have after, unless it, or one above it, goes below another parent.
    #[test]
    fn nobody_loses_what_stays_theirs(first in quotas(), second in quotas()) {
        let mut queues = SeenQueues::new();
        let (first, second) = (tree(&first), tree(&second));
        reach(&mut queues, &first);
        let before = queues.clone();
        for step in plan(&second, &queues, &BTreeSet::new()) {
            carry_out(&mut queues, &step);
            for goal in &second {
                let (Some(old), Some(now)) = (before.get(&goal.name), queues.get(&goal.name)) else { continue };
                if has_moved(&goal.name, &before, &second) { continue }
                for (resource, amount) in &goal.spec.deserved {
                    let least = (*amount).min(of(&old.spec.deserved, resource));
                    prop_assert!(of(&now.spec.deserved, resource) >= least);
                }
            }
        }
    }
}
