//! A plan, the decoder's schema and the target's types to what runs.

use std::sync::Arc;

use arrow_schema::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion_common::tree_node::{Transformed as Rewritten, TransformedResult, TreeNode};
use datafusion_common::{DFSchema, Result, ScalarValue};
use datafusion_expr::execution_props::ExecutionProps;
use datafusion_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion_expr::{Expr, Operator};
use datafusion_physical_expr::expressions::{BinaryExpr, Literal, NegativeExpr};
use datafusion_physical_expr::simplifier::PhysicalExprSimplifier;
use datafusion_physical_expr::{PhysicalExpr, create_physical_expr};
use tidegate_sql::{Aggregate, unnested};

use crate::rows::{InputColumn, InputSchema};
use crate::types::ColumnType;

use super::convert::Convert;
use super::faults::Place;
use super::plan::{OPERATION, Plan, engine_field, is_signed, passed};
use super::{Filtered, SqlProblem, kinds};

/// A compiled statement: `&self`, so that lanes can share it.
#[derive(Debug)]
pub struct Transform {
    /// The input's columns that are read, by index into the decoder's schema, in the order of the plan's `reads`.
    pub(super) scan: Vec<usize>,
    /// `reads`, then `_op` where it is asked for.
    pub(super) base: SchemaRef,
    pub(super) has_operation: bool,
    /// Only rows of this topic, which is column `.0` of `base`.
    pub(super) topic: Option<(usize, String)>,
    pub(super) filter: Option<Arc<dyn PhysicalExpr>>,
    pub(super) unnests: Vec<Arc<dyn PhysicalExpr>>,
    /// `base` with the elements of the UNNESTs.
    pub(super) unnested: SchemaRef,
    pub(super) outputs: Vec<CompiledOutput>,
    pub(super) filtered: Filtered,
    /// Does the target merge, so that deletes are of no use to it?
    pub(super) merges: bool,
    /// Do the rows of a record replace those that are stored for its parent?
    pub(super) replaces: bool,
    /// Do deletes reach the table?
    pub(super) deletes: bool,
    pub(super) grouped: bool,
    pub(super) schema: SchemaRef,
}

#[derive(Debug)]
pub(super) struct CompiledOutput {
    pub expr: Arc<dyn PhysicalExpr>,
    /// The column of the decoder's schema that it is a bare reference to.
    pub passes: Option<usize>,
    pub is_key: bool,
    pub aggregate: Option<Aggregate>,
    /// Of the value, or of the aggregate.
    pub convert: Convert,
    pub place: Place,
}

impl Plan {
    /// Fixes it to the decoder's schema and to what the target wants of each output. The schema may hold more columns
    /// than the plan reads. `key`: the outputs that a delete must give, by index; empty where deletes are ignored.
    ///
    /// # Errors
    /// Inputs that the schema lacks or types otherwise, outputs that cannot become the target's type.
    pub fn compile(
        &self,
        input: &InputSchema,
        targets: &[ColumnType],
        key: &[usize],
        filtered: Filtered,
    ) -> Result<Transform, Vec<SqlProblem>> {
        let scan = self.scan(input)?;
        let mut fields: Vec<FieldRef> = self.reads.iter().map(engine_field).collect();
        let topic = self.statement.topic.clone().and_then(|name| {
            let is_topic = |column: &crate::rows::InputColumn| column.source == crate::rows::ColumnSource::Topic;
            self.reads.iter().position(is_topic).map(|index| (index, name))
        });
        if self.has_operation {
            fields.push(Arc::new(kinds::field(OPERATION, &ColumnType::Text)));
        }
        let base = Arc::new(Schema::new(fields.clone()));
        fields.extend((0..self.statement.unnests.len()).filter_map(|index| {
            let field = self.statement.schema.field_with_unqualified_name(&unnested(index)).ok()?;
            Some(Arc::new(field.as_ref().clone()))
        }));
        let after_unnest = Arc::new(Schema::new(fields));
        let mut problems = Vec::new();
        let replaces = !self.replace.is_empty();
        let is_many = self.statement.grouped || !self.statement.unnests.is_empty() && !replaces;
        if filtered == Filtered::Delete && is_many {
            let message = "filtered = \"delete\" needs one row per record, and this SELECT gives others".to_owned();
            let cure = "set filtered = \"ignore\"".to_owned();
            problems.push(SqlProblem { line: 1, column: 1, message, cure });
        }
        let mut outputs = Vec::with_capacity(self.outputs.len());
        for (index, output) in self.statement.outputs.iter().enumerate() {
            let column = &self.outputs[index];
            let target = targets.get(index).unwrap_or(&column.ty);
            let at =
                |message: String, cure: String| SqlProblem { line: output.line, column: output.column, message, cure };
            let Some(convert) = Convert::new(&column.ty, target) else {
                let message = format!("column {}: the result is {}, the target {target}", output.name, column.ty);
                problems.push(at(message, format!("cast it: CAST({} AS {target}) AS {}", output.text, output.name)));
                continue;
            };
            let place = Place::Output { name: output.name.clone(), text: output.text.clone() };
            match physical(&output.expr, &after_unnest) {
                Ok(expr) => outputs.push(CompiledOutput {
                    expr,
                    passes: passed(&output.expr, &self.reads)
                        .and_then(|read| self.reads.iter().position(|column| column.name == read.name))
                        .map(|read| scan[read]),
                    is_key: key.contains(&index) || self.is_needed(index, !key.is_empty()),
                    aggregate: output.aggregate,
                    convert,
                    place,
                }),
                Err(error) => {
                    problems.push(at(format!("column {}: {}", output.name, error.strip_backtrace()), String::new()))
                }
            }
        }
        let clause = |expr: &Expr, schema: &SchemaRef| {
            physical(expr, schema).map_err(|error| {
                vec![SqlProblem { line: 1, column: 1, message: error.strip_backtrace(), cure: String::new() }]
            })
        };
        let filter = self.statement.filter.as_ref().map(|filter| clause(filter, &base)).transpose()?;
        let unnests = self.statement.unnests.iter().map(|list| clause(list, &base)).collect::<Result<_, _>>()?;
        if !problems.is_empty() {
            return Err(problems);
        }
        let schema = Arc::new(Schema::new(
            self.outputs
                .iter()
                .zip(&outputs)
                .map(|(column, output)| Field::new(&column.name, output.convert.target().clone(), true))
                .collect::<Vec<_>>(),
        ));
        Ok(Transform {
            scan,
            base,
            has_operation: self.has_operation,
            topic,
            filter,
            unnests,
            unnested: after_unnest,
            outputs,
            filtered,
            merges: self.merges,
            replaces,
            deletes: !key.is_empty(),
            grouped: self.statement.grouped,
            schema,
        })
    }

