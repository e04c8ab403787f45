use super::*;
use crate::plan::fixtures::{self, available, logical, order, pool, start};
use domain::meta::Revision;
use domain::name::{NodeName, OrderName, PoolName};
use domain::node::DeleteCause;
use domain::order::{Operation, OrderPhase, Outcome};
use domain::pool::{Accelerator, DriverStatus, JobType, ScopeStatus, Waiting};
use store::Index;
use store::index::IndexChange;

/// What an index tells of these states of a record, one commit after the other; `None`: it is deleted.
fn tell(states: Vec<Option<Object>>) -> Vec<Touched> {
    let index = Index::default();
    let mut touched = index.subscribe();
    let mut key = None;
    let mut told = Vec::new();
    for (revision, state) in (1..).zip(states) {
        let change = match state {
            Some(object) => {
                key = Some(object.key());
                IndexChange::Put(object)
            }
            None => IndexChange::Delete(key.clone().unwrap()),
        };
        index.apply(Revision(revision), vec![change]);
        told.push(touched.try_recv().unwrap());
    }
    told
}

fn rules(found: Vec<Violation>) -> Vec<&'static str> {
    found.into_iter().map(|violation| violation.rule).collect()
}

/// The rules that the step from one object to the other breaks.
fn step(before: impl Into<Object>, after: impl Into<Object>) -> Vec<&'static str> {
    let told = tell(vec![Some(before.into()), Some(after.into())]);
    rules(audit_step(Some(&told[0].entry), Some(&told[1].entry)))
}

fn first(object: impl Into<Object>) -> Vec<&'static str> {
    let told = tell(vec![Some(object.into())]);
    rules(audit_step(None, Some(&told[0].entry)))
}

fn last(object: impl Into<Object>) -> Vec<&'static str> {
    let told = tell(vec![Some(object.into())]);
    rules(audit_step(Some(&told[0].entry), None))
}

fn with<T: Clone>(object: &T, change: impl FnOnce(&mut T)) -> T {
    let mut object = object.clone();
    change(&mut object);
    object
}

fn running() -> Pool {
    with(&pool(&[("cpu", 1)]), |pool| pool.status.phase = PoolPhase::Running)
}

fn failed() -> PoolPhase {
    PoolPhase::CreationFailed {
        message: String::new(),
        at: start(),
    }
}

#[test]
fn what_the_tables_allow_is_not_found_fault_with() {
    let pool = running();
    let quiet: [Vec<&str>; 0] = [];
    let steps = [
        step(pool.clone(), pool.clone()),
        step(
            pool.clone(),
            with(&pool, |pool| pool.status.phase = PoolPhase::Abnormal { message: String::new() }),
        ),
        step(
            pool.clone(),
            with(&pool, |pool| {
                pool.spec.resources[0].count = 2;
                pool.generation = 2;
            }),
        ),
        step(
            available("n", "cpu", "az-1"),
            with(&available("n", "cpu", "az-1"), |node| node.is_locked = true),
        ),
        first(fixtures::pool(&[("cpu", 1)])),
        first(logical("child", Some(("root", "root")), &[("cpu", 1)])),
        last(with(&pool, |pool| pool.status.phase = PoolPhase::Deleting)),
        last(with(&pool, |pool| pool.status.phase = failed())),
        last(logical("child", Some(("root", "root")), &[("cpu", 1)])),
    ];
    let loud: Vec<_> = steps.into_iter().filter(|rules| !rules.is_empty()).collect();
    assert_eq!(loud, quiet);
}

#[test]
fn illegal_phases_of_pools_are_found() {
    let pool = running();
    let rule = ["phases of pools follow their table"];
    assert_eq!(
        step(pool.clone(), with(&pool, |pool| pool.status.phase = PoolPhase::Creating)),
        rule
    );
    assert_eq!(step(pool.clone(), with(&pool, |pool| pool.status.phase = failed())), rule);
    let deleting = with(&pool, |pool| pool.status.phase = PoolPhase::Deleting);
    assert_eq!(step(deleting, pool.clone()), rule);
    assert_eq!(first(pool.clone()), rule);
    assert_eq!(last(pool), rule);
}

#[test]
fn generations_that_go_back_or_stand_still_are_found() {
    let pool = with(&running(), |pool| pool.generation = 2);
    assert_eq!(
        step(pool.clone(), with(&pool, |pool| pool.generation = 1)),
        ["a generation only grows"]
    );
    assert_eq!(
        step(pool.clone(), with(&pool, |pool| pool.spec.resources[0].count = 9)),
        ["a changed spec has a generation of its own"]
    );
    assert_eq!(
        first(with(&fixtures::pool(&[]), |pool| pool.generation = 2)),
        ["generations begin with 1"]
    );
}

