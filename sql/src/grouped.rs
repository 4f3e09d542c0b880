//! The SELECT list: names of the results, and in a merging table which are keys and which are aggregates.

use datafusion_sql::sqlparser::ast::helpers::attached_token::AttachedToken;
use datafusion_sql::sqlparser::ast::{
    CaseWhen, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, SelectItem, Spanned, Value,
};
use datafusion_sql::sqlparser::tokenizer::Location;

use crate::functions;
use crate::parse::{at, name_of};
use crate::resolve::{Clause, ResolvedOutput, Resolver, place_of, strip_parentheses};
use crate::{Aggregate, MergedColumn};

mod ordered;

/// One entry of the SELECT list before its names are resolved.
struct Item {
    name: Option<String>,
    expr: Expr,
    place: Location,
    /// As it was written.
    text: String,
}

pub fn outputs(
    resolver: &mut Resolver,
    projection: Vec<SelectItem>,
    group_by: Vec<Expr>,
    names: Option<&[Ident]>,
) -> (Vec<ResolvedOutput>, bool) {
    let items = items(resolver, projection);
    let mut outputs = Vec::with_capacity(items.len());
    // Index into `outputs` by item; an item with a problem has none.
    let mut has_aggregate = false;
    let mut ordered = Vec::new();
    for (index, item) in items.into_iter().enumerate() {
        let Item { name, expr, place, text } = item;
        let name = names.and_then(|names| names.get(index)).map(|ident| ident.value.clone()).or(name);
        let expr = strip_parentheses(expr);
        let aggregate = resolver.request.merged.is_some().then(|| aggregate_call(&expr)).flatten();
        let (aggregate, resolved) = match aggregate {
            Some(function) => {
                has_aggregate = true;
                match argument(resolver, function, place) {
                    Some((aggregate, argument, order)) => {
                        ordered.extend(order.map(|order| (outputs.len(), order)));
                        (Some(aggregate), Some(argument))
                    }
                    None => continue,
                }
            }
            None => (None, resolver.expression(expr, Clause::Select)),
        };
        let Some(resolved) = resolved else { continue };
        let bare = match (&resolved, aggregate) {
            (Expr::Identifier(ident), None)
                if !ident.value.starts_with("UNNEST #") && !ident.value.starts_with("_headers[") =>
            {
                Some(resolver.bare(&ident.value))
            }
            _ => None,
        };
        let Some(name) = name.or(bare) else {
            let cure = "give it the name of its column: expression AS name";
            resolver.problems.push(at(place, "a result without a name", cure));
            continue;
        };
        outputs.push(ResolvedOutput { name, expr: resolved, aggregate, place, text });
    }
    if let (None, Some(expr)) = (resolver.request.merged, group_by.first()) {
        let message = "GROUP BY brings records together, and rows of this table stand for single ones";
        let place = place_of(expr, Location::new(1, 1));
        resolver.problems.push(at(place, message, "set mode = \"merge\" with `merge` and a key"));
    }
    let is_grouped = has_aggregate || !group_by.is_empty();
    check_merge(resolver, &outputs, is_grouped);
    if is_grouped {
        check_groups(resolver, &outputs, group_by);
    }
    ordered::check(resolver, &outputs, &ordered);
    if ordered::any(&outputs) {
        return (outputs.into_iter().map(ordered::part).collect(), false);
    }
    (outputs, is_grouped)
}

fn items(resolver: &mut Resolver, projection: Vec<SelectItem>) -> Vec<Item> {
    let mut items = Vec::new();
    for item in projection {
        let place = item.span().start;
        match item {
            SelectItem::UnnamedExpr(expr) => {
                items.push(Item { name: None, place: place_of(&expr, place), text: expr.to_string(), expr })
            }
            SelectItem::ExprWithAlias { expr, alias } => {
                items.push(Item {
                    name: Some(alias.value),
                    place: place_of(&expr, place),
                    text: expr.to_string(),
                    expr,
                });
            }
            SelectItem::ExprWithAliases { expr, .. } => {
                resolver.problems.push(at(
                    place_of(&expr, place),
                    "an expression with several names",
                    "write expression AS name",
                ));
            }
            star => match resolver.star(&star) {
                Some(columns) => items.extend(columns.into_iter().map(|(name, parts)| {
                    let ident = |part| {
                        let mut ident = Ident::with_quote('"', part);
                        ident.span.start = place;
                        ident
                    };
                    let mut parts: Vec<Ident> = parts.into_iter().map(ident).collect();
                    let expr = match parts.len() {
                        1 => Expr::Identifier(parts.remove(0)),
                        _ => Expr::CompoundIdentifier(parts),
                    };
                    Item { text: name.clone(), name: Some(name), place, expr }
                })),
                None => resolver.problems.push(at(place, "a * of an expression", "name the columns")),
            },
        }
    }
    items
}

