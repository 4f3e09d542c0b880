//! `mode = "merge"`: what a partial row and the stored one become together.
//!
//! SQLite turns a whole number that leaves 64 bits into an inexact one, and stores decimals as text. So sums, and the
//! extremes of decimals, are made here of the stored values: BEGIN IMMEDIATE keeps every other writer out, so what was
//! read is what is stored. Everything else is SQLite's own expression.

use std::sync::Arc;

use arrow_array::builder::PrimitiveBuilder;
use arrow_array::types::{
    Decimal128Type, Decimal256Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type,
    UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{ArrayRef, ArrowPrimitiveType, RecordBatch, StringArray};
use arrow_buffer::i256;
use arrow_schema::DataType;
use arrow_select::concat::concat;
use arrow_select::take::take;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Arguments, AssertSqlSafe, Row, SqliteConnection, TypeInfo, ValueRef};

use crate::config::Mode;
use crate::retry::Disposition;
use crate::write::error::WriteError;
use crate::write::merge::{self, Exact, Folded, Runs};
use crate::write::plan::{Merge, TablePlan};
use crate::write::step::{Action, Step};

use super::errors::write_error;
use super::statements::{places, quoted, rows_of_next_statement};

/// The end of the insert of partial rows. Every assignment sees the stored row as it was.
pub(super) fn on_conflict(plan: &TablePlan, columns: &[usize], made_here: &[usize]) -> String {
    let name = |column: usize| quoted(&plan.columns[column].column.name);
    let key: Vec<String> = plan.key.iter().map(|&column| name(column)).collect();
    let set = |&column: &usize| {
        let value = match made_here.contains(&column) {
            true => format!("excluded.{}", name(column)),
            false => value(plan, column)?,
        };
        Some(format!("{} = {value}", name(column)))
    };
    let sets: Vec<String> = columns.iter().filter_map(set).collect();
    if sets.is_empty() {
        return format!(" ON CONFLICT ({}) DO NOTHING", key.join(", "));
    }
    format!(" ON CONFLICT ({}) DO UPDATE SET {}", key.join(", "), sets.join(", "))
}

fn value(plan: &TablePlan, column: usize) -> Option<String> {
    let name = quoted(&plan.columns[column].column.name);
    let both = |value: &str| format!("coalesce({value}, t.{name}, excluded.{name})");
    Some(match plan.merge(column)? {
        Merge::Sum => both(&format!("t.{name} + excluded.{name}")),
        // Both are null where one of the values is.
        Merge::Min => both(&format!("min(t.{name}, excluded.{name})")),
        Merge::Max => both(&format!("max(t.{name}, excluded.{name})")),
        Merge::BitOr => both(&format!("t.{name} | excluded.{name}")),
        Merge::JsonMerge => return None,
        Merge::First { .. } | Merge::Last { .. } | Merge::Order { .. } => {
            format!("CASE WHEN {} THEN excluded.{name} ELSE t.{name} END", wins(plan, column)?)
        }
    })
}

/// Is the partial row's first or last value, and its order, the one to keep?
fn wins(plan: &TablePlan, column: usize) -> Option<String> {
    let by = plan.order_of(column)?;
    let Merge::Order { lead, last } = plan.merge(by)? else { return None };
    let (lead, by) = (quoted(&plan.columns[lead].column.name), quoted(&plan.columns[by].column.name));
    Some(if last {
        format!("excluded.{lead} IS NOT NULL AND (t.{lead} IS NULL OR t.{by} IS NULL OR excluded.{by} >= t.{by})")
    } else {
        format!(
            "excluded.{lead} IS NOT NULL AND (t.{lead} IS NULL OR excluded.{by} < t.{by} \
             OR (t.{by} IS NULL AND excluded.{by} IS NOT NULL))"
        )
    })
}

/// What an update by RFC 7396 patches sets; the patches are values of `v`.
pub(super) fn patches(plan: &TablePlan, columns: &[usize]) -> String {
    let documents = columns.iter().enumerate().filter(|(_, column)| !plan.is_key(**column));
    let sets = documents.map(|(index, &column)| {
        let (name, patch) = (quoted(&plan.columns[column].column.name), format!("v.column{}", index + 1));
        format!(
            "{name} = CASE WHEN {patch} IS NULL THEN t.{name} ELSE json_patch(coalesce(t.{name}, '{{}}'), {patch}) END"
        )
    });
    sets.collect::<Vec<_>>().join(", ")
}

