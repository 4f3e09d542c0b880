//! Produce: rows -> Kafka topics. The only place that names rdkafka's producer.

mod client;
mod event;
mod events;
mod feeder;
mod key;
mod letter;
mod outgoing;
mod progress;
mod refusals;
mod transaction;

use std::collections::BTreeMap;
use std::io::{self, BufRead};

pub use event::{Event, EventShape, as_json};
pub use events::{EventProducer, Events};
pub use feeder::Feeder;
pub use outgoing::{Letters, Outgoing};
pub use progress::Progress;
pub use transaction::{Found, ShowMembership, Transacted, Transaction, Transactor, Unwritten};

use crate::config::Secret;
use crate::kafka::errors::Failure;

/// Where lines go.
#[derive(Debug, Clone)]
pub struct ProduceOptions {
    pub brokers: Vec<String>,
    pub topic: String,
    /// The field of each line's JSON object that becomes the record's key; `None`: records without keys.
    pub key: Option<String>,
    /// librdkafka properties.
    pub kafka: BTreeMap<String, Secret>,
}

/// What was delivered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Produced {
    /// Records that the brokers confirmed.
    pub records: u64,
    /// Bytes of their keys and values.
    pub bytes: u64,
}

/// Why not everything was delivered.
#[derive(Debug, thiserror::Error)]
pub enum ProduceError {
    #[error("line {line}: {problem}; {confirmed} records before it were delivered")]
    Line { line: u64, problem: String, confirmed: u64 },
    #[error("the input could not be read after line {line}: {cause}; {confirmed} records were delivered")]
    Input { line: u64, cause: io::Error, confirmed: u64 },
    #[error("{failure}; {confirmed} records were delivered")]
    Kafka { failure: Failure, confirmed: u64 },
}

/// Progress is told about once in so many lines.
const PROGRESS_EVERY: u64 = 8_192;

/// Writes each line of the input as one record; empty lines are passed over. Blocks until the brokers have confirmed
/// everything. `progress` is told the records and bytes that are confirmed so far.
///
/// # Errors
/// The first thing that went wrong, and how many records were delivered all the same. Records are delivered in the
/// order of the lines within each partition, so a repetition from the first line duplicates those.
pub fn produce(
    mut input: impl BufRead,
    options: &ProduceOptions,
    mut progress: impl FnMut(u64, u64),
) -> Result<Produced, ProduceError> {
    let feeder = Feeder::connect(&options.brokers, &options.topic, &options.kafka)
        .map_err(|failure| ProduceError::Kafka { failure, confirmed: 0 })?;
    let result = send_lines(&mut input, options, &feeder, &mut progress);
    // Also after a bad line: what went before it is on its way and will be counted.
    let flushed = feeder.flush();
    let confirmed = feeder.confirmed();
    progress(confirmed.records, confirmed.bytes);
    let with_count = |error| match error {
        ProduceError::Line { line, problem, .. } => ProduceError::Line { line, problem, confirmed: confirmed.records },
        ProduceError::Input { line, cause, .. } => ProduceError::Input { line, cause, confirmed: confirmed.records },
        ProduceError::Kafka { failure, .. } => ProduceError::Kafka { failure, confirmed: confirmed.records },
    };
    result.map_err(with_count)?;
    flushed.map_err(|failure| ProduceError::Kafka { failure, confirmed: confirmed.records })?;
    Ok(confirmed)
}

fn send_lines(
    input: &mut impl BufRead,
    options: &ProduceOptions,
    feeder: &Feeder,
    progress: &mut impl FnMut(u64, u64),
) -> Result<(), ProduceError> {
    let mut buffer = Vec::new();
    for line in 1.. {
        buffer.clear();
        let read = input.read_until(b'\n', &mut buffer);
        if read.map_err(|cause| ProduceError::Input { line: line - 1, cause, confirmed: 0 })? == 0 {
            break;
        }
        let value = without_line_end(&buffer);
        if value.is_empty() {
            continue;
        }
        let key = match &options.key {
            None => None,
            Some(field) => {
                Some(key::of(value, field).map_err(|problem| ProduceError::Line { line, problem, confirmed: 0 })?)
            }
        };
        feeder
            .send(key.as_deref().map(str::as_bytes), Some(value))
            .map_err(|failure| ProduceError::Kafka { failure, confirmed: 0 })?;
        if line % PROGRESS_EVERY == 0 {
            let confirmed = feeder.confirmed();
            progress(confirmed.records, confirmed.bytes);
        }
    }
    Ok(())
}

fn without_line_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_ends_are_no_part_of_the_value() {
        assert_eq!(without_line_end(b"{}\r\n"), b"{}");
        assert_eq!(without_line_end(b"{}"), b"{}");
        assert_eq!(without_line_end(b"\n"), b"");
    }
}
