//! One batch, one Kafka transaction: what it sends, and the group's offsets behind it, exactly once together.
//!
//! ```text
//! begin
//!   events and dead letters                         (nobody who reads committed records sees them yet)
//!   the group's offsets, with the membership        (the fence: the group's coordinator refuses a former member)
//! commit                                            unknown outcome -> a new producer, and the group's offsets tell
//! ```
//!
//! Why this is exactly once: the coordinator takes offsets only from a member of the group's present generation, and
//! whoever claims a partition afterwards waits for transactions that hold offsets of it. The membership is asked for
//! first and the leases are looked at second: a lease ends before its consumer leaves the generation it was ours in.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::producer::Producer as _;
use rdkafka::{Offset, TopicPartitionList};

use super::client::{self, Client, Reports};
use super::outgoing::{Outgoing, Place, is_cause};
use super::progress::Progress;
use super::refusals::{rank, undelivered};
use crate::config::Source;
use crate::kafka::Membership;
use crate::kafka::errors::{self, Failure};
use crate::lease::Lease;
use crate::offsets::{Offsets, TopicPartition};
use crate::outbox::Undelivered;
use crate::retry::Disposition;

/// A transaction that is open for so long is aborted by its coordinator, which looks every 10 s. So long the readers of
/// the topics, and whoever takes partitions over, wait for a daemon that was killed and does not come back.
const TRANSACTION_TIMEOUT_MS: u64 = 15_000;
/// For one answer of the transaction's coordinator.
const LIMIT: Duration = Duration::from_secs(10);
/// The coordinator takes a new transaction only once the markers of the last one are written, and is asked again after
/// this time. librdkafka's 100 ms would hold up a record that follows another closely.
const RETRY_BACKOFF_MS: &str = "10";
/// An unanswered commit is asked about so often before the group's offsets are.
const COMMITS: usize = 3;
/// After the last report librdkafka counts its records down within microseconds; rust-rdkafka's commit would wait long.
const COUNT_DOWN: Duration = Duration::from_micros(50);

/// Shows the group's member as it is now; `None`: it is none.
pub type ShowMembership = Arc<dyn Fn() -> Option<Membership> + Send + Sync>;

/// Writes the transactions of a lane.
pub struct Transactor {
    pipeline: String,
    source: Source,
    /// Its `transactional.id`: who opens it ends what another process left open under it.
    id: String,
    membership: ShowMembership,
    /// `None`: not open.
    client: Option<Arc<Client>>,
}

/// What one transaction holds.
pub struct Transaction<'a> {
    /// What the commit moves the group's offsets over.
    pub covered: &'a Offsets,
    /// The claims of the covered partitions.
    pub leases: &'a [Arc<Lease>],
    pub outgoing: Outgoing<'a>,
}

/// The receipt of a transaction, which has moved the group's offsets itself. Only this folder can make one.
#[derive(Debug)]
pub struct Transacted {
    offsets: Offsets,
}

impl Transacted {
    pub(super) fn new(offsets: Offsets) -> Self {
        Self { offsets }
    }

    pub fn offsets(&self) -> &Offsets {
        &self.offsets
    }
}

/// How a transaction ended that did not succeed.
#[derive(Debug)]
pub enum Unwritten {
    /// Nothing of it will ever be seen.
    Aborted(Undelivered),
    /// The commit was asked for, and no answer tells what came of it: open, then ask the group, see [`Transactor::judge`].
    Unknown(Undelivered),
}

/// What the group's offsets say of a transaction of unknown outcome.
#[derive(Debug)]
pub enum Found {
    Committed(Transacted),
    Aborted,
    /// These partitions stand elsewhere: somebody else had them since.
    Elsewhere(Vec<TopicPartition>),
}

impl Transactor {
    /// No broker is contacted yet. Of all processes only one may use an `id` at a time.
    pub fn new(pipeline: &str, source: &Source, id: String, membership: ShowMembership) -> Self {
        Self { pipeline: pipeline.to_owned(), source: source.clone(), id, membership, client: None }
    }

