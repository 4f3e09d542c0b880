//! Questions to the cluster that wait for their answers.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::{ClientContext, Offset, Statistics, TopicPartitionList};

use super::describe_group::{self, Group};
use super::{ConsumeError, client, describe_topics, pattern};
use crate::config::{Source, Start, Topics};
use crate::kafka;
use crate::kafka::errors::{self, Verdict};
use crate::offsets::{PartitionLog, TopicPartition};
use crate::retry::Disposition;

/// For one answer. Brokers in trouble answer late, and the caller asks again with backoff.
const LIMIT: Duration = Duration::from_secs(10);

/// Blocking questions to the cluster, on a client of its own, so that the consumer's thread never waits for them.
/// Call from `spawn_blocking`.
pub struct Cluster {
    source: Source,
    client: BaseConsumer<Listening>,
    /// Knows the group, without being a member of it. Made when first needed.
    group: OnceLock<BaseConsumer<Listening>>,
}

/// A member of the consumer group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupMember {
    /// Its static instance, else its id.
    pub name: String,
    /// A static member that stopped is still one until its session ends.
    pub is_static: bool,
    pub host: String,
    pub partitions: Vec<TopicPartition>,
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster").field("brokers", &self.source.brokers).finish_non_exhaustive()
    }
}

/// Hears why a connection fails: a question that gets no answer only says that it timed out.
struct Listening(Mutex<Option<ConsumeError>>);

impl ClientContext for Listening {
    fn log(&self, level: rdkafka::config::RDKafkaLogLevel, facility: &str, text: &str) {
        kafka::log(level as i32, facility, text);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let Some(code) = error.rdkafka_error_code() else { return };
        if errors::judge(code).0 == Verdict::Mend {
            let error = errors::error(code, format!("the Kafka brokers ({reason})"));
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        }
    }

    fn stats(&self, _: Statistics) {}
}

impl ConsumerContext for Listening {}

impl Cluster {
    /// # Errors
    /// When librdkafka refuses the configuration. No broker is contacted yet.
    pub fn connect(source: &Source) -> Result<Self, ConsumeError> {
        let client = Self::client(source, false)?;
        Ok(Self { source: source.clone(), client, group: OnceLock::new() })
    }

    fn client(source: &Source, is_for_group: bool) -> Result<BaseConsumer<Listening>, ConsumeError> {
        let mut config = client::common(source, &client::client_id(&source.group));
        for property in ["group.id", "group.instance.id", "group.protocol"] {
            config.remove(property);
        }
        if is_for_group {
            // Offsets of a transaction that has not ended are waited for.
            config
                .set("group.id", &source.group)
                .set("enable.auto.commit", "false")
                .set("isolation.level", "read_committed");
        }
        config
            .create_with_context(Listening(Mutex::new(None)))
            .map_err(|cause| errors::of_client(&cause, "the Kafka client could not be started"))
    }

    fn group_client(&self) -> Result<&BaseConsumer<Listening>, ConsumeError> {
        if let Some(client) = self.group.get() {
            return Ok(client);
        }
        let client = Self::client(&self.source, true)?;
        Ok(self.group.get_or_init(|| client))
    }

    /// Every partition of the topics that `topics` names or matches now.
    ///
    /// # Errors
    /// A broker that cannot be reached (`Retry`), a topic that does not exist or may not be read (`Block`).
    pub fn partitions(&self, topics: &Topics) -> Result<Vec<TopicPartition>, ConsumeError> {
        let mut found = Vec::new();
        match topics {
            Topics::List(names) => {
                for name in names {
                    let what = || format!("topic {name}");
                    let metadata = ask(&self.client, what, |client| client.fetch_metadata(Some(name), LIMIT))?;
                    let topic = metadata.topics().iter().find(|topic| topic.name() == name);
                    let Some(topic) = topic else {
                        return Err(errors::error(RDKafkaErrorCode::UnknownTopicOrPartition, what()));
                    };
                    if let Some(code) = topic.error() {
                        return Err(errors::error(code.into(), what()));
                    }
                    found.extend(partitions_of(topic));
                }
            }
            Topics::Pattern(text) => {
                let expression = pattern::compile(text)?;
                let what = || "the list of topics".to_owned();
                let metadata = ask(&self.client, what, |client| client.fetch_metadata(None, LIMIT))?;
                for topic in metadata.topics() {
                    // One that is being deleted has an error, and is no longer one of them.
                    if topic.error().is_none() && pattern::matches(&expression, topic.name()) {
                        found.extend(partitions_of(topic));
                    }
                }
                if found.is_empty() {
                    return Err(ConsumeError {
                        disposition: Disposition::Block,
                        class: "unknown_topic",
                        message: format!(
                            "no topic matches {text}; it is checked again from time to time; create one, correct \
                             [source] pattern, or grant DESCRIBE on the topics"
                        ),
                    });
                }
            }
        }
        found.sort();
        Ok(found)
    }

