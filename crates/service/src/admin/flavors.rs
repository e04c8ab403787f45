//! The catalogue of flavors (contract `flavors.md`).

use super::{decided, exists, shown};
use crate::Outcome;
use crate::context::{CallContext, Service, check_match};
use crate::error::ServiceError;
use domain::catalogue::{Flavor, FlavorKind};
use domain::field::{FieldErrors, FieldPath, Reason};
use domain::label;
use domain::name::FlavorName;
use domain::pool::Pool;
use domain::principal::Principal;
use std::collections::BTreeSet;
use std::sync::Arc;
use store::index::{Snapshot, Versioned};
use store::{Count, Expect, TypedBatch, counters};

/// Users of a flavor that a refusal names.
const SHOWN_USERS: usize = 10;

impl Service {
    pub async fn create_flavor(
        &self,
        ctx: &CallContext,
        decode: impl Fn() -> Result<Flavor, FieldErrors>,
    ) -> Result<Outcome<Flavor>, ServiceError> {
        self.administer(ctx, || {
            let flavor = decode()?;
            let index = self.parts.state.index().read();
            check(&index, &flavor).into_result()?;
            if index.get::<Flavor>("", &flavor.name).is_some() {
                return Err(exists("Resourceflavor", flavor.name.as_str()));
            }
            let mut batch = TypedBatch::default();
            hold_base(&index, &mut batch, &flavor);
            batch.put(flavor.clone(), Expect::Absent);
            Ok(decided(batch, flavor))
        })
        .await
    }

    /// `edit` gets the flavor as it is and gives the one that is to be, of the same name. While pools use it, what decides
    /// about their machines stays: kind, architecture and accelerators.
    pub async fn update_flavor(
        &self,
        ctx: &CallContext,
        name: &FlavorName,
        edit: impl Fn(&Flavor) -> Result<Flavor, FieldErrors>,
    ) -> Result<Outcome<Flavor>, ServiceError> {
        self.administer(ctx, || {
            let found = self.find_flavor(name)?;
            check_match(ctx, found.revision())?;
            let flavor = Flavor {
                name: found.name.clone(),
                ..edit(&found)?
            };
            let index = self.parts.state.index().read();
            check(&index, &flavor).into_result()?;
            let mut batch = TypedBatch::default();
            if !serves_alike(&found, &flavor) {
                unused(&index, &mut batch, &found, "changed in kind, architecture or accelerators")?;
            }
            hold_base(&index, &mut batch, &flavor);
            batch.put(flavor.clone(), Expect::At(found.revision()));
            Ok(decided(batch, flavor))
        })
        .await
    }

    /// All flavors, virtual ones too, by name.
    pub fn all_flavors(&self, who: &Principal) -> Result<Vec<Arc<Flavor>>, ServiceError> {
        self.authorize_operator(who)?;
        let all = self.parts.state.index().read().all::<Flavor>();
        Ok(all.into_iter().map(|flavor| flavor.object).collect())
    }

    pub fn show_flavor(&self, who: &Principal, name: &FlavorName) -> Result<Outcome<Flavor>, ServiceError> {
        self.authorize_operator(who)?;
        self.find_flavor(name).map(|found| shown(&found))
    }

    /// Refused while pools use it or virtual flavors are slices of it.
    pub async fn delete_flavor(&self, ctx: &CallContext, name: &FlavorName) -> Result<Outcome<Flavor>, ServiceError> {
        self.administer(ctx, || {
            let found = self.find_flavor(name)?;
            check_match(ctx, found.revision())?;
            let index = self.parts.state.index().read();
            let mut batch = TypedBatch::default();
            unused(&index, &mut batch, &found, "deleted")?;
            batch.delete(found.entry.key.clone(), Expect::At(found.revision()));
            Ok(decided(batch, Flavor::clone(&found)))
        })
        .await
    }

    fn find_flavor(&self, name: &FlavorName) -> Result<Versioned<Flavor>, ServiceError> {
        let found = self.parts.state.index().read().get::<Flavor>("", name);
        found.ok_or_else(|| ServiceError::named("Resourceflavor", name))
    }
}

/// The base of a virtual flavor stays as it was checked until the batch is committed.
fn hold_base(index: &Snapshot<'_>, batch: &mut TypedBatch, flavor: &Flavor) {
    if let FlavorKind::Virtual { base, .. } = &flavor.kind
        && let Some(base) = index.get::<Flavor>("", base)
    {
        batch.check(base.entry.key.clone(), Expect::At(base.revision()));
    }
}

