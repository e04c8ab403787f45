//! Reading JSON bodies.
use serde_json::Value;
/// Nesting that a body may have at most.
pub const MAX_DEPTH: usize = 64;
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    #[error("the body is not JSON: {0}")]
    Syntax(String),
    #[error("the body is nested more than {MAX_DEPTH} levels deep")]
    Depth,
}
/// Strict JSON first; where that fails, once more with commas before closing brackets left out.
pub fn parse(bytes: &[u8]) -> Result<Value, ParseError> {
    check_depth(bytes)?;
    match serde_json::from_slice(bytes) {
        Ok(value) => Ok(value),
        Err(error) => serde_json::from_slice(&without_stray_commas(bytes)).map_err(|_| ParseError::Syntax(error.to_string())),
    }
}

fn check_depth(bytes: &[u8]) -> Result<(), ParseError> {
    let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
    for byte in bytes {
        match (in_text, byte) {
            (true, _) if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (true, b'"') => in_text = false,
            (false, b'"') => in_text = true,
            (false, b'{' | b'[') => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return Err(ParseError::Depth);
                }
            }
            (false, b'}' | b']') => depth = depth.saturating_sub(1),
            (true | false, _) => {}
        }
    }
    Ok(())
}

fn without_stray_commas(bytes: &[u8]) -> Vec<u8> {
    let mut kept: Vec<u8> = Vec::with_capacity(bytes.len());
    let (mut in_text, mut escaped, mut comma) = (false, false, None);
    for byte in bytes {
        if in_text {
            kept.push(*byte);
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_text = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b',' => comma = Some(kept.len()),
            b'}' | b']' => {
                if let Some(at) = comma.take() {
                    kept.remove(at);
                }
            }
            b' ' | b'\t' | b'\r' | b'\n' => {}
            b'"' => {
                in_text = true;
                comma = None;
            }
            _ => comma = None,
        }
        kept.push(*byte);
    }
    kept
}
