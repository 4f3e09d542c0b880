//! `tidegate run`

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, setrlimit};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::config::{self, Daemon, Pipeline, Problems};
use crate::http::{self, Pages};
use crate::pipeline::{Ending, Queries, Supervision, supervise};
use crate::status::Status;

use super::{CONFIGURATION_WRONG, Context, Stop, logging, runtime};

/// Run pipelines until they are told to stop
///
/// SIGTERM or SIGINT drains: batches in flight are finished, positions stored, the group left. A second signal ends at
/// once; what was not committed is rolled back and read again at the next start.
///
/// Exit codes: 0 drained, 2 the configuration is wrong, 3 the drain limit passed or a second signal came, 4 a Kafka
/// client that cannot go on, 5 a blocked pipeline with --fail-fast.
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
}

impl Run {
    pub fn execute(self, context: &Context) -> Result<u8, Stop> {
        let daemon = config::load_daemon(context.daemon_file.as_deref(), &context.environment)?;
        let (pipelines, warnings) = config::load_pipelines_with_warnings(&self.files, &context.environment)?;
        // All mistakes of all statements, before anything is connected.
        Problems::of(pipelines.iter().map(Queries::plan))?;
        if pipelines.iter().any(|pipeline| pipeline.privacy.is_some() || pipeline.keys.ids().next().is_some()) {
            no_core_dumps();
        }
        logging::install(&daemon.log)?;
        warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
        let supervision = Supervision {
            drain_limit: Duration::from_secs(self.drain_limit),
            fail_fast: self.fail_fast,
            memory: daemon.limits.memory,
        };
        let runtime = runtime()?;
        let ending = runtime.block_on(run(daemon, pipelines, supervision))?;
        // What librdkafka or a dead connection still holds must not hold up the end.
        runtime.shutdown_background();
        Ok(ending.exit_code())
    }
}

async fn run(daemon: Daemon, pipelines: Vec<Pipeline>, supervision: Supervision) -> Result<Ending, Stop> {
    let metrics =
        crate::metrics::install().map_err(|error| Stop::new(1, format!("the metrics cannot be set up: {error}")))?;
    let statuses: Arc<[Arc<Status>]> = pipelines.iter().map(|pipeline| Status::new(&pipeline.name)).collect();
    let listener = bind(&daemon).await?;
    if let Ok(address) = listener.local_addr() {
        tracing::info!("metrics and health: http://{address}/metrics /healthz /readyz");
    }
    tokio::spawn(http::serve(listener, Pages { metrics, statuses: statuses.clone() }));
    let stop = stop_on_signals()?;
    let ending = supervise(pipelines, &statuses, supervision, stop).await;
    tracing::info!(code = ending.exit_code(), "ended: {ending:?}");
    Ok(ending)
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