    fn scan(&self, input: &InputSchema) -> Result<Vec<usize>, Vec<SqlProblem>> {
        let mut problems = Vec::new();
        let mut scan = Vec::with_capacity(self.reads.len());
        for read in &self.reads {
            // Another section may read a field of the same name as another type; whose key it is does not matter.
            let is_read = |column: &InputColumn| InputColumn { key: read.key, ..column.clone() } == *read;
            match input.columns.iter().position(is_read) {
                Some(index) => scan.push(index),
                None => {
                    let message = format!("the input has no column {} of type {}", read.name, read.ty);
                    let cure = "declare it in [source.columns]".to_owned();
                    problems.push(SqlProblem { line: 1, column: 1, message, cure });
                }
            }
        }
        if problems.is_empty() { Ok(scan) } else { Err(problems) }
    }
}

/// The expression as it runs: with checked arithmetic, and with what is constant computed.
fn physical(expr: &Expr, schema: &SchemaRef) -> Result<Arc<dyn PhysicalExpr>> {
    let df_schema = DFSchema::try_from(schema.as_ref().clone())?;
    let props = ExecutionProps::new();
    let expr = create_physical_expr(expr, &df_schema, &props, &PhysicalPlanningContext::default())?;
    let expr = expr.transform_up(|node| checked(node, schema)).data()?;
    PhysicalExprSimplifier::new(schema).simplify(expr)
}

/// An overflow is an error, never a wrap.
fn checked(node: Arc<dyn PhysicalExpr>, schema: &Schema) -> Result<Rewritten<Arc<dyn PhysicalExpr>>> {
    let arithmetic = |op: &Operator| matches!(op, Operator::Plus | Operator::Minus | Operator::Multiply);
    if let Some(binary) = node.downcast_ref::<BinaryExpr>()
        && arithmetic(binary.op())
    {
        let checked = BinaryExpr::new(binary.left().clone(), *binary.op(), binary.right().clone());
        return Ok(Rewritten::yes(Arc::new(checked.with_fail_on_overflow(true))));
    }
    if let Some(negative) = node.downcast_ref::<NegativeExpr>() {
        let ty = negative.arg().data_type(schema)?;
        if (ty.is_integer() && is_signed(&ty)) || matches!(ty, DataType::Decimal128(..) | DataType::Decimal256(..)) {
            let zero = Arc::new(Literal::new(ScalarValue::new_zero(&ty)?));
            let checked = BinaryExpr::new(zero, Operator::Minus, negative.arg().clone()).with_fail_on_overflow(true);
            let checked: Arc<dyn PhysicalExpr> = Arc::new(checked);
            // Decimal subtraction widens by a digit: the type was settled without it.
            let checked = match checked.data_type(schema)? == ty {
                true => checked,
                false => datafusion_physical_expr::expressions::cast(checked, schema, ty)?,
            };
            return Ok(Rewritten::yes(checked));
        }
    }
    Ok(Rewritten::no(node))
}
