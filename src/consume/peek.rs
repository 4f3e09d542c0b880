//! A look at a topic's records: a client of its own that is told what to read, joins no group and commits nothing.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{Offset, TopicPartitionList};

use super::queue::{EventKind, Queue, Record};
use super::{Cluster, ConsumeError, client};
use crate::config::{Source, Start};
use crate::kafka;
use crate::kafka::errors::{self, Verdict};
use crate::lease::Lease;
use crate::offsets::{PartitionLog, TopicPartition};
use crate::records::Records;
use crate::retry::Disposition;

/// Nothing came for so long: the brokers do not answer.
const SILENCE: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(100);
/// What is held of all partitions together.
const MOST_BYTES: usize = 256 << 20;
/// A log has markers and holes: where the last offsets hold too few records, so many times more are read.
const WIDER: i64 = 8;

/// Where a look begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeekFrom {
    /// The last records.
    Latest,
    Earliest,
    /// In every partition.
    Offset(i64),
    /// Milliseconds since 1970.
    Time(i64),
}

/// What is looked at.
#[derive(Debug, Clone, Copy)]
pub struct Peek {
    pub from: PeekFrom,
    /// Of all partitions together, by the records' times.
    pub count: usize,
    /// Only this partition of each topic.
    pub partition: Option<i32>,
}

/// Reads records that are committed; fewer than asked for where there are no more. Blocks: call from
/// `spawn_blocking`.
///
/// # Errors
/// Brokers that cannot be reached, a topic or partition that does not exist or may not be read, a damaged log.
pub fn peek(source: &Source, asked: &Peek) -> Result<Records, ConsumeError> {
    let cluster = Cluster::connect(source)?;
    let mut partitions = cluster.partitions(&source.topics)?;
    partitions.retain(|partition| asked.partition.is_none_or(|wanted| partition.partition == wanted));
    if let (true, Some(partition)) = (partitions.is_empty(), asked.partition) {
        let message = format!("no topic of the pipeline has a partition {partition}");
        return Err(ConsumeError { disposition: Disposition::Block, class: "unknown_topic", message });
    }
    let logs = cluster.logs(&partitions)?;
    let mut reader = Reader { client: client(source)?, count: asked.count, keeps_last: false };
    let starts: Vec<i64> = match asked.from {
        PeekFrom::Latest => return latest(&mut reader, &logs),
        PeekFrom::Earliest => logs.iter().map(|log| log.low).collect(),
        PeekFrom::Offset(offset) => logs.iter().map(|log| offset.clamp(log.low, log.high)).collect(),
        PeekFrom::Time(time) => cluster.start_positions(Start::Time(time), &logs)?,
    };
    let found = reader.read(&logs, &starts)?;
    Ok(merged(found, asked.count, false))
}

fn latest(reader: &mut Reader, logs: &[PartitionLog]) -> Result<Records, ConsumeError> {
    reader.keeps_last = true;
    let mut span = reader.count as i64;
    loop {
        let starts: Vec<i64> = logs.iter().map(|log| log.high.saturating_sub(span).max(log.low)).collect();
        let found = reader.read(logs, &starts)?;
        let is_all = logs.iter().zip(&starts).all(|(log, start)| log.low == *start);
        if is_all || found.values().map(VecDeque::len).sum::<usize>() >= reader.count {
            return Ok(merged(found, reader.count, true));
        }
        span = span.saturating_mul(WIDER);
    }
}

fn client(source: &Source) -> Result<BaseConsumer, ConsumeError> {
    let mut config = client::common(source, &client::client_id(&source.group));
    config.remove("group.instance.id");
    config
        // librdkafka asks for one before it takes an assignment; only a subscription would join it.
        .set("group.id", &source.group)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "error")
        .set("isolation.level", "read_committed")
        .set("check.crcs", "true")
        .set("enable.partition.eof", "true");
    config.create().map_err(|cause| errors::of_client(&cause, "the Kafka client could not be started"))
}

/// A record out of its event.
struct Taken {
    offset: i64,
    timestamp: Option<i64>,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

impl Taken {
    fn of(record: &Record<'_>) -> Self {
        let headers = record.headers().map(|(name, value)| (name.to_vec(), value.map(<[u8]>::to_vec)));
        Self {
            offset: record.offset(),
            timestamp: record.timestamp(),
            key: record.key().map(<[u8]>::to_vec),
            value: record.value().map(<[u8]>::to_vec),
            headers: headers.collect(),
        }
    }

    fn bytes(&self) -> usize {
        let length = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
        length(&self.key)
            + length(&self.value)
            + self.headers.iter().map(|(name, value)| name.len() + length(value)).sum::<usize>()
    }
}

type Found = BTreeMap<TopicPartition, VecDeque<Taken>>;

struct Reader {
    client: BaseConsumer,
    /// Of each partition.
    count: usize,
    /// The last ones, not the first.
    keeps_last: bool,
}

impl Reader {
    /// From each start to the end of the partition as it is now, or until there are enough.
    fn read(&self, logs: &[PartitionLog], starts: &[i64]) -> Result<Found, ConsumeError> {
        let client = |cause| errors::of_client(&cause, "the records could not be read");
        let mut assignment = TopicPartitionList::new();
        let mut open: BTreeMap<TopicPartition, i64> = BTreeMap::new();
        for (log, start) in logs.iter().zip(starts).filter(|(log, start)| **start < log.high) {
            let TopicPartition { topic, partition } = &log.partition;
            assignment.add_partition_offset(topic, *partition, Offset::Offset(*start)).map_err(client)?;
            open.insert(log.partition.clone(), log.high);
        }
        self.client.assign(&assignment).map_err(client)?;
        let Some(queue) = Queue::of_consumer(&self.client) else {
            return Err(silence(None));
        };
        let (mut found, mut bytes, mut heard, mut last) = (Found::new(), 0_i64, None, Instant::now());
        while !open.is_empty() {
            let Some(event) = queue.poll(POLL) else {
                if last.elapsed() > SILENCE {
                    return Err(silence(heard));
                }
                continue;
            };
            if let Some(record) = event.record() {
                last = Instant::now();
                let partition = TopicPartition::new(record.topic(), record.partition());
                bytes += self.take(&mut found, &mut open, partition, Taken::of(&record));
                if bytes > MOST_BYTES as i64 {
                    return Err(too_large());
                }
                continue;
            }
            match event.read() {
                EventKind::EndOfPartition { partition, .. } => drop(open.remove(&partition)),
                EventKind::Log { level, facility, text } => kafka::log(level, &facility, &text),
                EventKind::Error(error) => {
                    let place = error.at.map_or_else(|| error.reason.clone(), |(partition, _)| partition.to_string());
                    let told = errors::error(error.code, format!("the records could not be read ({place})"));
                    if errors::judge(error.code).0 != Verdict::Wait {
                        return Err(told);
                    }
                    heard = Some(told);
                }
                _ => {}
            }
        }
        Ok(found)
    }

