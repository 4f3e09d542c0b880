//! What happens to a batch between the inbox and the database: decoded and checked once, then through the statement of
//! each table.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::config::{Deletes, Filtered, Mode, Pipeline, Problem, Problems, Rule, Table};
use crate::dead_letter::Fault;
use crate::decode::{self, Decoder};
use crate::records::Records;
use crate::rows::{InputColumn, InputSchema, OutputColumn, Rows};
use crate::transform::{self, Plan, Query, SqlProblem, Transform};
use crate::types::ColumnType;
use crate::write::Prepared;
use crate::write::plan::TablePlan;

use super::checks::{Checks, Conditions, Judged};
use super::steps::Step;

/// The SQL of a pipeline, planned from its file alone.
pub struct Queries {
    /// One per `[[table]]`, `None` without SQL.
    statements: Vec<Option<Plan>>,
    conditions: Conditions,
}

impl Queries {
    /// Plans every statement and every condition.
    ///
    /// # Errors
    /// Every mistake in all of them, with its place in the file.
    pub fn plan(pipeline: &Pipeline) -> Result<Self, Problems> {
        let mut problems = Problems::new();
        let declared = &pipeline.source.columns;
        let inputs: Vec<InputColumn> =
            declared.iter().filter_map(|column| Some(column.input(column.ty.clone()?))).collect();
        let conditions = Conditions::plan(pipeline, &inputs, &mut problems);
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
        let statements = pipeline.tables.iter().map(plan).collect();
        problems.check()?;
        Ok(Self { statements, conditions })
    }

    /// The columns that each gives: what the write stage must know of them.
    pub fn outputs(&self) -> Vec<Option<Vec<OutputColumn>>> {
        self.statements.iter().map(|plan| plan.as_ref().map(|plan| plan.outputs().to_vec())).collect()
    }

    /// How each makes its columns; `None` without SQL.
    pub fn steps(&self) -> Vec<Option<Vec<Step>>> {
        self.statements
            .iter()
            .map(|plan| plan.as_ref().map(|plan| plan.steps().iter().map(Step::of).collect()))
            .collect()
    }

    /// Fixes the statements to what the database wants.
    ///
    /// # Errors
    /// Every problem, as a sentence with its cure.
    pub fn compile(&self, pipeline: &Pipeline, prepared: &Prepared) -> Result<Stages, Vec<String>> {
        let key = |plan: &TablePlan| plan.key.iter().map(|column| plan.columns[*column].input).collect();
        let targets = Targets {
            input: &prepared.input,
            keys: prepared.tables.iter().map(key).collect(),
            types: prepared.targets.clone(),
        };
        self.fix(pipeline, &targets)
    }

    /// Fixes the statements to what the file alone says: their own types, and the keys that it names.
    ///
    /// # Errors
    /// As [`Queries::compile`].
    pub fn compile_alone(&self, pipeline: &Pipeline) -> Result<Stages, Vec<String>> {
        let plain = || pipeline.tables.iter().zip(&self.statements).filter(|(_, query)| query.is_none());
        let in_key = |name: &String| plain().any(|(table, _)| table.key.contains(name));
        let typed = pipeline.source.columns.iter().filter_map(|column| Some(column.input(column.ty.clone()?)));
        let mut columns: Vec<InputColumn> = Vec::new();
        if plain().next().is_some() {
            columns.extend(typed.map(|column| InputColumn { key: in_key(&column.name), ..column }));
        }
        let key = |(table, query): (&Table, &Option<Plan>)| {
            let outputs = query.as_ref().map_or(&[][..], Plan::outputs);
            let index = |name: &String| outputs.iter().position(|output| output.name == *name);
            table.key.iter().filter_map(index).collect()
        };
        let types = |plan: &Plan| plan.outputs().iter().map(|output| output.ty.clone()).collect();
        let targets = Targets {
            input: &InputSchema::new(columns, pipeline.source.timezone.clone()),
            keys: pipeline.tables.iter().zip(&self.statements).map(key).collect(),
            types: self.statements.iter().map(|query| query.as_ref().map(types)).collect(),
        };
        self.fix(pipeline, &targets)
    }

