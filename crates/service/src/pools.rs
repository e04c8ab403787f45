//! Pools: create, list, show, patch, delete, statistics, retry of a job type.

mod create;
mod delete;
pub(crate) mod patch;

use crate::context::{CallContext, Service, check_match};
use crate::error::{Missing, ServiceError};
use crate::{Outcome, admission};
use auth::Action;
use domain::field::FieldErrors;
use domain::label::Selector;
use domain::name::{PoolName, ProjectId, WorkspaceId};
use domain::plugin::{Plugin, PluginPhase};
use domain::pool::{JobType, Pool, PoolPhase, Restricted, ScopeState};
use std::sync::Arc;
use std::time::Duration;
use store::index::{Entry, Facet, Place, Snapshot, Versioned};
use store::{Expect, TypedBatch};

use crate::commit::Decided;

/// Which pools a list shows.
#[derive(Debug, Clone)]
pub struct PoolFilter {
    pub workspace: WorkspaceId,
    pub selector: Selector,
    pub status: Option<StatusFilter>,
    pub parent: Option<String>,
}

impl PoolFilter {
    fn admits_all(&self) -> bool {
        self.status.is_none() && self.parent.is_none() && self.selector.is_empty()
    }

    pub(crate) fn admits(&self, pool: &Pool, matches: impl Fn(&Selector, &Pool) -> bool) -> bool {
        self.status.is_none_or(|status| status.admits(&pool.status.phase))
            && self.parent.as_ref().is_none_or(|parent| {
                let own = pool.logical().and_then(|spec| spec.parent.as_ref());
                own.is_some_and(|own| own.name.as_str() == parent)
            })
            && (self.selector.is_empty() || matches(&self.selector, pool))
    }
}

/// `status` of ListPools (contract pools §7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusFilter {
    Created,
    Creating,
    Failed,
}

impl StatusFilter {
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "created" => Some(Self::Created),
            "creating" => Some(Self::Creating),
            "failed" => Some(Self::Failed),
            _ => None,
        }
    }

    fn admits(self, phase: &PoolPhase) -> bool {
        match phase {
            PoolPhase::Running
            | PoolPhase::Abnormal { .. }
            | PoolPhase::ScalingFailed { .. }
            | PoolPhase::Error { .. }
            | PoolPhase::Deleting => self == Self::Created,
            PoolPhase::Creating | PoolPhase::Waiting(_) => self == Self::Creating,
            PoolPhase::CreationFailed { .. } => self == Self::Failed,
        }
    }
}

/// Which part of a list is wanted.
#[derive(Debug, Clone, Default)]
pub struct Part {
    /// The second in which the last object of the part before was created, and its name, whether it is still there or not.
    pub after: Option<(i64, String)>,
    pub limit: Option<usize>,
}

impl Part {
    /// Cuts the part out of everything under a value of a facet, whose objects are of one project.
    pub(crate) fn cut(self, index: &Snapshot<'_>, project: &ProjectId, (facet, value): (Facet, &str)) -> Found {
        let after = self.after(project);
        let mut all = index.entries_after(facet, value, after.as_ref());
        let entries: Vec<_> = all.by_ref().take(self.limit.unwrap_or(usize::MAX)).cloned().collect();
        let remaining = match after {
            Some(_) => all.count(),
            None => index.filed(facet, value) - entries.len(),
        };
        Found { entries, remaining }
    }

    /// As [`Part::cut`], of what is admitted.
    pub(crate) fn cut_from(
        self,
        index: &Snapshot<'_>,
        project: &ProjectId,
        (facet, value): (Facet, &str),
        admits: impl Fn(&Entry) -> bool,
    ) -> Found {
        let after = self.after(project);
        let mut found = index.entries_after(facet, value, after.as_ref()).filter(|entry| admits(entry));
        let entries = found.by_ref().take(self.limit.unwrap_or(usize::MAX)).cloned().collect();
        let remaining = found.count();
        Found { entries, remaining }
    }

    fn after(&self, project: &ProjectId) -> Option<Place> {
        self.after.as_ref().map(|(second, name)| Place::created(*second, name, project))
    }
}

