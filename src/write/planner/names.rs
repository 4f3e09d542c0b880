//! Names in messages: what was probably meant, and how SQL writes it.

use crate::write::catalog::CatalogTable;

/// The candidate that `name` was probably meant to be: at most a third of its letters differ, case apart.
fn nearest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_lowercase();
    let limit = (name.chars().count() / 3).max(1);
    let distances =
        candidates.map(|candidate| (strsim::damerau_levenshtein(&name, &candidate.to_lowercase()), candidate));
    distances.filter(|(distance, _)| *distance <= limit).min_by_key(|(distance, _)| *distance).map(|(_, near)| near)
}

/// `; did you mean x?`, or what there is, or nothing.
pub fn hint<'a>(name: &str, candidates: impl Iterator<Item = &'a str> + Clone) -> String {
    /// More names than this hide the answer rather than give it.
    const LISTED: usize = 12;
    let same_but_case: Vec<_> = candidates.clone().filter(|candidate| candidate.eq_ignore_ascii_case(name)).collect();
    if same_but_case.len() > 1 {
        return format!("; {} differ in case alone: write one of them exactly", same_but_case.join(" and "));
    }
    if let Some(near) = nearest(name, candidates.clone()) {
        return format!("; did you mean {near}?");
    }
    let all: Vec<_> = candidates.collect();
    if all.is_empty() || all.len() > LISTED { String::new() } else { format!("; there are {}", all.join(", ")) }
}

/// `a, b` of columns by their index.
pub fn list(table: &CatalogTable, columns: &[usize]) -> String {
    let names: Vec<&str> = columns.iter().map(|&column| table.columns[column].name.as_str()).collect();
    names.join(", ")
}

/// The statement that creates a unique index over `columns`.
pub fn create_unique_index(table: &CatalogTable, columns: &[usize]) -> String {
    let names: Vec<&str> = columns.iter().map(|&column| table.columns[column].name.as_str()).collect();
    create("UNIQUE INDEX", "key", table, &names)
}

/// The statement that creates an index over columns.
pub fn create_index(table: &CatalogTable, names: &[&str]) -> String {
    create("INDEX", "idx", table, names)
}

fn create(what: &str, suffix: &str, table: &CatalogTable, names: &[&str]) -> String {
    // The shortest limit of an identifier in the three databases, in bytes; whole characters only.
    const LONGEST_NAME: usize = 63;
    let mut index = format!("{}_{}_{suffix}", table.name, names.join("_"));
    while index.len() > LONGEST_NAME {
        index.pop();
    }
    let schema = table.schema.as_ref().map_or(String::new(), |schema| format!("{}.", quote(table, schema)));
    let quoted: Vec<String> = names.iter().map(|name| quote(table, name)).collect();
    let (index, name) = (quote(table, &index), quote(table, &table.name));
    format!("CREATE {what} {index} ON {schema}{name} ({});", quoted.join(", "))
}

/// An identifier, in quotes only where it needs them.
fn quote(table: &CatalogTable, name: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    if name.bytes().all(is_plain) && !name.starts_with(|first: char| first.is_ascii_digit()) {
        return name.to_owned();
    }
    // Of the databases with schemas, PostgreSQL alone gives its types numbers.
    let is_mysql = table.schema.is_some() && table.columns.iter().all(|column| column.oid == 0);
    let mark = if is_mysql { "`" } else { "\"" };
    format!("{mark}{}{mark}", name.replace(mark, &mark.repeat(2)))
}
