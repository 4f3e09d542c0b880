//! A table in plain Rust: what one row, and what one step, does to it.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow_buffer::BooleanBuffer;
use arrow_schema::{DataType, Field, Schema};

use crate::config::{Missing, Mode};
use crate::rows::{Operation, Rows};
use crate::types::ColumnType;

use super::super::super::catalog::{CatalogColumn, CatalogTable};
use super::super::super::plan::{DeletePlan, PlanColumn, TablePlan};
use super::super::super::step::{Action, Step};

/// The columns: two that can be keys, two plain ones, one that takes no null but has a default, and a version.
pub const NUMBER: usize = 0;
pub const NAME: usize = 1;
pub const REQUIRED: usize = 4;
pub const VERSION: usize = 5;
pub const COLUMNS: usize = 6;
/// A mark that was taken from the clock.
pub const NOW: i64 = i64::MAX;

pub type Cells = BTreeMap<usize, Option<i64>>;

/// One row as it comes; a cell that is not there is absent.
#[derive(Debug, Clone)]
pub struct Input {
    pub delete: bool,
    pub cells: Cells,
    pub timestamp: i64,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stored {
    pub cells: [Option<i64>; COLUMNS],
    pub mark: Option<i64>,
}

/// One way to write the table.
#[derive(Debug, Clone)]
pub struct Setting {
    pub mode: Mode,
    pub missing: Missing,
    pub deletes: DeletePlan,
    pub version: bool,
    /// Does the version column have a default that takes the place of a null?
    pub version_default: bool,
    pub composite: bool,
    pub in_order: bool,
    /// Does an update give a column that the statement leaves out its default again, or leave it as it is?
    pub resets: bool,
}

impl Setting {
    pub fn plan(&self) -> TablePlan {
        let columns: Vec<PlanColumn> = ["number", "name", "a", "b", "required", "version"]
            .into_iter()
            .enumerate()
            .map(|(index, name)| PlanColumn {
                column: column(
                    name,
                    if index == NAME { ColumnType::Text } else { ColumnType::Int64 },
                    self.is_defaulted(index),
                ),
                // Not in the table's order.
                input: COLUMNS - 1 - index,
            })
            .collect();
        let table = CatalogTable {
            schema: None,
            name: "t".to_owned(),
            columns: columns.iter().map(|column| column.column.clone()).collect(),
            unique: Vec::new(),
            unusable_unique: Vec::new(),
        };
        TablePlan {
            table,
            mode: self.mode,
            columns,
            key: self.key(),
            deletes: self.deletes.clone(),
            version: self.version.then_some(VERSION),
            missing: self.missing,
            replace: None,
            retention: None,
            merge: Vec::new(),
        }
    }

    /// In the order of an index that is not the table's.
    pub fn key(&self) -> Vec<usize> {
        if self.composite { vec![NAME, NUMBER] } else { vec![NUMBER] }
    }

    pub fn is_keyed(&self) -> bool {
        matches!(self.mode, Mode::Upsert | Mode::Update)
    }

    fn is_defaulted(&self, column: usize) -> bool {
        column == REQUIRED || column == VERSION && self.version_default
    }

    fn default(&self, column: usize) -> Option<i64> {
        match column {
            REQUIRED => Some(99),
            VERSION if self.version_default => Some(2),
            _ => None,
        }
    }

    /// What a row writes, by what `missing` promises.
    pub fn written(&self, input: &Input) -> Cells {
        let mut written = input.cells.clone();
        if self.missing == Missing::Null {
            let absent = (0..COLUMNS).filter(|column| !input.cells.contains_key(column));
            let nulls: Vec<_> = absent.filter(|&column| !self.is_defaulted(column)).collect();
            written.extend(nulls.into_iter().map(|column| (column, None)));
        }
        written
    }

    pub fn key_of(&self, cells: &Cells) -> Option<Vec<i64>> {
        self.key().iter().map(|column| cells.get(column).copied().flatten()).collect()
    }

    fn stored_key(&self, stored: &Stored) -> Option<Vec<i64>> {
        self.key().iter().map(|&column| stored.cells[column]).collect()
    }

    /// Does what the table's mode says to one row.
    pub fn put(&self, table: &mut Vec<Stored>, cells: &Cells) {
        let key = self.key_of(cells);
        let found = table.iter().position(|stored| key.is_some() && self.stored_key(stored) == key);
        match (self.mode, found) {
            (Mode::Append, _) | (Mode::InsertIgnore | Mode::Upsert, None) => {
                let cell = |column| cells.get(&column).copied().unwrap_or_else(|| self.default(column));
                table.push(Stored { cells: std::array::from_fn(cell), mark: None });
            }
            (Mode::InsertIgnore, Some(_)) | (Mode::Update, None) => {}
            (Mode::Upsert | Mode::Update, Some(index)) => self.update(&mut table[index], cells),
            (Mode::Merge, _) => unreachable!("merges have tests of their own"),
        }
    }

