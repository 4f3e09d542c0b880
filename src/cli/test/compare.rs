//! What was expected against what was found, column by column.

use std::fmt;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Float64Type};
use arrow_array::{Array, ArrayRef};
use arrow_cast::display::array_value_to_string;
use serde_json::Value;

use crate::config::{ExpectedCell, ExpectedRow, KeyFormat, Problem, Rule, nearest};
use crate::dead_letter::Fault;
use crate::decode;
use crate::lease::Lease;
use crate::offsets::TopicPartition;
use crate::pipeline::RehearsedColumn;
use crate::records::Records;
use crate::rows::{BytesEncoding, ColumnSource, InputColumn, InputSchema, Operation, Rows};
use crate::types::ColumnType;

/// Sums of floating-point numbers depend in their last digits on the order of addition.
const FLOAT_TOLERANCE: f64 = 1e-9;
const REAL_TOLERANCE: f64 = 1e-6;

/// One thing that is not as expected.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Difference {
    /// The table, `topic:` and the topic, or `dead_letters`.
    pub output: String,
    /// From 1; `None`: the output as a whole.
    pub row: Option<usize>,
    pub column: Option<String>,
    pub expected: String,
    pub found: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.output)?;
        if let Some(row) = self.row {
            write!(f, ", row {row}")?;
        }
        if let Some(column) = &self.column {
            write!(f, ", column {column}")?;
        }
        write!(f, ": expected {}, found {}", self.expected, self.found)
    }
}

/// What one table got.
pub struct Table<'a> {
    pub name: &'a str,
    pub columns: &'a [RehearsedColumn],
    pub rows: &'a Rows,
    pub zone: Option<&'a str>,
}

impl Table<'_> {
    pub fn differences(&self, expected: &[ExpectedRow]) -> Vec<Difference> {
        let mut differences = counts(self.name, "row", expected.len(), self.rows.len());
        for (index, row) in expected.iter().enumerate() {
            if index < self.rows.len() {
                differences.extend(self.row(index, row));
            } else {
                differences.push(whole(self.name, index, row.to_string(), "no row".to_owned()));
            }
        }
        for index in expected.len()..self.rows.len() {
            differences.push(whole(self.name, index, "no row".to_owned(), self.shown(index)));
        }
        differences
    }

    /// A difference in one column of a row.
    pub fn at(&self, index: usize, column: &str, expected: String, found: String) -> Difference {
        Difference { column: Some(column.to_owned()), ..whole(self.name, index, expected, found) }
    }

    fn row(&self, index: usize, expected: &ExpectedRow) -> Vec<Difference> {
        let is_delete = self.rows.operations[index] == Operation::Delete;
        if is_delete != expected.is_delete {
            let word = |is_delete| if is_delete { "delete" } else { "upsert" }.to_owned();
            return vec![self.at(index, "_op", word(expected.is_delete), word(is_delete))];
        }
        self.cells(index, &expected.columns)
    }

    /// The columns of one row that are named.
    pub fn cells(&self, index: usize, expected: &[ExpectedCell]) -> Vec<Difference> {
        let at = |column: &str, expected, found| self.at(index, column, expected, found);
        let mut differences = Vec::new();
        for ExpectedCell { column: name, value, .. } in expected {
            let Some(column) = self.columns.iter().find(|column| column.name == *name) else { continue };
            let found = self.rows.batch.column(column.index).slice(index, 1);
            match (self.cell(column, value), found.is_null(0)) {
                (Ok(None), true) => {}
                (Ok(None), false) => differences.push(at(name, "NULL".to_owned(), shown(&column.ty, &found))),
                (Ok(Some(wanted)), _) if is_same(&column.ty, &wanted, &found) => {}
                (Ok(Some(wanted)), _) => {
                    differences.push(at(name, shown(&column.ty, &wanted), shown(&column.ty, &found)));
                }
                (Err(fault), _) => {
                    let expected = format!("{value}, which is no {} ({})", column.ty, fault.reason);
                    differences.push(at(name, expected, shown(&column.ty, &found)));
                }
            }
        }
        differences
    }

    /// The expected value in the column's own type, read as a record's field would be.
    fn cell(&self, column: &RehearsedColumn, value: &Value) -> Result<Option<ArrayRef>, Fault> {
        if value.is_null() {
            return Ok(None);
        }
        let input = InputColumn {
            name: column.name.clone(),
            ty: column.ty.clone(),
            source: ColumnSource::Value(vec![column.name.clone()]),
            unit: column.unit,
            encoding: BytesEncoding::Base64,
            default: None,
            key: false,
        };
        let schema = InputSchema::new(vec![input], Some(self.zone.unwrap_or("UTC").to_owned()));
        let document = Value::Object([(column.name.clone(), value.clone())].into_iter().collect()).to_string();
        let lease = Arc::new(Lease::new(TopicPartition::new("expected", 0), 0, 0));
        let mut records = Records::default();
        records
            .push(&lease, 0, 0, None, None, Some(document.as_bytes()), std::iter::empty())
            .expect("the first record begins the chain");
        let decoded = decode::json(schema, KeyFormat::Text).decode(&records);
        match decoded.bad.into_iter().next() {
            Some((_, fault)) => Err(fault),
            None => Ok(Some(decoded.rows.batch.column(0).clone())),
        }
    }

    fn shown(&self, row: usize) -> String {
        let mark = if self.rows.operations[row] == Operation::Delete { "_op = \"delete\", " } else { "" };
        format!("{{ {mark}{} }}", self.shown_cells(row).join(", "))
    }

    /// `column = value`
    pub fn shown_cells(&self, row: usize) -> Vec<String> {
        let cells = self.columns.iter().map(|column| {
            let cell = self.rows.batch.column(column.index).slice(row, 1);
            format!("{} = {}", column.name, shown(&column.ty, &cell))
        });
        cells.collect()
    }
}

