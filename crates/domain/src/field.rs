//! Errors of single fields: where, what and why, gathered instead of stopping at the first.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The place of a value in a request, as its sender wrote it: `spec.resources[0].flavor`,
/// `metadata.labels[os.modelarts/name]`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FieldPath(String);

impl FieldPath {
    pub fn root() -> Self {
        Self(String::new())
    }

    /// A path from its rendered form.
    pub fn of(text: &str) -> Self {
        Self(text.to_owned())
    }

    pub fn field(&self, name: &str) -> Self {
        if name.contains(['/', '.']) {
            return Self(format!("{}[{name}]", self.0));
        }
        if self.0.is_empty() {
            Self(name.to_owned())
        } else {
            Self(format!("{}.{name}", self.0))
        }
    }

    pub fn index(&self, at: usize) -> Self {
        Self(format!("{}[{at}]", self.0))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a field is refused, for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Reason {
    /// A mandatory value is missing.
    Required,
    /// Wrong type or form, out of range, or not one of the allowed values.
    Invalid,
    /// Names something that does not exist.
    NotFound,
    /// Fixed at creation.
    Immutable,
    /// May not be used here: with this pool type, or together with another field.
    Forbidden,
    /// Occurs twice in a list whose elements are unique.
    Duplicate,
    /// More than there is.
    Capacity,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldError {
    pub path: FieldPath,
    pub reason: Reason,
    pub message: String,
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_root() {
            return f.write_str(&self.message);
        }
        match self.reason {
            Reason::Required | Reason::Immutable => write!(f, "{} {}", self.path, self.message),
            Reason::Invalid | Reason::NotFound | Reason::Forbidden | Reason::Duplicate | Reason::Capacity => {
                write!(f, "{}: {}", self.path, self.message)
            }
        }
    }
}

/// All that is wrong with a request, in document order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FieldErrors(Vec<FieldError>);

impl FieldErrors {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn push(&mut self, path: FieldPath, reason: Reason, message: impl Into<String>) {
        self.0.push(FieldError {
            path,
            reason,
            message: message.into(),
        });
    }

    pub fn required(&mut self, path: FieldPath) {
        self.push(path, Reason::Required, "is required");
    }

    pub fn immutable(&mut self, path: FieldPath) {
        self.push(path, Reason::Immutable, "cannot be modified");
    }

    pub fn invalid(&mut self, path: FieldPath, message: impl Into<String>) {
        self.push(path, Reason::Invalid, message);
    }

    pub fn forbidden(&mut self, path: FieldPath, message: impl Into<String>) {
        self.push(path, Reason::Forbidden, message);
    }

    pub fn one(path: FieldPath, reason: Reason, message: impl Into<String>) -> Self {
        let mut errors = Self::new();
        errors.push(path, reason, message);
        errors
    }

    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn first(&self) -> Option<&FieldError> {
        self.0.first()
    }

    pub fn iter(&self) -> std::slice::Iter<'_, FieldError> {
        self.0.iter()
    }

    /// `Ok` where nothing was pushed.
    pub fn into_result(self) -> Result<(), Self> {
        if self.is_empty() { Ok(()) } else { Err(self) }
    }
}

impl<'a> IntoIterator for &'a FieldErrors {
    type Item = &'a FieldError;
    type IntoIter = std::slice::Iter<'a, FieldError>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for FieldErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.first() {
            Some(error) => error.fmt(f),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_read_as_the_sender_wrote_them() {
        let root = FieldPath::root();
        assert_eq!(
            root.field("spec").field("resources").index(0).field("flavor").as_str(),
            "spec.resources[0].flavor"
        );
        assert_eq!(
            root.field("metadata").field("labels").field("os.modelarts/name").as_str(),
            "metadata.labels[os.modelarts/name]"
        );
    }

    #[test]
    fn messages_name_the_path_first() {
        let mut errors = FieldErrors::new();
        errors.required(FieldPath::of("spec.network"));
        errors.push(FieldPath::of("spec.resources[0].flavor"), Reason::NotFound, "unknown flavor \"x\"");
        let texts: Vec<_> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            ["spec.network is required", "spec.resources[0].flavor: unknown flavor \"x\""]
        );
    }
}
