//! JSON values into rows.
//!
//! - A column's cell is filled by the first that has it: the value; for a column of the table's key, the record's key;
//!   the column's default. A field that is null has null, and so has everything below an object that is null: neither
//!   the key nor a default replaces it.
//! - A name fits exactly, or else but for case where only one column and one field of the object fit so. A field
//!   that a column takes must not be there twice.
//! - A column takes what is exactly a value of its type, in any notation: `7`, `7.0`, `7e0` and `"7"` are an integer,
//!   `"1.50"` is a decimal; text takes numbers, booleans, arrays and objects as they are written. Nothing is rounded but
//!   floating-point numbers, and nothing is cut but what times have beyond microseconds.

use std::fmt::Write as _;
use std::sync::Arc;

use crate::config::KeyFormat;
use crate::dead_letter::Fault;
use crate::records::{Record, Records};
use crate::rows::{ColumnSource, InputSchema, Operation, Rows};

use super::builders::Columns;
use super::document::{self, VALUE};
use super::problem::record_fault;
use super::token::Input;
use super::walk::Tree;
use super::{Decoded, Decoder};

mod key;

use key::Keys;

/// Decodes JSON objects, and null payloads as deletes.
pub(super) struct JsonDecoder {
    columns: Columns,
    values: Tree,
    keys: Keys,
    /// Columns from headers and from the record's place.
    others: Vec<Other>,
    defaults: Vec<DefaultValue>,
    /// The columns of the table's key: a delete needs them all.
    key_columns: Vec<usize>,
    /// The text of a number.
    number: String,
}

/// A column that is neither from the value nor from the key.
struct Other {
    column: usize,
    source: ColumnSource,
    /// Is it a column of the table's key? Only those are filled for a delete.
    key: bool,
}

/// What a column takes where its field is absent.
struct DefaultValue {
    column: usize,
    text: String,
    is_json: bool,
}

impl JsonDecoder {
    pub fn new(schema: Arc<InputSchema>, key_format: KeyFormat) -> Self {
        let mut values = Tree::new(true);
        let (mut others, mut defaults, mut key_columns) = (Vec::new(), Vec::new(), Vec::new());
        for (index, column) in schema.columns.iter().enumerate() {
            match &column.source {
                ColumnSource::Value(path) => values.add(path, index),
                ColumnSource::Key(_) | ColumnSource::Lookup { .. } => {}
                source => others.push(Other { column: index, source: source.clone(), key: column.key }),
            }
            if let Some(text) = &column.default {
                // The configuration checks it; a text that is no JSON stands for itself.
                let checked = document::text(text.as_bytes(), VALUE).and_then(|text| document::check(text, VALUE));
                let is_json = checked.is_ok();
                let text = checked.map_or_else(|_| text.clone(), str::to_owned);
                defaults.push(DefaultValue { column: index, text, is_json });
            }
            if column.key {
                key_columns.push(index);
            }
        }
        let keys = Keys::new(&schema, key_format);
        let columns = Columns::new(schema);
        Self { columns, values, keys, others, defaults, key_columns, number: String::new() }
    }

    fn row(&mut self, record: Record<'_>) -> Result<Operation, Fault> {
        match record.value() {
            Some(value) => self.upsert(record, value).map(|()| Operation::Upsert),
            None => self.delete(record).map(|()| Operation::Delete),
        }
    }

    fn upsert(&mut self, record: Record<'_>, value: &[u8]) -> Result<(), Fault> {
        let text = document::text(value, VALUE)?;
        if document::first_byte(text) != Some(b'{') {
            return Err(no_object(text));
        }
        self.values.walk(text, &mut self.columns, VALUE)?;
        if self.keys.are_wanted(&self.columns) {
            self.keys.fill(record, &mut self.columns)?;
        }
        self.fill_others(record, false)?;
        for DefaultValue { column, text, is_json } in &self.defaults {
            self.columns.put(*column, if *is_json { Input::Json(text) } else { Input::Plain(text) })?;
        }
        Ok(())
    }

