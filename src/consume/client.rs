//! The configuration of our clients: the operator's properties first, ours last.

use rdkafka::ClientConfig;

use super::ConsumerOptions;
use crate::config::{GroupProtocol, Source};
use crate::kafka;

/// 6 s is the least that brokers accept by default; a killed member without a static instance is missed for so long.
const SESSION_TIMEOUT_MS: u32 = 6_000;
/// Several heartbeats within a session, and a rebalance is noticed within a second.
const HEARTBEAT_MS: u32 = 1_000;
/// Only a hung thread stays away from polling so long; a slow database does not.
const MAX_POLL_INTERVAL_MS: u32 = 300_000;
/// librdkafka waits this long after its prefetch was full; its default of 1 s caps throughput at a quarter.
const FETCH_QUEUE_BACKOFF_MS: u32 = 5;
/// A new topic or partition is noticed within this time.
pub(super) const METADATA_REFRESH_MS: u32 = 30_000;
/// How often watermarks are told.
const STATISTICS_INTERVAL_MS: u32 = 2_000;
/// Kafka's own default for one answer, and as much for one partition of it; a larger record still comes alone.
const FETCH_MAX_BYTES: usize = 50 << 20;
const PARTITION_FETCH_MAX_BYTES: usize = 1 << 20;
/// librdkafka does not fetch less than its `message.max.bytes` at a time, so a smaller prefetch would be a pretence.
const LEAST_PREFETCH_BYTES: usize = 1 << 20;

/// What KIP-848 moves to the broker and librdkafka therefore refuses.
const CLASSIC_ONLY: [&str; 4] =
    ["session.timeout.ms", "heartbeat.interval.ms", "partition.assignment.strategy", "group.protocol.type"];

/// What every client of a source shares.
pub(super) fn common(source: &Source, client_id: &str) -> ClientConfig {
    kafka::client_config(&source.brokers, &source.kafka, client_id)
}

/// The member of the group.
pub(super) fn member(source: &Source, options: &ConsumerOptions, instance: Option<&str>) -> ClientConfig {
    let mut config = common(source, &client_id(&options.pipeline));
    let prefetch = options.prefetch_bytes.max(LEAST_PREFETCH_BYTES);
    let fetch = prefetch.min(FETCH_MAX_BYTES);
    config
        .set("group.id", &source.group)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "error")
        .set("isolation.level", "read_committed")
        .set("check.crcs", "true")
        .set("enable.partition.eof", "true")
        .set("fetch.queue.backoff.ms", FETCH_QUEUE_BACKOFF_MS.to_string())
        .set("queued.max.messages.kbytes", (prefetch >> 10).to_string())
        .set("fetch.max.bytes", fetch.to_string())
        .set("max.partition.fetch.bytes", PARTITION_FETCH_MAX_BYTES.to_string())
        .set("topic.metadata.refresh.interval.ms", METADATA_REFRESH_MS.to_string())
        .set("statistics.interval.ms", STATISTICS_INTERVAL_MS.to_string())
        .set("max.poll.interval.ms", MAX_POLL_INTERVAL_MS.to_string());
    match source.protocol {
        GroupProtocol::Classic => {
            let strategy = config.get("partition.assignment.strategy").unwrap_or("cooperative-sticky").to_owned();
            config
                .set("group.protocol", "classic")
                .set("partition.assignment.strategy", strategy)
                .set("session.timeout.ms", SESSION_TIMEOUT_MS.to_string())
                .set("heartbeat.interval.ms", HEARTBEAT_MS.to_string());
        }
        GroupProtocol::Consumer => {
            for property in CLASSIC_ONLY {
                config.remove(property);
            }
            config.set("group.protocol", "consumer");
        }
    }
    match instance {
        Some(instance) => config.set("group.instance.id", instance),
        None => config.remove("group.instance.id"),
    };
    config
}

pub(super) fn client_id(pipeline: &str) -> String {
    format!("tidegate-{pipeline}")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::config::{Format, Instance, KeyFormat, LostPosition, Secret, Start, Topics};

    fn source(protocol: GroupProtocol, kafka: &[(&str, &str)]) -> Source {
        Source {
            brokers: vec!["a:1".to_owned(), "b:2".to_owned()],
            topics: Topics::List(vec!["t".to_owned()]),
            group: "g".to_owned(),
            start: Start::Earliest,
            format: Format::Json,
            key_format: KeyFormat::Text,
            protocol,
            instance: Instance::None,
            on_lost_position: LostPosition::Stop,
            columns: Vec::new(),
            timezone: None,
            kafka: kafka.iter().map(|(k, v)| ((*k).to_owned(), Secret::new(*v))).collect::<BTreeMap<_, _>>(),
        }
    }

    fn options() -> ConsumerOptions {
        ConsumerOptions { pipeline: "p".to_owned(), prefetch_bytes: 16 << 20 }
    }

    #[test]
    fn ours_are_set_last() {
        let theirs = [("enable.auto.commit", "true"), ("auto.offset.reset", "latest"), ("group.instance.id", "x")];
        let config = member(&source(GroupProtocol::Classic, &theirs), &options(), None);
        assert_eq!(config.get("bootstrap.servers"), Some("a:1,b:2"));
        assert_eq!(config.get("enable.auto.commit"), Some("false"));
        assert_eq!(config.get("auto.offset.reset"), Some("error"));
        assert_eq!(config.get("group.instance.id"), None);
        assert_eq!(config.get("partition.assignment.strategy"), Some("cooperative-sticky"));
    }

    #[test]
    fn librdkafka_takes_what_each_protocol_sets_at_any_prefetch() {
        let range = [("partition.assignment.strategy", "range"), ("session.timeout.ms", "45000")];
        for protocol in [GroupProtocol::Classic, GroupProtocol::Consumer] {
            for prefetch_bytes in [0, 1 << 20, 1 << 30] {
                let options = ConsumerOptions { prefetch_bytes, ..options() };
                let config = member(&source(protocol, &range), &options, Some("i-0"));
                let consumer: Result<rdkafka::consumer::BaseConsumer, _> = config.create();
                assert!(consumer.is_ok(), "{protocol:?} {prefetch_bytes}: {:?}", consumer.err());
            }
        }
    }
}
