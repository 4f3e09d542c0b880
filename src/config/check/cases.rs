//! `[[test]]`.

mod events;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::config::cases::{Expect, RawCase, RawCaseRecord, RawExpected, RawRow};
use crate::config::columns::Json;
use crate::config::problem::{Place, Problem, Problems, Rule, nearest, printable};
use crate::config::read::{Given, Setting};
use crate::config::{
    Case, CaseLookup, CaseRecord, Deletes, ExpectedCell, ExpectedRow, ExpectedTable, Lookup, Table, Topic, Topics,
};

/// Where refused records are expected.
const DEAD_LETTERS: &str = "dead_letters";

/// How a name under `expect` says that it is a topic's.
pub(super) const TOPIC: &str = "topic:";

/// What can be asked of a refused record.
pub const DEAD_LETTER_COLUMNS: [&str; 10] =
    ["topic", "partition", "offset", "key", "value", "stage", "class", "code", "reason", "column"];

/// What of the file the cases speak of; `None` where it is not known.
#[derive(Clone, Copy)]
pub struct Known<'a> {
    /// The topics that are read.
    pub sources: Option<&'a Topics>,
    pub tables: Option<&'a [Table]>,
    /// The topics that are written to.
    pub topics: Option<&'a [Topic]>,
    pub lookups: Option<&'a [Lookup]>,
}

/// The cases, where the rest of the file is known.
pub fn cases(given: &Setting<Vec<Given<RawCase>>>, known: Known<'_>, problems: &mut Problems) -> Option<Vec<Case>> {
    let given = match given {
        Setting::Absent => return Some(Vec::new()),
        Setting::Broken => return None,
        Setting::Given(given) => given,
    };
    let mut seen = BTreeSet::new();
    for name in given.value.iter().filter_map(|case| case.value.name.given()) {
        if !seen.insert(&name.value) {
            let what = format!("there are two cases with the name {}", name.shown());
            problems.push(Problem::new(&name.place, Rule::Contradiction, what, "give each a name of its own"));
        }
    }
    let cases: Vec<Option<Case>> =
        given.value.iter().map(|raw| case(&raw.value, &raw.place, known, problems)).collect();
    cases.into_iter().collect()
}

fn case(raw: &RawCase, section: &Place, known: Known<'_>, problems: &mut Problems) -> Option<Case> {
    let name = raw.name.required(section, "test.name", "write name = \"..\" under [[test]]", problems);
    let cure = "write the records: input = [{ key = \"7\", value = { id = 7 } }]";
    let input = raw.input.required(section, "test.input", cure, problems);
    let input = input.and_then(|given| records(&given.value, known.sources?, problems));
    let cure = "write each table with its rows: expect = { orders = [{ order_id = 7 }] }";
    let expect = raw.expect.required(section, "test.expect", cure, problems);
    let (expect, tables, topics) = (expect?, known.tables?, known.topics?);
    let mut expected = Some((Vec::new(), Vec::new(), Vec::new()));
    for output in &expect.value.0 {
        let Some((of_tables, of_topics, dead_letters)) = &mut expected else { break };
        let Given { value: RawExpected { output: name, rows }, key, .. } = output;
        if name == DEAD_LETTERS {
            match rows.iter().map(|given| dead_letter(given, problems)).collect::<Option<Vec<_>>>() {
                Some(rows) => *dead_letters = rows,
                None => expected = None,
            }
            continue;
        }
        match output_of(name, key, tables, topics, problems) {
            Some(Output::Table(table, routed)) => match rows.iter().map(|given| row(given, problems)).collect() {
                Some(rows) => of_tables.push(ExpectedTable { table, routed, rows }),
                None => expected = None,
            },
            Some(Output::Topic(topic)) => match events::expected(topic, &topics[topic], rows, problems) {
                Some(events) => of_topics.push(events),
                None => expected = None,
            },
            None => expected = None,
        }
    }
    let lookups = match &raw.lookup {
        Setting::Absent => Some(Vec::new()),
        setting => setting.given().zip(known.lookups).and_then(|(given, lookups)| of_lookups(given, lookups, problems)),
    };
    let (of_tables, of_topics, dead_letters) = expected?;
    let input = input?;
    deletable(&input, raw, &of_tables, tables, problems);
    Some(Case {
        name: name?.value.clone(),
        input,
        tables: of_tables,
        topics: of_topics,
        dead_letters,
        lookups: lookups?,
    })
}

enum Output {
    /// With the name of one of its tables, where its own has a placeholder.
    Table(usize, Option<String>),
    Topic(usize),
}

fn table_of(name: &str, tables: &[Table]) -> Option<Output> {
    let fixed = tables.iter().position(|table| table.route.is_none() && table.name == name);
    if let Some(table) = fixed {
        return Some(Output::Table(table, None));
    }
    tables.iter().enumerate().find_map(|(index, table)| {
        let route = table.route.as_ref()?;
        let bare = match &route.schema {
            Some(schema) => name.strip_prefix(schema.as_str())?.strip_prefix('.')?,
            None => name,
        };
        route.admits(bare).then(|| Output::Table(index, Some(bare.to_owned())))
    })
}

