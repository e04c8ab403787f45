mod catalogue;

use super::*;
use crate::fixture::{World, call, home, operator, project, root, user};
use crate::{Idempotency, QuotaKind};
use domain::catalogue::{CpuArch, Flavor, FlavorKind};
use domain::iam::AccessKey;
use domain::name::{DisplayName, FlavorName, NetworkName, TemplateName, UserId};
use domain::plugin::TemplateKind;
use domain::pool::draft::{NetworkDraft, Patched};
use domain::workspace::Workspace;
use secrecy::SecretString;
use std::time::Duration;
use store::CounterKey;

fn taken<T: std::fmt::Debug>(outcome: Result<T, ServiceError>) -> bool {
    matches!(outcome, Err(ServiceError::AlreadyExists(ExistsKind::Named { .. })))
}

fn refused<T: std::fmt::Debug>(outcome: Result<T, ServiceError>) -> String {
    match outcome {
        Err(ServiceError::Refused(reason)) => reason,
        other => panic!("not refused: {other:?}"),
    }
}

fn invalid<T: std::fmt::Debug>(outcome: Result<T, ServiceError>) -> String {
    match outcome {
        Err(ServiceError::Invalid(errors)) => errors.to_string(),
        other => panic!("not invalid: {other:?}"),
    }
}

fn domain_named(name: &str) -> DomainChange {
    DomainChange {
        name: Some(name.to_owned()),
    }
}

fn flavor(name: &str) -> Flavor {
    Flavor::plain(FlavorName::parse(name).unwrap(), CpuArch::X86, 8, 32)
}

#[tokio::test]
async fn all_of_it_is_for_operators_only() {
    let world = World::new().await;
    let (service, ctx) = (&world.service, call(Role::User));
    let denied = |error: ServiceError| assert!(matches!(error, ServiceError::ActionDenied { .. }), "{error:?}");
    let (id, name) = (root(), FlavorName::parse("x").unwrap());
    let domain = service.find_domain(&ctx.principal.domain).unwrap().id.clone();
    denied(service.create_domain(&ctx, || Ok(domain_named("x"))).await.unwrap_err());
    denied(service.list_domains(&ctx.principal).unwrap_err());
    denied(service.update_domain(&ctx, &domain, || Ok(domain_named("x"))).await.unwrap_err());
    denied(service.delete_domain(&ctx, &domain).await.unwrap_err());
    denied(service.create_project(&ctx, || Ok(project(&domain, "x"))).await.unwrap_err());
    denied(service.list_projects(&ctx.principal, None).unwrap_err());
    denied(service.delete_project(&ctx, &home()).await.unwrap_err());
    denied(service.create_user(&ctx, || Ok(user(&domain, "x", &[]))).await.unwrap_err());
    denied(service.show_user(&ctx.principal, &id).unwrap_err());
    denied(service.update_user(&ctx, &id, || Ok(UserChange::default())).await.unwrap_err());
    denied(service.delete_user(&ctx, &id).await.unwrap_err());
    denied(service.list_access_keys(&ctx.principal, None).unwrap_err());
    denied(service.create_flavor(&ctx, || Ok(flavor("x"))).await.unwrap_err());
    denied(service.update_flavor(&ctx, &name, |_| Ok(flavor("x"))).await.unwrap_err());
    denied(service.delete_flavor(&ctx, &name).await.unwrap_err());
    denied(service.all_templates(&ctx.principal).unwrap_err());
    denied(service.installation_config(&ctx.principal).unwrap_err());
    denied(
        service
            .update_installation_config(&ctx, |config| Ok(config.clone()))
            .await
            .unwrap_err(),
    );
}

#[tokio::test]
async fn names_are_unique_within_their_parent() {
    let world = World::new().await;
    let (one, two) = (world.domain("one").await, world.domain("two").await);
    let service = &world.service;
    assert!(taken(service.create_domain(&operator(), || Ok(domain_named("one"))).await));
    assert!(taken(service.update_domain(&operator(), &two, || Ok(domain_named("one"))).await));
    world.project(&one, "mill").await;
    assert!(taken(service.create_project(&operator(), || Ok(project(&one, "mill"))).await));
    world.project(&two, "mill").await;
    world.user(&one, "ada", &[]).await;
    assert!(taken(service.create_user(&operator(), || Ok(user(&one, "ada", &[]))).await));
    let other = world.user(&two, "ada", &[]).await;
    world.user(&two, "bob", &[]).await;
    let rename = |name: &str| UserChange {
        name: Some(name.to_owned()),
        ..UserChange::default()
    };
    assert!(taken(service.update_user(&operator(), &other, || Ok(rename("bob"))).await));
    // Its own name is not in its way, and a name that was given up is free.
    service.update_user(&operator(), &other, || Ok(rename("ada"))).await.unwrap();
    service.update_user(&operator(), &other, || Ok(rename("eve"))).await.unwrap();
    world.user(&two, "ada", &[]).await;
}

