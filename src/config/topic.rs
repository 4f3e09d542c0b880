//! What a `[[topic]]` writes in more than one form: its key and its headers.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::node::{Kind, Node};
use super::problem::Problems;
use super::read::{Given, Read, given, joined, last, wrong_type};

/// One column's name, or a list of them.
#[derive(Debug, Default)]
pub struct KeyColumns(pub Vec<Given<String>>);

impl Read for KeyColumns {
    fn read(node: &Node, option: &str, problems: &mut Problems) -> Option<Self> {
        match &node.kind {
            Kind::Text(name) => Some(Self(vec![given(node, name.clone())])),
            Kind::List(_) => Vec::read(node, option, problems).map(Self),
            _ => {
                let cure = format!("name a column: {} = \"order_id\", or several: [\"..\", \"..\"]", last(option));
                wrong_type(node, option, &cure, problems);
                None
            }
        }
    }
}

impl JsonSchema for KeyColumns {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "KeyColumns".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "array"], "items": { "type": "string" }, "minItems": 1 })
    }
}

/// The names of headers, each with its column, in the order of the file.
#[derive(Debug, Default)]
pub struct HeaderColumns(pub Vec<(String, Given<String>)>);

impl Read for HeaderColumns {
    fn read(node: &Node, option: &str, problems: &mut Problems) -> Option<Self> {
        let Kind::Table(entries) = &node.kind else {
            wrong_type(
                node,
                option,
                "write a header with its column: headers = { \"x-tenant\" = \"tenant\" }",
                problems,
            );
            return None;
        };
        let headers: Vec<Option<_>> = entries
            .iter()
            .map(|(name, node)| {
                let column = String::read(node, &joined(option, name), problems)?;
                Some((name.clone(), given(node, column)))
            })
            .collect();
        headers.into_iter().collect::<Option<Vec<_>>>().map(Self)
    }
}

impl JsonSchema for HeaderColumns {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "HeaderColumns".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "object", "additionalProperties": { "type": "string" } })
    }
}
