//! One batch, one transaction: how the calls of a [`Session`] make exactly-once.
//!
//! ```text
//! BEGIN
//!   positions: compare-and-set of all partitions of the batch   (the fence: it comes first and takes the row locks)
//!   deletes (those of `replace`, too), tables in reverse order; puts, tables in file order (children go before parents, parents come first);
//!   marks of soft deletes that must follow a put come with the puts
//!   what was merged into a table is read back for the tables that follow it, and for topics
//!   dead letters
//!   events for topics, delivered                                 (a crash from here on repeats them, and loses none)
//!   positions: are all of them stored as moved?                  (the tripwire)
//! COMMIT                                                         unknown outcome -> resolve on a new connection
//! ```
//!
//! Why this is exactly once: every row of a partition is written in a transaction that holds the partition's row lock
//! and moved its position from the exact predecessor, under the epoch that this process was granted. Two writers
//! serialize on the lock, and the loser's compare-and-set finds no row.

mod follow;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::timeout;

use crate::config::Sink;
use crate::dead_letter::Fault;
use crate::events;
use crate::offsets::TopicPartition;
use crate::retry::{Backoff, Disposition};

use super::destination::{Batch, Durable, Writer};
use super::error::WriteError;
use super::plan::TablePlan;
use super::reduce::{Reduced, reduce};
use super::retention;
use super::routes::Routes;
use super::session::{CommitError, Move, Position, Session, keeps_positions};
use super::step::{Action, RowCounts, Step};

/// The longest a whole transaction may take before its connection is given up. Longer than the servers' own
/// statement limits that the sessions set, so that a slow statement ends with an answer rather than with this.
const TRANSACTION_DEADLINE: Duration = Duration::from_secs(120);

/// Writes batches through one connection.
pub struct SqlWriter<S> {
    work: Work,
    session: Option<S>,
}

/// What a transaction needs to know besides its batch and its connection.
pub(super) struct Work {
    sink: Sink,
    pipeline: String,
    plans: Arc<[TablePlan]>,
    routes: Option<Arc<Routes>>,
}

/// How an attempt ended that did not succeed.
enum Failure {
    /// Before COMMIT was sent: nothing of it is stored once the transaction is rolled back.
    Before(WriteError),
    /// COMMIT was sent, and no answer tells what came of it.
    Unknown(WriteError),
}

impl From<WriteError> for Failure {
    fn from(error: WriteError) -> Self {
        Self::Before(error)
    }
}

impl<S: Session> SqlWriter<S> {
    pub fn new(sink: Sink, pipeline: String, plans: Arc<[TablePlan]>, routes: Arc<Routes>) -> Self {
        Self { work: Work::new(sink, pipeline, plans, routes), session: None }
    }
}

impl Work {
    pub(super) fn new(sink: Sink, pipeline: String, plans: Arc<[TablePlan]>, routes: Arc<Routes>) -> Self {
        Self { sink, pipeline, plans, routes: Some(routes) }
    }

    pub(super) async fn connect<S: Session>(&self) -> Result<S, WriteError> {
        S::connect(&self.sink, &self.pipeline).await
    }

    fn moves(&self, batch: &Batch<'_>) -> Vec<Move> {
        if !keeps_positions(self.sink.delivery) {
            return Vec::new();
        }
        let epochs: HashMap<_, _> = batch.leases.iter().map(|lease| (lease.partition(), lease.epoch())).collect();
        let moves = batch.covered.iter().filter(|(_, interval)| !interval.is_empty());
        // In the order of the map, which is the order of the partitions: everybody locks the rows in one order.
        moves
            .map(|(partition, interval)| Move {
                partition: partition.clone(),
                epoch: epochs[partition],
                expected: interval.from(),
                next: interval.to(),
            })
            .collect()
    }

