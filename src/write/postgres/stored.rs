//! Reads back the rows that a transaction merged into.

use sqlx::{PgConnection, Row};

use crate::types::ColumnType;
use crate::write::catalog::CatalogColumn;
use crate::write::error::WriteError;
use crate::write::merged::Stored;
use crate::write::plan::TablePlan;
use crate::write::step::Step;

use super::apply::{cells, fill, mismatch};
use super::encode::Target;
use super::errors::write_error;
use super::query::{Binary, dynamic};
use super::statements::{key_equals, qualified, quote};
use super::wire::Parameter;

pub(super) async fn read(
    connection: &mut PgConnection,
    plan: &TablePlan,
    keys: &Step,
    columns: &[usize],
) -> Result<Vec<Stored>, WriteError> {
    let key: Vec<&CatalogColumn> = keys.columns.iter().map(|&column| &plan.columns[column].column).collect();
    let parameters = key.iter().map(|column| Parameter::of(column).ok_or_else(|| mismatch(column)));
    let parameters: Vec<Parameter> = parameters.collect::<Result<_, _>>()?;
    let sql: std::sync::Arc<str> = select(plan, &keys.columns, &parameters, columns).into();
    let cells = cells(keys, &key, Target::Element)?;
    let mut arrays: Vec<Vec<u8>> = vec![Vec::new(); cells.len()];
    let mut stored = Vec::with_capacity(keys.batch.num_rows());
    let mut start = 0;
    while start < keys.batch.num_rows() {
        let end = fill(&mut arrays, start, keys, &key, &cells, &parameters)?;
        let mut query = dynamic(sql.clone());
        for (array, parameter) in arrays.iter().zip(&parameters) {
            query = query.bind(Binary { oid: parameter.array, bytes: array });
        }
        for row in query.fetch_all(&mut *connection).await.map_err(write_error)? {
            let number: i64 = row.try_get(0).map_err(write_error)?;
            let values = (0..columns.len()).map(|index| row.try_get(index + 1)).collect::<Result<_, _>>();
            // Numbers count from 1, within the statement.
            stored.push(Stored { row: start as u32 + number as u32 - 1, values: values.map_err(write_error)? });
        }
        start = end;
    }
    Ok(stored)
}

/// The keys come with their numbers.
fn select(plan: &TablePlan, key: &[usize], parameters: &[Parameter], columns: &[usize]) -> String {
    let texts: Vec<String> = columns.iter().map(|&column| text(&plan.columns[column].column)).collect();
    let arrays: Vec<String> =
        parameters.iter().enumerate().map(|(index, item)| format!("${}::{}[]", index + 1, item.name)).collect();
    let names: Vec<String> = (0..parameters.len()).map(|index| format!("c{index}")).collect();
    format!(
        "SELECT u.n, {}\nFROM unnest({}) WITH ORDINALITY AS u({}, n)\nJOIN {} AS t ON {}",
        texts.join(", "),
        arrays.join(", "),
        names.join(", "),
        qualified(&plan.table),
        key_equals(plan, key, parameters)
    )
}

/// A value as text, whatever the role's settings of texts are.
fn text(column: &CatalogColumn) -> String {
    let name = quote(&column.name);
    match &column.ty {
        Some(ColumnType::Bytes) => format!("encode(t.{name}, 'hex')"),
        Some(ColumnType::Date | ColumnType::Timestamp | ColumnType::TimestampTz) => {
            format!("to_json(t.{name}) #>> '{{}}'")
        }
        _ => format!("t.{name}::text"),
    }
}
