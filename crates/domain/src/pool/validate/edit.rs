//! What a patch changes, and whether it may (contract pools §9).

use super::{element_path, spec};
use crate::field::{FieldErrors, FieldPath, Reason};
use crate::place::Zones;
use crate::pool::draft::{BillingDraft, Patched, PoolEdit, ResourceDraft};
use crate::pool::{AzCount, BillingMode, ElementKey, JobType, Pool, PoolKind, PoolPhase, PoolResource, Sharing};

/// A pool before and after a patch, and what kind of change that is.
#[derive(Debug, Clone, PartialEq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each names a kind of change; every combination is possible"
)]
pub struct PoolChange {
    /// The pool with the patch applied. Its status is still the old one.
    pub next: Pool,
    /// How `spec.resources` changed; `None`: it did not.
    pub scaling: Option<Scaling>,
    /// A new attempt at resources that could not be had before.
    pub is_retry: bool,
    pub added_scopes: Vec<JobType>,
    pub removed_scopes: Vec<JobType>,
    pub driver_changed: bool,
    pub job_flavors_changed: bool,
    pub sharing_changed: bool,
    pub workspace_changed: bool,
    /// Billing of the nodes of a scale-out.
    pub node_billing: Option<BillingMode>,
    /// The scale-out is to be paid for without being asked.
    pub auto_pay: bool,
    /// The pool becomes a prepaid one.
    pub switches_billing: bool,
}

/// Direction of a change of `spec.resources`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scaling {
    Out,
    In,
    /// Neither more nor fewer: nodes move between zones, or other members changed.
    Rearranged,
}

impl PoolChange {
    /// A change of nothing but `spec.resources`, which somebody else has checked.
    pub fn of_resources(next: Pool, scaling: Scaling) -> Self {
        Self {
            next,
            scaling: Some(scaling),
            is_retry: false,
            added_scopes: Vec::new(),
            removed_scopes: Vec::new(),
            driver_changed: false,
            job_flavors_changed: false,
            sharing_changed: false,
            workspace_changed: false,
            node_billing: None,
            auto_pay: true,
            switches_billing: false,
        }
    }

    /// Whether the pool is as it was.
    pub fn is_nothing(&self, old: &Pool) -> bool {
        !self.is_retry && self.next == *old
    }

    /// Whether `spec.resources` is to be worked on.
    pub fn works_on_resources(&self) -> bool {
        self.scaling.is_some() || self.is_retry
    }
}

/// Applies a patch to a pool: immutable members and field combinations are checked, references are not.
pub fn apply_edit(old: &Pool, edit: &PoolEdit) -> Result<PoolChange, FieldErrors> {
    let mut errors = FieldErrors::new();
    let mut next = old.clone();
    edit_metadata(&mut next, edit);
    let scaling = edit_resources(&mut next, old, edit, &mut errors);
    edit_kind(&mut next, edit, &mut errors);
    next.spec.job_flavors.clone_from(&edit.draft.job_flavors);
    let switches_billing = scaling.is_none() && is_switch(old, edit);
    let (node_billing, auto_pay) = if switches_billing {
        switch_billing(&mut next, edit, &mut errors);
        (None, false)
    } else {
        check_billing(old, edit, scaling, &mut errors)
    };
    let (added_scopes, removed_scopes) = scope_difference(old, &next);
    let change = PoolChange {
        scaling,
        is_retry: edit.mentions_resources && matches!(old.status.phase, PoolPhase::ScalingFailed { .. }),
        added_scopes,
        removed_scopes,
        driver_changed: old.physical().map(|spec| &spec.driver) != next.physical().map(|spec| &spec.driver),
        job_flavors_changed: old.spec.job_flavors != next.spec.job_flavors,
        sharing_changed: old.sharing != next.sharing,
        workspace_changed: old.workspace != next.workspace,
        node_billing,
        auto_pay,
        switches_billing,
        next,
    };
    check_workspace_alone(old, &change, &mut errors);
    errors.into_result()?;
    Ok(change)
}

fn edit_metadata(next: &mut Pool, edit: &PoolEdit) {
    let draft = &edit.draft;
    next.labels.clone_from(&draft.labels);
    next.annotations.clone_from(&draft.annotations);
    next.description = draft.description.clone().unwrap_or_default();
    next.sharing = draft.sharing.unwrap_or(Sharing::Unshared);
    if let Some(workspace) = &draft.workspace {
        next.workspace = workspace.clone();
    }
    match &edit.order_id {
        Patched::Unchanged => {}
        Patched::Removed => next.billing.order_id = None,
        Patched::Set(id) => next.billing.order_id = Some(id.clone()),
    }
}

