//! Commit: receipts -> the group's offsets.
//!
//! Kafka's group offset mirrors the database: it follows a COMMIT and never leads it. Kafka itself would accept a lower
//! offset than before (a valid member may commit anything), so the maximum is kept here.

use std::collections::BTreeMap;

use crate::offsets::TopicPartition;
use crate::write::Durable;

/// The positions that receipts have proved, per partition.
#[derive(Debug, Default)]
pub struct GroupOffsets(BTreeMap<TopicPartition, i64>);

impl GroupOffsets {
    /// Takes a receipt in; returns the positions that it moved, for the group.
    pub fn record(&mut self, receipt: &Durable) -> Vec<(TopicPartition, i64)> {
        let moved = receipt.offsets().iter().filter(|(_, interval)| !interval.is_empty());
        moved
            .filter_map(|(partition, interval)| {
                let known = self.0.entry(partition.clone()).or_insert(i64::MIN);
                (interval.to() > *known).then(|| {
                    *known = interval.to();
                    (partition.clone(), interval.to())
                })
            })
            .collect()
    }

    /// The proved position of a partition that is held.
    pub fn get(&self, partition: &TopicPartition) -> Option<i64> {
        self.0.get(partition).copied()
    }

    /// A partition is given up: returns its position, for a last commit.
    pub fn release(&mut self, partition: &TopicPartition) -> Option<i64> {
        self.0.remove(partition)
    }
}
