//! From an assignment of the group to leases of the database: asked for until it is granted, however long the
//! database takes. The group membership goes on meanwhile.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Notify, mpsc, watch};

use crate::config::{Delivery, LostPosition, Pipeline, Target};
use crate::consume::{Cluster, ConsumeError};
use crate::events;
use crate::lease::Lease;
use crate::offsets::{PartitionLog, TopicPartition};
use crate::retry::{Backoff, Disposition};
use crate::status::Status;
use crate::write::error::WriteError;
use crate::write::{ClaimOutcome, ClaimRequest};

use super::identity::Identities;
use super::outlet::Outlet;
use super::transactions::Transactions;

/// How the status calls it.
const PART: &str = "claim";

/// Partitions that were granted, with the generation of the assignment they were wanted under.
#[derive(Debug)]
pub struct Granted {
    pub generation: u64,
    pub leases: Vec<Arc<Lease>>,
}

/// The partitions that the group gave us and that are not claimed yet.
#[derive(Debug, Default)]
pub struct Wanted {
    partitions: Mutex<BTreeMap<TopicPartition, u64>>,
    changed: Notify,
}

impl Wanted {
    pub fn add(&self, partitions: impl IntoIterator<Item = TopicPartition>, generation: u64) {
        let mut wanted = self.partitions.lock().unwrap_or_else(PoisonError::into_inner);
        wanted.extend(partitions.into_iter().map(|partition| (partition, generation)));
        self.changed.notify_one();
    }

    pub fn remove(&self, partitions: &[TopicPartition]) {
        let mut wanted = self.partitions.lock().unwrap_or_else(PoisonError::into_inner);
        wanted.retain(|partition, _| !partitions.contains(partition));
    }

    /// The latest generation's partitions that are still wanted, or nothing.
    fn get(&self) -> Option<(u64, Vec<TopicPartition>)> {
        let wanted = self.partitions.lock().unwrap_or_else(PoisonError::into_inner);
        let generation = *wanted.values().max()?;
        Some((generation, wanted.keys().cloned().collect()))
    }

    /// Takes out what was granted; returns only what is still wanted. A partition that was taken and given again while
    /// the claim was under way stays wanted: what was granted belongs to the assignment before.
    fn settle(&self, generation: u64, leases: Vec<Arc<Lease>>) -> Vec<Arc<Lease>> {
        let mut wanted = self.partitions.lock().unwrap_or_else(PoisonError::into_inner);
        let is_wanted = |lease: &Arc<Lease>, wanted: &BTreeMap<TopicPartition, u64>| {
            wanted.get(lease.partition()).is_some_and(|since| *since <= generation)
        };
        leases
            .into_iter()
            .filter(|lease| is_wanted(lease, &wanted) && wanted.remove(lease.partition()).is_some())
            .collect()
    }
}

/// Claims for one pipeline.
pub struct Claimer {
    pub pipeline: Arc<Pipeline>,
    pub outlet: Outlet,
    pub status: Arc<Status>,
    pub wanted: Arc<Wanted>,
    pub identities: Arc<Identities>,
    /// Host, process and a random part: who the positions say owns them.
    pub owner: String,
    pub granted: mpsc::UnboundedSender<Granted>,
    /// Turns true once the database is prepared: before that there is nothing to claim from.
    pub prepared: watch::Receiver<bool>,
}

impl Claimer {
    /// Runs until the pipeline ends.
    pub async fn run(mut self) {
        if self.prepared.wait_for(|prepared| *prepared).await.is_err() {
            return;
        }
        let mut backoff = Backoff::new();
        loop {
            let Some((generation, partitions)) = self.wanted.get() else {
                self.wanted.changed.notified().await;
                continue;
            };
            match self.claim(&partitions).await {
                Ok(leases) => {
                    backoff.reset();
                    if self.status.clear(PART) {
                        events::recovered(&self.pipeline.name, PART);
                    }
                    let leases = self.wanted.settle(generation, leases);
                    for lease in &leases {
                        events::claimed(&self.pipeline.name, lease);
                    }
                    if self.granted.send(Granted { generation, leases }).is_err() {
                        return;
                    }
                }
                Err(error) => {
                    self.report(&error, backoff.attempts());
                    tokio::time::sleep(backoff.next_delay()).await;
                }
            }
        }
    }

    fn report(&self, error: &WriteError, attempts: u32) {
        let is_news = self.status.report(PART, error.disposition, error.to_string());
        match error.disposition {
            Disposition::Block if is_news => events::blocked(&self.pipeline.name, PART, error),
            Disposition::Block => {}
            _ => events::retry(&self.pipeline.name, "claim", error, attempts),
        }
    }

    async fn claim(&self, partitions: &[TopicPartition]) -> Result<Vec<Arc<Lease>>, WriteError> {
        let logs = {
            let partitions = partitions.to_vec();
            self.ask_cluster(move |cluster| cluster.logs(&partitions)).await?
        };
        let destination = match (&self.outlet, &self.pipeline.sink) {
            (Outlet::Kafka(transactions), _) => return self.claim_of_transactions(transactions, logs).await,
            (_, Target::Database(sink)) if sink.delivery == Delivery::AtLeastOnce => {
                return self.claim_at_group_offsets(logs).await;
            }
            (Outlet::Database(destination), _) => destination,
        };
        self.identities.note(&logs);
        let mut request = ClaimRequest {
            owner: self.owner.clone(),
            candidates: logs,
            first_positions: None,
            on_lost: self.pipeline.source.on_lost_position,
        };
        if let ClaimOutcome::Claimed(leases) = destination.claim(&request).await? {
            return Ok(leases);
        }
        request.first_positions = Some(self.first_positions().await?);
        match destination.claim(&request).await? {
            ClaimOutcome::Claimed(leases) => Ok(leases),
            ClaimOutcome::FirstStart => unreachable!("the first positions were given"),
        }
    }

