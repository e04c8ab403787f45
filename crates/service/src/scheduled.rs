//! Scheduled events: announced and carried out by the operator, accepted by users (contract tags… §3).

use crate::Outcome;
use crate::commit::Decided;
use crate::context::{CallContext, Service, check_match};
use crate::error::ServiceError;
use crate::events::shown_second;
use auth::Action;
use domain::field::{FieldErrors, FieldPath, Reason};
use domain::name::WorkspaceId;
use domain::node::{Node, NodePhase};
use domain::pool::Pool;
use domain::schedule::{Acceptance, Announcement, Consent, Progress, Redeploy, ScheduledEvent, ScheduledKind, ScheduledState};
use domain::workspace::EffectiveUser;
use jiff::Timestamp;
use std::sync::Arc;
use store::index::{Facet, Snapshot, Versioned};
use store::{Expect, TypedBatch};

/// Which scheduled events a list shows. Empty lists: any.
#[derive(Debug, Clone, Default)]
pub struct ScheduledFilter {
    pub workspace: Option<WorkspaceId>,
    pub states: Vec<ScheduledState>,
    pub kinds: Vec<ScheduledKind>,
    pub id: Option<String>,
    pub node: Option<String>,
    pub pool: Option<String>,
    pub since: Option<Timestamp>,
    pub until: Option<Timestamp>,
}

impl Service {
    /// Newest first, in workspaces that the caller may use.
    pub fn list_scheduled(
        &self,
        ctx: &CallContext,
        read: impl FnOnce() -> Result<ScheduledFilter, FieldErrors>,
    ) -> Result<Vec<ScheduledEvent>, ServiceError> {
        self.authorize(ctx, Action::EventList)?;
        let user = self.effective_user(ctx, Action::EventList)?;
        let filter = read()?;
        let now = self.now();
        let index = self.parts.state.index().read();
        let mut found = Vec::new();
        for event in index.under::<ScheduledEvent>(Facet::ScheduledOfProject, ctx.project.as_str()) {
            let event = event.at(now);
            if filter.admits(&event) && is_visible(&index, ctx, &user, &event, filter.workspace.as_ref()) {
                found.push(event);
            }
        }
        Ok(found)
    }

    /// Only what is asked about can be accepted.
    pub async fn accept_scheduled(
        &self,
        ctx: &CallContext,
        id: &str,
        decode: impl Fn() -> Result<Acceptance, FieldErrors>,
    ) -> Result<Outcome<ScheduledEvent>, ServiceError> {
        self.change(ctx, || {
            self.authorize(ctx, Action::EventUpdate)?;
            let index = self.parts.state.index().read();
            let found = scheduled(&index, ctx, id)?;
            let pool = index.pool(&found.pool_uid).ok_or_else(|| missing(id))?;
            let node = index.get::<Node>(&ctx.project, &found.node);
            drop(index);
            self.check_workspace(ctx, Action::EventUpdate, &pool.workspace)?;
            check_match(ctx, found.revision())?;
            let acceptance = decode()?;
            let now = self.now();
            let next = accepted(&found, &acceptance, node.as_deref(), now)?;
            let mut batch = TypedBatch::default();
            batch.put(next.clone(), Expect::At(found.revision()));
            if let Some(node) = node {
                batch.check(node.entry.key.clone(), Expect::At(node.revision()));
            }
            Ok(Decided {
                batch,
                object: Arc::new(next),
                unchanged: None,
            })
        })
        .await
    }

