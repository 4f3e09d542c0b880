//! Transform: SQL over columns. The only folder that names the query engine.
//!
//! ```text
//! plan.rs       text and typed columns -> a plan, or every mistake in it; pure
//! compile.rs    a plan, the decoder's schema and the target's types -> what runs
//! run.rs        one batch: WHERE, UNNEST, results; bad records are found by halving
//! replace.rs    the columns by which a record's rows replace the stored ones
//! aggregate.rs  GROUP BY: the batch's part of each group
//! join.rs       lookups: the keys that a batch asks for, and their rows' columns
//! condition.rs  a check's condition: a statement with one result
//! explain.rs    what runs, in words
//! convert.rs    results into the target's types, checked
//! faults.rs     what a failed expression says, without any value
//! kinds.rs      columns' types on the engine's side and back
//! functions/    JSON, windows, time zones: what the engine lacks or does otherwise
//! ```
//!
//! The engine's part of the text is in the crate `tidegate-sql`.
//!
//! `plan` is pure: text and typed columns in, a plan or every problem out. `Plan::compile` fixes a plan to the
//! decoder's schema and to the types that the target wants; `Transform::run` is what a lane calls per batch.

mod aggregate;
mod compile;
mod condition;
mod convert;
mod explain;
mod faults;
mod functions;
mod join;
mod kinds;
mod plan;
mod replace;
mod run;
#[cfg(test)]
mod tests;

use crate::config::{Filtered, KeyFormat, Lookup, MergeColumn};
use crate::dead_letter::Fault;
use crate::keys::Keys;
use crate::rows::{InputColumn, OutputColumn, Rows};

pub use compile::Transform;
pub use condition::{Asked, Checked, CompiledCondition, Condition, condition};
pub use explain::{Explained, ExplainedOutput};
pub use join::{Asked as AskedKeys, Join, JoinPlan};
pub use plan::{Plan, PlanStep, plan};
/// One mistake in a statement, with its place inside the SQL text and what mends it.
pub use tidegate_sql::Problem as SqlProblem;

/// What a `[[table]]` or `[[topic]]` asks.
#[derive(Debug, Clone, Copy)]
pub struct Query<'a> {
    pub sql: &'a str,
    /// The section's `name`: what `INSERT INTO name (..) SELECT` must name, and what messages call it.
    pub output: &'a str,
    /// `mode = "merge"`: the function of each column that is not key.
    pub aggregates: Option<&'a [MergeColumn]>,
    /// The columns by which the rows of a record replace the stored ones; empty: they do not.
    pub replace: &'a [String],
    /// The columns of `input`: `[source.columns]`, every one with its type, or those of merged rows.
    pub inputs: &'a [InputColumn],
    /// The topics by their names: each may stand after FROM, for its own records; `input` is the records of all.
    pub topics: &'a [String],
    /// What may stand after JOIN, every column with its type.
    pub lookups: &'a [Lookup],
    /// Decides the type of `_key`: bytes or text.
    pub key_format: KeyFormat,
    /// What `hash` and `encrypt` may name.
    pub keys: &'a Keys,
    /// Is `input` merged rows, which have no topic, offset ..?
    pub follows: bool,
}

/// A batch after the statement.
#[derive(Debug, Clone)]
pub struct Transformed {
    /// One column per output, in that order.
    pub rows: Rows,
    /// Records that the statement failed on, none of whose rows is in `rows`: their index in the batch of records,
    /// ascending, and what is wrong with them.
    pub bad: Vec<(u32, Fault)>,
    /// Rows that WHERE left out.
    pub filtered: u64,
    /// Deletes that an aggregation has no use for.
    pub ignored: u64,
}
