//! librdkafka's consumer queue, one event at a time. Together with `describe_topics.rs` the only unsafe code.
//!
//! `BaseConsumer::poll` of rust-rdkafka gives an error's code but neither the partition nor the offset it is about.
//! Both are needed: after a checksum failure librdkafka goes on *behind* the damaged batch, so the partition must be
//! stopped before its next record; a lost position must be claimed again for just that partition; and the offset of an
//! end-of-partition event is the position past transaction markers. The raw events carry them.

use std::ffi::{CStr, c_char};
use std::marker::PhantomData;
use std::ptr::{self, NonNull};
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka_sys as sys;

use crate::offsets::TopicPartition;

/// A handle on a queue of a client; destroyed before the client, which the borrow makes sure of.
pub(super) struct Queue<'c> {
    queue: NonNull<sys::rd_kafka_queue_t>,
    client: NonNull<sys::rd_kafka_t>,
    _client: PhantomData<&'c ()>,
}

impl<'c> Queue<'c> {
    /// The queue that carries everything: records, rebalances, errors, logs, statistics.
    pub(super) fn of_consumer<C: ConsumerContext>(consumer: &'c BaseConsumer<C>) -> Option<Self> {
        let client = NonNull::new(consumer.client().native_ptr())?;
        // SAFETY: the client lives as long as `'c`; the call gives a reference that `drop` returns.
        let queue = NonNull::new(unsafe { sys::rd_kafka_queue_get_consumer(client.as_ptr()) })?;
        Some(Self { queue, client, _client: PhantomData })
    }

    /// A private queue, for the answer to one request.
    fn private(&self) -> Option<Self> {
        // SAFETY: the client lives as long as `'c`; the queue is owned by the value returned.
        let queue = NonNull::new(unsafe { sys::rd_kafka_queue_new(self.client.as_ptr()) })?;
        Some(Self { queue, client: self.client, _client: PhantomData })
    }

    /// The next event, waited for at most `limit`.
    pub(super) fn poll(&self, limit: Duration) -> Option<Event<'_>> {
        let limit = i32::try_from(limit.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: the queue is alive; the event is owned by the value returned.
        let event = NonNull::new(unsafe { sys::rd_kafka_queue_poll(self.queue.as_ptr(), limit) })?;
        // SAFETY: the event is alive. A fetch event has one message, which it gives only once; other events have none.
        let message = unsafe {
            let is_fetch = sys::rd_kafka_event_type(event.as_ptr()) == sys::RD_KAFKA_EVENT_FETCH;
            if is_fetch { sys::rd_kafka_event_message_next(event.as_ptr()) } else { ptr::null() }
        };
        Some(Event { event, message: NonNull::new(message.cast_mut()), _queue: PhantomData })
    }

    /// Sends positions to the group; the result comes as an event of this queue.
    pub(super) fn commit(&self, positions: &TopicPartitionList) -> Result<(), RDKafkaErrorCode> {
        self.commit_to(positions, self)
    }

    /// Sends positions and waits for the answer, at most for `limit` (`rd_kafka_commit` itself waits without one).
    pub(super) fn commit_and_wait(
        &self,
        positions: &TopicPartitionList,
        limit: Duration,
    ) -> Result<(), RDKafkaErrorCode> {
        let answers = self.private().ok_or(RDKafkaErrorCode::CriticalSystemResource)?;
        self.commit_to(positions, &answers)?;
        let Some(answer) = answers.poll(limit) else { return Err(RDKafkaErrorCode::OperationTimedOut) };
        match answer.read() {
            EventKind::Committed { code: None, .. } => Ok(()),
            EventKind::Committed { code: Some(code), .. } => Err(code),
            _ => Err(RDKafkaErrorCode::Inconsistent),
        }
    }

    fn commit_to(&self, positions: &TopicPartitionList, answers: &Queue<'_>) -> Result<(), RDKafkaErrorCode> {
        // SAFETY: client, list and queue are alive; librdkafka copies the list and keeps its own reference to the
        // queue; without a callback no opaque is used.
        let code = unsafe {
            sys::rd_kafka_commit_queue(
                self.client.as_ptr(),
                positions.ptr(),
                answers.queue.as_ptr(),
                None,
                ptr::null_mut(),
            )
        };
        failure(code).map_or(Ok(()), Err)
    }
}