#[tokio::test]
async fn names_stay_unique_when_two_replicas_give_them_away_at_the_same_time() {
    let world = World::new().await;
    let domain = world.domain("one").await;
    // Its index does not follow, so it decides on what is true no more.
    let late = world.replica().await.service;
    world.domain("two").await;
    assert!(taken(late.create_domain(&operator(), || Ok(domain_named("two"))).await));
    let late = world.replica().await.service;
    world.user(&domain, "ada", &[]).await;
    assert!(taken(late.create_user(&operator(), || Ok(user(&domain, "ada", &[]))).await));
    let late = world.replica().await.service;
    world.project(&domain, "mill").await;
    assert!(taken(late.create_project(&operator(), || Ok(project(&domain, "mill"))).await));
}

#[tokio::test]
async fn of_many_who_want_a_name_at_once_one_gets_it() {
    let world = World::new().await;
    let domain = world.domain("one").await;
    let tries = (0..8).map(|_| {
        let (service, wanted) = (world.service.clone(), project(&domain, "mill"));
        tokio::spawn(async move { service.create_project(&operator(), || Ok(wanted.clone())).await })
    });
    let mut made = 0;
    for task in tries.collect::<Vec<_>>() {
        made += usize::from(task.await.unwrap().is_ok());
    }
    assert_eq!(made, 1);
    assert_eq!(world.service.list_projects(&operator().principal, Some(&domain)).unwrap().len(), 1);
}

#[tokio::test]
async fn nothing_is_put_into_a_domain_while_it_is_deleted() {
    let world = World::new().await;
    let domain = world.domain("one").await;
    let late = world.replica().await.service;
    world.user(&domain, "ada", &[]).await;
    assert!(refused(late.delete_domain(&operator(), &domain).await).contains("1 users"));
    let empty = world.domain("two").await;
    let late = world.replica().await.service;
    world.service.delete_domain(&operator(), &empty).await.unwrap();
    let message = invalid(late.create_project(&operator(), || Ok(project(&empty, "mill"))).await);
    assert!(message.starts_with("domain: "), "{message}");
}

#[tokio::test]
async fn a_project_comes_with_its_default_workspace_and_goes_with_everything_of_it() {
    let world = World::new().await;
    let domain = world.domain("one").await;
    let mill = world.project(&domain, "mill").await;
    let ada = world.user(&domain, "ada", &[(&mill, Role::User)]).await;
    let service = &world.service;
    let workspaces = |of| service.state().index().read().get::<Workspace>(of, "0").is_some();
    assert!(workspaces(&mill));
    service.delete_project(&operator(), &mill).await.unwrap();
    assert!(!workspaces(&mill));
    assert!(service.show_user(&operator().principal, &ada).unwrap().object.roles.is_empty());
    assert!(matches!(
        service.show_project(&operator().principal, &mill),
        Err(ServiceError::NotFound(_))
    ));
}

fn network() -> NetworkDraft {
    NetworkDraft {
        display_name: DisplayName::parse("network-21e1").unwrap(),
        workspace: None,
        labels: BTreeMap::new(),
        annotations: BTreeMap::new(),
        description: None,
        cidr: "192.168.128.0/17".parse().unwrap(),
        ipv6: false,
        peers: Vec::new(),
        sfs_turbo: Vec::new(),
    }
}

/// A call about another project.
fn about(project: &ProjectId) -> CallContext {
    let mut ctx = operator();
    ctx.principal.roles.insert(project.clone(), Role::Operator);
    ctx.project = project.clone();
    ctx
}

#[tokio::test]
async fn a_project_that_holds_something_stays_even_if_it_came_at_the_last_moment() {
    let world = World::new().await;
    let domain = world.domain("one").await;
    let mill = world.project(&domain, "mill").await;
    let late = world.replica().await.service;
    world.service.create_network(&about(&mill), || Ok(network())).await.unwrap();
    assert!(refused(world.service.delete_project(&operator(), &mill).await).contains("1 networks"));
    assert!(refused(late.delete_project(&operator(), &mill).await).contains("1 networks"));
    let name = NetworkName::of(&DisplayName::parse("network-21e1").unwrap(), &mill);
    world.service.delete_network(&about(&mill), &name).await.unwrap();
    late.state().refresh().await.unwrap();
    late.delete_project(&operator(), &mill).await.unwrap();
}

#[tokio::test]
async fn the_quota_of_a_project_counts_from_the_next_request() {
    let world = World::new().await;
    let domain = world.domain("one").await;
    let mill = world.project(&domain, "mill").await;
    let quota = ProjectChange {
        quota: QuotaChange {
            pools: Patched::Unchanged,
            networks: Patched::Set(0),
        },
        ..ProjectChange::default()
    };
    world
        .service
        .update_project(&operator(), &mill, || Ok(quota.clone()))
        .await
        .unwrap();
    let refusal = world.service.create_network(&about(&mill), || Ok(network())).await;
    assert_eq!(refusal.unwrap_err(), ServiceError::QuotaExceeded(QuotaKind::Network));
}

