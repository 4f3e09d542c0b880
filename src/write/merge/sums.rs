//! Numbers added up. Nothing wraps: what the column's type cannot hold is told.

use std::sync::Arc;

use arrow_array::builder::PrimitiveBuilder;
use arrow_array::cast::AsArray;
use arrow_array::types::{
    Decimal128Type, Decimal256Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type,
    UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef, ArrowPrimitiveType, StringArray};
use arrow_buffer::i256;
use arrow_schema::DataType;

use super::decimal::Exact;
use super::{Folded, Runs};

/// The sum of each run. With `fill` a run without a value is 0, for a column that takes no null; else null.
///
/// # Panics
/// On a type that is no number: the planner lets none in.
pub fn sum(array: &ArrayRef, runs: &Runs, fill: bool) -> Folded {
    macro_rules! integers {
        ($type:ty) => {
            fold::<$type, i128>(array, runs, fill, i128::from, i128::checked_add, |sum| sum.try_into().ok())
        };
    }
    match array.data_type() {
        DataType::Int8 => integers!(Int8Type),
        DataType::Int16 => integers!(Int16Type),
        DataType::Int32 => integers!(Int32Type),
        DataType::Int64 => integers!(Int64Type),
        DataType::UInt8 => integers!(UInt8Type),
        DataType::UInt16 => integers!(UInt16Type),
        DataType::UInt32 => integers!(UInt32Type),
        DataType::UInt64 => integers!(UInt64Type),
        DataType::Decimal128(precision, _) => {
            let limit = ten_to(*precision);
            let end = |sum: i256| if is_below(sum, limit) { sum.to_i128() } else { None };
            fold::<Decimal128Type, i256>(array, runs, fill, i256::from_i128, i256::checked_add, end)
        }
        DataType::Decimal256(precision, _) => {
            let limit = ten_to(*precision);
            let end = |sum: i256| is_below(sum, limit).then_some(sum);
            fold::<Decimal256Type, i256>(array, runs, fill, |value| value, i256::checked_add, end)
        }
        DataType::Float32 => {
            let end = |sum: Float| sum.within(f64::from(f32::MAX)).map(|value| value as f32);
            fold::<Float32Type, Float>(array, runs, fill, |value| Float::from(f64::from(value)), Float::add, end)
        }
        DataType::Float64 => {
            fold::<Float64Type, Float>(array, runs, fill, Float::from, Float::add, |sum| sum.within(f64::MAX))
        }
        DataType::Utf8 => texts(array, runs, fill),
        other => panic!("the planner adds no {other} up"),
    }
}

/// All bits that any value of a run has.
///
/// # Panics
/// On a type that is no whole number: the planner lets none in.
pub fn bit_or(array: &ArrayRef, runs: &Runs, fill: bool) -> Folded {
    macro_rules! integers {
        ($type:ty) => {
            fold::<$type, _>(array, runs, fill, |value| value, |a, b| Some(a | b), Some)
        };
    }
    match array.data_type() {
        DataType::Int8 => integers!(Int8Type),
        DataType::Int16 => integers!(Int16Type),
        DataType::Int32 => integers!(Int32Type),
        DataType::Int64 => integers!(Int64Type),
        DataType::UInt8 => integers!(UInt8Type),
        DataType::UInt16 => integers!(UInt16Type),
        DataType::UInt32 => integers!(UInt32Type),
        DataType::UInt64 => integers!(UInt64Type),
        other => panic!("the planner asks for no bits of {other}"),
    }
}

fn ten_to(precision: u8) -> i256 {
    // 76 digits at most, which i256 holds.
    i256::from_i128(10).wrapping_pow(u32::from(precision))
}

fn is_below(sum: i256, limit: i256) -> bool {
    sum < limit && sum > limit.wrapping_neg()
}

/// `A` is wide enough that a sum leaves and re-enters the type's range without a trace.
fn fold<T: ArrowPrimitiveType, A: Copy>(
    array: &ArrayRef,
    runs: &Runs,
    fill: bool,
    start: impl Fn(T::Native) -> A,
    add: impl Fn(A, A) -> Option<A>,
    end: impl Fn(A) -> Option<T::Native>,
) -> Folded {
    let values = array.as_primitive::<T>();
    let mut sums = PrimitiveBuilder::<T>::with_capacity(runs.len()).with_data_type(array.data_type().clone());
    let mut overflows = Vec::new();
    for run in runs.iter() {
        let mut sum: Option<A> = None;
        let mut last = 0;
        for &row in run.iter().filter(|&&row| values.is_valid(row as usize)) {
            let value = start(values.value(row as usize));
            last = row;
            sum = match sum {
                None => Some(value),
                Some(sum) => Some(add(sum, value).unwrap_or_else(|| {
                    overflows.push(row);
                    sum
                })),
            };
        }
        match sum.map(&end) {
            Some(Some(value)) => sums.append_value(value),
            Some(None) => {
                overflows.push(last);
                sums.append_null();
            }
            None if fill => sums.append_value(T::default_value()),
            None => sums.append_null(),
        }
    }
    Folded { array: Arc::new(sums.finish()), overflows }
}

/// A sum, and whether all of its values were finite: then it must be, too.
#[derive(Clone, Copy)]
struct Float {
    sum: f64,
    finite: bool,
}

impl From<f64> for Float {
    fn from(value: f64) -> Self {
        Self { sum: value, finite: value.is_finite() }
    }
}

impl Float {
    fn add(self, other: Self) -> Option<Self> {
        Some(Self { sum: self.sum + other.sum, finite: self.finite && other.finite })
    }

    fn within(self, most: f64) -> Option<f64> {
        (!self.finite || self.sum.abs() <= most).then_some(self.sum)
    }
}

/// Decimals beyond what Arrow holds.
fn texts(array: &ArrayRef, runs: &Runs, fill: bool) -> Folded {
    let values = array.as_string::<i32>();
    let mut overflows = Vec::new();
    let sums: StringArray = runs
        .iter()
        .map(|run| {
            let mut sum: Option<Exact> = None;
            for &row in run.iter().filter(|&&row| values.is_valid(row as usize)) {
                match Exact::parse(values.value(row as usize)) {
                    Some(value) => sum = Some(sum.unwrap_or_else(Exact::zero).plus(value)),
                    None => overflows.push(row),
                }
            }
            sum.or_else(|| fill.then(Exact::zero)).map(|sum| sum.to_string())
        })
        .collect();
    Folded { array: Arc::new(sums), overflows }
}
