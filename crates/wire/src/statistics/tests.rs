use super::*;
use serde_json::json;

/// Contract pools §12.
#[test]
fn the_published_statistics_are_shown() {
    let statistics = PoolStatistics {
        statistics: Statistics {
            status: StatusCounts {
                created: 9,
                creating: 0,
                deleting: 1,
                failed: 0,
                pending: 0,
            },
        },
        operation_time: operation_time("2025-03-27T11:48:55.446172146Z".parse().unwrap()),
    };
    assert_eq!(
        serde_json::to_value(statistics).unwrap(),
        json!({
            "statistics": {"status": {"created": 9, "creating": 0, "deleting": 1, "failed": 0, "pending": 0}},
            "operationTime": "2025-03-27 11:48:55.446172146 +0000 UTC"
        })
    );
}

#[test]
fn a_whole_second_has_nine_zeros() {
    assert_eq!(operation_time(Timestamp::UNIX_EPOCH), "1970-01-01 00:00:00.000000000 +0000 UTC");
}
