//! `tidegate offsets show`

use std::path::PathBuf;

use crate::config::{Delivery, Pipeline};
use crate::pipeline::positions::{self, PartitionState, Positions};

use super::super::{Context, Stop, runtime};
use super::{Output, load, number, print_table};

/// Show where a pipeline stands: its stored positions, the group's offsets, the topics' ends; changes nothing
#[derive(Debug, clap::Args)]
pub struct Show {
    /// The pipeline file
    file: PathBuf,
    /// How to print it
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Debug, serde::Serialize)]
struct Shown {
    pipeline: String,
    delivery: &'static str,
    group: String,
    members: Vec<Member>,
    partitions: Vec<Partition>,
}

#[derive(Debug, serde::Serialize)]
struct Member {
    name: String,
    host: String,
    partitions: usize,
}

#[derive(Debug, serde::Serialize)]
struct Partition {
    topic: String,
    partition: i32,
    /// Where the pipeline goes on.
    position: Option<i64>,
    /// The group's offset.
    committed: Option<i64>,
    low: Option<i64>,
    high: Option<i64>,
    lag: Option<i64>,
    owner: Option<String>,
    epoch: Option<i64>,
    /// When the position was last claimed or moved, RFC 3339.
    moved_at: Option<String>,
}

impl Show {
    pub fn execute(self, context: &Context) -> Result<u8, Stop> {
        let pipeline = load(self.file, context)?;
        let runtime = runtime()?;
        let positions = runtime.block_on(positions::look(&pipeline));
        runtime.shutdown_background();
        let shown = Shown::of(&pipeline, &positions?);
        match self.output {
            Output::Json => println!("{}", serde_json::to_string_pretty(&shown).expect("strings and numbers")),
            Output::Text => shown.print(),
        }
        Ok(0)
    }
}

impl Shown {
    fn of(pipeline: &Pipeline, positions: &Positions) -> Self {
        let member = |member: &crate::consume::GroupMember| Member {
            name: member.name.clone(),
            host: member.host.clone(),
            partitions: member.partitions.len(),
        };
        Self {
            pipeline: pipeline.name.clone(),
            delivery: match pipeline.sink.delivery() {
                Delivery::ExactlyOnce => "exactly-once",
                Delivery::AtLeastOnce => "at-least-once",
            },
            group: pipeline.source.group.clone(),
            members: positions.members.iter().map(member).collect(),
            partitions: positions.partitions.iter().map(Partition::of).collect(),
        }
    }

    fn print(&self) {
        let members = match self.members.len() {
            0 => "nobody in it".to_owned(),
            1 => "1 member".to_owned(),
            several => format!("{several} members"),
        };
        println!("{} ({}), group {}: {members}", self.pipeline, self.delivery, self.group);
        for Member { name, host, partitions } in &self.members {
            println!("  {name} at {host} holds {partitions} partitions");
        }
        let head = ["topic", "partition", "position", "group", "low", "high", "lag", "epoch", "moved", "owner"];
        let mut rows = vec![head.map(str::to_owned)];
        rows.extend(self.partitions.iter().map(Partition::row));
        print_table(&rows);
        let lags: Option<i64> = self.partitions.iter().map(|partition| partition.lag).sum();
        match lags {
            Some(lag) => println!("  {lag} records behind in all"),
            None => println!("  a partition without a position or without a topic has no lag"),
        }
    }
}

impl Partition {
    fn of(state: &PartitionState) -> Self {
        let stored = state.stored.as_ref();
        let time = |millis| jiff::Timestamp::from_millisecond(millis).ok().map(|time| time.to_string());
        Self {
            topic: state.partition.topic.to_string(),
            partition: state.partition.partition,
            position: state.position,
            committed: state.committed,
            low: state.log.as_ref().map(|log| log.low),
            high: state.log.as_ref().map(|log| log.high),
            lag: state.lag(),
            owner: stored.map(|row| row.position.owner.clone()).filter(|owner| !owner.is_empty()),
            epoch: stored.map(|row| row.position.owner_epoch),
            moved_at: stored.and_then(|row| time(row.moved_at)),
        }
    }

    fn row(&self) -> [String; 10] {
        let text = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
        [
            self.topic.clone(),
            self.partition.to_string(),
            number(self.position),
            number(self.committed),
            number(self.low),
            number(self.high),
            number(self.lag),
            number(self.epoch),
            text(&self.moved_at),
            text(&self.owner),
        ]
    }
}
