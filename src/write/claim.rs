//! Taking the ownership of partitions: the row in `tidegate_positions` is the arbiter, the group only a hint.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use crate::config::{LostPosition, Sink};
use crate::events;
use crate::lease::Lease;
use crate::offsets::PartitionLog;
use crate::retry::Disposition;

use super::error::WriteError;
use super::session::{CommitError, Gap, Position, Session};

/// The longest a claim may take; it waits for a previous owner's open transaction. Below a third of
/// `max.poll.interval.ms` (300 s), after which the group would think us dead.
const CLAIM_DEADLINE: Duration = Duration::from_secs(60);

#[derive(Debug, Clone)]
pub struct ClaimRequest {
    /// Host, process and a random part.
    pub owner: String,
    pub candidates: Vec<PartitionLog>,
    /// For the very first claim of a pipeline: `source.start` resolved to numbers, for every partition of every
    /// subscribed topic. `None`: not resolved yet; the outcome says when it is needed.
    pub first_positions: Option<Vec<(PartitionLog, i64)>>,
    pub on_lost: LostPosition,
}

#[derive(Debug)]
pub enum ClaimOutcome {
    Claimed(Vec<Arc<Lease>>),
    /// The pipeline has no positions yet: resolve `source.start` and claim again with `first_positions`.
    FirstStart,
}

/// Claims all candidates in one transaction, or none.
pub(super) async fn claim<S: Session>(
    sink: &Sink,
    pipeline: &str,
    request: &ClaimRequest,
) -> Result<ClaimOutcome, WriteError> {
    let deadline = WriteError::new(
        Disposition::Retry,
        "deadline",
        "",
        format!("the claim was not answered within {} s", CLAIM_DEADLINE.as_secs()),
    );
    let attempt = async {
        let mut session = S::connect(sink, pipeline).await?;
        let outcome = attempt(&mut session, pipeline, request).await?;
        session.close().await;
        Ok(outcome)
    };
    // On any error the connection is dropped, and with it the transaction. A COMMIT of unknown outcome needs no
    // resolving: claiming again raises the epoch once more, and whichever claim is the last one counts.
    timeout(CLAIM_DEADLINE, attempt).await.unwrap_or(Err(deadline))
}

async fn attempt<S: Session>(
    session: &mut S,
    pipeline: &str,
    request: &ClaimRequest,
) -> Result<ClaimOutcome, WriteError> {
    session.begin().await?;
    let mut stored = session.lock_positions(pipeline).await?;
    let missing = match (&stored[..], &request.first_positions) {
        ([], None) => {
            session.rollback().await?;
            return Ok(ClaimOutcome::FirstStart);
        }
        ([], Some(first)) => first.iter().map(|(candidate, offset)| new_position(candidate, *offset)).collect(),
        // Partitions and topics that appear later begin at their earliest offset: nothing of them was ever read.
        (known, _) => missing_positions(known, &request.candidates),
    };
    if !missing.is_empty() {
        session.insert_positions(pipeline, &missing).await?;
        // Somebody else may have been first: what is stored counts.
        stored = session.lock_positions(pipeline).await?;
    }
    let mut claimed = Vec::with_capacity(request.candidates.len());
    let mut gaps = Vec::new();
    for candidate in &request.candidates {
        let Some(position) = stored.iter().find(|position| position.partition == candidate.partition) else {
            // A topic that appeared between the resolving of the start and the assignment.
            let position = new_position(candidate, candidate.low);
            session.insert_positions(pipeline, std::slice::from_ref(&position)).await?;
            claimed.push(Position { owner_epoch: 1, owner: request.owner.clone(), ..position });
            continue;
        };
        let (next_offset, gap) = next_offset(position, candidate, request.on_lost)?;
        if let Some(gap) = gap {
            session.store_gap(pipeline, &gap).await?;
            gaps.push(gap);
        }
        claimed.push(Position {
            partition: candidate.partition.clone(),
            next_offset,
            cluster_id: candidate.cluster_id.clone(),
            topic_id: candidate.topic_id.clone(),
            owner_epoch: position.owner_epoch + 1,
            owner: request.owner.clone(),
        });
    }
    session.update_positions(pipeline, &claimed).await?;
    session.commit().await.map_err(|error| match error {
        CommitError::Aborted(error) => error,
        CommitError::Unknown(error) => WriteError { disposition: Disposition::Retry, ..error },
    })?;
    for gap in gaps {
        events::gap(pipeline, &gap.partition, gap.from, gap.to, &gap.reason);
    }
    let lease =
        |position: Position| Arc::new(Lease::new(position.partition, position.owner_epoch, position.next_offset));
    Ok(ClaimOutcome::Claimed(claimed.into_iter().map(lease).collect()))
}

fn new_position(candidate: &PartitionLog, next_offset: i64) -> Position {
    Position {
        partition: candidate.partition.clone(),
        next_offset,
        cluster_id: candidate.cluster_id.clone(),
        topic_id: candidate.topic_id.clone(),
        owner_epoch: 0,
        owner: String::new(),
    }
}

