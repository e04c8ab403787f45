//! The server: a request comes in, is understood, and is answered.

use crate::answer::Answer;
use crate::call::{Call, Target, Verb, target, verb};
use crate::cluster::FakeCluster;
use crate::faults::{self, Fault};
use crate::objects::{Key, State, set, text};
use crate::query::Query;
use crate::refusal::Refusal;
use crate::watch::{BOOKMARKS, WatchStart};
use crate::{delete, discovery, evict, list, watch, write};
use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Request, Response, header};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};
use tower::BoxError;

/// The body of an answer.
pub type AnswerBody = UnsyncBoxBody<Bytes, BoxError>;

/// The server as one user sees it, to be put under a `kube::Client`.
#[derive(Clone)]
pub struct FakeServer {
    cluster: FakeCluster,
    user: Arc<str>,
}

impl FakeServer {
    pub(crate) fn new(cluster: FakeCluster, user: &str) -> Self {
        Self {
            cluster,
            user: Arc::from(user),
        }
    }
}

impl tower::Service<Request<kube::client::Body>> for FakeServer {
    type Response = Response<AnswerBody>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<kube::client::Body>) -> Self::Future {
        let (cluster, user) = (self.cluster.clone(), Arc::clone(&self.user));
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let body = body.collect_bytes().await?;
            serve(cluster, user, parts, body).await
        })
    }
}

async fn serve(cluster: FakeCluster, user: Arc<str>, parts: http::request::Parts, body: Bytes) -> Result<Response<AnswerBody>, BoxError> {
    let asked = cluster.with_state(|state| understood(state, user, &parts, body));
    let call = match asked {
        Ok(Asked::Call(call)) => call,
        Ok(Asked::Known(answer)) => return respond(cluster, answer),
        Err(refusal) => return respond(cluster, Answer::refusal(&refusal)),
    };
    let fault = cluster.with_state(|state| state.faults.draw(&call));
    if let Some(Fault::Slow(by)) = fault {
        cluster.sleep_until(later(cluster.now(), by)).await;
    }
    if fault == Some(Fault::LoseRequest) {
        return Err(broken());
    }
    if let Some(refusal) = fault.and_then(|fault| faults::refusal(fault, &call)) {
        return respond(cluster, Answer::refusal(&refusal));
    }
    let answer = cluster.with_state(|state| carry_out(state, &call, fault));
    if fault == Some(Fault::LoseReply) {
        return Err(broken());
    }
    respond(cluster, answer)
}

/// What a client sees of a connection that breaks.
fn broken() -> BoxError {
    Box::new(std::io::Error::from(std::io::ErrorKind::ConnectionReset))
}

fn carry_out(state: &mut State, call: &Call, fault: Option<Fault>) -> Answer {
    state.dry_run = call.is_dry_run();
    let answer = authorize(state, call).and_then(|()| dispatch(state, call, fault));
    state.dry_run = false;
    let mut answer = answer.unwrap_or_else(|refusal| Answer::refusal(&refusal));
    if let (Answer::Watch(watch), Some(fault)) = (&mut answer, fault) {
        strike(watch, fault, state.now);
    }
    answer
}

fn respond(cluster: FakeCluster, answer: Answer) -> Result<Response<AnswerBody>, BoxError> {
    match answer {
        Answer::Body { code, json, retry_after } => {
            let mut response = Response::builder().status(code).header(header::CONTENT_TYPE, "application/json");
            if let Some(seconds) = retry_after {
                response = response.header(header::RETRY_AFTER, seconds);
            }
            let body = Full::new(Bytes::from(json)).map_err(|never: Infallible| match never {});
            Ok(response.body(body.boxed_unsync())?)
        }
        Answer::Watch(start) => {
            let body = StreamBody::new(events(cluster, start));
            let response = Response::builder().header(header::CONTENT_TYPE, "application/json");
            Ok(response.body(BodyExt::boxed_unsync(body))?)
        }
    }
}

