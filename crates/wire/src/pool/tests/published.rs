//! The published examples, and the members that the contract's tables name.

use super::super::Pool as Shown;
use super::sample::{at, flavor, full_pool, logical_body, logical_pool, physical_body, plain_pool, pool_of, zone};
use super::{decode_create, decode_patch};
use crate::json;
use crate::testing::{assert_documented, assert_holds, members};
use domain::name::PoolName;
use domain::pool::{
    BillingMode, ElementKey, FlavorCount, JobType, LogicalSpec, Pool, PoolKind, PoolPhase, PoolRef, ResourceCounts, ScopeState,
    ScopeStatus, Sharing, Waiting, validate,
};
use serde_json::{Value, json};

/// Contract pools §6, example 1, with the comma that must be tolerated.
const PHYSICAL_REQUEST: &str = r#"{
  "kind": "Pool", "apiVersion": "v2",
  "metadata": {
    "annotations": {"os.modelarts/description": ""},
    "labels": {"os.modelarts/name": "pool-ae01", "os.modelarts/workspace.id": "0"}
  },
  "spec": {
    "type": "Dedicate", "scope": ["Train"],
    "network": {"name": "network-21e1-6f5da086876d4cd084d36f8bd3346036"},
    "resources": [{"count": 1, "flavor": "modelarts.vm.cpu.8ud",}]
  }
}"#;

const PHYSICAL_ANSWER: &str = r#"{
  "kind": "Pool", "apiVersion": "v2",
  "metadata": {
    "name": "pool-ae01-6f5da086876d4cd084d36f8bd3346036",
    "creationTimestamp": "2024-10-24T12:42:43Z",
    "labels": {
      "os.modelarts/name": "pool-ae01",
      "os.modelarts/workspace.id": "0",
      "os.modelarts/node.prefix": "",
      "os.modelarts/resource.id": "maos-pool-ae01-d7mjs",
      "os.modelarts/tenant.domain.id": "75fef1f8a9d64d0cb8de795599185b48",
      "os.modelarts/tenant.project.id": "6f5da086876d4cd084d36f8bd3346036",
      "os.modelarts.pool/biz": "private",
      "os.modelarts/create-from": "console"
    },
    "annotations": {
      "os.modelarts/billing.mode": "0",
      "os.modelarts.pool/subpools.count": "0",
      "os.modelarts/flavor.resource.ids": "{\"modelarts.vm.cpu.8ud\":\"maos.vm.cpu.8ud.1976103046\"}",
      "os.modelarts/tenant.domain.name": "example_tenant"
    }
  },
  "spec": {
    "type": "Dedicate", "scope": ["Train"],
    "resources": [{"flavor": "modelarts.vm.cpu.8ud", "count": 1, "maxCount": 1}],
    "network": {"name": "network-21e1-6f5da086876d4cd084d36f8bd3346036"}
  },
  "status": {"resources": {}}
}"#;

/// Contract pools §6, example 2.
const LOGICAL_REQUEST: &str = r#"{
  "kind": "Pool", "apiVersion": "v1",
  "metadata": {
    "labels": {"os.modelarts/name": "pool-logic-01"},
    "annotations": {"os.modelarts/description": "", "os.modelarts/billing.mode": 0, "os.modelarts/product.id": "xxx"}
  },
  "spec": {"type": "Logical", "scope": ["Train"], "resources": [{"flavor": "modelarts.vm.gpu.tnt004", "count": 2}]}
}"#;

