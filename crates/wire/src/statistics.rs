//! Pool statistics (contract pools §12).

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PoolStatistics {
    pub statistics: Statistics,
    pub operation_time: String,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Statistics {
    pub status: StatusCounts,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct StatusCounts {
    pub created: u32,
    pub creating: u32,
    pub deleting: u32,
    pub failed: u32,
    pub pending: u32,
}

/// `2025-03-27 11:48:55.446172146 +0000 UTC`
pub fn operation_time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S.%9f +0000 UTC").to_string()
}

#[cfg(test)]
mod tests;
