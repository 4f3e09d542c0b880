//! Text and typed columns to a plan; pure.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow_schema::{DataType, FieldRef};
use datafusion_common::Column;
use datafusion_expr::Expr;
use tidegate_sql::{Aggregate, MergedColumn, Output, Request, Statement};

use crate::config::{KeyFormat, MergeColumn, MergeFunction};
use crate::rows::{BytesEncoding, ColumnSource, InputColumn, TimeUnit};
use crate::types::ColumnType;

use super::join::{self, JoinPlan};
use super::{OutputColumn, Query, SqlProblem, functions, kinds};

/// A statement that is well-formed and typed.
#[derive(Debug, Clone)]
pub struct Plan {
    pub(super) statement: Statement,
    pub(super) merges: bool,
    /// Is `_op` asked for?
    pub(super) has_operation: bool,
    pub(super) outputs: Vec<OutputColumn>,
    pub(super) reads: Vec<InputColumn>,
    /// Indexes into `outputs`: the parent's key, whose stored rows go before a record's rows come.
    pub(super) replace: Vec<usize>,
    pub(super) joins: Vec<JoinPlan>,
    /// Indexes into `outputs`: what the table's name needs.
    pub(super) names: Vec<usize>,
}

/// One output of a statement.
#[derive(Debug, Clone)]
pub struct PlanStep<'a> {
    /// What it is made of.
    pub inputs: Vec<&'a InputColumn>,
    /// As the statement writes it.
    pub text: &'a str,
    pub column: &'a OutputColumn,
}

/// The pseudo-column of the row's operation: `upsert` or `delete`. No input: each row knows it.
pub(super) const OPERATION: &str = "_op";
const TOPIC: &str = "_topic";

/// Plans a statement; pure, needs no database.
///
/// # Errors
/// Every problem that can be found.
pub fn plan(query: &Query) -> Result<Plan, Vec<SqlProblem>> {
    let columns: Vec<FieldRef> =
        query.inputs.iter().map(|column| Arc::new(kinds::field(&column.name, &column.ty))).collect();
    // A declared column hides the pseudo-column of its name.
    let is_free = |name: &str| query.inputs.iter().all(|column| column.name != name);
    let mut pseudo_columns = if query.follows { Vec::new() } else { pseudo_columns(query.key_format) };
    pseudo_columns.retain(|column| is_free(&column.name));
    let mut pseudo: Vec<FieldRef> =
        pseudo_columns.iter().map(|column| Arc::new(kinds::field(&column.name, &column.ty))).collect();
    let has_operation = !query.follows && is_free(OPERATION);
    if has_operation {
        pseudo.push(Arc::new(kinds::field(OPERATION, &ColumnType::Text)));
    }
    let merged: Option<Vec<MergedColumn>> = query.aggregates.map(|columns| columns.iter().map(merged_column).collect());
    let functions = functions::all(query.keys);
    let lookups: Vec<tidegate_sql::Lookup> = query.lookups.iter().map(join::described).collect();
    let request = Request {
        sql: query.sql,
        output: query.output,
        columns: &columns,
        pseudo: &pseudo,
        topics: query.topics,
        lookups: &lookups,
        merged: merged.as_deref(),
        functions: &functions,
    };
    let statement = tidegate_sql::analyze(&request)?;
    let known = Known { query, pseudo_columns, joined: join::joined_columns(query.lookups, &statement.joins) };
    let joins = statement.joins.iter().map(|join| known.join(&statement, join)).collect::<Result<_, _>>()?;
    let replace = super::replace::outputs(&statement, query.replace)?;
    Ok(Plan { joins, replace, ..known.planned(statement)? })
}

/// What a statement may read.
struct Known<'a> {
    query: &'a Query<'a>,
    pseudo_columns: Vec<InputColumn>,
    /// Of the lookups that it joins.
    joined: Vec<InputColumn>,
}

