use super::*;
use serde_json::json;

/// Contract tags… §6, with ours for nodes.
#[test]
fn the_published_quotas_are_shown() {
    let quotas = [("pool", Some(15), 10), ("network", Some(15), 10), ("node", None, 3)];
    assert_eq!(
        serde_json::to_value(Quotas::of(quotas.into_iter())).unwrap(),
        json!({"quotas": {"resources": [
            {"type": "pool", "quota": 15, "used": 10},
            {"type": "network", "quota": 15, "used": 10},
            {"type": "node", "quota": -1, "used": 3}
        ]}})
    );
}
