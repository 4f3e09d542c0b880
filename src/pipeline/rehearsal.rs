//! A pipeline without Kafka and without a database: records in, the rows of each table and the events of each topic out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::config::{Deletes, Pipeline, Table};
use crate::dead_letter::Fault;
use crate::follow::Followers as _;
use crate::produce::{Event, EventShape};
use crate::records::Records;
use crate::rows::{Operation, OutputColumn, Rows, TimeUnit};
use crate::types::ColumnType;
use crate::write::Partial;
use crate::write::reduce::reduce;

use super::follow::Follow;
use super::lookups::Lookups;
use super::queries::Queries;
use super::stages::{Shape, Stages};

/// The stages before the database, with the types that the file alone gives.
pub struct Rehearsal {
    stages: Stages,
    /// Per `[[table]]`.
    outputs: Vec<Vec<RehearsedColumn>>,
    /// Per `[[topic]]`.
    shapes: Arc<[EventShape]>,
    /// Per `[[topic]]`: the columns of its events' values.
    events: Vec<Vec<RehearsedColumn>>,
    /// Per case what its lookups hold.
    lookups: Vec<Lookups>,
}

/// A column of what a table gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RehearsedColumn {
    pub name: String,
    pub ty: ColumnType,
    /// Index into the columns of the rows.
    pub index: usize,
    /// What a number stands for in a time that is passed on as it came.
    pub unit: Option<TimeUnit>,
}

/// What became of a batch.
pub struct Rehearsed {
    /// Per `[[table]]`: the rows of each of its tables, which have names of their own where the section's has a
    /// placeholder.
    pub tables: Vec<BTreeMap<Option<Arc<str>>, Arc<Rows>>>,
    /// Per `[[topic]]`.
    pub topics: Vec<RehearsedEvents>,
    /// Records that are in none of them: their index, and what is wrong with them.
    pub bad: Vec<(u32, Fault)>,
    /// Why nothing follows from what was merged: it would block the pipeline.
    pub unfollowed: Option<String>,
}

impl Rehearsed {
    /// The rows of one table; `name`: which of the section's, where its name has a placeholder.
    pub fn rows(&self, table: usize, name: Option<&str>) -> Option<&Rows> {
        let found = self.tables[table].iter().find(|(known, _)| known.as_deref() == name);
        found.map(|(_, rows)| &**rows)
    }
}

/// The events of a topic.
pub struct RehearsedEvents {
    /// The row of each.
    pub rows: Arc<Rows>,
    pub events: Vec<Event>,
}

