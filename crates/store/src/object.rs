//! The record form of every object: which kinds there are, where they are kept and how they are encoded.

use crate::port::{Key, Record, StoreError};
use domain::audit::AuditEntry;
use domain::catalogue::{Flavor, OsConfig, VirtualTemplate};
use domain::event::Event;
use domain::iam::{AccessKey, Domain, Project, Token, User};
use domain::job::Job;
use domain::network::{Network, PeerSubnet, SfsTurbo};
use domain::node::Node;
use domain::order::Order;
use domain::plugin::{Plugin, PluginTemplate};
use domain::pool::Pool;
use domain::sample::SampleHour;
use domain::schedule::ScheduledEvent;
use domain::workspace::Workspace;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

macro_rules! kinds {
    ($($kind:ident => $text:literal),+ $(,)?) => {
        /// Kinds of objects. The text is part of the stored form and must never change.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Kind { $($kind),+ }

        impl Kind {
            pub const ALL: &'static [Self] = &[$(Self::$kind),+];

            pub fn as_str(self) -> &'static str {
                match self { $(Self::$kind => $text),+ }
            }

            pub fn parse(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$kind),)+ _ => None }
            }
        }

        /// Any object in its decoded form.
        #[derive(Debug, Clone)]
        pub enum Object { $($kind(Arc<$kind>)),+ }

        impl Object {
            pub fn kind(&self) -> Kind {
                match self { $(Self::$kind(_) => Kind::$kind),+ }
            }

            pub fn key(&self) -> Key {
                match self { $(Self::$kind(object) => object.key()),+ }
            }

            /// The stored text.
            pub fn encode(&self) -> Result<Arc<str>, StoreError> {
                match self { $(Self::$kind(object) => encode(object.as_ref())),+ }
            }

            pub fn decode(record: &Record) -> Result<Self, StoreError> {
                match record.key.kind { $(Kind::$kind => decode(record).map(|object| Self::$kind(Arc::new(object)))),+ }
            }
        }

        $(impl From<$kind> for Object {
            fn from(object: $kind) -> Self { Self::$kind(Arc::new(object)) }
        })+

        $(impl From<Arc<$kind>> for Object {
            fn from(object: Arc<$kind>) -> Self { Self::$kind(object) }
        })+

        $(impl Resource for $kind {
            const KIND: Kind = Kind::$kind;

            fn key(&self) -> Key { self.place() }

            fn of(object: &Object) -> Option<&Arc<Self>> {

                match object { Object::$kind(object) => Some(object), _ => None }
            }
        })+
    };
}

kinds! {
    Pool => "pool",
    Node => "node",
    Network => "network",
    Order => "order",
    Plugin => "plugin",
    PluginTemplate => "plugin-template",
    Flavor => "flavor",
    Workspace => "workspace",
    Event => "event",
    OsConfig => "os-config",
    Domain => "domain",
    Project => "project",
    User => "user",
    AccessKey => "access-key",
    Token => "token",
    Replay => "replay",
    Machine => "machine",
    ScheduledEvent => "scheduled-event",
    VirtualTemplate => "virtual-template",
    PeerSubnet => "peer-subnet",
    SfsTurbo => "sfs-turbo",
    SampleHour => "sample-hour",
    Job => "job",
    AuditEntry => "audit-entry",
}

impl Kind {
    /// Whether changes of such objects are remembered for those who watch.
    pub fn is_watched(self) -> bool {
        matches!(self, Self::Pool | Self::Node | Self::Event)
    }
}

/// An object that can be stored.
pub trait Resource: Serialize + DeserializeOwned + Send + Sync + 'static {
    const KIND: Kind;

    fn key(&self) -> Key;

    fn of(object: &Object) -> Option<&Arc<Self>>;
}

/// Where an object is kept.
trait Place {
    fn place(&self) -> Key;
}

macro_rules! places {
    ($($kind:ident |$object:ident| $project:expr, $name:expr;)+) => {
        $(impl Place for $kind {
            fn place(&self) -> Key {
                let $object = self;
                Key::new(Kind::$kind, $project, $name)
            }
        })+
    };
}

places! {
    Pool |it| &it.owner.project, &it.name;
    Node |it| &it.project, &it.name;
    Network |it| &it.project, &it.name;
    Order |it| &it.project, &it.name;
    Plugin |it| &it.project, format!("{}/{}", it.pool_uid, it.template);
    PluginTemplate |it| "", &it.name;
    Flavor |it| "", &it.name;
    Workspace |it| &it.project, &it.id;
    Event |it| it.pool.as_str(), format!("{:010}", it.sequence);
    OsConfig |_it| "", "os-config";
    Domain |it| "", &it.id;
    Project |it| "", &it.id;
    User |it| "", &it.id;
    AccessKey |it| "", &it.id;
    Token |it| "", &it.hash;
    Replay |it| &it.project, &it.name;
    Machine |it| "", &it.id;
    ScheduledEvent |it| &it.project, it.id.as_str();
    VirtualTemplate |it| "", &it.name;
    PeerSubnet |it| "", it.id();
    SfsTurbo |it| "", &it.id;
    SampleHour |it| it.pool.as_str(), format!("{:010}", it.hour);
    Job |it| &it.project, it.id.hyphenated();
    AuditEntry |it| "", it.name();
}

/// The answer that was given to a request with an `Idempotency-Key`, kept so that a repetition gets it again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Replay {
    pub project: String,
    /// Hash of caller, operation and key.
    pub name: String,
    /// SHA-256 of the request body.
    pub request: String,
    /// What the use case answered, in its own encoding.
    pub answer: serde_json::Value,
    pub expires_at: jiff::Timestamp,
}

/// One machine of the simulated fleet, in the fleet's own encoding.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    pub id: String,
    pub state: serde_json::Value,
}

fn encode<T: Serialize>(object: &T) -> Result<Arc<str>, StoreError> {
    serde_json::to_string(object)
        .map(Arc::from)
        .map_err(|error| StoreError::Corrupt(error.to_string()))
}

fn decode<T: DeserializeOwned>(record: &Record) -> Result<T, StoreError> {
    serde_json::from_str(&record.body).map_err(|error| StoreError::Corrupt(format!("{}: {error}", record.key)))
}
