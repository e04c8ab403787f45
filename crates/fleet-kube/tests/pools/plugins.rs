//! Plug-ins, and what job types need.

use crate::world::{World, ensure, mark, observe, run};
use domain::name::TemplateName;
use domain::pool::JobType;
use fleet::observation::PluginState;
use fleet::{Command, FleetError, Observation, PluginRequest};
use poolkeeper_fleet_kube::config::Scheduler;
use serde_json::json;
use std::time::Duration;

const RELEASES: &str = "helmreleases.helm.toolkit.fluxcd.io";

fn plugin(version: &str, attempt: u32) -> Command {
    Command::EnsurePlugin {
        pool: mark(0),
        plugin: PluginRequest {
            template: TemplateName::parse("monitor").unwrap(),
            version: version.to_owned(),
            values: [("replicas".to_owned(), json!(2))].into(),
            attempt,
        },
    }
}

/// What a chart has, with the labels of its release.
async fn deploy(world: &World, release: &str) {
    let container = |name: &str, cpu: &str| json!({"name": name, "image": "b", "resources": {"requests": {"cpu": cpu}}});
    let labels = json!({"helm.toolkit.fluxcd.io/name": release, "helm.toolkit.fluxcd.io/namespace": "poolkeeper-system"});
    let template = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [container("a", "100m"), container("b", "200m")]}});
    let spec = json!({"replicas": 2, "selector": {"matchLabels": {"a": "b"}}, "template": template});
    let deployment: k8s_openapi::api::apps::v1::Deployment =
        serde_json::from_value(json!({"metadata": {"name": "monitor", "labels": labels}, "spec": spec})).unwrap();
    let api = kube::Api::namespaced(world.cluster.client_as("flux"), "default");
    api.create(&kube::api::PostParams::default(), &deployment).await.unwrap();
}

/// What Flux does once.
fn flux(world: &World, ready: &str) {
    for (key, _) in world.cluster.objects(RELEASES) {
        world.cluster.edit(RELEASES, &key.namespace, &key.name, |release| {
            let (token, version) = (
                release["metadata"]["annotations"]["reconcile.fluxcd.io/requestedAt"].clone(),
                release["spec"]["chart"]["spec"]["version"].clone(),
            );
            release["status"] = json!({
                "observedGeneration": release["metadata"]["generation"], "lastHandledReconcileAt": token,
                "conditions": [{"type": "Ready", "status": ready, "message": "so it is"}],
                "history": [{"chartVersion": version, "status": if ready == "True" { "deployed" } else { "failed" }}],
            });
        });
    }
}

#[tokio::test(start_paused = true)]
async fn a_plugin_is_a_release_of_flux() {
    let world = World::new(Scheduler::None);
    world
        .cluster
        .define("helm.toolkit.fluxcd.io", "v2", "HelmRelease", "helmreleases")
        .await
        .unwrap();
    let fleet = world.fleet().await;
    let state = async || {
        world.pass().await;
        let seen = observe(&fleet).await;
        seen.plugins
            .into_values()
            .next()
            .map(|fact| (fact.attempt, fact.running, fact.state))
    };
    assert_eq!(
        run(&fleet, 1, &[ensure(), plugin("1.0", 1), plugin("1.0", 1)]).await,
        [Ok(()), Ok(()), Ok(())]
    );
    assert_eq!(state().await, Some((1, None, PluginState::Installing)));
    flux(&world, "True");
    assert_eq!(state().await, Some((1, Some("1.0".to_owned()), PluginState::Running)));
    let release = world.cluster.objects(RELEASES).into_keys().next().unwrap().name;
    deploy(&world, &release).await;
    world.pass().await;
    let fact = observe(&fleet).await.plugins.into_values().next().unwrap();
    let parts: Vec<_> = fact
        .objects
        .iter()
        .map(|part| (part.kind.as_str(), part.name.as_str(), part.replicas, part.requests["cpu"].as_str()))
        .collect();
    assert_eq!(parts, [("Deployment", "monitor", 2, "300m")]);
    run(&fleet, 1, &[plugin("2.0", 2)]).await;
    assert_eq!(
        state().await.map(|(attempt, _, state)| (attempt, state)),
        Some((2, PluginState::Installing))
    );
    flux(&world, "False");
    assert_eq!(state().await, Some((2, None, PluginState::Failed("so it is".to_owned()))));
    // The same again is a new attempt only under a new number.
    let version = world.cluster.version();
    run(&fleet, 1, &[plugin("2.0", 2), plugin("1.0", 1)]).await;
    assert_eq!(world.cluster.writes_since(version), 0);
    run(&fleet, 1, &[plugin("2.0", 3)]).await;
    assert_eq!(state().await, Some((3, None, PluginState::Installing)));
    flux(&world, "True");
    assert_eq!(state().await, Some((3, Some("2.0".to_owned()), PluginState::Running)));
    let template = TemplateName::parse("monitor").unwrap();
    let remove = Command::RemovePlugin { pool: mark(0), template };
    assert_eq!(run(&fleet, 1, &[remove.clone(), remove]).await, [Ok(()), Ok(())]);
    assert_eq!(state().await, None);
}