/// The columns of a step that are made here of what is stored, and not by an expression of SQLite.
pub(super) fn made_here(plan: &TablePlan, step: &Step) -> Vec<usize> {
    if plan.mode != Mode::Merge || step.action != Action::Put {
        return Vec::new();
    }
    let is_made_here = |&(column, array): &(usize, &ArrayRef)| match plan.merge(column) {
        Some(Merge::Sum) => true,
        // SQLite would compare them as texts.
        Some(Merge::Min | Merge::Max) => is_number(array.data_type()) && !has_numbers(plan, column),
        _ => false,
    };
    step.columns.iter().copied().zip(step.batch.columns()).filter(is_made_here).map(|(column, _)| column).collect()
}

fn is_number(ty: &DataType) -> bool {
    // Of texts only decimals have an extreme.
    ty.is_numeric() || *ty == DataType::Utf8
}

/// Does SQLite store the column's values as its own numbers?
fn has_numbers(plan: &TablePlan, column: usize) -> bool {
    use crate::types::ColumnType::{Float64, Int64, UInt64};
    matches!(plan.columns[column].column.ty, Some(Int64 | UInt64 | Float64))
}

/// The step with the stored values in it, where some are [made here](made_here).
pub(super) async fn with_stored(
    connection: &mut SqliteConnection,
    plan: &TablePlan,
    step: &Step,
    columns: &[usize],
) -> Result<Option<Step>, WriteError> {
    if columns.is_empty() {
        return Ok(None);
    }
    let stored = read(connection, plan, step, columns).await?;
    let mut arrays = step.batch.columns().to_vec();
    for (&column, values) in columns.iter().zip(stored) {
        let Some(place) = step.columns.iter().position(|&have| have == column) else { continue };
        arrays[place] = add(plan, step, column, &arrays[place], &values)?;
    }
    let batch = RecordBatch::try_new(step.batch.schema(), arrays).expect("arrays of the same types and lengths");
    Ok(Some(Step { batch, columns: step.columns.clone(), origins: step.origins.clone(), action: step.action }))
}

/// One stored and one partial value per row -> their sum or extreme.
fn add(
    plan: &TablePlan,
    step: &Step,
    column: usize,
    partial: &ArrayRef,
    stored: &[Option<Stored>],
) -> Result<ArrayRef, WriteError> {
    let name = &plan.columns[column].column.name;
    let stored = array(partial.data_type(), stored).ok_or_else(|| {
        let message = format!(
            "column {name}: what is stored in it is not of its type, or out of its range, so nothing can be added to \
             it: correct the row"
        );
        WriteError::new(Disposition::Block, "stored-value", "", message).answered().on_column(name)
    })?;
    let rows = partial.len() as u32;
    let both = concat(&[&stored, partial]).expect("arrays of one type");
    let mut runs = Runs::default();
    (0..rows).for_each(|row| runs.push(&[row, rows + row]));
    let merge = plan.merge(column);
    if merge != Some(Merge::Sum) {
        let chosen = merge::extreme(&both, merge == Some(Merge::Max), &runs);
        return Ok(take(&both, &chosen, None).expect("rows of the array itself"));
    }
    let Folded { array, overflows } = merge::sum(&both, &runs, false);
    let Some(row) = overflows.first() else { return Ok(array) };
    let message = format!("column {name}: the sum with what is stored is out of range");
    let mut error = WriteError::new(Disposition::Isolate, "out-of-range", "", message).answered().on_column(name);
    error.suspect = step.origins.get((row % rows) as usize).copied();
    Err(error)
}

/// A stored value, as it is stored.
enum Stored {
    Integer(i64),
    Real(f64),
    Text(String),
}

/// The stored values of `columns`, for each row of the step; none where there is no such row yet.
async fn read(
    connection: &mut SqliteConnection,
    plan: &TablePlan,
    step: &Step,
    columns: &[usize],
) -> Result<Vec<Vec<Option<Stored>>>, WriteError> {
    let total = step.batch.num_rows();
    let mut stored: Vec<Vec<Option<Stored>>> = columns.iter().map(|_| (0..total).map(|_| None).collect()).collect();
    let all = super::cells(plan, step)?;
    let keys: Vec<usize> = plan.key.clone();
    let place = |column: &usize| step.columns.iter().position(|have| have == column);
    let cells: Vec<_> = keys.iter().filter_map(place).map(|place| &all[place]).collect();
    let mut next = 0;
    while next < total {
        let rows = rows_of_next_statement(total - next, keys.len() + 1);
        let mut arguments = SqliteArguments::default();
        for row in next..next + rows {
            for cell in &cells {
                let bound = cell.bind(row, &mut arguments);
                bound.map_err(|error| WriteError { suspect: step.origins.get(row).copied(), ..error })?;
            }
            arguments.add(row as i64).expect("a number always encodes");
        }
        let query = sqlx::query_with(AssertSqlSafe(select(plan, columns, rows)), arguments);
        for found in query.fetch_all(&mut *connection).await.map_err(write_error)? {
            let row: i64 = found.try_get(0).map_err(write_error)?;
            for (index, values) in stored.iter_mut().enumerate() {
                values[row as usize] = value_of(&found, index + 1).map_err(write_error)?;
            }
        }
        next += rows;
    }
    Ok(stored)
}

