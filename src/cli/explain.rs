//! `tidegate explain`

use std::path::PathBuf;

use serde::Serialize;

use crate::config::{self, Pipeline};
use crate::pipeline::{ExplainedStages, Queries};
use crate::transform::Explained;
use crate::write;

use super::watch::Watch;
use super::{CONFIGURATION_WRONG, Context, Stop, runtime};

/// Show what the engine does per batch: what is decoded, and each check, table and topic as it runs; changes nothing
#[derive(Debug, Clone, clap::Args)]
pub struct Explain {
    /// The pipeline file
    file: PathBuf,
    /// How to print the plans
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

#[derive(Debug, Serialize)]
struct Report {
    pipeline: String,
    /// Why the types are those of the statements and not of the tables.
    unreachable: Option<String>,
    #[serde(flatten)]
    stages: ExplainedStages,
}

impl Explain {
    pub fn execute(self, context: &Context) -> Result<u8, Stop> {
        let (watch, files) = (self.watch, vec![self.file.clone()]);
        watch.run(files, context, move |context| self.once(context))
    }

    fn once(&self, context: &Context) -> Result<u8, Stop> {
        let mut pipelines = config::load_pipelines(std::slice::from_ref(&self.file), &context.environment)?;
        let runtime = runtime()?;
        pipelines.iter_mut().try_for_each(|pipeline| super::complete(&runtime, pipeline))?;
        let reports: Result<Vec<Report>, Stop> =
            pipelines.iter().map(|pipeline| runtime.block_on(report(pipeline))).collect();
        runtime.shutdown_background();
        let reports = reports?;
        match self.output {
            Output::Json => println!("{}", serde_json::to_string_pretty(&reports).expect("texts only")),
            Output::Text => reports.iter().for_each(Report::print),
        }
        Ok(0)
    }
}

async fn report(pipeline: &Pipeline) -> Result<Report, Stop> {
    let wrong =
        |problems: Vec<String>| Stop::new(CONFIGURATION_WRONG, format!("{}: {}", pipeline.name, problems.join("\n")));
    let queries = Queries::plan(pipeline)?;
    let alone = || queries.compile_alone(pipeline);
    let (stages, unreachable) = match pipeline.sink.database() {
        None => (alone(), None),
        Some(sink) => match write::open(pipeline, sink, queries.outputs()).check().await {
            Ok(prepared) => (queries.compile(pipeline, &prepared.map_err(wrong)?), None),
            Err(error) => {
                let told = format!("the database was not asked, so the types are those of the SQL alone: {error}");
                (alone(), Some(told))
            }
        },
    };
    let stages = stages.map_err(wrong)?.explain(pipeline);
    Ok(Report { pipeline: pipeline.name.clone(), unreachable, stages })
}

impl Report {
    fn print(&self) {
        println!("{}", self.pipeline);
        if let Some(sentence) = &self.unreachable {
            println!("  {sentence}");
        }
        println!("\n  decode");
        self.stages.decodes.iter().for_each(|column| println!("    {column}"));
        for (kind, statements) in
            [("check", &self.stages.checks), ("table", &self.stages.tables), ("topic", &self.stages.topics)]
        {
            for statement in statements {
                println!("\n  {kind} {}", statement.name);
                match &statement.plan {
                    Some(plan) => lines(plan).iter().for_each(|(step, what)| println!("    {step:<9} {what}")),
                    None => println!("    no SQL: the decoded columns go in as they are"),
                }
            }
        }
    }
}

/// Steps in their order, each with what it does.
fn lines(plan: &Explained) -> Vec<(&'static str, String)> {
    let mut lines = vec![("read", plan.reads.join(", "))];
    lines.extend(plan.topic.iter().map(|topic| ("topic", format!("only records of {topic}"))));
    lines.extend(plan.filter.iter().map(|filter| ("filter", filter.clone())));
    lines.extend(plan.unnests.iter().map(|list| ("unnest", list.clone())));
    if plan.grouped {
        let groups = plan.outputs.iter().filter(|output| output.aggregate.is_none());
        lines.push(("group by", groups.map(|output| output.column.as_str()).collect::<Vec<_>>().join(", ")));
    }
    for output in &plan.outputs {
        let value = match output.aggregate {
            Some(aggregate) => format!("{aggregate}({})", output.expression),
            None => output.expression.clone(),
        };
        let converts = output.converts.as_ref().map(|converts| format!(", converted from {converts}"));
        let passes = if output.passes { ", as it is" } else { "" };
        lines.push(("compute", format!("{} = {value}{passes}{}", output.column, converts.unwrap_or_default())));
    }
    lines
}
