//! Metrics: their names, what they mean, and the recorder that `/metrics` reads.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

/// From under a millisecond, where an idle pipeline writes to a database on the same host, to ten minutes, where
/// something has been down.
const SECONDS: &[f64] = &[
    0.000_5, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
    30.0, 60.0, 600.0,
];

/// From one record to the largest batch that can be configured.
const RECORDS: &[f64] = &[1.0, 10.0, 100.0, 1_000.0, 2_500.0, 5_000.0, 10_000.0, 100_000.0, 1_000_000.0];

/// Every metric: its name, its kind, when it is there, and its meaning; docs/metrics.md is written from it.
pub const METRICS: &[(&str, Kind, Appears, &str)] = &[
    (
        "tidegate_records_total",
        Kind::Counter,
        Appears::FirstBatch,
        "Records by pipeline, topic, partition and outcome: consumed = processed + dead_lettered + skipped + dropped.",
    ),
    (
        "tidegate_rows_total",
        Kind::Counter,
        Appears::FirstBatch,
        "Rows by pipeline, table and outcome: produced = written + collapsed + filtered + stale + unmatched + ignored + expired + dead_lettered.",
    ),
    (
        "tidegate_replaced_rows_total",
        Kind::Counter,
        Appears::FirstBatch,
        "Stored rows that `replace` deleted because their parent came again, by pipeline and table.",
    ),
    (
        "tidegate_expired_rows_total",
        Kind::Counter,
        Appears::FirstHappening,
        "Stored rows that `retention` deleted, by pipeline and table.",
    ),
    (
        "tidegate_retention_owner",
        Kind::Gauge,
        Appears::FirstHappening,
        "1 where this pipeline deletes the old rows of a table, 0 where another one does, by pipeline and table.",
    ),
    (
        "tidegate_events_total",
        Kind::Counter,
        Appears::FirstBatch,
        "Events delivered to topics, by pipeline and topic, of committed batches.",
    ),
    ("tidegate_bytes_total", Kind::Counter, Appears::Always, "Bytes of keys, values and headers in committed batches."),
    ("tidegate_batches_total", Kind::Counter, Appears::Always, "Committed batches."),
    ("tidegate_batch_records", Kind::Histogram, Appears::FirstBatch, "Records per committed batch."),
    (
        "tidegate_write_seconds",
        Kind::Histogram,
        Appears::FirstBatch,
        "Seconds from the start of the successful try of a batch to its COMMIT.",
    ),
    (
        "tidegate_record_to_commit_seconds",
        Kind::Histogram,
        Appears::FirstBatch,
        "Seconds from a record's timestamp to its COMMIT.",
    ),
    (
        "tidegate_lag_records",
        Kind::Gauge,
        Appears::FirstPartition,
        "Records between the stored position and the high watermark, per partition.",
    ),
    (
        "tidegate_lag_stable_records",
        Kind::Gauge,
        Appears::FirstPartition,
        "Records between the stored position and the last stable offset (read_committed), per partition.",
    ),
    (
        "tidegate_dead_letters_total",
        Kind::Counter,
        Appears::FirstHappening,
        "Dead letters by pipeline, topic, stage and class.",
    ),
    (
        "tidegate_check_violations_total",
        Kind::Counter,
        Appears::FirstHappening,
        "Records that violate a check, by pipeline, check and action.",
    ),
    (
        "tidegate_profile_rows_total",
        Kind::Counter,
        Appears::FirstProfile,
        "Rows that were profiled, by pipeline and column.",
    ),
    (
        "tidegate_profile_nulls_total",
        Kind::Counter,
        Appears::FirstProfile,
        "Profiled rows whose value is null or absent, by pipeline and column.",
    ),
    (
        "tidegate_profile_distinct",
        Kind::Gauge,
        Appears::FirstProfile,
        "Different values since the start, estimated, by pipeline and column.",
    ),
    (
        "tidegate_profile_min",
        Kind::Gauge,
        Appears::FirstProfile,
        "The lowest number since the start, by pipeline and column; of times their seconds since 1970, or of the day.",
    ),
    (
        "tidegate_profile_max",
        Kind::Gauge,
        Appears::FirstProfile,
        "The highest number since the start, by pipeline and column; of times as tidegate_profile_min.",
    ),
    (
        "tidegate_lookup_rows_total",
        Kind::Counter,
        Appears::FirstHappening,
        "Rows that asked a lookup, by pipeline, lookup and outcome: matched, missing.",
    ),
    (
        "tidegate_lookup_keys_total",
        Kind::Counter,
        Appears::FirstHappening,
        "Different keys of each batch, by pipeline, lookup and outcome: cached, loaded (asked of the database), stale (too old but used), unavailable (the database did not answer: null).",
    ),
    ("tidegate_lookup_entries", Kind::Gauge, Appears::FirstHappening, "Keys that a lookup keeps in memory."),
    ("tidegate_unknown_fields_total", Kind::Counter, Appears::Always, "Undeclared fields seen, each counted once."),
    (
        "tidegate_isolations_total",
        Kind::Counter,
        Appears::Always,
        "Batches that the database refused because of a record in them.",
    ),
    (
        "tidegate_retries_total",
        Kind::Counter,
        Appears::FirstHappening,
        "Tries that failed and are repeated, by class of the cause.",
    ),
    (
        "tidegate_blocked_total",
        Kind::Counter,
        Appears::FirstHappening,
        "Times that a pipeline was blocked, by class of the cause.",
    ),
    (
        "tidegate_fenced_total",
        Kind::Counter,
        Appears::Always,
        "Partitions that another daemon had taken over when a batch was to be written.",
    ),
    (
        "tidegate_commit_unknown_total",
        Kind::Counter,
        Appears::Always,
        "COMMITs whose answer was lost; the stored positions told the outcome.",
    ),
    (
        "tidegate_gaps_total",
        Kind::Counter,
        Appears::Always,
        "Ranges of records that were gone before they could be read (rows of tidegate_gaps).",
    ),
    ("tidegate_rebalances_total", Kind::Counter, Appears::Always, "Assignments by the consumer group."),
    (
        "tidegate_partitions_unassigned",
        Kind::Gauge,
        Appears::Always,
        "Partitions of the subscribed topics that no member of a stable group holds, as each static member of the classic protocol sees it; 0 with other members.",
    ),
    ("tidegate_kafka_problems_total", Kind::Counter, Appears::FirstHappening, "Problems with Kafka, by class."),
    (
        "tidegate_pipeline_failures_total",
        Kind::Counter,
        Appears::Always,
        "Ends of a pipeline that were not asked for; it is started again.",
    ),
    (
        "tidegate_pipeline_state",
        Kind::Gauge,
        Appears::Always,
        "1 for the state that a pipeline is in, 0 for the others.",
    ),
    (
        "tidegate_buffered_bytes",
        Kind::Gauge,
        Appears::Always,
        "Bytes of records between fetch and commit, over all pipelines.",
    ),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// When a metric is there at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Appears {
    /// From the start of the pipeline, counters at 0: a counter that begins with its first happening would hide that
    /// happening from `rate` and `increase`, which need a value before it.
    Always,
    FirstBatch,
    FirstPartition,
    /// Where `[profile]` asks for it.
    FirstProfile,
    /// A label says what happened, so there is nothing to be 0 before.
    FirstHappening,
}

