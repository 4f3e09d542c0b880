//! Syntax to typed expressions, by the engine. Where it refuses, the smallest part that it refuses by itself is the
//! mistake.

use std::ops::ControlFlow;
use std::sync::Arc;

use arrow_schema::{DataType, Field, FieldRef};
use datafusion_common::config::ConfigOptions;
use datafusion_common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion_common::{Column, DFSchema, DataFusionError, Result, TableReference, plan_err};
use datafusion_expr::planner::{ContextProvider, ExprPlanner, TypePlanner};
use datafusion_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion_expr::{AggregateUDF, Expr, ExprSchemable, HigherOrderUDF, ScalarUDF, TableSource, WindowUDF, and};
use datafusion_optimizer::analyzer::type_coercion::TypeCoercionRewriter;
use datafusion_sql::planner::{ParserOptions, PlannerContext, SqlToRel};
use datafusion_sql::sqlparser::ast::{Expr as Syntax, Visit, Visitor};
use datafusion_sql::sqlparser::tokenizer::Location;

use crate::functions::Catalog;
use crate::join::{self, ResolvedJoin};
use crate::parse::at;
use crate::resolve::{Resolved, ResolvedOutput, arguments, place_of};
use crate::types::{Types, name_of};
use crate::{Aggregate, Join, Output, Problems, Request, Statement, header, unnested};

/// What the engine asks about the world.
struct Context {
    catalog: Catalog,
    options: ConfigOptions,
    planners: Vec<Arc<dyn ExprPlanner>>,
}

impl ContextProvider for Context {
    fn get_table_source(&self, name: TableReference) -> Result<Arc<dyn TableSource>> {
        plan_err!("there is no table {name}")
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        &self.planners
    }

    fn get_type_planner(&self) -> Option<Arc<dyn TypePlanner>> {
        Some(Arc::new(Types))
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        self.catalog.get(name).cloned()
    }

    fn get_higher_order_meta(&self, _name: &str) -> Option<Arc<HigherOrderUDF>> {
        None
    }

    fn get_aggregate_meta(&self, _name: &str) -> Option<Arc<AggregateUDF>> {
        None
    }

    fn get_window_meta(&self, _name: &str) -> Option<Arc<WindowUDF>> {
        None
    }

    fn get_variable_type(&self, _names: &[String]) -> Option<DataType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        &self.options
    }

    fn udf_names(&self) -> Vec<String> {
        self.catalog.names().map(str::to_owned).collect()
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn udaf_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn udwf_names(&self) -> Vec<String> {
        Vec::new()
    }
}

struct Typer<'a> {
    context: &'a Context,
    schema: DFSchema,
}

pub fn typed(request: &Request, resolved: Resolved, problems: &mut Problems) -> Option<Statement> {
    let Resolved { catalog, topic, joins, joined, filter, unnests, outputs, grouped, headers } = resolved;
    let mut options = ConfigOptions::default();
    options.execution.time_zone = Some("UTC".to_owned());
    let context = Context { catalog, options, planners: planners() };
    let mut fields: Vec<FieldRef> = request.columns.iter().chain(request.pseudo).cloned().collect();
    fields.extend(headers.iter().map(|name| Arc::new(Field::new(header(name), DataType::Utf8, true))));
    fields.extend(joined);
    let conditions: Vec<String> = join::conditions(&joins).collect();
    fields.extend(conditions.iter().map(|name| Arc::new(Field::new(name, DataType::Boolean, true))));
    let mut typer = Typer { context: &context, schema: schema_of(&fields) };

    let around = Location::new(1, 1);
    let filter = filter.and_then(|filter| {
        let place = place_of(&filter, around);
        let (expr, field) = typer.expression(&filter, place, problems)?;
        if !matches!(field.data_type(), DataType::Boolean | DataType::Null) {
            let message = format!("WHERE needs a condition, this is {}", name_of(field.data_type()));
            problems.push(at(place, message, "compare it with something"));
        }
        Some(expr)
    });
    let conditions = conditions.into_iter().map(|name| Expr::Column(Column::new_unqualified(name)));
    let filter = conditions.chain(filter).reduce(and);
    let mut keyed = Vec::with_capacity(joins.len());
    for ResolvedJoin { lookup, id, keys, .. } in joins {
        let keys: Option<Vec<Output>> = keys.into_iter().map(|key| output(&typer, key, problems)).collect();
        keyed.push(Join { lookup, id, keys: keys? });
    }
    let mut lists = Vec::with_capacity(unnests.len());
    for (index, list) in unnests.iter().enumerate() {
        let (expr, field) = typer.expression(list, place_of(list, around), problems)?;
        let element = match field.data_type() {
            DataType::List(element) => element.as_ref().clone(),
            // `unnest_list` returns nothing else.
            other => Field::new("item", other.clone(), true),
        };
        // A list's kind is that of its elements.
        let element = element.with_metadata(field.metadata().clone());
        fields.push(Arc::new(element.with_name(unnested(index)).with_nullable(true)));
        lists.push(expr);
    }
    typer.schema = schema_of(&fields);
    let outputs: Vec<Option<Output>> = outputs.into_iter().map(|one| output(&typer, one, problems)).collect();
    let schema = Arc::new(typer.schema);
    let outputs = outputs.into_iter().collect::<Option<Vec<_>>>()?;
    Some(Statement { schema, topic, joins: keyed, filter, unnests: lists, outputs, grouped, headers })
}

