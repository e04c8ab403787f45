//! What is sent back, and how objects are written out.

use crate::kinds::ResourceType;
use crate::refusal::{NO_PAGE, Refusal};
use crate::watch::WatchStart;
use serde_json::{Value, json};
use std::sync::Arc;

/// The answer to a call.
#[derive(Debug)]
pub(crate) enum Answer {
    /// A finished body.
    Body {
        code: u16,
        json: Vec<u8>,
        retry_after: Option<u64>,
    },
    Watch(WatchStart),
}

impl Answer {
    pub fn value(code: u16, value: &Value) -> Self {
        Self::Body {
            code,
            json: value.to_string().into_bytes(),
            retry_after: None,
        }
    }

    pub fn object(code: u16, ty: &ResourceType, object: &Value, metadata_only: bool) -> Self {
        let mut json = Vec::new();
        write_object(&mut json, ty, object, metadata_only);
        Self::Body {
            code,
            json,
            retry_after: None,
        }
    }

    pub fn refusal(refusal: &Refusal) -> Self {
        let json = if refusal.message == NO_PAGE {
            NO_PAGE.as_bytes().to_vec()
        } else {
            refusal.body().to_string().into_bytes()
        };
        Self::Body {
            code: refusal.code,
            json,
            retry_after: refusal.retry_after,
        }
    }

    /// What a deletion that is over says.
    pub fn deleted(ty: &ResourceType, object: &Value) -> Self {
        let mut details = json!({
            "name": object.pointer("/metadata/name"),
            "kind": ty.plural,
            "uid": object.pointer("/metadata/uid"),
        });
        if let (false, Value::Object(details)) = (ty.group.is_empty(), &mut details) {
            details.insert("group".to_owned(), json!(ty.group));
        }
        Self::value(
            200,
            &json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}),
        )
    }
}

/// Writes an object with `apiVersion` and `kind`, which stored ones lack.
pub(crate) fn write_object(out: &mut Vec<u8>, ty: &ResourceType, object: &Value, metadata_only: bool) {
    let head = if metadata_only {
        r#"{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1""#.to_owned()
    } else {
        format!(r#"{{"kind":"{}","apiVersion":"{}""#, ty.kind, ty.api_version())
    };
    out.extend_from_slice(head.as_bytes());
    let fields = object.as_object().into_iter().flatten();
    for (name, value) in fields.filter(|(name, _)| !metadata_only || *name == "metadata") {
        out.extend_from_slice(format!(",\"{name}\":").as_bytes());
        write_value(out, value);
    }
    out.push(b'}');
}

pub(crate) fn write_value(out: &mut Vec<u8>, value: &Value) {
    // Writing to memory does not fail.
    let _written = serde_json::to_writer(out, value);
}

/// A page of a list.
pub(crate) struct Page<'a> {
    pub ty: &'a ResourceType,
    pub items: &'a [Arc<Value>],
    pub version: u64,
    pub next: Option<String>,
    pub remaining: Option<usize>,
    pub metadata_only: bool,
}

pub(crate) fn write_list(page: &Page<'_>) -> Vec<u8> {
    let mut metadata = json!({"resourceVersion": page.version.to_string()});
    if let Value::Object(metadata) = &mut metadata {
        if let Some(next) = &page.next {
            metadata.insert("continue".to_owned(), json!(next));
        }
        if let Some(remaining) = page.remaining {
            metadata.insert("remainingItemCount".to_owned(), json!(remaining));
        }
    }
    let (kind, version) = if page.metadata_only {
        ("PartialObjectMetadataList".to_owned(), "meta.k8s.io/v1".to_owned())
    } else {
        (format!("{}List", page.ty.kind), page.ty.api_version())
    };
    let mut out = format!(r#"{{"kind":"{kind}","apiVersion":"{version}","metadata":{metadata},"items":["#).into_bytes();
    for (index, item) in page.items.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        // Items of built-in types say nothing of their type.
        if page.metadata_only || page.ty.is_custom {
            write_object(&mut out, page.ty, item, page.metadata_only);
        } else {
            write_value(&mut out, item);
        }
    }
    out.extend_from_slice(b"]}");
    out
}
