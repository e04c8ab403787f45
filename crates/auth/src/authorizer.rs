//! Which role may do what in a project. Workspace rights are decided elsewhere.

use domain::name::{ProjectId, WorkspaceId};
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
    /// About an action in a project as a whole.
    fn decide(&self, who: &Principal, action: Action, project: &ProjectId) -> Decision;

    /// About an action on what is in a workspace. Whether the caller may use the workspace at all is another question.
    fn decide_in(&self, who: &Principal, action: Action, project: &ProjectId, workspace: &WorkspaceId) -> Decision;

    /// Whether there may be a workspace in which the action is allowed, before it is known which one it is about.
    fn decide_somewhere(&self, who: &Principal, action: Action, project: &ProjectId) -> Decision;
}

/// The built-in policy: viewers read, users and operators do everything, each in the projects where they have that role.
#[derive(Debug, Clone, Copy, Default)]
pub struct RolePolicy;

impl Authorizer for RolePolicy {
    fn decide(&self, who: &Principal, action: Action, project: &ProjectId) -> Decision {
        judge(who.role_in(project), action)
    }

    fn decide_in(&self, who: &Principal, action: Action, project: &ProjectId, workspace: &WorkspaceId) -> Decision {
        judge(who.role_in_workspace(project, workspace), action)
    }

    fn decide_somewhere(&self, who: &Principal, action: Action, project: &ProjectId) -> Decision {
        judge(who.strongest_role_in(project), action)
    }
}

fn judge(role: Option<Role>, action: Action) -> Decision {
    match role {
        None => Decision::WrongProject,
        Some(Role::Viewer) if action.verb().is_read() => Decision::Allow,
        Some(Role::Viewer) => Decision::Denied,
        Some(Role::User | Role::Operator) => Decision::Allow,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_in_a_workspace_adds_to_that_in_the_project_and_is_nothing_without() {
        let (home, other) = (project(1), project(2));
        let (mine, theirs) = (WorkspaceId::parse("mine").unwrap(), WorkspaceId::parse("theirs").unwrap());
        let mut who = someone(Role::Viewer, Scope::AllProjects);
        for project in [&home, &other] {
            who.workspace_roles.insert(project.clone(), [(mine.clone(), Role::User)].into());
        }
        let action = Action::PoolUpdate;
        assert_eq!(RolePolicy.decide(&who, action, &home), Decision::Denied);
        assert_eq!(RolePolicy.decide_somewhere(&who, action, &home), Decision::Allow);
        assert_eq!(RolePolicy.decide_in(&who, action, &home, &mine), Decision::Allow);
        assert_eq!(RolePolicy.decide_in(&who, action, &home, &theirs), Decision::Denied);
        assert_eq!(RolePolicy.decide_in(&who, Action::PoolGet, &home, &theirs), Decision::Allow);
        assert_eq!(RolePolicy.decide_in(&who, action, &other, &mine), Decision::WrongProject);
        assert_eq!(RolePolicy.decide_somewhere(&who, action, &other), Decision::WrongProject);
        // A weaker one takes nothing away.
        let mut user = someone(Role::User, Scope::AllProjects);
        user.workspace_roles.insert(home.clone(), [(mine.clone(), Role::Viewer)].into());
        assert_eq!(RolePolicy.decide_in(&user, action, &home, &mine), Decision::Allow);
        // Nor does a token for another project have it.
        who.scope = Scope::Project(other);
        assert_eq!(RolePolicy.decide_in(&who, action, &home, &mine), Decision::WrongProject);
    }
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
