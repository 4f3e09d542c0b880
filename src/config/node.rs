//! The layered values as a tree with places, references followed: what `raw` reads.

use std::path::Path;
use std::sync::Arc;

use ::config::{Value, ValueKind};

use super::environment::Environment;
use super::interpolate::{self, Context};
use super::parse::{self, Places};
use super::problem::{Place, Problem, Problems, Rule, printable};

/// A value and where it was written.
#[derive(Debug)]
pub struct Node {
    pub place: Place,
    /// The place of its key.
    pub key: Place,
    /// The place of its first character, where it is a text.
    pub text: Place,
    /// It holds what a `${..}` put in: not to be shown.
    pub hidden: bool,
    pub kind: Kind,
}

#[derive(Debug)]
pub enum Kind {
    Bool(bool),
    Integer(i128),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    /// In the order of the file.
    Table(Vec<(String, Node)>),
    /// A problem was told already.
    Broken,
}

impl Node {
    /// What kind of value it is, for a message.
    pub fn noun(&self) -> &'static str {
        match self.kind {
            Kind::Bool(_) => "true or false",
            Kind::Integer(_) => "a number",
            Kind::Float(_) => "a number with a point",
            Kind::Text(_) => "text",
            Kind::List(_) => "a list",
            Kind::Table(_) => "a table",
            Kind::Broken => "nothing",
        }
    }

    /// The value as a message may show it.
    pub fn shown(&self) -> String {
        match &self.kind {
            _ if self.hidden => "the value of the reference".to_owned(),
            Kind::Text(text) => format!("\"{}\"", printable(text)),
            Kind::Integer(number) => number.to_string(),
            Kind::Float(number) => number.to_string(),
            Kind::Bool(value) => value.to_string(),
            _ => self.noun().to_owned(),
        }
    }

    pub fn is_variable(&self) -> bool {
        matches!(self.place, Place::Variable(_))
    }
}

/// Makes the tree.
pub struct Builder<'a> {
    pub environment: &'a Environment,
    pub file: Arc<Path>,
    pub problems: &'a mut Problems,
}

impl Builder<'_> {
    pub fn build(&mut self, value: Value) -> Node {
        self.node(value, "")
    }

    fn node(&mut self, value: Value, path: &str) -> Node {
        let Places { value: place, key, text: text_at } = parse::places(value.origin(), &self.file);
        let mut hidden = false;
        let kind = match value.kind {
            ValueKind::Nil => Kind::Broken,
            ValueKind::Boolean(value) => Kind::Bool(value),
            ValueKind::I64(number) => Kind::Integer(number.into()),
            ValueKind::I128(number) => Kind::Integer(number),
            ValueKind::U64(number) => Kind::Integer(number.into()),
            ValueKind::U128(number) => i128::try_from(number).map_or(Kind::Broken, Kind::Integer),
            ValueKind::Float(number) => Kind::Float(number),
            ValueKind::String(text) => {
                hidden = interpolate::refers(&text);
                self.text(text, &place, path)
            }
            ValueKind::Array(items) => Kind::List(items.into_iter().map(|item| self.node(item, path)).collect()),
            ValueKind::Table(entries) => {
                let named = entries.into_iter().map(|(name, value)| {
                    let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                    let node = self.node(value, &path);
                    (name, node)
                });
                let mut named: Vec<(String, Node)> = named.collect();
                named.sort_by(|a, b| (&a.1.key, &a.0).cmp(&(&b.1.key, &b.0)));
                Kind::Table(named)
            }
        };
        Node { place, key, text: text_at, hidden, kind }
    }

    fn text(&mut self, text: String, place: &Place, path: &str) -> Kind {
        let folder = match place {
            Place::Text { file, .. } | Place::File(file) => file.parent().unwrap_or(Path::new("")),
            Place::Variable(_) | Place::Nowhere => Path::new(""),
        };
        let context =
            Context { environment: self.environment, folder, url: path == "sink.url", key: path.strip_prefix("keys.") };
        let text = match interpolate::expand(&text, &context) {
            Ok(expanded) => expanded.unwrap_or(text),
            Err(faults) => {
                for (what, cure) in faults {
                    self.problems.push(Problem::new(place, Rule::Reference, what, cure));
                }
                return Kind::Broken;
            }
        };
        if text.contains('\0') {
            let cure = "remove the \\u0000";
            self.problems.push(Problem::new(place, Rule::Value, "the text holds a NUL character", cure));
            return Kind::Broken;
        }
        Kind::Text(text)
    }
}
