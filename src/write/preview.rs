//! What would be done to the tables, for people: the statements that create them, and those that write them.

use crate::config::{Database, Pipeline, Sink};
use crate::rows::OutputColumn;

use super::create::{Draft, NewTable, design};
use super::destination::Prepared;
use super::plan::TablePlan;
use super::{mysql, planner, postgres, sqlite};

/// What a pipeline would do.
pub struct Preview {
    pub prepared: Prepared,
    /// One per `[[table]]`.
    pub tables: Vec<TablePreview>,
}

/// What would be done to one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TablePreview {
    /// What creates it, where it is not there.
    pub ddl: Option<String>,
    /// What writes it: with places for the values, of one row where their number is part of the statement.
    pub statements: Vec<String>,
}

/// What the file alone says: every table as it would be created. `queries` as in [`super::open`].
///
/// # Errors
/// What is missing for it, or wrong, as sentences with their cures.
pub fn preview(
    pipeline: &Pipeline,
    sink: &Sink,
    queries: &[Option<Vec<OutputColumn>>],
) -> Result<Preview, Vec<String>> {
    let mut problems = Vec::new();
    let mut drafts: Vec<Draft> = Vec::with_capacity(pipeline.tables.len());
    for (table, query) in pipeline.tables.iter().zip(queries) {
        let new = design(table, query.as_deref(), &pipeline.source.columns);
        match new.and_then(|new| draft(sink, &new)) {
            Ok(draft) => drafts.push(draft),
            Err(told) => problems.extend(told),
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let catalog: Vec<_> = drafts.iter().map(|draft| Some(draft.table.clone())).collect();
    let planned = planner::plan(planner::Request {
        tables: &pipeline.tables,
        catalog: &catalog,
        queries,
        columns: &pipeline.source.columns,
        timezone: pipeline.source.timezone.as_deref(),
        other_readers: !pipeline.checks.is_empty() || !pipeline.topics.is_empty(),
    })?;
    let statement = |plan: &TablePlan| match sink.database {
        Database::Postgres => statements(plan, postgres::statement),
        Database::MySql => {
            let flavor = server(sink).flavor;
            statements(plan, |plan, action, columns| Some(mysql::statement(flavor, plan, action, columns)))
        }
        Database::Sqlite => statements(plan, |plan, action, columns| Some(sqlite::statement(plan, action, columns))),
    };
    let of_table =
        |(plan, draft): (&TablePlan, Draft)| TablePreview { ddl: Some(draft.sql), statements: statement(plan) };
    let tables = planned.tables.iter().zip(drafts).map(of_table).collect();
    Ok(Preview { prepared: planned.into(), tables })
}

/// What is done to a table, each as one statement.
pub fn statements(
    plan: &TablePlan,
    one: impl Fn(&TablePlan, super::step::Action, &[usize]) -> Option<String>,
) -> Vec<String> {
    plan.actions().into_iter().filter_map(|(action, columns)| one(plan, action, &columns)).collect()
}

fn draft(sink: &Sink, new: &NewTable) -> Result<Draft, Vec<String>> {
    match sink.database {
        // Where a role looks first unless it was told otherwise.
        Database::Postgres => postgres::draft(new, "public"),
        Database::MySql => {
            let url = url::Url::parse(sink.url.expose()).ok();
            let database = url.as_ref().map_or("", |url| url.path().trim_start_matches('/'));
            mysql::draft(new, server(sink), database)
        }
        Database::Sqlite => sqlite::draft(new),
    }
}

/// What the URL says of the server.
fn server(sink: &Sink) -> mysql::Server {
    let is_mariadb = sink.url.expose().starts_with("mariadb:");
    let flavor = if is_mariadb { mysql::Flavor::MariaDb } else { mysql::Flavor::MySql };
    mysql::Server { flavor, has_uuid: is_mariadb }
}
