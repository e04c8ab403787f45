//! Flavors and plug-in templates.

use super::*;

async fn put(service: &Service, flavor: &Flavor) -> Result<Outcome<Flavor>, ServiceError> {
    if service.show_flavor(&operator().principal, &flavor.name).is_ok() {
        service.update_flavor(&operator(), &flavor.name, |_| Ok(flavor.clone())).await
    } else {
        service.create_flavor(&operator(), || Ok(flavor.clone())).await
    }
}

#[tokio::test]
async fn a_flavor_in_use_can_be_neither_deleted_nor_turned_into_another() {
    let world = World::new().await;
    let service = &world.service;
    let base = flavor("base");
    put(service, &base).await.unwrap();
    let mut slice = flavor("slice");
    slice.kind = FlavorKind::Virtual {
        base: base.name.clone(),
        template: "half".to_owned(),
        visibility: "invisible".to_owned(),
    };
    put(service, &slice).await.unwrap();
    assert!(refused(service.delete_flavor(&operator(), &base.name).await).ends_with("used by virtual flavor slice"));
    let mut larger = base.clone();
    larger.cpu = 16;
    put(service, &larger).await.unwrap();
    let mut other = base.clone();
    other.arch = CpuArch::Arm64;
    assert!(refused(put(service, &other).await).ends_with("used by virtual flavor slice"));
    service.delete_flavor(&operator(), &slice.name).await.unwrap();
    service.delete_flavor(&operator(), &base.name).await.unwrap();
    assert!(service.all_flavors(&operator().principal).unwrap().is_empty());
    assert!(invalid(put(service, &slice).await).starts_with("virtual.base: "));
}

#[tokio::test]
async fn a_flavor_is_made_once_and_keeps_its_name() {
    let world = World::new().await;
    let service = &world.service;
    let base = flavor("base");
    assert!(matches!(
        service.update_flavor(&operator(), &base.name, |_| Ok(flavor("base"))).await,
        Err(ServiceError::NotFound(_))
    ));
    service.create_flavor(&operator(), || Ok(base.clone())).await.unwrap();
    assert!(taken(service.create_flavor(&operator(), || Ok(base.clone())).await));
    let kept = service
        .update_flavor(&operator(), &base.name, |_| Ok(flavor("other")))
        .await
        .unwrap();
    assert_eq!(kept.object.name, base.name);
    let late = world.replica().await.service;
    service.create_flavor(&operator(), || Ok(flavor("second"))).await.unwrap();
    assert!(taken(late.create_flavor(&operator(), || Ok(flavor("second"))).await));
}

#[tokio::test]
async fn a_flavor_that_is_promised_at_this_moment_stays() {
    let world = World::new().await;
    let service = &world.service;
    put(service, &flavor("base")).await.unwrap();
    let mut batch = TypedBatch::default();
    batch.count(store::Count {
        key: CounterKey::new("promised/base"),
        add: 1,
        at_most: None,
    });
    service.state().commit(batch).await.unwrap();
    refused(service.delete_flavor(&operator(), &FlavorName::parse("base").unwrap()).await);
}

#[tokio::test]
async fn a_flavor_has_to_make_sense() {
    let world = World::new().await;
    let accelerator = domain::catalogue::AcceleratorSpec {
        model: "t4".to_owned(),
        size: 1,
        memory: "16Gi".to_owned(),
    };
    let mut wrong = flavor("x");
    wrong.cpu = 0;
    wrong.gpu = Some(accelerator.clone());
    wrong.npu = Some(accelerator);
    wrong.labels.insert("no key".to_owned(), String::new());
    let outcome = put(&world.service, &wrong).await;
    let Err(ServiceError::Invalid(errors)) = outcome else {
        panic!("not invalid: {outcome:?}");
    };
    let paths: Vec<_> = errors.iter().map(|error| error.path.as_str()).collect();
    assert_eq!(paths, ["cpu", "npu", "labels.no key"]);
}

