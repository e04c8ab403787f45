use super::*;
use auth::{KeyRing, SealingKey};
use clock::{ManualClock, SeededEntropy};
use fleet::Fleet;
use fleet::sim::{MemoryJournal, SimConfig};
use std::sync::Arc;
use store::{Kind, MemStore, Store};

struct World {
    state: State,
    fleet: SimFleet,
    passwords: Passwords,
    sealer: Sealer,
    clock: ManualClock,
    entropy: Arc<SeededEntropy>,
}

impl World {
    async fn new() -> Self {
        Self::on(Arc::new(MemStore::default()), MemoryJournal::default()).await
    }

    async fn on(store: Arc<dyn Store>, journal: MemoryJournal) -> Self {
        let clock = ManualClock::starting_at(Timestamp::from_second(1_700_000_000).unwrap());
        let entropy = Arc::new(SeededEntropy::new(1));
        let config = SimConfig {
            seed: 1,
            speed: 0.0,
            failures: 0.0,
        };
        let ring = KeyRing::new(vec![SealingKey::generate(entropy.as_ref())]).unwrap();
        Self {
            state: State::load(store).await.unwrap(),
            fleet: SimFleet::open(config, Arc::new(journal), Arc::new(clock.clone())).await.unwrap(),
            passwords: Passwords::new(entropy.clone()),
            sealer: Sealer::new(ring, entropy.clone()),
            clock,
            entropy,
        }
    }

    fn seeder(&self) -> Seeder<'_> {
        Seeder {
            state: &self.state,
            fleet: Some(&self.fleet),
            passwords: &self.passwords,
            sealer: &self.sealer,
            clock: &self.clock,
            entropy: self.entropy.as_ref(),
        }
    }

    async fn seed(&self, values: Values) -> Result<Demo> {
        self.seeder().seed(values).await
    }
}

#[tokio::test]
async fn the_demo_is_made_once_and_its_secrets_are_told_once() {
    let world = World::new().await;
    let first = world.seed(Values::default()).await.unwrap();
    let Told::Demo(secrets) = &first.told else { panic!("no secrets") };
    let told = first.greeting("http://here");
    for secret in [&secrets.password, &secrets.secret_key, &secrets.admin_token] {
        assert!(told.contains(secret.expose_secret()), "{told}");
    }
    let (revision, machines) = (world.state.store().revision().await.unwrap(), world.fleet.machines().len());
    let again = world.seed(Values::default()).await.unwrap();
    assert_eq!((&again.project, &again.region), (&first.project, &first.region));
    assert!(matches!(again.told, Told::Nothing));
    assert!(again.greeting("http://here").contains("http://here"));
    assert_eq!(world.state.store().revision().await.unwrap(), revision);
    assert_eq!(world.fleet.machines().len(), machines);
}

#[tokio::test]
async fn of_two_replicas_that_start_at_once_one_makes_the_demo() {
    let store: Arc<dyn Store> = Arc::new(MemStore::default());
    let one = World::on(store.clone(), MemoryJournal::default()).await;
    let two = World::on(store, MemoryJournal::default()).await;
    assert!(matches!(one.seed(Values::default()).await.unwrap().told, Told::Demo(_)));
    assert!(matches!(two.seed(Values::default()).await.unwrap().told, Told::Nothing));
}

#[tokio::test]
async fn without_the_demo_there_is_an_operator_and_nothing_else() {
    let store: Arc<dyn Store> = Arc::new(MemStore::default());
    let one = World::on(store.clone(), MemoryJournal::default()).await;
    let two = World::on(store, MemoryJournal::default()).await;
    let founded = one.seeder().found(Values::default()).await.unwrap();
    let Told::Operator(token) = &founded.told else {
        panic!("no operator")
    };
    assert!(founded.greeting("http://here").contains(token.expose_secret()));
    assert!(one.fleet.machines().is_empty());
    let index = one.state.index().read();
    let stored = index
        .get::<Token>("", TokenHash::of(token.expose_secret().as_bytes()).to_string())
        .unwrap();
    let admin = index.get::<User>("", &stored.user).unwrap();
    assert_eq!(admin.roles.get(&founded.project), Some(&Role::Operator));
    assert_eq!(
        (index.count(Kind::Flavor), index.count(Kind::User), index.count(Kind::AccessKey)),
        (0, 1, 0)
    );
    drop(index);
    // The other replica, and every later start.
    for world in [&two, &one] {
        let again = world.seeder().found(Values::default()).await.unwrap();
        assert!(matches!(again.told, Told::Nothing));
        assert_eq!(again.project, founded.project);
    }
}

#[tokio::test]
async fn given_values_are_used() {
    let world = World::new().await;
    let values = Values {
        project_id: Some("a".repeat(32)),
        project_name: Some("north".to_owned()),
        domain: Some("house".to_owned()),
        user: Some("ada".to_owned()),
        password: Some(SecretString::from("it's a secret")),
        access_key: Some("AK".to_owned()),
        secret_key: Some(SecretString::from("SK")),
        admin_token: Some(SecretString::from("TOKEN")),
    };
    let demo = world.seed(values).await.unwrap();
    assert_eq!((demo.project.as_str(), demo.region.as_str()), ("a".repeat(32).as_str(), "north"));
    let index = world.state.index().read();
    let key = index.get::<AccessKey>("", "AK").unwrap();
    assert_eq!(world.sealer.open(&key.id, &key.sealed_secret).unwrap().expose_secret(), "SK");
    let token = index.get::<Token>("", TokenHash::of(b"TOKEN").to_string()).unwrap();
    assert_eq!((&token.scope, token.expires_at), (&TokenScope::Everything, None));
    let admin = index.get::<User>("", &token.user).unwrap();
    assert_eq!(
        (admin.roles.get(&demo.project), &admin.password_hash),
        (Some(&Role::Operator), &None)
    );
    let config = service::admission::config(&index);
    assert_eq!(config.region.as_deref(), Some("north"));
    drop(index);
    let told = demo.greeting("http://here");
    assert!(told.contains(r"it'\''s a secret"), "{told}");
    assert!(
        world
            .seed(Values {
                project_id: Some("no id".to_owned()),
                ..Values::default()
            })
            .await
            .is_err()
    );
}

#[tokio::test]
async fn every_physical_flavor_has_free_machines_in_each_of_its_zones() {
    let world = World::new().await;
    let demo = world.seed(Values::default()).await.unwrap();
    let offers = world.fleet.offers().await.unwrap();
    let index = world.state.index().read();
    let flavors = service::admission::flavors(&index);
    assert_eq!(flavors.len(), 6);
    for flavor in flavors.values() {
        let expected = match (flavor.is_physical(), flavor.accelerator()) {
            (false, _) => 0,
            (true, None) => 64,
            (true, Some(_)) => 24,
        };
        for zone in &flavor.zones {
            let free = offers
                .get(&flavor.name)
                .and_then(|offer| offer.zones.get(zone))
                .map_or(0, |zone| zone.free);
            assert_eq!(free, expected, "{} in {zone}", flavor.name);
        }
    }
    assert_eq!(index.count(Kind::PluginTemplate), 5);
    assert!(index.get::<Workspace>(&demo.project, "0").is_some());
    let network = NetworkName::of(&DisplayName::parse("network-21e1").unwrap(), &demo.project);
    assert!(index.get::<Network>(&demo.project, &network).is_some());
    assert_eq!(index.counter(&counters::networks_of(&demo.project)), 1);
}
