//! `[[test]]`: records and what should become of them, as written and as checked.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::Value;

use super::columns::Json;
use super::node::{Kind, Node};
use super::problem::{Place, Problems};
use super::read::{Given, Read, Setting, joined, section, sections, setting, wrong_type};

/// A `[[test]]`.
#[derive(Debug, Clone)]
pub struct Case {
    pub name: String,
    pub input: Vec<CaseRecord>,
    /// What is expected of tables, each once; a table that is not named may get anything.
    pub tables: Vec<ExpectedTable>,
    /// What is expected of topics, each once; a topic that is not named may get anything.
    pub topics: Vec<ExpectedTopic>,
    pub dead_letters: Vec<ExpectedRow>,
    /// The rows of lookups, in the place of their tables and files.
    pub lookups: Vec<CaseLookup>,
}

/// What a lookup holds in a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseLookup {
    /// Index into [`Pipeline::lookups`](super::Pipeline).
    pub lookup: usize,
    /// Per row its columns with their texts.
    pub rows: Vec<Vec<(String, String)>>,
}

/// A record of a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseRecord {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    /// Milliseconds since 1970.
    pub timestamp: Option<i64>,
    pub key: Option<String>,
    /// `None`: a tombstone.
    pub value: Option<String>,
    pub headers: Vec<(String, String)>,
}

#[derive(Debug, Clone)]
pub struct ExpectedTable {
    /// Index into [`Pipeline::tables`](super::Pipeline).
    pub table: usize,
    /// Which of its tables, without the schema, where the section's name has a placeholder.
    pub routed: Option<String>,
    pub rows: Vec<ExpectedRow>,
}

#[derive(Debug, Clone)]
pub struct ExpectedTopic {
    /// Index into [`Pipeline::topics`](super::Pipeline).
    pub topic: usize,
    pub events: Vec<ExpectedEvent>,
}

/// What of an event is compared.
#[derive(Debug, Clone)]
pub struct ExpectedEvent {
    pub row: ExpectedRow,
    /// `Some(None)`: no key.
    pub key: Option<Option<Value>>,
    /// Names with texts.
    pub headers: Vec<(String, String)>,
    pub is_tombstone: bool,
}

/// The columns of a row that are compared.
#[derive(Debug, Clone)]
pub struct ExpectedRow {
    pub columns: Vec<ExpectedCell>,
    pub is_delete: bool,
}

#[derive(Debug, Clone)]
pub struct ExpectedCell {
    pub column: String,
    /// The place of the column's name.
    pub place: Place,
    /// `null`: named under `_null`.
    pub value: Value,
}

/// A case for `tidegate test`, which needs neither Kafka nor a database: records, and what should become of them.
#[derive(Debug, Default, JsonSchema)]
#[schemars(rename = "Test", extend("required" = ["name", "input", "expect"]))]
#[serde(default, deny_unknown_fields)]
pub struct RawCase {
    /// What the case is called.
    #[schemars(extend("examples" = ["a large order"]))]
    pub name: Setting<String>,
    /// The records, in their order: one batch.
    pub input: Setting<Vec<Given<RawCaseRecord>>>,
    /// The rows of each table that is named, in their order, under `topic:NAME` the events of a topic, and under
    /// `dead_letters` the records that are refused; a row names the columns to compare, under `_null` those that must be
    /// null, and has `_op = "delete"` where it is a delete; an event may also name its `_key` and `_headers`, and has
    /// `_op = "tombstone"` where it is one (docs/testing.md).
    #[schemars(extend("examples" = [{ "orders": [{ "order_id": 7, "total": "18000.00", "_null": ["city"] }], "topic:orders.large": [{ "_key": "7", "order_id": 7 }], "dead_letters": [] }]))]
    pub expect: Setting<Expect>,
    /// The rows of lookups, by their names: a case asks no database. Without it a lookup of a file has the file's rows.
    #[schemars(extend("examples" = [{ "customers": [{ "id": 1, "name": "Ada" }] }]))]
    pub lookup: Setting<Expect>,
}

section!(RawCase = "test" { name, input, expect, lookup } later {});

