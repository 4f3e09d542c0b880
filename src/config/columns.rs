//! `[source.columns]` as written.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::Value;

use super::node::{Kind, Node};
use super::problem::{Place, Problem, Problems, Rule};
use super::read::{Read, Setting, choices, joined, setting, wrong_type};
use crate::rows::{BytesEncoding, TimeUnit};

/// A line of `[source.columns]`, written as a table.
#[derive(Debug, Default, JsonSchema)]
#[schemars(rename = "Column")]
#[serde(default, deny_unknown_fields)]
pub struct RawColumn {
    /// The column's type. Default: that of the table's column.
    #[schemars(extend("examples" = ["bigint", "decimal(12,2)", "text", "timestamptz", "text[]"]))]
    pub r#type: Setting<String>,
    /// Where the value lies in the record's value. Default: the top-level field of the column's name.
    #[schemars(regex(pattern = r"^\$[.\[]"), extend("examples" = ["$.customer.address.city"]))]
    pub path: Setting<String>,
    /// Take it from the record's key: `$` is the whole key, `$.id` a field of it.
    #[schemars(regex(pattern = r"^\$"), extend("examples" = ["$", "$.id"]))]
    pub key: Setting<String>,
    /// Take it from the last header of this name.
    pub header: Setting<String>,
    /// Take it from the record's place: its topic, partition, offset or timestamp.
    pub meta: Setting<Meta>,
    /// The unit of a number that stands for a time.
    pub unit: Setting<Unit>,
    /// How text stands for bytes.
    #[schemars(extend("default" = "base64"))]
    pub encoding: Setting<Encoding>,
    /// The value where the field is absent.
    pub default: Setting<Json>,
}

/// What a record's place gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Meta {
    Topic,
    Partition,
    Offset,
    Timestamp,
}

/// The unit of a number that stands for a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, JsonSchema)]
pub enum Unit {
    /// Seconds.
    #[serde(rename = "s")]
    Seconds,
    /// Milliseconds.
    #[serde(rename = "ms")]
    Milliseconds,
    /// Microseconds.
    #[serde(rename = "us")]
    Microseconds,
    /// Nanoseconds.
    #[serde(rename = "ns")]
    Nanoseconds,
}

impl From<Unit> for TimeUnit {
    fn from(unit: Unit) -> Self {
        match unit {
            Unit::Seconds => Self::Seconds,
            Unit::Milliseconds => Self::Milliseconds,
            Unit::Microseconds => Self::Microseconds,
            Unit::Nanoseconds => Self::Nanoseconds,
        }
    }
}

/// How text stands for bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Encoding {
    Base64,
    Hex,
}

impl From<Encoding> for BytesEncoding {
    fn from(encoding: Encoding) -> Self {
        match encoding {
            Encoding::Base64 => Self::Base64,
            Encoding::Hex => Self::Hex,
        }
    }
}

choices! {
    Meta {}
    Unit {}
    Encoding {}
}

/// Any value of the file, as JSON.
#[derive(Debug, Clone, PartialEq)]
pub struct Json(pub Value);

impl Read for Json {
    fn read(node: &Node, option: &str, problems: &mut Problems) -> Option<Self> {
        json(node, option, problems).map(Self)
    }
}

fn json(node: &Node, option: &str, problems: &mut Problems) -> Option<Value> {
    match &node.kind {
        Kind::Bool(value) => Some(Value::Bool(*value)),
        Kind::Integer(number) => match serde_json::Number::from_i128(*number) {
            Some(number) => Some(Value::Number(number)),
            None => {
                let what = format!("`{option}` is beyond 64 bits");
                problems.push(Problem::new(
                    &node.place,
                    Rule::Bounds,
                    what,
                    "write it in quotes, for a decimal column",
                ));
                None
            }
        },
        Kind::Float(number) => match serde_json::Number::from_f64(*number) {
            Some(number) => Some(Value::Number(number)),
            None => {
                let what = format!("`{option}` is no finite number");
                problems.push(Problem::new(&node.place, Rule::Value, what, "write a finite number"));
                None
            }
        },
        Kind::Text(text) => Some(Value::String(text.clone())),
        Kind::List(items) => items.iter().map(|item| json(item, option, problems)).collect(),
        Kind::Table(entries) => {
            let named = entries.iter().map(|(name, node)| Some((name.clone(), json(node, option, problems)?)));
            named.collect::<Option<serde_json::Map<_, _>>>().map(Value::Object)
        }
        Kind::Broken => None,
    }
}

impl JsonSchema for Json {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Json".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({})
    }
}

/// All lines of `[source.columns]`, in the order of the file.
#[derive(Debug, Default)]
pub struct Columns(pub Vec<NamedColumn>);

#[derive(Debug)]
pub struct NamedColumn {
    pub name: String,
    /// The place of its name.
    pub place: Place,
    pub column: RawColumn,
}

impl Read for Columns {
    fn read(node: &Node, option: &str, problems: &mut Problems) -> Option<Self> {
        let Kind::Table(entries) = &node.kind else {
            wrong_type(node, option, "write a section [source.columns] with a line per column", problems);
            return None;
        };
        let columns = entries.iter().filter_map(|(name, node)| {
            let option = joined(option, name);
            let column = match &node.kind {
                Kind::Text(_) => Some(RawColumn {
                    r#type: setting(node, &joined(&option, "type"), problems),
                    ..RawColumn::default()
                }),
                Kind::Broken => None,
                Kind::Table(_) => RawColumn::read(node, &option, problems),
                _ => {
                    let cure = "write a type in quotes, such as \"bigint\", or { type = \"..\", path = \"$...\" }";
                    wrong_type(node, &option, cure, problems);
                    None
                }
            };
            Some(NamedColumn { name: name.clone(), place: node.key.clone(), column: column? })
        });
        Some(Self(columns.collect()))
    }
}

impl JsonSchema for Columns {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Columns".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let column = generator.subschema_for::<RawColumn>();
        json_schema!({
            "type": "object",
            "additionalProperties": {
                "anyOf": [{ "type": "string", "description": "The column's type." }, column]
            }
        })
    }
}
