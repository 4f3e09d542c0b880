//! Setting positions by hand: what it would do is known and told first, then both stores follow.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::config::{Mode, Pipeline, Start};
use crate::consume::GroupMember;
use crate::offsets::{PartitionLog, TopicPartition};
use crate::write::{self, Expected, SetPosition, SetPositions};

use super::positions::{self, PartitionState, Positions, PositionsError, ask_cluster};

/// How long a static member that was stopped is waited for: its session of 6 s, and what the coordinator takes to see
/// that it is over.
const SESSION: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// Where to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    Earliest,
    Latest,
    /// The first record at or after this time (milliseconds since 1970), else the end.
    Time(i64),
    /// This number, in each partition.
    Number(i64),
}

/// Which partitions.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// `None`: all.
    pub topic: Option<String>,
    /// `None`: all.
    pub partition: Option<i32>,
}

/// What setting the positions would do.
#[derive(Debug, Clone)]
pub struct Plan {
    pub changes: Vec<Change>,
    /// The pipeline has no positions yet: what is not selected gets those of `source.start` at once, as at a first start.
    pub first: Vec<Change>,
    /// Who is in the group, and reads.
    pub members: Vec<GroupMember>,
    /// What follows from it for the tables and topics, in sentences.
    pub warnings: Vec<String>,
    /// Tables that add records up: what is read again counts twice.
    pub doubled: Vec<String>,
}

/// What becomes of one partition.
#[derive(Debug, Clone)]
pub struct Change {
    pub log: PartitionLog,
    pub from: Option<i64>,
    pub to: i64,
    /// Records that would be read again. Offsets, in truth: those of markers and of what compaction left out count too.
    pub again: i64,
    /// Records that would be passed over, likewise.
    pub skipped: i64,
    /// The position belongs to a topic of this name that is no longer there.
    pub is_other_topic: bool,
    expected: Expected,
}

impl Plan {
    pub fn again(&self) -> i64 {
        self.changes.iter().map(|change| change.again).sum()
    }

    pub fn skipped(&self) -> i64 {
        self.changes.iter().map(|change| change.skipped).sum()
    }
}

/// Finds out what setting the selected partitions to `target` would do. Changes nothing.
///
/// # Errors
/// Where Kafka or the database cannot be asked; refused where nothing is selected, or a number is outside of what a
/// partition has.
pub async fn plan(pipeline: &Pipeline, selection: &Selection, target: Target) -> Result<Plan, PositionsError> {
    let Positions { partitions, members } = positions::look(pipeline).await?;
    let (chosen, others): (Vec<_>, Vec<_>) = partitions.iter().partition(|state| is_selected(state, selection));
    let logs: Vec<PartitionLog> = chosen.iter().filter_map(|state| state.log.clone()).collect();
    if logs.is_empty() {
        return Err(nothing_selected(pipeline, selection, &partitions));
    }
    let targets = resolve(pipeline, target, &logs).await?;
    let states: Vec<&PartitionState> = chosen.into_iter().filter(|state| state.log.is_some()).collect();
    let changes: Vec<Change> =
        states.iter().zip(logs).zip(targets).map(|((state, log), to)| Change::new(state, log, to)).collect();
    let is_first = partitions.iter().all(|state| state.position.is_none());
    let first = if is_first { first_positions(pipeline, &others).await? } else { Vec::new() };
    let (warnings, doubled) = consequences(pipeline, &changes);
    Ok(Plan { changes, first, members, warnings, doubled })
}

fn is_selected(state: &PartitionState, selection: &Selection) -> bool {
    selection.topic.as_deref().is_none_or(|topic| *state.partition.topic == *topic)
        && selection.partition.is_none_or(|partition| state.partition.partition == partition)
}

fn nothing_selected(pipeline: &Pipeline, selection: &Selection, there: &[PartitionState]) -> PositionsError {
    let mut topics: Vec<String> = Vec::new();
    for state in there.iter().filter(|state| state.log.is_some()) {
        let topic = state.partition.topic.to_string();
        if !topics.contains(&topic) {
            topics.push(topic);
        }
    }
    let asked = match (&selection.topic, selection.partition) {
        (Some(topic), Some(partition)) => format!("partition {partition} of topic {topic}"),
        (Some(topic), None) => format!("topic {topic}"),
        (None, Some(partition)) => format!("partition {partition}"),
        (None, None) => "a partition".to_owned(),
    };
    let has = if topics.is_empty() { "none".to_owned() } else { topics.join(", ") };
    PositionsError::Refused(format!("{} does not read {asked}; its topics are: {has}", pipeline.name))
}

