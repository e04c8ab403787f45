//! Reading one object, or a page of many.

use crate::answer::{Answer, Page, write_list};
use crate::call::Call;
use crate::objects::{Key, State};
use crate::refusal::Refusal;
use crate::selector::{FieldSelector, LabelSelector};
use serde_json::Value;
use std::sync::Arc;

/// What a list or a watch is limited to.
#[derive(Debug, Clone, Default)]
pub(crate) struct Filter {
    pub namespace: String,
    pub labels: LabelSelector,
    pub fields: FieldSelector,
}

impl Filter {
    pub fn of(call: &Call) -> Result<Self, Refusal> {
        Ok(Self {
            namespace: call.namespace.clone(),
            labels: LabelSelector::parse(call.query.text("labelSelector").unwrap_or_default())?,
            fields: FieldSelector::parse(&call.ty, call.query.text("fieldSelector").unwrap_or_default())?,
        })
    }

    pub fn matches(&self, key: &Key, object: &Value) -> bool {
        (self.namespace.is_empty() || key.namespace == self.namespace) && self.labels.matches(object) && self.fields.matches(object)
    }

    fn is_open(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }
}

pub(crate) fn get(state: &State, call: &Call) -> Result<Answer, Refusal> {
    let object = state.get(&call.ty.qualified(), &call.namespace, &call.name);
    let object = object.ok_or_else(|| Refusal::not_found(&call.ty, &call.name))?;
    if let Some(asked) = call.query.version("resourceVersion")?.filter(|asked| *asked > state.version) {
        return Err(Refusal::too_large_version(asked, state.version));
    }
    Ok(Answer::object(200, &call.ty, object, call.wants_metadata_only()))
}

/// `stale`: the version that the server's cache is at, where a fault holds it back.
pub(crate) fn list(state: &State, call: &Call, stale: Option<u64>) -> Result<Answer, Refusal> {
    let filter = Filter::of(call)?;
    let limit = call.query.number("limit")?.unwrap_or(0) as usize;
    let asked = call.query.version("resourceVersion")?;
    let exact = call.query.text("resourceVersionMatch") == Some("Exact");
    let (version, after) = match call.query.text("continue") {
        Some(token) => token_parts(token)?,
        None if exact => (asked.unwrap_or(state.version), None),
        None => (stale.unwrap_or(state.version), None),
    };
    if let Some(asked) = asked.filter(|asked| *asked > state.version) {
        return Err(Refusal::too_large_version(asked, state.version));
    }
    let qualified = call.ty.qualified();
    let past;
    let mut items: Box<dyn Iterator<Item = (&Key, &Arc<Value>)> + '_> = if version == state.version {
        Box::new(state.range(&qualified, &filter.namespace))
    } else {
        past = state.at(version, &qualified, &filter.namespace).map_err(|_gone| expired(call))?;
        Box::new(past.iter())
    };
    if let Some((namespace, name)) = &after {
        items = Box::new(items.skip_while(move |(key, _)| (&key.namespace, &key.name) <= (namespace, name)));
    }
    let mut matching = items.filter(|(key, object)| filter.matches(key, object));
    let mut page: Vec<Arc<Value>> = Vec::new();
    let mut last = None;
    while limit == 0 || page.len() < limit {
        let Some((key, object)) = matching.next() else {
            last = None;
            break;
        };
        page.push(Arc::clone(object));
        last = Some(key.clone());
    }
    let remaining = if limit == 0 { 0 } else { matching.count() };
    let next = last.filter(|_| remaining > 0).map(|key| token(version, &key));
    let json = write_list(&Page {
        ty: &call.ty,
        items: &page,
        version,
        remaining: (next.is_some() && filter.is_open()).then_some(remaining),
        next,
        metadata_only: call.wants_metadata_only(),
    });
    Ok(Answer::Body {
        code: 200,
        json,
        retry_after: None,
    })
}

fn expired(call: &Call) -> Refusal {
    if call.query.text("continue").is_some() {
        return Refusal::gone(
            "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter.",
        );
    }
    Refusal::gone("The resourceVersion for the provided list is too old.")
}

/// Where a list goes on: opaque to clients.
fn token(version: u64, key: &Key) -> String {
    let text = format!("{version}/{}/{}", key.namespace, key.name);
    let digit = |half: u8| char::from_digit(u32::from(half), 16).unwrap_or('0');
    text.bytes().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

type Place = (String, String);

fn token_parts(token: &str) -> Result<(u64, Option<Place>), Refusal> {
    let bad = || Refusal::bad_request(format!("continue key is not valid: {token}"));
    let bytes: Option<Vec<u8>> = token
        .as_bytes()
        .chunks(2)
        .map(|two| u8::from_str_radix(std::str::from_utf8(two).ok()?, 16).ok())
        .collect();
    let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok()).ok_or_else(bad)?;
    match text.split('/').collect::<Vec<_>>().as_slice() {
        [version, namespace, name] => {
            let version = version.parse().map_err(|_not_ours| bad())?;
            Ok((version, Some(((*namespace).to_owned(), (*name).to_owned()))))
        }
        _ => Err(bad()),
    }
}
