//! Times and sizes with their units.

use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::node::{Kind, Node};
use super::problem::{Problem, Problems, Rule};
use super::read::{Read, last, wrong_type};

/// A time span such as `5ms`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span(pub Duration);

/// A size in bytes such as `8MiB`, `64KB` or `1048576`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteSize(pub u64);

/// Milliseconds in a unit.
const SPAN_UNITS: [(&str, u64); 5] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

const SIZE_UNITS: [(&str, u64); 7] = [
    ("b", 1),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
];

fn scaled(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let number: u64 = text[..digits].parse().ok()?;
    let unit = text[digits..].trim_start().to_ascii_lowercase();
    let scale = units.iter().find(|(name, _)| *name == unit)?.1;
    number.checked_mul(scale)
}

impl Read for Span {
    fn read(node: &Node, option: &str, problems: &mut Problems) -> Option<Self> {
        let cure = format!("write a whole number and its unit: {} = \"5ms\"", last(option));
        let Kind::Text(text) = &node.kind else {
            wrong_type(node, option, &cure, problems);
            return None;
        };
        let span = scaled(text.trim(), &SPAN_UNITS).map(|milliseconds| Self(Duration::from_millis(milliseconds)));
        if span.is_none() {
            let what = format!("`{option}` is no time span: {}", node.shown());
            problems.push(Problem::new(&node.place, Rule::Value, what, cure).allowed("ms, s, m, h, d"));
        }
        span
    }
}

impl Read for ByteSize {
    fn read(node: &Node, option: &str, problems: &mut Problems) -> Option<Self> {
        let cure = format!("write a whole number and its unit: {} = \"8MiB\"", last(option));
        let size = match &node.kind {
            Kind::Integer(bytes) => u64::try_from(*bytes).ok(),
            Kind::Text(text) => {
                let text = text.trim();
                text.parse().ok().or_else(|| scaled(text, &SIZE_UNITS))
            }
            _ => {
                wrong_type(node, option, &cure, problems);
                return None;
            }
        };
        if size.is_none() {
            let what = format!("`{option}` is no size: {}", node.shown());
            problems.push(Problem::new(&node.place, Rule::Value, what, cure).allowed("B, KB, MB, GB, KiB, MiB, GiB"));
        }
        size.map(Self)
    }
}

impl JsonSchema for Span {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "TimeSpan".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^[0-9]+ *(ms|s|m|h|d)$" })
    }
}

impl JsonSchema for ByteSize {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ByteSize".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "integer"], "pattern": "^[0-9]+ *([KMGkmg]?[Bb]|[KMGkmg][Ii][Bb])?$", "minimum": 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_multiplied_out() {
        assert_eq!(scaled("5ms", &SPAN_UNITS), Some(5));
        assert_eq!(scaled("2 H", &SPAN_UNITS), Some(7_200_000));
        assert_eq!(scaled("8MiB", &SIZE_UNITS), Some(8 << 20));
        assert_eq!(scaled("64KB", &SIZE_UNITS), Some(64_000));
        for wrong in ["5", "", "ms", "-5ms", "1.5s", "5 parsecs", "99999999999999999999s", "18446744073709551615d"] {
            assert_eq!(scaled(wrong, &SPAN_UNITS), None, "{wrong}");
        }
    }
}
