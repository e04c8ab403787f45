//! Labels and annotations of a pool, as they are sent.

use crate::decode::{Place, decimal};
use domain::field::Reason;
use domain::label::{MAX_ANNOTATION_VALUE, MAX_KEYS, MAX_LABEL_VALUE, check_key};
use domain::name::{DisplayName, NodePrefix, WorkspaceId};
use domain::pool::draft::BillingDraft;
use domain::pool::{BillingMode, PeriodType, Sharing};
use domain::tag::{MAX_TAGS, Tag, TagFault};
use std::collections::BTreeMap;

/// Labels that the server owns: in a create they are ignored.
pub(crate) const OWNED_LABELS: [&str; 9] = [
    "os.modelarts/resource.id",
    "os.modelarts/tenant.domain.id",
    "os.modelarts/tenant.project.id",
    "os.modelarts/create-from",
    "os.modelarts.pool/biz",
    "os.modelarts/order.name",
    "os.modelarts/nobilling",
    "os.modelarts/region",
    "os.modelarts/privileged",
];

/// Annotations that the server owns: in a create they are ignored.
pub(crate) const OWNED_ANNOTATIONS: [&str; 7] = [
    "os.modelarts/flavor.resource.ids",
    "os.modelarts.pool/subpools.count",
    "os.modelarts/tenant.domain.name",
    "os.modelarts/external-access",
    "os.modelarts.pool/scope.external.dependency.Train",
    "os.modelarts.pool/scope.external.dependency.Infer",
    "os.modelarts.pool/scope.external.dependency.Notebook",
];

pub(super) struct Labels {
    pub name: DisplayName,
    pub workspace: Option<WorkspaceId>,
    pub sharing: Option<Sharing>,
    pub node_prefix: Option<NodePrefix>,
    pub others: BTreeMap<String, String>,
}

pub(super) fn labels(place: &Place<'_>) -> Option<Labels> {
    let own = [
        "os.modelarts/name",
        "os.modelarts/workspace.id",
        "os.modelarts/sharing",
        "os.modelarts/node.prefix",
    ];
    if !place.may_have_fields() {
        return None;
    }
    let found = display_name(place);
    let workspace = workspace(place);
    let sharing = place.field("os.modelarts/sharing");
    let sharing = sharing
        .scalar()
        .and_then(|text| sharing.chosen(&text, &[("unshared", Sharing::Unshared), ("shared", Sharing::Shared)]));
    let node_prefix = place.field("os.modelarts/node.prefix");
    let node_prefix = node_prefix
        .scalar()
        .filter(|text| !text.is_empty())
        .and_then(|text| node_prefix.parsed(&text, NodePrefix::parse));
    let others = others(place, &own, &OWNED_LABELS, MAX_LABEL_VALUE);
    Some(Labels {
        name: found?,
        workspace,
        sharing,
        node_prefix,
        others,
    })
}

/// The mandatory label `os.modelarts/name`. Values of labels may be sent as numbers, here as everywhere (contract README §4.4).
pub(crate) fn display_name(labels: &Place<'_>) -> Option<DisplayName> {
    let place = labels.field("os.modelarts/name");
    if place.is_absent() {
        place.required();
    }
    place.parsed(&place.scalar()?, DisplayName::parse)
}

/// The label `os.modelarts/workspace.id`; empty means absent.
pub(crate) fn workspace(labels: &Place<'_>) -> Option<WorkspaceId> {
    let place = labels.field("os.modelarts/workspace.id");
    let text = place.scalar().filter(|text| !text.is_empty())?;
    place.parsed(&text, WorkspaceId::parse)
}

pub(super) struct Annotations {
    pub description: Option<String>,
    pub billing: BillingDraft,
    pub tags: Option<Vec<Tag>>,
    pub others: BTreeMap<String, String>,
}

pub(super) fn annotations(place: &Place<'_>) -> Annotations {
    let own = [
        "os.modelarts/description",
        "os.modelarts/billing.mode",
        "os.modelarts/period.num",
        "os.modelarts/period.type",
        "os.modelarts/auto.renew",
        "os.modelarts/auto.pay",
        "os.modelarts/order.id",
        "os.modelarts/tms.tags",
    ];
    Annotations {
        description: description(&place.field("os.modelarts/description")),
        billing: billing(place),
        tags: tags(&place.field("os.modelarts/tms.tags")),
        others: others(place, &own, &OWNED_ANNOTATIONS, MAX_ANNOTATION_VALUE),
    }
}

