//! A record's key out of its JSON.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer as _, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The field as text: a string without its quotes, anything else as it is written.
///
/// # Errors
/// What is wrong with the line, without anything of its content.
pub(super) fn of<'l>(line: &'l [u8], field: &str) -> Result<Cow<'l, str>, String> {
    let mut json = serde_json::Deserializer::from_slice(line);
    let found = json.deserialize_map(Find { field }).and_then(|found| json.end().map(|()| found));
    let found = found.map_err(|error| match error.classify() {
        serde_json::error::Category::Data => "it is no JSON object".to_owned(),
        _ => format!("it is no JSON (column {})", error.column()),
    })?;
    let raw = found.ok_or_else(|| format!("it has no field {field:?}, which --key names"))?;
    match raw.get().as_bytes().first() {
        Some(b'"') => serde_json::from_str::<Text<'l>>(raw.get())
            .map(|text| text.0)
            .map_err(|_| format!("its field {field:?} is no valid text")),
        _ => Ok(Cow::Borrowed(raw.get())),
    }
}

/// Borrowed where the text has no escapes.
#[derive(serde::Deserialize)]
struct Text<'t>(#[serde(borrow)] Cow<'t, str>);

struct Find<'f> {
    field: &'f str,
}

impl<'de> Visitor<'de> for Find<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(is_it) = fields.next_key_seed(Is(self.field))? {
            if is_it {
                // As JSON readers do, the last one of a name counts.
                found = Some(fields.next_value()?);
            } else {
                fields.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

/// Compares a field's name without copying it.
struct Is<'f>(&'f str);

impl<'de> DeserializeSeed<'de> for Is<'_> {
    type Value = bool;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Is<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field's name")
    }

    fn visit_str<E>(self, name: &str) -> Result<bool, E> {
        Ok(name == self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_its_own_key_and_anything_else_as_written() {
        let line = br#"{"a": {"id": 1}, "id": "x\u00e4", "n": 1.50, "o": {"k": [1]}, "z": null}"#;
        assert_eq!(of(line, "id").unwrap(), "x\u{e4}");
        assert_eq!(of(line, "n").unwrap(), "1.50");
        assert_eq!(of(line, "o").unwrap(), r#"{"k": [1]}"#);
        assert_eq!(of(line, "z").unwrap(), "null");
        assert_eq!(of(br#"{"id":"plain"}"#, "id").unwrap(), "plain");
    }

    #[test]
    fn what_is_wrong_is_said_without_the_content() {
        for (line, expected) in [
            (&br#"{"a":"secret"}"#[..], "it has no field \"id\", which --key names"),
            (b"[\"secret\"]", "it is no JSON object"),
            (b"{\"id\":secret", "it is no JSON (column 7)"),
            (b"{\"id\":1} secret", "it is no JSON (column 10)"),
        ] {
            let problem = of(line, "id").unwrap_err();
            assert_eq!(problem, expected);
        }
    }
}
