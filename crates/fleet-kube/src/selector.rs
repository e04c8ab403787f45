//! Label selectors as people write them.

use kube::core::{Expression, Selector};

/// Reads `key=value`, `key!=value`, `key`, `!key`, `key in (a, b)`, `key notin (a, b)`, joined by commas.
pub fn parse(text: &str) -> Result<Selector, String> {
    let mut expressions = Vec::new();
    for term in terms(text)? {
        expressions.push(expression(term.trim())?);
    }
    Ok(expressions.into_iter().collect())
}

/// The parts between commas that are not inside parentheses.
fn terms(text: &str) -> Result<Vec<&str>, String> {
    let (mut parts, mut start, mut is_inside) = (Vec::new(), 0, false);
    for (at, c) in text.char_indices() {
        match c {
            '(' if !is_inside => is_inside = true,
            ')' if is_inside => is_inside = false,
            '(' | ')' => return Err("its parentheses do not match".to_owned()),
            ',' if !is_inside => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    if is_inside {
        return Err("its parentheses do not match".to_owned());
    }
    parts.push(&text[start..]);
    Ok(parts)
}

fn expression(term: &str) -> Result<Expression, String> {
    if let Some((head, list)) = term.strip_suffix(')').and_then(|rest| rest.split_once('(')) {
        let values = list.split(',').map(|value| value.trim().to_owned()).collect();
        return match head.split_whitespace().collect::<Vec<_>>()[..] {
            [name, "in"] => Ok(Expression::In(key(name)?, values)),
            [name, "notin"] => Ok(Expression::NotIn(key(name)?, values)),
            _ => Err(format!("{term:?} is not understood")),
        };
    }
    if let Some((name, value)) = term.split_once("!=") {
        return Ok(Expression::NotEqual(key(name)?, value.trim().to_owned()));
    }
    if let Some((name, value)) = term.split_once('=') {
        let value = value.strip_prefix('=').unwrap_or(value);
        return Ok(Expression::Equal(key(name)?, value.trim().to_owned()));
    }
    match term.strip_prefix('!') {
        Some(name) => Ok(Expression::DoesNotExist(key(name)?)),
        None => Ok(Expression::Exists(key(term)?)),
    }
}

fn key(text: &str) -> Result<String, String> {
    let text = text.trim();
    let is_key = !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c));
    is_key.then(|| text.to_owned()).ok_or_else(|| format!("{text:?} is not a label"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::core::SelectorExt;
    use std::collections::BTreeMap;

    #[test]
    fn selectors_select_what_they_say() {
        let labels: BTreeMap<String, String> = [("a".to_owned(), "1".to_owned()), ("x/b".to_owned(), String::new())].into();
        for (text, selects) in [
            ("a=1", true),
            ("a==1", true),
            ("a=2", false),
            ("a!=2,x/b", true),
            ("!c", true),
            ("!a", false),
            ("a in (1, 2), c notin (3)", true),
            ("a in (3)", false),
        ] {
            assert_eq!(parse(text).unwrap().matches(&labels), selects, "{text}");
        }
        for bad in ["", "a=1,", "a in 1", "a in (1", "a like (1)", "ä=1"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