/// A part of a list.
#[derive(Debug, Default)]
pub struct Found {
    pub entries: Vec<Arc<Entry>>,
    /// How many more follow.
    pub remaining: usize,
}

/// Pools by what they are doing (contract pools §12).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PoolStatistics {
    pub created: u32,
    pub creating: u32,
    pub deleting: u32,
    pub failed: u32,
    pub pending: u32,
}

impl Service {
    /// The pools of one workspace, newest first, then by name. `matches` holds a selector against the labels that the API
    /// shows. Without any filter, a part costs no more for the pools before and, but for being counted, after it.
    pub fn list_pools(
        &self,
        ctx: &CallContext,
        filter: impl FnOnce() -> Result<(PoolFilter, Part), FieldErrors>,
        matches: impl Fn(&Selector, &Pool) -> bool,
    ) -> Result<Found, ServiceError> {
        let (filter, part) = self.pool_filter(ctx, filter)?;
        let workspace = format!("{}/{}", ctx.project, filter.workspace);
        let facet = (Facet::PoolsOfWorkspace, workspace.as_str());
        let index = self.parts.state.index().read();
        if filter.admits_all() {
            return Ok(part.cut(&index, &ctx.project, facet));
        }
        let admits = |entry: &Entry| entry.get::<Pool>().is_some_and(|pool| filter.admits(pool, &matches));
        Ok(part.cut_from(&index, &ctx.project, facet, admits))
    }

    /// Checks 5 to 7 for a list of pools.
    pub(crate) fn pool_filter<T>(
        &self,
        ctx: &CallContext,
        filter: impl FnOnce() -> Result<(PoolFilter, T), FieldErrors>,
    ) -> Result<(PoolFilter, T), ServiceError> {
        self.authorize(ctx, Action::PoolList)?;
        let user = self.effective_user(ctx, Action::PoolList)?;
        let (filter, rest) = filter()?;
        if let Some(workspace) = self.workspace(&ctx.project, &filter.workspace)
            && !workspace.admits(&user)
        {
            self.check_workspace(ctx, Action::PoolList, &filter.workspace)?;
        }
        Ok((filter, rest))
    }

    /// Checks 5 to 7a for a pool of a path.
    pub(crate) fn find_pool(&self, ctx: &CallContext, action: Action, name: &PoolName) -> Result<Versioned<Pool>, ServiceError> {
        let found = self.pool_of(ctx, action, name)?;
        check_match(ctx, found.revision())?;
        Ok(found)
    }

    /// Checks 5 to 7 for the pool of something: `If-Match` is about that, not about the pool.
    pub(crate) fn pool_of(&self, ctx: &CallContext, action: Action, name: &PoolName) -> Result<Versioned<Pool>, ServiceError> {
        self.authorize_somewhere(ctx, action)?;
        let found = self
            .parts
            .state
            .index()
            .read()
            .get::<Pool>(&ctx.project, name)
            .ok_or(ServiceError::NotFound(Missing::Pool))?;
        self.check_workspace(ctx, action, &found.workspace)?;
        Ok(found)
    }

    pub fn show_pool(&self, ctx: &CallContext, name: &PoolName) -> Result<Versioned<Pool>, ServiceError> {
        self.find_pool(ctx, Action::PoolGet, name)
    }

    /// Shows the pool as soon as `holds` is true of it, or when the time is over, or the error of the moment it is gone.
    pub async fn await_pool(
        &self,
        ctx: &CallContext,
        name: &PoolName,
        timeout: Duration,
        holds: impl Fn(&Pool) -> bool,
    ) -> Result<Versioned<Pool>, ServiceError> {
        let timeout = timeout.min(self.parts.limits.wait);
        let deadline = self.now().saturating_add(timeout).unwrap_or(jiff::Timestamp::MAX);
        let mut over = self.parts.clock.sleep_until(deadline);
        loop {
            let seen = self.parts.state.index().age();
            let found = self.show_pool(ctx, name)?;
            if holds(&found) {
                return Ok(found);
            }
            tokio::select! {
                biased;
                () = self.parts.state.index().changed(seen) => {}
                () = &mut over => return self.show_pool(ctx, name),
            }
        }
    }

