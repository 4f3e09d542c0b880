//! `[[lookup]]`: tables and files that records are joined with, as written and as checked.

use std::borrow::Cow;
use std::path::PathBuf;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

use super::node::{Kind, Node};
use super::problem::{Place, Problems};
use super::read::{Given, Read, Setting, choices, given, joined, section, sections, wrong_type};
use super::units::Span;
use crate::types::ColumnType;

/// A `[[lookup]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lookup {
    /// What stands after JOIN.
    pub name: String,
    pub from: LookupFrom,
    /// Names of columns.
    pub key: Vec<String>,
    /// What there is to name in SQL. `None`: all columns of the table, which the database has to be asked for.
    pub columns: Option<Vec<LookupColumn>>,
    /// Keys that are kept in memory.
    pub max_rows: usize,
    /// A row that was read longer ago is read again.
    pub max_age: Duration,
    pub on_unavailable: OnUnavailable,
    /// The place of the section.
    pub place: Place,
}

/// Where a lookup's rows are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LookupFrom {
    /// A table of the sink's database, as written: `customers` or `schema.customers`.
    Table(String),
    /// A CSV file.
    File(PathBuf),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LookupColumn {
    pub name: String,
    pub ty: ColumnType,
}

/// What a batch does whose rows cannot be looked up, because the database does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OnUnavailable {
    /// It waits until the database answers.
    Wait,
    /// Rows that are too old are used as they are; for a key that was never read it waits.
    Stale,
    /// What is not in memory, or too old, is null as if there were no row.
    Null,
}

impl Lookup {
    /// The column's index.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns().iter().position(|column| column.name == name)
    }

    pub fn columns(&self) -> &[LookupColumn] {
        self.columns.as_deref().unwrap_or_default()
    }

    /// The table in the sink's database.
    pub fn table(&self) -> Option<&str> {
        match &self.from {
            LookupFrom::Table(name) => Some(name),
            LookupFrom::File(_) => None,
        }
    }
}

/// A table of the sink's database, or a CSV file, whose rows `sql` joins by their key (docs/lookups.md).
#[derive(Debug, Default, JsonSchema)]
#[schemars(rename = "Lookup", extend("required" = ["name", "key"]))]
#[serde(default, deny_unknown_fields)]
pub struct RawLookup {
    /// What stands after JOIN: `SELECT o.order_id, c.name FROM input o LEFT JOIN customers c ON o.customer_id = c.id`.
    #[schemars(extend("examples" = ["customers"]))]
    pub name: Setting<String>,
    /// The table, in the database of [sink]: `customers` or `schema.customers`. Either this or `file`.
    #[schemars(extend("examples" = ["customers", "shop.customers"]))]
    pub table: Setting<String>,
    /// A CSV file with a header line; a relative path begins at the pipeline file's folder. It is read whole.
    #[schemars(extend("examples" = ["countries.csv"]))]
    pub file: Setting<String>,
    /// The columns by which a row is found; no two rows have the same. A table should have a unique index over them.
    #[schemars(extend("examples" = [["id"]]))]
    pub key: Setting<Vec<Given<String>>>,
    /// The columns that SQL may name, each with its type. Default for a table: all of its columns with the table's
    /// types. Columns of a file that are not named here are text.
    #[schemars(extend("examples" = [{ "id": "bigint", "name": "text", "discount": "decimal(5,2)" }]))]
    pub columns: Setting<TypedColumns>,
    /// Rows of a table that are kept in memory (the least recently used ones go), or that a file may have; 1 to
    /// 10,000,000.
    #[schemars(with = "i64", range(min = 1, max = 10_000_000), extend("default" = 100_000))]
    pub max_rows: Setting<i128>,
    /// A row that was read longer ago is read again before it is used; how often a file is looked at for changes.
    #[schemars(extend("default" = "5m"))]
    pub max_age: Setting<Span>,
    /// What a batch does whose rows cannot be read because the database does not answer. Not for files.
    #[schemars(extend("default" = "wait"))]
    pub on_unavailable: Setting<OnUnavailable>,
}

section!(RawLookup = "lookup" { name, table, file, key, columns, max_rows, max_age, on_unavailable } later {});

choices! {
    OnUnavailable {}
}

impl Read for Vec<Given<RawLookup>> {
    fn read(node: &Node, option: &str, problems: &mut Problems) -> Option<Self> {
        sections(node, option, problems)
    }
}

/// Names of columns, each with its type, in the order of the file.
#[derive(Debug, Default)]
pub struct TypedColumns(pub Vec<(String, Given<String>)>);

impl Read for TypedColumns {
    fn read(node: &Node, option: &str, problems: &mut Problems) -> Option<Self> {
        let Kind::Table(entries) = &node.kind else {
            wrong_type(node, option, "write each column with its type: columns = { id = \"bigint\" }", problems);
            return None;
        };
        let columns: Vec<Option<_>> = entries
            .iter()
            .map(|(name, node)| {
                let ty = String::read(node, &joined(option, name), problems)?;
                Some((name.clone(), given(node, ty)))
            })
            .collect();
        columns.into_iter().collect::<Option<Vec<_>>>().map(Self)
    }
}

impl JsonSchema for TypedColumns {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "TypedColumns".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "object", "additionalProperties": { "type": "string" } })
    }
}
