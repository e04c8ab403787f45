//! The identity endpoints that clients of this API begin with (contract README §6.1, clients §3 and §4).

use crate::app::App;
use crate::audit::Caller;
use crate::call::Call;
use crate::error::ApiError;
use crate::pipeline;
use crate::render;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use domain::field::{FieldErrors, FieldPath, Reason};
use domain::name::{DomainId, NameError, ProjectId, UserId};
use domain::principal::{Principal, Scope};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use service::accounts::{DomainReference, Login, LoginRequest, Proof, UserReference, WantedScope};
use std::sync::Arc;
use wire::iam::{
    CatalogEntry, Endpoint, LoginBody, Named, ProofBody, Reference, ScopeBody, ScopedProject, TokenBody, TokenDetails, UserDetails,
};

/// The server as its clients call it.
fn base(headers: &HeaderMap) -> String {
    let host = headers.get("host").and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    let scheme = headers
        .get("x-forwarded-proto")
        .and_then(|proto| proto.to_str().ok())
        .filter(|proto| *proto == "https")
        .unwrap_or("http");
    format!("{scheme}://{host}")
}

fn version_entry(headers: &HeaderMap) -> Value {
    json!({
        "id": "v3.14", "status": "stable", "updated": "2020-04-07T00:00:00Z",
        "links": [{"rel": "self", "href": format!("{}/v3/", base(headers))}],
        "media-types": [{"base": "application/json", "type": "application/vnd.openstack.identity-v3+json"}]
    })
}

pub(crate) async fn versions(headers: HeaderMap) -> Response {
    render::json(&json!({"versions": {"values": [version_entry(&headers)]}}))
}

pub(crate) async fn version(headers: HeaderMap) -> Response {
    render::json(&json!({"version": version_entry(&headers)}))
}

pub(crate) async fn create_token(State(app): State<App>, request: Request) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let body = pipeline::read(&app, &parts, body).await?;
    let value = wire::json::parse(&body).map_err(|error| FieldErrors::one(FieldPath::root(), Reason::Invalid, error.to_string()))?;
    let request = login_request(wire::iam::decode_login(&value)?)?;
    let named = app.service().named_user(&request.proof);
    let login = app.service().login(request).await.map_err(|error| {
        let mut refusal = ApiError::from(error);
        let reason = named.map(|user| format!("a log-in as user {user} was refused"));
        refusal.internal = refusal.internal.or(reason);
        refusal
    })?;
    Caller::set(&parts.extensions, Arc::new(signed_in(&login)));
    let body = render::encode(&token_body(&app, &parts.headers, &login));
    let mut response = (StatusCode::CREATED, [("content-type", "application/json")], body).into_response();
    let token = HeaderValue::from_str(login.token.expose_secret()).map_err(|_| ApiError::internal("a token that is no header value"))?;
    response.headers_mut().insert("x-subject-token", token);
    Ok(response)
}

/// Who has just logged in, for the record.
fn signed_in(login: &Login) -> Principal {
    Principal {
        user: login.user.id.clone(),
        user_name: login.user.name.clone(),
        domain: login.domain.id.clone(),
        domain_name: login.domain.name.clone(),
        scope: match &login.project {
            Some((project, _)) => Scope::Project(project.id.clone()),
            None if login.is_domain_scoped => Scope::Domain,
            None => Scope::None,
        },
        roles: login.project.iter().map(|(project, role)| (project.id.clone(), *role)).collect(),
        workspace_roles: login.user.workspace_roles.clone(),
        credential: auth::TokenHash::of(login.token.expose_secret().as_bytes()).short(),
    }
}

fn named<T>(text: &str, parse: impl Fn(&str) -> Result<T, NameError>) -> Result<T, FieldErrors> {
    parse(text).map_err(|error| FieldErrors::one(FieldPath::of("auth"), Reason::Invalid, error.to_string()))
}