async fn resolve(pipeline: &Pipeline, target: Target, logs: &[PartitionLog]) -> Result<Vec<i64>, PositionsError> {
    match target {
        Target::Earliest => Ok(logs.iter().map(|log| log.low).collect()),
        Target::Latest => Ok(logs.iter().map(|log| log.high).collect()),
        Target::Time(time) => start_positions(pipeline, Start::Time(time), logs.to_vec()).await,
        Target::Number(to) => {
            let outside: Vec<String> = logs
                .iter()
                .filter(|log| !(log.low..=log.high).contains(&to))
                .map(|log| format!("{} has {} to {}", log.partition, log.low, log.high))
                .collect();
            match outside.is_empty() {
                true => Ok(vec![to; logs.len()]),
                false => Err(PositionsError::Refused(format!(
                    "a position of {to} is outside of what is there: {}. Nothing was changed",
                    outside.join(", ")
                ))),
            }
        }
    }
}

async fn start_positions(
    pipeline: &Pipeline,
    start: Start,
    logs: Vec<PartitionLog>,
) -> Result<Vec<i64>, PositionsError> {
    ask_cluster(pipeline, move |cluster| cluster.start_positions(start, &logs)).await
}

/// Without these the pipeline would take what is set for its first start, and begin all else at the earliest record.
async fn first_positions(pipeline: &Pipeline, others: &[&PartitionState]) -> Result<Vec<Change>, PositionsError> {
    let there: Vec<_> = others.iter().filter_map(|state| Some((*state, state.log.clone()?))).collect();
    let logs: Vec<PartitionLog> = there.iter().map(|(_, log)| log.clone()).collect();
    let starts = start_positions(pipeline, pipeline.source.start, logs).await?;
    Ok(there.into_iter().zip(starts).map(|((state, log), to)| Change::new(state, log, to)).collect())
}

impl Change {
    fn new(state: &PartitionState, log: PartitionLog, to: i64) -> Self {
        let row = state.stored.as_ref().map(|stored| &stored.position);
        let differs = |stored: &str, now: &str| !stored.is_empty() && !now.is_empty() && stored != now;
        let is_other_topic =
            row.is_some_and(|row| differs(&row.topic_id, &log.topic_id) || differs(&row.cluster_id, &log.cluster_id));
        let from = state.position;
        // Of another topic of this name, nothing was ever read.
        let known = from.filter(|_| !is_other_topic);
        let again = known.map_or(0, |from| (from.min(log.high) - to).max(0));
        let skipped = match from {
            Some(_) if is_other_topic => to - log.low,
            Some(from) => (to - from.max(log.low)).max(0),
            None => 0,
        };
        let expected = match row {
            Some(row) => Expected::At { next_offset: row.next_offset, owner_epoch: row.owner_epoch },
            None => Expected::NoRow,
        };
        Self { log, from, to, again, skipped, is_other_topic, expected }
    }
}

/// What records that are read again or passed over do to the tables and topics; and the tables that add up.
fn consequences(pipeline: &Pipeline, changes: &[Change]) -> (Vec<String>, Vec<String>) {
    let mut warnings = Vec::new();
    let named = |modes: &[Mode]| -> Vec<String> {
        let with_mode = pipeline.tables.iter().filter(|table| modes.contains(&table.mode));
        with_mode.map(|table| table.name.clone()).collect()
    };
    let is_read_again = changes.iter().any(|change| change.again > 0);
    let is_skipped = changes.iter().any(|change| change.skipped > 0);
    let merged = named(&[Mode::Merge]);
    let mut doubled = Vec::new();
    if is_read_again {
        let appended = named(&[Mode::Append]);
        if !appended.is_empty() {
            warnings.push(format!("table {} appends: what is read again is there twice", appended.join(", ")));
        }
        if !pipeline.topics.is_empty() {
            let topics: Vec<&str> = pipeline.topics.iter().map(|topic| topic.name.as_str()).collect();
            warnings.push(format!("topic {}: events are sent again", topics.join(", ")));
        }
        doubled = merged.clone();
    }
    if is_skipped {
        let kept = match pipeline.sink.keeper() {
            Some(_) => "; a row in tidegate_gaps keeps which",
            None => "",
        };
        warnings.push(format!("what is passed over is in none of the tables{kept}"));
        if !merged.is_empty() {
            warnings.push(format!("table {} adds up: its sums lack what is passed over", merged.join(", ")));
        }
    }
    (warnings, doubled)
}

/// Is it done with a living owner?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Force {
    /// Refused while the group has members.
    No,
    /// The owner is fenced; it claims again and goes on from the new position.
    Yes,
}

/// What setting has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Done {
    /// Are the group's offsets set, too? Where a daemon lives, it sets them when it has claimed again.
    pub group_follows: bool,
}

