//! `name` with placeholders, and `tables`.

use std::collections::BTreeSet;

use regex::Regex;

use crate::config::problem::{Problem, Problems, Rule, printable};
use crate::config::raw::RawTable;
use crate::config::read::Given;
use crate::config::route::{AllowedTables, NamePart, Route, TableNames, is_ours};
use crate::config::{Database, Mode, Topics};

use super::table::identifier;

/// Statements and metrics are kept for each table.
const MOST_TABLES: usize = 1_000;

/// How the tables are named; `Some(None)`: the name is one table's.
pub fn route(
    raw: &RawTable,
    mode: Mode,
    topics: Option<&Topics>,
    database: Option<Database>,
    problems: &mut Problems,
) -> Option<Option<Route>> {
    let name = raw.name.given()?;
    if !name.value.contains(['{', '}']) {
        if let Some(given) = raw.tables.given() {
            let what = "`tables` has no effect where `name` has no {..}";
            problems.push(Problem::new(
                &given.key,
                Rule::Contradiction,
                what,
                "remove it, or write name = \"orders_{region}\"",
            ));
        }
        return Some(None);
    }
    let before = problems.len();
    let mut tell = |what: String, cure: &str| problems.push(Problem::new(&name.place, Rule::Value, what, cure));
    let (schema, table) = match name.value.split_once('.') {
        Some((schema, table)) => (Some(schema), table),
        None => (None, name.value.as_str()),
    };
    if schema.is_some_and(|schema| schema.contains(['{', '}'])) || table.contains('.') {
        tell(format!("`table.name` cannot be {}", name.shown()), "write \"table_{..}\" or \"schema.table_{..}\"");
        return None;
    }
    if mode == Mode::Merge {
        let what = "mode = \"merge\" needs one table: a group may hold records of several".to_owned();
        tell(what, "write the table's name, and put the column into `key`");
    }
    if !raw.from.is_absent() {
        let what = "a table with `from` has a plain name".to_owned();
        tell(what, "write the table's name");
    }
    if raw.create.value() == Some(&true) {
        let what = "create = true makes the table of a plain name".to_owned();
        tell(what, "remove `create`, and create the tables in the database");
    }
    if !raw.retention.is_absent() {
        let what = "`retention` is for the table of a plain name".to_owned();
        tell(what, "remove it, and delete old rows by a job of the database");
    }
    let parts = parts(table);
    if parts.is_none() {
        let what = format!("`table.name` {} has a {{ or }} without its other half", name.shown());
        tell(what, "write a column's name, or topic, between { and }");
    }
    if let Some(Err(cure)) = schema.map(|schema| identifier(schema, database)) {
        tell(format!("`table.name` cannot be {}", name.shown()), &cure);
    }
    let parts = parts?;
    let tables = allowed(raw, name, &parts, topics, database, problems);
    if problems.len() > before {
        return None;
    }
    Some(Some(Route { schema: schema.map(str::to_owned), parts, tables: tables?, place: name.place.clone() }))
}

fn parts(name: &str) -> Option<Vec<NamePart>> {
    let mut parts = Vec::new();
    let mut rest = name;
    while let Some((text, after)) = rest.split_once('{') {
        let (column, after) = after.split_once('}')?;
        if text.contains('}') || column.is_empty() || column.contains('{') {
            return None;
        }
        if !text.is_empty() {
            parts.push(NamePart::Text(text.to_owned()));
        }
        parts.push(if column == "topic" { NamePart::Topic } else { NamePart::Column(column.to_owned()) });
        rest = after;
    }
    if rest.contains('}') {
        return None;
    }
    if !rest.is_empty() {
        parts.push(NamePart::Text(rest.to_owned()));
    }
    Some(parts)
}

