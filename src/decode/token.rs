//! One value as the columns read it: the text of a JSON value, or a plain text (a header, a text key, a topic's name).

use memchr::memchr;

use super::problem::Problem;

/// Where the text of a value came from.
#[derive(Debug, Clone, Copy)]
pub(super) enum Input<'a> {
    /// One JSON value whose syntax was checked, without white space around it.
    Json(&'a str),
    /// Text outside JSON: read by the column's type as a JSON string would be.
    Plain(&'a str),
    /// Bytes as they are: a key with `key_format = "bytes"`.
    Bytes(&'a [u8]),
}

/// A value by its kind. Numbers keep their text, so that nothing is rounded on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token<'a> {
    Null,
    Bool(bool),
    Number(&'a str),
    Text(&'a str),
    /// Its JSON text.
    Array(&'a str),
    /// Its JSON text.
    Object(&'a str),
}

impl Token<'_> {
    /// The kind, for a message.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::Text(_) => "a string",
            Self::Array(_) => "an array",
            Self::Object(_) => "an object",
        }
    }
}

impl<'a> Input<'a> {
    /// JSON `null`; no plain text is one.
    pub fn is_null(self) -> bool {
        matches!(self, Self::Json("null"))
    }

    /// Reads the kind. A string with escapes is put into `scratch`.
    pub fn token<'s>(self, scratch: &'s mut String) -> Result<Token<'s>, Problem>
    where
        'a: 's,
    {
        let json = match self {
            Self::Json(json) => json,
            Self::Plain(text) => return Ok(Token::Text(text)),
            Self::Bytes(_) => return Err(Problem::wrong_type("bytes (with key_format = \"bytes\")")),
        };
        Ok(match json.as_bytes().first() {
            Some(b'"') => {
                let inner = within_quotes(json);
                match memchr(b'\\', inner.as_bytes()) {
                    None => Token::Text(inner),
                    Some(_) => {
                        scratch.clear();
                        unescape(inner, |piece| scratch.push_str(piece))?;
                        Token::Text(scratch)
                    }
                }
            }
            Some(b'{') => Token::Object(json),
            Some(b'[') => Token::Array(json),
            Some(b't') => Token::Bool(true),
            Some(b'f') => Token::Bool(false),
            Some(b'n') => Token::Null,
            _ => Token::Number(json),
        })
    }
}

/// The inside of a JSON string, which the quotes enclose.
pub(super) fn within_quotes(json: &str) -> &str {
    json.get(1..json.len() - 1).unwrap_or_default()
}

/// Gives the text that the inside of a JSON string stands for, piece by piece.
///
/// # Errors
/// A surrogate without its other half: such a string is no Unicode text.
pub(super) fn unescape(mut inner: &str, mut give: impl FnMut(&str)) -> Result<(), Problem> {
    while let Some(at) = memchr(b'\\', inner.as_bytes()) {
        give(&inner[..at]);
        let (character, length) = escape(&inner[at..])?;
        give(character.encode_utf8(&mut [0; 4]));
        inner = &inner[at + length..];
    }
    give(inner);
    Ok(())
}

/// The character of the escape that `text` begins with, and how many bytes it takes.
fn escape(text: &str) -> Result<(char, usize), Problem> {
    let character = match text.as_bytes().get(1) {
        Some(b'n') => '\n',
        Some(b't') => '\t',
        Some(b'r') => '\r',
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'u') => return unicode_escape(text),
        Some(&other @ (b'"' | b'\\' | b'/')) => other as char,
        _ => return Err(Problem::new("invalid-json", "a string with an invalid escape")),
    };
    Ok((character, 2))
}

fn unicode_escape(text: &str) -> Result<(char, usize), Problem> {
    let lone = || Problem::new("invalid-json", "a string with half a surrogate pair");
    let first = code_unit(text).ok_or_else(lone)?;
    if let Some(character) = char::from_u32(first) {
        return Ok((character, 6));
    }
    let second = text.get(6..).and_then(code_unit).ok_or_else(lone)?;
    let pair = [first as u16, second as u16];
    match char::decode_utf16(pair).next() {
        Some(Ok(character)) => Ok((character, 12)),
        _ => Err(lone()),
    }
}

/// The number of a `\uXXXX` that `text` begins with.
fn code_unit(text: &str) -> Option<u32> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    digits.bytes().all(|b| b.is_ascii_hexdigit()).then(|| u32::from_str_radix(digits, 16).ok())?
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(json: &str) -> Option<String> {
        let mut scratch = String::new();
        match Input::Json(json).token(&mut scratch) {
            Ok(Token::Text(text)) => Some(text.to_owned()),
            _ => None,
        }
    }

    #[test]
    fn half_a_surrogate_pair_is_no_text() {
        for json in [r#""\ud800""#, r#""\ud800x""#, r#""\ud800\u0041""#, r#""\udc00\ud800""#, r#""\udc00""#] {
            assert_eq!(text(json), None, "{json}");
        }
        assert_eq!(text(r#""\ud83d\ude00\u00e9\/""#).as_deref(), Some("😀é/"));
    }

    #[test]
    fn bytes_are_nothing_but_bytes() {
        assert!(Input::Bytes(b"7").token(&mut String::new()).is_err());
    }

    proptest! {
        #[test]
        fn reads_strings_as_serde_json_does(json in r#""([a-zé]|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4}|\\ud8[0-9a-f]{2}\\udc[0-9A-F]{2}){0,12}""#) {
            prop_assert_eq!(text(&json), serde_json::from_str::<String>(&json).ok());
        }
    }
}
