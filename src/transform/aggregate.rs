//! GROUP BY: the batch's part of each group, exact: integers and decimals are added without wrapping, and a sum that
//! its column does not hold fails like any expression.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, Decimal256Type, Float64Type, Int64Type, UInt64Type};
use arrow_array::{
    Array, ArrayRef, ArrowPrimitiveType, Decimal128Array, Decimal256Array, Float64Array, Int64Array, PrimitiveArray,
    UInt32Array, UInt64Array,
};
use arrow_buffer::i256;
use arrow_row::{Row, RowConverter, SortField};
use arrow_schema::DataType;
use arrow_select::take::take;
use datafusion_common::{DataFusionError, Result};
use hashbrown::HashMap;
use tidegate_sql::Aggregate;

use crate::rows::Rows;

use super::compile::{CompiledOutput, Transform};
use super::faults::{Failure, Place};
use super::functions::RowError;
use super::plan::is_signed;
use super::run::{Bad, Piece, middle};

/// Which group each row belongs to.
struct Groups {
    of_row: Vec<u32>,
    /// The first row of each group.
    first: Vec<u32>,
    /// The last row of each group.
    last: Vec<u32>,
}

impl Transform {
    /// The parts of all groups. Rows whose sum fails are halved like those whose expressions fail.
    pub(super) fn grouped(&self, rows: &Rows, piece: &Piece, bad: &mut Bad) -> Vec<Piece> {
        let mut parts = Vec::new();
        self.group(rows, piece, 0..piece.picks.len(), &mut parts, bad);
        parts
    }

    fn group(&self, rows: &Rows, piece: &Piece, range: Range<usize>, parts: &mut Vec<Piece>, bad: &mut Bad) {
        if range.is_empty() {
            return;
        }
        let failure = match self.group_stretch(piece, &range) {
            Ok(part) => return parts.push(part),
            Err(failure) => failure,
        };
        let origin = |row: usize| rows.origins[piece.picks[row] as usize];
        match middle(&range, origin) {
            Some(middle) => {
                self.group(rows, piece, range.start..middle, parts, bad);
                self.group(rows, piece, middle..range.end, parts, bad);
            }
            None => bad.push((origin(range.start), failure.fault())),
        }
    }

    fn group_stretch(&self, piece: &Piece, range: &Range<usize>) -> Result<Piece, Failure> {
        let columns: Vec<ArrayRef> =
            piece.columns.iter().map(|column| column.slice(range.start, range.len())).collect();
        let keys: Vec<ArrayRef> = columns
            .iter()
            .zip(&self.outputs)
            .filter(|(_, output)| output.aggregate.is_none())
            .map(|(column, _)| column.clone())
            .collect();
        let groups = groups(&keys, range.len()).map_err(|error| Failure { place: Place::Filter, error })?;
        // In the order of their last rows, so that origins never decrease.
        let mut order: Vec<u32> = (0..groups.last.len() as u32).collect();
        order.sort_unstable_by_key(|group| groups.last[*group as usize]);
        let ordered = UInt32Array::from(order.clone());
        let first: UInt32Array = order.iter().map(|group| groups.first[*group as usize]).collect::<Vec<_>>().into();
        let column = |(column, output): (&ArrayRef, &CompiledOutput)| -> Result<ArrayRef> {
            let Some(aggregate) = output.aggregate else { return Ok(take(column, &first, None)?) };
            let parts = part(aggregate, column, &groups)?;
            output.convert.run(take(&parts, &ordered, None)?)
        };
        let results = columns.iter().zip(&self.outputs).map(|(array, output)| {
            column((array, output)).map_err(|error| Failure { place: output.place.clone(), error })
        });
        let columns = results.collect::<Result<_, _>>()?;
        let picks =
            order.iter().map(|group| piece.picks[range.start + groups.last[*group as usize] as usize]).collect();
        Ok(Piece { columns, picks, ..Piece::default() })
    }
}

fn groups(keys: &[ArrayRef], rows: usize) -> Result<Groups> {
    let converter = RowConverter::new(keys.iter().map(|key| SortField::new(key.data_type().clone())).collect())?;
    let encoded = converter.convert_columns(keys)?;
    let mut known: HashMap<Row<'_>, u32> = HashMap::new();
    let mut groups = Groups { of_row: Vec::with_capacity(rows), first: Vec::new(), last: Vec::new() };
    for row in 0..rows {
        let next = groups.first.len() as u32;
        let group = *known.entry(encoded.row(row)).or_insert(next);
        if group == next {
            groups.first.push(row as u32);
            groups.last.push(row as u32);
        } else {
            groups.last[group as usize] = row as u32;
        }
        groups.of_row.push(group);
    }
    Ok(groups)
}

/// The part of one aggregate, by group.
fn part(aggregate: Aggregate, values: &ArrayRef, groups: &Groups) -> Result<ArrayRef> {
    match aggregate {
        Aggregate::Count => Ok(count(values, groups)),
        Aggregate::Sum => sum(values, groups),
        Aggregate::Min => extreme(values, groups, |new, best| new < best),
        Aggregate::Max => extreme(values, groups, |new, best| new > best),
        Aggregate::BitOr => bit_or(values, groups),
        // The SQL's front makes a statement with one of them row-wise.
        Aggregate::First | Aggregate::Last | Aggregate::JsonMerge => {
            Err(DataFusionError::Internal(format!("{} within a batch", aggregate.name())))
        }
    }
}

