//! What happens, once: each function is the log line and the metric of one happening, so the two cannot drift apart.
//! No function here is given a record's value or a secret.

use std::time::{Duration, SystemTime};

use metrics::{counter, gauge, histogram};

use crate::config::{BadRecords, Check};
use crate::consume::{ConsumeError, PartitionStatistics};
use crate::dead_letter::Fault;
use crate::lease::Lease;
use crate::metrics::{Appears, Kind, METRICS};
use crate::offsets::TopicPartition;
use crate::profile::ColumnProfile;
use crate::records::{Record, Records};
use crate::write::error::WriteError;
use crate::write::{Retained, RowCounts};

/// What is always there is there from now on.
pub fn starting(pipeline: &str) {
    let is_registered = |(_, kind, appears, _): &&_| (*kind, *appears) == (Kind::Counter, Appears::Always);
    for (name, ..) in METRICS.iter().filter(is_registered) {
        counter!(*name, "pipeline" => pipeline.to_owned()).increment(0);
    }
    gauge!("tidegate_buffered_bytes").increment(0.0);
    tracing::info!(pipeline, "starting");
}

pub fn commit_unknown(pipeline: &str, cause: &WriteError) {
    counter!("tidegate_commit_unknown_total", "pipeline" => pipeline.to_owned()).increment(1);
    tracing::warn!(
        pipeline,
        cause = %cause,
        "the answer to a COMMIT was lost; the stored positions will tell whether it happened"
    );
}

pub fn commit_resolved(pipeline: &str, committed: bool) {
    tracing::info!(pipeline, committed, "the outcome of the lost COMMIT is known");
}

/// `attempts`: how often it was tried before.
pub fn retry(pipeline: &str, what: &'static str, cause: &WriteError, attempts: u32) {
    counter!("tidegate_retries_total", "pipeline" => pipeline.to_owned(), "class" => cause.class).increment(1);
    tracing::warn!(pipeline, what, attempts, cause = %cause, "it is tried again");
}

pub fn blocked(pipeline: &str, part: &str, cause: &WriteError) {
    counter!("tidegate_blocked_total", "pipeline" => pipeline.to_owned(), "class" => cause.class).increment(1);
    tracing::error!(
        pipeline,
        part,
        cause = %cause,
        "blocked: nothing is lost and no offset moves; the cause is checked again until it is mended"
    );
}

pub fn recovered(pipeline: &str, part: &str) {
    tracing::info!(pipeline, part, "it works again");
}

/// What a batch asked of a lookup.
#[derive(Debug, Clone, Copy, Default)]
pub struct LookedUp {
    /// Rows that found one of the lookup's, and rows that did not.
    pub matched: u64,
    pub missing: u64,
    /// Different keys that were in memory, and that were asked for.
    pub cached: u64,
    pub loaded: u64,
    /// Different keys whose row was too old but used, and whose row could not be had.
    pub stale: u64,
    pub unavailable: u64,
    /// Keys in memory.
    pub entries: usize,
}

pub fn looked_up(pipeline: &str, lookup: &str, counts: &LookedUp) {
    for (outcome, count) in [("matched", counts.matched), ("missing", counts.missing)] {
        counter!("tidegate_lookup_rows_total", "pipeline" => pipeline.to_owned(), "lookup" => lookup.to_owned(),
            "outcome" => outcome)
        .increment(count);
    }
    let keys = [
        ("cached", counts.cached),
        ("loaded", counts.loaded),
        ("stale", counts.stale),
        ("unavailable", counts.unavailable),
    ];
    for (outcome, count) in keys {
        counter!("tidegate_lookup_keys_total", "pipeline" => pipeline.to_owned(), "lookup" => lookup.to_owned(),
            "outcome" => outcome)
        .increment(count);
    }
    let entries = gauge!("tidegate_lookup_entries", "pipeline" => pipeline.to_owned(), "lookup" => lookup.to_owned());
    entries.set(counts.entries as f64);
}

pub fn lookup_reloaded(pipeline: &str, lookup: &str, rows: usize) {
    tracing::info!(pipeline, lookup, rows, "the lookup's file has changed and was read again");
}

pub fn lookup_kept(pipeline: &str, lookup: &str, cause: &str) {
    tracing::warn!(
        pipeline,
        lookup,
        cause,
        "the lookup's file has changed and is broken: its last good version is used"
    );
}

pub fn gap(pipeline: &str, partition: &TopicPartition, from: i64, to: i64, reason: &str) {
    counter!("tidegate_gaps_total", "pipeline" => pipeline.to_owned()).increment(1);
    tracing::error!(pipeline, %partition, from, to, reason, "records were lost before they could be read");
}

pub fn table_created(pipeline: &str, table: &str, statement: &str) {
    tracing::info!(pipeline, table, statement, "the table was not there; it is created");
}

