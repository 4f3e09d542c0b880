//! Requests to the cluster that rust-rdkafka does not have: sent, and the answer awaited.

use std::ffi::{CStr, c_char};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka_sys as sys;

/// Owns a pointer of librdkafka's and the function that frees it.
pub(super) struct Owned<T> {
    pub(super) pointer: *mut T,
    free: unsafe extern "C" fn(*mut T),
}

impl<T> Owned<T> {
    pub(super) fn new(pointer: *mut T, free: unsafe extern "C" fn(*mut T)) -> Result<Self, RDKafkaErrorCode> {
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

/// The answer to what `send` sends to `broker`, or to whichever the request belongs to.
///
/// # Errors
/// The request's error.
///
/// # Safety
/// `client` is a live client for as long as the call takes; `send` sends one request of the kind `operation` with the
/// options and the queue that it is given.
pub(super) unsafe fn ask(
    client: *mut sys::rd_kafka_t,
    operation: sys::rd_kafka_admin_op_t,
    broker: Option<i32>,
    limit: Duration,
    send: impl FnOnce(*const sys::rd_kafka_AdminOptions_t, *mut sys::rd_kafka_queue_t),
) -> Result<Owned<sys::rd_kafka_event_t>, RDKafkaErrorCode> {
    let milliseconds = i32::try_from(limit.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: the client is alive (the caller's promise); every pointer made here is checked and freed by `Owned`.
    unsafe {
        let queue = Owned::new(sys::rd_kafka_queue_new(client), sys::rd_kafka_queue_destroy)?;
        let options =
            Owned::new(sys::rd_kafka_AdminOptions_new(client, operation), sys::rd_kafka_AdminOptions_destroy)?;
        let mut text = [0 as c_char; 256];
        let code = sys::rd_kafka_AdminOptions_set_request_timeout(
            options.pointer,
            milliseconds,
            text.as_mut_ptr(),
            text.len(),
        );
        check(code)?;
        if let Some(broker) = broker {
            check(sys::rd_kafka_AdminOptions_set_broker(options.pointer, broker, text.as_mut_ptr(), text.len()))?;
        }
        send(options.pointer, queue.pointer);
        let event = sys::rd_kafka_queue_poll(queue.pointer, milliseconds);
        if event.is_null() {
            return Err(RDKafkaErrorCode::OperationTimedOut);
        }
        let event = Owned::new(event, sys::rd_kafka_event_destroy)?;
        check(sys::rd_kafka_event_error(event.pointer))?;
        Ok(event)
    }
}

pub(super) fn check(code: sys::rd_kafka_resp_err_t) -> Result<(), RDKafkaErrorCode> {
    match code {
        sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(()),
        code => Err(code.into()),
    }
}

/// # Errors
/// What `error` says, where there is one.
///
/// # Safety
/// `error` is null or alive.
pub(super) unsafe fn check_error(error: *const sys::rd_kafka_error_t) -> Result<(), RDKafkaErrorCode> {
    // SAFETY: the caller's promise.
    if error.is_null() { Ok(()) } else { check(unsafe { sys::rd_kafka_error_code(error) }) }
}

/// # Safety
/// `text` is null or a live text that ends with a zero byte.
pub(super) unsafe fn text(text: *const c_char) -> Option<String> {
    // SAFETY: the caller's promise.
    (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned())
}

/// The generation (with the consumer protocol: the member's epoch) and the member's id; `None`: it is no member.
pub(super) fn membership<C: ConsumerContext>(client: &BaseConsumer<C>) -> Option<(i32, String)> {
    let client = client.client().native_ptr();
    // SAFETY: the client is borrowed and so alive; the metadata is ours, checked and freed by `Owned`.
    unsafe {
        let metadata = sys::rd_kafka_consumer_group_metadata(client);
        let metadata = Owned::new(metadata, sys::rd_kafka_consumer_group_metadata_destroy).ok()?;
        let generation = sys::rd_kafka_consumer_group_metadata_generation_id(metadata.pointer);
        let id = text(sys::rd_kafka_consumer_group_metadata_member_id(metadata.pointer))?;
        (generation >= 0 && !id.is_empty()).then_some((generation, id))
    }
}

/// Is the consumer a member of its group (classic protocol)? It is none from the moment that it leaves.
pub(super) fn is_member<C: ConsumerContext>(client: &BaseConsumer<C>) -> bool {
    let client = client.client().native_ptr();
    // SAFETY: the client is borrowed and so alive; the id is ours, read before it is freed, and freed once.
    unsafe {
        let id = sys::rd_kafka_memberid(client);
        if id.is_null() {
            return false;
        }
        let is_member = *id != 0;
        sys::rd_kafka_mem_free(client, id.cast());
        is_member
    }
}
