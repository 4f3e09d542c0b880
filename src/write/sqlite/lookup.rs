//! Rows of a lookup: the keys are parameters, the values come back as texts.

use arrow_array::ArrayRef;
use sqlx::sqlite::SqliteArguments;
use sqlx::{Arguments, AssertSqlSafe, Row, SqliteConnection};

use crate::lookup::Texts;
use crate::types::ColumnType;
use crate::write::catalog::CatalogColumn;
use crate::write::error::WriteError;
use crate::write::lookup::{LookupPlan, chunks};

use super::bind::Cells;
use super::errors::write_error;
use super::statements::quoted as quote;

pub(super) async fn rows(
    connection: &mut SqliteConnection,
    plan: &LookupPlan,
    keys: &[ArrayRef],
) -> Result<Vec<Texts>, WriteError> {
    let cells = plan.key_columns().zip(keys).map(|(column, keys)| Cells::new(keys, column));
    let cells: Vec<Cells<'_>> = cells.collect::<Result<_, _>>()?;
    let mut found = Vec::new();
    for chunk in chunks(keys) {
        // Few sizes, so that few statements are prepared: the last key fills up.
        // A number that SQLite cannot hold is no key of any row.
        let is_bindable =
            |row: &usize| cells.iter().all(|cell| cell.bind(*row, &mut SqliteArguments::default()).is_ok());
        let rows: Vec<usize> = chunk.filter(is_bindable).collect();
        let size = if rows.is_empty() { 0 } else { rows.len().next_power_of_two() };
        let mut arguments = SqliteArguments::default();
        arguments.reserve(size * cells.len(), 0);
        for index in 0..size {
            let row = rows[index.min(rows.len() - 1)];
            for cell in &cells {
                cell.bind(row, &mut arguments)?;
            }
        }
        let query = sqlx::query_with(AssertSqlSafe(statement(plan, size)), arguments);
        for row in query.fetch_all(&mut *connection).await.map_err(write_error)? {
            let texts = (0..plan.columns.len()).map(|column| row.try_get_unchecked(column)).collect::<Result<_, _>>();
            found.push(texts.map_err(write_error)?);
        }
    }
    Ok(found)
}

fn statement(plan: &LookupPlan, keys: usize) -> String {
    let texts: Vec<String> = plan.value_columns().map(text).collect();
    let names: Vec<String> = plan.key_columns().map(|column| quote(&column.name)).collect();
    let condition = match (keys, names.as_slice()) {
        (0, _) => "FALSE".to_owned(),
        (_, [name]) => format!("{name} IN ({})", vec!["?"; keys].join(", ")),
        (_, names) => {
            let row = format!("({})", vec!["?"; names.len()].join(", "));
            format!("({}) IN (VALUES {})", names.join(", "), vec![row; keys].join(", "))
        }
    };
    format!("SELECT {} FROM {} WHERE {condition}", texts.join(", "), quote(&plan.table.name))
}

/// A column in the form that plain text of its type is read in (docs/sqlite.md has the stored forms).
fn text(column: &CatalogColumn) -> String {
    let name = quote(&column.name);
    match &column.ty {
        Some(ColumnType::Bytes) => format!("iif({name} IS NULL, NULL, hex({name}))"),
        Some(ColumnType::Bool) => {
            format!("CASE WHEN {name} IS NULL THEN NULL WHEN {name} THEN 'true' ELSE 'false' END")
        }
        Some(ColumnType::Uuid) => format!("iif(typeof({name}) = 'blob', hex({name}), CAST({name} AS TEXT))"),
        // As text a REAL has 15 digits only.
        Some(ColumnType::Float32 | ColumnType::Float64) => {
            format!("iif(typeof({name}) = 'real', printf('%!.17g', {name}), CAST({name} AS TEXT))")
        }
        _ => format!("CAST({name} AS TEXT)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::write::catalog::CatalogTable;

    #[test]
    fn names_are_quoted_and_keys_are_parameters() {
        let column = |name: &str, ty| CatalogColumn {
            name: name.to_owned(),
            ty: Some(ty),
            native: "INTEGER".to_owned(),
            oid: 0,
            nullable: true,
            has_default: false,
            generated: false,
        };
        let columns = vec![column("id", ColumnType::Int64), column("a\"; DROP", ColumnType::Text)];
        let table = CatalogTable {
            schema: None,
            name: "customers".to_owned(),
            columns,
            unique: Vec::new(),
            unusable_unique: Vec::new(),
        };
        let plan = |key| LookupPlan { table: table.clone(), key, columns: vec![1] };
        let start = "SELECT CAST(\"a\"\"; DROP\" AS TEXT) FROM \"customers\" WHERE ";
        assert_eq!(statement(&plan(vec![0]), 2), format!("{start}\"id\" IN (?, ?)"));
        assert_eq!(statement(&plan(vec![0]), 0), format!("{start}FALSE"));
        assert_eq!(
            statement(&plan(vec![0, 1]), 2),
            format!("{start}(\"id\", \"a\"\"; DROP\") IN (VALUES (?, ?), (?, ?))")
        );
    }
}
