//! librdkafka's statistics: whether a broker answers, and how far the partitions reach.

use std::collections::HashMap;

use serde::Deserialize;

use super::PartitionStatistics;
use crate::offsets::TopicPartition;

/// What we read of librdkafka's statistics.
#[derive(Deserialize)]
pub(super) struct Statistics {
    #[serde(default)]
    brokers: HashMap<String, BrokerStatistics>,
    #[serde(default)]
    topics: HashMap<String, TopicStatistics>,
}

#[derive(Deserialize)]
struct BrokerStatistics {
    state: String,
}

#[derive(Deserialize)]
struct TopicStatistics {
    partitions: HashMap<String, PartitionNumbers>,
}

#[derive(Deserialize)]
struct PartitionNumbers {
    hi_offset: i64,
    ls_offset: i64,
}

impl Statistics {
    pub(super) fn parse(json: &[u8]) -> Option<Self> {
        serde_json::from_slice(json).ok()
    }

    pub(super) fn is_a_broker_up(&self) -> bool {
        self.brokers.values().any(|broker| broker.state == "UP")
    }

    /// Of those partitions that were fetched at least once.
    pub(super) fn of(&self, partitions: Vec<TopicPartition>) -> Vec<PartitionStatistics> {
        let numbers = |partition: TopicPartition| {
            let topic = self.topics.get(&*partition.topic)?;
            let known = topic.partitions.get(&partition.partition.to_string())?;
            // Negative until the first fetch.
            let high_watermark = Some(known.hi_offset).filter(|offset| *offset >= 0)?;
            let last_stable = Some(known.ls_offset).filter(|offset| *offset >= 0).unwrap_or(high_watermark);
            Some(PartitionStatistics { partition, high_watermark, last_stable })
        };
        partitions.into_iter().filter_map(numbers).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_known_is_told() {
        let json = br#"{"brokers": {"a:1/1": {"state": "INIT"}, "b:1/2": {"state": "UP"}},
            "topics": {"t": {"partitions": {
                "0": {"hi_offset": 12, "ls_offset": 10},
                "1": {"hi_offset": -1001, "ls_offset": -1001},
                "2": {"hi_offset": 7, "ls_offset": -1001}}}}}"#;
        let statistics = Statistics::parse(json).unwrap();
        assert!(statistics.is_a_broker_up());
        let told = statistics.of((0..4).map(|partition| TopicPartition::new("t", partition)).collect());
        let told: Vec<_> = told.iter().map(|of| (of.partition.partition, of.high_watermark, of.last_stable)).collect();
        assert_eq!(told, [(0, 12, 10), (2, 7, 7)]);
    }
}
