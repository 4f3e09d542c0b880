//! `[[check]]`: a condition that every record has to meet, as a statement with one result.

use arrow_array::Array;
use arrow_array::cast::AsArray;

use crate::config::{Filtered, KeyFormat};
use crate::dead_letter::Fault;
use crate::keys::Keys;
use crate::rows::{InputColumn, InputSchema, Rows};
use crate::types::ColumnType;

use super::compile::Transform;
use super::faults::Place;
use super::plan::{Plan, plan};
use super::{Query, SqlProblem};

/// The name of the one result.
const RESULT: &str = "ok";

/// What a `[[check]]` asks.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The check's name: what messages call it.
    pub name: &'a str,
    pub sql: &'a str,
    /// `[source.columns]`, every one with its type.
    pub inputs: &'a [InputColumn],
    pub key_format: KeyFormat,
    /// What `hash` and `encrypt` may name.
    pub keys: &'a Keys,
}

/// A condition that is well-formed and typed.
#[derive(Debug, Clone)]
pub struct Condition {
    name: String,
    plan: Plan,
}

/// A compiled condition: `&self`, so that lanes can share it.
#[derive(Debug)]
pub struct CompiledCondition(pub(super) Transform);

/// What a condition says of a batch.
#[derive(Debug, Clone, Default)]
pub struct Checked {
    /// Records for which it is false: their index in the batch of records, ascending.
    pub violations: Vec<u32>,
    /// Records for which it cannot be computed.
    pub bad: Vec<(u32, Fault)>,
}

/// Plans a condition; pure, needs no database.
///
/// # Errors
/// Every problem that can be found, with its place inside the condition.
pub fn condition(asked: &Asked<'_>) -> Result<Condition, Vec<SqlProblem>> {
    let cure = || "write one condition, such as price >= 0".to_owned();
    let whole = |message: String| vec![SqlProblem { line: 1, column: 1, message, cure: cure() }];
    let first = asked.sql.split_whitespace().next().unwrap_or_default().to_lowercase();
    if matches!(first.as_str(), "select" | "insert" | "with" | "where") {
        return Err(whole(format!("{} begins a statement, and a check is a condition alone", first.to_uppercase())));
    }
    // On lines of its own, so that a comment in it ends before the parenthesis.
    let sql = format!("SELECT (\n{}\n) AS {RESULT} FROM input", asked.sql);
    let query = Query {
        replace: &[],
        sql: &sql,
        output: asked.name,
        aggregates: None,
        inputs: asked.inputs,
        topics: &[],
        lookups: &[],
        key_format: asked.key_format,
        keys: asked.keys,
        follows: false,
    };
    let plan = plan(&query).map_err(|mut problems| {
        problems.iter_mut().for_each(|problem| within(asked.sql, problem));
        problems
    })?;
    let is_one = plan.outputs.len() == 1 && plan.statement.filter.is_none() && plan.statement.unnests.is_empty();
    if !is_one || plan.outputs[0].name != RESULT {
        return Err(whole("the text is more than one condition".to_owned()));
    }
    match &plan.outputs[0].ty {
        ColumnType::Bool => Ok(Condition { name: asked.name.to_owned(), plan }),
        other => Err(whole(format!("the result is {other}, not true or false"))),
    }
}

/// The place inside the condition's own text.
fn within(sql: &str, problem: &mut SqlProblem) {
    let lines: Vec<&str> = sql.trim_end().split('\n').collect();
    if problem.line < 2 {
        (problem.line, problem.column) = (1, 1);
    } else if problem.line > lines.len() + 1 {
        // What is missing is missing at the end.
        let last = lines.last().map_or(0, |line| line.chars().count());
        (problem.line, problem.column) = (lines.len(), last.max(1));
    } else {
        problem.line -= 1;
    }
}

impl Condition {
    /// What it reads of the input.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Fixes it to the decoder's schema.
    ///
    /// # Errors
    /// As [`Plan::compile`].
    pub fn compile(&self, input: &InputSchema) -> Result<CompiledCondition, Vec<SqlProblem>> {
        let mut transform = self.plan.compile(input, &[ColumnType::Bool], &[], Filtered::Ignore)?;
        for output in &mut transform.outputs {
            output.place = Place::Check(self.name.clone());
        }
        Ok(CompiledCondition(transform))
    }
}

impl CompiledCondition {
    /// Which records violate it. Unknown is no violation, and of a delete nothing is known.
    pub fn run(&self, rows: &Rows) -> Checked {
        let transformed = self.0.run(rows);
        let results = transformed.rows.batch.column(0).as_boolean();
        let is_false = |row: &usize| results.is_valid(*row) && !results.value(*row);
        let violations = (0..results.len()).filter(is_false).map(|row| transformed.rows.origins[row]).collect();
        Checked { violations, bad: transformed.bad }
    }
}
