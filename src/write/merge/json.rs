//! Two merge patches (RFC 7396) made one, where one says the same.
//!
//! Patches are not closed under composition: `5` and then `{"a": 1}` replaces what is stored, which no patch that is
//! an object does. Such patches are applied one after the other.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::value::RawValue;

/// A document that nests deeper is not taken apart: it is applied by itself.
const MAX_DEPTH: usize = 64;

/// A patch: its objects taken apart, everything else as it was written, so that no digit of a number is lost.
#[derive(Debug, Clone)]
pub enum Patch {
    Object(BTreeMap<String, Patch>),
    Other(String),
}

impl Patch {
    /// `None` where the text is no document or nests too deep.
    pub fn parse(text: &str) -> Option<Self> {
        Self::parse_within(text, MAX_DEPTH)
    }

    fn parse_within(text: &str, depth: usize) -> Option<Self> {
        let text = text.trim();
        if !text.starts_with('{') {
            return Some(Self::Other(text.to_owned()));
        }
        let depth = depth.checked_sub(1)?;
        let members: BTreeMap<String, &RawValue> = serde_json::from_str(text).ok()?;
        let members = members.into_iter().map(|(name, value)| Some((name, Self::parse_within(value.get(), depth)?)));
        members.collect::<Option<_>>().map(Self::Object)
    }

    /// Can this patch and `next`, which comes after it, be made one?
    pub fn can_take(&self, next: &Self) -> bool {
        match (self, next) {
            (_, Self::Other(_)) => true,
            (Self::Other(_), Self::Object(_)) => false,
            (Self::Object(held), Self::Object(next)) => {
                next.iter().all(|(name, next)| held.get(name).is_none_or(|held| held.can_take(next)))
            }
        }
    }

    /// What it makes of a document; of none, what it makes of `{}`.
    pub fn applied_to(self, document: Option<Self>) -> Self {
        let Self::Object(members) = self else { return self };
        let mut document = match document {
            Some(Self::Object(document)) => document,
            _ => BTreeMap::new(),
        };
        for (name, patch) in members {
            let stored = document.remove(&name);
            if !matches!(&patch, Self::Other(text) if text == "null") {
                document.insert(name, patch.applied_to(stored));
            }
        }
        Self::Object(document)
    }

    /// Makes them one, where they [can be](Self::can_take).
    pub fn take(&mut self, next: Self) {
        match (self, next) {
            (Self::Object(held), Self::Object(next)) => {
                for (name, next) in next {
                    match held.get_mut(&name) {
                        Some(held) => held.take(next),
                        None => drop(held.insert(name, next)),
                    }
                }
            }
            (held, next) => *held = next,
        }
    }
}

/// As JSON.
impl std::fmt::Display for Patch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Other(text) => f.write_str(text),
            Self::Object(members) => {
                f.write_char('{')?;
                for (index, (name, value)) in members.iter().enumerate() {
                    let comma = if index > 0 { "," } else { "" };
                    write!(f, "{comma}{}:{value}", serde_json::Value::from(name.as_str()))?;
                }
                f.write_char('}')
            }
        }
    }
}
