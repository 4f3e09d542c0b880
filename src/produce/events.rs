//! The events of a lane: rows into the pipeline's `[[topic]]`s, each batch delivered before its transaction commits.
//!
//! Each lane has a producer of its own: a broker refuses whole batches, and an event must not be called bad for what
//! another lane has put beside it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer as _, ProducerContext, ThreadedProducer};
use rdkafka::{ClientContext, Statistics};

use super::event::EventShape;
use super::progress::{Progress, Ticket};
use crate::config::Source;
use crate::kafka;
use crate::kafka::errors::{self, Verdict};
use crate::outbox::{Outbox, Undelivered};
use crate::records::Records;
use crate::retry::Disposition;
use crate::rows::Rows;

/// The header that names the record an event comes from: topic/partition/offset/number of the row; or the merged row
/// that it follows from, and its own key: table/key/key.
const SOURCE: &str = "tidegate-source";
/// A lane hands all events of a batch over at once, and then waits for them.
const LINGER_MS: &str = "1";
/// Small enough that a topic with a lowered limit refuses no batch for its size, but only what is too large by itself.
const BATCH_BYTES: &str = "65536";
/// The topic's own limit decides.
const LARGEST_EVENT_BYTES: &str = "1000000000";
/// The queue of librdkafka.
const QUEUE_RECORDS: &str = "100000";
const QUEUE_KILOBYTES: &str = "32768";
/// A broker that does not take an event within it is down; the transaction is rolled back, and tried again.
const GIVE_UP_MS: u64 = 30_000;
/// A topic that was just made is known everywhere by then; until then an unknown one is not yet an error.
const PROPAGATION_MS: &str = "5000";
/// One wait for room in the queue.
const WAIT: Duration = Duration::from_millis(5);

type Client = ThreadedProducer<Reports>;

/// Sends the events of a lane.
pub struct EventProducer {
    pipeline: String,
    source: Source,
    shapes: Arc<[EventShape]>,
    /// Made at the first event, and again after an error that ends a client.
    client: Mutex<Option<Arc<Client>>>,
}

/// A batch's events: what its transaction waits for.
pub struct Events<'a> {
    pub producer: &'a EventProducer,
    pub records: &'a Records,
    /// The rows of each `[[topic]]`.
    pub topics: &'a [Arc<Rows>],
    /// Of the rows of each `[[topic]]`, where they come from no single record, what they are about; else none.
    pub identities: &'a [Vec<String>],
    pub progress: &'a Arc<Progress>,
}

/// One event: which row of which topic, and the number of the row within its record.
#[derive(Debug, Clone, Copy)]
struct Place {
    topic: usize,
    row: usize,
    number: u32,
}

impl EventProducer {
    /// `shapes`: one per `[[topic]]`. No broker is contacted yet.
    pub fn new(pipeline: &str, source: &Source, shapes: Arc<[EventShape]>) -> Self {
        Self { pipeline: pipeline.to_owned(), source: source.clone(), shapes, client: Mutex::new(None) }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<Client>>> {
        self.client.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn client(&self) -> Result<Arc<Client>, Undelivered> {
        let mut place = self.lock();
        if let Some(client) = &*place {
            return Ok(client.clone());
        }
        let client_id = format!("tidegate-{}", self.pipeline);
        let mut config = kafka::client_config(&self.source.brokers, &self.source.kafka, &client_id);
        config
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("partitioner", "murmur2_random")
            .set("compression.type", "lz4")
            .set("linger.ms", LINGER_MS)
            .set("batch.size", BATCH_BYTES)
            .set("message.max.bytes", LARGEST_EVENT_BYTES)
            .set("queue.buffering.max.messages", QUEUE_RECORDS)
            .set("queue.buffering.max.kbytes", QUEUE_KILOBYTES)
            .set("topic.metadata.propagation.max.ms", PROPAGATION_MS)
            .set("message.timeout.ms", GIVE_UP_MS.to_string());
        let client = config.create_with_context(Reports::default());
        let client: Client =
            client.map_err(|cause| undelivered(errors::of_client(&cause, "the producer could not be started")))?;
        Ok(place.insert(Arc::new(client)).clone())
    }

    /// A client that met a fatal error sends nothing any more; the next try makes another one.
    fn forget(&self, client: &Arc<Client>) {
        if client.client().fatal_error().is_none() {
            return;
        }
        let mut place = self.lock();
        if place.as_ref().is_some_and(|known| Arc::ptr_eq(known, client)) {
            *place = None;
        }
    }
}

#[async_trait]
impl Outbox for Events<'_> {
    async fn deliver(&self) -> Result<(), Undelivered> {
        let places = self.places();
        if places.is_empty() {
            return Ok(());
        }
        // A try that was given up may have left some on their way.
        self.progress.settled().await;
        let from = self.progress.resume();
        if from == places.len() {
            return Ok(());
        }
        let client = self.producer.client()?;
        let sent = self.send(&client, &places, from).await;
        self.progress.settled().await;
        self.producer.forget(&client);
        let failed = self.progress.failed();
        if failed.is_empty() {
            return sent;
        }
        Err(self.judge(&client, &places, &failed))
    }
}

impl Events<'_> {
    /// How many events each topic gets.
    pub fn counts(&self) -> Vec<u64> {
        let mut counts = vec![0; self.topics.len()];
        for place in self.places() {
            counts[place.topic] += 1;
        }
        counts
    }

