//! The SQL front: one statement's text to typed expressions, or every mistake in it.
//!
//! A crate of its own because the engine's SQL planner is generic over who asks it: it is compiled here, once, at a
//! level that suits code that runs once at start.
//!
//! ```text
//! parse.rs      text -> the one SELECT that is allowed; every other clause and statement is refused by name
//! resolve.rs    names -> columns, functions, UNNESTs; what no expression may hold is refused
//! rewrite.rs    headers, JSON's operators, UNNEST -> columns and calls
//! join.rs       JOIN: lookups, and the expressions that give their keys
//! grouped.rs    GROUP BY: which outputs are keys, which are aggregates
//! typed.rs      syntax -> typed expressions, by the engine; the smallest part that it refuses is the mistake
//! types.rs      SQL's type names -> columns' types
//! functions.rs  which functions there are
//! near.rs       what was probably meant
//! ```

#![warn(missing_docs)]

mod functions;
mod grouped;
mod join;
mod near;
mod parse;
mod resolve;
mod rewrite;
mod typed;
mod types;

use std::sync::Arc;

use arrow_schema::FieldRef;
use datafusion_common::DFSchemaRef;
use datafusion_expr::{Expr, ScalarUDF};

pub use functions::groups as function_groups;

/// The key of a field's metadata that tells apart types that travel alike: the value is the type's name.
pub const KIND: &str = "tidegate.kind";
/// The [`KIND`] of JSON documents, which travel as text.
pub const JSON: &str = "json";
/// The [`KIND`] of UUIDs, which travel as 16 bytes.
pub const UUID: &str = "uuid";
/// The [`KIND`] of decimals of any size, which travel as text and cannot be computed with.
pub const NUMERIC: &str = "decimal";

/// One mistake, with its place and what mends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Counts from 1 inside the statement's text.
    pub line: usize,
    /// Counts characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What to write or do instead.
    pub cure: String,
}

/// The aggregates whose partial results a table can merge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Aggregate {
    /// `sum(x)`
    Sum,
    /// `count(x)`, and `count(*)` as the count of a constant
    Count,
    /// `min(x)`
    Min,
    /// `max(x)`
    Max,
    /// `bit_or(x)`
    BitOr,
    /// `first(x ORDER BY t)`: only brought together by the table, never within a batch.
    First,
    /// `last(x ORDER BY t)`: as `First`.
    Last,
    /// `json_merge(x)`: as `First`.
    JsonMerge,
}

impl Aggregate {
    /// As SQL writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sum => "sum",
            Self::Count => "count",
            Self::Min => "min",
            Self::Max => "max",
            Self::BitOr => "bit_or",
            Self::First => "first",
            Self::Last => "last",
            Self::JsonMerge => "json_merge",
        }
    }
}

/// How a statement may aggregate: for a merging table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MergedColumn {
    /// The table's column.
    pub name: String,
    /// Its merge function by its name in the file.
    pub function: String,
    /// The aggregates whose partial results that function brings together.
    pub takes: Vec<Aggregate>,
    /// Of `first` and `last`: the column that keeps the order of the value.
    pub by: Option<String>,
}

/// A table that records are joined with, one row at most for each key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lookup {
    /// What stands after JOIN.
    pub name: String,
    /// Names of `columns`.
    pub key: Vec<String>,
    /// What there is, each with its type.
    pub columns: Vec<FieldRef>,
}

/// What is asked.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The statement.
    pub sql: &'a str,
    /// What `INSERT INTO` must name.
    pub output: &'a str,
    /// The input's columns; what `*` stands for.
    pub columns: &'a [FieldRef],
    /// Columns beside those of `*`.
    pub pseudo: &'a [FieldRef],
    /// Names beside `input` that may stand after FROM.
    pub topics: &'a [String],
    /// What may stand after JOIN.
    pub lookups: &'a [Lookup],
    /// `Some`: a merging table's columns that are not key.
    pub merged: Option<&'a [MergedColumn]>,
    /// Functions beside the engine's, and instead of them where they have the same name.
    pub functions: &'a [Arc<ScalarUDF>],
}

/// A statement with every name resolved and every type known.
#[derive(Debug, Clone)]
pub struct Statement {
    /// The columns of `Request::columns` and `pseudo`, of the named headers, of the lookups and of the UNNESTs.
    pub schema: DFSchemaRef,
    /// Only this topic's records are meant.
    pub topic: Option<String>,
    /// In the order of the statement: the keys of each may name columns of those before it.
    pub joins: Vec<Join>,
    /// WHERE, and that the rows of each JOIN that is no LEFT JOIN were found.
    pub filter: Option<Expr>,
    /// Lists; the elements of the n-th are the column [`unnested`]`(n)` of `outputs`.
    pub unnests: Vec<Expr>,
    /// In the order of the statement.
    pub outputs: Vec<Output>,
    /// Is there an aggregate or a GROUP BY?
    pub grouped: bool,
    /// The headers that `_headers['x']` names; each is the column [`header`]`(x)`.
    pub headers: Vec<String>,
}

/// A lookup that is joined.
#[derive(Debug, Clone)]
pub struct Join {
    /// Index into `Request::lookups`.
    pub lookup: usize,
    /// Equal for equal lookups by equal keys, in all statements: its columns are called [`joined`]`(id, column)`.
    pub id: String,
    /// One per column of the lookup's key, in that order.
    pub keys: Vec<Output>,
}

/// One column of the result.
#[derive(Debug, Clone)]
pub struct Output {
    /// Its name.
    pub name: String,
    /// As the statement writes it.
    pub text: String,
    /// Its value; of an aggregate, the argument's.
    pub expr: Expr,
    /// Type and nullability of `expr`.
    pub field: FieldRef,
    /// `Some`: the aggregate of `expr`'s values.
    pub aggregate: Option<Aggregate>,
    /// Where it is written.
    pub line: usize,
    /// As `line`.
    pub column: usize,
}

/// The name of the column that holds a header.
pub fn header(name: &str) -> String {
    format!("_headers['{name}']")
}

/// The name of a lookup's column; `id` is [`Join::id`].
pub fn joined(id: &str, column: &str) -> String {
    format!("{id}.{column}")
}

/// The name of the column that says whether a lookup's row was found.
pub fn found(id: &str) -> String {
    format!("{id} IS FOUND")
}

/// The name of the column that holds the elements of the n-th UNNEST.
pub fn unnested(index: usize) -> String {
    format!("UNNEST #{}", index + 1)
}

/// The mistakes found so far.
pub(crate) type Problems = Vec<Problem>;

/// Reads a statement.
///
/// # Errors
/// Every problem that can be found.
pub fn analyze(request: &Request) -> Result<Statement, Vec<Problem>> {
    let mut problems = Problems::new();
    let statement =
        parse::parse(request, &mut problems).and_then(|parsed| resolve::resolve(request, parsed, &mut problems));
    let statement = statement.and_then(|resolved| typed::typed(request, resolved, &mut problems));
    problems.sort_by_key(|problem| (problem.line, problem.column));
    problems.dedup();
    match statement {
        Some(statement) if problems.is_empty() => Ok(statement),
        _ => Err(problems),
    }
}
