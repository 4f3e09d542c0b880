//! What happens to a batch between the inbox and the database: decoded once, then through the statement of each table.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::config::{Deletes, Filtered, Mode, Pipeline, Problem, Problems, Rule, Table};
use crate::dead_letter::Fault;
use crate::decode::{self, Decoder};
use crate::records::Records;
use crate::rows::{InputColumn, InputSchema, OutputColumn, Rows};
use crate::transform::{self, Plan, Query, SqlProblem, Transform};
use crate::write::Prepared;

/// The statements of a pipeline, planned from its file alone: one per `[[table]]`, `None` without SQL.
pub struct Queries(Vec<Option<Plan>>);

impl Queries {
    /// Plans every statement.
    ///
    /// # Errors
    /// Every mistake in every statement, with its place in the file.
    pub fn plan(pipeline: &Pipeline) -> Result<Self, Problems> {
        let mut problems = Problems::new();
        let declared = &pipeline.source.columns;
        let inputs: Vec<InputColumn> =
            declared.iter().filter_map(|column| Some(column.input(column.ty.clone()?))).collect();
        let topics = pipeline.source.topics.names();
        let plan = |table: &Table| {
            let sql = table.sql.as_ref()?;
            let query = Query {
                sql: &sql.text,
                output: &table.name,
                aggregates: (table.mode == Mode::Merge).then_some(&*table.merge),
                inputs: &inputs,
                topics,
                key_format: pipeline.source.key_format,
            };
            let told = |mistake: SqlProblem| {
                let place = sql.place_of(mistake.line, mistake.column);
                let what = format!("table {}: {}", table.name, mistake.message);
                problems.push(Problem::new(&place, Rule::Value, what, mistake.cure));
            };
            transform::plan(&query).map_err(|mistakes| mistakes.into_iter().for_each(told)).ok()
        };
        let plans = pipeline.tables.iter().map(plan).collect();
        problems.check()?;
        Ok(Self(plans))
    }

    /// The columns that each gives: what the write stage must know of them.
    pub fn outputs(&self) -> Vec<Option<Vec<OutputColumn>>> {
        self.0.iter().map(|plan| plan.as_ref().map(|plan| plan.outputs().to_vec())).collect()
    }