impl Known<'_> {
    fn planned(&self, statement: Statement) -> Result<Plan, Vec<SqlProblem>> {
        let used = used_columns(&statement);
        let header =
            |name: &String| meta(&tidegate_sql::header(name), ColumnType::Text, ColumnSource::Header(name.clone()));
        let headers = statement.headers.iter().map(header).filter(|column| used.contains(&column.name));
        let is_topic = |column: &&InputColumn| statement.topic.is_some() && column.source == ColumnSource::Topic;
        let topic = self.pseudo_columns.iter().filter(is_topic);
        let of_record = self.query.inputs.iter().chain(self.pseudo_columns.iter().filter(|column| !is_topic(column)));
        let reads: Vec<InputColumn> = of_record
            .filter(|column| used.contains(&column.name))
            .chain(topic)
            .cloned()
            .chain(headers)
            .chain(self.joined.iter().filter(|column| used.contains(&column.name)).cloned())
            .collect();
        let outputs = statement.outputs.iter().map(|output| output_column(output, &reads)).collect::<Result<_, _>>()?;
        let is_free = self.query.inputs.iter().all(|column| column.name != OPERATION);
        let has_operation = !self.query.follows && is_free && used.contains(OPERATION);
        let (joins, replace, names) = (Vec::new(), Vec::new(), Vec::new());
        let merges = self.query.aggregates.is_some();
        Ok(Plan { statement, has_operation, merges, outputs, reads, joins, replace, names })
    }

    /// The keys of a join, as a statement over the same records.
    fn join(&self, statement: &Statement, join: &tidegate_sql::Join) -> Result<JoinPlan, Vec<SqlProblem>> {
        let key = Statement {
            outputs: join.keys.clone(),
            joins: Vec::new(),
            filter: None,
            unnests: Vec::new(),
            grouped: false,
            ..statement.clone()
        };
        let key = Plan { merges: false, ..self.planned(key)? };
        Ok(JoinPlan { id: join.id.clone(), lookup: join.lookup, key, columns: Vec::new() })
    }
}

fn meta(name: &str, ty: ColumnType, source: ColumnSource) -> InputColumn {
    let unit = (source == ColumnSource::Timestamp).then_some(TimeUnit::Milliseconds);
    InputColumn { name: name.to_owned(), ty, source, unit, encoding: BytesEncoding::Base64, default: None, key: false }
}

fn pseudo_columns(key_format: KeyFormat) -> Vec<InputColumn> {
    let key = match key_format {
        KeyFormat::Bytes => ColumnType::Bytes,
        KeyFormat::Text | KeyFormat::Json => ColumnType::Text,
    };
    vec![
        meta(TOPIC, ColumnType::Text, ColumnSource::Topic),
        meta("_partition", ColumnType::Int32, ColumnSource::Partition),
        meta("_offset", ColumnType::Int64, ColumnSource::Offset),
        meta("_timestamp", ColumnType::TimestampTz, ColumnSource::Timestamp),
        meta("_key", key, ColumnSource::Key(Vec::new())),
    ]
}

fn merged_column(merged: &MergeColumn) -> MergedColumn {
    let (function, takes) = match merged.function {
        MergeFunction::Sum => ("sum", vec![Aggregate::Sum, Aggregate::Count]),
        MergeFunction::Count => ("count", vec![Aggregate::Count]),
        MergeFunction::Min => ("min", vec![Aggregate::Min]),
        MergeFunction::Max => ("max", vec![Aggregate::Max]),
        MergeFunction::BitOr => ("bit_or", vec![Aggregate::BitOr]),
        MergeFunction::First { .. } => ("first", vec![Aggregate::First]),
        MergeFunction::Last { .. } => ("last", vec![Aggregate::Last]),
        MergeFunction::JsonMerge => ("json_merge", vec![Aggregate::JsonMerge]),
    };
    let by = match &merged.function {
        MergeFunction::First { by } | MergeFunction::Last { by } => Some(by.clone()),
        _ => None,
    };
    MergedColumn { name: merged.column.clone(), function: function.to_owned(), takes, by }
}

pub(super) fn columns_of(expr: &Expr) -> BTreeSet<String> {
    expr.column_refs().into_iter().map(|column: &Column| column.name.clone()).collect()
}

fn used_columns(statement: &Statement) -> BTreeSet<String> {
    let outputs = statement.outputs.iter().map(|output| &output.expr);
    outputs.chain(&statement.unnests).chain(&statement.filter).flat_map(columns_of).collect()
}

