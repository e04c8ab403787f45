//! Users who do things at random.

use clock::{Entropy, SeededEntropy};
use domain::name::{DisplayName, NetworkName, PoolName, ProjectId};
use domain::pool::draft::{BillingDraft, Patched, PoolDraft, PoolEdit, PoolNetworkDraft, ResourceDraft};
use domain::pool::{DriverSpec, JobType, Pool, UpdateStrategy};
use service::{CallContext, Service, ServiceError};
use std::collections::BTreeMap;

/// Where they act.
pub(crate) struct Place {
    pub project: ProjectId,
    pub network: NetworkName,
    pub cpu: domain::name::FlavorName,
    pub gpu: domain::name::FlavorName,
}

/// One random request; gives what was done and how it was answered.
pub(crate) async fn act(service: &Service, ctx: &CallContext, place: &Place, random: &SeededEntropy) -> String {
    let below = |bound: u64| random.next_u64() % bound;
    let number = below(6);
    let display = format!("pool-{number}");
    let name = name(&display, &place.project);
    let count = u32::try_from(1 + below(6)).unwrap_or(1);
    let (what, result) = match below(10) {
        0..3 => {
            let draft = physical(&display, place, count, below(3) == 0);
            ("create", service.create_pool(ctx, || Ok(draft.clone())).await.map(|_| ()))
        }
        3..6 => ("scale", patch(service, ctx, &name, |draft| draft.resources[0].count = count).await),
        6 => {
            let scope = if below(2) == 0 {
                vec![JobType::Train]
            } else {
                vec![JobType::Train, JobType::Notebook]
            };
            ("scope", patch(service, ctx, &name, |draft| draft.scope = Some(scope.clone())).await)
        }
        7 => {
            let version = if below(2) == 0 { "1" } else { "2" };
            let strategy = if below(2) == 0 {
                UpdateStrategy::Force
            } else {
                UpdateStrategy::Idle
            };
            let driver = DriverSpec {
                gpu_version: Some(version.to_owned()),
                npu_version: None,
                update_strategy: Some(strategy),
            };
            (
                "driver",
                patch(service, ctx, &name, |draft| draft.driver = Some(driver.clone())).await,
            )
        }
        8 => {
            let child = format!("pool-{number}-sub");
            let draft = PoolDraft {
                is_logical: true,
                parent: Some(name.clone()),
                network: None,
                scope: None,
                ..physical(&child, place, 1, false)
            };
            if below(2) == 0 {
                ("create-sub", service.create_pool(ctx, || Ok(draft.clone())).await.map(|_| ()))
            } else {
                let child = PoolName::of(&draft.display_name, &place.project);
                ("delete-sub", service.delete_pool(ctx, &child).await.map(|_| ()))
            }
        }
        _ => ("delete", service.delete_pool(ctx, &name).await.map(|_| ())),
    };
    let answer = match &result {
        Ok(()) => "ok".to_owned(),
        Err(error) => error.to_string(),
    };
    format!("{what} {display} {count}: {answer}")
}

fn name(display: &str, project: &ProjectId) -> PoolName {
    DisplayName::parse(display).map_or_else(|_| unnamed(), |display| PoolName::of(&display, project))
}

#[expect(clippy::expect_used, reason = "a constant name")]
fn unnamed() -> PoolName {
    PoolName::parse("none").expect("a constant name is valid")
}

async fn patch(service: &Service, ctx: &CallContext, name: &PoolName, change: impl Fn(&mut PoolDraft)) -> Result<(), ServiceError> {
    let edit = |pool: &Pool| {
        let mut draft = as_draft(pool);
        change(&mut draft);
        Ok(PoolEdit {
            draft,
            mentions_resources: true,
            billing: BillingDraft::default(),
            mentions_billing: false,
            order_id: Patched::Unchanged,
        })
    };
    service.patch_pool(ctx, name, edit).await.map(|_| ())
}

/// The pool as a request that changes nothing.
fn as_draft(pool: &Pool) -> PoolDraft {
    let physical = pool.physical();
    let resources = pool.spec.resources.iter().map(|element| ResourceDraft {
        max_count: Some(element.max_count),
        ..ResourceDraft::plain(element.flavor.clone(), element.count)
    });
    PoolDraft {
        display_name: pool.display_name.clone(),
        workspace: Some(pool.workspace.clone()),
        sharing: Some(pool.sharing),
        node_prefix: None,
        labels: pool.labels.clone(),
        annotations: pool.annotations.clone(),
        description: Some(pool.description.clone()),
        billing: BillingDraft::default(),
        tags: None,
        is_logical: physical.is_none(),
        scope: physical.map(|spec| spec.scope.clone()),
        resources: resources.collect(),
        parent: None,
        network: physical.map(|spec| PoolNetworkDraft {
            name: Some(spec.network.clone()),
            vpc: None,
            subnet: None,
        }),
        container_cidr: None,
        service_cidr: None,
        masters: Vec::new(),
        cluster_flavor: None,
        job_flavors: pool.spec.job_flavors.clone(),
        driver: physical.map(|spec| spec.driver.clone()),
        ipv6: None,
        has_clusters: false,
        has_user_login: false,
    }
}

#[expect(clippy::expect_used, reason = "names made of constants and a digit")]
fn physical(display: &str, place: &Place, count: u32, has_gpus: bool) -> PoolDraft {
    let flavor = if has_gpus { &place.gpu } else { &place.cpu };
    PoolDraft {
        display_name: DisplayName::parse(display).expect("a valid display name"),
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
        resources: vec![ResourceDraft::plain(flavor.clone(), count)],
        parent: None,
        network: Some(PoolNetworkDraft {
            name: Some(place.network.clone()),
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