    /// `source.start` as numbers for every partition of every subscribed topic: stored once, so that a crash before
    /// the first batch does not move "latest", and a partition that appears later begins at its earliest offset.
    async fn first_positions(&self) -> Result<Vec<(PartitionLog, i64)>, WriteError> {
        let topics = self.pipeline.source.topics.clone();
        let start = self.pipeline.source.start;
        self.ask_cluster(move |cluster| {
            let logs = cluster.logs(&cluster.partitions(&topics)?)?;
            let positions = cluster.start_positions(start, &logs)?;
            Ok(logs.into_iter().zip(positions).collect())
        })
        .await
    }

    /// Transactions move the group's offsets, which therefore are the positions. The group's first ones are stored for all
    /// partitions at once, so that none begins elsewhere for having been claimed later.
    async fn claim_of_transactions(
        &self,
        transactions: &Transactions,
        logs: Vec<PartitionLog>,
    ) -> Result<Vec<Arc<Lease>>, WriteError> {
        let partitions: Vec<_> = logs.iter().map(|log| log.partition.clone()).collect();
        transactions.landed(&partitions).await;
        let topics = self.pipeline.source.topics.clone();
        let has_none = self.ask_cluster(move |cluster| {
            let all = cluster.partitions(&topics)?;
            Ok(cluster.committed(&all)?.iter().all(Option::is_none))
        });
        if has_none.await? {
            let first = self.first_positions().await?;
            let first: Vec<_> = first.into_iter().map(|(log, position)| (log.partition, position)).collect();
            transactions.store_first(&first).await?;
        }
        self.claim_at_group_offsets(logs).await
    }

    /// At-least-once keeps no positions of its own: the group's committed offsets are all there is. Once the group
    /// has any, a partition without one appeared later and begins at its earliest offset.
    async fn claim_at_group_offsets(&self, logs: Vec<PartitionLog>) -> Result<Vec<Arc<Lease>>, WriteError> {
        let (start, on_lost) = (self.pipeline.source.start, self.pipeline.source.on_lost_position);
        let topics = self.pipeline.source.topics.clone();
        let pipeline = self.pipeline.name.clone();
        let positions = self
            .ask_cluster(move |cluster| {
                let partitions: Vec<_> = logs.iter().map(|log| log.partition.clone()).collect();
                let committed = cluster.committed(&partitions)?;
                let is_first_start = committed.iter().all(Option::is_none)
                    && cluster.committed(&cluster.partitions(&topics)?)?.iter().all(Option::is_none);
                if is_first_start {
                    let positions = cluster.start_positions(start, &logs)?;
                    return Ok(logs.into_iter().zip(positions.into_iter().map(Ok)).collect::<Vec<_>>());
                }
                let position = |log: &PartitionLog, committed: Option<i64>| match committed {
                    Some(offset) if (log.low..=log.high).contains(&offset) => Ok(offset),
                    Some(offset) => lost_group_offset(&pipeline, log, offset, on_lost),
                    None => Ok(log.low),
                };
                let positions: Vec<_> = logs.iter().zip(committed).map(|(log, offset)| position(log, offset)).collect();
                Ok(logs.into_iter().zip(positions).collect())
            })
            .await?;
        positions.into_iter().map(|(log, position)| Ok(Arc::new(Lease::new(log.partition, 0, position?)))).collect()
    }

    async fn ask_cluster<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Cluster) -> Result<T, ConsumeError> + Send + 'static,
    ) -> Result<T, WriteError> {
        let source = self.pipeline.source.clone();
        let answer = tokio::task::spawn_blocking(move || question(&Cluster::connect(&source)?)).await;
        // A panic goes on here, where the supervisor sees it.
        let answer = answer.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
        answer.map_err(|error| WriteError::new(error.disposition, error.class, "", error.message))
    }
}

/// There is no table for it in this delivery: the log and the metric keep what is lost.
fn lost_group_offset(
    pipeline: &str,
    log: &PartitionLog,
    committed: i64,
    on_lost: LostPosition,
) -> Result<i64, WriteError> {
    let go_on_at = |next: i64| {
        let reason = format!("the group's committed offset is {committed}, the topic has {} to {}", log.low, log.high);
        events::gap(pipeline, &log.partition, committed, next, &reason);
        Ok(next)
    };
    match on_lost {
        LostPosition::Earliest => go_on_at(log.low),
        LostPosition::Latest => go_on_at(log.high),
        LostPosition::Stop => Err(WriteError::new(
            Disposition::Block,
            "lost-position",
            "",
            format!(
                "{}: the group's committed offset is {committed}, and the topic has {} to {}. Nothing is read until \
                 this is decided: set source.on_lost_position to \"earliest\" or \"latest\", or restore the topic",
                log.partition, log.low, log.high
            ),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_given_again_during_its_claim_is_claimed_again() {
        let wanted = Wanted::default();
        let partition = TopicPartition::new("t", 0);
        wanted.add([partition.clone()], 1);
        let (generation, partitions) = wanted.get().unwrap();
        wanted.remove(&partitions);
        wanted.add([partition.clone()], 2);
        let lease = Arc::new(Lease::new(partition, 1, 0));
        assert!(wanted.settle(generation, vec![lease.clone()]).is_empty());
        assert_eq!(wanted.get().unwrap().0, 2);
        assert_eq!(wanted.settle(2, vec![lease]).len(), 1);
        assert!(wanted.get().is_none());
    }
}
