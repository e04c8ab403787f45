//! Monitoring of a pool (contract pools §11): samples that the fleet reports and the store keeps.
//!
//! Nothing is collected while nobody asks. Whoever asks for a span gets what is stored of it; what is not is asked of the
//! fleet, and kept from then on for [`RETENTION`].

use crate::context::{CallContext, Service};
use crate::error::ServiceError;
use auth::Action;
use domain::field::FieldErrors;
use domain::meta::Uid;
use domain::name::{NodeName, PoolName};
use domain::node::Node;
use domain::pool::Pool;
use domain::sample::{Metric, Minute, RETENTION, SampleHour, merge, minute_of};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::sync::Arc;
use store::{Expect, Key, Kind, Object, TypedBatch};

/// Records that one look-up may read, and one clearing may look at.
const PAGE: NonZeroU32 = NonZeroU32::new(1_000).unwrap();

/// What is asked for: whole minutes since the epoch, the last one not included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    pub from: i64,
    pub to: i64,
    /// Minutes of one point, at least 1.
    pub period: i64,
}

/// The points of a span, by the minute that each begins with.
#[derive(Debug, Clone)]
pub struct Monitoring {
    pub points: Vec<(i64, Minute)>,
    pub has_npus: bool,
    /// Id of the cluster that the numbers are of.
    pub cluster: Uid,
}

impl Service {
    /// Points of a span; without samples a point is empty.
    pub async fn monitor_pool(
        &self,
        ctx: &CallContext,
        name: &PoolName,
        read: impl FnOnce(Timestamp) -> Result<Span, FieldErrors>,
    ) -> Result<Monitoring, ServiceError> {
        let pool = self.find_pool(ctx, Action::PoolGet, name)?;
        let now = self.now();
        let span = read(now)?;
        let root = self.root_of(&pool.object);
        let cluster = root.as_ref().map_or_else(|| pool.uid.clone(), |root| root.uid.clone());
        let minutes = match &root {
            None => BTreeMap::new(),
            Some(root) => self.minutes_of(&pool.object, root, span, now).await?,
        };
        Ok(Monitoring {
            points: points(&minutes, span),
            has_npus: root.is_some_and(|root| self.has_npus(&root)),
            cluster,
        })
    }

    /// The pool that has the machines; `None` for a request that nobody has approved yet.
    fn root_of(&self, pool: &Arc<Pool>) -> Option<Arc<Pool>> {
        let Some(spec) = pool.logical() else {
            return Some(Arc::clone(pool));
        };
        let root = spec.root.as_ref()?;
        let found = self.parts.state.index().read().get::<Pool>(&root.project, &root.name);
        found.map(|root| root.object)
    }

    /// A logical pool is what its nodes are, if any are bound to it; otherwise it has its share of the whole.
    async fn minutes_of(&self, pool: &Pool, root: &Pool, span: Span, now: Timestamp) -> Result<BTreeMap<i64, Minute>, ServiceError> {
        let since = |minute: i64| minute.max(minute_of(now.saturating_sub(RETENTION).unwrap_or(Timestamp::MIN)));
        let (from, to) = (since(span.from), span.to.min(minute_of(now) + 1));
        if !pool.is_physical() {
            let bound = self.bound_nodes(pool, root);
            if !bound.is_empty() {
                return self.ask(&root.uid, from, to, Some(&bound)).await;
            }
        }
        self.kept(&root.uid, from, to, now).await
    }

    fn bound_nodes(&self, pool: &Pool, root: &Pool) -> BTreeSet<NodeName> {
        let index = self.parts.state.index().read();
        let nodes = index.under::<Node>(store::index::Facet::NodesOfPool, root.uid.as_str());
        let bound = nodes.iter().filter(|node| node.quota.as_ref() == Some(&pool.name));
        bound.map(|node| node.name.clone()).collect()
    }

    async fn ask(&self, pool: &Uid, from: i64, to: i64, nodes: Option<&BTreeSet<NodeName>>) -> Result<BTreeMap<i64, Minute>, ServiceError> {
        if from >= to {
            return Ok(BTreeMap::new());
        }
        let samples = self.parts.fleet.samples(pool, from..to, nodes).await;
        samples.map_err(|error| ServiceError::Unavailable(error.to_string()))
    }

