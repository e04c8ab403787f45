//! The use cases of pools on the store in memory.

#![expect(clippy::unwrap_used, reason = "tests end where something is missing")]

mod support;

use domain::name::PoolName;
use domain::pool::draft::{BillingDraft, Patched, PoolDraft, PoolEdit};
use domain::pool::{Pool, PoolPhase};
use domain::principal::Role;
use poolkeeper_service::{ExistsKind, Idempotency, QuotaKind, ServiceError};
use store::counters;
use support::{World, caller, flavor, logical, network, physical, project};

fn edit(draft: PoolDraft) -> PoolEdit {
    PoolEdit {
        draft,
        mentions_resources: true,
        billing: BillingDraft::default(),
        mentions_billing: false,
        order_id: Patched::Unchanged,
    }
}

async fn create(world: &World, draft: PoolDraft) -> Result<std::sync::Arc<Pool>, ServiceError> {
    world
        .service
        .create_pool(&caller(Role::Operator), || Ok(draft.clone()))
        .await
        .map(|outcome| outcome.object)
}

fn stored(world: &World, name: &PoolName) -> Option<Pool> {
    world
        .service
        .state()
        .index()
        .read()
        .get::<Pool>(project(), name)
        .map(|found| Pool::clone(&found))
}

#[tokio::test]
async fn a_created_pool_is_stored_with_its_order_and_its_promises() {
    let world = World::new(10).await;
    let pool = create(&world, physical("pool-a", 3)).await.unwrap();
    assert_eq!(pool.status.phase, PoolPhase::Creating);
    assert_eq!(pool.status.resources.counters().creating, 3);
    let index = world.service.state().index().read();
    let order = index.get::<domain::order::Order>(project(), &pool.last_order).unwrap();
    assert_eq!((order.phase.as_str(), order.wanted[0].count), ("processing", 3));
    assert_eq!(index.counter(&counters::pools_of(&project())), 1);
    assert_eq!(index.counter(&counters::promised(&flavor())), 3);
    assert_eq!(index.counter(&counters::addresses_of(&project(), &network())), 3);
}

#[tokio::test]
async fn names_collide_until_the_pool_is_gone() {
    let world = World::new(10).await;
    create(&world, physical("pool-a", 1)).await.unwrap();
    assert_eq!(
        create(&world, physical("pool-a", 1)).await.unwrap_err(),
        ServiceError::AlreadyExists(ExistsKind::Pool)
    );
}

#[tokio::test]
async fn an_invalid_body_is_told_before_a_taken_name() {
    let world = World::new(10).await;
    create(&world, physical("pool-a", 1)).await.unwrap();
    assert!(matches!(
        create(&world, physical("pool-a", 0)).await.unwrap_err(),
        ServiceError::Invalid(_)
    ));
}

#[tokio::test]
async fn the_quota_holds_when_everybody_comes_at_once() {
    let world = World::new(100).await;
    let drafts: Vec<_> = (0..40).map(|at| physical(&format!("pool-{at:02}"), 1)).collect();
    let mut attempts = Vec::new();
    for draft in drafts {
        let service = world.service.clone();
        attempts.push(tokio::spawn(async move {
            service.create_pool(&caller(Role::User), || Ok(draft.clone())).await.map(|_| ())
        }));
    }
    let mut created = 0;
    for attempt in attempts {
        match attempt.await.unwrap() {
            Ok(()) => created += 1,
            Err(error) => assert_eq!(error, ServiceError::QuotaExceeded(QuotaKind::Pool)),
        }
    }
    assert_eq!(created, 15);
}

#[tokio::test]
async fn machines_are_not_promised_twice() {
    let world = World::new(4).await;
    create(&world, physical("pool-a", 3)).await.unwrap();
    let refused = create(&world, physical("pool-b", 2)).await.unwrap_err();
    assert!(matches!(refused, ServiceError::Invalid(_)), "{refused}");
    create(&world, physical("pool-b", 1)).await.unwrap();
}

#[tokio::test]
async fn siblings_that_come_at_once_never_exceed_their_parent() {
    let world = World::new(10).await;
    let parent = create(&world, physical("pool-base", 5)).await.unwrap().name.clone();
    world.run(&parent).await;
    let mut attempts = Vec::new();
    for at in 0..8 {
        let (service, draft) = (world.service.clone(), logical(&format!("pool-{at}"), &parent, 2));
        attempts.push(tokio::spawn(async move {
            service.create_pool(&caller(Role::Operator), || Ok(draft.clone())).await.is_ok()
        }));
    }
    let mut admitted = 0;
    for attempt in attempts {
        admitted += u32::from(attempt.await.unwrap());
    }
    assert_eq!(admitted, 2);
    assert_eq!(stored(&world, &parent).unwrap().status.children, 2);
}

#[tokio::test]
async fn a_scale_out_supersedes_the_order_before_it() {
    let world = World::new(10).await;
    let pool = create(&world, physical("pool-a", 1)).await.unwrap();
    world.run(&pool.name).await;
    let patched = world
        .service
        .patch_pool(&caller(Role::User), &pool.name, |_| Ok(edit(physical("pool-a", 4))))
        .await
        .unwrap()
        .object;
    let index = world.service.state().index().read();
    let old = index.get::<domain::order::Order>(project(), &pool.last_order).unwrap();
    assert_eq!(old.phase.as_str(), "failed", "it had reached nothing");
    assert_ne!(patched.last_order, pool.last_order);
    assert_eq!((patched.generation, patched.wanted()), (2, 4));
    assert_eq!(index.counter(&counters::promised(&flavor())), 4);
}