#[tokio::test]
async fn roles_are_in_projects_that_exist() {
    let world = World::new().await;
    let domain = world.domain("one").await;
    let nowhere = ProjectId::parse(&"f".repeat(32)).unwrap();
    let wanted = user(&domain, "ada", &[(&nowhere, Role::User)]);
    let message = invalid(world.service.create_user(&operator(), || Ok(wanted)).await);
    assert!(message.starts_with(&format!("roles.{nowhere}: ")), "{message}");
    let mill = world.project(&domain, "mill").await;
    let late = world.replica().await.service;
    world.service.delete_project(&operator(), &mill).await.unwrap();
    let wanted = user(&domain, "ada", &[(&mill, Role::User)]);
    invalid(late.create_user(&operator(), || Ok(wanted)).await);
}

#[tokio::test]
async fn somebody_can_always_call_the_operator_functions() {
    let world = World::new().await;
    let domain = world.domain("one").await;
    let service = &world.service;
    let demoted = || UserChange {
        roles: BTreeMap::from([(home(), Some(Role::User))]),
        ..UserChange::default()
    };
    let off = ProjectChange {
        is_enabled: Some(false),
        ..ProjectChange::default()
    };
    let last = "the last operator cannot be taken away";
    assert_eq!(refused(service.delete_user(&operator(), &root()).await), last);
    assert_eq!(refused(service.update_user(&operator(), &root(), || Ok(demoted())).await), last);
    assert_eq!(refused(service.delete_project(&operator(), &home()).await), last);
    assert_eq!(
        refused(service.update_project(&operator(), &home(), || Ok(off.clone())).await),
        last
    );
    let second = world.user(&domain, "second", &[(&home(), Role::Operator)]).await;
    let late = world.replica().await.service;
    service.delete_user(&operator(), &root()).await.unwrap();
    // It still believes in two of them.
    assert_eq!(refused(late.delete_user(&operator(), &second).await), last);
}

#[tokio::test]
async fn keys_and_tokens_go_with_their_user() {
    let world = World::new().await;
    let domain = world.domain("one").await;
    let ada = world.user(&domain, "ada", &[]).await;
    let service = &world.service;
    let request = |lifetime| KeyRequest {
        description: String::new(),
        lifetime,
    };
    service.create_access_key(&operator(), &ada, || Ok(request(None))).await.unwrap();
    let login = crate::accounts::LoginRequest {
        proof: crate::accounts::Proof::Password {
            user: crate::accounts::UserReference::Id(ada.clone()),
            password: SecretString::from(crate::fixture::PASSWORD),
        },
        scope: crate::accounts::WantedScope::Unscoped,
    };
    service.login(login).await.unwrap();
    let late = world.replica().await.service;
    service.create_access_key(&operator(), &ada, || Ok(request(None))).await.unwrap();
    // It does not know the second key yet, but will before it is done.
    late.delete_user(&operator(), &ada).await.unwrap();
    let left = world.replica().await.service;
    let index = left.state().index().read();
    assert_eq!(
        (
            index.all::<AccessKey>().len(),
            index.all::<Token>().len(),
            index.all::<User>().len()
        ),
        (0, 0, 1)
    );
}

#[tokio::test]
async fn a_new_password_replaces_the_old_one() {
    let world = World::new().await;
    let domain = world.domain("one").await;
    let ada = world.user(&domain, "ada", &[]).await;
    let login = |text: &str| {
        world.service.login(crate::accounts::LoginRequest {
            proof: crate::accounts::Proof::Password {
                user: crate::accounts::UserReference::Id(ada.clone()),
                password: SecretString::from(text),
            },
            scope: crate::accounts::WantedScope::Unscoped,
        })
    };
    login(crate::fixture::PASSWORD).await.unwrap();
    let change = |text: &str| UserChange {
        password: Patched::Set(SecretString::from(text)),
        ..UserChange::default()
    };
    let message = invalid(world.service.update_user(&operator(), &ada, || Ok(change("short"))).await);
    assert!(message.starts_with("password: "), "{message}");
    let outcome = world
        .service
        .update_user(&operator(), &ada, || Ok(change("battery staple")))
        .await
        .unwrap();
    assert!(outcome.object.has_password);
    assert!(login(crate::fixture::PASSWORD).await.is_err());
    assert_eq!(world.service.state().index().read().all::<Token>().len(), 0);
    login("battery staple").await.unwrap();
}