/// As the file writes it.
impl fmt::Display for ExpectedRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = if self.is_delete { "_op = \"delete\", " } else { "" };
        write!(f, "{{ {mark}{} }}", cells_of(self).join(", "))
    }
}

pub fn cells_of(row: &ExpectedRow) -> Vec<String> {
    let cell = |cell: &ExpectedCell| match &cell.value {
        Value::Null => format!("{} = NULL", cell.column),
        value => format!("{} = {value}", cell.column),
    };
    row.columns.iter().map(cell).collect()
}

/// `what`: one of them.
pub fn counts(output: &str, what: &str, expected: usize, found: usize) -> Vec<Difference> {
    if expected == found {
        return Vec::new();
    }
    let counted = |count: usize| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    let (expected, found) = (counted(expected), counted(found));
    vec![Difference { output: output.to_owned(), row: None, column: None, expected, found }]
}

pub fn whole(output: &str, index: usize, expected: String, found: String) -> Difference {
    Difference { output: output.to_owned(), row: Some(index + 1), column: None, expected, found }
}

/// Values are compared, not their notation.
fn is_same(ty: &ColumnType, expected: &ArrayRef, found: &ArrayRef) -> bool {
    let near = |one: f64, other: f64, tolerance: f64| {
        one == other
            || (one.is_nan() && other.is_nan())
            || (one - other).abs() <= tolerance * one.abs().max(other.abs())
    };
    if expected.is_null(0) || found.is_null(0) {
        return expected.is_null(0) && found.is_null(0);
    }
    match ty {
        ColumnType::Float64 => {
            let (one, other) = (expected.as_primitive::<Float64Type>(), found.as_primitive::<Float64Type>());
            near(one.value(0), other.value(0), FLOAT_TOLERANCE)
        }
        ColumnType::Float32 => {
            let (one, other) = (expected.as_primitive::<Float32Type>(), found.as_primitive::<Float32Type>());
            near(one.value(0).into(), other.value(0).into(), REAL_TOLERANCE)
        }
        ColumnType::Json => {
            let document = |array: &ArrayRef| serde_json::from_str::<Value>(array.as_string::<i32>().value(0)).ok();
            document(expected) == document(found)
        }
        _ => expected.as_ref() == found.as_ref(),
    }
}

fn shown(ty: &ColumnType, cell: &ArrayRef) -> String {
    if cell.is_null(0) {
        return "NULL".to_owned();
    }
    let text = array_value_to_string(cell, 0).unwrap_or_else(|error| error.to_string());
    match ty {
        ColumnType::Text | ColumnType::Enum => Value::String(text).to_string(),
        _ => text,
    }
}

/// The records would block the pipeline.
pub fn blocked(message: &str) -> Difference {
    let (expected, found) = ("rows".to_owned(), format!("a blocked pipeline: {message}"));
    Difference { output: "from".to_owned(), row: None, column: None, expected, found }
}

/// The refused records against the expected ones. Those that nobody expected are differences, too.
pub fn dead_letters(expected: &[ExpectedRow], bad: &[(u32, Fault)], records: &Records) -> Vec<Difference> {
    const OUTPUT: &str = "dead_letters";
    let found: Vec<Value> = bad.iter().map(|(record, fault)| letter(records, *record, fault)).collect();
    let mut differences = counts(OUTPUT, "row", expected.len(), found.len());
    for (index, row) in expected.iter().enumerate() {
        let Some(letter) = found.get(index) else {
            differences.push(whole(OUTPUT, index, row.to_string(), "no row".to_owned()));
            continue;
        };
        for ExpectedCell { column, value, .. } in &row.columns {
            let cell = &letter[column];
            let document = || serde_json::from_str::<Value>(cell.as_str().unwrap_or_default()).ok();
            let is_same = cell == value || (!value.is_string() && document().as_ref() == Some(value));
            if !is_same {
                let (expected, found) = (value.to_string(), cell.to_string());
                let at = whole(OUTPUT, index, expected, found);
                differences.push(Difference { column: Some(column.clone()), ..at });
            }
        }
    }
    for (index, letter) in found.iter().enumerate().skip(expected.len()) {
        let text = |name: &str| letter[name].as_str().unwrap_or_default().to_owned();
        let shown = format!(
            "offset {} of {}-{}: {}: {} ({})",
            letter["offset"],
            text("topic"),
            letter["partition"],
            text("stage"),
            text("reason"),
            text("class"),
        );
        differences.push(whole(OUTPUT, index, "no row".to_owned(), shown));
    }
    differences
}

fn letter(records: &Records, index: u32, fault: &Fault) -> Value {
    let record = records.get(index as usize);
    let text = |bytes: Option<&[u8]>| bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    serde_json::json!({
        "topic": record.topic(),
        "partition": record.partition(),
        "offset": record.offset(),
        "key": text(record.key()),
        "value": text(record.value()),
        "stage": fault.stage.name(),
        "class": fault.class,
        "code": fault.code,
        "reason": fault.reason,
        "column": fault.column,
    })
}

/// A column that the output does not get.
pub fn unknown_column(output: &str, columns: &[RehearsedColumn], cell: &ExpectedCell) -> Problem {
    let names = || columns.iter().map(|column| column.name.as_str());
    let what = format!("a case expects `{}` of the {output}, which gets no such column", cell.column);
    let cure = match nearest(&cell.column, names()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "give it by `sql`, or with its type in [source.columns]".to_owned(),
    };
    Problem::new(&cell.place, Rule::Value, what, cure).allowed(names().collect::<Vec<_>>().join(", "))
}