    /// A tombstone: only what the key (and, for columns of the table's key, the record itself) gives is there.
    fn delete(&mut self, record: Record<'_>) -> Result<(), Fault> {
        self.keys.fill(record, &mut self.columns)?;
        self.fill_others(record, true)?;
        match self.key_columns.iter().find(|column| !self.columns.has_value(**column)) {
            None => Ok(()),
            Some(column) => {
                let found = match record.key() {
                    None => "a tombstone without a key",
                    Some(_) => "a tombstone whose key does not give it",
                };
                Err(self.columns.fault(*column, "missing-key", found))
            }
        }
    }

    fn fill_others(&mut self, record: Record<'_>, only_keys: bool) -> Result<(), Fault> {
        // The topic is always told: a statement's FROM may ask for it.
        let is_wanted = |other: &&Other| other.key || !only_keys || other.source == ColumnSource::Topic;
        for other in self.others.iter().filter(is_wanted) {
            let number = match &other.source {
                ColumnSource::Header(name) => {
                    fill_header(other.column, name, record, &mut self.columns)?;
                    continue;
                }
                ColumnSource::Topic => {
                    self.columns.put(other.column, Input::Plain(record.topic()))?;
                    continue;
                }
                ColumnSource::Partition => Some(i64::from(record.partition())),
                ColumnSource::Offset => Some(record.offset()),
                ColumnSource::Timestamp => record.timestamp(),
                ColumnSource::Value(_) | ColumnSource::Key(_) | ColumnSource::Lookup { .. } => None,
            };
            if let Some(number) = number {
                self.number.clear();
                let _infallible = write!(self.number, "{number}");
                self.columns.put(other.column, Input::Json(&self.number))?;
            }
        }
        Ok(())
    }
}

/// The last header of that name; one without a value is null.
fn fill_header(column: usize, name: &str, record: Record<'_>, columns: &mut Columns) -> Result<(), Fault> {
    match record.headers().filter(|(known, _)| *known == name.as_bytes()).last() {
        None => Ok(()),
        Some((_, None)) => {
            columns.put_null(column);
            Ok(())
        }
        Some((_, Some(bytes))) => match std::str::from_utf8(bytes) {
            Ok(text) => columns.put(column, Input::Plain(text)),
            Err(_) => Err(columns.fault(column, "invalid-utf8", "a header that is not UTF-8")),
        },
    }
}

#[cold]
fn no_object(text: &str) -> Fault {
    match document::check(text, VALUE) {
        Err(fault) => fault,
        Ok("null") => record_fault("null-document", "the value is JSON null; only a null payload is a tombstone"),
        Ok(json) => {
            let kind = Input::Json(json).token(&mut String::new()).map_or("a string", |token| token.kind());
            record_fault("not-an-object", format!("the value is {kind}; a row is made of an object"))
        }
    }
}

impl Decoder for JsonDecoder {
    fn decode(&mut self, records: &Records) -> Decoded {
        let mut operations = Vec::with_capacity(records.len());
        let mut origins = Vec::with_capacity(records.len());
        let mut timestamps = Vec::with_capacity(records.len());
        let mut bad = Vec::new();
        for (index, record) in records.iter().enumerate() {
            match self.row(record) {
                Ok(operation) => {
                    self.columns.commit();
                    operations.push(operation);
                    origins.push(index as u32);
                    timestamps.push(record.timestamp().unwrap_or(-1));
                }
                Err(fault) => {
                    self.columns.roll_back();
                    bad.push((index as u32, fault));
                }
            }
        }
        let (batch, presence) = self.columns.take();
        let rows = Rows { batch, operations, origins, timestamps, presence };
        Decoded { rows, bad, new_unknown_fields: self.values.take_unknown() }
    }
}

#[cfg(test)]
mod tests;
