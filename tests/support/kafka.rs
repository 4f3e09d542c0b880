//! Topics, records and groups of the real Kafka.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{Header, Headers as _, Message as _, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use tidegate::config::{Format, GroupProtocol, Instance, KeyFormat, LostPosition, Secret, Source, Start, Topics};

use super::services;

/// Longer than any answer of a healthy broker on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A name nobody else uses.
pub fn unique(prefix: &str) -> String {
    format!("{prefix}-{:016x}", fastrand::u64(..))
}

fn config() -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", services::kafka()).set_log_level(rdkafka::config::RDKafkaLogLevel::Error);
    config
}

/// On a thread and a runtime of its own, so that it may be called from a test's runtime.
fn admin(work: impl AsyncFnOnce(&AdminClient<DefaultClientContext>, &AdminOptions) + Send) {
    let run = || {
        let client = config().create().expect("an admin client");
        let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(work(&client, &options));
    };
    std::thread::scope(|scope| scope.spawn(run).join().expect("an administrator's request"));
}

/// A new topic with a name of its own.
pub fn topic(partitions: i32) -> String {
    let name = unique("t");
    create(&name, partitions);
    name
}

pub fn create(name: &str, partitions: i32) {
    admin(async |client, options| {
        let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
        client.create_topics([&topic], options).await.expect("a broker").remove(0).expect("a topic");
    });
    // The broker answers before every part of it knows the topic.
    wait_until("the topic is there", || partitions_of(name) == Some(partitions as usize));
}

/// A topic on another cluster.
pub fn create_at(brokers: &str, name: &str, partitions: i32) {
    let client: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", brokers).create().expect("an admin client");
    let create = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
        let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
        runtime.block_on(client.create_topics([&topic], &options)).expect("a broker").remove(0).expect("a topic");
    };
    std::thread::scope(|scope| scope.spawn(create).join().expect("an administrator's request"));
}

pub fn delete(name: &str) {
    admin(async |client, options| {
        client.delete_topics(&[name], options).await.expect("a broker").remove(0).expect("a topic");
    });
    wait_until("the topic is gone", || partitions_of(name).is_none());
}

/// Adds partitions, up to `count`.
pub fn grow(name: &str, count: usize) {
    admin(async |client, options| {
        let grown = NewPartitions::new(name, count);
        client.create_partitions([&grown], options).await.expect("a broker").remove(0).expect("partitions");
    });
    wait_until("the partitions are there", || partitions_of(name) == Some(count));
}

fn partitions_of(topic: &str) -> Option<usize> {
    let client: BaseConsumer = config().set("allow.auto.create.topics", "false").create().expect("a client");
    let metadata = client.fetch_metadata(Some(topic), PATIENCE).expect("a broker");
    let topic = metadata.topics().iter().find(|found| found.name() == topic)?;
    (topic.error().is_none() && topic.partitions().iter().all(|p| p.error().is_none() && p.leader() >= 0))
        .then(|| topic.partitions().len())
}

/// Removes everything below `offset`.
pub fn delete_records(topic: &str, partition: i32, offset: i64) {
    admin(async |client, options| {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(offset)).expect("an offset");
        client.delete_records(&list, options).await.expect("records to be deleted");
    });
}

/// How a transaction ends.
#[derive(Clone, Copy, PartialEq)]
pub enum End {
    Commit,
    Abort,
}

/// A record to produce.
#[derive(Default, Clone)]
pub struct Sent<'a> {
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    pub headers: Vec<(&'a str, Option<&'a [u8]>)>,
}

/// `count` records with their number as value.
pub fn produce(topic: &str, partition: i32, count: usize) {
    let values: Vec<String> = (0..count).map(|n| n.to_string()).collect();
    let records = values.iter().map(|value| Sent { value: Some(value.as_bytes()), ..Sent::default() });
    send(topic, partition, records);
}

pub fn send<'a>(topic: &str, partition: i32, records: impl IntoIterator<Item = Sent<'a>>) {
    let producer: BaseProducer = config().create().expect("a producer");
    send_all(&producer, topic, partition, records);
}

fn send_all<'a>(producer: &BaseProducer, topic: &str, partition: i32, records: impl IntoIterator<Item = Sent<'a>>) {
    for record in records {
        let mut message: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(topic).partition(partition);
        message.key = record.key;
        message.payload = record.value;
        if !record.headers.is_empty() {
            let headers = OwnedHeaders::new();
            message.headers = Some(
                record.headers.iter().fold(headers, |all, (key, value)| all.insert(Header { key, value: *value })),
            );
        }
        producer.send(message).map_err(|(error, _)| error).expect("room in the producer");
        producer.poll(Duration::ZERO);
    }
    producer.flush(PATIENCE).expect("records to be delivered");
}