fn aggregate_call(expr: &Expr) -> Option<&Function> {
    match expr {
        Expr::Function(function)
            if function.over.is_none() && functions::is_aggregate(&name_of(&function.name).to_lowercase()) =>
        {
            Some(function)
        }
        _ => None,
    }
}

/// The aggregate, its argument with the FILTER in it (what is filtered out is null, which no aggregate counts), and what
/// it is ordered by.
fn argument(resolver: &mut Resolver, function: &Function, place: Location) -> Option<(Aggregate, Expr, Option<Expr>)> {
    let name = name_of(&function.name).to_lowercase();
    let aggregate = match name.as_str() {
        "sum" => Aggregate::Sum,
        "count" => Aggregate::Count,
        "min" => Aggregate::Min,
        "max" => Aggregate::Max,
        "bit_or" => Aggregate::BitOr,
        "first" => Aggregate::First,
        "last" => Aggregate::Last,
        "json_merge" => Aggregate::JsonMerge,
        other => {
            resolver.problems.push(at(
                place,
                format!("the parts of {other} do not add up to the whole"),
                cure_of(other),
            ));
            return None;
        }
    };
    let FunctionArguments::List(list) = &function.args else { return None };
    if list.duplicate_treatment.is_some_and(|treatment| treatment.to_string() == "DISTINCT") {
        let cure = "make a table with the value in its key, and count its rows in a view";
        resolver.problems.push(at(place, format!("{name}(DISTINCT ..): parts of it do not add up"), cure));
        return None;
    }
    let mut order = None;
    if matches!(aggregate, Aggregate::First | Aggregate::Last) {
        order = ordered::order(resolver, &name, list, place)?;
    }
    let is_plain = list.clauses.is_empty() || order.is_some();
    if !is_plain || !function.within_group.is_empty() || function.null_treatment.is_some() {
        resolver.problems.push(at(place, format!("{name} with an order"), "leave it out: the sum of parts has none"));
        return None;
    }
    let value = match list.args.as_slice() {
        [FunctionArg::Unnamed(FunctionArgExpr::Expr(expr))] => expr.clone(),
        [FunctionArg::Unnamed(FunctionArgExpr::Wildcard)] if aggregate == Aggregate::Count => {
            Expr::value(Value::Boolean(true))
        }
        _ => {
            resolver.problems.push(at(place, format!("{name} takes one argument"), format!("write {name}(x)")));
            return None;
        }
    };
    let value = match &function.filter {
        Some(condition) => Expr::Case {
            case_token: AttachedToken::empty(),
            end_token: AttachedToken::empty(),
            operand: None,
            conditions: vec![CaseWhen { condition: condition.as_ref().clone(), result: value }],
            else_result: None,
        },
        None => value,
    };
    let order = match order {
        Some(order) => Some(resolver.expression(order, Clause::Argument)?),
        None => None,
    };
    resolver.expression(value, Clause::Argument).map(|expr| (aggregate, expr, order))
}

fn cure_of(aggregate: &str) -> &'static str {
    match aggregate {
        "avg" | "mean" => "keep sum(x) and count(x), and divide in a view or a generated column",
        "first_value" | "last_value" | "any_value" => {
            "write first(x ORDER BY t) or last(x ORDER BY t), with max(t) or min(t)"
        }
        "bool_or" | "count_if" => "use count(*) FILTER (WHERE condition), and compare with 0 in a view",
        "bool_and" | "every" => "use count(*) FILTER (WHERE NOT condition), and compare with 0 in a view",
        name if name.starts_with("stddev") || name.starts_with("var") => {
            "keep sum(x), sum(x * x) and count(x), and compute it in a view"
        }
        _ => "sum, count, min, max and bit_or do; keep the rows and aggregate in a view otherwise",
    }
}

pub(super) fn merged<'a>(resolver: &Resolver<'a>, name: &str) -> Option<&'a MergedColumn> {
    let columns = resolver.request.merged?;
    columns.iter().find(|column| column.name == name).or_else(|| {
        let mut alike = columns.iter().filter(|column| column.name.to_lowercase() == name.to_lowercase());
        alike.next().filter(|_| alike.next().is_none())
    })
}

