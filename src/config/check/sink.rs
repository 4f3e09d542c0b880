//! `[sink]`.

use std::num::NonZeroUsize;
use std::time::Duration;

use crate::config::problem::{Problem, Problems, Rule};
use crate::config::raw::{RawBatch, RawSink};
use crate::config::read::{Given, Setting};
use crate::config::units::{ByteSize, Span};
use crate::config::{BatchLimits, Database, Delivery, KafkaSink, Secret, Sink, Target};

use super::url;
use super::within;

/// More connections than this a database serves worse, not better.
const MOST_WRITERS: usize = 64;
/// A larger transaction holds locks and memory for no gain.
const MOST_ROWS: usize = 1_000_000;
/// Less than this a single record may exceed.
const LEAST_BYTES: u64 = 64 << 10;
const MOST_BYTES: u64 = 256 << 20;
/// Rows that are older than this when they arrive are nobody's idea of a stream.
const LONGEST_LINGER: Duration = Duration::from_secs(60);

pub fn sink(given: &Given<RawSink>, literal: &mut Vec<String>, problems: &mut Problems) -> Option<Target> {
    let raw = &given.value;
    if let Some(kafka) = raw.kafka.given() {
        return self::kafka(raw, kafka, problems).map(Target::Kafka);
    }
    let cure = "write url = \"postgres://user:${DB_PASSWORD}@host/database\" under [sink]";
    let database = match raw.url.required(&given.place, "sink.url", cure, problems) {
        Some(url) => url::check(url, literal, problems),
        None => None,
    };
    let writers = writers(&raw.writers, database, problems);
    let batch = match raw.batch.given() {
        Some(batch) => self::batch(&batch.value, problems),
        None => BatchLimits::default(),
    };
    let state_schema = raw.state_schema.given().and_then(|given| state_schema(given, database, problems));
    Some(Target::Database(Sink {
        database: database?,
        url: Secret::new(raw.url.value()?.clone()),
        delivery: raw.delivery.value().copied().unwrap_or(Delivery::ExactlyOnce),
        writers,
        batch,
        state_schema,
    }))
}

/// No database: what only a database has is in the way.
fn kafka(raw: &RawSink, kafka: &Given<bool>, problems: &mut Problems) -> Option<KafkaSink> {
    let before = problems.len();
    if !kafka.value {
        let cure = "remove it and write the database's url, or write kafka = true";
        problems.push(Problem::new(&kafka.place, Rule::Value, "`sink.kafka` cannot be false", cure));
    }
    if let Some(url) = raw.url.given() {
        let what = "`sink.url` and `sink.kafka` exclude each other";
        let cure = "keep `url` to write tables, to which [[topic]] can be added, or `kafka` to write topics alone";
        problems.push(Problem::new(&url.key, Rule::Contradiction, what, cure));
    }
    if let Some(delivery) = raw.delivery.given().filter(|given| given.value == Delivery::AtLeastOnce) {
        let what = "delivery = \"at-least-once\" has no meaning with `sink.kafka`, whose transactions are exactly once";
        problems.push(Problem::new(&delivery.key, Rule::Contradiction, what, "remove it"));
    }
    if let Some(schema) = raw.state_schema.given() {
        let what = "`sink.state_schema` has no meaning with `sink.kafka`: the positions are the group's offsets";
        problems.push(Problem::new(&schema.key, Rule::Contradiction, what, "remove it"));
    }
    let writers = writers(&raw.writers, None, problems);
    let batch = raw.batch.given().map_or_else(BatchLimits::default, |batch| self::batch(&batch.value, problems));
    (problems.len() == before).then_some(KafkaSink { writers, batch })
}

fn writers(setting: &Setting<i128>, database: Option<Database>, problems: &mut Problems) -> Option<NonZeroUsize> {
    let given = setting.given()?;
    let writers = within(Some(given), "sink.writers", 1..=MOST_WRITERS, problems)?;
    if writers > 1 && database == Some(Database::Sqlite) {
        let what = format!("`sink.writers` is {writers}, but an SQLite file has one writer at a time");
        problems.push(Problem::new(&given.place, Rule::Contradiction, what, "remove it"));
    }
    NonZeroUsize::new(writers)
}

fn batch(raw: &RawBatch, problems: &mut Problems) -> BatchLimits {
    let mut limits = BatchLimits::default();
    if let Some(rows) = within(raw.rows.given(), "sink.batch.rows", 1..=MOST_ROWS, problems) {
        limits.rows = rows;
    }
    if let Some(given) = raw.bytes.given() {
        let ByteSize(bytes) = given.value;
        match usize::try_from(bytes) {
            Ok(size) if (LEAST_BYTES..=MOST_BYTES).contains(&bytes) => limits.bytes = size,
            _ => {
                let what = format!("`sink.batch.bytes` cannot be {bytes} bytes");
                let cure = "write a size from 64KiB to 256MiB; the default is 8MiB";
                problems.push(Problem::new(&given.place, Rule::Bounds, what, cure));
            }
        }
    }
    if let Some(given) = raw.linger.given() {
        let Span(linger) = given.value;
        limits.linger = linger;
        if linger > LONGEST_LINGER {
            let what = format!("`sink.batch.linger` cannot be {} s", linger.as_secs());
            problems.push(Problem::new(&given.place, Rule::Bounds, what, "write at most 60s; the default is 5ms"));
        }
    }
    limits
}

fn state_schema(given: &Given<String>, database: Option<Database>, problems: &mut Problems) -> Option<String> {
    let name = &given.value;
    if database == Some(Database::Sqlite) {
        let what = "`sink.state_schema` has no meaning with SQLite, which has no schemas";
        problems.push(Problem::new(&given.key, Rule::Contradiction, what, "remove it"));
    }
    if let Err(cure) = super::table::identifier(name, database) {
        let what = format!("`sink.state_schema` cannot be {}", given.shown());
        problems.push(Problem::new(&given.place, Rule::Value, what, cure));
    }
    Some(name.clone())
}
