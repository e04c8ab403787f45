use super::*;
use domain::label::Selector;
use proptest::prelude::*;

fn query(raw: &str) -> Query {
    Query::parse(raw).unwrap()
}

/// What a reader makes of the value of `x`, or what it says about it.
fn read<T>(raw: &str, read: impl Fn(&Query, &mut FieldErrors) -> Option<T>) -> Result<Option<T>, String> {
    let mut errors = FieldErrors::new();
    let value = read(&query(raw), &mut errors);
    errors.into_result().map(|()| value).map_err(|errors| errors.to_string())
}

#[test]
fn queries_are_read_as_clients_write_them() {
    for (raw, name, value) in [
        (
            "limit=500&labelSelector=os.modelarts/name=x",
            "labelSelector",
            Some("os.modelarts/name=x"),
        ),
        ("?&templateName=x", "templateName", Some("x")),
        ("&&a=1&&", "a", Some("1")),
        ("a=1&a=2", "a", Some("1")),
        ("a", "a", Some("")),
        ("a=", "a", Some("")),
        ("=1", "", Some("1")),
        ("a=1", "b", None),
        ("a=b+c%20d%2Be", "a", Some("b c d+e")),
        (
            "labelSelector=os.modelarts%2Fname%3Dpool-ae01",
            "labelSelector",
            Some("os.modelarts/name=pool-ae01"),
        ),
        ("%61=%C3%a4", "a", Some("ä")),
        ("a=100%", "a", Some("100%")),
        ("a=%4", "a", Some("%4")),
        ("a=%zz", "a", Some("%zz")),
        ("a=%+5", "a", Some("% 5")),
        ("a=%2526", "a", Some("%26")),
        ("a=b%26c=d", "a", Some("b&c=d")),
    ] {
        assert_eq!(query(raw).get(name), value, "{raw}");
    }
    assert_eq!(query("t=a&u=b&t=c").all("t").collect::<Vec<_>>(), ["a", "c"]);
}

#[test]
fn a_query_that_is_not_text_is_refused() {
    for raw in ["a=%ff", "%C3=1", "a=%C3%28"] {
        assert_eq!(Query::parse(raw).unwrap_err().to_string(), "the query is not UTF-8", "{raw}");
    }
}

#[test]
fn a_limit_is_at_most_the_maximum() {
    let limit = |text: &str| read(&format!("x={text}"), |query, errors| query.limit("x", 500, errors));
    for (text, wanted) in [
        ("1", Some(1)),
        ("499", Some(499)),
        ("500", Some(500)),
        ("501", Some(500)),
        ("0", Some(500)),
        ("99999999999999999999999", Some(500)),
        ("", None),
    ] {
        assert_eq!(limit(text), Ok(wanted), "{text}");
    }
    for wrong in ["-1", "1.5", "ten", "1e2", "0x10", " 1", "-99999999999999999999"] {
        assert_eq!(limit(wrong), Err("x: must be an integer of at least 0".to_owned()), "{wrong}");
    }
    assert_eq!(read("y=1", |query, errors| query.limit("x", 500, errors)), Ok(None));
}

#[test]
fn integers_are_told_their_bounds() {
    let read = |text: &str| read(&format!("x={text}"), |query, errors| query.integer("x", 1, 60, errors));
    assert_eq!([read("1"), read("60"), read("")], [Ok(Some(1)), Ok(Some(60)), Ok(None)]);
    for wrong in ["0", "61", "x", "-1"] {
        assert_eq!(read(wrong), Err("x: must be an integer from 1 to 60".to_owned()));
    }
}

#[test]
fn booleans_are_true_or_false() {
    let read = |text: &str| read(&format!("x={text}"), |query, errors| query.boolean("x", errors));
    assert_eq!([read("true"), read("false"), read("")], [Ok(Some(true)), Ok(Some(false)), Ok(None)]);
    for wrong in ["True", "1", "yes"] {
        assert_eq!(read(wrong), Err("x: must be true or false".to_owned()));
    }
}

#[test]
fn times_are_seconds_or_milliseconds() {
    let read = |text: &str| read(&format!("x={text}"), |query, errors| query.timestamp("x", errors));
    let second = |second| Ok(Some(Timestamp::from_second(second).unwrap()));
    assert_eq!(read("1672366579"), second(1_672_366_579));
    assert_eq!(read("1672366579000"), second(1_672_366_579));
    assert_eq!(read("99999999999"), second(99_999_999_999));
    assert_eq!(read("100000000000"), second(100_000_000));
    assert_eq!(read("9223372036854775807"), Err("x: is not a time".to_owned()));
    assert_eq!(read("-1"), Err("x: must be an integer of at least 0".to_owned()));
}

proptest! {
    #[test]
    fn any_query_is_read_or_refused(raw in "([a-z]{0,2}=?[%+&=0-9a-fA-F\\PC]{0,4}&?){0,6}", name in "[a-z]{0,2}") {
        let Ok(query) = Query::parse(&raw) else { return Ok(()) };
        let mut errors = FieldErrors::new();
        let limit = query.limit(&name, 500, &mut errors);
        prop_assert!(limit.is_none_or(|limit| (1..=500).contains(&limit)));
        let offset = query.integer(&name, 0, 100, &mut errors);
        prop_assert!(offset.is_none_or(|offset| (0..=100).contains(&offset)));
        query.boolean(&name, &mut errors);
        query.timestamp(&name, &mut errors);
        let _selector = Selector::parse(query.get(&name).unwrap_or_default());
        let _token = crate::list::ContinueToken::decode(query.get(&name).unwrap_or_default());
        for error in &errors {
            prop_assert_eq!(error.path.as_str(), name.as_str());
        }
        prop_assert_eq!(query.get(&name), query.all(&name).next());
    }

    #[test]
    fn what_is_encoded_is_read_back(pairs in prop::collection::vec((".{0,6}", ".{0,8}"), 0..5)) {
        let encode = |text: &str| text.bytes().fold(String::new(), |encoded, byte| format!("{encoded}%{byte:02X}"));
        let raw = pairs.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect::<Vec<_>>().join("&");
        let query = query(&raw);
        for (name, value) in &pairs {
            prop_assert!(query.all(name).any(|found| found == value));
        }
    }

    #[test]
    fn any_whole_number_is_a_limit(number in any::<u128>()) {
        let limit = read(&format!("x={number}"), |query, errors| query.limit("x", 500, errors));
        let wanted = if number == 0 { 500 } else { usize::try_from(number.min(500)).unwrap() };
        prop_assert_eq!(limit, Ok(Some(wanted)));
    }
}
