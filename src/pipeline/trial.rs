//! Records through every stage and the database's own statements, with nothing kept: what `tidegate try` shows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::config::{Deletes, Pipeline};
use crate::dead_letter::Fault;
use crate::follow::{Followers as _, Following};
use crate::records::Records;
use crate::retry::{Backoff, Disposition};
use crate::rows::Rows;
use crate::status::Status;
use crate::types::ColumnType;
use crate::write::error::WriteError;
use crate::write::plan::PlanColumn;
use crate::write::{Destination, Prepared, RowCounts, TableRows, Trial};

use super::follow::Follow;
use super::lookups::{self, Lookups};
use super::queries::Queries;
use super::rehearsal::{RehearsedEvents, events, without_deletes};
use super::stages::{Shape, Shaped, Stages};
use super::store::{fault_of, is_order_sensitive};

/// So many records that the database refuses are looked for one by one; then the rest is left out.
const MOST_REFUSED: usize = 50;
/// What passes by itself is waited for so often: a person waits for the answer.
const TRIES: u32 = 4;

/// What became of the records.
pub struct Tried {
    /// Those that were looked at: all, unless too many were refused.
    pub records: Records,
    /// Per `[[table]]`.
    pub tables: Vec<TriedTable>,
    /// Per `[[topic]]`.
    pub topics: Vec<TriedTopic>,
    /// Records that are bad: their index, ascending, and what is wrong with them.
    pub bad: Vec<(u32, Fault)>,
    /// Records that a check drops, ascending.
    pub dropped: Vec<u32>,
    /// Per `[[check]]`: how many records violate it.
    pub violations: Vec<u64>,
}

/// What one table got.
pub struct TriedTable {
    pub name: String,
    pub columns: Vec<TriedColumn>,
    pub rows: Arc<Rows>,
    pub counts: RowCounts,
    /// Its rows follow from merged ones, and have no record of their own.
    pub follows: bool,
}

/// A column of the table.
pub struct TriedColumn {
    pub name: String,
    pub ty: ColumnType,
    /// Index into the columns of the rows.
    pub index: usize,
    pub is_key: bool,
    /// Something private went into it ([privacy]).
    pub is_private: bool,
}

/// What one topic would get.
pub struct TriedTopic {
    pub events: RehearsedEvents,
    /// Those of the events' values.
    pub columns: Vec<TriedColumn>,
    /// Columns of the result that something private went into.
    pub private: BTreeSet<String>,
    /// As with a table.
    pub follows: bool,
}

/// Where the rows are tried: the sink database as it was found, and a connection.
pub struct Database<'a> {
    pub destination: &'a dyn Destination,
    pub prepared: &'a Prepared,
    pub trial: &'a mut dyn Trial,
}

/// Tries the records on the database; without one, only the events are made.
///
/// # Errors
/// What is wrong with the whole, as a sentence: nothing can be said of single records then.
pub async fn try_records<'a>(
    pipeline: &'a Pipeline,
    queries: &'a Queries,
    database: Option<Database<'a>>,
    records: Records,
) -> Result<Tried, String> {
    let stages = match &database {
        Some(Database { prepared, .. }) => queries.compile(pipeline, prepared),
        None => queries.compile_alone(pipeline),
    };
    let stages = stages.map_err(|problems| problems.join("\n"))?;
    let tables = || lookups::tables(pipeline, &stages.looked_up);
    let reader = database.as_ref().map(|database| database.destination.lookups(tables()));
    let lookups = Lookups::open(pipeline, &stages.looked_up, Status::new(&pipeline.name), reader);
    let lookups = lookups.map_err(|problems| problems.join("\n"))?;
    let mut attempts = Attempts { pipeline, queries, stages, lookups, database };
    let mut records = records;
    let mut refused = BTreeMap::new();
    let mut found = 0;
    loop {
        let (shaped, topics) = attempts.shape(&records, &mut refused).await;
        match attempts.write(&shaped).await {
            Ok(written) => return attempts.tried(records, (shaped, topics), written, refused),
            Err(error) if error.disposition == Disposition::Isolate && !records.is_empty() => {
                let (record, fault) = attempts.find(&records, &refused, error).await?;
                if refused.insert(record, fault.clone()).is_some() {
                    return Err(fault.reason);
                }
                found += 1;
                if found == MOST_REFUSED {
                    records = records.split_at(record as usize + 1).0;
                    refused.retain(|known, _| *known <= record);
                }
            }
            Err(error) => return Err(error.to_string()),
        }
    }
}