#[test]
fn an_adoption_is_no_change_of_the_spec() {
    let waiting = with(&logical("child", None, &[("cpu", 1)]), |pool| {
        pool.status.phase = PoolPhase::Waiting(Waiting::Approval);
    });
    let adopted = logical("child", Some(("root", "root")), &[("cpu", 1)]);
    assert_eq!(step(waiting, adopted.clone()), [""; 0]);
    let moved = logical("child", Some(("other", "root")), &[("cpu", 1)]);
    assert_eq!(step(adopted, moved), ["a changed spec has a generation of its own"]);
}

#[test]
fn a_revision_that_goes_back_is_found() {
    let told = tell(vec![Some(running().into()), Some(running().into())]);
    assert_eq!(
        rules(audit_step(Some(&told[1].entry), Some(&told[0].entry))),
        ["a revision only grows"]
    );
}

#[test]
fn a_deletion_that_is_taken_back_is_found() {
    let deleted = with(&running(), |pool| pool.deleted_at = Some(start()));
    assert_eq!(
        step(deleted.clone(), with(&deleted, |pool| pool.deleted_at = None)),
        ["a deletion is not taken back"]
    );
}

#[test]
fn what_identifies_a_pool_or_a_node_is_held_fast() {
    let rule = ["what identifies a record never changes"];
    let pool = running();
    assert_eq!(
        step(pool.clone(), with(&pool, |pool| pool.owner.domain_name = "x".to_owned())),
        rule
    );
    let node = available("n", "cpu", "az-1");
    assert_eq!(step(node.clone(), with(&node, |node| node.flavor = fixtures::flavor("gpu"))), rule);
}

#[test]
fn a_node_changes_its_pool_only_by_a_move() {
    let node = available("n", "cpu", "az-1");
    let taken = with(&node, |node| node.pool_uid = Uid::from_text("x"));
    let rule = ["a node that changes its pool comes from the one before"];
    assert_eq!(step(node.clone(), taken.clone()), rule);
    let moved = with(&taken, |moved| {
        moved.was_available = false;
        moved.care.coming_from = Some(Box::new(domain::node::MoveFrom {
            uid: node.pool_uid.clone(),
            pool: fixtures::pool_ref("root"),
        }));
    });
    assert!(step(node, moved).is_empty());
}

#[test]
fn illegal_phases_of_nodes_are_found() {
    let rule = ["phases of nodes follow their table"];
    let node = available("n", "cpu", "az-1");
    let going = with(&node, |node| {
        node.phase = NodePhase::Deleting {
            cause: DeleteCause::ScaleIn,
            since: start(),
        }
    });
    assert_eq!(step(going, node.clone()), rule);
    assert_eq!(
        step(
            node.clone(),
            with(&node, |node| node.phase = NodePhase::Creating { deadline: start() })
        ),
        rule
    );
    assert_eq!(first(node.clone()), ["nodes begin as creating"]);
    assert_eq!(
        step(node.clone(), with(&node, |node| node.was_available = false)),
        ["a node that was available has been"]
    );
    assert_eq!(
        step(node.clone(), with(&node, |node| node.az = fixtures::zone("az-2"))),
        ["a node with a machine stays in its zone"]
    );
}

fn scope(state: ScopeState) -> Pool {
    with(&running(), |pool| {
        pool.status.scopes.push(ScopeStatus {
            job_type: JobType::Train,
            state,
            plugins: Vec::new(),
            message: None,
        });
    })
}

#[test]
fn illegal_states_of_job_types_are_found() {
    let rule = ["states of job types follow their table"];
    assert_eq!(step(scope(ScopeState::Enabled), scope(ScopeState::Disabled)), rule);
    assert_eq!(step(running(), scope(ScopeState::Enabled)), rule);
    assert_eq!(step(scope(ScopeState::Disabled), running()), rule);
    assert_eq!(step(running(), scope(ScopeState::Enabling)), [""; 0]);
}

fn driver(state: DriverState) -> Pool {
    with(&running(), |pool| {
        let status = DriverStatus {
            version: "1".to_owned(),
            target: "1".to_owned(),
            state,
            message: None,
        };
        pool.status.drivers.insert(Accelerator::Gpu, status);
    })
}

