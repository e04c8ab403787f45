use super::*;
use crate::testing::{any_json, assert_documented, check_errors, members, near, wrong_values};
use domain::name::{ProjectId, WorkspaceId};
use proptest::prelude::*;
use serde_json::json;

/// Contract tags… §10.
const DOCUMENTED: [(&str, &[&str]); 2] = [
    (
        "",
        &[
            "id",
            "name",
            "description",
            "owner",
            "auth_type",
            "enterprise_project_id",
            "enterprise_project_name",
            "status",
            "status_info",
            "create_time",
            "update_time",
        ],
    ),
    ("grants[]", &["user_id", "user_name", "user_type"]),
];

/// A grant is for a user; there is no other type.
const LEFT_OUT: [(&str, &[&str]); 1] = [("grants[]", &["user_type"])];

fn body() -> Value {
    json!({
        "name": "vision",
        "description": "for training",
        "auth_type": "INTERNAL",
        "grants": [{"user_id": "u-1"}, {"user_name": "ann"}],
        "enterprise_project_id": "ep-1"
    })
}

fn workspace() -> model::Workspace {
    let request = decode_create(&body()).unwrap();
    model::Workspace {
        id: WorkspaceId::parse("0192bd1b5a5870008000000000000001").unwrap(),
        project: ProjectId::parse("6f5da086876d4cd084d36f8bd3346036").unwrap(),
        name: request.name.unwrap(),
        description: request.description.unwrap(),
        owner: UserId::parse("u-0").unwrap(),
        auth: request.auth.unwrap(),
        enterprise_project: request.enterprise_project.unwrap(),
        status: model::WorkspaceStatus::Normal,
        created_at: "2024-10-24T12:42:43Z".parse().unwrap(),
        updated_at: "2024-10-24T12:42:43.5Z".parse().unwrap(),
    }
}

#[test]
fn a_workspace_is_shown_under_the_documented_names() {
    let shown = serde_json::to_value(Workspace::from(&workspace())).unwrap();
    assert_documented(&members([&shown]), &DOCUMENTED, &LEFT_OUT);
    insta::assert_json_snapshot!("workspace", shown);
}

#[test]
fn a_workspace_sent_back_as_it_is_shown_stays_as_it_is() {
    for auth in [workspace().auth, AuthType::Public, AuthType::Private] {
        let workspace = model::Workspace { auth, ..workspace() };
        let shown = serde_json::to_value(Workspace::from(&workspace)).unwrap();
        let wanted = WorkspaceRequest {
            name: Some(workspace.name),
            description: Some(workspace.description),
            auth: Some(workspace.auth),
            enterprise_project: Some(workspace.enterprise_project),
        };
        assert_eq!(decode_update(&shown), Ok(wanted));
    }
}

#[test]
fn every_member_tells_what_it_accepts() {
    insta::assert_snapshot!("wrong_values", wrong_values(&body(), decode_create));
}

#[test]
fn an_update_may_leave_everything_out() {
    assert_eq!(decode_update(&json!({})), Ok(WorkspaceRequest::default()));
    assert_eq!(decode_create(&json!({})).unwrap_err().to_string(), "name is required");
    for wrong in [json!(null), json!([]), json!("x")] {
        assert_eq!(decode_update(&wrong).unwrap_err().to_string(), "the body must be an object");
    }
}

#[test]
fn grants_are_for_internal_workspaces_only() {
    for auth in [json!("PUBLIC"), json!("PRIVATE"), json!(null)] {
        let mut body = body();
        body["auth_type"] = auth;
        assert_eq!(
            decode_update(&body).unwrap_err().to_string(),
            "grants: are for auth_type INTERNAL only"
        );
        body["grants"] = json!([]);
        assert!(decode_update(&body).is_ok());
    }
}

#[test]
fn names_and_descriptions_have_the_documented_lengths() {
    let name = |length: usize| decode_create(&json!({"name": "ä".repeat(length)})).is_ok();
    assert_eq!([3, 4, 64, 65].map(name), [false, true, true, false]);
    let description = |length: usize| decode_create(&json!({"name": "abcd", "description": "ä".repeat(length)})).is_ok();
    assert_eq!([0, 256, 257].map(description), [true, true, false]);
    assert_eq!(
        decode_create(&json!({"name": "default"})).unwrap_err().to_string(),
        "name: is reserved"
    );
}

proptest! {
    #[test]
    fn any_json_is_a_request_or_told_why_not(body in prop_oneof![any_json(), near(body())]) {
        check_errors(&body, &decode_create(&body));
        check_errors(&body, &decode_update(&body));
    }
}
