//! SQLite: one file, one writer at a time. The stored forms and the limits are documented in docs/sqlite.md.

use std::collections::HashMap;

use arrow_array::ArrayRef;
use async_trait::async_trait;
use sqlx::sqlite::SqliteArguments;
use sqlx::{Arguments, AssertSqlSafe, Connection, SqlSafeStr, SqliteConnection};

use crate::config::{Missing, Mode, Sink};
use crate::dead_letter::DeadLetter;
use crate::lookup::Texts;
use crate::retry::Disposition;

use super::catalog::{CatalogTable, Index};
use super::create::{Draft, NewTable};
use super::error::WriteError;
use super::lookup::LookupPlan;
use super::merged::Stored;
use super::plan::{DeletePlan, RetentionPlan, TablePlan};
use super::session::{CommitError, Gap, Move, Position, Session};
use super::step::{Action, Step};

mod bind;
pub mod browse;
mod catalog;
mod connect;
mod create;
mod declared;
mod errors;
mod ledger;
mod lookup;
mod merge;
mod migrate;
mod positions;
mod retention;
mod statements;
mod stored;
#[cfg(test)]
mod tests;
mod times;

use bind::Cells;
pub use create::draft;
use errors::write_error;
use statements::Shape;

/// The statements that create our tables, for an operator to run.
pub fn ddl() -> String {
    migrate::ddl()
}

/// The statement of an action over rows that have `columns`, for people: one row of it.
pub fn statement(plan: &TablePlan, action: Action, columns: &[usize]) -> String {
    Shape { plan, action, columns, defaults: &HashMap::new(), made_here: &[] }.sql(1)
}

pub struct SqliteSession {
    connection: SqliteConnection,
    journal_mode: String,
}

#[async_trait]
impl Session for SqliteSession {
    async fn connect(sink: &Sink, _pipeline: &str) -> Result<Self, WriteError> {
        let (connection, journal_mode) = connect::connect(sink).await?;
        Ok(Self { connection, journal_mode })
    }

    async fn inspect_server(&mut self) -> Result<Vec<String>, WriteError> {
        if self.journal_mode.eq_ignore_ascii_case("wal") {
            return Ok(Vec::new());
        }
        Ok(vec![format!(
            "SQLite's journal mode is {} and could not be changed to wal: readers and the writer hold each other up, \
             and a long read delays commits; a local disk with shared memory takes wal",
            self.journal_mode
        )])
    }

    async fn migrate(&mut self) -> Result<(), WriteError> {
        migrate::migrate(&mut self.connection).await
    }

    async fn table(&mut self, name: &str) -> Result<Option<CatalogTable>, WriteError> {
        catalog::table(&mut self.connection, name).await
    }

    async fn draft(&mut self, new: &NewTable) -> Result<Result<Draft, Vec<String>>, WriteError> {
        Ok(draft(new))
    }

    async fn create(&mut self, draft: &Draft) -> Result<(), WriteError> {
        create::create(&mut self.connection, draft).await
    }

    async fn table_names(&mut self, _schema: Option<&str>) -> Result<Vec<String>, WriteError> {
        catalog::table_names(&mut self.connection).await.map_err(write_error)
    }

    async fn inspect_table(&mut self, plan: &TablePlan) -> Result<Vec<String>, WriteError> {
        catalog::problems(&mut self.connection, plan).await
    }

    async fn indexes(&mut self, table: &CatalogTable) -> Result<Vec<Index>, WriteError> {
        catalog::indexes(&mut self.connection, table).await.map_err(write_error)
    }

    fn statement(&self, plan: &TablePlan, action: Action, columns: &[usize]) -> Option<String> {
        Some(statement(plan, action, columns))
    }

    async fn lookup(&mut self, plan: &LookupPlan, keys: &[ArrayRef]) -> Result<Vec<Texts>, WriteError> {
        lookup::rows(&mut self.connection, plan, keys).await
    }

    async fn expire(
        &mut self,
        plan: &TablePlan,
        retention: &RetentionPlan,
        limit: &str,
        rows: u32,
    ) -> Result<u64, WriteError> {
        retention::expire(&mut self.connection, plan, retention, limit, rows).await.map_err(write_error)
    }

