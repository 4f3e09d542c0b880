//! `tidegate demo`: the real pipeline on an embedded broker and a SQLite file.

mod latency;
mod orders;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::watch;

use crate::config::{self, Environment, Pipeline};
use crate::embedded_broker::EmbeddedBroker;
use crate::http::{self, Pages};
use crate::pipeline::{Ending, Supervision, supervise};
use crate::status::Status;
use crate::write::sqlite::browse;

use super::run::{bind, stop_on_signals};
use super::{CONFIGURATION_WRONG, Context, Stop, logging, runtime};
use latency::Buckets;
use orders::Load;

const TOPIC: &str = "orders";
/// Two per lane would do; four show that partitions are shared out.
const PARTITIONS: i32 = 4;
/// 60,000 orders of 200 bytes are 3 MB a partition: the embedded broker keeps 5 MiB of each.
const BACKLOG: u64 = 60_000;
/// The live load, and how long it is measured.
const PER_SECOND: u32 = 500;
const LIVE: Duration = Duration::from_secs(5);
/// A laptop needs a second for the backlog; something is broken after this.
const PATIENCE: Duration = Duration::from_secs(120);

/// Show it at work: an embedded broker, a live load, the real pipeline, a SQLite file
///
/// Needs nothing else: no Kafka, no database, no container.
#[derive(Debug, clap::Args)]
pub struct Demo {
    /// Leave it running under a live load, with /metrics and /readyz, until Ctrl-C
    #[arg(long)]
    keep: bool,
    /// Where to put the SQLite file and the pipeline file [default: a new folder for temporary files]
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
}

impl Demo {
    pub fn execute(self, context: &Context) -> Result<u8, Stop> {
        let mut daemon = config::load_daemon(context.daemon_file.as_deref(), &context.environment)?;
        // The demo's own lines are the show; a warning still appears between them.
        daemon.log.level = "warn".to_owned();
        logging::install(&daemon.log)?;
        let folder = self.folder()?;
        let runtime = runtime()?;
        let ending = runtime.block_on(self.show(&daemon, &folder));
        runtime.shutdown_background();
        Ok(ending?.exit_code())
    }

    fn folder(&self) -> Result<PathBuf, Stop> {
        let folder = self
            .dir
            .clone()
            .unwrap_or_else(|| std::env::temp_dir().join(format!("tidegate-demo-{:08x}", fastrand::u32(..))));
        fs::create_dir_all(&folder).map_err(|error| Stop::new(1, format!("{}: {error}", folder.display())))?;
        Ok(folder)
    }

    async fn show(&self, daemon: &config::Daemon, folder: &Path) -> Result<Ending, Stop> {
        let broker = EmbeddedBroker::start(TOPIC, PARTITIONS).map_err(|error| Stop::new(1, error.to_string()))?;
        let database = folder.join("demo.db");
        let pipeline = prepare(folder, &database, broker.address()).await?;
        println!("An embedded broker at {}, a pipeline from {},", broker.address(), folder.join("demo.toml").display());
        println!("and a SQLite file at {}.\n", database.display());

        let metrics = crate::metrics::install()
            .map_err(|error| Stop::new(1, format!("the metrics cannot be set up: {error}")))?;
        let statuses: Arc<[Arc<Status>]> = [Status::new(&pipeline.name)].into();
        let listener = bind(daemon).await?;
        let address = listener.local_addr().ok();
        tokio::spawn(http::serve(listener, Pages { metrics: metrics.clone(), statuses: statuses.clone() }));

        let (stop, stopped) = watch::channel(false);
        let supervision =
            Supervision { drain_limit: Duration::from_secs(10), fail_fast: false, memory: daemon.limits.memory };
        let run = {
            let statuses = statuses.clone();
            tokio::spawn(async move { supervise(vec![pipeline], &statuses, supervision, stopped).await })
        };
        let mut load = Load::new(broker.address(), TOPIC)?;
        let rate = self.backlog(&mut load, &metrics, &statuses[0]).await?;
        let latency = self.live(&mut load, &metrics).await?;
        report(&database, rate, &latency).await?;
        if self.keep {
            if let Some(address) = address {
                println!(
                    "\nStill running, {PER_SECOND} orders a second: http://{address}/metrics http://{address}/readyz"
                );
                println!("Ctrl-C ends it.");
            }
            keep_going(load).await?;
        }
        stop.send_replace(true);
        run.await.map_err(|error| Stop::new(1, format!("the pipeline ended: {error}")))
    }

