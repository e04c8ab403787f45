//! What a wrong or unusual value in each member of a body is told.

use super::super::Pool;
use super::sample::{full_pool, logical_body, logical_pool, physical_body};
use super::{decode_create, decode_patch, decode_retry_scope};
use crate::testing::wrong_values;
use domain::pool::draft::PoolDraft;
use domain::pool::{BillingMode, DriverSpec, JobType, validate};
use serde_json::{Value, json};

type Record = domain::pool::Pool;

/// Everything that is said of a create request.
fn said(body: &Value) -> String {
    match decode_create(body) {
        Ok(_) => "accepted".to_owned(),
        Err(errors) => errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "),
    }
}

/// What a patch leads to, or the first thing that is wrong with it.
fn patched(pool: &Record, patch: &Value) -> Result<Record, String> {
    let edit = decode_patch(pool, patch).map_err(|errors| errors.to_string())?;
    let change = validate::apply_edit(pool, &edit).map_err(|errors| errors.to_string())?;
    Ok(change.next)
}

fn with(body: &Value, pointer: &str, value: Value) -> Value {
    let mut body = body.clone();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    body.pointer_mut(parent).unwrap()[name.replace("~1", "/")] = value;
    body
}

fn draft(pointer: &str, value: Value) -> PoolDraft {
    decode_create(&with(&physical_body(), pointer, value)).unwrap()
}

#[test]
fn every_member_of_a_physical_pool_tells_what_it_accepts() {
    insta::assert_snapshot!("physical", wrong_values(&physical_body(), decode_create));
}

#[test]
fn every_member_of_a_logical_pool_tells_what_it_accepts() {
    insta::assert_snapshot!("logical", wrong_values(&logical_body(), decode_create));
}

#[test]
fn every_member_of_a_pool_tells_what_a_patch_may_do_to_it() {
    for (name, pool) in [("patch_physical", full_pool()), ("patch_logical", logical_pool())] {
        let mut shown = serde_json::to_value(Pool::from(&pool)).unwrap();
        shown.as_object_mut().unwrap().remove("status");
        insta::assert_snapshot!(name, wrong_values(&shown, |body| decode_patch(&pool, body)));
    }
}

#[test]
fn a_body_that_is_no_object_is_told_so_once() {
    for body in [json!(null), json!([]), json!("x"), json!(7), json!([{"kind": "Pool"}])] {
        assert_eq!(said(&body), "the body must be an object");
        assert_eq!(patched(&full_pool(), &body).unwrap_err(), "the body must be an object");
        assert_eq!(decode_retry_scope(&body).unwrap_err().to_string(), "the body must be an object");
    }
}

#[test]
fn the_status_of_a_body_is_not_looked_at() {
    for status in [json!(null), json!(7), json!({"phase": "Running"})] {
        assert_eq!(said(&with(&physical_body(), "/status", status.clone())), "accepted");
        let pool = full_pool();
        assert_eq!(patched(&pool, &json!({"status": status})), Ok(pool));
    }
}

#[test]
fn unknown_members_are_ignored() {
    for pointer in ["/x", "/metadata/x", "/spec/x", "/spec/resources/0/x", "/spec/network/x"] {
        assert_eq!(
            draft(pointer, json!({"y": [null]})),
            decode_create(&physical_body()).unwrap(),
            "{pointer}"
        );
    }
}

#[test]
fn values_of_labels_and_annotations_may_be_numbers_and_booleans() {
    let labels = "/metadata/labels";
    let notes = "/metadata/annotations";
    let workspace = draft(&format!("{labels}/os.modelarts~1workspace.id"), json!(0)).workspace.unwrap();
    assert_eq!(workspace.as_str(), "0");
    assert_eq!(draft(&format!("{labels}/team"), json!(7)).labels["team"], "7");
    assert_eq!(draft(&format!("{labels}/team"), json!(true)).labels["team"], "true");
    assert_eq!(
        draft(&format!("{notes}/os.modelarts~1product.id"), json!(1.5)).annotations["os.modelarts/product.id"],
        "1.5"
    );
    assert_eq!(
        draft(&format!("{notes}/os.modelarts~1description"), json!(7)).description.unwrap(),
        "7"
    );
    let mode = draft(&format!("{notes}/os.modelarts~1billing.mode"), json!(0)).billing.mode;
    assert_eq!(mode, Some(BillingMode::PayPerUse));
    assert_eq!(
        draft(&format!("{notes}/os.modelarts~1period.num"), json!(3)).billing.period_num,
        Some(3)
    );
    for (sent, wanted) in [
        (json!("1"), true),
        (json!(1), true),
        (json!(true), true),
        (json!("false"), false),
        (json!(0), false),
    ] {
        assert_eq!(
            draft(&format!("{notes}/os.modelarts~1auto.pay"), sent).billing.auto_pay,
            Some(wanted)
        );
    }
    let moved = patched(&full_pool(), &json!({"metadata": {"labels": {"os.modelarts/workspace.id": 7}}})).unwrap();
    assert_eq!(moved.workspace.as_str(), "7");
}

