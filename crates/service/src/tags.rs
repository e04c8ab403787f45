//! Tags of pools and nodes (contract tags… §1). They never make orders.

use crate::Outcome;
use crate::commit::Decided;
use crate::context::{CallContext, Service, check_match};
use crate::error::ServiceError;
use auth::Action;
use domain::field::{FieldErrors, FieldPath, Reason};
use domain::name::{NodeName, PoolName, WorkspaceId};
use domain::node::Node;
use domain::pool::Pool;
use domain::tag::{MAX_TAGS, Tag, TagChange, TagQuery};
use domain::workspace::{EffectiveUser, Workspace};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use store::index::{Facet, Snapshot, Versioned};
use store::{Expect, TypedBatch};

/// Which pools a search finds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PoolSearch {
    pub tags: TagQuery,
    /// Part of the display name, in any case.
    pub name: Option<String>,
}

/// Keys with all their values, by key.
pub type TagUnion = BTreeMap<String, BTreeSet<String>>;

/// The tags of a node: those of its element first, then as they were changed.
pub fn node_tags(node: &Node) -> &[Tag] {
    node.template
        .as_deref()
        .map(|template| template.tags.as_slice())
        .unwrap_or_default()
}

impl Service {
    pub fn pool_tags(&self, ctx: &CallContext, name: &PoolName) -> Result<Versioned<Pool>, ServiceError> {
        self.find_pool(ctx, Action::TagGet, name)
    }

    /// `action`: what is asked of the policy.
    pub async fn change_pool_tags(
        &self,
        ctx: &CallContext,
        action: Action,
        name: &PoolName,
        decode: impl Fn() -> Result<TagChange, FieldErrors>,
    ) -> Result<Outcome<Pool>, ServiceError> {
        let _turn = self.locks.lock(self.tree_of(ctx, name)).await;
        self.change(ctx, || {
            let found = self.find_pool(ctx, action, name)?;
            let change = decode()?;
            if found.deleted_at.is_some() {
                return Err(ServiceError::Refused("the pool is being deleted".to_owned()));
            }
            let mut next = Pool::clone(&found);
            next.tags = applied(&change, &found.tags)?;
            Ok(written(&found, next))
        })
        .await
    }

    /// Tags of all pools of the project in workspaces that the caller may use.
    pub fn all_pool_tags<T>(
        &self,
        ctx: &CallContext,
        read: impl FnOnce() -> Result<T, FieldErrors>,
    ) -> Result<(TagUnion, T), ServiceError> {
        self.authorize(ctx, Action::TagList)?;
        let user = self.effective_user(ctx, Action::TagList)?;
        let query = read()?;
        let mut union = TagUnion::new();
        for pool in self.visible_pools(ctx, &user) {
            unite(&mut union, &pool.tags);
        }
        Ok((union, query))
    }

    /// Pools with these tags and names, newest first, in workspaces that the caller may use.
    pub fn search_pools(
        &self,
        ctx: &CallContext,
        read: impl FnOnce() -> Result<PoolSearch, FieldErrors>,
    ) -> Result<Vec<Versioned<Pool>>, ServiceError> {
        self.authorize(ctx, Action::TagList)?;
        let user = self.effective_user(ctx, Action::TagList)?;
        let search = read()?;
        let name = search.name.map(|name| name.to_lowercase());
        let mut found = self.visible_pools(ctx, &user);
        found.retain(|pool| {
            search.tags.matches(&pool.tags) && name.as_ref().is_none_or(|name| pool.display_name.as_str().contains(name.as_str()))
        });
        Ok(found)
    }

    /// All pools of the project, newest first, but those in workspaces that the user may not use.
    pub(crate) fn visible_pools(&self, ctx: &CallContext, user: &EffectiveUser) -> Vec<Versioned<Pool>> {
        let index = self.parts.state.index().read();
        let mut may_see = sight(&index, ctx, user);
        let mut pools = index.under::<Pool>(Facet::PoolsOfProject, ctx.project.as_str());
        pools.retain(|pool| may_see(&pool.workspace));
        pools
    }

