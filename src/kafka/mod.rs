//! What every Kafka client of ours shares, whether it consumes or produces: properties, log, errors.

pub mod errors;
mod membership;

use std::collections::BTreeMap;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;

use crate::config::Secret;

pub use membership::Membership;

/// The operator's properties first, ours last.
pub(crate) fn client_config(
    brokers: &[String],
    properties: &BTreeMap<String, Secret>,
    client_id: &str,
) -> ClientConfig {
    let mut config = ClientConfig::new();
    for (property, value) in properties {
        config.set(property, value.expose());
    }
    config
        .set("bootstrap.servers", brokers.join(","))
        .set("client.id", client_id)
        .set("allow.auto.create.topics", "false")
        .set("socket.nagle.disable", "true")
        .set("socket.keepalive.enable", "true")
        .set_log_level(RDKafkaLogLevel::Info);
    config
}

/// librdkafka's log, in ours. The levels are syslog's.
pub(crate) fn log(level: i32, facility: &str, text: &str) {
    match level {
        ..=3 => tracing::warn!(target: "rdkafka", facility, "{text}"),
        4..=6 => tracing::info!(target: "rdkafka", facility, "{text}"),
        _ => tracing::debug!(target: "rdkafka", facility, "{text}"),
    }
}
