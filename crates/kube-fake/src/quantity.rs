//! Quantities as Kubernetes writes them: `1500m`, `2`, `3.5Gi`.

use serde_json::Value;
use std::collections::BTreeMap;

/// Amounts by resource, in thousandths.
pub(crate) type Amounts = BTreeMap<String, i128>;

const SUFFIXES: &[(&str, i128)] = &[
    ("Ki", 1 << 10),
    ("Mi", 1 << 20),
    ("Gi", 1 << 30),
    ("Ti", 1 << 40),
    ("Pi", 1 << 50),
    ("Ei", 1 << 60),
    ("k", 1_000),
    ("M", 1_000_000),
    ("G", 1_000_000_000),
    ("T", 1_000_000_000_000),
    ("P", 1_000_000_000_000_000),
    ("E", 1_000_000_000_000_000_000),
];

/// In thousandths. `None`: not a quantity.
pub(crate) fn parse(text: &str) -> Option<i128> {
    if let Some(number) = text.strip_suffix('m') {
        return decimal(number, 1);
    }
    let suffix = SUFFIXES
        .iter()
        .find_map(|(suffix, factor)| Some((text.strip_suffix(suffix)?, *factor)));
    let (number, factor) = suffix.unwrap_or((text, 1));
    decimal(number, factor * 1000)
}

fn decimal(text: &str, factor: i128) -> Option<i128> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let is_digits = |part: &str| part.len() <= 18 && part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !is_digits(whole) || !is_digits(fraction) {
        return None;
    }
    let whole: i128 = whole.parse().ok()?;
    let part: i128 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
    let scale = 10_i128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    whole.checked_mul(factor)?.checked_add(part.checked_mul(factor)? / scale)
}

/// A list of resources. What is no quantity counts as nothing.
pub(crate) fn amounts(list: Option<&Value>) -> Amounts {
    let list = list.and_then(Value::as_object).into_iter().flatten();
    let amount = |value: &Value| match value {
        Value::String(text) => parse(text),
        other => other.as_i64().map(|number| i128::from(number) * 1000),
    };
    list.map(|(name, value)| (name.clone(), amount(value).unwrap_or(0))).collect()
}

pub(crate) fn add(to: &mut Amounts, more: &Amounts) {
    for (name, amount) in more {
        *to.entry(name.clone()).or_default() += amount;
    }
}

/// What a pod asks for: the sum of its containers, or its largest init container.
pub(crate) fn requests(pod: &Value) -> Amounts {
    let of = |list: &str| -> Vec<Amounts> {
        let containers = pod
            .pointer(&format!("/spec/{list}"))
            .and_then(Value::as_array)
            .into_iter()
            .flatten();
        containers
            .map(|container| {
                amounts(
                    container
                        .pointer("/resources/requests")
                        .or_else(|| container.pointer("/resources/limits")),
                )
            })
            .collect()
    };
    let mut sum = Amounts::new();
    for more in of("containers") {
        add(&mut sum, &more);
    }
    for init in of("initContainers") {
        for (name, amount) in init {
            let most = sum.entry(name).or_default();
            *most = (*most).max(amount);
        }
    }
    add(&mut sum, &amounts(pod.pointer("/spec/overhead")));
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suffixes_are_powers_of_ten_and_of_two() {
        assert_eq!(parse("1500m"), Some(1500));
        assert_eq!(parse("2"), Some(2000));
        assert_eq!(parse("1.5Gi"), Some(1_610_612_736_000));
        assert_eq!(parse("3k"), Some(3_000_000));
        assert_eq!(parse("x"), None);
        assert_eq!(parse(""), None);
    }
}