    pub fn show_node_tags(&self, ctx: &CallContext, node: &NodeName) -> Result<Versioned<Node>, ServiceError> {
        self.find_node(ctx, Action::TagGet, node).map(|(node, _)| node)
    }

    /// A node that is named without its pool.
    pub(crate) fn find_node(
        &self,
        ctx: &CallContext,
        action: Action,
        name: &NodeName,
    ) -> Result<(Versioned<Node>, Versioned<Pool>), ServiceError> {
        self.authorize(ctx, action)?;
        let index = self.parts.state.index().read();
        let node = index.get::<Node>(&ctx.project, name).ok_or_else(|| ServiceError::node(name))?;
        let pool = index.pool(&node.pool_uid).ok_or_else(|| ServiceError::node(name))?;
        drop(index);
        self.check_workspace(ctx, action, &pool.workspace)?;
        check_match(ctx, node.revision())?;
        Ok((node, pool))
    }

    pub async fn change_node_tags(
        &self,
        ctx: &CallContext,
        name: &NodeName,
        decode: impl Fn() -> Result<TagChange, FieldErrors>,
    ) -> Result<Outcome<Node>, ServiceError> {
        self.change(ctx, || {
            let (found, _) = self.find_node(ctx, Action::TagUpdate, name)?;
            let change = decode()?;
            if found.phase.is_deleting() {
                return Err(ServiceError::Refused("the node is being deleted".to_owned()));
            }
            let mut next = Node::clone(&found);
            let mut template = next.template.take().unwrap_or_default();
            template.tags = applied(&change, node_tags(&found))?;
            next.template = Some(template).filter(|template| !template.is_empty());
            Ok(written(&found, next))
        })
        .await
    }

    /// Tags of all nodes of the project, or of one pool, in workspaces that the caller may use.
    pub fn all_node_tags<T>(
        &self,
        ctx: &CallContext,
        read: impl FnOnce() -> Result<(Option<PoolName>, T), FieldErrors>,
    ) -> Result<(TagUnion, T), ServiceError> {
        self.authorize(ctx, Action::TagList)?;
        let user = self.effective_user(ctx, Action::TagList)?;
        let (pool, query) = read()?;
        let pools = match pool {
            Some(pool) => vec![self.pool_of(ctx, Action::TagList, &pool)?],
            None => self.visible_pools(ctx, &user),
        };
        let mut union = TagUnion::new();
        for pool in pools {
            for entry in self.nodes_of(&pool) {
                if let Some(node) = entry.get::<Node>() {
                    unite(&mut union, node_tags(node));
                }
            }
        }
        Ok((union, query))
    }
}

fn unite(union: &mut TagUnion, tags: &[Tag]) {
    for tag in tags {
        union.entry(tag.key.clone()).or_default().insert(tag.value.clone());
    }
}

/// Whether the user may use a workspace; asks once for each.
pub(crate) fn sight<'a>(index: &'a Snapshot<'_>, ctx: &'a CallContext, user: &'a EffectiveUser) -> impl FnMut(&WorkspaceId) -> bool + 'a {
    let mut open: BTreeMap<WorkspaceId, bool> = BTreeMap::new();
    move |id| {
        *open.entry(id.clone()).or_insert_with(|| {
            index
                .get::<Workspace>(&ctx.project, id)
                .map_or(user.may_use_all, |workspace| workspace.admits(user))
        })
    }
}

fn applied(change: &TagChange, tags: &[Tag]) -> Result<Vec<Tag>, ServiceError> {
    change.apply(tags).map_err(|_| {
        let message = format!("there may be at most {MAX_TAGS} tags");
        ServiceError::field(FieldPath::of("tags"), Reason::Invalid, message)
    })
}

fn written<T>(found: &Versioned<T>, next: T) -> Decided<T>
where
    T: PartialEq + Clone,
    store::Object: From<T>,
{
    let mut batch = TypedBatch::default();
    if next == *found.object {
        return Decided {
            batch,
            object: Arc::clone(&found.object),
            unchanged: Some(found.revision()),
        };
    }
    batch.put(next.clone(), Expect::At(found.revision()));
    Decided {
        batch,
        object: Arc::new(next),
        unchanged: None,
    }
}
