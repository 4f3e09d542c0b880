//! Names to columns, functions and UNNESTs; what no expression may hold is refused here.

use std::ops::ControlFlow;

use arrow_schema::FieldRef;
use datafusion_sql::sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, ObjectName, ObjectNamePart, Query,
    SelectItem, SelectItemQualifiedWildcardKind, Spanned, Value, VisitMut, VisitorMut, WildcardAdditionalOptions,
};
use datafusion_sql::sqlparser::tokenizer::{Location, Span};

use crate::functions::{self, Catalog};
use crate::grouped;
use crate::join::{ResolvedJoin, Scope};
use crate::near;
use crate::parse::{Parsed, at, name_of};
use crate::rewrite::{call, resolved};
use crate::{Aggregate, KIND, NUMERIC, Problems, Request, UUID, header};

/// A statement whose names are those of columns and functions.
pub struct Resolved {
    pub catalog: Catalog,
    pub topic: Option<String>,
    pub joins: Vec<ResolvedJoin>,
    /// The lookups' columns.
    pub joined: Vec<FieldRef>,
    pub filter: Option<Expr>,
    pub unnests: Vec<Expr>,
    pub outputs: Vec<ResolvedOutput>,
    pub grouped: bool,
    pub headers: Vec<String>,
}

pub struct ResolvedOutput {
    pub name: String,
    pub expr: Expr,
    pub aggregate: Option<Aggregate>,
    pub place: Location,
    /// As it was written.
    pub text: String,
}

/// Where an expression stands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Clause {
    Select,
    On,
    Filter,
    GroupBy,
    /// Inside an aggregate.
    Argument,
}

/// Walks the expressions of one statement.
pub struct Resolver<'a> {
    pub request: &'a Request<'a>,
    pub problems: &'a mut Problems,
    catalog: Catalog,
    pub relation: String,
    /// Only this topic's records are meant.
    pub topic: Option<&'a str>,
    pub headers: Vec<String>,
    /// The lookups that names can mean.
    pub scopes: Vec<Scope>,
    /// Their columns.
    pub joined: Vec<FieldRef>,
    pub unnests: Vec<Expr>,
    pub clause: Clause,
    /// UNNESTs around the current expression.
    pub depth: usize,
}

pub fn resolve(request: &Request<'_>, parsed: Parsed, problems: &mut Problems) -> Option<Resolved> {
    let mut resolver = Resolver {
        request,
        problems,
        catalog: Catalog::new(request.functions),
        relation: parsed.relation,
        topic: parsed.topic.map(|index| request.topics[index].as_str()),
        headers: Vec::new(),
        scopes: Vec::new(),
        joined: Vec::new(),
        unnests: Vec::new(),
        clause: Clause::Select,
        depth: 0,
    };
    let joins = parsed.joins.into_iter().filter_map(|join| resolver.join(join)).collect();
    let filter = parsed.filter.and_then(|filter| resolver.expression(filter, Clause::Filter));
    let (outputs, grouped) =
        grouped::outputs(&mut resolver, parsed.projection, parsed.group_by, parsed.names.as_deref());
    let Resolver { catalog, headers, joined, unnests, .. } = resolver;
    check_names(request, parsed.names.as_deref(), &outputs, parsed.start, problems);
    let topic = parsed.topic.map(|index| request.topics[index].clone());
    Some(Resolved { catalog, topic, joins, joined, filter, unnests, outputs, grouped, headers })
}

fn check_names(
    request: &Request,
    names: Option<&[Ident]>,
    outputs: &[ResolvedOutput],
    start: Location,
    problems: &mut Problems,
) {
    if let Some(names) = names
        && names.len() != outputs.len()
        && problems.is_empty()
    {
        let message =
            format!("INSERT INTO {} names {} columns, the SELECT gives {}", request.output, names.len(), outputs.len());
        problems.push(at(start, message, "give one expression per column, in the same order"));
    }
    for (index, output) in outputs.iter().enumerate() {
        if names.is_none() && outputs[..index].iter().any(|other| other.name == output.name) {
            let message = format!("two results are called {}", output.name);
            problems.push(at(output.place, message, "give one of them another name: expression AS name"));
        }
    }
}

/// The start of an expression, or of what is around it where the syntax tree keeps no place.
pub fn place_of(expr: &Expr, around: Location) -> Location {
    let start = expr.span().start;
    if start.line == 0 { around } else { start }
}

pub fn strip_parentheses(mut expr: Expr) -> Expr {
    while let Expr::Nested(inner) = expr {
        expr = *inner;
    }
    expr
}

