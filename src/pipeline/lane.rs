//! A lane: a set of partitions, one inbox, one connection. collect -> decode -> transform -> write, with the next batch
//! decoding while one commits. The order of a partition is the order of its lane.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::commit::Receipt;
use crate::config::Pipeline;
use crate::inbox::{Delivery, Inbox, MemoryBudget, Reservation};
use crate::offsets::TopicPartition;
use crate::produce::EventShape;
use crate::records::Records;
use crate::status::Status;
use crate::write::Prepared;

use super::lookups::Lookups;
use super::outlet::LaneWriter;
use super::stages::{Shaped, Stages};
use super::store::Store;

/// A connection that had nothing to do for this long is closed; the next batch opens a new one. Long enough that a
/// trickle of records does not mean a connection per record, short enough that fifty idle pipelines hold none; below the
/// limit after which MySQL is told to end idle connections (60 s).
const IDLE_CONNECTION: Duration = Duration::from_secs(45);

/// What a lane tells its pipeline.
#[derive(Debug)]
pub enum Report {
    Stored(Receipt),
    /// Somebody else owns these; their leases have ended.
    Fenced(Vec<TopicPartition>),
}

/// What the lanes of a pipeline share.
#[derive(Clone)]
pub struct LaneContext {
    pub pipeline: Arc<Pipeline>,
    pub prepared: Prepared,
    pub stages: Arc<Stages>,
    pub lookups: Arc<Lookups>,
    /// How the rows of each `[[topic]]` become events.
    pub shapes: Arc<[EventShape]>,
    pub status: Arc<Status>,
    pub reports: mpsc::UnboundedSender<Report>,
    pub budget: Arc<MemoryBudget>,
    /// Turns true when the pipeline ends: waiting for a better time is over then.
    pub ending: watch::Receiver<bool>,
}

/// The handle of a running lane.
pub struct Lane {
    pub inbox: Arc<Inbox>,
    flushes: mpsc::UnboundedSender<oneshot::Sender<()>>,
}

/// What passes from the decoding half to the writing half.
#[allow(clippy::large_enum_variant, reason = "one per batch, and the channel holds one")]
enum Item {
    Batch(Work),
    /// Everything before it has been stored or dropped.
    Flush(oneshot::Sender<()>),
}

/// A batch as rows, with what is needed to do it again.
pub struct Work {
    pub records: Records,
    pub shaped: Shaped,
    /// Holds the batch's share of the memory until it is committed.
    _reservation: Reservation,
}

impl Lane {
    /// Starts the lane's two tasks in `tasks`.
    pub fn start(index: usize, context: LaneContext, writer: LaneWriter, tasks: &mut JoinSet<()>) -> Self {
        let inbox = Inbox::new(context.pipeline.sink.batch(), context.budget.clone());
        let (flushes, flush_requests) = mpsc::unbounded_channel();
        // One decoded batch waits while one is written: enough to keep the connection busy, and no more memory.
        let (items, work) = mpsc::channel(1);
        let linger = context.pipeline.sink.batch().linger;
        tasks.spawn(collect(inbox.clone(), linger, context.clone(), flush_requests, items));
        tasks.spawn(write(Store::new(index, context, writer), work));
        Self { inbox, flushes }
    }

    /// Resolves once everything that was taken from the inbox before has been stored or dropped.
    pub async fn flush(&self) {
        let (done, is_done) = oneshot::channel();
        // A lane that has ended has nothing in flight.
        if self.flushes.send(done).is_ok() {
            let _ = is_done.await;
        }
    }
}

async fn collect(
    inbox: Arc<Inbox>,
    linger: Duration,
    context: LaneContext,
    mut flush_requests: mpsc::UnboundedReceiver<oneshot::Sender<()>>,
    items: mpsc::Sender<Item>,
) {
    let mut decoder = context.stages.decoder(&context.pipeline);
    let mut not_before = Instant::now();
    // The place comes first: while both places are taken the inbox grows, and the next batch with it.
    while let Ok(place) = items.reserve().await {
        tokio::select! {
            biased;
            flush = flush_requests.recv() => match flush {
                Some(flush) => place.send(Item::Flush(flush)),
                None => return,
            },
            delivery = inbox.take(not_before) => match delivery {
                Some(Delivery { records, reservation }) => {
                    not_before = Instant::now() + linger;
                    let shaped = context.stages.run(&mut *decoder, &records, &BTreeSet::new(), &context.lookups).await;
                    place.send(Item::Batch(Work { records, shaped, _reservation: reservation }));
                }
                None => break,
            },
        }
    }
    // The inbox is closed; flushes may still be asked for.
    while let Some(flush) = flush_requests.recv().await {
        if items.send(Item::Flush(flush)).await.is_err() {
            return;
        }
    }
}

async fn write(mut store: Store, mut work: mpsc::Receiver<Item>) {
    loop {
        match tokio::time::timeout(IDLE_CONNECTION, work.recv()).await {
            Ok(Some(Item::Batch(work))) => store.store(work).await,
            // Whoever asked may have given up waiting.
            Ok(Some(Item::Flush(done))) => drop(done.send(())),
            Ok(None) => break,
            Err(_) => store.rest().await,
        }
    }
    store.close().await;
}
