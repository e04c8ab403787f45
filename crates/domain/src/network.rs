//! The network: the layer-3 space of the nodes of one or more pools (contract `networks.md`).

use crate::meta::Uid;
use crate::name::{DisplayName, NetworkName, ProjectId, WorkspaceId};
use ipnet::Ipv4Net;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    pub name: NetworkName,
    pub uid: Uid,
    pub generation: u64,
    pub project: ProjectId,
    pub display_name: DisplayName,
    pub workspace: WorkspaceId,
    pub created_at: Timestamp,
    pub deleted_at: Option<Timestamp>,
    pub description: Option<String>,
    /// Other labels and annotations.
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
    pub cidr: Ipv4Net,
    pub ipv6: bool,
    pub peers: Vec<PeerConnection>,
    pub sfs_turbo: Vec<SfsTurboConnection>,
    pub phase: NetworkPhase,
    pub subnet: Subnet,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum NetworkPhase {
    Creating,
    Active,
    Abnormal,
}

impl NetworkPhase {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Creating => "Creating",
            Self::Active => "Active",
            Self::Abnormal => "Abnormal",
        }
    }
}

/// The one subnet of a network; it covers the whole CIDR.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subnet {
    pub id: Uid,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerConnection {
    pub vpc: String,
    pub subnet: String,
    pub is_default_gateway: Option<bool>,
    pub state: ConnectionState,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SfsTurboConnection {
    pub name: String,
    pub id: String,
    pub subnet: Option<String>,
    /// Where it is, as far as that is known.
    #[serde(default)]
    pub address: Option<Ipv4Addr>,
    pub state: ConnectionState,
}

/// A subnet outside, to which networks can be connected; the operator registers it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerSubnet {
    pub vpc: String,
    pub subnet: String,
    pub cidr: Ipv4Net,
}

impl PeerSubnet {
    pub fn id(&self) -> String {
        Self::id_of(&self.vpc, &self.subnet)
    }

    pub fn id_of(vpc: &str, subnet: &str) -> String {
        format!("{vpc}/{subnet}")
    }
}

/// A file system outside, to which networks can be connected; the operator registers it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SfsTurbo {
    pub id: String,
    pub address: Ipv4Addr,
}

/// State of a connection to something that the operator registered; an unknown id is `Abnormal`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConnectionState {
    Connecting,
    Active,
    Abnormal,
}

/// Addresses of a subnet that nodes cannot have: network, broadcast, gateway and three of the system.
pub const RESERVED_ADDRESSES: u64 = 6;

impl Network {
    /// Addresses for nodes and ports.
    pub fn address_count(&self) -> u64 {
        (1_u64 << (32 - u32::from(self.cidr.prefix_len()))) - RESERVED_ADDRESSES
    }

    pub fn gateway(&self) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.cidr.network()) + 1)
    }

    pub fn subnet_name(&self) -> String {
        format!("subnet-{}", self.display_name)
    }
}

/// The address ranges that networks may lie in, with their shortest and longest prefix.
const RANGES: [(Ipv4Addr, u8, u8, u8); 3] = [
    (Ipv4Addr::new(10, 0, 0, 0), 8, 12, 24),
    (Ipv4Addr::new(172, 16, 0, 0), 12, 12, 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16, 16, 24),
];

/// Reads and checks `spec.cidr` of a network.
pub fn parse_network_cidr(text: &str) -> Result<Ipv4Net, String> {
    let cidr = parse_cidr(text)?;
    for (base, base_prefix, min, max) in RANGES {
        let Ok(range) = Ipv4Net::new(base, base_prefix) else { continue };
        if range.contains(&cidr) {
            return if (min..=max).contains(&cidr.prefix_len()) {
                Ok(cidr)
            } else {
                Err(format!("prefix length must be {min} to {max} inside {range}"))
            };
        }
    }
    Err("must lie inside 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16".to_owned())
}

/// Reads an IPv4 CIDR whose host bits are zero.
pub fn parse_cidr(text: &str) -> Result<Ipv4Net, String> {
    let cidr: Ipv4Net = text.parse().map_err(|_| format!("{text:?} is not an IPv4 CIDR"))?;
    // Leading zeros are octal to some and decimal to others.
    if cidr.to_string() != text {
        return Err(format!("{text:?} must be written as {cidr}"));
    }
    if cidr.trunc() != cidr {
        return Err(format!("host bits must be zero, as in {}", cidr.trunc()));
    }
    Ok(cidr)
}

pub fn overlap(a: &Ipv4Net, b: &Ipv4Net) -> bool {
    a.contains(b) || b.contains(a)
}

/// The service network where none is asked for.
pub const DEFAULT_SERVICE_CIDR: &str = "10.247.0.0/16";

/// The first default container network that overlaps neither the pool's network nor its service range (networks §8).
pub fn default_container_cidr(network: &Ipv4Net, service: &Ipv4Net) -> Option<Ipv4Net> {
    ["172.16.0.0/16", "10.0.0.0/16", "192.168.0.0/16"]
        .iter()
        .filter_map(|text| text.parse().ok())
        .find(|candidate| !overlap(candidate, network) && !overlap(candidate, service))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documented_cidrs_are_accepted() {
        for good in [
            "10.168.0.0/16",
            "172.16.0.0/12",
            "192.168.20.0/24",
            "192.168.128.0/17",
            "172.18.0.0/16",
            "10.0.0.0/12",
        ] {
            assert!(parse_network_cidr(good).is_ok(), "{good}");
        }
        for bad in [
            "10.0.0.0/8",
            "10.0.0.0/25",
            "192.168.0.1/24",
            "8.8.8.0/24",
            "x",
            "10.0.0.0",
            "010.0.0.0/16",
            "10.0.0.0/016",
            "172.0.0.0/12",
            "192.168.0.0/15",
        ] {
            assert!(parse_network_cidr(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn container_networks_give_way_to_the_pool_network() {
        let service = DEFAULT_SERVICE_CIDR.parse().unwrap();
        let pick = |network: &str| default_container_cidr(&network.parse().unwrap(), &service).unwrap().to_string();
        assert_eq!(pick("192.168.0.0/16"), "172.16.0.0/16");
        assert_eq!(pick("172.16.0.0/12"), "10.0.0.0/16");
    }
}