fn allowed(
    raw: &RawTable,
    name: &Given<String>,
    parts: &[NamePart],
    topics: Option<&Topics>,
    database: Option<Database>,
    problems: &mut Problems,
) -> Option<AllowedTables> {
    let of_topics = topics.and_then(|topics| of_topics(parts, topics.names()));
    if raw.tables.is_absent() {
        let Some(names) = of_topics else {
            let what = format!("which tables {} may name is not said", name.shown());
            let cure = "write tables = [\"orders_eu\", \"orders_us\"], or a pattern: tables = \"^orders_[a-z]{2}$\"";
            // Without topics their own problem was told.
            if topics.is_some() {
                problems.push(Problem::new(&name.place, Rule::Missing, what, cure));
            }
            return None;
        };
        let mut seen = BTreeSet::new();
        for table in &names {
            if !seen.insert(table) {
                let what = format!("two topics give the same table {table}");
                let cure = "write a [[table]] for each, with FROM \"topic\" in its `sql`";
                problems.push(Problem::new(&name.place, Rule::Contradiction, what, cure));
            }
        }
        return Some(AllowedTables::List(names));
    }
    let tables = match &raw.tables.given()?.value {
        TableNames::List(names) => list(names, &raw.tables.given()?.place, parts, name.hidden, database, problems)?,
        TableNames::Pattern(pattern) => self::pattern(pattern, problems)?,
    };
    let route = Route { schema: None, parts: Vec::new(), tables, place: name.place.clone() };
    for table in of_topics.iter().flatten().filter(|table| !route.admits(table)) {
        let what = format!("a topic gives the table {table}, which `tables` does not allow");
        problems.push(Problem::new(
            &name.place,
            Rule::Contradiction,
            what,
            "add it to `tables`, or do not read the topic",
        ));
    }
    Some(route.tables)
}

/// The names that the topics give, where nothing else is in the name.
fn of_topics(parts: &[NamePart], topics: &[String]) -> Option<Vec<String>> {
    let name = |topic: &String| {
        let part = |part: &NamePart| match part {
            NamePart::Text(text) => Some(text.clone()),
            NamePart::Topic => Some(Route::of_topic(topic)),
            NamePart::Column(_) => None,
        };
        parts.iter().map(part).collect::<Option<String>>()
    };
    if topics.is_empty() { None } else { topics.iter().map(name).collect() }
}

fn list(
    names: &[Given<String>],
    place: &crate::config::problem::Place,
    parts: &[NamePart],
    is_hidden: bool,
    database: Option<Database>,
    problems: &mut Problems,
) -> Option<AllowedTables> {
    let before = problems.len();
    let cure = "write the tables that rows may go to: [\"orders_eu\", \"orders_us\"]";
    if names.is_empty() {
        problems.push(Problem::new(place, Rule::Missing, "`table.tables` is empty", cure));
    } else if names.len() > MOST_TABLES {
        let what = format!("`table.tables` lists {} tables", names.len());
        problems.push(Problem::new(place, Rule::Bounds, what, format!("list at most {MOST_TABLES}")));
    }
    let text = |part: Option<&NamePart>| match part {
        Some(NamePart::Text(text)) => text.clone(),
        _ => String::new(),
    };
    let (prefix, suffix) = (text(parts.first()), text(parts.last()));
    let mut seen = BTreeSet::new();
    for given in names {
        let table = &given.value;
        let fits = table.starts_with(&prefix) && table.ends_with(&suffix);
        let (what, cure) = if let Err(cure) = identifier(table, database) {
            (format!("`table.tables` cannot name a table {}", given.shown()), cure)
        } else if table.contains('.') {
            (format!("`table.tables` names {} with a dot", given.shown()), "write the schema in `name`".to_owned())
        } else if is_ours(table) {
            (format!("the table {} is Tidegate's own", given.shown()), "write into tables of yours".to_owned())
        } else if !seen.insert(table) {
            (format!("`table.tables` lists {} twice", given.shown()), "list it once".to_owned())
        } else if !fits {
            let what = format!("`name` never gives {}, which `table.tables` lists", given.shown());
            let shown = if is_hidden {
                "another".to_owned()
            } else {
                format!("{}..{}", printable(&prefix), printable(&suffix))
            };
            (what, format!("remove it, or correct it: names are {shown}"))
        } else {
            continue;
        };
        problems.push(Problem::new(&given.place, Rule::Value, what, cure));
    }
    (problems.len() == before).then(|| AllowedTables::List(names.iter().map(|given| given.value.clone()).collect()))
}

fn pattern(given: &Given<String>, problems: &mut Problems) -> Option<AllowedTables> {
    if !given.value.starts_with('^') || !given.value.ends_with('$') {
        let what = "`table.tables` must match whole names";
        let cure = "begin it with ^ and end it with $: \"^orders_[a-z]{2}$\"; or list the names";
        problems.push(Problem::new(&given.place, Rule::Value, what, cure));
        return None;
    }
    match Regex::new(&format!("^(?:{})$", &given.value[1..given.value.len() - 1])) {
        Ok(pattern) => Some(AllowedTables::Pattern(pattern)),
        Err(_) => {
            let what = "`table.tables` is no regular expression";
            problems.push(Problem::new(&given.place, Rule::Value, what, "mend it, such as \"^orders_[a-z]{2}$\""));
            None
        }
    }
}