#[tokio::test]
async fn a_password_can_be_taken_away_with_its_sessions() {
    let world = World::new().await;
    let domain = world.domain("one").await;
    let ada = world.user(&domain, "ada", &[]).await;
    let login = || {
        world.service.login(crate::accounts::LoginRequest {
            proof: crate::accounts::Proof::Password {
                user: crate::accounts::UserReference::Id(ada.clone()),
                password: SecretString::from(crate::fixture::PASSWORD),
            },
            scope: crate::accounts::WantedScope::Unscoped,
        })
    };
    login().await.unwrap();
    let change = UserChange {
        password: Patched::Removed,
        ..UserChange::default()
    };
    let outcome = world.service.update_user(&operator(), &ada, || Ok(change)).await.unwrap();
    assert!(!outcome.object.has_password);
    assert!(login().await.is_err());
    assert_eq!(world.service.state().index().read().all::<Token>().len(), 0);
}

#[tokio::test]
async fn roles_that_a_change_does_not_name_stay() {
    let world = World::new().await;
    let domain = world.domain("one").await;
    let (mill, barn) = (world.project(&domain, "mill").await, world.project(&domain, "barn").await);
    let ada = world.user(&domain, "ada", &[(&mill, Role::User), (&home(), Role::Viewer)]).await;
    let change = UserChange {
        roles: BTreeMap::from([(barn.clone(), Some(Role::Viewer)), (home(), None)]),
        ..UserChange::default()
    };
    let outcome = world.service.update_user(&operator(), &ada, || Ok(change)).await.unwrap();
    assert_eq!(outcome.object.roles, BTreeMap::from([(mill, Role::User), (barn, Role::Viewer)]));
}

#[tokio::test]
async fn secrets_are_not_kept_for_repetitions() {
    let world = World::new().await;
    let ctx = CallContext {
        idempotency: Some(Idempotency {
            key: "k".to_owned(),
            request: "r".to_owned(),
        }),
        ..operator()
    };
    let request = KeyRequest {
        description: String::new(),
        lifetime: None,
    };
    world.service.create_access_key(&ctx, &root(), || Ok(request)).await.unwrap();
    let domain = ctx.principal.domain.clone();
    world.service.create_user(&ctx, || Ok(user(&domain, "ada", &[]))).await.unwrap();
    assert_eq!(world.service.count(Kind::Replay), 0);
    // Where there are none, a repetition gets the first answer.
    let first = world.service.create_domain(&ctx, || Ok(domain_named("one"))).await.unwrap();
    let again = world.service.create_domain(&ctx, || Ok(domain_named("one"))).await.unwrap();
    assert_eq!(first.object, again.object);
}

#[tokio::test]
async fn temporary_keys_are_short_lived_and_cleared_away() {
    let world = World::new().await;
    let request = |lifetime| KeyRequest {
        description: String::new(),
        lifetime,
    };
    let service = &world.service;
    let short = request(Some(Duration::from_mins(14)));
    assert!(invalid(service.create_access_key(&operator(), &root(), || Ok(short)).await).starts_with("lifetime: "));
    let temporary = service
        .create_access_key(&operator(), &root(), || Ok(request(Some(Duration::from_mins(15)))))
        .await
        .unwrap();
    assert!(temporary.key.object.is_temporary && temporary.security_token.is_some());
    world.clock.advance(Duration::from_mins(15));
    let lasting = service.create_access_key(&operator(), &root(), || Ok(request(None))).await.unwrap();
    assert!(!lasting.key.object.is_temporary && lasting.security_token.is_none());
    let left = service.list_access_keys(&operator().principal, Some(&root())).unwrap();
    assert_eq!(left, [lasting.key.object]);
    let nobody = UserId::parse("nobody").unwrap();
    let missing = service.create_access_key(&operator(), &nobody, || Ok(request(None))).await;
    assert!(matches!(missing, Err(ServiceError::NotFound(_))));
    assert!(matches!(
        service.list_access_keys(&operator().principal, Some(&nobody)),
        Err(ServiceError::NotFound(_))
    ));
}

#[tokio::test]
async fn a_change_can_be_bound_to_what_was_seen_and_tried_without_effect() {
    let world = World::new().await;
    let domain = world.domain("one").await;
    let service = &world.service;
    let seen = service.show_domain(&operator().principal, &domain).unwrap().revision.unwrap();
    let bound = CallContext {
        if_match: Some(vec![seen]),
        ..operator()
    };
    let dry = CallContext {
        is_dry_run: true,
        ..operator()
    };
    service.update_domain(&dry, &domain, || Ok(domain_named("two"))).await.unwrap();
    service.update_domain(&bound, &domain, || Ok(domain_named("three"))).await.unwrap();
    let stale = service.update_domain(&bound, &domain, || Ok(domain_named("four"))).await;
    assert_eq!(stale.unwrap_err(), ServiceError::Stale);
}
