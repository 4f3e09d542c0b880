//! The group's assignment, and what of it is read.
//!
//! The group is answered at once with nothing, so that it is steady; partitions are given to librdkafka one by one as
//! they are claimed. docs/decisions/deferred-assignment.md says what was measured of it.

use std::hash::Hash;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hashbrown::{Equivalent, HashMap};
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, Offset, Statistics, TopicPartitionList};

use crate::inbox::Inbox;
use crate::kafka;
use crate::lease::Lease;
use crate::offsets::TopicPartition;

/// After a failure at a partition it is read again from the same position after this time.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(10);

/// The client of a consumer's thread. Its callbacks are called only while it is dropped: until then the thread reads
/// the raw events (`queue.rs`).
pub(super) type Client = BaseConsumer<Closing>;

/// Answers what comes while the client closes.
pub(super) struct Closing;

impl ClientContext for Closing {
    fn log(&self, level: rdkafka::config::RDKafkaLogLevel, facility: &str, text: &str) {
        kafka::log(level as i32, facility, text);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(target: "rdkafka", %error, "while closing: {reason}");
    }

    fn stats(&self, _: Statistics) {}

    fn stats_raw(&self, _: &[u8]) {}
}

impl ConsumerContext for Closing {
    /// Whatever the group says now, nothing is ours. Unanswered it would hang the close for ever.
    fn rebalance(&self, consumer: &BaseConsumer<Self>, _: RDKafkaRespErr, _: &mut TopicPartitionList) {
        if let Err(error) = consumer.unassign() {
            tracing::debug!(target: "rdkafka", %error, "while closing: unassign");
        }
    }
}

/// A partition that is read under a lease.
pub(super) struct Reading {
    pub(super) lease: Arc<Lease>,
    pub(super) inbox: Arc<Inbox>,
    /// The next offset expected.
    pub(super) position: i64,
    /// The inbox was full for long: librdkafka fetches nothing for it.
    is_stalled: bool,
    /// Not given to librdkafka at present: it failed there, and is given again at this time.
    again_at: Option<Instant>,
}

/// A partition that the group gave us.
struct Owned {
    generation: u64,
    /// The highest position handed to the group under the present lease.
    sent: i64,
    /// A position to hand to the group.
    pending: Option<i64>,
}

pub(super) struct Assignment {
    generation: u64,
    owned: HashMap<TopicPartition, Owned>,
    reading: HashMap<TopicPartition, Reading>,
    is_paused: bool,
}

/// Finds a partition without making a `TopicPartition`.
#[derive(Hash)]
struct Named<'a> {
    topic: &'a str,
    partition: i32,
}

impl Equivalent<TopicPartition> for Named<'_> {
    fn equivalent(&self, key: &TopicPartition) -> bool {
        self.partition == key.partition && *self.topic == *key.topic
    }
}

impl Assignment {
    pub(super) fn new() -> Self {
        Self { generation: 0, owned: HashMap::new(), reading: HashMap::new(), is_paused: false }
    }

    /// The group gives partitions. Answers with nothing, and returns the generation under which they may be claimed.
    pub(super) fn given(&mut self, client: &Client, partitions: &[TopicPartition]) -> KafkaResult<u64> {
        self.generation += 1;
        let eager = is_eager(client);
        if eager {
            self.owned.clear();
            self.reading.drain().for_each(|(_, reading)| reading.lease.end());
        }
        for partition in partitions {
            let owned = Owned { generation: self.generation, sent: -1, pending: None };
            self.owned.insert(partition.clone(), owned);
        }
        let nothing = TopicPartitionList::new();
        if eager {
            client.assign(&nothing)?
        } else {
            client.incremental_assign(&nothing)?
        }
        Ok(self.generation)
    }

    /// The group took these partitions. Forgets them, and answers.
    pub(super) fn taken(&mut self, client: &Client, partitions: &[TopicPartition]) -> KafkaResult<()> {
        for partition in partitions {
            self.owned.remove(partition);
            // Before the group is answered, and so before anybody else can be given it.
            if let Some(reading) = self.reading.remove(partition) {
                reading.lease.end();
            }
        }
        if is_eager(client) {
            client.unassign()
        } else {
            client.incremental_unassign(&fetched_of(client, partitions.iter())?)
        }
    }

