//! A request, understood: which operation on which objects.

use crate::kinds::ResourceType;
use crate::query::{Query, decode};
use crate::refusal::Refusal;
use bytes::Bytes;
use std::sync::Arc;

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    Get,
    List,
    Watch,
    Create,
    Update,
    Patch,
    Delete,
    DeleteCollection,
}

impl Verb {
    /// As RBAC names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Watch => "watch",
            Self::Create => "create",
            Self::Update => "update",
            Self::Patch => "patch",
            Self::Delete => "delete",
            Self::DeleteCollection => "deletecollection",
        }
    }

    pub fn is_write(self) -> bool {
        !matches!(self, Self::Get | Self::List | Self::Watch)
    }
}

/// A call on objects of a type.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub user: Arc<str>,
    pub verb: Verb,
    pub ty: Arc<ResourceType>,
    /// Empty: all of them, or a type that has none.
    pub namespace: String,
    /// Empty: a collection.
    pub name: String,
    pub subresource: Option<String>,
    pub query: Query,
    pub content_type: String,
    pub accept: String,
    pub body: Bytes,
}

impl Call {
    pub fn is_dry_run(&self) -> bool {
        self.query.text("dryRun") == Some("All")
    }

    /// Who the fields that are written belong to.
    pub fn manager(&self) -> &str {
        self.query.text("fieldManager").unwrap_or("unknown")
    }

    /// `nodes`, `pods/eviction`, as RBAC names it.
    pub fn resource(&self) -> String {
        match &self.subresource {
            Some(subresource) => format!("{}/{subresource}", self.ty.plural),
            None => self.ty.plural.clone(),
        }
    }

    pub fn wants_metadata_only(&self) -> bool {
        self.accept.contains("as=PartialObjectMetadata")
    }

    pub fn json(&self) -> Result<serde_json::Value, Refusal> {
        serde_json::from_slice(&self.body)
            .map_err(|error| Refusal::bad_request(format!("couldn't get version/kind; json parse error: {error}")))
    }
}

/// What a path speaks of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    Version,
    /// `/api`
    CoreVersions,
    /// `/apis`
    Groups,
    /// `/apis/{group}`
    Group(String),
    /// `/api/v1`, `/apis/{group}/{version}`
    Resources {
        group: String,
        version: String,
    },
    Healthz,
    Objects(ObjectPath),
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ObjectPath {
    pub group: String,
    pub version: String,
    pub namespace: String,
    pub plural: String,
    pub name: String,
    pub subresource: Option<String>,
}

/// Takes a path apart. `None`: there is nothing of that form.
pub(crate) fn target(path: &str) -> Option<Target> {
    let parts: Vec<String> = path.split('/').filter(|part| !part.is_empty()).map(decode).collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let (group, version, rest) = match parts.as_slice() {
        ["version"] => return Some(Target::Version),
        ["healthz" | "readyz" | "livez"] => return Some(Target::Healthz),
        ["api"] => return Some(Target::CoreVersions),
        ["apis"] => return Some(Target::Groups),
        ["apis", group] => return Some(Target::Group((*group).to_owned())),
        ["api", version, rest @ ..] => ("", *version, rest),
        ["apis", group, version, rest @ ..] => (*group, *version, rest),
        _ => return None,
    };
    let (group, version) = (group.to_owned(), version.to_owned());
    if rest.is_empty() {
        return Some(Target::Resources { group, version });
    }
    let mut path = ObjectPath {
        group,
        version,
        ..ObjectPath::default()
    };
    let rest = match rest {
        // The namespace itself, and its subresources.
        ["namespaces"] | ["namespaces", _] | ["namespaces", _, "status" | "finalize"] => rest,
        ["namespaces", namespace, rest @ ..] => {
            (*namespace).clone_into(&mut path.namespace);
            rest
        }
        rest => rest,
    };
    match rest {
        [plural] => (*plural).clone_into(&mut path.plural),
        [plural, name] => (path.plural, path.name) = ((*plural).to_owned(), (*name).to_owned()),
        [plural, name, subresource] => {
            (path.plural, path.name) = ((*plural).to_owned(), (*name).to_owned());
            path.subresource = Some((*subresource).to_owned());
        }
        _ => return None,
    }
    Some(Target::Objects(path))
}

/// The operation that a method means on a path.
pub(crate) fn verb(method: &http::Method, path: &ObjectPath, query: &Query) -> Result<Verb, Refusal> {
    let one = !path.name.is_empty();
    match (method.as_str(), one) {
        ("GET", true) => Ok(Verb::Get),
        ("GET", false) if query.flag("watch") => Ok(Verb::Watch),
        ("GET", false) => Ok(Verb::List),
        ("POST", false) => Ok(Verb::Create),
        ("POST", true) if path.subresource.is_some() => Ok(Verb::Create),
        ("PUT", true) => Ok(Verb::Update),
        ("PATCH", true) => Ok(Verb::Patch),
        ("DELETE", true) => Ok(Verb::Delete),
        ("DELETE", false) => Ok(Verb::DeleteCollection),
        _ => Err(Refusal::method_not_allowed()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_group_namespace_and_subresource() {
        let Some(Target::Objects(path)) = target("/apis/batch/v1/namespaces/a/jobs/b/status") else {
            panic!("objects")
        };
        assert_eq!(
            (path.group.as_str(), path.namespace.as_str(), path.plural.as_str()),
            ("batch", "a", "jobs")
        );
        assert_eq!((path.name.as_str(), path.subresource.as_deref()), ("b", Some("status")));
    }

    #[test]
    fn a_namespace_is_an_object_and_a_place() {
        let Some(Target::Objects(own)) = target("/api/v1/namespaces/a") else {
            panic!("objects")
        };
        assert_eq!(
            (own.plural.as_str(), own.name.as_str(), own.namespace.as_str()),
            ("namespaces", "a", "")
        );
        let Some(Target::Objects(inside)) = target("/api/v1/namespaces/a/pods") else {
            panic!("objects")
        };
        assert_eq!(
            (inside.plural.as_str(), inside.name.as_str(), inside.namespace.as_str()),
            ("pods", "", "a")
        );
    }
}
