//! Labels and annotations of a pool, as they are shown.

use super::Texts;
use domain::pool::{self as model, BillingMode, PeriodType};

/// The labels as they are shown, which is what label selectors see.
pub fn labels(pool: &model::Pool) -> Texts {
    let mut labels = pool.labels.clone();
    let mut put = |key: &str, value: &str| {
        labels.insert(key.to_owned(), value.to_owned());
    };
    put("os.modelarts/name", pool.display_name.as_str());
    put("os.modelarts/workspace.id", pool.workspace.as_str());
    put(
        "os.modelarts/node.prefix",
        pool.node_prefix.as_ref().map_or("", |prefix| prefix.as_str()),
    );
    put("os.modelarts/resource.id", &pool.resource_id);
    put("os.modelarts/tenant.domain.id", pool.owner.domain.as_str());
    put("os.modelarts/tenant.project.id", pool.owner.project.as_str());
    put("os.modelarts/order.name", pool.last_order.as_str());
    put(
        "os.modelarts/sharing",
        match pool.sharing {
            model::Sharing::Unshared => "unshared",
            model::Sharing::Shared => "shared",
        },
    );
    put(
        "os.modelarts/create-from",
        match pool.origin {
            model::Origin::Console => "console",
            model::Origin::AdminConsole => "admin-console",
            model::Origin::Api => "api",
        },
    );
    put(
        "os.modelarts.pool/biz",
        match pool.business {
            model::Business::Private => "private",
            model::Business::Public => "public",
        },
    );
    labels
}

pub(super) fn annotations(pool: &model::Pool) -> Texts {
    let mut notes = pool.annotations.clone();
    let mut put = |key: &str, value: String| {
        notes.insert(key.to_owned(), value);
    };
    put("os.modelarts/description", pool.description.clone());
    let billing = &pool.billing;
    put(
        "os.modelarts/billing.mode",
        if billing.mode == BillingMode::Prepaid { "1" } else { "0" }.to_owned(),
    );
    put("os.modelarts.pool/subpools.count", pool.status.children.to_string());
    put("os.modelarts/tenant.domain.name", pool.owner.domain_name.clone());
    put(
        "os.modelarts/flavor.resource.ids",
        serde_json::to_string(&pool.flavor_resource_ids).unwrap_or_default(),
    );
    let optional = [
        ("os.modelarts/period.num", billing.period_num.map(|number| number.to_string())),
        (
            "os.modelarts/period.type",
            billing.period_type.map(|kind| period_type(kind).to_owned()),
        ),
        (
            "os.modelarts/auto.renew",
            billing.auto_renew.map(|renew| u8::from(renew).to_string()),
        ),
        ("os.modelarts/order.id", billing.order_id.clone()),
        (
            "os.modelarts/tms.tags",
            (!pool.tags.is_empty()).then(|| serde_json::to_string(&pool.tags).unwrap_or_default()),
        ),
    ];
    for (key, value) in optional {
        if let Some(value) = value {
            put(key, value);
        }
    }
    for (job_type, state) in &pool.status.dependencies {
        put(&format!("os.modelarts.pool/scope.external.dependency.{job_type}"), state.clone());
    }
    notes
}

pub(crate) fn period_type(kind: PeriodType) -> &'static str {
    match kind {
        PeriodType::Month => "2",
        PeriodType::Year => "3",
        PeriodType::Hour => "4",
    }
}
