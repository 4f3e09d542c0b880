//! Checks of a JSON document as a whole.

use serde::de::IgnoredAny;

use crate::dead_letter::Fault;

use super::problem::record_fault;

/// How deep arrays and objects may nest, also in fields that no column takes.
pub(super) const MAX_DEPTH: usize = 128;

/// What a fault calls the document: "the value" or "the key".
#[derive(Debug, Clone, Copy)]
pub(super) struct Part(pub &'static str);

pub(super) const VALUE: Part = Part("value");
pub(super) const KEY: Part = Part("key");

/// The bytes as text that is worth parsing: UTF-8, without a byte order mark, not too deep.
pub(super) fn text(bytes: &[u8], part: Part) -> Result<&str, Fault> {
    let Part(part) = part;
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let at = error.valid_up_to();
        let hint = if looks_like_utf16(bytes) { "; it looks like UTF-16" } else { "" };
        record_fault("invalid-utf8", format!("the {part} is not UTF-8 at byte {}{hint}", at + 1))
    })?;
    if text.starts_with('\u{feff}') {
        let reason = format!("the {part} begins with a byte order mark, which JSON does not allow");
        return Err(record_fault("byte-order-mark", reason));
    }
    if text.is_empty() {
        return Err(record_fault("empty", format!("the {part} is empty; only a null {part} is a tombstone")));
    }
    if is_too_deep(bytes) {
        let reason = format!("the {part} nests more than {MAX_DEPTH} arrays and objects");
        return Err(record_fault("too-deep", reason));
    }
    Ok(text)
}

/// A byte order mark of UTF-16, or an ASCII character beside a zero byte.
fn looks_like_utf16(bytes: &[u8]) -> bool {
    matches!(bytes, [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [0, 1..=255, ..] | [1..=255, 0, ..])
}

/// Does any place lie under more than [`MAX_DEPTH`] open brackets? `serde_json` limits only what it builds, not what
/// it skips.
fn is_too_deep(bytes: &[u8]) -> bool {
    // A document of this depth has as many closing brackets; most records are shorter or have fewer brackets.
    if bytes.len() <= 2 * MAX_DEPTH {
        return false;
    }
    // `[` and `{` differ in one bit only.
    let opening = bytes.iter().filter(|byte| **byte | 0x20 == b'{').count();
    opening > MAX_DEPTH && deepest_exceeds(bytes)
}

fn deepest_exceeds(bytes: &[u8]) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0usize, false, false);
    for byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return true;
                }
            }
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

/// A fault for what `serde_json` refused. Its syntax messages name places and expectations, never content.
pub(super) fn syntax_fault(error: &serde_json::Error, text: &str, part: Part) -> Fault {
    let Part(part) = part;
    if looks_like_utf16(text.as_bytes()) {
        return record_fault("invalid-utf8", format!("the {part} looks like UTF-16; JSON must be UTF-8"));
    }
    record_fault("invalid-json", format!("the {part} is not valid JSON: {error}"))
}

/// Checks the syntax of a document that is no object, and gives its text without the white space around it.
pub(super) fn check(text: &str, part: Part) -> Result<&str, Fault> {
    serde_json::from_str::<IgnoredAny>(text).map_err(|error| syntax_fault(&error, text, part))?;
    Ok(text.trim_matches([' ', '\t', '\n', '\r']))
}

/// The first byte that is not white space.
pub(super) fn first_byte(text: &str) -> Option<u8> {
    text.bytes().find(|byte| !matches!(byte, b' ' | b'\t' | b'\n' | b'\r'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(bytes: &[u8]) -> Option<&'static str> {
        text(bytes, VALUE).err().map(|fault| fault.class)
    }

    #[test]
    fn depth_counts_brackets_outside_strings_only() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(class(nested(MAX_DEPTH).as_bytes()), None);
        assert_eq!(class(nested(MAX_DEPTH + 1).as_bytes()), Some("too-deep"));
        let quoted = format!("{{\"a\\\"{}\":1}}", "[".repeat(1000));
        assert_eq!(class(quoted.as_bytes()), None);
        let flat = "{}".repeat(1000);
        assert_eq!(class(flat.as_bytes()), None);
    }

    #[test]
    fn what_is_no_utf8_text_has_its_own_name() {
        assert_eq!(class(b""), Some("empty"));
        assert_eq!(class(b"\xef\xbb\xbf{}"), Some("byte-order-mark"));
        for bytes in [&b"\xff"[..], b"\xc0\xaf", b"\xed\xa0\x80", b"\xff\xfe{\0}\0"] {
            assert_eq!(class(bytes), Some("invalid-utf8"));
        }
        let utf16 = "{\0}\0";
        let error = serde_json::from_str::<IgnoredAny>(utf16).unwrap_err();
        assert_eq!(syntax_fault(&error, utf16, VALUE).class, "invalid-utf8");
    }
}
