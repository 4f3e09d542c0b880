//! Getting one batch into the database, whatever it takes: retry, isolate, wait, or drop what is no longer ours.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::timeout;

use crate::commit::Receipt;
use crate::config::{BadRecords, CheckAction, DeadLetters};
use crate::dead_letter::{DeadLetter, Fault, Stage};
use crate::decode::Decoder;
use crate::events::{self, Fates};
use crate::produce::{Events, Letters, Outgoing, Progress};
use crate::records::Records;
use crate::retry::{Backoff, Disposition};
use crate::write::error::WriteError;
use crate::write::{Batch, RowCounts, TableRows};

use super::follow::Follow;
use super::followed_events::{FollowedEvents, FollowedOutbox};
use super::lane::{LaneContext, Report, Work};
use super::outlet::LaneWriter;
use super::stages::Shaped;
use super::turned_true;

/// Retries before the status speaks of them: a deadlock or a restart of the connection is over by then.
const QUIET_RETRIES: u32 = 3;

/// However few they were: a try that waits for a server takes long. NO_OUTCOME names the number.
const QUIET_FOR: Duration = Duration::from_secs(10);

/// The writing half of a lane.
pub struct Store {
    /// How the status and the logs call this lane.
    part: String,
    context: LaneContext,
    writer: LaneWriter,
    /// For batches that are done again in parts; made when first needed.
    decoder: Option<Box<dyn Decoder>>,
}

/// A part of a batch on its way to the database: at first all of it.
struct Piece {
    records: Records,
    /// `None`: the records have changed since they were made into rows.
    shaped: Option<Shaped>,
    /// Records that the database refused, by index.
    refused: Vec<(u32, Fault)>,
    in_order: bool,
    /// How far the events of these rows have come; anew with the rows.
    progress: Arc<Progress>,
    /// The same of the events that follow merged rows.
    followed: FollowedEvents,
}

impl Piece {
    fn new(records: Records) -> Self {
        Self {
            records,
            shaped: None,
            refused: Vec::new(),
            in_order: false,
            progress: Arc::default(),
            followed: FollowedEvents::default(),
        }
    }

    /// What to try instead of a piece that the database refused, first part first.
    ///
    /// A constraint is first given the rows in the records' order: the reduction may have changed the order in which
    /// two keys meet. Then the record that the server pointed at is set aside with everything before it, which the
    /// server had accepted; without such a hint the piece is halved.
    fn narrow(self, error: &WriteError) -> Vec<Self> {
        if !self.in_order && is_order_sensitive(error.class) {
            return vec![Self { in_order: true, ..self }];
        }
        let last = self.records.len() - 1;
        let suspect = if last == 0 { Some(0) } else { error.suspect.map(|suspect| suspect as usize) };
        let Some(suspect) = suspect.filter(|suspect| *suspect <= last) else {
            let (head, tail) = self.records.split_at(self.records.len() / 2);
            // What was refused in this piece is found again: rare, and simpler than carrying it along.
            return vec![Self::new(head), Self::new(tail)];
        };
        let mut head_refused = vec![(suspect as u32, fault_of(error))];
        let mut tail_refused = Vec::new();
        for (index, fault) in self.refused {
            match (index as usize).checked_sub(suspect + 1) {
                None => head_refused.push((index, fault)),
                Some(in_tail) => tail_refused.push((in_tail as u32, fault)),
            }
        }
        if suspect == last {
            return vec![Self { refused: head_refused, ..Self::new(self.records) }];
        }
        let (head, tail) = self.records.split_at(suspect + 1);
        vec![Self { refused: head_refused, ..Self::new(head) }, Self { refused: tail_refused, ..Self::new(tail) }]
    }
}

/// Can the order in which rows are applied decide whether the constraint holds?
pub(super) fn is_order_sensitive(class: &str) -> bool {
    matches!(class, "unique" | "foreign-key" | "exclusion")
}

pub(super) fn fault_of(error: &WriteError) -> Fault {
    let table = error.table.as_ref().map_or_else(String::new, |table| format!("table {table}: "));
    Fault {
        stage: Stage::Write,
        class: error.class,
        code: error.code.clone(),
        reason: format!("{table}{}", error.message),
        column: error.column.clone(),
    }
}

/// What a try to write a piece came to.
enum Outcome {
    Stored,
    /// Nothing of it is ours any more.
    Dropped,
    Refused(WriteError),
}

impl Store {
    pub fn new(index: usize, context: LaneContext, writer: LaneWriter) -> Self {
        Self { part: format!("lane {index}"), context, writer, decoder: None }
    }

    /// There was nothing to do for a while.
    pub async fn rest(&mut self) {
        self.writer.rest().await;
    }

    pub async fn close(&mut self) {
        self.writer.close().await;
    }

