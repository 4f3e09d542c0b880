//! SQL between a real topic and real tables, from the pipeline file to the rows.

mod boundaries;
mod checks;
mod create;
mod deletes;
mod errors;
mod examples;
mod following;
mod lookups;
mod privacy;
mod replace;
mod retention;
mod rollups;
mod routing;
mod rows;
mod topics;

use std::time::Duration;

use tempfile::TempDir;
use tidegate::config::{Environment, Pipeline, load_pipelines};
use tidegate::pipeline::Ending;
use tidegate::status::State;

use crate::support::daemon::eventually;
use crate::support::database::{Kind, TestDatabase};
use crate::support::kafka::{self, Sent};
use crate::support::pipeline::Running;
use crate::support::services;

const PATIENCE: Duration = Duration::from_secs(60);

/// A database with tables, a topic, and what the pipeline's file says of both.
struct Scene {
    /// Of the pipeline: another run goes on where the last one ended.
    name: String,
    database: TestDatabase,
    topic: String,
    /// Records sent so far.
    sent: i64,
    /// From [source.columns] on.
    sections: String,
    folder: TempDir,
}

impl Scene {
    /// `ddl` in words that all databases know: `{text}`, `{decimal}`, `{instant}` stand for their own types.
    async fn new(kind: Kind, ddl: &[&str], sections: &str) -> Self {
        let database = TestDatabase::new(kind).await;
        for statement in ddl {
            database.execute(&in_words_of(kind, statement)).await;
        }
        let folder = tempfile::tempdir().expect("a folder");
        Self {
            name: kafka::unique("sql"),
            database,
            topic: kafka::topic(1),
            sent: 0,
            sections: sections.to_owned(),
            folder,
        }
    }

    /// Key and value; `None`: a tombstone.
    fn send(&mut self, records: &[(&str, Option<&str>)]) {
        let records: Vec<Sent<'_>> = records
            .iter()
            .map(|(key, value)| Sent {
                key: Some(key.as_bytes()),
                value: value.map(str::as_bytes),
                headers: vec![("tenant", Some(b"acme"))],
            })
            .collect();
        self.sent += records.len() as i64;
        kafka::send(&self.topic, 0, records);
    }

    fn pipeline(&self) -> Pipeline {
        let (name, brokers) = (&self.name, services::kafka());
        let text = format!(
            "name = \"{name}\"\n[source]\nbrokers = [\"{brokers}\"]\ntopics = [\"{}\"]\ninstance = \"none\"\n{}\n\
             [sink]\nurl = \"{}\"\n",
            self.topic, self.sections, self.database.url
        );
        let file = self.folder.path().join("pipeline.toml");
        std::fs::write(&file, &text).expect("a file");
        load_pipelines(&[file], &Environment::default())
            .unwrap_or_else(|problems| panic!("{problems}\n{text}"))
            .remove(0)
    }

    /// Runs the pipeline until everything sent is stored.
    async fn run(&self) {
        self.run_pipeline(self.pipeline()).await;
    }

    async fn run_pipeline(&self, pipeline: Pipeline) {
        let running = Running::start(pipeline);
        let done = format!("SELECT count(*) FROM tidegate_positions WHERE next_offset = {}", self.sent);
        eventually("everything is stored", PATIENCE, || async {
            assert!(
                !matches!(running.status.state(), State::Blocked | State::Failed),
                "{:?}: {}",
                self.database.kind,
                running.problems()
            );
            running.status.state() == State::Running && self.database.number(&done).await == 1
        })
        .await;
        assert_eq!(running.stop().await, Ending::Drained);
    }

    /// Rows as text, columns separated by a bar, null as `-`.
    async fn rows(&self, table: &str, columns: &[&str]) -> Vec<String> {
        let texts: Vec<String> = columns.iter().map(|column| self.database.text(column)).collect();
        let sql = format!("SELECT {} FROM {table} ORDER BY {}", texts.join(", "), columns[0]);
        let rows = self.database.texts(&sql).await;
        let cell = |cell: &Option<String>| cell.clone().unwrap_or_else(|| "-".to_owned());
        rows.iter().map(|row| row.iter().map(cell).collect::<Vec<_>>().join("|")).collect()
    }

    /// Offset, class and reason of each dead letter.
    async fn dead_letters(&self) -> Vec<String> {
        self.rows("tidegate_dead_letters", &["record_offset", "class", "reason"]).await
    }
}

/// The tables that an example's comment describes.
fn ddl_of(example: &str) -> Vec<String> {
    let comments = example.lines().filter_map(|line| line.strip_prefix('#')).collect::<Vec<_>>().join("\n");
    let ddl = comments.split("CREATE TABLE").skip(1).filter_map(|rest| rest.split_once(");"));
    ddl.map(|(ddl, _)| format!("CREATE TABLE {ddl})")).collect()
}

fn in_words_of(kind: Kind, statement: &str) -> String {
    let (text, decimal, instant, strict) = match kind {
        Kind::Postgres => ("text", "numeric(20,2)", "timestamptz", ""),
        Kind::MariaDb | Kind::MySql => ("varchar(200)", "decimal(20,2)", "datetime(6)", ""),
        Kind::Sqlite => ("TEXT", "TEXT", "TEXT", " STRICT"),
    };
    let statement = match kind {
        Kind::Sqlite => statement.replace("bigint", "INTEGER").replace(" int", " INTEGER"),
        _ => statement.to_owned(),
    };
    statement.replace("{text}", text).replace("{decimal}", decimal).replace("{instant}", instant) + strict
}
