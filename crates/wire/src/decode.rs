//! Reading values leniently where the contract is lenient, and gathering every error.

use domain::field::{FieldErrors, FieldPath, Reason};
use serde_json::Value;
use std::cell::RefCell;
use std::collections::BTreeMap;

/// A place in a document, there or not.
#[derive(Clone)]
pub struct Place<'a> {
    value: Option<&'a Value>,
    path: FieldPath,
    errors: &'a RefCell<FieldErrors>,
}

impl<'a> Place<'a> {
    pub fn root(value: &'a Value, errors: &'a RefCell<FieldErrors>) -> Self {
        Self {
            value: Some(value).filter(|value| !value.is_null()),
            path: FieldPath::root(),
            errors,
        }
    }

    pub fn path(&self) -> &FieldPath {
        &self.path
    }

    pub fn value(&self) -> Option<&'a Value> {
        self.value
    }

    pub fn is_absent(&self) -> bool {
        self.value.is_none()
    }

    /// Absent, or an object or list without members.
    pub fn is_empty(&self) -> bool {
        match self.value {
            None => true,
            Some(Value::Array(items)) => items.is_empty(),
            Some(Value::Object(members)) => members.is_empty(),
            Some(_) => false,
        }
    }

    pub fn invalid(&self, message: impl Into<String>) {
        self.errors.borrow_mut().invalid(self.path.clone(), message);
    }

    pub fn refuse(&self, reason: Reason, message: impl Into<String>) {
        self.errors.borrow_mut().push(self.path.clone(), reason, message);
    }

    pub fn required(&self) {
        self.errors.borrow_mut().required(self.path.clone());
    }

    pub fn field(&self, name: &str) -> Self {
        let value = self.value.and_then(|value| value.get(name)).filter(|value| !value.is_null());
        Self {
            value,
            path: self.path.field(name),
            errors: self.errors,
        }
    }

    /// Whether it may have fields; says so where it may not.
    pub fn object(&self) -> Option<&'a serde_json::Map<String, Value>> {
        let members = self.value?.as_object();
        if members.is_none() {
            self.invalid("must be an object");
        }
        members
    }

    pub fn items(&self) -> Vec<Self> {
        match self.value {
            None => Vec::new(),
            Some(Value::Array(items)) => items
                .iter()
                .enumerate()
                .map(|(at, value)| Self {
                    value: Some(value),
                    path: self.path.index(at),
                    errors: self.errors,
                })
                .collect(),
            Some(_) => {
                self.invalid("must be a list");
                Vec::new()
            }
        }
    }

    pub fn text(&self) -> Option<&'a str> {
        let text = self.value?.as_str();
        if text.is_none() {
            self.invalid("must be a text");
        }
        text
    }

    pub fn required_text(&self) -> Option<&'a str> {
        if self.is_absent() {
            self.required();
        }
        self.text()
    }

    /// Text, number or boolean, as text.
    pub fn scalar(&self) -> Option<String> {
        match self.value? {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            Value::Bool(flag) => Some(flag.to_string()),
            _ => {
                self.invalid("must be a text");
                None
            }
        }
    }

    pub fn integer(&self, min: u32, max: u32) -> Option<u32> {
        let number = match self.value? {
            Value::Number(number) => number.as_i64(),
            Value::String(text) => text.parse().ok(),
            _ => None,
        };
        let Some(number) = number else {
            self.invalid("must be an integer");
            return None;
        };
        let fitting = u32::try_from(number).ok().filter(|number| (min..=max).contains(number));
        if fitting.is_none() {
            self.invalid(format!("must be {min} to {max}"));
        }
        fitting
    }

    pub fn boolean(&self) -> Option<bool> {
        match self.value? {
            Value::Bool(flag) => Some(*flag),
            Value::String(text) if text == "true" => Some(true),
            Value::String(text) if text == "false" => Some(false),
            _ => {
                self.invalid("must be true or false");
                None
            }
        }
    }

    /// A name of some kind.
    pub fn name<T>(&self, parse: impl Fn(&str) -> Result<T, domain::name::NameError>) -> Option<T> {
        let text = self.text()?;
        match parse(text) {
            Ok(name) => Some(name),
            Err(error) => {
                self.invalid(error.to_string());
                None
            }
        }
    }

    /// One of some texts.
    pub fn choice<T: Copy>(&self, choices: &[(&str, T)]) -> Option<T> {
        let text = self.text()?;
        let found = choices.iter().find(|(known, _)| *known == text).map(|(_, value)| *value);
        if found.is_none() {
            let names: Vec<_> = choices.iter().map(|(name, _)| *name).collect();
            self.invalid(format!("must be one of {}", names.join(", ")));
        }
        found
    }

    /// An object whose values are texts, numbers or booleans.
    pub fn texts(&self) -> BTreeMap<String, String> {
        let Some(members) = self.object() else { return BTreeMap::new() };
        members
            .keys()
            .filter_map(|name| Some((name.clone(), self.field(name).scalar()?)))
            .collect()
    }
}

/// The value, unless something is wrong with it.
pub(crate) fn finish<T>(value: Option<T>, errors: RefCell<FieldErrors>) -> Result<T, FieldErrors> {
    let errors = errors.into_inner();
    match value {
        Some(value) if errors.is_empty() => Ok(value),
        Some(_) | None => Err(errors),
    }
}
