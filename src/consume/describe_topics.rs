//! The ids of topics (KIP-516), by the one admin request that rust-rdkafka does not have.

use std::collections::HashMap;
use std::ffi::{CString, c_char};
use std::ptr;
use std::time::Duration;

use rdkafka::error::RDKafkaErrorCode;
use rdkafka_sys as sys;

use super::admin::{self, Owned};

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
    let operation = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS;
    // SAFETY: the client is alive (the caller's promise); the names outlive the collection, which copies them, and the
    // collection the request; what the result holds is read before the event is freed.
    unsafe {
        let collection = Owned::new(
            sys::rd_kafka_TopicCollection_of_topic_names(name_pointers.as_mut_ptr(), name_pointers.len()),
            sys::rd_kafka_TopicCollection_destroy,
        )?;
        let event = admin::ask(client, operation, Some(broker), limit, |options, queue| {
            sys::rd_kafka_DescribeTopics(client, collection.pointer, options, queue);
        })?;
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
        admin::check_error(sys::rd_kafka_TopicDescription_error(description))?;
        let name = admin::text(sys::rd_kafka_TopicDescription_name(description));
        let name = name.ok_or(RDKafkaErrorCode::Inconsistent)?;
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
        let base64 = if is_zero { ptr::null() } else { sys::rd_kafka_Uuid_base64str(uuid) };
        admin::text(base64).unwrap_or_default()
    }
}