impl Rehearsal {
    /// The columns of a table with `sql` are what the statement gives; of one without, what `[source.columns]` declares.
    ///
    /// # Errors
    /// Every problem, as a sentence with its cure.
    pub fn new(pipeline: &Pipeline, queries: &Queries) -> Result<Self, Vec<String>> {
        let stages = queries.compile_alone(pipeline)?;
        let declared = || {
            let typed = pipeline.source.columns.iter().filter_map(|column| Some((column, column.ty.clone()?)));
            typed.enumerate().map(|(index, (column, ty))| RehearsedColumn {
                name: column.name.clone(),
                ty,
                index,
                unit: column.unit,
            })
        };
        let unit_of = |name: &String| pipeline.source.columns.iter().find(|column| column.name == *name)?.unit;
        let outputs = queries.outputs().into_iter().map(|columns| match columns {
            None => declared().collect(),
            Some(columns) => columns
                .into_iter()
                .enumerate()
                .map(|(index, column)| {
                    let unit = column.passes.as_ref().and_then(unit_of);
                    RehearsedColumn { name: column.name, ty: column.ty, index, unit }
                })
                .collect(),
        });
        let shapes = queries.shapes();
        let value = |shape: &EventShape| {
            let column = |(index, column): (usize, &OutputColumn)| RehearsedColumn {
                name: column.name.clone(),
                ty: column.ty.clone(),
                index,
                unit: column.passes.as_ref().and_then(unit_of),
            };
            shape.value_columns().map(column).collect()
        };
        let events = shapes.iter().map(value).collect();
        let (mut lookups, mut problems) = (Vec::with_capacity(pipeline.cases.len()), Vec::new());
        for case in &pipeline.cases {
            match Lookups::rehearsed(pipeline, &stages.looked_up, &case.lookups) {
                Ok(held) => lookups.push(held),
                Err(told) => problems.extend(told.into_iter().map(|what| format!("test {}: {what}", case.name))),
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Self { stages, outputs: outputs.collect(), shapes, events, lookups })
    }

    /// What a `[[table]]` gets.
    pub fn columns(&self, table: usize) -> &[RehearsedColumn] {
        &self.outputs[table]
    }

    /// What the value of a `[[topic]]`'s events has.
    pub fn event_columns(&self, topic: usize) -> &[RehearsedColumn] {
        &self.events[topic]
    }

    /// Decodes, checks and transforms one batch, with the lookups of a case, by its index.
    pub async fn run(&self, pipeline: &Pipeline, case: usize, records: &Records) -> Rehearsed {
        let mut decoder = self.stages.decoder(pipeline);
        let mut refused = BTreeMap::new();
        let (shaped, topics) = loop {
            let known = refused.keys().copied().collect();
            let shaped = self.stages.run(&mut *decoder, records, &known, &self.lookups[case]).await;
            match events(&self.shapes, &shaped.topics) {
                Ok(topics) => break (shaped, topics),
                // Its record goes nowhere, as with a lane.
                Err((record, fault)) => refused.insert(record, fault),
            };
        };
        let bad: BTreeMap<u32, Fault> = shaped.bad.into_iter().chain(refused).collect();
        let shown = |table: &Table, rows: Arc<Rows>| match table.deletes {
            _ if !table.replace.is_empty() => parents_as_deletes(&rows),
            Deletes::Ignore => without_deletes(&rows),
            Deletes::Hard | Deletes::Soft(_) => rows,
        };
        let sections = || shaped.tables.iter().zip(&pipeline.tables);
        let mut tables: Vec<Arc<Rows>> = sections().map(|(shape, table)| shown(table, shape.rows.clone())).collect();
        let (mut topics, mut unfollowed) = (topics, None);
        if !self.stages.followed().is_empty() {
            unfollowed = self.follow(pipeline, &mut tables, &mut topics).err();
        }
        let parts = |((shape, table), rows): ((&Shape, &Table), Arc<Rows>)| match shape.routed {
            None => [(None, rows)].into(),
            Some(_) => shape.parts().into_iter().map(|(name, rows)| (name, shown(table, rows))).collect(),
        };
        let tables = sections().zip(tables).map(parts).collect();
        Rehearsed { tables, topics, bad: bad.into_iter().collect(), unfollowed }
    }

    /// What follows the merge tables, as if they had been empty before the batch.
    fn follow(
        &self,
        pipeline: &Pipeline,
        tables: &mut [Arc<Rows>],
        topics: &mut [RehearsedEvents],
    ) -> Result<(), String> {
        let follow = Follow::new(self.stages.followed());
        for followed in self.stages.followed() {
            let plan = followed.plan();
            let told = |message: String| format!("table {}: {message}", plan.table.full_name());
            let reduced = reduce(plan, &tables[followed.table()], false);
            let Some(partial) = Partial::of(plan, &reduced.steps) else { continue };
            let merged = partial.alone(followed.wanted()).map_err(|problem| told(problem.message))?;
            follow.take(followed.table(), merged).map_err(|problem| told(problem.message))?;
        }
        for (index, rows) in tables.iter_mut().enumerate() {
            if let Some(following) = follow.rows(index) {
                *rows = following.rows;
            }
        }
        let (rows, _) = follow.topics(pipeline.topics.len());
        let following = events(&self.shapes, &rows).map_err(|(_, fault)| fault.reason)?;
        for ((topic, follows), found) in topics.iter_mut().zip(&pipeline.topics).zip(following) {
            if follows.from.is_some() {
                *topic = found;
            }
        }
        Ok(())
    }
}

/// Or the first record of which no event can be made.
pub(super) fn events(shapes: &[EventShape], topics: &[Arc<Rows>]) -> Result<Vec<RehearsedEvents>, (u32, Fault)> {
    let of_topic = |(rows, shape): (&Arc<Rows>, &EventShape)| {
        let event = |row| shape.event(rows, row).map_err(|told| (rows.origins[row], told.into()));
        let sent = |row: &usize| shape.is_sent(rows, *row);
        let events = (0..rows.len()).filter(sent).map(event).collect::<Result<_, _>>()?;
        let rows = if shape.sends_tombstones() { rows.clone() } else { without_deletes(rows) };
        Ok(RehearsedEvents { rows, events })
    };
    topics.iter().zip(shapes).map(of_topic).collect()
}

/// What a table that ignores deletes takes.
pub(super) fn without_deletes(rows: &Arc<Rows>) -> Arc<Rows> {
    let is_delete = |row: &usize| rows.operations[*row] == Operation::Delete;
    // A record that deletes gives no other row.
    let deleting: BTreeSet<u32> = (0..rows.len()).filter(is_delete).map(|row| rows.origins[row]).collect();
    match deleting.is_empty() {
        true => rows.clone(),
        false => Arc::new(rows.without_origins(|origin| deleting.contains(&origin))),
    }
}

/// A parent that has rows shows in them; one without is a delete of what it had.
fn parents_as_deletes(rows: &Arc<Rows>) -> Arc<Rows> {
    let is_alone = |row: usize| rows.origins.get(row + 1) != Some(&rows.origins[row]);
    let is_kept: Vec<bool> =
        (0..rows.len()).map(|row| rows.operations[row] != Operation::Replace || is_alone(row)).collect();
    let mut rows = rows.only(&is_kept.into());
    for operation in rows.operations.iter_mut().filter(|operation| **operation == Operation::Replace) {
        *operation = Operation::Delete;
    }
    Arc::new(rows)
}
