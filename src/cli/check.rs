//! `tidegate check`

use std::path::PathBuf;

use crate::config::{self, BadRecords, DeadLetters, Pipeline, Problems, Sink, Target, Topics};
use crate::consume::{Cluster, ConsumeError};
use crate::offsets::PartitionLog;
use crate::pipeline::Queries;
use crate::write;

use super::watch::Watch;
use super::{CONFIGURATION_WRONG, Context, Stop, runtime};

/// Check pipelines without changing anything: the files, then the broker, the topics, the database, tables and keys
#[derive(Debug, clap::Args)]
pub struct Check {
    /// Pipeline files, or folders of them
    #[arg(required = true, value_name = "FILE|DIR")]
    files: Vec<PathBuf>,
    /// How to print the findings
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

/// What was found of one pipeline.
#[derive(Debug, serde::Serialize)]
struct Findings {
    pipeline: String,
    ok: Vec<String>,
    warnings: Vec<String>,
    problems: Vec<String>,
}

impl Check {
    pub fn execute(self, context: &Context) -> Result<u8, Stop> {
        let (watch, files) = (self.watch, self.files.clone());
        watch.run(files, context, move |context| self.once(context))
    }

    fn once(&self, context: &Context) -> Result<u8, Stop> {
        config::load_daemon(context.daemon_file.as_deref(), &context.environment)?;
        let mut pipelines = config::load_pipelines(&self.files, &context.environment)?;
        let runtime = runtime()?;
        for pipeline in &mut pipelines {
            super::complete(&runtime, pipeline)?;
        }
        let queries = Problems::of(pipelines.iter().map(Queries::plan))?;
        let look = |(pipeline, queries)| runtime.block_on(look(pipeline, queries));
        let findings: Vec<Findings> = pipelines.iter().zip(&queries).map(look).collect();
        runtime.shutdown_background();
        match self.output {
            Output::Json => println!("{}", serde_json::to_string_pretty(&findings).expect("strings only")),
            Output::Text => findings.iter().for_each(Findings::print),
        }
        let is_right = findings.iter().all(|findings| findings.problems.is_empty());
        Ok(if is_right { 0 } else { CONFIGURATION_WRONG })
    }
}

impl Findings {
    fn print(&self) {
        println!("{}", self.pipeline);
        for (mark, lines) in [("ok", &self.ok), ("warning", &self.warnings), ("problem", &self.problems)] {
            for line in lines {
                println!("  {mark:<8} {line}");
            }
        }
    }
}

async fn look(pipeline: &Pipeline, queries: &Queries) -> Findings {
    let mut findings = Findings {
        pipeline: pipeline.name.clone(),
        ok: vec!["the file is right".to_owned()],
        warnings: Vec::new(),
        problems: Vec::new(),
    };
    match look_at_topics(pipeline).await {
        Ok(logs) => {
            let records: i64 = logs.iter().map(|log| log.high - log.low).sum();
            let topics: std::collections::BTreeSet<_> = logs.iter().map(|log| &log.partition.topic).collect();
            let (topics, partitions) = (topics.len(), logs.len());
            if topics == 0 {
                findings.warnings.push("no topic matches source.pattern yet".to_owned());
            }
            findings.ok.push(format!("{topics} topics, {partitions} partitions, about {records} records"));
        }
        Err(error) => findings.problems.push(error.message),
    }
    look_at_derived_topics(pipeline, &mut findings).await;
    findings.problems.extend(crate::pipeline::broken_files(pipeline));
    match &pipeline.sink {
        Target::Database(sink) => look_at_database(pipeline, sink, queries, &mut findings).await,
        Target::Kafka(_) => findings.problems.extend(queries.compile_alone(pipeline).err().unwrap_or_default()),
    }
    findings
}

async fn look_at_database(pipeline: &Pipeline, sink: &Sink, queries: &Queries, findings: &mut Findings) {
    match write::open(pipeline, sink, queries.outputs()).check().await {
        Ok(Ok(prepared)) => {
            if let Err(problems) = queries.compile(pipeline, &prepared) {
                findings.problems.extend(problems);
            }
            for (section, plan) in prepared.tables.iter().enumerate() {
                for other in prepared.routes.tables(section).iter().filter(|other| other.table != plan.table) {
                    findings.ok.push(format!("table {}: as {}", other.table.full_name(), plan.table.full_name()));
                }
                let key: Vec<&str> = plan.key.iter().map(|index| plan.columns[*index].column.name.as_str()).collect();
                let key = if key.is_empty() { "no key".to_owned() } else { format!("key {}", key.join(", ")) };
                findings.ok.push(format!("table {}: {} columns, {key}", plan.table.full_name(), plan.columns.len()));
            }
            findings.warnings.extend(prepared.warnings);
        }
        Ok(Err(problems)) => findings.problems.extend(problems),
        Err(error) => findings.problems.push(error.to_string()),
    }
}

/// Do the topics that events and dead letters go to exist?
async fn look_at_derived_topics(pipeline: &Pipeline, findings: &mut Findings) {
    let events = pipeline.topics.iter().map(|topic| (&topic.name, "events", "[[topic]]"));
    let letters = match (&pipeline.errors.dead_letters, pipeline.errors.bad_records) {
        (DeadLetters::Topic(topic), BadRecords::DeadLetter) => Some((topic, "dead letters", "[errors] dead_letters")),
        _ => None,
    };
    for (topic, what, place) in events.chain(letters) {
        let source = pipeline.source.clone();
        let topics = Topics::List(vec![topic.clone()]);
        let look = move || Cluster::connect(&source)?.partitions(&topics);
        match tokio::task::spawn_blocking(look)
            .await
            .unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
        {
            Ok(partitions) => findings.ok.push(format!("topic {topic}: {} partitions", partitions.len())),
            Err(error) if error.class == "unknown_topic" => findings.problems.push(format!(
                "topic {topic}, which {what} go to, does not exist; create it, or correct its name in {place}"
            )),
            Err(error) => findings.problems.push(error.message),
        }
    }
}

async fn look_at_topics(pipeline: &Pipeline) -> Result<Vec<PartitionLog>, ConsumeError> {
    let source = pipeline.source.clone();
    let look = move || {
        let cluster = Cluster::connect(&source)?;
        cluster.logs(&cluster.partitions(&source.topics)?)
    };
    tokio::task::spawn_blocking(look).await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}
