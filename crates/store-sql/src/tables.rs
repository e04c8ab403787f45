//! Reading and writing the picture that a group of requests is decided on.

use crate::error::Fault;
use crate::group::{Needs, Now, Picture, Right, Slot, Tally};
use crate::sql::{Rows, Value};
use domain::meta::Revision;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};
use store::{CounterKey, HolderId, Key, Kind, Lease};

pub(crate) fn text(row: &AnyRow, column: usize) -> Result<&str, Fault> {
    Ok(row.try_get::<&str, _>(column)?)
}

pub(crate) fn number(row: &AnyRow, column: usize) -> Result<i64, Fault> {
    Ok(row.try_get(column)?)
}

pub(crate) fn revision(row: &AnyRow, column: usize) -> Result<Revision, Fault> {
    let stored = number(row, column)?;
    u64::try_from(stored)
        .map(Revision)
        .map_err(|_| Fault::Corrupt(format!("{stored} is no revision")))
}

pub(crate) fn kind(text: &str) -> Result<Kind, Fault> {
    Kind::parse(text).ok_or_else(|| Fault::Corrupt(format!("{text:?} is no kind of object")))
}

pub(crate) fn signed(revision: Revision) -> Value<'static> {
    Value::Number(revision.0.cast_signed())
}

/// The revision before this group, and up to where deletions are forgotten.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Turn {
    pub(crate) before: Revision,
    pub(crate) compacted: Revision,
}

/// Waits for this writer's turn and takes the next revisions.
pub(crate) async fn take_turn(connection: &mut AnyConnection, revisions: u64) -> Result<Turn, Fault> {
    let row = sqlx::query("UPDATE meta SET revision = revision + $1 WHERE id = 1 RETURNING revision, compacted")
        .bind(revisions.cast_signed())
        .fetch_one(connection)
        .await?;
    let taken = revision(&row, 0)?;
    Ok(Turn {
        before: Revision(taken.0.saturating_sub(revisions)),
        compacted: revision(&row, 1)?,
    })
}

/// Gives back the revisions after this one.
pub(crate) async fn end_turn(connection: &mut AnyConnection, newest: Revision) -> Result<(), Fault> {
    sqlx::query("UPDATE meta SET revision = $1 WHERE id = 1")
        .bind(newest.0.cast_signed())
        .execute(connection)
        .await?;
    Ok(())
}

/// Forgets deletions up to a revision.
pub(crate) async fn compact(connection: &mut AnyConnection, up_to: Revision) -> Result<(), Fault> {
    let up_to = up_to.0.cast_signed();
    sqlx::query("DELETE FROM tombstone WHERE revision <= $1")
        .bind(up_to)
        .execute(&mut *connection)
        .await?;
    sqlx::query("UPDATE meta SET compacted = $1 WHERE id = 1")
        .bind(up_to)
        .execute(connection)
        .await?;
    Ok(())
}

pub(crate) const FIND_OBJECTS: Rows = Rows {
    before: "SELECT kind, project, name, revision FROM object WHERE (kind, project, name) IN (",
    after: ")",
};
pub(crate) const FIND_COUNTERS: Rows = Rows {
    before: "SELECT name, value FROM counter WHERE name IN (",
    after: ")",
};
pub(crate) const FIND_LEASES: Rows = Rows {
    before: "SELECT name, holder, epoch, expires_at FROM lease WHERE name IN (",
    after: ")",
};

// The conditions leave out the rows that only fill up, whose numbers are 0.
pub(crate) const PUT_OBJECTS: Rows = Rows {
    before: "INSERT INTO object (kind, project, name, revision, body) SELECT column1, column2, column3, column4, column5 FROM (",
    after: ") AS v WHERE column4 > 0 \
            ON CONFLICT (kind, project, name) DO UPDATE SET revision = excluded.revision, body = excluded.body",
};
pub(crate) const DELETE_OBJECTS: Rows = Rows {
    before: "DELETE FROM object WHERE (kind, project, name) IN (",
    after: ")",
};
pub(crate) const PUT_TOMBSTONES: Rows = Rows {
    before: "INSERT INTO tombstone (kind, project, name, revision) SELECT column1, column2, column3, column4 FROM (",
    after: ") AS v WHERE column4 > 0 ON CONFLICT (kind, project, name) DO UPDATE SET revision = excluded.revision",
};
pub(crate) const PUT_COUNTERS: Rows = Rows {
    before: "INSERT INTO counter (name, value, revision) SELECT column1, column2, column3 FROM (",
    after: ") AS v WHERE column3 > 0 ON CONFLICT (name) DO UPDATE SET value = excluded.value, revision = excluded.revision",
};
pub(crate) const PUT_LEASES: Rows = Rows {
    before: "INSERT INTO lease (name, holder, epoch, expires_at) SELECT column1, column2, column3, column4 FROM (",
    after: ") AS v WHERE column3 > 0 \
            ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, epoch = excluded.epoch, expires_at = excluded.expires_at",
};

