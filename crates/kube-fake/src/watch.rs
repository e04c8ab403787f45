//! Watches: a stream of changes after a version.

use crate::answer::write_object;
use crate::call::Call;
use crate::kinds::ResourceType;
use crate::list::Filter;
use crate::objects::{Change, ChangeKind, State};
use crate::refusal::Refusal;
use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// How often a watcher that wants them gets a bookmark.
pub(crate) const BOOKMARKS: Duration = Duration::from_mins(1);
/// How long a watch lasts that asks for nothing else.
const LONGEST: Duration = Duration::from_mins(30);

/// A watch that was accepted.
#[derive(Debug)]
pub(crate) struct WatchStart {
    pub ty: Arc<ResourceType>,
    pub filter: Filter,
    /// Changes up to here were told.
    pub cursor: u64,
    pub wants_bookmarks: bool,
    pub metadata_only: bool,
    pub ends: Timestamp,
    /// What is told before any change.
    pub first: VecDeque<Bytes>,
    /// Nothing can be told after `first`.
    pub is_over: bool,
    /// Nothing is told before.
    pub silent_until: Option<Timestamp>,
    /// Every change is told twice before.
    pub repeats_until: Option<Timestamp>,
}

pub(crate) fn watch(state: &State, call: &Call) -> Result<WatchStart, Refusal> {
    let asked = call.query.version("resourceVersion")?.unwrap_or(0);
    let initial = call.query.flag("sendInitialEvents");
    let timeout = call.query.number("timeoutSeconds")?.map_or(LONGEST, Duration::from_secs);
    let mut start = WatchStart {
        ty: Arc::clone(&call.ty),
        filter: Filter::of(call)?,
        cursor: asked,
        wants_bookmarks: call.query.flag("allowWatchBookmarks"),
        metadata_only: call.wants_metadata_only(),
        ends: state.now.checked_add(timeout).unwrap_or(Timestamp::MAX),
        first: VecDeque::new(),
        is_over: false,
        silent_until: None,
        repeats_until: None,
    };
    if initial && call.query.text("resourceVersionMatch") != Some("NotOlderThan") {
        let cause = crate::refusal::Cause::forbidden(
            "resourceVersionMatch",
            "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
        );
        let ty = ResourceType::custom("meta.k8s.io", "v1", "ListOptions", "listoptions", false);
        return Err(Refusal::invalid(&ty, "", &[cause]));
    }
    if asked == 0 || initial {
        let qualified = call.ty.qualified();
        let objects = state.range(&qualified, &call.namespace);
        for (_, object) in objects.filter(|(key, object)| start.filter.matches(key, object)) {
            start.first.push_back(start.event("ADDED", object));
        }
        start.cursor = state.version;
        if initial && start.wants_bookmarks {
            start.first.push_back(start.bookmark(true));
        }
    } else if let Err(refusal) = state.since(asked) {
        start.fail(&refusal);
    }
    Ok(start)
}

impl WatchStart {
    /// Ends the watch with an error.
    pub fn fail(&mut self, refusal: &Refusal) {
        self.first.push_back(line(&json!({"type": "ERROR", "object": refusal.body()})));
        self.is_over = true;
    }

    fn event(&self, kind: &str, object: &Value) -> Bytes {
        let mut out = format!(r#"{{"type":"{kind}","object":"#).into_bytes();
        write_object(&mut out, &self.ty, object, self.metadata_only);
        out.extend_from_slice(b"}\n");
        Bytes::from(out)
    }

    /// Says how far the watch has come.
    pub fn bookmark(&self, ends_initial: bool) -> Bytes {
        let mut metadata = json!({"resourceVersion": self.cursor.to_string(), "creationTimestamp": null});
        if let (true, Value::Object(metadata)) = (ends_initial, &mut metadata) {
            metadata.insert("annotations".to_owned(), json!({"k8s.io/initial-events-end": "true"}));
        }
        line(&json!({
            "type": "BOOKMARK",
            "object": {"kind": self.ty.kind, "apiVersion": self.ty.api_version(), "metadata": metadata},
        }))
    }

    /// Takes up the changes after the cursor, up to and with `until`.
    pub fn catch_up(&mut self, state: &State, until: u64) {
        match state.since(self.cursor) {
            Ok(changes) => {
                let qualified = self.ty.qualified();
                let ours = changes
                    .take_while(|change| change.version <= until)
                    .filter(|change| *change.key.ty == *qualified);
                let times = if self.repeats_until.is_some_and(|until| state.now < until) {
                    2
                } else {
                    1
                };
                let events: Vec<Bytes> = ours.filter_map(|change| self.told(change)).collect();
                for event in events {
                    self.first.extend(std::iter::repeat_n(event, times));
                }
                self.cursor = self.cursor.max(until);
            }
            Err(refusal) => self.fail(&refusal),
        }
    }

    /// What this watcher is told of a change: one that leaves or enters its view is a deletion or an addition to it.
    fn told(&self, change: &Change) -> Option<Bytes> {
        let matches = |object: &Arc<Value>| self.filter.matches(&change.key, object);
        let was = change.before.as_ref().is_some_and(matches);
        let is = change.kind != ChangeKind::Deleted && matches(&change.object);
        match (was, is) {
            (false, false) => None,
            (false, true) => Some(self.event("ADDED", &change.object)),
            (true, true) => Some(self.event("MODIFIED", &change.object)),
            (true, false) if change.kind == ChangeKind::Deleted => Some(self.event("DELETED", &change.object)),
            (true, false) => {
                // Its last form in view, at the version that took it out of view.
                let mut last = change.before.as_deref().cloned().unwrap_or_default();
                crate::objects::set(&mut last, &["metadata", "resourceVersion"], json!(change.version.to_string()));
                Some(self.event("DELETED", &last))
            }
        }
    }
}

fn line(value: &Value) -> Bytes {
    let mut out = value.to_string().into_bytes();
    out.push(b'\n');
    Bytes::from(out)
}
