//! `[[table]]`.

use std::collections::BTreeSet;

use crate::config::problem::{Place, Problem, Problems, Rule, nearest, printable};
use crate::config::raw::RawTable;
use crate::config::read::{Given, Setting};
use crate::config::route::is_ours;
use crate::config::{Database, Deletes, Delivery, Filtered, Missing, Mode, Sql, Table, Topics};

use super::create;
use super::follow;
use super::merge::merge;
use super::replace::replace;
use super::retention;
use super::route::route;

/// The longest identifier: PostgreSQL cuts at 63 bytes, MySQL and MariaDB refuse more than 64 characters.
const POSTGRES_IDENTIFIER: usize = 63;
const MYSQL_IDENTIFIER: usize = 64;

pub fn tables(
    given: &Given<Vec<Given<RawTable>>>,
    topics: Option<&Topics>,
    database: Option<Database>,
    delivery: Delivery,
    problems: &mut Problems,
) -> Option<Vec<Table>> {
    if given.value.is_empty() {
        let cure = "write a section [[table]] with the table's name";
        problems.push(Problem::new(&given.place, Rule::Missing, "there is no table", cure));
    }
    let mut seen = BTreeSet::new();
    for table in given.value.iter().filter_map(|table| table.value.name.given()) {
        if !seen.insert(&table.value) {
            let what = format!("the table {} is written twice", table.shown());
            let cure = "keep one: two writers of one table would undo each other";
            problems.push(Problem::new(&table.place, Rule::Contradiction, what, cure));
        }
    }
    let mut checked: Vec<Option<Table>> =
        given.value.iter().map(|raw| table(&raw.value, &raw.place, topics, database, delivery, problems)).collect();
    follow::tables(&given.value, &mut checked, problems);
    let tables: Vec<Table> = checked.into_iter().collect::<Option<_>>()?;
    routes_are_apart(&tables, problems);
    Some(tables)
}

/// Two sections may not name one table.
fn routes_are_apart(tables: &[Table], problems: &mut Problems) {
    let fixed = tables.iter().filter(|table| table.route.is_none()).map(|table| table.name.clone());
    let mut seen: BTreeSet<String> = fixed.collect();
    for route in tables.iter().filter_map(|table| table.route.as_ref()) {
        for name in route.known().iter().map(|name| route.full_name(name)) {
            if seen.contains(&name) {
                let what = format!("the table {name} is written by two [[table]]");
                let cure = "name it once: two writers of one table would undo each other";
                problems.push(Problem::new(&route.place, Rule::Contradiction, what, cure));
            }
            seen.insert(name);
        }
    }
}

/// Without a database there are no tables.
pub fn none(setting: &Setting<Vec<Given<RawTable>>>, problems: &mut Problems) -> Option<Vec<Table>> {
    for table in setting.value().into_iter().flatten() {
        let what = "a [[table]] needs a database, and the sink is Kafka";
        let cure = "write a [[topic]] instead, or `url` under [sink] instead of `kafka`";
        problems.push(Problem::new(&table.place, Rule::Contradiction, what, cure));
    }
    (setting.value().is_none_or(Vec::is_empty) && !matches!(setting, Setting::Broken)).then(Vec::new)
}

fn table(
    raw: &RawTable,
    section: &Place,
    topics: Option<&Topics>,
    database: Option<Database>,
    delivery: Delivery,
    problems: &mut Problems,
) -> Option<Table> {
    let cure = "write name = \"..\" under [[table]]";
    let name = match raw.name.required(section, "table.name", cure, problems) {
        Some(given) => name(given, database, problems),
        None => None,
    };
    let key = raw.key.given().map(|given| key(given, problems));
    let mode = match (&raw.mode, &raw.key) {
        (Setting::Absent, Setting::Absent) => Mode::Append,
        (Setting::Absent, _) => Mode::Upsert,
        (setting, _) => *setting.value()?,
    };
    if let (Mode::Append, Some(given)) = (mode, raw.key.given()) {
        let what = "`key` has no effect with mode = \"append\"";
        let cure = "remove it, or write mode = \"upsert\"";
        problems.push(Problem::new(&given.key, Rule::Contradiction, what, cure));
    }
    let deletes = deletes(raw, mode, database, problems);
    let key = key.unwrap_or_else(|| Some(Vec::new()));
    let merge = merge(raw, section, mode, key.as_deref().unwrap_or_default(), database, delivery, problems);
    relations(raw, mode, key.as_deref().unwrap_or_default(), deletes.as_ref(), database, problems);
    statement(raw, mode, deletes.as_ref(), problems);
    let replace = replace(raw, mode, key.as_deref().unwrap_or_default(), deletes.as_ref(), database, problems);
    let create = create::create(raw, mode, problems);
    let retention = retention::retention(raw, database, problems);
    let route = route(raw, mode, topics, database, problems);
    Some(Table {
        name: name?,
        route: route?,
        mode,
        key: key?,
        deletes: deletes?,
        version: raw.version.value().cloned(),
        missing: raw.missing.value().copied().unwrap_or(Missing::Null),
        sql: raw.sql.given().map(|given| Sql { text: given.value.clone(), place: given.text.clone() }),
        filtered: raw.filtered.value().copied().unwrap_or(Filtered::Ignore),
        replace: replace?,
        merge: merge?,
        create,
        from: None,
        retention: retention?,
    })
}

