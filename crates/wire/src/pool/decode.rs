//! Reading pools from requests.

use super::metadata::{annotations, labels};
use super::resources::resources;
use crate::decode::{Place, finish};
use domain::field::FieldErrors;
use domain::name::{NetworkName, PoolName, ZoneName};
use domain::network::parse_cidr;
use domain::pool::draft::{BillingDraft, PoolDraft, PoolNetworkDraft};
use domain::pool::{DriverSpec, JobType, UpdateStrategy};
use serde_json::Value;
use std::cell::RefCell;

const JOB_TYPES: [(&str, JobType); 3] = [
    ("Train", JobType::Train),
    ("Infer", JobType::Infer),
    ("Notebook", JobType::Notebook),
];

/// The body of CreatePool.
pub fn decode_create(body: &Value) -> Result<PoolDraft, FieldErrors> {
    let errors = RefCell::new(FieldErrors::new());
    let draft = draft(&Place::root(body, &errors), true);
    finish(draft, errors)
}

pub(super) fn draft(root: &Place<'_>, is_create: bool) -> Option<PoolDraft> {
    root.body()?;
    let version = root.field("apiVersion");
    let kind = root.field("kind");
    if is_create {
        version.required_text();
        kind.required_text();
    }
    if version.text().is_some_and(|text| text != "v1" && text != "v2") {
        version.invalid("must be v2");
    }
    if kind.text().is_some_and(|text| text != "Pool") {
        kind.invalid("must be Pool");
    }
    let metadata = root.field("metadata");
    let labels = if metadata.may_have_fields() {
        labels(&metadata.field("labels"))
    } else {
        None
    };
    let notes = annotations(&metadata.field("annotations"));
    let spec = root.field("spec");
    if spec.is_absent() {
        spec.required();
    }
    let own = spec.object().and_then(|_| spec_draft(&spec, is_create));
    let (labels, own) = (labels?, own?);
    Some(PoolDraft {
        display_name: labels.name,
        workspace: labels.workspace,
        sharing: labels.sharing,
        node_prefix: labels.node_prefix,
        labels: labels.others,
        annotations: notes.others,
        description: notes.description,
        billing: notes.billing,
        tags: notes.tags,
        ..own
    })
}

fn spec_draft(spec: &Place<'_>, is_create: bool) -> Option<PoolDraft> {
    let kind = spec.field("type");
    if kind.is_absent() {
        kind.required();
    }
    let is_logical = kind.choice(&[("Dedicate", false), ("Logical", true)]);
    let scope = scope(&spec.field("scope"), is_create);
    let resources = resources(&spec.field("resources"));
    let parent = spec.field("parent").name(PoolName::parse);
    let network = network(&spec.field("network"));
    let container_cidr = cidr(&spec.field("containerNetwork").field("cidr"));
    spec.field("containerNetwork").object();
    let service_cidr = cidr(&spec.field("kubernetesSvcIpRange"));
    let masters = masters(&spec.field("masters"));
    let cluster_flavor = spec
        .field("clusterFlavor")
        .text()
        .filter(|text| !text.is_empty())
        .map(ToOwned::to_owned);
    let job_flavors = spec
        .field("jobFlavors")
        .items()
        .iter()
        .filter_map(|item| item.text().map(ToOwned::to_owned))
        .collect();
    let driver = driver(&spec.field("driver"));
    let ipv6 = spec.field("ipv6enable").boolean();
    let has_clusters = !spec.field("clusters").items().is_empty();
    Some(PoolDraft {
        // Put in by the caller, which knows the metadata.
        display_name: domain::name::DisplayName::parse("none").ok()?,
        workspace: None,
        sharing: None,
        node_prefix: None,
        labels: std::collections::BTreeMap::new(),
        annotations: std::collections::BTreeMap::new(),
        description: None,
        billing: BillingDraft::default(),
        tags: None,
        is_logical: is_logical?,
        scope,
        resources,
        parent,
        network,
        container_cidr,
        service_cidr,
        masters,
        cluster_flavor,
        job_flavors,
        driver,
        ipv6,
        has_clusters,
        has_user_login: !spec.field("userLogin").is_empty(),
    })
}

fn scope(place: &Place<'_>, is_create: bool) -> Option<Vec<JobType>> {
    let items = place.list()?;
    if is_create && items.is_empty() {
        place.invalid("must hold at least one job type");
    }
    let mut found = Vec::new();
    for item in items {
        let Some(job_type) = item.choice(&JOB_TYPES) else { continue };
        if found.contains(&job_type) {
            item.refuse(domain::field::Reason::Duplicate, format!("{job_type} occurs twice"));
        } else {
            found.push(job_type);
        }
    }
    Some(found)
}

fn network(place: &Place<'_>) -> Option<PoolNetworkDraft> {
    if place.is_empty() {
        return None;
    }
    place.object()?;
    let text = |name: &str| place.field(name).text().filter(|text| !text.is_empty()).map(ToOwned::to_owned);
    Some(PoolNetworkDraft {
        name: place.field("name").name(NetworkName::parse),
        vpc: text("vpcId"),
        subnet: text("subnetId"),
    })
}

fn cidr(place: &Place<'_>) -> Option<String> {
    let text = place.text().filter(|text| !text.is_empty())?;
    match parse_cidr(text) {
        Ok(cidr) => Some(cidr.to_string()),
        Err(message) => {
            place.invalid(message);
            None
        }
    }
}

fn masters(place: &Place<'_>) -> Vec<Option<ZoneName>> {
    let items = place.items();
    if items.len() > 3 {
        place.invalid("may hold at most 3 entries");
    }
    items
        .iter()
        .map(|item| {
            item.object();
            item.field("az").name(ZoneName::parse)
        })
        .collect()
}

fn driver(place: &Place<'_>) -> Option<DriverSpec> {
    if place.is_empty() {
        return None;
    }
    place.object()?;
    let text = |name: &str| place.field(name).text().filter(|text| !text.is_empty()).map(ToOwned::to_owned);
    Some(DriverSpec {
        gpu_version: text("gpuVersion"),
        npu_version: text("npuVersion"),
        update_strategy: place
            .field("updateStrategy")
            .choice(&[("force", UpdateStrategy::Force), ("idle", UpdateStrategy::Idle)]),
    })
}

/// The body of RetryPoolScope.
pub fn decode_retry_scope(body: &Value) -> Result<JobType, FieldErrors> {
    let errors = RefCell::new(FieldErrors::new());
    let scope = {
        let root = Place::root(body, &errors);
        root.body().and_then(|_| {
            let scope = root.field("scope");
            scope.required_text();
            scope.choice(&JOB_TYPES)
        })
    };
    finish(scope, errors)
}