/// The lines of a watch, until it ends.
fn events(cluster: FakeCluster, start: WatchStart) -> impl futures::Stream<Item = Result<Frame<Bytes>, BoxError>> + Send {
    let next_bookmark = later(cluster.now(), BOOKMARKS);
    futures::stream::unfold(
        (cluster, start, next_bookmark),
        |(cluster, mut watch, mut next_bookmark)| async move {
            loop {
                if let Some(line) = watch.first.pop_front() {
                    return Some((Ok(Frame::data(line)), (cluster, watch, next_bookmark)));
                }
                if watch.is_over {
                    return None;
                }
                if let Some(until) = watch.silent_until.take_if(|until| cluster.now() < *until) {
                    cluster.sleep_until(until).await;
                }
                let version = cluster.version();
                if version > watch.cursor {
                    cluster.with_state(|state| watch.catch_up(state, version));
                    continue;
                }
                let now = cluster.now();
                if now >= watch.ends {
                    watch.is_over = true;
                }
                if watch.wants_bookmarks && (watch.is_over || now >= next_bookmark) {
                    watch.first.push_back(watch.bookmark(false));
                    next_bookmark = later(now, BOOKMARKS);
                }
                if !watch.first.is_empty() || watch.is_over {
                    continue;
                }
                let wake = if watch.wants_bookmarks {
                    watch.ends.min(next_bookmark)
                } else {
                    watch.ends
                };
                tokio::select! {
                    biased;
                    () = cluster.newer_than(version) => {}
                    () = cluster.sleep_until(wake) => {}
                }
            }
        },
    )
}

pub(crate) fn later(now: Timestamp, by: std::time::Duration) -> Timestamp {
    now.checked_add(by).unwrap_or(Timestamp::MAX)
}

/// What a fault does to a watch.
fn strike(watch: &mut WatchStart, fault: Fault, now: Timestamp) {
    match fault {
        Fault::CutWatch(after) => watch.ends = watch.ends.min(later(now, after)),
        Fault::SilenceWatch(length) => watch.silent_until = Some(later(now, length)),
        Fault::RepeatEvents(length) => watch.repeats_until = Some(later(now, length)),
        Fault::LoseRequest
        | Fault::LoseReply
        | Fault::Conflict
        | Fault::TooManyRequests(_)
        | Fault::Unavailable
        | Fault::Slow(_)
        | Fault::StaleList(_) => {}
    }
}

/// A request, as far as it is understood before anything goes wrong.
enum Asked {
    /// What the server says of itself.
    Known(Answer),
    Call(Call),
}

fn understood(state: &mut State, user: Arc<str>, parts: &http::request::Parts, body: Bytes) -> Result<Asked, Refusal> {
    let known = |value: Value| Ok(Asked::Known(Answer::value(200, &value)));
    let path = match target(parts.uri.path()).ok_or_else(Refusal::no_page)? {
        Target::Version => return known(discovery::version()),
        Target::CoreVersions => return known(discovery::core_versions()),
        Target::Groups => return known(discovery::groups(state)),
        Target::Group(name) => return known(discovery::group(state, &name)?),
        Target::Resources { group, version } => return known(discovery::resources(state, &group, &version)?),
        Target::Healthz => return known(json!("ok")),
        Target::Objects(path) => path,
    };
    let query = Query::parse(parts.uri.query().unwrap_or_default());
    if path.group == "authorization.k8s.io" && path.plural == "selfsubjectaccessreviews" {
        return access_review(state, &user, &body).map(Asked::Known);
    }
    let ty = state.resource(&path.group, &path.version, &path.plural).ok_or_else(|| {
        if path.group.is_empty() || state.types.iter().any(|ty| ty.group == path.group) {
            Refusal::unknown_path()
        } else {
            Refusal::no_page()
        }
    })?;
    let verb = verb(&parts.method, &path, &query)?;
    let is_collection_of_all = path.name.is_empty() && matches!(verb, Verb::List | Verb::Watch | Verb::DeleteCollection);
    if ty.is_namespaced && path.namespace.is_empty() && !(is_collection_of_all && verb != Verb::DeleteCollection) {
        return Err(Refusal::method_not_allowed());
    }
    if !ty.is_namespaced && !path.namespace.is_empty() {
        return Err(Refusal::unknown_path());
    }
    let header = |name: header::HeaderName| {
        parts
            .headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
            .to_owned()
    };
    Ok(Asked::Call(Call {
        user,
        verb,
        ty,
        namespace: path.namespace,
        name: path.name,
        subresource: path.subresource,
        query,
        content_type: header(header::CONTENT_TYPE),
        accept: header(header::ACCEPT),
        body,
    }))
}

fn authorize(state: &State, call: &Call) -> Result<(), Refusal> {
    let resource = call.resource();
    if !is_denied(state, &call.user, call.verb.name(), &resource) {
        return Ok(());
    }
    let why = format!(
        "User \"{}\" cannot {} resource \"{resource}\" in API group \"{}\" at the cluster scope",
        call.user,
        call.verb.name(),
        call.ty.group
    );
    Err(Refusal::forbidden(&call.ty, &call.name, &why))
}

fn is_denied(state: &State, user: &str, verb: &str, resource: &str) -> bool {
    let own = |part: &str| part.to_owned();
    state.denied.contains(&(own(user), own(verb), own(resource))) || state.denied.contains(&(own(user), own("*"), own(resource)))
}

