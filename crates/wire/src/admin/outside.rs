//! What networks can be connected to, as the operator registers it (contract networks §1).

use super::{decode, only};
use crate::decode::Place;
use domain::field::FieldErrors;
use domain::network::{PeerSubnet, SfsTurbo, parse_cidr};
use serde::Serialize;
use serde_json::Value;
use std::net::Ipv4Addr;
use utoipa::ToSchema;

/// Longest id of something outside.
const MAX_ID: usize = 128;

/// A subnet outside, in answers and in bodies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = OperatorPeerSubnet)]
pub struct PeerSubnetView {
    pub vpc_id: String,
    pub subnet_id: String,
    pub cidr: String,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = OperatorPeerSubnetList)]
pub struct PeerSubnetList {
    pub metadata: crate::list::ListMeta,
    pub peer_subnets: Vec<PeerSubnetView>,
}

/// A file system outside, in answers and in bodies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = OperatorSfsTurbo)]
pub struct SfsTurboView {
    pub id: String,
    /// IPv4 address
    pub address: String,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = OperatorSfsTurboList)]
pub struct SfsTurboList {
    pub metadata: crate::list::ListMeta,
    pub sfs_turbos: Vec<SfsTurboView>,
}

impl From<&PeerSubnet> for PeerSubnetView {
    fn from(peer: &PeerSubnet) -> Self {
        Self {
            vpc_id: peer.vpc.clone(),
            subnet_id: peer.subnet.clone(),
            cidr: peer.cidr.to_string(),
        }
    }
}

impl From<&SfsTurbo> for SfsTurboView {
    fn from(turbo: &SfsTurbo) -> Self {
        Self {
            id: turbo.id.clone(),
            address: turbo.address.to_string(),
        }
    }
}

pub fn decode_peer(body: &Value) -> Result<PeerSubnet, FieldErrors> {
    decode(body, |root| {
        only(root, &["vpcId", "subnetId", "cidr"]);
        let (vpc, subnet) = (id(&root.field("vpcId")), id(&root.field("subnetId")));
        let place = root.field("cidr");
        let cidr = place.required_text().and_then(|text| match parse_cidr(text) {
            Ok(cidr) => Some(cidr),
            Err(message) => {
                place.invalid(message);
                None
            }
        });
        Some(PeerSubnet {
            vpc: vpc?,
            subnet: subnet?,
            cidr: cidr?,
        })
    })
}

pub fn decode_turbo(body: &Value) -> Result<SfsTurbo, FieldErrors> {
    decode(body, |root| {
        only(root, &["id", "address"]);
        let id = id(&root.field("id"));
        let place = root.field("address");
        let text = place.required_text();
        let address = text.and_then(|text| text.parse::<Ipv4Addr>().ok());
        if text.is_some() && address.is_none() {
            place.invalid("must be an IPv4 address");
        }
        Some(SfsTurbo {
            id: id?,
            address: address?,
        })
    })
}

fn id(place: &Place<'_>) -> Option<String> {
    let text = place.required_text()?;
    let is_id = (1..=MAX_ID).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    if !is_id {
        place.invalid(format!("must be 1 to {MAX_ID} letters, digits or . _ -"));
    }
    Some(text.to_owned())
}