#[test]
fn integers_and_booleans_may_be_texts() {
    let body = with(&physical_body(), "/spec/resources/0/count", json!("4"));
    let body = with(&body, "/spec/resources/0/maxCount", json!("4"));
    let body = with(&body, "/spec/resources/0/azs/0/count", json!("2"));
    let body = with(&body, "/spec/resources/0/creatingStep/step", json!("2"));
    let body = with(&body, "/spec/ipv6enable", json!("true"));
    assert_eq!(decode_create(&body).unwrap(), decode_create(&physical_body()).unwrap());
    for wrong in ["", " 4", "4.0", "0x4", "four", "4e0", "+4"] {
        let body = with(&physical_body(), "/spec/resources/0/count", json!(wrong));
        assert_eq!(said(&body), "spec.resources[0].count: must be an integer", "{wrong:?}");
    }
}

#[test]
fn sizes_are_whole_gibibytes_as_numbers_or_texts() {
    let pointer = "/spec/resources/0/rootVolume/size";
    for (sent, kept) in [(json!("100"), "100"), (json!("100Gi"), "100Gi"), (json!(100), "100")] {
        let draft = decode_create(&with_item(&physical_body(), pointer, sent)).unwrap();
        assert_eq!(draft.resources[0].root_volume.as_ref().unwrap().size, kept);
    }
    for wrong in ["0", "0Gi", "+100", "-100", "100GB", "1.5Gi", "Gi", "100 Gi", "100GiGi"] {
        assert_eq!(
            said(&with_item(&physical_body(), pointer, json!(wrong))),
            "spec.resources[0].rootVolume.size: must be a size in GiB such as 100 or 100Gi",
            "{wrong}"
        );
    }
    let base = |size: &str| {
        said(&with_item(
            &physical_body(),
            "/spec/resources/0/extendParams/dockerBaseSize",
            json!(size),
        ))
    };
    for (size, is_good) in [
        ("0", true),
        ("50", true),
        ("500", true),
        ("49", false),
        ("501", false),
        ("+50", false),
        ("50Gi", false),
    ] {
        assert_eq!(base(size) == "accepted", is_good, "{size}");
    }
}

#[test]
fn numbers_out_of_range_are_told_the_range() {
    for (pointer, value, range) in [
        ("count", json!(2001), "0 to 2000"),
        ("count", json!(-1), "0 to 2000"),
        ("count", json!(u64::from(u32::MAX) + 5), "0 to 2000"),
        ("maxCount", json!("2001"), "0 to 2000"),
        ("azs/0/count", json!(0), "1 to 2000"),
        ("azs/0/count", json!(2001), "1 to 2000"),
        ("creatingStep/step", json!(0), "1 to 2000"),
        ("dataVolumes/0/count", json!(0), "1 to 2000"),
        ("volumeGroupConfigs/0/dockerThinPool", json!(0), "1 to 100"),
        ("volumeGroupConfigs/0/dockerThinPool", json!(101), "1 to 100"),
    ] {
        let said = said(&with_item(&physical_body(), &format!("/spec/resources/0/{pointer}"), value));
        assert!(said.ends_with(&format!(": must be {range}")), "{pointer}: {said}");
    }
}

fn with_item(body: &Value, pointer: &str, value: Value) -> Value {
    let mut body = body.clone();
    *body.pointer_mut(pointer).unwrap() = value;
    body
}

#[test]
fn texts_that_are_too_long_are_told_the_limit() {
    let long = |length: usize| Value::from("a".repeat(length));
    for (pointer, limit, told) in [
        ("/metadata/labels/os.modelarts~1name", 64, "must be 4 to 64 characters long"),
        ("/metadata/labels/os.modelarts~1node.prefix", 30, "must be 1 to 30 characters long"),
        ("/metadata/labels/team", 256, "must be at most 256 characters long"),
        (
            "/metadata/annotations/os.modelarts~1description",
            256,
            "must be at most 256 characters long",
        ),
        (
            "/metadata/annotations/os.modelarts~1scheduler.extension",
            4096,
            "must be at most 4096 characters long",
        ),
        ("/spec/resources/0/nodePool", 50, "must be 2 to 50 characters long"),
    ] {
        assert_eq!(said(&with_item(&physical_body(), pointer, long(limit))), "accepted", "{pointer}");
        let said = said(&with_item(&physical_body(), pointer, long(limit + 1)));
        assert!(said.ends_with(&format!(": {told}")), "{pointer}: {said}");
    }
    // Characters, not bytes.
    let body = with_item(
        &physical_body(),
        "/metadata/annotations/os.modelarts~1description",
        json!("ä".repeat(256)),
    );
    assert_eq!(said(&body), "accepted");
}