fn name(given: &Given<String>, database: Option<Database>, problems: &mut Problems) -> Option<String> {
    let name = &given.value;
    if name.contains(['{', '}']) {
        // What is wrong with it is told with `tables`.
        return Some(name.clone());
    }
    let parts: Vec<&str> = name.split('.').collect();
    let fault = match parts.len() {
        0..=2 => parts.iter().find_map(|part| identifier(part, database).err()),
        _ => Some("write \"table\" or \"schema.table\"".to_owned()),
    };
    if let Some(cure) = fault {
        let what = format!("`table.name` cannot be {}", given.shown());
        problems.push(Problem::new(&given.place, Rule::Value, what, cure));
        return None;
    }
    if parts.last().is_some_and(|last| is_ours(last)) {
        let what = format!("the table {} is Tidegate's own", given.shown());
        problems.push(Problem::new(&given.place, Rule::Contradiction, what, "write into a table of yours"));
        return None;
    }
    Some(name.clone())
}

/// Can the text name a table, schema or column?
///
/// # Errors
/// What to write instead.
pub fn identifier(name: &str, database: Option<Database>) -> Result<(), String> {
    if name.is_empty() || name.trim() != name || name.chars().any(char::is_control) {
        return Err("write the name as the database has it, without space around it".to_owned());
    }
    match database {
        Some(Database::Postgres) if name.len() > POSTGRES_IDENTIFIER => {
            Err(format!("PostgreSQL cuts names at {POSTGRES_IDENTIFIER} bytes; write the name that the database has"))
        }
        Some(Database::MySql) if name.chars().count() > MYSQL_IDENTIFIER => {
            Err(format!("MySQL and MariaDB take at most {MYSQL_IDENTIFIER} characters"))
        }
        _ => Ok(()),
    }
}

fn key(given: &Given<Vec<Given<String>>>, problems: &mut Problems) -> Option<Vec<String>> {
    if given.value.is_empty() {
        let what = "`table.key` is empty";
        let cure = "name the key's columns, or remove it: upsert, update and merge take the table's primary key";
        problems.push(Problem::new(&given.place, Rule::Missing, what, cure));
        return None;
    }
    let mut seen = BTreeSet::new();
    for column in &given.value {
        if column.value.is_empty() {
            let cure = "write the column's name";
            problems.push(Problem::new(&column.place, Rule::Value, "`table.key` has an empty name", cure));
        } else if !seen.insert(&column.value) {
            let what = format!("the key column {} is listed twice", column.shown());
            problems.push(Problem::new(&column.place, Rule::Contradiction, what, "list it once"));
        }
    }
    Some(given.value.iter().map(|column| column.value.clone()).collect())
}

/// Are rows deleted by their parent's key?
fn replaces(raw: &RawTable, mode: Mode) -> bool {
    !raw.replace.is_absent() && mode != Mode::Merge
}

fn is_keyed(mode: Mode) -> bool {
    matches!(mode, Mode::Upsert | Mode::Update)
}

