//! Our own tables.

use sqlx::{Executor, SqliteConnection};

use crate::retry::Disposition;
use crate::write::error::WriteError;

use super::errors::write_error;

/// All versions, in order; the version of a file is its place, from 1.
const MIGRATIONS: [&str; 1] = [include_str!("../../../migrations/sqlite/0001_tables.sql")];

const READ_VERSION: &str = "SELECT value FROM tidegate_meta WHERE name = 'schema_version'";
const WRITE_VERSION: &str = "\
INSERT INTO tidegate_meta (name, value) VALUES ('schema_version', ?1) \
ON CONFLICT (name) DO UPDATE SET value = excluded.value";

/// The statements that create our tables, for an operator to run.
pub(super) fn ddl() -> String {
    let version = WRITE_VERSION.replace("?1", &format!("'{}'", MIGRATIONS.len()));
    format!("{}\n{version};\n", MIGRATIONS.join("\n"))
}

/// Brings our tables to this program's version; does not write to the file if they are.
pub(super) async fn migrate(connection: &mut SqliteConnection) -> Result<(), WriteError> {
    if version(connection).await? == MIGRATIONS.len() {
        return Ok(());
    }
    // DDL is transactional in SQLite, so a second process that migrates waits here and then finds it done.
    execute(connection, "BEGIN IMMEDIATE").await?;
    let migrated = apply(connection).await;
    let end = if migrated.is_ok() { "COMMIT" } else { "ROLLBACK" };
    let ended = execute(connection, end).await;
    migrated.and(ended)
}

async fn apply(connection: &mut SqliteConnection) -> Result<(), WriteError> {
    let stored = version(connection).await?;
    let Some(missing) = MIGRATIONS.get(stored..) else {
        let message = format!(
            "our own tables are of version {stored}, which a newer Tidegate wrote; this one knows version {}. Run the \
             newer one",
            MIGRATIONS.len()
        );
        return Err(WriteError::new(Disposition::Block, "newer-version", "", message));
    };
    for sql in missing {
        connection.execute(sqlx::raw_sql(*sql)).await.map_err(write_error)?;
    }
    let query = sqlx::query(WRITE_VERSION).bind(MIGRATIONS.len().to_string());
    query.execute(connection).await.map_err(write_error)?;
    Ok(())
}

/// 0: our tables are not there.
async fn version(connection: &mut SqliteConnection) -> Result<usize, WriteError> {
    const EXISTS: &str = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'tidegate_meta')";
    if !sqlx::query_scalar(EXISTS).fetch_one(&mut *connection).await.map_err(write_error)? {
        return Ok(0);
    }
    let stored: Option<String> =
        sqlx::query_scalar(READ_VERSION).fetch_optional(connection).await.map_err(write_error)?;
    stored.and_then(|value| value.parse().ok()).ok_or_else(|| {
        let message = "tidegate_meta has no number as its schema_version; restore it, or drop our tables \
                       if no pipeline needs their positions";
        WriteError::new(Disposition::Block, "bad-version", "", message)
    })
}

async fn execute(connection: &mut SqliteConnection, sql: &'static str) -> Result<(), WriteError> {
    sqlx::query(sql).execute(connection).await.map_err(write_error)?;
    Ok(())
}
