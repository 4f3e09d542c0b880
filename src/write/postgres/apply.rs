//! Runs the steps: binary COPY where rows are only added, arrays through UNNEST everywhere else.

use std::sync::Arc;

use arrow_array::Array;
use sqlx::PgConnection;

use crate::config::Mode;
use crate::retry::Disposition;
use crate::write::catalog::CatalogColumn;
use crate::write::error::WriteError;
use crate::write::plan::{DeletePlan, TablePlan};
use crate::write::step::{Action, Step};

use super::encode::{Cells, Target, Unwritable, write_array_header};
use super::errors::{copy_line, write_error};
use super::query::{Binary, dynamic};
use super::statements;
use super::wire::{Parameter, is_copyable};

/// Rows and bytes of one statement: beyond them a statement gains nothing and only grows its message.
const STATEMENT_ROWS: usize = 10_000;
const STATEMENT_BYTES: usize = 8 << 20;
/// A piece of a COPY: the server parses one while the next is encoded.
const COPY_BYTES: usize = 1 << 20;

/// The header of a binary COPY: signature, flags, length of the extension.
const COPY_HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
const COPY_END: [u8; 2] = (-1_i16).to_be_bytes();

/// Is every column of the step one that a binary COPY can carry, and are rows only added?
pub(super) fn is_copy(plan: &TablePlan, step: &Step) -> bool {
    step.action == Action::Put
        && plan.mode == Mode::Append
        && step.columns.iter().all(|&column| is_copyable(&plan.columns[column].column))
}

/// The statement of an action over rows that have `columns`, for people.
pub fn statement(plan: &TablePlan, action: Action, columns: &[usize]) -> Option<String> {
    let is_copyable = columns.iter().all(|&column| is_copyable(&plan.columns[column].column));
    if action == Action::Put && plan.mode == Mode::Append && is_copyable {
        return Some(statements::copy(plan, columns));
    }
    let mark = mark(plan, action);
    let targets = columns.iter().map(|&column| &plan.columns[column].column).chain(mark);
    let parameters = targets.map(Parameter::of).collect::<Option<Vec<_>>>()?;
    Some(sql(plan, action, columns, mark, &parameters))
}

fn mark(plan: &TablePlan, action: Action) -> Option<&CatalogColumn> {
    match &plan.deletes {
        DeletePlan::Soft(mark) if action == Action::SoftDelete => Some(mark),
        _ => None,
    }
}

fn sql(
    plan: &TablePlan,
    action: Action,
    columns: &[usize],
    mark: Option<&CatalogColumn>,
    parameters: &[Parameter],
) -> String {
    match (action, mark) {
        (Action::Put, _) => statements::put(plan, columns, parameters),
        (Action::Patch, _) => super::merge::patch(plan, columns, parameters),
        (Action::SoftDelete, Some(mark)) => statements::soft_delete(plan, mark, columns, parameters),
        (Action::Delete | Action::Replace | Action::SoftDelete, _) => statements::delete(plan, columns, parameters),
    }
}

/// Returns how many rows the server says it changed.
pub(super) async fn apply(connection: &mut PgConnection, plan: &TablePlan, step: &Step) -> Result<u64, WriteError> {
    let mut columns: Vec<&CatalogColumn> = step.columns.iter().map(|&column| &plan.columns[column].column).collect();
    let mark = mark(plan, step.action);
    columns.extend(mark);
    let parameters = columns.iter().map(|column| Parameter::of(column).ok_or_else(|| mismatch(column)));
    let parameters: Vec<Parameter> = parameters.collect::<Result<_, _>>()?;
    let sql = sql(plan, step.action, &step.columns, mark, &parameters);
    let changed = run_in_chunks(connection, sql.into(), step, &columns, &parameters).await?;
    let is_counted = step.action != Action::Put || !statements::leaves_stored_row(plan, &step.columns);
    Ok(if is_counted { changed } else { step.batch.num_rows() as u64 })
}

async fn run_in_chunks(
    connection: &mut PgConnection,
    sql: Arc<str>,
    step: &Step,
    columns: &[&CatalogColumn],
    parameters: &[Parameter],
) -> Result<u64, WriteError> {
    let cells = cells(step, columns, Target::Element)?;
    let mut arrays: Vec<Vec<u8>> = vec![Vec::new(); cells.len()];
    let (mut changed, mut start) = (0, 0);
    while start < step.batch.num_rows() {
        let end = fill(&mut arrays, start, step, columns, &cells, parameters)?;
        let mut query = dynamic(sql.clone());
        for (array, parameter) in arrays.iter().zip(parameters) {
            query = query.bind(Binary { oid: parameter.array, bytes: array });
        }
        changed += query.execute(&mut *connection).await.map_err(write_error)?.rows_affected();
        start = end;
    }
    Ok(changed)
}