    async fn meta(&mut self, name: &str) -> Result<Option<String>, WriteError> {
        retention::meta(&mut self.connection, name).await.map_err(write_error)
    }

    async fn swap_meta(&mut self, name: &str, old: Option<&str>, new: &str) -> Result<bool, WriteError> {
        retention::swap_meta(&mut self.connection, name, old, new).await.map_err(write_error)
    }

    /// IMMEDIATE takes the write lock now and waits for it; a transaction that begins with a read and writes later
    /// fails at once where another has written in between (`SQLITE_BUSY_SNAPSHOT`).
    async fn begin(&mut self) -> Result<(), WriteError> {
        self.execute("BEGIN IMMEDIATE").await.map_err(write_error)
    }

    async fn begin_trial(&mut self) -> Result<(), WriteError> {
        self.execute("PRAGMA busy_timeout = 500").await.map_err(write_error)?;
        self.begin().await
    }

    async fn advance(&mut self, pipeline: &str, moves: &[Move]) -> Result<u64, WriteError> {
        positions::advance(&mut self.connection, pipeline, moves).await
    }

    async fn apply(&mut self, plan: &TablePlan, step: &Step) -> Result<u64, WriteError> {
        let made_here = merge::made_here(plan, step);
        let with_stored = merge::with_stored(&mut self.connection, plan, step, &made_here).await?;
        let step = with_stored.as_ref().unwrap_or(step);
        let cells = cells(plan, step)?;
        check_key(plan, step, &cells)?;
        let defaults = self.defaults(plan, step).await?;
        let shape =
            Shape { plan, action: step.action, columns: &step.columns, defaults: &defaults, made_here: &made_here };
        let changed = self.run(&shape, step, &cells).await?;
        // Without a version every row of an upsert is applied. SQLite does not count those of a table that is all
        // key, as there is nothing in them to change.
        let applies_all =
            step.action == Action::Put && matches!(plan.mode, Mode::Upsert | Mode::Merge) && plan.version.is_none();
        Ok(if applies_all { step.batch.num_rows() as u64 } else { changed })
    }

    async fn read(&mut self, plan: &TablePlan, keys: &Step, columns: &[usize]) -> Result<Vec<Stored>, WriteError> {
        stored::read(&mut self.connection, plan, keys, columns).await
    }

    async fn store_dead_letters(&mut self, pipeline: &str, letters: &[DeadLetter]) -> Result<(), WriteError> {
        positions::store_dead_letters(&mut self.connection, pipeline, letters).await
    }

    async fn store_gap(&mut self, pipeline: &str, gap: &Gap) -> Result<(), WriteError> {
        positions::store_gap(&mut self.connection, pipeline, gap).await
    }

    /// The transaction holds the file's write lock already, so a plain read sees what counts.
    async fn lock_positions(&mut self, pipeline: &str) -> Result<Vec<Position>, WriteError> {
        positions::read(&mut self.connection, pipeline).await
    }

    async fn insert_positions(&mut self, pipeline: &str, positions: &[Position]) -> Result<(), WriteError> {
        positions::insert(&mut self.connection, pipeline, positions).await
    }

    async fn update_positions(&mut self, pipeline: &str, positions: &[Position]) -> Result<(), WriteError> {
        positions::update(&mut self.connection, pipeline, positions).await
    }

    async fn count_moved(&mut self, pipeline: &str, moves: &[Move]) -> Result<u64, WriteError> {
        positions::count_moved(&mut self.connection, pipeline, moves).await
    }

    async fn commit(&mut self) -> Result<(), CommitError> {
        let Err(error) = self.execute("COMMIT").await else { return Ok(()) };
        // Only readers that hold up a rollback journal's commit: the transaction is still open, and certainly not
        // stored once it is rolled back.
        if errors::is_busy(&error) && self.execute("ROLLBACK").await.is_err() {
            return Err(CommitError::Unknown(write_error(error)));
        }
        Err(errors::commit_error(error))
    }

    async fn rollback(&mut self) -> Result<(), WriteError> {
        self.execute("ROLLBACK").await.map_err(write_error)
    }

