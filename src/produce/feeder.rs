//! Records into one topic, as many as the brokers take, each confirmed.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer as _, ProducerContext, PurgeConfig};
use rdkafka::{ClientContext, Statistics};

use super::Produced;
use crate::config::Secret;
use crate::kafka;
use crate::kafka::errors::{self, Failure, Verdict};

/// Reports are collected once in so many records: more often costs time, less often memory.
const POLL_EVERY: u64 = 512;
/// The queue of librdkafka: enough for its batches at full speed, and bounded in records and kilobytes.
const QUEUE_RECORDS: &str = "200000";
const QUEUE_KILOBYTES: &str = "131072";
/// Batches fill at full speed within it, and a single record still arrives at once for a human.
const LINGER_MS: &str = "5";
/// Brokers that do not take a record within it are down, and the operator is told.
const GIVE_UP_MS: &str = "60000";
/// A topic that was just made is known everywhere by then; until then an unknown one is not yet an error.
const PROPAGATION_MS: &str = "5000";
/// One wait for room, or for the last reports: rust-rdkafka waits it out even when they come sooner.
const WAIT: Duration = Duration::from_millis(5);

/// Writes to one topic: idempotent, confirmed by all replicas, in order per partition, by the partitioner of Java
/// clients. Memory is bounded: `send` waits for room.
pub struct Feeder {
    producer: BaseProducer<Reports>,
    topic: String,
    sent: AtomicU64,
}

impl fmt::Debug for Feeder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feeder").field("topic", &self.topic).finish_non_exhaustive()
    }
}

impl Feeder {
    /// # Errors
    /// When librdkafka refuses the configuration. No broker is contacted yet.
    pub fn connect(brokers: &[String], topic: &str, properties: &BTreeMap<String, Secret>) -> Result<Self, Failure> {
        let mut config = kafka::client_config(brokers, properties, "tidegate-produce");
        config
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("partitioner", "murmur2_random")
            .set("queue.buffering.max.messages", QUEUE_RECORDS)
            .set("queue.buffering.max.kbytes", QUEUE_KILOBYTES)
            .set("linger.ms", LINGER_MS)
            .set("topic.metadata.propagation.max.ms", PROPAGATION_MS)
            .set("message.timeout.ms", GIVE_UP_MS);
        let producer = config
            .create_with_context(Reports::default())
            .map_err(|cause| errors::of_client(&cause, "the producer could not be started"))?;
        Ok(Self { producer, topic: topic.to_owned(), sent: AtomicU64::new(0) })
    }

    /// Hands a record over, waiting for room; the brokers confirm it later.
    ///
    /// # Errors
    /// The first failure of any record so far.
    pub fn send(&self, key: Option<&[u8]>, value: Option<&[u8]>) -> Result<(), Failure> {
        if self.sent.fetch_add(1, Ordering::Relaxed).is_multiple_of(POLL_EVERY) {
            self.producer.poll(Duration::ZERO);
        }
        let mut record: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(&self.topic);
        record.key = key;
        record.payload = value;
        loop {
            self.check()?;
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), again)) => {
                    record = again;
                    self.producer.poll(WAIT);
                }
                Err((cause, _)) => return Err(errors::of_client(&cause, self.what())),
            }
        }
    }

    /// Waits until every record is confirmed.
    ///
    /// # Errors
    /// The first failure of any record; what was not sent by then is given up.
    pub fn flush(&self) -> Result<(), Failure> {
        while self.producer.in_flight_count() > 0 {
            if let Err(failure) = self.check() {
                self.producer.purge(PurgeConfig::default().queue().inflight());
                self.producer.poll(WAIT);
                return Err(failure);
            }
            // A time-out only says that something is still on its way.
            let _ = self.producer.flush(WAIT);
        }
        self.check()
    }

    /// What the brokers have confirmed so far.
    pub fn confirmed(&self) -> Produced {
        let reports = self.producer.context();
        Produced { records: reports.records.load(Ordering::Relaxed), bytes: reports.bytes.load(Ordering::Relaxed) }
    }

    fn check(&self) -> Result<(), Failure> {
        let reports = self.producer.context();
        if !reports.has_failed.load(Ordering::Relaxed) {
            return Ok(());
        }
        let failed = *lock(&reports.failed);
        // A record that waited in vain says only that; why the connection failed says more.
        let connection = lock(&reports.connection).clone();
        match (failed, connection) {
            (Some(RDKafkaErrorCode::MessageTimedOut), Some((code, reason))) => {
                Err(errors::error(code, format!("topic {} ({reason})", self.topic)))
            }
            (Some(code), _) => Err(errors::error(code, self.what())),
            (None, _) => Ok(()),
        }
    }

    fn what(&self) -> String {
        format!("a record for topic {} was not delivered", self.topic)
    }
}

/// What came back for the records.
#[derive(Default)]
struct Reports {
    records: AtomicU64,
    bytes: AtomicU64,
    has_failed: std::sync::atomic::AtomicBool,
    /// The first record's failure.
    failed: Mutex<Option<RDKafkaErrorCode>>,
    /// The last thing that was wrong with the connection.
    connection: Mutex<Option<(RDKafkaErrorCode, String)>>,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Reports {
    fn fail(&self, code: RDKafkaErrorCode) {
        lock(&self.failed).get_or_insert(code);
        self.has_failed.store(true, Ordering::Relaxed);
    }
}

impl ClientContext for Reports {
    fn log(&self, level: rdkafka::config::RDKafkaLogLevel, facility: &str, text: &str) {
        kafka::log(level as i32, facility, text);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let Some(code) = error.rdkafka_error_code() else { return };
        *lock(&self.connection) = Some((code, reason.to_owned()));
        // Wrong credentials do not become right by waiting for the records to time out.
        if errors::judge(code).0 == Verdict::Mend {
            self.fail(RDKafkaErrorCode::MessageTimedOut);
        }
    }

    fn stats(&self, _: Statistics) {}
}

impl ProducerContext for Reports {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        match result {
            Ok(message) => {
                self.records.fetch_add(1, Ordering::Relaxed);
                let bytes = message.payload_len() + message.key_len();
                self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
            }
            Err((cause, _)) => {
                let code = cause.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
                // Given up by ourselves, after the failure that counts.
                if !matches!(code, RDKafkaErrorCode::PurgeQueue | RDKafkaErrorCode::PurgeInflight) {
                    self.fail(code);
                }
            }
        }
    }
}