/// Encodes rows from `start` into one array per column until a limit is reached; returns where it stopped.
pub(super) fn fill(
    arrays: &mut [Vec<u8>],
    start: usize,
    step: &Step,
    columns: &[&CatalogColumn],
    cells: &[Cells<'_>],
    parameters: &[Parameter],
) -> Result<usize, WriteError> {
    let rows = step.batch.num_rows();
    for (array, parameter) in arrays.iter_mut().zip(parameters) {
        array.clear();
        write_array_header(parameter.element, 1, true, array);
    }
    let mut end = start;
    while end < rows && end - start < STATEMENT_ROWS && arrays.iter().map(Vec::len).sum::<usize>() < STATEMENT_BYTES {
        for (index, array) in arrays.iter_mut().enumerate() {
            cells[index].write(end, array).map_err(|error| unwritable(error, columns[index], step, end))?;
        }
        end += 1;
    }
    let mut header = Vec::new();
    for (array, parameter) in arrays.iter_mut().zip(parameters) {
        header.clear();
        write_array_header(parameter.element, end - start, true, &mut header);
        array[..header.len()].copy_from_slice(&header);
    }
    Ok(end)
}

/// Adds the rows of an append. On any error but a clean answer of the server the connection is not usable any more: a
/// COPY that was left halfway makes every later answer belong to an earlier question.
pub(super) async fn copy(connection: &mut PgConnection, plan: &TablePlan, step: &Step) -> Result<u64, WriteError> {
    let columns: Vec<&CatalogColumn> = step.columns.iter().map(|&column| &plan.columns[column].column).collect();
    let cells = cells(step, &columns, Target::Copy)?;
    let sql = statements::copy(plan, &step.columns);
    let mut copy = connection.copy_in_raw(&sql).await.map_err(write_error)?;
    let mut buffer = COPY_HEADER.to_vec();
    for row in 0..step.batch.num_rows() {
        if let Err(error) = encode_tuple(row, step, &columns, &cells, &mut buffer) {
            copy.abort("a value has no form in PostgreSQL").await.map_err(write_error)?;
            return Err(error);
        }
        if buffer.len() >= COPY_BYTES {
            copy.send(&buffer[..]).await.map_err(write_error)?;
            buffer.clear();
        }
    }
    buffer.extend_from_slice(&COPY_END);
    copy.send(&buffer[..]).await.map_err(write_error)?;
    copy.finish().await.map_err(|error| {
        let row = copy_line(&error, &plan.table.name).and_then(|line| line.checked_sub(1));
        let suspect = row.and_then(|row| step.origins.get(row).copied());
        WriteError { suspect, ..write_error(error) }
    })
}

fn encode_tuple(
    row: usize,
    step: &Step,
    columns: &[&CatalogColumn],
    cells: &[Cells<'_>],
    buffer: &mut Vec<u8>,
) -> Result<(), WriteError> {
    // A table has at most 1600 columns.
    buffer.extend_from_slice(&(cells.len() as i16).to_be_bytes());
    for (index, cell) in cells.iter().enumerate() {
        cell.write(row, buffer).map_err(|error| unwritable(error, columns[index], step, row))?;
    }
    Ok(())
}

pub(super) fn cells<'a>(
    step: &'a Step,
    columns: &[&CatalogColumn],
    target: Target,
) -> Result<Vec<Cells<'a>>, WriteError> {
    let arrays = step.batch.columns();
    let pairs = columns.iter().zip(arrays);
    pairs.map(|(column, array)| cell(column, array, target).ok_or_else(|| mismatch(column))).collect()
}

fn cell<'a>(column: &CatalogColumn, array: &'a Arc<dyn Array>, target: Target) -> Option<Cells<'a>> {
    Cells::new(column, array.as_ref(), target)
}

fn unwritable(error: Unwritable, column: &CatalogColumn, step: &Step, row: usize) -> WriteError {
    let text = format!("{} (column {:?})", error.0, column.name);
    let mut error = WriteError::new(Disposition::Isolate, "out-of-range", "", text).on_column(&column.name).answered();
    error.suspect = step.origins.get(row).copied();
    error
}

/// The rows and the plan disagree about a type: a fault of this program, which must not pass for one of a record.
pub(super) fn mismatch(column: &CatalogColumn) -> WriteError {
    let text =
        format!("the rows do not have the type of column {:?} ({}); please report it", column.name, column.native);
    WriteError::new(Disposition::Block, "internal", "", text).on_column(&column.name).answered()
}