fn output_of(name: &str, place: &Place, tables: &[Table], topics: &[Topic], problems: &mut Problems) -> Option<Output> {
    let found = match name.strip_prefix(TOPIC) {
        Some(name) => topics.iter().position(|topic| topic.name == name).map(Output::Topic),
        None => table_of(name, tables),
    };
    if found.is_none() {
        let names: Vec<String> = (tables.iter().map(|table| table.name.clone()))
            .chain(topics.iter().map(|topic| format!("{TOPIC}{}", topic.name)))
            .chain([DEAD_LETTERS.to_owned()])
            .collect();
        let (kind, section) = if name.starts_with(TOPIC) { ("topic", "[[topic]]") } else { ("table", "[[table]]") };
        let what = format!("`test.expect` names `{}`, which is no {kind} of this pipeline", printable(name));
        let is_topic = |full: &&String| full.strip_prefix(TOPIC) == Some(name);
        let near = names.iter().find(is_topic).map(String::as_str);
        let cure = match near.or_else(|| nearest(name, names.iter().map(String::as_str))) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("write the `name` of a {section}"),
        };
        problems.push(Problem::new(place, Rule::Value, what, cure).allowed(names.join(", ")));
    }
    found
}

/// The rows of lookups.
fn of_lookups(given: &Given<Expect>, lookups: &[Lookup], problems: &mut Problems) -> Option<Vec<CaseLookup>> {
    let before = problems.len();
    let mut found = Vec::new();
    for Given { value: RawExpected { output: name, rows }, key, .. } in &given.value.0 {
        let Some(lookup) = lookups.iter().position(|lookup| lookup.name == *name) else {
            let names = || lookups.iter().map(|lookup| lookup.name.as_str());
            let what = format!("`test.lookup` names `{}`, which is no lookup of this pipeline", printable(name));
            let cure = match nearest(name, names()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "write the `name` of a [[lookup]]".to_owned(),
            };
            let allowed = names().collect::<Vec<_>>().join(", ");
            problems.push(Problem::new(key, Rule::Value, what, cure).allowed(allowed));
            continue;
        };
        let columns = lookups[lookup].columns();
        let cell = |(column, cell): &(String, Given<Json>)| {
            if !columns.is_empty() && columns.iter().all(|known| known.name != *column) {
                let what = format!("lookup {name} has no column `{}`", printable(column));
                let names = columns.iter().map(|known| known.name.as_str());
                let cure = match nearest(column, names) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => "add it to `columns` of the [[lookup]], or leave it out".to_owned(),
                };
                problems.push(Problem::new(&cell.key, Rule::UnknownKey, what, cure));
            }
            (column.clone(), text(&cell.value.0))
        };
        let mut cell = cell;
        let rows = rows.iter().map(|row| row.value.0.iter().map(&mut cell).collect()).collect();
        found.push(CaseLookup { lookup, rows });
    }
    (problems.len() == before).then_some(found)
}

fn row(given: &Given<RawRow>, problems: &mut Problems) -> Option<ExpectedRow> {
    let mut row = ExpectedRow { columns: Vec::new(), is_delete: false };
    for (column, cell) in &given.value.0 {
        let Json(value) = &cell.value;
        let mut wrong = |what: &str, cure: &str| {
            problems.push(Problem::new(&cell.place, Rule::Value, what, cure));
        };
        match (column.as_str(), value) {
            ("_op", Value::String(op)) if op == "delete" || op == "upsert" => row.is_delete = op == "delete",
            ("_op", _) => {
                wrong("`_op` is what the row does", "write _op = \"delete\", or leave it out: a row is an upsert");
                return None;
            }
            ("_null", Value::Array(names)) if names.iter().all(Value::is_string) => {
                row.columns.extend(names.iter().filter_map(Value::as_str).map(|name| null(name, &cell.place)));
            }
            ("_null", _) => {
                wrong("`_null` is the list of columns that must be null", "write _null = [\"city\"]");
                return None;
            }
            _ => {
                row.columns.push(ExpectedCell { column: column.clone(), place: cell.key.clone(), value: value.clone() })
            }
        }
    }
    Some(row)
}

fn null(column: &str, place: &Place) -> ExpectedCell {
    ExpectedCell { column: column.to_owned(), place: place.clone(), value: Value::Null }
}

fn dead_letter(given: &Given<RawRow>, problems: &mut Problems) -> Option<ExpectedRow> {
    let row = row(given, problems)?;
    for cell in row.columns.iter().filter(|cell| !DEAD_LETTER_COLUMNS.contains(&cell.column.as_str())) {
        let what = format!("dead letters have no `{}`", printable(&cell.column));
        let cure = match nearest(&cell.column, DEAD_LETTER_COLUMNS) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "remove it".to_owned(),
        };
        let problem = Problem::new(&cell.place, Rule::UnknownKey, what, cure);
        problems.push(problem.allowed(DEAD_LETTER_COLUMNS.join(", ")));
    }
    Some(row)
}

