//! `tidegate offsets set` and `reset`

use std::io::{BufRead, IsTerminal, Write};
use std::path::PathBuf;

use crate::config::Pipeline;
use crate::pipeline::reposition::{self, Change, Done, Force, Plan, Selection, Target};

use super::super::{CONFIGURATION_WRONG, Context, Stop, runtime};
use super::{Output, load, number, print_table};

/// Set the position of one partition
///
/// Prints first how many records would be read again or passed over, and asks. Refused while the pipeline runs.
#[derive(Debug, clap::Args)]
pub struct Set {
    /// The pipeline file
    file: PathBuf,
    #[arg(long)]
    topic: String,
    #[arg(long)]
    partition: i32,
    /// The next offset to read; or earliest, latest, an RFC 3339 time
    #[arg(long, value_name = "N", value_parser = target, allow_hyphen_values = true)]
    to: Target,
    #[command(flatten)]
    how: How,
}

/// Set the positions of all partitions, or of some
///
/// Prints first how many records would be read again or passed over, and asks. Refused while the pipeline runs.
#[derive(Debug, clap::Args)]
pub struct Reset {
    /// The pipeline file
    file: PathBuf,
    /// earliest, latest, an RFC 3339 time (the first record at or after it), or an offset
    #[arg(long, alias = "to-time", value_name = "WHERE", value_parser = target, allow_hyphen_values = true)]
    to: Target,
    /// Only this topic
    #[arg(long)]
    topic: Option<String>,
    /// Only this partition
    #[arg(long)]
    partition: Option<i32>,
    #[command(flatten)]
    how: How,
}

#[derive(Debug, clap::Args)]
struct How {
    /// Print what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Also while the pipeline runs: its daemons are fenced, claim again and go on from the new positions
    #[arg(long)]
    force: bool,
    /// Read records again although a table with mode = "merge" adds them up a second time
    #[arg(long)]
    accept_double_count: bool,
    /// How to print it; json asks nothing, so it needs --yes or --dry-run
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

fn target(text: &str) -> Result<Target, String> {
    if let Ok(number) = text.parse::<i64>() {
        return if number >= 0 { Ok(Target::Number(number)) } else { Err("offsets begin at 0".to_owned()) };
    }
    match text {
        "earliest" => return Ok(Target::Earliest),
        "latest" => return Ok(Target::Latest),
        _ => {}
    }
    match text.parse::<jiff::Timestamp>() {
        Ok(time) if time.as_millisecond() >= 0 => Ok(Target::Time(time.as_millisecond())),
        Ok(_) => Err("Kafka's times begin in 1970; write earliest".to_owned()),
        Err(_) if text.parse::<jiff::civil::DateTime>().is_ok() => {
            Err("add the zone, such as 2026-11-01T00:00:00Z".to_owned())
        }
        Err(_) => Err("write earliest, latest, an offset, or a time such as 2026-11-01T00:00:00Z".to_owned()),
    }
}

impl Set {
    pub fn execute(self, context: &Context) -> Result<u8, Stop> {
        let selection = Selection { topic: Some(self.topic), partition: Some(self.partition) };
        self.how.execute(&load(self.file, context)?, &selection, self.to)
    }
}

impl Reset {
    pub fn execute(self, context: &Context) -> Result<u8, Stop> {
        let selection = Selection { topic: self.topic, partition: self.partition };
        self.how.execute(&load(self.file, context)?, &selection, self.to)
    }
}

impl How {
    fn execute(&self, pipeline: &Pipeline, selection: &Selection, target: Target) -> Result<u8, Stop> {
        let runtime = runtime()?;
        let plan = runtime.block_on(reposition::plan(pipeline, selection, target))?;
        if self.output == Output::Text {
            print(pipeline, &plan);
        }
        let force = if self.force { Force::Yes } else { Force::No };
        if !self.dry_run {
            self.agreed(&plan)?;
        }
        let done = match self.dry_run {
            true => None,
            false => Some(runtime.block_on(reposition::apply(pipeline, &plan, force, &by()))?),
        };
        runtime.shutdown_background();
        match (self.output, done) {
            (Output::Json, done) => {
                let shown = Shown::of(pipeline, &plan, done.is_some());
                println!("{}", serde_json::to_string_pretty(&shown).expect("strings and numbers"));
            }
            (Output::Text, None) => println!("Nothing was changed (--dry-run)."),
            (Output::Text, Some(done)) => tell(pipeline, &plan, done),
        }
        Ok(0)
    }

