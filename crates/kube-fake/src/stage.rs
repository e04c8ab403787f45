//! What a test sets up beforehand: kinds of objects, and a connection that breaks for good.

use crate::admission::OWN_USER;
use crate::cluster::FakeCluster;
use crate::server::{FakeServer, broken};
use futures::future::BoxFuture;
use http::{Method, Request};
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, PostParams};
use kube::client::Body;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::task::{Context, Poll};
use tower::{BoxError, Service};

impl FakeCluster {
    /// A client as [`FakeCluster::client`] makes, whose connection breaks after so many writes: what is sent then gets no answer and is not done.
    pub fn dying_client(&self, writes: u32) -> kube::Client {
        let server = Dying {
            inner: self.server_as(OWN_USER),
            left: Arc::new(AtomicI64::new(writes.into())),
        };
        kube::Client::new(server, "default")
    }

    /// Serves a kind of objects in name spaces from now on, of whatever form, as somebody's installer would make it.
    ///
    /// # Errors
    /// What the server answers, such as that the kind is there already.
    pub async fn define(&self, group: &str, version: &str, kind: &str, plural: &str) -> Result<(), kube::Error> {
        let schema = json!({"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}});
        let version = json!({"name": version, "served": true, "storage": true, "schema": schema, "subresources": {"status": {}}});
        let names = json!({"kind": kind, "plural": plural, "singular": kind.to_lowercase(), "listKind": format!("{kind}List")});
        let definition = json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": format!("{plural}.{group}")},
            "spec": {"group": group, "scope": "Namespaced", "names": names, "versions": [version]},
        });
        let definition = serde_json::from_value(definition).map_err(kube::Error::SerdeError)?;
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("apiextensions.k8s.io", "v1", "CustomResourceDefinition"));
        let api: kube::Api<DynamicObject> = kube::Api::all_with(self.client_as("admin"), &resource);
        api.create(&PostParams::default(), &definition).await?;
        Ok(())
    }
}

#[derive(Clone)]
struct Dying {
    inner: FakeServer,
    left: Arc<AtomicI64>,
}

impl Service<Request<Body>> for Dying {
    type Response = <FakeServer as Service<Request<Body>>>::Response;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Service::<Request<Body>>::poll_ready(&mut self.inner, context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if request.method() != Method::GET && self.left.fetch_sub(1, Ordering::SeqCst) <= 0 {
            return Box::pin(async { Err(broken()) });
        }
        self.inner.call(request)
    }
}