    /// Begins to be the one with this `transactional.id`: ends what is open under it, and shuts out whoever had it.
    ///
    /// # Errors
    /// Brokers that do not answer, a principal that may not.
    pub async fn open(&mut self) -> Result<(), Undelivered> {
        if self.client.is_none() {
            let client = self.connect().map_err(undelivered)?;
            let client = Arc::new(client);
            let opened = blocking(&client, |client| client.init_transactions(LIMIT)).await;
            if let Err(cause) = opened {
                let failure = self.failure(&client, &cause, "the producer of transactions could not be opened");
                dispose(client);
                return Err(undelivered(failure));
            }
            self.client = Some(client);
        }
        Ok(())
    }

    fn connect(&self) -> Result<Client, Failure> {
        let mut config = client::config(&self.pipeline, &self.source, TRANSACTION_TIMEOUT_MS);
        if config.get("retry.backoff.ms").is_none() {
            config.set("retry.backoff.ms", RETRY_BACKOFF_MS);
        }
        config
            .set("transactional.id", &self.id)
            .set("transaction.timeout.ms", TRANSACTION_TIMEOUT_MS.to_string())
            .create_with_context(Reports::default())
            .map_err(|cause| errors::of_client(&cause, "the producer of transactions could not be started"))
    }

    /// One transaction. `Ok` only after its commit is known to have happened.
    ///
    /// Not to be cancelled by dropping the future while the transactor lives on.
    pub async fn write(&mut self, transaction: &Transaction<'_>) -> Result<Transacted, Unwritten> {
        self.open().await.map_err(Unwritten::Aborted)?;
        // Out of `self` while it is used: whatever ends this future leaves the client to be opened again.
        let client = self.client.take().expect("opened above");
        let outcome = self.attempt(&client, transaction).await;
        if matches!(outcome, Err(Unwritten::Unknown(_))) || client.client().fatal_error().is_some() {
            dispose(client);
        } else {
            self.client = Some(client);
        }
        outcome.map(|()| Transacted::new(transaction.covered.clone()))
    }

    async fn attempt(&self, client: &Arc<Client>, transaction: &Transaction<'_>) -> Result<(), Unwritten> {
        self.begin(client).await?;
        let places = transaction.outgoing.places();
        let progress = Arc::default();
        if let Err(told) = self.fill(client, transaction, &places, &progress).await {
            let failed: Vec<_> = progress.failed().into_iter().filter(|(_, code)| is_cause(*code)).collect();
            if failed.is_empty() {
                return Err(self.abort(client, told).await);
            }
            // What is wrong with an event says more than that its transaction could not go on.
            let judged = transaction.outgoing.judge(client, &places, &failed);
            let told = if rank(&told) < rank(&judged) { told } else { judged };
            return Err(self.abort(client, told).await);
        }
        self.commit(client).await
    }

    async fn begin(&self, client: &Arc<Client>) -> Result<(), Unwritten> {
        match client.begin_transaction() {
            Ok(()) => Ok(()),
            Err(cause) => Err(self.abort(client, self.told(client, &cause, "a transaction could not be begun")).await),
        }
    }

    /// Stores the group's offsets alone, where `is_wanted` still says so once nobody else can under this id.
    pub async fn store<F: Future<Output = Result<bool, Undelivered>>>(
        &mut self,
        positions: &[(TopicPartition, i64)],
        is_wanted: impl FnOnce() -> F,
    ) -> Result<(), Undelivered> {
        self.open().await?;
        if !is_wanted().await? {
            return Ok(());
        }
        let client = self.client.take().expect("opened above");
        let outcome = async {
            self.begin(&client).await?;
            let membership = (self.membership)();
            let sent = match membership {
                Some(membership) => self.send_positions(&client, list(positions.iter().cloned()), membership).await,
                None => Err(not_ours()),
            };
            match sent {
                Ok(()) => self.commit(&client).await,
                Err(told) => Err(self.abort(&client, told).await),
            }
        };
        let outcome = outcome.await;
        dispose(client);
        outcome.map_err(|(Unwritten::Aborted(told) | Unwritten::Unknown(told))| told)
    }