    fn update(&self, stored: &mut Stored, cells: &Cells) {
        let resets = self.resets && self.missing != Missing::Keep;
        if self.version {
            let left_out = if resets { self.default(VERSION) } else { None };
            let new = cells.get(&VERSION).copied().unwrap_or(left_out);
            if stored.cells[VERSION].is_some() && new < stored.cells[VERSION] {
                return;
            }
        }
        for column in (0..COLUMNS).filter(|column| !self.key().contains(column)) {
            match cells.get(&column) {
                Some(value) => stored.cells[column] = *value,
                None if resets => stored.cells[column] = self.default(column),
                None => {}
            }
        }
        stored.mark = None;
    }

    pub fn delete(&self, table: &mut Vec<Stored>, key: &[i64], mark: Option<i64>) {
        let is_it = |stored: &Stored| self.stored_key(stored).as_deref() == Some(key);
        match self.deletes {
            DeletePlan::Hard => table.retain(|stored| !is_it(stored)),
            DeletePlan::Soft(_) => table.iter_mut().filter(|stored| is_it(stored)).for_each(|row| row.mark = mark),
            DeletePlan::Ignore => panic!("a delete reached the table"),
        }
    }

    /// Applies a step, as the databases do.
    pub fn apply(&self, table: &mut Vec<Stored>, step: &Step) {
        for row in 0..step.batch.num_rows() {
            let cells = cells_of(step, row);
            match step.action {
                Action::Put => self.put(table, &cells),
                Action::Patch => unreachable!("only a merge patches"),
                Action::Replace => {
                    table.retain(|stored| cells.iter().any(|(&column, cell)| stored.cells[column] != *cell))
                }
                Action::Delete => self.delete(table, &self.key_of(&cells).unwrap(), None),
                Action::SoftDelete => {
                    let mark = mark_of(step.batch.columns().last().unwrap(), row);
                    self.delete(table, &self.key_of(&cells).unwrap(), Some(mark));
                }
            }
        }
    }

    /// The mark that a delete of this row leaves.
    pub fn mark(&self, input: &Input) -> Option<i64> {
        match &self.deletes {
            DeletePlan::Soft(column) if column.ty == Some(ColumnType::Bool) => Some(1),
            DeletePlan::Soft(_) => Some(if input.timestamp < 0 { NOW } else { input.timestamp * 1000 }),
            _ => None,
        }
    }
}

pub fn column(name: &str, ty: ColumnType, defaulted: bool) -> CatalogColumn {
    CatalogColumn {
        name: name.to_owned(),
        native: ty.to_string(),
        ty: Some(ty),
        oid: 0,
        nullable: !defaulted,
        has_default: defaulted,
        generated: false,
    }
}

pub fn cells_of(step: &Step, row: usize) -> Cells {
    let cell = |(position, &column): (usize, &usize)| (column, value(step.batch.column(position), row));
    step.columns.iter().enumerate().map(cell).collect()
}

fn value(array: &ArrayRef, row: usize) -> Option<i64> {
    if array.is_null(row) {
        return None;
    }
    match array.data_type() {
        DataType::Utf8 => array.as_string::<i32>().value(row).parse().ok(),
        _ => Some(array.as_primitive::<Int64Type>().value(row)),
    }
}

fn mark_of(array: &ArrayRef, row: usize) -> i64 {
    match array.data_type() {
        DataType::Boolean => array.as_boolean().value(row).into(),
        // The tests' own times are seconds after 1970.
        _ => Some(array.as_primitive::<TimestampMicrosecondType>().value(row)).filter(|t| *t < 1 << 40).unwrap_or(NOW),
    }
}

/// The rows as the decoder would hand them over; each record gave one row, and record numbers have gaps.
pub fn rows(inputs: &[Input]) -> Rows {
    let mut arrays: Vec<ArrayRef> = Vec::new();
    let mut fields = Vec::new();
    let mut presence = Vec::new();
    for column in (0..COLUMNS).rev() {
        let values = inputs.iter().map(|input| input.cells.get(&column).copied().flatten());
        let array: ArrayRef = if column == NAME {
            Arc::new(StringArray::from_iter(values.map(|value| value.map(|value| value.to_string()))))
        } else {
            Arc::new(Int64Array::from_iter(values))
        };
        fields.push(Field::new(format!("input{column}"), array.data_type().clone(), true));
        arrays.push(array);
        let present: BooleanBuffer = inputs.iter().map(|input| input.cells.contains_key(&column)).collect();
        presence.push((present.count_set_bits() < inputs.len()).then_some(present));
    }
    let operation = |input: &Input| if input.delete { Operation::Delete } else { Operation::Upsert };
    Rows {
        batch: RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap(),
        operations: inputs.iter().map(operation).collect(),
        origins: (0..inputs.len() as u32).map(|row| row * 2).collect(),
        timestamps: inputs.iter().map(|input| input.timestamp).collect(),
        presence,
    }
}