    /// Reads partitions from their leases' positions; those that came by a later assignment, or went, are left out.
    pub(super) fn read(
        &mut self,
        client: &Client,
        generation: u64,
        leases: Vec<(Arc<Lease>, Arc<Inbox>)>,
    ) -> KafkaResult<()> {
        let current: Vec<_> = leases
            .into_iter()
            .filter(|(lease, _)| self.owned.get(lease.partition()).is_some_and(|owned| generation >= owned.generation))
            .collect();
        // What is read already starts again elsewhere: taking it out is also what discards its prefetched records.
        let stopped = self.stop_fetching(client, current.iter().map(|(lease, _)| lease.partition()));
        let mut started = Vec::with_capacity(current.len());
        for (lease, inbox) in current {
            let partition = lease.partition().clone();
            if let Some(owned) = self.owned.get_mut(&partition) {
                // Another lease may be at a lower position: the database was restored from a backup.
                (owned.sent, owned.pending) = (-1, None);
            }
            let reading = Reading { position: lease.start(), lease, inbox, is_stalled: false, again_at: None };
            self.reading.insert(partition.clone(), reading);
            started.push(partition);
        }
        stopped.and(self.fetch(client, &started))
    }

    /// Reads these partitions no more; the group is not told.
    pub(super) fn forget(&mut self, client: &Client, partitions: &[TopicPartition]) -> KafkaResult<()> {
        let result = self.stop_fetching(client, partitions.iter());
        for partition in partitions {
            self.reading.remove(partition);
        }
        result
    }

    /// Something is wrong at a partition: no record behind it may pass. It is read again, later, from its position.
    pub(super) fn set_aside(&mut self, client: &Client, partition: &TopicPartition) -> KafkaResult<()> {
        let result = self.stop_fetching(client, [partition].into_iter());
        if let Some(reading) = self.reading.get_mut(partition) {
            reading.again_at = Some(Instant::now() + TRY_AGAIN_AFTER);
        }
        result
    }

    /// Reads again what was set aside long enough.
    pub(super) fn try_again(&mut self, client: &Client) -> KafkaResult<()> {
        let now = Instant::now();
        let due: Vec<_> = self
            .reading
            .iter_mut()
            .filter(|(_, reading)| reading.again_at.is_some_and(|at| at <= now))
            .map(|(partition, reading)| {
                reading.again_at = None;
                partition.clone()
            })
            .collect();
        if due.is_empty() { Ok(()) } else { self.fetch(client, &due) }
    }