fn missing_positions(stored: &[Position], candidates: &[PartitionLog]) -> Vec<Position> {
    let is_stored = |candidate: &PartitionLog| stored.iter().any(|position| position.partition == candidate.partition);
    candidates
        .iter()
        .filter(|candidate| !is_stored(candidate))
        .map(|candidate| new_position(candidate, candidate.low))
        .collect()
}

/// Where to go on, and what is lost on the way there.
fn next_offset(
    position: &Position,
    candidate: &PartitionLog,
    on_lost: LostPosition,
) -> Result<(i64, Option<Gap>), WriteError> {
    let Some(reason) = lost(position, candidate) else {
        return Ok((position.next_offset, None));
    };
    let next = match on_lost {
        LostPosition::Earliest => candidate.low,
        LostPosition::Latest => candidate.high,
        LostPosition::Stop => {
            let message = format!(
                "{}: {reason}. Nothing is read until this is decided: set source.on_lost_position to \"earliest\" or \
                 \"latest\" to go on from there with a row in tidegate_gaps, or restore the topic",
                candidate.partition
            );
            return Err(WriteError::new(Disposition::Block, "lost-position", "", message));
        }
    };
    let gap = Gap { partition: candidate.partition.clone(), from: position.next_offset, to: next, reason };
    Ok((next, Some(gap)))
}

/// Why the stored position means nothing in the topic as it is now; `None` where it does.
fn lost(position: &Position, candidate: &PartitionLog) -> Option<String> {
    let differs = |stored: &str, now: &str| !stored.is_empty() && !now.is_empty() && stored != now;
    let next = position.next_offset;
    if differs(&position.cluster_id, &candidate.cluster_id) {
        return Some(format!(
            "the stored position {next} belongs to another cluster ({}, now {})",
            position.cluster_id, candidate.cluster_id
        ));
    }
    if differs(&position.topic_id, &candidate.topic_id) {
        return Some(format!(
            "the topic was deleted and created again (its id was {}, now {}); the stored position {next} belongs to \
             the old one",
            position.topic_id, candidate.topic_id
        ));
    }
    if next < candidate.low {
        return Some(format!(
            "retention has deleted records that were not read yet: the stored position is {next}, the topic begins \
             at {}",
            candidate.low
        ));
    }
    if next > candidate.high {
        return Some(format!(
            "the topic ends at {}, before the stored position {next}: it was truncated or created again",
            candidate.high
        ));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::offsets::TopicPartition;

    fn position(next_offset: i64) -> Position {
        Position {
            partition: TopicPartition::new("orders", 0),
            next_offset,
            cluster_id: "c".into(),
            topic_id: "t".into(),
            owner_epoch: 1,
            owner: "me".into(),
        }
    }

    fn candidate(low: i64, high: i64) -> PartitionLog {
        PartitionLog {
            partition: TopicPartition::new("orders", 0),
            cluster_id: "c".into(),
            topic_id: "t".into(),
            low,
            high,
        }
    }

    #[test]
    fn a_position_that_the_topic_has_is_kept() {
        for next in [10, 15, 20] {
            assert_eq!(next_offset(&position(next), &candidate(10, 20), LostPosition::Stop), Ok((next, None)));
        }
    }

    #[test]
    fn a_lost_position_blocks_with_its_cause() {
        let recreated = PartitionLog { topic_id: "u".into(), ..candidate(0, 20) };
        let elsewhere = PartitionLog { cluster_id: "d".into(), ..candidate(0, 20) };
        for (candidate, cause) in [
            (candidate(11, 20), "retention"),
            (candidate(0, 9), "truncated"),
            (recreated, "created again"),
            (elsewhere, "another cluster"),
        ] {
            let error = next_offset(&position(10), &candidate, LostPosition::Stop).unwrap_err();
            assert_eq!(error.disposition, Disposition::Block);
            assert!(error.message.contains(cause), "{}", error.message);
            assert!(error.message.contains("orders-0"), "{}", error.message);
        }
    }

    #[test]
    fn going_on_from_a_lost_position_leaves_a_gap_row() {
        let (next, gap) = next_offset(&position(10), &candidate(15, 20), LostPosition::Earliest).unwrap();
        let gap = gap.unwrap();
        assert_eq!((next, gap.from, gap.to), (15, 10, 15));
        let (next, gap) = next_offset(&position(10), &candidate(15, 20), LostPosition::Latest).unwrap();
        assert_eq!((next, gap.unwrap().to), (20, 20));
    }

    #[test]
    fn unknown_ids_do_not_count_as_different() {
        let old_broker = PartitionLog { topic_id: String::new(), ..candidate(0, 20) };
        assert_eq!(next_offset(&position(10), &old_broker, LostPosition::Stop), Ok((10, None)));
    }
}
