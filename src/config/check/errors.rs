//! `[errors]`.

use crate::config::problem::{Place, Problem, Problems, Rule};
use crate::config::raw::{RawErrors, RawPipeline};
use crate::config::read::{Given, Setting};
use crate::config::{BadRecords, DeadLetters, Errors, Source};

use super::topic::writable;

const TOPIC: &str = "topic:";

pub fn errors(
    raw: &RawPipeline,
    top: &Place,
    is_kafka: bool,
    source: Option<&Source>,
    problems: &mut Problems,
) -> Option<Errors> {
    if matches!(raw.errors, Setting::Broken) {
        return None;
    }
    let given = raw.errors.value();
    let bad_records = given.and_then(|errors| errors.bad_records.value().copied()).unwrap_or(BadRecords::DeadLetter);
    let dead_letters = match given.map(|errors: &RawErrors| &errors.dead_letters) {
        None | Some(Setting::Absent) if is_kafka && bad_records == BadRecords::DeadLetter => {
            let place = raw.errors.given().map_or(top, |errors| &errors.place);
            let what = "`errors.dead_letters` is missing: with `sink.kafka` there is no table for bad records";
            let cure = "write dead_letters = \"topic:<name>\" under [errors], or bad_records = \"skip\" or \"stop\"";
            problems.push(Problem::new(place, Rule::Missing, what, cure));
            return None;
        }
        None | Some(Setting::Absent) => DeadLetters::Table,
        Some(Setting::Broken) => return None,
        Some(Setting::Given(given)) => dead_letters(given, raw, is_kafka, source, problems)?,
    };
    Some(Errors { bad_records, dead_letters })
}

fn dead_letters(
    given: &Given<String>,
    raw: &RawPipeline,
    is_kafka: bool,
    source: Option<&Source>,
    problems: &mut Problems,
) -> Option<DeadLetters> {
    let Some(topic) = given.value.strip_prefix(TOPIC) else {
        if given.value != "table" {
            let what = format!("`errors.dead_letters` cannot be {}", given.shown());
            let cure = if is_kafka { "write \"topic:<name>\"" } else { "write \"table\" or \"topic:<name>\"" };
            problems.push(Problem::new(&given.place, Rule::Value, what, cure).allowed("table, topic:<name>"));
            return None;
        }
        if is_kafka {
            let what = "dead_letters = \"table\" needs a database, and the sink is Kafka";
            problems.push(Problem::new(&given.place, Rule::Contradiction, what, "write \"topic:<name>\""));
            return None;
        }
        return Some(DeadLetters::Table);
    };
    let before = problems.len();
    writable(given, topic, "its dead letters", source, problems);
    let outputs = raw.topic.value().into_iter().flatten();
    if outputs.filter_map(|output| output.value.name.value()).any(|name| name == topic) {
        let what = format!("{} is a [[topic]] of the pipeline too", given.shown());
        let cure = "give the dead letters a topic of their own: a reader could not tell them from events";
        problems.push(Problem::new(&given.place, Rule::Contradiction, what, cure));
    }
    (problems.len() == before).then(|| DeadLetters::Topic(topic.to_owned()))
}
