//! Brings `[[table]]`, `[source.columns]` and the catalog together.
//!
//! Every writable column of a table is input, whether an event will hold it or not: what becomes of an absent field
//! is the table's `missing` to say. `[source.columns]` adds where a value is found and how it is written there.

mod inputs;
mod key;
mod names;
mod table;
#[cfg(test)]
mod tests;
mod types;

use std::sync::Arc;

use crate::config::{SourceColumn, Table};
use crate::rows::InputSchema;

use self::inputs::Inputs;
use self::table::TablePlanner;
use super::catalog::CatalogTable;
use super::plan::TablePlan;

#[derive(Debug)]
pub struct Planned {
    pub input: Arc<InputSchema>,
    /// One per `[[table]]`, in file order.
    pub tables: Vec<TablePlan>,
    /// What works, but is seldom meant.
    pub warnings: Vec<String>,
}

/// Plans all tables of a pipeline; `catalog[i]` is what the database has under `tables[i].name`.
///
/// # Errors
/// Every problem, each a sentence with its cure.
pub fn plan(
    tables: &[Table],
    catalog: &[Option<CatalogTable>],
    columns: &[SourceColumn],
    timezone: Option<String>,
) -> Result<Planned, Vec<String>> {
    let mut inputs = Inputs::new(columns, timezone.is_some());
    let mut plans = Vec::with_capacity(tables.len());
    let mut findings = Findings::default();
    for (table, found) in tables.iter().zip(catalog) {
        match found {
            Some(found) => plans.push(TablePlanner::new(table, found, &mut inputs, &mut findings).plan()),
            None => findings.problems.push(format!(
                "table {}: the database has no table of that name that this user can see: create it, or correct \
                 `name` (a table in another schema is written schema.table)",
                table.name
            )),
        }
    }
    inputs.check_all_used(catalog, &mut findings.problems);
    if !findings.problems.is_empty() {
        return Err(findings.problems);
    }
    Ok(Planned { input: InputSchema::new(inputs.into_columns(), timezone), tables: plans, warnings: findings.warnings })
}

/// What is to be told to the operator.
#[derive(Default)]
struct Findings {
    problems: Vec<String>,
    warnings: Vec<String>,
}
