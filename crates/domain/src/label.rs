//! Label keys and values, and the label selector (contract README §4.4 and §7).

use std::collections::BTreeMap;
use std::fmt;

/// At most this many labels, and as many annotations, on one object.
pub const MAX_KEYS: usize = 64;
/// Characters of a label value.
pub const MAX_LABEL_VALUE: usize = 256;
/// Characters of an annotation value.
pub const MAX_ANNOTATION_VALUE: usize = 4096;

/// Why this is not a qualified name, if it is not one: an optional DNS prefix and `/`, then at most 63 characters of
/// `[A-Za-z0-9._-]`.
pub fn check_key(key: &str) -> Result<(), &'static str> {
    let (prefix, name) = key.split_once('/').map_or((None, key), |(prefix, name)| (Some(prefix), name));
    if let Some(prefix) = prefix
        && (prefix.is_empty() || prefix.len() > 253 || !prefix.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-')))
    {
        return Err("the part before the slash must be a DNS name");
    }
    if name.is_empty() || name.len() > 63 {
        return Err("the name must be 1 to 63 characters long");
    }
    if !name.chars().all(is_name_character) {
        return Err("the name may hold letters, digits and . _ - only");
    }
    Ok(())
}

fn is_name_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')
}

/// A parsed label selector: all requirements must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selector(Vec<Requirement>);

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    pub key: String,
    pub test: Test,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Test {
    Exists,
    Absent,
    In(Vec<String>),
    /// Also true where the key is absent.
    NotIn(Vec<String>),
}

/// Where and why a text is not a label selector.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} at character {at}")]
pub struct SelectorError {
    /// Position in characters, from 1.
    pub at: usize,
    pub message: &'static str,
}

impl Selector {
    /// Reads comma-separated requirements: `k=v`, `k==v`, `k!=v`, `k in (a,b)`, `k notin (a,b)`, `k`, `!k`. An empty
    /// text selects everything.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        let mut parser = Parser { rest: text, at: 1 };
        let mut requirements = Vec::new();
        parser.space();
        if parser.rest.is_empty() {
            return Ok(Self(requirements));
        }
        loop {
            requirements.push(parser.requirement()?);
            parser.space();
            if parser.rest.is_empty() {
                return Ok(Self(requirements));
            }
            if !parser.take(",") {
                return Err(parser.error("expected a comma"));
            }
        }
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether labels satisfy every requirement. `get` looks a label up.
    pub fn matches<'a>(&self, get: impl Fn(&str) -> Option<&'a str>) -> bool {
        self.0.iter().all(|requirement| {
            let value = get(&requirement.key);
            match &requirement.test {
                Test::Exists => value.is_some(),
                Test::Absent => value.is_none(),
                Test::In(values) => value.is_some_and(|value| values.iter().any(|wanted| wanted == value)),
                Test::NotIn(values) => !value.is_some_and(|value| values.iter().any(|unwanted| unwanted == value)),
            }
        })
    }

    pub fn matches_map(&self, labels: &BTreeMap<String, String>) -> bool {
        self.matches(|key| labels.get(key).map(String::as_str))
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, Requirement { key, test }) in self.0.iter().enumerate() {
            if position > 0 {
                f.write_str(",")?;
            }
            match test {
                Test::Exists => write!(f, "{key}")?,
                Test::Absent => write!(f, "!{key}")?,
                Test::In(values) => write!(f, "{key} in ({})", values.join(","))?,
                Test::NotIn(values) => write!(f, "{key} notin ({})", values.join(","))?,
            }
        }
        Ok(())
    }
}

struct Parser<'a> {
    rest: &'a str,
    at: usize,
}

impl<'a> Parser<'a> {
    fn error(&self, message: &'static str) -> SelectorError {
        SelectorError { at: self.at, message }
    }

    fn advance(&mut self, bytes: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(bytes);
        self.at += taken.chars().count();
        self.rest = rest;
        taken
    }

    fn space(&mut self) {
        let end = self.rest.find(|c: char| c != ' ').unwrap_or(self.rest.len());
        self.advance(end);
    }

    fn take(&mut self, token: &str) -> bool {
        let found = self.rest.starts_with(token);
        if found {
            self.advance(token.len());
        }
        found
    }

