//! `[source]`.

use std::collections::{BTreeMap, BTreeSet};

use regex::Regex;

use crate::config::problem::{Place, Problem, Problems, Rule, nearest};
use crate::config::raw::RawSource;
use crate::config::read::{Given, Setting};
use crate::config::{Format, GroupProtocol, Instance, KeyFormat, LostPosition, Secret, Source, Start, Topics, kafka};

use super::columns;

/// Kafka's limit for the names of topics and of static members.
const LONGEST_KAFKA_NAME: usize = 249;

/// Kafka sets none; what is longer is a pasted file.
const LONGEST_GROUP: usize = 255;

pub fn source(
    given: &Given<RawSource>,
    pipeline: Option<&str>,
    literal: &mut Vec<String>,
    problems: &mut Problems,
) -> Option<Source> {
    let raw = &given.value;
    let brokers = brokers(&raw.brokers, &given.place, problems);
    let topics = topics(raw, &given.place, problems);
    let group = match &raw.group {
        Setting::Absent => pipeline.map(|name| format!("tidegate-{name}")),
        group => group.given().and_then(|given| self::group(given, problems)),
    };
    let start = match raw.start.given() {
        Some(given) => start(given, problems),
        None => Some(Start::Earliest),
    };
    let instance = match raw.instance.given() {
        Some(given) => instance(given, problems),
        None => Some(Instance::Auto),
    };
    let timezone = raw.timezone.given().and_then(|given| timezone(given, problems));
    let key_format = raw.key_format.value().copied().unwrap_or(KeyFormat::Text);
    let columns = match raw.columns.value() {
        Some(written) => columns::columns(written, &raw.key_format, timezone.as_deref(), problems),
        None => Vec::new(),
    };
    let protocol = raw.protocol.value().copied().unwrap_or(GroupProtocol::Classic);
    let properties = properties(raw, protocol, literal, problems);
    Some(Source {
        brokers: brokers?,
        topics: topics?,
        group: group?,
        start: start?,
        format: raw.format.value().copied().unwrap_or(Format::Json),
        key_format,
        protocol,
        instance: instance?,
        on_lost_position: raw.on_lost_position.value().copied().unwrap_or(LostPosition::Stop),
        columns,
        timezone,
        kafka: properties,
    })
}

fn brokers(setting: &Setting<Vec<Given<String>>>, section: &Place, problems: &mut Problems) -> Option<Vec<String>> {
    let cure = "write brokers = [\"host:9092\"]";
    let given = setting.required(section, "source.brokers", cure, problems)?;
    if given.value.is_empty() {
        problems.push(Problem::new(&given.place, Rule::Missing, "`source.brokers` is empty", cure));
        return None;
    }
    let checked: Vec<Option<String>> = given.value.iter().map(|broker| self::broker(broker, problems)).collect();
    checked.into_iter().collect()
}

fn broker(given: &Given<String>, problems: &mut Problems) -> Option<String> {
    let text = given.value.as_str();
    let cure = if text.contains("://") {
        "write only host:port; security.protocol under [source.kafka] says whether TLS is used"
    } else if text.contains(',') {
        "write each broker in quotes of its own: [\"a:9092\", \"b:9092\"]"
    } else {
        "write host:port, such as \"localhost:9092\" or \"[::1]:9092\""
    };
    // `[::1]:9092`: the brackets keep the address's colons apart from the port's.
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, rest)) => (address, rest.strip_prefix(':').or(rest.is_empty().then_some("9092"))),
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, Some("9092")),
        },
    };
    let bracketed = text.starts_with('[');
    let host_char =
        |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_') || (bracketed && matches!(c, ':' | '%'));
    let valid_host = !host.is_empty() && host.chars().all(host_char);
    if valid_host && port.and_then(|port| port.parse::<u16>().ok()).is_some_and(|port| port > 0) {
        return Some(text.to_owned());
    }
    // Before an `@` stands a password.
    let shown = if text.contains('@') { "this".to_owned() } else { given.shown() };
    let what = format!("{shown} is no broker's address");
    problems.push(Problem::new(&given.place, Rule::Value, what, cure));
    None
}

fn topics(raw: &RawSource, section: &Place, problems: &mut Problems) -> Option<Topics> {
    match (&raw.topics, &raw.pattern) {
        (Setting::Absent, Setting::Absent) => {
            let cure = "write topics = [\"..\"], or pattern = \"^..\"";
            problems.push(Problem::new(section, Rule::Missing, "`source.topics` is missing", cure));
            None
        }
        (Setting::Given(_), Setting::Given(pattern)) => {
            let what = "`source.topics` and `source.pattern` exclude each other";
            let cure = "keep one; a pattern can name topics too: \"^(orders|returns)$\"";
            problems.push(Problem::new(&pattern.key, Rule::Contradiction, what, cure));
            None
        }
        (Setting::Given(topics), _) => topic_list(topics, problems).map(Topics::List),
        (_, Setting::Given(given)) => pattern(given, problems).map(Topics::Pattern),
        _ => None,
    }
}

fn topic_list(given: &Given<Vec<Given<String>>>, problems: &mut Problems) -> Option<Vec<String>> {
    if given.value.is_empty() {
        let what = "`source.topics` is empty";
        problems.push(Problem::new(&given.place, Rule::Missing, what, "write topics = [\"..\"]"));
        return None;
    }
    let before = problems.len();
    let mut seen = BTreeSet::new();
    for topic in &given.value {
        if topic.value.starts_with('^') {
            let what = format!("{} is a pattern, not a topic", topic.shown());
            problems.push(Problem::new(&topic.place, Rule::Value, what, "write pattern = \"..\" instead of topics"));
        } else if !is_kafka_name(&topic.value) {
            let what = format!("{} is no topic's name", topic.shown());
            let problem = Problem::new(&topic.place, Rule::Value, what, "write the topic's name as Kafka has it");
            problems.push(problem.allowed("1 to 249 characters of A-Z a-z 0-9 . _ -, not . or .."));
        } else if !seen.insert(&topic.value) {
            let what = format!("the topic {} is listed twice", topic.shown());
            problems.push(Problem::new(&topic.place, Rule::Contradiction, what, "list it once"));
        }
    }
    (problems.len() == before).then(|| given.value.iter().map(|topic| topic.value.clone()).collect())
}

