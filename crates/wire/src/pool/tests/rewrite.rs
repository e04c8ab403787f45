//! Objects that come back as they were shown: a client reads one, changes a member and sends the whole.

use super::super::Pool as Shown;
use super::sample::{full_pool, logical_pool, pool_of};
use super::valid::{name, pool};
use super::{decode_create, decode_patch};
use domain::field::FieldErrors;
use domain::name::WorkspaceId;
use domain::pool::{JobType, Pool, PoolKind, Sharing, validate};
use proptest::prelude::*;
use serde_json::{Value, json};

fn shown(pool: &Pool) -> Value {
    serde_json::to_value(Shown::from(pool)).unwrap()
}

fn patched(pool: &Pool, patch: &Value) -> Result<Pool, TestCaseError> {
    let edit = decode_patch(pool, patch).map_err(|errors| refused(&errors, patch))?;
    let change = validate::apply_edit(pool, &edit).map_err(|errors| refused(&errors, patch))?;
    Ok(change.next)
}

fn refused(errors: &FieldErrors, body: &Value) -> TestCaseError {
    TestCaseError::fail(format!("{errors:?} of {body}"))
}

/// One change of one member, in what is sent and in what is kept. `false`: not for this pool.
type Change = fn(&mut Value, &mut Pool) -> bool;

const CHANGES: [(&str, Change); 10] = [
    ("description", |sent, pool| {
        sent["metadata"]["annotations"]["os.modelarts/description"] = json!("changed");
        pool.description = "changed".to_owned();
        true
    }),
    ("sharing", |sent, pool| {
        sent["metadata"]["labels"]["os.modelarts/sharing"] = json!("shared");
        pool.sharing = Sharing::Shared;
        true
    }),
    ("workspace", |sent, pool| {
        sent["metadata"]["labels"]["os.modelarts/workspace.id"] = json!("w-1");
        pool.workspace = name(WorkspaceId::parse, "w-1");
        true
    }),
    ("label", |sent, pool| {
        sent["metadata"]["labels"]["new"] = json!(1);
        pool.labels.insert("new".to_owned(), "1".to_owned());
        true
    }),
    ("annotation", |sent, pool| {
        sent["metadata"]["annotations"]["new"] = json!("x");
        pool.annotations.insert("new".to_owned(), "x".to_owned());
        true
    }),
    ("order", |sent, pool| {
        sent["metadata"]["annotations"]["os.modelarts/order.id"] = json!("CS7");
        pool.billing.order_id = Some("CS7".to_owned());
        true
    }),
    ("job flavors", |sent, pool| {
        sent["spec"]["jobFlavors"] = json!(["x"]);
        pool.spec.job_flavors = vec!["x".to_owned()];
        true
    }),
    ("scope", |sent, pool| {
        let PoolKind::Physical(spec) = &mut pool.spec.kind else {
            return false;
        };
        sent["spec"]["scope"] = json!(["Notebook"]);
        spec.scope = vec![JobType::Notebook];
        true
    }),
    ("driver", |sent, pool| {
        let PoolKind::Physical(spec) = &mut pool.spec.kind else {
            return false;
        };
        sent["spec"]["driver"]["gpuVersion"] = json!("new");
        spec.driver.gpu_version = Some("new".to_owned());
        true
    }),
    ("count", |sent, pool| {
        let element = &mut pool.spec.resources[0];
        let step = element.creating_step.as_ref().map_or(1, |step| step.step);
        element.count += step;
        element.max_count = element.max_count.max(element.count);
        let sent = &mut sent["spec"]["resources"][0];
        // What was read is sent again for maxCount, as far as that may be.
        sent["count"] = json!(element.count);
        if matches!(pool.spec.kind, PoolKind::Logical(_)) {
            sent["maxCount"] = json!(element.max_count);
        }
        if let Some(azs) = &mut element.azs {
            azs[0].count += step;
            sent["azs"][0]["count"] = json!(azs[0].count);
        }
        true
    }),
];

/// What is left of an object when some of its members are not sent. Lists replace and stay whole, but for what elements inherit.
fn thin(value: &Value, keep: &mut impl FnMut() -> bool) -> Value {
    const INHERITED: [&str; 7] = ["tags", "labels", "extendParams", "os", "driver", "rootVolume", "creatingStep"];
    let Value::Object(members) = value else { return value.clone() };
    let mut left = serde_json::Map::new();
    for (name, value) in members {
        if !keep() {
            continue;
        }
        let mut value = thin(value, keep);
        if name == "resources"
            && let Some(elements) = value.as_array_mut()
        {
            for element in elements {
                element
                    .as_object_mut()
                    .unwrap()
                    .retain(|name, _| !INHERITED.contains(&name.as_str()) || keep());
            }
        }
        left.insert(name.clone(), value);
    }
    Value::Object(left)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_pool_sent_back_as_it_is_shown_stays_as_it_is(pool in pool()) {
        prop_assert_eq!(patched(&pool, &shown(&pool))?, pool);
    }

    #[test]
    fn any_part_of_a_pool_sent_back_leaves_it_as_it_is(pool in pool(), bits in prop::collection::vec(any::<bool>(), 64)) {
        let mut bits = bits.into_iter().cycle();
        let part = thin(&shown(&pool), &mut || bits.next().unwrap_or(true));
        prop_assert_eq!(patched(&pool, &part)?, pool);
    }

    #[test]
    fn a_pool_sent_back_with_one_change_has_this_change(pool in pool(), at in 0..CHANGES.len()) {
        let (mut sent, mut wanted) = (shown(&pool), pool.clone());
        let (change, apply) = CHANGES[at];
        if apply(&mut sent, &mut wanted) {
            prop_assert_eq!(patched(&pool, &sent)?, wanted, "{}", change);
        }
    }

    #[test]
    fn a_pool_can_be_created_from_what_another_one_shows(pool in pool()) {
        let mut body = shown(&pool);
        if body["spec"]["scope"] == json!([]) {
            // Shown, yet not to be sent: a create selects a job type or says nothing.
            body["spec"].as_object_mut().unwrap().remove("scope");
        }
        let draft = decode_create(&body).map_err(|errors| refused(&errors, &body))?;
        prop_assert!(validate::check_create(&draft).is_empty());
        let mut copy = pool_of(draft);
        // What only the server decides, and what is never shown.
        copy.labels.extend(pool.labels.get_key_value("os.modelarts/region").map(|(key, value)| (key.clone(), value.clone())));
        copy.status = pool.status.clone();
        copy.billing.auto_pay = pool.billing.auto_pay;
        if let (PoolKind::Physical(copy), PoolKind::Physical(old)) = (&mut copy.spec.kind, &pool.spec.kind) {
            copy.driver = old.driver.clone();
        }
        prop_assert_eq!(copy, pool);
    }
}

#[test]
fn the_fullest_pools_stay_as_they_are() {
    for pool in [full_pool(), logical_pool()] {
        assert_eq!(patched(&pool, &shown(&pool)).unwrap(), pool);
    }
}

#[test]
fn nothing_sent_changes_nothing() {
    for pool in [full_pool(), logical_pool()] {
        for patch in [
            json!({}),
            json!({"metadata": {}}),
            json!({"metadata": {"labels": {}, "annotations": {}}, "spec": {}}),
            json!({"spec": {"clusters": null}}),
        ] {
            assert_eq!(patched(&pool, &patch).unwrap(), pool);
        }
    }
}
