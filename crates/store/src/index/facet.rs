//! By what lists and look-ups find objects.

use crate::object::Object;
use jiff::Timestamp;
use smol_str::{SmolStr, format_smolstr};

/// A way of finding objects other than by their key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Facet {
    /// Value: `<project>/<workspace>`
    PoolsOfWorkspace,
    /// Value: project
    PoolsOfProject,
    /// Value: pool uid
    PoolByUid,
    /// Direct sub-pools. Value: `<project>/<name>` of the parent
    PoolsOfParent,
    /// Sub-pools at any depth. Value: `<project>/<name>` of the physical root
    PoolsOfRoot,
    /// Value: `<project>/<network>`
    PoolsOfNetwork,
    /// Value: pool uid
    NodesOfPool,
    /// Value: `<project>/<workspace>`
    NetworksOfWorkspace,
    /// Value: pool uid
    PluginsOfPool,
    /// Value: project
    OrdersOfProject,
    /// Value: pool uid
    OrdersOfPool,
    /// Orders that wait for the operator. Value: empty
    OrdersPending,
    /// Value: pool uid
    EventsOfPool,
    /// Value: project
    WorkspacesOfProject,
    /// Value: domain
    ProjectsOfDomain,
    /// Value: domain name
    DomainByName,
    /// Value: `<domain id>/<user name>`
    UserByName,
    /// Value: user
    KeysOfUser,
    /// Scheduled events. Value: pool uid
    ScheduledOfPool,
    /// Scheduled events. Value: project
    ScheduledOfProject,
    /// Value: project
    JobsOfProject,
    /// Jobs that work on a pool's nodes. Value: pool uid
    JobsOfPool,
}

/// Under what an object is filed.
pub fn facets(object: &Object) -> Vec<(Facet, SmolStr)> {
    match object {
        Object::Pool(pool) => {
            let project = pool.owner.project.as_str();
            let mut facets = vec![
                (Facet::PoolsOfWorkspace, format_smolstr!("{project}/{}", pool.workspace)),
                (Facet::PoolsOfProject, SmolStr::new(project)),
                (Facet::PoolByUid, SmolStr::new(pool.uid.as_str())),
            ];
            if let Some(spec) = pool.physical() {
                facets.push((Facet::PoolsOfNetwork, format_smolstr!("{project}/{}", spec.network)));
            }
            if let Some(spec) = pool.logical() {
                if let Some(parent) = &spec.parent {
                    facets.push((Facet::PoolsOfParent, format_smolstr!("{}/{}", parent.project, parent.name)));
                }
                if let Some(root) = &spec.root {
                    facets.push((Facet::PoolsOfRoot, format_smolstr!("{}/{}", root.project, root.name)));
                }
            }
            facets
        }
        Object::Node(node) => vec![(Facet::NodesOfPool, SmolStr::new(node.pool_uid.as_str()))],
        Object::Network(network) => vec![(
            Facet::NetworksOfWorkspace,
            format_smolstr!("{}/{}", network.project, network.workspace),
        )],
        Object::Plugin(plugin) => vec![(Facet::PluginsOfPool, SmolStr::new(plugin.pool_uid.as_str()))],
        Object::Order(order) => {
            let mut facets = vec![
                (Facet::OrdersOfProject, SmolStr::new(order.project.as_str())),
                (Facet::OrdersOfPool, SmolStr::new(order.pool_uid.as_str())),
            ];
            if matches!(order.phase, domain::order::OrderPhase::Pending(_)) {
                facets.push((Facet::OrdersPending, SmolStr::default()));
            }
            facets
        }
        Object::Event(event) => vec![(Facet::EventsOfPool, SmolStr::new(event.pool.as_str()))],
        Object::Workspace(workspace) => vec![(Facet::WorkspacesOfProject, SmolStr::new(workspace.project.as_str()))],
        Object::Project(project) => vec![(Facet::ProjectsOfDomain, SmolStr::new(project.domain.as_str()))],
        Object::Domain(domain) => vec![(Facet::DomainByName, SmolStr::new(&domain.name))],
        Object::User(user) => vec![(Facet::UserByName, format_smolstr!("{}/{}", user.domain, user.name))],
        Object::Job(job) => vec![
            (Facet::JobsOfProject, SmolStr::new(job.project.as_str())),
            (Facet::JobsOfPool, SmolStr::new(job.pool_uid.as_str())),
        ],
        Object::AccessKey(key) => vec![(Facet::KeysOfUser, SmolStr::new(key.user.as_str()))],
        Object::ScheduledEvent(event) => vec![
            (Facet::ScheduledOfPool, SmolStr::new(event.pool_uid.as_str())),
            (Facet::ScheduledOfProject, SmolStr::new(event.project.as_str())),
        ],
        Object::PluginTemplate(_)
        | Object::Flavor(_)
        | Object::OsConfig(_)
        | Object::Token(_)
        | Object::Replay(_)
        | Object::Machine(_)
        | Object::VirtualTemplate(_)
        | Object::PeerSubnet(_)
        | Object::SfsTurbo(_)
        | Object::AuditEntry(_)
        | Object::SampleHour(_) => Vec::new(),
    }
}

/// Sorts newer objects first; events are ordered by their sequence, oldest first, through their name.
pub fn sort_time(object: &Object) -> i64 {
    let created: Option<Timestamp> = match object {
        Object::Pool(pool) => Some(pool.created_at),
        Object::Node(node) => Some(node.created_at),
        Object::Network(network) => Some(network.created_at),
        // Orders show milliseconds, and several of one pool may be made within one second.
        Object::Order(order) => return -order.created_at.as_microsecond(),
        Object::Job(job) => return -job.created_at.as_microsecond(),
        Object::Plugin(plugin) => Some(plugin.created_at),
        Object::Workspace(workspace) => Some(workspace.created_at),
        Object::ScheduledEvent(event) => Some(event.published_at),
        Object::Event(_)
        | Object::PluginTemplate(_)
        | Object::Flavor(_)
        | Object::OsConfig(_)
        | Object::Domain(_)
        | Object::Project(_)
        | Object::User(_)
        | Object::AccessKey(_)
        | Object::Token(_)
        | Object::Replay(_)
        | Object::Machine(_)
        | Object::VirtualTemplate(_)
        | Object::PeerSubnet(_)
        | Object::SfsTurbo(_)
        | Object::AuditEntry(_)
        | Object::SampleHour(_) => None,
    };
    // Lists show whole seconds, and name breaks ties within one, so the order must not depend on fractions.
    created.map_or(0, |at| -at.as_second())
}