fn access_review(state: &State, user: &str, body: &[u8]) -> Result<Answer, Refusal> {
    let mut review: Value = serde_json::from_slice(body).map_err(|error| Refusal::bad_request(error.to_string()))?;
    let asked = |name: &str| text(&review, &format!("/spec/resourceAttributes/{name}")).to_owned();
    let resource = match (asked("resource"), asked("subresource")) {
        (resource, subresource) if subresource.is_empty() => resource,
        (resource, subresource) => format!("{resource}/{subresource}"),
    };
    let allowed = !is_denied(state, user, &asked("verb"), &resource);
    set(&mut review, &["kind"], json!("SelfSubjectAccessReview"));
    set(&mut review, &["apiVersion"], json!("authorization.k8s.io/v1"));
    set(&mut review, &["metadata", "creationTimestamp"], Value::Null);
    set(&mut review, &["status", "allowed"], json!(allowed));
    Ok(Answer::value(201, &review))
}

fn dispatch(state: &mut State, call: &Call, fault: Option<Fault>) -> Result<Answer, Refusal> {
    match (call.verb, call.subresource.as_deref()) {
        (Verb::Get, None) => list::get(state, call),
        (Verb::Get, Some("status")) if call.ty.has_status => list::get(state, call),
        (Verb::List, None) => list::list(state, call, stale(state, fault)),
        (Verb::Watch, None) => watch::watch(state, call).map(Answer::Watch),
        (Verb::Create, None) => write::create(state, call),
        (Verb::Create, Some("eviction")) if call.ty.kind == "Pod" => evict::evict(state, call),
        (Verb::Create, Some("binding")) if call.ty.kind == "Pod" => bind(state, call),
        (Verb::Update, None) => write::update(state, call),
        (Verb::Patch, None) => write::patch(state, call),
        (Verb::Update, Some("status")) if call.ty.has_status => write::update(state, call),
        (Verb::Patch, Some("status")) if call.ty.has_status => write::patch(state, call),
        (Verb::Update, Some("finalize")) if call.ty.kind == "Namespace" => finalize(state, call),
        (Verb::Delete, None) => delete::delete(state, call),
        (Verb::DeleteCollection, None) => delete::delete_collection(state, call),
        (_, Some(_)) => Err(Refusal::unknown_path()),
    }
}

/// The version that a list is of, if not of the newest.
fn stale(state: &State, fault: Option<Fault>) -> Option<u64> {
    let Some(Fault::StaleList(by)) = fault else {
        return None;
    };
    Some(state.version.saturating_sub(by).max(state.floor))
}

/// POST to `pods/{name}/binding`: the scheduler's word.
fn bind(state: &mut State, call: &Call) -> Result<Answer, Refusal> {
    let key = Key::new("pods", &call.namespace, &call.name);
    let body = call.json()?;
    let node = text(&body, "/target/name").to_owned();
    let pod = state.objects.get(&key).ok_or_else(|| Refusal::not_found(&call.ty, &call.name))?;
    let bound = text(pod, "/spec/nodeName");
    if !bound.is_empty() {
        let why = format!("pod {} is already assigned to node \"{bound}\"", call.name);
        return Err(Refusal::conflict(&call.ty, &call.name, &why).about("pods/binding"));
    }
    state.edit(&call.user, &key, |pod| set(pod, &["spec", "nodeName"], json!(node)));
    Ok(Answer::value(
        201,
        &json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}),
    ))
}

/// PUT to `namespaces/{name}/finalize`: its controller has emptied it.
fn finalize(state: &mut State, call: &Call) -> Result<Answer, Refusal> {
    let key = Key::new("namespaces", "", &call.name);
    let wanted = call.json()?.pointer("/spec/finalizers").cloned().unwrap_or_else(|| json!([]));
    let finalizers = wanted.as_array().filter(|list| !list.is_empty()).cloned();
    let is_there = state.edit(&call.user, &key, |namespace| match finalizers {
        Some(finalizers) => set(namespace, &["spec", "finalizers"], Value::Array(finalizers)),
        None => crate::objects::unset(namespace, &["spec", "finalizers"]),
    });
    if !is_there {
        return Err(Refusal::not_found(&call.ty, &call.name));
    }
    let namespace = state.objects.get(&key).cloned().unwrap_or_default();
    if delete::is_finished(&call.ty, &namespace) {
        let gone = state.commit(&call.user, key, None);
        return Ok(Answer::object(200, &call.ty, &gone, false));
    }
    Ok(Answer::object(200, &call.ty, &namespace, false))
}
