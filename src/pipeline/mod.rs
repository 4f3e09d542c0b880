//! The pipelines of a process: wiring, lanes, back-pressure, supervision. Alone knows the order of the stages.
//!
//! ```text
//! consume --Inbox--> lane: decode -> (look up) -> transform -> write --Durable--> commit
//!    ^                                                                   |
//!    +---------------------- the group's offsets -----------------------+
//! ```

mod checks;
mod claims;
mod coordinator;
mod explain;
mod flights;
mod follow;
mod followed_events;
mod identity;
mod joins;
mod lane;
mod lookup_rows;
mod lookup_tables;
mod lookups;
mod naming;
mod outlet;
mod ownership;
pub mod positions;
mod preparing;
mod private;
mod queries;
mod rehearsal;
pub mod reposition;
mod retention;
mod stages;
mod steps;
mod store;
mod transactions;
mod trial;
pub mod until;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::config::Pipeline;
use crate::events;
use crate::inbox::MemoryBudget;
use crate::retry::{Backoff, Disposition};
use crate::status::{State, Status};

use coordinator::{Failure, Setting};

pub use explain::{ExplainedStages, ExplainedStatement};
pub use lookup_rows::broken_files;
pub use lookup_tables::complete;
pub use queries::Queries;
pub use rehearsal::{Rehearsal, Rehearsed, RehearsedColumn, RehearsedEvents};
pub use steps::Step;
pub use trial::{Database as TrialDatabase, Tried, TriedColumn, TriedTable, TriedTopic, try_records};

/// How the status calls a pipeline as a whole.
const PART: &str = "pipeline";

/// How a run of pipelines ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Asked to stop, and everything in flight was finished.
    Drained,
    /// Asked to stop, and the drain limit passed first. Nothing is lost: what was not committed is read again.
    DrainLimit,
    /// No pipeline could start, because their databases say that the configuration is wrong.
    Configuration,
    /// No pipeline is left, and at least one Kafka client cannot go on.
    Fatal,
    /// `--fail-fast`, and a pipeline is blocked.
    Blocked,
}

impl Ending {
    /// The exit code of the process (documented in docs/operating.md; service managers act on it).
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Drained => 0,
            Self::Configuration => 2,
            Self::DrainLimit => 3,
            Self::Fatal => 4,
            Self::Blocked => 5,
        }
    }
}

/// How pipelines are run.
#[derive(Debug, Clone)]
pub struct Supervision {
    pub drain_limit: Duration,
    /// End as soon as a pipeline is blocked.
    pub fail_fast: bool,
    /// Bytes of records between fetch and commit, over all pipelines.
    pub memory: usize,
}

/// Runs pipelines until `stop` turns true, or until none can go on. `statuses` has one entry per pipeline.
pub async fn supervise(
    pipelines: Vec<Pipeline>,
    statuses: &[Arc<Status>],
    supervision: Supervision,
    stop: watch::Receiver<bool>,
) -> Ending {
    let budget = MemoryBudget::new(supervision.memory);
    // Besides the operator's wish there are reasons of our own to stop all pipelines.
    let stop_all = watch::Sender::new(false);
    let (failure_sender, mut failures) = mpsc::unbounded_channel();
    let mut tasks = JoinSet::new();
    let count = pipelines.len();
    for (index, (pipeline, status)) in pipelines.into_iter().zip(statuses).enumerate() {
        events::starting(&pipeline.name);
        let setting = Setting {
            pipeline: Arc::new(pipeline),
            status: status.clone(),
            budget: budget.clone(),
            stop: stop_all.subscribe(),
            drain_limit: supervision.drain_limit,
        };
        tasks.spawn(keep_running(index, count == 1, setting, failure_sender.clone()));
    }
    drop(failure_sender);
    let reason = reason_to_stop(stop, statuses, supervision.fail_fast, &mut failures, count).await;
    stop_all.send_replace(true);
    let mut all_drained = true;
    while let Some(drained) = tasks.join_next().await {
        all_drained &= drained.unwrap_or(false);
    }
    match reason {
        Ending::Drained if !all_drained => Ending::DrainLimit,
        reason => reason,
    }
}

async fn reason_to_stop(
    mut stop: watch::Receiver<bool>,
    statuses: &[Arc<Status>],
    fail_fast: bool,
    failures: &mut mpsc::UnboundedReceiver<(usize, Ending)>,
    count: usize,
) -> Ending {
    let mut failed = vec![None; count];
    let any_blocked = async {
        let blocked = statuses.iter().map(|status| {
            let mut states = status.watch();
            Box::pin(async move { states.wait_for(|state| *state == State::Blocked).await.map(drop) })
        });
        first_of(blocked.collect()).await;
    };
    tokio::pin!(any_blocked);
    loop {
        tokio::select! {
            () = turned_true(&mut stop) => return Ending::Drained,
            () = &mut any_blocked, if fail_fast => return Ending::Blocked,
            Some((index, ending)) = failures.recv() => {
                failed[index] = Some(ending);
                // What failed once may run by now.
                let runs = |status: &Arc<Status>| !matches!(status.state(), State::Failed | State::Blocked | State::Starting);
                let is_hopeless = |(ending, status): (&Option<Ending>, &Arc<Status>)| ending.is_some() && !runs(status);
                if failed.iter().zip(statuses).all(is_hopeless) {
                    let is_fatal = failed.contains(&Some(Ending::Fatal));
                    return if is_fatal { Ending::Fatal } else { Ending::Configuration };
                }
            }
        }
    }
}

/// Resolves once `flag` is true, or whoever would set it is gone.
async fn turned_true(flag: &mut watch::Receiver<bool>) {
    let _ = flag.wait_for(|flag| *flag).await.map(drop);
}

/// Resolves with the first future that does.
async fn first_of<F: Future + Unpin>(mut futures: Vec<F>) {
    std::future::poll_fn(|context| {
        let is_ready = |future: &mut F| std::pin::Pin::new(future).poll(context).is_ready();
        if futures.iter_mut().any(is_ready) { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
}

/// Runs one pipeline, and again with backoff when it fails, so that the others do not feel it. Returns whether it
/// drained.
async fn keep_running(
    index: usize,
    is_alone: bool,
    setting: Setting,
    failures: mpsc::UnboundedSender<(usize, Ending)>,
) -> bool {
    let mut backoff = Backoff::new();
    let mut stop = setting.stop.clone();
    loop {
        // A task of its own, so that a panic ends only this attempt.
        let mut attempt = JoinSet::new();
        attempt.spawn(coordinator::run(setting.clone()));
        let failure = match attempt.join_next().await.expect("one task was spawned") {
            Ok(Ok(drained)) => return drained,
            Ok(Err(failure)) => failure,
            Err(_) => Failure::Panicked,
        };
        let status = &setting.status;
        status.enter(State::Failed);
        let (ending, message) = match failure {
            Failure::Configuration(message) => (Some(Ending::Configuration), message),
            Failure::Fatal(error) => (Some(Ending::Fatal), error.to_string()),
            Failure::Panicked => (None, "a task panicked; this is a defect of Tidegate, please report it".to_owned()),
        };
        status.report(PART, Disposition::Block, message.clone());
        events::pipeline_failed(status.name(), &message, backoff.attempts());
        if let Some(ending) = ending {
            let _ = failures.send((index, ending));
            if is_alone {
                return false;
            }
        }
        tokio::select! {
            () = tokio::time::sleep(backoff.next_delay()) => {}
            () = turned_true(&mut stop) => return true,
        }
        status.enter(State::Starting);
        // Until it runs again.
        status.report(PART, Disposition::Block, message);
    }
}
