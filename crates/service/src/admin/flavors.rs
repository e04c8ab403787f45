//! The catalogue of flavors (contract `flavors.md`).

use super::{decided, shown};
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

impl Service {
    /// Adds a flavor, or replaces the one of that name. While pools use it, what decides about their machines stays:
    /// kind, architecture and accelerators.
    pub async fn put_flavor(
        &self,
        ctx: &CallContext,
        decode: impl Fn() -> Result<Flavor, FieldErrors>,
    ) -> Result<Outcome<Flavor>, ServiceError> {
        self.administer(ctx, || {
            let flavor = decode()?;
            let index = self.parts.state.index().read();
            check(&index, &flavor).into_result()?;
            let mut batch = TypedBatch::default();
            let expect = match index.get::<Flavor>("", &flavor.name) {
                None => Expect::Absent,
                Some(found) => {
                    check_match(ctx, found.revision())?;
                    if !serves_alike(&found, &flavor) {
                        unused(&index, &mut batch, &found, "changed in kind, architecture or accelerators")?;
                    }
                    Expect::At(found.revision())
                }
            };
            if let FlavorKind::Virtual { base, .. } = &flavor.kind
                && let Some(base) = index.get::<Flavor>("", base)
            {
                batch.check(base.entry.key.clone(), Expect::At(base.revision()));
            }
            batch.put(flavor.clone(), expect);
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

fn serves_alike(a: &Flavor, b: &Flavor) -> bool {
    a.kind == b.kind && a.arch == b.arch && a.gpu == b.gpu && a.npu == b.npu
}

/// Nothing uses the flavor, and nothing begins to before the batch is committed: pools promise themselves machines in
/// the batch that makes them.
fn unused(index: &Snapshot<'_>, batch: &mut TypedBatch, flavor: &Flavor, what: &str) -> Result<(), ServiceError> {
    let name = &flavor.name;
    let pools = index.all::<Pool>();
    let users = pools
        .iter()
        .filter(|pool| pool.spec.resources.iter().any(|element| element.flavor == *name))
        .count();
    let slices = index.all::<Flavor>();
    let slices = slices
        .iter()
        .filter(|other| matches!(&other.kind, FlavorKind::Virtual { base, .. } if base == name))
        .count();
    if users + slices > 0 {
        return Err(ServiceError::Refused(format!(
            "flavor {name} cannot be {what}: {users} pools use it, {slices} virtual flavors are slices of it"
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
