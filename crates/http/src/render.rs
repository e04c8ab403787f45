//! Answers: bodies, entity tags, pages of lists.

use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use domain::event::Told;
use domain::field::{FieldErrors, FieldPath, Reason};
use domain::meta::Revision;
use serde::Serialize;
use service::pools::{self, Found};
use std::sync::Arc;
use store::Object;
use store::index::Entry;
use wire::query::Query;

/// A JSON body with status 200.
pub(crate) fn json<T: Serialize>(value: &T) -> Response {
    bytes(encode(value))
}

pub(crate) fn encode<T: Serialize>(value: &T) -> Bytes {
    // The wire types hold nothing that JSON cannot: their maps have text keys.
    Bytes::from(serde_json::to_vec(value).unwrap_or_default())
}

pub(crate) fn bytes(body: Bytes) -> Response {
    (
        [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))],
        Body::from(body),
    )
        .into_response()
}

/// An object with its entity tag. A dry run and an object that is gone have none.
pub(crate) fn tagged(body: Bytes, revision: Option<Revision>) -> Response {
    let mut response = bytes(body);
    if let Some(tag) = revision.and_then(|revision| HeaderValue::from_str(&format!("\"{revision}\"")).ok()) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

/// The serialised form of an indexed object, made once per revision.
pub(crate) fn object(entry: &Entry) -> &Bytes {
    entry.rendered(render)
}

/// An indexed object with its entity tag.
pub(crate) fn entry(entry: &Entry) -> Response {
    tagged(object(entry).clone(), Some(entry.revision))
}

fn render(object: &Object) -> Bytes {
    match object {
        Object::Pool(pool) => encode(&wire::pool::Pool::from(pool.as_ref())),
        Object::Node(node) => encode(&wire::node::Node::from(node.as_ref())),
        Object::Network(network) => encode(&wire::network::Network::from(network.as_ref())),
        Object::Order(order) => encode(&wire::order::Order::from(order.as_ref())),
        Object::Workspace(workspace) => encode(&wire::workspace::Workspace::from(workspace.as_ref())),
        Object::Plugin(plugin) => encode(&wire::plugin::Plugin::from(plugin.as_ref())),
        Object::Job(job) => encode(&wire::job::Job::from(job.as_ref())),
        Object::Event(event) => encode(&wire::event::Event::of(&Told {
            first: event.as_ref(),
            count: event.count,
            last_at: event.last_at,
        })),
        Object::PluginTemplate(_)
        | Object::Flavor(_)
        | Object::OsConfig(_)
        | Object::Domain(_)
        | Object::Project(_)
        | Object::User(_)
        | Object::AccessKey(_)
        | Object::Token(_)
        | Object::Replay(_)
        | Object::Machine(_)
        | Object::ScheduledEvent(_)
        | Object::VirtualTemplate(_)
        | Object::PeerSubnet(_)
        | Object::SfsTurbo(_)
        | Object::AuditEntry(_)
        | Object::SampleHour(_) => Bytes::new(),
    }
}

/// How a list is paged.
#[derive(Debug, Clone)]
pub(crate) struct Paging {
    pub limit: Option<usize>,
    pub after: Option<wire::list::ContinueToken>,
}

impl Paging {
    /// Reads `limit` and `continue` (contract README §7): 0 is the maximum, more than the maximum is the maximum.
    pub fn read(query: &Query, maximum: usize, errors: &mut FieldErrors) -> Self {
        let limit = query.limit("limit", maximum, errors);
        let after = match query.get("continue") {
            Some(text) if !text.is_empty() => {
                let token = wire::list::ContinueToken::decode(text);
                if token.is_none() {
                    errors.push(
                        FieldPath::of("continue"),
                        Reason::Invalid,
                        "is not a value that a list has returned",
                    );
                }
                token
            }
            Some(_) | None => None,
        };
        Self { limit, after }
    }

    pub fn is_requested(&self) -> bool {
        self.limit.is_some() || self.after.is_some()
    }

    /// What is asked of a use case that cuts the page out itself.
    pub fn wanted(self) -> pools::Part {
        pools::Part {
            after: self.after.map(|token| (token.created, token.name)),
            limit: self.limit,
        }
    }
}

/// A part of a list, with each item rendered.
pub(crate) struct Part<B> {
    pub items: Vec<B>,
    pub next: Option<(wire::list::ContinueToken, usize)>,
}

/// Cuts the page out of entries in list order. The page begins after the key of the token, whether its object is still there or not.
pub(crate) fn page<'a>(entries: &'a [Arc<Entry>], paging: &Paging, maximum: Option<usize>) -> Part<&'a Bytes> {
    page_of(entries, paging, maximum, object)
}

/// As [`page`], with a rendering of one's own.
pub(crate) fn page_of<'a, B>(
    entries: &'a [Arc<Entry>],
    paging: &Paging,
    maximum: Option<usize>,
    render: impl Fn(&'a Entry) -> B,
) -> Part<B> {
    let start = match &paging.after {
        Some(after) => entries.partition_point(|entry| !token(entry).is_after(after)),
        None => 0,
    };
    let rest = &entries[start..];
    let limit = paging.limit.or(maximum).unwrap_or(rest.len());
    let shown = &rest[..rest.len().min(limit)];
    part_of(shown, rest.len() - shown.len(), render)
}

/// A page that has been cut out already.
pub(crate) fn part(found: &Found) -> Part<&Bytes> {
    part_of(&found.entries, found.remaining, object)
}

fn part_of<'a, B>(shown: &'a [Arc<Entry>], remaining: usize, render: impl Fn(&'a Entry) -> B) -> Part<B> {
    Part {
        items: shown.iter().map(|entry| render(entry)).collect(),
        next: shown.last().filter(|_| remaining > 0).map(|last| (token(last), remaining)),
    }
}

fn token(entry: &Entry) -> wire::list::ContinueToken {
    wire::list::ContinueToken {
        created: created(&entry.object),
        name: entry.key.name.to_string(),
    }
}

/// Seconds since the epoch: what lists are ordered by.
fn created(object: &Object) -> i64 {
    match object {
        Object::Pool(pool) => pool.created_at.as_second(),
        Object::Node(node) => node.created_at.as_second(),
        Object::Network(network) => network.created_at.as_second(),
        Object::Order(order) => order.created_at.as_second(),
        Object::Workspace(workspace) => workspace.created_at.as_second(),
        Object::Plugin(plugin) => plugin.created_at.as_second(),
        Object::ScheduledEvent(event) => event.published_at.as_second(),
        Object::Job(job) => job.created_at.as_second(),
        Object::PluginTemplate(_)
        | Object::Flavor(_)
        | Object::Event(_)
        | Object::OsConfig(_)
        | Object::Domain(_)
        | Object::Project(_)
        | Object::User(_)
        | Object::AccessKey(_)
        | Object::Token(_)
        | Object::Replay(_)
        | Object::Machine(_)
        | Object::VirtualTemplate(_)
        | Object::PeerSubnet(_)
        | Object::SfsTurbo(_)
        | Object::AuditEntry(_)
        | Object::SampleHour(_) => 0,
    }
}
