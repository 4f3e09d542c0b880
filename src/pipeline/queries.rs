//! The SQL of a pipeline: planned from its file, then fixed to what the database wants.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::config::{Deletes, Filtered, MergeColumn, Mode, Pipeline, Problem, Problems, Rule, Sql, Table, Topic};
use crate::produce::EventShape;
use crate::profile::Profiler;
use crate::rows::{ColumnSource, InputColumn, InputSchema, OutputColumn};
use crate::transform::{self, Plan, PlanStep, Query, SqlProblem, Transform};
use crate::types::ColumnType;
use crate::write::plan::{PlanColumn, TablePlan};
use crate::write::{self, Prepared};

use super::checks::Conditions;
use super::follow::{self, Followed};
use super::joins::Joins;
use super::naming;
use super::stages::Stages;
use super::steps::Step;

/// The SQL of a pipeline, planned from its file alone.
pub struct Queries {
    /// One per `[[table]]`, `None` without SQL.
    statements: Vec<Option<Plan>>,
    /// One per `[[topic]]`.
    topics: Vec<(Plan, EventShape)>,
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
        super::lookup_tables::refuse_incomplete(pipeline, &mut problems);
        let conditions = Conditions::plan(pipeline, &inputs, &mut problems);
        let topics = pipeline.source.topics.names();
        // What a section selects from: the records, or the merged rows of a table and its name.
        type Merged<'a> = Option<(&'a str, Vec<InputColumn>)>;
        let mut plan = |kind: &str,
                        name: &str,
                        sql: &Sql,
                        aggregates: Option<&[MergeColumn]>,
                        replace: &[String],
                        from: Merged<'_>| {
            let query = Query {
                sql: &sql.text,
                output: name,
                aggregates,
                replace,
                inputs: from.as_ref().map_or(&inputs, |(_, inputs)| inputs),
                topics: if from.is_some() { &[] } else { topics },
                lookups: if from.is_some() { &[] } else { &pipeline.lookups },
                key_format: pipeline.source.key_format,
                keys: &pipeline.keys,
                follows: from.is_some(),
            };
            let told = |mistake: SqlProblem| {
                let mistake = match &from {
                    Some((table, inputs)) => follow::explained(table, inputs, mistake),
                    None => mistake,
                };
                let place = sql.place_of(mistake.line, mistake.column);
                let what = format!("{kind} {name}: {}", mistake.message);
                problems.push(Problem::new(&place, Rule::Value, what, mistake.cure));
            };
            transform::plan(&query).map_err(|mistakes| mistakes.into_iter().for_each(told)).ok()
        };
        let mut statements: Vec<Option<Plan>> = Vec::with_capacity(pipeline.tables.len());
        // `Err`: the table's own statement is wrong, and what follows it cannot be judged.
        let merged = |from: Option<usize>, statements: &[Option<Plan>]| {
            let Some(from) = from else { return Ok(None) };
            let (table, statement) = (&pipeline.tables[from], statements[from].as_ref());
            if table.sql.is_some() && statement.is_none() {
                return Err(());
            }
            Ok(Some((table.name.as_str(), follow::inputs(pipeline, table, statement))))
        };
        for table in &pipeline.tables {
            let aggregates = (table.mode == Mode::Merge).then_some(table.merge.as_slice());
            let planned = match (&table.sql, merged(table.from, &statements)) {
                (Some(sql), Ok(from)) => plan("table", &table.name, sql, aggregates, &table.replace, from),
                _ => None,
            };
            statements.push(planned);
        }
        let mut plans = Vec::with_capacity(pipeline.topics.len());
        for topic in &pipeline.topics {
            let from = merged(topic.from, &statements).ok();
            plans.push((topic, from.and_then(|from| plan("topic", &topic.name, &topic.sql, None, &[], from))));
        }
        let shape = |(topic, plan): (&Topic, Option<Plan>)| {
            let plan = plan?;
            let shape = EventShape::new(topic, plan.outputs()).map_err(|name| {
                let names: Vec<&str> = plan.outputs().iter().map(|output| output.name.as_str()).collect();
                let what = format!("topic {}: the result has no column {name}, which key or headers name", topic.name);
                let cure = format!("add it to the SELECT, or name one of its columns: {}", names.join(", "));
                problems.push(Problem::new(&topic.place, Rule::Value, what, cure));
            });
            Some((plan, shape.ok()?))
        };
        let topics = plans.into_iter().filter_map(shape).collect();
        let statements = naming::planned(pipeline, statements, &mut problems);
        problems.check()?;
        Ok(Self { statements, topics, conditions })
    }

    /// How the rows of each `[[topic]]` become events.
    pub fn shapes(&self) -> Arc<[EventShape]> {
        self.topics.iter().map(|(_, shape)| shape.clone()).collect()
    }

    /// The columns that each gives: what the write stage must know of them.
    pub fn outputs(&self) -> Vec<Option<Vec<OutputColumn>>> {
        self.statements.iter().map(|plan| plan.as_ref().map(|plan| plan.outputs().to_vec())).collect()
    }

    /// How each makes its columns; `None` without SQL.
    pub fn steps(&self, pipeline: &Pipeline) -> Vec<Option<Vec<Step>>> {
        self.statements
            .iter()
            .zip(&pipeline.tables)
            .map(|(plan, table)| {
                let step = |step: &PlanStep<'_>| match table.from {
                    Some(from) => Step::of_merged(step, &pipeline.tables[from].name),
                    None => Step::of(step),
                };
                plan.as_ref().map(|plan| plan.steps().iter().map(step).collect())
            })
            .collect()
    }

    /// How each `[[topic]]` makes its columns.
    pub fn topic_steps(&self) -> Vec<Vec<Step>> {
        self.topics.iter().map(|(plan, _)| plan.steps().iter().map(Step::of).collect()).collect()
    }

    /// The columns of each `[[table]]`'s and of each `[[topic]]`'s result that something private goes into, whatever the
    /// statement makes of it. A table without SQL gets the input's.
    pub fn private_columns(&self, pipeline: &Pipeline) -> (Vec<BTreeSet<String>>, Vec<BTreeSet<String>>) {
        let Some(privacy) = &pipeline.privacy else {
            return (vec![BTreeSet::new(); self.statements.len()], vec![BTreeSet::new(); self.topics.len()]);
        };
        let private: BTreeSet<String> = privacy.columns.iter().cloned().collect();
        let of = |plan: &Plan, private: &BTreeSet<String>| -> BTreeSet<String> {
            let steps = plan.steps();
            let is_private = |step: &PlanStep<'_>| step.inputs.iter().any(|input| private.contains(&input.name));
            steps.iter().filter(|step| is_private(step)).map(|step| step.column.name.clone()).collect()
        };
        let mut tables: Vec<BTreeSet<String>> = Vec::with_capacity(self.statements.len());
        // What follows a merge table reads its columns and their deltas.
        let read = |from: Option<usize>, tables: &[BTreeSet<String>]| match from {
            None => private.clone(),
            Some(from) => tables[from].iter().flat_map(|name| [name.clone(), format!("{name}_delta")]).collect(),
        };
        for (table, plan) in pipeline.tables.iter().zip(&self.statements) {
            let private = read(table.from, &tables);
            tables.push(plan.as_ref().map_or_else(|| private.clone(), |plan| of(plan, &private)));
        }
        let topics = pipeline.topics.iter().zip(&self.topics);
        let topics = topics.map(|(topic, (plan, _))| of(plan, &read(topic.from, &tables))).collect();
        (tables, topics)
    }

    /// Fixes the statements to what the database wants.
    ///
    /// # Errors
    /// Every problem, as a sentence with its cure.
    pub fn compile(&self, pipeline: &Pipeline, prepared: &Prepared) -> Result<Stages, Vec<String>> {
        let key = |plan: &TablePlan| {
            let columns = plan.replace.as_ref().map_or(&plan.key, |replace| &replace.columns);
            columns.iter().map(|column| plan.columns[*column].input).collect()
        };
        let targets = Targets {
            input: &prepared.input,
            keys: prepared.tables.iter().map(key).collect(),
            types: prepared.targets.clone(),
            plans: prepared.tables.iter().cloned().map(Some).collect(),
        };
        let stages = self.fix(pipeline, &targets)?;
        super::private::check(pipeline, &stages.input).map(|()| stages)
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
            let columns = if table.replace.is_empty() { &table.key } else { &table.replace };
            columns.iter().filter_map(index).collect()
        };
        let types = |plan: &Plan| plan.outputs().iter().map(|output| output.ty.clone()).collect();
        let plans = self.imagined(pipeline, &columns)?;
        let targets = Targets {
            input: &InputSchema::new(columns, pipeline.source.timezone.clone()),
            keys: pipeline.tables.iter().zip(&self.statements).map(key).collect(),
            types: self.statements.iter().map(|query| query.as_ref().map(types)).collect(),
            plans,
        };
        self.fix(pipeline, &targets)
    }

    /// Per table: is it a merge table that something follows?
    fn is_followed(pipeline: &Pipeline, table: usize) -> bool {
        let froms =
            pipeline.tables.iter().map(|table| table.from).chain(pipeline.topics.iter().map(|topic| topic.from));
        froms.flatten().any(|from| from == table)
    }

    /// The plans of the tables that are followed, as if the database had them as the file says. `columns`: what tables
    /// without SQL are decoded to.
    fn imagined(&self, pipeline: &Pipeline, columns: &[InputColumn]) -> Result<Vec<Option<TablePlan>>, Vec<String>> {
        let plan = |(index, table): (usize, &Table)| {
            if !Self::is_followed(pipeline, index) {
                return Ok(None);
            }
            let outputs = self.statements[index].as_ref().map(Plan::outputs);
            write::imagined(table, outputs, columns).map(Some)
        };
        pipeline.tables.iter().enumerate().map(plan).collect()
    }

    /// The merge tables that something follows, with nothing following them yet.
    fn followed(&self, pipeline: &Pipeline, targets: &Targets<'_>) -> Result<Vec<Followed>, Vec<String>> {
        let (mut followed, mut problems) = (Vec::new(), Vec::new());
        for (index, table) in pipeline.tables.iter().enumerate() {
            let Some(plan) = targets.plans[index].as_ref().filter(|_| Self::is_followed(pipeline, index)) else {
                continue;
            };
            let statement = self.statements[index].as_ref();
            let columns = follow::inputs(pipeline, table, statement);
            let is_at = |column: &PlanColumn, input: usize| match statement {
                Some(_) => column.input == input,
                None => targets.input.columns[column.input].name == columns[input].name,
            };
            let column_of = |input: usize| plan.columns.iter().position(|column| is_at(column, input));
            match Followed::new((index, &table.name), plan.clone(), &columns, column_of) {
                Ok(one) => followed.push(one),
                Err(problem) => problems.push(problem),
            }
        }
        if problems.is_empty() { Ok(followed) } else { Err(problems) }
    }

    fn fix(&self, pipeline: &Pipeline, targets: &Targets<'_>) -> Result<Stages, Vec<String>> {
        let mut problems = Vec::new();
        let mut columns = targets.input.columns.clone();
        for ((key, table), query) in targets.keys.iter().zip(&pipeline.tables).zip(&self.statements) {
            let Some(query) = query else { continue };
            let varying = key.iter().filter_map(|column| query.varies(*column));
            problems.extend(varying.map(|mistake| sentence("table", &table.name, table.sql.as_ref(), &mistake)));
            if table.from.is_some() {
                continue;
            }
            let mut key = key.clone();
            if table.deletes != Deletes::Ignore {
                // A delete has to find its table, too.
                key.extend(query.names());
                let mistake = query.deletable(&key).err();
                problems.extend(mistake.map(|mistake| sentence("table", &table.name, table.sql.as_ref(), &mistake)));
            }
            read(&mut columns, query, &key);
        }
        naming::add_inputs(pipeline, &mut columns);
        for (topic, (query, shape)) in pipeline.topics.iter().zip(&self.topics) {
            let is_key = |index: &usize| topic.key.contains(&query.outputs()[*index].name);
            let varying = (0..query.outputs().len()).filter(is_key).filter_map(|column| query.varies(column));
            problems.extend(varying.map(|mistake| sentence("topic", &topic.name, Some(&topic.sql), &mistake)));
            if topic.from.is_some() {
                continue;
            }
            let key = shape.tombstone_key();
            if shape.sends_tombstones()
                && let Err(mistake) = query.deletable(key)
            {
                problems.push(sentence("topic", &topic.name, Some(&topic.sql), &mistake));
            }
            read(&mut columns, query, key);
        }
        self.conditions.plans().for_each(|plan| read(&mut columns, plan, &[]));
        // What is profiled may be read by nothing else.
        for declared in pipeline.source.columns.iter().filter(|column| pipeline.profile.contains(&column.name)) {
            let Some(ty) = declared.ty.clone() else { continue };
            let column = declared.input(ty);
            if columns.iter().all(|known| known.name != column.name) {
                columns.push(column);
            }
        }
        let mut joins = Joins::default();
        self.statements
            .iter()
            .flatten()
            .chain(self.topics.iter().map(|(plan, _)| plan))
            .for_each(|plan| joins.add(plan));
        joins.keys().for_each(|plan| read(&mut columns, plan, &[]));
        let decoded = InputSchema::new(columns, targets.input.timezone.clone());
        let input = joins.schema(&decoded);
        let (looked_up, joins) = joins.compile(pipeline, &input).unwrap_or_else(|told| {
            problems.extend(told);
            Default::default()
        });
        let checks = self.conditions.compile(pipeline, &input).map_err(|told| problems.extend(told)).ok();
        let mut followed = self.followed(pipeline, targets).map_err(|told| problems.extend(told)).unwrap_or_default();
        let mut transforms = Vec::with_capacity(self.statements.len());
        for (index, (query, table)) in self.statements.iter().zip(&pipeline.tables).enumerate() {
            let (Some(query), Some(types)) = (query, &targets.types[index]) else {
                transforms.push(None);
                continue;
            };
            // A delete that nobody wants needs no key.
            let deletes = table.deletes != Deletes::Ignore || table.filtered == Filtered::Delete;
            let key = if deletes { &targets.keys[index][..] } else { &[] };
            let at = merged_at(&followed, table.from);
            if table.from.is_some() && at.is_none() {
                continue;
            }
            let schema = at.map_or(&*input, |at| followed[at].schema());
            match (query.compile(schema, types, key, table.filtered), at) {
                (Ok(transform), None) => transforms.push(Some(transform)),
                (Ok(transform), Some(at)) => {
                    followed[at].add_table(index, &table.name, transform);
                    transforms.push(None);
                }
                (Err(mistakes), _) => {
                    let sentence = |mistake| sentence("table", &table.name, table.sql.as_ref(), mistake);
                    problems.extend(mistakes.iter().map(sentence));
                }
            }
        }
        let mut topics: Vec<Option<Transform>> = Vec::with_capacity(self.topics.len());
        for (index, (topic, (query, shape))) in pipeline.topics.iter().zip(&self.topics).enumerate() {
            let at = merged_at(&followed, topic.from);
            if topic.from.is_some() && at.is_none() {
                continue;
            }
            let schema = at.map_or(&*input, |at| followed[at].schema());
            // No target: the results stay what they are.
            match (query.compile(schema, &[], shape.tombstone_key(), Filtered::Ignore), at) {
                (Ok(transform), None) => topics.push(Some(transform)),
                (Ok(transform), Some(at)) => {
                    followed[at].add_topic(index, &topic.name, transform);
                    topics.push(None);
                }
                (Err(mistakes), _) => {
                    let sentence = |mistake| sentence("topic", &topic.name, Some(&topic.sql), mistake);
                    problems.extend(mistakes.iter().map(sentence));
                }
            }
        }
        let names = naming::namings(pipeline, &self.statements, &input).map_err(|told| problems.extend(told));
        let names = names.unwrap_or_default();
        let has_groups = self.statements.iter().flatten().any(Plan::is_grouped);
        match checks {
            Some(checks) if problems.is_empty() => {
                let follows = pipeline.tables.iter().map(|table| table.from.is_some()).collect();
                let profiler = Profiler::new(&pipeline.profile, &decoded);
                Ok(Stages {
                    input: decoded,
                    checks,
                    joins,
                    looked_up,
                    transforms,
                    topics,
                    follows,
                    followed,
                    has_groups,
                    names,
                    profiler,
                })
            }
            _ => Err(problems),
        }
    }
}

