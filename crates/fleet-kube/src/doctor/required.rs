//! What the shipped manifests say: the rights of the server, and its admission policies.

use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule, Role};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::fmt;

const RIGHTS: &str = include_str!("../../../../deploy/kubernetes/rbac.yaml");
const ADMISSION: &str = include_str!("../../../../deploy/kubernetes/admission.yaml");
/// Name space and account of the shipped manifests.
const NAMESPACE: &str = "poolkeeper-system";
const ACCOUNT: &str = "system:serviceaccount:poolkeeper-system:poolkeeper";

/// One thing that the server may do.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Grant {
    pub group: String,
    /// With its subresource, as in `pods/eviction`.
    pub resource: String,
    pub verb: String,
    /// Absent: in all name spaces.
    pub namespace: Option<String>,
    /// Absent: whatever its name is.
    pub name: Option<String>,
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.verb, self.resource)?;
        if !self.group.is_empty() {
            write!(f, ".{}", self.group)?;
        }
        if let Some(name) = &self.name {
            write!(f, " {name}")?;
        }
        match &self.namespace {
            Some(namespace) => write!(f, " in {namespace}"),
            None => Ok(()),
        }
    }
}

impl Grant {
    /// Whether this allows what another asks for.
    pub fn covers(&self, asked: &Self) -> bool {
        let is_wider = |own: &Option<String>, other: &Option<String>| own.is_none() || own == other;
        self.group == asked.group
            && self.resource == asked.resource
            && self.verb == asked.verb
            && is_wider(&self.namespace, &asked.namespace)
            && is_wider(&self.name, &asked.name)
    }
}

/// The manifests of `deploy/kubernetes`, as they are for a name space and an account.
pub struct Shipped {
    grants: Vec<Grant>,
    admission: Vec<Value>,
}

impl Shipped {
    pub fn new(namespace: &str, account: &str) -> Result<Self, String> {
        let text = ADMISSION
            .replace(ACCOUNT, account)
            .replace(&format!("namespace: {NAMESPACE}"), &format!("namespace: {namespace}"));
        Ok(Self {
            grants: grants(namespace)?,
            admission: documents(&text)?,
        })
    }

    /// What the roles of the server allow, those of the doctor left out.
    pub fn grants(&self) -> &[Grant] {
        &self.grants
    }

    /// The specification of an object of a kind.
    pub fn specification(&self, kind: &str, name: &str) -> Option<&Value> {
        let object = self
            .admission
            .iter()
            .find(|object| object["kind"] == kind && object["metadata"]["name"] == name)?;
        object.get("spec")
    }
}

fn grants(namespace: &str) -> Result<Vec<Grant>, String> {
    let mut grants = Vec::new();
    for object in documents(RIGHTS)? {
        if object["metadata"]["name"] != "poolkeeper" {
            continue;
        }
        let (rules, namespace) = match object["kind"].as_str() {
            Some("ClusterRole") => (read::<ClusterRole>(object)?.rules, None),
            Some("Role") => (read::<Role>(object)?.rules, Some(namespace.to_owned())),
            _ => continue,
        };
        for rule in rules.unwrap_or_default() {
            spread(&rule, namespace.as_ref(), &mut grants);
        }
    }
    Ok(grants)
}

fn spread(rule: &PolicyRule, namespace: Option<&String>, grants: &mut Vec<Grant>) {
    let names = match rule.resource_names.as_deref() {
        None | Some([]) => vec![None],
        Some(names) => names.iter().cloned().map(Some).collect(),
    };
    for group in rule.api_groups.iter().flatten() {
        for resource in rule.resources.iter().flatten() {
            for verb in &rule.verbs {
                grants.extend(names.iter().map(|name| Grant {
                    group: group.clone(),
                    resource: resource.clone(),
                    verb: verb.clone(),
                    namespace: namespace.cloned(),
                    name: name.clone(),
                }));
            }
        }
    }
}

fn documents(text: &str) -> Result<Vec<Value>, String> {
    serde_saphyr::from_multiple(text).map_err(|error| error.to_string())
}

fn read<T: DeserializeOwned>(object: Value) -> Result<T, String> {
    serde_json::from_value(object).map_err(|error| error.to_string())
}
