use super::*;
use crate::testing::{assert_documented, members};
use domain::meta::Uid;
use domain::name::{DisplayName, FlavorName, OrderName, PoolName, ProjectId, WorkspaceId, ZoneName};
use domain::order::{ItemAction, ItemStatus, Operation, OrderPhase, Outcome};
use domain::pool::{PeriodType, Waiting};
use serde_json::{Value, json};

/// Contract tags… §8.1.
const DOCUMENTED: [(&str, &[&str]); 4] = [
    (
        "",
        &[
            "creationTimestamp",
            "beginTimestamp",
            "endTimestamp",
            "orderName",
            "orderId",
            "resourceName",
            "resourceDisplayName",
            "workspaceId",
            "operation",
            "phase",
            "result",
            "failReason",
            "billingMode",
            "periodType",
            "periodNum",
        ],
    ),
    ("initCount[]", &COUNT),
    ("specCount[]", &COUNT),
    ("resultCount[]", &COUNT),
];
const COUNT: [&str; 5] = ["flavor", "count", "maxCount", "azs[].az", "azs[].count"];

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn count(count: u32) -> Vec<model::OrderCount> {
    vec![model::OrderCount {
        flavor: FlavorName::parse("modelarts.vm.cpu.8ud").unwrap(),
        count,
        max_count: count,
        azs: vec![domain::pool::AzCount {
            az: ZoneName::parse("az-1").unwrap(),
            count,
        }],
    }]
}

fn order(phase: OrderPhase) -> model::Order {
    model::Order {
        name: OrderName::parse("order.pool-5ed5-w4l2n").unwrap(),
        id: "CS2304191748WNW2R".to_owned(),
        project: ProjectId::parse("6f5da086876d4cd084d36f8bd3346036").unwrap(),
        pool: PoolName::parse("pool-5ed5-6f5da086876d4cd084d36f8bd3346036").unwrap(),
        pool_uid: Uid::from_text("0192bd1b5a5870008000000000000001"),
        pool_display: DisplayName::parse("pool-5ed5").unwrap(),
        workspace: WorkspaceId::default_workspace(),
        created_at: at(1_681_897_700),
        began_at: Some(at(1_681_897_701)),
        operation: Operation::Modify,
        before: count(1),
        wanted: count(3),
        phase,
        billing_mode: BillingMode::Prepaid,
        period_type: Some(PeriodType::Month),
        period_num: Some(2),
        items: Vec::new(),
    }
}

fn shown(order: &model::Order) -> Value {
    serde_json::to_value(Order::from(order)).unwrap()
}

fn ended(outcome: Outcome) -> Value {
    shown(&order(OrderPhase::Ended {
        at: at(1_681_897_800),
        outcome,
        reached: count(2),
    }))
}

#[test]
fn an_order_is_shown_under_the_documented_names() {
    let shown = ended(Outcome::Failed {
        reason: "no free machines".to_owned(),
    });
    assert_documented(&members([&shown]), &DOCUMENTED, &[]);
    insta::assert_json_snapshot!("failed", shown);
}

#[test]
fn phases_and_results_are_those_of_the_contract() {
    let reason = || "x".to_owned();
    for (shown, phase, result, fail_reason) in [
        (shown(&order(OrderPhase::Pending(Waiting::Payment))), "pending", None, None),
        (shown(&order(OrderPhase::Processing)), "processing", None, None),
        (ended(Outcome::Successed), "successed", Some("successed"), None),
        (
            ended(Outcome::PartialSuccessed { reason: reason() }),
            "partialSuccessed",
            Some("successed"),
            Some("x"),
        ),
        (ended(Outcome::Failed { reason: reason() }), "failed", Some("failed"), Some("x")),
    ] {
        assert_eq!(shown["phase"], phase);
        assert_eq!(shown.get("result").and_then(Value::as_str), result, "{phase}");
        assert_eq!(shown.get("failReason").and_then(Value::as_str), fail_reason, "{phase}");
        assert_eq!(shown["endTimestamp"] != 0, result.is_some(), "{phase}");
    }
}

#[test]
fn what_is_not_yet_is_zero_or_empty() {
    let mut order = order(OrderPhase::Pending(Waiting::Approval));
    (order.began_at, order.before) = (None, Vec::new());
    (order.billing_mode, order.period_type, order.period_num) = (BillingMode::PayPerUse, None, None);
    let shown = shown(&order);
    for (name, value) in [
        ("beginTimestamp", json!(0)),
        ("endTimestamp", json!(0)),
        ("initCount", json!([])),
        ("resultCount", json!([])),
        ("billingMode", json!("0")),
    ] {
        assert_eq!(shown[name], value, "{name}");
    }
    assert!(shown.get("periodType").is_none() && shown.get("periodNum").is_none());
}

/// Contract tags… §8.2.
#[test]
fn the_published_item_is_shown() {
    let item = model::OrderItem {
        resource: "os-node-created-zlncn".to_owned(),
        action: ItemAction::CreateNode,
        status: ItemStatus::Succeed,
        began_at: at(1_744_285_793),
        updated_at: at(1_744_285_893),
        message: String::new(),
    };
    assert_eq!(
        serde_json::to_value(OrderItem::from(&item)).unwrap(),
        json!({"resourceName": "os-node-created-zlncn", "action": "createNode", "status": "succeed",
            "beginTimestamp": "1744285793000", "updateTimestamp": "1744285893000", "message": ""})
    );
}