    /// Returns when every record of the batch is stored, set aside or no longer ours.
    pub async fn store(&mut self, work: Work) {
        let Work { records, shaped, .. } = work;
        let pipeline = &self.context.pipeline;
        for field in &shaped.new_unknown_fields {
            events::unknown_field(&pipeline.name, field);
        }
        // A batch that a check stops is never committed, so this is the only place to count what stops it.
        for (check, count) in pipeline.checks.iter().zip(&shaped.violations) {
            if check.action == CheckAction::Stop {
                events::check_violations(&pipeline.name, check, *count);
            }
        }
        let mut pieces = vec![Piece { shaped: Some(shaped), ..Piece::new(records) }];
        while let Some(mut piece) = pieces.pop() {
            if let Outcome::Refused(error) = self.write_piece(&mut piece).await {
                events::isolating(&self.context.pipeline.name, &error, piece.records.len());
                pieces.extend(piece.narrow(&error).into_iter().rev());
            }
        }
    }

    /// Tries until there is an outcome. Each try drops what is no longer ours first.
    async fn write_piece(&mut self, piece: &mut Piece) -> Outcome {
        let (mut backoff, started) = (Backoff::new(), Instant::now());
        loop {
            if piece.records.leases().iter().any(|lease| !lease.is_alive()) {
                let kept = std::mem::take(&mut piece.records).without_ended_leases();
                *piece = Piece::new(kept);
            }
            if piece.records.covered().is_empty() {
                self.context.status.clear(&self.part);
                return Outcome::Dropped;
            }
            let error = match self.try_visibly(piece).await {
                Ok(()) => {
                    if self.context.status.clear(&self.part) {
                        events::recovered(&self.context.pipeline.name, &self.part);
                    }
                    return Outcome::Stored;
                }
                Err(error) => error,
            };
            match error.disposition {
                Disposition::Isolate if !piece.records.is_empty() => {
                    let suspect = error.suspect.filter(|_| !self.context.stages.has_groups());
                    return Outcome::Refused(WriteError { suspect, ..error });
                }
                Disposition::Fenced => self.give_up(piece, &error),
                Disposition::Retry => {
                    events::retry(&self.context.pipeline.name, "write", &error, backoff.attempts());
                    if backoff.attempts() >= QUIET_RETRIES || started.elapsed() >= QUIET_FOR {
                        self.context.status.report(&self.part, Disposition::Retry, error.to_string());
                    }
                    self.wait(&mut backoff).await;
                }
                // A batch without records has none to set aside, so a refusal of it is the database's trouble.
                Disposition::Block | Disposition::Isolate => {
                    if self.context.status.report(&self.part, Disposition::Block, error.to_string()) {
                        events::blocked(&self.context.pipeline.name, &self.part, &error);
                    }
                    self.wait(&mut backoff).await;
                }
            }
        }
    }

    /// A try that takes long is told: a server that takes no answers, or that cannot be asked what came of a lost COMMIT,
    /// gives no error for a long time.
    async fn try_visibly(&mut self, piece: &mut Piece) -> Result<(), WriteError> {
        let (status, part) = (self.context.status.clone(), self.part.clone());
        let mut attempt = std::pin::pin!(self.try_piece(piece));
        if let Ok(outcome) = timeout(QUIET_FOR, &mut attempt).await {
            return outcome;
        }
        if status.report(&part, Disposition::Retry, NO_OUTCOME.to_owned()) {
            events::warning(status.name(), &format!("{part}: {NO_OUTCOME}"));
        }
        attempt.await
    }

    async fn wait(&mut self, backoff: &mut Backoff) {
        tokio::select! {
            () = tokio::time::sleep(backoff.next_delay()) => {}
            () = turned_true(&mut self.context.ending) => tokio::task::yield_now().await,
        }
    }

    fn give_up(&self, piece: &Piece, error: &WriteError) {
        events::fenced(&self.context.pipeline.name, &error.fenced);
        for lease in piece.records.leases().iter().filter(|lease| error.fenced.contains(lease.partition())) {
            lease.end();
        }
        let _ = self.context.reports.send(Report::Fenced(error.fenced.clone()));
    }

