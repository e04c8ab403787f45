//! Reading values leniently where the contract is lenient, and gathering every error.

use domain::field::{FieldErrors, FieldPath, Reason};
use domain::name::NameError;
use serde_json::Value;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::str::FromStr;

/// Errors that are kept of one request; a body may hold hundreds of thousands of wrong values.
const MAX_ERRORS: usize = 100;

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
        self.refuse(Reason::Invalid, message);
    }

    /// Says what is wrong here, once: several readers of one value may find the same.
    pub fn refuse(&self, reason: Reason, message: impl Into<String>) {
        let mut errors = self.errors.borrow_mut();
        let message = message.into();
        let is_known = errors.iter().any(|known| known.path == self.path && known.message == message);
        if !is_known && errors.len() < MAX_ERRORS {
            errors.push(self.path.clone(), reason, message);
        }
    }

    pub fn required(&self) {
        self.refuse(Reason::Required, "is required");
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

    /// Whether fields may be looked for: it is absent or an object. Says so where it is neither.
    pub fn may_have_fields(&self) -> bool {
        self.is_absent() || self.object().is_some()
    }

    /// The members of a whole body, which must be an object.
    pub fn body(&self) -> Option<&'a serde_json::Map<String, Value>> {
        let members = self.value.and_then(Value::as_object);
        if members.is_none() {
            self.invalid("the body must be an object");
        }
        members
    }

    /// Its elements, unless it is absent or says that it must be a list.
    pub fn list(&self) -> Option<Vec<Self>> {
        let Some(items) = self.value?.as_array() else {
            self.invalid("must be a list");
            return None;
        };
        let places = items.iter().enumerate().map(|(at, value)| Self {
            value: Some(value),
            path: self.path.index(at),
            errors: self.errors,
        });
        Some(places.collect())
    }

    pub fn items(&self) -> Vec<Self> {
        self.list().unwrap_or_default()
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
            Value::String(text) => decimal(text),
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
    pub fn name<T>(&self, parse: impl Fn(&str) -> Result<T, NameError>) -> Option<T> {
        self.parsed(self.text()?, parse)
    }

    /// What stands here, as a name of some kind.
    pub fn parsed<T>(&self, text: &str, parse: impl Fn(&str) -> Result<T, NameError>) -> Option<T> {
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
        self.chosen(self.text()?, choices)
    }

    /// What stands here, as one of some texts.
    pub fn chosen<T: Copy>(&self, text: &str, choices: &[(&str, T)]) -> Option<T> {
        let found = choices.iter().find(|(known, _)| *known == text).map(|(_, value)| *value);
        if found.is_none() {
            let names: Vec<_> = choices.iter().map(|(name, _)| *name).filter(|name| !name.is_empty()).collect();
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

/// A whole number in digits, with a minus where it is negative; the standard parser takes a plus too.
pub(crate) fn decimal<T: FromStr>(text: &str) -> Option<T> {
    text.parse().ok().filter(|_| !text.starts_with('+'))
}

/// Takes out of a merge patch what may not be there: `null` at any of these paths, and anything but an object at the first `objects` of
/// them. What is left can be merged without leaving out what every object has.
pub(crate) fn strike(patch: &mut Value, paths: &[&[&str]], objects: usize, errors: &RefCell<FieldErrors>) {
    for (at, path) in paths.iter().enumerate() {
        let Some((last, parents)) = path.split_last() else { continue };
        let parent = parents.iter().try_fold(&mut *patch, |value, name| value.get_mut(*name));
        let Some(members) = parent.and_then(Value::as_object_mut) else {
            continue;
        };
        let message = match members.get(*last) {
            Some(Value::Null) => "must not be null",
            Some(value) if at < objects && !value.is_object() => "must be an object",
            Some(_) | None => continue,
        };
        members.remove(*last);
        let place = path.iter().fold(FieldPath::root(), |place, name| place.field(name));
        errors.borrow_mut().invalid(place, message);
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