    /// Everything from BEGIN to the answer of COMMIT.
    ///
    /// `counts` is complete before COMMIT is sent, so that it holds when only the answer was lost.
    async fn attempt<S: Session>(
        &self,
        session: &mut S,
        batch: &Batch<'_>,
        moves: &[Move],
        counts: &mut Vec<RowCounts>,
    ) -> Result<(), Failure> {
        let named = self.named(session, batch).await?;
        session.begin().await?;
        self.fence(session, moves).await?;
        *counts = self.apply(session, batch, &named).await?;
        if !batch.dead_letters.is_empty() {
            session.store_dead_letters(&self.pipeline, batch.dead_letters).await?;
        }
        // After the last statement, which may still be refused; before the COMMIT, after which nothing would send it.
        if let Some(outbox) = batch.outbox {
            outbox.deliver().await.map_err(WriteError::from)?;
        }
        self.check_transaction(session, moves).await?;
        match session.commit().await {
            Ok(()) => Ok(()),
            Err(CommitError::Aborted(error)) => Err(Failure::Before(error)),
            Err(CommitError::Unknown(error)) => Err(Failure::Unknown(error)),
        }
    }

    async fn fence<S: Session>(&self, session: &mut S, moves: &[Move]) -> Result<(), WriteError> {
        if moves.is_empty() {
            return Ok(());
        }
        let moved = session.advance(&self.pipeline, moves).await?;
        if moved == moves.len() as u64 {
            return Ok(());
        }
        // In the same transaction, after the update has waited for any other writer: these are the facts.
        let stored = session.lock_positions(&self.pipeline).await?;
        Err(fenced(moves, &stored, |position, movement| {
            // Our own update is visible here: a row that moved shows `next`.
            position.owner_epoch == movement.epoch && position.next_offset == movement.next
        })
        .answered())
    }

    /// The plans of tables that are named by their rows. Before BEGIN: a table that is new is looked up.
    pub(super) async fn named<S: Session>(
        &self,
        session: &mut S,
        batch: &Batch<'_>,
    ) -> Result<Vec<Option<Arc<TablePlan>>>, WriteError> {
        match &self.routes {
            Some(routes) if batch.tables.iter().any(|table| table.name.is_some()) => {
                routes.resolve(session, batch.tables).await
            }
            _ => Ok(vec![None; batch.tables.len()]),
        }
    }

    pub(super) async fn apply<S: Session>(
        &self,
        session: &mut S,
        batch: &Batch<'_>,
        named: &[Option<Arc<TablePlan>>],
    ) -> Result<Vec<RowCounts>, WriteError> {
        let mut work: Vec<(&TablePlan, Reduced)> = Vec::with_capacity(batch.tables.len());
        for (table, named) in batch.tables.iter().zip(named) {
            let plan = named.as_deref().unwrap_or(&self.plans[table.table]);
            let (rows, expired) = retention::arriving(plan, &table.rows);
            let mut reduced = reduce(plan, &rows, batch.in_order);
            reduced.counts.expired = expired;
            if let Some((record, fault)) = reduced.bad.first() {
                return Err(bad_row(plan, *record, fault));
            }
            work.push((plan, reduced));
        }
        let mut counts: Vec<RowCounts> = work.iter().map(|(_, reduced)| reduced.counts).collect();
        if batch.in_order {
            for (index, (plan, reduced)) in work.iter().enumerate() {
                counts[index] += put(session, batch, batch.tables[index].table, plan, &reduced.steps).await?;
            }
            return Ok(counts);
        }
        // What is deleted before anything is put is deleted from children before their parents.
        let leading_deletes =
            |reduced: &Reduced| reduced.steps.iter().take_while(|step| step.action != Action::Put).count();
        for (index, (plan, reduced)) in work.iter().enumerate().rev() {
            for step in &reduced.steps[..leading_deletes(reduced)] {
                counts[index] += run(session, plan, step).await?;
            }
        }
        for (index, (plan, reduced)) in work.iter().enumerate() {
            let steps = &reduced.steps[leading_deletes(reduced)..];
            counts[index] += put(session, batch, batch.tables[index].table, plan, steps).await?;
        }
        Ok(counts)
    }