    fn fix(&self, pipeline: &Pipeline, targets: &Targets<'_>) -> Result<Stages, Vec<String>> {
        let mut problems = Vec::new();
        let mut columns = targets.input.columns.clone();
        for ((key, table), query) in targets.keys.iter().zip(&pipeline.tables).zip(&self.statements) {
            let Some(query) = query else { continue };
            if table.deletes != Deletes::Ignore
                && let Err(mistake) = query.deletable(key)
            {
                problems.push(sentence(table, &mistake));
            }
            read(&mut columns, query, key);
        }
        self.conditions.plans().for_each(|plan| read(&mut columns, plan, &[]));
        let input = InputSchema::new(columns, targets.input.timezone.clone());
        let checks = self.conditions.compile(pipeline, &input).map_err(|told| problems.extend(told)).ok();
        let mut transforms = Vec::with_capacity(self.statements.len());
        for (index, (query, table)) in self.statements.iter().zip(&pipeline.tables).enumerate() {
            let (Some(query), Some(types)) = (query, &targets.types[index]) else {
                transforms.push(None);
                continue;
            };
            // A delete that nobody wants needs no key.
            let deletes = table.deletes != Deletes::Ignore || table.filtered == Filtered::Delete;
            let key = if deletes { &targets.keys[index][..] } else { &[] };
            match query.compile(&input, types, key, table.filtered) {
                Ok(transform) => transforms.push(Some(transform)),
                Err(mistakes) => problems.extend(mistakes.iter().map(|mistake| sentence(table, mistake))),
            }
        }
        let has_groups = self.statements.iter().flatten().any(Plan::is_grouped);
        match checks {
            Some(checks) if problems.is_empty() => Ok(Stages { input, checks, transforms, has_groups }),
            _ => Err(problems),
        }
    }
}

/// What the statements are fixed to.
struct Targets<'a> {
    /// What the tables without SQL need decoded.
    input: &'a InputSchema,
    /// Per table: the columns of its statement that are its key.
    keys: Vec<Vec<usize>>,
    /// Per table: the type that each column of its statement must have; `None` without SQL.
    types: Vec<Option<Vec<ColumnType>>>,
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
    checks: Checks,
    /// One per `[[table]]`; `None`: the decoded rows go in as they are.
    transforms: Vec<Option<Transform>>,
    has_groups: bool,
}

/// A batch of records as the rows of each table.
pub struct Shaped {
    /// One per `[[table]]`.
    pub tables: Vec<Shape>,
    /// Checked rows that no table got, because a statement or the database refused their record.
    pub taken_out: u64,
    /// Records that are in none of the tables: their index, ascending, and what is wrong with them.
    pub bad: Vec<(u32, Fault)>,
    /// Records that a check drops: their index, ascending.
    pub dropped: Vec<u32>,
    /// The first record that a check stops the pipeline for.
    pub stopped: Option<(u32, Fault)>,
    /// Per `[[check]]`: how many records violate it.
    pub violations: Vec<u64>,
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

    /// Decodes and checks the records and runs the statements, these without the records of `refused`.
    pub fn run(&self, decoder: &mut dyn Decoder, records: &Records, refused: &BTreeSet<u32>) -> Shaped {
        let decode::Decoded { rows, bad, new_unknown_fields } = decoder.decode(records);
        let mut bad: BTreeMap<u32, Fault> = bad.into_iter().collect();
        let Judged { bad: violating, dropped, stopped, violations } = self.checks.judge(&rows);
        let judged = violating.keys().chain(&dropped).copied().collect();
        bad.extend(violating);
        let checked = without(&Arc::new(rows), &judged);
        let mut rows = without(&checked, refused);
        let mut tables = self.tables(&rows, &mut bad);
        // A record goes into all tables or into none, and out of every sum: what one statement failed on, the others do
        // again without it.
        while self.transforms.len() > 1 && !bad.is_empty() && rows.origins.iter().any(|origin| bad.contains_key(origin))
        {
            rows = without(&checked, &bad.keys().chain(refused).copied().collect());
            tables = self.tables(&rows, &mut bad);
        }
        let taken_out = (checked.len() - rows.len()) as u64;
        let bad = bad.into_iter().filter(|(record, _)| !refused.contains(record)).collect();
        Shaped { tables, taken_out, bad, dropped, stopped, violations, new_unknown_fields }
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
