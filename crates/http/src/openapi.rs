//! The OpenAPI 3.1 document, made from the router's list and the wire types.

pub(crate) mod docs;

use crate::router::{Operation, operations};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use utoipa::ToSchema;
use utoipa::openapi::{RefOr, Schema as OpenApiSchema};

/// What the document says of one operation.
#[derive(Clone, Default)]
pub(crate) struct Documentation {
    pub summary: &'static str,
    pub tag: &'static str,
    pub query: Vec<Parameter>,
    pub headers: Vec<Parameter>,
    pub body: Option<Schema>,
    pub is_body_optional: bool,
    pub is_merge_patch: bool,
    pub answer: Answer,
    /// `watch=true` makes the answer a stream of events.
    pub is_watched: bool,
    /// Statuses of refusals besides those that every operation has.
    pub refusals: Vec<u16>,
}

/// What a success looks like.
#[derive(Clone, Default)]
pub(crate) enum Answer {
    /// JSON of no fixed shape.
    #[default]
    Json,
    Schema(Schema),
    /// 201 instead of 200, JSON.
    Created,
    Text,
    /// Text of another media type.
    Media(&'static str),
}

#[derive(Clone)]
pub(crate) struct Parameter {
    pub name: &'static str,
    pub description: &'static str,
    pub schema: Value,
    pub is_required: bool,
}

/// A type of the wire, by name, with whatever it refers to.
#[derive(Clone)]
pub(crate) struct Schema {
    name: String,
    own: fn() -> RefOr<OpenApiSchema>,
    others: fn(&mut Vec<(String, RefOr<OpenApiSchema>)>),
}

impl Schema {
    pub fn of<T: ToSchema>() -> Self {
        Self {
            name: T::name().into_owned(),
            own: T::schema,
            others: T::schemas,
        }
    }

    fn reference(&self) -> Value {
        json!({"$ref": format!("#/components/schemas/{}", self.name)})
    }

    fn add_to(&self, schemas: &mut BTreeMap<String, Value>) {
        let mut others = Vec::new();
        (self.others)(&mut others);
        others.push((self.name.clone(), (self.own)()));
        for (name, schema) in others {
            schemas.insert(name, serde_json::to_value(schema).unwrap_or_default());
        }
    }
}

/// The whole document.
pub fn document() -> Value {
    let mut schemas = BTreeMap::new();
    Schema::of::<wire::error::ErrorBody>().add_to(&mut schemas);
    Schema::of::<wire::iam::KeystoneErrorBody>().add_to(&mut schemas);
    let mut paths: Map<String, Value> = Map::new();
    for operation in operations() {
        for schema in operation.documentation.body.iter().chain(match &operation.documentation.answer {
            Answer::Schema(schema) => Some(schema),
            Answer::Json | Answer::Created | Answer::Text | Answer::Media(_) => None,
        }) {
            schema.add_to(&mut schemas);
        }
        let item = paths.entry(operation.path).or_insert_with(|| json!({}));
        item[operation.method.as_str().to_lowercase()] = describe(&operation);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Poolkeeper",
            "description": "Resource management of AI compute pools",
            "version": env!("CARGO_PKG_VERSION"),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"}
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "token": {"type": "apiKey", "in": "header", "name": "X-Auth-Token"},
                "bearer": {"type": "http", "scheme": "bearer", "description": "What X-Auth-Token takes: a token of this service, or of the issuer or the IAM service that it trusts"},
                "signature": {"type": "apiKey", "in": "header", "name": "Authorization", "description": "SDK-HMAC-SHA256 or V11-HMAC-SHA256 signature"}
            }
        }
    })
}

fn describe(operation: &Operation) -> Value {
    let documentation = &operation.documentation;
    let mut described = json!({
        "operationId": operation.id,
        "summary": documentation.summary,
        "tags": [documentation.tag],
        "parameters": parameters(operation),
        "responses": responses(operation),
        "security": if operation.is_open { json!([]) } else { json!([{"token": []}, {"bearer": []}, {"signature": []}]) },
    });
    if let Some(body) = &documentation.body {
        let mut content = json!({"application/json": {"schema": body.reference()}});
        if documentation.is_merge_patch {
            content["application/merge-patch+json"] = json!({"schema": body.reference()});
        }
        described["requestBody"] = json!({"required": !documentation.is_body_optional, "content": content});
    }
    described
}

fn parameters(operation: &Operation) -> Vec<Value> {
    let path = operation
        .path
        .split('/')
        .filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'));
    let mut all: Vec<Value> = path
        .map(|name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string", "minLength": 1}}))
        .collect();
    for (place, list) in [
        ("query", &operation.documentation.query),
        ("header", &operation.documentation.headers),
    ] {
        all.extend(list.iter().map(|parameter| {
            json!({"name": parameter.name, "in": place, "required": parameter.is_required, "description": parameter.description, "schema": parameter.schema})
        }));
    }
    all
}

fn responses(operation: &Operation) -> Value {
    let documentation = &operation.documentation;
    let text_of = |media: &str| json!({media: {"schema": {"type": "string"}}});
    let json_of = |schema: Value| json!({"application/json": {"schema": schema}});
    let (status, content) = match &documentation.answer {
        Answer::Json => ("200", json_of(json!({}))),
        Answer::Created => ("201", json_of(json!({}))),
        Answer::Schema(schema) => ("200", json_of(schema.reference())),
        Answer::Text => ("200", text_of("text/plain")),
        Answer::Media(media) => ("200", text_of(media)),
    };
    let mut content = content;
    if documentation.is_watched {
        content["text/event-stream"] = json!({"schema": {"type": "string"}});
    }
    let mut responses = Map::new();
    responses.insert(status.to_owned(), json!({"description": "Success", "content": content}));
    let mut refusals = documentation.refusals.clone();
    if !operation.is_open {
        refusals.extend([400, 401, 403, 408, 413, 431, 500, 503]);
    }
    if !matches!(operation.id, "ShowHealth" | "ShowReadiness") {
        refusals.push(429);
    }
    // A public path begins with the project, which is refused in other ways.
    let named = operation.path.matches('{').count();
    if named > usize::from(!operation.path.starts_with("/admin/")) {
        refusals.push(404);
    }
    refusals.sort_unstable();
    refusals.dedup();
    let error = if operation.path.starts_with("/v3") {
        "#/components/schemas/KeystoneErrorBody"
    } else {
        "#/components/schemas/ErrorBody"
    };
    for status in refusals {
        let error = json_of(json!({"$ref": error}));
        responses.insert(status.to_string(), json!({"description": "Refused", "content": error}));
    }
    Value::Object(responses)
}
