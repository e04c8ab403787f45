//! What Nodes use, minute by minute, as the metrics API tells it: cores and memory. Where it is not served nothing is known, and it is
//! asked for seldom.

use crate::amount::{Amount, Amounts};
use crate::cache::Task;
use crate::context::Context;
use crate::failure::Failure;
use crate::nodes::{Nodes, pool_of};
use crate::object::Resource;
use crate::{edit, inventory, mark};
use domain::meta::Uid;
use domain::name::NodeName;
use domain::sample::{Metric, Minute, add, minute_of};
use jiff::Timestamp;
use kube::Api;
use kube::api::{DynamicObject, ListParams};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

const METRICS: Resource = Resource("metrics.k8s.io", "v1beta1", "NodeMetrics", "nodes");
/// Samples of a Node come once a minute or more often.
const PERIOD: Duration = Duration::from_secs(30);
/// How often it is looked whether the metrics API is there by now.
const SELDOM: Duration = Duration::from_mins(5);
/// Samples are remembered for so many minutes. What was asked for meanwhile the store has.
const KEPT: i64 = 180;
const PAGE: u32 = 500;

/// Cores and memory that a node used, in per cent of what it has.
type Use = [f64; 2];

/// By minute since the epoch and by pool.
type Minutes = BTreeMap<i64, BTreeMap<Uid, BTreeMap<NodeName, Use>>>;

/// The samples of the last hours.
pub struct Usage {
    context: Arc<Context>,
    nodes: Arc<Nodes>,
    minutes: Mutex<Minutes>,
}

impl Usage {
    /// Begins to ask; must be called inside a runtime.
    pub fn start(context: &Arc<Context>, nodes: &Arc<Nodes>) -> (Arc<Self>, Task) {
        let usage = Arc::new(Self {
            context: Arc::clone(context),
            nodes: Arc::clone(nodes),
            minutes: Mutex::default(),
        });
        let task = Task(tokio::spawn(Arc::clone(&usage).run()));
        (usage, task)
    }

    fn minutes(&self) -> MutexGuard<'_, Minutes> {
        self.minutes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the nodes of a pool used. Minutes of which nothing is known are left out.
    pub fn samples(&self, pool: &Uid, minutes: Range<i64>, nodes: Option<&BTreeSet<NodeName>>) -> BTreeMap<i64, Minute> {
        if minutes.is_empty() {
            return BTreeMap::new();
        }
        let known = self.minutes();
        let of_pool = known.range(minutes).filter_map(|(minute, pools)| Some((*minute, pools.get(pool)?)));
        let told = of_pool.map(|(minute, all)| {
            let mut told = Minute::default();
            for (_, used) in all.iter().filter(|(node, _)| nodes.is_none_or(|nodes| nodes.contains(*node))) {
                add(&mut told, Metric::CpuUsage, used[0]);
                add(&mut told, Metric::MemUsedRate, used[1]);
            }
            (minute, told)
        });
        told.filter(|(_, told)| *told != Minute::default()).collect()
    }

    async fn run(self: Arc<Self>) {
        loop {
            let wait = match self.look().await {
                Ok(()) => PERIOD,
                Err(failure) => {
                    tracing::debug!(%failure, "what nodes use is not known");
                    SELDOM
                }
            };
            self.context.clock.sleep_until(self.context.after(wait)).await;
        }
    }

    async fn look(&self) -> Result<(), Failure> {
        let api: Api<DynamicObject> = Api::all_with(self.context.client.clone(), &METRICS.into());
        let mut params = ListParams::default().labels(mark::POOL).limit(PAGE);
        loop {
            let page = self.context.call(api.list(&params)).await?;
            for metrics in &page.items {
                self.take(metrics);
            }
            params.continue_token = page.metadata.continue_.filter(|token| !token.is_empty());
            if params.continue_token.is_none() {
                break;
            }
        }
        let oldest = minute_of(self.context.now()) - KEPT;
        let mut minutes = self.minutes();
        *minutes = minutes.split_off(&oldest);
        Ok(())
    }

    /// What cannot be read is as good as not there.
    fn take(&self, metrics: &DynamicObject) -> Option<()> {
        let node = self.nodes.nodes.get(metrics.metadata.name.as_deref()?)?;
        let (pool, name) = (pool_of(&node)?, edit::node_name(&node)?);
        let at: Timestamp = metrics.data["timestamp"].as_str()?.parse().ok()?;
        let used: Amounts = serde_json::from_value(metrics.data["usage"].clone()).ok()?;
        let capacity = inventory::capacity(&node);
        let share = |resource: &str| {
            let of = |amounts: &Amounts| amounts.get(resource).copied().map(Amount::units);
            let (used, all) = (of(&used)?, of(&capacity)?);
            (all > 0.0).then(|| used / all * 100.0)
        };
        let shares = [share("cpu")?, share("memory")?];
        let mut minutes = self.minutes();
        let pools = minutes.entry(minute_of(at)).or_default();
        pools.entry(pool).or_default().insert(name, shares);
        Some(())
    }
}