/// A transaction that has not ended yet.
pub struct Transaction(BaseProducer);

impl Transaction {
    pub fn end(self, end: End) {
        match end {
            End::Commit => self.0.commit_transaction(PATIENCE).expect("a commit"),
            End::Abort => self.0.abort_transaction(PATIENCE).expect("an abort"),
        }
    }
}

/// `count` records in a transaction; they are in the topic, and nobody may read them yet.
pub fn open_transaction(topic: &str, partition: i32, count: usize) -> Transaction {
    let producer: BaseProducer =
        config().set("transactional.id", unique("x")).create().expect("a transactional producer");
    producer.init_transactions(PATIENCE).expect("transactions");
    producer.begin_transaction().expect("a transaction");
    let values: Vec<String> = (0..count).map(|n| n.to_string()).collect();
    let records = values.iter().map(|value| Sent { value: Some(value.as_bytes()), ..Sent::default() });
    send_all(&producer, topic, partition, records);
    Transaction(producer)
}

/// `count` records in one transaction.
pub fn transaction(topic: &str, partition: i32, count: usize, end: End) {
    open_transaction(topic, partition, count).end(end);
}

/// The offset that the group has stored.
pub fn committed(group: &str, topic: &str, partition: i32) -> Option<i64> {
    let client: BaseConsumer = config().set("group.id", group).create().expect("a client");
    let mut list = TopicPartitionList::new();
    list.add_partition(topic, partition);
    let found = client.committed_offsets(list, PATIENCE).expect("a coordinator");
    match found.find_partition(topic, partition).expect("the partition asked for").offset() {
        Offset::Offset(offset) => Some(offset),
        _ => None,
    }
}

/// Is a transaction open in the topic, or has one just ended whose end is not written yet?
pub fn has_open_transaction(topic: &str) -> bool {
    let end = |isolation: &str| -> Vec<i64> {
        let client: BaseConsumer = config().set("isolation.level", isolation).create().expect("a client");
        let partitions = 0..partitions_of(topic).expect("the topic is there") as i32;
        let ends = partitions.map(|partition| client.fetch_watermarks(topic, partition, PATIENCE).expect("a broker").1);
        ends.collect()
    };
    // In this order: what is written in between makes only the second larger.
    let (stable, all) = (end("read_committed"), end("read_uncommitted"));
    stable != all
}

/// State and number of members of a group of the classic protocol.
pub fn group_state(group: &str) -> (String, usize) {
    let client: BaseConsumer = config().create().expect("a client");
    let list = client.fetch_group_list(Some(group), PATIENCE).expect("a coordinator");
    list.groups()
        .iter()
        .find(|found| found.name() == group)
        .map_or((String::new(), 0), |found| (found.state().to_owned(), found.members().len()))
}

/// The generations of a group of the classic protocol, as its coordinator's log has them from a moment on.
pub struct Generations {
    group: String,
    start: TopicPartitionList,
}

impl Generations {
    const LOG: &str = "__consumer_offsets";

    /// From now on.
    pub fn of(group: &str) -> Self {
        let client: BaseConsumer = config().create().expect("a client");
        let mut start = TopicPartitionList::new();
        for partition in 0..partitions_of(Self::LOG).expect("groups have been used before") as i32 {
            let (_, end) = client.fetch_watermarks(Self::LOG, partition, PATIENCE).expect("a broker");
            start.add_partition_offset(Self::LOG, partition, Offset::Offset(end)).expect("an offset");
        }
        Self { group: group.to_owned(), start }
    }

    /// The last one so far.
    pub fn latest(&self) -> Option<i32> {
        let client: BaseConsumer = config()
            .set("group.id", unique("g"))
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .set("isolation.level", "read_uncommitted")
            .create()
            .expect("a client");
        client.assign(&self.start).expect("an assignment");
        let (mut unread, mut latest) = (self.start.count(), None);
        let end = Instant::now() + PATIENCE;
        while unread > 0 {
            assert!(Instant::now() < end, "the end of {} was never reached", Self::LOG);
            match client.poll(Duration::from_millis(100)) {
                Some(Ok(message)) => latest = self.generation(message.key(), message.payload()).or(latest),
                Some(Err(rdkafka::error::KafkaError::PartitionEOF(_))) => unread -= 1,
                Some(Err(error)) => panic!("{} cannot be read: {error}", Self::LOG),
                None => {}
            }
        }
        latest
    }

    /// A record with a key of version 2 is a group's state: version, protocol type, generation ...
    fn generation(&self, key: Option<&[u8]>, value: Option<&[u8]>) -> Option<i32> {
        let group = self.group.as_bytes();
        let wanted = [&2_i16.to_be_bytes(), &(group.len() as i16).to_be_bytes(), group].concat();
        let value = value.filter(|_| key == Some(&wanted))?;
        assert!(value[1] < 4, "a newer form of the group's state: {}", value[1]);
        let after_type = 4 + usize::from(u16::from_be_bytes([value[2], value[3]]));
        Some(i32::from_be_bytes(value[after_type..after_type + 4].try_into().expect("four bytes")))
    }
}

