//! Jobs: ListJobs and ShowJob (contract tags… §5).

use crate::context::{CallContext, Service};
use crate::error::ServiceError;
use auth::Action;
use domain::field::FieldErrors;
use domain::job::{Job, JobKind};
use jiff::Timestamp;
use std::sync::Arc;
use std::time::Duration;
use store::index::{Entry, Facet, Versioned};

/// Which jobs a list shows.
#[derive(Debug, Clone, Default)]
pub struct JobFilter {
    pub kind: Option<JobKind>,
    /// Id of a pool.
    pub pool: Option<String>,
    pub since: Option<Timestamp>,
    pub until: Option<Timestamp>,
}

/// Jobs are shown for so long where no other time is asked for.
const WINDOW: Duration = Duration::from_hours(30 * 24);

impl Service {
    /// Jobs of the project, newest first, in workspaces that the caller may use.
    pub fn list_jobs(
        &self,
        ctx: &CallContext,
        filter: impl FnOnce() -> Result<JobFilter, FieldErrors>,
    ) -> Result<Vec<Arc<Entry>>, ServiceError> {
        self.authorize(ctx, Action::JobList)?;
        let user = self.effective_user(ctx, Action::JobList)?;
        let filter = filter()?;
        let until = filter.until.unwrap_or_else(|| self.now());
        let since = filter
            .since
            .unwrap_or_else(|| self.now().saturating_sub(WINDOW).unwrap_or(Timestamp::MIN));
        let index = self.parts.state.index().read();
        let may_see = |job: &Job| {
            let workspace = index.get::<domain::workspace::Workspace>(&ctx.project, &job.workspace);
            workspace.map_or(user.may_use_all, |workspace| workspace.admits(&user))
        };
        let found = index.entries(Facet::JobsOfProject, &ctx.project).filter(|entry| {
            entry.get::<Job>().is_some_and(|job| {
                filter.kind.is_none_or(|kind| job.kind == kind)
                    && filter.pool.as_ref().is_none_or(|pool| job.pool.as_str() == pool)
                    && (since..=until).contains(&job.created_at)
                    && may_see(job)
            })
        });
        Ok(found.cloned().collect())
    }

    pub fn show_job(&self, ctx: &CallContext, id: &str) -> Result<Versioned<Job>, ServiceError> {
        self.authorize(ctx, Action::JobGet)?;
        let found = self.parts.state.index().read().get::<Job>(&ctx.project, id);
        let found = found.ok_or_else(|| ServiceError::named("Job", id))?;
        self.check_workspace(ctx, Action::JobGet, &found.workspace)?;
        Ok(found)
    }
}