#[test]
fn the_characters_of_a_description_are_those_of_the_contract() {
    let describe = |text: &str| {
        said(&with_item(
            &physical_body(),
            "/metadata/annotations/os.modelarts~1description",
            json!(text),
        ))
    };
    assert_eq!(describe("a.b; 100 % (nightly) / ü"), "accepted");
    for character in ['!', '<', '>', '=', '&', '"', '\''] {
        assert_eq!(
            describe(&format!("a{character}b")),
            "metadata.annotations[os.modelarts/description]: must not contain any of ! < > = & \" '"
        );
    }
}

#[test]
fn lists_are_told_how_long_they_may_be() {
    let element = json!({"flavor": "f", "count": 1});
    for (count, told) in [(0, false), (1, true), (10, true), (11, false)] {
        let body = with(&physical_body(), "/spec/resources", Value::from(vec![element.clone(); count]));
        assert_eq!(said(&body) == "accepted", told, "{count}");
    }
    let masters = |count: usize| said(&with(&physical_body(), "/spec/masters", Value::from(vec![json!({}); count])));
    assert_eq!(masters(3), "accepted");
    assert_eq!(masters(4), "spec.masters: may hold at most 3 entries");
    let tags = |count: usize| {
        let tags: Vec<_> = (0..count).map(|at| json!({"key": format!("k{at}"), "value": ""})).collect();
        said(&with(&physical_body(), "/spec/resources/0/tags", Value::from(tags)))
    };
    assert_eq!(tags(20), "accepted");
    assert_eq!(tags(21), "spec.resources[0].tags: may hold at most 20 tags");
}

#[test]
fn only_keys_that_users_choose_are_counted() {
    let filled = |count: usize| {
        let mut body = physical_body();
        let labels = body["metadata"]["labels"].as_object_mut().unwrap();
        // Two are in the body already.
        labels.extend((2..count).map(|at| (format!("k{at}"), json!("x"))));
        body
    };
    assert_eq!(said(&filled(64)), "accepted");
    assert_eq!(said(&filled(65)), "metadata.labels: may hold at most 64 other keys");
    let pool = super::sample::pool_of(decode_create(&filled(64)).unwrap());
    let shown = serde_json::to_value(Pool::from(&pool)).unwrap();
    assert_eq!(patched(&pool, &shown), Ok(pool));
}

#[test]
fn what_occurs_twice_is_told_so() {
    for (pointer, value, told) in [
        ("/spec/scope", json!(["Train", "Train"]), "spec.scope[1]: Train occurs twice"),
        (
            "/spec/resources/0/azs",
            json!([{"az": "a", "count": 1}, {"az": "a", "count": 3}]),
            "spec.resources[0].azs[1].az: zone a occurs twice",
        ),
        (
            "/spec/resources/0/tags",
            json!([{"key": "a", "value": "1"}, {"key": "a", "value": "2"}]),
            "spec.resources[0].tags: tag \"a\" occurs twice",
        ),
        (
            "/metadata/annotations/os.modelarts~1tms.tags",
            json!("[{\"key\":\"a\",\"value\":\"\"},{\"key\":\"a\",\"value\":\"\"}]"),
            "metadata.annotations[os.modelarts/tms.tags]: tag \"a\" occurs twice",
        ),
    ] {
        assert_eq!(said(&with_item(&physical_body(), pointer, value)), told);
    }
}

#[test]
fn a_body_full_of_errors_gets_a_bounded_answer() {
    let body = with(&physical_body(), "/spec/jobFlavors", Value::from(vec![7; 100_000]));
    assert_eq!(decode_create(&body).unwrap_err().len(), 100);
}

