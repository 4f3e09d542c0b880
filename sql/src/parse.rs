//! Text to the one SELECT that is allowed. Every clause of the syntax is named here: one that is new to the parser
//! does not compile until somebody has decided about it.

use datafusion_sql::sqlparser::ast::{
    Expr, GroupByExpr, Ident, Insert, ObjectName, Query, Select, SelectItem, SetExpr, Spanned, Statement, TableAlias,
    TableFactor, TableObject, TableWithJoins,
};
use datafusion_sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion_sql::sqlparser::parser::{Parser, ParserError};
use datafusion_sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer};

use crate::join::{self, ParsedJoin};
use crate::near;
use crate::{Problem, Problems, Request};

/// What is left of a statement.
pub struct Parsed {
    /// `INSERT INTO t (..)`: the outputs' names by position.
    pub names: Option<Vec<Ident>>,
    pub projection: Vec<SelectItem>,
    /// The name that stands for the input in `name.column`.
    pub relation: String,
    /// Index into `Request::topics`.
    pub topic: Option<usize>,
    pub joins: Vec<ParsedJoin>,
    pub filter: Option<Expr>,
    pub group_by: Vec<Expr>,
    /// Where SELECT stands.
    pub start: Location,
}

/// What stands where, for clauses whose syntax tree keeps no place.
pub struct Words(Vec<TokenWithSpan>);

impl Words {
    /// The first place of an unquoted word.
    pub fn find(&self, word: &str) -> Location {
        let is_word = |token: &Token| match token {
            Token::Word(found) => found.quote_style.is_none() && found.value.eq_ignore_ascii_case(word),
            other => other.to_string() == word,
        };
        self.0.iter().find(|token| is_word(&token.token)).map_or(Location::new(1, 1), |token| token.span.start)
    }
}

pub fn at(place: Location, message: impl Into<String>, cure: impl Into<String>) -> Problem {
    Problem {
        line: (place.line as usize).max(1),
        column: (place.column as usize).max(1),
        message: message.into(),
        cure: cure.into(),
    }
}

const ONE_SELECT: &str = "write one SELECT, or INSERT INTO <name> (columns) SELECT";

pub fn parse(request: &Request, problems: &mut Problems) -> Option<Parsed> {
    let dialect = PostgreSqlDialect {};
    let words = match Tokenizer::new(&dialect, request.sql).tokenize_with_location() {
        Ok(words) => Words(words),
        Err(error) => {
            problems.push(at(error.location, error.message, "close the quote or the comment"));
            return None;
        }
    };
    let parsed = Parser::new(&dialect).with_tokens_with_locations(words.0.clone()).parse_statements();
    let mut statements = match parsed {
        Ok(statements) => statements,
        Err(error) => {
            problems.push(syntax(&error, &words));
            return None;
        }
    };
    if statements.len() > 1 {
        let second = statements[1].span().start;
        let place = if second.line == 0 { words.find(";") } else { second };
        problems.push(at(place, "a second statement", "write one statement in each [[table]] or [[topic]]"));
        return None;
    }
    let Some(statement) = statements.pop() else {
        problems.push(at(Location::new(1, 1), "`sql` holds no statement", ONE_SELECT));
        return None;
    };
    one_statement(request, statement, &words, problems)
}

fn syntax(error: &ParserError, words: &Words) -> Problem {
    let text = match error {
        ParserError::TokenizerError(text) | ParserError::ParserError(text) => text.as_str(),
        ParserError::RecursionLimitExceeded => {
            return at(Location::new(1, 1), "the expression is nested too deeply", "write it flatter");
        }
    };
    let (message, place) = text.split_once(" at Line: ").unwrap_or((text, ""));
    let mut numbers = place.split(", Column: ").map(|number| number.trim().parse().unwrap_or(0));
    let (line, column) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    // At the end of the text there is no token to point at: its last one, then.
    let end = || words.0.iter().rev().find(|token| token.span.end.line > 0).map_or(Location::new(1, 1), |t| t.span.end);
    let place = if line == 0 { end() } else { Location::new(line, column) };
    at(
        place,
        format!("no SQL: {}", message.replace("Expected: ", "expected ").replace(", found: ", ", found ")),
        "correct it; the syntax is PostgreSQL's, names with capitals or signs stand in double quotes",
    )
}

fn one_statement(request: &Request, statement: Statement, words: &Words, problems: &mut Problems) -> Option<Parsed> {
    match statement {
        Statement::Query(query) => query_of(request, *query, None, words, problems),
        Statement::Insert(insert) => insert_of(request, insert, words, problems),
        other => {
            let verb = other.to_string().split_whitespace().next().unwrap_or_default().to_uppercase();
            problems.push(at(words.find(&verb), format!("{verb} is no statement for a pipeline"), ONE_SELECT));
            None
        }
    }
}

