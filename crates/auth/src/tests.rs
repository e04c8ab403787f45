//! What the tests of this crate share.

use crate::credential::AccessKey;
use crate::source::MemoryCredentials;
use domain::name::{AccessKeyId, DomainId, ProjectId, UserId};
use domain::principal::{Principal, Role, Scope};
use jiff::Timestamp;
use secrecy::SecretString;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

pub fn project(number: u8) -> ProjectId {
    ProjectId::parse(&format!("{number:032x}")).unwrap()
}

/// A user with one role, in project 1.
pub fn someone(role: Role, scope: Scope) -> Principal {
    Principal {
        user: UserId::parse("u1").unwrap(),
        user_name: "one".to_owned(),
        domain: DomainId::parse("d1").unwrap(),
        domain_name: "domain".to_owned(),
        scope,
        roles: BTreeMap::from([(project(1), role)]),
        workspace_roles: BTreeMap::new(),
        credential: "credential-1".to_owned(),
    }
}

pub fn key_id(text: &str) -> AccessKeyId {
    AccessKeyId::parse(text).unwrap()
}

/// A permanent key that is switched on.
pub fn access_key(id: &str, secret: &str) -> AccessKey {
    AccessKey {
        id: key_id(id),
        secret: SecretString::from(secret),
        principal: Principal {
            credential: id.to_owned(),
            ..someone(Role::User, Scope::AllProjects)
        },
        enabled: true,
        security_token_hash: None,
        expires_at: None,
    }
}

pub fn temporary_key(id: &str, secret: &str, security_token: &str) -> AccessKey {
    AccessKey {
        security_token_hash: Some(Sha256::digest(security_token).into()),
        ..access_key(id, secret)
    }
}

pub fn knowing(keys: impl IntoIterator<Item = AccessKey>) -> MemoryCredentials {
    let known = MemoryCredentials::default();
    for key in keys {
        known.put_access_key(key);
    }
    known
}

pub fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}
