//! Quantities as Kubernetes writes them, as numbers that can be added and compared.

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;
use std::fmt;

/// An amount of a resource in thousandths of its unit: cores, bytes, devices.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Amount(i128);

/// Amounts by resource name.
pub type Amounts = BTreeMap<String, Amount>;

const BINARY: [(&str, u32); 6] = [("Ki", 10), ("Mi", 20), ("Gi", 30), ("Ti", 40), ("Pi", 50), ("Ei", 60)];
/// Powers of ten of the suffixes, in thousandths.
const DECIMAL: [(&str, u32); 7] = [("m", 0), ("k", 6), ("M", 9), ("G", 12), ("T", 15), ("P", 18), ("E", 21)];

impl Amount {
    pub const ZERO: Self = Self(0);

    pub fn whole(units: u64) -> Self {
        Self(i128::from(units) * 1000)
    }

    /// `None`: not a quantity. What is finer than a thousandth is rounded up, as Kubernetes does.
    pub fn parse(text: &str) -> Option<Self> {
        let end = text.find(|c: char| !matches!(c, '0'..='9' | '.' | '+' | '-')).unwrap_or(text.len());
        let (number, suffix) = text.split_at(end);
        let (sign, digits) = match number.strip_prefix('-') {
            Some(rest) => (-1, rest),
            None => (1, number.strip_prefix('+').unwrap_or(number)),
        };
        let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
        let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if (whole.is_empty() && part.is_empty()) || !is_number(whole) || !is_number(part) || part.len() > 18 {
            return None;
        }
        let mantissa: i128 = format!("{whole}{part}").parse().ok()?;
        let (up, down) = scale(suffix)?;
        let down = down.checked_mul(10_i128.checked_pow(u32::try_from(part.len()).ok()?)?)?;
        let scaled = mantissa.checked_mul(up)?;
        Some(Self(sign * (scaled / down + i128::from(scaled % down != 0))))
    }

    #[must_use]
    pub fn times(self, count: u64) -> Self {
        Self(self.0.saturating_mul(i128::from(count)))
    }

    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// Not below nothing.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0).max(0))
    }

    /// The greatest multiple of a step that is not more.
    pub fn down_to(self, step: Self) -> Self {
        Self(self.0 - self.0.checked_rem(step.0).unwrap_or(0))
    }

    pub fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// In units, for texts that people read.
    pub fn units(self) -> f64 {
        self.0 as f64 / 1000.0
    }
}

/// What a number with the suffix is multiplied with and divided by to be in thousandths.
fn scale(suffix: &str) -> Option<(i128, i128)> {
    match suffix {
        "" => return Some((1000, 1)),
        "n" => return Some((1, 1_000_000)),
        "u" => return Some((1, 1000)),
        _ => {}
    }
    if let Some((_, bits)) = BINARY.iter().find(|(name, _)| *name == suffix) {
        return Some((1000_i128 << bits, 1));
    }
    if let Some((_, power)) = DECIMAL.iter().find(|(name, _)| *name == suffix) {
        return Some((10_i128.pow(*power), 1));
    }
    let power: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
    let power_of = |power: i32| 10_i128.checked_pow(u32::try_from(power).ok()?);
    if power >= 0 {
        Some((power_of(power + 3)?, 1))
    } else {
        Some((1000, power_of(-power)?))
    }
}

/// The shortest exact form: multiples of a Mi with a binary suffix. Fewer of anything are counted one by one.
impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 % 1000 != 0 {
            return write!(f, "{}m", self.0);
        }
        let units = self.0 / 1000;
        let fits = |bits: u32| units != 0 && units % (1_i128 << bits) == 0;
        match BINARY[1..].iter().rev().find(|(_, bits)| fits(*bits)) {
            Some((suffix, bits)) => write!(f, "{}{suffix}", units >> bits),
            None => write!(f, "{units}"),
        }
    }
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Amount {
    /// From a text or a bare number, as the server keeps either.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        Self::parse(&text).ok_or_else(|| D::Error::custom(format!("{text:?} is not a quantity")))
    }
}

/// The sum by name.
pub fn add(sum: &mut Amounts, more: &Amounts, count: u64) {
    for (name, amount) in more {
        let entry = sum.entry(name.clone()).or_default();
        *entry = entry.plus(amount.times(count));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn quantities_are_read_as_kubernetes_writes_them() {
        let cases = [
            ("8", 8000),
            ("500m", 500),
            ("1.5", 1500),
            (".5", 500),
            ("1Ki", 1_024_000),
            ("1.5Gi", 1_610_612_736_000),
            ("2k", 2_000_000),
            ("1e3", 1_000_000),
            ("1E-2", 10),
            ("12E", 12_000_000_000_000_000_000_000),
            ("1n", 1),
            ("1500u", 2),
            ("-3", -3000),
            ("+3", 3000),
        ];
        for (text, milli) in cases {
            assert_eq!(Amount::parse(text), Some(Amount(milli)), "{text}");
        }
        for text in ["", "m", "1x", "one", "1.2.3", "1e", "--1", "1e99"] {
            assert_eq!(Amount::parse(text), None, "{text}");
        }
    }

    #[test]
    fn numbers_are_read_like_texts() {
        let amounts: Amounts = serde_json::from_str(r#"{"cpu":8,"memory":"1760Gi"}"#).unwrap();
        assert_eq!(serde_json::to_string(&amounts).unwrap(), r#"{"cpu":"8","memory":"1760Gi"}"#);
        assert!(serde_json::from_str::<Amounts>(r#"{"cpu":true}"#).is_err());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(milli in -1_000_000_000_000_000_000_i128..1_000_000_000_000_000_000) {
            let amount = Amount(milli);
            prop_assert_eq!(Amount::parse(&amount.to_string()), Some(amount));
        }
    }
}