fn insert_of(request: &Request, insert: Insert, words: &Words, problems: &mut Problems) -> Option<Parsed> {
    let Insert {
        insert_token,
        optimizer_hints: _,
        or,
        ignore,
        into: _,
        table,
        table_alias,
        columns,
        overwrite,
        source,
        assignments,
        partitioned,
        after_columns,
        has_table_keyword: _,
        on,
        returning,
        output,
        replace_into,
        priority,
        insert_alias,
        settings,
        format_clause,
        multi_table_insert_type,
        multi_table_into_clauses,
        multi_table_when_clauses,
        multi_table_else_clause,
    } = insert;
    let start = insert_token.0.span.start;
    let mode = "the section's `mode` says how rows meet those that are there";
    if on.is_some() {
        problems.push(at(words.find("ON"), "ON CONFLICT is not for a pipeline", mode));
    }
    if or.is_some() || ignore || overwrite || replace_into || priority.is_some() {
        problems.push(at(start, "a variant of INSERT", format!("write INSERT INTO: {mode}")));
    }
    if returning.is_some() || output.is_some() {
        problems.push(at(words.find("RETURNING"), "RETURNING has nobody to return to", "leave it out"));
    }
    let extras = !assignments.is_empty()
        || partitioned.is_some()
        || !after_columns.is_empty()
        || table_alias.is_some()
        || insert_alias.is_some()
        || settings.is_some()
        || format_clause.is_some()
        || multi_table_insert_type.is_some()
        || !multi_table_into_clauses.is_empty()
        || !multi_table_when_clauses.is_empty()
        || multi_table_else_clause.is_some();
    if extras {
        problems.push(at(start, "a form of INSERT that pipelines do not have", ONE_SELECT));
    }
    if let TableObject::TableName(name) = &table
        && name_of(name) != request.output
    {
        let message = format!("INSERT INTO {} in the section of {}", name_of(name), request.output);
        let cure =
            format!("write INSERT INTO {}, or move the statement to the section of {}", request.output, name_of(name));
        problems.push(at(name.span().start, message, cure));
    }
    let names: Vec<Ident> = columns.iter().filter_map(|name| name.0.last()?.as_ident().cloned()).collect();
    for (index, name) in names.iter().enumerate() {
        if names[..index].iter().any(|other| other.value == name.value) {
            problems.push(at(
                name.span.start,
                format!("column {} is named twice", name.value),
                "name each column once",
            ));
        }
    }
    let Some(source) = source else {
        problems.push(at(start, "INSERT without a SELECT", ONE_SELECT));
        return None;
    };
    query_of(request, *source, (!names.is_empty()).then_some(names), words, problems)
}

/// A name without its quotes, parts joined by points.
pub fn name_of(name: &ObjectName) -> String {
    let parts: Vec<String> = name
        .0
        .iter()
        .map(|part| part.as_ident().map_or_else(|| part.to_string(), |ident| ident.value.clone()))
        .collect();
    parts.join(".")
}

/// Why what needs more than one record cannot be.
pub const BATCHES: &str = "a pipeline answers record by record, so that no result depends on how records are cut into \
                       batches";

fn query_of(
    request: &Request,
    query: Query,
    names: Option<Vec<Ident>>,
    words: &Words,
    problems: &mut Problems,
) -> Option<Parsed> {
    let Query { with, body, order_by, limit_clause, fetch, locks, for_clause, settings, format_clause, pipe_operators } =
        query;
    let mut refuse = |is_there: bool, word: &str, what: &str, cure: &str| {
        if is_there {
            problems.push(at(words.find(word), what, cure));
        }
    };
    refuse(with.is_some(), "WITH", "WITH names a subquery", "write its expressions into the SELECT itself");
    refuse(order_by.is_some(), "ORDER", &format!("ORDER BY: {BATCHES}"), "order the rows when they are read");
    let word = if limit_clause.as_ref().is_some_and(|clause| clause.to_string().trim_start().starts_with("LIMIT")) {
        "LIMIT"
    } else {
        "OFFSET"
    };
    refuse(limit_clause.is_some(), word, &format!("LIMIT and OFFSET: {BATCHES}"), "choose records by WHERE");
    refuse(fetch.is_some(), "FETCH", &format!("FETCH: {BATCHES}"), "choose records by WHERE");
    refuse(!locks.is_empty(), "FOR", "FOR UPDATE locks nothing here", "leave it out");
    let others = for_clause.is_some() || settings.is_some() || format_clause.is_some() || !pipe_operators.is_empty();
    refuse(others, "SELECT", "a clause that pipelines do not have", ONE_SELECT);
    match *body {
        SetExpr::Select(select) => select_of(request, *select, names, words, problems),
        SetExpr::SetOperation { op, .. } => {
            let op = op.to_string();
            let cure = "write a [[table]] section for each SELECT; the rows of several topics are already one input";
            problems.push(at(words.find(&op), format!("{op} of two queries"), cure));
            None
        }
        SetExpr::Query(_) => {
            problems.push(at(words.find("("), "a SELECT in parentheses", "leave the parentheses out"));
            None
        }
        SetExpr::Values(_) => {
            problems.push(at(words.find("VALUES"), "VALUES reads no records", "write SELECT .. FROM input"));
            None
        }
        other => {
            let verb = other.to_string().split_whitespace().next().unwrap_or_default().to_uppercase();
            problems.push(at(words.find(&verb), format!("{verb} is no query for a pipeline"), ONE_SELECT));
            None
        }
    }
}