impl Resolver<'_> {
    /// Resolves all names in `expr`. `None`: there was a problem that leaves nothing to go on with.
    pub fn expression(&mut self, expr: Expr, clause: Clause) -> Option<Expr> {
        let expr = strip_parentheses(expr);
        self.clause = clause;
        self.depth = 0;
        // A column as it is keeps all that it is.
        match &expr {
            Expr::Identifier(ident) => return self.column(ident).map(|name| resolved(name, ident.span)),
            Expr::CompoundIdentifier(parts) => return self.qualified(parts).map(|name| resolved(name, expr.span())),
            _ => {}
        }
        let mut expr = expr;
        match VisitMut::visit(&mut expr, self) {
            ControlFlow::Continue(()) => Some(expr),
            ControlFlow::Break(()) => None,
        }
    }

    /// What the columns of a `*` are: results' names, and the parts of the names of their columns.
    pub fn star(&mut self, item: &SelectItem) -> Option<Vec<(String, Vec<String>)>> {
        let mut table = None;
        let options = match item {
            SelectItem::Wildcard(options) => options,
            SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), options) => {
                table = Some(name_of(name));
                if name_of(name) != self.relation && !self.is_lookup(&name_of(name)) {
                    let message = format!("there is no table {}", name_of(name));
                    self.problems.push(at(name.span().start, message, format!("write {}.*", self.relation)));
                }
                options
            }
            _ => return None,
        };
        let WildcardAdditionalOptions {
            wildcard_token,
            opt_ilike,
            opt_exclude,
            opt_except,
            opt_replace,
            opt_rename,
            opt_alias,
        } = options;
        let has_more = opt_ilike.is_some()
            || opt_exclude.is_some()
            || opt_except.is_some()
            || opt_replace.is_some()
            || opt_rename.is_some()
            || opt_alias.is_some();
        if has_more {
            let message = "a * with more to it";
            self.problems.push(at(wildcard_token.0.span.start, message, "name the columns"));
        }
        let is_input = table.as_ref().is_none_or(|table| *table == self.relation);
        let input = self.request.columns.iter().filter(|_| is_input).map(|field| field.name());
        // Beside lookups a name alone can mean several columns.
        let table_of_input = (!self.scopes.is_empty()).then(|| self.relation.clone());
        let input = input.map(|name| (name.clone(), table_of_input.iter().chain([name]).cloned().collect()));
        Some(input.chain(self.stars(table.as_deref())).collect())
    }

    pub fn names(&self) -> impl Iterator<Item = &str> + Clone {
        self.request.columns.iter().chain(self.request.pseudo).map(|field| field.name().as_str())
    }

    /// The column that a name means.
    pub fn column(&mut self, ident: &Ident) -> Option<String> {
        let name = &ident.value;
        if self.headers.iter().any(|known| header(known) == *name) {
            return Some(name.clone());
        }
        if let Some(found) = self.joined_column(ident) {
            return found;
        }
        self.input_column(ident)
    }

    /// The input's column that a name means.
    fn input_column(&mut self, ident: &Ident) -> Option<String> {
        let name = &ident.value;
        let problem = match near::find(name, self.names()) {
            Ok(Some(index)) => return self.names().nth(index).map(str::to_owned),
            Ok(None) if name.eq_ignore_ascii_case("_headers") => {
                at(ident.span.start, "_headers alone", "name the header: _headers['name']")
            }
            Ok(None) => {
                let line = if name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-') {
                    format!("{name} = \"text\"")
                } else {
                    format!("{name:?} = \"text\"")
                };
                let declare = format!("declare it in [source.columns]: {line}  (or the type that it has)");
                let cure = match near::near(name, self.names()).as_slice() {
                    [] if self.names().count() == self.request.pseudo.len() => declare,
                    [] => declare,
                    _ => format!("{} Else {declare}", near::did_you_mean(name, self.names(), "")),
                };
                at(ident.span.start, format!("there is no column {name}"), cure)
            }
            Err(alike) => {
                let message = format!("{name} can mean {}", alike.join(" and "));
                at(ident.span.start, message, format!("write it exactly, in double quotes: \"{}\"", alike[0]))
            }
        };
        self.problems.push(problem);
        None
    }

    pub fn qualified(&mut self, parts: &[Ident]) -> Option<String> {
        match parts {
            [table, column] if table.value == self.relation => self.input_column(column),
            [first, rest @ ..] => {
                if let [column] = rest
                    && let Some(found) = self.of_lookup(first, column)
                {
                    return found;
                }
                let field = rest.last().map_or("field", |ident| ident.value.as_str());
                let is_column = near::find(&first.value, self.names()).is_ok_and(|found| found.is_some());
                let (message, cure) = if is_column {
                    (
                        format!("{} has no fields that a point reaches", first.value),
                        format!("a JSON column's field is {} ->> '{field}'", first.value),
                    )
                } else {
                    (
                        format!("there is no table {}", first.value),
                        format!("write {}.{field}, or {field} alone", self.relation),
                    )
                };
                self.problems.push(at(first.span.start, message, cure));
                None
            }
            [] => None,
        }
    }

    /// A column inside an expression: some types first become what can be computed with.
    pub fn operand(&mut self, name: String, span: Span) -> Option<Expr> {
        let mut fields = self.request.columns.iter().chain(self.request.pseudo).chain(&self.joined);
        let kind = fields.find(|field| *field.name() == name).and_then(|field| field.metadata().get(KIND));
        match kind.map(String::as_str) {
            Some(UUID) => Some(call("uuid_text", vec![resolved(name, span)], span)),
            Some(NUMERIC) => {
                let message = format!("{name} is a decimal of any size, which SQL cannot compute with");
                let cure = format!("declare its digits in [source.columns]: {name} = \"decimal(38,9)\"");
                self.problems.push(at(span.start, message, cure));
                None
            }
            _ => Some(resolved(name, span)),
        }
    }

    pub fn refuse(&mut self, place: Location, message: impl Into<String>, cure: impl Into<String>) -> ControlFlow<()> {
        self.problems.push(at(place, message, cure));
        ControlFlow::Break(())
    }

    fn function(&mut self, function: &mut Function) -> ControlFlow<()> {
        let place = function.name.span().start;
        let name = name_of(&function.name).to_lowercase();
        if function.over.is_some() || functions::is_window(&name) {
            let message = format!("{name} over a window: a pipeline answers record by record");
            return self.refuse(place, message, "use mode = \"merge\" with GROUP BY, or a view in the database");
        }
        if let Some(cure) = functions::not_deterministic(&name) {
            let message = format!("{name}() would give another result when a batch is done again");
            return self.refuse(place, message, cure);
        }
        if functions::varies(&name) && self.clause != Clause::Select {
            let message = format!("{name} gives another text each time, so nothing is compared or grouped by it");
            return self.refuse(place, message, format!("use {name}_deterministic or hash"));
        }
        if functions::is_aggregate(&name) {
            return self.misplaced_aggregate(place, &name);
        }
        if name == "unnest" {
            return self.check_unnest(place, function);
        }
        if self.catalog.get(&name).is_none() {
            let cure = functions::other_name(&name).map(str::to_owned);
            let cure = cure
                .unwrap_or_else(|| near::did_you_mean(&name, self.catalog.names(), "docs/sql.md lists the functions"));
            return self.refuse(place, format!("there is no function {name}"), cure);
        }
        let odd = function.filter.is_some()
            || function.null_treatment.is_some()
            || !function.within_group.is_empty()
            || matches!(&function.args, FunctionArguments::List(list) if list.duplicate_treatment.is_some() || !list.clauses.is_empty());
        if odd {
            return self.refuse(place, format!("{name} is no aggregate"), "leave out what stands beside its arguments");
        }
        // The planner finds functions by their names as they are.
        let mut ident = Ident::new(name);
        ident.span = function.name.span();
        function.name = ObjectName(vec![ObjectNamePart::Identifier(ident)]);
        ControlFlow::Continue(())
    }

    fn misplaced_aggregate(&mut self, place: Location, name: &str) -> ControlFlow<()> {
        let (message, cure) = match self.clause {
            _ if self.request.merged.is_none() => {
                (format!("{name} needs more than one record"), "set mode = \"merge\" with `merge` and a key".to_owned())
            }
            Clause::On => (format!("{name} in ON"), "join by what each record holds".to_owned()),
            Clause::Filter => {
                (format!("{name} in WHERE"), "WHERE judges single records; judge totals in a view".to_owned())
            }
            Clause::GroupBy => (format!("{name} in GROUP BY"), "group by what each record holds".to_owned()),
            Clause::Argument => (format!("{name} inside an aggregate"), "aggregate once".to_owned()),
            Clause::Select => (
                format!("{name} inside an expression: what is computed from a part does not add up"),
                format!("let {name}(..) be a column of its own and compute in a view or a generated column"),
            ),
        };
        self.refuse(place, message, cure)
    }

    fn check_unnest(&mut self, place: Location, function: &Function) -> ControlFlow<()> {
        if self.clause != Clause::Select {
            return self.refuse(place, "UNNEST outside of SELECT", "write UNNEST(x) AS name in the SELECT list");
        }
        if self.depth > 0 {
            return self.refuse(
                place,
                "UNNEST inside UNNEST",
                "unnest one level here and the next in another pipeline",
            );
        }
        if arguments(function).is_none_or(|args| args.len() != 1) {
            return self.refuse(place, "UNNEST takes one list", "write UNNEST(x)");
        }
        self.depth += 1;
        ControlFlow::Continue(())
    }
}

/// The arguments of a call, if they are all plain.
pub fn arguments(function: &Function) -> Option<Vec<Expr>> {
    let FunctionArguments::List(list) = &function.args else { return None };
    let plain = list.args.iter().map(|arg| match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr.clone()),
        _ => None,
    });
    plain.collect()
}

impl VisitorMut for Resolver<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        let place = query.span().start;
        self.refuse(place, "a subquery", "a pipeline's SQL sees one record; join in a view over the tables")
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let place = expr.span().start;
        match expr {
            Expr::Function(function) => self.function(function),
            Expr::CompoundFieldAccess { .. } => self.header_access(expr),
            Expr::GroupingSets(_) | Expr::Cube(_) | Expr::Rollup(_) => {
                self.refuse(place, "grouping sets", "group by the table's key columns")
            }
            Expr::Value(value) if matches!(value.value, Value::Placeholder(_)) => {
                self.refuse(value.span.start, "a parameter has no value here", "write the value itself")
            }
            _ => ControlFlow::Continue(()),
        }
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        self.rewrite(expr)
    }
}
