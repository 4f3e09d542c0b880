//! Reads back the rows that a transaction merged into.

use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Arguments, AssertSqlSafe, Row, SqliteConnection, TypeInfo, ValueRef};

use crate::write::error::WriteError;
use crate::write::merged::Stored;
use crate::write::plan::TablePlan;
use crate::write::step::Step;

use super::errors::write_error;
use super::merge::select;
use super::statements::rows_of_next_statement;

pub(super) async fn read(
    connection: &mut SqliteConnection,
    plan: &TablePlan,
    keys: &Step,
    columns: &[usize],
) -> Result<Vec<Stored>, WriteError> {
    let cells = super::cells(plan, keys)?;
    // The statement takes the key in the plan's order.
    let place = |column: &usize| keys.columns.iter().position(|have| have == column);
    let cells: Vec<_> = plan.key.iter().filter_map(place).map(|place| &cells[place]).collect();
    let total = keys.batch.num_rows();
    let mut stored = Vec::with_capacity(total);
    let mut next = 0;
    while next < total {
        let rows = rows_of_next_statement(total - next, cells.len() + 1);
        let mut arguments = SqliteArguments::default();
        for row in next..next + rows {
            for cell in &cells {
                cell.bind(row, &mut arguments)?;
            }
            arguments.add(row as i64).expect("a number always encodes");
        }
        let query = sqlx::query_with(AssertSqlSafe(select(plan, columns, rows)), arguments);
        for found in query.fetch_all(&mut *connection).await.map_err(write_error)? {
            let row: i64 = found.try_get(0).map_err(write_error)?;
            let values = (0..columns.len()).map(|index| text(&found, index + 1)).collect::<Result<_, _>>();
            stored.push(Stored { row: row as u32, values: values.map_err(write_error)? });
        }
        next += rows;
    }
    Ok(stored)
}

/// A value as text, whatever it is stored as.
fn text(row: &SqliteRow, index: usize) -> Result<Option<String>, sqlx::Error> {
    let raw = row.try_get_raw(index)?;
    if raw.is_null() {
        return Ok(None);
    }
    let kind = raw.type_info().name().to_owned();
    Ok(Some(match kind.as_str() {
        "INTEGER" | "BOOLEAN" => row.try_get_unchecked::<i64, _>(index)?.to_string(),
        // Reads back as the same number.
        "REAL" => row.try_get_unchecked::<f64, _>(index)?.to_string(),
        "BLOB" => hex::encode(row.try_get_unchecked::<Vec<u8>, _>(index)?),
        _ => row.try_get_unchecked(index)?,
    }))
}
