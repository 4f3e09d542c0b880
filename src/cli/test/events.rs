//! The events of a topic against the expected ones.

use serde_json::Value;

use crate::config::{ExpectedEvent, ExpectedTopic, Problem, Problems, Rule, Topic};
use crate::pipeline::RehearsedColumn;
use crate::produce::Event;

use super::compare::{Difference, Table, cells_of, counts, unknown_column, whole};

/// `values`: what the values of `events` were made of, row by row.
pub fn differences(values: &Table<'_>, events: &[Event], expected: &[ExpectedEvent]) -> Vec<Difference> {
    let mut differences = counts(values.name, "event", expected.len(), events.len());
    for (index, wanted) in expected.iter().enumerate() {
        match events.get(index) {
            Some(event) => differences.extend(of_event(values, index, event, wanted)),
            None => differences.push(whole(values.name, index, as_expected(wanted), "no event".to_owned())),
        }
    }
    for (index, event) in events.iter().enumerate().skip(expected.len()) {
        differences.push(whole(values.name, index, "no event".to_owned(), as_found(values, index, event)));
    }
    differences
}

fn of_event(values: &Table<'_>, index: usize, event: &Event, wanted: &ExpectedEvent) -> Vec<Difference> {
    let mut differences = Vec::new();
    if let Some(key) = &wanted.key
        && !is_key(event.key.as_deref(), key.as_ref())
    {
        let expected = key.as_ref().map_or("no key".to_owned(), Value::to_string);
        let found = event.key.as_deref().map_or("no key".to_owned(), quoted);
        differences.push(values.at(index, "_key", expected, found));
    }
    for (name, text) in &wanted.headers {
        let found = event.headers.iter().find(|(header, _)| header == name).map(|(_, value)| value.as_slice());
        if found != Some(text.as_bytes()) {
            let found = found.map_or("no such header".to_owned(), quoted);
            differences.push(values.at(
                index,
                &format!("_headers.{name}"),
                Value::from(text.as_str()).to_string(),
                found,
            ));
        }
    }
    if wanted.is_tombstone == event.value.is_none() {
        differences.extend(values.cells(index, &wanted.row.columns));
    } else {
        let word = |is_tombstone| if is_tombstone { "tombstone" } else { "upsert" }.to_owned();
        differences.push(values.at(index, "_op", word(wanted.is_tombstone), word(event.value.is_none())));
    }
    differences
}

/// A text is compared as it is, anything else as JSON.
fn is_key(found: Option<&[u8]>, wanted: Option<&Value>) -> bool {
    match (found, wanted) {
        (None, None) => true,
        (Some(found), Some(Value::String(text))) => found == text.as_bytes(),
        (Some(found), Some(value)) => serde_json::from_slice::<Value>(found).is_ok_and(|found| found == *value),
        _ => false,
    }
}

fn quoted(bytes: &[u8]) -> String {
    Value::from(String::from_utf8_lossy(bytes)).to_string()
}

/// As the file writes it.
fn as_expected(event: &ExpectedEvent) -> String {
    let mut parts = Vec::new();
    if event.is_tombstone {
        parts.push("_op = \"tombstone\"".to_owned());
    }
    if let Some(key) = &event.key {
        parts.push(format!("_key = {}", key.as_ref().map_or("NULL".to_owned(), Value::to_string)));
    }
    if !event.headers.is_empty() {
        let headers = event.headers.iter().map(|(name, text)| format!("{name} = {}", Value::from(text.as_str())));
        parts.push(format!("_headers = {{ {} }}", headers.collect::<Vec<_>>().join(", ")));
    }
    parts.extend(cells_of(&event.row));
    format!("{{ {} }}", parts.join(", "))
}

fn as_found(values: &Table<'_>, index: usize, event: &Event) -> String {
    let mut parts = Vec::new();
    if event.value.is_none() {
        parts.push("_op = \"tombstone\"".to_owned());
    }
    if let Some(key) = &event.key {
        parts.push(format!("_key = {}", quoted(key)));
    }
    if event.value.is_some() {
        parts.extend(values.shown_cells(index));
    }
    format!("{{ {} }}", parts.join(", "))
}

/// Columns that the events' values do not have.
pub fn unknown_columns(topic: &Topic, columns: &[RehearsedColumn], expected: &ExpectedTopic, problems: &mut Problems) {
    for cell in expected.events.iter().flat_map(|event| &event.row.columns) {
        if columns.iter().any(|column| column.name == cell.column) {
            continue;
        }
        match topic.headers.iter().find(|(_, column)| *column == cell.column) {
            Some((header, column)) => {
                let what = format!("`{column}` is the header {header} of topic {}, and not in its value", topic.name);
                let cure = format!("write _headers = {{ {header} = \"..\" }}");
                problems.push(Problem::new(&cell.place, Rule::Value, what, cure));
            }
            None => problems.push(unknown_column(&format!("topic {}", topic.name), columns, cell)),
        }
    }
}
