//! What happens to every request around its handler: an id, limits, the signature check, the access log, metrics.

use crate::app::App;
use crate::audit::{Caller, Witness};
use crate::call::Authenticated;
use crate::error::ApiError;
use crate::peer::Peer;
use auth::{AuthnError, BodyDigest, HeaderField, RequestView, TokenHash, TokenProblem, require_project_scope};
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use clock::Entropy;
use domain::field::{FieldErrors, FieldPath, Reason};
use domain::meta::Revision;
use domain::principal::Principal;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use secrecy::{ExposeSecret, SecretString};
use service::ServiceError;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Bytes of a request body (contract README §5).
pub const BODY_LIMIT: usize = 1024 * 1024;
/// Bytes of all headers together.
const HEADER_LIMIT: usize = 64 * 1024;
/// The revision of an answer, and the one that a request wants to be reached (`docs/api-rules.md`).
const REVISION: HeaderName = HeaderName::from_static("x-poolkeeper-revision");
/// How long a body may take to arrive.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// How much of a body that is too large is read before that is said, and for how long.
const DRAIN_LIMIT: usize = 16 * BODY_LIMIT;
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

/// Outermost: request id, panics, the access log and the metrics of whatever happens inside.
pub(crate) async fn observe(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let began = Began::now();
    let request_id = app.request_ids.next(app.parts.entropy.as_ref());
    request.extensions_mut().insert(RequestId(Arc::clone(&request_id)));
    let method = request.method().clone();
    let uri = request.uri().clone();
    let path = uri.path();
    tell_scheme(&mut request);
    let (mut parts, body) = request.into_parts();
    let witness = Witness::of(&app, &method, &uri, &parts.headers, &mut parts.extensions);
    let mut response = next.run(Request::from_parts(parts, body)).await;
    if let Ok(value) = HeaderValue::from_str(&request_id) {
        response.headers_mut().insert("x-request-id", value);
    }
    let failure = response.extensions_mut().remove::<ApiError>();
    if let Some(error) = &failure
        && path.starts_with("/v3")
    {
        let body = error.keystone_body();
        response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
        *response.body_mut() = Body::from(body);
    }
    if !app.parts.readiness.get() {
        // Whoever keeps the connection for more requests is to open another one, elsewhere.
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    let route = response.extensions_mut().remove::<Route>();
    let elapsed = began.elapsed();
    let operation = route.map_or("none", |route| route.id);
    app.parts.metrics.request(&method, operation, response.status(), elapsed);
    witness.testify(&app, route, response.status(), failure.as_ref(), &request_id);
    log(&method, path, &response, failure.as_ref(), &request_id, elapsed);
    response
}

/// What a proxy would say of its own connection with the client is true of ours as well.
fn tell_scheme(request: &mut Request) {
    if request.extensions().get::<Peer>().is_some_and(|peer| peer.is_tls) {
        let https = HeaderValue::from_static("https");
        request
            .headers_mut()
            .entry(HeaderName::from_static("x-forwarded-proto"))
            .or_insert(https);
    }
}

#[derive(Clone)]
struct RequestId(Arc<str>);

/// The operation that answered, for metrics and for the record of who did what.
#[derive(Clone, Copy)]
pub(crate) struct Route {
    pub id: &'static str,
    /// It is there to change something, or to sign in.
    pub is_change: bool,
    /// Which segment of the path is the project.
    pub project_at: Option<usize>,
}

/// Measures a request. Nothing that is decided depends on it.
struct Began(std::time::Instant);

impl Began {
    #[expect(clippy::disallowed_methods, reason = "durations of requests are measured, not decided on")]
    fn now() -> Self {
        Self(std::time::Instant::now())
    }

    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

/// Makes request ids: random UUIDs. Randomness is taken in advance, since it costs a call of the system each time.
#[derive(Default)]
pub(crate) struct RequestIds(Mutex<Vec<[u8; 16]>>);

impl RequestIds {
    const IN_ADVANCE: usize = 64;

    fn next(&self, entropy: &dyn Entropy) -> Arc<str> {
        let mut unused = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if unused.is_empty() {
            let mut bytes = [0; 16 * Self::IN_ADVANCE];
            entropy.fill(&mut bytes);
            unused.extend(bytes.as_chunks().0);
        }
        let bytes = unused.pop().unwrap_or_default();
        drop(unused);
        let id = uuid::Builder::from_random_bytes(bytes).into_uuid();
        Arc::from(&*id.hyphenated().encode_lower(&mut [0; 36]))
    }
}

fn log(method: &Method, path: &str, response: &Response, failure: Option<&ApiError>, request_id: &str, elapsed: Duration) {
    let status = response.status().as_u16();
    let elapsed_ms = elapsed.as_secs_f64() * 1000.0;
    match failure {
        Some(error) if error.status.is_server_error() => {
            let reason = error.internal.as_deref().unwrap_or(&error.message);
            tracing::error!(%method, path, status, elapsed_ms, request_id, reason, "request failed");
        }
        Some(error) => {
            let reason = error.internal.as_deref().unwrap_or(&error.message);
            tracing::info!(%method, path, status, elapsed_ms, request_id, code = error.code, reason, "request refused");
        }
        None => tracing::debug!(%method, path, status, elapsed_ms, request_id, "request served"),
    }
}

/// Who may call an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Who is known: checks 2 and 3 (semantics §1).
    Caller,
    Anybody,
    /// Anybody, as often as they like.
    Probe,
}

/// Inside the match of a route: lets in who may call, and marks the answer with its operation.
pub(crate) async fn enter(operation: Route, app: App, access: Access, request: Request, next: Next) -> Response {
    let mut response = match access {
        Access::Caller => match admit(&app, request).await {
            Ok(request) => at_revision(&app, request, next).await,
            Err(error) => error.into_response(),
        },
        Access::Anybody => match stranger(&app, request.extensions(), request.headers()) {
            Ok(()) => next.run(request).await,
            Err(error) => error.into_response(),
        },
        Access::Probe => next.run(request).await,
    };
    response.extensions_mut().insert(operation);
    response
}

/// Counts a request that nobody in particular sends.
fn stranger(app: &App, extensions: &Extensions, headers: &HeaderMap) -> Result<(), ApiError> {
    let limited = app.parts.limits.stranger(origin(app, extensions, headers));
    limited.inspect_err(|_| app.parts.metrics.limited("address"))
}

/// Where a request comes from.
pub(crate) fn origin(app: &App, extensions: &Extensions, headers: &HeaderMap) -> IpAddr {
    let peer = extensions
        .get::<Peer>()
        .map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.address);
    app.parts.proxies.origin(peer, headers)
}