    fn places(&self) -> Vec<Place> {
        let mut places = Vec::with_capacity(self.topics.iter().map(|rows| rows.len()).sum());
        for (topic, rows) in self.topics.iter().enumerate() {
            let mut last = (u32::MAX, 0);
            for (row, origin) in rows.origins.iter().enumerate() {
                last = if last.0 == *origin { (*origin, last.1 + 1) } else { (*origin, 0) };
                if self.producer.shapes[topic].is_sent(rows, row) {
                    places.push(Place { topic, row, number: last.1 });
                }
            }
        }
        places
    }

    fn origin(&self, place: Place) -> u32 {
        self.topics[place.topic].origins[place.row]
    }

    async fn send(&self, client: &Client, places: &[Place], from: usize) -> Result<(), Undelivered> {
        for (event, place) in places.iter().enumerate().skip(from) {
            let (key, value, headers) = self.render(*place)?;
            let mut record: BaseRecord<'_, [u8], [u8], Box<Ticket>> =
                BaseRecord::with_opaque_to(&self.producer.shapes[place.topic].topic, self.progress.ticket(event));
            record.key = key.as_deref();
            record.payload = value.as_deref();
            record.headers = Some(headers);
            record.timestamp = self.records.get(self.origin(*place) as usize).timestamp();
            loop {
                let Err((cause, refused)) = client.send(record) else { break };
                let code = match cause {
                    KafkaError::MessageProduction(code) => code,
                    _ => Code::Fail,
                };
                if code != Code::QueueFull {
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

    #[allow(clippy::type_complexity, reason = "the parts of a record, once")]
    fn render(&self, place: Place) -> Result<(Option<Vec<u8>>, Option<Vec<u8>>, OwnedHeaders), Undelivered> {
        let (shape, rows) = (&self.producer.shapes[place.topic], &self.topics[place.topic]);
        let record = self.records.get(self.origin(place) as usize);
        let event = shape.event(rows, place.row)?;
        let source = match self.identities.get(place.topic).and_then(|rows| rows.get(place.row)) {
            Some(row) => format!("{row}/{}", String::from_utf8_lossy(event.key.as_deref().unwrap_or_default())),
            None => format!("{}/{}/{}/{}", record.topic(), record.partition(), record.offset(), place.number),
        };
        let mut headers = OwnedHeaders::new().insert(Header { key: SOURCE, value: Some(source.as_bytes()) });
        for (key, value) in &event.headers {
            headers = headers.insert(Header { key, value: Some(value.as_slice()) });
        }
        Ok((event.key, event.value, headers))
    }

    /// What is done about events that Kafka did not take: what is wrong with one of them comes first, for then nothing
    /// else has to be waited for; then what an operator must mend.
    fn judge(&self, client: &Client, places: &[Place], failed: &[(usize, Code)]) -> Undelivered {
        let connection = client.context().last_problem();
        let told = failed.iter().map(|(event, code)| {
            let place = places[*event];
            let shape = &self.producer.shapes[place.topic];
            // Several that failed may have been one batch, of which only one is at fault.
            let suspect = (failed.len() == 1).then(|| self.origin(place));
            meaning(&shape.topic, shape.has_key(), *code, connection.as_ref(), suspect)
        });
        let rank = |told: &Undelivered| match told.disposition {
            Disposition::Isolate => 0,
            Disposition::Block | Disposition::Fenced => 1,
            Disposition::Retry => 2,
        };
        told.min_by_key(rank).expect("something failed")
    }
}

fn undelivered(failure: errors::Failure) -> Undelivered {
    let errors::Failure { disposition, class, message } = failure;
    Undelivered { disposition, class, message, suspect: None, column: None }
}

/// What it means that `topic` did not take an event. `suspect`: its record, where no other can be at fault.
fn meaning(
    topic: &str,
    has_key: bool,
    code: Code,
    connection: Option<&(Code, String)>,
    suspect: Option<u32>,
) -> Undelivered {
    let block = |class, cure: String| Undelivered {
        disposition: Disposition::Block,
        class,
        message: format!(
            "an event for topic {topic} was not delivered: {code}; it is checked again from time to time; {cure}"
        ),
        suspect: None,
        column: None,
    };
    match code {
        Code::MessageSizeTooLarge | Code::InvalidMessageSize | Code::MessageBatchTooLarge => {
            let reason = "the event is larger than the topic takes; raise max.message.bytes of the topic";
            refused(topic, "too-large", reason, suspect)
        }
        Code::InvalidTimestamp => {
            let reason =
                "the topic does not take the time of the record; see message.timestamp.before.max.ms of the topic";
            refused(topic, "out-of-range", reason, suspect)
        }
        Code::InvalidRecord if has_key => {
            refused(topic, "refused", "the broker refuses the event; a compacted topic needs a key", suspect)
        }
        Code::InvalidRecord => {
            block("refused", "a compacted topic needs a key: write key = \"..\" in [[topic]]".to_owned())
        }
        Code::UnknownTopic | Code::UnknownPartition | Code::UnknownTopicOrPartition | Code::UnknownTopicId => {
            block("unknown_topic", format!("create the topic {topic}, or correct its name in [[topic]]"))
        }
        Code::TopicAuthorizationFailed => {
            block("authorization", format!("grant WRITE and DESCRIBE on the topic {topic}"))
        }
        Code::ClusterAuthorizationFailed => block("authorization", "grant IDEMPOTENT_WRITE on the cluster".to_owned()),
        // The next try has a new client.
        Code::Fatal | Code::PurgeQueue | Code::PurgeInflight => Undelivered {
            disposition: Disposition::Retry,
            class: "kafka",
            message: format!(
                "an event for topic {topic} was not delivered: {code}; it is tried again with a new producer"
            ),
            suspect: None,
            column: None,
        },
        // It says only that it waited in vain; why the connection failed says more.
        Code::MessageTimedOut => {
            let (code, reason) = match connection {
                Some((code, reason)) => (*code, format!(" ({reason})")),
                None => (code, String::new()),
            };
            undelivered(errors::error(
                code,
                format!("an event for topic {topic} was not delivered within 30 s{reason}"),
            ))
        }
        code => undelivered(errors::error(code, format!("an event for topic {topic} was not delivered"))),
    }
}

fn refused(topic: &str, class: &'static str, reason: &str, suspect: Option<u32>) -> Undelivered {
    Undelivered {
        disposition: Disposition::Isolate,
        class,
        message: format!("topic {topic}: {reason}"),
        suspect,
        column: None,
    }
}

/// What the client tells.
#[derive(Default)]
struct Reports {
    delivered: AtomicU64,
    /// The last thing that was wrong with the connection, and how much had been delivered by then.
    problem: Mutex<Option<(Code, String, u64)>>,
}

impl Reports {
    /// `None` where something was delivered since.
    fn last_problem(&self) -> Option<(Code, String)> {
        let delivered = self.delivered.load(Ordering::Relaxed);
        let problem = self.problem.lock().unwrap_or_else(PoisonError::into_inner);
        let (code, reason, then) = problem.as_ref()?;
        (*then == delivered && errors::judge(*code).0 != Verdict::Fatal).then(|| (*code, reason.clone()))
    }
}

impl ClientContext for Reports {
    fn log(&self, level: rdkafka::config::RDKafkaLogLevel, facility: &str, text: &str) {
        kafka::log(level as i32, facility, text);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let Some(code) = error.rdkafka_error_code() else { return };
        let problem = (code, reason.to_owned(), self.delivered.load(Ordering::Relaxed));
        *self.problem.lock().unwrap_or_else(PoisonError::into_inner) = Some(problem);
    }

    fn stats(&self, _: Statistics) {}
}

impl ProducerContext for Reports {
    type DeliveryOpaque = Box<Ticket>;

    fn delivery(&self, result: &DeliveryResult<'_>, ticket: Box<Ticket>) {
        match result {
            Ok(_) => {
                self.delivered.fetch_add(1, Ordering::Relaxed);
                ticket.report(Ok(()));
            }
            Err((cause, _)) => ticket.report(Err(cause.rdkafka_error_code().unwrap_or(Code::Fail))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_an_event_is_told_apart_from_what_is_wrong_with_its_topic() {
        use Disposition::{Block, Isolate, Retry};
        for (code, has_key, disposition, class) in [
            (Code::MessageSizeTooLarge, true, Isolate, "too-large"),
            (Code::MessageBatchTooLarge, true, Isolate, "too-large"),
            (Code::InvalidTimestamp, true, Isolate, "out-of-range"),
            (Code::InvalidRecord, true, Isolate, "refused"),
            (Code::InvalidRecord, false, Block, "refused"),
            (Code::UnknownTopicOrPartition, true, Block, "unknown_topic"),
            (Code::UnknownTopic, true, Block, "unknown_topic"),
            (Code::TopicAuthorizationFailed, true, Block, "authorization"),
            (Code::ClusterAuthorizationFailed, true, Block, "authorization"),
            (Code::Fatal, true, Retry, "kafka"),
            (Code::MessageTimedOut, true, Retry, "timeout"),
        ] {
            let told = meaning("t", has_key, code, None, Some(7));
            assert_eq!((told.disposition, told.class), (disposition, class), "{code:?}");
            assert_eq!(told.suspect.is_some(), disposition == Isolate, "{code:?}");
        }
    }

    #[test]
    fn a_timeout_says_what_is_wrong_with_the_connection() {
        let connection = (Code::SaslAuthenticationFailed, "refused".to_owned());
        let told = meaning("t", true, Code::MessageTimedOut, Some(&connection), None);
        assert_eq!((told.disposition, told.class), (Disposition::Block, "authentication"));
    }
}