    pub fn pool_statistics(
        &self,
        ctx: &CallContext,
        workspace: impl FnOnce() -> Result<WorkspaceId, FieldErrors>,
    ) -> Result<PoolStatistics, ServiceError> {
        let filter = || {
            let filter = PoolFilter {
                workspace: workspace()?,
                selector: Selector::default(),
                status: None,
                parent: None,
            };
            Ok((filter, Part::default()))
        };
        let mut statistics = PoolStatistics::default();
        for entry in self.list_pools(ctx, filter, |_, _| true)?.entries {
            let Some(pool) = entry.get::<Pool>() else { continue };
            let slot = match pool.status.phase {
                PoolPhase::Running | PoolPhase::Abnormal { .. } | PoolPhase::ScalingFailed { .. } | PoolPhase::Error { .. } => {
                    &mut statistics.created
                }
                PoolPhase::Creating => &mut statistics.creating,
                PoolPhase::Waiting(_) => &mut statistics.pending,
                PoolPhase::Deleting => &mut statistics.deleting,
                PoolPhase::CreationFailed { .. } => &mut statistics.failed,
            };
            *slot += 1;
        }
        statistics.failed = statistics.failed.min(500);
        Ok(statistics)
    }

    /// Tries a job type again that could not be enabled.
    pub async fn retry_scope(
        &self,
        ctx: &CallContext,
        name: &PoolName,
        decode: impl Fn() -> Result<JobType, FieldErrors>,
    ) -> Result<Outcome<Pool>, ServiceError> {
        let _turn = self.locks.lock(self.tree_of(ctx, name)).await;
        self.change(ctx, || {
            let found = self.find_pool(ctx, Action::PoolUpdate, name)?;
            let job_type = decode()?;
            self.refuse_restricted(&found.object, Restricted::Service)?;
            let mut next = Pool::clone(&found);
            let scope = next
                .status
                .scopes
                .iter_mut()
                .find(|scope| scope.job_type == job_type && scope.state == ScopeState::EnableFailed);
            let Some(scope) = scope.filter(|_| found.deleted_at.is_none()) else {
                return Err(ServiceError::Refused(format!(
                    "The pool {name} scope {job_type} cannot be enabled."
                )));
            };
            scope.state = ScopeState::Enabling;
            scope.message = None;
            let plugins: Vec<_> = scope.plugins.iter().map(|(template, _)| template.clone()).collect();
            let mut batch = TypedBatch::default();
            let now = self.now();
            for plugin in self
                .parts
                .state
                .index()
                .read()
                .under::<Plugin>(Facet::PluginsOfPool, found.uid.as_str())
            {
                if plugin.phase == PluginPhase::Abnormal && plugins.contains(&plugin.template) {
                    let mut again = Plugin::clone(&plugin);
                    again.ask_again(now);
                    batch.put(again, Expect::At(plugin.revision()));
                }
            }
            batch.put(next.clone(), Expect::At(found.revision()));
            Ok(Decided {
                batch,
                object: Arc::new(next),
                unchanged: None,
            })
        })
        .await
    }

    /// Check 11 for one class of operations, with the masks of all ancestors.
    pub(crate) fn refuse_restricted(&self, pool: &Arc<Pool>, what: Restricted) -> Result<(), ServiceError> {
        let mask = admission::effective_mask(&self.parts.state.index().read(), pool);
        match mask.refuses(what) {
            Some(reason) => Err(ServiceError::restricted(&pool.name, reason)),
            None => Ok(()),
        }
    }

    /// The key of the root of a pool's tree, for [`crate::commit::Locks`]; the pool's own where it is unknown.
    pub(crate) fn tree_of(&self, ctx: &CallContext, name: &PoolName) -> store::Key {
        let index = self.parts.state.index().read();
        let own = store::Key::new(store::Kind::Pool, &ctx.project, name);
        match index
            .get::<Pool>(&ctx.project, name)
            .and_then(|pool| pool.logical().and_then(|spec| spec.root.clone()))
        {
            Some(root) => store::Key::new(store::Kind::Pool, &root.project, &root.name),
            None => own,
        }
    }
}
