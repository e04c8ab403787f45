//! Names of our marks in a cluster, and what their values say.

use domain::meta::Uid;
use domain::name::{FlavorName, NodeName, ZoneName};
use fleet::PoolMark;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// What all our keys begin with.
pub const PREFIX: &str = "poolkeeper.io/";

/// Label: the uid of the physical pool. On a Node it is the claim; it is on every object of a pool.
pub const POOL: &str = "poolkeeper.io/pool";
/// Label: the pool's name in the form of [`slug`].
pub const POOL_NAME: &str = "poolkeeper.io/pool-name";
/// Label: the name of the node in the API, in the form of [`slug`]; names of at most 63 characters are their own.
pub const NODE: &str = "poolkeeper.io/node";
/// Label: the flavor, in the form of [`slug`].
pub const FLAVOR: &str = "poolkeeper.io/flavor";
pub const NODE_POOL: &str = "poolkeeper.io/node-pool";
/// Label: uid of the logical pool that a Node is bound to.
pub const QUOTA: &str = "poolkeeper.io/quota";
/// Label: uid of the batch that a Node came in.
pub const BATCH: &str = "poolkeeper.io/batch";
/// Labels: the driver version that a Node is to have.
pub const GPU_DRIVER: &str = "poolkeeper.io/gpu-driver";
pub const NPU_DRIVER: &str = "poolkeeper.io/npu-driver";
/// Label, written by the installer of a site: the NPU driver that a Node has.
pub const NPU_DRIVER_INSTALLED: &str = "poolkeeper.io/npu-driver-installed";
/// Label: the Node is being cleaned.
pub const DIRTY: &str = "poolkeeper.io/dirty";
/// Label, set by the operator: the Node may be used.
pub const INVENTORY: &str = "poolkeeper.io/inventory";
/// Label, set by the operator: a pod that does not make its Node busy.
pub const IGNORE: &str = "poolkeeper.io/ignore";
/// Label: the object is ours, though of no pool.
pub const MANAGED: &str = "poolkeeper.io/managed";
/// Label of name spaces: the job type.
pub const TYPE: &str = "poolkeeper.io/type";
/// Label of name spaces of logical pools: uid of the physical pool.
pub const ROOT: &str = "poolkeeper.io/root";
/// Label of name spaces that take no new pods.
pub const CLOSING: &str = "poolkeeper.io/closing";

/// Label by which Volcano keeps workloads of a queue on the Nodes of its groups: [`node_group`].
pub const NODE_GROUP: &str = "volcano.sh/nodegroup-name";

/// Annotation: the epoch of the last writer.
pub const EPOCH: &str = "poolkeeper.io/epoch";
/// Annotation: [`ClaimNote`].
pub const CLAIM: &str = "poolkeeper.io/claim";
/// Annotation: [`Restore`].
pub const RESTORE: &str = "poolkeeper.io/restore";
/// Annotation: the [`Hold`]s, as a JSON list.
pub const HOLDS: &str = "poolkeeper.io/holds";
/// Annotation: the [`Action`] that runs.
pub const ACTION: &str = "poolkeeper.io/action";
/// Annotation: the last numbered [`Request`].
pub const REQUEST: &str = "poolkeeper.io/request";
/// Annotations for an agent of the site: what is asked of the machine, as a [`Ask`].
pub const ASK: &str = "poolkeeper.io/ask";

/// Annotation of a Machine: what it was made for, as a [`Order`].
pub const ORDER: &str = "poolkeeper.io/order";
/// Label of a Machine that Cluster API copies to its Node: the Node was made for somebody.
pub const MADE_FOR: &str = "node.cluster.x-k8s.io/poolkeeper-node";
/// Annotation that keeps Cluster API from emptying the Node of a Machine: the node is locked.
pub const DRAIN_HOOK: &str = "pre-drain.delete.hook.machine.cluster.x-k8s.io/poolkeeper";

/// Taint of a pool's Nodes; its value is the slug of the pool.
pub const TAINT_POOL: &str = "poolkeeper.io/pool";
/// Taint of a Node that takes nothing new.
pub const TAINT_HOLD: &str = "poolkeeper.io/hold";
/// Taint of free Nodes of the inventory, where the operator wants one.
pub const TAINT_UNCLAIMED: &str = "poolkeeper.io/unclaimed";

/// Labels that nobody but us has, which a release removes. What other labels were, a release puts back.
pub const CLAIM_LABELS: [&str; 7] = [POOL, POOL_NAME, NODE, FLAVOR, NODE_POOL, QUOTA, BATCH];
/// Annotations that a release removes. The epoch stays.
pub const CLAIM_ANNOTATIONS: [&str; 6] = [CLAIM, RESTORE, HOLDS, ACTION, REQUEST, ASK];

/// Name of the one fence of a cluster, a ConfigMap.
pub const FENCE: &str = "fence";
/// Our name as a writer of fields.
pub const MANAGER: &str = "poolkeeper";