impl Drop for Queue<'_> {
    fn drop(&mut self) {
        // SAFETY: the reference is ours, and nothing uses it afterwards.
        unsafe { sys::rd_kafka_queue_destroy(self.queue.as_ptr()) }
    }
}

/// An event; the record in it lives as long as the event does.
pub(super) struct Event<'q> {
    event: NonNull<sys::rd_kafka_event_t>,
    /// A fetch event's; owned by the event. It carries no error: errors are events of their own.
    message: Option<NonNull<sys::rd_kafka_message_t>>,
    _queue: PhantomData<&'q ()>,
}

pub(super) enum EventKind<'e> {
    /// The reader has come to the end: `offset` is the next one, past markers and holes.
    EndOfPartition {
        partition: TopicPartition,
        offset: i64,
    },
    Error(EventError),
    Assign(Vec<TopicPartition>),
    /// Also for a rebalance that failed: nothing is ours any more.
    Revoke(Vec<TopicPartition>),
    Committed {
        code: Option<RDKafkaErrorCode>,
        positions: Vec<(TopicPartition, i64)>,
    },
    Log {
        level: i32,
        facility: String,
        text: String,
    },
    Statistics(&'e [u8]),
    /// Nothing of ours.
    Other,
}

#[derive(Debug)]
pub(super) struct EventError {
    pub(super) code: RDKafkaErrorCode,
    pub(super) is_fatal: bool,
    /// librdkafka's own words.
    pub(super) reason: String,
    /// Where it is about one partition; the offset is negative where it is not known.
    pub(super) at: Option<(TopicPartition, i64)>,
}

impl Event<'_> {
    pub(super) fn record(&self) -> Option<Record<'_>> {
        self.message.map(|message| Record { message, _event: PhantomData })
    }

    /// What the event is, if it is not a record.
    pub(super) fn read(&self) -> EventKind<'_> {
        let event = self.event.as_ptr();
        // SAFETY (the whole function): the event is alive as long as `self`, each accessor is called only for the
        // type of event that has it, and what it returns is borrowed from the event unless it is copied here.
        unsafe {
            match sys::rd_kafka_event_type(event) {
                sys::RD_KAFKA_EVENT_ERROR => self.read_error(),
                sys::RD_KAFKA_EVENT_REBALANCE => {
                    let partitions = self.partitions().into_iter().map(|(partition, _)| partition).collect();
                    match sys::rd_kafka_event_error(event) {
                        sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => EventKind::Assign(partitions),
                        _ => EventKind::Revoke(partitions),
                    }
                }
                sys::RD_KAFKA_EVENT_OFFSET_COMMIT => EventKind::Committed {
                    code: failure(sys::rd_kafka_event_error(event)),
                    positions: self.partitions(),
                },
                sys::RD_KAFKA_EVENT_STATS => {
                    let text = sys::rd_kafka_event_stats(event);
                    if text.is_null() {
                        return EventKind::Other;
                    }
                    EventKind::Statistics(CStr::from_ptr(text).to_bytes())
                }
                sys::RD_KAFKA_EVENT_LOG => {
                    let (mut facility, mut text, mut level) = (ptr::null(), ptr::null(), 0);
                    if sys::rd_kafka_event_log(event, &mut facility, &mut text, &mut level) != 0 {
                        return EventKind::Other;
                    }
                    EventKind::Log { level, facility: owned(facility), text: owned(text) }
                }
                _ => EventKind::Other,
            }
        }
    }

    fn read_error(&self) -> EventKind<'_> {
        let event = self.event.as_ptr();
        // SAFETY: as in `read`; the partition returned is owned and destroyed here.
        unsafe {
            let Some(code) = failure(sys::rd_kafka_event_error(event)) else { return EventKind::Other };
            let raw = sys::rd_kafka_event_topic_partition(event);
            let at = (!raw.is_null()).then(|| {
                let at = (TopicPartition::new(owned((*raw).topic), (*raw).partition), (*raw).offset);
                sys::rd_kafka_topic_partition_destroy(raw);
                at
            });
            match (code, at) {
                (RDKafkaErrorCode::PartitionEOF, Some((partition, offset))) => {
                    EventKind::EndOfPartition { partition, offset }
                }
                (code, at) => EventKind::Error(EventError {
                    code,
                    is_fatal: sys::rd_kafka_event_error_is_fatal(event) != 0,
                    reason: owned(sys::rd_kafka_event_error_string(event)),
                    at,
                }),
            }
        }
    }

    fn partitions(&self) -> Vec<(TopicPartition, i64)> {
        // SAFETY: the list is owned by the event, and `elems` holds `cnt` elements with valid names.
        unsafe {
            let list = sys::rd_kafka_event_topic_partition_list(self.event.as_ptr());
            if list.is_null() || (*list).elems.is_null() {
                return Vec::new();
            }
            let count = usize::try_from((*list).cnt).unwrap_or(0);
            std::slice::from_raw_parts((*list).elems, count)
                .iter()
                .map(|element| (TopicPartition::new(owned(element.topic), element.partition), element.offset))
                .collect()
        }
    }
}

