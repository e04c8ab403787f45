use super::*;
use clock::SeededEntropy;
use proptest::prelude::*;

fn key(seed: u64) -> SealingKey {
    SealingKey::generate(&SeededEntropy::new(seed))
}

fn sealer(seeds: &[u64]) -> Sealer {
    let ring = KeyRing::new(seeds.iter().copied().map(key).collect()).unwrap();
    Sealer::new(ring, Arc::new(SeededEntropy::new(99)))
}

fn id(text: &str) -> AccessKeyId {
    AccessKeyId::parse(text).unwrap()
}

#[test]
fn a_sealed_secret_opens_for_its_own_access_key_only() {
    let sealer = sealer(&[1]);
    let sealed = sealer.seal(&id("AK1"), &SecretString::from("top secret")).unwrap();
    assert!(!sealed.contains("secret"));
    assert_eq!(sealer.open(&id("AK1"), &sealed).unwrap().expose_secret(), "top secret");
    assert_eq!(sealer.open(&id("AK2"), &sealed).unwrap_err(), SealError::NotGenuine);
}

#[test]
fn the_same_secret_is_never_sealed_the_same_way() {
    let sealer = sealer(&[1]);
    let secret = SecretString::from("s");
    assert_ne!(sealer.seal(&id("A"), &secret).unwrap(), sealer.seal(&id("A"), &secret).unwrap());
}

#[test]
fn old_keys_open_and_new_keys_seal() {
    let (before, between, after) = (sealer(&[1]), sealer(&[2, 1]), sealer(&[2]));
    let old = before.seal(&id("A"), &SecretString::from("s")).unwrap();
    assert!(!before.is_outdated(&old));
    assert!(between.is_outdated(&old));
    let opened = between.open(&id("A"), &old).unwrap();
    let new = between.seal(&id("A"), &opened).unwrap();
    assert!(!between.is_outdated(&new));
    assert_eq!(after.open(&id("A"), &new).unwrap().expose_secret(), "s");
    assert_eq!(
        after.open(&id("A"), &old).unwrap_err(),
        SealError::UnknownKey(key(1).id().to_owned())
    );
    assert_eq!(
        before.open(&id("A"), &new).unwrap_err(),
        SealError::UnknownKey(key(2).id().to_owned())
    );
}

#[test]
fn a_ring_needs_a_key_and_each_only_once() {
    assert_eq!(KeyRing::new(vec![]).unwrap_err(), SealError::NoKey);
    assert_eq!(
        KeyRing::new(vec![key(1), key(2), key(1)]).unwrap_err(),
        SealError::SameKey(key(1).id().to_owned())
    );
}

#[test]
fn keys_are_read_from_either_alphabet_with_or_without_padding() {
    // The encoded form of these bytes holds the characters in which the alphabets differ.
    let bytes = [0xfb_u8; 32];
    let texts = [
        base64::prelude::BASE64_STANDARD.encode(bytes),
        base64::prelude::BASE64_STANDARD_NO_PAD.encode(bytes),
        base64::prelude::BASE64_URL_SAFE.encode(bytes) + "\n",
        base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(bytes),
    ];
    let ids: Vec<String> = texts
        .iter()
        .map(|text| SealingKey::parse(&SecretString::from(text.as_str())).unwrap().id)
        .collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    let generated = key(5);
    assert_eq!(SealingKey::parse(&generated.to_text()).unwrap().id(), generated.id());
    let short = base64::prelude::BASE64_STANDARD.encode([0xfb_u8; 31]);
    for bad in ["", "abc", "not base64 at all", &short, &"A".repeat(44), &"A".repeat(86)] {
        assert_eq!(SealingKey::parse(&SecretString::from(bad)).unwrap_err(), SealError::BadKey, "{bad}");
    }
}

#[test]
fn debug_shows_key_ids_and_no_key() {
    let key = key(1);
    let shown = format!("{key:?} {:?}", sealer(&[1]));
    assert!(shown.contains(key.id()));
    assert!(!shown.contains(key.to_text().expose_secret()));
    assert!(!shown.contains(&hex::encode(key.material.expose_secret())));
}

proptest! {
    #[test]
    fn every_secret_comes_back(secret in "\\PC{0,60}", name in "[A-Z0-9]{1,20}") {
        let sealer = sealer(&[1]);
        let sealed = sealer.seal(&id(&name), &SecretString::from(secret.as_str())).unwrap();
        let opened = sealer.open(&id(&name), &sealed).unwrap();
        prop_assert_eq!(opened.expose_secret(), secret.as_str());
    }

    #[test]
    fn an_altered_text_does_not_open(place in any::<prop::sample::Index>(), with in "[A-Za-z0-9_.-]") {
        let sealer = sealer(&[1]);
        let sealed = sealer.seal(&id("A"), &SecretString::from("secret")).unwrap();
        let place = place.index(sealed.len());
        let mut altered = sealed.clone();
        altered.replace_range(place..=place, &with);
        prop_assume!(altered != sealed);
        prop_assert!(sealer.open(&id("A"), &altered).is_err());
    }

    #[test]
    fn any_text_is_refused_without_a_panic(text in "(v1\\.)?([0-9a-f]{8}\\.)?\\PC{0,40}") {
        let sealer = sealer(&[1]);
        prop_assert!(sealer.open(&id("A"), &text).is_err());
    }
}