/// A name as the value of a label: itself where it is short enough and made of the right characters, else its beginning, a hyphen, and
/// ten hexadecimal digits of the SHA-256 of `salt`.
pub fn slug(name: &str, salt: &str) -> String {
    let is_inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let is_value = name.len() <= 63
        && name.chars().all(is_inner)
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.ends_with(|c: char| c.is_ascii_alphanumeric());
    if is_value {
        return name.to_owned();
    }
    let head: String = name.chars().map(|c| if is_inner(c) { c } else { '-' }).take(52).collect();
    let head = head.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
    let separator = if head.is_empty() { "" } else { "-" };
    format!("{head}{separator}{}", digest(&[salt], 10))
}

/// The slug of a pool, unique to it.
pub fn pool_slug(pool: &PoolMark) -> String {
    slug(pool.pool.name.as_str(), pool.uid.as_str())
}

/// The slug of a name that is salted with itself.
pub fn own_slug(name: &str) -> String {
    slug(name, name)
}

const OBJECT: &str = "pk-";

/// Whether a name space has a name of one of a pool's: of what is elsewhere little is kept.
pub fn is_space(name: &str) -> bool {
    name.starts_with(OBJECT)
}

/// `pk-`, twelve digits that stand for a uid, and the suffix: the name of an object of a pool. They are not the first ones of the uid,
/// which pools made in one millisecond share.
pub fn object_name(uid: &Uid, suffix: &str) -> String {
    format!("{OBJECT}{}{suffix}", digest(&[uid.as_str()], 12))
}

/// The group of a physical pool's Nodes of a flavor, by the slug of its name: of those kept for a logical pool, or of the others.
pub fn node_group(root: &Uid, flavor: &str, kept_for: Option<&Uid>) -> String {
    let prefix = object_name(root, "").replacen('-', ".", 1);
    let digest = match kept_for {
        Some(pool) => digest(&[flavor, pool.as_str()], 10),
        None => digest(&[flavor], 10),
    };
    format!("{prefix}.{digest}")
}

/// The first digits of the SHA-256 of texts, each ended by a zero byte.
pub fn digest(texts: &[&str], digits: usize) -> String {
    let mut hasher = Sha256::new();
    for text in texts {
        hasher.update(text.as_bytes());
        hasher.update([0]);
    }
    let mut hex = String::new();
    for byte in hasher.finalize() {
        hex.push(char::from_digit(u32::from(byte >> 4), 16).unwrap_or('0'));
        hex.push(char::from_digit(u32::from(byte & 15), 16).unwrap_or('0'));
    }
    hex.truncate(digits);
    hex
}

/// Who claimed a Node, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimNote {
    pub at: Timestamp,
    /// The full names; labels may hold short forms.
    pub node: NodeName,
    pub pool: PoolMark,
}

/// What a Machine was made for: all that a claim of its Node needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    pub node: NodeName,
    pub pool: PoolMark,
    pub flavor: FlavorName,
    pub az: ZoneName,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// What was there before our keys.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Restore {
    /// Labels that we set, and what they were.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, Replaced>,
    /// The Node was tainted as unclaimed.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub unclaimed: bool,
}

/// A value of ours, and what it replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replaced {
    pub set: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub was: Option<String>,
}

/// Why a Node takes nothing new.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Hold {
    Release,
    /// Asked for by the plan: drains and driver upgrades alike.
    Drain,
    Reboot,
    Reset,
}

impl Hold {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::Drain => "drain",
            Self::Reboot => "reboot",
            Self::Reset => "reset",
        }
    }
}

/// What is being done to a Node. It is resumed from here after a crash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Action {
    /// Number of the request, 0 where there is none.
    #[serde(default)]
    pub id: u64,
    pub kind: ActionKind,
    pub step: Step,
    /// When the step began.
    pub since: Timestamp,
    /// What is to be different afterwards: the boot id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// A service of the site has heard of it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_heard: bool,
    /// What a reset installs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime: Option<String>,
    /// Where a move goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<PoolMark>,
}

/// The weakest first: a stronger one takes the place of a weaker one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ActionKind {
    Evict,
    Reboot,
    Reset,
    Move,
    Release,
}

/// How far an action is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    /// Nothing new comes, and pods are being ended.
    Empty,
    /// The machine is being worked upon: it reboots, is installed anew, or cleaned.
    Work,
}

/// The last reboot or reset, also after its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    pub number: u64,
    pub kind: ActionKind,
    pub progress: Progress,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Progress {
    Running,
    Done,
    Failed(String),
}

/// What an agent of the site is asked to do to the machine of a Node. It is done once the Node has another boot id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ask {
    pub kind: ActionKind,
    pub number: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime: Option<String>,
}

/// The value of one of our annotations. `None`: absent, or not readable.
pub fn read<T: serde::de::DeserializeOwned>(annotations: Option<&BTreeMap<String, String>>, key: &str) -> Option<T> {
    serde_json::from_str(annotations?.get(key)?).ok()
}

/// The value as the text of an annotation.
pub fn write<T: Serialize>(value: &T) -> String {
    // Our values have texts as keys and no floats, so that this does not fail.
    serde_json::to_string(value).unwrap_or_default()
}

/// The epoch of the last writer of an object.
pub fn epoch(annotations: Option<&BTreeMap<String, String>>) -> u64 {
    annotations
        .and_then(|all| all.get(EPOCH))
        .and_then(|text| text.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests;
