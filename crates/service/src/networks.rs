//! Networks: create, list, show, patch, delete (contract `networks.md`).

use crate::Outcome;
use crate::admission;
use crate::commit::Decided;
use crate::context::{CallContext, Service, check_match};
use crate::error::{ExistsKind, Missing, QuotaKind, ServiceError};
use auth::Action;
use domain::field::{FieldErrors, FieldPath, Reason};
use domain::label::Selector;
use domain::name::{NetworkName, WorkspaceId};
use domain::network::{ConnectionState, Network, NetworkPhase, PeerConnection, SfsTurboConnection, Subnet};
use domain::pool::Pool;
use domain::pool::draft::NetworkDraft;
use std::sync::Arc;
use store::index::{Entry, Facet, Versioned};
use store::{Count, Expect, TypedBatch, counters};

impl Service {
    pub async fn create_network(
        &self,
        ctx: &CallContext,
        decode: impl Fn() -> Result<NetworkDraft, FieldErrors>,
    ) -> Result<Outcome<Network>, ServiceError> {
        self.authorize(ctx, Action::NetworkCreate)?;
        self.change(ctx, || {
            let draft = decode()?;
            let workspace = draft.workspace.clone().unwrap_or_else(WorkspaceId::default_workspace);
            let home = self.target_workspace(ctx, Action::NetworkCreate, &workspace)?;
            let name = NetworkName::of(&draft.display_name, &ctx.project);
            let index = self.parts.state.index().read();
            if index.get::<Network>(&ctx.project, &name).is_some() {
                return Err(ServiceError::AlreadyExists(ExistsKind::Network));
            }
            let (_, quota) = admission::quota(&index, &ctx.project);
            let counter = counters::networks_of(&ctx.project);
            if index.counter(&counter) >= u64::from(quota) {
                return Err(ServiceError::QuotaExceeded(QuotaKind::Network));
            }
            drop(index);
            let network = self.new_network(ctx, draft, name, workspace);
            let mut batch = TypedBatch::default();
            batch.put(network.clone(), Expect::Absent);
            batch.check(home.entry.key.clone(), Expect::At(home.revision()));
            batch.count(Count {
                key: counter,
                add: 1,
                at_most: Some(u64::from(quota)),
            });
            Ok(Decided {
                batch,
                object: Arc::new(network),
                unchanged: None,
            })
        })
        .await
    }

    fn new_network(&self, ctx: &CallContext, draft: NetworkDraft, name: NetworkName, workspace: WorkspaceId) -> Network {
        let now = self.now();
        Network {
            name,
            uid: self.new_uid(now),
            generation: 1,
            project: ctx.project.clone(),
            display_name: draft.display_name.clone(),
            workspace,
            created_at: now,
            deleted_at: None,
            description: draft.description.clone(),
            labels: draft.labels.clone(),
            annotations: draft.annotations.clone(),
            cidr: draft.cidr,
            ipv6: draft.ipv6,
            peers: peers(&draft, &[]),
            sfs_turbo: sfs_turbo(&draft, &[]),
            // A network is an address range of ours: there is nothing to wait for.
            phase: NetworkPhase::Active,
            subnet: Subnet { id: self.new_uid(now) },
        }
    }

    /// The networks of one workspace, newest first, then by name.
    pub fn list_networks(
        &self,
        ctx: &CallContext,
        filter: impl FnOnce() -> Result<(WorkspaceId, Selector), FieldErrors>,
        matches: impl Fn(&Selector, &Network) -> bool,
    ) -> Result<Vec<Arc<Entry>>, ServiceError> {
        self.authorize(ctx, Action::NetworkList)?;
        let (workspace, selector) = filter()?;
        if self.workspace(&ctx.project, &workspace).is_some() {
            self.check_workspace(ctx, Action::NetworkList, &workspace)?;
        }
        let index = self.parts.state.index().read();
        let all = index.entries(Facet::NetworksOfWorkspace, format!("{}/{workspace}", ctx.project));
        Ok(all
            .filter(|entry| selector.is_empty() || entry.get::<Network>().is_some_and(|network| matches(&selector, network)))
            .cloned()
            .collect())
    }

    fn find_network(&self, ctx: &CallContext, action: Action, name: &NetworkName) -> Result<Versioned<Network>, ServiceError> {
        self.authorize(ctx, action)?;
        let found = self
            .parts
            .state
            .index()
            .read()
            .get::<Network>(&ctx.project, name)
            .ok_or(ServiceError::NotFound(Missing::Network))?;
        self.check_workspace(ctx, action, &found.workspace)?;
        check_match(ctx, found.revision())?;
        Ok(found)
    }

    pub fn show_network(&self, ctx: &CallContext, name: &NetworkName) -> Result<Versioned<Network>, ServiceError> {
        self.find_network(ctx, Action::NetworkGet, name)
    }

