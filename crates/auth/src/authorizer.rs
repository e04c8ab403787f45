//! Which role may do what in a project. Workspace rights are decided elsewhere.

use domain::name::ProjectId;
use domain::principal::{Principal, Role};

/// The last word of an action's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verb {
    Create,
    Get,
    List,
    Update,
    Delete,
}

impl Verb {
    /// Whether it leaves everything as it is.
    pub fn is_read(self) -> bool {
        match self {
            Self::Get | Self::List => true,
            Self::Create | Self::Update | Self::Delete => false,
        }
    }
}

macro_rules! actions {
    ($($(#[$doc:meta])* $action:ident => $name:literal, $verb:ident;)+) => {
        /// What a caller wants to do, by the policy names of contract README §6.3. Names that are not there, for
        /// workspaces, jobs and accepting scheduled events, follow its pattern.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Action {
            $($(#[$doc])* $action,)+
        }

        impl Action {
            pub const ALL: &[Self] = &[$(Self::$action),+];

            /// The policy name, `modelarts:<resource>:<verb>`.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$action => $name,)+
                }
            }

            pub fn verb(self) -> Verb {
                match self {
                    $(Self::$action => Verb::$verb,)+
                }
            }
        }
    };
}

actions! {
    PoolCreate => "modelarts:pool:create", Create;
    /// Also a pool's monitoring data and configuration.
    PoolGet => "modelarts:pool:get", Get;
    /// Also statistics and metrics over pools.
    PoolList => "modelarts:pool:list", List;
    /// Also the retry of a scope.
    PoolUpdate => "modelarts:pool:update", Update;
    PoolDelete => "modelarts:pool:delete", Delete;

    NetworkCreate => "modelarts:network:create", Create;
    NetworkGet => "modelarts:network:get", Get;
    NetworkList => "modelarts:network:list", List;
    NetworkUpdate => "modelarts:network:update", Update;
    NetworkDelete => "modelarts:network:delete", Delete;

    NodeGet => "modelarts:node:get", Get;
    NodeList => "modelarts:node:list", List;
    /// Every batch action but deletion.
    NodeUpdate => "modelarts:node:update", Update;
    NodeDelete => "modelarts:node:delete", Delete;

    NodePoolCreate => "modelarts:nodePool:create", Create;
    NodePoolGet => "modelarts:nodePool:get", Get;
    NodePoolList => "modelarts:nodePool:list", List;
    NodePoolUpdate => "modelarts:nodePool:update", Update;
    NodePoolDelete => "modelarts:nodePool:delete", Delete;

    PluginCreate => "modelarts:plugin:create", Create;
    /// Also a plug-in template.
    PluginGet => "modelarts:plugin:get", Get;
    /// Also the plug-in templates.
    PluginList => "modelarts:plugin:list", List;
    PluginUpdate => "modelarts:plugin:update", Update;
    PluginDelete => "modelarts:plugin:delete", Delete;

    TagCreate => "modelarts:tag:create", Create;
    TagGet => "modelarts:tag:get", Get;
    /// Also the search for objects by tag.
    TagList => "modelarts:tag:list", List;
    TagUpdate => "modelarts:tag:update", Update;
    TagDelete => "modelarts:tag:delete", Delete;

    /// Also scheduled events.
    EventList => "modelarts:event:list", List;
    /// Accepting a scheduled event.
    EventUpdate => "modelarts:event:update", Update;

    /// Also statistics over workloads.
    WorkloadList => "modelarts:workload:list", List;

    JobGet => "modelarts:job:get", Get;
    JobList => "modelarts:job:list", List;

    OrderCreate => "modelarts:order:create", Create;
    OrderGet => "modelarts:order:get", Get;
    OrderList => "modelarts:order:list", List;

    /// The catalogue: flavors, virtual flavors, virtual resource templates, node-configuration templates.
    FlavorList => "modelarts:flavor:list", List;

    /// Quotas and the configuration of the operating system.
    QuotaGet => "modelarts:quota:get", Get;

    WorkspaceCreate => "modelarts:workspace:create", Create;
    WorkspaceGet => "modelarts:workspace:get", Get;
    WorkspaceList => "modelarts:workspace:list", List;
    WorkspaceUpdate => "modelarts:workspace:update", Update;
    WorkspaceDelete => "modelarts:workspace:delete", Delete;
}

/// The answer to "may they".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    Allow,
    /// The project is out of the caller's reach: 403 `ModelArts.0210`.
    WrongProject,
    /// The project is right and the action is not allowed: 403 `ModelArts.0108`.
    Denied,
}

