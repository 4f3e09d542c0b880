//! Our own tables: created where they are missing, and never touched by a version that does not know them.

use sqlx::{AssertSqlSafe, Executor, Row};

use crate::retry::Disposition;
use crate::write::error::WriteError;

use super::MySqlSession;
use super::errors::write_error;
use super::statements::quote;

/// The files of `migrations/mysql`, in order; the version is their number. Each statement says `IF NOT EXISTS`: DDL
/// commits by itself here, so a file that was cut short is run again.
const MIGRATIONS: &[&str] = &[include_str!("../../../migrations/mysql/0001_tables.sql")];

/// The whole server shares it: creating takes a moment, once.
const LOCK: &str = "tidegate migrate";

/// How long to wait for another daemon that is creating them.
const LOCK_SECONDS: u32 = 30;

/// The statements that create our tables in the database `schema`, for an operator to run.
pub(super) fn ddl(schema: &str) -> String {
    format!(
        "USE {};\n{}\nINSERT INTO tidegate_meta (name, value) VALUES ('schema_version', '{}') \
         ON DUPLICATE KEY UPDATE value = VALUES(value);\n",
        quote(schema),
        MIGRATIONS.join("\n"),
        MIGRATIONS.len()
    )
}

impl MySqlSession {
    pub(super) async fn create_tables(&mut self) -> Result<(), WriteError> {
        if self.is_current().await? {
            return Ok(());
        }
        let lock = sqlx::query("SELECT GET_LOCK(?, ?)").bind(LOCK).bind(LOCK_SECONDS);
        let taken: Option<i64> =
            lock.fetch_one(&mut self.connection).await.and_then(|row| row.try_get(0)).map_err(write_error)?;
        if taken != Some(1) {
            let message = "another daemon has been creating the tables for 30 s; it is tried again";
            return Err(WriteError::new(Disposition::Retry, "lock-timeout", "", message));
        }
        let created = self.create_where_missing().await;
        let release = sqlx::query("SELECT RELEASE_LOCK(?)").bind(LOCK);
        let released = release.fetch_one(&mut self.connection).await.map(drop).map_err(write_error);
        // The first error is the cause; a connection that is gone has released the lock with it.
        created.and(released)
    }

    async fn create_where_missing(&mut self) -> Result<(), WriteError> {
        // Another daemon may have created them while we waited.
        if self.is_current().await? { Ok(()) } else { self.run_migrations().await }
    }

    /// Are the tables there, in the version that we know?
    async fn is_current(&mut self) -> Result<bool, WriteError> {
        let sql =
            format!("SELECT value FROM {}.tidegate_meta WHERE name = 'schema_version'", quote(&self.state_schema));
        let row = match sqlx::query(AssertSqlSafe(sql)).fetch_optional(&mut self.connection).await.map_err(write_error)
        {
            Ok(row) => row,
            // A missing right to read shows here before the table is known to be missing; creating will tell.
            Err(error) if matches!(error.class, "missing-table" | "missing-database" | "no-privilege") => {
                return Ok(false);
            }
            Err(error) => return Err(error),
        };
        let Some(row) = row else { return Ok(false) };
        let stored: String = row.try_get(0).map_err(write_error)?;
        let known = MIGRATIONS.len();
        match stored.parse::<usize>() {
            Ok(version) if version == known => Ok(true),
            Ok(version) if version < known => Ok(false),
            _ => {
                let message = format!(
                    "the tables tidegate_* in database {} were made by a newer Tidegate (version {stored}, this one \
                     knows {known}): run that version, or set sink.state_schema to another database",
                    self.state_schema
                );
                Err(WriteError::new(Disposition::Block, "newer-schema", "", message))
            }
        }
    }

    async fn run_migrations(&mut self) -> Result<(), WriteError> {
        let home = quote(&self.database);
        let script = ddl(&self.state_schema);
        let run = self.connection.execute(AssertSqlSafe(format!("{script}USE {home};"))).await;
        run.map(drop).map_err(|error| {
            let error = write_error(error);
            if !matches!(error.class, "no-privilege" | "missing-database") {
                return error;
            }
            let message = format!(
                "the tables tidegate_* are missing in database {}, and they cannot be created: {}. Have an \
                 administrator run the following (`tidegate migrate FILE --print` prints it), and grant SELECT, \
                 INSERT, UPDATE and DELETE on these tables:\n{script}",
                self.state_schema, error.message
            );
            WriteError { message, ..error }
        })
    }
}
