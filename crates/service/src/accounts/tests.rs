use super::*;
use crate::admin::{KeyChange, KeyRequest, ProjectChange, UserChange};
use crate::fixture::{PASSWORD, World, operator};
use auth::{Authenticator, AuthnError, Chain, DEFAULT_SKEW, RequestView};
use clock::Clock;

fn password(user: UserReference, text: &str) -> Proof {
    Proof::Password {
        user,
        password: SecretString::from(text),
    }
}

fn named(name: &str, domain: &str) -> UserReference {
    UserReference::Name {
        name: name.to_owned(),
        domain: DomainReference::Name(domain.to_owned()),
    }
}

struct Town {
    world: World,
    user: UserId,
    project: ProjectId,
    other: ProjectId,
}

impl Town {
    /// Domain `town` with user `ada` in project `mill`, and project `forge` without her.
    async fn new() -> Self {
        let world = World::new().await;
        let domain = world.domain("town").await;
        let (project, other) = (world.project(&domain, "mill").await, world.project(&domain, "forge").await);
        let user = world.user(&domain, "ada", &[(&project, Role::User)]).await;
        Self {
            world,
            user,
            project,
            other,
        }
    }

    async fn login(&self, proof: Proof, scope: WantedScope) -> Result<Login, ServiceError> {
        self.world.service.login(LoginRequest { proof, scope }).await
    }

    async fn by_password(&self, scope: WantedScope) -> Login {
        self.login(password(UserReference::Id(self.user.clone()), PASSWORD), scope)
            .await
            .unwrap()
    }

    fn credentials(&self) -> Arc<Credentials> {
        Arc::new(Credentials::new(self.world.service.state().clone(), Arc::clone(&self.world.sealer)))
    }

    /// The caller that a token stands for, as a request with it would see it.
    fn identify(&self, token: &SecretString) -> Result<Principal, AuthnError> {
        let chain = Chain::standard(self.credentials(), DEFAULT_SKEW);
        let headers = [("x-auth-token", token.expose_secret())];
        let request = RequestView {
            method: "GET",
            path: "/",
            query: "",
            headers: &headers,
            body: auth::BodyDigest::EMPTY,
            now: self.world.clock.now(),
        };
        chain.authenticate(&request).map(Option::unwrap)
    }

    fn tokens(&self) -> usize {
        self.world.service.state().index().read().all::<Token>().len()
    }
}

#[tokio::test]
async fn a_right_password_gives_a_token_of_the_wanted_scope() {
    let town = Town::new().await;
    let login = town
        .login(
            password(named("ada", "town"), PASSWORD),
            WantedScope::ProjectName {
                name: "mill".to_owned(),
                domain: None,
            },
        )
        .await
        .unwrap();
    assert_eq!(login.method, "password");
    assert_eq!(login.expires_at.duration_since(login.issued_at).as_hours(), 24);
    assert_eq!(
        login.project.as_ref().map(|(project, role)| (&project.id, *role)),
        Some((&town.project, Role::User))
    );
    let caller = town.identify(&login.token).unwrap();
    assert_eq!(
        (&caller.user, caller.user_name.as_str(), caller.domain_name.as_str()),
        (&town.user, "ada", "town")
    );
    assert_eq!(caller.role_in(&town.project), Some(Role::User));
    assert_eq!(caller.role_in(&town.other), None);
}

#[tokio::test]
async fn the_text_of_a_token_is_kept_nowhere() {
    let town = Town::new().await;
    let login = town.by_password(WantedScope::Unscoped).await;
    let index = town.world.service.state().index().read();
    let stored = serde_json::to_string(index.all::<Token>()[0].object.as_ref()).unwrap();
    assert!(!stored.contains(login.token.expose_secret()));
    assert!(!format!("{login:?}").contains(login.token.expose_secret()));
}

#[tokio::test]
async fn whatever_is_wrong_with_a_log_in_is_told_alike() {
    let town = Town::new().await;
    let unscoped = || WantedScope::Unscoped;
    let mut answers = Vec::new();
    for (proof, scope) in [
        (password(named("ada", "town"), "wrong horse"), unscoped()),
        (password(named("bob", "town"), PASSWORD), unscoped()),
        (password(named("ada", "city"), PASSWORD), unscoped()),
        // No password at all.
        (password(named("root", "first"), PASSWORD), unscoped()),
        (Proof::Token(SecretString::from("no token")), unscoped()),
        // Right, but for a project without a role, and for another domain.
        (password(named("ada", "town"), PASSWORD), WantedScope::ProjectId(town.other.clone())),
        (
            password(named("ada", "town"), PASSWORD),
            WantedScope::Domain(DomainReference::Name("first".to_owned())),
        ),
    ] {
        answers.push(town.login(proof, scope).await.unwrap_err());
    }
    assert!(matches!(answers[0], ServiceError::Unauthenticated(_)));
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    assert_eq!(town.tokens(), 0);
}

#[tokio::test]
async fn tokens_of_an_account_or_of_nothing_reach_no_project() {
    let town = Town::new().await;
    for scope in [WantedScope::Unscoped, WantedScope::Domain(DomainReference::Name("town".to_owned()))] {
        let is_domain = scope != WantedScope::Unscoped;
        let login = town.by_password(scope).await;
        assert_eq!(login.is_domain_scoped, is_domain);
        let caller = town.identify(&login.token).unwrap();
        assert_eq!(caller.role_in(&town.project), None);
        // But it tells where one could go.
        let names: Vec<_> = town
            .world
            .service
            .reachable_projects(&caller, None)
            .iter()
            .map(|p| p.name.clone())
            .collect();
        assert_eq!(names, ["mill"]);
        assert!(town.world.service.reachable_projects(&caller, Some("forge")).is_empty());
        assert_eq!(town.world.service.reachable_domains(&caller)[0].name, "town");
    }
}

