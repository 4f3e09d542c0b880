//! A sink database, as the pipeline sees it.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;

use crate::config::{AllowedTables, Database, Lookup, Pipeline, Sink, Table};
use crate::dead_letter::DeadLetter;
use crate::events;
use crate::follow::Followers;
use crate::lease::Lease;
use crate::offsets::Offsets;
use crate::outbox::Outbox;
use crate::rows::{InputSchema, OutputColumn, Rows};
use crate::types::ColumnType;

use super::catalog::CatalogTable;
use super::claim::{self, ClaimOutcome, ClaimRequest};
use super::create::{Draft, design};
use super::error::WriteError;
use super::lookup::{self, LookupReader, LookupTable, SqlLookups, Tables};
use super::mysql::{self, MySqlSession};
use super::plan::TablePlan;
use super::planner::{self, Planned};
use super::postgres::{self, PostgresSession};
use super::preview::{Preview, TablePreview, statements};
use super::retention::{self, Retained};
use super::routes::{Routes, Sections};
use super::session::Session;
use super::sqlite::{self, SqliteSession};
use super::step::RowCounts;
use super::transaction::{SqlWriter, Work};
use super::trial::{SqlTrial, Trial};

/// A sink database: prepared once, claimed from at each assignment, written to by the lanes.
#[async_trait]
pub trait Destination: Send + Sync {
    /// Creates our own tables where they are missing, checks the server and the target tables, plans, and creates the
    /// tables that are to be. Repeated with backoff until it succeeds: nothing is consumed before.
    async fn prepare(&self) -> Result<Prepared, WriteError>;

    /// Checks as [`Destination::prepare`] does, but changes nothing. All problems at once, as sentences.
    async fn check(&self) -> Result<Result<Prepared, Vec<String>>, WriteError>;

    /// As [`Destination::check`], with every table that is not there as it would be created, whether it is to be or not.
    async fn preview(&self) -> Result<Result<Preview, Vec<String>>, WriteError>;

    /// Deletes old rows of the tables with `retention` that this owner has, for some seconds at most.
    async fn retain(&self, prepared: &Prepared, owner: &str) -> Result<Vec<Retained>, WriteError>;

    /// Creates our own tables.
    async fn migrate(&self) -> Result<(), WriteError>;

    /// Takes the ownership of partitions: raises their epochs and returns the positions to read from.
    async fn claim(&self, request: &ClaimRequest) -> Result<ClaimOutcome, WriteError>;

    /// A writer of its own connection, which it opens at its first batch.
    fn writer(&self, prepared: &Prepared) -> Box<dyn Writer>;

    /// A connection for transactions that are rolled back.
    fn trial(&self, prepared: &Prepared) -> Box<dyn Trial>;

    /// A reader of lookups, of its own connection, which it opens at its first question. Per lookup its table; `None`: it
    /// is a file.
    fn lookups(&self, tables: Vec<Option<LookupTable>>) -> Box<dyn LookupReader>;

    /// The tables of the pipeline's lookups, as the database has them.
    async fn lookup_tables(&self) -> Result<Tables, WriteError>;
}

/// What [`Destination::prepare`] found.
#[derive(Clone)]
pub struct Prepared {
    /// What the tables without SQL need decoded.
    pub input: Arc<InputSchema>,
    /// One per `[[table]]`, in file order.
    pub tables: Arc<[TablePlan]>,
    /// Per `[[table]]`: the type that each column of its statement must have; `None` without SQL.
    pub targets: Vec<Option<Vec<ColumnType>>>,
    /// The tables of sections whose name has a placeholder; `tables` has one of each.
    pub routes: Arc<Routes>,
    /// What the operator should know: weak durability, columns that nothing fills ...
    pub warnings: Vec<String>,
}

impl From<Planned> for Prepared {
    fn from(planned: Planned) -> Self {
        let Planned { input, tables, targets, warnings } = planned;
        let routes = Routes::new(Sections::default(), Vec::new(), input.clone(), targets.clone());
        Self { input, tables: tables.into(), targets, routes: Arc::new(routes), warnings }
    }
}

/// One dedicated connection and what it writes.
#[async_trait]
pub trait Writer: Send {
    /// One transaction: the fence, the rows, the dead letters, the positions. `Ok` only after the COMMIT is known to
    /// have happened, however long that takes to find out.
    ///
    /// Not to be cancelled by dropping the future while the writer lives on.
    async fn write(&mut self, batch: &Batch<'_>) -> Result<Durable, WriteError>;

    /// Closes the connection; the next batch opens a new one.
    async fn close(&mut self);
}

/// What one transaction holds.
pub struct Batch<'a> {
    /// What the commit moves the positions over.
    pub covered: &'a Offsets,
    /// The claims of the covered partitions.
    pub leases: &'a [Arc<Lease>],
    pub tables: &'a [TableRows],
    pub dead_letters: &'a [DeadLetter],
    /// What follows from the rows that are merged.
    pub follow: Option<&'a dyn Followers>,
    /// What must be delivered elsewhere before the COMMIT.
    pub outbox: Option<&'a dyn Outbox>,
    /// Apply the rows one after another as the records came, without reduction: how a batch that a constraint
    /// refused is tried before any record is called bad.
    pub in_order: bool,
}