/// The input column that an expression is a bare reference to.
pub(super) fn passed<'a>(expr: &Expr, reads: &'a [InputColumn]) -> Option<&'a InputColumn> {
    match expr {
        Expr::Column(column) => reads.iter().find(|input| input.name == column.name),
        _ => None,
    }
}

pub(super) fn problem(output: &Output, message: String, cure: &str) -> SqlProblem {
    SqlProblem { line: output.line, column: output.column, message, cure: cure.to_owned() }
}

fn output_column(output: &Output, reads: &[InputColumn]) -> Result<OutputColumn, Vec<SqlProblem>> {
    let name = output.name.clone();
    if output.aggregate.is_none()
        && let Some(input) = passed(&output.expr, reads)
    {
        return Ok(OutputColumn { name, ty: input.ty.clone(), nullable: true, passes: Some(input.name.clone()) });
    }
    let no_column = || vec![problem(output, format!("no column holds what {name} is"), "cast it: CAST(x AS text)")];
    let ty = kinds::column_type(&output.field).ok_or_else(no_column)?;
    let (ty, nullable) = match output.aggregate {
        Some(Aggregate::Count) => (ColumnType::Int64, false),
        Some(Aggregate::Sum) => (sum_type(&ty), output.field.is_nullable()),
        _ => (ty, output.field.is_nullable()),
    };
    Ok(OutputColumn { name, ty, nullable, passes: None })
}

/// Wide enough for the sum of a batch; the target may be wider still.
fn sum_type(ty: &ColumnType) -> ColumnType {
    match ty {
        ColumnType::UInt8 | ColumnType::UInt16 | ColumnType::UInt32 | ColumnType::UInt64 => ColumnType::UInt64,
        ColumnType::Float32 | ColumnType::Float64 => ColumnType::Float64,
        ColumnType::Decimal { precision, scale } => {
            let widest = if *precision <= 38 { 38 } else { 76 };
            ColumnType::Decimal { precision: (precision + 10).min(widest), scale: *scale }
        }
        _ => ColumnType::Int64,
    }
}

impl Plan {
    pub fn outputs(&self) -> &[OutputColumn] {
        &self.outputs
    }

    /// Exactly the inputs that it reads: only these need decoding. Pseudo-columns are among them with their source.
    pub fn reads(&self) -> &[InputColumn] {
        &self.reads
    }

    /// Does an output differ each time that it is computed, so that no row is found by it?
    pub fn varies(&self, output: usize) -> Option<SqlProblem> {
        let output = self.statement.outputs.get(output).filter(|output| output.expr.is_volatile())?;
        let message =
            format!("{} is another text each time that it is computed, so no row is found by it", output.name);
        Some(problem(output, message, "use encrypt_deterministic or hash"))
    }

    /// The lookups that it joins, in an order in which each needs only those before it, with what it reads of them.
    pub fn joins(&self) -> Vec<JoinPlan> {
        let readers = || self.joins.iter().map(JoinPlan::key).chain([self]).flat_map(|plan| &plan.reads);
        let of_join = |join: &JoinPlan| {
            let is_found = tidegate_sql::found(&join.id);
            let start = tidegate_sql::joined(&join.id, "");
            let mut columns: Vec<InputColumn> = Vec::new();
            for column in readers().filter(|column| matches!(column.source, ColumnSource::Lookup { .. })) {
                let is_ours = column.name == is_found || column.name.starts_with(&start);
                if is_ours && !columns.contains(column) {
                    columns.push(column.clone());
                }
            }
            JoinPlan { columns, ..join.clone() }
        };
        self.joins.iter().map(of_join).collect()
    }

    /// How the statement writes its outputs.
    pub(super) fn texts(&self) -> impl Iterator<Item = &str> {
        self.statement.outputs.iter().map(|output| output.text.as_str())
    }

    /// A mistake in the output of this name.
    pub(super) fn problem(&self, name: &str, message: String, cure: &str) -> SqlProblem {
        let output = self.statement.outputs.iter().find(|output| output.name == name);
        let (line, column) = output.map_or((1, 1), |output| (output.line, output.column));
        SqlProblem { line, column, message, cure: cure.to_owned() }
    }

