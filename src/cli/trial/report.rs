//! What `tidegate try` shows.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::cli::show;
use crate::config::{self, CheckAction, Pipeline};
use crate::pipeline::{Tried, TriedColumn, TriedTable, TriedTopic};
use crate::records::Records;
use crate::rows::{Operation, Rows};

/// What stands for a value of [privacy].
const PRIVATE: &str = "(private)";

/// One pipeline's records and what became of them.
#[derive(Debug, Serialize)]
pub struct Report {
    pipeline: String,
    /// Each partition with the first and the last offset.
    records: Vec<Span>,
    tables: Vec<Table>,
    topics: Vec<Topic>,
    bad: Vec<Bad>,
    /// Records that a check drops.
    dropped: Vec<String>,
    /// Checks of the action `warn` with how many records violate them.
    warnings: BTreeMap<String, u64>,
}

#[derive(Debug, Serialize)]
struct Span {
    partition: String,
    first: i64,
    last: i64,
    records: usize,
}

#[derive(Debug, Serialize)]
struct Table {
    table: String,
    written: u64,
    collapsed: u64,
    stale: u64,
    unmatched: u64,
    ignored: u64,
    filtered: u64,
    expired: u64,
    replaced: u64,
    rows: Vec<Row>,
    #[serde(skip)]
    text: String,
}

#[derive(Debug, Serialize)]
struct Row {
    /// `orders-0@42`
    record: String,
    op: &'static str,
    /// Without those that the record lacks; of a delete the key.
    values: Values,
}

/// Columns in the table's order.
#[derive(Debug)]
struct Values(Vec<(String, Box<RawValue>)>);

impl Serialize for Values {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

#[derive(Debug, Serialize)]
struct Topic {
    topic: String,
    events: Vec<Event>,
    #[serde(skip)]
    text: String,
}

#[derive(Debug, Serialize)]
struct Event {
    record: String,
    key: Option<String>,
    /// `None`: a tombstone.
    value: Option<Values>,
    headers: BTreeMap<String, String>,
}

#[derive(Debug, Serialize)]
struct Bad {
    record: String,
    stage: &'static str,
    class: &'static str,
    code: String,
    column: Option<String>,
    reason: String,
}

impl Report {
    pub fn new(pipeline: &Pipeline, tried: &Tried) -> Self {
        let records = &tried.records;
        let warns = |(check, count): (&config::Check, &u64)| {
            (check.action == CheckAction::Warn && *count > 0).then(|| (check.name.clone(), *count))
        };
        let topics = pipeline.topics.iter().zip(&tried.topics);
        Self {
            pipeline: pipeline.name.clone(),
            records: spans(records),
            tables: tried.tables.iter().map(|table| Table::new(table, records)).collect(),
            topics: topics.map(|(topic, tried)| Topic::new(topic, tried, records)).collect(),
            bad: tried
                .bad
                .iter()
                .map(|(record, fault)| Bad {
                    record: place(records, *record),
                    stage: fault.stage.name(),
                    class: fault.class,
                    code: fault.code.clone(),
                    column: fault.column.clone(),
                    reason: fault.reason.clone(),
                })
                .collect(),
            dropped: tried.dropped.iter().map(|record| place(records, *record)).collect(),
            warnings: pipeline.checks.iter().zip(&tried.violations).filter_map(warns).collect(),
        }
    }

    pub fn is_right(&self) -> bool {
        self.bad.is_empty()
    }