impl Drop for Event<'_> {
    fn drop(&mut self) {
        // SAFETY: the event is ours, and nothing borrowed from it outlives `self`.
        unsafe { sys::rd_kafka_event_destroy(self.event.as_ptr()) }
    }
}

/// A record, borrowed from its event.
#[derive(Clone, Copy)]
pub(super) struct Record<'e> {
    message: NonNull<sys::rd_kafka_message_t>,
    _event: PhantomData<&'e ()>,
}

impl<'e> Record<'e> {
    fn message(&self) -> &'e sys::rd_kafka_message_t {
        // SAFETY: the message lives as long as its event, `'e`, and nobody changes it.
        unsafe { self.message.as_ref() }
    }

    pub(super) fn topic(&self) -> &'e str {
        // SAFETY: a record has a topic, whose name lives as long as it; Kafka allows only ASCII in it.
        let name = unsafe { CStr::from_ptr(sys::rd_kafka_topic_name(self.message().rkt)) };
        name.to_str().unwrap_or_default()
    }

    pub(super) fn partition(&self) -> i32 {
        self.message().partition
    }

    pub(super) fn offset(&self) -> i64 {
        self.message().offset
    }

    pub(super) fn key(&self) -> Option<&'e [u8]> {
        let message = self.message();
        // SAFETY: pointer and length belong together and live as long as the message.
        unsafe { bytes(message.key.cast(), message.key_len) }
    }

    pub(super) fn value(&self) -> Option<&'e [u8]> {
        let message = self.message();
        // SAFETY: as for the key.
        unsafe { bytes(message.payload.cast(), message.len) }
    }

    /// Milliseconds since 1970, where the record has a time.
    pub(super) fn timestamp(&self) -> Option<i64> {
        let mut kind = sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: the message is alive.
        let timestamp = unsafe { sys::rd_kafka_message_timestamp(self.message.as_ptr(), &mut kind) };
        let is_known = kind != sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        (is_known && timestamp >= 0).then_some(timestamp)
    }

    pub(super) fn headers(&self) -> Headers<'e> {
        let mut headers = ptr::null_mut();
        // SAFETY: the message is alive; the headers are owned by it.
        let code = unsafe { sys::rd_kafka_message_headers(self.message.as_ptr(), &mut headers) };
        let headers = if failure(code).is_some() { None } else { NonNull::new(headers) };
        Headers { headers, next: 0, _event: PhantomData }
    }
}

/// The headers of a record, in their order.
pub(super) struct Headers<'e> {
    headers: Option<NonNull<sys::rd_kafka_headers_t>>,
    next: usize,
    _event: PhantomData<&'e ()>,
}

impl<'e> Iterator for Headers<'e> {
    type Item = (&'e [u8], Option<&'e [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        let headers = self.headers?;
        let (mut name, mut value, mut length) = (ptr::null(), ptr::null(), 0);
        // SAFETY: the headers live as long as the message; on success name and value point into them.
        unsafe {
            let code = sys::rd_kafka_header_get_all(headers.as_ptr(), self.next, &mut name, &mut value, &mut length);
            if failure(code).is_some() || name.is_null() {
                return None;
            }
            self.next += 1;
            Some((CStr::from_ptr(name).to_bytes(), bytes(value.cast(), length)))
        }
    }
}

fn failure(code: sys::rd_kafka_resp_err_t) -> Option<RDKafkaErrorCode> {
    (code != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR).then(|| code.into())
}

/// # Safety
/// `start` is null, or `length` bytes live there for `'e`.
unsafe fn bytes<'e>(start: *const u8, length: usize) -> Option<&'e [u8]> {
    // SAFETY: the caller's promise.
    (!start.is_null()).then(|| unsafe { std::slice::from_raw_parts(start, length) })
}

/// # Safety
/// `text` is null or a C string.
unsafe fn owned(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: the caller's promise.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}
