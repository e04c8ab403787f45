//! Nothing but health, version discovery and log-in answers without a sign-in: every operation of the OpenAPI document is
//! called without, with wrong and with right credentials.

use serde_json::Value;
use std::collections::BTreeSet;
use testkit::TestServer;
use testkit::client::Credential;

crate::on_both_stores!(
    every_operation_asks_who_is_calling,
    every_operator_function_refuses_others,
    the_document_is_the_checked_in_one
);

/// Operations that answer anybody.
const OPEN: [&str; 7] = [
    "GET /",
    "GET /v3",
    "GET /v3/",
    "POST /v3/auth/tokens",
    "GET /healthz",
    "GET /readyz",
    "",
];

async fn every_operation_asks_who_is_calling(server: TestServer) {
    let document = server.operator.get("/openapi.json").await.ok();
    let nobody = server.user.with_credential(Credential::None);
    let forged = server.user.with_credential(Credential::Token("forged".to_owned()));
    let mut open = BTreeSet::new();
    let mut walked = 0;
    for (method, path) in operations(&document) {
        let target = path.replace("{project_id}", &server.project).replace(['{', '}'], "");
        let content_type = "application/json";
        let verb = method.parse().unwrap();
        let answer = nobody.send(verb, &target, content_type, b"{}".to_vec()).await;
        if answer.status != 401 {
            open.insert(format!("{method} {path}"));
            continue;
        }
        walked += 1;
        let verb = method.parse().unwrap();
        let answer = forged.send(verb, &target, content_type, b"{}".to_vec()).await;
        assert_eq!(answer.status, 401, "{method} {path}");
        let verb = method.parse().unwrap();
        let answer = server.operator.send(verb, &target, content_type, b"{}".to_vec()).await;
        assert!(
            answer.status != 401 && answer.status < 500,
            "{method} {path}: {} {}",
            answer.status,
            answer.text
        );
    }
    assert_eq!(
        open,
        OPEN.into_iter().filter(|entry| !entry.is_empty()).map(ToOwned::to_owned).collect()
    );
    assert!(walked > 25, "only {walked} operations were found");
}

async fn every_operator_function_refuses_others(server: TestServer) {
    let document = server.operator.get("/openapi.json").await.ok();
    let viewer = crate::operator_accounts::somebody(&server, "looker", &server.project, "viewer").await;
    let mut walked = 0;
    for (method, path) in operations(&document).into_iter().filter(|(_, path)| path.starts_with("/admin/")) {
        // Who may not call is told so before anything else of the request is looked at.
        for target in [
            path.replace("{project_id}", &server.project).replace(['{', '}'], ""),
            format!("{}?dryRun=perhaps", path.replace(['{', '}'], "")),
        ] {
            for caller in [&viewer, &server.user] {
                let verb = method.parse().unwrap();
                let answer = caller.send(verb, &target, "application/json", b"[".to_vec()).await;
                assert_eq!(
                    (answer.status, answer.code()),
                    (403, "ModelArts.0108"),
                    "{method} {target}: {}",
                    answer.text
                );
            }
        }
        walked += 1;
    }
    assert!(walked > 40, "only {walked} operator functions were found");
}

fn operations(document: &Value) -> Vec<(String, String)> {
    let paths = document["paths"].as_object().unwrap();
    paths
        .iter()
        .flat_map(|(path, item)| {
            item.as_object()
                .unwrap()
                .keys()
                .map(move |method| (method.to_uppercase(), path.clone()))
        })
        .collect()
}

async fn the_document_is_the_checked_in_one(server: TestServer) {
    let served = server.operator.get("/openapi.json").await.ok();
    let golden: Value = serde_json::from_str(include_str!("../../openapi/poolkeeper.json")).unwrap();
    assert!(served == golden, "openapi/poolkeeper.json is out of date: run cargo xtask openapi");
}
