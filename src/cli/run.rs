//! `tidegate run`

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use indicatif::ProgressBar;
use rustix::process::{Resource, Rlimit, setrlimit};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::config::{self, Daemon, Pipeline, Problems};
use crate::http::{self, Pages};
use crate::pipeline::until::Until;
use crate::pipeline::{Ending, Queries, Supervision, supervise};
use crate::status::Status;

use super::{CONFIGURATION_WRONG, Context, Stop, logging, runtime, until};

/// Run pipelines until they are told to stop
///
/// SIGTERM or SIGINT drains: batches in flight are finished, positions stored, the group left. A second signal ends at
/// once; what was not committed is rolled back and read again at the next start.
///
/// Exit codes: 0 drained, 2 the configuration is wrong, 3 the drain limit passed or a second signal came, 4 a Kafka
/// client that cannot go on, 5 a blocked pipeline with --fail-fast, 6 stopped before what --until names was reached.
#[derive(Debug, clap::Args)]
pub struct Run {
    /// Pipeline files, or folders of them
    #[arg(required = true, value_name = "FILE|DIR")]
    files: Vec<PathBuf>,
    /// How long draining may take, in seconds
    // 25: inside the 30 s that Kubernetes gives by default.
    #[arg(long, default_value_t = 25, value_name = "SECONDS")]
    drain_limit: u64,
    /// End with exit code 5 as soon as a pipeline is blocked, instead of waiting for the cause to be mended
    #[arg(long)]
    fail_fast: bool,
    /// Run only as far as what is there now: until the end of all topics, or for the records before a time; then end
    /// with exit code 0
    #[arg(long, value_name = "end|TIME", value_parser = until::until)]
    until: Option<Until>,
}

/// The exit code of a bounded run that was told to stop before its end.
const UNFINISHED: u8 = 6;

impl Run {
    pub fn execute(self, context: &Context) -> Result<u8, Stop> {
        let daemon = config::load_daemon(context.daemon_file.as_deref(), &context.environment)?;
        let (pipelines, warnings) = config::load_pipelines_with_warnings(&self.files, &context.environment)?;
        // All mistakes of all statements, before anything is connected.
        // What needs the columns of a lookup's table is planned when the database has been asked for them.
        let complete = |pipeline: &&Pipeline| pipeline.lookups.iter().all(|lookup| lookup.columns.is_some());
        Problems::of(pipelines.iter().filter(complete).map(Queries::plan))?;
        if pipelines.iter().any(|pipeline| pipeline.privacy.is_some() || pipeline.keys.ids().next().is_some()) {
            no_core_dumps();
        }
        let bar = self.until.and_then(|_| until::bar());
        logging::install_beside(&daemon.log, bar.clone())?;
        warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
        let supervision = Supervision {
            drain_limit: Duration::from_secs(self.drain_limit),
            fail_fast: self.fail_fast,
            memory: daemon.limits.memory,
        };
        let runtime = runtime()?;
        let bound = self.until.map(|until| Bound { until, bar });
        let code = runtime.block_on(run(daemon, pipelines, supervision, bound))?;
        // What librdkafka or a dead connection still holds must not hold up the end.
        runtime.shutdown_background();
        Ok(code)
    }
}

/// How far a bounded run goes, and where it tells of it.
struct Bound {
    until: Until,
    bar: Option<ProgressBar>,
}

async fn run(
    daemon: Daemon,
    pipelines: Vec<Pipeline>,
    supervision: Supervision,
    bound: Option<Bound>,
) -> Result<u8, Stop> {
    let metrics =
        crate::metrics::install().map_err(|error| Stop::new(1, format!("the metrics cannot be set up: {error}")))?;
    let statuses: Arc<[Arc<Status>]> = pipelines.iter().map(|pipeline| Status::new(&pipeline.name)).collect();
    let listener = bind(&daemon).await?;
    if let Ok(address) = listener.local_addr() {
        tracing::info!("metrics and health: http://{address}/metrics /healthz /readyz");
    }
    tokio::spawn(http::serve(listener, Pages { metrics, statuses: statuses.clone() }));
    let stop = stop_on_signals()?;
    let code = match bound {
        None => supervise(pipelines, &statuses, supervision, stop).await.exit_code(),
        Some(bound) => run_bounded(pipelines, &statuses, supervision, stop, bound).await?,
    };
    tracing::info!(code, "ended");
    Ok(code)
}

async fn run_bounded(
    pipelines: Vec<Pipeline>,
    statuses: &[Arc<Status>],
    supervision: Supervision,
    mut signalled: watch::Receiver<bool>,
    bound: Bound,
) -> Result<u8, Stop> {
    let Some(goals) = until::resolve(&pipelines, bound.until, signalled.clone()).await? else { return Ok(UNFINISHED) };
    let (stop, stopped) = watch::channel(false);
    let watching = tokio::spawn(async move {
        let is_reached = tokio::select! {
            () = until::reached(&goals, bound.bar.as_ref()) => true,
            () = async { drop(signalled.wait_for(|signalled| *signalled).await.map(drop)) } => false,
        };
        stop.send_replace(true);
        is_reached
    });
    let ending = supervise(pipelines, statuses, supervision, stopped).await;
    let is_reached = watching.is_finished() && watching.await.unwrap_or(false);
    Ok(if ending == Ending::Drained && !is_reached { UNFINISHED } else { ending.exit_code() })
}

/// A core dump would hold keys and records in clear. Without the right to say so there is the operator's own limit.
fn no_core_dumps() {
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
}

/// The listener of the status pages, or why there is none.
pub(super) async fn bind(daemon: &Daemon) -> Result<TcpListener, Stop> {
    let listen = daemon.http.listen;
    http::bind(&daemon.http)
        .await
        .map_err(|error| Stop::new(CONFIGURATION_WRONG, format!("http.listen = \"{listen}\": {error}")))
}

/// Turns true at the first SIGTERM or SIGINT; the second one ends the process.
pub(super) fn stop_on_signals() -> Result<watch::Receiver<bool>, Stop> {
    let no_signals = |error| Stop::new(1, format!("signals cannot be received: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(no_signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(no_signals)?;
    let (sender, receiver) = watch::channel(false);
    tokio::spawn(async move {
        for times in 1.. {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if times > 1 {
                tracing::warn!("a second signal: ending at once; what was not committed is rolled back");
                std::process::exit(i32::from(Ending::DrainLimit.exit_code()));
            }
            tracing::info!("draining; a second signal ends at once");
            sender.send_replace(true);
        }
    });
    Ok(receiver)
}