    fn run(&mut self, allowed: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|c| !allowed(c)).unwrap_or(self.rest.len());
        self.advance(end)
    }

    fn key(&mut self) -> Result<String, SelectorError> {
        let start = self.at;
        let key = self.run(|c| is_name_character(c) || c == '/');
        if key.is_empty() {
            return Err(self.error("expected a label key"));
        }
        check_key(key).map_err(|message| SelectorError { at: start, message })?;
        Ok(key.to_owned())
    }

    fn value(&mut self) -> String {
        self.space();
        self.run(|c| is_name_character(c) || c == ':').to_owned()
    }

    fn set(&mut self) -> Result<Vec<String>, SelectorError> {
        self.space();
        if !self.take("(") {
            return Err(self.error("expected an opening parenthesis"));
        }
        let mut values = Vec::new();
        loop {
            values.push(self.value());
            self.space();
            if self.take(")") {
                return Ok(values);
            }
            if !self.take(",") {
                return Err(self.error("expected a comma or a closing parenthesis"));
            }
        }
    }

    fn requirement(&mut self) -> Result<Requirement, SelectorError> {
        self.space();
        if self.take("!") {
            self.space();
            return Ok(Requirement {
                key: self.key()?,
                test: Test::Absent,
            });
        }
        let key = self.key()?;
        let before_space = self.at;
        self.space();
        let is_spaced = self.at > before_space;
        let test = if self.take("!=") {
            Test::NotIn(vec![self.value()])
        } else if self.take("==") || self.take("=") {
            Test::In(vec![self.value()])
        } else if is_spaced && self.word("in") {
            Test::In(self.set()?)
        } else if is_spaced && self.word("notin") {
            Test::NotIn(self.set()?)
        } else {
            Test::Exists
        };
        Ok(Requirement { key, test })
    }

    /// Takes a keyword that ends where a space or a parenthesis begins.
    fn word(&mut self, word: &str) -> bool {
        let ends = self.rest.strip_prefix(word).is_some_and(|rest| rest.starts_with([' ', '(']));
        if ends {
            self.advance(word.len());
        }
        ends
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn matches(selector: &str, labels: &[(&str, &str)]) -> bool {
        let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Selector::parse(selector).unwrap().matches_map(&labels)
    }

    #[test]
    fn every_operator_does_what_kubernetes_does() {
        let labels = [
            ("os.modelarts/name", "pool-ae01"),
            ("os.modelarts.pool/biz", "private"),
            ("empty", ""),
        ];
        for (selector, expected) in [
            ("", true),
            ("os.modelarts/name=pool-ae01", true),
            ("os.modelarts/name==pool-ae01,os.modelarts.pool/biz in (private)", true),
            ("os.modelarts/name!=pool-ae01", false),
            ("absent!=x", true),
            ("absent=x", false),
            ("os.modelarts/name in (a, pool-ae01 ,b)", true),
            ("os.modelarts/name notin (a,b)", true),
            ("absent notin (a)", true),
            ("os.modelarts/name", true),
            ("!os.modelarts/name", false),
            (" ! absent , empty ", true),
            ("empty=", true),
            ("empty in ()", true),
            ("in in (a)", false),
            ("in", false),
        ] {
            assert_eq!(matches(selector, &labels), expected, "{selector}");
        }
    }

    #[test]
    fn what_is_not_a_selector_is_refused_with_its_place() {
        for (selector, at) in [
            ("a=b,", 5),
            ("=x", 1),
            ("a in x", 6),
            ("a in (x", 8),
            ("a b", 3),
            ("a=b c=d", 5),
            ("!", 2),
            ("a=b!", 4),
            ("/x", 1),
        ] {
            assert_eq!(Selector::parse(selector).unwrap_err().at, at, "{selector}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_parsed_or_refused(text in ".{0,60}") {
            let _result = Selector::parse(&text);
        }

        #[test]
        fn a_rendered_selector_reads_back_the_same(parts in prop::collection::vec(("[a-z][a-z0-9./]{0,0}[a-z0-9]{0,5}", 0..4_u8, prop::collection::vec("[a-z0-9:._-]{0,4}", 1..3)), 0..5)) {
            let selector = Selector(parts.into_iter().map(|(key, kind, values)| Requirement { key, test: match kind {
                0 => Test::Exists,
                1 => Test::Absent,
                2 => Test::In(values),
                _ => Test::NotIn(values),
            } }).collect());
            prop_assert_eq!(Selector::parse(&selector.to_string()), Ok(selector));
        }

        #[test]
        fn a_test_and_its_opposite_never_agree(key in "[a-z]{1,3}", value in "[a-z]{0,2}", labels in prop::collection::btree_map("[a-z]{1,3}", "[a-z]{0,2}", 0..4)) {
            let yes = Selector::parse(&format!("{key}={value}")).unwrap();
            let no = Selector::parse(&format!("{key}!={value}")).unwrap();
            prop_assert_ne!(yes.matches_map(&labels), no.matches_map(&labels));
        }
    }
}