#[tokio::test]
async fn a_token_can_be_exchanged_for_another_scope_but_not_prolonged() {
    let town = Town::new().await;
    let first = town.by_password(WantedScope::Unscoped).await;
    town.world.clock.advance(Duration::from_hours(20));
    let second = town
        .login(Proof::Token(first.token.clone()), WantedScope::ProjectId(town.project.clone()))
        .await
        .unwrap();
    assert_eq!((second.method, second.expires_at), ("token", first.expires_at));
    assert_eq!(town.identify(&second.token).unwrap().role_in(&town.project), Some(Role::User));
    town.world.clock.advance(Duration::from_hours(4));
    assert!(town.identify(&second.token).is_err());
    let third = town.login(Proof::Token(second.token), WantedScope::Unscoped).await;
    assert!(matches!(third, Err(ServiceError::Unauthenticated(_))));
}

#[tokio::test]
async fn expired_tokens_are_cleared_away_by_later_log_ins() {
    let town = Town::new().await;
    for _ in 0..3 {
        town.by_password(WantedScope::Unscoped).await;
    }
    assert_eq!(town.tokens(), 3);
    town.world.clock.advance(Duration::from_hours(24));
    town.by_password(WantedScope::Unscoped).await;
    assert_eq!(town.tokens(), 1);
}

#[tokio::test]
async fn a_switched_off_user_is_nobody_and_stays_so_with_old_tokens() {
    let town = Town::new().await;
    let login = town.by_password(WantedScope::ProjectId(town.project.clone())).await;
    let switch = |is_enabled| UserChange {
        is_enabled: Some(is_enabled),
        ..UserChange::default()
    };
    let service = &town.world.service;
    service.update_user(&operator(), &town.user, || Ok(switch(false))).await.unwrap();
    assert!(town.identify(&login.token).is_err());
    let refused = town
        .login(password(UserReference::Id(town.user.clone()), PASSWORD), WantedScope::Unscoped)
        .await;
    assert!(matches!(refused, Err(ServiceError::Unauthenticated(_))));
    service.update_user(&operator(), &town.user, || Ok(switch(true))).await.unwrap();
    assert!(town.identify(&login.token).is_err());
    town.by_password(WantedScope::Unscoped).await;
}

#[tokio::test]
async fn a_switched_off_project_is_out_of_reach() {
    let town = Town::new().await;
    let login = town.by_password(WantedScope::ProjectId(town.project.clone())).await;
    let change = ProjectChange {
        is_enabled: Some(false),
        ..ProjectChange::default()
    };
    let service = &town.world.service;
    service
        .update_project(&operator(), &town.project, || Ok(change.clone()))
        .await
        .unwrap();
    assert_eq!(town.identify(&login.token).unwrap().role_in(&town.project), None);
    let refused = town
        .login(
            password(UserReference::Id(town.user.clone()), PASSWORD),
            WantedScope::ProjectId(town.project.clone()),
        )
        .await;
    assert!(matches!(refused, Err(ServiceError::Unauthenticated(_))));
}

#[tokio::test]
async fn access_keys_are_known_with_their_secret_until_they_are_switched_off() {
    let town = Town::new().await;
    let service = &town.world.service;
    let request = KeyRequest {
        description: "laptop".to_owned(),
        lifetime: Some(Duration::from_mins(15)),
    };
    let made = service.create_access_key(&operator(), &town.user, || Ok(request)).await.unwrap();
    let id = made.key.object.id.clone();
    let known = town.credentials().access_key(&id).unwrap().unwrap();
    assert_eq!(known.secret.expose_secret(), made.secret.expose_secret());
    assert!(known.enabled);
    assert_eq!(known.expires_at, Some(town.world.clock.now() + Duration::from_mins(15)));
    let token = made.security_token.unwrap();
    assert_eq!(
        known.security_token_hash,
        Some(*TokenHash::of(token.expose_secret().as_bytes()).as_bytes())
    );
    assert_eq!(known.principal.role_in(&town.project), Some(Role::User));
    let off = KeyChange {
        is_enabled: Some(false),
        ..KeyChange::default()
    };
    service.update_access_key(&operator(), &id, || Ok(off.clone())).await.unwrap();
    assert!(!town.credentials().access_key(&id).unwrap().unwrap().enabled);
    service.delete_access_key(&operator(), &id).await.unwrap();
    assert!(town.credentials().access_key(&id).unwrap().is_none());
}

#[tokio::test]
async fn a_key_sealed_by_another_key_file_is_unreadable_and_not_unknown() {
    let town = Town::new().await;
    let request = KeyRequest {
        description: String::new(),
        lifetime: None,
    };
    let made = town
        .world
        .service
        .create_access_key(&operator(), &town.user, || Ok(request))
        .await
        .unwrap();
    let elsewhere = town.world.replica().await;
    let credentials = Credentials::new(elsewhere.service.state().clone(), elsewhere.sealer);
    assert!(matches!(
        credentials.access_key(&made.key.object.id),
        Err(SourceError::Unreadable(_))
    ));
}
