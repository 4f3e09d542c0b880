//! Offsets: half-open intervals per partition that must chain. The only place with offset arithmetic.
//!
//! A Kafka position is the offset of the *next* record to read. An interval `[from, to)` says that everything
//! from `from` up to, not including, `to` has been accounted for: records, and the offsets that carry none
//! (transaction markers, aborted records, holes that compaction left).

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// A partition of a topic.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    pub topic: Arc<str>,
    pub partition: i32,
}

impl TopicPartition {
    pub fn new(topic: impl Into<Arc<str>>, partition: i32) -> Self {
        Self { topic: topic.into(), partition }
    }
}

/// As operators and Kafka's own tools write it: `orders-3`.
impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

impl fmt::Debug for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What Kafka says of a partition's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionLog {
    pub partition: TopicPartition,
    pub cluster_id: String,
    /// KIP-516, base64; empty where the broker has none. A topic that was deleted and created again has another one.
    pub topic_id: String,
    /// The earliest offset that the log still has.
    pub low: i64,
    /// One past the last offset.
    pub high: i64,
}

/// `[from, to)`; empty when `from == to`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Interval {
    from: i64,
    to: i64,
}

impl Interval {
    /// # Panics
    /// When `to < from`: the caller computed an offset wrongly, and going on would lose or repeat records.
    pub fn new(from: i64, to: i64) -> Self {
        assert!(from <= to, "an interval of offsets cannot run backwards: [{from}..{to})");
        Self { from, to }
    }

    /// The first offset of the interval: the position it starts at.
    pub fn from(self) -> i64 {
        self.from
    }

    /// The next position: one past the last offset accounted for.
    pub fn to(self) -> i64 {
        self.to
    }

    pub fn is_empty(self) -> bool {
        self.from == self.to
    }

    pub fn contains(self, offset: i64) -> bool {
        (self.from..self.to).contains(&offset)
    }
}

impl fmt::Debug for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}..{})", self.from, self.to)
    }
}

/// Two intervals of one partition that do not chain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{partition}: the position is {have}, and the next interval is {next:?}: they do not chain")]
pub struct BrokenChain {
    pub partition: TopicPartition,
    pub have: i64,
    pub next: Interval,
}

/// One interval per partition.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Offsets(BTreeMap<TopicPartition, Interval>);

impl Offsets {
    pub fn is_empty(&self) -> bool {
        self.0.values().all(|interval| interval.is_empty())
    }

    pub fn get(&self, partition: &TopicPartition) -> Option<Interval> {
        self.0.get(partition).copied()
    }

    pub fn iter(&self) -> impl Iterator<Item = (&TopicPartition, Interval)> {
        self.0.iter().map(|(partition, interval)| (partition, *interval))
    }

    /// Appends `next` to what is covered of `partition`.
    ///
    /// # Errors
    /// [`BrokenChain`] when `next` does not begin where the covered interval ends; nothing has changed then.
    pub fn extend(&mut self, partition: &TopicPartition, next: Interval) -> Result<(), BrokenChain> {
        match self.0.get_mut(partition) {
            None => {
                self.0.insert(partition.clone(), next);
                Ok(())
            }
            Some(covered) if covered.to == next.from => {
                covered.to = next.to;
                Ok(())
            }
            Some(covered) => Err(BrokenChain { partition: partition.clone(), have: covered.to, next }),
        }
    }

    /// Forgets a partition: its lease is gone, and what was read under it must not be written.
    pub fn remove(&mut self, partition: &TopicPartition) -> Option<Interval> {
        self.0.remove(partition)
    }
}

impl fmt::Debug for Offsets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.0.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn orders(partition: i32) -> TopicPartition {
        TopicPartition::new("orders", partition)
    }

    #[test]
    fn intervals_that_chain_become_one() {
        let mut offsets = Offsets::default();
        offsets.extend(&orders(0), Interval::new(3, 7)).unwrap();
        offsets.extend(&orders(0), Interval::new(7, 9)).unwrap();
        assert_eq!(offsets.get(&orders(0)), Some(Interval::new(3, 9)));
    }

    #[test]
    fn a_gap_and_an_overlap_are_refused_and_change_nothing() {
        for wrong in [Interval::new(8, 9), Interval::new(6, 9)] {
            let mut offsets = Offsets::default();
            offsets.extend(&orders(0), Interval::new(3, 7)).unwrap();
            let error = offsets.extend(&orders(0), wrong).unwrap_err();
            assert_eq!((error.have, error.next), (7, wrong));
            assert_eq!(offsets.get(&orders(0)), Some(Interval::new(3, 7)));
        }
    }

    #[test]
    fn partitions_are_independent() {
        let mut offsets = Offsets::default();
        offsets.extend(&orders(0), Interval::new(0, 2)).unwrap();
        offsets.extend(&orders(1), Interval::new(10, 10)).unwrap();
        assert_eq!(offsets.iter().count(), 2);
        assert!(!offsets.is_empty());
        offsets.remove(&orders(0));
        assert!(offsets.is_empty(), "an empty interval covers nothing");
    }

    #[test]
    #[should_panic(expected = "cannot run backwards")]
    fn an_interval_never_runs_backwards() {
        Interval::new(5, 4);
    }
}
