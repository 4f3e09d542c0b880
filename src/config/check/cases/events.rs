//! What a case expects of a `[[topic]]`.

use serde_json::Value;

use crate::config::cases::RawRow;
use crate::config::columns::Json;
use crate::config::problem::{Problem, Problems, Rule};
use crate::config::read::Given;
use crate::config::{ExpectedCell, ExpectedEvent, ExpectedRow, ExpectedTopic, Topic, TopicDeletes};

use super::{null, text};

pub fn expected(topic: usize, of: &Topic, rows: &[Given<RawRow>], problems: &mut Problems) -> Option<ExpectedTopic> {
    let events: Vec<Option<ExpectedEvent>> = rows.iter().map(|row| event(of, row, problems)).collect();
    Some(ExpectedTopic { topic, events: events.into_iter().collect::<Option<_>>()? })
}

fn event(topic: &Topic, given: &Given<RawRow>, problems: &mut Problems) -> Option<ExpectedEvent> {
    let before = problems.len();
    let row = ExpectedRow { columns: Vec::new(), is_delete: false };
    let mut event = ExpectedEvent { row, key: None, headers: Vec::new(), is_tombstone: false };
    for (name, cell) in &given.value.0 {
        let Json(value) = &cell.value;
        let mut wrong = |what: &str, cure: &str| {
            problems.push(Problem::new(&cell.place, Rule::Value, what, cure));
        };
        match (name.as_str(), value) {
            ("_op", Value::String(op)) if op == "upsert" => {}
            ("_op", Value::String(op)) if op == "tombstone" && topic.deletes == TopicDeletes::Tombstone => {
                event.is_tombstone = true;
            }
            ("_op", Value::String(op)) if op == "tombstone" => {
                let what = format!("the topic {} gets no tombstones", topic.name);
                wrong(&what, "write deletes = \"tombstone\" under its [[topic]], or leave the event out");
            }
            ("_op", _) => wrong(
                "`_op` is what the event is",
                "write _op = \"tombstone\", or leave it out: the event then has a value",
            ),
            ("_key", value) => event.key = Some(Some(value.clone())),
            ("_headers", Value::Object(headers)) => {
                event.headers = headers.iter().map(|(name, value)| (name.clone(), text(value))).collect();
            }
            ("_headers", _) => {
                wrong("`_headers` is no table", "write names with texts: _headers = { tenant = \"acme\" }")
            }
            ("_null", Value::Array(names)) if names.iter().all(Value::is_string) => {
                for name in names.iter().filter_map(Value::as_str) {
                    match name {
                        "_key" => event.key = Some(None),
                        name => event.row.columns.push(null(name, &cell.place)),
                    }
                }
            }
            ("_null", _) => {
                wrong("`_null` is the list of columns that must be null", "write _null = [\"city\"]");
            }
            _ => event.row.columns.push(ExpectedCell {
                column: name.clone(),
                place: cell.key.clone(),
                value: value.clone(),
            }),
        }
    }
    if let (true, Some(cell)) = (event.is_tombstone, event.row.columns.first()) {
        let what = format!("a tombstone has no value, so no `{}`", cell.column);
        let cure = "name its `_key` and `_headers` alone";
        problems.push(Problem::new(&cell.place, Rule::Contradiction, what, cure));
    }
    (problems.len() == before).then_some(event)
}
