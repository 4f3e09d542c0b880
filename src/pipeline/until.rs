//! Bounded runs: where each partition ends is known at the start, and the stored positions tell when it is reached,
//! whichever daemon of the group moves them.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::config::{Pipeline, Start};
use crate::offsets::TopicPartition;
use crate::write;

use super::positions::{PositionsError, ask_cluster};

/// How far a bounded run goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// What is in the topics at the start.
    End,
    /// The records before this time (milliseconds since 1970), as far as they are there at the start.
    Time(i64),
}

/// Where one pipeline's bounded run ends.
#[derive(Debug, Clone)]
pub struct Goal {
    pipeline: Arc<Pipeline>,
    ends: Vec<End>,
}

#[derive(Debug, Clone)]
struct End {
    partition: TopicPartition,
    /// Where it stood, else where the topic begins.
    from: i64,
    to: i64,
}

/// How far it has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    pub done: i64,
    pub total: i64,
    /// Partitions that are not there yet; one that nobody has claimed is not.
    pub open: usize,
}

impl std::ops::Add for Progress {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { done: self.done + other.done, total: self.total + other.total, open: self.open + other.open }
    }
}

impl Goal {
    /// Resolves the ends of all partitions that there are now.
    ///
    /// # Errors
    /// Where Kafka or the database cannot be asked.
    pub async fn resolve(pipeline: Arc<Pipeline>, until: Until) -> Result<Self, PositionsError> {
        let topics = pipeline.source.topics.clone();
        let logs = ask_cluster(&pipeline, move |cluster| {
            let logs = cluster.logs(&cluster.partitions(&topics)?)?;
            let start = match until {
                Until::End => Start::Latest,
                Until::Time(time) => Start::Time(time),
            };
            let ends = cluster.start_positions(start, &logs)?;
            Ok(logs.into_iter().zip(ends).collect::<Vec<_>>())
        })
        .await?;
        let ends = logs.into_iter().map(|(log, to)| End { partition: log.partition, from: log.low.min(to), to });
        let mut goal = Self { pipeline, ends: ends.collect() };
        let positions = goal.positions().await?;
        for end in &mut goal.ends {
            end.from = positions.get(&end.partition).map_or(end.from, |position| end.from.max(*position)).min(end.to);
        }
        Ok(goal)
    }

    /// # Errors
    /// Where the store of the positions cannot be asked.
    pub async fn progress(&self) -> Result<Progress, PositionsError> {
        Ok(self.progress_at(&self.positions().await?))
    }

    fn progress_at(&self, positions: &BTreeMap<TopicPartition, i64>) -> Progress {
        let of = |end: &End| {
            let position = positions.get(&end.partition).copied();
            let done = position.map_or(0, |position| position.clamp(end.from, end.to) - end.from);
            let is_open = position.is_none_or(|position| position < end.to);
            Progress { done, total: end.to - end.from, open: usize::from(is_open) }
        };
        self.ends.iter().map(of).fold(Progress::default(), |sum, one| sum + one)
    }

    async fn positions(&self) -> Result<BTreeMap<TopicPartition, i64>, PositionsError> {
        if let Some(sink) = self.pipeline.sink.keeper() {
            let stored = write::ledger(&self.pipeline, sink).positions().await?.into_iter();
            return Ok(stored.map(|row| (row.position.partition, row.position.next_offset)).collect());
        }
        let partitions: Vec<TopicPartition> = self.ends.iter().map(|end| end.partition.clone()).collect();
        ask_cluster(&self.pipeline, move |cluster| {
            let committed = cluster.committed(&partitions)?;
            Ok(partitions.into_iter().zip(committed).filter_map(|(partition, at)| Some((partition, at?))).collect())
        })
        .await
    }
}
