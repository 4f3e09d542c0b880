//! Table names that come from the topic or from a column.

use std::borrow::Cow;

use regex::Regex;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::node::{Kind, Node};
use super::problem::{Place, Problems};
use super::read::{Given, Read, given, wrong_type};

/// The longest name that every database keeps whole, in bytes.
const LONGEST_NAME: usize = 63;

/// How the table of a row is named, and which names are allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The schema of all its tables.
    pub schema: Option<String>,
    /// What the name is made of.
    pub parts: Vec<NamePart>,
    pub tables: AllowedTables,
    /// The place of `name`.
    pub place: Place,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NamePart {
    Text(String),
    /// The record's topic, see [`Route::of_topic`].
    Topic,
    /// A column of the statement's result, else of the input.
    Column(String),
}

#[derive(Debug, Clone)]
pub enum AllowedTables {
    List(Vec<String>),
    /// Anchored at both ends.
    Pattern(Regex),
}

impl PartialEq for AllowedTables {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::List(one), Self::List(other)) => one == other,
            (Self::Pattern(one), Self::Pattern(other)) => one.as_str() == other.as_str(),
            _ => false,
        }
    }
}

impl Eq for AllowedTables {}

impl Route {
    /// May rows go into the table of this name (without its schema)?
    pub fn admits(&self, name: &str) -> bool {
        match &self.tables {
            AllowedTables::List(names) => names.iter().any(|known| known == name),
            // A dot would name a schema.
            AllowedTables::Pattern(pattern) => {
                let is_name = name.len() <= LONGEST_NAME && !name.contains('.') && !name.chars().any(char::is_control);
                is_name && !is_ours(name) && pattern.is_match(name)
            }
        }
    }

    /// The tables that are known by name, without their schema.
    pub fn known(&self) -> &[String] {
        match &self.tables {
            AllowedTables::List(names) => names,
            AllowedTables::Pattern(_) => &[],
        }
    }

    /// As a fixed `name` would be written.
    pub fn full_name(&self, name: &str) -> String {
        self.schema.as_ref().map_or_else(|| name.to_owned(), |schema| format!("{schema}.{name}"))
    }

    /// The columns that the name needs.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            NamePart::Column(name) => Some(name.as_str()),
            NamePart::Text(_) | NamePart::Topic => None,
        })
    }

    /// A topic's name as a part of a table's: what SQL would need quotes for is an underscore.
    pub fn of_topic(topic: &str) -> String {
        topic.replace(['.', '-'], "_")
    }
}

/// Tidegate's own tables.
pub fn is_ours(name: &str) -> bool {
    const OURS: [&str; 6] = [
        "tidegate_positions",
        "tidegate_gaps",
        "tidegate_dead_letters",
        "tidegate_watermarks",
        "tidegate_audit",
        "tidegate_meta",
    ];
    OURS.iter().any(|ours| ours.eq_ignore_ascii_case(name))
}

/// `tables`: a list of names, or one regular expression.
#[derive(Debug)]
pub enum TableNames {
    List(Vec<Given<String>>),
    Pattern(Given<String>),
}

impl Read for TableNames {
    fn read(node: &Node, option: &str, problems: &mut Problems) -> Option<Self> {
        match &node.kind {
            Kind::Text(pattern) => Some(Self::Pattern(given(node, pattern.clone()))),
            Kind::List(_) => Vec::read(node, option, problems).map(Self::List),
            _ => {
                let cure = "list the tables: tables = [\"orders_eu\", \"orders_us\"], or write a pattern: \"^orders_[a-z]{2}$\"";
                wrong_type(node, option, cure, problems);
                None
            }
        }
    }
}

impl JsonSchema for TableNames {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "TableNames".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "array"], "items": { "type": "string" }, "minItems": 1 })
    }
}
