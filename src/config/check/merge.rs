//! `merge` of a `[[table]]`, and what the other settings of the table say about it.

use std::collections::BTreeMap;

use crate::config::merge::{MergeColumns, NamedMerge};
use crate::config::problem::{Place, Problem, Problems, Rule, printable};
use crate::config::raw::RawTable;
use crate::config::read::Given;
use crate::config::{Database, Delivery, MergeColumn, MergeFunction, Mode};

use super::table::identifier;

/// The columns that are merged; none in other modes.
pub fn merge(
    raw: &RawTable,
    section: &Place,
    mode: Mode,
    key: &[String],
    database: Option<Database>,
    delivery: Delivery,
    problems: &mut Problems,
) -> Option<Vec<MergeColumn>> {
    if mode != Mode::Merge {
        if let Some(given) = raw.merge.given() {
            let what = "`merge` has no effect without mode = \"merge\"";
            problems.push(Problem::new(&given.key, Rule::Contradiction, what, "write mode = \"merge\", or remove it"));
        }
        return Some(Vec::new());
    }
    contradictions(raw, section, delivery, problems);
    let cure = "write which function adds a column up: merge = { orders = \"sum\", latest = \"max\" }";
    let given = raw.merge.required(section, "table.merge", cure, problems)?;
    if given.value.0.is_empty() {
        problems.push(Problem::new(&given.place, Rule::Missing, "`table.merge` is empty", cure));
    }
    for column in &given.value.0 {
        self::column(column, &given.value, key, database, problems);
    }
    shared_orders(given, problems);
    let merged = |column: &NamedMerge| MergeColumn { column: column.name.clone(), function: column.function.clone() };
    Some(given.value.0.iter().map(merged).collect())
}

/// What has no meaning where rows are added up.
fn contradictions(raw: &RawTable, section: &Place, delivery: Delivery, problems: &mut Problems) {
    let mut tell = |place: &Place, what: &str, cure: &str| {
        problems.push(Problem::new(place, Rule::Contradiction, what, cure));
    };
    if let Some(given) = raw.version.given() {
        let what = "`version` has no effect with mode = \"merge\", which adds to the stored row and replaces nothing";
        tell(&given.key, what, "remove it; a column that keeps the newest value is { last = { by = \"..\" } }");
    }
    if let Some(given) = raw.missing.given() {
        let what = "`missing` has no effect with mode = \"merge\": what a record does not bring adds nothing";
        tell(&given.key, what, "remove it");
    }
    if let Some(given) = raw.deletes.given().filter(|given| given.value != "ignore") {
        let what = "with mode = \"merge\" a delete cannot be told from the rest of a sum";
        tell(&given.key, what, "write deletes = \"ignore\", which is the default of this mode");
    }
    if delivery == Delivery::AtLeastOnce {
        let place = raw.mode.given().map_or(section, |given| &given.place);
        let what = "mode = \"merge\" needs delivery = \"exactly-once\": what is written twice is added twice";
        tell(place, what, "remove `delivery` under [sink]; exactly-once is the default");
    }
}

fn column(
    column: &NamedMerge,
    all: &MergeColumns,
    key: &[String],
    database: Option<Database>,
    problems: &mut Problems,
) {
    let name = printable(&column.name);
    if let Err(cure) = identifier(&column.name, database) {
        let what = format!("`table.merge` cannot name a column \"{name}\"");
        problems.push(Problem::new(&column.place, Rule::Value, what, cure));
    }
    if key.contains(&column.name) {
        let what = format!("the column `{name}` is in `key` and in `merge`: a key is found, not added up");
        problems.push(Problem::new(&column.place, Rule::Contradiction, what, "keep it in one of them"));
    }
    let (by, word, function) = match &column.function {
        MergeFunction::First { by } => (by, "first", MergeFunction::Min),
        MergeFunction::Last { by } => (by, "last", MergeFunction::Max),
        _ => return,
    };
    let shown = printable(by);
    let mut tell = |what: String, cure: String| {
        problems.push(Problem::new(&column.place, Rule::Contradiction, what, cure));
    };
    if by == &column.name {
        let plain = if word == "first" { "min" } else { "max" };
        tell(format!("`{name}` is ordered by itself"), format!("write {name} = \"{plain}\""));
    } else if key.contains(by) {
        let what = format!("`{name}` is ordered by `{shown}`, which is in `key` and so the same for all its rows");
        tell(what, "order it by a column that differs, such as the event's time".to_owned());
    } else if identifier(by, database).is_err() {
        tell(format!("`{name}` is ordered by \"{shown}\", which is no column's name"), "write a column's name".into());
    } else if let Some(other) = all.0.iter().find(|other| &other.name == by && other.function != function) {
        let fits = if word == "first" { "min" } else { "max" };
        problems.push(Problem::new(
            &other.place,
            Rule::Contradiction,
            format!("`{shown}` holds the order of the {word} `{name}`, and its own function is another"),
            format!("write {shown} = \"{fits}\" or remove it: it is kept with `{name}`; or give `{name}` an order column of its own"),
        ));
    }
}

/// One column cannot hold the order of a first and of a last value.
fn shared_orders(given: &Given<MergeColumns>, problems: &mut Problems) {
    let mut orders: BTreeMap<&str, (&str, bool)> = BTreeMap::new();
    for column in &given.value.0 {
        let (by, is_last) = match &column.function {
            MergeFunction::First { by } => (by, false),
            MergeFunction::Last { by } => (by, true),
            _ => continue,
        };
        let known = *orders.entry(by).or_insert((&column.name, is_last));
        if known.1 != is_last {
            let (name, by) = (printable(&column.name), printable(by));
            let what = format!(
                "`{by}` cannot order both `{}` and `{name}`: it holds the time of the one value that is stored, and \
                 the first and the last have different ones",
                printable(known.0)
            );
            let cure = format!("give `{name}` an order column of its own, filled from the same field");
            problems.push(Problem::new(&column.place, Rule::Contradiction, what, cure));
        }
    }
}