    fn stop_fetching<'p>(
        &mut self,
        client: &Client,
        partitions: impl Iterator<Item = &'p TopicPartition>,
    ) -> KafkaResult<()> {
        let fetched = fetched_of(client, partitions)?;
        for element in fetched.elements() {
            let named = Named { topic: element.topic(), partition: element.partition() };
            if let Some(reading) = self.reading.get_mut(&named) {
                // Until it is started again nothing that comes of it counts.
                reading.again_at = Some(Instant::now() + TRY_AGAIN_AFTER);
            }
        }
        if fetched.count() == 0 {
            return Ok(());
        }
        if is_eager(client) { client.assign(&self.fetched()) } else { client.incremental_unassign(&fetched) }
    }

    fn fetch(&mut self, client: &Client, started: &[TopicPartition]) -> KafkaResult<()> {
        if started.is_empty() {
            return Ok(());
        }
        let result = if is_eager(client) {
            // The eager protocol knows only whole assignments; the others go on at their positions.
            client.assign(&self.fetched())
        } else {
            let mut list = TopicPartitionList::with_capacity(started.len());
            for partition in started {
                if let Some(reading) = self.reading.get(partition) {
                    add(&mut list, partition, reading.position);
                }
            }
            client.incremental_assign(&list)
        };
        if result.is_err() {
            for partition in started {
                if let Some(reading) = self.reading.get_mut(partition) {
                    reading.again_at = Some(Instant::now() + TRY_AGAIN_AFTER);
                }
            }
        }
        // An assignment begins unpaused.
        self.pause_again(client);
        result
    }

    /// What librdkafka is to fetch, with positions.
    fn fetched(&self) -> TopicPartitionList {
        let mut list = TopicPartitionList::with_capacity(self.reading.len());
        for (partition, reading) in self.reading.iter().filter(|(_, reading)| reading.again_at.is_none()) {
            add(&mut list, partition, reading.position);
        }
        list
    }

    pub(super) fn reading(&mut self, topic: &str, partition: i32) -> Option<&mut Reading> {
        self.reading
            .get_mut(&Named { topic, partition })
            .filter(|reading| reading.again_at.is_none() && reading.lease.is_alive())
    }

    pub(super) fn owns(&self, partition: &TopicPartition) -> bool {
        self.owned.contains_key(partition)
    }

    pub(super) fn partitions(&self) -> Vec<TopicPartition> {
        self.owned.keys().cloned().collect()
    }

    /// Stops fetching for a full inbox. librdkafka throws its prefetch for it away, so only for a real stall.
    pub(super) fn stall(&mut self, client: &Client, inbox: &Arc<Inbox>) {
        let mut list = TopicPartitionList::new();
        for (partition, reading) in self.reading.iter_mut().filter(|(_, reading)| Arc::ptr_eq(&reading.inbox, inbox)) {
            if !reading.is_stalled && reading.again_at.is_none() && !self.is_paused {
                list.add_partition(&partition.topic, partition.partition);
            }
            reading.is_stalled = true;
        }
        set_paused(client, &list, true);
    }

    /// Fetches again for inboxes that have room. Returns whether one is still full.
    pub(super) fn resume_stalled(&mut self, client: &Client) -> bool {
        let mut list = TopicPartitionList::new();
        let mut is_one_full = false;
        for (partition, reading) in self.reading.iter_mut().filter(|(_, reading)| reading.is_stalled) {
            if reading.inbox.is_full() {
                is_one_full = true;
                continue;
            }
            reading.is_stalled = false;
            if reading.again_at.is_none() && !self.is_paused {
                list.add_partition(&partition.topic, partition.partition);
            }
        }
        set_paused(client, &list, false);
        is_one_full
    }

    pub(super) fn pause(&mut self, client: &Client, paused: bool) {
        if self.is_paused == paused {
            return;
        }
        self.is_paused = paused;
        let mut list = TopicPartitionList::new();
        for (partition, reading) in &self.reading {
            if !reading.is_stalled && reading.again_at.is_none() {
                list.add_partition(&partition.topic, partition.partition);
            }
        }
        set_paused(client, &list, paused);
    }

    fn pause_again(&self, client: &Client) {
        let mut list = TopicPartitionList::new();
        for (partition, reading) in &self.reading {
            if (self.is_paused || reading.is_stalled) && reading.again_at.is_none() {
                list.add_partition(&partition.topic, partition.partition);
            }
        }
        set_paused(client, &list, true);
    }

    /// Takes positions to hand to the group. A lower one than before under the same lease is of no use.
    pub(super) fn commit_later(&mut self, positions: Vec<(TopicPartition, i64)>) {
        for (partition, position) in positions {
            if let Some(owned) = self.owned.get_mut(&partition)
                && position > owned.sent.max(owned.pending.unwrap_or(-1))
            {
                owned.pending = Some(position);
            }
        }
    }

    /// What is to be handed to the group now; of all partitions, or of those named.
    pub(super) fn take_pending(&mut self, only: Option<&[TopicPartition]>) -> Option<TopicPartitionList> {
        let mut list = TopicPartitionList::new();
        for (partition, owned) in &mut self.owned {
            if only.is_some_and(|only| !only.contains(partition)) {
                continue;
            }
            if let Some(position) = owned.pending.take() {
                owned.sent = position;
                add(&mut list, partition, position);
            }
        }
        (list.count() > 0).then_some(list)
    }

    /// What the group should know in the end: also what was sent, for its answer may say that it was refused.
    pub(super) fn take_last(&mut self) -> Option<TopicPartitionList> {
        for owned in self.owned.values_mut().filter(|owned| owned.sent >= 0) {
            owned.pending.get_or_insert(owned.sent);
        }
        self.take_pending(None)
    }

    /// These positions did not reach the group: hand them over again, where nothing higher went since.
    pub(super) fn not_committed(&mut self, positions: &[(TopicPartition, i64)]) {
        for (partition, position) in positions {
            if let Some(owned) = self.owned.get_mut(partition)
                && owned.sent == *position
                && owned.pending.is_none()
            {
                owned.pending = Some(*position);
            }
        }
    }
}

fn is_eager(client: &Client) -> bool {
    !matches!(client.rebalance_protocol(), RebalanceProtocol::Cooperative)
}

/// Which of these librdkafka fetches: it refuses a whole list for one that it does not.
fn fetched_of<'p>(
    client: &Client,
    partitions: impl Iterator<Item = &'p TopicPartition>,
) -> KafkaResult<TopicPartitionList> {
    let all = client.assignment()?;
    let mut fetched = TopicPartitionList::new();
    for partition in partitions {
        if all.find_partition(&partition.topic, partition.partition).is_some() {
            fetched.add_partition(&partition.topic, partition.partition);
        }
    }
    Ok(fetched)
}

fn add(list: &mut TopicPartitionList, partition: &TopicPartition, position: i64) {
    // Only offsets below librdkafka's logical ones are refused; a position is never negative.
    let added = list.add_partition_offset(&partition.topic, partition.partition, Offset::Offset(position));
    debug_assert!(added.is_ok(), "{partition} at {position}");
}

fn set_paused(client: &Client, list: &TopicPartitionList, paused: bool) {
    if list.count() == 0 {
        return;
    }
    let result = if paused { client.pause(list) } else { client.resume(list) };
    if let Err(error) = result {
        tracing::warn!(%error, paused, "fetching could not be paused or resumed");
    }
}
