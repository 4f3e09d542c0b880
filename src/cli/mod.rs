//! The commands, one a file.

mod check;
mod completions;
mod demo;
mod explain;
mod health;
mod logging;
mod migrate;
mod offsets;
mod panics;
mod plan;
mod produce;
mod run;
mod schema;
mod show;
mod test;
mod trial;
mod until;
mod watch;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::{Environment, Pipeline, Problems};

/// Kafka topics into SQL tables, exactly once.
#[derive(Debug, Parser)]
#[command(name = "tidegate", version, about, propagate_version = true)]
pub struct Cli {
    /// The daemon file: HTTP, logs, limits. Default: ./tidegate.toml, else /etc/tidegate/tidegate.toml.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Run),
    Check(check::Check),
    Plan(plan::Plan),
    Explain(explain::Explain),
    Test(test::Test),
    Try(trial::Try),
    Demo(demo::Demo),
    Produce(produce::Produce),
    Health(health::Health),
    Migrate(migrate::Migrate),
    Offsets(offsets::Offsets),
    Schema(schema::Schema),
    Completions(completions::Completions),
}

/// The configuration is wrong (also clap's code for wrong arguments).
pub(crate) const CONFIGURATION_WRONG: u8 = 2;

/// Runs the command that the process was called with.
pub fn main() -> ExitCode {
    panics::install();
    let cli = Cli::parse();
    let environment = Environment::of_process();
    let context = Context { daemon_file: cli.config, environment };
    let code = match cli.command {
        Command::Run(run) => run.execute(&context),
        Command::Check(check) => check.execute(&context),
        Command::Plan(plan) => plan.execute(&context),
        Command::Explain(explain) => explain.execute(&context),
        Command::Test(test) => test.execute(&context),
        Command::Try(r#try) => r#try.execute(&context),
        Command::Demo(demo) => demo.execute(&context),
        Command::Produce(produce) => produce.execute(),
        Command::Health(health) => health.execute(&context),
        Command::Migrate(migrate) => migrate.execute(&context),
        Command::Offsets(offsets) => offsets.execute(&context),
        Command::Schema(schema) => schema.execute(),
        Command::Completions(completions) => completions.execute(),
    };
    ExitCode::from(code.unwrap_or_else(|stop| {
        eprintln!("{}", stop.message);
        stop.code
    }))
}

/// What every command can use.
#[derive(Clone)]
pub(crate) struct Context {
    pub daemon_file: Option<PathBuf>,
    pub environment: Environment,
}

/// Why a command ends early: what to tell and the exit code.
#[derive(Debug)]
pub(crate) struct Stop {
    pub message: String,
    pub code: u8,
}

impl Stop {
    pub fn new(code: u8, message: impl Into<String>) -> Self {
        Self { message: message.into(), code }
    }
}

impl From<Problems> for Stop {
    fn from(problems: Problems) -> Self {
        Self::new(CONFIGURATION_WRONG, problems.to_string())
    }
}

/// The columns of lookups that only the database knows.
fn complete(runtime: &tokio::runtime::Runtime, pipeline: &mut Pipeline) -> Result<(), Stop> {
    let completed = runtime.block_on(crate::pipeline::complete(pipeline)).map_err(|error| {
        let message = format!(
            "{}: a [[lookup]] without `columns` has those of its table, and the database cannot be asked: {error}",
            pipeline.name
        );
        Stop::new(CONFIGURATION_WRONG, message)
    })?;
    Ok(completed?)
}

/// A runtime for the commands that talk to databases.
fn runtime() -> Result<tokio::runtime::Runtime, Stop> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("tidegate")
        .build()
        .map_err(|error| Stop::new(1, format!("the operating system gives no threads: {error}")))
}
