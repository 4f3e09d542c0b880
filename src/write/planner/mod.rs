//! Brings `[[table]]`, `[source.columns]` and the catalog together.
//!
//! Every writable column of a table is input, whether an event will hold it or not: what becomes of an absent field
//! is the table's `missing` to say. `[source.columns]` adds where a value is found and how it is written there.
//!
//! A table with `sql` gets what the statement gives, and nothing else.

mod imagined;
mod inputs;
mod key;
mod merge;
mod names;
mod outputs;
mod replace;
mod retention;
mod table;
#[cfg(test)]
mod tests;
mod types;

use std::sync::Arc;

use crate::config::{Route, SourceColumn, Table};
use crate::rows::{InputSchema, OutputColumn};
use crate::types::ColumnType;

pub use self::imagined::imagined;
use self::inputs::Inputs;
use self::outputs::Outputs;
use self::table::TablePlanner;
use super::catalog::CatalogTable;
use super::plan::TablePlan;

#[derive(Debug)]
pub struct Planned {
    /// What the tables without SQL need decoded.
    pub input: Arc<InputSchema>,
    /// One per `[[table]]`, in file order.
    pub tables: Vec<TablePlan>,
    /// Per `[[table]]`: the type that each column of its statement must have; `None` without SQL.
    pub targets: Vec<Option<Vec<ColumnType>>>,
    /// What works, but is seldom meant.
    pub warnings: Vec<String>,
}

/// What is brought together.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    pub tables: &'a [Table],
    /// What the database has under `tables[i].name`.
    pub catalog: &'a [Option<CatalogTable>],
    /// What the SQL of `tables[i]` gives.
    pub queries: &'a [Option<Vec<OutputColumn>>],
    pub columns: &'a [SourceColumn],
    pub timezone: Option<&'a str>,
    /// Are there checks, topics, a profile or private columns, which name declared columns that no table may have?
    pub other_readers: bool,
}

/// The statement that creates an index over `columns` of the plan.
pub fn create_index(plan: &TablePlan, columns: &[usize]) -> String {
    let names: Vec<&str> = columns.iter().map(|&column| plan.columns[column].column.name.as_str()).collect();
    names::create_index(&plan.table, &names)
}

/// Can a column of the type `stored` hold every value of another type? `without_types`: in SQLite, which stores many
/// types as text.
pub fn holds_every_value(value: &ColumnType, stored: &ColumnType, without_types: bool) -> bool {
    let fit = if without_types { types::decoded_without_types } else { types::decoded };
    fit(value, stored, true).is_some()
}

/// Plans all tables of a pipeline.
///
/// # Errors
/// Every problem, each a sentence with its cure.
pub fn plan(request: Request<'_>) -> Result<Planned, Vec<String>> {
    let Request { tables, catalog, queries, columns, timezone, other_readers } = request;
    let mut inputs = Inputs::new(columns, timezone.is_some());
    let (mut plans, mut targets) = (Vec::with_capacity(tables.len()), Vec::with_capacity(tables.len()));
    let mut findings = Findings::default();
    for ((table, found), query) in tables.iter().zip(catalog).zip(queries) {
        let Some(found) = found else {
            findings.problems.push(format!(
                "table {}: the database has no table of that name that this user can see: create it, or correct \
                 `name` (a table in another schema is written schema.table)",
                table.name
            ));
            continue;
        };
        let mut outputs = query.as_ref().map(|columns| Outputs::new(columns));
        let origin = match &mut outputs {
            Some(outputs) => Origin::Query(outputs),
            None => Origin::Record(&mut inputs),
        };
        plans.push(TablePlanner::new(table, found, origin, &mut findings).plan());
        let in_name: Vec<&str> = table.route.iter().flat_map(Route::columns).collect();
        targets.push(outputs.map(|outputs| outputs.into_targets(found, &in_name, &mut findings)));
    }
    if !other_readers && queries.iter().all(Option::is_none) {
        let in_names: Vec<&str> =
            tables.iter().filter_map(|table| table.route.as_ref()).flat_map(Route::columns).collect();
        inputs.check_all_used(catalog, &in_names, &mut findings.problems);
    }
    if !findings.problems.is_empty() {
        return Err(findings.problems);
    }
    let input = InputSchema::new(inputs.into_columns(), timezone.map(str::to_owned));
    Ok(Planned { input, tables: plans, targets, warnings: findings.warnings })
}

/// Where the rows of a table come from.
enum Origin<'a, 'i> {
    /// The record's fields.
    Record(&'a mut Inputs<'i>),
    /// The table's own statement.
    Query(&'a mut Outputs<'i>),
}

impl Origin<'_, '_> {
    /// The declaration or the statement's column for a column of the table.
    fn wanted(&mut self, table: &CatalogTable, column: usize) -> Option<usize> {
        match self {
            Self::Record(inputs) => inputs.declaration(table, column),
            Self::Query(outputs) => outputs.find(table, column).map(|(output, _)| output),
        }
    }

    /// The table cannot write it: why.
    fn refuse(&mut self, wanted: usize, reason: String) {
        match self {
            Self::Record(inputs) => inputs.refuse(wanted, reason),
            Self::Query(outputs) => outputs.refuse(wanted, reason),
        }
    }

    /// It is wrong for a reason that was told.
    fn forgive(&mut self, wanted: usize) {
        match self {
            Self::Record(inputs) => inputs.forgive(wanted),
            Self::Query(outputs) => outputs.forgive(wanted),
        }
    }

    /// The type in which the values of a [`PlanColumn::input`](super::plan::PlanColumn) come.
    fn ty(&self, source: usize) -> Option<&ColumnType> {
        match self {
            Self::Record(inputs) => Some(inputs.decoded(source)),
            Self::Query(outputs) => outputs.target(source),
        }
    }
}

/// What is to be told to the operator.
#[derive(Default)]
struct Findings {
    problems: Vec<String>,
    warnings: Vec<String>,
}
