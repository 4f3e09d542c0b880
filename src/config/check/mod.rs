//! From raw to checked: every contradiction at once. A function gives `None` only where it told a problem.

mod cases;
mod columns;
mod create;
mod daemon;
mod default;
mod errors;
mod follow;
mod lookup;
mod merge;
mod private;
mod profile;
mod replace;
mod retention;
mod route;
mod rules;
mod sink;
mod source;
mod table;
mod topic;
mod url;

use std::path::Path;

use super::problem::{Place, Problem, Problems, Rule};
use super::raw::RawPipeline;
use super::read::{Given, Setting};
use super::{Delivery, Pipeline, Target};

pub use daemon::daemon;
pub use lookup::is_key_type;

/// Names of pipelines become keys in the database, parts of lock files and of client ids.
const LONGEST_NAME: usize = 200;

/// A pipeline, if nothing is wrong with it. `literal` collects the names of secrets that the file holds as they are.
pub fn pipeline(
    raw: RawPipeline,
    path: &Path,
    top: &Place,
    literal: &mut Vec<String>,
    problems: &mut Problems,
) -> Option<Pipeline> {
    let name = name(&raw.name, top, problems);
    let source = match raw.source.required(top, "source", "write a section [source] with brokers and topics", problems)
    {
        Some(given) => source::source(given, name.as_deref(), literal, problems),
        None => None,
    };
    let sink = match raw.sink.required(top, "sink", "write a section [sink] with the database's url", problems) {
        Some(given) => sink::sink(given, literal, problems),
        None => None,
    };
    let delivery = raw.sink.value().and_then(|sink| sink.delivery.value().copied()).unwrap_or(Delivery::ExactlyOnce);
    let is_kafka = raw.sink.value().is_some_and(|sink| !sink.kafka.is_absent());
    let tables = if is_kafka {
        table::none(&raw.table, problems)
    } else {
        let cure = "write a section [[table]] with the table's name";
        let database = sink.as_ref().and_then(Target::database).map(|sink| sink.database);
        match raw.table.required(top, "table", cure, problems) {
            Some(given) => {
                let topics = source.as_ref().map(|source| &source.topics);
                table::tables(given, topics, database, delivery, problems)
            }
            None => None,
        }
    };
    create::columns(&raw, problems);
    let checks = rules::checks(&raw.check, problems);
    let errors = errors::errors(&raw, top, is_kafka, source.as_ref(), problems);
    let sources = source.as_ref().map(|source| &source.topics);
    let database = sink.as_ref().and_then(Target::database).map(|sink| sink.database);
    let around = lookup::Around { path, source: source.as_ref(), database, is_kafka };
    let lookups = lookup::lookups(&raw.lookup, around, problems);
    let topics = match &raw.topic {
        Setting::Broken => None,
        Setting::Absent if is_kafka => {
            let cure = "write a section [[topic]] with the topic's name: without a database there is no other output";
            problems.push(Problem::new(top, Rule::Missing, "`topic` is missing", cure));
            None
        }
        topics => topic::topics(topics.given(), source.as_ref(), problems),
    };
    let topics = follow::topics(raw.topic.given(), topics, tables.as_deref(), problems);
    let known =
        cases::Known { sources, tables: tables.as_deref(), topics: topics.as_deref(), lookups: lookups.as_deref() };
    let cases = cases::cases(&raw.test, known, problems);
    let keys = private::keys(&raw.keys, literal, problems);
    let privacy = private::privacy(&raw.privacy, keys.as_ref(), source.as_ref(), tables.as_deref(), problems);
    let private = privacy.as_ref().and_then(Option::as_ref);
    let profile = profile::profile(&raw.profile, private, source.as_ref(), tables.as_deref(), problems);
    Some(Pipeline {
        name: name?,
        path: Some(path.to_owned()),
        source: source?,
        sink: sink?,
        tables: tables?,
        checks: checks?,
        lookups: lookups?,
        topics: topics?,
        errors: errors?,
        keys: keys?,
        privacy: privacy?,
        profile: profile?,
        cases: cases?,
    })
}

fn name(name: &Setting<String>, top: &Place, problems: &mut Problems) -> Option<String> {
    let given = name.required(top, "name", "write name = \"..\" at the top of the file", problems)?;
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let name = &given.value;
    if name.is_empty() || name.len() > LONGEST_NAME || !name.chars().all(allowed) || name == "." || name == ".." {
        let what = format!("`name` cannot be {}", given.shown());
        let problem = Problem::new(&given.place, Rule::Value, what, "write a name such as \"orders\"");
        problems.push(problem.allowed("1 to 200 characters of A-Z a-z 0-9 . _ -"));
        return None;
    }
    Some(name.clone())
}

/// Checks a whole number's bounds.
fn within(
    given: Option<&Given<i128>>,
    option: &str,
    bounds: std::ops::RangeInclusive<usize>,
    problems: &mut Problems,
) -> Option<usize> {
    let given = given?;
    let number = usize::try_from(given.value).ok().filter(|number| bounds.contains(number));
    if number.is_none() {
        let shown = if given.hidden { "the value of the reference".to_owned() } else { given.value.to_string() };
        let problem = Problem::new(
            &given.place,
            Rule::Bounds,
            format!("`{option}` cannot be {shown}"),
            format!("write a number from {} to {}", bounds.start(), bounds.end()),
        );
        problems.push(problem);
    }
    number
}
