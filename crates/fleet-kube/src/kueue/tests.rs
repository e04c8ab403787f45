use super::*;
use crate::quota::tests::{mark as pool, per_node, quota, quotas};
use fleet::Quota;
use proptest::prelude::*;

fn objects(quotas: &[Quota]) -> Vec<Object> {
    let tree = QuotaTree::new(quotas, &per_node());
    let spaces = tree.pools().iter().map(|pool| {
        let uid = pool.mark.uid.clone();
        (uid.clone(), vec![mark::object_name(&uid, "-train")])
    });
    wanted(&tree, &spaces.collect()).unwrap()
}

fn everyone() -> BTreeSet<Uid> {
    (0..9).map(|number| pool(number).uid).collect()
}

/// What Kueue's own checks say, and that nothing is named which is not there.
fn judge(seen: &SeenObjects, change: &Change) -> Result<(), String> {
    let is_there = |kind, name: &Value| seen.contains_key(&Key::cluster(kind, name.as_str().unwrap_or_default()));
    match change {
        Change::Create(_) => Err("nothing is only created".to_owned()),
        Change::Delete(key) => {
            let names = |object: &Arc<DynamicObject>| object.data.to_string().contains(&format!("\"{}\"", key.name));
            let is_kind = |other: &Key| other.kind == Kind::ClusterQueue || (other.kind == Kind::Cohort && key.kind == Kind::Cohort);
            let user = seen.iter().find(|(other, object)| *other != key && is_kind(other) && names(object));
            match user.filter(|_| matches!(key.kind, Kind::Cohort | Kind::ResourceFlavor)) {
                Some((user, _)) => Err(format!("{key:?} is named by {user:?}")),
                None => Ok(()),
            }
        }
        Change::Put(object) => {
            let spec = &object.body["spec"];
            match object.key.kind {
                Kind::Cohort if !spec["parentName"].is_null() && !is_there(Kind::Cohort, &spec["parentName"]) => {
                    Err("no parent".to_owned())
                }
                Kind::ClusterQueue => {
                    let text = spec.to_string();
                    if text.contains("borrowingLimit") && spec["cohortName"].is_null() {
                        return Err("borrowing without a cohort".to_owned());
                    }
                    if !is_there(Kind::Cohort, &spec["cohortName"]) {
                        return Err("no cohort".to_owned());
                    }
                    let groups = spec["resourceGroups"].as_array().unwrap();
                    for flavor in groups.iter().flat_map(|group| group["flavors"].as_array().unwrap()) {
                        let listed: Vec<&Value> = flavor["resources"]
                            .as_array()
                            .unwrap()
                            .iter()
                            .map(|resource| &resource["name"])
                            .collect();
                        let covered: Vec<&Value> = groups[0]["coveredResources"].as_array().unwrap().iter().collect();
                        if listed != covered || !is_there(Kind::ResourceFlavor, &flavor["name"]) {
                            return Err(format!("{flavor} is not what the group covers"));
                        }
                    }
                    Ok(())
                }
                Kind::LocalQueue => match seen.get(&object.key) {
                    Some(known) if known.data["spec"]["clusterQueue"] != spec["clusterQueue"] => Err("immutable".to_owned()),
                    Some(_) | None => Ok(()),
                },
                _ => Ok(()),
            }
        }
    }
}

fn carry_out(seen: &mut SeenObjects, change: &Change) {
    judge(seen, change).unwrap_or_else(|reason| panic!("{change:?} is refused: {reason}"));
    match change {
        Change::Put(object) | Change::Create(object) => drop(seen.insert(object.key.clone(), Arc::new(object.to_dynamic()))),
        Change::Delete(key) => drop(seen.remove(key)),
    }
}

fn reach(seen: &mut SeenObjects, wanted: &[Object]) {
    for change in plan(wanted, seen, &everyone()) {
        carry_out(seen, &change);
    }
}

fn promised(seen: &SeenObjects) -> Amounts {
    let mut sum = Amounts::new();
    for (_, queue) in seen.iter().filter(|(key, _)| key.kind == Kind::ClusterQueue) {
        for amounts in nominal(&queue.data["spec"]).values() {
            crate::amount::add(&mut sum, amounts, 1);
        }
    }
    sum
}