/// Contract pools §9.4.
const PATCH_ANSWER: &str = r#"{"kind":"Pool","apiVersion":"v2",
 "metadata":{"name":"auto-pool-os-86c13962597848eeb29c5861153a391f","creationTimestamp":"2022-09-16T03:10:40Z",
  "labels":{"os.modelarts/name":"auto-pool-os","os.modelarts/workspace.id":"0","os.modelarts/resource.id":"maos-auto-pool-os-72w8d"},
  "annotations":{"os.modelarts/description":"","os.modelarts/billing.mode":"0"}},
 "spec":{"type":"Dedicate","scope":["Train","Infer"],
  "resources":[{"flavor":"modelarts.vm.cpu.4ud","count":3}],
  "network":{"name":"network-maos-86c13962597848eeb29c5861153a391f"}},
 "status":{"phase":"Running","root":"auto-pool-os-86c13962597848eeb29c5861153a391f",
  "scope":[{"scopeType":"Train","state":"Enabled"},{"scopeType":"Infer","state":"Enabled"}],
  "resources":{
   "creating":[{"flavor":"modelarts.vm.cpu.4ud","count":1,"azs":[{"az":"cn-north-7c","count":1}]}],
   "available":[{"flavor":"modelarts.vm.cpu.4ud","count":2,"azs":[{"az":"cn-north-7c","count":2}]}]}}}"#;

/// Contract pools §7.
const LISTED: &str = r#"{
  "kind":"Pool","apiVersion":"v2",
  "metadata":{
    "name":"auto-pool-os-86c13962597848eeb29c5861153a391f",
    "creationTimestamp":"2022-09-16T03:10:40Z",
    "labels":{"os.modelarts/name":"auto-pool-os","os.modelarts/resource.id":"maos-auto-pool-os-72w8d"},
    "annotations":{"os.modelarts/description":"","os.modelarts/billing.mode":"0","os.modelarts/external-access":"elb"}},
  "spec":{"type":"Dedicate","scope":["Train","Infer"],
    "resources":[{"flavor":"modelarts.vm.cpu.4ud","count":2}],
    "network":{"name":"network-maos-86c13962597848eeb29c5861153a391f"}},
  "status":{"phase":"Running","root":"auto-pool-os-86c13962597848eeb29c5861153a391f",
    "scope":[{"scopeType":"Train","state":"Enabled"},{"scopeType":"Infer","state":"Enabled"}],
    "resources":{"available":[{"flavor":"modelarts.vm.cpu.4ud","count":2,"azs":[{"az":"az-7c","count":2}]}]}}}"#;

fn body(text: &str) -> Value {
    json::parse(text.as_bytes()).unwrap()
}

fn shown(pool: &Pool) -> Value {
    serde_json::to_value(Shown::from(pool)).unwrap()
}

fn patched(pool: &Pool, patch: &Value) -> Pool {
    validate::apply_edit(pool, &decode_patch(pool, patch).unwrap()).unwrap().next
}

/// The pool of the list and patch examples.
fn auto_pool() -> Pool {
    let mut pool = plain_pool(
        "auto-pool-os",
        "network-maos-86c13962597848eeb29c5861153a391f",
        "modelarts.vm.cpu.4ud",
        2,
    );
    pool.name = PoolName::parse("auto-pool-os-86c13962597848eeb29c5861153a391f").unwrap();
    pool.created_at = at("2022-09-16T03:10:40Z");
    pool.resource_id = "maos-auto-pool-os-72w8d".to_owned();
    if let PoolKind::Physical(spec) = &mut pool.spec.kind {
        spec.scope = vec![JobType::Train, JobType::Infer];
    }
    let enabled = |job_type| ScopeStatus {
        job_type,
        state: ScopeState::Enabled,
        plugins: Vec::new(),
        message: None,
    };
    pool.status.scopes = vec![enabled(JobType::Train), enabled(JobType::Infer)];
    pool
}

fn counted(zone_name: &str, count: u32) -> Vec<FlavorCount> {
    let key = ElementKey {
        flavor: flavor("modelarts.vm.cpu.4ud"),
        node_pool: domain::name::NodePoolName::default_of(&flavor("modelarts.vm.cpu.4ud")),
    };
    vec![FlavorCount {
        key,
        count,
        azs: vec![zone(zone_name, count)],
        creating_step: None,
    }]
}

#[test]
fn the_published_physical_pool_is_created_and_shown() {
    let draft = decode_create(&body(PHYSICAL_REQUEST)).unwrap();
    assert!(validate::check_create(&draft).is_empty());
    let mut pool = pool_of(draft);
    pool.status.phase = PoolPhase::Creating;
    assert_holds(&shown(&pool), &body(PHYSICAL_ANSWER));
    insta::assert_json_snapshot!("physical", Shown::from(&pool));
}