    /// Everything but the commit.
    async fn fill(
        &self,
        client: &Arc<Client>,
        transaction: &Transaction<'_>,
        places: &[Place],
        progress: &Arc<Progress>,
    ) -> Result<(), Undelivered> {
        transaction.outgoing.send(client, progress, places, 0).await?;
        // In this order; see the top of this file.
        let membership = (self.membership)();
        let is_ours = transaction.leases.iter().all(|lease| lease.is_alive());
        let Some(membership) = membership.filter(|_| is_ours) else {
            return Err(not_ours());
        };
        let moved = transaction.covered.iter().filter(|(_, interval)| !interval.is_empty());
        let positions = list(moved.map(|(partition, interval)| (partition.clone(), interval.to())));
        self.send_positions(client, positions, membership).await?;
        progress.settled_or_failed().await;
        match progress.has_failed() {
            true => Err(undelivered(errors::error(Code::Fail, "a transaction could not be filled"))),
            false => Ok(()),
        }
    }

    async fn send_positions(
        &self,
        client: &Arc<Client>,
        positions: TopicPartitionList,
        membership: Membership,
    ) -> Result<(), Undelivered> {
        let send = move |client: &Client| client.send_offsets_to_transaction(&positions, membership.metadata(), LIMIT);
        blocking(client, send).await.map_err(|cause| {
            let what = format!("the offsets of group {} were not taken into the transaction", self.source.group);
            self.told(client, &cause, &what)
        })
    }

    async fn commit(&self, client: &Arc<Client>) -> Result<(), Unwritten> {
        while client.in_flight_count() > 0 {
            tokio::time::sleep(COUNT_DOWN).await;
        }
        let what = "a transaction could not be committed";
        let mut told = None;
        for _ in 0..COMMITS {
            match blocking(client, |client| client.commit_transaction(LIMIT)).await {
                Ok(()) => return Ok(()),
                Err(cause) if requires_abort(&cause) => {
                    return Err(self.abort(client, self.told(client, &cause, what)).await);
                }
                // The same call again asks what came of it.
                Err(cause) if is_retriable(&cause) => told = Some(self.told(client, &cause, what)),
                Err(cause) => {
                    told = Some(self.told(client, &cause, what));
                    break;
                }
            }
        }
        Err(Unwritten::Unknown(told.expect("it was tried")))
    }

    /// Gives the transaction up. Whatever comes of it, nothing was committed.
    async fn abort(&self, client: &Arc<Client>, told: Undelivered) -> Unwritten {
        if client.client().fatal_error().is_none()
            && let Err(cause) = blocking(client, |client| client.abort_transaction(LIMIT)).await
        {
            tracing::warn!(pipeline = self.pipeline, %cause, "a transaction could not be aborted; its producer is replaced");
            // A client that is in the middle of something cannot begin anew.
            return Unwritten::Unknown(told);
        }
        Unwritten::Aborted(told)
    }

    /// What the group's offsets, read after [`Transactor::open`], say of a transaction of unknown outcome.
    pub fn judge(covered: &Offsets, committed: &[(TopicPartition, Option<i64>)]) -> Found {
        let at = |position: fn(crate::offsets::Interval) -> i64| {
            move |(partition, interval): &(&TopicPartition, crate::offsets::Interval)| {
                let found = committed.iter().find(|(known, _)| known == *partition).and_then(|(_, found)| *found);
                found == Some(position(*interval))
            }
        };
        let moved = || covered.iter().filter(|(_, interval)| !interval.is_empty());
        if moved().all(|movement| at(|interval| interval.to())(&movement)) {
            return Found::Committed(Transacted::new(covered.clone()));
        }
        let has_none = |(partition, _): &(&TopicPartition, crate::offsets::Interval)| {
            committed.iter().any(|(known, found)| known == *partition && found.is_none())
        };
        let elsewhere: Vec<TopicPartition> = moved()
            .filter(|movement| !at(|interval| interval.from())(movement) && !has_none(movement))
            .map(|(partition, _)| partition.clone())
            .collect();
        if elsewhere.is_empty() { Found::Aborted } else { Found::Elsewhere(elsewhere) }
    }

    /// Ends the client; the next transaction opens another one.
    pub fn close(&mut self) {
        if let Some(client) = self.client.take() {
            dispose(client);
        }
    }

    fn told(&self, client: &Client, cause: &KafkaError, what: &str) -> Undelivered {
        undelivered(self.failure(client, cause, what))
    }

