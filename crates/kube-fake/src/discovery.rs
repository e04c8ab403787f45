//! What the server says it serves.

use crate::kinds::ResourceType;
use crate::objects::State;
use crate::refusal::Refusal;
use serde_json::{Value, json};
use std::collections::BTreeMap;

pub(crate) fn version() -> Value {
    json!({
        "major": "1", "minor": "33", "gitVersion": "v1.33.0-fake", "gitCommit": "", "gitTreeState": "clean",
        "buildDate": "2026-01-01T00:00:00Z", "goVersion": "none", "compiler": "none", "platform": "none",
    })
}

pub(crate) fn core_versions() -> Value {
    json!({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []})
}

/// The groups and their versions, in the order in which they were made.
fn groups_of(state: &State) -> BTreeMap<&str, Vec<&str>> {
    let mut groups: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for ty in state.types.iter().filter(|ty| !ty.group.is_empty()) {
        let versions = groups.entry(&ty.group).or_default();
        if !versions.contains(&ty.version.as_str()) {
            versions.push(&ty.version);
        }
    }
    groups.entry("authorization.k8s.io").or_insert_with(|| vec!["v1"]);
    groups
}

fn group_value(name: &str, versions: &[&str]) -> Value {
    let version = |version: &&str| json!({"groupVersion": format!("{name}/{version}"), "version": version});
    let versions: Vec<Value> = versions.iter().map(version).collect();
    json!({"name": name, "versions": versions, "preferredVersion": versions.first()})
}

pub(crate) fn groups(state: &State) -> Value {
    let groups: Vec<Value> = groups_of(state)
        .iter()
        .map(|(name, versions)| group_value(name, versions))
        .collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

pub(crate) fn group(state: &State, name: &str) -> Result<Value, Refusal> {
    let groups = groups_of(state);
    let versions = groups.get(name).ok_or_else(Refusal::no_page)?;
    let mut group = group_value(name, versions);
    crate::objects::set(&mut group, &["kind"], json!("APIGroup"));
    crate::objects::set(&mut group, &["apiVersion"], json!("v1"));
    Ok(group)
}

pub(crate) fn resources(state: &State, group: &str, version: &str) -> Result<Value, Refusal> {
    let here = |ty: &&std::sync::Arc<ResourceType>| ty.group == group && ty.version == version;
    let mut resources = Vec::new();
    for ty in state.types.iter().filter(here) {
        let verbs = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
        let row = |name: String, verbs: &[&str]| {
            json!({
                "name": name, "singularName": ty.kind.to_lowercase(), "namespaced": ty.is_namespaced, "kind": ty.kind, "verbs": verbs,
            })
        };
        resources.push(row(ty.plural.clone(), &verbs));
        if ty.has_status {
            resources.push(row(format!("{}/status", ty.plural), &["get", "patch", "update"]));
        }
        if ty.kind == "Pod" && group.is_empty() {
            for (subresource, group, kind) in [("eviction", "policy", "Eviction"), ("binding", "", "Binding")] {
                resources.push(json!({
                    "name": format!("pods/{subresource}"), "singularName": "", "namespaced": true, "group": group, "version": "v1",
                    "kind": kind, "verbs": ["create"],
                }));
            }
        }
    }
    if group == "authorization.k8s.io" && version == "v1" {
        resources.push(json!({
            "name": "selfsubjectaccessreviews", "singularName": "", "namespaced": false, "kind": "SelfSubjectAccessReview", "verbs": ["create"],
        }));
    }
    if resources.is_empty() {
        return Err(Refusal::unknown_path());
    }
    let group_version = if group.is_empty() {
        version.to_owned()
    } else {
        format!("{group}/{version}")
    };
    Ok(json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": resources}))
}
