//! Rows of a lookup: the keys are parameters, the values come back as texts.

use arrow_array::ArrayRef;
use sqlx::mysql::MySqlArguments;
use sqlx::{Arguments, AssertSqlSafe, Row};

use crate::lookup::Texts;
use crate::retry::Disposition;
use crate::types::ColumnType;
use crate::write::catalog::CatalogColumn;
use crate::write::error::WriteError;
use crate::write::lookup::{LookupPlan, chunks};

use super::MySqlSession;
use super::bind::{Column, Unstorable};
use super::errors::write_error;
use super::statements::{quote, quote_table};

impl MySqlSession {
    pub(super) async fn lookup_rows(&mut self, plan: &LookupPlan, keys: &[ArrayRef]) -> Result<Vec<Texts>, WriteError> {
        let columns = plan.key_columns().zip(keys).map(|(column, keys)| {
            Column::new(keys.as_ref()).ok_or_else(|| {
                let message = format!("column {}: no row is found by a key of type {}", column.name, column.native);
                WriteError::new(Disposition::Block, "unsupported-type", "", message).answered()
            })
        });
        let columns: Vec<Column<'_>> = columns.collect::<Result<_, _>>()?;
        let mut found = Vec::new();
        for chunk in chunks(keys) {
            // A date that MySQL cannot hold is no key of any row.
            let is_bindable = |row: &usize| columns.iter().all(|column| self.is_bindable(column, *row));
            let rows: Vec<usize> = chunk.filter(is_bindable).collect();
            // Few sizes, so that few statements are prepared: the last key fills up.
            let size = if rows.is_empty() { 0 } else { rows.len().next_power_of_two() };
            let mut arguments = MySqlArguments::default();
            arguments.reserve(size * columns.len(), 0);
            for index in 0..size {
                let row = rows[index.min(rows.len() - 1)];
                for column in &columns {
                    column.bind(row, &self.types, &mut arguments).map_err(|_: Unstorable| {
                        WriteError::new(Disposition::Block, "out-of-range", "", "a key that MySQL cannot hold")
                            .answered()
                    })?;
                }
            }
            let query = sqlx::query_with(AssertSqlSafe(statement(plan, size)), arguments);
            for row in query.fetch_all(&mut self.connection).await.map_err(write_error)? {
                let texts =
                    (0..plan.columns.len()).map(|column| row.try_get_unchecked(column)).collect::<Result<_, _>>();
                found.push(texts.map_err(write_error)?);
            }
        }
        Ok(found)
    }

    fn is_bindable(&self, column: &Column<'_>, row: usize) -> bool {
        column.bind(row, &self.types, &mut MySqlArguments::default()).is_ok()
    }
}

fn statement(plan: &LookupPlan, keys: usize) -> String {
    let texts: Vec<String> = plan.value_columns().map(text).collect();
    let equals: Vec<String> =
        plan.key_columns().map(|column| format!("{} = {}", quote(&column.name), placeholder(column))).collect();
    let condition = match (keys, equals.as_slice()) {
        (0, _) => "FALSE".to_owned(),
        (_, [_]) => {
            let column = plan.key_columns().next().map(|column| (quote(&column.name), placeholder(column)));
            let (name, placeholder) = column.unwrap_or_default();
            format!("{name} IN ({})", vec![placeholder; keys].join(", "))
        }
        // Not row values: MariaDB reads the whole table for them.
        _ => vec![format!("({})", equals.join(" AND ")); keys].join(" OR "),
    };
    format!("SELECT {} FROM {} WHERE {condition}", texts.join(", "), quote_table(&plan.table))
}

/// A decimal travels as text, which would be compared as a floating-point number.
fn placeholder(column: &CatalogColumn) -> String {
    match &column.ty {
        Some(ColumnType::Decimal { precision, scale }) => format!("CAST(? AS DECIMAL({precision},{scale}))"),
        _ => "?".to_owned(),
    }
}

/// A column in the form that plain text of its type is read in.
fn text(column: &CatalogColumn) -> String {
    let name = quote(&column.name);
    match &column.ty {
        Some(ColumnType::Bytes) => format!("HEX({name})"),
        Some(ColumnType::Bool) => format!("IF({name} IS NULL, NULL, IF({name}, 'true', 'false'))"),
        // As text a `float` has six digits only.
        Some(ColumnType::Float32) => format!("CAST({name} + 0e0 AS CHAR)"),
        _ => format!("CAST({name} AS CHAR)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::write::catalog::CatalogTable;

    fn plan(key: Vec<usize>) -> LookupPlan {
        let column = |name: &str, ty| CatalogColumn {
            name: name.to_owned(),
            ty: Some(ty),
            native: String::new(),
            oid: 0,
            nullable: true,
            has_default: false,
            generated: false,
        };
        let columns = vec![
            column("id", ColumnType::Int64),
            column("a`; DROP", ColumnType::Decimal { precision: 5, scale: 2 }),
            column("is_vip", ColumnType::Bool),
        ];
        let table = CatalogTable {
            schema: None,
            name: "customers".to_owned(),
            columns,
            unique: Vec::new(),
            unusable_unique: Vec::new(),
        };
        LookupPlan { table, key, columns: vec![0, 2] }
    }

    #[test]
    fn names_are_quoted_and_keys_are_parameters() {
        let start = "SELECT CAST(`id` AS CHAR), IF(`is_vip` IS NULL, NULL, IF(`is_vip`, 'true', 'false')) FROM `customers` WHERE ";
        let condition = |key, keys| statement(&plan(key), keys).strip_prefix(start).unwrap().to_owned();
        assert_eq!(condition(vec![0], 2), "`id` IN (?, ?)");
        assert_eq!(condition(vec![0], 0), "FALSE");
        let one = "(`id` = ? AND `a``; DROP` = CAST(? AS DECIMAL(5,2)))";
        assert_eq!(condition(vec![0, 1], 2), format!("{one} OR {one}"));
    }
}