    /// Announces work on a node; for operators.
    pub async fn announce(
        &self,
        ctx: &CallContext,
        decode: impl Fn() -> Result<Announcement, FieldErrors>,
    ) -> Result<Outcome<ScheduledEvent>, ServiceError> {
        self.authorize_operator(&ctx.principal)?;
        self.change(ctx, || {
            let announced = decode()?;
            let index = self.parts.state.index().read();
            let field = |name: &str, message: String| ServiceError::field(FieldPath::of(name), Reason::NotFound, message);
            let node = index
                .get::<Node>(&ctx.project, &announced.node)
                .filter(|node| !node.phase.is_deleting())
                .ok_or_else(|| field("nodeName", format!("node {} not found", announced.node)))?;
            let pool = index
                .pool(&node.pool_uid)
                .filter(|pool| pool.deleted_at.is_none())
                .ok_or_else(|| field("nodeName", format!("the pool of node {} is being deleted", announced.node)))?;
            drop(index);
            let now = self.now();
            let event = self.new_scheduled(announced, &node, &pool, now);
            let mut batch = TypedBatch::default();
            batch.check(node.entry.key.clone(), Expect::At(node.revision()));
            // Whoever takes the pool away notices that something new goes with it.
            batch.put(Arc::clone(&pool.object), Expect::At(pool.revision()));
            batch.put(event.clone(), Expect::Absent);
            Ok(Decided {
                batch,
                object: Arc::new(event),
                unchanged: None,
            })
        })
        .await
    }

    fn new_scheduled(&self, announced: Announcement, node: &Node, pool: &Pool, now: Timestamp) -> ScheduledEvent {
        ScheduledEvent {
            id: self.new_uid(now),
            project: pool.owner.project.clone(),
            pool: pool.name.clone(),
            pool_uid: pool.uid.clone(),
            pool_display: pool.display_name.clone(),
            node: node.name.clone(),
            node_uid: node.uid.clone(),
            machine: node.machine.as_ref().and_then(|machine| machine.instance.clone()),
            catalog: announced.catalog,
            kind: announced.kind,
            description: announced.description,
            state: announced.state,
            published_at: now,
            not_before: announced.not_before,
            started_at: None,
            finished_at: None,
            probe_message: None,
            job_progress: None,
            redeploy: announced.redeploy,
            consent: None,
        }
    }

    /// All of a project by the time of their publication; for operators.
    pub fn all_scheduled(&self, ctx: &CallContext) -> Result<Vec<Versioned<ScheduledEvent>>, ServiceError> {
        self.authorize_operator(&ctx.principal)?;
        let index = self.parts.state.index().read();
        Ok(index.under::<ScheduledEvent>(Facet::ScheduledOfProject, ctx.project.as_str()))
    }

    /// For operators.
    pub fn one_scheduled(&self, ctx: &CallContext, id: &str) -> Result<Versioned<ScheduledEvent>, ServiceError> {
        self.authorize_operator(&ctx.principal)?;
        scheduled(&self.parts.state.index().read(), ctx, id)
    }

    /// Tells how the work gets on; for operators.
    pub async fn progress_scheduled(
        &self,
        ctx: &CallContext,
        id: &str,
        decode: impl Fn(&ScheduledEvent) -> Result<Progress, FieldErrors>,
    ) -> Result<Outcome<ScheduledEvent>, ServiceError> {
        self.authorize_operator(&ctx.principal)?;
        self.change(ctx, || {
            let found = scheduled(&self.parts.state.index().read(), ctx, id)?;
            check_match(ctx, found.revision())?;
            let progress = decode(&found)?;
            let now = self.now();
            let mut next = found.at(now);
            let from = next.state;
            if let Some(state) = progress.state
                && !next.enter(state, now)
            {
                let message = format!("cannot go from {} to {}", from.as_str(), state.as_str());
                return Err(ServiceError::field(FieldPath::of("state"), Reason::Invalid, message));
            }
            next.description = progress.description.unwrap_or(next.description);
            next.not_before = progress.not_before.or(next.not_before);
            next.probe_message = progress.probe_message.or(next.probe_message);
            next.job_progress = progress.job_progress.or(next.job_progress);
            let mut batch = TypedBatch::default();
            let unchanged = (next == *found.object).then(|| found.revision());
            if unchanged.is_none() {
                batch.put(next.clone(), Expect::At(found.revision()));
            }
            Ok(Decided {
                batch,
                object: Arc::new(next),
                unchanged,
            })
        })
        .await
    }

