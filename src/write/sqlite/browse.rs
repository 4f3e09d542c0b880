//! A look into a SQLite file, for the demo: it makes its own tables and shows what arrived.

use std::path::Path;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, Row, SqliteConnection, TypeInfo, ValueRef, raw_sql};

use crate::write::error::WriteError;

use super::errors::write_error;

/// Creates the file, if need be, and runs `ddl` in it.
///
/// # Errors
/// The folder cannot be written, or SQLite refuses the DDL.
pub async fn create(path: &Path, ddl: &str) -> Result<(), WriteError> {
    let mut connection = open(path, true).await?;
    connection.execute(raw_sql(AssertSqlSafe(ddl.to_owned()))).await.map_err(write_error)?;
    connection.close().await.map_err(write_error)
}

/// A query's rows as texts.
///
/// # Errors
/// There is no such file, or SQLite refuses the query.
pub async fn query(path: &Path, sql: &str) -> Result<Vec<Vec<String>>, WriteError> {
    let mut connection = open(path, false).await?;
    let rows = sqlx::query(AssertSqlSafe(sql.to_owned())).fetch_all(&mut connection).await.map_err(write_error)?;
    let text = |row: &sqlx::sqlite::SqliteRow, column: usize| {
        let value = row.try_get_raw(column).ok()?;
        match value.type_info().name() {
            "INTEGER" => row.try_get::<i64, _>(column).ok().map(|number| number.to_string()),
            "REAL" => row.try_get::<f64, _>(column).ok().map(|number| number.to_string()),
            _ => row.try_get::<String, _>(column).ok(),
        }
    };
    let texts = |row| (0..Row::len(row)).map(|column| text(row, column).unwrap_or_default()).collect();
    let texts = rows.iter().map(texts).collect();
    connection.close().await.map_err(write_error)?;
    Ok(texts)
}

async fn open(path: &Path, create: bool) -> Result<SqliteConnection, WriteError> {
    let options = SqliteConnectOptions::new().filename(path).create_if_missing(create);
    options.connect().await.map_err(write_error)
}