    /// How each output is made, in their order.
    pub fn steps(&self) -> Vec<PlanStep<'_>> {
        let step = |output: &'_ Output| {
            let used = columns_of(&output.expr);
            let is_unnested = |index: &usize| used.contains(&tidegate_sql::unnested(*index));
            let lists = (0..self.statement.unnests.len()).filter(is_unnested);
            let used: BTreeSet<String> =
                lists.flat_map(|index| columns_of(&self.statement.unnests[index])).chain(used.clone()).collect();
            self.reads.iter().filter(|input| used.contains(&input.name)).collect()
        };
        let outputs = self.statement.outputs.iter().zip(&self.outputs);
        outputs.map(|(output, column)| PlanStep { inputs: step(output), text: &output.text, column }).collect()
    }

    /// Indexes into `outputs`: the columns by which the rows of a record replace the stored ones.
    pub fn replace(&self) -> &[usize] {
        &self.replace
    }

    /// Does it bring rows of a batch together, so that a delete says nothing to it?
    pub fn is_grouped(&self) -> bool {
        self.statement.grouped
    }

    /// Indexes into `reads` that the key outputs need: the record's key should give them where the value does not
    /// (`InputColumn::key`).
    pub fn key_inputs(&self, key: &[usize]) -> Vec<usize> {
        let used: BTreeSet<String> = key
            .iter()
            .filter_map(|index| self.statement.outputs.get(*index))
            .flat_map(|output| columns_of(&output.expr))
            .collect();
        (0..self.reads.len()).filter(|index| used.contains(&self.reads[*index].name)).collect()
    }

    /// Can a delete be answered, of which there is only the record's key? `key`: indexes into `outputs`.
    ///
    /// # Errors
    /// The first output that needs more than the key.
    pub fn deletable(&self, key: &[usize]) -> Result<(), SqlProblem> {
        let outputs = || key.iter().filter_map(|index| self.statement.outputs.get(*index));
        let cure = "set deletes = \"ignore\"";
        if self.replace.is_empty()
            && let (Some(_), Some(output)) = (self.statement.unnests.first(), self.statement.outputs.first())
        {
            let message = "a tombstone has nothing to UNNEST, so its rows cannot be found".to_owned();
            return Err(problem(output, message, cure));
        }
        // A bare reference takes its column from the record's key, by its name.
        let given: BTreeSet<&str> =
            outputs().filter_map(|output| passed(&output.expr, &self.reads)).map(|input| input.name.as_str()).collect();
        for output in outputs() {
            for name in columns_of(&output.expr) {
                let Some(input) = self.reads.iter().find(|input| input.name == name) else { continue };
                let is_known = match &input.source {
                    ColumnSource::Value(path) => input.key || (path.len() == 1 && given.contains(name.as_str())),
                    ColumnSource::Lookup { .. } => false,
                    _ => true,
                };
                if let (false, ColumnSource::Lookup { lookup, .. }) = (is_known, &input.source) {
                    let message = format!(
                        "key column {} needs the lookup {lookup}, and a tombstone finds no row of it",
                        output.name
                    );
                    return Err(problem(output, message, cure));
                }
                if !is_known {
                    let message = format!("key column {} needs {name}, which a tombstone does not have", output.name);
                    let cure = format!(
                        "take it from the record's key in [source.columns]: {name} = {{ type = \"{}\", key = \"$.{name}\" }}; or {cure}",
                        input.ty
                    );
                    return Err(problem(output, message, &cure));
                }
            }
        }
        Ok(())
    }
}

/// The engine's type of an input, as `compile` plans with it.
pub(super) fn engine_field(column: &InputColumn) -> FieldRef {
    Arc::new(kinds::field(&column.name, &column.ty))
}

/// The type of the aggregate's result on the engine's side.
pub(super) fn is_signed(ty: &DataType) -> bool {
    !matches!(ty, DataType::UInt8 | DataType::UInt16 | DataType::UInt32 | DataType::UInt64)
}
