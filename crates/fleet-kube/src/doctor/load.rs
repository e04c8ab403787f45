//! Reading what the checks look at. What cannot be read is told with its reason, and the rest goes on.

use super::required::{Grant, Shipped, argo_grants, machine_grants};
use super::{Cluster, Loaded, scheduler};
use crate::config::{DriverMode, KubeConfig};
use crate::failure::explained;
use crate::{machine, mark};
use clock::Clock;
use futures::StreamExt;
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec, SubjectAccessReview, SubjectAccessReviewSpec,
};
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, ListParams, PostParams};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::future::Future;
use std::time::Duration;

/// A request is given up after so long.
const PATIENCE: Duration = Duration::from_secs(15);
const PAGE: u32 = 500;
/// Questions at the same time.
const QUESTIONS: usize = 8;
const ADMISSION: &str = "admissionregistration.k8s.io";
/// The name of the server's account, where somebody else asks.
const ACCOUNT: &str = "poolkeeper";

struct Reader<'a> {
    client: &'a Client,
    clock: &'a dyn Clock,
}

/// Reads everything that [`super::examine`] looks at.
pub async fn load(client: &Client, config: &KubeConfig, clock: &dyn Clock) -> Cluster {
    let reader = Reader { client, clock };
    let version = reader.version().await;
    if let Err(reason) = &version {
        // Nothing else would be answered either.
        return unreachable_cluster(config, reason);
    }
    let (account, is_self) = reader.account(config).await;
    Cluster {
        version,
        nodes: reader.all().await,
        daemons: reader.all().await,
        policies: reader.all().await,
        bindings: reader.all().await,
        mutating: reader.mutating().await,
        fence: reader.fence(config).await,
        resources: reader.resources(config).await,
        gpu_policies: reader.gpu_policies(config).await,
        machine_parts: reader.machine_parts(config).await,
        rights: reader.rights(config, &account, is_self).await,
        account,
    }
}

fn account_of(config: &KubeConfig) -> String {
    format!("system:serviceaccount:{}:{ACCOUNT}", config.namespace)
}

fn unreachable_cluster(config: &KubeConfig, reason: &str) -> Cluster {
    let reason = || Err(reason.to_owned());
    Cluster {
        account: account_of(config),
        version: reason().map(|(): ()| (0, 0)),
        nodes: reason().map(|(): ()| Vec::new()),
        daemons: reason().map(|(): ()| Vec::new()),
        policies: reason().map(|(): ()| Vec::new()),
        bindings: reason().map(|(): ()| Vec::new()),
        mutating: reason().map(|(): ()| None),
        fence: reason().map(|(): ()| None),
        resources: reason().map(|(): ()| BTreeMap::new()),
        gpu_policies: reason().map(|(): ()| BTreeMap::new()),
        machine_parts: reason().map(|(): ()| BTreeMap::new()),
        rights: Vec::new(),
    }
}