/// The first few of them, and how many more there are.
fn enumerate(names: &[String]) -> String {
    let shown = &names[..names.len().min(SHOWN_USERS)];
    match names.len() - shown.len() {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

fn serves_alike(a: &Flavor, b: &Flavor) -> bool {
    a.kind == b.kind && a.arch == b.arch && a.gpu == b.gpu && a.npu == b.npu
}

/// Nothing uses the flavor, and nothing begins to before the batch is committed: pools promise themselves machines in
/// the batch that makes them.
fn unused(index: &Snapshot<'_>, batch: &mut TypedBatch, flavor: &Flavor, what: &str) -> Result<(), ServiceError> {
    let name = &flavor.name;
    let pools = index.all::<Pool>();
    let pools = pools
        .iter()
        .filter(|pool| pool.spec.resources.iter().any(|element| element.flavor == *name));
    let slices = index.all::<Flavor>();
    let slices = slices
        .iter()
        .filter(|other| matches!(&other.kind, FlavorKind::Virtual { base, .. } if base == name));
    let users: Vec<_> = pools
        .map(|pool| format!("pool {}", pool.name))
        .chain(slices.map(|slice| format!("virtual flavor {}", slice.name)))
        .collect();
    if !users.is_empty() {
        return Err(ServiceError::Refused(format!(
            "flavor {name} cannot be {what}: it is used by {}",
            enumerate(&users)
        )));
    }
    batch.count(Count {
        key: counters::promised(name),
        add: 0,
        at_most: Some(0),
    });
    Ok(())
}

fn check(index: &Snapshot<'_>, flavor: &Flavor) -> FieldErrors {
    let mut errors = FieldErrors::new();
    if flavor.cpu == 0 {
        errors.invalid(FieldPath::of("cpu"), "must be at least 1");
    }
    if flavor.memory_gib == 0 {
        errors.invalid(FieldPath::of("memory"), "must be at least 1 GiB");
    }
    for (field, accelerator) in [("gpu", &flavor.gpu), ("npu", &flavor.npu)] {
        if accelerator
            .as_ref()
            .is_some_and(|accelerator| accelerator.size == 0 || accelerator.model.is_empty())
        {
            errors.invalid(FieldPath::of(field), "must have a model and a size of at least 1");
        }
    }
    if flavor.gpu.is_some() && flavor.npu.is_some() {
        errors.forbidden(FieldPath::of("npu"), "a machine has accelerators of one kind");
    }
    if flavor.job_types.iter().collect::<BTreeSet<_>>().len() < flavor.job_types.len() {
        errors.push(FieldPath::of("jobTypes"), Reason::Duplicate, "names a job type twice");
    }
    if flavor.zones.iter().collect::<BTreeSet<_>>().len() < flavor.zones.len() {
        errors.push(FieldPath::of("zones"), Reason::Duplicate, "names a zone twice");
    }
    if flavor.creating_steps.iter().any(|step| step.step == 0) {
        errors.invalid(FieldPath::of("creatingSteps"), "a step is at least 1 machine");
    }
    check_texts(flavor, &mut errors);
    check_base(index, flavor, &mut errors);
    errors
}

fn check_texts(flavor: &Flavor, errors: &mut FieldErrors) {
    for (field, texts, longest) in [
        ("labels", &flavor.labels, label::MAX_LABEL_VALUE),
        ("annotations", &flavor.annotations, label::MAX_ANNOTATION_VALUE),
    ] {
        let path = FieldPath::of(field);
        if texts.len() > label::MAX_KEYS {
            errors.invalid(path.clone(), format!("must hold at most {} keys", label::MAX_KEYS));
        }
        for (key, value) in texts {
            if let Err(message) = label::check_key(key) {
                errors.invalid(path.field(key), message);
            } else if value.chars().count() > longest {
                errors.invalid(path.field(key), format!("must be at most {longest} characters long"));
            }
        }
    }
}

fn check_base(index: &Snapshot<'_>, flavor: &Flavor, errors: &mut FieldErrors) {
    let FlavorKind::Virtual { base, .. } = &flavor.kind else { return };
    let path = FieldPath::of("virtual").field("base");
    match index.get::<Flavor>("", base) {
        None => errors.push(path, Reason::NotFound, format!("unknown flavor \"{base}\"")),
        Some(found) if !found.is_physical() => errors.invalid(path, "must be a physical flavor"),
        Some(_) => {}
    }
}