fn records(given: &[Given<RawCaseRecord>], topics: &Topics, problems: &mut Problems) -> Option<Vec<CaseRecord>> {
    // The next offset of each partition.
    let mut ends: BTreeMap<(String, i32), i64> = BTreeMap::new();
    let records: Vec<Option<CaseRecord>> =
        given.iter().map(|given| record(&given.value, topics, &mut ends, problems)).collect();
    records.into_iter().collect()
}

fn record(
    raw: &RawCaseRecord,
    topics: &Topics,
    ends: &mut BTreeMap<(String, i32), i64>,
    problems: &mut Problems,
) -> Option<CaseRecord> {
    let topic = topic(&raw.topic, topics, problems)?;
    let number = |setting: &Setting<i128>, option: &str, most: i64, problems: &mut Problems| match setting {
        Setting::Absent => Some(None),
        setting => {
            let given = setting.given()?;
            let number = i64::try_from(given.value).ok().filter(|number| (0..=most).contains(number));
            if number.is_none() {
                let what = format!("`{option}` cannot be {}", given.value);
                let cure = format!("write a number from 0 to {most}");
                problems.push(Problem::new(&given.place, Rule::Bounds, what, cure));
            }
            number.map(Some)
        }
    };
    let partition = number(&raw.partition, "test.input.partition", i64::from(i32::MAX), problems)?.unwrap_or(0) as i32;
    let offset = number(&raw.offset, "test.input.offset", i64::MAX - 1, problems)?;
    let end = ends.entry((topic.clone(), partition)).or_insert(0);
    let offset = offset.unwrap_or(*end);
    if let Some(given) = raw.offset.given().filter(|_| offset < *end) {
        let what = format!("`test.input.offset` {offset} comes after offset {} of the same partition", *end - 1);
        problems.push(Problem::new(&given.place, Rule::Contradiction, what, "write rising offsets, or none"));
        return None;
    }
    *end = offset + 1;
    let text = |setting: &Setting<Json>| setting.value().map(|Json(value)| text(value));
    Some(CaseRecord {
        topic,
        partition,
        offset,
        timestamp: timestamp(&raw.timestamp, problems)?,
        key: text(&raw.key),
        value: text(&raw.value),
        headers: headers(&raw.headers, problems)?,
    })
}

/// A text as it is, anything else as JSON.
fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn topic(setting: &Setting<String>, topics: &Topics, problems: &mut Problems) -> Option<String> {
    let given = match setting {
        Setting::Absent => {
            let first = topics.names().first();
            return Some(first.cloned().unwrap_or_else(|| "topic".to_owned()));
        }
        setting => setting.given()?,
    };
    let names = topics.names();
    if !names.is_empty() && !names.contains(&given.value) {
        let what = format!("`test.input.topic` {} is no topic of this pipeline", given.shown());
        let near = nearest(&given.value, names.iter().map(String::as_str)).unwrap_or(&names[0]);
        let problem = Problem::new(&given.place, Rule::Value, what, format!("write topic = \"{near}\""));
        problems.push(problem.allowed(names.join(", ")));
        return None;
    }
    Some(given.value.clone())
}

/// `None`: a problem; `Some(None)`: the record has no time.
fn timestamp(setting: &Setting<Json>, problems: &mut Problems) -> Option<Option<i64>> {
    let given = match setting {
        Setting::Absent => return Some(None),
        setting => setting.given()?,
    };
    let Json(value) = &given.value;
    let time = match value {
        Value::Number(number) => number.as_i64().filter(|time| *time >= 0),
        Value::String(text) => text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_millisecond),
        _ => None,
    };
    if time.is_none() {
        let what = "`test.input.timestamp` is no time";
        let cure = "write a time such as \"2026-11-01T00:00:00Z\", or milliseconds since 1970";
        problems.push(Problem::new(&given.place, Rule::Value, what, cure));
    }
    time.map(Some)
}

fn headers(setting: &Setting<Json>, problems: &mut Problems) -> Option<Vec<(String, String)>> {
    let given = match setting {
        Setting::Absent => return Some(Vec::new()),
        setting => setting.given()?,
    };
    let Json(Value::Object(headers)) = &given.value else {
        let cure = "write names with texts: headers = { tenant = \"acme\" }";
        problems.push(Problem::new(&given.place, Rule::Type, "`test.input.headers` is no table", cure));
        return None;
    };
    Some(headers.iter().map(|(name, value)| (name.clone(), text(value))).collect())
}

/// A delete finds its row by the key, which only the file can tell here.
fn deletable(
    input: &[CaseRecord],
    raw: &RawCase,
    expected: &[ExpectedTable],
    tables: &[Table],
    problems: &mut Problems,
) {
    let Some(given) = raw.input.given().filter(|_| input.iter().any(|record| record.value.is_none())) else { return };
    for table in expected.iter().map(|expected| &tables[expected.table]) {
        if table.deletes != Deletes::Ignore && table.key.is_empty() && table.replace.is_empty() {
            let what = format!("a record without value deletes from the table {}, whose key is not known", table.name);
            let cure = "write `key` under its [[table]]: a case asks no database for the primary key";
            problems.push(Problem::new(&given.place, Rule::Missing, what, cure));
        }
    }
}