    pub fn text(&self) -> String {
        let mut text = String::new();
        let total: usize = self.records.iter().map(|span| span.records).sum();
        let spans = self.records.iter().map(|span| format!("{}@{}..{}", span.partition, span.first, span.last));
        let spans = spans.collect::<Vec<_>>().join(", ");
        let of = if spans.is_empty() { "the topic has none here".to_owned() } else { spans };
        line(
            &mut text,
            &format!("{}: {} ({of}); everything was rolled back", self.pipeline, show::counted(total, "record")),
        );
        for table in &self.tables {
            line(&mut text, &table.text);
        }
        for topic in &self.topics {
            line(&mut text, &topic.text);
        }
        for (check, count) in &self.warnings {
            line(&mut text, &format!("\nthe check {check} warns of {}", show::counted(*count as usize, "record")));
        }
        if !self.dropped.is_empty() {
            line(&mut text, &format!("\nchecks drop {}", self.dropped.join(", ")));
        }
        if !self.bad.is_empty() {
            line(&mut text, &format!("\nbad: {}", show::counted(self.bad.len(), "record")));
            let rows = self.bad.iter().map(|bad| {
                let reason =
                    if bad.code.is_empty() { bad.reason.clone() } else { format!("{} ({})", bad.reason, bad.code) };
                vec![bad.record.clone(), bad.stage.to_owned(), bad.class.to_owned(), reason]
            });
            line(&mut text, &show::table(names(&["record", "stage", "class", "reason"]), rows));
        }
        text
    }
}

fn line(text: &mut String, what: &str) {
    writeln!(text, "{what}").expect("memory takes everything");
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn place(records: &Records, record: u32) -> String {
    let record = records.get(record as usize);
    format!("{}@{}", record.lease().partition(), record.offset())
}

/// The record of a row; one that follows from merged rows has many.
fn origin(records: &Records, rows: &Rows, row: usize, follows: bool) -> String {
    if follows { "(merged)".to_owned() } else { place(records, rows.origins[row]) }
}

fn spans(records: &Records) -> Vec<Span> {
    let mut spans: BTreeMap<String, Span> = BTreeMap::new();
    for record in records.iter() {
        let (partition, offset) = (record.lease().partition().to_string(), record.offset());
        let span =
            spans.entry(partition.clone()).or_insert(Span { partition, first: offset, last: offset, records: 0 });
        (span.last, span.records) = (offset, span.records + 1);
    }
    spans.into_values().collect()
}

fn is_delete(rows: &Rows, row: usize) -> bool {
    rows.operations[row] == Operation::Delete
}

impl Table {
    fn new(table: &TriedTable, records: &Records) -> Self {
        let rows = &table.rows;
        let crate::write::RowCounts { written, collapsed, stale, unmatched, ignored, filtered, expired, replaced } =
            table.counts;
        let values = |row: usize| {
            let shown = table.columns.iter().filter(move |column| {
                if is_delete(rows, row) { column.is_key } else { rows.is_present(column.index, row) }
            });
            shown.map(move |column| (column.name.clone(), as_json(column, rows, row)))
        };
        let row = |row: usize| Row {
            record: origin(records, rows, row, table.follows),
            op: if is_delete(rows, row) { "delete" } else { "upsert" },
            values: Values(values(row).collect()),
        };
        Self {
            table: table.name.clone(),
            written,
            collapsed,
            stale,
            unmatched,
            ignored,
            filtered,
            expired,
            replaced,
            rows: (0..rows.len()).map(row).collect(),
            text: table_text(table, records),
        }
    }
}

fn table_text(table: &TriedTable, records: &Records) -> String {
    let rows = &table.rows;
    let counts = table.counts;
    let fates = [
        (counts.written, "written"),
        (counts.collapsed, "collapsed"),
        (counts.stale, "stale"),
        (counts.unmatched, "unmatched"),
        (counts.ignored, "ignored"),
        (counts.filtered, "filtered"),
        (counts.expired, "expired"),
        (counts.replaced, "replaced"),
    ];
    let fates = fates.iter().filter(|(count, _)| *count > 0).map(|(count, fate)| format!("{count} {fate}"));
    let fates = fates.collect::<Vec<_>>().join(", ");
    let head = format!("\ntable {}: {}", table.name, show::counted(rows.len(), "row"));
    let head = if fates.is_empty() { head } else { format!("{head} ({fates})") };
    if rows.is_empty() {
        return head;
    }
    let has_deletes = rows.operations.contains(&Operation::Delete);
    let mut header = vec!["record".to_owned()];
    header.extend(has_deletes.then(|| "op".to_owned()));
    header.extend(table.columns.iter().map(|column| show::shortened(&column.name)));
    let cells = (0..rows.len()).map(|row| {
        let mut cells = vec![origin(records, rows, row, table.follows)];
        cells.extend(has_deletes.then(|| if is_delete(rows, row) { "delete" } else { "upsert" }.to_owned()));
        cells.extend(table.columns.iter().map(|column| match is_delete(rows, row) {
            true if !column.is_key => String::new(),
            false if !rows.is_present(column.index, row) => "(absent)".to_owned(),
            _ if column.is_private => PRIVATE.to_owned(),
            _ => show::cell(&column.ty, rows.batch.column(column.index), row),
        }));
        cells
    });
    format!("{head}\n{}", show::table(header, cells))
}

impl Topic {
    fn new(topic: &config::Topic, tried: &TriedTopic, records: &Records) -> Self {
        let rows = &tried.events.rows;
        let events = tried.events.events.iter().enumerate().map(|(row, event)| Event {
            record: origin(records, rows, row, tried.follows),
            key: event.key.as_deref().map(|key| match topic.key.iter().any(|name| tried.private.contains(name)) {
                true => PRIVATE.to_owned(),
                false => String::from_utf8_lossy(key).into_owned(),
            }),
            value: event.value.as_ref().map(|_| {
                let value = |column: &TriedColumn| (column.name.clone(), as_json(column, rows, row));
                Values(tried.columns.iter().map(value).collect())
            }),
            headers: event
                .headers
                .iter()
                .map(|(name, value)| (name.clone(), header(topic, tried, name, value)))
                .collect(),
        });
        let events: Vec<Event> = events.collect();
        let head = format!("\ntopic {}: {}", topic.name, show::counted(events.len(), "event"));
        let cells = events.iter().map(|event| {
            let headers = event.headers.iter().map(|(name, value)| format!("{name}={value}"));
            let value = event.value.as_ref().map(|value| serde_json::to_string(value).expect("JSON"));
            vec![
                event.record.clone(),
                event.key.as_deref().map_or("(none)".to_owned(), show::shortened),
                value.as_deref().map_or("(tombstone)".to_owned(), show::shortened),
                show::shortened(&headers.collect::<Vec<_>>().join(" ")),
            ]
        });
        let text = match events.is_empty() {
            true => head,
            false => format!("{head}\n{}", show::table(names(&["record", "key", "value", "headers"]), cells)),
        };
        Self { topic: topic.name.clone(), events, text }
    }
}

fn header(topic: &config::Topic, tried: &TriedTopic, name: &str, value: &[u8]) -> String {
    let column = topic.headers.iter().find(|(header, _)| header == name).map(|(_, column)| column);
    match column.is_some_and(|column| tried.private.contains(column)) {
        true => PRIVATE.to_owned(),
        false => String::from_utf8_lossy(value).into_owned(),
    }
}

fn as_json(column: &TriedColumn, rows: &Rows, row: usize) -> Box<RawValue> {
    match column.is_private {
        true => RawValue::from_string(format!("\"{PRIVATE}\"")).expect("a text is JSON"),
        false => show::json(&column.ty, rows.batch.column(column.index), row),
    }
}