/// Answers with the revision that a read shows at the least, or that a change has been made in by then. A request that
/// carries one waits until that has been reached here.
async fn at_revision(app: &App, request: Request, next: Next) -> Response {
    if let Err(error) = catch_up(app, request.headers()).await {
        return error.into_response();
    }
    let index = app.service().state().index();
    let read = (request.method() == Method::GET).then(|| index.complete());
    let mut response = next.run(request).await;
    let revision = read.unwrap_or_else(|| index.newest());
    response.headers_mut().insert(REVISION, HeaderValue::from(revision.0));
    response
}

async fn catch_up(app: &App, headers: &HeaderMap) -> Result<(), ApiError> {
    let Some(sent) = headers.get(REVISION) else { return Ok(()) };
    let wanted = sent.to_str().ok().and_then(|text| text.parse().ok()).map(Revision);
    let wanted = wanted.ok_or_else(|| {
        let path = FieldPath::of("X-Poolkeeper-Revision");
        FieldErrors::one(path, Reason::Invalid, "must be a revision: a whole number")
    })?;
    Ok(app.service().reach(wanted).await?)
}

async fn admit(app: &App, request: Request) -> Result<Request, ApiError> {
    let (mut parts, body) = request.into_parts();
    // What is counted here is not read from the store.
    if parts.uri.path() != "/metrics" {
        app.parts.freshness.check(&parts.method)?;
    }
    check_headers(&parts)?;
    let body = read(app, &parts, body).await?;
    let request_id = parts.extensions.get::<RequestId>().map(|id| Arc::clone(&id.0)).unwrap_or_default();
    let principal = identify(app, &parts, &body).await.or_else(|error| {
        // Whoever guesses is slowed down by the address it guesses from.
        if error.status == StatusCode::UNAUTHORIZED {
            stranger(app, &parts.extensions, &parts.headers)?;
        }
        Err(error)
    })?;
    let principal = Arc::new(principal);
    Caller::set(&parts.extensions, Arc::clone(&principal));
    let limited = app.parts.limits.request(&principal.user);
    limited.inspect_err(|_| app.parts.metrics.limited("principal"))?;
    let has_use = parts.method != Method::GET;
    let body = if has_use { body } else { Bytes::new() };
    parts.extensions.insert(Authenticated {
        principal,
        body,
        request_id,
    });
    Ok(Request::from_parts(parts, Body::empty()))
}

fn check_headers(parts: &Parts) -> Result<(), ApiError> {
    let size: usize = parts.headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if size > HEADER_LIMIT {
        return Err(ApiError::headers_too_large());
    }
    if parts.method == Method::PATCH && !is_patch_type(&parts.headers) {
        return Err(ApiError::media_type());
    }
    Ok(())
}

/// `application/merge-patch+json` or `application/json`, with or without parameters.
fn is_patch_type(headers: &HeaderMap) -> bool {
    let sent = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let essence = sent.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/merge-patch+json" || essence == "application/json"
}

