//! `merge` of a `[[table]]` as written.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::MergeFunction;
use super::node::{Kind, Node};
use super::problem::{Place, Problem, Problems, Rule, nearest, printable};
use super::read::{Read, joined, wrong_type};

/// The functions as a message lists them.
const ALLOWED: &str =
    "sum, count, min, max, bit_or, json_merge, { first = { by = \"..\" } }, { last = { by = \"..\" } }";
const WORDS: [&str; 8] = ["sum", "count", "min", "max", "first", "last", "bit_or", "json_merge"];

/// All columns of `merge`, in the order of the file.
#[derive(Debug, Default)]
pub struct MergeColumns(pub Vec<NamedMerge>);

#[derive(Debug)]
pub struct NamedMerge {
    pub name: String,
    /// The place of its name.
    pub place: Place,
    pub function: MergeFunction,
}

impl Read for MergeColumns {
    fn read(node: &Node, option: &str, problems: &mut Problems) -> Option<Self> {
        let Kind::Table(entries) = &node.kind else {
            wrong_type(node, option, "write a column with its function: merge = { orders = \"sum\" }", problems);
            return None;
        };
        let columns: Vec<Option<NamedMerge>> = entries
            .iter()
            .map(|(name, node)| {
                let function = function(name, node, &joined(option, name), problems)?;
                Some(NamedMerge { name: name.clone(), place: node.key.clone(), function })
            })
            .collect();
        columns.into_iter().collect::<Option<Vec<_>>>().map(Self)
    }
}

fn function(name: &str, node: &Node, option: &str, problems: &mut Problems) -> Option<MergeFunction> {
    match &node.kind {
        Kind::Text(word) => match word.as_str() {
            "sum" => Some(MergeFunction::Sum),
            "count" => Some(MergeFunction::Count),
            "min" => Some(MergeFunction::Min),
            "max" => Some(MergeFunction::Max),
            "bit_or" => Some(MergeFunction::BitOr),
            "json_merge" => Some(MergeFunction::JsonMerge),
            "first" | "last" => {
                let what = format!("`{option}` needs the column that says what is {word}");
                let cure = format!("write {} = {{ {word} = {{ by = \"event_time\" }} }}", printable(name));
                problems.push(Problem::new(&node.place, Rule::Missing, what, cure));
                None
            }
            _ => {
                let near = nearest(word, WORDS).unwrap_or("sum");
                let what = format!("`{option}` cannot be {}", node.shown());
                let cure = match near {
                    "first" | "last" => format!("write {} = {{ {near} = {{ by = \"..\" }} }}", printable(name)),
                    _ => format!("write {} = \"{near}\"", printable(name)),
                };
                problems.push(Problem::new(&node.place, Rule::Value, what, cure).allowed(ALLOWED));
                None
            }
        },
        Kind::Table(entries) => ordered(name, node, entries, option, problems),
        Kind::Broken => None,
        _ => {
            wrong_type(node, option, &format!("write a function: {} = \"sum\"", printable(name)), problems);
            None
        }
    }
}

/// `{ last = { by = "event_time" } }`
fn ordered(
    name: &str,
    node: &Node,
    entries: &[(String, Node)],
    option: &str,
    problems: &mut Problems,
) -> Option<MergeFunction> {
    let example = |word: &str| format!("write {} = {{ {word} = {{ by = \"event_time\" }} }}", printable(name));
    let [(word, inner)] = entries else {
        let what = format!("`{option}` must name one function");
        problems.push(Problem::new(&node.place, Rule::Value, what, example("last")).allowed(ALLOWED));
        return None;
    };
    if !matches!(word.as_str(), "first" | "last") {
        let what = format!("`{option}` cannot be a table with `{}`", printable(word));
        let cure = match nearest(word, WORDS) {
            Some(near @ ("first" | "last")) => example(near),
            Some(near) => format!("write {} = \"{near}\"", printable(name)),
            None => example("last"),
        };
        problems.push(Problem::new(&inner.key, Rule::UnknownKey, what, cure).allowed(ALLOWED));
        return None;
    }
    let Kind::Table(options) = &inner.kind else {
        if !matches!(inner.kind, Kind::Broken) {
            wrong_type(inner, &joined(option, word), &example(word), problems);
        }
        return None;
    };
    for (key, node) in options.iter().filter(|(key, _)| key != "by") {
        let what = format!("unknown key `{}` in `{option}.{word}`", printable(key));
        problems.push(Problem::new(&node.key, Rule::UnknownKey, what, example(word)).allowed("by"));
    }
    let Some((_, by)) = options.iter().find(|(key, _)| key == "by") else {
        let what = format!("`{option}.{word}.by` is missing");
        problems.push(Problem::new(&inner.place, Rule::Missing, what, example(word)));
        return None;
    };
    let by = String::read(by, &format!("{option}.{word}.by"), problems)?;
    Some(if word == "first" { MergeFunction::First { by } } else { MergeFunction::Last { by } })
}

impl JsonSchema for MergeColumns {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "MergeColumns".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let order = json_schema!({
            "type": "object",
            "required": ["by"],
            "additionalProperties": false,
            "properties": { "by": { "type": "string", "description": "The column that orders the values." } }
        });
        json_schema!({
            "type": "object",
            "minProperties": 1,
            "additionalProperties": {
                "anyOf": [
                    { "enum": ["sum", "count", "min", "max", "bit_or", "json_merge"] },
                    {
                        "type": "object",
                        "minProperties": 1,
                        "maxProperties": 1,
                        "additionalProperties": false,
                        "properties": { "first": order, "last": order }
                    }
                ]
            }
        })
    }
}
