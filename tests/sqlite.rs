//! SQLite's session against real files.

use std::path::PathBuf;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch};
use sqlx::{AssertSqlSafe, Connection, SqliteConnection};
use tempfile::TempDir;
use tidegate::config::{BatchLimits, Database, Delivery, Missing, Mode, Secret, Sink};
use tidegate::retry::Disposition;
use tidegate::write::error::WriteError;
use tidegate::write::plan::{DeletePlan, PlanColumn, TablePlan};
use tidegate::write::session::Session;
use tidegate::write::sqlite::SqliteSession;
use tidegate::write::step::{Action, Step};

mod catalog;
mod faults;
mod modes;
mod positions;
mod types;

/// A database file of its own, with our tables and those of `ddl`.
struct Db {
    directory: TempDir,
}

impl Db {
    async fn new(ddl: &str) -> Self {
        let db = Self { directory: tempfile::tempdir().unwrap() };
        let mut session = SqliteSession::connect(&sink(&format!("{}?mode=rwc", db.url())), "p").await.unwrap();
        session.migrate().await.unwrap();
        session.close().await;
        db.execute(ddl).await;
        db
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("sink.db")
    }

    fn url(&self) -> String {
        format!("sqlite://{}", self.path().display())
    }

    async fn session(&self) -> SqliteSession {
        SqliteSession::connect(&sink(&self.url()), "p").await.unwrap()
    }

    /// Statements of somebody else.
    async fn execute(&self, sql: &str) {
        let mut connection = SqliteConnection::connect(&self.url()).await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    }

    /// The first column of a query, as texts.
    async fn read(&self, sql: &str) -> Vec<String> {
        let mut connection = SqliteConnection::connect(&self.url()).await.unwrap();
        let rows = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        rows
    }
}

fn sink(url: &str) -> Sink {
    Sink {
        database: Database::Sqlite,
        url: Secret::new(url),
        delivery: Delivery::ExactlyOnce,
        writers: None,
        batch: BatchLimits::default(),
        state_schema: None,
    }
}

/// Writes all columns that the database does not compute, by the table's first unique index.
async fn plan(session: &mut SqliteSession, table: &str, mode: Mode) -> TablePlan {
    let table = session.table(table).await.unwrap().expect("the table is there");
    let written = table.columns.iter().filter(|column| !column.generated).cloned();
    let columns: Vec<_> = written.enumerate().map(|(input, column)| PlanColumn { column, input }).collect();
    let key = table.unique.first().map(|index| index.columns.clone()).unwrap_or_default();
    TablePlan {
        table,
        mode,
        columns,
        key,
        deletes: DeletePlan::Hard,
        version: None,
        missing: Missing::Null,
        replace: None,
        retention: None,
        merge: Vec::new(),
    }
}

fn step(action: Action, columns: &[usize], arrays: Vec<ArrayRef>) -> Step {
    let batch = RecordBatch::try_from_iter(arrays.into_iter().enumerate().map(|(i, a)| (i.to_string(), a))).unwrap();
    // Not the row's own number, so that a mixed-up one is noticed.
    let origins = (0..batch.num_rows() as u32).map(|row| row * 2 + 100).collect();
    Step { action, columns: columns.to_vec(), batch, origins }
}

/// One transaction. After an error it is rolled back.
async fn write(session: &mut SqliteSession, plan: &TablePlan, step: &Step) -> Result<u64, WriteError> {
    session.begin().await.unwrap();
    match session.apply(plan, step).await {
        Ok(changed) => {
            session.commit().await.unwrap();
            Ok(changed)
        }
        Err(error) => {
            assert!(error.connection_usable, "{error}");
            session.rollback().await.unwrap();
            Err(error)
        }
    }
}

fn array<A: arrow_array::Array + 'static>(array: A) -> ArrayRef {
    Arc::new(array)
}

fn assert_isolated(error: &WriteError, class: &str, column: Option<&str>, suspect: Option<u32>) {
    let found = (error.disposition, error.class, error.column.as_deref(), error.suspect);
    assert_eq!(found, (Disposition::Isolate, class, column, suspect), "{error}");
}
