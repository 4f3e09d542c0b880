//! `[[check]]`: what becomes of the records that violate a condition.

use std::collections::BTreeMap;

use crate::config::{CheckAction, Pipeline, Problem, Problems, Rule};
use crate::dead_letter::{Fault, Stage};
use crate::rows::{InputColumn, InputSchema, Rows};
use crate::transform::{self, Asked, CompiledCondition, Condition, Explained, Plan, SqlProblem};

/// The conditions of a pipeline, planned from its file alone: one per `[[check]]`.
pub struct Conditions(Vec<Condition>);

impl Conditions {
    /// Plans every condition and tells every mistake.
    pub fn plan(pipeline: &Pipeline, inputs: &[InputColumn], problems: &mut Problems) -> Self {
        let mut conditions = Vec::with_capacity(pipeline.checks.len());
        for check in &pipeline.checks {
            let key_format = pipeline.source.key_format;
            let keys = &pipeline.keys;
            match transform::condition(&Asked { name: &check.name, sql: &check.sql.text, inputs, key_format, keys }) {
                Ok(condition) => conditions.push(condition),
                Err(mistakes) => mistakes.into_iter().for_each(|SqlProblem { line, column, message, cure }| {
                    let what = format!("check {}: {message}", check.name);
                    problems.push(Problem::new(&check.sql.place_of(line, column), Rule::Value, what, cure));
                }),
            }
        }
        Self(conditions)
    }

    /// What they read of the input.
    pub fn plans(&self) -> impl Iterator<Item = &Plan> {
        self.0.iter().map(Condition::plan)
    }

    /// Fixes the conditions to the decoder's schema.
    ///
    /// # Errors
    /// Every problem, as a sentence.
    pub fn compile(&self, pipeline: &Pipeline, input: &InputSchema) -> Result<Checks, Vec<String>> {
        let mut rules = Vec::with_capacity(self.0.len());
        let mut problems = Vec::new();
        for (condition, check) in self.0.iter().zip(&pipeline.checks) {
            let tell = |mistake: SqlProblem| format!("check {}: {}; {}", check.name, mistake.message, mistake.cure);
            match condition.compile(input) {
                Ok(condition) => rules.push(Check { condition, name: check.name.clone(), action: check.action }),
                Err(mistakes) => problems.extend(mistakes.into_iter().map(tell)),
            }
        }
        if problems.is_empty() { Ok(Checks(rules)) } else { Err(problems) }
    }
}

/// The checks as they run, shared by the lanes.
pub struct Checks(Vec<Check>);

struct Check {
    condition: CompiledCondition,
    name: String,
    action: CheckAction,
}

/// What the checks say of a batch.
#[derive(Default)]
pub struct Judged {
    /// Records that are bad: their index, and what is wrong with them.
    pub bad: BTreeMap<u32, Fault>,
    /// Records that go nowhere, ascending.
    pub dropped: Vec<u32>,
    /// The first record that blocks the pipeline.
    pub stopped: Option<(u32, Fault)>,
    /// Per `[[check]]`: how many records violate it.
    pub violations: Vec<u64>,
}

enum Fate {
    Bad(Fault),
    Dropped,
    Stopped(Fault),
}

impl Checks {
    /// How each condition runs, with its name.
    pub fn explain(&self) -> impl Iterator<Item = (&str, Explained)> {
        self.0.iter().map(|check| (check.name.as_str(), check.condition.explain()))
    }

    /// Every check over every record. Of those that a record violates the first decides, but for warnings.
    pub fn judge(&self, rows: &Rows) -> Judged {
        let mut fates = BTreeMap::new();
        let mut violations = Vec::with_capacity(self.0.len());
        for check in &self.0 {
            let checked = check.condition.run(rows);
            violations.push(checked.violations.len() as u64);
            for (record, fault) in checked.bad {
                fates.entry(record).or_insert(Fate::Bad(fault));
            }
            for record in checked.violations {
                if let Some(fate) = check.fate() {
                    fates.entry(record).or_insert(fate);
                }
            }
        }
        let mut judged = Judged { violations, ..Judged::default() };
        for (record, fate) in fates {
            match fate {
                Fate::Bad(fault) => drop(judged.bad.insert(record, fault)),
                Fate::Dropped => judged.dropped.push(record),
                Fate::Stopped(fault) => {
                    judged.stopped.get_or_insert_with(|| (record, fault.clone()));
                    judged.bad.insert(record, fault);
                }
            }
        }
        judged
    }
}

impl Check {
    fn fate(&self) -> Option<Fate> {
        let fault = || Fault {
            stage: Stage::Check,
            class: "check",
            code: String::new(),
            reason: format!("the record violates the check {}", self.name),
            column: None,
        };
        match self.action {
            CheckAction::DeadLetter => Some(Fate::Bad(fault())),
            CheckAction::Drop => Some(Fate::Dropped),
            CheckAction::Warn => None,
            CheckAction::Stop => Some(Fate::Stopped(fault())),
        }
    }
}
