//! Rows: what a batch of records became.

use std::sync::Arc;

use arrow_array::{BooleanArray, RecordBatch, UInt32Array};
use arrow_buffer::BooleanBuffer;
use arrow_schema::SchemaRef;

use crate::types::ColumnType;

/// What a row asks of its table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Here is a row (what that means, the table's mode says).
    Upsert,
    /// The row with this key is gone. Only the columns that the record's key gave hold values.
    Delete,
    /// The stored rows of this parent key are gone, before the rows of the same record that follow. Only the columns that
    /// `replace` names hold values.
    Replace,
}

/// A batch of rows of one version of the input schema.
#[derive(Debug, Clone)]
pub struct Rows {
    /// One column per [`InputColumn`], in that order.
    pub batch: RecordBatch,
    /// One per row.
    pub operations: Vec<Operation>,
    /// One per row: the index of its record in the batch of records. Never decreasing.
    pub origins: Vec<u32>,
    /// One per row: the time of its record in milliseconds since 1970, -1 where it has none. What soft deletes mark
    /// rows with. Empty: no record has a time.
    pub timestamps: Vec<i64>,
    /// One per column: which rows had the field at all. `None`: every row had it. An absent cell is null in `batch`.
    pub presence: Vec<Option<BooleanBuffer>>,
}

impl Rows {
    pub fn len(&self) -> usize {
        self.origins.len()
    }

    pub fn is_empty(&self) -> bool {
        self.origins.is_empty()
    }

    /// No rows, of no columns.
    pub fn nothing() -> Self {
        let batch = RecordBatch::new_empty(Arc::new(arrow_schema::Schema::empty()));
        Self { batch, operations: Vec::new(), origins: Vec::new(), timestamps: Vec::new(), presence: Vec::new() }
    }

    /// The rows whose record `is_out` does not name.
    pub fn without_origins(&self, is_out: impl Fn(u32) -> bool) -> Self {
        self.only(&self.origins.iter().map(|origin| !is_out(*origin)).collect())
    }

    /// The rows whose bits are set.
    pub fn only(&self, kept: &BooleanBuffer) -> Self {
        let keep = |index: &usize| kept.value(*index);
        let batch = arrow_select::filter::filter_record_batch(&self.batch, &BooleanArray::new(kept.clone(), None))
            .expect("the filter is as long as the batch");
        let filter_bits = |bits: &BooleanBuffer| (0..self.len()).filter(keep).map(|row| bits.value(row)).collect();
        Self {
            batch,
            operations: (0..self.len()).filter(keep).map(|row| self.operations[row]).collect(),
            origins: (0..self.len()).filter(keep).map(|row| self.origins[row]).collect(),
            timestamps: (0..self.timestamps.len()).filter(keep).map(|row| self.timestamps[row]).collect(),
            presence: self.presence.iter().map(|bits| bits.as_ref().map(filter_bits)).collect(),
        }
    }

    /// These rows, in their order.
    pub fn pick(&self, rows: &[u32]) -> Self {
        let batch = arrow_select::take::take_record_batch(&self.batch, &UInt32Array::from(rows.to_vec()))
            .expect("the rows are the batch's own");
        let rows = || rows.iter().map(|row| *row as usize);
        let pick_bits = |bits: &BooleanBuffer| rows().map(|row| bits.value(row)).collect();
        let timed = |row: usize| self.timestamps.get(row).copied();
        Self {
            batch,
            operations: rows().map(|row| self.operations[row]).collect(),
            origins: rows().map(|row| self.origins[row]).collect(),
            timestamps: rows().filter_map(timed).collect(),
            presence: self.presence.iter().map(|bits| bits.as_ref().map(pick_bits)).collect(),
        }
    }

    /// How many rows a table is asked to take: all but those that stand for a parent key.
    pub fn produced(&self) -> usize {
        self.operations.iter().filter(|operation| **operation != Operation::Replace).count()
    }

    pub fn is_present(&self, column: usize, row: usize) -> bool {
        self.presence[column].as_ref().is_none_or(|present| present.value(row))
    }
}

/// Where an input column takes its value from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ColumnSource {
    /// Names into nested objects of the value; one name for a top-level field.
    Value(Vec<String>),
    /// Names into the record's key; empty: the whole key.
    Key(Vec<String>),
    /// The last header of that name.
    Header(String),
    Topic,
    Partition,
    Offset,
    /// The record's timestamp.
    Timestamp,
    /// A column of a lookup's row, which is joined after decoding; without a column: whether there is a row.
    Lookup {
        lookup: String,
        column: Option<String>,
    },
}

/// The unit of a number that stands for a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeUnit {
    Seconds,
    Milliseconds,
    Microseconds,
    Nanoseconds,
}

/// How text stands for bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BytesEncoding {
    Base64,
    Hex,
}

/// One typed column of the input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputColumn {
    pub name: String,
    pub ty: ColumnType,
    pub source: ColumnSource,
    /// For numbers in a time column; a number without one is a bad record.
    pub unit: Option<TimeUnit>,
    /// For text in a bytes column; default base64.
    pub encoding: BytesEncoding,
    /// JSON text of the value to take where the field is absent.
    pub default: Option<String>,
    /// Is it a column of the table's key, so that a record's key (an object's field of that name, or a primitive key
    /// where the key has one column) gives its value where the record's value does not?
    pub key: bool,
}

/// A column of a statement's result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputColumn {
    pub name: String,
    /// The nearest type; the target may want another, which the value is cast to.
    pub ty: ColumnType,
    pub nullable: bool,
    /// The input column that this is a bare reference to: it keeps presence and JSON-ness.
    pub passes: Option<String>,
}

/// The typed input of a pipeline: what the decoder fills.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputSchema {
    pub columns: Vec<InputColumn>,
    /// The zone of texts without one in a `timestamptz` column (an IANA name); without it they are bad records.
    pub timezone: Option<String>,
    pub arrow: SchemaRef,
}

impl InputSchema {
    pub fn new(columns: Vec<InputColumn>, timezone: Option<String>) -> Arc<Self> {
        let fields: Vec<_> =
            columns.iter().map(|column| arrow_schema::Field::new(&column.name, column.ty.arrow(), true)).collect();
        Arc::new(Self { columns, timezone, arrow: Arc::new(arrow_schema::Schema::new(fields)) })
    }
}
