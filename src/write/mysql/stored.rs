//! Reads back the rows that a transaction merged into.

use sqlx::mysql::MySqlArguments;
use sqlx::{Arguments, AssertSqlSafe, Row};

use crate::types::ColumnType;
use crate::write::catalog::CatalogColumn;
use crate::write::error::WriteError;
use crate::write::merged::Stored;
use crate::write::plan::TablePlan;
use crate::write::step::Step;

use super::MySqlSession;
use super::apply::{columns as arrays, unstorable};
use super::chunks::Chunks;
use super::errors::write_error;
use super::statements::{TARGET, quote, read};

impl MySqlSession {
    /// A plain read: the rows are locked by this transaction, and READ COMMITTED sees what it wrote to them.
    pub(super) async fn read_back(
        &mut self,
        plan: &TablePlan,
        keys: &Step,
        columns: &[usize],
    ) -> Result<Vec<Stored>, WriteError> {
        let texts: Vec<String> = columns.iter().map(|&column| text(&plan.columns[column].column)).collect();
        let statement = read(self.flavor, plan, &keys.columns, &texts);
        let cells = arrays(plan, keys)?;
        let chunks = Chunks {
            placeholders_per_row: cells.len() + 1,
            sql_per_row: statement.row_length(),
            max_packet: self.max_packet,
        };
        let size = |row: usize| cells.iter().map(|cell| cell.size(row)).sum::<usize>();
        let total = keys.batch.num_rows();
        let mut stored = Vec::with_capacity(total);
        let mut from = 0;
        while from < total {
            let count = chunks.next(total - from, |row| size(from + row));
            let mut arguments = MySqlArguments::default();
            for row in from..from + count {
                for (cell, &column) in cells.iter().zip(&keys.columns) {
                    let name = plan.columns[column].column.name.as_str();
                    let bound = cell.bind(row, &self.types, &mut arguments);
                    bound.map_err(|cause| unstorable(cause, Some(name), keys.origins[row]))?;
                }
                arguments.add(row as i64).expect("a number always encodes");
            }
            let query = sqlx::query_with(AssertSqlSafe(statement.sql(count)), arguments);
            for found in query.fetch_all(&mut self.connection).await.map_err(write_error)? {
                let row: i64 = found.try_get_unchecked(0).map_err(write_error)?;
                let values =
                    (0..columns.len()).map(|index| found.try_get_unchecked(index + 1)).collect::<Result<_, _>>();
                stored.push(Stored { row: row as u32, values: values.map_err(write_error)? });
            }
            from += count;
        }
        Ok(stored)
    }
}

/// A value as text that loses nothing.
fn text(column: &CatalogColumn) -> String {
    let name = format!("{TARGET}.{}", quote(&column.name));
    match &column.ty {
        Some(ColumnType::Bytes) => format!("HEX({name})"),
        // A FLOAT's own text has six digits.
        Some(ColumnType::Float32 | ColumnType::Float64) => format!("CAST(CAST({name} AS DOUBLE) AS CHAR)"),
        _ if column.native.starts_with("bit") => format!("CAST(0 + {name} AS CHAR)"),
        _ => format!("CAST({name} AS CHAR)"),
    }
}
