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
use domain::network::{ConnectionState, Network, NetworkPhase, PeerConnection, PeerSubnet, SfsTurbo, SfsTurboConnection, Subnet, overlap};
use domain::pool::Pool;
use domain::pool::draft::NetworkDraft;
use std::sync::Arc;
use store::index::{Entry, Facet, Snapshot, Versioned};
use store::{Count, Expect, TypedBatch, counters};

impl Service {
    pub async fn create_network(
        &self,
        ctx: &CallContext,
        decode: impl Fn() -> Result<NetworkDraft, FieldErrors>,
    ) -> Result<Outcome<Network>, ServiceError> {
        self.authorize_somewhere(ctx, Action::NetworkCreate)?;
        self.change(ctx, || {
            let draft = decode()?;
            let workspace = draft.workspace.clone().unwrap_or_else(WorkspaceId::default_workspace);
            let home = self.target_workspace(ctx, Action::NetworkCreate, &workspace)?;
            let name = NetworkName::of(&draft.display_name, &ctx.project);
            let index = self.parts.state.index().read();
            check_peers(&index, &draft)?;
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
            peers: peers(&draft),
            sfs_turbo: sfs_turbo(&draft),
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
        self.authorize_somewhere(ctx, action)?;
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
            next.peers = peers(&draft);
            next.sfs_turbo = sfs_turbo(&draft);
            if next == *found.object {
                return Ok(Decided {
                    batch: TypedBatch::default(),
                    object: Arc::clone(&found.object),
                    unchanged: Some(found.revision()),
                });
            }
            let mut batch = TypedBatch::default();
            admit_network_change(&found, &next)?;
            check_peers(&self.parts.state.index().read(), &draft)?;
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

/// Peers must not have addresses of the network.
fn check_peers(index: &Snapshot<'_>, draft: &NetworkDraft) -> Result<(), ServiceError> {
    let list = FieldPath::of("spec").field("connection").field("peerConnectionList");
    for (at, peer) in draft.peers.iter().enumerate() {
        let known = index.get::<PeerSubnet>("", PeerSubnet::id_of(&peer.vpc, &peer.subnet));
        if let Some(known) = known.filter(|known| overlap(&known.cidr, &draft.cidr)) {
            let message = format!("{} overlaps the network ({})", known.cidr, draft.cidr);
            return Err(ServiceError::field(list.index(at).field("peerSubnetId"), Reason::Invalid, message));
        }
    }
    Ok(())
}

impl Service {
    /// The network with the state of its connections: to what is registered, and does not have addresses of the network,
    /// it is connected. That may change without the network.
    #[must_use]
    pub fn connected(&self, network: &Network) -> Network {
        let mut network = network.clone();
        let index = self.parts.state.index().read();
        for peer in &mut network.peers {
            let known = index.get::<PeerSubnet>("", PeerSubnet::id_of(&peer.vpc, &peer.subnet));
            peer.state = state(known.is_some_and(|known| !overlap(&known.cidr, &network.cidr)));
        }
        for turbo in &mut network.sfs_turbo {
            let known = index.get::<SfsTurbo>("", &turbo.id);
            turbo.address = known.as_ref().map(|known| known.address);
            turbo.state = state(known.is_some());
        }
        network
    }

    /// The network of a subnet, and how many of its addresses are in use.
    pub fn network_addresses(
        &self,
        ctx: &CallContext,
        name: &NetworkName,
        subnet: impl FnOnce() -> Result<String, FieldErrors>,
    ) -> Result<(Arc<Network>, u64), ServiceError> {
        let found = self.find_network(ctx, Action::NetworkGet, name)?;
        let subnet = subnet()?;
        if found.subnet.id.hyphenated() != subnet {
            return Err(ServiceError::named("Subnet", subnet));
        }
        let used = counters::addresses_of(&ctx.project, name);
        let used = self.parts.state.index().read().counter(&used);
        Ok((found.object, used))
    }
}

fn state(is_connected: bool) -> ConnectionState {
    if is_connected {
        ConnectionState::Active
    } else {
        ConnectionState::Abnormal
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

/// Connections as wanted. Their state is found out when they are shown.
fn peers(draft: &NetworkDraft) -> Vec<PeerConnection> {
    let peers = draft.peers.iter().map(|peer| PeerConnection {
        vpc: peer.vpc.clone(),
        subnet: peer.subnet.clone(),
        is_default_gateway: peer.is_default_gateway,
        state: ConnectionState::Abnormal,
    });
    peers.collect()
}

fn sfs_turbo(draft: &NetworkDraft) -> Vec<SfsTurboConnection> {
    let turbos = draft.sfs_turbo.iter().map(|connection| SfsTurboConnection {
        name: connection.name.clone(),
        id: connection.id.clone(),
        subnet: connection.subnet.clone(),
        address: None,
        state: ConnectionState::Abnormal,
    });
    turbos.collect()
}
