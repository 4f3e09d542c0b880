//! A pipeline inside the test's process, from a topic of its own into a database of its own.

use std::sync::Arc;
use std::time::Duration;

use tidegate::config::{
    BadRecords, BatchLimits, Database, DeadLetters, Deletes, Delivery, Errors, Filtered, Missing, Mode, Pipeline,
    Secret, Sink, Table, Target,
};
use tidegate::keys::Keys;
use tidegate::pipeline::{Ending, Supervision, supervise};
use tidegate::rows::OutputColumn;
use tidegate::status::Status;
use tidegate::write::Destination;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::database::{Kind, TestDatabase};
use super::kafka;

/// `mode` into `table`, everything else as by default.
pub fn table(name: &str, mode: Mode) -> Table {
    let deletes = if matches!(mode, Mode::Upsert | Mode::Update) { Deletes::Hard } else { Deletes::Ignore };
    Table {
        name: name.to_owned(),
        route: None,
        mode,
        key: Vec::new(),
        deletes,
        version: None,
        missing: Missing::Null,
        sql: None,
        filtered: Filtered::Ignore,
        replace: Vec::new(),
        merge: Vec::new(),
        create: false,
        from: None,
        retention: None,
    }
}

/// From `topic` into `tables` of `database`.
pub fn pipeline(topic: &str, database: &TestDatabase, tables: Vec<Table>) -> Pipeline {
    Pipeline {
        name: kafka::unique("p"),
        path: None,
        source: kafka::source(&[topic]),
        sink: Target::Database(Sink {
            database: match database.kind {
                Kind::Postgres => Database::Postgres,
                Kind::MariaDb | Kind::MySql => Database::MySql,
                Kind::Sqlite => Database::Sqlite,
            },
            url: Secret::new(database.url.clone()),
            delivery: Delivery::ExactlyOnce,
            writers: None,
            batch: BatchLimits::default(),
            state_schema: None,
        }),
        tables,
        checks: Vec::new(),
        lookups: Vec::new(),
        topics: Vec::new(),
        errors: Errors { bad_records: BadRecords::DeadLetter, dead_letters: DeadLetters::Table },
        keys: Keys::default(),
        privacy: None,
        profile: Vec::new(),
        cases: Vec::new(),
    }
}

/// The database of a pipeline.
pub fn open(pipeline: &Pipeline, queries: Vec<Option<Vec<OutputColumn>>>) -> Box<dyn Destination> {
    let sink = pipeline.sink.database().expect("a database");
    tidegate::write::open(pipeline, sink, queries)
}

/// A running pipeline.
pub struct Running {
    pub status: Arc<Status>,
    stop: watch::Sender<bool>,
    task: JoinHandle<Ending>,
}

impl Running {
    pub fn start(pipeline: Pipeline) -> Self {
        let status = Status::new(&pipeline.name);
        let (stop, stopped) = watch::channel(false);
        let supervision = Supervision { drain_limit: Duration::from_secs(20), fail_fast: false, memory: 64 << 20 };
        let statuses = [status.clone()];
        let task = tokio::spawn(async move { supervise(vec![pipeline], &statuses, supervision, stopped).await });
        Self { status, stop, task }
    }

    /// Stops it in good order.
    pub async fn stop(self) -> Ending {
        self.stop.send_replace(true);
        self.task.await.expect("the pipeline does not panic")
    }

    /// What is wrong, for a failed test's message.
    pub fn problems(&self) -> String {
        format!("{:?} {:?}", self.status.state(), self.status.problems())
    }
}