#[tokio::test]
async fn nothing_is_written_where_nothing_changes() {
    let world = World::new(10).await;
    let pool = create(&world, physical("pool-a", 1)).await.unwrap();
    world.run(&pool.name).await;
    let before = world.service.state().index().newest();
    let same = world
        .service
        .patch_pool(&caller(Role::User), &pool.name, |_| Ok(edit(physical("pool-a", 1))))
        .await
        .unwrap();
    assert_eq!(world.service.state().index().newest(), before);
    assert!(same.revision.is_some());
}

#[tokio::test]
async fn a_repeated_key_gets_the_first_answer_and_another_body_a_refusal() {
    let world = World::new(10).await;
    let keyed = |request: &str| {
        let mut ctx = caller(Role::User);
        ctx.idempotency = Some(Idempotency {
            key: "k".to_owned(),
            request: request.to_owned(),
        });
        ctx
    };
    let first = world.service.create_pool(&keyed("a"), || Ok(physical("pool-a", 1))).await.unwrap();
    let again = world.service.create_pool(&keyed("a"), || Ok(physical("pool-a", 1))).await.unwrap();
    assert_eq!((again.revision, &again.object), (first.revision, &first.object));
    let other = world
        .service
        .create_pool(&keyed("b"), || Ok(physical("pool-b", 1)))
        .await
        .unwrap_err();
    assert_eq!(other, ServiceError::KeyReused);
    world.clock.advance(std::time::Duration::from_hours(25));
    let late = world
        .service
        .create_pool(&keyed("a"), || Ok(physical("pool-a", 1)))
        .await
        .unwrap_err();
    assert_eq!(
        late,
        ServiceError::AlreadyExists(ExistsKind::Pool),
        "the key is forgotten after a day"
    );
}

#[tokio::test]
async fn a_dry_run_writes_nothing() {
    let world = World::new(10).await;
    let mut ctx = caller(Role::User);
    ctx.is_dry_run = true;
    let before = world.service.state().index().newest();
    let outcome = world.service.create_pool(&ctx, || Ok(physical("pool-a", 1))).await.unwrap();
    assert_eq!((outcome.revision, outcome.object.wanted()), (None, 1));
    assert_eq!(world.service.state().index().newest(), before);
}

#[tokio::test]
async fn viewers_look_and_do_not_touch() {
    let world = World::new(10).await;
    let refused = world
        .service
        .create_pool(&caller(Role::Viewer), || Ok(physical("pool-a", 1)))
        .await
        .unwrap_err();
    assert_eq!(
        refused,
        ServiceError::ActionDenied {
            action: "modelarts:pool:create".to_owned()
        }
    );
    let pool = create(&world, physical("pool-a", 1)).await.unwrap();
    assert!(world.service.show_pool(&caller(Role::Viewer), &pool.name).is_ok());
}

#[tokio::test]
async fn a_parent_cannot_be_deleted_before_its_children() {
    let world = World::new(10).await;
    let parent = create(&world, physical("pool-base", 3)).await.unwrap().name.clone();
    world.run(&parent).await;
    let child = create(&world, logical("pool-sub", &parent, 2)).await.unwrap();
    let refused = world.service.delete_pool(&caller(Role::User), &parent).await.unwrap_err();
    assert_eq!(refused, ServiceError::Refused("pool has 1 logical sub-pools".to_owned()));
    world.service.delete_pool(&caller(Role::User), &child.name).await.unwrap();
    assert!(stored(&world, &child.name).is_none());
    assert_eq!(stored(&world, &parent).unwrap().status.children, 0);
    let deleting = world.service.delete_pool(&caller(Role::User), &parent).await.unwrap().object;
    assert_eq!(deleting.status.phase, PoolPhase::Deleting);
    let again = world.service.delete_pool(&caller(Role::User), &parent).await.unwrap().object;
    assert_eq!(*again, *deleting, "repeating a deletion answers the same");
}

#[tokio::test]
async fn a_failed_pool_that_still_has_machines_counts_again_while_it_is_being_deleted() {
    let world = World::new(10).await;
    let name = create(&world, physical("pool-a", 3)).await.unwrap().name.clone();
    let counts = || {
        let index = world.service.state().index().read();
        [counters::pools_of(&project()), counters::promised(&flavor())].map(|key| index.counter(&key))
    };
    assert_eq!(counts(), [1, 3]);
    world.fail(&name).await;
    assert_eq!(counts(), [0, 0]);
    let deleting = world.service.delete_pool(&caller(Role::User), &name).await.unwrap().object;
    assert_eq!(deleting.status.phase, PoolPhase::Deleting);
    assert_eq!(counts(), [1, 3], "what goes with the record in the end must have been counted");
}

#[tokio::test]
async fn a_network_stays_while_a_pool_refers_to_it() {
    let world = World::new(10).await;
    create(&world, physical("pool-a", 1)).await.unwrap();
    assert_eq!(
        world.service.delete_network(&caller(Role::User), &network()).await.unwrap_err(),
        ServiceError::NetworkInUse
    );
}