    async fn try_piece(&mut self, piece: &mut Piece) -> Result<(), WriteError> {
        let started = Instant::now();
        if piece.shaped.is_none() {
            piece.shaped = Some(self.shape(piece).await);
        }
        let shaped = piece.shaped.as_ref().expect("shaped above");
        let faults: Vec<&(u32, Fault)> = shaped.bad.iter().chain(&piece.refused).collect();
        let policy = self.context.pipeline.errors.bad_records;
        if let (BadRecords::Stop, Some((index, fault))) = (policy, faults.first()) {
            return Err(stopped_by(piece, *index, fault, STOPPED_BY_ERRORS));
        }
        if let Some((index, fault)) = &shaped.stopped {
            return Err(stopped_by(piece, *index, fault, STOPPED_BY_CHECK));
        }
        let (privacy, errors) = (self.context.pipeline.privacy.as_ref(), &self.context.pipeline.errors);
        let kept = if policy == BadRecords::DeadLetter { &faults[..] } else { &[] };
        let letter = |(index, fault): &&(u32, Fault)| {
            DeadLetter::new(piece.records.get(*index as usize), fault.clone(), privacy)
        };
        let letters: Vec<DeadLetter> = kept.iter().map(letter).collect();
        let origins: Vec<u32> = kept.iter().map(|(index, _)| *index).collect();
        let (dead_letters, letters) = match &errors.dead_letters {
            DeadLetters::Table => (&letters[..], None),
            DeadLetters::Topic(topic) => {
                let letters = Letters { topic, letters: &letters, origins: &origins, is_private: privacy.is_some() };
                (&[][..], Some(letters))
            }
        };
        let parts = shaped.tables.iter().enumerate().flat_map(|(table, shape)| {
            shape.parts().into_iter().map(move |(name, rows)| TableRows { table, name, rows })
        });
        let tables: Vec<TableRows> = parts.collect();
        let outgoing = Outgoing {
            pipeline: &self.context.pipeline.name,
            records: &piece.records,
            shapes: &self.context.shapes,
            topics: &shaped.topics,
            identities: &[],
            letters,
        };
        let (covered, leases) = (piece.records.covered(), piece.records.leases());
        let (receipt, delivered) = match &mut self.writer {
            LaneWriter::Database { writer, events } => {
                let events = Events { producer: events, outgoing, progress: &piece.progress };
                let follow = Follow::new(self.context.stages.followed());
                let outbox = FollowedOutbox { first: &events, follow: &follow, sent: &piece.followed };
                let batch = Batch {
                    covered,
                    leases,
                    tables: &tables,
                    dead_letters,
                    follow: Some(&follow),
                    outbox: (!shaped.topics.is_empty() || letters.is_some()).then_some(&outbox),
                    in_order: piece.in_order,
                };
                (Receipt::Durable(writer.write(&batch).await?), outbox.counts())
            }
            LaneWriter::Kafka(writer) => {
                (Receipt::Transacted(writer.write(covered, leases, outgoing).await?), outgoing.counts())
            }
        };
        self.context.lookups.database_answers();
        self.account(piece, shaped, &faults, (receipt.counts(), &delivered), started);
        let _ = self.context.reports.send(Report::Stored(receipt));
        Ok(())
    }

    /// The rows of a piece whose records are not those that came in, without the records that the database refused.
    async fn shape(&mut self, piece: &Piece) -> Shaped {
        let LaneContext { stages, lookups, .. } = &self.context;
        let decoder = self.decoder.get_or_insert_with(|| stages.decoder(&self.context.pipeline));
        let refused = piece.refused.iter().map(|(index, _)| *index).collect();
        stages.run(&mut **decoder, &piece.records, &refused, lookups).await
    }

    fn account(
        &self,
        piece: &Piece,
        shaped: &Shaped,
        faults: &[&(u32, Fault)],
        stored: (&[RowCounts], &[u64]),
        started: Instant,
    ) {
        let pipeline = &self.context.pipeline;
        let (counts, delivered) = stored;
        let dead_lettered = match pipeline.errors.bad_records {
            BadRecords::DeadLetter => shaped.taken_out,
            BadRecords::Skip | BadRecords::Stop => 0,
        };
        let mut counts = counts.iter();
        let tables = self.context.prepared.tables.iter().zip(&pipeline.tables);
        for ((plan, table), shape) in tables.zip(&shaped.tables) {
            let before = RowCounts { filtered: shape.filtered, ignored: shape.ignored, ..RowCounts::default() };
            for ((name, rows), written) in shape.parts().iter().zip(counts.by_ref()) {
                debug_assert!(
                    table.from.is_some() || written.total() == rows.produced() as u64,
                    "every row of a batch has one outcome"
                );
                match name {
                    Some(name) => {
                        let name =
                            plan.table.schema.as_ref().map_or(name.to_string(), |schema| format!("{schema}.{name}"));
                        events::rows_written(&pipeline.name, &name, written, 0);
                    }
                    None => {
                        let mut all = before;
                        all += *written;
                        events::rows_written(&pipeline.name, &plan.table.full_name(), &all, dead_lettered);
                    }
                }
            }
            if shape.routed.is_some() {
                // Which of its tables they would have gone to is not known.
                events::rows_written(&pipeline.name, &table.name, &before, dead_lettered);
            }
        }
        for (topic, sent) in pipeline.topics.iter().zip(delivered) {
            events::events_delivered(&pipeline.name, &topic.name, *sent);
        }
        for (index, fault) in faults {
            let record = piece.records.get(*index as usize);
            events::bad_record(&pipeline.name, record, fault, pipeline.errors.bad_records);
        }
        for (check, count) in pipeline.checks.iter().zip(&shaped.violations) {
            if check.action != CheckAction::Stop {
                events::check_violations(&pipeline.name, check, *count);
            }
        }
        if let Some(profiler) = &self.context.stages.profiler {
            events::profiled(&pipeline.name, &profiler.add(&shaped.profile));
        }
        let fates = Fates { faults, policy: pipeline.errors.bad_records, dropped: &shaped.dropped };
        events::batch_stored(&pipeline.name, &piece.records, fates, started.elapsed());
    }
}