/// What the statements are fixed to.
struct Targets<'a> {
    /// What the tables without SQL need decoded.
    input: &'a InputSchema,
    /// Per table: the columns of its statement that are its key; with `replace` its parent's.
    keys: Vec<Vec<usize>>,
    /// Per table: the type that each column of its statement must have; `None` without SQL.
    types: Vec<Option<Vec<ColumnType>>>,
    /// Per table: what is done to it; needed of those that are followed.
    plans: Vec<Option<TablePlan>>,
}

/// Where the merge table is that a section follows.
fn merged_at(followed: &[Followed], from: Option<usize>) -> Option<usize> {
    followed.iter().position(|followed| Some(followed.table()) == from)
}

/// Adds what a statement reads to the input. The columns that its key needs are given by the record's key where the
/// record's value does not: that is all a delete has.
fn read(columns: &mut Vec<InputColumn>, query: &Plan, key: &[usize]) {
    let in_key = query.key_inputs(key);
    let is_decoded = |column: &InputColumn| !matches!(column.source, ColumnSource::Lookup { .. });
    for (index, wanted) in query.reads().iter().enumerate().filter(|(_, column)| is_decoded(column)) {
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

fn sentence(kind: &str, name: &str, sql: Option<&Sql>, mistake: &SqlProblem) -> String {
    let place = sql.map(|sql| sql.place_of(mistake.line, mistake.column));
    let place = place.map_or(String::new(), |place| format!("{place}: "));
    format!("{place}{kind} {name}: {}; {}", mistake.message, mistake.cure)
}
