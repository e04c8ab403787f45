//! Networks as clients see them (contract `networks.md`).

use crate::decode::{Place, finish, strike};
use crate::merge_patch;
use crate::pool::Metadata;
use crate::pool::metadata::{description, display_name, others, workspace};
use crate::time::rfc3339;
use domain::field::{FieldErrors, FieldPath, Reason};
use domain::label::{MAX_ANNOTATION_VALUE, MAX_LABEL_VALUE};
use domain::network::{self as model, ConnectionState, NetworkPhase, parse_network_cidr};
use domain::pool::draft::{NetworkDraft, PeerDraft, SfsTurboDraft};
use serde::Serialize;
use serde_json::Value;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use utoipa::ToSchema;

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Network {
    pub kind: &'static str,
    pub api_version: &'static str,
    pub metadata: Metadata,
    pub spec: NetworkSpec,
    pub status: NetworkStatus,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct NetworkSpec {
    pub cidr: String,
    #[serde(rename = "ipv6enable", skip_serializing_if = "std::ops::Not::not")]
    pub ipv6_enable: bool,
    pub connection: Connection,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Connection {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub peer_connection_list: Vec<PeerConnection>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sfs_turbo_connection_list: Vec<SfsTurboConnection>,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PeerConnection {
    pub peer_vpc_id: String,
    pub peer_subnet_id: String,
    #[serde(rename = "defaultGateWay", skip_serializing_if = "Option::is_none")]
    pub default_gateway: Option<bool>,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SfsTurboConnection {
    pub name: String,
    pub sfs_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subnet_id: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NetworkStatus {
    /// `Creating`, `Active` or `Abnormal`
    pub phase: &'static str,
    pub connection_status: ConnectionStatus,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub subnets: Vec<Subnet>,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConnectionStatus {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub peer_connection_status: Vec<PeerStatus>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sfs_turbo_status: Vec<SfsTurboStatus>,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PeerStatus {
    pub peer_vpc_id: String,
    pub peer_subnet_id: String,
    #[serde(rename = "defaultGateWay")]
    pub default_gateway: bool,
    pub phase: &'static str,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SfsTurboStatus {
    pub name: String,
    pub sfs_id: String,
    pub connection_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip_addr: Option<String>,
    pub status: &'static str,
}

/// How many addresses of a subnet are in use.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct IpAvailabilities {
    pub name: String,
    pub network_id: String,
    pub subnet_ip_availability: Vec<IpAvailability>,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct IpAvailability {
    pub cidr: String,
    pub ip_version: u32,
    pub used_ips: u64,
    pub total_ips: u64,
}

impl IpAvailabilities {
    pub fn of(network: &model::Network, used: u64) -> Self {
        Self {
            name: network.subnet_name(),
            network_id: network.subnet.id.hyphenated(),
            subnet_ip_availability: vec![IpAvailability {
                cidr: network.cidr.to_string(),
                ip_version: 4,
                used_ips: used,
                total_ips: network.address_count(),
            }],
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Subnet {
    pub name: String,
    pub network_id: String,
    pub cidr: String,
    pub gateway_ip: String,
}

impl From<&model::Network> for Network {
    fn from(network: &model::Network) -> Self {
        let mut annotations = network.annotations.clone();
        if let Some(text) = &network.description {
            annotations.insert("os.modelarts/description".to_owned(), text.clone());
        }
        Self {
            kind: "Network",
            api_version: "v1",
            metadata: Metadata {
                name: network.name.to_string(),
                creation_timestamp: rfc3339(network.created_at),
                deletion_timestamp: network.deleted_at.map(rfc3339),
                labels: labels(network),
                annotations,
            },
            spec: spec(network),
            status: status(network),
        }
    }
}

/// The labels as they are shown.
pub fn labels(network: &model::Network) -> BTreeMap<String, String> {
    let mut labels = network.labels.clone();
    labels.insert("os.modelarts/name".to_owned(), network.display_name.to_string());
    labels.insert("os.modelarts/workspace.id".to_owned(), network.workspace.to_string());
    labels
}

fn spec(network: &model::Network) -> NetworkSpec {
    let peers = network.peers.iter().map(|peer| PeerConnection {
        peer_vpc_id: peer.vpc.clone(),
        peer_subnet_id: peer.subnet.clone(),
        default_gateway: peer.is_default_gateway,
    });
    let turbos = network.sfs_turbo.iter().map(|turbo| SfsTurboConnection {
        name: turbo.name.clone(),
        sfs_id: turbo.id.clone(),
        subnet_id: turbo.subnet.clone(),
    });
    NetworkSpec {
        cidr: network.cidr.to_string(),
        ipv6_enable: network.ipv6,
        connection: Connection {
            peer_connection_list: peers.collect(),
            sfs_turbo_connection_list: turbos.collect(),
        },
    }
}

fn status(network: &model::Network) -> NetworkStatus {
    let peers = network.peers.iter().map(|peer| PeerStatus {
        peer_vpc_id: peer.vpc.clone(),
        peer_subnet_id: peer.subnet.clone(),
        default_gateway: peer.is_default_gateway.unwrap_or(false),
        phase: match peer.state {
            ConnectionState::Connecting => "Connecting",
            ConnectionState::Active => "Active",
            ConnectionState::Abnormal => "Abnormal",
        },
    });
    let turbos = network.sfs_turbo.iter().map(|turbo| SfsTurboStatus {
        name: turbo.name.clone(),
        sfs_id: turbo.id.clone(),
        connection_type: "VpcPort",
        ip_addr: turbo.address.map(|address| address.to_string()),
        status: match turbo.state {
            ConnectionState::Connecting => "Creating",
            ConnectionState::Active => "Active",
            ConnectionState::Abnormal => "Abnormal",
        },
    });
    let subnet = Subnet {
        name: network.subnet_name(),
        network_id: network.subnet.id.hyphenated(),
        cidr: network.cidr.to_string(),
        gateway_ip: network.gateway().to_string(),
    };
    NetworkStatus {
        phase: network.phase.as_str(),
        connection_status: ConnectionStatus {
            peer_connection_status: peers.collect(),
            sfs_turbo_status: turbos.collect(),
        },
        subnets: if network.phase == NetworkPhase::Active {
            vec![subnet]
        } else {
            Vec::new()
        },
    }
}

/// The body of CreateNetwork.
pub fn decode_create(body: &Value) -> Result<NetworkDraft, FieldErrors> {
    let errors = RefCell::new(FieldErrors::new());
    let draft = draft(&Place::root(body, &errors), true);
    finish(draft, errors)
}

/// What PatchNetwork asks for.
pub fn decode_patch(current: &model::Network, patch: &Value) -> Result<NetworkDraft, FieldErrors> {
    let errors = RefCell::new(FieldErrors::new());
    let draft = patched(current, patch, &errors);
    finish(draft, errors)
}

/// Where `null` removes nothing (contract pools §9.1, item 4).
const NOT_NULL: [&[&str]; 5] = [
    &["metadata"],
    &["metadata", "labels"],
    &["metadata", "annotations"],
    &["spec"],
    &["metadata", "labels", "os.modelarts/workspace.id"],
];
/// How many of them must be objects.
const OBJECTS: usize = 4;

fn patched(current: &model::Network, patch: &Value, errors: &RefCell<FieldErrors>) -> Option<NetworkDraft> {
    Place::root(patch, errors).body()?;
    let mut patch = patch.clone();
    strike(&mut patch, &NOT_NULL, OBJECTS, errors);
    if let Some(members) = patch.as_object_mut() {
        members.remove("status");
    }
    let before = serde_json::to_value(Network::from(current)).unwrap_or_default();
    let merged = merge_patch::apply(before.clone(), &patch);
    for path in [
        &["apiVersion"][..],
        &["kind"],
        &["metadata", "name"],
        &["metadata", "creationTimestamp"],
        &["metadata", "labels", "os.modelarts/name"],
        &["spec", "cidr"],
    ] {
        let find = |value: &Value| path.iter().try_fold(value.clone(), |value, name| value.get(name).cloned());
        if find(&before) != find(&merged) {
            errors
                .borrow_mut()
                .immutable(path.iter().fold(FieldPath::root(), |place, name| place.field(name)));
        }
    }
    let draft = draft(&Place::root(&merged, errors), false);
    if let Some(draft) = &draft
        && current.ipv6
        && !draft.ipv6
    {
        errors
            .borrow_mut()
            .forbidden(FieldPath::of("spec").field("ipv6enable"), "cannot be switched off again");
    }
    draft
}

fn draft(root: &Place<'_>, is_create: bool) -> Option<NetworkDraft> {
    root.body()?;
    for (name, wanted) in [("apiVersion", "v1"), ("kind", "Network")] {
        let place = root.field(name);
        if is_create {
            place.required_text();
        }
        if place.text().is_some_and(|text| text != wanted) {
            place.invalid(format!("must be {wanted}"));
        }
    }
    let metadata = root.field("metadata");
    let (labels, notes) = (metadata.field("labels"), metadata.field("annotations"));
    let has_labels = metadata.may_have_fields() && labels.may_have_fields();
    let display_name = if has_labels { display_name(&labels) } else { None };
    let workspace = workspace(&labels);
    let description = description(&notes.field("os.modelarts/description"));
    let spec = root.field("spec");
    let cidr = spec.field("cidr");
    if spec.may_have_fields() {
        cidr.required_text();
    }
    let range = cidr.text().and_then(|text| match parse_network_cidr(text) {
        Ok(range) => Some(range),
        Err(message) => {
            cidr.invalid(message);
            None
        }
    });
    let ipv6 = spec.field("ipv6enable");
    let connection = spec.field("connection");
    connection.object();
    Some(NetworkDraft {
        workspace,
        labels: others(&labels, &["os.modelarts/name", "os.modelarts/workspace.id"], &[], MAX_LABEL_VALUE),
        annotations: others(&notes, &["os.modelarts/description"], &[], MAX_ANNOTATION_VALUE),
        description,
        // A value that has been refused is not one that switches it off.
        ipv6: ipv6.boolean().unwrap_or(!ipv6.is_absent()),
        peers: peers(&connection.field("peerConnectionList")),
        sfs_turbo: turbos(&connection.field("sfsTurboConnectionList")),
        display_name: display_name?,
        cidr: range?,
    })
}

fn peers(place: &Place<'_>) -> Vec<PeerDraft> {
    let mut found = Vec::new();
    let mut known = BTreeSet::new();
    for item in place.items() {
        if item.object().is_none() {
            continue;
        }
        let (vpc, subnet) = (named(&item, "peerVpcId"), named(&item, "peerSubnetId"));
        let is_default_gateway = item.field("defaultGateWay").boolean();
        let (Some(vpc), Some(subnet)) = (vpc, subnet) else { continue };
        if !known.insert((vpc, subnet)) {
            item.refuse(Reason::Duplicate, "the same VPC and subnet occur twice");
        }
        found.push(PeerDraft {
            vpc: vpc.to_owned(),
            subnet: subnet.to_owned(),
            is_default_gateway,
        });
    }
    found
}

/// A text with something in it.
fn named<'a>(item: &Place<'a>, field: &str) -> Option<&'a str> {
    let place = item.field(field);
    let text = place.required_text()?;
    if text.is_empty() {
        place.invalid("must not be empty");
    }
    Some(text)
}

fn turbos(place: &Place<'_>) -> Vec<SfsTurboDraft> {
    let mut known = BTreeSet::new();
    let items = place.items().into_iter().filter_map(|item| {
        item.object()?;
        let (name, id) = (named(&item, "name"), named(&item, "sfsId"));
        if id.is_some_and(|id| !known.insert(id)) {
            item.refuse(Reason::Duplicate, "the same file system occurs twice");
        }
        Some(SfsTurboDraft {
            name: name?.to_owned(),
            id: id?.to_owned(),
            subnet: item.field("subnetId").text().map(ToOwned::to_owned),
        })
    });
    items.collect()
}

#[cfg(test)]
mod tests;
