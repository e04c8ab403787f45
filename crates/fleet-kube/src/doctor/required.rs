//! What the shipped manifests say: the rights of the server, and its admission policies.

use crate::config::KubeConfig;
use crate::machine;
use crate::object::Kind;
use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule, Role};
use kube::api::ApiResource;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt;

const RIGHTS: &str = include_str!("../../../../deploy/kubernetes/rbac.yaml");
const ADMISSION: &str = include_str!("../../../../deploy/kubernetes/admission.yaml");
const PROVISIONING: &str = include_str!("../../../../deploy/kubernetes/provisioning.yaml");
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
            && matches!(self.resource.as_str(), own if own == asked.resource || own == "*")
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
        let in_place = |text: &str| {
            text.replace(ACCOUNT, account)
                .replace(&format!("namespace: {NAMESPACE}"), &format!("namespace: {namespace}"))
        };
        let mut admission = documents(&in_place(ADMISSION))?;
        admission.extend(documents(&in_place(PROVISIONING))?);
        Ok(Self {
            grants: grants(RIGHTS, "poolkeeper", namespace)?,
            admission,
        })
    }

    /// What the roles of the server allow, those of the doctor left out.
    pub fn grants(&self) -> &[Grant] {
        &self.grants
    }

    /// What the role for machines that are made allows, in the name space of the Cluster.
    pub fn of_machines(namespace: &str) -> Result<Vec<Grant>, String> {
        grants(PROVISIONING, "poolkeeper-machines", namespace)
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

/// What making machines needs, of the kinds that the configuration names.
pub fn machine_grants(config: &KubeConfig) -> Vec<Grant> {
    let Some(settings) = config.provisioning() else { return Vec::new() };
    let grant = |kind: &ApiResource, verb: &str| Grant {
        group: kind.group.clone(),
        resource: kind.plural.clone(),
        verb: verb.to_owned(),
        namespace: Some(settings.namespace.clone()),
        name: None,
    };
    let verbs = ["get", "list", "watch", "create", "patch", "delete"];
    let mut grants: BTreeSet<Grant> = verbs.into_iter().map(|verb| grant(&machine::resource(), verb)).collect();
    for reference in settings
        .template
        .values()
        .flat_map(|template| [&template.bootstrap, &template.infrastructure])
    {
        grants.insert(grant(&machine::template_resource(reference), "get"));
        grants.insert(grant(&machine::made_resource(reference), "create"));
    }
    grants.into_iter().collect()
}

/// What installing charts by Argo CD needs.
pub fn argo_grants(config: &KubeConfig) -> Vec<Grant> {
    let Some(argo) = &config.pool.argo else { return Vec::new() };
    let kind: ApiResource = Kind::Application.resource().into();
    let verbs = ["get", "list", "watch", "create", "patch", "delete"];
    let grant = |verb: &str| Grant {
        group: kind.group.clone(),
        resource: kind.plural.clone(),
        verb: verb.to_owned(),
        namespace: Some(argo.namespace.clone()),
        name: None,
    };
    verbs.into_iter().map(grant).collect()
}

fn grants(text: &str, role: &str, namespace: &str) -> Result<Vec<Grant>, String> {
    let mut grants = Vec::new();
    for object in documents(text)? {
        if object["metadata"]["name"] != role {
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