pub fn is_kafka_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    !name.is_empty() && name.len() <= LONGEST_KAFKA_NAME && name.chars().all(allowed) && name != "." && name != ".."
}

fn pattern(given: &Given<String>, problems: &mut Problems) -> Option<String> {
    let (what, cure) = if !given.value.starts_with('^') {
        let what = "`source.pattern` does not begin with `^`".to_owned();
        (what, "write pattern = \"^..\", or topics = [\"..\"] for plain names".to_owned())
    } else {
        match Regex::new(&given.value) {
            Ok(_) => return Some(given.value.clone()),
            Err(error) => {
                let reason = match &error {
                    regex::Error::CompiledTooBig(_) => "it is too large".to_owned(),
                    // The last line says why; those before it repeat the pattern.
                    _ => error.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned(),
                };
                let what = format!("`source.pattern` is no regular expression: {reason}");
                (what, "mend the expression, such as \"^shop\\\\.orders\\\\..*\"".to_owned())
            }
        }
    };
    problems.push(Problem::new(&given.place, Rule::Value, what, cure));
    None
}

fn group(given: &Given<String>, problems: &mut Problems) -> Option<String> {
    let group = &given.value;
    let valid = !group.is_empty() && group.len() <= LONGEST_GROUP && group.trim() == group;
    if valid && !group.chars().any(char::is_control) {
        return Some(group.clone());
    }
    let what = format!("`source.group` cannot be {}", given.shown());
    let cure = "write the group's name, or remove it: the default is tidegate-<name>";
    problems.push(Problem::new(&given.place, Rule::Value, what, cure).allowed("1 to 255 bytes without space around"));
    None
}

fn start(given: &Given<String>, problems: &mut Problems) -> Option<Start> {
    let words = ["earliest", "latest", "committed"];
    match given.value.as_str() {
        "earliest" => return Some(Start::Earliest),
        "latest" => return Some(Start::Latest),
        "committed" => return Some(Start::Committed),
        _ => {}
    }
    let time: Result<jiff::Timestamp, _> = given.value.parse();
    match time {
        Ok(time) if time.as_millisecond() >= 0 => return Some(Start::Time(time.as_millisecond())),
        _ => {}
    }
    let what = format!("`source.start` cannot be {}", given.shown());
    let cure = if time.is_ok() {
        "Kafka's times begin in 1970; write \"earliest\"".to_owned()
    } else if given.value.parse::<jiff::civil::DateTime>().is_ok() {
        "add the zone, such as \"2026-11-01T00:00:00Z\"".to_owned()
    } else {
        let near = nearest(&given.value, words).unwrap_or("earliest");
        format!("write \"{near}\", or a time such as \"2026-11-01T00:00:00Z\"")
    };
    let allowed = "earliest, latest, committed, an RFC 3339 time";
    problems.push(Problem::new(&given.place, Rule::Value, what, cure).allowed(allowed));
    None
}

fn instance(given: &Given<String>, problems: &mut Problems) -> Option<Instance> {
    let text = given.value.as_str();
    let near = ["auto", "none"].into_iter().find(|word| text.eq_ignore_ascii_case(word) && text != *word);
    match text {
        "auto" => return Some(Instance::Auto),
        "none" => return Some(Instance::None),
        _ if near.is_none() && is_kafka_name(text) => return Some(Instance::Id(text.to_owned())),
        _ => {}
    }
    let what = format!("`source.instance` cannot be {}", given.shown());
    let cure = format!("write \"{}\"", near.unwrap_or("auto"));
    let problem = Problem::new(&given.place, Rule::Value, what, cure);
    problems.push(problem.allowed("auto, none, or an id: 1 to 249 characters of A-Z a-z 0-9 . _ -"));
    None
}

fn timezone(given: &Given<String>, problems: &mut Problems) -> Option<String> {
    if jiff::tz::TimeZone::get(&given.value).is_ok() {
        return Some(given.value.clone());
    }
    let names: Vec<String> = jiff::tz::db().available().map(|name| name.to_string()).collect();
    let cure = match nearest(&given.value, names.iter().map(String::as_str)) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => "write an IANA name such as \"Europe/Berlin\" or \"UTC\"".to_owned(),
    };
    let what = format!("`source.timezone` is no zone: {}", given.shown());
    problems.push(Problem::new(&given.place, Rule::Value, what, cure));
    None
}

fn properties(
    raw: &RawSource,
    protocol: GroupProtocol,
    literal: &mut Vec<String>,
    problems: &mut Problems,
) -> BTreeMap<String, Secret> {
    let Some(properties) = raw.kafka.value() else { return BTreeMap::new() };
    kafka::check(properties, problems);
    literal.extend(properties.literal_secrets().map(str::to_owned));
    if let (Some(given), GroupProtocol::Consumer) = (properties.get("partition.assignment.strategy"), protocol) {
        let what = "`partition.assignment.strategy` has no effect with protocol = \"consumer\": the brokers assign";
        problems.push(Problem::new(
            &given.key,
            Rule::Contradiction,
            what,
            "remove it, or write protocol = \"classic\"",
        ));
    }
    properties.given.iter().map(|(name, given)| (name.clone(), Secret::new(given.value.clone()))).collect()
}
