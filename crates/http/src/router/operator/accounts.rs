//! Domains, projects, users and access keys.

use super::{DELETE, GET, Operation, PATCH, POST, a, d, op};
use crate::handlers::admin::{domains, keys, projects, users};
use axum::routing::{delete, get, patch, post};

pub(super) fn domains_and_projects() -> Vec<Operation> {
    vec![
        op(
            "CreateDomain",
            POST,
            "/admin/v1/domains",
            post(domains::create),
            d::create::<a::accounts::DomainBody, a::accounts::DomainView>("Creates a domain"),
        ),
        op(
            "ListDomains",
            GET,
            "/admin/v1/domains",
            get(domains::list),
            d::list::<a::DomainList>("Lists the domains", None),
        ),
        op(
            "ShowDomain",
            GET,
            "/admin/v1/domains/{domain_id}",
            get(domains::show),
            d::show::<a::accounts::DomainView>("Shows a domain"),
        ),
        op(
            "UpdateDomain",
            PATCH,
            "/admin/v1/domains/{domain_id}",
            patch(domains::update),
            d::patch::<a::accounts::DomainBody, a::accounts::DomainView>("Renames a domain"),
        ),
        op(
            "DeleteDomain",
            DELETE,
            "/admin/v1/domains/{domain_id}",
            delete(domains::remove),
            d::delete::<a::accounts::DomainView>("Deletes a domain without projects and users"),
        ),
        op(
            "CreateProject",
            POST,
            "/admin/v1/projects",
            post(projects::create),
            d::create::<a::accounts::ProjectBody, a::accounts::ProjectView>("Creates a project with its default workspace"),
        ),
        op(
            "ListAllProjects",
            GET,
            "/admin/v1/projects",
            get(projects::list),
            d::list::<a::ProjectList>("Lists the projects of all domains or of one", Some(("domain", "Id of a domain"))),
        ),
        op(
            "ShowProject",
            GET,
            "/admin/v1/projects/{project_id}",
            get(projects::show),
            d::show::<a::accounts::ProjectView>("Shows a project"),
        ),
        op(
            "UpdateProject",
            PATCH,
            "/admin/v1/projects/{project_id}",
            patch(projects::update),
            d::patch::<a::accounts::ProjectBody, a::accounts::ProjectView>(
                "Changes a project: its name, description, quota, or whether it is enabled",
            ),
        ),
        op(
            "DeleteProject",
            DELETE,
            "/admin/v1/projects/{project_id}",
            delete(projects::remove),
            d::delete::<a::accounts::ProjectView>("Deletes a project without pools and networks"),
        ),
        op(
            "ShowProjectQuotas",
            GET,
            "/admin/v1/projects/{project_id}/quotas",
            get(projects::quotas),
            d::show::<wire::quota::Quotas>("Shows the limits in force for a project, and their use"),
        ),
    ]
}

pub(super) fn users_and_keys() -> Vec<Operation> {
    vec![
        op(
            "CreateUser",
            POST,
            "/admin/v1/users",
            post(users::create),
            d::create_secret::<a::accounts::UserBody, a::accounts::UserView>("Creates a user with roles in projects"),
        ),
        op(
            "ListUsers",
            GET,
            "/admin/v1/users",
            get(users::list),
            d::list::<a::UserList>("Lists the users of all domains or of one", Some(("domain", "Id of a domain"))),
        ),
        op(
            "ShowUser",
            GET,
            "/admin/v1/users/{user_id}",
            get(users::show),
            d::show::<a::accounts::UserView>("Shows a user"),
        ),
        op(
            "UpdateUser",
            PATCH,
            "/admin/v1/users/{user_id}",
            patch(users::update),
            d::patch_secret::<a::accounts::UserBody, a::accounts::UserView>(
                "Changes a user: its name, password, roles, or whether it is enabled",
            ),
        ),
        op(
            "DeleteUser",
            DELETE,
            "/admin/v1/users/{user_id}",
            delete(users::remove),
            d::delete::<a::accounts::UserView>("Deletes a user with its keys and tokens"),
        ),
        op(
            "CreateAccessKey",
            POST,
            "/admin/v1/users/{user_id}/access-keys",
            post(keys::create),
            d::create_usual_secret::<a::accounts::AccessKeyBody, a::accounts::NewAccessKey>(
                "Creates an access key; its secret is shown this once",
            ),
        ),
        op(
            "ListAccessKeys",
            GET,
            "/admin/v1/users/{user_id}/access-keys",
            get(keys::list_of_user),
            d::list::<a::AccessKeyList>("Lists the access keys of a user, without secrets", None).refuses(&[404]),
        ),
        op(
            "ListAllAccessKeys",
            GET,
            "/admin/v1/access-keys",
            get(keys::list),
            d::list::<a::AccessKeyList>("Lists access keys, without secrets", Some(("user", "Id of a user"))),
        ),
        op(
            "ShowAccessKey",
            GET,
            "/admin/v1/access-keys/{access_key}",
            get(keys::show),
            d::show::<a::accounts::AccessKeyView>("Shows an access key, without secrets"),
        ),
        op(
            "UpdateAccessKey",
            PATCH,
            "/admin/v1/access-keys/{access_key}",
            patch(keys::update),
            d::patch::<a::accounts::AccessKeyPatch, a::accounts::AccessKeyView>("Describes an access key, or switches it on or off"),
        ),
        op(
            "DeleteAccessKey",
            DELETE,
            "/admin/v1/access-keys/{access_key}",
            delete(keys::remove),
            d::delete::<a::accounts::AccessKeyView>("Deletes an access key"),
        ),
    ]
}