/// Rows for one table.
pub struct TableRows {
    /// Index into [`Prepared::tables`].
    pub table: usize,
    /// Which table, without its schema, where the section's name has a placeholder.
    pub name: Option<Arc<str>>,
    pub rows: Arc<Rows>,
}

/// The receipt of a COMMIT. Only this folder can make one, and only a receipt moves Kafka's group offsets.
#[derive(Debug)]
pub struct Durable {
    offsets: Offsets,
    counts: Vec<RowCounts>,
}

impl Durable {
    pub(super) fn new(offsets: Offsets, counts: Vec<RowCounts>) -> Self {
        Self { offsets, counts }
    }

    /// What is in the database now.
    pub fn offsets(&self) -> &Offsets {
        &self.offsets
    }

    /// What became of the rows, per [`Batch::tables`] entry.
    pub fn counts(&self) -> &[RowCounts] {
        &self.counts
    }
}

/// The database of a pipeline. `queries`: what the SQL of each `[[table]]` gives. No connection is made yet.
pub fn open(pipeline: &Pipeline, sink: &Sink, queries: Vec<Option<Vec<OutputColumn>>>) -> Box<dyn Destination> {
    match sink.database {
        Database::Postgres => Box::new(SqlDestination::<PostgresSession>::new(pipeline, sink, queries)),
        Database::MySql => Box::new(SqlDestination::<MySqlSession>::new(pipeline, sink, queries)),
        Database::Sqlite => Box::new(SqlDestination::<SqliteSession>::new(pipeline, sink, queries)),
    }
}

/// The statements that create Tidegate's own tables, for an operator to run.
pub fn ddl(sink: &Sink) -> String {
    match sink.database {
        // Where the URL's role looks first unless it was told otherwise.
        Database::Postgres => postgres::ddl(sink.state_schema.as_deref().unwrap_or("public")),
        Database::MySql => {
            let url = url::Url::parse(sink.url.expose()).ok();
            let named = url.as_ref().map(|url| url.path().trim_start_matches('/').to_owned());
            mysql::ddl(sink.state_schema.as_deref().or(named.as_deref()).unwrap_or_default())
        }
        Database::Sqlite => sqlite::ddl(),
    }
}

/// What is made of tables that are not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Absent {
    /// They are missing.
    Missing,
    /// Those that are to be created are taken as if they were there.
    Created,
    /// All are.
    Assumed,
}

struct Inspected {
    prepared: Prepared,
    /// One per `[[table]]`: what creates it where it is taken as if it were there.
    drafts: Vec<Option<Draft>>,
}

struct SqlDestination<S> {
    pipeline: String,
    sink: Sink,
    sections: Sections,
    lookups: Vec<Lookup>,
    session: std::marker::PhantomData<fn() -> S>,
}

impl<S: Session> SqlDestination<S> {
    fn new(pipeline: &Pipeline, sink: &Sink, queries: Vec<Option<Vec<OutputColumn>>>) -> Self {
        Self {
            pipeline: pipeline.name.clone(),
            sink: sink.clone(),
            sections: Sections {
                tables: pipeline.tables.clone(),
                queries,
                columns: pipeline.source.columns.clone(),
                timezone: pipeline.source.timezone.clone(),
                has_other_readers: !pipeline.checks.is_empty()
                    || !pipeline.topics.is_empty()
                    || !pipeline.profile.is_empty()
                    || pipeline.privacy.is_some(),
            },
            lookups: pipeline.lookups.clone(),
            session: std::marker::PhantomData,
        }
    }

