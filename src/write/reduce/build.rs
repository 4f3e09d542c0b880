//! Rows that were chosen -> steps.

use std::sync::Arc;
use std::time::SystemTime;

use arrow_array::{
    Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, TimestampMicrosecondArray, UInt32Array,
};
use arrow_schema::{Field, Schema};
use arrow_select::take::take;

use crate::rows::Rows;
use crate::types::ColumnType;

use super::super::catalog::CatalogColumn;
use super::super::plan::{DeletePlan, TablePlan};
use super::super::step::{Action, Step};
use super::sets::ColumnSets;

/// One row of a put.
#[derive(Clone, Copy)]
pub(super) struct Put {
    /// The last row that it is made of.
    pub(super) row: u32,
    pub(super) set: u32,
    /// Where it is made of several: where in [`Builder::merged`] its columns' rows begin.
    pub(super) merged: Option<u32>,
}

pub(super) struct Builder<'a> {
    pub(super) plan: &'a TablePlan,
    pub(super) rows: &'a Rows,
    pub(super) sets: ColumnSets,
    /// For each merged row as many row numbers as the plan has columns.
    pub(super) merged: Vec<u32>,
    /// The mark of a delete whose record has no time, in microseconds: a null would mean "not deleted".
    now: i64,
}

impl<'a> Builder<'a> {
    pub(super) fn new(plan: &'a TablePlan, rows: &'a Rows) -> Self {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let sets = ColumnSets::new(plan, rows);
        Self { plan, rows, sets, merged: Vec::new(), now: i64::try_from(now.as_micros()).unwrap_or(i64::MAX) }
    }

    /// Puts in order, one step per set of columns.
    pub(super) fn puts(&self, puts: Vec<Put>, steps: &mut Vec<Step>) {
        let Some(first) = puts.first() else { return };
        if puts.iter().all(|put| put.set == first.set) {
            return steps.push(self.put(&puts));
        }
        let mut by_set = vec![Vec::new(); self.sets.len()];
        for put in puts {
            by_set[put.set as usize].push(put);
        }
        steps.extend(by_set.iter().filter(|puts| !puts.is_empty()).map(|puts| self.put(puts)));
    }

    /// Rows of one set.
    pub(super) fn put(&self, puts: &[Put]) -> Step {
        let columns = self.sets.columns(puts[0].set).to_vec();
        let rows: Vec<u32> = puts.iter().map(|put| put.row).collect();
        let any_merged = puts.iter().any(|put| put.merged.is_some());
        let selection = Selection::new(rows);
        let arrays = columns.iter().map(|&column| {
            let array = self.input(column);
            if !any_merged {
                return selection.take(array);
            }
            let source = |put: &Put| put.merged.map_or(put.row, |start| self.merged[start as usize + column]);
            Selection::new(puts.iter().map(source).collect()).take(array)
        });
        let arrays: Vec<_> = arrays.collect();
        self.step(Action::Put, columns, arrays, None, selection)
    }

    /// Deletes of rows: those that the table's plan says.
    pub(super) fn delete(&self, rows: Vec<u32>, steps: &mut Vec<Step>) {
        if rows.is_empty() {
            return;
        }
        let mut columns = self.plan.key.clone();
        columns.sort_unstable();
        let (action, mark) = match &self.plan.deletes {
            DeletePlan::Soft(mark) => (Action::SoftDelete, Some(mark)),
            DeletePlan::Hard | DeletePlan::Ignore => (Action::Delete, None),
        };
        let mark = mark.map(|mark| (mark, self.marks(mark, &rows)));
        let selection = Selection::new(rows);
        let arrays = columns.iter().map(|&column| selection.take(self.input(column))).collect();
        steps.push(self.step(action, columns, arrays, mark, selection));
    }

    /// Removals of all rows of these rows' parents.
    pub(super) fn replace(&self, rows: Vec<u32>, steps: &mut Vec<Step>) {
        let Some(replace) = self.plan.replace.as_ref().filter(|_| !rows.is_empty()) else { return };
        let mut columns = replace.columns.clone();
        columns.sort_unstable();
        let selection = Selection::new(rows);
        let arrays = columns.iter().map(|&column| selection.take(self.input(column))).collect();
        steps.push(self.step(Action::Replace, columns, arrays, None, selection));
    }

    fn marks(&self, mark: &CatalogColumn, rows: &[u32]) -> ArrayRef {
        if mark.ty == Some(ColumnType::Bool) {
            return Arc::new(BooleanArray::from(vec![true; rows.len()]));
        }
        let time = |row: &u32| match self.rows.timestamps.get(*row as usize) {
            Some(&milliseconds) if milliseconds >= 0 => milliseconds.saturating_mul(1000),
            _ => self.now,
        };
        let times = TimestampMicrosecondArray::from_iter_values(rows.iter().map(time));
        match mark.ty {
            Some(ColumnType::TimestampTz) => Arc::new(times.with_timezone("UTC")),
            _ => Arc::new(times),
        }
    }

    pub(super) fn input(&self, column: usize) -> &ArrayRef {
        self.rows.batch.column(self.plan.columns[column].input)
    }

    pub(super) fn step(
        &self,
        action: Action,
        columns: Vec<usize>,
        mut arrays: Vec<ArrayRef>,
        mark: Option<(&CatalogColumn, ArrayRef)>,
        selection: Selection,
    ) -> Step {
        let mut names: Vec<&str> =
            columns.iter().map(|&column| self.plan.columns[column].column.name.as_str()).collect();
        if let Some((column, marks)) = mark {
            names.push(&column.name);
            arrays.push(marks);
        }
        let fields = names.iter().zip(&arrays).map(|(name, array)| Field::new(*name, array.data_type().clone(), true));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let origins = selection.rows.values().iter().map(|&row| self.rows.origins[row as usize]).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(selection.rows.len()));
        let batch = RecordBatch::try_new_with_options(schema, arrays, &options)
            .expect("every array holds the selected rows, and the schema is made from them");
        Step { action, columns, batch, origins }
    }
}

/// Row numbers, and whether they follow each other, so that nothing has to be copied.
pub(super) struct Selection {
    rows: UInt32Array,
    consecutive: bool,
}

impl Selection {
    pub(super) fn new(rows: Vec<u32>) -> Self {
        let consecutive = rows.windows(2).all(|pair| pair[0].wrapping_add(1) == pair[1]);
        Self { rows: rows.into(), consecutive }
    }

    pub(super) fn take(&self, array: &ArrayRef) -> ArrayRef {
        if self.consecutive && !self.rows.is_empty() {
            return array.slice(self.rows.value(0) as usize, self.rows.len());
        }
        take(array, &self.rows, None).expect("a selection of the batch's own rows, each at most once")
    }
}