/// A record of a case.
#[derive(Debug, Default, JsonSchema)]
#[schemars(rename = "TestRecord")]
#[serde(default, deny_unknown_fields)]
pub struct RawCaseRecord {
    /// Its topic. Default: the first of `source.topics`.
    pub topic: Setting<String>,
    /// Its partition.
    #[schemars(with = "i64", range(min = 0), extend("default" = 0))]
    pub partition: Setting<i128>,
    /// Its offset. Default: the one after the record before it.
    #[schemars(with = "i64", range(min = 0))]
    pub offset: Setting<i128>,
    /// Its time, as an RFC 3339 text or in milliseconds since 1970.
    #[schemars(extend("examples" = ["2026-11-01T00:00:00Z", 1_793_491_200_000_i64]))]
    pub timestamp: Setting<Json>,
    /// Its key: a text as it is, anything else as JSON.
    pub key: Setting<Json>,
    /// Its value: a text as it is, anything else as JSON. Without it the record is a tombstone.
    pub value: Setting<Json>,
    /// Its headers: names with texts.
    #[schemars(extend("examples" = [{ "tenant": "acme" }]))]
    pub headers: Setting<Json>,
}

section!(RawCaseRecord = "test.input" { topic, partition, offset, timestamp, key, value, headers } later {});

/// `expect`, in the order of the file.
#[derive(Debug, Default)]
pub struct Expect(pub Vec<Given<RawExpected>>);

/// The rows of one output.
#[derive(Debug)]
pub struct RawExpected {
    pub output: String,
    pub rows: Vec<Given<RawRow>>,
}

/// One row: its columns with the places of their names.
#[derive(Debug)]
pub struct RawRow(pub Vec<(String, Given<Json>)>);

impl Read for Vec<Given<RawCase>> {
    fn read(node: &Node, option: &str, problems: &mut Problems) -> Option<Self> {
        sections(node, option, problems)
    }
}

impl Read for Vec<Given<RawCaseRecord>> {
    fn read(node: &Node, option: &str, problems: &mut Problems) -> Option<Self> {
        list(node, option, "write a list of records: input = [{ key = \"7\", value = { id = 7 } }]", problems)
    }
}

impl Read for Expect {
    fn read(node: &Node, option: &str, problems: &mut Problems) -> Option<Self> {
        let cure = "write each table or topic with its rows: \
                    expect = { orders = [{ order_id = 7 }], \"topic:NAME\" = [{ _key = \"7\" }] }";
        let Kind::Table(entries) = &node.kind else {
            wrong_type(node, option, cure, problems);
            return None;
        };
        let outputs: Vec<Option<Given<RawExpected>>> = entries
            .iter()
            .map(|(output, node)| {
                let rows = list(node, &joined(option, output), cure, problems)?;
                Some(super::read::given(node, RawExpected { output: output.clone(), rows }))
            })
            .collect();
        outputs.into_iter().collect::<Option<Vec<_>>>().map(Self)
    }
}

impl Read for RawRow {
    fn read(node: &Node, option: &str, problems: &mut Problems) -> Option<Self> {
        let Kind::Table(entries) = &node.kind else {
            wrong_type(node, option, "write a row as its columns: { order_id = 7 }", problems);
            return None;
        };
        let cells: Vec<_> = entries
            .iter()
            .map(|(column, node)| {
                let value = setting(node, &joined(option, column), problems).into_given()?;
                Some((column.clone(), value))
            })
            .collect();
        cells.into_iter().collect::<Option<Vec<_>>>().map(Self)
    }
}

fn list<T: Read>(node: &Node, option: &str, cure: &str, problems: &mut Problems) -> Option<Vec<Given<T>>> {
    let Kind::List(items) = &node.kind else {
        wrong_type(node, option, cure, problems);
        return None;
    };
    let read: Vec<Option<Given<T>>> = items.iter().map(|item| setting(item, option, problems).into_given()).collect();
    read.into_iter().collect()
}

impl JsonSchema for Expect {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Expect".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "additionalProperties": { "type": "array", "items": { "type": "object" } }
        })
    }
}
