//! JOIN: which lookups stand beside the input, and by which key their rows are found.

use datafusion_sql::sqlparser::ast::{
    BinaryOperator, Expr, Ident, Join as Syntax, JoinConstraint, JoinOperator, Spanned, TableAlias, TableFactor,
};
use datafusion_sql::sqlparser::tokenizer::Location;

use crate::near;
use crate::parse::{BATCHES, Words, at, name_of};
use crate::resolve::{Clause, ResolvedOutput, Resolver, place_of, strip_parentheses};
use crate::{Lookup, Problems, Request, found, joined};

/// A lookup after JOIN.
pub struct ParsedJoin {
    /// Index into `Request::lookups`.
    lookup: usize,
    alias: String,
    is_inner: bool,
    on: Expr,
    place: Location,
}

/// A lookup with the expressions that give its key.
pub struct ResolvedJoin {
    pub lookup: usize,
    /// The same for equal lookups by equal keys: the names of its columns begin with it.
    pub id: String,
    /// One per key column, in the lookup's order.
    pub keys: Vec<ResolvedOutput>,
    pub is_inner: bool,
}

/// A lookup that names can mean.
pub struct Scope {
    alias: String,
    lookup: usize,
    id: String,
}

const VIEW: &str = "records meet only in the database: join there, in a view over the tables; \
                    a table of the database or a CSV file is joined as a [[lookup]] (docs/lookups.md)";

pub fn parse(request: &Request, joins: Vec<Syntax>, words: &Words, problems: &mut Problems) -> Vec<ParsedJoin> {
    joins.into_iter().filter_map(|join| one(request, join, words, problems)).collect()
}

fn one(request: &Request, join: Syntax, words: &Words, problems: &mut Problems) -> Option<ParsedJoin> {
    let TableFactor::Table { name, alias, args: None, sample: None, .. } = join.relation else {
        problems.push(at(words.find("JOIN"), format!("a join: {BATCHES}"), VIEW));
        return None;
    };
    let (written, place) = (name_of(&name), name.span().start);
    let known = || request.lookups.iter().map(|lookup| lookup.name.as_str());
    let is_input = written == "input" || request.topics.contains(&written);
    let lookup = match near::find(&written, known()) {
        Ok(Some(index)) => index,
        _ if request.lookups.is_empty() || is_input => {
            problems.push(at(words.find("JOIN"), format!("a join: {BATCHES}"), VIEW));
            return None;
        }
        _ => {
            let declare = format!("declare it: [[lookup]] with name = \"{written}\" and its table or file");
            let cure = near::did_you_mean(&written, known(), &declare);
            problems.push(at(place, format!("there is no lookup {written}"), cure));
            return None;
        }
    };
    let example = || {
        let lookup = &request.lookups[lookup];
        let key = lookup.key.iter().map(|column| format!("{}.{column} = ..", lookup.name));
        format!("LEFT JOIN {} ON {}", lookup.name, key.collect::<Vec<_>>().join(" AND "))
    };
    let (constraint, is_inner) = match join.join_operator {
        JoinOperator::Left(constraint) | JoinOperator::LeftOuter(constraint) => (constraint, false),
        JoinOperator::Join(constraint) | JoinOperator::Inner(constraint) => (constraint, true),
        _ => {
            let message = "the rows of a pipeline are its records': a lookup is joined by LEFT JOIN or JOIN";
            problems.push(at(place, message, format!("write {}", example())));
            return None;
        }
    };
    let JoinConstraint::On(on) = constraint else {
        problems.push(at(place, "a lookup is joined by ON", format!("write {}", example())));
        return None;
    };
    let alias = alias.map_or(written, |TableAlias { name, .. }| name.value);
    Some(ParsedJoin { lookup, alias, is_inner, on, place })
}

/// The parts of `a AND b AND c`.
fn conjuncts(expr: Expr, parts: &mut Vec<Expr>) {
    match strip_parentheses(expr) {
        Expr::BinaryOp { left, op: BinaryOperator::And, right } => {
            conjuncts(*left, parts);
            conjuncts(*right, parts);
        }
        part => parts.push(part),
    }
}