const APPLICATIONS: &str = "applications.argoproj.io";

/// A cluster with Argo CD, and perhaps Flux.
async fn with_argo(has_flux: bool) -> World {
    let mut world = World::new(Scheduler::None);
    let define = async |group, version, kind, plural| world.cluster.define(group, version, kind, plural).await.unwrap();
    define("argoproj.io", "v1alpha1", "Application", "applications").await;
    if has_flux {
        define("helm.toolkit.fluxcd.io", "v2", "HelmRelease", "helmreleases").await;
    }
    let space: k8s_openapi::api::core::v1::Namespace = serde_json::from_value(json!({"metadata": {"name": "argocd"}})).unwrap();
    let api = kube::Api::all(world.cluster.client_as("admin"));
    api.create(&kube::api::PostParams::default(), &space).await.unwrap();
    world.config.pool.argo = Some(serde_json::from_value(json!({"repository": "https://charts.example"})).unwrap());
    world
}

/// What Argo CD does once: it looks, and is at it or has got so far.
fn argo(world: &World, phase: &str) {
    for (key, _) in world.cluster.objects(APPLICATIONS) {
        world.cluster.edit(APPLICATIONS, &key.namespace, &key.name, |application| {
            application["metadata"]["annotations"]
                .as_object_mut()
                .unwrap()
                .remove("argocd.argoproj.io/refresh");
            let is_done = phase != "Running";
            if is_done {
                application.as_object_mut().unwrap().remove("operation");
            }
            let (sync, health) = if phase == "Succeeded" {
                ("Synced", "Healthy")
            } else {
                ("OutOfSync", "Missing")
            };
            application["status"] = json!({
                "operationState": {"phase": phase, "message": "so it is"}, "sync": {"status": sync}, "health": {"status": health},
                "history": [{"revision": application["spec"]["source"]["targetRevision"]}],
            });
        });
    }
}

#[tokio::test(start_paused = true)]
async fn without_flux_a_plugin_is_an_application_of_argo() {
    let world = with_argo(false).await;
    let fleet = world.fleet().await;
    let state = async || {
        world.pass().await;
        let fact = observe(&fleet).await.plugins.into_values().next();
        fact.map(|fact| (fact.attempt, fact.running, fact.state))
    };
    let results = run(&fleet, 1, &[ensure(), plugin("1.0", 1), plugin("1.0", 1)]).await;
    assert_eq!(results, [Ok(()), Ok(()), Ok(())]);
    assert_eq!(state().await, Some((1, None, PluginState::Installing)));
    argo(&world, "Running");
    assert_eq!(state().await.unwrap().2, PluginState::Installing);
    let later = run(&fleet, 1, &[plugin("2.0", 2)]).await;
    assert!(
        matches!(later[..], [Err(FleetError::Throttled { .. })]),
        "it would be dropped: {later:?}"
    );
    argo(&world, "Succeeded");
    assert_eq!(state().await, Some((1, Some("1.0".to_owned()), PluginState::Running)));
    assert_eq!(run(&fleet, 1, &[plugin("2.0", 2)]).await, [Ok(())]);
    assert_eq!(
        state().await.map(|(attempt, _, state)| (attempt, state)),
        Some((2, PluginState::Installing))
    );
    argo(&world, "Failed");
    assert_eq!(state().await.unwrap().2, PluginState::Failed("so it is".to_owned()));
    // The same again is a new attempt only under a new number.
    let version = world.cluster.version();
    run(&fleet, 1, &[plugin("2.0", 2), plugin("1.0", 1)]).await;
    assert_eq!(world.cluster.writes_since(version), 0);
    run(&fleet, 1, &[plugin("2.0", 3)]).await;
    assert_eq!(
        state().await.map(|(attempt, _, state)| (attempt, state)),
        Some((3, PluginState::Installing))
    );
    argo(&world, "Succeeded");
    assert_eq!(state().await, Some((3, Some("2.0".to_owned()), PluginState::Running)));
    // It goes once what it has made is gone.
    let template = TemplateName::parse("monitor").unwrap();
    let remove = Command::RemovePlugin { pool: mark(0), template };
    assert_eq!(run(&fleet, 1, &[remove.clone(), remove]).await, [Ok(()), Ok(())]);
    assert_eq!(state().await.unwrap().2, PluginState::Removing);
    let key = world.cluster.objects(APPLICATIONS).into_keys().next().unwrap();
    world.cluster.remove(APPLICATIONS, &key.namespace, &key.name);
    assert_eq!(state().await, None);
}

