//! `tidegate try`

mod report;

use std::path::PathBuf;

use crate::config::{self, Pipeline};
use crate::consume::{self, Peek, PeekFrom};
use crate::pipeline::{Queries, TrialDatabase, try_records};
use crate::write;

use self::report::Report;
use super::watch::Watch;
use super::{CONFIGURATION_WRONG, Context, Stop, runtime};

/// Send real records through everything, SQL and database included, in a transaction that is rolled back
///
/// Shows what each table and topic would get and which records are bad, with their values. Joins no group, moves no
/// position, produces nothing, and keeps nothing in the database; its sequences may advance.
#[derive(Debug, Clone, clap::Args)]
pub struct Try {
    /// The pipeline file
    file: PathBuf,
    /// How many records
    #[arg(short = 'n', long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
    records: u16,
    /// Where to begin: the last records, the earliest, an offset (in every partition), or an RFC 3339 time
    #[arg(long, default_value = "latest", value_name = "latest|earliest|OFFSET|TIME", value_parser = from)]
    from: PeekFrom,
    /// Only this partition of each topic
    #[arg(long, value_parser = clap::value_parser!(i32).range(0..))]
    partition: Option<i32>,
    /// How to print the rows
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

/// At least one record is bad.
const BAD: u8 = 1;

fn from(text: &str) -> Result<PeekFrom, String> {
    match text {
        "latest" => Ok(PeekFrom::Latest),
        "earliest" => Ok(PeekFrom::Earliest),
        _ if text.bytes().all(|byte| byte.is_ascii_digit()) => {
            text.parse().map(PeekFrom::Offset).map_err(|_| "no offset is as large as that".to_owned())
        }
        _ => match text.parse::<jiff::Timestamp>() {
            Ok(time) => Ok(PeekFrom::Time(time.as_millisecond())),
            Err(_) => {
                Err("write latest, earliest, an offset such as 4711, or a time such as 2026-11-01T00:00:00Z".to_owned())
            }
        },
    }
}

impl Try {
    pub fn execute(self, context: &Context) -> Result<u8, Stop> {
        let (watch, files) = (self.watch, vec![self.file.clone()]);
        watch.run(files, context, move |context| self.once(context))
    }

    fn once(&self, context: &Context) -> Result<u8, Stop> {
        let mut pipelines = config::load_pipelines(std::slice::from_ref(&self.file), &context.environment)?;
        let runtime = runtime()?;
        pipelines.iter_mut().try_for_each(|pipeline| super::complete(&runtime, pipeline))?;
        let reports: Result<Vec<Report>, Stop> =
            pipelines.iter().map(|pipeline| runtime.block_on(self.report(pipeline))).collect();
        runtime.shutdown_background();
        let reports = reports?;
        match self.output {
            Output::Json => println!("{}", serde_json::to_string_pretty(&reports).expect("texts and numbers only")),
            Output::Text => reports.iter().for_each(|report| print!("{}", report.text())),
        }
        Ok(if reports.iter().all(Report::is_right) { 0 } else { BAD })
    }

    async fn report(&self, pipeline: &Pipeline) -> Result<Report, Stop> {
        let wrong = |what: String| Stop::new(CONFIGURATION_WRONG, format!("{}: {what}", pipeline.name));
        let queries = Queries::plan(pipeline)?;
        let destination = pipeline.sink.database().map(|sink| write::open(pipeline, sink, queries.outputs()));
        let prepared = match &destination {
            None => None,
            Some(destination) => {
                let prepared = destination.check().await.map_err(|error| wrong(error.to_string()))?;
                Some(prepared.map_err(|problems| wrong(problems.join("\n")))?)
            }
        };
        let (source, count) = (pipeline.source.clone(), usize::from(self.records));
        let asked = Peek { from: self.from, count, partition: self.partition };
        let records = tokio::task::spawn_blocking(move || consume::peek(&source, &asked))
            .await
            .unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
            .map_err(|error| wrong(error.message))?;
        let Some((destination, prepared)) = destination.zip(prepared) else {
            let tried = try_records(pipeline, &queries, None, records).await.map_err(wrong)?;
            return Ok(Report::new(pipeline, &tried));
        };
        let mut trial = destination.trial(&prepared);
        let database = TrialDatabase { destination: &*destination, prepared: &prepared, trial: &mut *trial };
        let tried = try_records(pipeline, &queries, Some(database), records).await;
        trial.close().await;
        // What the warnings say of the tables explains more than the statement that failed.
        let tried = tried.map_err(|told| wrong([&[told][..], &prepared.warnings].concat().join("\n")))?;
        Ok(Report::new(pipeline, &tried))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beginning_is_a_word_a_number_or_a_time() {
        assert_eq!(from("latest"), Ok(PeekFrom::Latest));
        assert_eq!(from("earliest"), Ok(PeekFrom::Earliest));
        assert_eq!(from("4711"), Ok(PeekFrom::Offset(4711)));
        assert_eq!(from("1970-01-01T00:00:01+00:00"), Ok(PeekFrom::Time(1000)));
        for wrong in ["noon", "-4", "99999999999999999999", "2026-11-01"] {
            assert!(from(wrong).is_err(), "{wrong}");
        }
    }
}