    /// Does the operator know what it costs?
    fn agreed(&self, plan: &Plan) -> Result<(), Stop> {
        if !plan.doubled.is_empty() && !self.accept_double_count {
            return Err(Stop::new(
                CONFIGURATION_WRONG,
                format!(
                    "Refused: table {} adds up (mode = \"merge\"), and {} records would be counted TWICE. Nothing was \
                     changed. Empty the table and reset to earliest, or say --accept-double-count where the rows of \
                     these records are gone",
                    plan.doubled.join(", "),
                    plan.again()
                ),
            ));
        }
        if self.yes {
            return Ok(());
        }
        let nobody = "Nothing was changed: nobody can be asked here, so say --yes (or --dry-run)";
        if self.output == Output::Json || !std::io::stdin().is_terminal() {
            return Err(Stop::new(CONFIGURATION_WRONG, nobody));
        }
        print!("Go on? [y/N] ");
        let _ = std::io::stdout().flush();
        let mut answer = String::new();
        let read = std::io::stdin().lock().read_line(&mut answer);
        match (read, answer.trim().to_ascii_lowercase().as_str()) {
            (Ok(_), "y" | "yes") => Ok(()),
            _ => Err(Stop::new(CONFIGURATION_WRONG, "Nothing was changed.")),
        }
    }
}

/// For the column `owner`, so that whoever looks later knows.
fn by() -> String {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    format!("offsets@{host}/{}", std::process::id())
}

fn print(pipeline: &Pipeline, plan: &Plan) {
    println!("{}: records at risk (offsets; those that hold no record count too)", pipeline.name);
    let head = ["topic", "partition", "position", "new", "read again", "passed over", "low", "high", ""];
    let mut rows = vec![head.map(str::to_owned)];
    rows.extend(plan.changes.iter().map(|change| row(change, "")));
    rows.extend(plan.first.iter().map(|change| row(change, "source.start, as at a first start")));
    print_table(&rows);
    println!("  {} records are read again, {} are passed over.", plan.again(), plan.skipped());
    for warning in &plan.warnings {
        println!("  warning  {warning}");
    }
    if !plan.doubled.is_empty() {
        let tables = plan.doubled.join(", ");
        println!("  WARNING  table {tables} adds up: {} records are counted TWICE", plan.again());
    }
}

fn row(change: &Change, note: &str) -> [String; 9] {
    let note = if change.is_other_topic { "the topic was created again" } else { note };
    [
        change.log.partition.topic.to_string(),
        change.log.partition.partition.to_string(),
        number(change.from),
        change.to.to_string(),
        change.again.to_string(),
        change.skipped.to_string(),
        change.log.low.to_string(),
        change.log.high.to_string(),
        note.to_owned(),
    ]
}

fn tell(pipeline: &Pipeline, plan: &Plan, done: Done) {
    let set = plan.changes.len() + plan.first.len();
    let group = &pipeline.source.group;
    match (pipeline.sink.keeper(), done.group_follows) {
        (Some(_), true) => {
            println!("{set} positions are set, in the database and in group {group}.");
        }
        (Some(_), false) => println!(
            "{set} positions are set in the database. The daemons in group {group} are fenced; they claim again within \
             half a minute, go on from there, and set the group's offsets."
        ),
        (None, _) => println!("{set} offsets of group {group} are set."),
    }
}

#[derive(Debug, serde::Serialize)]
struct Shown {
    pipeline: String,
    done: bool,
    read_again: i64,
    passed_over: i64,
    partitions: Vec<Moved>,
    warnings: Vec<String>,
    counted_twice: Vec<String>,
}

#[derive(Debug, serde::Serialize)]
struct Moved {
    topic: String,
    partition: i32,
    position: Option<i64>,
    new_position: i64,
    read_again: i64,
    passed_over: i64,
    low: i64,
    high: i64,
}

impl Shown {
    fn of(pipeline: &Pipeline, plan: &Plan, done: bool) -> Self {
        let moved = |change: &Change| Moved {
            topic: change.log.partition.topic.to_string(),
            partition: change.log.partition.partition,
            position: change.from,
            new_position: change.to,
            read_again: change.again,
            passed_over: change.skipped,
            low: change.log.low,
            high: change.log.high,
        };
        Self {
            pipeline: pipeline.name.clone(),
            done,
            read_again: plan.again(),
            passed_over: plan.skipped(),
            partitions: plan.changes.iter().chain(&plan.first).map(moved).collect(),
            warnings: plan.warnings.clone(),
            counted_twice: plan.doubled.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_word_a_number_or_a_time() {
        assert_eq!(target("earliest"), Ok(Target::Earliest));
        assert_eq!(target("latest"), Ok(Target::Latest));
        assert_eq!(target("42"), Ok(Target::Number(42)));
        assert_eq!(target("1970-01-01T00:00:01Z"), Ok(Target::Time(1_000)));
        for (wrong, cure) in [
            ("-1", "offsets begin at 0"),
            ("2026-11-01T00:00:00", "add the zone"),
            ("1969-12-31T23:59:59Z", "begin in 1970"),
            ("erliest", "write earliest"),
        ] {
            assert!(target(wrong).unwrap_err().contains(cure), "{wrong}");
        }
    }
}