fn template(versions: &[&str]) -> TemplateDraft {
    let versions = versions.iter().map(|version| VersionDraft {
        version: (*version).to_owned(),
        description: String::new(),
        detail: String::new(),
        inputs: BTreeMap::new(),
        translate: BTreeMap::new(),
    });
    TemplateDraft {
        display_name: "Volcano".to_owned(),
        description: String::new(),
        kind: TemplateKind::Helm,
        is_optional: true,
        logo_url: String::new(),
        versions: versions.collect(),
    }
}

#[tokio::test]
async fn versions_of_a_template_keep_their_age() {
    let world = World::new().await;
    let name = TemplateName::parse("volcano").unwrap();
    let service = &world.service;
    let put = async |versions: &[&str]| {
        let draft = template(versions);
        service.update_template(&operator(), &name, |_| Ok(draft.clone())).await
    };
    let first = template(&["1"]);
    let first = service
        .create_template(&operator(), || Ok((name.clone(), first.clone())))
        .await
        .unwrap();
    world.clock.advance(Duration::from_hours(1));
    let second = put(&["2", "1"]).await.unwrap();
    let ages: Vec<_> = second.object.versions.iter().map(|version| version.created_at).collect();
    assert_eq!(ages[1], first.object.versions[0].created_at);
    assert!(ages[0] > ages[1]);
    assert!(invalid(put(&[]).await).starts_with("versions: "));
    assert!(invalid(put(&["1", "1"]).await).starts_with("versions[1].version: "));
}

#[tokio::test]
async fn versions_come_as_the_newest_and_go_but_for_the_last_one() {
    let world = World::new().await;
    let name = TemplateName::parse("volcano").unwrap();
    let service = &world.service;
    let made = || Ok((name.clone(), template(&["1"])));
    service.create_template(&operator(), made).await.unwrap();
    assert!(taken(service.create_template(&operator(), made).await));
    let second = || Ok(template(&["2"]).versions.remove(0));
    let grown = service.add_template_version(&operator(), &name, second).await.unwrap();
    assert_eq!((grown.object.newest(), grown.object.versions.len()), (Some("2"), 2));
    assert!(taken(service.add_template_version(&operator(), &name, second).await));
    let unknown = service.remove_template_version(&operator(), &name, "3").await;
    assert!(matches!(unknown, Err(ServiceError::NotFound(_))));
    service.remove_template_version(&operator(), &name, "1").await.unwrap();
    assert!(refused(service.remove_template_version(&operator(), &name, "2").await).contains("the only one"));
}

#[tokio::test]
async fn a_template_that_job_types_or_drivers_need_cannot_be_deleted() {
    let world = World::new().await;
    let service = &world.service;
    let (volcano, driver) = (TemplateName::parse("volcano").unwrap(), TemplateName::parse("gpu-driver").unwrap());
    let needs = |config: &OsConfig| {
        let mut config = config.clone();
        let train = config.scopes.entry(domain::pool::JobType::Train).or_default();
        train.plugins = vec![volcano.clone()];
        Ok(config)
    };
    let message = invalid(service.update_installation_config(&operator(), needs).await);
    assert!(message.starts_with("scopes.Train.plugins[0]: "), "{message}");
    for name in [&volcano, &driver] {
        let made = || Ok((name.clone(), template(&["1"])));
        service.create_template(&operator(), made).await.unwrap();
    }
    let late = world.replica().await.service;
    service.update_installation_config(&operator(), needs).await.unwrap();
    assert!(refused(service.delete_template(&operator(), &volcano).await).contains("job type Train"));
    assert!(refused(late.delete_template(&operator(), &volcano).await).contains("job type Train"));
    let mut gpu = flavor("gpu");
    gpu.gpu = Some(domain::catalogue::AcceleratorSpec {
        model: "t4".to_owned(),
        size: 1,
        memory: "16Gi".to_owned(),
    });
    put(service, &gpu).await.unwrap();
    assert!(refused(service.delete_template(&operator(), &driver).await).contains("flavor gpu"));
    service.delete_flavor(&operator(), &gpu.name).await.unwrap();
    service.delete_template(&operator(), &driver).await.unwrap();
}