fn count(values: &ArrayRef, groups: &Groups) -> ArrayRef {
    let nulls = values.logical_nulls();
    let mut counts = vec![0i64; groups.first.len()];
    for (row, group) in groups.of_row.iter().enumerate() {
        if nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row)) {
            counts[*group as usize] += 1;
        }
    }
    Arc::new(Int64Array::from(counts))
}

fn beyond() -> DataFusionError {
    DataFusionError::External(Box::new(RowError {
        class: "out-of-range",
        what: "the sum is beyond the range of its type",
    }))
}

/// Folds the values of each group that are not null.
fn fold<T: ArrowPrimitiveType, S: Copy>(
    values: &PrimitiveArray<T>,
    groups: &Groups,
    add: impl Fn(Option<S>, T::Native) -> Option<S>,
) -> Result<Vec<Option<S>>> {
    let mut parts: Vec<Option<S>> = vec![None; groups.first.len()];
    for (row, group) in groups.of_row.iter().enumerate() {
        if values.is_valid(row) {
            let part = &mut parts[*group as usize];
            *part = Some(add(*part, values.value(row)).ok_or_else(beyond)?);
        }
    }
    Ok(parts)
}

fn sum(values: &ArrayRef, groups: &Groups) -> Result<ArrayRef> {
    Ok(match values.data_type() {
        DataType::Decimal32(_, scale) | DataType::Decimal64(_, scale) | DataType::Decimal128(_, scale) => {
            let values = arrow_cast::cast(values, &DataType::Decimal128(38, *scale))?;
            let add = |part: Option<i128>, value: i128| part.unwrap_or(0).checked_add(value);
            let sums: Decimal128Array =
                fold(values.as_primitive::<Decimal128Type>(), groups, add)?.into_iter().collect();
            Arc::new(sums.with_precision_and_scale(38, *scale)?)
        }
        DataType::Decimal256(_, scale) => {
            let add = |part: Option<i256>, value: i256| part.unwrap_or(i256::ZERO).checked_add(value);
            let sums: Decimal256Array =
                fold(values.as_primitive::<Decimal256Type>(), groups, add)?.into_iter().collect();
            Arc::new(sums.with_precision_and_scale(76, *scale)?)
        }
        DataType::Float16 | DataType::Float32 | DataType::Float64 => {
            let values = arrow_cast::cast(values, &DataType::Float64)?;
            let add = |part: Option<f64>, value: f64| Some(part.unwrap_or(0.0) + value);
            Arc::new(fold(values.as_primitive::<Float64Type>(), groups, add)?.into_iter().collect::<Float64Array>())
        }
        // 2^63 times as many rows as a batch can have would still fit.
        ty if is_signed(ty) => {
            let values = arrow_cast::cast(values, &DataType::Int64)?;
            let add = |part: Option<i128>, value: i64| part.unwrap_or(0).checked_add(i128::from(value));
            integers(fold(values.as_primitive::<Int64Type>(), groups, add)?)?
        }
        _ => {
            let values = arrow_cast::cast(values, &DataType::UInt64)?;
            let add = |part: Option<i128>, value: u64| part.unwrap_or(0).checked_add(i128::from(value));
            integers(fold(values.as_primitive::<UInt64Type>(), groups, add)?)?
        }
    })
}

fn integers(sums: Vec<Option<i128>>) -> Result<ArrayRef> {
    let sums: Decimal128Array = sums.into_iter().collect();
    Ok(Arc::new(sums.with_precision_and_scale(38, 0)?))
}

fn bit_or(values: &ArrayRef, groups: &Groups) -> Result<ArrayRef> {
    Ok(match is_signed(values.data_type()) {
        true => {
            let values = arrow_cast::cast(values, &DataType::Int64)?;
            let or = |part: Option<i64>, value: i64| Some(part.unwrap_or(0) | value);
            Arc::new(fold(values.as_primitive::<Int64Type>(), groups, or)?.into_iter().collect::<Int64Array>())
        }
        false => {
            let values = arrow_cast::cast(values, &DataType::UInt64)?;
            let or = |part: Option<u64>, value: u64| Some(part.unwrap_or(0) | value);
            Arc::new(fold(values.as_primitive::<UInt64Type>(), groups, or)?.into_iter().collect::<UInt64Array>())
        }
    })
}

/// The smallest or largest value, in the order of its type: texts by their bytes, NaN above all numbers.
fn extreme(values: &ArrayRef, groups: &Groups, is_better: impl Fn(&Row, &Row) -> bool) -> Result<ArrayRef> {
    let nulls = values.logical_nulls();
    let converter = RowConverter::new(vec![SortField::new(values.data_type().clone())])?;
    let encoded = converter.convert_columns(std::slice::from_ref(values))?;
    let mut best: Vec<Option<u32>> = vec![None; groups.first.len()];
    for (row, group) in groups.of_row.iter().enumerate() {
        if nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
            continue;
        }
        let best = &mut best[*group as usize];
        if best.is_none_or(|best| is_better(&encoded.row(row), &encoded.row(best as usize))) {
            *best = Some(row as u32);
        }
    }
    Ok(take(values, &UInt32Array::from(best), None)?)
}