/// Another client's member of a group that takes a static instance over.
pub fn rival(group: &str, instance: &str, topic: &str) -> BaseConsumer {
    let consumer: BaseConsumer = config()
        .set("group.id", group)
        .set("group.instance.id", instance)
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("session.timeout.ms", "6000")
        .create()
        .expect("a client");
    consumer.subscribe(&[topic]).expect("a subscription");
    wait_until("the rival has joined", || {
        consumer.poll(Duration::from_millis(100));
        consumer.assignment().is_ok_and(|assignment| assignment.count() > 0)
    });
    consumer
}

/// A source of these topics, in a group of its own, with dynamic membership.
pub fn source(topics: &[&str]) -> Source {
    Source {
        brokers: vec![services::kafka()],
        topics: Topics::List(topics.iter().map(|topic| (*topic).to_owned()).collect()),
        group: unique("g"),
        start: Start::Earliest,
        format: Format::Json,
        key_format: KeyFormat::Text,
        protocol: GroupProtocol::Classic,
        instance: Instance::None,
        on_lost_position: LostPosition::Stop,
        columns: Vec::new(),
        timezone: None,
        kafka: BTreeMap::new(),
    }
}

/// A source with one more property.
pub fn with(mut source: Source, property: &str, value: &str) -> Source {
    source.kafka.insert(property.to_owned(), Secret::new(value));
    source
}

/// Waits for a condition.
///
/// # Panics
/// When it has not come after [`PATIENCE`].
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < end, "it never came: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A record as a reader of committed records gets it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Received {
    pub partition: i32,
    pub key: Option<String>,
    /// `None`: a tombstone.
    pub value: Option<String>,
    pub headers: Vec<(String, String)>,
    pub timestamp: Option<i64>,
}

impl Received {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(header, _)| header == name).map(|(_, value)| value.as_str())
    }
}

/// A record as a reader of committed records gets it, byte by byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bytes {
    pub partition: i32,
    pub key: Option<Vec<u8>>,
    /// `None`: a tombstone.
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    pub timestamp: Option<i64>,
}

impl Bytes {
    /// The last header of the name, as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().rev().find(|(header, _)| header == name)?;
        found.1.as_deref().map(|value| std::str::from_utf8(value).expect("text"))
    }
}

/// Everything in a topic of texts, partition by partition.
pub fn received(brokers: &str, topic: &str) -> Vec<Received> {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    let record = |bytes: Bytes| Received {
        partition: bytes.partition,
        key: bytes.key.map(text),
        value: bytes.value.map(text),
        headers: bytes.headers.into_iter().map(|(name, value)| (name, text(value.unwrap_or_default()))).collect(),
        timestamp: bytes.timestamp,
    };
    received_bytes(brokers, topic).into_iter().map(record).collect()
}

/// Everything in a topic, partition by partition.
pub fn received_bytes(brokers: &str, topic: &str) -> Vec<Bytes> {
    let client: BaseConsumer = config()
        .set("bootstrap.servers", brokers)
        .set("group.id", unique("g"))
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("isolation.level", "read_committed")
        .create()
        .expect("a client");
    let metadata = client.fetch_metadata(Some(topic), PATIENCE).expect("a broker");
    let mut unread = metadata.topics()[0].partitions().len();
    let mut start = TopicPartitionList::new();
    for partition in 0..unread as i32 {
        start.add_partition_offset(topic, partition, Offset::Beginning).expect("an offset");
    }
    client.assign(&start).expect("an assignment");
    let mut received = Vec::new();
    let end = Instant::now() + PATIENCE;
    while unread > 0 {
        assert!(Instant::now() < end, "the end of {topic} was never reached");
        match client.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => received.push(Bytes {
                partition: message.partition(),
                key: message.key().map(<[u8]>::to_vec),
                value: message.payload().map(<[u8]>::to_vec),
                headers: message.headers().map_or_else(Vec::new, |headers| {
                    let own = |header: Header<'_, &[u8]>| (header.key.to_owned(), header.value.map(<[u8]>::to_vec));
                    headers.iter().map(own).collect()
                }),
                timestamp: message.timestamp().to_millis(),
            }),
            Some(Err(rdkafka::error::KafkaError::PartitionEOF(_))) => unread -= 1,
            Some(Err(error)) => panic!("{topic} cannot be read: {error}"),
            None => {}
        }
    }
    received.sort_by_key(|record: &Bytes| record.partition);
    received
}
