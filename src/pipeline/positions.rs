//! Where a pipeline stands, and how an operator sets it: both stores, coherently.
//!
//! With exactly-once delivery the rows of `tidegate_positions` are what counts, and Kafka's group offsets mirror them.
//! The rows are set first: a crash in between leaves the group's offsets behind or ahead, and the next claim mirrors
//! the rows into them. With at-least-once delivery, and without a database, the group's offsets are all there is.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::timeout;

use crate::config::Pipeline;
use crate::consume::{Cluster, ConsumeError, GroupMember};
use crate::offsets::{PartitionLog, TopicPartition};
use crate::write::error::WriteError;
use crate::write::{self, StoredPosition};

/// For one question to the cluster with all its parts, and for the group to take its offsets.
const KAFKA_LIMIT: Duration = Duration::from_secs(60);

/// Why positions could not be looked at or set.
#[derive(Debug, thiserror::Error)]
pub enum PositionsError {
    #[error("{0}")]
    Kafka(#[from] ConsumeError),
    #[error("the sink database: {0}")]
    Database(#[from] WriteError),
    /// What was asked for is not done, for this reason.
    #[error("{0}")]
    Refused(String),
}

/// All that is known of one partition.
#[derive(Debug, Clone)]
pub struct PartitionState {
    pub partition: TopicPartition,
    /// Its row in `tidegate_positions`.
    pub stored: Option<StoredPosition>,
    /// The group's offset.
    pub committed: Option<i64>,
    /// What Kafka has; `None`: no such partition, or not one of the pipeline's.
    pub log: Option<PartitionLog>,
    /// Where the pipeline goes on.
    pub position: Option<i64>,
}

impl PartitionState {
    /// Records between the position and the end.
    pub fn lag(&self) -> Option<i64> {
        Some((self.log.as_ref()?.high - self.position?).max(0))
    }
}

/// Where a pipeline stands.
#[derive(Debug, Clone)]
pub struct Positions {
    pub partitions: Vec<PartitionState>,
    pub members: Vec<GroupMember>,
}

/// Looks at both stores and at the topics; changes nothing.
///
/// # Errors
/// Where Kafka or the database cannot be asked.
pub async fn look(pipeline: &Pipeline) -> Result<Positions, PositionsError> {
    let topics = pipeline.source.topics.clone();
    let (logs, members) =
        ask_cluster(pipeline, move |cluster| Ok((cluster.logs(&cluster.partitions(&topics)?)?, cluster.members()?)))
            .await?;
    let mut stored = match pipeline.sink.keeper() {
        Some(sink) => write::ledger(pipeline, sink).positions().await?,
        None => Vec::new(),
    };
    let known = stored.iter().map(|row| &row.position.partition).chain(logs.iter().map(|log| &log.partition));
    let all: BTreeSet<TopicPartition> = known.cloned().collect();
    let all: Vec<TopicPartition> = all.into_iter().collect();
    let asked = all.clone();
    // A topic that is gone has no offsets either; its error must not hide the others.
    let exist: BTreeSet<TopicPartition> = logs.iter().map(|log| log.partition.clone()).collect();
    let committed = ask_cluster(pipeline, move |cluster| {
        let there: Vec<TopicPartition> = asked.iter().filter(|partition| exist.contains(*partition)).cloned().collect();
        let offsets = cluster.committed(&there)?;
        Ok(there.into_iter().zip(offsets).collect::<Vec<_>>())
    })
    .await?;
    let state = |partition: TopicPartition| {
        let index = stored.iter().position(|row| row.position.partition == partition);
        let stored = index.map(|index| stored.swap_remove(index));
        let committed = committed.iter().find(|(found, _)| *found == partition).and_then(|(_, offset)| *offset);
        let position = match pipeline.sink.keeper() {
            Some(_) => stored.as_ref().map(|row| row.position.next_offset),
            None => committed,
        };
        let log = logs.iter().find(|log| log.partition == partition).cloned();
        PartitionState { partition, stored, committed, log, position }
    };
    Ok(Positions { partitions: all.into_iter().map(state).collect(), members })
}

pub(super) async fn ask_cluster<T: Send + 'static>(
    pipeline: &Pipeline,
    question: impl FnOnce(&Cluster) -> Result<T, ConsumeError> + Send + 'static,
) -> Result<T, PositionsError> {
    let source = pipeline.source.clone();
    let answer = tokio::task::spawn_blocking(move || question(&Cluster::connect(&source)?));
    let Ok(answer) = timeout(KAFKA_LIMIT, answer).await else {
        let limit = KAFKA_LIMIT.as_secs();
        return Err(PositionsError::Refused(format!("Kafka did not answer within {limit} s: is the cluster healthy?")));
    };
    // A panic goes on here, where it is seen.
    Ok(answer.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))?)
}