    /// Identity, earliest and end offset of each partition.
    ///
    /// # Errors
    /// As [`Cluster::partitions`].
    pub fn logs(&self, partitions: &[TopicPartition]) -> Result<Vec<PartitionLog>, ConsumeError> {
        if partitions.is_empty() {
            return Ok(Vec::new());
        }
        let ids = self.topic_ids(partitions)?;
        let cluster_id = self.client.client().fetch_cluster_id(LIMIT).unwrap_or_default();
        partitions
            .iter()
            .map(|partition| {
                let what = || format!("the offsets of {partition}");
                let (low, high) = ask(&self.client, what, |client| {
                    client.fetch_watermarks(&partition.topic, partition.partition, LIMIT)
                })?;
                Ok(PartitionLog {
                    partition: partition.clone(),
                    cluster_id: cluster_id.clone(),
                    topic_id: ids.get(&*partition.topic).cloned().unwrap_or_default(),
                    low,
                    high,
                })
            })
            .collect()
    }

    /// The id of each topic of these partitions (KIP-516); none where the broker has none.
    ///
    /// # Errors
    /// As [`Cluster::partitions`].
    pub fn topic_ids(&self, partitions: &[TopicPartition]) -> Result<HashMap<String, String>, ConsumeError> {
        let topics: BTreeSet<&str> = partitions.iter().map(|partition| &*partition.topic).collect();
        let topics: Vec<&str> = topics.into_iter().collect();
        let what = || format!("the ids of {}", topics.join(", "));
        ask(&self.client, what, |client| {
            let metadata = client.fetch_metadata(topics.first().copied(), LIMIT)?;
            // The one that answered, unless it is known only by its bootstrap address.
            let broker = Some(metadata.orig_broker_id()).filter(|id| *id >= 0);
            let broker = broker.or_else(|| fastrand::choice(metadata.brokers()).map(|broker| broker.id()));
            let broker = broker.ok_or(KafkaError::MetadataFetch(RDKafkaErrorCode::BrokerNotAvailable))?;
            // SAFETY: the client is alive: it is borrowed from `self`.
            unsafe { describe_topics::topic_ids(client.client().native_ptr(), &topics, broker, LIMIT) }
                .map_err(KafkaError::MetadataFetch)
        })
    }

    /// Who is in the group, and holds what.
    pub(super) fn group(&self) -> Result<Group, ConsumeError> {
        let group = &self.source.group;
        let what = || format!("the members of group {group}");
        ask(&self.client, what, |client| {
            // SAFETY: the client is alive: it is borrowed from `self`.
            unsafe { describe_group::describe(client.client().native_ptr(), group, LIMIT) }
                .map_err(KafkaError::MetadataFetch)
        })
    }

    /// Who is in the group; empty where nobody is, or where there is no such group.
    ///
    /// # Errors
    /// As [`Cluster::partitions`].
    pub fn members(&self) -> Result<Vec<GroupMember>, ConsumeError> {
        let group = &self.source.group;
        let found = ask(
            &self.client,
            || format!("the members of group {group}"),
            |client| {
                // SAFETY: the client is alive: it is borrowed from `self`.
                match unsafe { describe_group::describe(client.client().native_ptr(), group, LIMIT) } {
                    // A coordinator that has never heard of it, or has forgotten it.
                    Err(RDKafkaErrorCode::GroupIdNotFound) => Ok(Group::default()),
                    found => found.map_err(KafkaError::MetadataFetch),
                }
            },
        )?;
        let member = |member: describe_group::Member| GroupMember {
            name: member.instance.clone().unwrap_or(member.id),
            is_static: member.instance.is_some(),
            host: member.host.trim_start_matches('/').to_owned(),
            partitions: member.partitions,
        };
        Ok(found.members.into_iter().map(member).collect())
    }

    /// Stores the group's offsets from outside of the group. Waits for the answer without a limit of its own.
    ///
    /// # Errors
    /// As [`Cluster::partitions`]; with the class `rebalance` where the group has members: only they may then.
    pub fn store_offsets(&self, positions: &[(TopicPartition, i64)]) -> Result<(), ConsumeError> {
        if positions.is_empty() {
            return Ok(());
        }
        let what = || format!("the offsets of group {} could not be stored", self.source.group);
        ask(self.group_client()?, what, |client| {
            let mut list = TopicPartitionList::with_capacity(positions.len());
            for (partition, position) in positions {
                list.add_partition_offset(&partition.topic, partition.partition, Offset::Offset(*position))?;
            }
            client.commit(&list, CommitMode::Sync)
        })
    }