const NO_OUTCOME: &str = "a transaction has had no outcome for 10 s: the server does not answer, or it is away and cannot be asked what came of \
     a lost COMMIT; nothing is lost, and it is waited for";
const STOPPED_BY_ERRORS: &str = "errors.bad_records is \"stop\": nothing is stored past it until the record can be, or until errors.bad_records is \
     \"dead-letter\" or \"skip\"";
const STOPPED_BY_CHECK: &str = "the check's action is \"stop\": nothing is stored past it until the condition or the action is another and the \
     pipeline has been started again";

fn stopped_by(piece: &Piece, index: u32, fault: &Fault, why: &str) -> WriteError {
    let record = piece.records.get(index as usize);
    WriteError::new(
        Disposition::Block,
        fault.class,
        fault.code.clone(),
        format!(
            "the record at {}-{} offset {} cannot be stored: {}. {why}",
            record.topic(),
            record.partition(),
            record.offset(),
            fault.reason
        ),
    )
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::lease::Lease;
    use crate::offsets::{Interval, TopicPartition};

    fn piece(rows: i64) -> Piece {
        let lease = Arc::new(Lease::new(TopicPartition::new("orders", 0), 1, 0));
        let mut records = Records::default();
        for offset in 0..rows {
            records.push(&lease, offset, offset, None, None, Some(b"{}"), std::iter::empty()).unwrap();
        }
        Piece::new(records)
    }

    fn refusal(class: &'static str, suspect: Option<u32>) -> WriteError {
        WriteError { suspect, ..WriteError::new(Disposition::Isolate, class, "23505", "refused") }
    }

    fn intervals(pieces: &[Piece]) -> Vec<Interval> {
        pieces.iter().map(|piece| piece.records.covered().iter().next().unwrap().1).collect()
    }

    #[test]
    fn a_constraint_is_first_tried_in_record_order() {
        let pieces = piece(4).narrow(&refusal("unique", None));
        assert_eq!(intervals(&pieces), [Interval::new(0, 4)]);
        assert!(pieces[0].in_order);
        let pieces = Piece { in_order: true, ..piece(4) }.narrow(&refusal("unique", None));
        assert_eq!(intervals(&pieces), [Interval::new(0, 2), Interval::new(2, 4)]);
    }

    #[test]
    fn the_servers_hint_sets_one_record_aside_with_all_before_it() {
        let pieces = piece(10).narrow(&refusal("out-of-range", Some(6)));
        assert_eq!(intervals(&pieces), [Interval::new(0, 7), Interval::new(7, 10)]);
        assert_eq!(pieces[0].refused.len(), 1);
        assert_eq!(pieces[0].refused[0].0, 6);
        assert!(pieces[1].refused.is_empty());
    }

    #[test]
    fn a_single_record_is_the_bad_one() {
        let pieces = piece(1).narrow(&refusal("not-null", None));
        assert_eq!(pieces.len(), 1);
        assert_eq!(pieces[0].refused[0].0, 0);
    }

    #[test]
    fn halving_finds_one_bad_record_in_few_tries() {
        // What the database would do: refuse every piece that holds record 7,777.
        let bad = 7_777;
        let (mut pieces, mut tries, mut dead) = (vec![piece(10_000)], 0, Vec::new());
        while let Some(piece) = pieces.pop() {
            tries += 1;
            let has = |offset| (0..piece.records.len()).any(|row| piece.records.get(row).offset() == offset);
            if has(bad) && piece.refused.is_empty() {
                pieces.extend(piece.narrow(&refusal("not-null", None)).into_iter().rev());
            } else if !piece.refused.is_empty() {
                dead.push(piece.records.get(piece.refused[0].0 as usize).offset());
            }
        }
        assert_eq!(dead, [bad]);
        assert!(tries - 1 <= 2 * 14 + 2, "{tries} tries");
    }
}