/// A round of `retention` over one table.
pub fn retained(pipeline: &str, retained: &Retained) {
    let labels = [("pipeline", pipeline.to_owned()), ("table", retained.table.clone())];
    gauge!("tidegate_retention_owner", &labels).set(f64::from(u8::from(retained.owned)));
    if retained.deleted > 0 {
        counter!("tidegate_expired_rows_total", &labels).increment(retained.deleted);
        tracing::debug!(pipeline, table = retained.table, rows = retained.deleted, "old rows are deleted");
    }
}

pub fn retention_differs(pipeline: &str, table: &str, ours: Duration, theirs: Duration) {
    let (ours, theirs) = (ours.as_secs(), theirs.as_secs());
    tracing::warn!(
        pipeline,
        table,
        "`keep` of this table is {ours} s here and {theirs} s in another pipeline, which deletes its rows: write the same"
    );
}

pub fn warning(pipeline: &str, warning: &str) {
    tracing::warn!(pipeline, "{warning}");
}

pub fn pipeline_failed(pipeline: &str, message: &str, attempts: u32) {
    counter!("tidegate_pipeline_failures_total", "pipeline" => pipeline.to_owned()).increment(1);
    tracing::error!(pipeline, attempts, "the pipeline ended: {message}");
}

pub fn assigned(pipeline: &str, partitions: &[TopicPartition]) {
    counter!("tidegate_rebalances_total", "pipeline" => pipeline.to_owned()).increment(1);
    tracing::info!(pipeline, ?partitions, "the group gave us partitions");
}

pub fn revoked(pipeline: &str, partitions: &[TopicPartition]) {
    tracing::info!(pipeline, ?partitions, "the group takes partitions away");
}

/// What the group has given to nobody now.
pub fn unassigned(pipeline: &str, partitions: &[TopicPartition]) {
    gauge!("tidegate_partitions_unassigned", "pipeline" => pipeline.to_owned()).set(partitions.len() as f64);
    if !partitions.is_empty() {
        tracing::warn!(pipeline, ?partitions, "the group has given these partitions to nobody");
    }
}

pub fn claimed(pipeline: &str, lease: &Lease) {
    tracing::info!(
        pipeline,
        partition = %lease.partition(),
        epoch = lease.epoch(),
        position = lease.start(),
        "the database granted a partition"
    );
}

pub fn fenced(pipeline: &str, partitions: &[TopicPartition]) {
    counter!("tidegate_fenced_total", "pipeline" => pipeline.to_owned()).increment(partitions.len() as u64);
    tracing::warn!(pipeline, ?partitions, "another daemon owns these partitions now; what was read of them is dropped");
}

pub fn kafka_problem(pipeline: &str, problem: &ConsumeError) {
    counter!("tidegate_kafka_problems_total", "pipeline" => pipeline.to_owned(), "class" => problem.class).increment(1);
    tracing::warn!(pipeline, class = problem.class, "kafka: {problem}");
}

/// `position`: the next offset to be stored, where the partition has been granted.
pub fn lag(pipeline: &str, statistics: &PartitionStatistics, position: Option<i64>) {
    let Some(position) = position else { return };
    let labels = partition_labels(pipeline, &statistics.partition.topic, statistics.partition.partition);
    let behind = |end: i64| (end - position).max(0) as f64;
    gauge!("tidegate_lag_records", &labels).set(behind(statistics.high_watermark));
    gauge!("tidegate_lag_stable_records", &labels).set(behind(statistics.last_stable));
}

/// A partition is no longer ours: its gauges must not go on telling.
pub fn lag_ended(pipeline: &str, partition: &TopicPartition) {
    let labels = partition_labels(pipeline, &partition.topic, partition.partition);
    gauge!("tidegate_lag_records", &labels).set(0.0);
    gauge!("tidegate_lag_stable_records", &labels).set(0.0);
}

pub fn buffered(bytes: usize) {
    gauge!("tidegate_buffered_bytes").set(bytes as f64);
}

pub fn unknown_field(pipeline: &str, field: &str) {
    counter!("tidegate_unknown_fields_total", "pipeline" => pipeline.to_owned()).increment(1);
    tracing::warn!(pipeline, field, "the events have a field that no column takes; it is ignored and told once");
}

pub fn isolating(pipeline: &str, cause: &WriteError, records: usize) {
    counter!("tidegate_isolations_total", "pipeline" => pipeline.to_owned()).increment(1);
    tracing::debug!(pipeline, records, cause = %cause, "the database refused a batch; the record at fault is searched");
}

/// A record that cannot be stored is passed: kept as a dead letter, or skipped.
pub fn bad_record(pipeline: &str, record: Record<'_>, fault: &Fault, policy: BadRecords) {
    let outcome = bad_outcome(policy);
    if policy == BadRecords::DeadLetter {
        let labels = [
            ("pipeline", pipeline.to_owned()),
            ("topic", record.topic().to_owned()),
            ("stage", fault.stage.name().to_owned()),
            ("class", fault.class.to_owned()),
        ];
        counter!("tidegate_dead_letters_total", &labels).increment(1);
    }
    tracing::debug!(
        pipeline,
        topic = record.topic(),
        partition = record.partition(),
        offset = record.offset(),
        class = fault.class,
        outcome,
        "bad record: {}",
        fault.reason
    );
}