    /// `start` as numbers, in the order of `logs`.
    ///
    /// # Errors
    /// As [`Cluster::partitions`]; `Block` for `committed` where the group has no valid committed offset.
    pub fn start_positions(&self, start: Start, logs: &[PartitionLog]) -> Result<Vec<i64>, ConsumeError> {
        match start {
            Start::Earliest => Ok(logs.iter().map(|log| log.low).collect()),
            Start::Latest => Ok(logs.iter().map(|log| log.high).collect()),
            Start::Time(time) => self.positions_at(time, logs),
            Start::Committed => {
                let partitions: Vec<_> = logs.iter().map(|log| log.partition.clone()).collect();
                let committed = self.committed(&partitions)?;
                logs.iter().zip(committed).map(|(log, position)| self.valid(log, position)).collect()
            }
        }
    }

    fn valid(&self, log: &PartitionLog, committed: Option<i64>) -> Result<i64, ConsumeError> {
        let group = &self.source.group;
        let partition = &log.partition;
        let why = match committed {
            Some(position) if (log.low..=log.high).contains(&position) => return Ok(position),
            Some(position) => format!(
                "group {group} stands at offset {position} of {partition}, which has only {}..{}",
                log.low, log.high
            ),
            None => format!("group {group} has no committed offset for {partition}"),
        };
        Err(ConsumeError {
            disposition: Disposition::Block,
            class: "position_lost",
            message: format!(
                "{why}, so start = \"committed\" has no place to start at; commit one, or set [source] start to \
                 \"earliest\", \"latest\" or a time"
            ),
        })
    }

    fn positions_at(&self, time: i64, logs: &[PartitionLog]) -> Result<Vec<i64>, ConsumeError> {
        let what = || "the offsets at the start time".to_owned();
        let found = ask(&self.client, what, |client| {
            let mut times = TopicPartitionList::with_capacity(logs.len());
            for log in logs {
                times.add_partition_offset(&log.partition.topic, log.partition.partition, Offset::Offset(time))?;
            }
            client.offsets_for_times(times, LIMIT)
        })?;
        logs.iter()
            .map(|log| match offset_of(&found, &log.partition).map_err(|cause| errors::of_client(&cause, what()))? {
                Some(offset) => Ok(offset.clamp(log.low, log.high)),
                // No record is as late as that.
                None => Ok(log.high),
            })
            .collect()
    }

    /// The group's committed offset of each partition, where there is one.
    ///
    /// # Errors
    /// As [`Cluster::partitions`].
    pub fn committed(&self, partitions: &[TopicPartition]) -> Result<Vec<Option<i64>>, ConsumeError> {
        if partitions.is_empty() {
            return Ok(Vec::new());
        }
        let what = || format!("the offsets of group {}", self.source.group);
        let found = ask(self.group_client()?, what, |client| {
            let mut list = TopicPartitionList::with_capacity(partitions.len());
            for partition in partitions {
                list.add_partition(&partition.topic, partition.partition);
            }
            client.committed_offsets(list, LIMIT)
        })?;
        partitions
            .iter()
            .map(|partition| offset_of(&found, partition).map_err(|cause| errors::of_client(&cause, what())))
            .collect()
    }
}

/// Asks, and prefers the reason that the connection gave for a missing answer.
fn ask<T>(
    client: &BaseConsumer<Listening>,
    what: impl Fn() -> String,
    question: impl FnOnce(&BaseConsumer<Listening>) -> KafkaResult<T>,
) -> Result<T, ConsumeError> {
    /// More than librdkafka says within one question; bounded, because each poll may say one thing.
    const HEARD: usize = 64;
    let result = question(client);
    // Also after a success: what is not taken stays in memory.
    for _ in 0..HEARD {
        client.poll(Duration::ZERO);
    }
    let heard = client.context().0.lock().unwrap_or_else(PoisonError::into_inner).take();
    result.map_err(|cause| {
        let error = errors::of_client(&cause, what());
        heard.filter(|_| error.disposition == Disposition::Retry).unwrap_or(error)
    })
}

fn partitions_of(topic: &rdkafka::metadata::MetadataTopic) -> impl Iterator<Item = TopicPartition> {
    topic.partitions().iter().map(|partition| TopicPartition::new(topic.name(), partition.id()))
}

fn offset_of(list: &TopicPartitionList, partition: &TopicPartition) -> KafkaResult<Option<i64>> {
    let Some(found) = list.find_partition(&partition.topic, partition.partition) else { return Ok(None) };
    found.error()?;
    Ok(match found.offset() {
        Offset::Offset(offset) => Some(offset),
        _ => None,
    })
}