fn edit_kind(next: &mut Pool, edit: &PoolEdit, errors: &mut FieldErrors) {
    match &mut next.spec.kind {
        PoolKind::Physical(physical) => {
            let wanted = edit.draft.scope.clone().unwrap_or_default();
            if wanted.is_empty() && !physical.scope.is_empty() {
                errors.invalid(spec().field("scope"), "must hold at least one job type");
            } else if !same_set(&wanted, &physical.scope) {
                physical.scope = wanted;
            }
            physical.driver = edit.draft.driver.clone().unwrap_or_default();
        }
        PoolKind::Logical(_) => {
            if edit.draft.scope.as_ref().is_some_and(|scope| scope != &[JobType::Train]) {
                errors.invalid(spec().field("scope"), "the job types of a logical pool cannot be changed");
            }
            if edit.draft.driver.is_some() {
                errors.forbidden(spec().field("driver"), "is for physical pools only");
            }
        }
    }
}

fn same_set(a: &[JobType], b: &[JobType]) -> bool {
    a.len() == b.len() && a.iter().all(|job_type| b.contains(job_type))
}

fn scope_difference(old: &Pool, next: &Pool) -> (Vec<JobType>, Vec<JobType>) {
    let scope = |pool: &Pool| pool.physical().map(|spec| spec.scope.clone()).unwrap_or_default();
    let (before, after) = (scope(old), scope(next));
    (
        after.iter().copied().filter(|job_type| !before.contains(job_type)).collect(),
        before.iter().copied().filter(|job_type| !after.contains(job_type)).collect(),
    )
}

fn edit_resources(next: &mut Pool, old: &Pool, edit: &PoolEdit, errors: &mut FieldErrors) -> Option<Scaling> {
    let is_logical = !old.is_physical();
    super::check_elements(&edit.draft.resources, is_logical, errors);
    let mut resources = Vec::new();
    for (at, draft) in edit.draft.resources.iter().enumerate() {
        let key = ElementKey {
            flavor: draft.flavor.clone(),
            node_pool: draft.node_pool(),
        };
        let present = old.spec.resources.iter().find(|element| element.element() == key);
        if let Some(present) = present {
            check_fixed_members(draft, present, &element_path(at), errors);
        }
        let mut element = draft.resolve(present, is_logical);
        resolve_zones(
            &mut element,
            present,
            &present_zones(old, &key),
            &element_path(at).field("azs"),
            errors,
        );
        if let Some(step) = &element.creating_step
            && !element.count.is_multiple_of(step.step.max(1))
            && draft.creating_step.is_none()
        {
            errors.invalid(
                element_path(at).field("count"),
                format!("must be a multiple of creatingStep.step ({})", step.step),
            );
        }
        resources.push(element);
    }
    if !is_logical && resources.iter().all(|element| element.count == 0) {
        errors.invalid(spec().field("resources"), "at least one node must remain; delete the pool instead");
    }
    let directions = directions(&old.spec.resources, &resources);
    if directions.grows && directions.shrinks {
        errors.forbidden(spec().field("resources"), "a pool cannot be scaled out and in by one request");
    }
    let changed = resources != old.spec.resources;
    next.spec.resources = resources;
    changed.then_some(match directions {
        Directions { grows: true, .. } => Scaling::Out,
        Directions { shrinks: true, .. } => Scaling::In,
        Directions {
            grows: false,
            shrinks: false,
        } => Scaling::Rearranged,
    })
}

fn check_fixed_members(draft: &ResourceDraft, present: &PoolResource, path: &FieldPath, errors: &mut FieldErrors) {
    for (is_changed, field) in [
        (
            draft.root_volume.is_some() && draft.root_volume != present.root_volume,
            "rootVolume",
        ),
        (
            draft.data_volumes.as_ref().is_some_and(|volumes| *volumes != present.data_volumes),
            "dataVolumes",
        ),
        (
            draft.volume_groups.as_ref().is_some_and(|groups| *groups != present.volume_groups),
            "volumeGroupConfigs",
        ),
        (
            draft.creating_step.is_some() && draft.creating_step != present.creating_step,
            "creatingStep",
        ),
    ] {
        if is_changed {
            errors.immutable(path.field(field));
        }
    }
}

/// Where an element's nodes are now, or will be as far as that is known.
fn present_zones(pool: &Pool, key: &ElementKey) -> Zones {
    let counts = &pool.status.resources;
    let mut zones = Zones::new();
    for entry in [&counts.creating, &counts.available, &counts.abnormal]
        .into_iter()
        .flatten()
        .filter(|entry| entry.key == *key)
    {
        for AzCount { az, count } in &entry.azs {
            *zones.entry(az.clone()).or_insert(0) += count;
        }
    }
    zones
}

