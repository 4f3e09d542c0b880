//! `[[lookup]]`.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use crate::config::column_type;
use crate::config::lookup::RawLookup;
use crate::config::problem::{Place, Problem, Problems, Rule, nearest, printable};
use crate::config::read::{Given, Setting};
use crate::config::units::Span;
use crate::config::{Database, Lookup, LookupColumn, LookupFrom, OnUnavailable, Source};
use crate::lookup::file;
use crate::types::ColumnType;

use super::{table, within};

const DEFAULT_ROWS: usize = 100_000;
const MOST_ROWS: usize = 10_000_000;
const DEFAULT_AGE: Duration = Duration::from_secs(300);
/// A lookup's name becomes a metric's label.
const LONGEST_NAME: usize = 100;

/// What the rest of the file says.
#[derive(Clone, Copy)]
pub struct Around<'a> {
    /// The pipeline file.
    pub path: &'a Path,
    pub source: Option<&'a Source>,
    pub database: Option<Database>,
    /// Is there no database?
    pub is_kafka: bool,
}

pub fn lookups(
    given: &Setting<Vec<Given<RawLookup>>>,
    around: Around<'_>,
    problems: &mut Problems,
) -> Option<Vec<Lookup>> {
    let given = match given {
        Setting::Absent => return Some(Vec::new()),
        Setting::Broken => return None,
        Setting::Given(given) => given,
    };
    let mut seen = BTreeSet::new();
    for name in given.value.iter().filter_map(|lookup| lookup.value.name.given()) {
        if !seen.insert(&name.value) {
            let what = format!("there are two lookups with the name {}", name.shown());
            problems.push(Problem::new(&name.place, Rule::Contradiction, what, "give each a name of its own"));
        }
    }
    let checked: Vec<Option<Lookup>> =
        given.value.iter().map(|raw| lookup(&raw.value, &raw.place, around, problems)).collect();
    checked.into_iter().collect()
}

fn lookup(raw: &RawLookup, section: &Place, around: Around<'_>, problems: &mut Problems) -> Option<Lookup> {
    let before = problems.len();
    let name = raw.name.required(section, "lookup.name", "write name = \"..\" under [[lookup]]", problems);
    if let Some(given) = name {
        self::name(given, around.source, problems);
    }
    let from = from(raw, section, around, problems);
    let cure = "name the columns by which a row is found: key = [\"id\"]";
    let key = raw.key.required(section, "lookup.key", cure, problems);
    if let Some(given) = key {
        self::key(given, problems);
    }
    let declared = match &raw.columns {
        Setting::Absent => None,
        columns => Some(self::declared(&columns.given()?.value.0, problems)?),
    };
    let columns = match (&from, declared) {
        (Some(LookupFrom::File(path)), declared) => {
            let place = raw.file.given().map_or(section, |given| &given.place);
            Some(of_file(path, place, declared.unwrap_or_default(), raw, problems)?)
        }
        (_, declared) => declared,
    };
    if let (Some(columns), Some(key)) = (&columns, key) {
        key_types(columns, key, problems);
    }
    let max_rows = match raw.max_rows.given() {
        None => DEFAULT_ROWS,
        given => within(given, "lookup.max_rows", 1..=MOST_ROWS, problems).unwrap_or(DEFAULT_ROWS),
    };
    let max_age = raw.max_age.value().map_or(DEFAULT_AGE, |Span(age)| *age);
    if let (Some(LookupFrom::File(_)), Some(given)) = (&from, raw.on_unavailable.given()) {
        let what = "`on_unavailable` says what happens without the database, and this lookup is a file";
        problems.push(Problem::new(&given.key, Rule::Contradiction, what, "remove it: what was read of a file stays"));
    }
    if problems.len() > before {
        return None;
    }
    Some(Lookup {
        name: name?.value.clone(),
        from: from?,
        key: key?.value.iter().map(|column| column.value.clone()).collect(),
        columns,
        max_rows,
        max_age,
        on_unavailable: raw.on_unavailable.value().copied().unwrap_or(OnUnavailable::Wait),
        place: section.clone(),
    })
}

fn name(given: &Given<String>, source: Option<&Source>, problems: &mut Problems) {
    let name = &given.value;
    let is_taken = name == "input" || source.is_some_and(|source| source.topics.names().contains(name));
    let is_name = !name.trim().is_empty() && !name.chars().any(char::is_control) && name.len() <= LONGEST_NAME;
    if is_taken {
        let what = format!("`lookup.name` {} stands for records in SQL", given.shown());
        problems.push(Problem::new(&given.place, Rule::Contradiction, what, "give the lookup another name"));
    } else if !is_name {
        let what = format!("`lookup.name` cannot be {}", given.shown());
        let problem = Problem::new(&given.place, Rule::Value, what, "write a name such as \"customers\"");
        problems.push(problem.allowed(format!("1 to {LONGEST_NAME} characters on one line")));
    }
}