    fn failure(&self, client: &Client, cause: &KafkaError, what: &str) -> Failure {
        let retry = |class, message| Failure { disposition: Disposition::Retry, class, message };
        let code = match cause {
            KafkaError::Transaction(error) => error.code(),
            other => other.rdkafka_error_code().unwrap_or(Code::Fail),
        };
        // A fatal error is only wrapped; what it was is asked for.
        let code = match client.client().fatal_error() {
            Some((fatal, _)) if code == Code::Fatal || code == Code::State => fatal,
            _ => code,
        };
        match code {
            Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch => retry(
                "fenced",
                format!(
                    "{what}: {code}; it is tried again with a new producer; where it does not end, another process uses \
                     the transactional id {}: give each daemon its own [source] instance",
                    self.id
                ),
            ),
            Code::TransactionalIdAuthorizationFailed => Failure {
                disposition: Disposition::Block,
                class: "authorization",
                message: format!(
                    "{what}: {code}; it is checked again from time to time; grant WRITE and DESCRIBE on the transactional \
                     id {}, best by the prefix {}/",
                    self.id, self.source.group
                ),
            },
            Code::TopicAuthorizationFailed => Failure {
                disposition: Disposition::Block,
                class: "authorization",
                message: format!(
                    "{what}: {code}; it is checked again from time to time; grant WRITE and DESCRIBE on the topics of \
                     [[topic]] and [errors] dead_letters, and READ on those of [source]"
                ),
            },
            // The next try has a new client, or shows another membership; where it is none, the lease has ended.
            Code::Fatal | Code::State | Code::FencedInstanceId => {
                retry("kafka", format!("{what}: {code}; it is tried again"))
            }
            // It says only that it waited in vain; why the connection failed says more.
            Code::OperationTimedOut | Code::MessageTimedOut => match client.context().last_problem() {
                Some((problem, reason)) => errors::error(problem, format!("{what} ({reason})")),
                None => errors::error(code, what),
            },
            code => errors::error(code, what),
        }
    }
}

fn list(positions: impl Iterator<Item = (TopicPartition, i64)>) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for (partition, position) in positions {
        let added = list.add_partition_offset(&partition.topic, partition.partition, Offset::Offset(position));
        debug_assert!(added.is_ok(), "{partition} at {position}");
    }
    list
}

fn not_ours() -> Undelivered {
    Undelivered {
        disposition: Disposition::Retry,
        class: "rebalance",
        message: "the group takes partitions of the batch away; what is still ours of it is tried again".to_owned(),
        suspect: None,
        column: None,
    }
}

fn requires_abort(cause: &KafkaError) -> bool {
    matches!(cause, KafkaError::Transaction(error) if error.txn_requires_abort())
}

fn is_retriable(cause: &KafkaError) -> bool {
    match cause {
        KafkaError::Transaction(error) => error.is_retriable(),
        // Of rust-rdkafka's own flush before the commit.
        KafkaError::Flush(_) => true,
        _ => false,
    }
}

/// A call of librdkafka that waits for an answer.
async fn blocking(
    client: &Arc<Client>,
    call: impl FnOnce(&Client) -> Result<(), KafkaError> + Send + 'static,
) -> Result<(), KafkaError> {
    let client = client.clone();
    let answer = tokio::task::spawn_blocking(move || call(&client)).await;
    // A panic goes on here, where the supervisor sees it.
    answer.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}

/// Closing waits for the client's threads.
fn dispose(client: Arc<Client>) {
    tokio::task::spawn_blocking(move || drop(client));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::offsets::Interval;

    #[test]
    fn the_groups_offsets_tell_what_came_of_a_transaction() {
        let partition = |number| TopicPartition::new("t", number);
        let mut covered = Offsets::default();
        covered.extend(&partition(0), Interval::new(5, 9)).unwrap();
        covered.extend(&partition(1), Interval::new(0, 3)).unwrap();
        covered.extend(&partition(2), Interval::new(7, 7)).unwrap();
        let judge = |first, second| {
            let committed = [(partition(0), first), (partition(1), second), (partition(2), None)];
            Transactor::judge(&covered, &committed)
        };
        assert!(matches!(judge(Some(9), Some(3)), Found::Committed(receipt) if *receipt.offsets() == covered));
        assert!(matches!(judge(Some(5), None), Found::Aborted));
        assert!(matches!(judge(Some(5), Some(0)), Found::Aborted));
        assert!(matches!(judge(Some(12), Some(0)), Found::Elsewhere(found) if found == [partition(0)]));
        assert!(matches!(judge(Some(9), Some(0)), Found::Elsewhere(found) if found == [partition(0)]));
    }
}