#[test]
fn the_published_logical_pool_is_created_and_shown() {
    let draft = decode_create(&body(LOGICAL_REQUEST)).unwrap();
    assert!(validate::check_create(&draft).is_empty());
    assert_eq!(draft.billing.mode, Some(BillingMode::PayPerUse));
    let mut pool = pool_of(draft);
    pool.status.phase = PoolPhase::Waiting(Waiting::Approval);
    let shown = shown(&pool);
    assert_holds(
        &shown,
        &json!({
            "apiVersion": "v2",
            "metadata": {"annotations": {"os.modelarts/billing.mode": "0", "os.modelarts/product.id": "xxx"}},
            "status": {"phase": "Waiting", "message": "waiting for administrator approval", "resources": {}}
        }),
    );
    assert!(shown["status"].get("root").is_none());
    insta::assert_json_snapshot!("logical", shown);
}

#[test]
fn the_published_list_shows_its_pool() {
    let mut pool = auto_pool();
    pool.annotations.insert("os.modelarts/external-access".to_owned(), "elb".to_owned());
    pool.status.resources.available = counted("az-7c", 2);
    assert_holds(&shown(&pool), &body(LISTED));
    let item = serde_json::to_vec(&Shown::from(&pool)).unwrap();
    let list: Value = serde_json::from_slice(&crate::list::join("PoolList", "v2", None, &[item])).unwrap();
    assert_eq!(list, json!({"kind": "PoolList", "apiVersion": "v2", "items": [shown(&pool)]}));
}