    /// What is stored, completed by what the fleet knows.
    async fn kept(&self, pool: &Uid, from: i64, to: i64, now: Timestamp) -> Result<BTreeMap<i64, Minute>, ServiceError> {
        let mut hours = self.stored(pool, from, to).await?;
        let known = |hours: &BTreeMap<i64, SampleHour>, minute: i64| {
            hours
                .get(&minute.div_euclid(60))
                .and_then(|hour| hour.minutes.get(&minute))
                .is_some()
        };
        let missing: Vec<i64> = (from..to).filter(|minute| !known(&hours, *minute)).collect();
        let mut touched = BTreeSet::new();
        if let (Some(first), Some(last)) = (missing.first(), missing.last()) {
            let mut asked = self.ask(pool, *first, last + 1, None).await?;
            for minute in missing {
                let hour = minute.div_euclid(60);
                let slot = hours.entry(hour).or_insert_with(|| SampleHour {
                    pool: pool.clone(),
                    hour,
                    minutes: BTreeMap::new(),
                });
                slot.minutes.insert(minute, asked.remove(&minute).unwrap_or_default());
                touched.insert(hour);
            }
        }
        // The minute that is not over yet is asked for again.
        let present = minute_of(now);
        let keep = |hour: &SampleHour| {
            let mut hour = hour.clone();
            hour.minutes.retain(|minute, _| *minute < present);
            hour
        };
        let writes: Vec<SampleHour> = touched.iter().filter_map(|hour| hours.get(hour)).map(keep).collect();
        self.keep(writes, now).await;
        let minutes = hours.into_values().flat_map(|hour| hour.minutes);
        Ok(minutes.filter(|(minute, _)| (from..to).contains(minute)).collect())
    }

    async fn stored(&self, pool: &Uid, from: i64, to: i64) -> Result<BTreeMap<i64, SampleHour>, ServiceError> {
        let (first, last) = (from.div_euclid(60), to.div_euclid(60));
        let mut hours = BTreeMap::new();
        let mut after = SampleHour::key_of(pool, first - 1);
        loop {
            let page = self.parts.state.store().list(Kind::SampleHour, Some(&after), PAGE).await;
            let page = page.map_err(|error| ServiceError::Unavailable(error.to_string()))?;
            let Some(end) = page.records.last() else { break };
            after = end.key.clone();
            for record in &page.records {
                if record.key.project.as_str() != pool.as_str() {
                    return Ok(hours);
                }
                if let Ok(Object::SampleHour(found)) = Object::decode(record) {
                    if found.hour > last {
                        return Ok(hours);
                    }
                    hours.insert(found.hour, SampleHour::clone(&found));
                }
            }
            if !page.has_more {
                break;
            }
        }
        Ok(hours)
    }

    /// Keeps samples and clears away what is too old or belongs to pools that are gone. They are there to spare the fleet
    /// a question: where they cannot be written, the answer is as good.
    async fn keep(&self, hours: Vec<SampleHour>, now: Timestamp) {
        if hours.is_empty() {
            return;
        }
        let mut batch = TypedBatch::default();
        let oldest = now.saturating_sub(RETENTION).unwrap_or(Timestamp::MIN).as_second().div_euclid(3600);
        match self.parts.state.store().list(Kind::SampleHour, None, PAGE).await {
            Ok(page) => {
                let index = self.parts.state.index().read();
                for record in page.records {
                    let is_old = record.key.name.parse::<i64>().is_ok_and(|hour| hour < oldest);
                    if is_old || index.pool(&Uid::from_text(&record.key.project)).is_none() {
                        batch.delete(record.key, Expect::Any);
                    }
                }
            }
            Err(error) => tracing::debug!(%error, "old samples could not be looked for"),
        }
        for hour in hours {
            batch.put(hour, Expect::Any);
        }
        if let Err(error) = self.parts.state.commit(batch).await {
            tracing::warn!(%error, "samples could not be kept");
        }
    }

    fn has_npus(&self, root: &Pool) -> bool {
        let flavors = crate::admission::flavors(&self.parts.state.index().read());
        let mut elements = root.spec.resources.iter().filter_map(|element| flavors.get(&element.flavor));
        elements.any(|flavor| flavor.npu.as_ref().is_some_and(|npu| npu.size > 0))
    }
}

/// One point for each period of the span.
fn points(minutes: &BTreeMap<i64, Minute>, span: Span) -> Vec<(i64, Minute)> {
    let mut points = Vec::new();
    let mut begin = span.from;
    while begin < span.to {
        let end = (begin + span.period).min(span.to);
        let mut point = Minute::new();
        for minute in minutes.range(begin..end).map(|(_, minute)| minute) {
            for metric in Metric::ALL {
                if let Some(values) = minute.get(metric) {
                    merge(&mut point, *metric, *values);
                }
            }
        }
        points.push((begin, point));
        begin = end;
    }
    points
}

/// The key of a stored hour.
trait HourKey {
    fn key_of(pool: &Uid, hour: i64) -> Key;
}

impl HourKey for SampleHour {
    fn key_of(pool: &Uid, hour: i64) -> Key {
        Key::new(Kind::SampleHour, pool.as_str(), format!("{hour:010}"))
    }
}
