//! Where a probe asks, and its answers are written down.

use clock::Clock;
use futures::AsyncReadExt;
use http_body_util::BodyExt;
use kube::Client;
use kube::client::Body;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::time::Duration;

const TYPES: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

/// One probe's view of a server.
pub struct Bench {
    client: Client,
    clock: Arc<dyn Clock>,
    /// Part of all names of this probe; also its namespace.
    pub id: String,
    show: Vec<&'static str>,
    answers: Vec<Value>,
}

impl Bench {
    /// `id`: unlike any used before on the server; lower-case letters and digits.
    pub async fn new(client: Client, clock: Arc<dyn Clock>, id: &str) -> Self {
        let mut bench = Self {
            client,
            clock,
            id: id.to_owned(),
            show: Vec::new(),
            answers: Vec::new(),
        };
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": id}});
        bench.post("/api/v1/namespaces", namespace).await;
        bench.answers.clear();
        bench
    }

    /// Takes away what the probe made: what is in its name space, Nodes, types, and its name spaces, which are let go as well, since no
    /// controller does it.
    pub async fn clear(&self) {
        const SPACES: &str = "/api/v1/namespaces";
        for inside in ["pods?gracePeriodSeconds=0", "configmaps"] {
            self.send("DELETE", &self.core(inside), ["application/json"; 2], Vec::new()).await;
        }
        for (kinds, is_space) in [("/api/v1/nodes", false), (TYPES, false), (SPACES, true)] {
            let (_, all) = self.send("GET", kinds, ["application/json"; 2], Vec::new()).await;
            let items = all["items"].as_array().into_iter().flatten();
            let names = items.filter_map(|item| item["metadata"]["name"].as_str());
            for name in names.filter(|name| name.contains(&self.id)) {
                let path = format!("{kinds}/{name}");
                self.send("DELETE", &path, ["application/json"; 2], Vec::new()).await;
                if is_space {
                    let done = json!({"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": name}, "spec": {"finalizers": []}});
                    let done = done.to_string().into_bytes();
                    self.send("PUT", &format!("{path}/finalize"), ["application/json"; 2], done).await;
                }
            }
        }
    }

    /// What was answered.
    pub fn into_answers(self) -> Value {
        Value::Array(self.answers)
    }

    /// The fields that are written down of objects from now on, as JSON pointers.
    pub fn show(&mut self, pointers: &[&'static str]) {
        self.show = pointers.to_vec();
    }

    /// The path of a type of the core group in this probe's namespace.
    pub fn core(&self, plural: &str) -> String {
        format!("/api/v1/namespaces/{}/{plural}", self.id)
    }

    /// The path of an object of it.
    pub fn at(&self, plural: &str, name: &str) -> String {
        format!("/api/v1/namespaces/{}/{plural}/{name}", self.id)
    }

    /// The path of a Node of this probe.
    pub fn node(&self, name: &str) -> String {
        format!("/api/v1/nodes/{}-{name}", self.id)
    }

    /// Makes a ConfigMap.
    pub async fn map(&mut self, name: &str, data: Value) -> Value {
        let path = self.core("configmaps");
        self.post(&path, json!({"metadata": {"name": name}, "data": data})).await
    }

    /// Makes a Node.
    pub async fn make_node(&mut self, name: &str) -> Value {
        let node = json!({"metadata": {"name": format!("{}-{name}", self.id), "labels": {"probe": self.id}}});
        self.post("/api/v1/nodes", node).await
    }

    /// Makes a Pod; `more` is merged into its spec.
    pub async fn pod(&mut self, name: &str, more: Value) -> Value {
        let mut spec = json!({"containers": [{"name": "a", "image": "b"}]});
        json_patch::merge(&mut spec, &more);
        let path = self.core("pods");
        self.post(&path, json!({"metadata": {"name": name, "labels": {"app": name}}, "spec": spec}))
            .await
    }

    pub async fn get(&mut self, path: &str) -> Value {
        self.call("GET", path, "application/json", None).await
    }

    pub async fn post(&mut self, path: &str, body: Value) -> Value {
        self.call("POST", path, "application/json", Some(body)).await
    }

    pub async fn put(&mut self, path: &str, body: Value) -> Value {
        self.call("PUT", path, "application/json", Some(body)).await
    }

    pub async fn merge(&mut self, path: &str, body: Value) -> Value {
        self.call("PATCH", path, "application/merge-patch+json", Some(body)).await
    }

    pub async fn apply(&mut self, path: &str, body: Value) -> Value {
        self.call("PATCH", path, "application/apply-patch+yaml", Some(body)).await
    }

    pub async fn delete(&mut self, path: &str, options: Value) -> Value {
        let options = Some(options).filter(|options| !options.is_null());
        self.call("DELETE", path, "application/json", options).await
    }

    /// A call whose answer is written down.
    pub async fn call(&mut self, method: &str, path: &str, content_type: &str, body: Option<Value>) -> Value {
        let body = body.map(|body| Self::complete(path, method, body).to_string().into_bytes());
        self.raw(method, path, content_type, body.unwrap_or_default()).await
    }

    /// A real server wants to be told the type of every object.
    fn complete(path: &str, method: &str, mut body: Value) -> Value {
        let is_object = matches!(method, "POST" | "PUT") && body.get("metadata").is_some() && body.get("kind").is_none();
        if is_object {
            let kind = match path.split('?').next().unwrap_or_default() {
                path if path.contains("/configmaps") => "ConfigMap",
                path if path.contains("/nodes") => "Node",
                path if path.contains("/pods") => "Pod",
                _ => "",
            };
            body["kind"] = json!(kind);
            body["apiVersion"] = json!("v1");
        }
        body
    }

    pub async fn raw(&mut self, method: &str, path: &str, content_type: &str, body: Vec<u8>) -> Value {
        self.ask(method, path, [content_type, "application/json"], body).await
    }

    /// With the form of answer that is asked for.
    pub async fn get_as(&mut self, path: &str, accept: &str) -> Value {
        self.ask("GET", path, ["application/json", accept], Vec::new()).await
    }

    async fn ask(&mut self, method: &str, path: &str, [content_type, accept]: [&str; 2], body: Vec<u8>) -> Value {
        let (code, body) = self.send(method, path, [content_type, accept], body).await;
        let record = self.record(code, &body);
        self.answers.push(record);
        body
    }

    async fn send(&self, method: &str, path: &str, [content_type, accept]: [&str; 2], body: Vec<u8>) -> (u16, Value) {
        let request = http::Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", content_type)
            .header("accept", accept);
        let Ok(request) = request.body(Body::from(body)) else {
            return (0, json!("no request"));
        };
        match self.client.send(request).await {
            Ok(response) => {
                let code = response.status().as_u16();
                let bytes = response
                    .into_body()
                    .collect()
                    .await
                    .map(http_body_util::Collected::to_bytes)
                    .unwrap_or_default();
                (code, serde_json::from_slice(&bytes).unwrap_or_default())
            }
            Err(error) => (0, json!(error.to_string())),
        }
    }

    /// Asks again until there is something.
    pub async fn wait_for(&mut self, path: &str) {
        for _ in 0..100 {
            if self.send("GET", path, ["application/json"; 2], Vec::new()).await.0 == 200 {
                return;
            }
            self.pause(Duration::from_millis(100)).await;
        }
        self.note("never came", json!(true));
    }

    async fn pause(&self, by: Duration) {
        let until = self.clock.now().checked_add(by).unwrap_or(jiff::Timestamp::MAX);
        self.clock.sleep_until(until).await;
    }

    /// Writes down something that was found out.
    pub fn note(&mut self, what: &str, value: Value) {
        self.answers.push(json!({ what: value }));
    }

    /// Watches for a second, and writes down what was told of: types and shown fields.
    pub async fn watch(&mut self, path: &str, accept: &str) {
        let request = http::Request::get(format!("{path}&watch=true&timeoutSeconds=1"))
            .header("accept", accept)
            .body(Vec::new());
        let Ok(request) = request else {
            return self.note("no request", json!(true));
        };
        let mut text = String::new();
        match self.client.request_stream(request).await {
            Ok(stream) => {
                let mut stream = std::pin::pin!(stream);
                let _ended = stream.read_to_string(&mut text).await;
            }
            Err(kube::Error::Api(status)) => return self.note("refused", json!(status.code)),
            Err(error) => return self.note("failed", json!(error.to_string())),
        }
        let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let ends = |event: &Value| event.pointer("/object/metadata/annotations/k8s.io~1initial-events-end").is_some();
        let told: Vec<Value> = lines
            .filter(|event| event["type"] != "BOOKMARK" || ends(event))
            .map(|event| json!([event["type"], self.record(200, &event["object"])]))
            .collect();
        self.note("told", Value::Array(told));
    }

    fn record(&self, code: u16, body: &Value) -> Value {
        let mut record = Map::new();
        record.insert("code".to_owned(), json!(code));
        if body["kind"] == "Status" {
            record.insert("status".to_owned(), body["status"].clone());
            record.insert("reason".to_owned(), body["reason"].clone());
            let details = &body["details"];
            for field in ["name", "group", "kind", "retryAfterSeconds"] {
                if let Some(value) = details.get(field) {
                    record.insert(field.to_owned(), value.clone());
                }
            }
            let causes = details["causes"].as_array().into_iter().flatten();
            let mut causes: Vec<Value> = causes.map(|cause| json!([cause["reason"], cause["field"]])).collect();
            // Old servers say the same more than once.
            causes.dedup();
            record.insert("causes".to_owned(), Value::Array(causes));
        } else {
            record.insert("kind".to_owned(), body["kind"].clone());
            for pointer in &self.show {
                let value = body.pointer(pointer).cloned().unwrap_or_default();
                record.insert((*pointer).to_owned(), value);
            }
            if let Some(items) = body["items"].as_array() {
                // Old servers list from their cache in no order.
                let names: std::collections::BTreeSet<&str> = items.iter().filter_map(|item| item["metadata"]["name"].as_str()).collect();
                record.insert("items".to_owned(), json!(names));
                record.insert(
                    "items say their kind".to_owned(),
                    json!(items.iter().any(|item| item.get("kind").is_some())),
                );
                record.insert(
                    "goes on".to_owned(),
                    json!(body["metadata"]["continue"].as_str().is_some_and(|text| !text.is_empty())),
                );
                record.insert("remaining".to_owned(), body["metadata"]["remainingItemCount"].clone());
            }
        }
        normal(&Value::Object(record), &self.id)
    }
}

/// Without names and times.
fn normal(value: &Value, id: &str) -> Value {
    match value {
        Value::String(text) if text.len() == 20 && text.ends_with('Z') && text.as_bytes().get(10) == Some(&b'T') => json!("TIME"),
        Value::String(text) => json!(text.replace(id, "ID")),
        Value::Array(items) => items.iter().map(|item| normal(item, id)).collect(),
        Value::Object(fields) => {
            let known = |(name, value): (&String, &Value)| (name.replace(id, "ID"), normal(value, id));
            let is_time = |name: &str| matches!(name, "lastHeartbeatTime" | "lastTransitionTime");
            let lasting = fields
                .iter()
                .filter(|(name, value)| !(matches!(name.as_str(), "timeAdded" | "managedFields") || value.is_null() && is_time(name)));
            Value::Object(lasting.map(known).collect())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}