#[test]
fn the_published_scale_out_is_applied_and_shown() {
    let patch = body(r#"{"spec":{"resources":[{"flavor":"modelarts.vm.cpu.4ud","count":3}]}}"#);
    let mut pool = patched(&auto_pool(), &patch);
    pool.status.resources = ResourceCounts {
        creating: counted("cn-north-7c", 1),
        available: counted("cn-north-7c", 2),
        ..ResourceCounts::default()
    };
    assert_holds(&shown(&pool), &body(PATCH_ANSWER));
    insta::assert_json_snapshot!("scaled", Shown::from(&pool));
}

#[test]
fn the_other_published_patches_are_applied() {
    let pool = auto_pool();
    let patch = |text: &str| patched(&pool, &body(text));
    let described =
        patch(r#"{"metadata":{"annotations":{"os.modelarts/description":"nightly training"},"labels":{"os.modelarts/sharing":"shared"}}}"#);
    assert_eq!(
        (described.description.as_str(), described.sharing),
        ("nightly training", Sharing::Shared)
    );
    let scoped = patch(r#"{"spec":{"scope":["Train","Notebook"]}}"#);
    assert_eq!(scoped.physical().unwrap().scope, [JobType::Train, JobType::Notebook]);
    let driven = patch(r#"{"spec":{"driver":{"gpuVersion":"440.33","updateStrategy":"idle"}}}"#);
    assert_eq!(driven.physical().unwrap().driver.gpu_version.as_deref(), Some("440.33"));
    let pool = plain_pool("auto-pool-os", "net-1", "f1", 2);
    let placed = patched(
        &pool,
        &body(r#"{"spec":{"resources":[{"flavor":"f1","count":4,"azs":[{"az":"az-1","count":2},{"az":"az-2","count":2}]}]}}"#),
    );
    assert_eq!(placed.spec.resources[0].azs, Some(vec![zone("az-1", 2), zone("az-2", 2)]));
    let plain = decode_patch(
        &described,
        &body(r#"{"metadata":{"annotations":{"os.modelarts/description":null}}}"#),
    )
    .unwrap();
    assert_eq!(plain.draft.description, None);
}

/// Contract clients §3, as captured.
#[test]
fn what_terraform_sends_is_accepted() {
    let create = body(
        r#"{"apiVersion":"v2","kind":"Pool","metadata":{"annotations":{"os.modelarts/description":"…"},"labels":{"os.modelarts/name":"pool-demo"}},
 "spec":{"clusters":null,"network":{"name":"net-demo-P"},"scope":["Infer","Train"],"type":"Dedicate",
  "resources":[{"count":1,"extendParams":{"dockerBaseSize":"50"},"flavor":"modelarts.vm.cpu.8ud","rootVolume":{"size":"100","volumeType":"SSD"},"tags":[{"key":"team","value":"a"}]}]}}"#,
    );
    let draft = decode_create(&create).unwrap();
    assert!(validate::check_create(&draft).is_empty());
    let pool = pool_of(draft);
    let update = body(
        r#"{"metadata":{"annotations":{"os.modelarts/description":"changed"}},
 "spec":{"resources":[{"count":2,"maxCount":1,"extendParams":{"dockerBaseSize":"50"},"flavor":"modelarts.vm.cpu.8ud","rootVolume":{"size":"100","volumeType":"SSD"},"tags":[{"key":"team","value":"a"}]}],
         "scope":["Infer","Train"]}}"#,
    );
    let mut wanted = pool.clone();
    wanted.description = "changed".to_owned();
    wanted.spec.resources[0].count = 2;
    wanted.spec.resources[0].max_count = 2;
    assert_eq!(patched(&pool, &update), wanted);
    let nothing = body(r#"{"metadata":{},"spec":{"resources":[{"count":1,"flavor":"modelarts.vm.cpu.8ud"}],"scope":["Infer","Train"]}}"#);
    assert_eq!(patched(&pool, &nothing), pool);
}

#[test]
fn the_fullest_pools_are_shown_like_this() {
    insta::assert_json_snapshot!("fullest_physical", Shown::from(&full_pool()));
    insta::assert_json_snapshot!("fullest_logical", Shown::from(&logical_pool()));
}

#[test]
fn what_is_sent_is_what_is_shown_again() {
    for (mut sent, pool) in [(physical_body(), full_pool()), (logical_body(), logical_pool())] {
        // Write-only.
        sent["metadata"]["annotations"]
            .as_object_mut()
            .unwrap()
            .remove("os.modelarts/auto.pay");
        assert_holds(&shown(&pool), &sent);
    }
}

#[test]
fn a_parent_that_was_found_on_approval_is_in_the_status_only() {
    let mut pool = pool_of(decode_create(&body(LOGICAL_REQUEST)).unwrap());
    let parent = PoolRef {
        project: pool.owner.project.clone(),
        name: PoolName::parse("pool-parent").unwrap(),
    };
    pool.spec.kind = PoolKind::Logical(LogicalSpec {
        parent: Some(parent.clone()),
        root: Some(parent),
        parent_was_sent: false,
    });
    let shown = shown(&pool);
    assert_holds(&shown, &json!({"status": {"parent": "pool-parent", "root": "pool-parent"}}));
    assert!(shown["spec"].get("parent").is_none());
}

/// Contract pools §1 to §5: whatever may be in an answer.
const DOCUMENTED: [(&str, &[&str]); 21] = [
    ("", &["apiVersion", "kind"]),
    ("metadata", &["name", "creationTimestamp", "deletionTimestamp"]),
    (
        "metadata.labels",
        &[
            "os.modelarts/name",
            "os.modelarts/workspace.id",
            "os.modelarts/sharing",
            "os.modelarts/node.prefix",
            "os.modelarts/resource.id",
            "os.modelarts/tenant.domain.id",
            "os.modelarts/tenant.project.id",
            "os.modelarts/create-from",
            "os.modelarts.pool/biz",
            "os.modelarts/order.name",
            "os.modelarts/enterprise.project.id",
            "os.modelarts/nobilling",
            "os.modelarts/region",
            "os.modelarts/privileged",
            // A user's.
            "team",
        ],
    ),
    (
        "metadata.annotations",
        &[
            "os.modelarts/description",
            "os.modelarts/billing.mode",
            "os.modelarts/period.num",
            "os.modelarts/period.type",
            "os.modelarts/auto.renew",
            "os.modelarts/promotion.info",
            "os.modelarts/service.console.url",
            "os.modelarts/order.id",
            "os.modelarts/flavor.resource.ids",
            "os.modelarts/tms.tags",
            "os.modelarts/scheduler.extension",
            "os.modelarts.pool/subpools.count",
            "os.modelarts/tenant.domain.name",
            "os.modelarts/external-access",
            "os.modelarts/volcano.scheduler.cabinet-exclusive.enabled",
            "os.modelarts.pool/scope.external.dependency.Train",
            "os.modelarts.pool/scope.external.dependency.Infer",
            "os.modelarts.pool/scope.external.dependency.Notebook",
            "os.modelarts.pool/scheduler.queue.strategy",
            "os.modelarts/product.id",
        ],
    ),
    (
        "spec",
        &[
            "type",
            "scope",
            "parent",
            "kubernetesSvcIpRange",
            "clusterFlavor",
            "jobFlavors",
            "userLogin.keyPairName",
            "clusters[].name",
            "clusters[].providerId",
            "ipv6enable",
            "controlMode",
        ],
    ),
    ("spec.network", &["name", "vpcId", "subnetId"]),
    ("spec.containerNetwork", &["mode", "cidr"]),
    // An entry without a zone is an empty object.
    ("spec.masters[]", &["az", ""]),
    ("spec.driver", &["gpuVersion", "npuVersion", "updateStrategy"]),
    (
        "spec.resources[]",
        &[
            "flavor",
            "count",
            "maxCount",
            "nodePool",
            "azs[].az",
            "azs[].count",
            "tags[].key",
            "tags[].value",
            "creatingStep.step",
            "creatingStep.type",
            "rootVolume.volumeType",
            "rootVolume.size",
            "os.name",
            "os.imageId",
            "os.imageType",
            "os.autoMatch",
            "driver.version",
            "labels.disk",
            "taints[].key",
            "taints[].value",
            "taints[].effect",
            "network.vpc",
            "network.subnet",
            "network.securityGroups",
        ],
    ),
    (
        "spec.resources[].extendParams",
        &["dockerBaseSize", "postInstall", "runtime", "labelPolicyOnExistingNodes", "custom"],
    ),
    (
        "spec.resources[].dataVolumes[]",
        &["volumeType", "size", "count", "extendParams.volumeGroup"],
    ),
    (
        "spec.resources[].volumeGroupConfigs[]",
        &["volumeGroup", "dockerThinPool", "lvmConfig.lvType", "lvmConfig.path", "types"],
    ),
    (
        "status",
        &["phase", "message", "parent", "root", "clusters[].name", "clusters[].providerId"],
    ),
    ("status.resources.creating[]", &COUNTED),
    ("status.resources.available[]", &COUNTED),
    ("status.resources.abnormal[]", &COUNTED),
    ("status.resources.deleting[]", &COUNTED),
    // What a logical pool has.
    ("status.resources", &[""]),
    (
        "status.scope[]",
        &["scopeType", "state", "plugins[].name", "plugins[].phase", "message"],
    ),
    ("status.driver", &["gpu.version", "gpu.state", "npu.version", "npu.state"]),
];

const COUNTED: [&str; 8] = [
    "flavor",
    "count",
    "maxCount",
    "azs[].az",
    "azs[].count",
    "creatingStep.step",
    "creatingStep.type",
    "nodePool",
];

/// Members of privileged pools, which are not supported.
const PRIVILEGED: [(&str, &[&str]); 5] = [
    ("metadata.labels", &["os.modelarts/privileged"]),
    ("spec", &["userLogin.keyPairName", "clusters[].name", "clusters[].providerId"]),
    ("spec.network", &["vpcId", "subnetId"]),
    (
        "spec.resources[]",
        &[
            "taints[].key",
            "taints[].value",
            "taints[].effect",
            "network.vpc",
            "network.subnet",
            "network.securityGroups",
        ],
    ),
    ("status", &["clusters[].name", "clusters[].providerId"]),
];

#[test]
fn every_documented_member_is_shown_under_its_name() {
    let shown = members(&[shown(&full_pool()), shown(&logical_pool())]);
    assert_documented(&shown, &DOCUMENTED, &PRIVILEGED);
}
