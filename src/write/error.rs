//! What went wrong with a database, in the operator's words.

use std::fmt;

use crate::offsets::TopicPartition;
use crate::outbox::Undelivered;
use crate::retry::Disposition;

/// A failed piece of work at the database. Its text never holds a row's value: the servers' messages and details do
/// (`Key (email)=(..)`), so each database's `errors` module writes its own sentence from the code and the names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriteError {
    pub disposition: Disposition,
    /// The stable name of the kind: `connection`, `deadlock`, `not-null`, `unique`, `out-of-range`, `no-privilege`,
    /// `missing-table`, `read-only`, `disk-full` ...
    pub class: &'static str,
    /// SQLSTATE (PostgreSQL), error number (MySQL) or extended result code (SQLite); empty where there is none.
    pub code: String,
    /// What happened, and what mends it. One or two sentences.
    pub message: String,
    pub table: Option<String>,
    pub column: Option<String>,
    /// The record (index in the batch of records) that the server pointed at, where it did.
    pub suspect: Option<u32>,
    /// With [`Disposition::Fenced`]: the partitions that somebody else owns.
    pub fenced: Vec<TopicPartition>,
    /// May the connection be used again? Only after an answered error and an answered ROLLBACK.
    pub connection_usable: bool,
}

impl WriteError {
    pub fn new(
        disposition: Disposition,
        class: &'static str,
        code: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            disposition,
            class,
            code: code.into(),
            message: message.into(),
            table: None,
            column: None,
            suspect: None,
            fenced: Vec::new(),
            connection_usable: false,
        }
    }

    /// After a server's error answer: the connection is in a known state once ROLLBACK is answered.
    pub fn answered(mut self) -> Self {
        self.connection_usable = true;
        self
    }

    pub fn on_table(mut self, table: impl Into<String>) -> Self {
        self.table.get_or_insert(table.into());
        self
    }

    pub fn on_column(mut self, column: impl Into<String>) -> Self {
        self.column.get_or_insert(column.into());
        self
    }
}

/// Nothing went wrong at the server, whose transaction waits to be rolled back.
impl From<Undelivered> for WriteError {
    fn from(undelivered: Undelivered) -> Self {
        let Undelivered { disposition, class, message, suspect, column } = undelivered;
        Self { suspect, column, ..Self::new(disposition, class, "", message).answered() }
    }
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(table) = &self.table {
            write!(f, "table {table}: ")?;
        }
        f.write_str(&self.message)?;
        if !self.code.is_empty() {
            write!(f, " ({})", self.code)?;
        }
        Ok(())
    }
}

impl std::error::Error for WriteError {}