fn deletes(raw: &RawTable, mode: Mode, database: Option<Database>, problems: &mut Problems) -> Option<Deletes> {
    let given = match &raw.deletes {
        Setting::Absent if is_keyed(mode) || replaces(raw, mode) => return Some(Deletes::Hard),
        Setting::Absent => return Some(Deletes::Ignore),
        Setting::Broken => return None,
        Setting::Given(given) => given,
    };
    let deletes = match given.value.as_str() {
        "hard" => Deletes::Hard,
        "ignore" => Deletes::Ignore,
        text => match text.strip_prefix("soft(").and_then(|rest| rest.strip_suffix(')')).map(str::trim) {
            Some(column) if identifier(column, database).is_ok() => Deletes::Soft(column.to_owned()),
            _ => {
                let cure = match nearest(text, ["hard", "soft", "ignore"]) {
                    _ if text.starts_with("soft") => {
                        "write \"soft(deleted_at)\" with the column that marks the row".to_owned()
                    }
                    Some("soft") | None => "write \"hard\", \"soft(deleted_at)\" or \"ignore\"".to_owned(),
                    Some(near) => format!("write \"{near}\""),
                };
                let what = format!("`table.deletes` cannot be {}", given.shown());
                let problem = Problem::new(&given.place, Rule::Value, what, cure);
                problems.push(problem.allowed("hard, soft(column), ignore"));
                return None;
            }
        },
    };
    // What a merge says of deletes is told with the rest of it.
    if deletes != Deletes::Ignore && mode != Mode::Merge {
        let what = match mode {
            _ if replaces(raw, mode) => return Some(deletes),
            Mode::Append => "`table.deletes` needs a key, and mode = \"append\" has none",
            Mode::InsertIgnore if raw.key.is_absent() => "`table.deletes` needs a key that says which row goes",
            _ => return Some(deletes),
        };
        let cure = "write key = [\"..\"] and mode = \"upsert\", or deletes = \"ignore\"";
        problems.push(Problem::new(&given.key, Rule::Contradiction, what, cure));
    }
    Some(deletes)
}

/// What `sql` and `filtered` say; what the statement itself says is planned later.
fn statement(raw: &RawTable, mode: Mode, deletes: Option<&Deletes>, problems: &mut Problems) {
    if let Some(given) = raw.sql.given().filter(|given| given.value.trim().is_empty()) {
        let cure = "write a SELECT over input, or remove it: the record's fields then go to the columns of their names";
        problems.push(Problem::new(&given.place, Rule::Missing, "`table.sql` is empty", cure));
    }
    let Some(given) = raw.filtered.given().filter(|given| given.value == Filtered::Delete) else { return };
    if raw.sql.is_absent() {
        let what = "`filtered` has no effect without `sql`, whose WHERE leaves rows out";
        problems.push(Problem::new(&given.key, Rule::Contradiction, what, "remove it, or write `sql`"));
    } else if !is_keyed(mode) && !replaces(raw, mode) {
        let what = "filtered = \"delete\" deletes by the key, which this mode does not change rows by";
        let cure = "remove it, or write mode = \"upsert\"";
        problems.push(Problem::new(&given.key, Rule::Contradiction, what, cure));
    } else if deletes == Some(&Deletes::Ignore) {
        let what = "filtered = \"delete\" has no effect with deletes = \"ignore\"";
        problems.push(Problem::new(&given.key, Rule::Contradiction, what, "remove one of them"));
    }
}

/// What the settings of one table say about each other.
fn relations(
    raw: &RawTable,
    mode: Mode,
    key: &[String],
    deletes: Option<&Deletes>,
    database: Option<Database>,
    problems: &mut Problems,
) {
    if mode == Mode::Merge {
        return;
    }
    let adds = match mode {
        Mode::Append => "append",
        _ => "insert-ignore",
    };
    if let Some(given) = raw.version.given() {
        if !is_keyed(mode) {
            let what = format!("`version` has no effect with mode = \"{adds}\", which changes no row");
            let cure = "remove it, or write mode = \"upsert\"";
            problems.push(Problem::new(&given.key, Rule::Contradiction, what, cure));
        }
        if identifier(&given.value, database).is_err() {
            let what = format!("`table.version` cannot be {}", given.shown());
            problems.push(Problem::new(&given.place, Rule::Value, what, "write a column's name"));
        }
        if key.contains(&given.value) {
            let what =
                format!("the version column {} is part of the key, so no row ever has two versions", given.shown());
            problems.push(Problem::new(&given.place, Rule::Contradiction, what, "write a column that is not in `key`"));
        }
    }
    if let (Some(given), false) = (raw.missing.given().filter(|given| given.value == Missing::Keep), is_keyed(mode)) {
        let what = format!("missing = \"keep\" has no effect with mode = \"{adds}\", which changes no row");
        let cure = "write missing = \"null\" or \"default\", or mode = \"upsert\"";
        problems.push(Problem::new(&given.key, Rule::Contradiction, what, cure));
    }
    if let (Some(Deletes::Soft(column)), Some(given)) = (deletes, raw.deletes.given()) {
        let taken = if key.contains(column) {
            "part of the key"
        } else if raw.version.value() == Some(column) {
            "the version column"
        } else {
            return;
        };
        let shown = if given.hidden { String::new() } else { format!(" \"{}\"", printable(column)) };
        let what = format!("the column{shown} that marks deleted rows is {taken}");
        problems.push(Problem::new(&given.place, Rule::Contradiction, what, "write a column of its own for the mark"));
    }
}
