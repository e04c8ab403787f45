//! Monitoring of pools (contract pools §11, tags… §9).

use super::pools::pool_name;
use crate::app::App;
use crate::call::Call;
use crate::error::ApiError;
use crate::render;
use axum::extract::State;
use axum::response::Response;
use service::monitor::Span;
use service::runtime::{Amounts, PoolMetrics};
use wire::monitor::{self as body, MetricsRow, Statistic, WorkloadRow};

pub(crate) async fn show(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let ctx = call.context()?;
    let mut statistic = Statistic::Maximum;
    let read = |now| {
        let range = body::read_range(&call.query()?, now)?;
        statistic = range.statistic;
        Ok(Span {
            from: range.from,
            to: range.to,
            period: range.period,
        })
    };
    let found = app.service().monitor_pool(&ctx, &pool_name(&call)?, read).await?;
    Ok(render::json(&body::PoolMonitor::of(
        &found.points,
        statistic,
        found.has_npus,
        &found.cluster.hyphenated(),
    )))
}

pub(crate) async fn runtime(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let all = app.service().runtime_metrics(&call.context()?).await?;
    let now = app.parts.clock.now();
    let item = |metrics: &PoolMetrics| {
        let rest = |of: &Amounts| -> Amounts {
            let less = |name: &String, amount: &u64| amount.saturating_sub(metrics.allocated.get(name).copied().unwrap_or(0));
            of.iter().map(|(name, amount)| (name.clone(), less(name, amount))).collect()
        };
        body::PoolMetrics {
            metadata: body::PoolMetricsMetadata {
                name: metrics.pool.name.to_string(),
                labels: wire::pool::labels(&metrics.pool),
            },
            table: body::MetricsTable {
                allocated: MetricsRow::of(&metrics.allocated, None, now),
                capacity: MetricsRow::of(&metrics.capacity, Some(&metrics.max_capacity), now),
                available: MetricsRow::of(&rest(&metrics.capacity), Some(&rest(&metrics.max_capacity)), now),
                workload: WorkloadRow::of(&metrics.placed, &metrics.waiting, now),
            },
        }
    };
    Ok(render::json(&body::PoolMetricsList {
        api_version: "v2",
        kind: "PoolMetricsList",
        items: all.iter().map(item).collect(),
    }))
}