fn output(typer: &Typer, output: ResolvedOutput, problems: &mut Problems) -> Option<Output> {
    let ResolvedOutput { name, aggregate, text, place, expr } = output;
    let (expr, field) = typer.expression(&expr, place, problems)?;
    check_type(&name, aggregate, field.data_type(), place, problems);
    let place = at(place, "", "");
    Some(Output { name, text, expr, field, aggregate, line: place.line, column: place.column })
}

fn planners() -> Vec<Arc<dyn ExprPlanner>> {
    vec![
        Arc::new(datafusion_functions::core::planner::CoreFunctionPlanner::default()),
        Arc::new(datafusion_functions::datetime::planner::DatetimeFunctionPlanner),
        Arc::new(datafusion_functions::unicode::planner::UnicodeFunctionPlanner),
        Arc::new(datafusion_functions_nested::planner::NestedFunctionPlanner),
        Arc::new(datafusion_functions_nested::planner::FieldAccessPlanner),
    ]
}

/// Names were made unique by whoever declared the columns.
fn schema_of(fields: &[FieldRef]) -> DFSchema {
    let fields = arrow_schema::Schema::new(fields.to_vec());
    DFSchema::from_unqualified_fields(fields.fields, Default::default()).unwrap_or_else(|_| DFSchema::empty())
}

/// Can a column hold it, and the aggregate take it?
fn check_type(name: &str, aggregate: Option<Aggregate>, ty: &DataType, place: Location, problems: &mut Problems) {
    use DataType::{Decimal128, Decimal256, Duration, Interval, Map, Struct, Union};
    let is_number = ty.is_numeric() || matches!(ty, Decimal128(..) | Decimal256(..) | DataType::Null);
    let problem = match aggregate {
        Some(Aggregate::Sum) if !is_number => Some(("sum adds numbers", "cast the argument, or use count")),
        Some(Aggregate::BitOr) if !ty.is_integer() && !ty.is_null() => {
            Some(("bit_or takes integers", "cast the argument"))
        }
        Some(Aggregate::Min | Aggregate::Max) if ty.is_nested() => {
            Some(("min and max take one value", "use an element"))
        }
        Some(Aggregate::Count) => None,
        _ if matches!(ty, Duration(_) | Interval(_)) => Some((
            "no column holds an interval",
            "extract what is wanted of it: date_part('epoch', a) - date_part('epoch', b)",
        )),
        _ if matches!(ty, Struct(_) | Map(..) | Union(..)) => Some(("no column holds a struct", "select its parts")),
        _ => None,
    };
    if let Some((message, cure)) = problem {
        problems.push(at(place, format!("{name}: {message}, this is {}", name_of(ty)), cure));
    }
}