/// Decides about actions in projects. Pure over a loaded policy.
pub trait Authorizer: Send + Sync {
    fn decide(&self, who: &Principal, action: Action, project: &ProjectId) -> Decision;
}

/// The built-in policy: viewers read, users and operators do everything, each in the projects where they have that role.
#[derive(Debug, Clone, Copy, Default)]
pub struct RolePolicy;

impl Authorizer for RolePolicy {
    fn decide(&self, who: &Principal, action: Action, project: &ProjectId) -> Decision {
        match who.role_in(project) {
            None => Decision::WrongProject,
            Some(Role::Viewer) if action.verb().is_read() => Decision::Allow,
            Some(Role::Viewer) => Decision::Denied,
            Some(Role::User | Role::Operator) => Decision::Allow,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{project, someone};
    use domain::principal::Scope;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique_and_end_in_their_verb() {
        let names: BTreeSet<&str> = Action::ALL.iter().map(|action| action.as_str()).collect();
        assert_eq!(names.len(), Action::ALL.len());
        for action in Action::ALL {
            let parts: Vec<&str> = action.as_str().split(':').collect();
            let verb = format!("{:?}", action.verb()).to_lowercase();
            assert_eq!((parts.len(), parts[0], parts[2]), (3, "modelarts", verb.as_str()), "{action:?}");
            let spelt = format!("{}{}", parts[1], parts[2]).to_lowercase();
            assert_eq!(format!("{action:?}").to_lowercase(), spelt);
        }
    }

    #[test]
    fn the_names_of_the_contract_are_all_there() {
        let documented = [
            ("pool", "create update delete list get"),
            ("network", "create get list update delete"),
            ("node", "list get update delete"),
            ("nodePool", "create get list update delete"),
            ("event", "list"),
            ("workload", "list"),
            ("order", "list get create"),
            ("flavor", "list"),
            ("quota", "get"),
        ];
        for (resource, verbs) in documented {
            for verb in verbs.split(' ') {
                let name = format!("modelarts:{resource}:{verb}");
                assert!(Action::ALL.iter().any(|action| action.as_str() == name), "{name}");
            }
        }
    }

    #[test]
    fn viewers_read_and_the_others_do_everything() {
        let decide = |role, action| RolePolicy.decide(&someone(role, Scope::Project(project(1))), action, &project(1));
        for action in Action::ALL.iter().copied() {
            let reads = action.as_str().ends_with(":get") || action.as_str().ends_with(":list");
            let expected = if reads { Decision::Allow } else { Decision::Denied };
            assert_eq!(decide(Role::Viewer, action), expected, "{action:?}");
            assert_eq!(decide(Role::User, action), Decision::Allow, "{action:?}");
            assert_eq!(decide(Role::Operator, action), Decision::Allow, "{action:?}");
        }
    }

    #[test]
    fn nobody_reaches_a_project_without_a_role_or_outside_the_scope() {
        let decide = |scope, which| RolePolicy.decide(&someone(Role::Operator, scope), Action::PoolList, &project(which));
        assert_eq!(decide(Scope::AllProjects, 1), Decision::Allow);
        assert_eq!(decide(Scope::AllProjects, 2), Decision::WrongProject);
        for scope in [Scope::Project(project(2)), Scope::Domain, Scope::None] {
            assert_eq!(decide(scope.clone(), 1), Decision::WrongProject, "{scope:?}");
            assert_eq!(decide(scope.clone(), 2), Decision::WrongProject, "{scope:?}");
        }
    }
}
