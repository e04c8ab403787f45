//! A Keystone service, or an IAM that speaks like one: it is asked about tokens, and its answers are remembered for a while.

use crate::http::{Answer, Outside, OutsideError, checked, told};
use async_trait::async_trait;
use auth::{AuthnError, RemoteAuthenticator, SourceError, TokenHash, TokenProblem};
use domain::name::{DomainId, ProjectId, UserId};
use domain::principal::{Principal, Role, Scope};
use jiff::Timestamp;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;

const AUTH_TOKEN: HeaderName = HeaderName::from_static("x-auth-token");
const SUBJECT_TOKEN: HeaderName = HeaderName::from_static("x-subject-token");
/// Tokens that are remembered.
const MOST: usize = 10_000;
/// A token that is not known is not asked about again for this long.
const UNKNOWN: Duration = Duration::from_secs(10);
/// Questions at the same time.
const QUESTIONS: usize = 16;
/// A longer text is no token of Keystone's.
const LONGEST: usize = 8 * 1024;

#[derive(Debug, Clone)]
pub struct KeystoneSettings {
    /// Up to and with `/v3`.
    pub url: String,
    /// With whose rights tokens are asked about.
    pub user: String,
    pub user_domain: String,
    pub password: SecretString,
    pub project: String,
    /// A role there, and what it is here. Other roles are none.
    pub roles: BTreeMap<String, Role>,
    /// How long an answer is good: a token that is revoked there is good here for so long.
    pub remember: Duration,
    /// How long an answer is good beyond that, while the service does not answer.
    pub grace: Duration,
}

/// A service that knows tokens.
pub struct Keystone {
    settings: KeystoneSettings,
    outside: Outside,
    own: tokio::sync::Mutex<Option<HeaderValue>>,
    known: Mutex<BTreeMap<TokenHash, Known>>,
    questions: Semaphore,
}

#[derive(Debug, Clone)]
struct Known {
    /// `None`: it is nobody's.
    holder: Option<Holder>,
    asked_at: Timestamp,
}

#[derive(Debug, Clone)]
struct Holder {
    principal: Principal,
    expires_at: Timestamp,
}

fn is_past(at: Timestamp, after: Duration, now: Timestamp) -> bool {
    at.saturating_add(after).unwrap_or(Timestamp::MAX) <= now
}

impl Keystone {
    pub fn new(mut settings: KeystoneSettings, outside: Outside) -> Result<Self, OutsideError> {
        settings.url = checked(&settings.url)?;
        Ok(Self {
            settings,
            outside,
            own: tokio::sync::Mutex::default(),
            known: Mutex::default(),
            questions: Semaphore::new(QUESTIONS),
        })
    }