/// Reads the whole body: its hash is part of the signature.
pub(crate) async fn read(app: &App, parts: &Parts, mut body: Body) -> Result<Bytes, ApiError> {
    let announced = parts.headers.get(header::CONTENT_LENGTH);
    let has_none = announced.is_none_or(|length| length == "0") && parts.headers.get(header::TRANSFER_ENCODING).is_none();
    if has_none {
        return Ok(Bytes::new());
    }
    let length = announced.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if length.is_some_and(|length| length > BODY_LIMIT) {
        // Who waits to be told to go on has sent nothing, and is not told to.
        if parts.headers.get(header::EXPECT).is_none() {
            drain(app, body).await;
        }
        return Err(ApiError::too_large());
    }
    let read = tokio::select! {
        biased;
        read = Limited::new(&mut body, BODY_LIMIT).collect() => read,
        () = app.parts.clock.sleep_until(after(app, READ_TIMEOUT)) => return Err(ApiError::read_timeout()),
    };
    match read {
        Ok(read) => Ok(read.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            drain(app, body).await;
            Err(ApiError::too_large())
        }
        Err(_) => Err(ApiError::bad_request("the body could not be read")),
    }
}

/// Reads what is refused, up to a limit: where a connection ends with something unread, the answer may be lost with it.
async fn drain(app: &App, mut body: Body) {
    let mut left = DRAIN_LIMIT;
    let all = async {
        while left > 0
            && let Some(Ok(frame)) = body.frame().await
        {
            left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
        }
    };
    tokio::select! {
        biased;
        () = all => {}
        () = app.parts.clock.sleep_until(after(app, DRAIN_TIMEOUT)) => {}
    }
}

fn after(app: &App, wait: Duration) -> jiff::Timestamp {
    app.parts.clock.now().saturating_add(wait).unwrap_or(jiff::Timestamp::MAX)
}

async fn identify(app: &App, parts: &Parts, body: &Bytes) -> Result<Principal, ApiError> {
    let principal = match (known(app, parts, body), foreign(app, &parts.headers)) {
        (Ok(None), Some(token)) => {
            let credential = TokenHash::of(token.expose_secret().as_bytes()).short();
            let unknown = AuthnError::TokenInvalid(TokenProblem::Unknown { credential });
            outsider(app, &token).await.and_then(|found| found.ok_or(unknown))
        }
        (Err(unknown @ AuthnError::TokenInvalid(TokenProblem::Unknown { .. })), Some(token)) => {
            outsider(app, &token).await.and_then(|found| found.ok_or(unknown))
        }
        (known, _) => known.and_then(|found| found.ok_or(AuthnError::TokenMissing)),
    };
    let principal = principal.map_err(|error| refuse(&error))?;
    // A token without a project is good for the account-level calls only.
    if !parts.uri.path().starts_with("/v3") {
        require_project_scope(&principal).map_err(|error| refuse(&error))?;
    }
    Ok(principal)
}

/// A token that somebody else may know, where anybody else is asked: as `X-Auth-Token`, or as a bearer token.
fn foreign(app: &App, headers: &HeaderMap) -> Option<SecretString> {
    if app.parts.remote.is_empty() {
        return None;
    }
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim).filter(|text| !text.is_empty());
    let bearer = || {
        let (scheme, token) = text("authorization")?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    };
    text("x-auth-token").or_else(bearer).map(SecretString::from)
}

async fn outsider(app: &App, token: &SecretString) -> Result<Option<Principal>, AuthnError> {
    let found = auth::ask_all(&app.parts.remote, token, app.parts.clock.now()).await?;
    Ok(found.map(|principal| app.service().outsider(principal)))
}

fn refuse(error: &AuthnError) -> ApiError {
    let mut refusal = match error {
        AuthnError::Unavailable(_) => ApiError::from(ServiceError::Unavailable(error.to_string())),
        AuthnError::TokenMissing
        | AuthnError::TokenInvalid(_)
        | AuthnError::TokenExpired { .. }
        | AuthnError::SignatureInvalid(_)
        | AuthnError::RequestTime(_) => ApiError::unauthenticated(error.to_string()),
    };
    refusal.internal = Some(error.log_reason());
    refusal
}

/// The caller, as far as we know our callers ourselves.
fn known(app: &App, parts: &Parts, body: &Bytes) -> Result<Option<Principal>, AuthnError> {
    let view = RequestView {
        method: parts.method.as_str(),
        path: parts.uri.path(),
        query: parts.uri.query().unwrap_or_default(),
        headers: &HeaderView(&parts.headers),
        body: if body.is_empty() { BodyDigest::EMPTY } else { BodyDigest::of(body) },
        now: app.parts.clock.now(),
    };
    app.parts.authenticator.authenticate(&view)
}

/// Headers as the signature check wants them.
struct HeaderView<'a>(&'a HeaderMap);

impl auth::Headers for HeaderView<'_> {
    fn find(&self, name: &str) -> HeaderField<'_> {
        HeaderField::of(self.0.get_all(name).iter().map(HeaderValue::as_bytes))
    }
}