fn select_of(
    request: &Request,
    select: Select,
    names: Option<Vec<Ident>>,
    words: &Words,
    problems: &mut Problems,
) -> Option<Parsed> {
    let Select {
        select_token,
        optimizer_hints: _,
        distinct,
        select_modifiers,
        top,
        top_before_distinct: _,
        projection,
        exclude,
        into,
        from,
        lateral_views,
        prewhere,
        selection,
        connect_by,
        group_by,
        cluster_by,
        distribute_by,
        sort_by,
        having,
        named_window,
        qualify,
        window_before_qualify: _,
        value_table_mode,
        flavor: _,
    } = select;
    let start = select_token.0.span.start;
    let mut refuse = |is_there: bool, word: &str, what: &str, cure: &str| {
        if is_there {
            problems.push(at(words.find(word), what, cure));
        }
    };
    refuse(
        distinct.is_some(),
        "DISTINCT",
        &format!("DISTINCT: {BATCHES}"),
        "mode = \"upsert\" or \"insert-ignore\" with a key keeps one row per key",
    );
    refuse(top.is_some(), "TOP", &format!("TOP: {BATCHES}"), "choose records by WHERE");
    refuse(into.is_some(), "INTO", "SELECT INTO makes a table", "the section's `name` is the table; leave INTO out");
    let cure = "read the roll-up through a view, or with a [[topic]] whose `from` is this table";
    refuse(having.is_some(), "HAVING", "HAVING judges a group by one batch's part of it", cure);
    let window = !named_window.is_empty() || qualify.is_some();
    let word = if qualify.is_some() { "QUALIFY" } else { "WINDOW" };
    refuse(
        window,
        word,
        &format!("window functions: {BATCHES}"),
        "use mode = \"merge\" with GROUP BY, or a view in the database",
    );
    let sorts = !sort_by.is_empty() || !cluster_by.is_empty() || !distribute_by.is_empty();
    refuse(sorts, "BY", &format!("sorting: {BATCHES}"), "order the rows when they are read");
    let others = select_modifiers.is_some()
        || exclude.is_some()
        || !lateral_views.is_empty()
        || prewhere.is_some()
        || !connect_by.is_empty()
        || value_table_mode.is_some();
    refuse(others, "SELECT", "a clause that pipelines do not have", ONE_SELECT);
    let group_by = match group_by {
        GroupByExpr::Expressions(exprs, modifiers) => {
            refuse(!modifiers.is_empty(), "GROUP", "GROUP BY with a modifier", "group by the table's key columns");
            exprs
        }
        GroupByExpr::All(_) => {
            refuse(true, "GROUP", "GROUP BY ALL", "name the table's key columns: GROUP BY 1, 2");
            Vec::new()
        }
    };
    let (relation, topic, joins) = relation_of(request, from, start, words, problems);
    Some(Parsed { names, projection, relation, topic, joins, filter: selection, group_by, start })
}

/// What FROM names.
fn relation_of(
    request: &Request,
    mut from: Vec<TableWithJoins>,
    start: Location,
    words: &Words,
    problems: &mut Problems,
) -> (String, Option<usize>, Vec<ParsedJoin>) {
    let input = || ("input".to_owned(), None, Vec::new());
    if let Some(second) = from.get(1) {
        let cure =
            "records meet only in the database: join there, in a view over the tables; a [[lookup]] stands after JOIN";
        problems.push(at(second.relation.span().start, format!("a join: {BATCHES}"), cure));
    }
    if from.is_empty() {
        problems.push(at(start, "SELECT without FROM", "write FROM input"));
        return input();
    }
    let TableWithJoins { relation, joins } = from.swap_remove(0);
    let joins = join::parse(request, joins, words, problems);
    match relation {
        TableFactor::Table { name, alias, args: None, sample: None, .. } => {
            let written = name_of(&name);
            let known = ["input"].into_iter().chain(request.topics.iter().map(String::as_str));
            let topic = match near::find(&written, known.clone()) {
                Ok(Some(index)) => index.checked_sub(1),
                _ => {
                    let cure = near::did_you_mean(&written, known, "write FROM input: it is the records of the topics");
                    problems.push(at(name.span().start, format!("there is no table {written}"), cure));
                    return input();
                }
            };
            (alias.map_or(written, |TableAlias { name, .. }| name.value), topic, joins)
        }
        TableFactor::Derived { subquery, .. } => {
            let place = words.find("(");
            let place = if place.line == 0 { subquery.span().start } else { place };
            problems.push(at(place, "a subquery", "write its expressions into the SELECT itself"));
            input()
        }
        TableFactor::UNNEST { .. } => {
            problems.push(at(
                words.find("UNNEST"),
                "UNNEST after FROM",
                "write it in SELECT: SELECT UNNEST(x) AS y FROM input",
            ));
            input()
        }
        other => {
            let place = other.span().start;
            let place = if place.line == 0 { words.find("FROM") } else { place };
            problems.push(at(place, "FROM something else than input", "write FROM input"));
            input()
        }
    }
}
