//! Consume: Kafka -> records. The only place that names rdkafka's consumer.
//!
//! A consumer is an operating-system thread that owns librdkafka's client, polls it and appends what it gets to the
//! inboxes of the lanes. It answers every rebalance at once (an assignment at first with nothing), so that the group
//! stays steady whatever the database does; a partition is read only after its claim, from the claim's position.

#[allow(unsafe_code, reason = "requests that the binding does not have; librdkafka has them")]
mod admin;
mod client;
#[allow(unsafe_code, reason = "hands the client's pointer to describe_group and describe_topics")]
mod cluster;
#[allow(unsafe_code, reason = "the binding has no DescribeConsumerGroups; librdkafka has")]
mod describe_group;
#[allow(unsafe_code, reason = "the binding has no DescribeTopics; librdkafka has")]
mod describe_topics;
mod instance;
mod member;
mod pattern;
mod peek;
#[allow(unsafe_code, reason = "batches from a forwarded queue, which the binding cannot take")]
mod queue;
mod rebalance;
mod statistics;
mod thread;
mod troubles;
mod unassigned;

use std::sync::Arc;
use std::sync::mpsc as sync_mpsc;
use std::time::Duration;

use rdkafka::consumer::Consumer as _;

use tokio::sync::mpsc;

use crate::config::{GroupProtocol, Source, Topics};
use crate::inbox::Inbox;
use crate::kafka::errors;
use crate::lease::Lease;
use crate::offsets::TopicPartition;
use crate::retry::Disposition;

pub use cluster::{Cluster, GroupMember};
pub use member::Member;
pub use peek::{Peek, PeekFrom, peek};

pub use crate::kafka::errors::Failure as ConsumeError;

/// How long a revoke waits for the pipeline to finish what it has read. Well below `max.poll.interval.ms`; the other
/// members wait with it.
pub const DRAIN_LIMIT: Duration = Duration::from_secs(10);

/// What the consumer's thread tells the pipeline.
#[derive(Debug)]
pub enum Event {
    /// The group gave us partitions. They are read once [`Consumer::read`] is called for them.
    Assigned { generation: u64, partitions: Vec<TopicPartition> },
    /// The group takes partitions away. The thread waits (still a member) until the sender is answered with the
    /// positions to commit for them, or dropped, at most for `DRAIN_LIMIT`.
    Revoked { partitions: Vec<TopicPartition>, drained: sync_mpsc::SyncSender<Vec<(TopicPartition, i64)>> },
    /// Something is wrong with Kafka. `Retry`: it passes, told for the status. `Block`: an operator must mend it.
    Problem(ConsumeError),
    /// Nothing of what [`Event::Problem`] told is wrong any more.
    Recovered,
    /// The client is dead (fenced static member, fatal protocol error): the process must end with exit code 4.
    Fatal(ConsumeError),
    /// A position that the topic no longer has, found while reading: claim these partitions again.
    PositionLost(Vec<TopicPartition>),
    /// Partitions that the group has given to nobody, for so long that no rebalance explains it; none: all have an
    /// owner again.
    Unassigned(Vec<TopicPartition>),
    /// Every few seconds.
    Statistics(Vec<PartitionStatistics>),
}

/// What the broker says of an assigned partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionStatistics {
    pub partition: TopicPartition,
    /// One past the last record.
    pub high_watermark: i64,
    /// One past the last record that read_committed may see.
    pub last_stable: i64,
}

/// A running consumer. Dropped without [`Consumer::stop`] it ends by itself, without anybody waiting for it.
#[derive(Debug)]
pub struct Consumer {
    commands: sync_mpsc::Sender<Command>,
    /// Disconnects when the thread has ended and the client is closed.
    ended: sync_mpsc::Receiver<()>,
    member: Member,
}

#[derive(Debug)]
enum Command {
    Read {
        generation: u64,
        leases: Vec<(Arc<Lease>, Arc<Inbox>)>,
    },
    Forget(Vec<TopicPartition>),
    Commit(Vec<(TopicPartition, i64)>),
    Pause(bool),
    /// The topics that a pattern matches now.
    Subscribe(Vec<String>),
    /// The topics that a pattern matches could not be learned.
    Problem(ConsumeError),
    /// What the group has given to nobody has changed.
    Unassigned(Vec<TopicPartition>),
    /// Leave the group and join it again.
    Rejoin,
    Stop,
}