impl Appears {
    /// As docs/metrics.md says it.
    pub fn words(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::FirstBatch => "with the first batch",
            Self::FirstPartition => "with the first partition",
            Self::FirstProfile => "only with [profile]",
            Self::FirstHappening => "only when one happens",
        }
    }
}

/// Installs the process's recorder. Once per process.
///
/// # Errors
/// When a recorder is installed already.
pub fn install() -> Result<PrometheusHandle, BuildError> {
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), SECONDS)?
        .set_buckets_for_metric(Matcher::Full("tidegate_batch_records".into()), RECORDS)?
        .install_recorder()?;
    for (name, kind, _, meaning) in METRICS {
        match kind {
            Kind::Counter => describe_counter!(*name, Unit::Count, *meaning),
            Kind::Gauge => describe_gauge!(*name, *meaning),
            Kind::Histogram => describe_histogram!(*name, *meaning),
        }
    }
    Ok(handle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_of_metrics_is_current() {
        let page = include_str!("../docs/metrics.md");
        for (name, kind, appears, meaning) in METRICS {
            let kind = format!("{kind:?}").to_lowercase();
            let line = format!("| `{name}` | {kind} | {} | {meaning} |", appears.words());
            assert!(page.contains(&line), "docs/metrics.md lacks: {line}");
        }
        assert_eq!(page.matches("| `tidegate_").count(), METRICS.len(), "docs/metrics.md has more");
    }
}
