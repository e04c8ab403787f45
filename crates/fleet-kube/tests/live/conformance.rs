//! The suite that every fleet must pass, over the real server.

use crate::lab::{Lab, flavor, live, start, with_lab, zone};
use crate::server::Server;
use crate::site::{pause, release_type};
use domain::meta::Uid;
use domain::name::TemplateName;
use fleet::Fleet;
use fleet::conformance::{CHECKS, Subject};
use futures::FutureExt;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DeleteParams, DynamicObject, ListParams, PostParams};
use kube::{Api, Client};
use kube_fake::Life;
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// The type of Flux's releases.
const DEFINITION: &str = "helmreleases.helm.toolkit.fluxcd.io";
/// The check that needs it.
const OF_CHARTS: &str = "a plug-in comes, changes and goes";

#[test]
fn it_conforms() {
    live(async |server| {
        let client = server.client().await;
        let has_charts = define(&client).await;
        let result = std::panic::AssertUnwindSafe(all(&server, has_charts)).catch_unwind().await;
        if has_charts {
            let api: Api<CustomResourceDefinition> = Api::all(client.clone());
            api.delete(DEFINITION, &DeleteParams::default()).await.unwrap();
        }
        if let Err(panic) = result {
            std::panic::resume_unwind(panic);
        }
    });
}

async fn all(server: &Server, has_charts: bool) {
    // The suite's own pools.
    let pools: BTreeSet<Uid> = (1..=2)
        .map(|number| Uid::from_text(&format!("0{number}9{}", "0".repeat(29))))
        .collect();
    for (name, check) in CHECKS {
        if *name == OF_CHARTS && !has_charts {
            eprintln!("NOT RUN, because Flux is there already: {name}");
            continue;
        }
        eprintln!("{name}");
        with_lab(server, pools.clone(), async |lab: &Lab| {
            if has_charts {
                lab.site.install_charts(&lab.config.namespace);
            }
            lab.add_nodes("a", 3).await;
            lab.add_nodes("b", 3).await;
            let (again, config, scope) = (server.clone(), lab.config.clone(), lab.scope.clone());
            let subject = Subject {
                fleet: Arc::new(lab.fleet().await),
                flavor: flavor(),
                zones: [zone("a"), zone("b")],
                drivers: ["550.90.07", "570.10.01"],
                plugin: (TemplateName::parse("metrics").unwrap(), ["1.0.0", "1.1.0"]),
                reopen: Box::new(move || {
                    let (server, config, scope) = (again.clone(), config.clone(), scope.clone());
                    async move { Arc::new(start(&server, config, &Life::endless(), &scope).await) as Arc<dyn Fleet> }.boxed()
                }),
            };
            tokio::time::timeout(Duration::from_mins(1), check(&subject))
                .await
                .unwrap_or_else(|_| panic!("{name}: never came to an end"));
            lab.judge();
        })
        .await;
    }
}

/// Makes the type of Flux's releases. `false`: it is there, and so may Flux be.
async fn define(client: &Client) -> bool {
    let schema = json!({"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}});
    let version = json!({"name": "v2", "served": true, "storage": true, "schema": schema, "subresources": {"status": {}}});
    let names = json!({"kind": "HelmRelease", "plural": "helmreleases", "singular": "helmrelease", "listKind": "HelmReleaseList"});
    let definition = json!({
        "metadata": {"name": DEFINITION},
        "spec": {"group": "helm.toolkit.fluxcd.io", "scope": "Namespaced", "names": names, "versions": [version]},
    });
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    let made = api
        .create(&PostParams::default(), &serde_json::from_value(definition).unwrap())
        .await;
    if matches!(&made, Err(kube::Error::Api(status)) if status.code == 409) {
        return false;
    }
    made.unwrap();
    let objects: Api<DynamicObject> = Api::all_with(client.clone(), &release_type());
    for _ in 0..500 {
        if objects.list(&ListParams::default()).await.is_ok() {
            return true;
        }
        pause(20).await;
    }
    panic!("the type is not served");
}