    /// A server can end a transaction without our noticing (a swallowed deadlock, a full disk): what follows would run
    /// on its own and survive a rollback. The positions tell whether this is still the transaction that moved them.
    async fn check_transaction<S: Session>(&self, session: &mut S, moves: &[Move]) -> Result<(), WriteError> {
        if moves.is_empty() {
            return Ok(());
        }
        let stored = session.count_moved(&self.pipeline, moves).await?;
        if stored == moves.len() as u64 {
            return Ok(());
        }
        Err(WriteError::new(
            Disposition::Retry,
            "transaction-lost",
            "",
            "the server ended the transaction by itself; nothing of the batch is kept, and it is tried again",
        ))
    }

    /// After a COMMIT of unknown outcome. On new connections, for as long as it takes: the locking read waits for a
    /// backend that may still be committing, which a snapshot read would show as "not committed".
    async fn resolve<S: Session>(
        &self,
        batch: &Batch<'_>,
        moves: &[Move],
        cause: WriteError,
    ) -> Result<(), WriteError> {
        events::commit_unknown(&self.pipeline, &cause);
        if moves.is_empty() {
            return Err(cause);
        }
        let mut backoff = Backoff::new();
        loop {
            match timeout(TRANSACTION_DEADLINE, self.read_positions::<S>()).await {
                Ok(Ok(stored)) => return self.judge(moves, &stored, cause),
                Ok(Err(error)) => events::retry(&self.pipeline, "resolve", &error, backoff.attempts()),
                Err(_) => events::retry(&self.pipeline, "resolve", &cause, backoff.attempts()),
            }
            if batch.leases.iter().all(|lease| !lease.is_alive()) {
                // Whoever owns the partitions now starts from what the database says; nobody here needs to know.
                return Err(fenced(moves, &[], |_, _| false));
            }
            tokio::time::sleep(backoff.next_delay()).await;
        }
    }

    async fn read_positions<S: Session>(&self) -> Result<Vec<Position>, WriteError> {
        let mut session = S::connect(&self.sink, &self.pipeline).await?;
        session.begin().await?;
        let stored = session.lock_positions(&self.pipeline).await?;
        session.rollback().await?;
        session.close().await;
        Ok(stored)
    }

    fn judge(&self, moves: &[Move], stored: &[Position], cause: WriteError) -> Result<(), WriteError> {
        let by_partition: HashMap<_, _> = stored.iter().map(|position| (&position.partition, position)).collect();
        let all_at = |at: fn(&Move) -> i64| {
            moves.iter().all(|movement| {
                by_partition.get(&movement.partition).is_some_and(|position| {
                    position.owner_epoch == movement.epoch && position.next_offset == at(movement)
                })
            })
        };
        if all_at(|movement| movement.next) {
            events::commit_resolved(&self.pipeline, true);
            Ok(())
        } else if all_at(|movement| movement.expected) {
            events::commit_resolved(&self.pipeline, false);
            Err(WriteError { disposition: Disposition::Retry, suspect: None, ..cause })
        } else {
            // Taken over, or the database went back in time (a failover, a restored backup): claim again and go on
            // from what is stored.
            Err(fenced(moves, stored, |_, _| false))
        }
    }
}

/// A row that cannot be written whatever the database holds. Nothing was asked of the server that could have failed.
fn bad_row(plan: &TablePlan, record: u32, fault: &Fault) -> WriteError {
    let mut error = WriteError::new(Disposition::Isolate, fault.class, "", fault.reason.clone()).answered();
    error.suspect = Some(record);
    error.column.clone_from(&fault.column);
    error.on_table(plan.table.full_name())
}

/// Runs the steps of a table, or, where it follows a table before it, those that follow; then hands on what was merged.
async fn put<S: Session>(
    session: &mut S,
    batch: &Batch<'_>,
    table: usize,
    plan: &TablePlan,
    steps: &[Step],
) -> Result<RowCounts, WriteError> {
    let Some(reduced) = follow::reduced(batch, table, plan)? else {
        let mut counts = RowCounts::default();
        for step in steps {
            counts += run(session, plan, step).await?;
        }
        follow::hand_on(session, batch, table, plan, steps).await?;
        return Ok(counts);
    };
    let mut counts = reduced.counts;
    for step in &reduced.steps {
        counts += run(session, plan, step).await.map_err(follow::blameless)?;
    }
    Ok(counts)
}

