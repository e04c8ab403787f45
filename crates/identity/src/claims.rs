//! Whether what a token says holds, here and now.

use jiff::Timestamp;
use serde_json::{Map, Value};
use std::time::Duration;

/// What a token has to say.
pub(crate) struct Expected<'a> {
    pub issuer: &'a str,
    pub audience: &'a str,
    pub now: Timestamp,
    /// How far the issuer's clock may be from this one.
    pub skew: Duration,
}

/// Why a token that is rightly signed is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("it is another issuer's")]
    Issuer,
    #[error("it is not meant for this service")]
    Audience,
    #[error("it says no end")]
    NoEnd,
    #[error("it has expired")]
    Expired,
    #[error("it is not good yet")]
    Early,
    #[error("it names nobody")]
    NoSubject,
}

/// The subject of a token whose claims hold.
pub(crate) fn check<'c>(claims: &'c Map<String, Value>, expected: &Expected<'_>) -> Result<&'c str, Refusal> {
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    if text("iss") != Some(expected.issuer) {
        return Err(Refusal::Issuer);
    }
    let is_meant = match claims.get("aud") {
        Some(Value::String(audience)) => audience == expected.audience,
        Some(Value::Array(all)) => all.iter().any(|audience| audience.as_str() == Some(expected.audience)),
        Some(_) | None => false,
    };
    if !is_meant {
        return Err(Refusal::Audience);
    }
    let skew = expected.skew.as_secs_f64();
    let now = expected.now.as_millisecond() as f64 / 1000.0;
    match claims.get("exp").map(Value::as_f64) {
        None | Some(None) => return Err(Refusal::NoEnd),
        Some(Some(end)) if end + skew <= now => return Err(Refusal::Expired),
        Some(Some(_)) => {}
    }
    for name in ["nbf", "iat"] {
        match claims.get(name).map(Value::as_f64) {
            None => {}
            Some(Some(begin)) if begin - skew <= now => {}
            Some(_) => return Err(Refusal::Early),
        }
    }
    text("sub").filter(|subject| !subject.is_empty()).ok_or(Refusal::NoSubject)
}

/// The texts of a claim, which may be one or many. A name with dots is looked for as a whole first, then as a path.
pub(crate) fn texts<'c>(claims: &'c Map<String, Value>, name: &str) -> Vec<&'c str> {
    let whole = claims.get(name);
    let found = whole.or_else(|| {
        let mut parts = name.split('.');
        let first = claims.get(parts.next()?)?;
        parts.try_fold(first, |value, part| value.get(part))
    });
    match found {
        Some(Value::String(text)) => vec![text],
        Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).collect(),
        Some(_) | None => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn checked(claims: &Value, now: i64) -> Result<String, Refusal> {
        let expected = Expected {
            issuer: "https://i",
            audience: "us",
            now: Timestamp::from_second(now).unwrap(),
            skew: Duration::from_mins(1),
        };
        check(claims.as_object().unwrap(), &expected).map(ToOwned::to_owned)
    }

    #[test]
    fn every_claim_has_to_hold() {
        let good = json!({"iss": "https://i", "aud": ["them", "us"], "sub": "s", "exp": 2000, "nbf": 1000, "iat": 1000.5});
        let with = |name: &str, value: Value| {
            let mut claims = good.clone();
            claims[name] = value;
            claims
        };
        for (claims, now, expected) in [
            (good.clone(), 1500, Ok("s".to_owned())),
            (good.clone(), 2059, Ok("s".to_owned())),
            (good.clone(), 2060, Err(Refusal::Expired)),
            (good.clone(), 941, Ok("s".to_owned())),
            (good.clone(), 939, Err(Refusal::Early)),
            (with("iss", json!("https://j")), 1500, Err(Refusal::Issuer)),
            (with("iss", json!(null)), 1500, Err(Refusal::Issuer)),
            (with("aud", json!("us")), 1500, Ok("s".to_owned())),
            (with("aud", json!("them")), 1500, Err(Refusal::Audience)),
            (with("aud", json!([])), 1500, Err(Refusal::Audience)),
            (with("aud", json!(null)), 1500, Err(Refusal::Audience)),
            (with("exp", json!(null)), 1500, Err(Refusal::NoEnd)),
            (with("exp", json!("2000")), 1500, Err(Refusal::NoEnd)),
            (with("nbf", json!("soon")), 1500, Err(Refusal::Early)),
            (with("sub", json!("")), 1500, Err(Refusal::NoSubject)),
            (with("sub", json!(7)), 1500, Err(Refusal::NoSubject)),
        ] {
            assert_eq!(checked(&claims, now), expected, "{claims} at {now}");
        }
    }

    #[test]
    fn groups_are_found_where_issuers_put_them() {
        let claims = json!({"groups": ["a", 7, "b"], "role": "c", "realm_access": {"roles": ["d"]}, "x.y": "e"});
        let claims = claims.as_object().unwrap();
        for (name, expected) in [
            ("groups", vec!["a", "b"]),
            ("role", vec!["c"]),
            ("realm_access.roles", vec!["d"]),
            ("x.y", vec!["e"]),
            ("none", vec![]),
            ("role.x", vec![]),
        ] {
            assert_eq!(texts(claims, name), expected, "{name}");
        }
    }
}
