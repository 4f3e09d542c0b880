//! The ids of topics (KIP-516), by the one admin request that rust-rdkafka does not have.

use std::collections::HashMap;
use std::ffi::{CStr, CString, c_char};
use std::ptr;
use std::time::Duration;

use rdkafka::error::RDKafkaErrorCode;
use rdkafka_sys as sys;

/// Owns a pointer of librdkafka's and the function that frees it.
struct Owned<T> {
    pointer: *mut T,
    free: unsafe extern "C" fn(*mut T),
}

impl<T> Owned<T> {
    fn new(pointer: *mut T, free: unsafe extern "C" fn(*mut T)) -> Result<Self, RDKafkaErrorCode> {
        if pointer.is_null() {
            return Err(RDKafkaErrorCode::CriticalSystemResource);
        }
        Ok(Self { pointer, free })
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        // SAFETY: the pointer is not null, owned by us, and freed once.
        unsafe { (self.free)(self.pointer) }
    }
}

/// The base64 id of each topic; empty where the broker has none (before Kafka 2.8).
///
/// `broker` is one that answers: any of them can, and the default, the controller, may be away.
///
/// # Errors
/// The request's error, or that of the first topic which has one.
///
/// # Safety
/// `client` is a live client for as long as the call takes.
pub(super) unsafe fn topic_ids(
    client: *mut sys::rd_kafka_t,
    topics: &[&str],
    broker: i32,
    limit: Duration,
) -> Result<HashMap<String, String>, RDKafkaErrorCode> {
    let names: Vec<CString> = topics
        .iter()
        .map(|name| CString::new(*name))
        .collect::<Result<_, _>>()
        .map_err(|_| RDKafkaErrorCode::InvalidTopic)?;
    let mut name_pointers: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
    let milliseconds = i32::try_from(limit.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: the client is alive (the caller's promise); every pointer made here is checked and freed by `Owned`; the
    // names outlive the collection, which copies them; what the result holds is read before the event is freed.
    unsafe {
        let queue = Owned::new(sys::rd_kafka_queue_new(client), sys::rd_kafka_queue_destroy)?;
        let collection = Owned::new(
            sys::rd_kafka_TopicCollection_of_topic_names(name_pointers.as_mut_ptr(), name_pointers.len()),
            sys::rd_kafka_TopicCollection_destroy,
        )?;
        let options = Owned::new(
            sys::rd_kafka_AdminOptions_new(client, sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS),
            sys::rd_kafka_AdminOptions_destroy,
        )?;
        let mut text = [0 as c_char; 256];
        let code = sys::rd_kafka_AdminOptions_set_request_timeout(
            options.pointer,
            milliseconds,
            text.as_mut_ptr(),
            text.len(),
        );
        check(code)?;
        check(sys::rd_kafka_AdminOptions_set_broker(options.pointer, broker, text.as_mut_ptr(), text.len()))?;
        sys::rd_kafka_DescribeTopics(client, collection.pointer, options.pointer, queue.pointer);
        let event = sys::rd_kafka_queue_poll(queue.pointer, milliseconds);
        if event.is_null() {
            return Err(RDKafkaErrorCode::OperationTimedOut);
        }
        let event = Owned::new(event, sys::rd_kafka_event_destroy)?;
        check(sys::rd_kafka_event_error(event.pointer))?;
        let result = sys::rd_kafka_event_DescribeTopics_result(event.pointer);
        if result.is_null() {
            return Err(RDKafkaErrorCode::Inconsistent);
        }
        let mut count = 0;
        let descriptions = sys::rd_kafka_DescribeTopics_result_topics(result, &mut count);
        let descriptions = if descriptions.is_null() { &[] } else { std::slice::from_raw_parts(descriptions, count) };
        descriptions.iter().map(|description| read(*description)).collect()
    }
}

/// # Safety
/// `description` belongs to a result that is alive.
unsafe fn read(description: *const sys::rd_kafka_TopicDescription_t) -> Result<(String, String), RDKafkaErrorCode> {
    // SAFETY: the caller's promise; each pointer is checked before it is read.
    unsafe {
        let error = sys::rd_kafka_TopicDescription_error(description);
        if !error.is_null() {
            check(sys::rd_kafka_error_code(error))?;
        }
        let name = sys::rd_kafka_TopicDescription_name(description);
        if name.is_null() {
            return Err(RDKafkaErrorCode::Inconsistent);
        }
        let name = CStr::from_ptr(name).to_string_lossy().into_owned();
        Ok((name, id(sys::rd_kafka_TopicDescription_topic_id(description))))
    }
}

/// # Safety
/// `uuid` is null or alive.
unsafe fn id(uuid: *const sys::rd_kafka_Uuid_t) -> String {
    // SAFETY: the caller's promise; the text is cached in the UUID and lives as long as it.
    unsafe {
        let is_zero = uuid.is_null()
            || (sys::rd_kafka_Uuid_most_significant_bits(uuid) == 0
                && sys::rd_kafka_Uuid_least_significant_bits(uuid) == 0);
        let text = if is_zero { ptr::null() } else { sys::rd_kafka_Uuid_base64str(uuid) };
        if text.is_null() { String::new() } else { CStr::from_ptr(text).to_string_lossy().into_owned() }
    }
}

fn check(code: sys::rd_kafka_resp_err_t) -> Result<(), RDKafkaErrorCode> {
    match code {
        sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(()),
        code => Err(code.into()),
    }
}