    async fn inspect(&self, session: &mut S, absent: Absent) -> Result<Result<Inspected, Vec<String>>, WriteError> {
        let mut warnings = session.inspect_server().await?;
        let mut tables = self.sections.tables.clone();
        let mut catalog = Vec::with_capacity(tables.len());
        let mut drafts = Vec::with_capacity(tables.len());
        let mut members: Vec<Vec<Arc<str>>> = Vec::with_capacity(tables.len());
        let mut problems = Vec::new();
        for (table, query) in tables.iter_mut().zip(&self.sections.queries) {
            let names = names_of(session, table).await?;
            let found = first_of(session, table, &names).await?;
            if table.route.is_some() && names.is_empty() {
                problems.push(format!(
                    "table {}: the database has no table that `tables` matches: create the first, from which the \
                     columns' types are taken",
                    table.name
                ));
            }
            members.push(names);
            let is_assumed =
                found.is_none() && (absent == Absent::Assumed || (absent == Absent::Created && table.create));
            let draft = match design(table, query.as_deref(), &self.sections.columns) {
                _ if !is_assumed => None,
                Ok(new) => session.draft(&new).await?.map_err(|told| problems.extend(told)).ok(),
                // That the table is not there is told by the planner.
                Err(_) if !table.create => None,
                Err(told) => {
                    problems.extend(told);
                    None
                }
            };
            catalog.push(found.or_else(|| draft.as_ref().map(|draft| draft.table.clone())));
            drafts.push(draft);
        }
        if !problems.is_empty() {
            return Ok(Err(problems));
        }
        let planned = match self.sections.plan_of(&tables, &catalog) {
            Ok(planned) => planned,
            Err(problems) => return Ok(Err(problems)),
        };
        warnings.extend(planned.warnings);
        let mut tables = planned.tables;
        for (plan, draft) in tables.iter_mut().zip(&drafts) {
            if draft.is_none() {
                warnings.extend(find_index(session, plan).await?);
            }
        }
        for (plan, _) in tables.iter().zip(&drafts).filter(|(_, draft)| draft.is_none()) {
            problems.extend(session.inspect_table(plan).await?);
        }
        let (of_lookups, wrong) = lookup::inspect(session, &self.lookups).await?;
        warnings.extend(of_lookups);
        problems.extend(wrong);
        let routes = Routes::new(self.sections.clone(), catalog, planned.input.clone(), planned.targets.clone());
        for (section, (names, table)) in members.iter().zip(&self.sections.tables).enumerate() {
            // Those that match a pattern are checked when they first appear.
            let is_list = table.route.as_ref().is_some_and(|route| !route.known().is_empty());
            let looked_at = match drafts[section] {
                Some(_) => 0,
                None if is_list => names.len(),
                None => 1,
            };
            for name in names.iter().take(looked_at) {
                match routes.add(session, section, name).await? {
                    Ok((_, told)) => warnings.extend(told),
                    Err(told) => problems.extend(told),
                }
            }
        }
        // The first table of such a section is looked at twice.
        let mut seen = BTreeSet::new();
        warnings.retain(|text| seen.insert(text.clone()));
        problems.retain(|text| seen.insert(text.clone()));
        if !problems.is_empty() {
            return Ok(Err(problems));
        }
        let (input, tables, targets) = (planned.input, tables.into(), planned.targets);
        let prepared = Prepared { input, tables, targets, routes: Arc::new(routes), warnings };
        Ok(Ok(Inspected { prepared, drafts }))
    }

    /// What [`Destination::prepare`] does on its connection.
    async fn prepare_on(&self, session: &mut S) -> Result<Result<Prepared, Vec<String>>, WriteError> {
        session.migrate().await?;
        let Inspected { prepared, drafts } = match self.inspect(session, Absent::Created).await? {
            Ok(inspected) => inspected,
            Err(problems) => return Ok(Err(problems)),
        };
        if drafts.iter().all(Option::is_none) {
            return Ok(Ok(prepared));
        }
        for draft in drafts.iter().flatten() {
            session.create(draft).await?;
            events::table_created(&self.pipeline, &draft.table.full_name(), &draft.sql);
        }
        // Whoever created them: they are checked as all others.
        Ok(self.inspect(session, Absent::Missing).await?.map(|inspected| inspected.prepared))
    }
}

/// The tables that a section may name, as far as they are known, in order; none for a section with one table.
async fn names_of<S: Session>(session: &mut S, table: &Table) -> Result<Vec<Arc<str>>, WriteError> {
    let Some(route) = &table.route else { return Ok(Vec::new()) };
    let mut names: Vec<Arc<str>> = match &route.tables {
        AllowedTables::List(names) => names.iter().map(|name| Arc::from(name.as_str())).collect(),
        AllowedTables::Pattern(_) => {
            let found = session.table_names(route.schema.as_deref()).await?;
            found.iter().filter(|name| route.admits(name)).map(|name| Arc::from(name.as_str())).collect()
        }
    };
    names.sort();
    Ok(names)
}

/// The table of a section; of those that it may name the first that is there, under whose name it goes on.
async fn first_of<S: Session>(
    session: &mut S,
    table: &mut Table,
    names: &[Arc<str>],
) -> Result<Option<CatalogTable>, WriteError> {
    let Some(route) = &table.route else { return session.table(&table.name).await };
    let full_names: Vec<String> = names.iter().map(|name| route.full_name(name)).collect();
    for name in &full_names {
        if let Some(found) = session.table(name).await? {
            table.name.clone_from(name);
            return Ok(Some(found));
        }
    }
    if let Some(first) = full_names.into_iter().next() {
        table.name = first;
    }
    Ok(None)
}

