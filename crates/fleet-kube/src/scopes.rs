//! Whether the cluster has what job types and plug-ins need. It is looked at now and then, for the whole cluster at once.

use crate::cache::Task;
use crate::context::Context;
use crate::failure::Failure;
use crate::settings::Requirement;
use fleet::FleetError;
use kube::Api;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// How often it is looked.
const PERIOD: Duration = Duration::from_secs(30);

/// What of the requirements is there: `Err` says what is wrong.
pub type Findings = BTreeMap<Requirement, Result<(), String>>;

/// The last look at the cluster.
pub struct Checker {
    context: Arc<Context>,
    needs: BTreeSet<Requirement>,
    findings: Mutex<Findings>,
    looked: watch::Sender<bool>,
    /// Told when something has changed.
    listener: Box<dyn Fn() + Send + Sync>,
}

impl Checker {
    pub fn start(context: &Arc<Context>, needs: BTreeSet<Requirement>, listener: Box<dyn Fn() + Send + Sync>) -> (Arc<Self>, Task) {
        let checker = Arc::new(Self {
            context: Arc::clone(context),
            needs,
            findings: Mutex::default(),
            looked: watch::Sender::new(false),
            listener,
        });
        let task = Task(tokio::spawn(Arc::clone(&checker).run()));
        (checker, task)
    }

    /// Waits for the first look.
    pub async fn looked(&self) {
        let mut looked = self.looked.subscribe();
        // The sender lives as long as this.
        let _known = looked.wait_for(|looked| *looked).await;
    }

    pub fn findings(&self) -> Findings {
        self.findings.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn run(self: Arc<Self>) {
        if self.needs.is_empty() {
            self.looked.send_replace(true);
            return;
        }
        loop {
            self.look().await;
            self.looked.send_replace(true);
            self.context.clock.sleep_until(self.context.after(PERIOD)).await;
        }
    }

    /// What cannot be looked at stays as it was found last.
    async fn look(&self) {
        let mut news = self.findings();
        for need in &self.needs {
            match self.find(need).await {
                Ok(object) => drop(news.insert(need.clone(), judge(need, object.as_ref()))),
                Err(failure) => tracing::warn!(%need, %failure, "not known whether it is there"),
            }
        }
        let is_new = {
            let mut known = self.findings.lock().unwrap_or_else(PoisonError::into_inner);
            let is_new = *known != news;
            *known = news;
            is_new
        };
        if is_new {
            (self.listener)();
        }
    }

    async fn find(&self, need: &Requirement) -> Result<Option<DynamicObject>, Failure> {
        let (kind, namespace, name) = place(need);
        let client = self.context.client.clone();
        let api: Api<DynamicObject> = match namespace {
            Some(namespace) => Api::namespaced_with(client, namespace, &kind),
            None => Api::all_with(client, &kind),
        };
        match self.context.call(api.get_opt(name)).await {
            // The kind itself is not served.
            Err(Failure::Missing(_)) => Ok(None),
            answer => answer,
        }
    }

    /// Whether the cluster serves a type, asked now.
    pub async fn has_crd(&self, name: &str) -> Result<bool, FleetError> {
        let need = Requirement::Crd(name.to_owned());
        let found = self.find(&need).await.map_err(Failure::on_read)?;
        Ok(judge(&need, found.as_ref()).is_ok())
    }
}

fn place(need: &Requirement) -> (ApiResource, Option<&str>, &str) {
    let kind = |group, version, kind, plural| ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural);
    match need {
        Requirement::Crd(name) => {
            let crd = kind(
                "apiextensions.k8s.io",
                "v1",
                "CustomResourceDefinition",
                "customresourcedefinitions",
            );
            (crd, None, name)
        }
        Requirement::Deployment { namespace, name } => (kind("apps", "v1", "Deployment", "deployments"), Some(namespace), name),
        Requirement::GatewayClass(name) => (
            kind("gateway.networking.k8s.io", "v1", "GatewayClass", "gatewayclasses"),
            None,
            name,
        ),
        Requirement::IngressClass(name) => (kind("networking.k8s.io", "v1", "IngressClass", "ingressclasses"), None, name),
        Requirement::StorageClass(name) => (kind("storage.k8s.io", "v1", "StorageClass", "storageclasses"), None, name),
    }
}

fn judge(need: &Requirement, object: Option<&DynamicObject>) -> Result<(), String> {
    let Some(object) = object else {
        return Err(format!("{need} is not there"));
    };
    let condition = match need {
        Requirement::Crd(_) => "Established",
        Requirement::Deployment { .. } => "Available",
        Requirement::GatewayClass(_) => "Accepted",
        Requirement::IngressClass(_) | Requirement::StorageClass(_) => return Ok(()),
    };
    if is_true(&object.data["status"]["conditions"], condition) {
        Ok(())
    } else {
        Err(format!("{need} is not {}", condition.to_lowercase()))
    }
}

/// The first of the requirements that is missing, if one is. `None`: one of them has not been looked at.
pub fn first_missing(needs: &[Requirement], findings: &Findings) -> Option<Result<(), String>> {
    for need in needs {
        if let Err(reason) = findings.get(need)? {
            return Some(Err(reason.clone()));
        }
    }
    Some(Ok(()))
}

/// A condition by its type.
pub fn condition<'a>(conditions: &'a Value, name: &str) -> Option<&'a Value> {
    conditions.as_array()?.iter().find(|condition| condition["type"] == name)
}

pub fn is_true(conditions: &Value, name: &str) -> bool {
    condition(conditions, name).is_some_and(|condition| condition["status"] == "True")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(status: Value) -> DynamicObject {
        let kind = place(&Requirement::Crd(String::new())).0;
        DynamicObject::new("x", &kind).data(json!({"status": status}))
    }

    #[test]
    fn a_requirement_is_met_by_its_condition() {
        let need = Requirement::try_from("deployment/a/b".to_owned()).unwrap();
        let conditions =
            |status: &str| json!({"conditions": [{"type": "Progressing", "status": "True"}, {"type": "Available", "status": status}]});
        assert_eq!(judge(&need, Some(&object(conditions("True")))), Ok(()));
        assert_eq!(
            judge(&need, Some(&object(conditions("False")))),
            Err("deployment/a/b is not available".to_owned())
        );
        assert_eq!(judge(&need, None), Err("deployment/a/b is not there".to_owned()));
        let class = Requirement::StorageClass("fast".to_owned());
        assert_eq!(judge(&class, Some(&object(Value::Null))), Ok(()));
    }

    #[test]
    fn the_first_that_is_missing_is_told() {
        let need = |name: &str| Requirement::Crd(name.to_owned());
        let findings = Findings::from([
            (need("a"), Ok(())),
            (need("b"), Err("b".to_owned())),
            (need("c"), Err("c".to_owned())),
        ]);
        assert_eq!(first_missing(&[need("a")], &findings), Some(Ok(())));
        assert_eq!(
            first_missing(&[need("a"), need("b"), need("c")], &findings),
            Some(Err("b".to_owned()))
        );
        assert_eq!(first_missing(&[need("a"), need("d")], &findings), None);
        assert_eq!(first_missing(&[], &findings), Some(Ok(())));
    }
}