    /// Returns how many bytes more are held.
    fn take(
        &self,
        found: &mut Found,
        open: &mut BTreeMap<TopicPartition, i64>,
        partition: TopicPartition,
        taken: Taken,
    ) -> i64 {
        // What was fetched before another assignment or behind the end is not asked for any more.
        let Some(end) = open.get(&partition) else { return 0 };
        let (is_last, is_behind) = (taken.offset + 1 >= *end, taken.offset >= *end);
        let records = found.entry(partition.clone()).or_default();
        let mut bytes = 0;
        if !is_behind {
            bytes = taken.bytes() as i64;
            records.push_back(taken);
            if self.keeps_last && records.len() > self.count {
                bytes -= records.pop_front().map_or(0, |first| first.bytes() as i64);
            }
        }
        if is_last || (!self.keeps_last && records.len() == self.count) {
            open.remove(&partition);
        }
        bytes
    }
}

fn silence(heard: Option<ConsumeError>) -> ConsumeError {
    heard.unwrap_or_else(|| ConsumeError {
        disposition: Disposition::Retry,
        class: "timeout",
        message: format!(
            "the brokers gave no record within {} s; check that they run and can be reached",
            SILENCE.as_secs()
        ),
    })
}

fn too_large() -> ConsumeError {
    let message = format!("the records are larger than {} MiB together; ask for fewer (-n)", MOST_BYTES >> 20);
    ConsumeError { disposition: Disposition::Block, class: "too_large", message }
}

/// The first or the last `count` of all partitions, in the order of their times; each partition in its own order.
fn merged(mut found: Found, count: usize, takes_last: bool) -> Records {
    let mut chosen: Vec<(TopicPartition, Taken)> = Vec::new();
    while chosen.len() < count {
        let time = |taken: &Taken| taken.timestamp.unwrap_or(-1);
        let next = found.iter().filter_map(|(partition, records)| {
            let taken = if takes_last { records.back() } else { records.front() };
            Some((time(taken?), partition.clone()))
        });
        let next = if takes_last { next.max() } else { next.min() };
        let Some((_, partition)) = next else { break };
        let taken = found.get_mut(&partition).and_then(|records| match takes_last {
            true => records.pop_back(),
            false => records.pop_front(),
        });
        chosen.extend(taken.map(|taken| (partition, taken)));
    }
    if takes_last {
        chosen.reverse();
    }
    let mut records = Records::default();
    let mut leases: BTreeMap<TopicPartition, Arc<Lease>> = BTreeMap::new();
    for (partition, taken) in chosen {
        let Taken { offset, timestamp, key, value, headers } = taken;
        let lease = leases.entry(partition.clone()).or_insert_with(|| Arc::new(Lease::new(partition, 0, offset)));
        let position = records.covered().get(lease.partition()).map_or(offset, |covered| covered.to());
        let headers = headers.iter().map(|(name, value)| (name.as_slice(), value.as_deref()));
        records
            .push(lease, position, offset, timestamp, key.as_deref(), value.as_deref(), headers)
            .expect("a partition's offsets rise");
    }
    records
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(partitions: &[&[(i64, i64)]]) -> Found {
        let taken = |(offset, time): &(i64, i64)| Taken {
            offset: *offset,
            timestamp: (*time >= 0).then_some(*time),
            key: None,
            value: Some(b"{}".to_vec()),
            headers: Vec::new(),
        };
        let of = |(index, records): (usize, &&[(i64, i64)])| {
            (TopicPartition::new("t", index as i32), records.iter().map(taken).collect())
        };
        partitions.iter().enumerate().map(of).collect()
    }

    fn order(records: &Records) -> Vec<(i32, i64)> {
        records.iter().map(|record| (record.partition(), record.offset())).collect()
    }

    #[test]
    fn partitions_are_merged_by_time_and_each_keeps_its_order() {
        // The times of the second partition do not rise.
        let partitions: [&[(i64, i64)]; 3] = [&[(4, 10), (7, 30)], &[(0, 25), (1, 5), (2, 40)], &[]];
        assert_eq!(order(&merged(found(&partitions), 3, false)), [(0, 4), (1, 0), (1, 1)]);
        // Behind (1, 2) the last ones are of the times 30, 10 and 5.
        assert_eq!(order(&merged(found(&partitions), 3, true)), [(0, 4), (0, 7), (1, 2)]);
        assert_eq!(order(&merged(found(&partitions), 9, true)).len(), 5);
        assert_eq!(order(&merged(found(&[&[(1, -1), (2, -1)]]), 1, true)), [(0, 2)]);
    }
}
