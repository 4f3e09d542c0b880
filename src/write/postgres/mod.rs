//! PostgreSQL: one dedicated connection, binary COPY and arrays, SQLSTATE read in one place.

use std::collections::HashMap;

use arrow_array::ArrayRef;
use async_trait::async_trait;
use sqlx::{Connection as _, PgConnection, raw_sql};

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

use self::errors::{commit_error, write_error};

mod apply;
mod catalog;
mod connect;
mod create;
mod encode;
mod errors;
mod ledger;
mod literal;
mod lookup;
mod merge;
mod migrations;
mod numeric;
mod positions;
mod query;
mod retention;
mod statements;
mod stored;
mod wire;

pub use apply::statement;
pub use create::draft;
pub use migrations::ddl;

/// A connection to PostgreSQL 12 or newer.
pub struct PostgresSession {
    connection: PgConnection,
    /// The schema of our own tables, as it is and quoted.
    schema: String,
    quoted_schema: String,
    /// Tables that were appended to on this connection, by schema and name: do they take a COPY?
    takes_copy: HashMap<(Option<String>, String), bool>,
}

impl PostgresSession {
    async fn can_copy(&mut self, plan: &TablePlan, step: &Step) -> Result<bool, WriteError> {
        if !apply::is_copy(plan, step) {
            return Ok(false);
        }
        let table = (plan.table.schema.clone(), plan.table.name.clone());
        if let Some(&known) = self.takes_copy.get(&table) {
            return Ok(known);
        }
        let takes = catalog::takes_copy(&mut self.connection, plan).await.map_err(write_error)?;
        self.takes_copy.insert(table, takes);
        Ok(takes)
    }
}

#[async_trait]
impl Session for PostgresSession {
    async fn connect(sink: &Sink, pipeline: &str) -> Result<Self, WriteError> {
        let (connection, schema) = connect::connect(sink, pipeline).await?;
        let quoted_schema = statements::quote(&schema);
        Ok(Self { connection, schema, quoted_schema, takes_copy: HashMap::new() })
    }

    async fn inspect_server(&mut self) -> Result<Vec<String>, WriteError> {
        connect::inspect(&mut self.connection).await
    }

    async fn migrate(&mut self) -> Result<(), WriteError> {
        migrations::migrate(&mut self.connection, &self.schema).await
    }

    async fn table(&mut self, name: &str) -> Result<Option<CatalogTable>, WriteError> {
        catalog::table(&mut self.connection, name).await.map_err(write_error)
    }

    async fn draft(&mut self, new: &NewTable) -> Result<Result<Draft, Vec<String>>, WriteError> {
        Ok(draft(new, &create::schema(&mut self.connection).await?))
    }

    async fn create(&mut self, draft: &Draft) -> Result<(), WriteError> {
        create::create(&mut self.connection, draft).await
    }

    async fn table_names(&mut self, schema: Option<&str>) -> Result<Vec<String>, WriteError> {
        catalog::table_names(&mut self.connection, schema).await.map_err(write_error)
    }

    async fn inspect_table(&mut self, plan: &TablePlan) -> Result<Vec<String>, WriteError> {
        catalog::missing_rights(&mut self.connection, plan).await.map_err(write_error)
    }

    async fn indexes(&mut self, table: &CatalogTable) -> Result<Vec<Index>, WriteError> {
        catalog::indexes(&mut self.connection, table).await.map_err(write_error)
    }

    fn statement(&self, plan: &TablePlan, action: Action, columns: &[usize]) -> Option<String> {
        statement(plan, action, columns)
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
        retention::meta(&mut self.connection, &self.quoted_schema, name).await.map_err(write_error)
    }

    async fn swap_meta(&mut self, name: &str, old: Option<&str>, new: &str) -> Result<bool, WriteError> {
        let swapped = retention::swap_meta(&mut self.connection, &self.quoted_schema, name, old, new);
        swapped.await.map_err(write_error)
    }

    async fn begin(&mut self) -> Result<(), WriteError> {
        let begin = raw_sql("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE");
        begin.execute(&mut self.connection).await.map(drop).map_err(write_error)
    }

    async fn begin_trial(&mut self) -> Result<(), WriteError> {
        // Below deadlock_timeout (1 s by default), after which a session that waits for us would look for a deadlock.
        let begin = raw_sql(
            "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SET LOCAL lock_timeout = '500ms';
             SET LOCAL statement_timeout = '20s'",
        );
        begin.execute(&mut self.connection).await.map(drop).map_err(write_error)
    }

    async fn settle(&mut self) -> Result<(), WriteError> {
        let now = raw_sql("SET CONSTRAINTS ALL IMMEDIATE");
        now.execute(&mut self.connection).await.map(drop).map_err(write_error)
    }

    async fn advance(&mut self, pipeline: &str, moves: &[Move]) -> Result<u64, WriteError> {
        positions::advance(&mut self.connection, &self.quoted_schema, pipeline, moves).await.map_err(write_error)
    }

    async fn apply(&mut self, plan: &TablePlan, step: &Step) -> Result<u64, WriteError> {
        if step.batch.num_rows() == 0 {
            return Ok(0);
        }
        if self.can_copy(plan, step).await? {
            apply::copy(&mut self.connection, plan, step).await
        } else {
            apply::apply(&mut self.connection, plan, step).await
        }
    }

    async fn read(&mut self, plan: &TablePlan, keys: &Step, columns: &[usize]) -> Result<Vec<Stored>, WriteError> {
        stored::read(&mut self.connection, plan, keys, columns).await
    }

    async fn store_dead_letters(&mut self, pipeline: &str, letters: &[DeadLetter]) -> Result<(), WriteError> {
        let stored = positions::store_dead_letters(&mut self.connection, &self.quoted_schema, pipeline, letters);
        stored.await.map_err(write_error)
    }

    async fn store_gap(&mut self, pipeline: &str, gap: &Gap) -> Result<(), WriteError> {
        positions::store_gap(&mut self.connection, &self.quoted_schema, pipeline, gap).await.map_err(write_error)
    }

    async fn lock_positions(&mut self, pipeline: &str) -> Result<Vec<Position>, WriteError> {
        positions::lock(&mut self.connection, &self.quoted_schema, pipeline).await
    }

    async fn insert_positions(&mut self, pipeline: &str, positions: &[Position]) -> Result<(), WriteError> {
        let stored = positions::insert(&mut self.connection, &self.quoted_schema, pipeline, positions);
        stored.await.map_err(write_error)
    }

    async fn update_positions(&mut self, pipeline: &str, positions: &[Position]) -> Result<(), WriteError> {
        let stored = positions::update(&mut self.connection, &self.quoted_schema, pipeline, positions);
        stored.await.map_err(write_error)
    }

    async fn count_moved(&mut self, pipeline: &str, moves: &[Move]) -> Result<u64, WriteError> {
        positions::count_moved(&mut self.connection, &self.quoted_schema, pipeline, moves).await.map_err(write_error)
    }

    async fn commit(&mut self) -> Result<(), CommitError> {
        // Also Ok where the server answers ROLLBACK to the COMMIT of a transaction that had failed, which the driver
        // does not tell. No transaction gets here after an error, and `count_moved` has looked.
        raw_sql("COMMIT").execute(&mut self.connection).await.map(drop).map_err(commit_error)
    }

    async fn rollback(&mut self) -> Result<(), WriteError> {
        raw_sql("ROLLBACK").execute(&mut self.connection).await.map(drop).map_err(write_error)
    }

    async fn close(self) {
        // The server notices a dead connection by itself.
        let _ = self.connection.close().await;
    }
}
