//! Server-sent events as they come in.

use anyhow::{Context, bail};
use serde_json::Value;

/// One event.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    pub name: String,
    /// Empty: it has none.
    pub id: String,
    /// `Null` where the data is not JSON.
    pub data: Value,
}

/// An answer that goes on.
pub struct Events {
    response: reqwest::Response,
    unread: String,
}

impl Events {
    pub(crate) fn new(response: reqwest::Response) -> anyhow::Result<Self> {
        let media = response.headers().get("content-type").context("an answer without a type")?;
        if response.status() != 200 || media != "text/event-stream" {
            bail!("{} with {media:?} is no stream of events", response.status());
        }
        let unread = String::new();
        Ok(Self { response, unread })
    }

    /// The next event. `None`: the stream has ended.
    pub async fn next(&mut self) -> anyhow::Result<Option<Event>> {
        loop {
            if let Some(end) = self.unread.find("\n\n") {
                let text: String = self.unread.drain(..end + 2).collect();
                return parse(text.trim_end()).map(Some);
            }
            match self.response.chunk().await? {
                Some(chunk) => self.unread.push_str(std::str::from_utf8(&chunk)?),
                None if self.unread.is_empty() => return Ok(None),
                None => bail!("the stream ends within an event: {:?}", self.unread),
            }
        }
    }
}

fn parse(text: &str) -> anyhow::Result<Event> {
    let mut event = Event {
        name: String::new(),
        id: String::new(),
        data: Value::Null,
    };
    for line in text.lines() {
        match line.split_once(": ").context("a line without a value")? {
            ("event", name) => name.clone_into(&mut event.name),
            ("id", id) => id.clone_into(&mut event.id),
            ("data", data) => event.data = serde_json::from_str(data)?,
            (field, _) => bail!("unknown field {field:?}"),
        }
    }
    Ok(event)
}