impl Typer<'_> {
    /// The typed expression, or its mistake told.
    fn expression(&self, syntax: &Syntax, around: Location, problems: &mut Problems) -> Option<(Expr, FieldRef)> {
        match self.try_expression(syntax) {
            Ok(found) => Some(found),
            Err(error) => {
                let (culprit, error) = self.smallest_mistake(syntax).unwrap_or_else(|| (syntax.clone(), error));
                let (message, cure) = self.explain(&culprit, &error);
                problems.push(at(place_of(&culprit, around), message, cure));
                None
            }
        }
    }

    fn try_expression(&self, syntax: &Syntax) -> Result<(Expr, FieldRef)> {
        let options = ParserOptions::default()
            // 0.1 is the decimal, not the binary fraction next to it.
            .with_parse_float_as_decimal(true)
            .with_enable_ident_normalization(false)
            .with_map_string_types_to_utf8view(false);
        let planner = SqlToRel::new_with_options(self.context, options);
        let expr = planner.sql_to_expr(syntax.clone(), &self.schema, &mut PlannerContext::new())?;
        let expr = expr.rewrite(&mut TypeCoercionRewriter::new(&self.schema)).data()?;
        let expr = expr.transform_up(|expr| as_case(expr, &self.schema)).data()?;
        let field = expr.to_field(&self.schema)?.1;
        Ok((expr, field))
    }

    fn smallest_mistake(&self, syntax: &Syntax) -> Option<(Syntax, DataFusionError)> {
        struct Search<'a, 'b>(&'a Typer<'b>);
        impl Visitor for Search<'_, '_> {
            type Break = Box<(Syntax, DataFusionError)>;

            // Parts come before the whole.
            fn post_visit_expr(&mut self, expr: &Syntax) -> ControlFlow<Self::Break> {
                match self.0.try_expression(expr) {
                    Ok(_) => ControlFlow::Continue(()),
                    Err(error) => ControlFlow::Break(Box::new((expr.clone(), error))),
                }
            }
        }
        match syntax.visit(&mut Search(self)) {
            ControlFlow::Break(found) => Some(*found),
            ControlFlow::Continue(()) => None,
        }
    }

    fn type_of(&self, syntax: &Syntax) -> String {
        self.try_expression(syntax).map_or_else(|_| "?".to_owned(), |(_, field)| name_of(field.data_type()))
    }

    /// The engine's refusal in the operator's words, with a cure.
    fn explain(&self, culprit: &Syntax, error: &DataFusionError) -> (String, String) {
        let text = error.strip_backtrace();
        let text = text.lines().next().unwrap_or_default();
        let starts = [
            "Error during planning: ",
            "This feature is not implemented: ",
            "Execution error: ",
            "Arrow error: ",
            "Internal error: ",
            "Schema error: ",
        ];
        let text = starts.iter().fold(text, |text, start| text.strip_prefix(start).unwrap_or(text));
        if let Some((message, cure)) = text.split_once('\t') {
            // What refuses the arguments' types is told with words of the engine before it.
            let message = message.rsplit_once("Error during planning: ").map_or(message, |(_, message)| message);
            return (message.to_owned(), cure.to_owned());
        }
        match culprit {
            Syntax::Function(function) => {
                let types: Vec<String> =
                    arguments(function).unwrap_or_default().iter().map(|arg| self.type_of(arg)).collect();
                let name = function.name.to_string();
                let message = match types.is_empty() {
                    true => format!("{name} cannot be called so"),
                    false => format!("{name} does not take ({})", types.join(", ")),
                };
                let cure = match self
                    .context
                    .catalog
                    .get(&name)
                    .and_then(|udf| udf.documentation().map(|doc| doc.syntax_example.clone()))
                {
                    Some(form) => format!("its form is {form}; CAST(x AS type) converts"),
                    None => "CAST(x AS type) converts an argument".to_owned(),
                };
                (message, cure)
            }
            Syntax::BinaryOp { left, op, right } => {
                let message = format!("{} {op} {} is not possible", self.type_of(left), self.type_of(right));
                (message, "CAST(x AS type) converts one side".to_owned())
            }
            Syntax::Cast { expr, data_type, .. } => {
                let message = format!("{} cannot be cast to {data_type}", self.type_of(expr));
                (message, "docs/sql.md lists the types".to_owned())
            }
            Syntax::Value(_) if text.contains("Decimal") || text.contains("precision") => (
                "this number has more digits than a decimal has".to_owned(),
                "write it as a floating-point number: CAST('1e300' AS double)".to_owned(),
            ),
            Syntax::TypedString(typed) => (
                format!("this text is no {}", typed.data_type),
                "write it in its form, e.g. date '2026-01-31'".to_owned(),
            ),
            Syntax::Interval(_) => {
                (format!("no interval: {text}"), "write it like interval '1 day 2 hours'".to_owned())
            }
            _ if text.starts_with("Unsupported ast node") || text.starts_with("Unsupported") => {
                ("an expression that pipelines do not have".to_owned(), "docs/sql.md lists what there is".to_owned())
            }
            _ => (text.to_owned(), "CAST(x AS type) converts".to_owned()),
        }
    }
}

/// Functions that the engine only runs as CASE: their later arguments are evaluated where they are needed.
fn as_case(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let Expr::ScalarFunction(call) = expr else { return Ok(Transformed::no(expr)) };
    if !matches!(call.func.name(), "coalesce" | "nvl" | "nvl2") {
        return Ok(Transformed::no(Expr::ScalarFunction(call)));
    }
    let context = SimplifyContext::builder().with_schema(Arc::new(schema.clone())).build();
    Ok(match call.func.simplify(call.args, &context)? {
        ExprSimplifyResult::Simplified(expr) => Transformed::yes(expr),
        ExprSimplifyResult::Original(args) => {
            Transformed::no(Expr::ScalarFunction(datafusion_expr::expr::ScalarFunction::new_udf(call.func, args)))
        }
    })
}
