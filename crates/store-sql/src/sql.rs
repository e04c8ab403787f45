//! Text with values, in what both engines understand.
//!
//! sqlx's own builder writes `?`, which PostgreSQL does not know.

use sqlx::any::{AnyArguments, AnyRow};
use sqlx::query::Query;
use sqlx::{Any, AnyConnection, AssertSqlSafe};
use std::fmt::Write as _;

#[derive(Debug, Clone, Copy)]
pub(crate) enum Value<'a> {
    Text(&'a str),
    Number(i64),
}

impl Value<'_> {
    fn filler(self) -> Self {
        match self {
            Self::Text(_) => Self::Text(""),
            Self::Number(_) => Self::Number(0),
        }
    }
}

/// A statement under construction. Values never become part of its text.
#[derive(Debug)]
pub(crate) struct SqlText<'a> {
    text: String,
    values: Vec<Value<'a>>,
}

impl<'a> SqlText<'a> {
    pub(crate) fn new(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            values: Vec::new(),
        }
    }

    pub(crate) fn push(&mut self, text: &str) {
        self.text.push_str(text);
    }

    pub(crate) fn value(&mut self, value: Value<'a>) {
        self.values.push(value);
        // Writing to a string cannot fail.
        let _always_ok = write!(self.text, "${}", self.values.len());
    }

    /// `VALUES ($1, $2), ($3, $4), …`
    pub(crate) fn rows<const N: usize>(&mut self, rows: impl Iterator<Item = [Value<'a>; N]>) {
        self.push("VALUES ");
        for (i, row) in rows.enumerate() {
            self.push(if i == 0 { "(" } else { ", (" });
            for (j, value) in row.into_iter().enumerate() {
                self.push(if j == 0 { "" } else { ", " });
                self.value(value);
            }
            self.push(")");
        }
    }

    /// For placeholders that the text already has.
    #[cfg(test)]
    pub(crate) fn bind(&mut self, values: impl IntoIterator<Item = Value<'a>>) {
        self.values.extend(values);
    }

    #[cfg(test)]
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    #[cfg(test)]
    pub(crate) fn values(&self) -> &[Value<'a>] {
        &self.values
    }

    pub(crate) fn query(self) -> Query<'a, Any, AnyArguments> {
        // Safe: the text is made of this crate's literals and of placeholders.
        self.values
            .into_iter()
            .fold(sqlx::query(AssertSqlSafe(self.text)), |query, value| match value {
                Value::Text(text) => query.bind(text),
                Value::Number(number) => query.bind(number),
            })
    }
}

/// A statement over a list of rows: what comes before `VALUES (…), …`, and what comes after.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rows {
    pub(crate) before: &'static str,
    pub(crate) after: &'static str,
}

/// How many rows one statement takes. Few sizes, so that few different statements need to be prepared and kept: shorter
/// lists are filled up. No more than 64, since SQLite's time per parameter grows with their number.
const SIZES: [usize; 9] = [1, 2, 4, 8, 16, 24, 32, 48, 64];
const MOST: usize = SIZES[SIZES.len() - 1];

impl Rows {
    /// Runs the statement for all rows, as often as needed, and gives the rows of all answers. It gets extra rows of empty
    /// texts and zeros, which it must not act upon.
    pub(crate) async fn run<'a, const N: usize>(
        self,
        connection: &mut AnyConnection,
        rows: &'a [[Value<'a>; N]],
    ) -> Result<Vec<AnyRow>, sqlx::Error> {
        let mut found = Vec::new();
        for chunk in rows.chunks(MOST) {
            let text = self.text(chunk);
            found.extend(text.query().fetch_all(&mut *connection).await?);
        }
        Ok(found)
    }

    pub(crate) fn text<'a, const N: usize>(self, chunk: &[[Value<'a>; N]]) -> SqlText<'a> {
        let size = SIZES.into_iter().find(|size| *size >= chunk.len()).unwrap_or(MOST);
        let filler = chunk.first().map(|row| row.map(Value::filler)).into_iter().cycle();
        let mut text = SqlText::new(self.before);
        text.rows(chunk.iter().copied().chain(filler).take(size));
        text.push(self.after);
        text
    }
}