/// Each aggregate against the function that merges its parts.
fn check_merge(resolver: &mut Resolver, outputs: &[ResolvedOutput], is_grouped: bool) {
    if !is_grouped {
        return;
    }
    for output in outputs {
        let name = &output.name;
        let problem = match (output.aggregate, merged(resolver, name)) {
            (Some(aggregate), Some(column)) if column.takes.contains(&aggregate) => continue,
            (None, None) => continue,
            (Some(aggregate), None) if ordered::keeps_order(resolver, name, aggregate) => continue,
            (Some(aggregate), Some(column)) => {
                let fits: Vec<&str> = match aggregate {
                    Aggregate::Count => vec!["sum", "count"],
                    other => vec![other.name()],
                };
                let message =
                    format!("{}(..) does not fit the merge function of {name}, {}", aggregate.name(), column.function);
                let written = match aggregate {
                    Aggregate::First | Aggregate::Last => format!("{{ {} = {{ by = \"..\" }} }}", fits[0]),
                    _ => format!("\"{}\"", fits[0]),
                };
                (message, format!("write merge = {{ {name} = {written} }}"))
            }
            (Some(aggregate), None) => {
                let function = aggregate.name();
                (
                    format!("{name} is an aggregate, but not in `merge`"),
                    format!("write merge = {{ {name} = \"{function}\" }}"),
                )
            }
            (None, Some(column)) => {
                let takes: Vec<String> =
                    column.takes.iter().map(|aggregate| format!("{}(..)", aggregate.name())).collect();
                let cure = format!("write {} AS {name}", takes.join(" or "));
                (format!("{name} is merged by {}, but is no aggregate", column.function), cure)
            }
        };
        resolver.problems.push(at(output.place, problem.0, problem.1));
    }
}

/// GROUP BY must name exactly the results that are no aggregates.
fn check_groups(resolver: &mut Resolver, outputs: &[ResolvedOutput], group_by: Vec<Expr>) {
    if group_by.is_empty() {
        let place = outputs.iter().find(|output| output.aggregate.is_some()).map_or(Location::new(1, 1), |o| o.place);
        let cure = "a merging table needs a key: GROUP BY its columns, for one row a constant: SELECT 'all' AS key .. GROUP BY 1";
        resolver.problems.push(at(place, "an aggregate without GROUP BY", cure));
        return;
    }
    let mut is_grouped = vec![false; outputs.len()];
    for expr in group_by {
        let place = expr.span().start;
        let Some(index) = group_index(resolver, outputs, expr, place) else { continue };
        if outputs[index].aggregate.is_some() {
            let message = format!("GROUP BY names {}, which is an aggregate", outputs[index].name);
            resolver.problems.push(at(place, message, "group by the table's key columns"));
        }
        is_grouped[index] = true;
    }
    // A result that failed earlier would only bring a second message about the same thing.
    if !resolver.problems.is_empty() {
        return;
    }
    for (output, is_grouped) in outputs.iter().zip(is_grouped) {
        if output.aggregate.is_none() && !is_grouped {
            let message = format!("{} is neither an aggregate nor in GROUP BY", output.name);
            resolver.problems.push(at(output.place, message, "add it to GROUP BY, or aggregate it"));
        }
    }
}

fn group_index(resolver: &mut Resolver, outputs: &[ResolvedOutput], expr: Expr, place: Location) -> Option<usize> {
    let expr = strip_parentheses(expr);
    if let Expr::Value(value) = &expr
        && let Value::Number(number, _) = &value.value
    {
        let index = number.parse::<usize>().ok().and_then(|number| number.checked_sub(1));
        let index = index.filter(|index| *index < outputs.len());
        if index.is_none() {
            let message = format!("GROUP BY {number}: the SELECT gives {} results", outputs.len());
            resolver.problems.push(at(value.span.start, message, "number the results from 1"));
        }
        return index;
    }
    if let Expr::Identifier(ident) = &expr
        && let Some(index) = outputs.iter().position(|output| output.name == ident.value)
    {
        return Some(index);
    }
    if let Expr::Function(function) = &expr
        && name_of(&function.name).eq_ignore_ascii_case("unnest")
    {
        resolver.problems.push(at(
            place,
            "UNNEST in GROUP BY",
            "group by the name or the number of the result: GROUP BY 1",
        ));
        return None;
    }
    let resolved = resolver.expression(expr, Clause::GroupBy)?;
    let text = resolved.to_string();
    let index = outputs.iter().position(|output| output.aggregate.is_none() && output.expr.to_string() == text);
    if index.is_none() {
        resolver.problems.push(at(
            place,
            "GROUP BY of what is no result",
            "add the expression to the SELECT list, as a key column",
        ));
    }
    index
}