/// `azs` is the wanted absolute distribution. On a scale-out, a sum that equals the difference is read as an increment
/// (contract pools §3.2).
fn resolve_zones(element: &mut PoolResource, present: Option<&PoolResource>, zones: &Zones, path: &FieldPath, errors: &mut FieldErrors) {
    let Some(azs) = &mut element.azs else { return };
    let sum: u32 = azs.iter().map(|entry| entry.count).sum();
    if sum == element.count {
        return;
    }
    let before = present.map_or(0, |present| present.count);
    if element.count > before && sum == element.count - before {
        let mut total = present.and_then(|present| present.azs.as_ref()).map_or_else(
            || zones.clone(),
            |azs| azs.iter().map(|entry| (entry.az.clone(), entry.count)).collect(),
        );
        for entry in azs.iter() {
            *total.entry(entry.az.clone()).or_insert(0) += entry.count;
        }
        if total.values().sum::<u32>() == element.count {
            *azs = total.into_iter().map(|(az, count)| AzCount { az, count }).collect();
            return;
        }
    }
    errors.invalid(path.clone(), format!("must add up to count ({}), not {sum}", element.count));
}

#[derive(Debug, Clone, Copy)]
struct Directions {
    grows: bool,
    shrinks: bool,
}

/// Compares two versions of `spec.resources` element by element; a missing element has no nodes (semantics §5 rule 1).
fn directions(before: &[PoolResource], after: &[PoolResource]) -> Directions {
    let count = |list: &[PoolResource], key: &ElementKey| {
        list.iter()
            .find(|element| element.element() == *key)
            .map_or(0, |element| element.count)
    };
    let mut directions = Directions {
        grows: false,
        shrinks: false,
    };
    for key in before.iter().chain(after).map(PoolResource::element) {
        let (old, new) = (count(before, &key), count(after, &key));
        directions.grows |= new > old;
        directions.shrinks |= new < old;
    }
    directions
}

/// Whether a patch makes a pool a prepaid one: with the order id that was given out for that.
fn is_switch(old: &Pool, edit: &PoolEdit) -> bool {
    let Patched::Set(id) = &edit.order_id else { return false };
    old.billing.issued_order.as_ref() == Some(id)
        && old.billing.mode == BillingMode::PayPerUse
        && edit.billing.mode == Some(BillingMode::Prepaid)
}

fn switch_billing(next: &mut Pool, edit: &PoolEdit, errors: &mut FieldErrors) {
    let sent = &edit.billing;
    let annotations = FieldPath::of("metadata").field("annotations");
    for (is_there, name) in [
        (sent.period_num.is_some(), "os.modelarts/period.num"),
        (sent.period_type.is_some(), "os.modelarts/period.type"),
    ] {
        if !is_there {
            errors.push(annotations.field(name), Reason::Required, "is required");
        }
    }
    let billing = &mut next.billing;
    billing.mode = BillingMode::Prepaid;
    billing.period_num = sent.period_num;
    billing.period_type = sent.period_type;
    billing.auto_renew = sent.auto_renew.or(billing.auto_renew);
    billing.issued_order = None;
}

/// Billing annotations describe the nodes of a scale-out, or repeat what is; anything else is refused (semantics §7).
fn check_billing(old: &Pool, edit: &PoolEdit, scaling: Option<Scaling>, errors: &mut FieldErrors) -> (Option<BillingMode>, bool) {
    let sent = &edit.billing;
    if scaling == Some(Scaling::Out) {
        return (sent.mode, sent.auto_pay.unwrap_or(false));
    }
    let annotations = FieldPath::of("metadata").field("annotations");
    for (is_changed, name) in changed_billing(old, sent) {
        if is_changed {
            errors.forbidden(annotations.field(name), "can be changed together with a scale-out only");
        }
    }
    if edit.mentions_billing {
        errors.forbidden(
            annotations.field("os.modelarts/promotion.info"),
            "can be changed together with a scale-out only",
        );
    }
    (None, false)
}

fn changed_billing(old: &Pool, sent: &BillingDraft) -> [(bool, &'static str); 5] {
    let billing = &old.billing;
    [
        (sent.mode.is_some_and(|mode| mode != billing.mode), "os.modelarts/billing.mode"),
        (
            sent.period_num.is_some() && sent.period_num != billing.period_num,
            "os.modelarts/period.num",
        ),
        (
            sent.period_type.is_some() && sent.period_type != billing.period_type,
            "os.modelarts/period.type",
        ),
        (
            sent.auto_renew.is_some() && sent.auto_renew != billing.auto_renew,
            "os.modelarts/auto.renew",
        ),
        (sent.auto_pay.is_some_and(|pay| pay && !billing.auto_pay), "os.modelarts/auto.pay"),
    ]
}

fn check_workspace_alone(old: &Pool, change: &PoolChange, errors: &mut FieldErrors) {
    if !change.workspace_changed {
        return;
    }
    let mut moved = old.clone();
    moved.workspace = change.next.workspace.clone();
    if moved != change.next || change.is_retry {
        let path = FieldPath::of("metadata").field("labels").field("os.modelarts/workspace.id");
        errors.forbidden(path, "must be the only change of the request");
    }
}
