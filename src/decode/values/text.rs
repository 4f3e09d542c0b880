//! Text and JSON documents.

use arrow_array::types::Utf8Type;
use memchr::memchr;

use crate::decode::builders::Write;
use crate::decode::document;
use crate::decode::problem::Problem;
use crate::decode::token::{Input, unescape, within_quotes};

/// A JSON string's text; any other JSON value (a number, a boolean, an array, an object) as it is written.
pub(super) struct Text;

impl Write for Text {
    type Arrow = Utf8Type;

    fn write(&self, input: Input<'_>, _scratch: &mut String, out: &mut Vec<u8>) -> Result<(), Problem> {
        let text = match input {
            Input::Json(json) if json.as_bytes().first() == Some(&b'"') => {
                let inner = within_quotes(json);
                // A bare NUL is a control character, which JSON refuses: only an escape can be one.
                if memchr(b'\\', inner.as_bytes()).is_some() {
                    let start = out.len();
                    unescape(inner, |piece| out.extend_from_slice(piece.as_bytes()))?;
                    return without_nul(&out[start..]);
                }
                inner
            }
            Input::Json(json) => json,
            Input::Plain(text) => {
                without_nul(text.as_bytes())?;
                text
            }
            Input::Bytes(_) => return Err(Problem::wrong_type("bytes (with key_format = \"bytes\")")),
        };
        out.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

fn without_nul(text: &[u8]) -> Result<(), Problem> {
    match memchr(0, text) {
        None => Ok(()),
        Some(_) => Err(Problem::new("nul-character", "a NUL character, which databases keep in no text")),
    }
}

/// Any JSON value as it is written: duplicate names, escapes and spaces stay. Plain text must be JSON.
pub(super) struct Json;

impl Write for Json {
    type Arrow = Utf8Type;

    fn write(&self, input: Input<'_>, _scratch: &mut String, out: &mut Vec<u8>) -> Result<(), Problem> {
        let json = match input {
            Input::Json(json) => json,
            Input::Plain(text) => checked(text)?,
            Input::Bytes(_) => return Err(Problem::wrong_type("bytes (with key_format = \"bytes\")")),
        };
        out.extend_from_slice(json.as_bytes());
        Ok(())
    }
}

/// Plain text that is one JSON document.
pub(super) fn checked(text: &str) -> Result<&str, Problem> {
    document::text(text.as_bytes(), document::VALUE)
        .and_then(|text| document::check(text, document::VALUE))
        .map_err(|fault| Problem::new(fault.class, "text that is not valid JSON"))
}