    pub async fn patch_network(
        &self,
        ctx: &CallContext,
        name: &NetworkName,
        edit: impl Fn(&Network) -> Result<NetworkDraft, FieldErrors>,
    ) -> Result<Outcome<Network>, ServiceError> {
        self.change(ctx, || {
            let found = self.find_network(ctx, Action::NetworkUpdate, name)?;
            let draft = edit(&found)?;
            let mut next = Network::clone(&found);
            next.workspace = draft.workspace.clone().unwrap_or_else(WorkspaceId::default_workspace);
            next.description.clone_from(&draft.description);
            next.labels.clone_from(&draft.labels);
            next.annotations.clone_from(&draft.annotations);
            next.ipv6 = draft.ipv6;
            next.peers = peers(&draft, &found.peers);
            next.sfs_turbo = sfs_turbo(&draft, &found.sfs_turbo);
            if next == *found.object {
                return Ok(Decided {
                    batch: TypedBatch::default(),
                    object: Arc::clone(&found.object),
                    unchanged: Some(found.revision()),
                });
            }
            let mut batch = TypedBatch::default();
            admit_network_change(&found, &next)?;
            if found.workspace != next.workspace {
                let target = self.target_workspace(ctx, Action::NetworkUpdate, &next.workspace)?;
                batch.check(target.entry.key.clone(), Expect::At(target.revision()));
            }
            if (next.ipv6, &next.peers, &next.sfs_turbo) != (found.ipv6, &found.peers, &found.sfs_turbo) {
                next.generation += 1;
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

    pub async fn delete_network(&self, ctx: &CallContext, name: &NetworkName) -> Result<Outcome<Network>, ServiceError> {
        self.change(ctx, || {
            let found = self.find_network(ctx, Action::NetworkDelete, name)?;
            let users = counters::users_of_network(&ctx.project, name);
            let index = self.parts.state.index().read();
            let refers = index
                .under::<Pool>(Facet::PoolsOfNetwork, format!("{}/{name}", ctx.project))
                .iter()
                .any(|pool| pool.counts());
            if refers || index.counter(&users) > 0 {
                return Err(ServiceError::NetworkInUse);
            }
            drop(index);
            let mut gone = Network::clone(&found);
            gone.deleted_at = Some(self.now());
            let mut batch = TypedBatch::default();
            batch.delete(found.entry.key.clone(), Expect::At(found.revision()));
            batch.count(Count {
                key: users,
                add: 0,
                at_most: Some(0),
            });
            batch.count(Count {
                key: counters::networks_of(&ctx.project),
                add: -1,
                at_most: None,
            });
            Ok(Decided {
                batch,
                object: Arc::new(gone),
                unchanged: None,
            })
        })
        .await
    }
}

/// Rules of a patch that need no other object.
fn admit_network_change(found: &Network, next: &Network) -> Result<(), ServiceError> {
    if found.workspace != next.workspace {
        let mut moved = found.clone();
        moved.workspace = next.workspace.clone();
        if moved != *next {
            let path = FieldPath::of("metadata").field("labels").field("os.modelarts/workspace.id");
            return Err(ServiceError::field(
                path,
                Reason::Forbidden,
                "must be the only change of the request",
            ));
        }
    }
    let connects = (&found.peers, &found.sfs_turbo) != (&next.peers, &next.sfs_turbo);
    if connects && found.phase != NetworkPhase::Active {
        return Err(ServiceError::Refused(format!(
            "connections can be changed while the network is Active; it is {}",
            found.phase.as_str()
        )));
    }
    Ok(())
}

/// Connections as wanted, each with the state it has already. Ids that the operator has not registered are `Abnormal`.
fn peers(draft: &NetworkDraft, known: &[PeerConnection]) -> Vec<PeerConnection> {
    let state = |vpc: &str, subnet: &str| {
        known
            .iter()
            .find(|peer| peer.vpc == vpc && peer.subnet == subnet)
            .map(|peer| peer.state)
    };
    draft
        .peers
        .iter()
        .map(|peer| PeerConnection {
            vpc: peer.vpc.clone(),
            subnet: peer.subnet.clone(),
            is_default_gateway: peer.is_default_gateway,
            state: state(&peer.vpc, &peer.subnet).unwrap_or(ConnectionState::Abnormal),
        })
        .collect()
}

fn sfs_turbo(draft: &NetworkDraft, known: &[SfsTurboConnection]) -> Vec<SfsTurboConnection> {
    let state = |id: &str| {
        known
            .iter()
            .find(|connection| connection.id == id)
            .map(|connection| connection.state)
    };
    draft
        .sfs_turbo
        .iter()
        .map(|connection| SfsTurboConnection {
            name: connection.name.clone(),
            id: connection.id.clone(),
            subnet: connection.subnet.clone(),
            state: state(&connection.id).unwrap_or(ConnectionState::Abnormal),
        })
        .collect()
}