    /// Fixes the statements to what the database wants.
    ///
    /// # Errors
    /// Every problem, as a sentence with its cure.
    pub fn compile(&self, pipeline: &Pipeline, prepared: &Prepared) -> Result<Stages, Vec<String>> {
        let mut problems = Vec::new();
        let mut columns = prepared.input.columns.clone();
        // Per table: the columns of its statement that are its key.
        let mut keys = Vec::with_capacity(self.0.len());
        for ((plan, table), query) in prepared.tables.iter().zip(&pipeline.tables).zip(&self.0) {
            let key: Vec<usize> = plan.key.iter().map(|column| plan.columns[*column].input).collect();
            if let Some(query) = query {
                if table.deletes != Deletes::Ignore
                    && let Err(mistake) = query.deletable(&key)
                {
                    problems.push(sentence(table, &mistake));
                }
                read(&mut columns, query, &key);
            }
            keys.push(key);
        }
        let input = InputSchema::new(columns, prepared.input.timezone.clone());
        let mut transforms = Vec::with_capacity(self.0.len());
        for (index, (query, table)) in self.0.iter().zip(&pipeline.tables).enumerate() {
            let (Some(query), Some(targets)) = (query, &prepared.targets[index]) else {
                transforms.push(None);
                continue;
            };
            // A delete that nobody wants needs no key.
            let deletes = table.deletes != Deletes::Ignore || table.filtered == Filtered::Delete;
            let key = if deletes { &keys[index][..] } else { &[] };
            match query.compile(&input, targets, key, table.filtered) {
                Ok(transform) => transforms.push(Some(transform)),
                Err(mistakes) => problems.extend(mistakes.iter().map(|mistake| sentence(table, mistake))),
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let has_groups = self.0.iter().flatten().any(Plan::is_grouped);
        Ok(Stages { input, transforms, has_groups })
    }
}

/// Adds what a statement reads to the input. The columns that its key needs are given by the record's key where the
/// record's value does not: that is all a delete has.
fn read(columns: &mut Vec<InputColumn>, query: &Plan, key: &[usize]) {
    let in_key = query.key_inputs(key);
    for (index, wanted) in query.reads().iter().enumerate() {
        let key = in_key.contains(&index);
        match columns.iter_mut().find(|column| is_same(column, wanted)) {
            Some(known) => known.key |= key,
            None => columns.push(InputColumn { key, ..wanted.clone() }),
        }
    }
}

/// Is it the same column, whether or not it belongs to a key?
fn is_same(one: &InputColumn, other: &InputColumn) -> bool {
    InputColumn { key: other.key, ..one.clone() } == *other
}

fn sentence(table: &Table, mistake: &SqlProblem) -> String {
    let place = table.sql.as_ref().map(|sql| sql.place_of(mistake.line, mistake.column));
    let place = place.map_or(String::new(), |place| format!("{place}: "));
    format!("{place}table {}: {}; {}", table.name, mistake.message, mistake.cure)
}

/// The stages of a pipeline, shared by its lanes.
pub struct Stages {
    input: Arc<InputSchema>,
    /// One per `[[table]]`; `None`: the decoded rows go in as they are.
    transforms: Vec<Option<Transform>>,
    has_groups: bool,
}

/// A batch of records as the rows of each table.
pub struct Shaped {
    /// One per `[[table]]`.
    pub tables: Vec<Shape>,
    /// Decoded rows that no table got, because a statement or the database refused their record.
    pub taken_out: u64,
    /// Records that are in none of the tables: their index, ascending, and what is wrong with them.
    pub bad: Vec<(u32, Fault)>,
    /// Undeclared fields that were not seen before.
    pub new_unknown_fields: Vec<String>,
}

/// What a batch is to one table.
pub struct Shape {
    pub rows: Arc<Rows>,
    /// Rows that the statement's WHERE left out.
    pub filtered: u64,
    /// Deletes that an aggregation has no use for.
    pub ignored: u64,
}

impl Stages {
    pub fn decoder(&self, pipeline: &Pipeline) -> Box<dyn Decoder> {
        decode::json(self.input.clone(), pipeline.source.key_format)
    }

    /// Does a row of a statement stand for several records, so that a refused row accuses none of them?
    pub fn has_groups(&self) -> bool {
        self.has_groups
    }

    /// Decodes the records and runs the statements, all without the records of `refused`.
    pub fn run(&self, decoder: &mut dyn Decoder, records: &Records, refused: &BTreeSet<u32>) -> Shaped {
        let decode::Decoded { rows, bad, new_unknown_fields } = decoder.decode(records);
        let mut bad: BTreeMap<u32, Fault> = bad.into_iter().collect();
        let decoded = Arc::new(rows);
        let mut rows = without(&decoded, refused);
        let mut tables = self.tables(&rows, &mut bad);
        // A record goes into all tables or into none, and out of every sum: what one statement failed on, the others do
        // again without it.
        while self.transforms.len() > 1 && !bad.is_empty() && rows.origins.iter().any(|origin| bad.contains_key(origin))
        {
            rows = without(&decoded, &bad.keys().chain(refused).copied().collect());
            tables = self.tables(&rows, &mut bad);
        }
        let taken_out = (decoded.len() - rows.len()) as u64;
        let bad = bad.into_iter().filter(|(record, _)| !refused.contains(record)).collect();
        Shaped { tables, taken_out, bad, new_unknown_fields }
    }

    fn tables(&self, rows: &Arc<Rows>, bad: &mut BTreeMap<u32, Fault>) -> Vec<Shape> {
        let shape = |transform: &Option<Transform>| {
            let Some(transform) = transform else { return Shape { rows: rows.clone(), filtered: 0, ignored: 0 } };
            let transformed = transform.run(rows);
            for (record, fault) in transformed.bad {
                bad.entry(record).or_insert(fault);
            }
            let (filtered, ignored) = (transformed.filtered, transformed.ignored);
            Shape { rows: Arc::new(transformed.rows), filtered, ignored }
        };
        self.transforms.iter().map(shape).collect()
    }
}

fn without(rows: &Arc<Rows>, records: &BTreeSet<u32>) -> Arc<Rows> {
    match records.is_empty() {
        true => rows.clone(),
        false => Arc::new(rows.without_origins(|origin| records.contains(&origin))),
    }
}
