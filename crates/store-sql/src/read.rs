//! Reading. Every answer comes from one statement, hence from one moment.

use crate::error::Fault;
use crate::sql::{SqlText, Value};
use crate::tables::{kind, number, revision as revision_at, text};
use domain::meta::Revision;
use sqlx::any::AnyRow;
use sqlx::{AnyPool, Executor};
use std::num::NonZeroU32;
use std::sync::Arc;
use store::mem::put_in_order;
use store::{Change, Changes, CounterKey, Key, Kind, Page, Record, StoreError};

pub(crate) async fn get(pool: &AnyPool, key: &Key) -> Result<Option<Record>, Fault> {
    let row = sqlx::query("SELECT revision, body FROM object WHERE kind = $1 AND project = $2 AND name = $3")
        .bind(key.kind.as_str())
        .bind(key.project.as_str())
        .bind(key.name.as_str())
        .fetch_optional(pool)
        .await?;
    row.map(|row| {
        Ok(Record {
            key: key.clone(),
            revision: revision_at(&row, 0)?,
            body: Arc::from(text(&row, 1)?),
        })
    })
    .transpose()
}

pub(crate) async fn list(pool: &AnyPool, kind: Kind, after: Option<&Key>, limit: NonZeroU32) -> Result<Page, Fault> {
    // All keys of one kind come before those of the next.
    let after = match after {
        Some(key) if key.kind > kind => {
            return Ok(Page {
                records: Vec::new(),
                has_more: false,
            });
        }
        Some(key) if key.kind == kind => Some(key),
        Some(_) | None => None,
    };
    let rows = listing(kind, after, i64::from(limit.get()) + 1).query().fetch_all(pool).await?;
    let has_more = rows.len() > limit.get() as usize;
    let records = rows.iter().take(limit.get() as usize).map(|row| {
        Ok(Record {
            key: Key::new(kind, text(row, 0)?, text(row, 1)?),
            revision: revision_at(row, 2)?,
            body: Arc::from(text(row, 3)?),
        })
    });
    Ok(Page {
        records: records.collect::<Result<_, Fault>>()?,
        has_more,
    })
}

pub(crate) fn listing(kind: Kind, after: Option<&Key>, limit: i64) -> SqlText<'_> {
    let mut text = SqlText::new("SELECT project, name, revision, body FROM object WHERE kind = ");
    text.value(Value::Text(kind.as_str()));
    if let Some(key) = after {
        text.push(" AND (project, name) > (");
        text.value(Value::Text(&key.project));
        text.push(", ");
        text.value(Value::Text(&key.name));
        text.push(")");
    }
    text.push(" ORDER BY project, name LIMIT ");
    text.value(Value::Number(limit));
    text
}

pub(crate) async fn revision(pool: &AnyPool) -> Result<Revision, Fault> {
    let row = pool.fetch_one("SELECT revision FROM meta WHERE id = 1").await?;
    revision_at(&row, 0)
}

pub(crate) async fn counters(pool: &AnyPool) -> Result<Vec<(CounterKey, u64)>, Fault> {
    let rows = pool.fetch_all("SELECT name, value FROM counter ORDER BY name").await?;
    rows.iter()
        .map(|row| Ok((CounterKey::new(text(row, 0)?), number(row, 1)?.cast_unsigned())))
        .collect()
}

/// `$1`: after which revision; `$2`: at most how many; `$3`: one more; `$4`: one less.
///
/// `page` has the revisions of the next changes, one more than wanted, so that `bound` is where the page ends if there
/// are more. Then everything up to there is taken, which is the whole of the last revision. The first row says up to where
/// that is, and up to where deletions are forgotten.
pub(crate) const CHANGES: &str = "\
WITH page AS (
    SELECT revision FROM (SELECT revision FROM object WHERE revision > $1 ORDER BY revision LIMIT $3) AS objects
    UNION ALL
    SELECT revision FROM (
        SELECT t.revision FROM tombstone AS t
        WHERE t.revision > $1 AND NOT EXISTS (
            SELECT 1 FROM object AS o WHERE o.kind = t.kind AND o.project = t.project AND o.name = t.name
        )
        ORDER BY t.revision LIMIT $3
    ) AS tombstones
    UNION ALL
    SELECT revision FROM (SELECT revision FROM counter WHERE revision > $1 ORDER BY revision LIMIT $3) AS counters
), bound AS (
    SELECT CASE
        WHEN (SELECT COUNT(*) FROM page) > $2 THEN (SELECT revision FROM page ORDER BY revision LIMIT 1 OFFSET $4)
        ELSE 9223372036854775807
    END AS revision
)
SELECT
    'm' AS what, '' AS kind, '' AS project, '' AS name, '' AS body,
    CASE WHEN bound.revision < meta.revision THEN bound.revision ELSE meta.revision END AS revision,
    meta.compacted AS value
FROM meta, bound WHERE meta.id = 1
UNION ALL
SELECT 'o', kind, project, name, body, revision, 0 FROM object
WHERE revision > $1 AND revision <= (SELECT revision FROM bound)
UNION ALL
SELECT 't', t.kind, t.project, t.name, '', t.revision, 0 FROM tombstone AS t
WHERE t.revision > $1 AND t.revision <= (SELECT revision FROM bound) AND NOT EXISTS (
    SELECT 1 FROM object AS o WHERE o.kind = t.kind AND o.project = t.project AND o.name = t.name
)
UNION ALL
SELECT 'c', '', '', name, '', revision, value FROM counter
WHERE revision > $1 AND revision <= (SELECT revision FROM bound)";

pub(crate) async fn changes(pool: &AnyPool, after: Revision, limit: NonZeroU32) -> Result<Changes, StoreError> {
    let most = i64::from(limit.get());
    // More than there can ever be is as much as there can ever be.
    let after_stored = i64::try_from(after.0).unwrap_or(i64::MAX);
    let query = sqlx::query(CHANGES).bind(after_stored).bind(most).bind(most + 1).bind(most - 1);
    let rows = query.fetch_all(pool).await.map_err(Fault::from)?;
    let (mut up_to, mut compacted, mut changes) = (Revision::default(), Revision::default(), Vec::new());
    for row in &rows {
        if text(row, 0)? == "m" {
            (up_to, compacted) = (revision_at(row, 5)?, Revision(number(row, 6)?.cast_unsigned()));
        } else {
            changes.push(change(row)?);
        }
    }
    if after < compacted {
        return Err(StoreError::Compacted(compacted));
    }
    put_in_order(&mut changes);
    Ok(Changes { changes, up_to })
}

fn change(row: &AnyRow) -> Result<Change, Fault> {
    let revision = revision_at(row, 5)?;
    let key = || Ok::<_, Fault>(Key::new(kind(text(row, 1)?)?, text(row, 2)?, text(row, 3)?));
    match text(row, 0)? {
        "o" => Ok(Change::Put(Record {
            key: key()?,
            revision,
            body: Arc::from(text(row, 4)?),
        })),
        "t" => Ok(Change::Deleted { key: key()?, revision }),
        "c" => Ok(Change::Counter {
            key: CounterKey::new(text(row, 3)?),
            value: number(row, 6)?.cast_unsigned(),
            revision,
        }),
        other => Err(Fault::Corrupt(format!("{other:?} is no change"))),
    }
}
