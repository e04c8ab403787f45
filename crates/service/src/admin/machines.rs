//! Machines of a simulated fleet and what goes wrong with them. Other fleets keep their machines themselves.

use crate::context::{CallContext, Service};
use crate::error::ServiceError;
use domain::catalogue::Flavor;
use domain::fault::{MachineFault, PoolFault};
use domain::field::{FieldErrors, FieldPath, Reason};
use domain::name::{FlavorName, PoolName, ZoneName};
use domain::pool::Pool;
use domain::principal::Principal;
use fleet::sim::{JournalError, MachineInfo, Registration, Removal, SimFleet, Unknown};

/// Machines that one request may register.
pub const MAX_MACHINES: u32 = 10_000;

/// Machines of one flavor in one zone to be registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMachines {
    /// The machine's id; of several, what their ids begin with.
    pub id: String,
    pub flavor: FlavorName,
    pub az: ZoneName,
    /// 1 to [`MAX_MACHINES`].
    pub count: u32,
}

impl NewMachines {
    fn ids(&self) -> Vec<String> {
        if self.count == 1 {
            return vec![self.id.clone()];
        }
        (1..=self.count).map(|number| format!("{}-{number:05}", self.id)).collect()
    }
}

impl Service {
    pub(super) fn machines(&self, who: &Principal) -> Result<&SimFleet, ServiceError> {
        self.authorize_operator(who)?;
        self.parts
            .machines
            .as_ref()
            .ok_or_else(|| ServiceError::Refused("only a simulated fleet has its machines and faults kept here".to_owned()))
    }

    /// Every machine, by id.
    pub fn all_machines(&self, who: &Principal) -> Result<Vec<MachineInfo>, ServiceError> {
        Ok(self.machines(who)?.machines())
    }

    pub fn machine(&self, who: &Principal, id: &str) -> Result<MachineInfo, ServiceError> {
        self.machines(who)?.machine(id).ok_or_else(|| unknown(id))
    }

    /// Registers machines, all or none; gives them as they are then.
    pub async fn register_machines(
        &self,
        ctx: &CallContext,
        decode: impl Fn() -> Result<NewMachines, FieldErrors>,
    ) -> Result<Vec<MachineInfo>, ServiceError> {
        let fleet = self.machines(&ctx.principal)?;
        let new = decode()?;
        let field = |name: &str, message: String| ServiceError::field(FieldPath::of(name), Reason::Invalid, message);
        let flavor = self.parts.state.index().read().get::<Flavor>("", &new.flavor);
        let flavor = flavor.ok_or_else(|| field("flavor", format!("unknown flavor {:?}", new.flavor.as_str())))?;
        if !flavor.is_physical() {
            return Err(field("flavor", format!("{} is a slice of another flavor", new.flavor)));
        }
        if !flavor.zones.contains(&new.az) {
            return Err(field("az", format!("{} is not on sale in {}", new.flavor, new.az)));
        }
        let ids = new.ids();
        if let Some(known) = ids.iter().find(|id| fleet.machine(id).is_some()) {
            return Err(super::exists("Machine", known));
        }
        if !ctx.is_dry_run {
            let machines = ids.iter().map(|id| Registration::of(&flavor, id.clone(), new.az.clone()));
            fleet.register(machines.collect()).await.map_err(unavailable)?;
        }
        Ok(ids.iter().filter_map(|id| fleet.machine(id)).collect())
    }

    /// Takes a machine away that is no node.
    pub async fn unregister_machine(&self, ctx: &CallContext, id: &str) -> Result<MachineInfo, ServiceError> {
        let fleet = self.machines(&ctx.principal)?;
        let machine = fleet.machine(id).ok_or_else(|| unknown(id))?;
        let removal = match &machine.bound {
            Some((mark, node)) => Removal::InUse(mark.clone(), node.clone()),
            None if ctx.is_dry_run => Removal::Removed,
            None => fleet.unregister(id).await.map_err(unavailable)?,
        };
        match removal {
            Removal::Removed => Ok(machine),
            Removal::Unknown => Err(unknown(id)),
            Removal::InUse(mark, node) => Err(ServiceError::Refused(format!(
                "machine {id} is node {node} of pool {}",
                mark.pool.name
            ))),
        }
    }

