//! Partial values of one key -> one: what `mode = "merge"` does, typed and exact, on columns.
//!
//! Every function has the null as its identity and may be applied to any cut of its values: what is folded here and
//! added in the database is what one aggregate over all of them would be.

mod decimal;
pub mod json;
mod sums;

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Time64MicrosecondType, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef, Time64MicrosecondArray, TimestampMicrosecondArray, UInt32Array};
use arrow_schema::{DataType, TimeUnit};

use crate::types::ColumnType;

use super::keys::RowKeys;

pub use decimal::Exact;
pub use sums::{bit_or, sum};

/// Rows, cut into runs, each of which becomes one value.
#[derive(Debug, Default)]
pub struct Runs {
    rows: Vec<u32>,
    /// Where each run ends; it begins where the one before ends.
    ends: Vec<u32>,
}

impl Runs {
    pub fn push(&mut self, rows: &[u32]) {
        self.rows.extend_from_slice(rows);
        self.ends.push(self.rows.len() as u32);
    }

    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// How many rows there are in all.
    pub fn rows(&self) -> usize {
        self.rows.len()
    }

    /// Does every run have one row? Then nothing is added up.
    pub fn are_single(&self) -> bool {
        self.rows.len() == self.ends.len()
    }

    pub fn iter(&self) -> impl Iterator<Item = &[u32]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, &end)| &self.rows[start as usize..end as usize])
    }

    /// The last row of each run: the key is the same in all, and a run is told by its last record.
    pub fn last_rows(&self) -> Vec<u32> {
        self.ends.iter().map(|&end| self.rows[end as usize - 1]).collect()
    }
}

/// One value per run, and the rows at which a value went out of its type's range.
pub struct Folded {
    pub array: ArrayRef,
    pub overflows: Vec<u32>,
}

/// The row of each run that has the lowest (or highest) value; null where all are null.
pub fn extreme(array: &ArrayRef, highest: bool, runs: &Runs) -> UInt32Array {
    let keys = RowKeys::new(&[(array, &comparable(array))]);
    runs.iter()
        .map(|run| {
            let rows = run.iter().copied().filter(|&row| array.is_valid(row as usize));
            if highest { rows.max_by_key(|&row| keys.get(row)) } else { rows.min_by_key(|&row| keys.get(row)) }
        })
        .collect()
}

/// The row of each run whose value is the last (or first) by `order`; null where no row has a value. An order that is
/// null is the weakest. Among equals the later row is last, and the earlier one first.
pub fn pick(lead: &ArrayRef, order: &ArrayRef, last: bool, runs: &Runs) -> UInt32Array {
    let keys = RowKeys::new(&[(order, &comparable(order))]);
    let wins = |new: u32, held: u32| match (keys.get(new), keys.get(held)) {
        (new, held) if last => new >= held,
        (Some(new), Some(held)) => new < held,
        (new, held) => new.is_some() && held.is_none(),
    };
    runs.iter()
        .map(|run| {
            let rows = run.iter().copied().filter(|&row| lead.is_valid(row as usize));
            rows.reduce(|held, new| if wins(new, held) { new } else { held })
        })
        .collect()
}

/// Times cut to whole `unit`s of microseconds, towards the past, as the decoder cuts what is finer than a microsecond.
pub fn floored(array: &ArrayRef, unit: i64) -> ArrayRef {
    let floor = |micros: i64| micros - micros.rem_euclid(unit);
    match array.data_type() {
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            let floored: TimestampMicrosecondArray = array.as_primitive::<TimestampMicrosecondType>().unary(floor);
            Arc::new(floored.with_data_type(array.data_type().clone()))
        }
        DataType::Time64(TimeUnit::Microsecond) => {
            let floored: Time64MicrosecondArray = array.as_primitive::<Time64MicrosecondType>().unary(floor);
            Arc::new(floored)
        }
        _ => Arc::clone(array),
    }
}

/// Of what travels as text only decimals are compared here.
fn comparable(array: &ArrayRef) -> ColumnType {
    match array.data_type() {
        DataType::Utf8 => ColumnType::Numeric,
        // Decides nothing: the array's own type does.
        _ => ColumnType::Int64,
    }
}

#[cfg(test)]
mod tests;
