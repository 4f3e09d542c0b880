//! `tidegate produce`

use std::fs::File;
use std::io::{BufRead, BufReader, IsTerminal};
use std::path::PathBuf;
use std::time::Instant;

use indicatif::{ProgressBar, ProgressStyle};

use crate::config::Secret;
use crate::produce::{ProduceOptions, produce};

use super::Stop;

/// Send a file of JSON lines, or standard input, into a topic
#[derive(Debug, clap::Args)]
pub struct Produce {
    /// The file, one record a line; `-` for standard input
    file: PathBuf,
    /// host:port of one or more brokers
    #[arg(long, required = true, value_delimiter = ',')]
    brokers: Vec<String>,
    #[arg(long)]
    topic: String,
    /// The field whose value becomes the record's key
    #[arg(long, value_name = "FIELD")]
    key: Option<String>,
    /// A librdkafka property, such as security.protocol=SASL_SSL; may be repeated
    #[arg(long = "kafka", value_name = "NAME=VALUE", value_parser = property)]
    kafka: Vec<(String, String)>,
}

fn property(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// One megabyte: a system call per few thousand records.
const BUFFER: usize = 1 << 20;

impl Produce {
    pub fn execute(self) -> Result<u8, Stop> {
        let is_stdin = self.file.as_os_str() == "-";
        let (input, bytes): (Box<dyn BufRead>, Option<u64>) = if is_stdin {
            (Box::new(BufReader::with_capacity(BUFFER, std::io::stdin())), None)
        } else {
            let told = |error| Stop::new(1, format!("{}: {error}", self.file.display()));
            let file = File::open(&self.file).map_err(told)?;
            let bytes = file.metadata().map_err(told)?.len();
            (Box::new(BufReader::with_capacity(BUFFER, file)), Some(bytes))
        };
        let bar = progress_bar(bytes);
        let started = Instant::now();
        let kafka = self.kafka.into_iter().map(|(name, value)| (name, Secret::new(value))).collect();
        let options = ProduceOptions { brokers: self.brokers, topic: self.topic, key: self.key, kafka };
        let produced = produce(input, &options, |records, bytes| {
            bar.set_position(bytes);
            bar.set_message(format!("{records} records"));
        });
        bar.finish_and_clear();
        let produced = produced.map_err(|error| Stop::new(1, error.to_string()))?;
        let seconds = started.elapsed().as_secs_f64();
        println!(
            "{} records in {seconds:.1} s ({:.0} a second), all acknowledged.",
            produced.records,
            produced.records as f64 / seconds
        );
        Ok(0)
    }
}

fn progress_bar(bytes: Option<u64>) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = |template| ProgressStyle::with_template(template).expect("the template is right");
    match bytes {
        Some(bytes) => {
            ProgressBar::new(bytes).with_style(style("{bar:30} {bytes}/{total_bytes} {bytes_per_sec} {msg} {eta} left"))
        }
        None => ProgressBar::new_spinner().with_style(style("{spinner} {bytes} {bytes_per_sec} {msg}")),
    }
}