#[test]
fn a_pool_is_a_queue_in_a_cohort() {
    let all = objects(&[
        quota(0, None, &[("a100", 4, 6), ("cpu", 1, 1)]),
        quota(1, Some(0), &[("a100", 3, 5)]),
    ]);
    let kinds: Vec<Kind> = all.iter().map(|object| object.key.kind).collect();
    let queue = Kind::ClusterQueue;
    let flavor = Kind::ResourceFlavor;
    assert_eq!(
        kinds,
        [flavor, flavor, Kind::Cohort, queue, queue, Kind::LocalQueue, Kind::LocalQueue]
    );
    let spec = &all[4].body["spec"];
    assert_eq!(
        spec["cohortName"],
        json!(name(&pool(0).uid)),
        "without children it is in its parent's"
    );
    let (root, name) = (&pool(0).uid, "a100");
    let entry = json!({"name": flavor_name(root, &crate::quota::tests::flavor(name)), "resources": [
        {"name": "cpu", "nominalQuota": "528", "borrowingLimit": "352"},
        {"name": "memory", "nominalQuota": "5280Gi", "borrowingLimit": "3520Gi"},
        {"name": "nvidia.com/gpu", "nominalQuota": "24", "borrowingLimit": "16"},
    ]});
    assert_eq!(
        spec["resourceGroups"],
        json!([{"coveredResources": ["cpu", "memory", "nvidia.com/gpu"], "flavors": [entry]}])
    );
    let root = &all[3].body["spec"]["resourceGroups"][0]["flavors"];
    assert_eq!(
        root[0]["resources"][2],
        json!({"name": "nvidia.com/gpu", "nominalQuota": "8", "borrowingLimit": "40"})
    );
    assert_eq!(
        root[1]["resources"][2]["nominalQuota"],
        json!("0"),
        "a flavor without a resource names it"
    );
}

#[test]
fn a_pool_that_goes_is_stopped_and_deleted_when_it_is_idle() {
    let mut seen = SeenObjects::new();
    let both = [quota(0, None, &[("a100", 4, 6)]), quota(1, Some(0), &[("a100", 3, 5)])];
    reach(&mut seen, &objects(&both));
    let left = objects(&both[..1]);
    for change in plan(&left, &seen, &BTreeSet::new()) {
        carry_out(&mut seen, &change);
    }
    let gone = Key::cluster(Kind::ClusterQueue, &name(&pool(1).uid));
    assert_eq!(seen[&gone].data["spec"]["stopPolicy"], "Hold");
    assert_eq!(plan(&left, &seen, &BTreeSet::new()), [], "nothing is done twice");
    reach(&mut seen, &left);
    assert!(!seen.contains_key(&gone) && seen.len() == left.len());
    reach(&mut seen, &[]);
    assert!(seen.is_empty());
}

#[test]
fn what_is_no_queue_is_not_its_affair() {
    let mut seen = SeenObjects::new();
    let uid = pool(0).uid;
    let space = Object::of_pool(Key::cluster(Kind::Namespace, "pk-1-train"), &uid, &uid);
    seen.insert(space.key.clone(), Arc::new(space.to_dynamic()));
    assert_eq!(plan(&[], &seen, &everyone()), []);
}

#[test]
fn too_many_flavors_are_refused() {
    let names: Vec<String> = (0..65).map(|number| format!("flavor-{number}")).collect();
    let amounts: Vec<(&str, u64, u64)> = names.iter().map(|name| (name.as_str(), 1, 1)).collect();
    let tree = QuotaTree::new(&[quota(0, None, &amounts)], &per_node());
    assert!(wanted(&tree, &BTreeMap::new()).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn every_prefix_is_lawful_and_what_is_wanted_is_reached(
        first in quotas(), second in quotas(), third in quotas(), crash in any::<proptest::sample::Index>()
    ) {
        let mut seen = SeenObjects::new();
        let (first, second, third) = (objects(&first), objects(&second), objects(&third));
        reach(&mut seen, &first);
        prop_assert!(is_conform(&first, &seen));
        let before = promised(&seen);
        let changes = plan(&second, &seen, &everyone());
        let mut whole = seen.clone();
        let mut most = before.clone();
        changes.iter().for_each(|change| carry_out(&mut whole, change));
        for (resource, amount) in promised(&whole) {
            let entry = most.entry(resource).or_default();
            *entry = (*entry).max(amount);
        }
        prop_assert!(is_conform(&second, &whole) && whole.len() == second.len());
        prop_assert_eq!(plan(&second, &whole, &everyone()), []);
        for change in &changes[..crash.index(changes.len() + 1)] {
            carry_out(&mut seen, change);
            for (resource, amount) in promised(&seen) {
                prop_assert!(amount <= most[&resource], "more is promised than before and after");
            }
        }
        reach(&mut seen, &third);
        prop_assert!(is_conform(&third, &seen) && seen.len() == third.len());
        prop_assert_eq!(plan(&third, &seen, &everyone()), []);
    }
}
