//! `first`, `last` and `json_merge`: which value is kept is decided where all of a key's parts meet, at the table, by the
//! order that is stored with it. So a statement that has one of them brings nothing together within a batch: each row is a
//! part by itself, of every aggregate beside them, too.

use datafusion_sql::sqlparser::ast::helpers::attached_token::AttachedToken;
use datafusion_sql::sqlparser::ast::{CaseWhen, Expr, FunctionArgumentClause, FunctionArgumentList, Value};
use datafusion_sql::sqlparser::tokenizer::Location;

use crate::parse::at;
use crate::resolve::{ResolvedOutput, Resolver};
use crate::{Aggregate, MergedColumn};

/// What stands after ORDER BY; `Some(None)`: nothing does. `None`: it was refused.
pub fn order(
    resolver: &mut Resolver,
    name: &str,
    list: &FunctionArgumentList,
    place: Location,
) -> Option<Option<Expr>> {
    let terms = match list.clauses.as_slice() {
        [] => return Some(None),
        [FunctionArgumentClause::OrderBy(terms)] => terms.as_slice(),
        _ => &[],
    };
    match terms {
        [term] if term.options.asc != Some(false) && term.options.nulls_first.is_none() => {
            Some(Some(term.expr.clone()))
        }
        _ => {
            let message = format!("{name} is ordered by one expression, ascending");
            let cure = format!("write {name}(x ORDER BY t); first and last say the direction");
            resolver.problems.push(at(place, message, cure));
            None
        }
    }
}

pub fn any(outputs: &[ResolvedOutput]) -> bool {
    let is_one = |aggregate| matches!(aggregate, Aggregate::First | Aggregate::Last | Aggregate::JsonMerge);
    outputs.iter().any(|output| output.aggregate.is_some_and(is_one))
}

/// Does the result keep the order of a first or last value, so that it needs no function of its own?
pub fn keeps_order(resolver: &Resolver, name: &str, aggregate: Aggregate) -> bool {
    let orders = |column: &MergedColumn| {
        let fits = match column.takes.as_slice() {
            [Aggregate::First] => matches!(aggregate, Aggregate::Min | Aggregate::First),
            _ => matches!(aggregate, Aggregate::Max | Aggregate::Last),
        };
        fits && column.by.as_deref() == Some(name)
    };
    resolver.request.merged.is_some_and(|columns| columns.iter().any(orders))
}

/// Value and order move together: the result that keeps the order must be made of what orders the value. `orders`: by
/// the index of the result.
pub fn check(resolver: &mut Resolver, outputs: &[ResolvedOutput], orders: &[(usize, Expr)]) {
    for (index, output) in outputs.iter().enumerate() {
        let (extreme, function) = match output.aggregate {
            Some(Aggregate::First) => ("min", "first"),
            Some(Aggregate::Last) => ("max", "last"),
            _ => continue,
        };
        let Some(by) = super::merged(resolver, &output.name).and_then(|column| column.by.as_ref()) else { continue };
        let order = orders.iter().find(|(of, _)| *of == index).map(|(_, order)| order.to_string());
        let kept = outputs.iter().find(|other| other.name == *by);
        let (message, cure) = match (kept, order) {
            (None, order) => (
                format!("no result is {by}, which keeps the order of {}", output.name),
                format!("add {extreme}({}) AS {by}", order.unwrap_or_else(|| "t".to_owned()).replace('"', "")),
            ),
            (Some(kept), Some(order)) if kept.expr.to_string() != order => (
                format!("{} is ordered by another expression than {by}, which keeps its order", output.name),
                format!("write {function}(x ORDER BY t) AS {}, {extreme}(t) AS {by} with the same t", output.name),
            ),
            _ => continue,
        };
        resolver.problems.push(at(output.place, message, cure));
    }
}

/// A row's own part of an aggregate.
pub fn part(output: ResolvedOutput) -> ResolvedOutput {
    let expr = match output.aggregate {
        Some(Aggregate::Count) => {
            let number = |digits: &str| Expr::value(Value::Number(digits.to_owned(), false));
            Expr::Case {
                case_token: AttachedToken::empty(),
                end_token: AttachedToken::empty(),
                operand: None,
                conditions: vec![CaseWhen { condition: Expr::IsNull(Box::new(output.expr)), result: number("0") }],
                else_result: Some(Box::new(number("1"))),
            }
        }
        _ => output.expr,
    };
    ResolvedOutput { expr, aggregate: None, ..output }
}
