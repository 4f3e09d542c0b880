//! `mode = "merge"` on every database: records of a partial row each, in any cut, are what one aggregate is.

mod faults;
mod functions;
mod model;
mod properties;

use std::sync::Arc;

use tidegate::config::{Delivery, KeyFormat, MergeColumn, MergeFunction, Mode, Sink, SourceColumn, Table};
use tidegate::decode::{self, Decoder};
use tidegate::lease::Lease;
use tidegate::offsets::{Offsets, TopicPartition};
use tidegate::records::Records;
use tidegate::rows::ColumnSource;
use tidegate::types::ColumnType;
use tidegate::write::error::WriteError;
use tidegate::write::{Batch, RowCounts, TableRows, Writer, open};

use crate::support::database::{Kind, TestDatabase};
use crate::support::pipeline::{pipeline, table};

/// The table `t`, written without Kafka.
pub struct Rollup {
    pub database: TestDatabase,
    writer: Box<dyn Writer>,
    decoder: Box<dyn Decoder>,
}

pub fn last(by: &str) -> MergeFunction {
    MergeFunction::Last { by: by.to_owned() }
}

pub fn first(by: &str) -> MergeFunction {
    MergeFunction::First { by: by.to_owned() }
}

/// The section of the table `t`.
pub fn section(merge: &[(&str, MergeFunction)]) -> Table {
    let column = |(name, function): &(&str, MergeFunction)| MergeColumn {
        column: (*name).to_owned(),
        function: function.clone(),
    };
    Table { merge: merge.iter().map(column).collect(), ..table("t", Mode::Merge) }
}

pub fn declare(name: &str, ty: ColumnType) -> SourceColumn {
    SourceColumn {
        name: name.to_owned(),
        ty: Some(ty),
        source: ColumnSource::Value(vec![name.to_owned()]),
        unit: None,
        encoding: None,
        default: None,
    }
}

impl Rollup {
    pub async fn new(kind: Kind, columns: &str, merge: &[(&str, MergeFunction)]) -> Self {
        Self::with(kind, columns, merge, Vec::new()).await
    }

    pub async fn with(kind: Kind, columns: &str, merge: &[(&str, MergeFunction)], declared: Vec<SourceColumn>) -> Self {
        let database = TestDatabase::new(kind).await;
        database.execute(&format!("CREATE TABLE t ({columns})")).await;
        let mut pipeline = pipeline("t", &database, vec![section(merge)]);
        // The configuration refuses it; here it leaves out the positions, which are not what is tested.
        let sink = Sink { delivery: Delivery::AtLeastOnce, ..pipeline.sink.database().expect("a database").clone() };
        pipeline.source.columns = declared;
        let destination = open(&pipeline, &sink, vec![None]);
        let prepared = destination.prepare().await.unwrap_or_else(|error| panic!("{kind:?}: {error}"));
        Self {
            writer: destination.writer(&prepared),
            decoder: decode::json(prepared.input.clone(), KeyFormat::Text),
            database,
        }
    }

    /// One transaction of these records; an empty text is a tombstone of the key 1.
    pub async fn add(&mut self, values: &[impl AsRef<str>], in_order: bool) -> Result<RowCounts, WriteError> {
        let lease = Arc::new(Lease::new(TopicPartition::new("t", 0), 1, 0));
        let mut records = Records::default();
        for (offset, value) in values.iter().enumerate() {
            let offset = offset as i64;
            let value = Some(value.as_ref().as_bytes()).filter(|value| !value.is_empty());
            let key = value.is_none().then_some(&b"1"[..]);
            records
                .push(&lease, offset, offset, Some(1_800_000_000_000), key, value, std::iter::empty())
                .expect("offsets chain");
        }
        let decoded = self.decoder.decode(&records);
        assert!(decoded.bad.is_empty(), "{:?}", decoded.bad);
        let produced = decoded.rows.len() as u64;
        let rows = TableRows { table: 0, name: None, rows: Arc::new(decoded.rows) };
        let covered = Offsets::default();
        let batch = Batch {
            covered: &covered,
            leases: &[],
            tables: &[rows],
            dead_letters: &[],
            follow: None,
            outbox: None,
            in_order,
        };
        let counts = self.writer.write(&batch).await?.counts()[0];
        assert_eq!(counts.written + counts.collapsed + counts.ignored, produced, "{counts:?}: every row is counted");
        Ok(counts)
    }

    pub async fn take(&mut self, values: &[impl AsRef<str>]) -> RowCounts {
        let kind = self.database.kind;
        self.add(values, false).await.unwrap_or_else(|error| panic!("{kind:?}: {error}"))
    }

    /// These expressions of all rows, as texts with bars between; `-` is null.
    pub async fn rows(&self, expressions: &[&str]) -> Vec<String> {
        let columns: Vec<String> = expressions.iter().map(|expression| self.database.text(expression)).collect();
        let rows = self.database.texts(&format!("SELECT {} FROM t ORDER BY 1", columns.join(", "))).await;
        let line = |row: Vec<Option<String>>| {
            row.into_iter().map(|cell| cell.unwrap_or_else(|| "-".to_owned())).collect::<Vec<_>>().join("|")
        };
        rows.into_iter().map(line).collect()
    }
}

/// A test per database.
macro_rules! on_each {
    ($($test:ident),+ $(,)?) => {
        $(mod $test {
            use crate::support::database::Kind;
            #[tokio::test]
            async fn postgres() {
                super::$test(Kind::Postgres).await;
            }
            #[tokio::test]
            async fn mariadb() {
                super::$test(Kind::MariaDb).await;
            }
            #[tokio::test]
            async fn mysql() {
                super::$test(Kind::MySql).await;
            }
            #[tokio::test]
            async fn sqlite() {
                super::$test(Kind::Sqlite).await;
            }
        })+
    };
}
use on_each;