/// The keys come with the numbers of their rows. CROSS JOIN: SQLite looks each key up, in this order.
pub(super) fn select(plan: &TablePlan, columns: &[usize], rows: usize) -> String {
    let name = |column: usize| quoted(&plan.columns[column].column.name);
    let mut sql = format!("SELECT v.column{}", plan.key.len() + 1);
    columns.iter().for_each(|&column| sql.push_str(&format!(", t.{}", name(column))));
    sql.push_str(" FROM (VALUES ");
    places(&mut sql, rows, plan.key.len() + 1, None);
    let keys = plan.key.iter().enumerate().map(|(index, &key)| format!("t.{} = v.column{}", name(key), index + 1));
    let keys: Vec<String> = keys.collect();
    sql.push_str(&format!(") AS v CROSS JOIN {} AS t WHERE {}", quoted(&plan.table.name), keys.join(" AND ")));
    sql
}

fn value_of(row: &SqliteRow, index: usize) -> Result<Option<Stored>, sqlx::Error> {
    let raw = row.try_get_raw(index)?;
    if raw.is_null() {
        return Ok(None);
    }
    let kind = raw.type_info().name().to_owned();
    Ok(Some(match kind.as_str() {
        "INTEGER" | "BOOLEAN" => Stored::Integer(row.try_get_unchecked(index)?),
        "REAL" => Stored::Real(row.try_get_unchecked(index)?),
        _ => Stored::Text(row.try_get_unchecked(index)?),
    }))
}

/// Stored values in the type that the partial ones have; `None` where one does not fit into it.
fn array(ty: &DataType, values: &[Option<Stored>]) -> Option<ArrayRef> {
    macro_rules! integers {
        ($type:ty) => {
            primitives::<$type>(ty, values, |value| match value {
                Stored::Integer(number) => (*number).try_into().ok(),
                Stored::Real(_) => None,
                Stored::Text(text) => text.parse().ok(),
            })
        };
    }
    match ty {
        DataType::Int8 => integers!(Int8Type),
        DataType::Int16 => integers!(Int16Type),
        DataType::Int32 => integers!(Int32Type),
        DataType::Int64 => integers!(Int64Type),
        DataType::UInt8 => integers!(UInt8Type),
        DataType::UInt16 => integers!(UInt16Type),
        DataType::UInt32 => integers!(UInt32Type),
        DataType::UInt64 => integers!(UInt64Type),
        DataType::Float32 => primitives::<Float32Type>(ty, values, |value| float(value).map(|value| value as f32)),
        DataType::Float64 => primitives::<Float64Type>(ty, values, float),
        DataType::Decimal128(_, scale) => {
            let scale = usize::try_from(*scale).ok()?;
            primitives::<Decimal128Type>(ty, values, |value| exact(value)?.unscaled(scale)?.parse().ok())
        }
        DataType::Decimal256(_, scale) => {
            let scale = usize::try_from(*scale).ok()?;
            primitives::<Decimal256Type>(ty, values, |value| i256::from_string(&exact(value)?.unscaled(scale)?))
        }
        DataType::Utf8 => {
            let text = |value: &Option<Stored>| match value {
                Some(value) => Some(Some(exact(value)?.to_string())),
                None => Some(None),
            };
            Some(Arc::new(values.iter().map(text).collect::<Option<StringArray>>()?))
        }
        _ => None,
    }
}

fn primitives<T: ArrowPrimitiveType>(
    ty: &DataType,
    values: &[Option<Stored>],
    convert: impl Fn(&Stored) -> Option<T::Native>,
) -> Option<ArrayRef> {
    let mut array = PrimitiveBuilder::<T>::with_capacity(values.len()).with_data_type(ty.clone());
    for value in values {
        match value {
            Some(value) => array.append_value(convert(value)?),
            None => array.append_null(),
        }
    }
    Some(Arc::new(array.finish()))
}

fn float(value: &Stored) -> Option<f64> {
    match value {
        Stored::Integer(number) => Some(*number as f64),
        Stored::Real(number) => Some(*number),
        Stored::Text(text) => text.parse().ok(),
    }
}

/// A binary floating-point number is not the decimal that it was meant to be.
fn exact(value: &Stored) -> Option<Exact> {
    match value {
        Stored::Integer(number) => Exact::parse(&number.to_string()),
        Stored::Real(_) => None,
        Stored::Text(text) => Exact::parse(text),
    }
}