/// Free text of at most 256 characters without `! < > = & " '`.
pub(crate) fn description(place: &Place<'_>) -> Option<String> {
    let text = place.scalar()?;
    if text.chars().count() > 256 {
        place.invalid("must be at most 256 characters long");
    }
    if text.contains(['!', '<', '>', '=', '&', '"', '\'']) {
        place.invalid("must not contain any of ! < > = & \" '");
    }
    Some(text)
}

pub(super) fn billing(place: &Place<'_>) -> BillingDraft {
    let text = |name: &str| place.field(name).scalar().filter(|text| !text.is_empty());
    let flag = |name: &str, choices: &[(&str, bool)]| place.field(name).chosen(&text(name)?, choices);
    let period_types = [("2", PeriodType::Month), ("3", PeriodType::Year), ("4", PeriodType::Hour)];
    let modes = [("0", BillingMode::PayPerUse), ("1", BillingMode::Prepaid)];
    let period_num = text("os.modelarts/period.num").and_then(|sent| {
        let number = decimal(&sent).filter(|number: &u32| *number > 0);
        if number.is_none() {
            place.field("os.modelarts/period.num").invalid("must be a positive integer");
        }
        number
    });
    BillingDraft {
        mode: text("os.modelarts/billing.mode").and_then(|text| place.field("os.modelarts/billing.mode").chosen(&text, &modes)),
        period_num,
        period_type: text("os.modelarts/period.type").and_then(|text| place.field("os.modelarts/period.type").chosen(&text, &period_types)),
        auto_renew: flag("os.modelarts/auto.renew", &[("0", false), ("1", true)]),
        auto_pay: flag(
            "os.modelarts/auto.pay",
            &[("0", false), ("false", false), ("1", true), ("true", true)],
        ),
        order_id: text("os.modelarts/order.id"),
    }
}

fn tags(place: &Place<'_>) -> Option<Vec<Tag>> {
    let text = place.scalar().filter(|text| !text.is_empty())?;
    let Ok(tags) = serde_json::from_str::<Vec<Tag>>(&text) else {
        place.invalid("must hold a JSON list of objects with key and value");
        return None;
    };
    check_tags(place, &tags, Tag::check);
    Some(tags)
}

pub(super) fn check_tags(place: &Place<'_>, tags: &[Tag], check: impl Fn(&Tag) -> Result<(), TagFault>) {
    if tags.len() > MAX_TAGS {
        place.invalid(format!("may hold at most {MAX_TAGS} tags"));
        return;
    }
    for (at, tag) in tags.iter().enumerate() {
        if let Err(fault) = check(tag) {
            place.invalid(format!("tag \"{}\": {fault}", tag.key));
        }
        if tags[..at].iter().any(|earlier| earlier.key == tag.key) {
            place.refuse(Reason::Duplicate, format!("tag \"{}\" occurs twice", tag.key));
        }
    }
}

/// Keys that have no field of their own.
pub(crate) fn others(place: &Place<'_>, own: &[&str], owned: &[&str], longest: usize) -> BTreeMap<String, String> {
    let Some(members) = place.object() else { return BTreeMap::new() };
    let mut found = BTreeMap::new();
    for key in members
        .keys()
        .filter(|key| !own.contains(&key.as_str()) && !owned.contains(&key.as_str()))
    {
        let value = place.field(key);
        if let Err(message) = check_key(key) {
            value.invalid(message);
            continue;
        }
        let Some(text) = value.scalar() else { continue };
        if text.chars().count() > longest {
            value.invalid(format!("must be at most {longest} characters long"));
        }
        found.insert(key.clone(), text);
    }
    // Only these are counted: what the server adds must not keep a full object from being sent back.
    if found.len() > MAX_KEYS {
        place.invalid(format!("may hold at most {MAX_KEYS} other keys"));
    }
    found
}
