//! Every statement of a commit and of a refresh finds its rows through an index, however the tables grow.

use super::fixture::{Place, key, options, sqlite_url};
use crate::engine::Target;
use crate::sql::{Rows, SqlText, Value};
use crate::{Options, SqlStore, read, tables};
use sqlx::{AnyConnection, AssertSqlSafe, Row};
use store::Kind;

/// The last column of each row of a plan.
async fn plan(connection: &mut AnyConnection, explain: &str, text: &SqlText<'_>) -> Vec<String> {
    let statement = format!("{explain} {}", text.text());
    let mut query = sqlx::query(AssertSqlSafe(statement));
    for value in text.values() {
        query = match value {
            Value::Text(text) => query.bind(*text),
            Value::Number(number) => query.bind(*number),
        };
    }
    let rows = query.fetch_all(connection).await.unwrap();
    rows.iter().map(|row| row.try_get::<String, _>(row.len() - 1).unwrap()).collect()
}

fn over<const N: usize>(rows: Rows, row: [Value<'static>; N]) -> SqlText<'static> {
    rows.text(&[row; 20])
}

/// All plans, of a store that is new and empty: that is when they are made.
async fn plans(options: Options, explain: &str) -> Vec<(String, String)> {
    let _store = SqlStore::open(options.clone()).await.unwrap();
    let mut connection = Target::of(&options).unwrap().writer().await.unwrap();
    let (t, n) = (Value::Text("x"), Value::Number(1));
    let after = key("a");
    let mut changes = SqlText::new(read::CHANGES);
    changes.bind([n; 4]);
    let all = [
        over(tables::FIND_OBJECTS, [t; 3]),
        over(tables::FIND_COUNTERS, [t]),
        over(tables::FIND_LEASES, [t]),
        over(tables::PUT_OBJECTS, [t, t, t, n, t]),
        over(tables::DELETE_OBJECTS, [t; 3]),
        over(tables::PUT_TOMBSTONES, [t, t, t, n]),
        over(tables::PUT_COUNTERS, [t, n, n]),
        over(tables::PUT_LEASES, [t, t, n, t]),
        read::listing(Kind::Node, None, 10),
        read::listing(Kind::Node, Some(&after), 10),
        changes,
    ];
    let mut lines = Vec::new();
    for text in all {
        let statement: String = text.text().chars().take(60).collect();
        for line in plan(&mut connection, explain, &text).await {
            lines.push((statement.clone(), line));
        }
    }
    lines
}

#[tokio::test]
async fn sqlite_scans_no_table() {
    let directory = tempfile::TempDir::new().unwrap();
    let plans = plans(options(&sqlite_url(directory.path())), "EXPLAIN QUERY PLAN").await;
    assert!(plans.iter().any(|(_, line)| line.contains("SEARCH o USING")), "{plans:#?}");
    for (statement, line) in &plans {
        let scanned = line.strip_prefix("SCAN ").unwrap_or_default().split(' ').next().unwrap_or_default();
        assert!(
            !["object", "tombstone", "counter", "lease", "meta", "o", "t"].contains(&scanned),
            "{statement}: {line}"
        );
        let may_sort = statement.starts_with("WITH page");
        assert!(may_sort || !line.contains("TEMP B-TREE"), "{statement}: {line}");
    }
}

#[tokio::test]
async fn postgres_scans_no_table() {
    let Some(place) = Place::new("plans").await else { return };
    let plans = plans(options(&place.url), "EXPLAIN").await;
    assert!(plans.iter().any(|(_, line)| line.contains("Index")), "{plans:#?}");
    for (statement, line) in &plans {
        for bad in [
            "Seq Scan",
            "Bitmap",
            "Hash Join",
            "Hash Semi Join",
            "Hash Anti Join",
            "Merge",
            "JIT",
        ] {
            assert!(!line.contains(bad), "{statement}: {line}");
        }
        let may_sort = statement.starts_with("WITH page");
        assert!(may_sort || !line.contains("Sort"), "{statement}: {line}");
    }
}
