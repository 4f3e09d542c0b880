//! What SQLite's schema says of a table.

use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use crate::types::ColumnType;
use crate::write::catalog::{CatalogColumn, CatalogTable, Index, UniqueIndex};
use crate::write::error::WriteError;
use crate::write::plan::TablePlan;

use super::declared;
use super::errors::write_error;

/// SQLite compares names without regard to case (ASCII), so there is never a second one that differs only in it.
const FIND_TABLE: &str = "\
SELECT name, type, wr AS without_rowid, strict FROM pragma_table_list \
WHERE schema = 'main' AND name = ?1 COLLATE NOCASE";

const COLUMNS: &str = "SELECT name, type, \"notnull\", dflt_value, pk, hidden FROM pragma_table_xinfo(?1) ORDER BY cid";

/// The primary key first; SQLite lists its indexes in no useful order.
const UNIQUE_INDEXES: &str = "\
SELECT name, origin, partial FROM pragma_index_list(?1) WHERE \"unique\" ORDER BY origin <> 'pk', name";

const INDEX_COLUMNS: &str = "SELECT cid, coll FROM pragma_index_xinfo(?1) WHERE key ORDER BY seqno";

struct Found {
    name: String,
    kind: String,
    without_rowid: bool,
    strict: bool,
}

async fn find(connection: &mut SqliteConnection, name: &str) -> Result<Option<Found>, sqlx::Error> {
    let row = sqlx::query(FIND_TABLE).bind(name).fetch_optional(connection).await?;
    row.map(|row| {
        Ok(Found {
            name: row.try_get(0)?,
            kind: row.try_get(1)?,
            without_rowid: row.try_get(2)?,
            strict: row.try_get(3)?,
        })
    })
    .transpose()
}

/// The table by its name, which may be written with the schema `main`.
pub(super) async fn table(connection: &mut SqliteConnection, name: &str) -> Result<Option<CatalogTable>, WriteError> {
    let mut found = find(connection, name).await.map_err(write_error)?;
    if let (None, Some(bare)) = (&found, name.strip_prefix("main.")) {
        found = find(connection, bare).await.map_err(write_error)?;
    }
    match found {
        Some(found) => Ok(Some(read(connection, found).await.map_err(write_error)?)),
        None => Ok(None),
    }
}

async fn read(connection: &mut SqliteConnection, found: Found) -> Result<CatalogTable, sqlx::Error> {
    let rows = sqlx::query(COLUMNS).bind(&found.name).fetch_all(&mut *connection).await?;
    let mut columns = Vec::with_capacity(rows.len());
    // Place in the primary key (from 1) and index of the column.
    let mut primary: Vec<(i64, usize)> = Vec::new();
    for row in &rows {
        let place: i64 = row.try_get(4)?;
        if place > 0 {
            primary.push((place, columns.len()));
        }
        columns.push(column(row, found.strict)?);
    }
    primary.sort_unstable();

    let mut unique = Vec::new();
    let mut unusable_unique = Vec::new();
    let mut has_primary_index = false;
    for index in sqlx::query(UNIQUE_INDEXES).bind(&found.name).fetch_all(&mut *connection).await? {
        let name: String = index.try_get(0)?;
        let primary = index.try_get::<&str, _>(1)? == "pk";
        has_primary_index |= primary;
        let parts = sqlx::query(INDEX_COLUMNS).bind(&name).fetch_all(&mut *connection).await?;
        match usable_columns(&parts, index.try_get(2)?)? {
            Some(columns) => unique.push(UniqueIndex { name, primary, columns }),
            None => unusable_unique.push(name),
        }
    }
    if !has_primary_index
        && !found.without_rowid
        && let [(_, column)] = primary[..]
    {
        // INTEGER PRIMARY KEY is the rowid itself: no index, and a value of its own where none is given.
        columns[column].has_default = true;
        unique.insert(0, UniqueIndex { name: "PRIMARY KEY".to_owned(), primary: true, columns: vec![column] });
    }
    Ok(CatalogTable { schema: None, name: found.name, columns, unique, unusable_unique })
}

fn column(row: &SqliteRow, strict: bool) -> Result<CatalogColumn, sqlx::Error> {
    let native: String = row.try_get(1)?;
    // Outside of a STRICT table, ANY turns text that looks like a number into one.
    let changes_text = native.eq_ignore_ascii_case("any") && !strict;
    Ok(CatalogColumn {
        name: row.try_get(0)?,
        ty: declared::column_type(&native).filter(|_| !changes_text),
        native,
        oid: 0,
        nullable: !row.try_get::<bool, _>(2)? && row.try_get::<i64, _>(4)? == 0,
        has_default: row.try_get::<Option<&str>, _>(3)?.is_some(),
        // 2: virtual, 3: stored. 1 is a hidden column of a virtual table.
        generated: row.try_get::<i64, _>(5)? != 0,
    })
}

