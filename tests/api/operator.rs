//! What operators do.

use crate::bodies::{CPU, name, pool, resources};
use secrecy::SecretString;
use serde_json::json;
use testkit::TestServer;
use testkit::client::Credential;

crate::on_both_stores!(accounts_are_made_and_used, ordinary_users_are_no_operators);

async fn accounts_are_made_and_used(server: TestServer) {
    let projects = server.operator.get("/admin/v1/projects").await.ok();
    let domain = projects["projects"][0]["domain"].clone();
    let made = server
        .operator
        .post(
            "/admin/v1/projects",
            &json!({"domain": domain, "name": "second", "quota": {"pools": 3}}),
        )
        .await
        .ok();
    let second = made["id"].as_str().unwrap();
    let user = json!({"domain": domain, "name": "somebody", "password": "long enough", "roles": {second: "viewer"}});
    let user = server.operator.post("/admin/v1/users", &user).await.ok();
    assert!(!user.to_string().contains("long enough"));
    let keys = format!("/admin/v1/users/{}/access-keys", user["id"].as_str().unwrap());
    let key = server.operator.post(&keys, &json!({"description": "of a test"})).await.ok();
    let listed = server.operator.get(&keys).await.ok();
    assert_eq!(listed["accessKeys"][0]["accessKey"], key["accessKey"]);
    assert!(
        !listed.to_string().contains(key["secretKey"].as_str().unwrap()),
        "a secret is shown once"
    );
    let credential = Credential::AccessKey {
        id: domain::name::AccessKeyId::parse(key["accessKey"].as_str().unwrap()).unwrap(),
        secret: SecretString::from(key["secretKey"].as_str().unwrap().to_owned()),
    };
    let somebody = server.user.with_credential(credential);
    assert_eq!(somebody.get(&format!("/v2/{second}/pools")).await.ok()["items"], json!([]));
    somebody
        .post(&format!("/v2/{second}/pools"), &json!({}))
        .await
        .refused(403, "ModelArts.0108");
    somebody.get(&server.pools()).await.refused(403, "ModelArts.0210");
    let id = key["accessKey"].as_str().unwrap();
    server.operator.delete(&format!("/admin/v1/access-keys/{id}")).await.ok();
    somebody
        .get(&format!("/v2/{second}/pools"))
        .await
        .refused(401, "ModelArts.50001000");
}

async fn ordinary_users_are_no_operators(server: TestServer) {
    let created = server
        .user
        .post(&server.pools(), &pool(&server, "pool-mine", resources(CPU, 1)))
        .await
        .ok();
    let mask = server.admin(&format!("pools/{}/control-mode", name(&created)));
    server
        .user
        .put(&mask, &json!({"controlMode": 8}))
        .await
        .refused(403, "ModelArts.0108");
    server.user.get("/admin/v1/users").await.refused(403, "ModelArts.0108");
    server.user.get("/admin/v1/orders").await.refused(403, "ModelArts.0108");
    server.user.post("/admin/v1/users", &json!({})).await.refused(403, "ModelArts.0108");
}
