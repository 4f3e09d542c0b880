//! Rows of a lookup: the keys travel as arrays, the values come back as texts.

use arrow_array::ArrayRef;
use sqlx::{PgConnection, Row};

use crate::lookup::Texts;
use crate::retry::Disposition;
use crate::types::ColumnType;
use crate::write::catalog::CatalogColumn;
use crate::write::error::WriteError;
use crate::write::lookup::{LookupPlan, chunks};

use super::encode::{Cells, Target, write_array_header};
use super::errors::write_error;
use super::query::{Binary, dynamic};
use super::statements::{qualified, quote, unnest};
use super::wire::Parameter;

pub(super) async fn rows(
    connection: &mut PgConnection,
    plan: &LookupPlan,
    keys: &[ArrayRef],
) -> Result<Vec<Texts>, WriteError> {
    let unsupported = |column: &CatalogColumn| {
        let message = format!("column {}: no row is found by a key of type {}", column.name, column.native);
        WriteError::new(Disposition::Block, "unsupported-type", "", message).answered()
    };
    let parameters = plan.key_columns().map(|column| Parameter::of(column).ok_or_else(|| unsupported(column)));
    let parameters: Vec<Parameter> = parameters.collect::<Result<_, _>>()?;
    let cells = plan
        .key_columns()
        .zip(keys)
        .map(|(column, keys)| Cells::new(column, keys.as_ref(), Target::Element).ok_or_else(|| unsupported(column)));
    let cells: Vec<Cells<'_>> = cells.collect::<Result<_, _>>()?;
    let sql: std::sync::Arc<str> = statement(plan, &parameters).into();
    let mut found = Vec::new();
    for chunk in chunks(keys) {
        // A time that PostgreSQL cannot hold is no key of any row.
        let is_writable = |row: &usize| cells.iter().all(|cell| cell.write(*row, &mut Vec::new()).is_ok());
        let rows: Vec<usize> = chunk.filter(is_writable).collect();
        let mut query = dynamic(sql.clone());
        let mut arrays = Vec::with_capacity(cells.len());
        for (cells, parameter) in cells.iter().zip(&parameters) {
            let mut array = Vec::new();
            write_array_header(parameter.element, rows.len(), false, &mut array);
            for row in &rows {
                cells
                    .write(*row, &mut array)
                    .map_err(|error| WriteError::new(Disposition::Block, "out-of-range", "", error.0).answered())?;
            }
            arrays.push(array);
        }
        for (array, parameter) in arrays.iter().zip(&parameters) {
            query = query.bind(Binary { oid: parameter.array, bytes: array });
        }
        for row in query.fetch_all(&mut *connection).await.map_err(write_error)? {
            let texts = (0..plan.columns.len()).map(|column| row.try_get(column)).collect::<Result<_, _>>();
            found.push(texts.map_err(write_error)?);
        }
    }
    Ok(found)
}

fn statement(plan: &LookupPlan, parameters: &[Parameter]) -> String {
    let texts: Vec<String> = plan.value_columns().map(text).collect();
    let equals = plan.key_columns().zip(parameters).enumerate().map(|(index, (column, parameter))| {
        let cast = parameter.cast.as_ref().map(|cast| format!("::{cast}")).unwrap_or_default();
        format!("t.{} = u.c{index}{cast}", quote(&column.name))
    });
    format!(
        "SELECT {}\nFROM {}\nJOIN {} AS t ON {}",
        texts.join(", "),
        unnest(parameters),
        qualified(&plan.table),
        equals.collect::<Vec<_>>().join(" AND ")
    )
}

/// A column in the form that plain text of its type is read in.
fn text(column: &CatalogColumn) -> String {
    let name = format!("t.{}", quote(&column.name));
    match &column.ty {
        Some(ColumnType::Bytes) => format!("encode({name}, 'hex')"),
        // ISO 8601, whatever DateStyle says.
        Some(ColumnType::Date | ColumnType::Timestamp | ColumnType::TimestampTz) => {
            format!("to_json({name}) #>> '{{}}'")
        }
        Some(ColumnType::List(_)) => format!("array_to_json({name})::text"),
        _ => format!("{name}::text"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::write::catalog::CatalogTable;

    #[test]
    fn names_are_quoted_and_keys_are_parameters() {
        let column = |name: &str, ty, oid, native: &str| CatalogColumn {
            name: name.to_owned(),
            ty: Some(ty),
            native: native.to_owned(),
            oid,
            nullable: true,
            has_default: false,
            generated: false,
        };
        let columns = vec![
            column("id", ColumnType::Int64, 20, "bigint"),
            column("a\"; DROP TABLE t; --", ColumnType::Text, 1042, "character(3)"),
            column("since", ColumnType::TimestampTz, 1184, "timestamp with time zone"),
            column("photo", ColumnType::Bytes, 17, "bytea"),
        ];
        let table = CatalogTable {
            schema: Some("shop".to_owned()),
            name: "customers".to_owned(),
            columns,
            unique: Vec::new(),
            unusable_unique: Vec::new(),
        };
        let plan = LookupPlan { table, key: vec![0, 1], columns: vec![0, 2, 3] };
        let parameters: Vec<Parameter> = plan.key_columns().filter_map(Parameter::of).collect();
        let expected = "SELECT t.\"id\"::text, to_json(t.\"since\") #>> '{}', encode(t.\"photo\", 'hex')\n\
             FROM unnest($1::int8[], $2::text[]) AS u(c0, c1)\n\
             JOIN \"shop\".\"customers\" AS t ON t.\"id\" = u.c0 AND t.\"a\"\"; DROP TABLE t; --\" = u.c1::bpchar";
        assert_eq!(statement(&plan, &parameters), expected);
    }
}