    /// For operators.
    pub async fn withdraw_scheduled(&self, ctx: &CallContext, id: &str) -> Result<Outcome<ScheduledEvent>, ServiceError> {
        self.authorize_operator(&ctx.principal)?;
        self.change(ctx, || {
            let found = scheduled(&self.parts.state.index().read(), ctx, id)?;
            check_match(ctx, found.revision())?;
            Ok(Decided::deletion(&found))
        })
        .await
    }
}

fn is_visible(
    index: &Snapshot<'_>,
    ctx: &CallContext,
    user: &EffectiveUser,
    event: &ScheduledEvent,
    workspace: Option<&WorkspaceId>,
) -> bool {
    let Some(pool) = index.pool(&event.pool_uid) else { return false };
    workspace.is_none_or(|workspace| pool.workspace == *workspace) && crate::tags::sight(index, ctx, user)(&pool.workspace)
}

impl ScheduledFilter {
    fn admits(&self, event: &ScheduledEvent) -> bool {
        let is_pool = |name: &String| event.pool.as_str() == name || event.pool_display.as_str() == name;
        (self.states.is_empty() || self.states.contains(&event.state))
            && (self.kinds.is_empty() || self.kinds.contains(&event.kind))
            && self.id.as_ref().is_none_or(|id| event.id.hyphenated() == *id)
            && self.node.as_ref().is_none_or(|name| event.node.as_str() == name)
            && self.pool.as_ref().is_none_or(is_pool)
            && self.since.is_none_or(|since| event.published_at >= since)
            && self.until.is_none_or(|until| shown_second(event.published_at) <= until)
    }
}

fn missing(id: &str) -> ServiceError {
    ServiceError::named("ScheduledEvent", id)
}

/// Ids are shown with hyphens.
fn scheduled(index: &Snapshot<'_>, ctx: &CallContext, id: &str) -> Result<Versioned<ScheduledEvent>, ServiceError> {
    index
        .get::<ScheduledEvent>(&ctx.project, id.replace('-', ""))
        .filter(|event| event.id.hyphenated() == id)
        .ok_or_else(|| missing(id))
}

fn accepted(found: &ScheduledEvent, acceptance: &Acceptance, node: Option<&Node>, now: Timestamp) -> Result<ScheduledEvent, ServiceError> {
    if acceptance.not_before.is_some_and(|at| at <= now) {
        return Err(ServiceError::field(
            FieldPath::of("notBefore"),
            Reason::Invalid,
            "must be in the future",
        ));
    }
    let redeploy_path = || FieldPath::of("redeployConfig").field("type");
    if let Some(way) = acceptance.redeploy
        && !found.redeploy.is_empty()
        && !found.redeploy.contains(&way)
    {
        let message = format!("this event does not offer {}", way.as_str());
        return Err(ServiceError::field(redeploy_path(), Reason::Invalid, message));
    }
    if found.state != ScheduledState::Inquiring {
        return Err(ServiceError::Refused(format!(
            "only an event in state inquiring can be accepted; it is {}",
            found.at(now).state.as_str()
        )));
    }
    let Some(node) = node.filter(|node| node.uid == found.node_uid) else {
        return Err(ServiceError::Refused(format!("node {} is gone", found.node)));
    };
    let is_available = matches!(node.phase, NodePhase::Available { .. });
    if acceptance.redeploy == Some(Redeploy::Soft) && !is_available {
        let message = format!("SOFT needs an available node; {} is {}", node.name, node.phase.as_str());
        return Err(ServiceError::field(redeploy_path(), Reason::Forbidden, message));
    }
    let mut next = found.clone();
    let begin = [acceptance.not_before, found.not_before]
        .into_iter()
        .flatten()
        .max()
        .filter(|at| *at > now);
    next.not_before = begin.or(found.not_before);
    next.enter(
        if begin.is_some() {
            ScheduledState::Scheduled
        } else {
            ScheduledState::Executing
        },
        now,
    );
    next.consent = Some(Consent {
        at: now,
        not_before: acceptance.not_before,
        redeploy: acceptance.redeploy,
        is_automatic: acceptance.is_automatic,
    });
    Ok(next)
}
