//! A pipeline without Kafka and without a database: records in, the rows of each table out.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::config::{Deletes, Pipeline};
use crate::dead_letter::Fault;
use crate::records::Records;
use crate::rows::{Operation, Rows, TimeUnit};
use crate::types::ColumnType;

use super::queries::Queries;
use super::stages::Stages;

/// The stages before the database, with the types that the file alone gives.
pub struct Rehearsal {
    stages: Stages,
    /// Per `[[table]]`.
    outputs: Vec<Vec<RehearsedColumn>>,
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
    /// Per `[[table]]`.
    pub tables: Vec<Arc<Rows>>,
    /// Records that are in none of them: their index, and what is wrong with them.
    pub bad: Vec<(u32, Fault)>,
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
        Ok(Self { stages, outputs: outputs.collect() })
    }

    /// What a `[[table]]` gets.
    pub fn columns(&self, table: usize) -> &[RehearsedColumn] {
        &self.outputs[table]
    }

    /// Decodes, checks and transforms one batch.
    pub fn run(&self, pipeline: &Pipeline, records: &Records) -> Rehearsed {
        let mut decoder = self.stages.decoder(pipeline);
        let shaped = self.stages.run(&mut *decoder, records, &BTreeSet::new());
        let tables = shaped.tables.into_iter().zip(&pipeline.tables).map(|(shape, table)| match table.deletes {
            Deletes::Ignore => without_deletes(&shape.rows),
            Deletes::Hard | Deletes::Soft(_) => shape.rows,
        });
        Rehearsed { tables: tables.collect(), bad: shaped.bad }
    }
}

/// What a table that ignores deletes takes.
fn without_deletes(rows: &Arc<Rows>) -> Arc<Rows> {
    let is_delete = |row: &usize| rows.operations[*row] == Operation::Delete;
    // A record that deletes gives no other row.
    let deleting: BTreeSet<u32> = (0..rows.len()).filter(is_delete).map(|row| rows.origins[row]).collect();
    match deleting.is_empty() {
        true => rows.clone(),
        false => Arc::new(rows.without_origins(|origin| deleting.contains(&origin))),
    }
}
