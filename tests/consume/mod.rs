//! The consumer against a real Kafka.

mod brokers;
mod cluster;
mod group;
mod instance;
mod reading;
mod unassigned;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tidegate::config::{BatchLimits, GroupProtocol, Instance, Source, Start, Topics};
use tidegate::consume::{Cluster, Consumer, ConsumerOptions, Event};
use tidegate::inbox::{Inbox, MemoryBudget};
use tidegate::lease::Lease;
use tidegate::offsets::TopicPartition;
use tidegate::retry::Disposition;
use tokio::sync::mpsc;

use crate::support::kafka::{self, End, PATIENCE, Sent};

/// A record as it arrived.
#[derive(Debug, Clone, PartialEq)]
struct Got {
    partition: i32,
    offset: i64,
    value: Option<Vec<u8>>,
}

/// A consumer with one inbox, and what it told.
struct Member {
    consumer: Consumer,
    events: mpsc::UnboundedReceiver<Event>,
    inbox: Arc<Inbox>,
    leases: BTreeMap<TopicPartition, Arc<Lease>>,
    /// The end of the covered interval of each partition.
    covered: BTreeMap<TopicPartition, i64>,
    got: Vec<Got>,
}

fn limits(rows: usize) -> BatchLimits {
    BatchLimits { rows, ..BatchLimits::default() }
}

impl Member {
    fn join(source: &Source) -> Self {
        Self::join_with(source, limits(10_000))
    }

    fn join_with(source: &Source, limits: BatchLimits) -> Self {
        let (sender, events) = mpsc::unbounded_channel();
        let options = ConsumerOptions { pipeline: source.group.clone(), prefetch_bytes: 8 << 20 };
        let consumer = Consumer::start(source, options, sender).expect("a consumer");
        let inbox = Inbox::new(limits, MemoryBudget::new(256 << 20));
        Self { consumer, events, inbox, leases: BTreeMap::new(), covered: BTreeMap::new(), got: Vec::new() }
    }

    /// The next event that `wanted` takes; statistics are passed over, anything else is a failure.
    async fn event<T>(&mut self, what: &str, mut wanted: impl FnMut(Event) -> Result<T, Event>) -> T {
        let wait = async {
            loop {
                match wanted(self.events.recv().await.expect("a living consumer")) {
                    Ok(found) => return found,
                    Err(Event::Statistics(_)) => {}
                    Err(other) => panic!("{what} was awaited, and {other:?} came"),
                }
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("it never came: {what}"))
    }

    /// The next assignment with something in it.
    async fn assigned(&mut self) -> (u64, Vec<TopicPartition>) {
        self.event("an assignment", |event| match event {
            Event::Assigned { partitions, .. } if partitions.is_empty() => Err(Event::Statistics(Vec::new())),
            Event::Assigned { generation, mut partitions } => {
                partitions.sort();
                Ok((generation, partitions))
            }
            other => Err(other),
        })
        .await
    }

    fn read(&mut self, generation: u64, starts: &[(TopicPartition, i64)]) {
        let leases = starts.iter().map(|(partition, start)| {
            let lease = Arc::new(Lease::new(partition.clone(), 1, *start));
            self.leases.insert(partition.clone(), lease.clone());
            self.covered.insert(partition.clone(), *start);
            (lease, self.inbox.clone())
        });
        self.consumer.read(generation, leases.collect());
    }

    fn read_from_start(&mut self, generation: u64, partitions: &[TopicPartition]) {
        let starts: Vec<_> = partitions.iter().map(|partition| (partition.clone(), 0)).collect();
        self.read(generation, &starts);
    }

    /// Takes batches until everything up to `ends` is covered. Each batch must join the one before.
    async fn take_up_to(&mut self, ends: &[(TopicPartition, i64)]) {
        let wait = async {
            while ends.iter().any(|(partition, end)| self.covered.get(partition).is_none_or(|at| at < end)) {
                self.take().await;
            }
        };
        if tokio::time::timeout(PATIENCE, wait).await.is_err() {
            panic!("{ends:?} was never reached: {:?}, {} records", self.covered, self.got.len());
        }
    }

    async fn take(&mut self) {
        let delivery = self.inbox.take(tokio::time::Instant::now()).await.expect("an open inbox");
        for (partition, interval) in delivery.records.covered().iter() {
            let at = self.covered.get_mut(partition).expect("a partition that is read");
            assert_eq!(*at, interval.from(), "{partition} does not join");
            *at = interval.to();
        }
        for row in 0..delivery.records.len() {
            let record = delivery.records.get(row);
            let value = record.value().map(<[u8]>::to_vec);
            self.got.push(Got { partition: record.partition(), offset: record.offset(), value });
        }
    }

    fn offsets(&self, partition: i32) -> Vec<i64> {
        self.got.iter().filter(|got| got.partition == partition).map(|got| got.offset).collect()
    }

    fn stop(self) {
        let stopped = self.consumer.stop(PATIENCE);
        assert!(stopped, "the consumer did not close");
    }
}

fn at(topic: &str, partition: i32) -> TopicPartition {
    TopicPartition::new(topic, partition)
}

/// The protocols and strategies that a group may have.
fn kinds(source: &Source) -> [(&'static str, Source); 3] {
    let own_group = || Source { group: kafka::unique("g"), ..source.clone() };
    let consumer = Source { protocol: GroupProtocol::Consumer, ..own_group() };
    [
        ("cooperative-sticky", own_group()),
        ("range", kafka::with(own_group(), "partition.assignment.strategy", "range")),
        ("consumer", consumer),
    ]
}
