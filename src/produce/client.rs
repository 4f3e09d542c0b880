//! The client that a lane sends with.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::producer::{DeliveryResult, ProducerContext, ThreadedProducer};
use rdkafka::{ClientConfig, ClientContext, Statistics};

use super::progress::Ticket;
use crate::config::Source;
use crate::kafka;
use crate::kafka::errors::{self, Verdict};

/// A lane hands all events of a batch over at once, and then waits for them.
const LINGER_MS: &str = "1";
/// Small enough that a topic with a lowered limit refuses no batch for its size, but only what is too large by itself.
const BATCH_BYTES: &str = "65536";
/// The topic's own limit decides.
const LARGEST_EVENT_BYTES: &str = "1000000000";
/// The queue of librdkafka.
const QUEUE_RECORDS: &str = "100000";
const QUEUE_KILOBYTES: &str = "32768";
/// A topic that was just made is known everywhere by then; until then an unknown one is not yet an error.
const PROPAGATION_MS: &str = "5000";

pub(super) type Client = ThreadedProducer<Reports>;

/// Idempotent, confirmed by all replicas, by the partitioner of Java clients. `give_up_ms`: how long an event may be
/// under way.
pub(super) fn config(pipeline: &str, source: &Source, give_up_ms: u64) -> ClientConfig {
    let mut config = kafka::client_config(&source.brokers, &source.kafka, &format!("tidegate-{pipeline}"));
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
        .set("message.timeout.ms", give_up_ms.to_string());
    config
}

/// What the client tells.
#[derive(Default)]
pub(super) struct Reports {
    delivered: AtomicU64,
    /// The last thing that was wrong with the connection, and how much had been delivered by then.
    problem: Mutex<Option<(Code, String, u64)>>,
}

impl Reports {
    /// `None` where something was delivered since.
    pub(super) fn last_problem(&self) -> Option<(Code, String)> {
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
