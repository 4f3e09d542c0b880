//! JOIN: which rows of a lookup a batch asks for, and the batch with their columns. The rows come from elsewhere.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow_array::{Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, UInt32Array, new_null_array};
use arrow_schema::{DataType, Field, Schema};
use arrow_select::take::take;

use crate::config::{Filtered, Lookup};
use crate::dead_letter::Fault;
use crate::lookup::keys::{as_key, compares};
use crate::rows::{BytesEncoding, ColumnSource, InputColumn, InputSchema, Rows};
use crate::types::ColumnType;

use super::compile::Transform;
use super::plan::Plan;
use super::{SqlProblem, kinds};

/// A lookup that statements join by equal keys.
#[derive(Debug, Clone)]
pub struct JoinPlan {
    /// Equal for equal lookups by equal keys.
    pub id: String,
    /// Index into the pipeline's lookups.
    pub lookup: usize,
    /// What gives the key, one output per key column.
    pub(super) key: Plan,
    /// What is read of it.
    pub columns: Vec<InputColumn>,
}

/// A compiled join: `&self`, so that lanes can share it.
#[derive(Debug)]
pub struct Join {
    /// Index into the pipeline's lookups.
    pub lookup: usize,
    key: Transform,
    key_types: Vec<DataType>,
    columns: Vec<Joined>,
}

#[derive(Debug)]
struct Joined {
    field: Field,
    /// Index into the lookup's columns; `None`: whether there is a row.
    column: Option<usize>,
}

/// The keys of a batch.
#[derive(Debug)]
pub struct Asked {
    /// One array per key column, of the lookup's types.
    pub keys: Vec<ArrayRef>,
    /// The row of `keys` of each row of the batch, where it has one.
    pub rows: Vec<Option<u32>>,
    /// Records whose key cannot be computed.
    pub bad: Vec<(u32, Fault)>,
}

/// A lookup's columns as the engine knows them.
pub(super) fn described(lookup: &Lookup) -> tidegate_sql::Lookup {
    let columns = lookup.columns().iter().map(|column| Arc::new(kinds::field(&column.name, &column.ty)));
    tidegate_sql::Lookup { name: lookup.name.clone(), key: lookup.key.clone(), columns: columns.collect() }
}

/// What a statement reads of the lookups that it joins.
pub(super) fn joined_columns(lookups: &[Lookup], joins: &[tidegate_sql::Join]) -> Vec<InputColumn> {
    let mut columns: Vec<InputColumn> = Vec::new();
    for join in joins {
        let lookup = &lookups[join.lookup];
        let column = |name: String, ty: ColumnType, column: Option<String>| InputColumn {
            name,
            ty,
            source: ColumnSource::Lookup { lookup: lookup.name.clone(), column },
            unit: None,
            encoding: BytesEncoding::Base64,
            default: None,
            key: false,
        };
        let of_lookup = lookup.columns().iter().map(|known| {
            column(tidegate_sql::joined(&join.id, &known.name), known.ty.clone(), Some(known.name.clone()))
        });
        columns.extend(of_lookup);
        columns.push(column(tidegate_sql::found(&join.id), ColumnType::Bool, None));
    }
    columns
}

impl JoinPlan {
    /// Takes over what another statement reads of the same rows.
    pub fn merge(&mut self, other: &Self) {
        for column in &other.columns {
            if !self.columns.contains(column) {
                self.columns.push(column.clone());
            }
        }
    }

    /// What its key reads.
    pub fn key(&self) -> &Plan {
        &self.key
    }

    /// The lookup's columns that are read, by index.
    pub fn used(&self, lookup: &Lookup) -> BTreeSet<usize> {
        let names = self.columns.iter().filter_map(|column| match &column.source {
            ColumnSource::Lookup { column, .. } => column.as_deref(),
            _ => None,
        });
        names.filter_map(|name| lookup.column(name)).collect()
    }

    /// Fixes it to the joined input: the decoder's columns, then those of the joins in their order.
    ///
    /// # Errors
    /// Keys that can never equal the lookup's.
    pub fn compile(&self, input: &InputSchema, lookup: &Lookup) -> Result<Join, Vec<SqlProblem>> {
        let mut problems = Vec::new();
        let key_columns = lookup.key.iter().filter_map(|name| lookup.columns().get(lookup.column(name)?));
        let key_types: Vec<ColumnType> = key_columns.map(|column| column.ty.clone()).collect();
        problems.extend((0..key_types.len()).filter_map(|index| self.key.varies(index)));
        for ((output, text), ty) in self.key.outputs().iter().zip(self.key.texts()).zip(&key_types) {
            if !compares(&output.ty, ty) {
                let message = format!("{}.{} is {ty}, and {text} is {}", lookup.name, output.name, output.ty);
                let cure = match ty {
                    // No text is cast to one.
                    ColumnType::Uuid => {
                        "declare it as \"uuid\" in [source.columns], and join by the column as it is".to_owned()
                    }
                    ty => format!("cast it: CAST({text} AS {ty})"),
                };
                problems.push(self.key.problem(&output.name, message, &cure));
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let columns = self.columns.iter().map(|column| Joined {
            field: Field::new(&column.name, column.ty.arrow(), true),
            column: match &column.source {
                ColumnSource::Lookup { column: Some(name), .. } => lookup.column(name),
                _ => None,
            },
        });
        Ok(Join {
            lookup: self.lookup,
            key: self.key.compile(input, &[], &[], Filtered::Ignore)?,
            key_types: key_types.iter().map(ColumnType::arrow).collect(),
            columns: columns.collect(),
        })
    }
}

impl Join {
    /// The keys of a batch that has all columns of the joins before this one.
    pub fn asked(&self, rows: &Rows) -> Asked {
        let transformed = self.key.run(rows);
        let keys = transformed.rows.batch.columns().iter().zip(&self.key_types);
        let mut found = transformed.rows.origins.iter().zip(0..).peekable();
        let row = |origin: &u32| found.next_if(|(other, _)| *other == origin).map(|(_, row)| row);
        Asked {
            keys: keys.map(|(keys, ty)| as_key(keys, ty)).collect(),
            rows: rows.origins.iter().map(row).collect(),
            bad: transformed.bad,
        }
    }

    /// The batch with the columns of the lookup's rows: `rows` says for each row of the batch which of `found` it is,
    /// where there is one. `found`: the lookup's columns by their index; those that nobody reads may be missing.
    pub fn joined(&self, batch: Rows, rows: &UInt32Array, found: &[Option<ArrayRef>]) -> Rows {
        let Rows { batch, operations, origins, timestamps, mut presence } = batch;
        let mut fields: Vec<_> = batch.schema().fields().iter().cloned().collect();
        let mut columns = batch.columns().to_vec();
        for joined in &self.columns {
            columns.push(match joined.column {
                None => Arc::new(BooleanArray::from_iter((0..rows.len()).map(|row| Some(rows.is_valid(row))))),
                Some(column) => match found.get(column) {
                    Some(Some(array)) => take(array, rows, None).expect("each row is null or one of those found"),
                    _ => new_null_array(joined.field.data_type(), rows.len()),
                },
            });
            fields.push(Arc::new(joined.field.clone()));
            presence.push(None);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        let batch = RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options);
        Rows { batch: batch.expect("a value per row"), operations, origins, timestamps, presence }
    }
}