fn from(raw: &RawLookup, section: &Place, around: Around<'_>, problems: &mut Problems) -> Option<LookupFrom> {
    match (&raw.table, &raw.file) {
        (Setting::Absent, Setting::Absent) => {
            let cure = "write table = \"..\" for a table of the sink's database, or file = \"..csv\"";
            problems.push(Problem::new(section, Rule::Missing, "the lookup has neither `table` nor `file`", cure));
            None
        }
        (Setting::Given(_), Setting::Given(file)) => {
            let what = "`table` and `file` exclude each other";
            problems.push(Problem::new(&file.key, Rule::Contradiction, what, "keep one: a lookup has one origin"));
            None
        }
        (Setting::Given(given), _) if around.is_kafka => {
            let what = "`lookup.table` is a table of the sink's database, and this pipeline has none";
            let cure = "use a CSV file: file = \"..csv\"";
            problems.push(Problem::new(&given.key, Rule::Contradiction, what, cure));
            None
        }
        (Setting::Given(given), _) => {
            for part in given.value.split('.') {
                if let Err(cure) = table::identifier(part, around.database) {
                    let what = format!("`lookup.table` cannot be {}", given.shown());
                    problems.push(Problem::new(&given.place, Rule::Value, what, cure));
                    return None;
                }
            }
            Some(LookupFrom::Table(given.value.clone()))
        }
        (_, Setting::Given(given)) => {
            let folder = around.path.parent().unwrap_or(Path::new(""));
            Some(LookupFrom::File(folder.join(&given.value)))
        }
        _ => None,
    }
}

fn key(given: &Given<Vec<Given<String>>>, problems: &mut Problems) {
    if given.value.is_empty() {
        let cure = "name the columns by which a row is found: key = [\"id\"]";
        problems.push(Problem::new(&given.place, Rule::Missing, "`lookup.key` is empty", cure));
    }
    for (index, column) in given.value.iter().enumerate() {
        if given.value[..index].iter().any(|other| other.value == column.value) {
            let what = format!("`lookup.key` names {} twice", column.shown());
            problems.push(Problem::new(&column.place, Rule::Contradiction, what, "name each column once"));
        }
    }
}

fn declared(columns: &[(String, Given<String>)], problems: &mut Problems) -> Option<Vec<LookupColumn>> {
    let typed: Vec<Option<LookupColumn>> = columns
        .iter()
        .map(|(name, given)| match column_type::parse(&given.value) {
            Ok(ty) => Some(LookupColumn { name: name.clone(), ty }),
            Err((what, cure)) => {
                let what = format!("column `{}`: {what}", printable(name));
                problems.push(Problem::new(&given.place, Rule::Value, what, cure).allowed(column_type::ALLOWED));
                None
            }
        })
        .collect();
    typed.into_iter().collect()
}

/// The columns of the file's header line; those that are not declared are text.
fn of_file(
    path: &Path,
    place: &Place,
    declared: Vec<LookupColumn>,
    raw: &RawLookup,
    problems: &mut Problems,
) -> Option<Vec<LookupColumn>> {
    let names = match file::header(path) {
        Ok(names) => names,
        Err(what) => {
            let cure = "write the path of a CSV file whose first line names its columns";
            problems.push(Problem::new(place, Rule::File, format!("`lookup.file`: {what}"), cure));
            return None;
        }
    };
    for column in declared.iter().filter(|column| !names.contains(&column.name)) {
        let given = raw.columns.value().and_then(|columns| columns.0.iter().find(|(name, _)| *name == column.name));
        let place = given.map_or(place, |(_, given)| &given.key);
        let what = format!("the file has no column `{}`", printable(&column.name));
        let cure = match nearest(&column.name, names.iter().map(String::as_str)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "remove it, or correct the file's first line".to_owned(),
        };
        problems.push(Problem::new(place, Rule::Value, what, cure).allowed(names.join(", ")));
    }
    let typed = |name: String| match declared.iter().find(|column| column.name == name) {
        Some(column) => column.clone(),
        None => LookupColumn { name, ty: ColumnType::Text },
    };
    Some(names.into_iter().map(typed).collect())
}

/// The key must be there, of types whose values are equal or not.
fn key_types(columns: &[LookupColumn], key: &Given<Vec<Given<String>>>, problems: &mut Problems) {
    for given in &key.value {
        match columns.iter().find(|column| column.name == given.value) {
            None => {
                let names = || columns.iter().map(|column| column.name.as_str());
                let what = format!("`lookup.key` names {}, which is no column of the lookup", given.shown());
                let cure = match nearest(&given.value, names()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => "add it to `columns` with its type".to_owned(),
                };
                let allowed = names().collect::<Vec<_>>().join(", ");
                problems.push(Problem::new(&given.place, Rule::Value, what, cure).allowed(allowed));
            }
            Some(column) if !is_key_type(&column.ty) => {
                let what = format!("`lookup.key`: {} is {}, by which no row is found", given.shown(), column.ty);
                let cure = "take a column of integers, decimal(p,s), text, uuid, boolean, bytes or times";
                problems.push(Problem::new(&given.place, Rule::Value, what, cure));
            }
            Some(_) => {}
        }
    }
}

/// Have equal values one form? Not so with floating-point numbers, JSON, lists and decimals of any size.
pub fn is_key_type(ty: &ColumnType) -> bool {
    use ColumnType::{Float32, Float64, Json, List, Numeric};
    !matches!(ty, Float32 | Float64 | Json | List(_) | Numeric)
}