/// Reads what a group depends on.
pub(crate) async fn load(connection: &mut AnyConnection, needs: &Needs<'_>, before: Revision) -> Result<Picture, Fault> {
    let mut picture = Picture {
        revision: before,
        ..Picture::default()
    };
    let keys: Vec<_> = needs.objects.iter().map(|key| address(key)).collect();
    for row in FIND_OBJECTS.run(connection, &keys).await? {
        let key = Key::new(kind(text(&row, 0)?)?, text(&row, 1)?, text(&row, 2)?);
        picture.objects.insert(
            key,
            Slot {
                stored: Some(revision(&row, 3)?),
                now: Now::Unchanged,
            },
        );
    }
    let names: Vec<_> = needs.counters.iter().map(|key| [Value::Text(&key.0)]).collect();
    for row in FIND_COUNTERS.run(connection, &names).await? {
        let tally = Tally {
            value: number(&row, 1)?.cast_unsigned(),
            changed: None,
        };
        picture.counters.insert(CounterKey::new(text(&row, 0)?), tally);
    }
    let names: Vec<_> = needs.leases.iter().map(|name| [Value::Text(name)]).collect();
    for row in FIND_LEASES.run(connection, &names).await? {
        let lease = lease(&row)?;
        picture.leases.insert(
            lease.name.clone(),
            Right {
                lease: Some(lease),
                is_changed: false,
            },
        );
    }
    Ok(picture)
}

fn address(key: &Key) -> [Value<'_>; 3] {
    [Value::Text(key.kind.as_str()), Value::Text(&key.project), Value::Text(&key.name)]
}

pub(crate) fn lease(row: &AnyRow) -> Result<Lease, Fault> {
    let until = text(row, 3)?;
    Ok(Lease {
        name: text(row, 0)?.to_owned(),
        holder: HolderId(text(row, 1)?.to_owned()),
        epoch: number(row, 2)?.cast_unsigned(),
        expires_at: until.parse().map_err(|_| Fault::Corrupt(format!("{until:?} is no time")))?,
    })
}

/// Writes what a group changed.
pub(crate) async fn save(connection: &mut AnyConnection, picture: &Picture) -> Result<(), Fault> {
    save_objects(connection, picture).await?;
    let counters: Vec<_> = picture
        .counters
        .iter()
        .filter_map(|(key, tally)| {
            tally
                .changed
                .map(|at| [Value::Text(&key.0), Value::Number(tally.value.cast_signed()), signed(at)])
        })
        .collect();
    PUT_COUNTERS.run(connection, &counters).await?;
    save_leases(connection, picture).await
}

async fn save_objects(connection: &mut AnyConnection, picture: &Picture) -> Result<(), Fault> {
    let (mut puts, mut deletes, mut tombstones) = (Vec::new(), Vec::new(), Vec::new());
    for (key, slot) in &picture.objects {
        let [kind, project, name] = address(key);
        match &slot.now {
            Now::Unchanged => {}
            Now::Put(at, body) => puts.push([kind, project, name, signed(*at), Value::Text(body)]),
            Now::Deleted(at) => {
                tombstones.push([kind, project, name, signed(*at)]);
                if slot.stored.is_some() {
                    deletes.push([kind, project, name]);
                }
            }
        }
    }
    PUT_OBJECTS.run(connection, &puts).await?;
    DELETE_OBJECTS.run(connection, &deletes).await?;
    PUT_TOMBSTONES.run(connection, &tombstones).await?;
    Ok(())
}

async fn save_leases(connection: &mut AnyConnection, picture: &Picture) -> Result<(), Fault> {
    let changed = picture
        .leases
        .values()
        .filter(|right| right.is_changed)
        .filter_map(|right| right.lease.as_ref());
    let changed: Vec<_> = changed.map(|lease| (lease, lease.expires_at.to_string())).collect();
    let rows: Vec<_> = changed
        .iter()
        .map(|(lease, until)| {
            [
                Value::Text(&lease.name),
                Value::Text(&lease.holder.0),
                Value::Number(lease.epoch.cast_signed()),
                Value::Text(until),
            ]
        })
        .collect();
    PUT_LEASES.run(connection, &rows).await?;
    Ok(())
}
