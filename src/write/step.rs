//! What a table is asked to do, in order: the common language of the reduction and of the databases.

use arrow_array::RecordBatch;

#[cfg(doc)]
use super::plan::TablePlan;

/// One kind of statement over many rows.
#[derive(Debug, Clone)]
pub struct Step {
    pub action: Action,
    /// Indexes into [`TablePlan::columns`], one per column of `batch`, ascending: the columns that these rows have. An
    /// insert leaves the others to the database's defaults, an update to [`TablePlan::missing`]; there may be none at
    /// all, where a row is all defaults. For [`Action::Delete`] and [`Action::SoftDelete`] these are the key columns in
    /// the table's order.
    pub columns: Vec<usize>,
    /// The rows. For [`Action::SoftDelete`] one more column follows the key: the mark (a `Timestamp` in UTC
    /// microseconds, or true), whose type is the marking column's.
    pub batch: RecordBatch,
    /// For each row of `batch`, the index of its (last) record in the batch of records.
    pub origins: Vec<u32>,
}

/// What a step does with its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// The table's mode: append, insert-ignore, upsert, update or merge. No two rows of a keyed table's step share a
    /// key.
    Put,
    /// Apply RFC 7396 patches to documents of rows that are there: in mode merge, after the put of the same rows. Rows
    /// are their key and, in the other columns, patches; a null is none.
    Patch,
    /// Remove the rows with these keys.
    Delete,
    /// Remove the rows with these parent keys, see [`TablePlan::replace`]. The columns are those of the parent's key.
    Replace,
    /// Mark the rows with these keys.
    SoftDelete,
}

/// What became of a table's rows; see promise 4: produced = written + collapsed + filtered + stale + unmatched +
/// ignored + dead-lettered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RowCounts {
    /// Rows that the statements changed, deletes included.
    pub written: u64,
    /// Rows that a later row of the same key in the same batch replaced, or that were added to it.
    pub collapsed: u64,
    /// Rows older than the stored version.
    pub stale: u64,
    /// Updates and deletes that found no row.
    pub unmatched: u64,
    /// Rows that were already there (`insert-ignore`), and deletes where deletes are ignored.
    pub ignored: u64,
    /// Rows that the statement's WHERE left out, before they came here.
    pub filtered: u64,
    /// Rows that were older on arrival than `retention` keeps them.
    pub expired: u64,
    /// Stored rows that were removed because their parent came again. No rows of the batch, so none of the total.
    pub replaced: u64,
}

impl RowCounts {
    /// All rows of the batch of which something became.
    pub fn total(&self) -> u64 {
        let Self { written, collapsed, stale, unmatched, ignored, filtered, expired, replaced: _ } = self;
        written + collapsed + stale + unmatched + ignored + filtered + expired
    }
}

impl std::ops::AddAssign for RowCounts {
    fn add_assign(&mut self, other: Self) {
        self.written += other.written;
        self.collapsed += other.collapsed;
        self.stale += other.stale;
        self.unmatched += other.unmatched;
        self.ignored += other.ignored;
        self.filtered += other.filtered;
        self.expired += other.expired;
        self.replaced += other.replaced;
    }
}
