//! What a batch sends: the rows of each `[[topic]]` as events, then its dead letters where a topic keeps them.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer as _};

use super::client::Client;
use super::event::EventShape;
use super::letter;
use super::progress::{Progress, Ticket};
use super::refusals::{self, Sent};
use crate::dead_letter::DeadLetter;
use crate::outbox::Undelivered;
use crate::records::Records;
use crate::rows::Rows;

/// The header that names the record an event comes from: topic/partition/offset/number of the row; or the merged row
/// that it follows from, and its own key: table/key/key.
const SOURCE: &str = "tidegate-source";
/// One wait for room in the queue.
const WAIT: Duration = Duration::from_millis(5);

/// What a batch sends.
#[derive(Debug, Clone, Copy)]
pub struct Outgoing<'a> {
    pub pipeline: &'a str,
    pub records: &'a Records,
    /// One per `[[topic]]`.
    pub shapes: &'a [EventShape],
    /// The rows of each `[[topic]]`.
    pub topics: &'a [Arc<Rows>],
    /// Of the rows of each `[[topic]]`, where they come from no single record, what they are about; else none.
    pub identities: &'a [Vec<String>],
    /// `None`: no topic keeps them.
    pub letters: Option<Letters<'a>>,
}

/// The records that could not be stored.
#[derive(Debug, Clone, Copy)]
pub struct Letters<'a> {
    pub topic: &'a str,
    pub letters: &'a [DeadLetter],
    /// The index of the record of each.
    pub origins: &'a [u32],
    /// Nothing of a record goes out but what its dead letter has.
    pub is_private: bool,
}

/// One record to send.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place {
    /// Which row of which topic, and the number of the row within its record.
    Event { topic: usize, row: usize, number: u32 },
    /// Which dead letter.
    Letter(usize),
}

/// Key, value, headers and time of one record to send.
struct Rendered {
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: OwnedHeaders,
    timestamp: Option<i64>,
}

impl Outgoing<'_> {
    /// How many events each topic gets.
    pub fn counts(&self) -> Vec<u64> {
        let mut counts = vec![0; self.topics.len()];
        for place in self.places() {
            if let Place::Event { topic, .. } = place {
                counts[topic] += 1;
            }
        }
        counts
    }

    pub(super) fn places(&self) -> Vec<Place> {
        let letters = self.letters.map_or(0, |letters| letters.letters.len());
        let mut places = Vec::with_capacity(self.topics.iter().map(|rows| rows.len()).sum::<usize>() + letters);
        for (topic, rows) in self.topics.iter().enumerate() {
            let mut last = (u32::MAX, 0);
            for (row, origin) in rows.origins.iter().enumerate() {
                last = if last.0 == *origin { (*origin, last.1 + 1) } else { (*origin, 0) };
                if self.shapes[topic].is_sent(rows, row) {
                    places.push(Place::Event { topic, row, number: last.1 });
                }
            }
        }
        places.extend((0..letters).map(Place::Letter));
        places
    }

    fn letters(&self) -> Letters<'_> {
        self.letters.expect("a place of a dead letter comes from them")
    }

    /// The index of the record that it comes from.
    fn origin(&self, place: Place) -> u32 {
        match place {
            Place::Event { topic, row, .. } => self.topics[topic].origins[row],
            Place::Letter(index) => self.letters().origins[index],
        }
    }

    fn topic(&self, place: Place) -> &str {
        match place {
            Place::Event { topic, .. } => &self.shapes[topic].topic,
            Place::Letter(_) => self.letters().topic,
        }
    }

    /// Hands over what is to be sent, from the number `from` on; ends at the first that is known to have failed.
    pub(super) async fn send(
        &self,
        client: &Client,
        progress: &Arc<Progress>,
        places: &[Place],
        from: usize,
    ) -> Result<(), Undelivered> {
        for (number, place) in places.iter().enumerate().skip(from) {
            let rendered = self.render(*place)?;
            let mut record: BaseRecord<'_, [u8], [u8], Box<Ticket>> =
                BaseRecord::with_opaque_to(self.topic(*place), progress.ticket(number));
            record.key = rendered.key.as_deref();
            record.payload = rendered.value.as_deref();
            record.headers = Some(rendered.headers);
            record.timestamp = rendered.timestamp;
            loop {
                let Err((cause, refused)) = client.send(record) else { break };
                let code = match cause {
                    KafkaError::MessageProduction(code) => code,
                    _ => Code::Fail,
                };
                // Where something has failed, what is behind it may wait for ever.
                if code != Code::QueueFull || progress.has_failed() {
                    // Reported as the broker would: the next try begins with it.
                    refused.delivery_opaque.report(Err(code));
                    return Ok(());
                }
                record = refused;
                tokio::time::sleep(WAIT).await;
            }
        }
        Ok(())
    }

    fn render(&self, place: Place) -> Result<Rendered, Undelivered> {
        let record = self.records.get(self.origin(place) as usize);
        let source = |number: u32| format!("{}/{}/{}/{number}", record.topic(), record.partition(), record.offset());
        let (topic, row, number) = match place {
            Place::Event { topic, row, number } => (topic, row, number),
            Place::Letter(index) => {
                let letters = self.letters();
                let letter = &letters.letters[index];
                let own = (!letters.is_private).then_some(record);
                return Ok(Rendered {
                    key: letter.key.clone(),
                    value: letter.value.clone(),
                    headers: letter::headers(self.pipeline, letter, own, &source(0)),
                    // Now: retention would take a letter with its record's old time at once.
                    timestamp: None,
                });
            }
        };
        let event = self.shapes[topic].event(&self.topics[topic], row)?;
        let source = match self.identities.get(topic).and_then(|rows| rows.get(row)) {
            Some(row) => format!("{row}/{}", String::from_utf8_lossy(event.key.as_deref().unwrap_or_default())),
            None => source(number),
        };
        let mut headers = OwnedHeaders::new().insert(Header { key: SOURCE, value: Some(source.as_bytes()) });
        for (key, value) in &event.headers {
            headers = headers.insert(Header { key, value: Some(value.as_slice()) });
        }
        Ok(Rendered { key: event.key, value: event.value, headers, timestamp: record.timestamp() })
    }

    /// What is done about what Kafka did not take: the number of each in `places`, and why.
    pub(super) fn judge(&self, client: &Client, places: &[Place], failed: &[(usize, Code)]) -> Undelivered {
        let connection = client.client().context().last_problem();
        let causes: Vec<_> = failed.iter().filter(|(_, code)| is_cause(*code)).collect();
        let causes = if causes.is_empty() { failed.iter().collect() } else { causes };
        let told = causes.iter().map(|(number, code)| {
            let place = places[*number];
            let (has_key, is_letter) = match place {
                Place::Event { topic, .. } => (self.shapes[topic].has_key(), false),
                Place::Letter(_) => (true, true),
            };
            // Several that failed may have been one batch, of which only one is at fault.
            let suspect = (causes.len() == 1).then(|| self.origin(place));
            refusals::meaning(
                Sent { topic: self.topic(place), has_key, suspect, is_letter },
                *code,
                connection.as_ref(),
            )
        });
        told.min_by_key(refusals::rank).expect("something failed")
    }
}

/// What was only taken back after something else had failed says nothing.
pub(super) fn is_cause(code: Code) -> bool {
    !matches!(code, Code::PurgeQueue | Code::PurgeInflight | Code::State | Code::QueueFull)
}