/// The index by which the rows of a parent are found. Without one every batch searches the table: a warning.
pub(super) async fn find_index<S: Session>(
    session: &mut S,
    plan: &mut TablePlan,
) -> Result<Option<String>, WriteError> {
    let Some(replace) = &mut plan.replace else { return Ok(None) };
    let names: Vec<&str> = replace.columns.iter().map(|&column| plan.columns[column].column.name.as_str()).collect();
    let indexes = session.indexes(&plan.table).await?;
    replace.index = indexes.into_iter().find(|index| index.leads_with(&names)).map(|index| index.name);
    if replace.index.is_some() {
        return Ok(None);
    }
    let (columns, table) = (names.join(", "), plan.table.full_name());
    let create = planner::create_index(plan, &plan.replace.as_ref().map_or_else(Vec::new, |plan| plan.columns.clone()));
    Ok(Some(format!(
        "table {table}: no index begins with the columns of `replace` ({columns}), so each batch searches the whole \
         table, and writers wait for each other: {create}"
    )))
}

#[async_trait]
impl<S: Session> Destination for SqlDestination<S> {
    async fn prepare(&self) -> Result<Prepared, WriteError> {
        let mut session = S::connect(&self.sink, &self.pipeline).await?;
        let inspected = self.prepare_on(&mut session).await?;
        session.close().await;
        inspected.map_err(|problems| {
            WriteError::new(crate::retry::Disposition::Block, "target-table", "", problems.join("; "))
        })
    }

    async fn check(&self) -> Result<Result<Prepared, Vec<String>>, WriteError> {
        let mut session = S::connect(&self.sink, &self.pipeline).await?;
        let inspected = self.inspect(&mut session, Absent::Created).await?;
        session.close().await;
        Ok(inspected.map(|Inspected { mut prepared, drafts }| {
            let told =
                |draft: &Draft| format!("table {}: it is not there, and is created at start", draft.table.full_name());
            prepared.warnings.extend(drafts.iter().flatten().map(told));
            prepared
        }))
    }

    async fn preview(&self) -> Result<Result<Preview, Vec<String>>, WriteError> {
        let mut session = S::connect(&self.sink, &self.pipeline).await?;
        let inspected = self.inspect(&mut session, Absent::Assumed).await?;
        let preview = inspected.map(|Inspected { prepared, drafts }| {
            let table = |(plan, draft): (&TablePlan, Option<Draft>)| TablePreview {
                ddl: draft.map(|draft| draft.sql),
                statements: statements(plan, |plan, action, columns| session.statement(plan, action, columns)),
            };
            let tables = prepared.tables.iter().zip(drafts).map(table).collect();
            Preview { prepared, tables }
        });
        session.close().await;
        Ok(preview)
    }

    async fn retain(&self, prepared: &Prepared, owner: &str) -> Result<Vec<Retained>, WriteError> {
        let mut session = S::connect(&self.sink, &self.pipeline).await?;
        let retained = retention::round(&mut session, &prepared.tables, owner).await;
        session.close().await;
        retained
    }

    async fn migrate(&self) -> Result<(), WriteError> {
        let mut session = S::connect(&self.sink, &self.pipeline).await?;
        session.migrate().await?;
        session.close().await;
        Ok(())
    }

    async fn claim(&self, request: &ClaimRequest) -> Result<ClaimOutcome, WriteError> {
        claim::claim::<S>(&self.sink, &self.pipeline, request).await
    }

    fn writer(&self, prepared: &Prepared) -> Box<dyn Writer> {
        Box::new(SqlWriter::<S>::new(
            self.sink.clone(),
            self.pipeline.clone(),
            prepared.tables.clone(),
            prepared.routes.clone(),
        ))
    }

    fn trial(&self, prepared: &Prepared) -> Box<dyn Trial> {
        let (plans, routes) = (prepared.tables.clone(), prepared.routes.clone());
        let work = Work::new(self.sink.clone(), self.pipeline.clone(), plans, routes);
        Box::new(SqlTrial::<S>::new(work))
    }

    fn lookups(&self, tables: Vec<Option<LookupTable>>) -> Box<dyn LookupReader> {
        Box::new(SqlLookups::<S>::new(self.sink.clone(), self.pipeline.clone(), tables))
    }

    async fn lookup_tables(&self) -> Result<Tables, WriteError> {
        let mut session = S::connect(&self.sink, &self.pipeline).await?;
        let tables = lookup::tables(&mut session, &self.lookups).await?;
        session.close().await;
        Ok(tables)
    }
}
