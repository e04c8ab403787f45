//! Identity bodies in Keystone's form (contract README §6.1, clients §4).

use crate::decode::{Place, finish};
use domain::field::FieldErrors;
use serde::Serialize;
use serde_json::Value;
use std::cell::RefCell;
use utoipa::ToSchema;

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct KeystoneErrorBody {
    pub error: KeystoneError,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct KeystoneError {
    pub code: u16,
    pub message: String,
    pub title: String,
}

impl KeystoneErrorBody {
    pub fn new(code: u16, message: &str, title: &str) -> Self {
        Self {
            error: KeystoneError {
                code,
                message: message.to_owned(),
                title: title.to_owned(),
            },
        }
    }
}

/// The body of POST /v3/auth/tokens.
#[derive(Debug, Clone)]
pub struct LoginBody {
    pub proof: ProofBody,
    pub scope: ScopeBody,
}

#[derive(Clone)]
pub enum ProofBody {
    Password {
        user: Reference,
        domain: Option<Reference>,
        password: String,
    },
    Token(String),
}

impl std::fmt::Debug for ProofBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Password { user, .. } => write!(f, "Password({user:?})"),
            Self::Token(_) => f.write_str("Token"),
        }
    }
}

/// An object by id or by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reference {
    Id(String),
    Name(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScopeBody {
    Project { project: Reference, domain: Option<Reference> },
    Domain(Reference),
    Unscoped,
}

/// Reads a log-in request: method `password` or `token`, scope a project, a domain or nothing.
pub fn decode_login(body: &Value) -> Result<LoginBody, FieldErrors> {
    let errors = RefCell::new(FieldErrors::new());
    let login = {
        let root = Place::root(body, &errors);
        root.body().and_then(|_| {
            let auth = root.field("auth");
            if auth.is_absent() {
                auth.required();
            }
            auth.object()?;
            let proof = proof(&auth.field("identity"));
            let scope = scope(&auth.field("scope"));
            proof.zip(scope)
        })
    };
    finish(login.map(|(proof, scope)| LoginBody { proof, scope }), errors)
}

fn needed(place: &Place<'_>) -> Option<Reference> {
    if !place.may_have_fields() {
        return None;
    }
    let (id, name) = (place.field("id"), place.field("name"));
    if id.is_absent() && name.is_absent() {
        place.invalid("must have an id or a name");
    }
    let text = |place: Place<'_>| place.text().map(ToOwned::to_owned);
    text(id).map(Reference::Id).or_else(|| text(name).map(Reference::Name))
}

fn proof(identity: &Place<'_>) -> Option<ProofBody> {
    if !identity.may_have_fields() {
        return None;
    }
    let methods = identity.field("methods");
    if methods.is_absent() {
        methods.required();
    }
    let names: Vec<&str> = methods.list()?.iter().map(Place::text).collect::<Option<_>>()?;
    if names.contains(&"token") {
        let id = identity.field("token").field("id");
        return id.required_text().map(|text| ProofBody::Token(text.to_owned()));
    }
    if !names.contains(&"password") {
        methods.invalid("must hold password or token");
        return None;
    }
    let user = identity.field("password").field("user");
    if !(identity.field("password").may_have_fields() && user.may_have_fields()) {
        return None;
    }
    let password = user.field("password").required_text().map(ToOwned::to_owned);
    let name = needed(&user);
    let domain = user.field("domain");
    let domain = if domain.is_absent() { None } else { needed(&domain) };
    Some(ProofBody::Password {
        user: name?,
        domain,
        password: password?,
    })
}

fn scope(place: &Place<'_>) -> Option<ScopeBody> {
    if place.is_empty() || place.value().is_some_and(Value::is_string) {
        return Some(ScopeBody::Unscoped);
    }
    place.object()?;
    let (project, domain) = (place.field("project"), place.field("domain"));
    if !project.is_absent() {
        let domain = project.field("domain");
        let domain = if domain.is_absent() { None } else { needed(&domain) };
        return Some(ScopeBody::Project {
            project: needed(&project)?,
            domain,
        });
    }
    if domain.is_absent() {
        Some(ScopeBody::Unscoped)
    } else {
        needed(&domain).map(ScopeBody::Domain)
    }
}

/// `{"token": …}`
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct TokenBody {
    pub token: TokenDetails,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct TokenDetails {
    pub expires_at: String,
    pub issued_at: String,
    pub methods: Vec<String>,
    pub user: UserDetails,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project: Option<ScopedProject>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<Named>,
    pub roles: Vec<Named>,
    pub catalog: Vec<CatalogEntry>,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Named {
    pub id: String,
    pub name: String,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct UserDetails {
    pub id: String,
    pub name: String,
    pub domain: Named,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ScopedProject {
    pub id: String,
    pub name: String,
    pub domain: Named,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct CatalogEntry {
    pub id: String,
    pub name: String,
    #[serde(rename = "type")]
    pub kind: String,
    pub endpoints: Vec<Endpoint>,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Endpoint {
    pub id: String,
    pub interface: String,
    pub region: String,
    pub region_id: String,
    pub url: String,
}

/// Microseconds, as Keystone writes times.
pub fn keystone_time(at: jiff::Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}

#[cfg(test)]
mod tests;