/// The columns of an index that `ON CONFLICT` can name; `None` for a partial index, for expressions, and where the
/// index compares otherwise than byte by byte: two keys that differ for us would be one row for it.
fn usable_columns(parts: &[SqliteRow], partial: bool) -> Result<Option<Vec<usize>>, sqlx::Error> {
    let mut columns = Vec::with_capacity(parts.len());
    for part in parts {
        let collation: &str = part.try_get(1)?;
        match usize::try_from(part.try_get::<i64, _>(0)?) {
            Ok(column) if !partial && collation.eq_ignore_ascii_case("binary") => columns.push(column),
            _ => return Ok(None),
        }
    }
    Ok(Some(columns))
}

pub(super) async fn table_names(connection: &mut SqliteConnection) -> Result<Vec<String>, sqlx::Error> {
    const SQL: &str = "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table' ORDER BY name";
    sqlx::query_scalar(SQL).fetch_all(connection).await
}

/// Every whole index with the columns that it is over, an expression as an empty name.
pub(super) async fn indexes(
    connection: &mut SqliteConnection,
    table: &CatalogTable,
) -> Result<Vec<Index>, sqlx::Error> {
    const SQL: &str = "SELECT i.name, coalesce(c.name, '') FROM pragma_index_list(?1) AS i, pragma_index_info(i.name) AS c \
                       WHERE NOT i.partial ORDER BY i.origin <> 'pk', i.name, c.seqno";
    let mut indexes: Vec<Index> = Vec::new();
    for row in sqlx::query(SQL).bind(&table.name).fetch_all(connection).await? {
        let (name, column): (String, String) = (row.try_get(0)?, row.try_get(1)?);
        match indexes.last_mut() {
            Some(index) if index.name == name => index.columns.push(column),
            _ => indexes.push(Index { name, columns: vec![column] }),
        }
    }
    Ok(indexes)
}

/// What stands in the way of writing to a planned table.
pub(super) async fn problems(connection: &mut SqliteConnection, plan: &TablePlan) -> Result<Vec<String>, WriteError> {
    let name = &plan.table.name;
    let Some(found) = find(connection, name).await.map_err(write_error)? else {
        return Ok(vec![format!("table {name}: there is no such table any more; create it again")]);
    };
    let mut problems = Vec::new();
    if found.kind != "table" {
        let kind = &found.kind;
        problems.push(format!("table {name}: this is a {kind}, which cannot be written to; name the table behind it"));
    }
    if plan.retention.is_some() && found.without_rowid {
        problems.push(format!(
            "table {name}: it is WITHOUT ROWID, so its old rows cannot be found by `retention`: create it without these \
             words, or remove `retention`"
        ));
    }
    for column in plan.columns.iter().map(|planned| &planned.column) {
        if column.ty.as_ref().is_some_and(|ty| !declared::keeps_decimals(&column.native, ty)) {
            problems.push(format!(
                "table {name}: column {} is declared {}, where SQLite turns a decimal into a binary floating-point \
                 number that is not exact; declare it TEXT in the table and as a decimal in [source.columns] \
                 (docs/sqlite.md, Decimals)",
                column.name, column.native
            ));
        }
    }
    if let Some(version) = plan.version.map(|index| &plan.columns[index].column)
        && matches!(version.ty, Some(ColumnType::Json | ColumnType::Uuid))
    {
        problems.push(format!(
            "table {name}: column {} is declared {}, which has no order in time; name another version column",
            version.name, version.native
        ));
    }
    Ok(problems)
}

/// A column's DEFAULT as SQL text; `NULL` where it has none.
pub(super) async fn default_of(
    connection: &mut SqliteConnection,
    table: &str,
    column: &str,
) -> Result<String, WriteError> {
    const SQL: &str = "SELECT dflt_value FROM pragma_table_xinfo(?1) WHERE name = ?2";
    let found: Option<Option<String>> =
        sqlx::query_scalar(SQL).bind(table).bind(column).fetch_optional(connection).await.map_err(write_error)?;
    Ok(found.flatten().unwrap_or_else(|| "NULL".to_owned()))
}
