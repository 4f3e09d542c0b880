//! The tables of sections whose `name` has a placeholder: each is looked up, planned and checked like a fixed one when it
//! first appears, and remembered.
//!
//! All tables of a section are fed by one statement, so they must take the same columns in the same types as the first.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::config::{SourceColumn, Table};
use crate::retry::Disposition;
use crate::rows::{InputSchema, OutputColumn};
use crate::types::ColumnType;

use super::catalog::CatalogTable;
use super::destination::TableRows;
use super::error::WriteError;
use super::plan::TablePlan;
use super::planner;
use super::session::Session;

/// Each has its statements on every connection, and its metrics.
const MOST_TABLES: usize = 1_000;

/// What tables are planned from.
#[derive(Debug, Clone, Default)]
pub struct Sections {
    pub tables: Vec<Table>,
    pub queries: Vec<Option<Vec<OutputColumn>>>,
    pub columns: Vec<SourceColumn>,
    pub timezone: Option<String>,
    pub has_other_readers: bool,
}

impl Sections {
    /// Plans all sections, as if they were written like this.
    pub fn plan_of(&self, tables: &[Table], catalog: &[Option<CatalogTable>]) -> Result<planner::Planned, Vec<String>> {
        planner::plan(planner::Request {
            tables,
            catalog,
            queries: &self.queries,
            columns: &self.columns,
            timezone: self.timezone.as_deref(),
            other_readers: self.has_other_readers,
        })
    }
}

/// By section and name.
type Known = BTreeMap<(usize, Arc<str>), Arc<TablePlan>>;

/// The known tables of all sections with placeholders.
#[derive(Debug)]
pub struct Routes {
    sections: Sections,
    /// Of each section the table that the statements were fixed to.
    catalog: Vec<Option<CatalogTable>>,
    fixed: Vec<String>,
    input: Arc<InputSchema>,
    targets: Vec<Option<Vec<ColumnType>>>,
    /// By section and name, which is also the order in which they are written.
    known: Mutex<Known>,
}

impl Routes {
    pub fn new(
        sections: Sections,
        catalog: Vec<Option<CatalogTable>>,
        input: Arc<InputSchema>,
        targets: Vec<Option<Vec<ColumnType>>>,
    ) -> Self {
        let named = sections.tables.iter().zip(&catalog).filter(|(table, _)| table.route.is_none());
        let fixed = named.filter_map(|(_, found)| Some(found.as_ref()?.full_name())).collect();
        Self { sections, catalog, fixed, input, targets, known: Mutex::default() }
    }

    /// Of a pipeline whose tables all have plain names.
    pub fn none(input: Arc<InputSchema>) -> Self {
        Self::new(Sections::default(), Vec::new(), input, Vec::new())
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The tables of a section that are known so far.
    pub fn tables(&self, section: usize) -> Vec<Arc<TablePlan>> {
        self.known().iter().filter(|((of, _), _)| *of == section).map(|(_, plan)| plan.clone()).collect()
    }

    /// The plans of the tables that a batch names; `None`: the section has one table.
    ///
    /// # Errors
    /// `Block` where a table is not there or is not like the others.
    pub async fn resolve<S: Session>(
        &self,
        session: &mut S,
        tables: &[TableRows],
    ) -> Result<Vec<Option<Arc<TablePlan>>>, WriteError> {
        let mut plans = Vec::with_capacity(tables.len());
        for TableRows { table, name, .. } in tables {
            let Some(name) = name else {
                plans.push(None);
                continue;
            };
            let known = self.known().get(&(*table, name.clone())).cloned();
            plans.push(Some(match known {
                Some(plan) => plan,
                None => self.add(session, *table, name).await?.map_err(refused)?.0,
            }));
        }
        Ok(plans)
    }

    /// Looks a table up, checks and remembers it; with it what is seldom meant.
    pub async fn add<S: Session>(
        &self,
        session: &mut S,
        section: usize,
        name: &Arc<str>,
    ) -> Result<Result<(Arc<TablePlan>, Vec<String>), Vec<String>>, WriteError> {
        if self.known().len() >= MOST_TABLES {
            let problem = format!(
                "table {name} would be one more than the {MOST_TABLES} that a pipeline writes: narrow `tables`, or \
                 write several pipelines"
            );
            return Ok(Err(vec![problem]));
        }
        let table = &self.sections.tables[section];
        let full_name = table.route.as_ref().map_or_else(|| name.to_string(), |route| route.full_name(name));
        // A name that differs in case alone would be a second name of one table.
        let found = session.table(&full_name).await?.filter(|found| *found.name == **name);
        let mut plan = match self.plan(section, &full_name, found) {
            Ok(plan) => plan,
            Err(problems) => return Ok(Err(problems)),
        };
        let warnings = super::destination::find_index(session, &mut plan).await?;
        let problems = session.inspect_table(&plan).await?;
        if !problems.is_empty() {
            return Ok(Err(problems));
        }
        let plan = Arc::new(plan);
        self.known().insert((section, name.clone()), plan.clone());
        Ok(Ok((plan, warnings.into_iter().collect())))
    }

    fn plan(&self, section: usize, name: &str, found: Option<CatalogTable>) -> Result<TablePlan, Vec<String>> {
        let template = &self.sections.tables[section].name;
        if let Some(found) = &found {
            let full_name = found.full_name();
            let is_taken = |((of, _), plan): (&(usize, Arc<str>), &Arc<TablePlan>)| {
                *of != section && plan.table.full_name() == full_name
            };
            if self.fixed.contains(&full_name) || self.known().iter().any(is_taken) {
                return Err(vec![format!(
                    "table {full_name} is named by {template} and written by another [[table]]: two writers of one \
                     table would undo each other; narrow `tables`"
                )]);
            }
        }
        let mut tables = self.sections.tables.clone();
        name.clone_into(&mut tables[section].name);
        let mut catalog = self.catalog.clone();
        catalog[section] = found;
        let mut planned = self.sections.plan_of(&tables, &catalog)?;
        if *planned.input != *self.input || planned.targets != self.targets {
            let first = self.catalog[section].as_ref().map_or_else(String::new, CatalogTable::full_name);
            return Err(vec![format!(
                "table {name}: its columns or their types are not those of {first}, and all tables of {template} are \
                 filled by the same rows: make them alike, or write a [[table]] of its own for it"
            )]);
        }
        Ok(planned.tables.swap_remove(section))
    }
}

fn refused(problems: Vec<String>) -> WriteError {
    WriteError::new(Disposition::Block, "target-table", "", problems.join("; ")).answered()
}