impl Reader<'_> {
    async fn ask<T>(&self, request: impl Future<Output = kube::Result<T>>) -> Loaded<T> {
        let late = self.clock.now().saturating_add(PATIENCE).unwrap_or(jiff::Timestamp::MAX);
        tokio::select! {
            biased;
            answer = request => answer.map_err(|error| told(&error)),
            () = self.clock.sleep_until(late) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
        }
    }

    async fn version(&self) -> Loaded<(u32, u32)> {
        let info = self.ask(self.client.apiserver_version()).await?;
        // Some distributions add a plus sign.
        let number = |text: &str| text.trim_end_matches(|c: char| !c.is_ascii_digit()).parse::<u32>();
        match (number(&info.major), number(&info.minor)) {
            (Ok(major), Ok(minor)) => Ok((major, minor)),
            _ => Err(format!("{}.{} is not understood", info.major, info.minor)),
        }
    }

    /// Who the server is, and whether that is who asks.
    async fn account(&self, config: &KubeConfig) -> (String, bool) {
        let api: Api<SelfSubjectReview> = Api::all(self.client.clone());
        let review = self.ask(api.create(&PostParams::default(), &SelfSubjectReview::default())).await;
        let user = review
            .ok()
            .and_then(|review| review.status?.user_info?.username)
            .unwrap_or_default();
        if user.starts_with(&format!("system:serviceaccount:{}:", config.namespace)) {
            return (user, true);
        }
        (account_of(config), false)
    }

    async fn all<K>(&self) -> Loaded<Vec<K>>
    where
        K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
    {
        self.list(&Api::all(self.client.clone())).await
    }

    async fn list<K: Clone + DeserializeOwned + Debug>(&self, api: &Api<K>) -> Loaded<Vec<K>> {
        let mut params = ListParams::default().limit(PAGE);
        let mut all = Vec::new();
        loop {
            let page = self.ask(api.list(&params)).await?;
            all.extend(page.items);
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params.continue_token = Some(token),
                None => return Ok(all),
            }
        }
    }

    async fn fence(&self, config: &KubeConfig) -> Loaded<Option<ConfigMap>> {
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), &config.namespace);
        self.ask(api.get_opt(mark::FENCE)).await
    }

    async fn mutating(&self) -> Loaded<Option<BTreeSet<String>>> {
        for version in ["v1", "v1beta1"] {
            let served = self
                .ask(self.client.list_api_group_resources(&format!("{ADMISSION}/{version}")))
                .await;
            let is_served = served.is_ok_and(|list| list.resources.iter().any(|resource| resource.name == "mutatingadmissionpolicies"));
            if is_served {
                let policies = self.names(version, "MutatingAdmissionPolicy", "mutatingadmissionpolicies").await?;
                let bindings = self
                    .names(version, "MutatingAdmissionPolicyBinding", "mutatingadmissionpolicybindings")
                    .await?;
                return Ok(Some(policies.intersection(&bindings).cloned().collect()));
            }
        }
        Ok(None)
    }

    async fn names(&self, version: &str, kind: &str, plural: &str) -> Loaded<BTreeSet<String>> {
        let resource = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(ADMISSION, version, kind), plural);
        let api: Api<DynamicObject> = Api::all_with(self.client.clone(), &resource);
        Ok(self.list(&api).await?.iter().map(ResourceExt::name_any).collect())
    }

    async fn resources(&self, config: &KubeConfig) -> Loaded<BTreeMap<String, BTreeSet<String>>> {
        let api: Api<CustomResourceDefinition> = Api::all(self.client.clone());
        let mut served = BTreeMap::new();
        for (list, _) in scheduler::needed(config) {
            for (name, _) in list {
                if let Some(definition) = self.ask(api.get_opt(name)).await?.filter(is_established) {
                    let versions = definition.spec.versions.into_iter().filter(|version| version.served);
                    served.insert((*name).to_owned(), versions.map(|version| version.name).collect());
                }
            }
        }
        Ok(served)
    }

    async fn gpu_policies(&self, config: &KubeConfig) -> Loaded<BTreeMap<String, bool>> {
        match config.driver.mode {
            DriverMode::Nvidia | DriverMode::Operator => {}
            DriverMode::Label | DriverMode::None => return Ok(BTreeMap::new()),
        }
        let resource = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("nvidia.com", "v1", "ClusterPolicy"), "clusterpolicies");
        let policies = self.list(&Api::<DynamicObject>::all_with(self.client.clone(), &resource)).await?;
        let is_used = |policy: &DynamicObject| policy.data["spec"]["driver"]["useNvidiaDriverCRD"] == true;
        Ok(policies.iter().map(|policy| (policy.name_any(), is_used(policy))).collect())
    }

    async fn machine_parts(&self, config: &KubeConfig) -> Loaded<BTreeMap<String, bool>> {
        let mut parts = BTreeMap::new();
        let Some(settings) = config.provisioning() else { return Ok(parts) };
        let templates = settings
            .template
            .values()
            .flat_map(|template| [&template.bootstrap, &template.infrastructure]);
        let mut wanted: Vec<(ApiResource, &str)> = templates
            .map(|reference| (machine::template_resource(reference), reference.name.as_str()))
            .collect();
        wanted.push((machine::cluster_resource(), &settings.cluster));
        for (kind, name) in wanted {
            let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), &settings.namespace, &kind);
            let looked = async {
                match api.get(name).await {
                    Ok(_) => Ok(true),
                    // Nor is it there where its kind is not served.
                    Err(kube::Error::Api(status)) if status.code == 404 => Ok(false),
                    Err(error) => Err(error),
                }
            };
            let is_there = self.ask(looked).await?;
            parts.insert(format!("{} {name}", kind.kind), is_there);
        }
        Ok(parts)
    }

    async fn rights(&self, config: &KubeConfig, account: &str, is_self: bool) -> Vec<(Grant, Loaded<bool>)> {
        let grants = match Shipped::new(&config.namespace, account) {
            Ok(shipped) => shipped.grants().to_vec(),
            Err(_) => Vec::new(),
        };
        let more = machine_grants(config).into_iter().chain(argo_grants(config));
        let asked = grants.into_iter().chain(more).map(|grant| async move {
            let answer = if is_self {
                self.may_self(&grant).await
            } else {
                self.may(account, &grant).await
            };
            (grant, answer)
        });
        futures::stream::iter(asked).buffered(QUESTIONS).collect().await
    }

    async fn may_self(&self, grant: &Grant) -> Loaded<bool> {
        let review = SelfSubjectAccessReview {
            spec: SelfSubjectAccessReviewSpec {
                resource_attributes: Some(attributes(grant)),
                ..SelfSubjectAccessReviewSpec::default()
            },
            ..SelfSubjectAccessReview::default()
        };
        let api: Api<SelfSubjectAccessReview> = Api::all(self.client.clone());
        let answer = self.ask(api.create(&PostParams::default(), &review)).await?;
        Ok(answer.status.is_some_and(|status| status.allowed))
    }

    async fn may(&self, account: &str, grant: &Grant) -> Loaded<bool> {
        let namespace = account.split(':').nth(2).unwrap_or_default();
        let groups = [
            "system:serviceaccounts".to_owned(),
            format!("system:serviceaccounts:{namespace}"),
            "system:authenticated".to_owned(),
        ];
        let review = SubjectAccessReview {
            spec: SubjectAccessReviewSpec {
                user: Some(account.to_owned()),
                groups: Some(groups.into()),
                resource_attributes: Some(attributes(grant)),
                ..SubjectAccessReviewSpec::default()
            },
            ..SubjectAccessReview::default()
        };
        let api: Api<SubjectAccessReview> = Api::all(self.client.clone());
        let answer = self.ask(api.create(&PostParams::default(), &review)).await?;
        Ok(answer.status.is_some_and(|status| status.allowed))
    }
}

fn attributes(grant: &Grant) -> ResourceAttributes {
    let (resource, subresource) = match grant.resource.split_once('/') {
        Some((resource, subresource)) => (resource, Some(subresource.to_owned())),
        None => (grant.resource.as_str(), None),
    };
    ResourceAttributes {
        group: Some(grant.group.clone()),
        resource: Some(resource.to_owned()),
        subresource,
        verb: Some(grant.verb.clone()),
        namespace: grant.namespace.clone(),
        name: grant.name.clone(),
        ..ResourceAttributes::default()
    }
}

fn is_established(definition: &CustomResourceDefinition) -> bool {
    let conditions = definition.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions
        .into_iter()
        .any(|condition| condition.type_ == "Established" && condition.status == "True")
}

/// What the server says, or why it says nothing.
fn told(error: &kube::Error) -> String {
    if let kube::Error::Api(status) = error {
        return status.message.clone();
    }
    explained(error)
}