fn bad_outcome(policy: BadRecords) -> &'static str {
    match policy {
        BadRecords::DeadLetter => "dead_lettered",
        BadRecords::Skip | BadRecords::Stop => "skipped",
    }
}

/// What became of the rows that a batch had for a table. `dead_lettered`: those of records that the database refused.
pub fn rows_written(pipeline: &str, table: &str, counts: &RowCounts, dead_lettered: u64) {
    let outcomes = [
        ("produced", counts.total() + dead_lettered),
        ("dead_lettered", dead_lettered),
        ("written", counts.written),
        ("collapsed", counts.collapsed),
        ("stale", counts.stale),
        ("unmatched", counts.unmatched),
        ("ignored", counts.ignored),
        ("filtered", counts.filtered),
        ("expired", counts.expired),
    ];
    for (outcome, rows) in outcomes {
        let labels = [("pipeline", pipeline.to_owned()), ("table", table.to_owned()), ("outcome", outcome.to_owned())];
        counter!("tidegate_rows_total", &labels).increment(rows);
    }
    let labels = [("pipeline", pipeline.to_owned()), ("table", table.to_owned())];
    counter!("tidegate_replaced_rows_total", &labels).increment(counts.replaced);
}

/// Events are in their topic, and the batch that they come from is committed.
pub fn events_delivered(pipeline: &str, topic: &str, events: u64) {
    let labels = [("pipeline", pipeline.to_owned()), ("topic", topic.to_owned())];
    counter!("tidegate_events_total", &labels).increment(events);
}

/// How many records of a batch violate a check.
pub fn check_violations(pipeline: &str, check: &Check, count: u64) {
    if count == 0 {
        return;
    }
    let (name, action) = (&check.name, check.action.name());
    let labels = [("pipeline", pipeline.to_owned()), ("check", name.clone()), ("action", action.to_owned())];
    counter!("tidegate_check_violations_total", &labels).increment(count);
    tracing::debug!(pipeline, check = name, action, records = count, "records violate a check");
}

/// What the profiled columns of a committed batch hold, and all of them together since the start.
pub fn profiled(pipeline: &str, profiles: &[ColumnProfile<'_>]) {
    for profile in profiles {
        let labels = [("pipeline", pipeline.to_owned()), ("column", profile.column.to_owned())];
        counter!("tidegate_profile_rows_total", &labels).increment(profile.rows);
        counter!("tidegate_profile_nulls_total", &labels).increment(profile.nulls);
        gauge!("tidegate_profile_distinct", &labels).set(profile.distinct.round());
        if let Some((least, most)) = profile.range {
            gauge!("tidegate_profile_min", &labels).set(least);
            gauge!("tidegate_profile_max", &labels).set(most);
        }
    }
}

/// The records of a batch that were not processed, by their index.
#[derive(Debug, Clone, Copy)]
pub struct Fates<'a> {
    pub faults: &'a [&'a (u32, Fault)],
    pub policy: BadRecords,
    pub dropped: &'a [u32],
}

/// A batch is committed.
pub fn batch_stored(pipeline: &str, records: &Records, fates: Fates<'_>, elapsed: Duration) {
    let Fates { faults, policy, dropped } = fates;
    for (index, lease) in records.leases().iter().enumerate() {
        let (topic, partition) = (&lease.partition().topic, lease.partition().partition);
        let consumed = records.count_of_lease(index);
        let is_its = |row: u32| std::sync::Arc::ptr_eq(records.get(row as usize).lease(), lease);
        let bad = faults.iter().filter(|(row, _)| is_its(*row)).count() as u64;
        let dropped = dropped.iter().filter(|row| is_its(**row)).count() as u64;
        let processed = consumed - bad - dropped;
        let outcomes =
            [("consumed", consumed), ("processed", processed), (bad_outcome(policy), bad), ("dropped", dropped)];
        for (outcome, count) in outcomes {
            let mut labels = partition_labels(pipeline, topic, partition).to_vec();
            labels.push(("outcome", outcome.to_owned()));
            counter!("tidegate_records_total", &labels).increment(count);
        }
    }
    let label = || ("pipeline", pipeline.to_owned());
    counter!("tidegate_bytes_total", &[label()]).increment(records.bytes() as u64);
    counter!("tidegate_batches_total", &[label()]).increment(1);
    histogram!("tidegate_batch_records", &[label()]).record(records.len() as f64);
    histogram!("tidegate_write_seconds", &[label()]).record(elapsed);
    let since_record = histogram!("tidegate_record_to_commit_seconds", &[label()]);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis() as i64;
    for (timestamp, count) in records.timestamps() {
        // Clocks differ: a record from the future took no time.
        since_record.record_many((now - timestamp).max(0) as f64 / 1e3, count);
    }
}

fn partition_labels(pipeline: &str, topic: &str, partition: i32) -> [(&'static str, String); 3] {
    [("pipeline", pipeline.to_owned()), ("topic", topic.to_owned()), ("partition", partition.to_string())]
}
