//! A pipeline without a database: events, dead letters and the group's offsets in one Kafka transaction a batch.

use std::sync::{Arc, Mutex, PoisonError};

use crate::config::Pipeline;
use crate::consume::{Cluster, Member};
use crate::events;
use crate::lease::Lease;
use crate::offsets::{Offsets, TopicPartition};
use crate::outbox::Undelivered;
use crate::produce::{Found, Outgoing, ShowMembership, Transacted, Transaction, Transactor, Unwritten};
use crate::retry::{Backoff, Disposition};
use crate::write::error::WriteError;

use super::flights::Flights;

/// The transactions of a pipeline.
pub struct Transactions {
    pipeline: Arc<Pipeline>,
    membership: ShowMembership,
    /// What all `transactional.id`s of this process begin with.
    ids: String,
    /// One for each lane to be, opened before the first claim.
    opened: Mutex<Vec<Option<Transactor>>>,
    flights: Arc<Flights>,
}

/// Writes the batches of a lane.
pub struct TransactionWriter {
    transactor: Transactor,
    pipeline: Arc<Pipeline>,
    flights: Arc<Flights>,
}

impl Transactions {
    pub fn new(pipeline: Arc<Pipeline>, member: &Member) -> Self {
        let group = &pipeline.source.group;
        let ids = match member.instance() {
            Some(instance) => format!("{group}/{instance}"),
            // Nothing tells after a restart who it was: what it left open is aborted by time.
            None => format!("{group}/{:016x}", fastrand::u64(..)),
        };
        let member = member.clone();
        let membership: ShowMembership = Arc::new(move || member.membership());
        Self { pipeline, membership, ids, opened: Mutex::default(), flights: Arc::default() }
    }

    fn transactor(&self, id: String) -> Transactor {
        Transactor::new(&self.pipeline.name, &self.pipeline.source, id, self.membership.clone())
    }

    /// Opens the producers of all lanes to be. What this daemon left open when it was killed ends here, before anything
    /// is claimed: nobody has to wait for it.
    pub async fn prepare(&self, lanes: usize) -> Result<(), WriteError> {
        let mut opened = Vec::with_capacity(lanes);
        for lane in 0..lanes {
            let mut transactor = self.transactor(format!("{}/{lane}", self.ids));
            transactor.open().await?;
            opened.push(Some(transactor));
        }
        *self.opened.lock().unwrap_or_else(PoisonError::into_inner) = opened;
        Ok(())
    }

    pub fn writer(&self, lane: usize) -> TransactionWriter {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        let transactor = opened.get_mut(lane).and_then(Option::take);
        let transactor = transactor.unwrap_or_else(|| self.transactor(format!("{}/{lane}", self.ids)));
        TransactionWriter { transactor, pipeline: self.pipeline.clone(), flights: self.flights.clone() }
    }

    /// Resolves when no transaction of an earlier claim of these partitions is under way here.
    pub async fn landed(&self, partitions: &[TopicPartition]) {
        self.flights.landed(partitions).await;
    }

    /// Stores the positions that the group begins at, unless it has some by now. All daemons of the group use one
    /// `transactional.id` for it, so that only one of them can.
    pub async fn store_first(&self, positions: &[(TopicPartition, i64)]) -> Result<(), WriteError> {
        let mut transactor = self.transactor(format!("{}/start", self.pipeline.source.group));
        let partitions: Vec<_> = positions.iter().map(|(partition, _)| partition.clone()).collect();
        let has_none = || async {
            let committed = committed(&self.pipeline, partitions).await?;
            Ok(committed.iter().all(|(_, position)| position.is_none()))
        };
        transactor.store(positions, has_none).await.map_err(WriteError::from)
    }
}

/// The group's offsets, once no open transaction holds any of them.
async fn committed(
    pipeline: &Pipeline,
    partitions: Vec<TopicPartition>,
) -> Result<Vec<(TopicPartition, Option<i64>)>, Undelivered> {
    let source = pipeline.source.clone();
    let ask = move || {
        let committed = Cluster::connect(&source)?.committed(&partitions)?;
        Ok(partitions.into_iter().zip(committed).collect())
    };
    let answer = tokio::task::spawn_blocking(ask).await;
    // A panic goes on here, where the supervisor sees it.
    let answer = answer.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
    answer.map_err(|error: crate::consume::ConsumeError| Undelivered {
        disposition: error.disposition,
        class: error.class,
        message: error.message,
        suspect: None,
        column: None,
    })
}

impl TransactionWriter {
    /// One transaction. `Ok` only after its commit is known to have happened, however long that takes to find out.
    pub async fn write(
        &mut self,
        covered: &Offsets,
        leases: &[Arc<Lease>],
        outgoing: Outgoing<'_>,
    ) -> Result<Transacted, WriteError> {
        let _flight = self.flights.begin(covered.iter().map(|(partition, _)| partition.clone()).collect());
        match self.transactor.write(&Transaction { covered, leases, outgoing }).await {
            Ok(receipt) => Ok(receipt),
            Err(Unwritten::Aborted(told)) => Err(told.into()),
            Err(Unwritten::Unknown(told)) => self.resolve(covered, leases, told.into()).await,
        }
    }

    /// After a commit of unknown outcome: once the producer is open again the transaction has ended one way or the
    /// other, and the group's offsets tell which.
    async fn resolve(
        &mut self,
        covered: &Offsets,
        leases: &[Arc<Lease>],
        cause: WriteError,
    ) -> Result<Transacted, WriteError> {
        let name = &self.pipeline.name;
        events::commit_unknown(name, &cause);
        let mut backoff = Backoff::new();
        loop {
            let asked = async {
                self.transactor.open().await?;
                committed(&self.pipeline, covered.iter().map(|(partition, _)| partition.clone()).collect()).await
            };
            match asked.await.map_err(WriteError::from) {
                Ok(committed) => match Transactor::judge(covered, &committed) {
                    Found::Committed(receipt) => {
                        events::commit_resolved(name, true);
                        return Ok(receipt);
                    }
                    Found::Aborted => {
                        events::commit_resolved(name, false);
                        return Err(WriteError { disposition: Disposition::Retry, suspect: None, ..cause });
                    }
                    Found::Elsewhere(partitions) => return Err(elsewhere(partitions)),
                },
                Err(error) => events::retry(name, "resolve", &error, backoff.attempts()),
            }
            if leases.iter().all(|lease| !lease.is_alive()) {
                // Whoever has the partitions now waits for the transaction's end; nobody here needs to know it.
                return Err(WriteError { disposition: Disposition::Retry, suspect: None, ..cause });
            }
            tokio::time::sleep(backoff.next_delay()).await;
        }
    }

    pub fn close(&mut self) {
        self.transactor.close();
    }
}

fn elsewhere(partitions: Vec<TopicPartition>) -> WriteError {
    let names: Vec<String> = partitions.iter().map(TopicPartition::to_string).collect();
    let message = format!(
        "the group's offsets of {} are not where a transaction of ours left them: another daemon had the partitions, or \
         the offsets were set; what was read is dropped, and it is claimed again if the group still gives it to us",
        names.join(", ")
    );
    WriteError { fenced: partitions, ..WriteError::new(Disposition::Fenced, "fenced", "", message) }
}