/// Runs a step and says what became of its rows.
async fn run<S: Session>(session: &mut S, plan: &TablePlan, step: &Step) -> Result<RowCounts, WriteError> {
    use crate::config::Mode;
    let rows = step.batch.num_rows() as u64;
    let changed = session.apply(plan, step).await.map_err(|error| error.on_table(plan.table.full_name()))?;
    if step.action == Action::Replace {
        return Ok(RowCounts { replaced: changed, ..RowCounts::default() });
    }
    let changed = changed.min(rows);
    let unchanged = rows - changed;
    let mut counts = RowCounts { written: changed, ..RowCounts::default() };
    match (step.action, plan.mode) {
        // The rows were counted when they were put.
        (Action::Patch | Action::Replace, _) => return Ok(RowCounts::default()),
        (Action::Delete | Action::SoftDelete, _) => counts.unmatched = unchanged,
        (Action::Put, Mode::InsertIgnore) => counts.ignored = unchanged,
        (Action::Put, Mode::Update) if plan.version.is_none() => counts.unmatched = unchanged,
        (Action::Put, _) => counts.stale = unchanged,
    }
    Ok(counts)
}

/// The error for the moves whose stored position is not as `held` wants it.
fn fenced(moves: &[Move], stored: &[Position], held: impl Fn(&Position, &Move) -> bool) -> WriteError {
    let is_held = |movement: &Move| {
        stored.iter().any(|position| position.partition == movement.partition && held(position, movement))
    };
    let lost: Vec<TopicPartition> =
        moves.iter().filter(|movement| !is_held(movement)).map(|movement| movement.partition.clone()).collect();
    let names: Vec<String> = lost.iter().map(TopicPartition::to_string).collect();
    let mut error = WriteError::new(
        Disposition::Fenced,
        "fenced",
        "",
        format!(
            "the stored position of {} is no longer ours: another daemon claimed it, or the row was changed; \
             what was read of it is dropped, and it is claimed again if the group still gives it to us",
            names.join(", ")
        ),
    );
    error.fenced = lost;
    error
}

#[async_trait]
impl<S: Session> Writer for SqlWriter<S> {
    async fn write(&mut self, batch: &Batch<'_>) -> Result<Durable, WriteError> {
        let moves = self.work.moves(batch);
        // Out of `self` while it is used: whatever ends this future drops the connection with it.
        let mut session = match self.session.take() {
            Some(session) => session,
            None => self.work.connect().await?,
        };
        let mut counts = Vec::new();
        let attempt = self.work.attempt(&mut session, batch, &moves, &mut counts);
        let failure = match timeout(TRANSACTION_DEADLINE, attempt).await {
            Ok(Ok(())) => {
                self.session = Some(session);
                return Ok(Durable::new(batch.covered.clone(), counts));
            }
            Ok(Err(failure)) => failure,
            // It may have been COMMIT that hung.
            Err(_) => Failure::Unknown(WriteError::new(
                Disposition::Retry,
                "deadline",
                "",
                format!("the transaction was not answered within {} s", TRANSACTION_DEADLINE.as_secs()),
            )),
        };
        match failure {
            Failure::Before(error) => {
                if error.connection_usable
                    && matches!(timeout(TRANSACTION_DEADLINE, session.rollback()).await, Ok(Ok(())))
                {
                    self.session = Some(session);
                }
                Err(error)
            }
            Failure::Unknown(cause) => {
                drop(session);
                self.work.resolve::<S>(batch, &moves, cause).await.map(|()| Durable::new(batch.covered.clone(), counts))
            }
        }
    }

    async fn close(&mut self) {
        if let Some(session) = self.session.take() {
            // A courtesy to the server; a dead connection must not hold up the end.
            let _ = timeout(Duration::from_secs(1), session.close()).await;
        }
    }
}

#[cfg(test)]
mod tests;
