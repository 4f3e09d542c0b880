//! `tidegate test`

mod compare;
mod events;

use std::path::PathBuf;
use std::sync::Arc;

use crate::config::{self, Case, CaseRecord, Pipeline, Place, Problem, Problems, Rule};
use crate::lease::Lease;
use crate::offsets::TopicPartition;
use crate::pipeline::{Queries, Rehearsal, Rehearsed};
use crate::records::Records;
use crate::rows::Rows;

use self::compare::Difference;
use super::watch::Watch;
use super::{CONFIGURATION_WRONG, Context, Stop, runtime};

/// Run the [[test]] cases of pipeline files, with no Kafka and no database
#[derive(Debug, clap::Args)]
pub struct Test {
    /// Pipeline files, or folders of them
    #[arg(required = true, value_name = "FILE|DIR")]
    files: Vec<PathBuf>,
    /// How to print the results
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
    #[command(flatten)]
    watch: Watch,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    Text,
    Json,
}

/// At least one case failed.
const FAILED: u8 = 1;

/// What became of one case.
#[derive(Debug, serde::Serialize)]
struct Outcome {
    pipeline: String,
    name: String,
    passed: bool,
    differences: Vec<Difference>,
}

impl Test {
    pub fn execute(self, context: &Context) -> Result<u8, Stop> {
        let (watch, files) = (self.watch, self.files.clone());
        watch.run(files, context, move |context| self.once(context))
    }

    fn once(&self, context: &Context) -> Result<u8, Stop> {
        // A case needs no secret: what is not set is not asked for.
        let environment = context.environment.clone().with_placeholders();
        let mut pipelines = config::load_pipelines(&self.files, &environment)?;
        // What the functions give is the same on every machine, and says nothing of the real keys.
        pipelines.iter_mut().for_each(|pipeline| pipeline.keys = pipeline.keys.of_tests());
        let queries = Problems::of(pipelines.iter().map(Queries::plan))?;
        if pipelines.iter().all(|pipeline| pipeline.cases.is_empty()) {
            let message = "there is no [[test]] in what was given; write one with name, input and expect";
            return Err(Stop::new(CONFIGURATION_WRONG, message));
        }
        let rehearsals: Vec<Rehearsal> =
            Problems::of(pipelines.iter().zip(&queries).map(|(pipeline, queries)| rehearsal(pipeline, queries)))?;
        let runtime = runtime()?;
        let mut outcomes = Vec::new();
        for (pipeline, rehearsal) in pipelines.iter().zip(&rehearsals) {
            for (index, case) in pipeline.cases.iter().enumerate() {
                let records = batch(&case.input);
                let rehearsed = runtime.block_on(rehearsal.run(pipeline, index, &records));
                outcomes.push(compared(pipeline, rehearsal, case, &records, &rehearsed));
            }
        }
        match self.output {
            Output::Json => println!("{}", serde_json::to_string_pretty(&outcomes).expect("strings and numbers only")),
            Output::Text => print(&outcomes),
        }
        Ok(if outcomes.iter().all(|outcome| outcome.passed) { 0 } else { FAILED })
    }
}

/// The pipeline ready to run, if every column that its cases name is there.
fn rehearsal(pipeline: &Pipeline, queries: &Queries) -> Result<Rehearsal, Problems> {
    let mut problems = Problems::new();
    let place = pipeline.path.as_deref().map_or(Place::Nowhere, Place::file);
    match Rehearsal::new(pipeline, queries) {
        Err(sentences) => {
            sentences.into_iter().for_each(|what| problems.push(Problem::new(&place, Rule::Value, what, "")));
            Err(problems)
        }
        Ok(rehearsal) => {
            for expected in pipeline.cases.iter().flat_map(|case| &case.tables) {
                let columns = rehearsal.columns(expected.table);
                let name = &pipeline.tables[expected.table].name;
                for cell in expected.rows.iter().flat_map(|row| &row.columns) {
                    if columns.iter().all(|column| column.name != cell.column) {
                        problems.push(compare::unknown_column(&format!("table {name}"), columns, cell));
                    }
                }
            }
            for expected in pipeline.cases.iter().flat_map(|case| &case.topics) {
                let columns = rehearsal.event_columns(expected.topic);
                events::unknown_columns(&pipeline.topics[expected.topic], columns, expected, &mut problems);
            }
            problems.check().map(|()| rehearsal)
        }
    }
}

fn compared(
    pipeline: &Pipeline,
    rehearsal: &Rehearsal,
    case: &Case,
    records: &Records,
    rehearsed: &Rehearsed,
) -> Outcome {
    let zone = pipeline.source.timezone.as_deref();
    let mut differences = Vec::new();
    for expected in &case.tables {
        let (section, columns) = (&pipeline.tables[expected.table], rehearsal.columns(expected.table));
        let routed = expected.routed.as_deref();
        let name = match (&section.route, routed) {
            (Some(route), Some(name)) => route.full_name(name),
            _ => section.name.clone(),
        };
        let nothing = Rows::nothing();
        let rows = rehearsed.rows(expected.table, routed).unwrap_or(&nothing);
        let table = compare::Table { name: &name, columns, rows, zone };
        differences.extend(table.differences(&expected.rows));
    }
    for expected in &case.topics {
        let rehearsed = &rehearsed.topics[expected.topic];
        let name = format!("topic:{}", pipeline.topics[expected.topic].name);
        let columns = rehearsal.event_columns(expected.topic);
        let values = compare::Table { name: &name, columns, rows: &rehearsed.rows, zone };
        differences.extend(events::differences(&values, &rehearsed.events, &expected.events));
    }
    differences.extend(rehearsed.unfollowed.iter().map(|message| compare::blocked(message)));
    differences.extend(compare::dead_letters(&case.dead_letters, &rehearsed.bad, records));
    let passed = differences.is_empty();
    Outcome { pipeline: pipeline.name.clone(), name: case.name.clone(), passed, differences }
}

/// The records as a consumer would bring them.
fn batch(input: &[CaseRecord]) -> Records {
    let mut records = Records::default();
    let mut leases: Vec<Arc<Lease>> = Vec::new();
    for record in input {
        let partition = TopicPartition::new(record.topic.as_str(), record.partition);
        let lease = match leases.iter().find(|lease| *lease.partition() == partition) {
            Some(lease) => lease.clone(),
            None => {
                let lease = Arc::new(Lease::new(partition, 0, record.offset));
                leases.push(lease.clone());
                lease
            }
        };
        let position = records.covered().get(lease.partition()).map_or(record.offset, |covered| covered.to());
        let headers = record.headers.iter().map(|(name, value)| (name.as_bytes(), Some(value.as_bytes())));
        let (key, value) = (record.key.as_deref().map(str::as_bytes), record.value.as_deref().map(str::as_bytes));
        records
            .push(&lease, position, record.offset, record.timestamp, key, value, headers)
            .expect("the file's offsets rise");
    }
    records
}

fn print(outcomes: &[Outcome]) {
    for Outcome { pipeline, name, passed, differences } in outcomes {
        println!("{:<7} {pipeline}: {name}", if *passed { "ok" } else { "FAILED" });
        for difference in differences {
            println!("          {difference}");
        }
    }
    let (all, failed) = (outcomes.len(), outcomes.iter().filter(|outcome| !outcome.passed).count());
    let cases = if all == 1 { "case" } else { "cases" };
    println!("{all} {cases}, {} passed, {failed} failed", all - failed);
}