    /// Fills the broker, then watches it drain. Returns records per second.
    async fn backlog(&self, load: &mut Load, metrics: &PrometheusHandle, status: &Status) -> Result<f64, Stop> {
        tokio::task::block_in_place(|| load.burst(BACKLOG))?;
        let bar = ProgressBar::new(BACKLOG).with_style(
            ProgressStyle::with_template("{bar:40} {pos}/{len} orders stored, {per_sec}")
                .expect("the template is right"),
        );
        let begun = Instant::now();
        let mut first: Option<(Instant, u64)> = None;
        loop {
            let stored = stored(metrics);
            bar.set_position(stored.min(BACKLOG));
            if stored > 0 && first.is_none() {
                first = Some((Instant::now(), stored));
            }
            if stored >= BACKLOG {
                bar.finish();
                let (since, already) = first.unwrap_or((begun, 0));
                // Before the first look nothing could be timed; a single batch has no rate.
                let seconds = since.elapsed().as_secs_f64().max(0.001);
                return Ok((BACKLOG - already) as f64 / seconds);
            }
            if begun.elapsed() > PATIENCE {
                let problems =
                    status.problems().into_iter().map(|(part, problem)| format!("{part}: {}", problem.message));
                let problems: Vec<String> = problems.collect();
                return Err(Stop::new(1, format!("the demo is stuck at {stored} orders. {}", problems.join("; "))));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Measures the way from a record's timestamp to its commit under a live load.
    async fn live(&self, load: &mut Load, metrics: &PrometheusHandle) -> Result<Buckets, Stop> {
        const NAME: &str = "tidegate_record_to_commit_seconds";
        let before = Buckets::read(&metrics.render(), NAME);
        println!("\nA live load: {PER_SECOND} orders a second for {} s.", LIVE.as_secs());
        let end = Instant::now() + LIVE;
        tokio::task::block_in_place(|| load.steady(PER_SECOND, || Instant::now() < end))?;
        let all = load.sent();
        while stored(metrics) < all && end.elapsed() < PATIENCE {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(Buckets::read(&metrics.render(), NAME).since(&before))
    }
}

/// The table and the pipeline file, which the demo then loads as `tidegate run` would.
async fn prepare(folder: &Path, database: &Path, broker: &str) -> Result<Pipeline, Stop> {
    if database.exists() {
        let message = format!("{} is there already: name another folder with --dir", database.display());
        return Err(Stop::new(CONFIGURATION_WRONG, message));
    }
    browse::create(database, orders::TABLE).await.map_err(|error| Stop::new(1, error.to_string()))?;
    let file = folder.join("demo.toml");
    let text = format!(
        r#"# The pipeline of `tidegate demo`.
name = "demo"

[source]
brokers  = ["{broker}"]
topics   = ["{TOPIC}"]
instance = "none"

[source.kafka]
# The embedded broker answers a waiting fetch only when its time is over; a real one answers at once.
"fetch.wait.max.ms" = "5"

[sink]
url = "sqlite://{}"

[[table]]
name = "orders"
mode = "upsert"
"#,
        database.display()
    );
    fs::write(&file, text).map_err(|error| Stop::new(1, format!("{}: {error}", file.display())))?;
    let mut pipelines = config::load_pipelines(&[file], &Environment::default())?;
    pipelines.pop().ok_or_else(|| Stop::new(1, "the demo's pipeline file holds no pipeline"))
}

/// Orders in committed transactions.
fn stored(metrics: &PrometheusHandle) -> u64 {
    let exposition = metrics.render();
    let counts = exposition
        .lines()
        .filter(|line| line.starts_with("tidegate_records_total{") && line.contains("outcome=\"processed\""));
    counts.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}

async fn report(database: &Path, rate: f64, latency: &Buckets) -> Result<(), Stop> {
    const QUERY: &str =
        "SELECT status, count(*), min(created_at), max(created_at) FROM orders GROUP BY status ORDER BY 1";
    let told = |error: crate::write::error::WriteError| Stop::new(1, error.to_string());
    let rows = browse::query(database, QUERY).await.map_err(told)?;
    println!("\nWhat arrived:\n");
    println!("  {:<10} {:>8}  {:<28} newest", "status", "orders", "oldest");
    for row in &rows {
        println!("  {:<10} {:>8}  {:<28} {}", row[0], row[1], row[2], row[3]);
    }
    let milliseconds = |quantile| latency.quantile(quantile).map_or(f64::NAN, |at| at.as_secs_f64() * 1e3);
    println!("\nBacklog: {rate:.0} orders a second, exactly once, one transaction a batch.");
    println!(
        "Live: from the record's timestamp to its commit p50 {:.1} ms, p99 {:.1} ms.",
        milliseconds(0.5),
        milliseconds(0.99)
    );
    println!("\nLook at it:\n  sqlite3 {} \"{QUERY}\"", database.display());
    println!("  sqlite3 {} \"SELECT * FROM tidegate_positions\"", database.display());
    Ok(())
}

async fn keep_going(mut load: Load) -> Result<(), Stop> {
    let stop = stop_on_signals()?;
    let steady = move || load.steady(PER_SECOND, || !*stop.borrow());
    tokio::task::spawn_blocking(steady).await.map_err(|error| Stop::new(1, format!("the load ended: {error}")))?
}