    /// Breaks something about a machine; gives it as it is then.
    pub async fn break_machine(
        &self,
        ctx: &CallContext,
        id: &str,
        decode: impl Fn() -> Result<MachineFault, FieldErrors>,
    ) -> Result<MachineInfo, ServiceError> {
        let fleet = self.machines(&ctx.principal)?;
        fleet.machine(id).ok_or_else(|| unknown(id))?;
        let fault = decode()?;
        if !ctx.is_dry_run {
            done(fleet.break_machine(id, fault).await)?;
        }
        self.machine(&ctx.principal, id)
    }

    /// Clears a machine's faults and ends the failure that it has by itself; gives it as it is then.
    pub async fn mend_machine(&self, ctx: &CallContext, id: &str) -> Result<MachineInfo, ServiceError> {
        let fleet = self.machines(&ctx.principal)?;
        fleet.machine(id).ok_or_else(|| unknown(id))?;
        if !ctx.is_dry_run {
            done(fleet.mend_machine(id).await)?;
        }
        self.machine(&ctx.principal, id)
    }

    /// What goes wrong with what a pool has besides nodes; `ctx.project` is the pool's project.
    pub fn pool_faults(&self, ctx: &CallContext, name: &PoolName) -> Result<Vec<PoolFault>, ServiceError> {
        let fleet = self.machines(&ctx.principal)?;
        self.existing_pool(ctx, name)?;
        let faults = fleet.pool_faults().into_iter().find(|(mark, _)| mark.pool.name == *name);
        Ok(faults.map(|(_, faults)| faults).unwrap_or_default())
    }

    /// Breaks something about what a pool has besides nodes; gives all that is broken then.
    pub async fn break_pool(
        &self,
        ctx: &CallContext,
        name: &PoolName,
        decode: impl Fn() -> Result<PoolFault, FieldErrors>,
    ) -> Result<Vec<PoolFault>, ServiceError> {
        let fleet = self.machines(&ctx.principal)?;
        self.existing_pool(ctx, name)?;
        let fault = decode()?;
        if !ctx.is_dry_run {
            done(fleet.break_pool(name, fault).await)?;
        }
        self.pool_faults(ctx, name)
    }

    /// Clears the faults of a pool.
    pub async fn mend_pool(&self, ctx: &CallContext, name: &PoolName) -> Result<Vec<PoolFault>, ServiceError> {
        let fleet = self.machines(&ctx.principal)?;
        self.existing_pool(ctx, name)?;
        if !ctx.is_dry_run {
            done(fleet.mend_pool(name).await)?;
        }
        self.pool_faults(ctx, name)
    }

    fn existing_pool(&self, ctx: &CallContext, name: &PoolName) -> Result<(), ServiceError> {
        let pool = self.parts.state.index().read().get::<Pool>(&ctx.project, name);
        pool.map(drop).ok_or(ServiceError::NotFound(crate::Missing::Pool))
    }
}

fn unknown(id: &str) -> ServiceError {
    ServiceError::named("Machine", id)
}

pub(super) fn unavailable(error: JournalError) -> ServiceError {
    ServiceError::Unavailable(error.to_string())
}

/// A pool that the fleet does not know yet has nothing that could break.
fn done(outcome: Result<Result<(), Unknown>, JournalError>) -> Result<(), ServiceError> {
    outcome.map_err(unavailable)?.map_err(|what| match what {
        Unknown::Machine(id) => unknown(&id),
        Unknown::Pool(_) => ServiceError::Refused(what.to_string()),
    })
}