/// Sets the positions of a plan: first the database, then the group's offsets.
///
/// # Errors
/// Where Kafka or the database cannot be asked; refused where the pipeline runs, without [`Force::Yes`].
pub async fn apply(pipeline: &Pipeline, plan: &Plan, force: Force, by: &str) -> Result<Done, PositionsError> {
    let keeper = pipeline.sink.keeper();
    if force == Force::No || keeper.is_none() {
        nobody_is_left(pipeline, &plan.members).await?;
    }
    let all: Vec<&Change> = plan.changes.iter().chain(&plan.first).collect();
    let offsets: Vec<(TopicPartition, i64)> =
        all.iter().map(|change| (change.log.partition.clone(), change.to)).collect();
    if let Some(sink) = keeper {
        let expected = |change: &Change| if force == Force::Yes { Expected::Anything } else { change.expected };
        let set = |change: &&Change| SetPosition { log: change.log.clone(), to: change.to, expected: expected(change) };
        let reason = format!("passed over by an operator ({by})");
        let set = SetPositions { by: by.to_owned(), moves: all.iter().map(set).collect(), reason };
        write::ledger(pipeline, sink).set(&set).await?;
    }
    let stored = ask_cluster(pipeline, move |cluster| cluster.store_offsets(&offsets)).await;
    match (stored, keeper) {
        (Ok(()), _) => Ok(Done { group_follows: true }),
        // Only the group's members may then; whoever claims mirrors the positions.
        (Err(PositionsError::Kafka(error)), Some(_)) if error.class == "rebalance" => Ok(Done { group_follows: false }),
        (Err(PositionsError::Kafka(error)), None) if error.class == "rebalance" => {
            Err(PositionsError::Refused(format!(
                "a daemon has joined group {} meanwhile, and only it may set the group's offsets; nothing was \
                 changed: stop it and try again",
                pipeline.source.group
            )))
        }
        (Err(error), Some(_)) => Err(PositionsError::Refused(format!(
            "the positions are set in the database, and count; the group's offsets could not be set ({error}): the \
             next claim of a daemon sets them"
        ))),
        (Err(error), None) => Err(error),
    }
}

/// Waits for static members that have stopped: they are in the group until their session ends.
async fn nobody_is_left(pipeline: &Pipeline, members: &[GroupMember]) -> Result<(), PositionsError> {
    let began = Instant::now();
    let mut members = members.to_vec();
    while !members.is_empty() {
        if members.iter().any(|member| !member.is_static) || began.elapsed() > SESSION {
            return Err(still_there(pipeline, &members));
        }
        sleep(LOOK_AGAIN).await;
        members = ask_cluster(pipeline, |cluster| cluster.members()).await?;
    }
    Ok(())
}

fn still_there(pipeline: &Pipeline, members: &[GroupMember]) -> PositionsError {
    const SHOWN: usize = 5;
    let mut who: Vec<String> =
        members.iter().take(SHOWN).map(|member| format!("{} at {}", member.name, member.host)).collect();
    if members.len() > SHOWN {
        who.push(format!("{} more", members.len() - SHOWN));
    }
    let force = match pipeline.sink.keeper() {
        Some(_) => ", or add --force: they are fenced, claim again and go on from the new positions",
        None => {
            "; the group's offsets are the positions, and only its members may set them then: --force does not help"
        }
    };
    PositionsError::Refused(format!(
        "{} is running: group {} has {} members ({}). Nothing was changed. Stop them{force}",
        pipeline.name,
        pipeline.source.group,
        members.len(),
        who.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::write::StoredPosition;
    use crate::write::session::Position;

    fn state(position: Option<i64>, low: i64, high: i64) -> PartitionState {
        let partition = TopicPartition::new("orders", 0);
        let log =
            PartitionLog { partition: partition.clone(), cluster_id: "c".into(), topic_id: "t".into(), low, high };
        let stored = position.map(|next_offset| StoredPosition {
            position: Position {
                partition: partition.clone(),
                next_offset,
                cluster_id: "c".into(),
                topic_id: "t".into(),
                owner_epoch: 3,
                owner: "me".into(),
            },
            moved_at: 0,
        });
        PartitionState { partition, stored, committed: position, log: Some(log), position }
    }

    fn risk(position: Option<i64>, to: i64) -> (i64, i64) {
        let state = state(position, 10, 100);
        let change = Change::new(&state, state.log.clone().unwrap(), to);
        (change.again, change.skipped)
    }

    #[test]
    fn what_is_at_risk_is_counted_within_what_the_topic_has() {
        assert_eq!(risk(Some(60), 20), (40, 0));
        assert_eq!(risk(Some(60), 90), (0, 30));
        assert_eq!(risk(Some(60), 60), (0, 0));
        assert_eq!(risk(Some(5), 30), (0, 20), "what retention deleted is lost already");
        assert_eq!(risk(Some(500), 80), (20, 0), "beyond the end nothing was read");
        assert_eq!(risk(None, 50), (0, 0), "nothing was read yet, and nothing is passed that was promised");
    }

    #[test]
    fn a_topic_that_was_created_again_was_never_read() {
        let mut state = state(Some(60), 0, 100);
        if let Some(log) = &mut state.log {
            log.topic_id = "u".into();
        }
        let change = Change::new(&state, state.log.clone().unwrap(), 40);
        assert!(change.is_other_topic);
        assert_eq!((change.again, change.skipped), (0, 40));
    }
}
