//! The part of the configuration that is about pools: plug-ins, and what job types need of the cluster.

use crate::config::Scheduler;
use domain::name::TemplateName;
use domain::pool::JobType;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// How pools use the cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PoolSettings {
    /// The level of Pod Security that name spaces of pools enforce. Absent: none is said.
    pub pod_security: Option<String>,
    /// How plug-ins are installed, by template. Others are charts of their own name from the repository `poolkeeper`.
    pub plugin: BTreeMap<TemplateName, PluginRule>,
    /// Charts are installed by Argo CD where Flux is not there. Absent: they are not.
    pub argo: Option<Argo>,
    /// What must be there for workloads of any type. Absent: the parts of the scheduler.
    pub requires: Option<Vec<Requirement>>,
    /// What must be there besides, by job type.
    pub scope: BTreeMap<JobType, Vec<Requirement>>,
}

impl Default for PoolSettings {
    fn default() -> Self {
        Self {
            pod_security: Some("baseline".to_owned()),
            plugin: BTreeMap::new(),
            argo: None,
            requires: None,
            scope: BTreeMap::new(),
        }
    }
}

/// How a plug-in comes into the cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum PluginRule {
    /// By a release of Helm for each pool.
    Chart(Chart),
    /// It is there for the whole cluster, installed by the operator: a pool only looks at these.
    Present { requires: Vec<Requirement> },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chart {
    pub chart: String,
    #[serde(default)]
    pub source: Source,
    /// URL of its repository, for Argo CD. Absent: that of `argo`.
    #[serde(default)]
    pub repository: Option<String>,
    /// Name space that it is installed into. Absent: ours.
    #[serde(default)]
    pub namespace: Option<String>,
}

/// How Argo CD is told of charts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Argo {
    /// Name space of its Applications.
    pub namespace: String,
    /// Its project that they belong to.
    pub project: String,
    /// URL of the repository of charts that name none.
    pub repository: Option<String>,
}

impl Default for Argo {
    fn default() -> Self {
        Self {
            namespace: "argocd".to_owned(),
            project: "default".to_owned(),
            repository: None,
        }
    }
}

/// Where Flux finds a chart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Source {
    pub kind: String,
    pub name: String,
    /// Absent: ours.
    pub namespace: Option<String>,
}

impl Default for Source {
    fn default() -> Self {
        Self {
            kind: "HelmRepository".to_owned(),
            name: "poolkeeper".to_owned(),
            namespace: None,
        }
    }
}

/// Something that has to be in the cluster, written `crd/<name>`, `deployment/<name space>/<name>`, `gatewayclass/<name>`,
/// `ingressclass/<name>`, `storageclass/<name>`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Requirement {
    /// Established.
    Crd(String),
    /// Available.
    Deployment {
        namespace: String,
        name: String,
    },
    /// Accepted.
    GatewayClass(String),
    IngressClass(String),
    StorageClass(String),
}

impl TryFrom<String> for Requirement {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let parts: Vec<&str> = text.split('/').collect();
        let is_filled = parts.iter().all(|part| !part.is_empty());
        match parts.as_slice() {
            ["crd", name] if is_filled => Ok(Self::Crd((*name).to_owned())),
            ["deployment", namespace, name] if is_filled => Ok(Self::Deployment {
                namespace: (*namespace).to_owned(),
                name: (*name).to_owned(),
            }),
            ["gatewayclass", name] if is_filled => Ok(Self::GatewayClass((*name).to_owned())),
            ["ingressclass", name] if is_filled => Ok(Self::IngressClass((*name).to_owned())),
            ["storageclass", name] if is_filled => Ok(Self::StorageClass((*name).to_owned())),
            _ => Err(format!(
                "{text:?} is none of crd/…, deployment/…/…, gatewayclass/…, ingressclass/…, storageclass/…"
            )),
        }
    }
}

impl From<Requirement> for String {
    fn from(requirement: Requirement) -> Self {
        requirement.to_string()
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Crd(name) => write!(f, "crd/{name}"),
            Self::Deployment { namespace, name } => write!(f, "deployment/{namespace}/{name}"),
            Self::GatewayClass(name) => write!(f, "gatewayclass/{name}"),
            Self::IngressClass(name) => write!(f, "ingressclass/{name}"),
            Self::StorageClass(name) => write!(f, "storageclass/{name}"),
        }
    }
}

impl PoolSettings {
    /// What workloads of a type need, the most basic first.
    pub fn needs(&self, scheduler: Scheduler, job_type: JobType) -> Vec<Requirement> {
        let basic = self.requires.clone().unwrap_or_else(|| parts(scheduler));
        basic
            .into_iter()
            .chain(self.scope.get(&job_type).into_iter().flatten().cloned())
            .collect()
    }

    /// Everything that anybody needs.
    pub fn all_needs(&self, scheduler: Scheduler) -> BTreeSet<Requirement> {
        let scopes = JobType::ALL.into_iter().flat_map(|job_type| self.needs(scheduler, job_type));
        let plugins = self.plugin.values().flat_map(|rule| match rule {
            PluginRule::Present { requires } => requires.as_slice(),
            PluginRule::Chart(_) => &[],
        });
        scopes.chain(plugins.cloned()).collect()
    }

    pub fn rule(&self, template: &TemplateName) -> PluginRule {
        let usual = || {
            PluginRule::Chart(Chart {
                chart: template.to_string(),
                source: Source::default(),
                repository: None,
                namespace: None,
            })
        };
        self.plugin.get(template).cloned().unwrap_or_else(usual)
    }
}

/// What a scheduler consists of, under its usual names.
fn parts(scheduler: Scheduler) -> Vec<Requirement> {
    let crd = |name: &str| Requirement::Crd(name.to_owned());
    let deployment = |namespace: &str, name: &str| Requirement::Deployment {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    };
    match scheduler {
        Scheduler::Volcano => vec![
            crd("queues.scheduling.volcano.sh"),
            deployment("volcano-system", "volcano-scheduler"),
            deployment("volcano-system", "volcano-controllers"),
            deployment("volcano-system", "volcano-admission"),
        ],
        Scheduler::Kueue => vec![
            crd("clusterqueues.kueue.x-k8s.io"),
            deployment("kueue-system", "kueue-controller-manager"),
        ],
        Scheduler::None => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requirements_are_written_as_paths() {
        for text in ["crd/a.b", "deployment/a/b", "gatewayclass/x", "ingressclass/x", "storageclass/x"] {
            assert_eq!(Requirement::try_from(text.to_owned()).unwrap().to_string(), text);
        }
        for text in ["", "crd", "crd/", "deployment/a", "pod/a/b", "crd/a/b"] {
            assert!(Requirement::try_from(text.to_owned()).is_err(), "{text}");
        }
    }

    #[test]
    fn the_parts_of_the_scheduler_come_first() {
        let text = r#"{"scope": {"Infer": ["gatewayclass/public"]}, "plugin": {"gpu": {"present": {"requires": ["crd/x"]}}}}"#;
        let settings: PoolSettings = serde_json::from_str(text).unwrap();
        let needs = settings.needs(Scheduler::Kueue, JobType::Infer);
        assert_eq!(needs.last(), Some(&Requirement::GatewayClass("public".to_owned())));
        assert_eq!(settings.needs(Scheduler::None, JobType::Train), []);
        assert_eq!(settings.all_needs(Scheduler::Volcano).len(), 6);
        let template = TemplateName::parse("other").unwrap();
        assert!(matches!(settings.rule(&template), PluginRule::Chart(chart) if chart.chart == "other"));
    }
}
