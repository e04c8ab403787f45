//! What the operator registers as it is: virtual resource templates, and what networks can be connected to.

use super::{decided, exists, shown};
use crate::Outcome;
use crate::context::{CallContext, Service, check_match};
use crate::error::ServiceError;
use domain::catalogue::{Flavor, FlavorKind, VirtualTemplate};
use domain::field::FieldErrors;
use domain::network::{PeerSubnet, SfsTurbo};
use domain::principal::Principal;
use std::sync::Arc;
use store::index::{Snapshot, Versioned};
use store::{Expect, Object, Resource, TypedBatch};

/// Something that is registered under an id.
pub trait Registered: Resource + Clone + PartialEq
where
    Object: From<Self>,
{
    /// Its kind as the API spells it.
    const NAME: &'static str;

    fn id(&self) -> String;

    /// Why it has to stay.
    fn user(&self, _index: &Snapshot<'_>) -> Option<String> {
        None
    }
}

impl Registered for VirtualTemplate {
    const NAME: &'static str = "VirtualResourceTemplate";

    fn id(&self) -> String {
        self.name.to_string()
    }

    fn user(&self, index: &Snapshot<'_>) -> Option<String> {
        let flavors = index.all::<Flavor>();
        let user = flavors
            .iter()
            .find(|flavor| matches!(&flavor.kind, FlavorKind::Virtual { template, .. } if template == self.name.as_str()))?;
        Some(format!("flavor {} is made from it", user.name))
    }
}

impl Registered for PeerSubnet {
    const NAME: &'static str = "PeerSubnet";

    fn id(&self) -> String {
        Self::id(self)
    }
}

impl Registered for SfsTurbo {
    const NAME: &'static str = "SfsTurbo";

    fn id(&self) -> String {
        self.id.clone()
    }
}

impl Service {
    fn registered<T: Registered>(&self, id: &str) -> Result<Versioned<T>, ServiceError>
    where
        Object: From<T>,
    {
        let found = self.parts.state.index().read().get::<T>("", id);
        found.ok_or_else(|| ServiceError::named(T::NAME, id))
    }

    pub async fn register<T: Registered>(
        &self,
        ctx: &CallContext,
        decode: impl Fn() -> Result<T, FieldErrors>,
    ) -> Result<Outcome<T>, ServiceError>
    where
        Object: From<T>,
    {
        self.administer(ctx, || {
            let new = decode()?;
            if self.parts.state.index().read().get::<T>("", new.id()).is_some() {
                return Err(exists(T::NAME, &new.id()));
            }
            let mut batch = TypedBatch::default();
            batch.put(new.clone(), Expect::Absent);
            Ok(decided(batch, new))
        })
        .await
    }

    /// Puts something else in its place, under the same id.
    pub async fn replace_registered<T: Registered>(
        &self,
        ctx: &CallContext,
        id: &str,
        decode: impl Fn(&T) -> Result<T, FieldErrors>,
    ) -> Result<Outcome<T>, ServiceError>
    where
        Object: From<T>,
    {
        self.administer(ctx, || {
            let found = self.registered::<T>(id)?;
            check_match(ctx, found.revision())?;
            let next = decode(&found)?;
            let mut batch = TypedBatch::default();
            batch.put(next.clone(), Expect::At(found.revision()));
            Ok(decided(batch, next))
        })
        .await
    }

    /// All of a kind, by id.
    pub fn all_registered<T: Registered>(&self, who: &Principal) -> Result<Vec<Arc<T>>, ServiceError>
    where
        Object: From<T>,
    {
        self.authorize_operator(who)?;
        let all = self.parts.state.index().read().all::<T>();
        Ok(all.into_iter().map(|found| found.object).collect())
    }

    pub fn one_registered<T: Registered>(&self, who: &Principal, id: &str) -> Result<Outcome<T>, ServiceError>
    where
        Object: From<T>,
    {
        self.authorize_operator(who)?;
        self.registered::<T>(id).map(|found| shown(&found))
    }

    pub async fn unregister<T: Registered>(&self, ctx: &CallContext, id: &str) -> Result<Outcome<T>, ServiceError>
    where
        Object: From<T>,
    {
        self.administer(ctx, || {
            let found = self.registered::<T>(id)?;
            check_match(ctx, found.revision())?;
            if let Some(user) = found.user(&self.parts.state.index().read()) {
                return Err(ServiceError::Refused(format!("{} {id} cannot be deleted: {user}", T::NAME)));
            }
            let mut batch = TypedBatch::default();
            batch.delete(found.entry.key.clone(), Expect::At(found.revision()));
            Ok(decided(batch, T::clone(&found)))
        })
        .await
    }
}
