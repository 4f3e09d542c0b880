//! What follows from the rows that a transaction merged: all that the transaction and the SQL of `from` know of each
//! other.

use std::sync::Arc;

use arrow_array::ArrayRef;

use crate::rows::Rows;
use crate::types::ColumnType;

/// A column of a merge table that followers read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Index into the columns of the table's plan.
    pub column: usize,
    /// The type in which they want it.
    pub ty: ColumnType,
    /// Do they want to know what was added, too?
    pub has_delta: bool,
}

/// The rows that a transaction merged into one table, as they are stored now: one per stored row, in the order of
/// their records.
#[derive(Debug, Clone)]
pub struct Merged {
    /// One per wanted column.
    pub totals: Vec<ArrayRef>,
    /// One per wanted column with a delta, in their order: what this transaction added, never null.
    pub deltas: Vec<ArrayRef>,
    /// One per row: its last record, as an index in the batch of records. Never decreasing.
    pub origins: Vec<u32>,
}

/// What a table gets that follows a merge table.
#[derive(Debug, Clone)]
pub struct Following {
    pub rows: Arc<Rows>,
    /// Rows that WHERE left out.
    pub filtered: u64,
}

/// What a transaction calls between its statements. One per transaction: it begins with nothing merged.
pub trait Followers: Send + Sync {
    /// What is read back of a table; `None`: nothing follows from it.
    fn wanted(&self, table: usize) -> Option<&[Wanted]>;

    /// Takes what was merged into a table, after its last statement.
    ///
    /// # Errors
    /// Nothing can follow from it. No record is to blame, for totals have many.
    fn take(&self, table: usize, merged: Merged) -> Result<(), Unfollowed>;

    /// The rows of a table that follows one before it; `None`: it follows none.
    fn rows(&self, table: usize) -> Option<Following>;
}

/// Why nothing follows from merged rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfollowed {
    /// For metrics: a word that does not change.
    pub class: &'static str,
    /// What happened, and what mends it; never a value.
    pub message: String,
}