#[test]
fn illegal_states_of_drivers_are_found() {
    let rule = ["states of drivers follow their table"];
    assert_eq!(step(driver(DriverState::Creating), driver(DriverState::Upgrading)), rule);
    assert_eq!(step(driver(DriverState::Running), driver(DriverState::Creating)), rule);
    assert_eq!(step(running(), driver(DriverState::Running)), rule);
    assert_eq!(step(running(), driver(DriverState::Creating)), [""; 0]);
}

fn plugin(phase: PluginPhase) -> Plugin {
    Plugin {
        project: fixtures::project(),
        pool: PoolName::parse("root").unwrap(),
        pool_uid: fixtures::uid(1),
        template: fixtures::template("queue"),
        created_at: start(),
        version: "1.0".to_owned(),
        inputs: BTreeMap::new(),
        values: BTreeMap::new(),
        attempt: 1,
        is_system: true,
        phase,
        running_version: None,
        running_values: None,
        since: start(),
        reason: None,
    }
}

#[test]
fn illegal_phases_of_plugins_are_found() {
    assert_eq!(
        step(plugin(PluginPhase::Deleting), plugin(PluginPhase::Running)),
        ["phases of plug-ins follow their table"]
    );
    assert_eq!(first(plugin(PluginPhase::Running)), ["plug-ins begin as pending"]);
}

#[test]
fn orders_that_go_back_or_change_after_their_end_are_found() {
    let order = order(&running(), Operation::Modify, &[]);
    let pending = with(&order, |order| {
        order.phase = OrderPhase::Pending(Waiting::Payment);
        order.began_at = None;
    });
    let ended = with(&order, |order| order.end(start(), Outcome::Successed, Vec::new()));
    let skipped = with(&pending, |order| order.end(start(), Outcome::Successed, Vec::new()));
    assert_eq!(step(order.clone(), pending.clone()), ["phases of orders follow their table"]);
    assert_eq!(step(pending.clone(), skipped), ["phases of orders follow their table"]);
    assert_eq!(step(pending, ended.clone()), [""; 0]);
    assert_eq!(
        step(
            ended.clone(),
            with(&ended, |order| order.item("n", domain::order::ItemAction::CreateNode, start()))
        ),
        ["an order that has ended never changes"]
    );
    let begun = with(&order, |order| order.item("n", domain::order::ItemAction::CreateNode, start()));
    assert_eq!(step(begun, order.clone()), ["the items of an order are kept"]);
    assert_eq!(
        step(order.clone(), with(&order, |order| order.id = "other".to_owned())),
        ["what identifies a record never changes"]
    );
}

#[test]
fn an_attempt_that_is_opened_again_and_a_sequence_that_goes_back_are_found() {
    let pool = with(&running(), |pool| {
        pool.status.attempt.is_finished = true;
        pool.status.node_sequence = 5;
    });
    assert_eq!(
        step(pool.clone(), with(&pool, |pool| pool.status.attempt.is_finished = false)),
        ["a finished attempt stays finished"]
    );
    let next = with(&pool, |pool| {
        pool.status.attempt.is_finished = false;
        pool.status.attempt.order = OrderName::parse("next").unwrap();
    });
    assert_eq!(step(pool.clone(), next), [""; 0]);
    assert_eq!(
        step(pool.clone(), with(&pool, |pool| pool.status.node_sequence = 4)),
        ["sequences only grow"]
    );
}

#[test]
fn a_failed_pool_whose_name_is_taken_again_is_gone_and_another_one_is_new() {
    let old = with(&running(), |pool| pool.status.phase = failed());
    let new = with(&fixtures::pool(&[("cpu", 1)]), |pool| pool.uid = Uid::from_text("new"));
    assert_eq!(step(old, new.clone()), [""; 0]);
    assert_eq!(step(running(), new), ["phases of pools follow their table"]);
}

#[test]
fn a_trail_finds_uids_that_move_or_come_back() {
    let node = with(&available("n", "cpu", "az-1"), |node| {
        node.phase = NodePhase::Creating { deadline: start() }
    });
    let moved = with(&node, |node| node.name = NodeName::parse("m").unwrap());
    let follow = |states: Vec<Option<Object>>| {
        let mut trail = Trail::default();
        let found = tell(states).iter().flat_map(|touched| trail.follow(touched)).collect();
        rules(found)
    };
    assert_eq!(
        follow(vec![Some(node.clone().into()), Some(moved.into())]),
        ["a uid never changes its name or kind"]
    );
    assert_eq!(
        follow(vec![Some(node.clone().into()), None, Some(node.clone().into())]),
        ["a uid does not come back"]
    );
    let next = with(&node, |node| node.uid = Uid::from_text("next"));
    assert_eq!(follow(vec![Some(node.into()), None, Some(next.into())]), [""; 0]);
}
