//! Quotas (contract tags… §6).

use serde::Serialize;
use utoipa::ToSchema;

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Quotas {
    pub quotas: QuotaResources,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct QuotaResources {
    pub resources: Vec<Quota>,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Quota {
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// −1: no limit
    pub quota: i64,
    pub used: u64,
}

impl Quotas {
    pub fn of(quotas: impl Iterator<Item = (&'static str, Option<u32>, u64)>) -> Self {
        let resources = quotas.map(|(kind, limit, used)| Quota {
            kind,
            quota: limit.map_or(-1, i64::from),
            used,
        });
        Self {
            quotas: QuotaResources {
                resources: resources.collect(),
            },
        }
    }
}

#[cfg(test)]
mod tests;
