//! Reading JSON bodies (contract README §5).

use serde_json::Value;

/// Nesting that a body may have at most.
pub const MAX_DEPTH: usize = 64;

/// Why and where a body is not JSON. `Display` shows nothing of the body and is fit for an API error message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the body {reason} at line {line} column {column}")]
pub struct ParseError {
    pub reason: Reason,
    /// From 1.
    pub line: usize,
    /// In bytes, from 1; 0 at the end of a body that ends with a line.
    pub column: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    #[error("is not JSON: {0}")]
    Syntax(String),
    #[error("is nested more than {MAX_DEPTH} levels deep")]
    Depth,
}

/// Strict JSON; where that fails, once more without commas before closing brackets: a published request has one.
///
/// Of members with equal names the last one counts.
pub fn parse(bytes: &[u8]) -> Result<Value, ParseError> {
    check_depth(bytes)?;
    let strict = match serde_json::from_slice(bytes) {
        Ok(value) => return Ok(value),
        Err(error) => error,
    };
    let lenient = match without_stray_commas(bytes) {
        Some(corrected) => match serde_json::from_slice(&corrected) {
            Ok(value) => return Ok(value),
            Err(error) => error,
        },
        None => strict,
    };
    Err(syntax_error(&lenient))
}

fn syntax_error(error: &serde_json::Error) -> ParseError {
    let (line, column) = (error.line(), error.column());
    let text = error.to_string();
    let reason = text.strip_suffix(&format!(" at line {line} column {column}")).unwrap_or(&text);
    ParseError {
        reason: Reason::Syntax(reason.to_owned()),
        line,
        column,
    }
}

fn check_depth(bytes: &[u8]) -> Result<(), ParseError> {
    let mut depth = 0_usize;
    for (at, byte) in outside_texts(bytes) {
        match byte {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_DEPTH {
            let before = &bytes[..at];
            let line_start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
            return Err(ParseError {
                reason: Reason::Depth,
                line: before.split(|byte| *byte == b'\n').count(),
                column: at - line_start + 1,
            });
        }
    }
    Ok(())
}

/// The body with blanks in place of commas before `}` and `]`, so that later errors keep their places. `None`: there is no such comma.
fn without_stray_commas(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut strays = Vec::new();
    let mut comma = None;
    for (at, byte) in outside_texts(bytes) {
        match byte {
            b',' => comma = Some(at),
            b'}' | b']' => strays.extend(comma.take()),
            b' ' | b'\t' | b'\r' | b'\n' => {}
            _ => comma = None,
        }
    }
    if strays.is_empty() {
        return None;
    }
    let mut corrected = bytes.to_vec();
    for at in strays {
        corrected[at] = b' ';
    }
    Some(corrected)
}

/// The bytes outside texts with their places; of a text only the quotes.
fn outside_texts(bytes: &[u8]) -> impl Iterator<Item = (usize, u8)> {
    let (mut is_in_text, mut is_escaped) = (false, false);
    bytes.iter().copied().enumerate().filter(move |(_, byte)| {
        if !is_in_text {
            is_in_text = *byte == b'"';
            return true;
        }
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => is_in_text = false,
            _ => {}
        }
        !is_in_text
    })
}

#[cfg(test)]
mod tests;