#[test]
fn null_removes_what_may_be_removed() {
    let pool = full_pool();
    let note = |name: &str| json!({"metadata": {"annotations": {name: null}}});
    assert_eq!(patched(&pool, &note("os.modelarts/description")).unwrap().description, "");
    assert_eq!(patched(&pool, &note("os.modelarts/order.id")).unwrap().billing.order_id, None);
    let key = "os.modelarts/scheduler.extension";
    assert!(!patched(&pool, &note(key)).unwrap().annotations.contains_key(key));
    let unshared = patched(
        &pool,
        &json!({"metadata": {"labels": {"os.modelarts/sharing": null, "team": null}}}),
    )
    .unwrap();
    assert_eq!(unshared.sharing, domain::pool::Sharing::Unshared);
    assert!(!unshared.labels.contains_key("team"));
    assert_eq!(
        patched(&pool, &json!({"spec": {"jobFlavors": null}})).unwrap().spec.job_flavors,
        Vec::<String>::new()
    );
    let driver = |patch: Value| {
        patched(&pool, &json!({"spec": {"driver": patch}}))
            .unwrap()
            .physical()
            .unwrap()
            .driver
            .clone()
    };
    assert_eq!(driver(json!(null)), DriverSpec::default());
    assert_eq!(driver(json!({"gpuVersion": null})).gpu_version, None);
    assert_eq!(driver(json!({"gpuVersion": null})).npu_version.as_deref(), Some("C78"));
    assert_eq!(driver(json!({"updateStrategy": null})).update_strategy, None);
    assert_eq!(
        patched(&pool, &json!({"spec": {"clusters": null, "userLogin": null}})),
        Ok(pool.clone())
    );
}

#[test]
fn null_is_refused_where_nothing_may_be_removed() {
    let pool = full_pool();
    for (patch, told) in [
        (json!({"spec": null}), "spec: must not be null"),
        (json!({"metadata": null}), "metadata: must not be null"),
        (json!({"metadata": {"labels": null}}), "metadata.labels: must not be null"),
        (json!({"metadata": {"annotations": null}}), "metadata.annotations: must not be null"),
        (
            json!({"metadata": {"labels": {"os.modelarts/workspace.id": null}}}),
            "metadata.labels[os.modelarts/workspace.id]: must not be null",
        ),
        (json!({"spec": {"scope": null}}), "spec.scope: must not be null"),
        (json!({"spec": {"resources": null}}), "spec.resources: must not be null"),
        (json!({"spec": {"network": null}}), "spec.network cannot be modified"),
        (json!({"metadata": {"name": null}}), "metadata.name cannot be modified"),
    ] {
        let errors = decode_patch(&pool, &patch).unwrap_err();
        assert_eq!(errors.iter().map(ToString::to_string).collect::<Vec<_>>(), [told]);
    }
}

#[test]
fn an_empty_value_for_a_member_that_is_not_there_changes_nothing() {
    let pool = logical_pool();
    for (member, empty) in [
        ("network", json!({})),
        ("containerNetwork", json!({})),
        ("masters", json!([])),
        ("clusterFlavor", json!("")),
        ("kubernetesSvcIpRange", json!("")),
        ("clusters", json!([])),
        ("userLogin", json!({})),
        ("driver", json!({})),
    ] {
        for value in [empty, json!(null)] {
            assert_eq!(patched(&pool, &json!({"spec": {member: value}})), Ok(pool.clone()), "{member}");
        }
    }
    for off in [json!(false), json!("false"), json!(null)] {
        assert_eq!(patched(&pool, &json!({"spec": {"ipv6enable": off}})), Ok(pool.clone()));
    }
    let pool = full_pool();
    for empty in [json!({}), json!([])] {
        assert_eq!(
            patched(&pool, &json!({"spec": {"driver": empty}})),
            Ok(pool.clone()),
            "pinned versions stay"
        );
    }
}

#[test]
fn clusters_cannot_be_given_to_any_pool() {
    for pool in [full_pool(), logical_pool()] {
        let told = patched(&pool, &json!({"spec": {"clusters": [{"providerId": "x"}]}})).unwrap_err();
        assert_eq!(told, "spec.clusters cannot be modified");
    }
}

#[test]
fn an_order_id_is_a_text() {
    let order = |value: Value| {
        patched(
            &full_pool(),
            &json!({"metadata": {"annotations": {"os.modelarts/order.id": value}}}),
        )
    };
    let id = |value: Value| order(value).unwrap().billing.order_id.unwrap();
    assert_eq!(id(json!("CS1")), "CS1");
    assert_eq!(id(json!(17)), "17");
    assert_eq!(id(json!("")), "CS2304191748WNW2R");
    for wrong in [json!({"a": 1}), json!([]), json!(["CS1"])] {
        assert_eq!(
            order(wrong).unwrap_err(),
            "metadata.annotations[os.modelarts/order.id]: must be a text"
        );
    }
}

#[test]
fn a_scope_to_retry_is_one_job_type() {
    assert_eq!(decode_retry_scope(&json!({"scope": "Infer"})), Ok(JobType::Infer));
    for (body, told) in [
        (json!({}), "scope is required"),
        (json!({"scope": null}), "scope is required"),
        (json!({"scope": ["Infer"]}), "scope: must be a text"),
        (json!({"scope": "infer"}), "scope: must be one of Train, Infer, Notebook"),
    ] {
        let errors = decode_retry_scope(&body).unwrap_err();
        assert_eq!(errors.iter().map(ToString::to_string).collect::<Vec<_>>(), [told]);
    }
}