fn login_request(body: LoginBody) -> Result<LoginRequest, FieldErrors> {
    let domain_of = |reference: &Reference| {
        Ok(match reference {
            Reference::Id(id) => DomainReference::Id(named(id, DomainId::parse)?),
            Reference::Name(name) => DomainReference::Name(name.clone()),
        })
    };
    let proof = match body.proof {
        ProofBody::Token(text) => Proof::Token(SecretString::from(text)),
        ProofBody::Password { user, domain, password } => {
            let user = match user {
                Reference::Id(id) => UserReference::Id(named(&id, UserId::parse)?),
                Reference::Name(name) => {
                    let path = FieldPath::of("auth.identity.password.user.domain");
                    let domain = domain
                        .as_ref()
                        .ok_or_else(|| FieldErrors::one(path, Reason::Required, "is required"))?;
                    UserReference::Name {
                        name,
                        domain: domain_of(domain)?,
                    }
                }
            };
            Proof::Password {
                user,
                password: SecretString::from(password),
            }
        }
    };
    let scope = match body.scope {
        ScopeBody::Unscoped => WantedScope::Unscoped,
        ScopeBody::Domain(domain) => WantedScope::Domain(domain_of(&domain)?),
        ScopeBody::Project {
            project: Reference::Id(id),
            ..
        } => WantedScope::ProjectId(named(&id, ProjectId::parse)?),
        ScopeBody::Project {
            project: Reference::Name(name),
            domain,
        } => WantedScope::ProjectName {
            name,
            domain: domain.as_ref().map(domain_of).transpose()?,
        },
    };
    Ok(LoginRequest { proof, scope })
}

fn token_body(app: &App, headers: &HeaderMap, login: &Login) -> TokenBody {
    let domain = Named {
        id: login.domain.id.to_string(),
        name: login.domain.name.clone(),
    };
    let region = &app.parts.region;
    let entry = |kind: &str, url: String| CatalogEntry {
        id: kind.to_owned(),
        name: kind.to_owned(),
        kind: kind.to_owned(),
        endpoints: vec![Endpoint {
            id: kind.to_owned(),
            interface: "public".to_owned(),
            region: region.clone(),
            region_id: region.clone(),
            url,
        }],
    };
    let base = base(headers);
    TokenBody {
        token: TokenDetails {
            expires_at: wire::iam::keystone_time(login.expires_at),
            issued_at: wire::iam::keystone_time(login.issued_at),
            methods: vec![login.method.to_owned()],
            user: UserDetails {
                id: login.user.id.to_string(),
                name: login.user.name.clone(),
                domain: domain.clone(),
            },
            project: login.project.as_ref().map(|(project, _)| ScopedProject {
                id: project.id.to_string(),
                name: project.name.clone(),
                domain: domain.clone(),
            }),
            domain: login.is_domain_scoped.then(|| domain.clone()),
            roles: login
                .project
                .iter()
                .map(|(_, role)| Named {
                    id: role.as_str().to_owned(),
                    name: role.as_str().to_owned(),
                })
                .collect(),
            catalog: vec![
                entry("modelarts", base.clone()),
                entry("identity", format!("{base}/v3")),
                entry("iam", format!("{base}/v3")),
            ],
        },
    }
}

fn links(call: &Call) -> Value {
    json!({"self": format!("{}/v3", base(&call.headers)), "next": null, "previous": null})
}

pub(crate) async fn projects(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let query = call.query()?;
    let name = query.get("name").filter(|name| !name.is_empty());
    let projects: Vec<Value> = app
        .service()
        .reachable_projects(&call.principal, name)
        .iter()
        .map(|project| {
            json!({
                "id": project.id, "name": project.name, "domain_id": project.domain, "parent_id": project.domain, "is_domain": false,
                "enabled": project.is_enabled, "description": project.description,
                "links": {"self": format!("{}/v3/projects/{}", base(&call.headers), project.id)}
            })
        })
        .collect();
    Ok(render::json(&json!({"projects": projects, "links": links(&call)})))
}

pub(crate) async fn domains(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let domains: Vec<Value> = app
        .service()
        .reachable_domains(&call.principal)
        .iter()
        .map(|domain| {
            json!({
                "id": domain.id, "name": domain.name, "enabled": true, "description": "",
                "links": {"self": format!("{}/v3/domains/{}", base(&call.headers), domain.id)}
            })
        })
        .collect();
    Ok(render::json(&json!({"domains": domains, "links": links(&call)})))
}