#[tokio::test(start_paused = true)]
async fn applications_go_with_their_pool() {
    let world = with_argo(false).await;
    let fleet = world.fleet().await;
    run(&fleet, 1, &[ensure(), plugin("1.0", 1)]).await;
    run(&fleet, 1, &[crate::world::remove()]).await;
    world.pass().await;
    let (key, application) = world.cluster.objects(APPLICATIONS).into_iter().next().unwrap();
    assert!(application.pointer("/metadata/deletionTimestamp").is_some());
    assert_ne!(observe(&fleet).await, Observation::default());
    world.cluster.remove(APPLICATIONS, &key.namespace, &key.name);
    for _ in 0..3 {
        world.pass().await;
    }
    assert_eq!(observe(&fleet).await, Observation::default());
}

#[tokio::test(start_paused = true)]
async fn flux_comes_before_argo_and_a_plugin_stays_where_it_is() {
    let world = with_argo(true).await;
    let fleet = world.fleet().await;
    run(&fleet, 1, &[ensure(), plugin("1.0", 1)]).await;
    assert_eq!(
        (world.cluster.objects(RELEASES).len(), world.cluster.objects(APPLICATIONS).len()),
        (1, 0)
    );
    let world = with_argo(false).await;
    let fleet = world.fleet().await;
    run(&fleet, 1, &[ensure(), plugin("1.0", 1)]).await;
    argo(&world, "Succeeded");
    world
        .cluster
        .define("helm.toolkit.fluxcd.io", "v2", "HelmRelease", "helmreleases")
        .await
        .unwrap();
    world.pass().await;
    assert_eq!(run(&fleet, 1, &[plugin("2.0", 2)]).await, [Ok(())]);
    assert_eq!(
        (world.cluster.objects(RELEASES).len(), world.cluster.objects(APPLICATIONS).len()),
        (0, 1)
    );
}

#[tokio::test(start_paused = true)]
async fn argo_must_be_told_where_a_chart_is() {
    let mut world = with_argo(false).await;
    world.config.pool.argo = Some(serde_json::from_value(json!({})).unwrap());
    let fleet = world.fleet().await;
    let results = run(&fleet, 1, &[ensure(), plugin("1.0", 1)]).await;
    assert!(
        matches!(&results[1], Err(FleetError::Refused { reason }) if reason.contains("repository")),
        "{results:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn without_flux_a_chart_is_refused() {
    let world = World::new(Scheduler::None);
    let fleet = world.fleet().await;
    let results = run(&fleet, 1, &[ensure(), plugin("1.0", 1)]).await;
    assert!(
        matches!(&results[1], Err(FleetError::Refused { reason }) if reason.contains(RELEASES)),
        "{results:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn what_job_types_need_is_told_by_what_is_missing() {
    let mut world = World::new(Scheduler::None);
    let rules: poolkeeper_fleet_kube::settings::PoolSettings = serde_json::from_value(json!({
        "requires": ["crd/jobs.example.org"],
        "scope": {"Notebook": ["storageclass/fast"]},
        "plugin": {"monitor": {"present": {"requires": ["storageclass/fast"]}}},
    }))
    .unwrap();
    world.config.pool = rules;
    let fleet = world.fleet().await;
    run(&fleet, 1, &[ensure(), plugin("1.0", 1)]).await;
    let told = |seen: &Observation, job_type| seen.dependencies[&job_type].clone();
    let seen = observe(&fleet).await;
    assert_eq!(told(&seen, JobType::Train), Err("crd/jobs.example.org is not there".to_owned()));
    assert_eq!(seen.plugins.len(), 1);
    world.cluster.define("example.org", "v1", "Job", "jobs").await.unwrap();
    world.clock.sleep_until(world.clock.now() + Duration::from_secs(40)).await;
    let seen = observe(&fleet).await;
    assert_eq!((told(&seen, JobType::Train), told(&seen, JobType::Infer)), (Ok(()), Ok(())));
    assert_eq!(told(&seen, JobType::Notebook), Err("storageclass/fast is not there".to_owned()));
    assert!(matches!(seen.plugins.values().next().unwrap().state, PluginState::Failed(_)));
}