    fn remembered(&self, hash: &TokenHash) -> Option<Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).get(hash).cloned()
    }

    /// Keeps an answer. Where there are too many, the older half goes.
    fn remember(&self, hash: TokenHash, known: Known) {
        let mut all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MOST && !all.contains_key(&hash) {
            let mut ages: Vec<Timestamp> = all.values().map(|known| known.asked_at).collect();
            ages.sort_unstable();
            let middle = ages[ages.len() / 2];
            all.retain(|_, known| known.asked_at > middle);
        }
        all.insert(hash, known);
    }

    /// Whether an answer needs no new question.
    fn is_fresh(&self, known: &Known, now: Timestamp) -> bool {
        let good = if known.holder.is_some() { self.settings.remember } else { UNKNOWN };
        !is_past(known.asked_at, good, now)
    }

    /// Whether an answer will do while nobody gives a newer one.
    fn is_bearable(&self, known: &Known, now: Timestamp) -> bool {
        let good = self.settings.remember.saturating_add(self.settings.grace);
        known.holder.is_some() && !is_past(known.asked_at, good, now)
    }

    /// Asks about a token. `None`: it is nobody's.
    async fn ask(&self, token: &HeaderValue) -> Result<Option<Holder>, OutsideError> {
        let _turn = self.questions.acquire().await.map_err(|_| OutsideError::Wrong("closed"))?;
        let (own, is_new) = self.own_token(None).await?;
        let mut answer = self.question(&own, token).await?;
        // The own token has run out, unless it was made just now.
        if answer.status == StatusCode::UNAUTHORIZED && !is_new {
            let (own, _) = self.own_token(Some(&own)).await?;
            answer = self.question(&own, token).await?;
        }
        match answer.status {
            StatusCode::OK => self.holder(&answer.body).map(Some),
            StatusCode::NOT_FOUND => Ok(None),
            status => Err(OutsideError::Status(status)),
        }
    }

    async fn question(&self, own: &HeaderValue, token: &HeaderValue) -> Result<Answer, OutsideError> {
        let headers = HeaderMap::from_iter([(AUTH_TOKEN, own.clone()), (SUBJECT_TOKEN, token.clone())]);
        let url = format!("{}/auth/tokens?nocatalog", self.settings.url);
        self.outside.ask(Method::GET, &url, headers, None).await
    }

    /// The token that questions are asked with, and whether it was made just now. `refused` is good no more.
    async fn own_token(&self, refused: Option<&HeaderValue>) -> Result<(HeaderValue, bool), OutsideError> {
        let mut own = self.own.lock().await;
        if let Some(own) = own.as_ref().filter(|own| Some(*own) != refused) {
            return Ok((own.clone(), false));
        }
        *own = None;
        let domain = json!({"name": self.settings.user_domain});
        let user = json!({"name": self.settings.user, "domain": domain, "password": self.settings.password.expose_secret()});
        let body = json!({"auth": {
            "identity": {"methods": ["password"], "password": {"user": user}},
            "scope": {"project": {"name": self.settings.project, "domain": domain}},
        }});
        let url = format!("{}/auth/tokens?nocatalog", self.settings.url);
        let answer = self.outside.ask(Method::POST, &url, HeaderMap::new(), Some(&body)).await?;
        if !answer.status.is_success() {
            return Err(OutsideError::Status(answer.status));
        }
        let mut token = answer
            .headers
            .get(SUBJECT_TOKEN)
            .cloned()
            .ok_or(OutsideError::Wrong("a log-in without a token"))?;
        token.set_sensitive(true);
        *own = Some(token.clone());
        Ok((token, true))
    }

    /// Who holds a token, by the service's answer.
    fn holder(&self, body: &Value) -> Result<Holder, OutsideError> {
        const ODD: OutsideError = OutsideError::Wrong("an answer that is not about a token");
        let token = &body["token"];
        let text = |value: &Value| value.as_str().map(ToOwned::to_owned).ok_or(ODD);
        let expires_at = text(&token["expires_at"])?.parse().map_err(|_| ODD)?;
        let user = &token["user"];
        let id = UserId::parse(&text(&user["id"])?).map_err(|_| ODD)?;
        let domain = DomainId::parse(&text(&user["domain"]["id"])?).map_err(|_| ODD)?;
        let project = token["project"]["id"].as_str().and_then(|id| ProjectId::parse(id).ok());
        let named = token["roles"].as_array().into_iter().flatten();
        let named = named.filter_map(|role| role["name"].as_str());
        let role = named.filter_map(|name| self.settings.roles.get(name)).max().copied();
        let principal = Principal {
            user: id,
            user_name: text(&user["name"])?,
            domain,
            domain_name: user["domain"]["name"].as_str().unwrap_or_default().to_owned(),
            scope: project.clone().map_or(Scope::None, Scope::Project),
            roles: project.into_iter().zip(role).collect(),
            workspace_roles: BTreeMap::new(),
            credential: String::new(),
        };
        Ok(Holder { principal, expires_at })
    }
}

#[async_trait]
impl RemoteAuthenticator for Keystone {
    async fn authenticate(&self, token: &SecretString, now: Timestamp) -> Result<Option<Principal>, AuthnError> {
        let text = token.expose_secret();
        let hash = TokenHash::of(text.as_bytes());
        let Some(mut header) = HeaderValue::from_str(text).ok().filter(|_| text.len() <= LONGEST) else {
            return Ok(None);
        };
        header.set_sensitive(true);
        let credential = hash.short();
        let remembered = self.remembered(&hash);
        let known = match remembered {
            Some(known) if self.is_fresh(&known, now) => known,
            remembered => match self.ask(&header).await {
                Ok(holder) => {
                    let known = Known { holder, asked_at: now };
                    self.remember(hash, known.clone());
                    known
                }
                Err(error) => {
                    tracing::warn!(url = self.settings.url, error = told(&error), "tokens cannot be asked about");
                    let unavailable = || AuthnError::Unavailable(SourceError::Unavailable(error.to_string()));
                    remembered.filter(|known| self.is_bearable(known, now)).ok_or_else(unavailable)?
                }
            },
        };
        match known.holder {
            None => Err(AuthnError::TokenInvalid(TokenProblem::Unknown { credential })),
            Some(holder) if holder.expires_at <= now => Err(AuthnError::TokenExpired { credential }),
            Some(holder) => Ok(Some(Principal {
                credential,
                ..holder.principal
            })),
        }
    }
}