/// What a consumer needs besides its source.
#[derive(Debug, Clone)]
pub struct ConsumerOptions {
    /// For `client.id` and the static instance.
    pub pipeline: String,
    /// librdkafka's own prefetch, in bytes (`queued.max.messages.kbytes`); at least 1 MiB is used.
    pub prefetch_bytes: usize,
}

impl Consumer {
    /// Starts the thread and joins the group.
    ///
    /// # Errors
    /// When librdkafka refuses the configuration, or the static instance is taken.
    pub fn start(
        source: &Source,
        options: ConsumerOptions,
        events: mpsc::UnboundedSender<Event>,
    ) -> Result<Self, ConsumeError> {
        let slot = instance::Slot::take(&source.instance, source.protocol, &options.pipeline)?;
        let config = client::member(source, &options, slot.as_ref().map(instance::Slot::id));
        let what = "the consumer could not be started";
        let client: rebalance::Client =
            config.create_with_context(rebalance::Closing).map_err(|cause| errors::of_client(&cause, what))?;
        let (commands, receiver) = sync_mpsc::channel();
        let (alive, ended) = sync_mpsc::sync_channel(0);
        let (watched, unwatched) = sync_mpsc::sync_channel(0);
        match &source.topics {
            Topics::List(topics) => {
                let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
                client.subscribe(&topics).map_err(|cause| errors::of_client(&cause, what))?;
            }
            Topics::Pattern(_) => pattern::watch(source, commands.clone(), unwatched)?,
        }
        let (joined, unjoined) = sync_mpsc::sync_channel(0);
        if let (GroupProtocol::Classic, Some(slot)) = (source.protocol, &slot) {
            unassigned::watch(source, slot.id().to_owned(), commands.clone(), unjoined)?;
        }
        let mut worker = thread::Worker::new(receiver, events, source.group.clone());
        let client = Arc::new(client);
        let member = Member::new(client.clone(), slot.as_ref().map(instance::Slot::id));
        let shown = member.until_the_end();
        let work = move || {
            if let Some(queue) = queue::Queue::of_consumer(&client) {
                worker.run(&client, &queue);
            }
            drop((watched, joined));
            // In this order: the client is held by nobody else, it is closed, its instance is free, the end is told.
            drop(shown);
            drop(client);
            drop(slot);
            drop(alive);
        };
        spawn(format!("consume {}", options.pipeline), work)?;
        Ok(Self { commands, ended, member })
    }

    /// What shows this consumer's place in its group.
    pub fn member(&self) -> &Member {
        &self.member
    }

    /// Reads the leases' partitions from the leases' positions into the inboxes. Leases of an older generation than
    /// the group's last assignment of their partition are ignored.
    pub fn read(&self, generation: u64, leases: Vec<(Arc<Lease>, Arc<Inbox>)>) {
        let _ = self.commands.send(Command::Read { generation, leases });
    }

    /// Stops reading partitions that the database says are not ours. The group is not told.
    pub fn forget(&self, partitions: Vec<TopicPartition>) {
        let _ = self.commands.send(Command::Forget(partitions));
    }

    /// Mirrors positions into the group's offsets, without waiting.
    pub fn commit(&self, positions: Vec<(TopicPartition, i64)>) {
        let _ = self.commands.send(Command::Commit(positions));
    }

    /// Stops or continues the reading of everything; the member stays in the group.
    pub fn pause(&self, paused: bool) {
        let _ = self.commands.send(Command::Pause(paused));
    }

    /// Leaves the group (a static member: without telling it) and ends the thread. Outstanding commits are sent
    /// before, synchronously. Returns false when librdkafka did not close within the limit; the thread is left behind.
    pub fn stop(self, limit: Duration) -> bool {
        let _ = self.commands.send(Command::Stop);
        matches!(self.ended.recv_timeout(limit), Err(sync_mpsc::RecvTimeoutError::Disconnected))
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        let _ = self.commands.send(Command::Stop);
    }
}

fn spawn(name: String, work: impl FnOnce() + Send + 'static) -> Result<(), ConsumeError> {
    let started = std::thread::Builder::new().name(name).spawn(work);
    started.map(drop).map_err(|cause| ConsumeError {
        disposition: Disposition::Block,
        class: "system",
        message: format!("a thread could not be started: {cause}; raise the limit on processes"),
    })
}
