//! MySQL and MariaDB, through prepared multi-row statements.
//!
//! ```text
//! connect     the session's settings; which of the two servers it is
//! migrate     our own tables
//! catalog     a table as the server has it       inspect   what this server cannot do safely with it
//! positions   the fence, the claims, dead letters
//! create      a table that is to be made
//! apply       a step, cut into chunks; statements is its SQL, bind its values
//! errors      what the server's answers mean
//! ```

use arrow_array::ArrayRef;
use async_trait::async_trait;
use sqlx::mysql::{MySqlArguments, MySqlConnection};
use sqlx::{AssertSqlSafe, Connection, Executor};

use crate::config::Sink;
use crate::dead_letter::DeadLetter;
use crate::lookup::Texts;

use super::catalog::{CatalogTable, Index};
use super::create::{Draft, NewTable};
use super::error::WriteError;
use super::lookup::LookupPlan;
use super::merged::Stored;
use super::plan::{RetentionPlan, TablePlan};
use super::session::{CommitError, Gap, Move, Position, Session};
use super::step::{Action, Step};

mod apply;
mod bind;
mod catalog;
mod chunks;
mod connect;
mod create;
mod errors;
mod inspect;
mod ledger;
mod lookup;
mod merge;
mod migrate;
mod positions;
mod retention;
mod statements;
mod stored;

pub use create::{Server, draft};
use errors::{commit_error, write_error};
pub use statements::Flavor;

/// The statements that create our tables in the database `schema`, for an operator to run.
pub fn ddl(schema: &str) -> String {
    migrate::ddl(schema)
}

/// The statement of an action over rows that have `columns`, for people: one row of it.
pub fn statement(flavor: Flavor, plan: &TablePlan, action: Action, columns: &[usize]) -> String {
    statements::statement(flavor, plan, action, columns).sql(1)
}

pub struct MySqlSession {
    connection: MySqlConnection,
    flavor: Flavor,
    /// Major, minor, patch.
    version: (u32, u32, u32),
    /// The connection's database.
    database: String,
    /// Where our own tables live.
    state_schema: String,
    /// `max_allowed_packet`, in bytes.
    max_packet: usize,
    types: bind::Types,
}

impl MySqlSession {
    /// Runs a prepared statement; the number of rows that it found, changed or not (inserted: 1, updated: 2).
    async fn execute(&mut self, sql: String, arguments: MySqlArguments) -> Result<u64, sqlx::Error> {
        let query = sqlx::query_with(AssertSqlSafe(sql), arguments);
        Ok(query.execute(&mut self.connection).await?.rows_affected())
    }
}

#[async_trait]
impl Session for MySqlSession {
    async fn connect(sink: &Sink, _pipeline: &str) -> Result<Self, WriteError> {
        let connect::Connected { connection, flavor, version, database, max_packet, types } =
            connect::connect(sink).await?;
        let state_schema = sink.state_schema.clone().unwrap_or_else(|| database.clone());
        Ok(Self { connection, flavor, version, database, state_schema, max_packet, types })
    }

    async fn inspect_server(&mut self) -> Result<Vec<String>, WriteError> {
        self.check_server().await
    }

    async fn migrate(&mut self) -> Result<(), WriteError> {
        self.create_tables().await
    }

    async fn table(&mut self, name: &str) -> Result<Option<CatalogTable>, WriteError> {
        self.find_table(name).await
    }

    async fn draft(&mut self, new: &NewTable) -> Result<Result<Draft, Vec<String>>, WriteError> {
        Ok(self.draft_table(new))
    }

    async fn create(&mut self, draft: &Draft) -> Result<(), WriteError> {
        self.create_table_of(draft).await
    }

    async fn table_names(&mut self, schema: Option<&str>) -> Result<Vec<String>, WriteError> {
        self.find_names(schema).await
    }

    async fn inspect_table(&mut self, plan: &TablePlan) -> Result<Vec<String>, WriteError> {
        self.check_table(plan).await
    }