struct Attempts<'a> {
    pipeline: &'a Pipeline,
    queries: &'a Queries,
    stages: Stages,
    lookups: Lookups,
    database: Option<Database<'a>>,
}

/// What the statements did.
struct Written {
    /// Per `[[table]]`.
    counts: Vec<RowCounts>,
    /// Per `[[table]]`: what followed from merged rows.
    tables: Vec<Option<Following>>,
    /// Per `[[topic]]`.
    topics: Vec<Arc<Rows>>,
}

impl Attempts<'_> {
    /// The rows without the records that are refused; those of which no event can be made are refused, too.
    async fn shape(&self, records: &Records, refused: &mut BTreeMap<u32, Fault>) -> (Shaped, Vec<RehearsedEvents>) {
        let shapes = self.queries.shapes();
        loop {
            let mut decoder = self.stages.decoder(self.pipeline);
            let known = refused.keys().copied().collect();
            let shaped = self.stages.run(&mut *decoder, records, &known, &self.lookups).await;
            match events(&shapes, &shaped.topics) {
                Ok(topics) => return (shaped, topics),
                Err((record, fault)) => refused.insert(record, fault),
            };
        }
    }

    /// As a lane does: where a constraint may depend on the order of the rows, in the records' order, too. What passes by
    /// itself is tried again a few times.
    async fn write(&mut self, shaped: &Shaped) -> Result<Written, WriteError> {
        let Some(Database { trial, .. }) = &mut self.database else {
            return Ok(Written { counts: Vec::new(), tables: Vec::new(), topics: Vec::new() });
        };
        let rows = |(table, shape): (usize, &Shape)| {
            shape.parts().into_iter().map(move |(name, rows)| TableRows { table, name, rows })
        };
        let tables: Vec<TableRows> = shaped.tables.iter().enumerate().flat_map(rows).collect();
        let sections = shaped.tables.len();
        let (mut in_order, mut backoff) = (false, Backoff::new());
        loop {
            let follow = Follow::new(self.stages.followed());
            let error = match trial.attempt(&tables, &follow, in_order).await {
                Ok(counted) => {
                    let following = (0..sections).map(|table| follow.rows(table)).collect();
                    let mut counts = vec![RowCounts::default(); sections];
                    tables.iter().zip(&counted).for_each(|(table, counted)| counts[table.table] += *counted);
                    let topics = follow.topics(self.pipeline.topics.len()).0;
                    return Ok(Written { counts, tables: following, topics });
                }
                Err(error) => error,
            };
            match error.disposition {
                Disposition::Isolate if !in_order && is_order_sensitive(error.class) => in_order = true,
                Disposition::Retry if error.class != "deadline" && backoff.attempts() < TRIES => {
                    tokio::time::sleep(backoff.next_delay()).await;
                }
                _ => return Err(error),
            }
        }
    }

    /// The first record that the database refuses: the one that it names, else by halves.
    async fn find(
        &mut self,
        records: &Records,
        refused: &BTreeMap<u32, Fault>,
        mut error: WriteError,
    ) -> Result<(u32, Fault), String> {
        if let Some(suspect) = error.suspect.filter(|_| !self.stages.has_groups()) {
            return Ok((suspect, fault_of(&error)));
        }
        // So many of the first records are taken, and so many are not.
        let (mut good, mut bad) = (0, records.len());
        while bad - good > 1 {
            let middle = good + (bad - good) / 2;
            let mut refused = refused.clone();
            refused.retain(|record, _| (*record as usize) < middle);
            let (shaped, _) = self.shape(&records.clone().split_at(middle).0, &mut refused).await;
            match self.write(&shaped).await {
                Ok(_) => good = middle,
                Err(found) if found.disposition == Disposition::Isolate => (bad, error) = (middle, found),
                Err(found) => return Err(found.to_string()),
            }
        }
        Ok((bad as u32 - 1, fault_of(&error)))
    }

    fn tried(
        &self,
        records: Records,
        (shaped, topics): (Shaped, Vec<RehearsedEvents>),
        written: Written,
        refused: BTreeMap<u32, Fault>,
    ) -> Result<Tried, String> {
        let (private_of_tables, private_of_topics) = self.queries.private_columns(self.pipeline);
        let Written { counts, tables: following, topics: followed } = written;
        let mut tables = Vec::with_capacity(shaped.tables.len());
        if let Some(Database { prepared, .. }) = &self.database {
            for (index, ((shape, counts), following)) in
                shaped.tables.into_iter().zip(counts).zip(following).enumerate()
            {
                let follows = following.is_some();
                let rows = following.map_or(shape.rows, |following| following.rows);
                let rows = match self.pipeline.tables[index].deletes {
                    Deletes::Ignore => without_deletes(&rows),
                    Deletes::Hard | Deletes::Soft(_) => rows,
                };
                let (filtered, ignored) = (counts.filtered + shape.filtered, counts.ignored + shape.ignored);
                // The tables of a name with a placeholder are shown as one.
                let table = &self.pipeline.tables[index];
                let name = table
                    .route
                    .as_ref()
                    .map_or_else(|| prepared.tables[index].table.full_name(), |_| table.name.clone());
                tables.push(TriedTable {
                    name,
                    columns: columns(prepared, index, &private_of_tables[index]),
                    rows,
                    counts: RowCounts { filtered, ignored, ..counts },
                    follows,
                });
            }
        }
        let shapes = self.queries.shapes();
        let mut following = match followed.is_empty() {
            true => Vec::new(),
            false => events(&shapes, &followed).map_err(|(_, fault)| fault.reason)?,
        };
        let mut tried_topics = Vec::with_capacity(topics.len());
        for (index, (events, private)) in topics.into_iter().zip(private_of_topics).enumerate().rev() {
            let follows = self.pipeline.topics[index].from.is_some();
            let events = following.pop().filter(|_| follows).unwrap_or(events);
            let columns = shapes[index].value_columns().map(|(index, column)| TriedColumn {
                name: column.name.clone(),
                ty: column.ty.clone(),
                index,
                is_key: false,
                is_private: private.contains(&column.name),
            });
            tried_topics.push(TriedTopic { events, columns: columns.collect(), private, follows });
        }
        tried_topics.reverse();
        let bad: BTreeMap<u32, Fault> = shaped.bad.into_iter().chain(refused).collect();
        Ok(Tried {
            records,
            tables,
            topics: tried_topics,
            bad: bad.into_iter().collect(),
            dropped: shaped.dropped,
            violations: shaped.violations,
        })
    }
}

/// What a table's columns get: of a statement its results, else the fields of the input.
fn columns(prepared: &Prepared, table: usize, private: &BTreeSet<String>) -> Vec<TriedColumn> {
    let plan = &prepared.tables[table];
    let column = |(place, column): (usize, &PlanColumn)| {
        let (ty, is_private) = match &prepared.targets[table] {
            Some(types) => (types[column.input].clone(), private.contains(&column.column.name)),
            None => {
                let input = &prepared.input.columns[column.input];
                (input.ty.clone(), private.contains(&input.name))
            }
        };
        let (name, index) = (column.column.name.clone(), column.input);
        TriedColumn { name, ty, index, is_key: plan.is_key(place), is_private }
    };
    plan.columns.iter().enumerate().map(column).collect()
}
