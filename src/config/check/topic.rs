//! `[[topic]]`.

use std::collections::BTreeSet;

use regex::Regex;

use crate::config::problem::{Place, Problem, Problems, Rule};
use crate::config::raw::RawTopic;
use crate::config::read::Given;
use crate::config::{Source, Sql, Topic, TopicDeletes, Topics};

use super::source::is_kafka_name;

/// The header that every event has.
const OURS: &str = "tidegate-source";

pub fn topics(
    given: Option<&Given<Vec<Given<RawTopic>>>>,
    source: Option<&Source>,
    problems: &mut Problems,
) -> Option<Vec<Topic>> {
    let Some(given) = given else { return Some(Vec::new()) };
    let mut seen = BTreeSet::new();
    for topic in given.value.iter().filter_map(|topic| topic.value.name.given()) {
        if !seen.insert(&topic.value) {
            let what = format!("the topic {} is written twice", topic.shown());
            let cure = "keep one: a reader could not tell their events apart";
            problems.push(Problem::new(&topic.place, Rule::Contradiction, what, cure));
        }
    }
    let checked: Vec<Option<Topic>> =
        given.value.iter().map(|raw| topic(&raw.value, &raw.place, source, problems)).collect();
    checked.into_iter().collect()
}

fn topic(raw: &RawTopic, section: &Place, source: Option<&Source>, problems: &mut Problems) -> Option<Topic> {
    let before = problems.len();
    let name = raw.name.required(section, "topic.name", "write name = \"..\" under [[topic]]", problems);
    if let Some(given) = name {
        writable(given, &given.value, "its events", source, problems);
    }
    let key = raw.key.value().map_or(&[][..], |columns| &columns.0);
    let headers = raw.headers.value().map_or(&[][..], |headers| &headers.0);
    self::key(raw, key, problems);
    for (header, column) in headers {
        let fault = match header.as_str() {
            "" => Some(("a header of `topic.headers` has no name".to_owned(), "write a name")),
            OURS => Some((format!("the header `{OURS}` is Tidegate's own"), "write another name")),
            _ if column.value.is_empty() => {
                Some(("a header of `topic.headers` has no column".to_owned(), "write the column's name"))
            }
            _ => None,
        };
        if let Some((what, cure)) = fault {
            problems.push(Problem::new(&column.key, Rule::Value, what, cure));
        }
    }
    let deletes = raw.deletes.value().copied().unwrap_or(TopicDeletes::Ignore);
    if let (TopicDeletes::Tombstone, true, Some(given)) = (deletes, raw.key.is_absent(), raw.deletes.given()) {
        let what = "deletes = \"tombstone\" needs a key: a tombstone is nothing else";
        let cure = "write key = \"..\" with the column that tells the events apart, or deletes = \"ignore\"";
        problems.push(Problem::new(&given.key, Rule::Contradiction, what, cure));
    }
    let sql = statement(raw, section, source, problems);
    if problems.len() > before {
        return None;
    }
    Some(Topic {
        name: name?.value.clone(),
        key: key.iter().map(|column| column.value.clone()).collect(),
        headers: headers.iter().map(|(header, column)| (header.clone(), column.value.clone())).collect(),
        sql,
        deletes,
        from: None,
        place: section.clone(),
    })
}

/// Can the topic be written to? `what` would come round again where the pipeline itself reads it.
pub(super) fn writable(
    given: &Given<String>,
    name: &str,
    what: &str,
    source: Option<&Source>,
    problems: &mut Problems,
) {
    if !is_kafka_name(name) {
        let what = format!("{} is no topic's name", given.shown());
        let problem = Problem::new(&given.place, Rule::Value, what, "write the topic's name as Kafka has it");
        problems.push(problem.allowed("1 to 249 characters of A-Z a-z 0-9 . _ -, not . or .."));
        return;
    }
    let (is_read, cure) = match source.map(|source| &source.topics) {
        Some(Topics::List(names)) => {
            (names.iter().any(|read| read == name), "write another topic, or read another one")
        }
        Some(Topics::Pattern(pattern)) => (
            Regex::new(pattern).is_ok_and(|pattern| pattern.is_match(name)),
            "write a topic that source.pattern does not match, or narrow the pattern",
        ),
        None => return,
    };
    if is_read {
        let what = format!("the pipeline itself reads the topic {}: {what} would go round for ever", given.shown());
        problems.push(Problem::new(&given.place, Rule::Contradiction, what, cure));
    }
}

fn key(raw: &RawTopic, key: &[Given<String>], problems: &mut Problems) {
    if let (Some(given), []) = (raw.key.given(), key) {
        let cure = "name the key's columns, or remove it: the events then have no key";
        problems.push(Problem::new(&given.place, Rule::Missing, "`topic.key` is empty", cure));
    }
    let mut seen = BTreeSet::new();
    for column in key {
        if column.value.is_empty() {
            let cure = "write the column's name";
            problems.push(Problem::new(&column.place, Rule::Value, "`topic.key` has an empty name", cure));
        } else if !seen.insert(&column.value) {
            let what = format!("the key column {} is listed twice", column.shown());
            problems.push(Problem::new(&column.place, Rule::Contradiction, what, "list it once"));
        }
    }
}

/// The statement; without one, all columns of the input, whose types must be known then.
fn statement(raw: &RawTopic, section: &Place, source: Option<&Source>, problems: &mut Problems) -> Sql {
    if let Some(given) = raw.sql.given() {
        if given.value.trim().is_empty() {
            let cure = "write a SELECT over input, or remove it: the event then has all columns of [source.columns]";
            problems.push(Problem::new(&given.place, Rule::Missing, "`topic.sql` is empty", cure));
        }
        return Sql { text: given.value.clone(), place: given.text.clone() };
    }
    if let Some(source) = source.filter(|_| raw.sql.is_absent() && raw.from.is_absent()) {
        let untyped = source.columns.iter().find(|column| column.ty.is_none());
        let what = match untyped {
            _ if source.columns.is_empty() => Some("the events of the topic have no columns".to_owned()),
            Some(column) => Some(format!("the events' column `{}` has no type", column.name)),
            None => None,
        };
        if let Some(what) = what {
            let cure = "write the columns with their types in [source.columns]: order_id = \"bigint\"";
            problems.push(Problem::new(section, Rule::Missing, what, cure));
        }
    }
    Sql { text: "SELECT * FROM input".to_owned(), place: section.clone() }
}
