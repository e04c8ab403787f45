//! Job types and their plug-ins (semantics §4, README §8.2 and §8.4).

use super::World;
use crate::plan::fixtures::{logical, template};
use domain::pool::JobType;
use fleet::PluginFact;
use fleet::observation::PluginState;
use insta::assert_snapshot;

/// A pool that supports these job types.
fn supporting(scope: &[JobType]) -> World {
    let mut world = World::running(&[("cpu", 1)]);
    for job_type in scope {
        world.fleet().dependencies.insert(*job_type, Ok(()));
    }
    world.want(scope);
    world.settle();
    world.install();
    world.settle();
    world.pass(24 * 3600);
    world
}

#[test]
fn a_job_type_is_enabled_when_its_plugins_run() {
    let mut world = World::running(&[("cpu", 1)]);
    world.want(&[JobType::Train]);
    assert_snapshot!(world.step(), @r"
    + plugin queue: phase 1.0 Pending since now
    pool root: +scope Train Enabling[queue Pending]
    > ensure-plugin queue 1.0
    > set-quotas root: 1-1 cpu for Train
    wake +30m
    ");
    assert_snapshot!(world.step(), @r"
    wake +30m
    ");
    world.install();
    assert_snapshot!(world.settle(), @r"
    plugin queue: phase 1.0 Pending since now -> 1.0 Running since now
    plugin queue: +reason Install complete
    plugin queue: +runs 1.0
    pool root: scope Train Enabling[queue Pending] -> Enabled[queue Running]
    ---
    nothing
    ");
}

#[test]
fn a_job_type_without_plugins_is_enabled_at_once() {
    let mut world = World::running(&[("cpu", 1)]);
    world.want(&[JobType::Notebook]);
    assert_snapshot!(world.settle(), @r"
    pool root: +scope Notebook Enabling[]
    > set-quotas root: 1-1 cpu for Notebook
    ---
    pool root: scope Notebook Enabling[] -> Enabled[]
    ---
    nothing
    ");
}

#[test]
fn a_job_type_waits_for_its_external_dependency_and_fails_with_it() {
    let mut world = World::running(&[("cpu", 1)]);
    world.want(&[JobType::Infer]);
    world.settle();
    world.install();
    assert_snapshot!(world.settle(), @r"
    plugin gateway: phase 1.0 Pending since now -> 1.0 Running since now
    plugin gateway: +reason Install complete
    plugin gateway: +runs 1.0
    plugin queue: phase 1.0 Pending since now -> 1.0 Running since now
    plugin queue: +reason Install complete
    plugin queue: +runs 1.0
    pool root: scope Infer Enabling[queue Pending, gateway Pending] -> Enabling[queue Running, gateway Running]
    ---
    nothing
    ");
    world.fleet().dependencies.insert(JobType::Infer, Err("no route".to_owned()));
    assert_snapshot!(world.settle(), @r#"
    pool root: scope Infer Enabling[queue Running, gateway Running] -> EnableFailed[queue Running, gateway Running] (the external dependency is down: no route)
    pool root: +dependency Infer {"message":"no route","network_access":{"message":"no route","status":"False","type":"Enabled"},"status":"False","type":"Enabled"}
    > set-quotas root: 1-1 cpu
    ---
    nothing
    "#);
}

#[test]
fn plugins_that_do_not_come_up_in_time_fail_their_job_type() {
    let mut world = World::running(&[("cpu", 1)]);
    world.want(&[JobType::Train]);
    world.settle();
    world.pass(30 * 60 - 1);
    assert_snapshot!(world.step(), @r"
    wake +1s
    ");
    world.pass(1);
    assert_snapshot!(world.step(), @r"
    plugin queue: phase 1.0 Pending since -30m -> 1.0 Abnormal since now
    plugin queue: +reason did not come up in time
    pool root: scope Train Enabling[queue Pending] -> EnableFailed[queue Abnormal] (plug-in queue is abnormal: did not come up in time)
    > set-quotas root: 1-1 cpu
    ");
}

#[test]
fn a_plugin_that_has_run_for_long_does_not_use_up_the_time_of_a_new_one() {
    let mut world = supporting(&[JobType::Train]);
    world.fleet().dependencies.insert(JobType::Infer, Ok(()));
    world.want(&[JobType::Train, JobType::Infer]);
    assert_snapshot!(world.step(), @r#"
    + plugin gateway: phase 1.0 Pending since now
    pool root: +dependency Infer {"message":"","network_access":{"message":"","status":"True","type":"Enabled"},"status":"True","type":"Enabled"}
    pool root: +scope Infer Enabling[queue Running, gateway Pending]
    > ensure-plugin gateway 1.0
    > set-quotas root: 1-1 cpu for Train and Infer
    wake +30m
    "#);
    world.install();
    assert_snapshot!(world.settle(), @r"
    plugin gateway: phase 1.0 Pending since now -> 1.0 Running since now
    plugin gateway: +reason Install complete
    plugin gateway: +runs 1.0
    pool root: scope Infer Enabling[queue Running, gateway Pending] -> Enabled[queue Running, gateway Running]
    ---
    nothing
    ");
}

#[test]
fn a_plugin_that_fails_fails_its_job_type_and_a_retry_installs_it_again() {
    let mut world = World::running(&[("cpu", 1)]);
    world.want(&[JobType::Train]);
    world.settle();
    world.fleet().plugins.get_mut(&template("queue")).unwrap().state = PluginState::Failed("no image".to_owned());
    assert_snapshot!(world.settle(), @r"
    plugin queue: phase 1.0 Pending since now -> 1.0 Abnormal since now
    plugin queue: +reason no image
    pool root: scope Train Enabling[queue Pending] -> EnableFailed[queue Abnormal] (plug-in queue is abnormal: no image)
    > set-quotas root: 1-1 cpu
    ---
    nothing
    ");
    // What RetryPoolScope writes.
    let now = world.now;
    world.edit(|pool| {
        pool.status.scopes[0].state = domain::pool::ScopeState::Enabling;
        pool.status.scopes[0].message = None;
    });
    world.edit_plugin("queue", |plugin| {
        plugin.ask_again(now);
    });
    assert_snapshot!(world.step(), @r"
    pool root: scope Train Enabling[queue Abnormal] -> Enabling[queue Updating]
    > ensure-plugin queue 1.0
    > set-quotas root: 1-1 cpu for Train
    wake +30m
    ");
    world.install();
    assert_snapshot!(world.settle(), @r"
    plugin queue: phase 1.0 Updating since now -> 1.0 Running since now
    plugin queue: +reason Install complete
    plugin queue: +runs 1.0
    pool root: scope Train Enabling[queue Updating] -> Enabled[queue Running]
    ---
    nothing
    ");
}

#[test]
fn a_retry_that_fails_again_is_not_repeated_by_itself() {
    let mut world = World::running(&[("cpu", 1)]);
    world.want(&[JobType::Train]);
    world.settle();
    let fail =
        |world: &mut World| world.fleet().plugins.get_mut(&template("queue")).unwrap().state = PluginState::Failed("no image".to_owned());
    fail(&mut world);
    world.settle();
    world.edit(|pool| pool.status.scopes[0].state = domain::pool::ScopeState::Enabling);
    let now = world.now;
    world.edit_plugin("queue", |plugin| {
        plugin.ask_again(now);
    });
    world.step();
    fail(&mut world);
    world.pass(60);
    assert_snapshot!(world.settle(), @r"
    plugin queue: phase 1.0 Updating since -1m -> 1.0 Abnormal since now
    plugin queue: +reason no image
    pool root: scope Train Enabling[queue Updating] (plug-in queue is abnormal: no image) -> EnableFailed[queue Abnormal] (plug-in queue is abnormal: no image)
    > set-quotas root: 1-1 cpu
    ---
    nothing
    ");
}

#[test]
fn a_job_type_is_disabled_when_its_last_workload_has_ended() {
    let mut world = supporting(&[JobType::Train, JobType::Notebook]);
    world.fleet().workloads.insert(JobType::Train, 2);
    world.want(&[JobType::Notebook]);
    assert_snapshot!(world.settle(), @r"
    pool root: scope Train Enabled[queue Running] -> Disabling[queue Running]
    > set-quotas root: 1-1 cpu for Notebook
    ---
    nothing
    ");
    world.fleet().workloads.clear();
    assert_snapshot!(world.step(), @r"
    plugin queue: phase 1.0 Running since -24h -> 1.0 Deleting since now
    pool root: scope Train Disabling[queue Running] -> Disabling[queue Deleting]
    > remove-plugin queue
    ");
    world.install();
    assert_snapshot!(world.settle(), @r"
    pool root: scope Train Disabling[queue Deleting] -> Disabled[]
    - plugin 00000000000071018101010101010101/queue
    ---
    nothing
    ");
}

/// Until the fleet has closed it, a workload may come that nobody has seen yet.
#[test]
fn a_job_type_is_not_disabled_before_the_fleet_has_closed_it() {
    let mut world = supporting(&[JobType::Train, JobType::Notebook]);
    world.put(logical("child", Some(("root", "root")), &[("cpu", 1)]));
    world.settle();
    world.want(&[JobType::Notebook]);
    assert_snapshot!(world.step_refused(), @r"
    pool root: scope Train Enabled[queue Running] -> Disabling[queue Running]
    pool child: scope Train Enabled[queue Running] -> Disabling[queue Running]
    > set-quotas root: 1-1 cpu for Notebook child: 1-1 cpu
    ");
    assert_snapshot!(world.step_refused(), @r"
    > set-quotas root: 1-1 cpu for Notebook child: 1-1 cpu
    ");
    // Closed, but for the part of a logical pool.
    world.step();
    let child = world.fleet().quotas.pop().unwrap();
    assert_snapshot!(world.step_refused(), @r"
    > set-quotas root: 1-1 cpu for Notebook child: 1-1 cpu
    ");
    world.fleet().quotas.push(child);
    assert_snapshot!(world.step(), @r"
    plugin queue: phase 1.0 Running since -24h -> 1.0 Deleting since now
    pool root: scope Train Disabling[queue Running] -> Disabling[queue Deleting]
    pool child: scope Train Disabling[queue Running] -> Disabling[queue Deleting]
    > remove-plugin queue
    ");
    world.install();
    world.settle();
    assert_snapshot!(world.scopes(), @r"
    Train Disabled
    Notebook Enabled
    ");
}

#[test]
fn a_plugin_stays_while_another_job_type_needs_it() {
    let mut world = supporting(&[JobType::Train, JobType::Infer]);
    world.want(&[JobType::Train]);
    world.settle();
    world.install();
    world.settle();
    assert_eq!(world.fleet().plugins.keys().cloned().collect::<Vec<_>>(), [template("queue")]);
    assert_snapshot!(world.scopes(), @r"
    Train Enabled
    Infer Disabled
    ");
}

#[test]
fn a_job_type_does_not_wait_for_the_workloads_of_another_one() {
    let mut world = supporting(&[JobType::Train, JobType::Infer]);
    // Both go; training still has work and keeps the plug-in that both share.
    world.fleet().workloads.insert(JobType::Train, 1);
    world.want(&[]);
    world.settle();
    world.install();
    world.settle();
    assert_snapshot!(world.scopes(), @r"
    Train Disabling
    Infer Disabled
    ");
}

#[test]
fn a_disabled_job_type_can_be_enabled_again() {
    let mut world = supporting(&[JobType::Train, JobType::Notebook]);
    world.want(&[JobType::Notebook]);
    world.settle();
    // Asked for again while it is still being taken down.
    world.want(&[JobType::Notebook, JobType::Train]);
    world.settle();
    assert_snapshot!(world.scopes(), @r"
    Train Disabling
    Notebook Enabled
    ");
    world.install();
    world.settle();
    world.install();
    world.settle();
    assert_snapshot!(world.scopes(), @r"
    Train Enabled
    Notebook Enabled
    ");
}

#[test]
fn an_enabled_job_type_outlives_a_fault_of_its_plugin() {
    let mut world = supporting(&[JobType::Train]);
    world.fleet().plugins.get_mut(&template("queue")).unwrap().state = PluginState::Failed("crashed".to_owned());
    assert_snapshot!(world.settle(), @r"
    plugin queue: phase 1.0 Running since -24h -> 1.0 Abnormal since now
    plugin queue: reason Install complete -> crashed
    pool root: scope Train Enabled[queue Running] -> Enabled[queue Abnormal]
    ---
    nothing
    ");
    world.fleet().plugins.get_mut(&template("queue")).unwrap().state = PluginState::Running;
    assert_snapshot!(world.settle(), @r"
    plugin queue: phase 1.0 Abnormal since now -> 1.0 Running since now
    plugin queue: reason crashed -> Upgrade complete
    pool root: scope Train Enabled[queue Abnormal] -> Enabled[queue Running]
    ---
    nothing
    ");
}

#[test]
fn a_plugin_that_nobody_knows_is_removed() {
    let mut world = World::running(&[("cpu", 1)]);
    let fact = PluginFact {
        version: "1.0".to_owned(),
        attempt: 1,
        running: None,
        state: PluginState::Installing,
        objects: Vec::new(),
    };
    world.fleet().plugins.insert(template("gateway"), fact);
    assert_snapshot!(world.step(), @r"
    > remove-plugin gateway
    ");
}

#[test]
fn a_plugin_of_a_user_is_brought_to_its_version_and_outlives_job_types() {
    let mut world = supporting(&[JobType::Train, JobType::Notebook]);
    let now = world.now;
    world.edit_plugin("queue", |plugin| {
        plugin.is_system = false;
        plugin.version = "2.0".to_owned();
        plugin.ask_again(now);
    });
    assert_snapshot!(world.step(), @r"
    pool root: scope Train Enabled[queue Running] -> Enabled[queue Updating]
    > ensure-plugin queue 2.0
    wake +30m
    ");
    world.install();
    assert_snapshot!(world.settle(), @r"
    plugin queue: phase 2.0 Updating since now -> 2.0 Running since now
    plugin queue: runs 1.0 -> 2.0
    plugin queue: +reason Upgrade complete
    pool root: scope Train Enabled[queue Updating] -> Enabled[queue Running]
    ---
    nothing
    ");
    world.want(&[JobType::Notebook]);
    assert_snapshot!(world.settle(), @r"
    pool root: scope Train Enabled[queue Running] -> Disabling[queue Running]
    > set-quotas root: 1-1 cpu for Notebook
    ---
    pool root: scope Train Disabling[queue Running] -> Disabled[]
    ---
    nothing
    ");
}

#[test]
fn a_job_type_whose_plugin_is_not_in_the_catalogue_cannot_be_enabled() {
    let mut world = World::running(&[("cpu", 1)]);
    world.catalogue.templates.remove(&template("queue"));
    world.want(&[JobType::Train]);
    assert_snapshot!(world.settle(), @r"
    pool root: +scope Train Enabling[]
    > set-quotas root: 1-1 cpu for Train
    ---
    pool root: scope Train Enabling[] -> EnableFailed[] (there is no template for plug-in queue)
    > set-quotas root: 1-1 cpu
    ---
    nothing
    ");
}