impl<'a> Resolver<'a> {
    fn lookup(&self, index: usize) -> &'a Lookup {
        &self.request.lookups[index]
    }

    /// Resolves ON; from here on names can mean the lookup's columns.
    pub fn join(&mut self, join: ParsedJoin) -> Option<ResolvedJoin> {
        let ParsedJoin { lookup: index, alias, is_inner, on, place } = join;
        let lookup = self.lookup(index);
        if alias == self.relation || self.scopes.iter().any(|scope| scope.alias == alias) {
            let cure = format!("give each a name of its own: JOIN {} AS other", lookup.name);
            self.problems.push(at(place, format!("two tables are called {alias}"), cure));
            return None;
        }
        let mut parts = Vec::new();
        conjuncts(on, &mut parts);
        let before = self.problems.len();
        let mut keys: Vec<Option<ResolvedOutput>> = lookup.key.iter().map(|_| None).collect();
        for part in parts {
            if let Some((column, key)) = self.key_part(lookup, &alias, part, place)
                && keys[column].replace(key).is_some()
            {
                let message = format!("ON gives {alias}.{} twice", lookup.key[column]);
                self.problems.push(at(place, message, "give each column of the key once"));
            }
        }
        let missing: Vec<&str> =
            lookup.key.iter().zip(&keys).filter(|(_, key)| key.is_none()).map(|(name, _)| name.as_str()).collect();
        if before == self.problems.len() && !missing.is_empty() {
            let message =
                format!("ON does not give {alias}.{}: a lookup is found by its whole key", missing.join(", "));
            let parts: Vec<String> = missing.iter().map(|column| format!("AND {alias}.{column} = ..")).collect();
            self.problems.push(at(place, message, format!("add {}", parts.join(" "))));
        }
        let keys: Option<Vec<ResolvedOutput>> = keys.into_iter().collect();
        let keys = keys.filter(|_| before == self.problems.len());
        let texts: Vec<String> = keys.iter().flatten().map(|key| key.expr.to_string()).collect();
        let topic = self.topic.map(|topic| format!("@{topic}")).unwrap_or_default();
        let id = format!("{}[{}]{topic}", lookup.name, texts.join(", "));
        for field in &lookup.columns {
            let name = joined(&id, field.name());
            if self.joined.iter().all(|known| *known.name() != name) {
                self.joined.push(field.as_ref().clone().with_name(name).with_nullable(true).into());
            }
        }
        // Also after a mistake in ON, so that it does not make every name of the lookup another.
        self.scopes.push(Scope { alias, lookup: index, id: id.clone() });
        Some(ResolvedJoin { lookup: index, id, keys: keys?, is_inner })
    }

    /// The key column that a part of ON compares, and with what.
    fn key_part(
        &mut self,
        lookup: &'a Lookup,
        alias: &str,
        part: Expr,
        around: Location,
    ) -> Option<(usize, ResolvedOutput)> {
        let place = place_of(&part, around);
        let shape = || format!("write {alias}.{} = <expression over the input>", lookup.key[0]);
        let Expr::BinaryOp { left, op: BinaryOperator::Eq, right } = part else {
            let message = format!("ON compares the key of {} by = and AND alone", lookup.name);
            self.problems.push(at(place, message, format!("{}; conditions on its columns go into WHERE", shape())));
            return None;
        };
        let (left, right) = (strip_parentheses(*left), strip_parentheses(*right));
        let (column, other) = match (self.own(lookup, alias, &left), self.own(lookup, alias, &right)) {
            (Some(column), None) => (column, right),
            (None, Some(column)) => (column, left),
            _ => {
                let message =
                    format!("one side of = must be a key column of {alias}, the other an expression without it");
                self.problems.push(at(place, message, shape()));
                return None;
            }
        };
        let Some(key) = lookup.key.iter().position(|key| *key == column) else {
            let message =
                format!("{alias}.{column} does not belong to the key of {}: {}", lookup.name, lookup.key.join(", "));
            self.problems.push(at(place, message, format!("{}; conditions on other columns go into WHERE", shape())));
            return None;
        };
        let (text, place) = (other.to_string(), place_of(&other, place));
        let expr = self.expression(other, Clause::On)?;
        Some((key, ResolvedOutput { name: column, expr, aggregate: None, place, text }))
    }

    /// The lookup's column that an expression is.
    fn own(&self, lookup: &Lookup, alias: &str, expr: &Expr) -> Option<String> {
        let column = match expr {
            Expr::CompoundIdentifier(parts) => match parts.as_slice() {
                [table, column] if table.value == alias => column,
                _ => return None,
            },
            Expr::Identifier(column) if !self.is_known(&column.value) => column,
            _ => return None,
        };
        let names = lookup.columns.iter().map(|field| field.name().as_str());
        match near::find(&column.value, names.clone()) {
            Ok(Some(index)) => names.skip(index).map(str::to_owned).next(),
            _ => None,
        }
    }

    /// Does a name mean a column of what was joined before?
    fn is_known(&self, name: &str) -> bool {
        let of_input = near::find(name, self.names()).is_ok_and(|found| found.is_some());
        of_input || self.scopes.iter().any(|scope| self.in_scope(scope, name).is_some())
    }

    /// The column of a lookup that a name means, as it is called in the joined input.
    fn in_scope(&self, scope: &Scope, name: &str) -> Option<String> {
        let names = self.lookup(scope.lookup).columns.iter().map(|field| field.name().as_str());
        let index = near::find(name, names.clone()).ok().flatten()?;
        names.skip(index).map(|name| joined(&scope.id, name)).next()
    }

    /// A name without a table, where there are lookups. `None`: it is none of their columns.
    pub fn joined_column(&mut self, ident: &Ident) -> Option<Option<String>> {
        let name = &ident.value;
        if self.joined.iter().any(|field| field.name() == name) {
            return Some(Some(name.clone()));
        }
        let found: Vec<(&str, String)> =
            self.scopes.iter().filter_map(|scope| Some((scope.alias.as_str(), self.in_scope(scope, name)?))).collect();
        let is_input = near::find(name, self.names()).is_ok_and(|found| found.is_some());
        match (found.as_slice(), is_input) {
            ([], _) => None,
            ([(_, column)], false) => Some(Some(column.clone())),
            _ => {
                let tables = is_input.then_some(self.relation.as_str()).into_iter();
                let tables: Vec<&str> = tables.chain(found.iter().map(|(alias, _)| *alias)).collect();
                let message = format!("{name} can be a column of {}", tables.join(" and of "));
                let cure = format!("say of which: {}.{name}", tables[0]);
                self.problems.push(at(ident.span.start, message, cure));
                Some(None)
            }
        }
    }

    /// A name with the table of a lookup before it. `None`: it is no lookup's.
    pub fn of_lookup(&mut self, table: &Ident, column: &Ident) -> Option<Option<String>> {
        let scope = self.scopes.iter().find(|scope| scope.alias == table.value)?;
        let resolved = self.in_scope(scope, &column.value);
        if resolved.is_none() {
            let lookup = self.lookup(scope.lookup);
            let names = lookup.columns.iter().map(|field| field.name().as_str());
            let message = format!("lookup {} has no column {}", lookup.name, column.value);
            let cure =
                near::did_you_mean(&column.value, names, "declare it with its type in `columns` of the [[lookup]]");
            self.problems.push(at(column.span.start, message, cure));
        }
        Some(resolved)
    }

    /// What `*` gives of the lookups, or of the one that is called so: results' names and columns.
    pub fn stars(&self, alias: Option<&str>) -> Vec<(String, Vec<String>)> {
        let wanted = self.scopes.iter().filter(|scope| alias.is_none_or(|alias| scope.alias == alias));
        let columns = wanted.flat_map(|scope| {
            let fields = &self.lookup(scope.lookup).columns;
            fields.iter().map(|field| (field.name().clone(), vec![joined(&scope.id, field.name())]))
        });
        columns.collect()
    }

    /// A column's name as its own table has it.
    pub fn bare(&self, column: &str) -> String {
        let of_scope = |scope: &Scope| {
            let mut fields = self.lookup(scope.lookup).columns.iter();
            fields.find(|field| joined(&scope.id, field.name()) == column).map(|field| field.name().clone())
        };
        self.scopes.iter().find_map(of_scope).unwrap_or_else(|| column.to_owned())
    }

    pub fn is_lookup(&self, alias: &str) -> bool {
        self.scopes.iter().any(|scope| scope.alias == alias)
    }
}

/// The conditions that JOIN sets: the row was found.
pub fn conditions(joins: &[ResolvedJoin]) -> impl Iterator<Item = String> + '_ {
    joins.iter().filter(|join| join.is_inner).map(|join| found(&join.id))
}