    async fn indexes(&mut self, table: &CatalogTable) -> Result<Vec<Index>, WriteError> {
        self.find_indexes(table).await
    }

    fn statement(&self, plan: &TablePlan, action: Action, columns: &[usize]) -> Option<String> {
        Some(statement(self.flavor, plan, action, columns))
    }

    async fn lookup(&mut self, plan: &LookupPlan, keys: &[ArrayRef]) -> Result<Vec<Texts>, WriteError> {
        self.lookup_rows(plan, keys).await
    }

    async fn expire(
        &mut self,
        plan: &TablePlan,
        retention: &RetentionPlan,
        limit: &str,
        rows: u32,
    ) -> Result<u64, WriteError> {
        self.expire_rows(plan, retention, limit, rows).await
    }

    async fn meta(&mut self, name: &str) -> Result<Option<String>, WriteError> {
        self.read_meta(name).await
    }

    async fn swap_meta(&mut self, name: &str, old: Option<&str>, new: &str) -> Result<bool, WriteError> {
        self.write_meta(name, old, new).await
    }

    async fn begin(&mut self) -> Result<(), WriteError> {
        // READ COMMITTED: the compare-and-set sees what the writer that it waited for has committed, and no gaps
        // between rows are locked. SET TRANSACTION holds for the next transaction only.
        let begin = "SET TRANSACTION ISOLATION LEVEL READ COMMITTED; START TRANSACTION READ WRITE";
        self.connection.execute(begin).await.map(drop).map_err(write_error)
    }

    async fn begin_trial(&mut self) -> Result<(), WriteError> {
        // One second is the least.
        let limits = "SET SESSION innodb_lock_wait_timeout = 1, lock_wait_timeout = 1";
        self.connection.execute(limits).await.map_err(write_error)?;
        self.begin().await
    }

    async fn advance(&mut self, pipeline: &str, moves: &[Move]) -> Result<u64, WriteError> {
        self.advance_positions(pipeline, moves).await
    }

    async fn apply(&mut self, plan: &TablePlan, step: &Step) -> Result<u64, WriteError> {
        self.apply_step(plan, step).await
    }

    async fn read(&mut self, plan: &TablePlan, keys: &Step, columns: &[usize]) -> Result<Vec<Stored>, WriteError> {
        self.read_back(plan, keys, columns).await
    }

    async fn store_dead_letters(&mut self, pipeline: &str, letters: &[DeadLetter]) -> Result<(), WriteError> {
        self.add_dead_letters(pipeline, letters).await
    }

    async fn store_gap(&mut self, pipeline: &str, gap: &Gap) -> Result<(), WriteError> {
        self.add_gap(pipeline, gap).await
    }

    async fn lock_positions(&mut self, pipeline: &str) -> Result<Vec<Position>, WriteError> {
        self.read_positions(pipeline).await
    }

    async fn insert_positions(&mut self, pipeline: &str, positions: &[Position]) -> Result<(), WriteError> {
        self.add_positions(pipeline, positions).await
    }

    async fn update_positions(&mut self, pipeline: &str, positions: &[Position]) -> Result<(), WriteError> {
        self.write_positions(pipeline, positions).await
    }

    async fn count_moved(&mut self, pipeline: &str, moves: &[Move]) -> Result<u64, WriteError> {
        self.count_positions(pipeline, moves).await
    }

    async fn commit(&mut self) -> Result<(), CommitError> {
        // Whatever `completion_type` says: end the transaction, start none, keep the connection.
        self.connection.execute("COMMIT AND NO CHAIN NO RELEASE").await.map(drop).map_err(commit_error)
    }

    async fn rollback(&mut self) -> Result<(), WriteError> {
        self.connection.execute("ROLLBACK AND NO CHAIN NO RELEASE").await.map(drop).map_err(write_error)
    }

    async fn close(self) {
        // The server ends the session either way.
        let _ = self.connection.close().await;
    }
}
