//! The types of objects that are served.

use std::sync::Arc;

/// A type of objects, in one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceType {
    /// Empty for the core group.
    pub group: String,
    pub version: String,
    pub kind: String,
    pub plural: String,
    pub is_namespaced: bool,
    /// The status is written through a subresource of its own, and through nothing else.
    pub has_status: bool,
    /// Comes from a CustomResourceDefinition.
    pub is_custom: bool,
}

impl ResourceType {
    /// A custom type with a status subresource.
    pub fn custom(group: &str, version: &str, kind: &str, plural: &str, is_namespaced: bool) -> Self {
        Self {
            group: group.to_owned(),
            version: version.to_owned(),
            kind: kind.to_owned(),
            plural: plural.to_owned(),
            is_namespaced,
            has_status: true,
            is_custom: true,
        }
    }

    /// `v1`, `apps/v1`.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.clone()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// `nodes`, `jobs.batch`: what all versions of a type have in common, and what messages call it.
    pub fn qualified(&self) -> String {
        if self.group.is_empty() {
            self.plural.clone()
        } else {
            format!("{}.{}", self.plural, self.group)
        }
    }

    /// A change of anything but metadata and status raises `metadata.generation`.
    pub(crate) fn counts_generations(&self) -> bool {
        self.is_custom
            || matches!(
                self.kind.as_str(),
                "Job"
                    | "Deployment"
                    | "StatefulSet"
                    | "ReplicaSet"
                    | "DaemonSet"
                    | "PodDisruptionBudget"
                    | "CustomResourceDefinition"
                    | "ValidatingAdmissionPolicy"
                    | "ValidatingAdmissionPolicyBinding"
                    | "MutatingAdmissionPolicy"
                    | "MutatingAdmissionPolicyBinding"
            )
    }

    /// A PUT may leave out `metadata.resourceVersion`.
    pub(crate) fn allows_unconditional_update(&self) -> bool {
        !self.is_custom && !matches!(self.kind.as_str(), "Lease" | "PodDisruptionBudget" | "CustomResourceDefinition")
    }

    /// A PUT of an object that does not exist creates it.
    pub(crate) fn allows_create_on_update(&self) -> bool {
        matches!(self.kind.as_str(), "Lease" | "Event")
    }

    /// Who wrote which field is not worth remembering: nobody applies them, and there are many.
    pub(crate) fn tracks_owners(&self) -> bool {
        !matches!(self.kind.as_str(), "Pod" | "Event" | "Lease")
    }
}

struct Row(&'static str, &'static str, &'static str, &'static str, bool, bool);

const BUILT_IN: &[Row] = &[
    Row("", "v1", "Node", "nodes", false, true),
    Row("", "v1", "Pod", "pods", true, true),
    Row("", "v1", "Namespace", "namespaces", false, true),
    Row("", "v1", "ConfigMap", "configmaps", true, false),
    Row("", "v1", "Event", "events", true, false),
    Row("", "v1", "Service", "services", true, true),
    Row("", "v1", "ServiceAccount", "serviceaccounts", true, false),
    Row("batch", "v1", "Job", "jobs", true, true),
    Row("apps", "v1", "Deployment", "deployments", true, true),
    Row("apps", "v1", "StatefulSet", "statefulsets", true, true),
    Row("apps", "v1", "ReplicaSet", "replicasets", true, true),
    Row("apps", "v1", "DaemonSet", "daemonsets", true, true),
    Row("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets", true, true),
    Row("coordination.k8s.io", "v1", "Lease", "leases", true, false),
    Row("storage.k8s.io", "v1", "StorageClass", "storageclasses", false, false),
    Row("resource.k8s.io", "v1", "ResourceSlice", "resourceslices", false, false),
    Row(
        "apiextensions.k8s.io",
        "v1",
        "CustomResourceDefinition",
        "customresourcedefinitions",
        false,
        true,
    ),
    Row(
        "admissionregistration.k8s.io",
        "v1",
        "ValidatingAdmissionPolicy",
        "validatingadmissionpolicies",
        false,
        true,
    ),
    Row(
        "admissionregistration.k8s.io",
        "v1",
        "ValidatingAdmissionPolicyBinding",
        "validatingadmissionpolicybindings",
        false,
        false,
    ),
    Row(
        "admissionregistration.k8s.io",
        "v1",
        "MutatingAdmissionPolicy",
        "mutatingadmissionpolicies",
        false,
        false,
    ),
    Row(
        "admissionregistration.k8s.io",
        "v1",
        "MutatingAdmissionPolicyBinding",
        "mutatingadmissionpolicybindings",
        false,
        false,
    ),
];

/// What every server has.
pub(crate) fn built_in() -> Vec<Arc<ResourceType>> {
    BUILT_IN
        .iter()
        .map(|Row(group, version, kind, plural, is_namespaced, has_status)| {
            Arc::new(ResourceType {
                group: (*group).to_owned(),
                version: (*version).to_owned(),
                kind: (*kind).to_owned(),
                plural: (*plural).to_owned(),
                is_namespaced: *is_namespaced,
                has_status: *has_status,
                is_custom: false,
            })
        })
        .collect()
}