    async fn close(self) {
        // What is not committed is rolled back by SQLite; there is nothing to be done about a failure to close.
        let _ = self.connection.close().await;
    }
}

impl SqliteSession {
    async fn execute(&mut self, sql: &'static str) -> Result<(), sqlx::Error> {
        sqlx::query(sql).execute(&mut self.connection).await.map(|_| ())
    }

    /// Runs a step in statements of few fixed sizes. Returns how many rows changed.
    async fn run(&mut self, shape: &Shape<'_>, step: &Step, cells: &[Cells<'_>]) -> Result<u64, WriteError> {
        let total = step.batch.num_rows();
        let (mut next, mut changed) = (0, 0);
        let mut statement = None;
        while next < total {
            let rows = statements::rows_of_next_statement(total - next, shape.width());
            let sql = match statement.take() {
                Some((size, sql)) if size == rows => sql,
                _ => AssertSqlSafe(shape.sql(rows)).into_sql_str(),
            };
            let mut arguments = SqliteArguments::default();
            arguments.reserve(rows * cells.len(), 0);
            for row in next..next + rows {
                for cell in cells {
                    let bound = cell.bind(row, &mut arguments);
                    bound.map_err(|error| WriteError { suspect: step.origins.get(row).copied(), ..error })?;
                }
            }
            let query = sqlx::query_with(sql.clone(), arguments);
            let result = query.execute(&mut self.connection).await.map_err(write_error);
            changed += result.map_err(|error| suspect_alone(error, step, next, rows))?.rows_affected();
            next += rows;
            statement = Some((rows, sql));
        }
        Ok(changed)
    }

    /// The DEFAULTs of the columns that an update sets although its rows do not have them: SQLite has no
    /// `SET column = DEFAULT`.
    async fn defaults(&mut self, plan: &TablePlan, step: &Step) -> Result<HashMap<usize, String>, WriteError> {
        let mut defaults = HashMap::new();
        if step.action != Action::Put || plan.mode != Mode::Update || plan.missing == Missing::Keep {
            return Ok(defaults);
        }
        for (index, planned) in plan.columns.iter().enumerate() {
            if !step.columns.contains(&index) {
                let default = catalog::default_of(&mut self.connection, &plan.table.name, &planned.column.name).await?;
                defaults.insert(index, default);
            }
        }
        Ok(defaults)
    }
}

/// SQLite does not say which row of a statement failed; of a statement of one row it is known.
fn suspect_alone(error: WriteError, step: &Step, first: usize, rows: usize) -> WriteError {
    let known = rows == 1 && error.disposition == Disposition::Isolate;
    WriteError { suspect: step.origins.get(first).copied().filter(|_| known), ..error }
}

/// The columns of a step's batch, each with the table's column that it goes to.
fn cells<'a>(plan: &'a TablePlan, step: &'a Step) -> Result<Vec<Cells<'a>>, WriteError> {
    let mut columns: Vec<_> = step.columns.iter().map(|&column| &plan.columns[column].column).collect();
    if let (Action::SoftDelete, DeletePlan::Soft(mark)) = (step.action, &plan.deletes) {
        columns.push(mark);
    }
    step.batch.columns().iter().zip(columns).map(|(array, column)| Cells::new(array, column)).collect()
}

/// A null in a key never meets the row that it should: SQLite would add a row, with a made-up number where the key is
/// an INTEGER PRIMARY KEY.
fn check_key(plan: &TablePlan, step: &Step, cells: &[Cells<'_>]) -> Result<(), WriteError> {
    if step.action != Action::Put || !plan.is_keyed() {
        return Ok(());
    }
    let keys = step.columns.iter().zip(cells).filter(|(column, cells)| plan.is_key(**column) && cells.has_nulls());
    for (_, key) in keys {
        if let Some(row) = (0..step.batch.num_rows()).find(|&row| key.is_null(row)) {
            let name = &key.column().name;
            let message = format!("column {name}: a null in a key column finds no row");
            let mut error = WriteError::new(Disposition::Isolate, "null-key", "", message).answered().on_column(name);
            error.suspect = step.origins.get(row).copied();
            return Err(error);
        }
    }
    Ok(())
}
