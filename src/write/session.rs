//! What each database does in its own way. How these calls make exactly-once is in [`super::transaction`]; here
//! is only how one database says them.

use arrow_array::ArrayRef;
use async_trait::async_trait;

use crate::config::{Delivery, Sink};
use crate::dead_letter::DeadLetter;
use crate::lookup::Texts;
use crate::offsets::TopicPartition;

use super::catalog::{CatalogTable, Index};
use super::create::{Draft, NewTable};
use super::error::WriteError;
use super::lookup::LookupPlan;
use super::merged::Stored;
use super::plan::{RetentionPlan, TablePlan};
use super::step::{Action, Step};

/// One dedicated connection to one database. Never pooled, never shared, never cancelled and used again: after any
/// error whose `connection_usable` is false, and after any dropped call, it is dropped whole.
#[async_trait]
pub trait Session: Send + Sized + 'static {
    /// Connects and sets the session up: time zone UTC, strict modes, server-side time limits, TCP_NODELAY, and the
    /// schema of our own tables resolved.
    async fn connect(sink: &Sink, pipeline: &str) -> Result<Self, WriteError>;

    /// What an operator must know about the server before any data moves: refusals (a standby, a read-only server,
    /// a storage engine without transactions, a network file system) as `Err` with `Disposition::Block`, and
    /// warnings (weak durability settings) as sentences.
    async fn inspect_server(&mut self) -> Result<Vec<String>, WriteError>;

    /// Creates our own tables where they are missing (outside any data transaction), checks their version.
    /// `Block` with the DDL in the message where the right to create them is missing.
    async fn migrate(&mut self) -> Result<(), WriteError>;

    /// The table as the catalog has it, found by `name` (`table` or `schema.table`; exact match, else the only one
    /// that equals it but for case). `None`: there is no such table.
    async fn table(&mut self, name: &str) -> Result<Option<CatalogTable>, WriteError>;

    /// How this database would make a table; changes nothing. The inner error: what it cannot store, as sentences.
    async fn draft(&mut self, new: &NewTable) -> Result<Result<Draft, Vec<String>>, WriteError>;

    /// Makes a table, outside of any data transaction; one that is there by now is left alone. `Block` with the
    /// statement in the message where the right is missing.
    async fn create(&mut self, draft: &Draft) -> Result<(), WriteError>;

    /// The names of the tables in a schema; `None`: the connection's.
    async fn table_names(&mut self, schema: Option<&str>) -> Result<Vec<String>, WriteError>;

    /// Checks that belong to this database alone: rights on the table, the storage engine, extra unique indexes
    /// where `ON DUPLICATE KEY` would fire on them. Every problem as a sentence with its cure.
    async fn inspect_table(&mut self, plan: &TablePlan) -> Result<Vec<String>, WriteError>;

    /// The indexes of a table that a search by its columns can use: over all rows.
    async fn indexes(&mut self, table: &CatalogTable) -> Result<Vec<Index>, WriteError>;

    /// An action's statement over rows that have `columns`, for people: of one row where their number is part of it.
    fn statement(&self, plan: &TablePlan, action: Action, columns: &[usize]) -> Option<String>;

    /// The texts of a lookup's rows of these keys, in any order; rows that the database's collation takes for equal may be
    /// among them. `keys`: one array per key column, of the catalog's types.
    async fn lookup(&mut self, plan: &LookupPlan, keys: &[ArrayRef]) -> Result<Vec<Texts>, WriteError>;

    /// Deletes at most `rows` rows whose time is before `limit` (text, in UTC), by a transaction of its own; how many.
    async fn expire(
        &mut self,
        plan: &TablePlan,
        retention: &RetentionPlan,
        limit: &str,
        rows: u32,
    ) -> Result<u64, WriteError>;

    /// A value of `tidegate_meta`.
    async fn meta(&mut self, name: &str) -> Result<Option<String>, WriteError>;

    /// Puts a value into `tidegate_meta` if it still is `old` (`None`: if there is none), by a transaction of its own.
    async fn swap_meta(&mut self, name: &str, old: Option<&str>, new: &str) -> Result<bool, WriteError>;

    /// Starts a transaction at READ COMMITTED (SQLite: IMMEDIATE).
    async fn begin(&mut self) -> Result<(), WriteError>;

    /// Starts a transaction that will be rolled back. It waits for locks so shortly that it gives up before a
    /// transaction that waits for it is looked at for a deadlock.
    async fn begin_trial(&mut self) -> Result<(), WriteError>;

    /// Has the constraints checked that would be at COMMIT, where the database can.
    async fn settle(&mut self) -> Result<(), WriteError> {
        Ok(())
    }

    /// The compare-and-set of all positions of a batch, in one set-based statement: each row moves from `expected`
    /// to `next` only while `epoch` is still its owner's. Returns how many rows moved.
    async fn advance(&mut self, pipeline: &str, moves: &[Move]) -> Result<u64, WriteError>;

    /// Applies one step to one table. Returns how many rows the server says it changed (inserts + matched updates +
    /// deletes), normalised so that each row counts at most once. Large steps are split into statements inside.
    async fn apply(&mut self, plan: &TablePlan, step: &Step) -> Result<u64, WriteError>;

    /// The rows of the keys in `keys`, which this transaction has merged into: for each of its rows the stored values
    /// of `columns` (indexes into [`TablePlan::columns`]) as text in the forms of [`super::texts`].
    async fn read(&mut self, plan: &TablePlan, keys: &Step, columns: &[usize]) -> Result<Vec<Stored>, WriteError>;

    /// Stores dead letters; one that is already there (same pipeline, topic, partition and offset) stays as it is.
    async fn store_dead_letters(&mut self, pipeline: &str, letters: &[DeadLetter]) -> Result<(), WriteError>;

    /// Stores that offsets were lost before they could be read.
    async fn store_gap(&mut self, pipeline: &str, gap: &Gap) -> Result<(), WriteError>;

    /// The rows of `tidegate_positions` of this pipeline, locked until the transaction ends (`FOR UPDATE`), so
    /// that an open transaction of somebody else is waited for and its outcome seen.
    async fn lock_positions(&mut self, pipeline: &str) -> Result<Vec<Position>, WriteError>;

    /// Inserts positions that are not there yet; those that are stay as they are.
    async fn insert_positions(&mut self, pipeline: &str, positions: &[Position]) -> Result<(), WriteError>;

    /// Writes `next_offset`, `cluster_id`, `topic_id`, `owner_epoch` and `owner` of positions whose rows are locked.
    async fn update_positions(&mut self, pipeline: &str, positions: &[Position]) -> Result<(), WriteError>;

    /// In this transaction, before COMMIT: how many of `moves` are stored as moved (epoch and next offset)? Anything
    /// but all of them means that the transaction is not the one we think it is.
    async fn count_moved(&mut self, pipeline: &str, moves: &[Move]) -> Result<u64, WriteError>;

    async fn commit(&mut self) -> Result<(), CommitError>;

    async fn rollback(&mut self) -> Result<(), WriteError>;

    async fn close(self);
}

/// Why a COMMIT gave no clean answer.
#[derive(Debug, Clone)]
pub enum CommitError {
    /// The server said that it rolled back.
    Aborted(WriteError),
    /// Nobody knows: a lost connection, a time-out, a shutdown. Only a locking re-read of the positions tells.
    Unknown(WriteError),
}

/// One partition's part of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    pub partition: TopicPartition,
    pub epoch: i64,
    pub expected: i64,
    pub next: i64,
}

/// A row of `tidegate_positions`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    pub partition: TopicPartition,
    /// The next offset to read.
    pub next_offset: i64,
    pub cluster_id: String,
    /// KIP-516, base64; empty where the broker has none.
    pub topic_id: String,
    pub owner_epoch: i64,
    /// Who claimed it last: host, process and a random part.
    pub owner: String,
}

/// Offsets that were gone before they could be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    pub partition: TopicPartition,
    pub from: i64,
    pub to: i64,
    pub reason: String,
}

/// What the sessions of a pipeline have in common.
pub fn keeps_positions(delivery: Delivery) -> bool {
    delivery == Delivery::ExactlyOnce
}
