//! How records are cut into batches and dealt to lanes never shows: every example with SQL gives the same tables, dead
//! letters and events whatever they are.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tidegate::config::{Environment, Pipeline, SourceColumn, Target, load_pipelines};
use tidegate::pipeline::Ending;
use tidegate::rows::{ColumnSource, TimeUnit};
use tidegate::status::State;
use tidegate::types::ColumnType;

use super::{PATIENCE, ddl_of};
use crate::support::daemon::eventually;
use crate::support::database::{Kind, TestDatabase};
use crate::support::kafka::{self, Sent};
use crate::support::pipeline::Running;
use crate::support::services;

const PARTITIONS: i32 = 3;
const RECORDS: usize = 300;
/// A record at a time, batches that end anywhere, and everything that is there.
const BATCHES: [usize; 3] = [1, 7, 10_000];
const LANES: [usize; 2] = [1, 3];

/// What a run leaves behind, sorted: the rows of each table, the dead letters, the events of each topic.
type Outcome = BTreeMap<String, Vec<String>>;

#[tokio::test(flavor = "multi_thread")]
async fn boundaries() {
    let (mut tried, mut tasks) = (Vec::new(), tokio::task::JoinSet::new());
    for path in examples() {
        let text = std::fs::read_to_string(&path).expect("the example");
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        if let Some(example) = Example::new(&name, path, &text) {
            tasks.spawn(async move { example.try_all().await });
            tried.push(name);
        }
    }
    for name in ["alerts-to-topic", "analytics", "enrichment", "monitoring", "order-lines", "recommendation", "sql"] {
        assert!(tried.iter().any(|tried| tried == name), "{name} is not among {tried:?}");
    }
    tasks.join_all().await;
}

fn examples() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let files = std::fs::read_dir(folder).expect("the folder").map(|entry| entry.expect("an entry").path());
    let mut files: Vec<_> = files.filter(|path| path.extension().is_some_and(|end| end == "toml")).collect();
    files.sort();
    files
}

struct Example {
    name: String,
    path: PathBuf,
    ddl: Vec<String>,
}

impl Example {
    /// `None`: it has no SQL, or no table whose rows could be compared.
    fn new(name: &str, path: PathBuf, text: &str) -> Option<Self> {
        let ddl = ddl_of(text);
        let is_one = text.lines().any(|line| line.starts_with("sql = ")) && !ddl.is_empty();
        is_one.then(|| Self { name: name.to_owned(), path, ddl })
    }

    fn pipeline(&self, url: &str, topic: &str) -> Pipeline {
        let environment = Environment::from_iter([
            ("DB_PASSWORD", "unused"),
            ("TIDEGATE__SINK__URL", url),
            ("TIDEGATE__SOURCE__BROKERS", services::kafka().as_str()),
            ("TIDEGATE__SOURCE__TOPICS", topic),
            ("TIDEGATE__SOURCE__INSTANCE", "none"),
        ])
        .with_placeholders();
        let pipelines = load_pipelines(std::slice::from_ref(&self.path), &environment);
        pipelines.unwrap_or_else(|problems| panic!("{problems}")).remove(0)
    }

    async fn try_all(&self) {
        let topic = kafka::topic(PARTITIONS);
        let mut random = fastrand::Rng::with_seed(7);
        let columns = self.pipeline("sqlite://unused.db", &topic).source.columns;
        let mut records = vec![Vec::new(); PARTITIONS as usize];
        for _ in 0..RECORDS {
            let (id, value) = record(&columns, &mut random);
            // Records of one key are in one partition, as producers have it: between partitions no order is defined.
            records[id as usize % PARTITIONS as usize].push((id.to_string(), value));
        }
        for (partition, records) in (0..).zip(&records) {
            let sent = records.iter().map(|(key, value)| Sent {
                key: Some(key.as_bytes()),
                value: value.as_deref(),
                headers: vec![("tenant", Some(&b"acme"[..]))],
            });
            kafka::send(&topic, partition, sent);
        }
        let sent: Vec<usize> = records.iter().map(Vec::len).collect();
        let mut first: Option<Outcome> = None;
        for rows in BATCHES {
            for lanes in LANES {
                let outcome = self.run(&topic, &sent, rows, lanes).await;
                assert!(outcome.values().any(|rows| !rows.is_empty()), "{}: nothing came of it", self.name);
                match &first {
                    None => first = Some(outcome),
                    Some(first) => {
                        let differences = differences(first, &outcome);
                        assert!(
                            differences.is_empty(),
                            "{}: batches of {rows}, {lanes} lanes: {differences:#?}",
                            self.name
                        );
                    }
                }
            }
        }
    }

    async fn run(&self, topic: &str, sent: &[usize], rows: usize, lanes: usize) -> Outcome {
        let database = TestDatabase::new(Kind::Postgres).await;
        for statement in &self.ddl {
            database.execute(statement).await;
        }
        let mut pipeline = self.pipeline(&database.url, topic);
        pipeline.name = kafka::unique("cut");
        pipeline.source.group = format!("tidegate-{}", pipeline.name);
        let Target::Database(sink) = &mut pipeline.sink else { panic!("a database") };
        sink.batch.rows = rows;
        sink.writers = NonZeroUsize::new(lanes);
        let names: Vec<String> = pipeline.topics.iter().map(|topic| topic.name.clone()).collect();
        for topic in &mut pipeline.topics {
            topic.name = kafka::topic(1);
        }
        let topics: Vec<String> = pipeline.topics.iter().map(|topic| topic.name.clone()).collect();
        let running = Running::start(pipeline);
        let ends: Vec<String> =
            sent.iter().enumerate().map(|(part, next)| format!("(part = {part} AND next_offset = {next})")).collect();
        let done = format!("SELECT count(*) FROM tidegate_positions WHERE {}", ends.join(" OR "));
        eventually("everything is stored", PATIENCE, || async {
            let is_stuck = matches!(running.status.state(), State::Blocked | State::Failed);
            assert!(!is_stuck, "{}: {}", self.name, running.problems());
            running.status.state() == State::Running && database.number(&done).await == i64::from(PARTITIONS)
        })
        .await;
        assert_eq!(running.stop().await, Ending::Drained);
        self.outcome(&database, names.into_iter().zip(topics)).await
    }

    async fn outcome(&self, database: &TestDatabase, topics: impl Iterator<Item = (String, String)>) -> Outcome {
        let mut outcome = Outcome::new();
        // What `encrypt` gives is another text each time, by intent.
        let encrypted = regex::Regex::new(r"tg1\.[\w.-]+").expect("a pattern");
        let tables = self.ddl.iter().filter_map(|ddl| ddl.split_whitespace().nth(2));
        for table in tables {
            let rows = database.texts(&format!("SELECT t::text FROM {table} t ORDER BY 1")).await;
            let mut rows: Vec<String> =
                rows.into_iter().flatten().flatten().map(|row| encrypted.replace_all(&row, "tg1").into()).collect();
            rows.sort_unstable();
            outcome.insert(table.to_owned(), rows);
        }
        let letters = "SELECT part || '-' || record_offset || ' ' || class || ' ' || reason FROM tidegate_dead_letters ORDER BY 1";
        let letters = database.texts(letters).await.into_iter().flatten().flatten().collect();
        outcome.insert("dead letters".to_owned(), letters);
        for (name, topic) in topics {
            let events = kafka::received(&services::kafka(), &topic);
            let mut events: Vec<String> =
                events.iter().map(|event| format!("{:?} {:?}", event.key, event.value)).collect();
            events.sort_unstable();
            outcome.insert(format!("topic {name}"), events);
            kafka::delete(&topic);
        }
        outcome
    }
}

/// What only one of the two has.
fn differences(first: &Outcome, second: &Outcome) -> Vec<String> {
    let mut differences = Vec::new();
    for (sign, one, other) in [('-', first, second), ('+', second, first)] {
        for (name, rows) in one {
            let is_only_here = |row: &&String| {
                let count = |rows: &[String]| rows.iter().filter(|other| other == row).count();
                count(rows) != other.get(name).map_or(0, |rows| count(rows))
            };
            differences.extend(rows.iter().filter(is_only_here).map(|row| format!("{sign} {name}: {row}")));
        }
    }
    differences
}

/// A record with a value for each column, drawn from few, so that keys meet and conditions fall either way. One in
/// twenty has a value that is not of its type, one in twenty is a tombstone.
fn record(columns: &[SourceColumn], random: &mut fastrand::Rng) -> (u32, Option<Vec<u8>>) {
    let id = random.u32(0..40);
    if random.u8(..20) == 0 {
        return (id, None);
    }
    let mut value = Value::Object(serde_json::Map::new());
    for column in columns {
        let ColumnSource::Value(path) = &column.source else { continue };
        let drawn = match &column.ty {
            Some(ColumnType::Int64) if column.name.ends_with("id") => json!(id),
            Some(ty) => draw(ty, column.unit, random),
            None => continue,
        };
        put(&mut value, path, drawn);
    }
    if random.u8(..20) == 0
        && let Some(SourceColumn { source: ColumnSource::Value(path), ty, .. }) = random.choice(columns)
        && *ty != Some(ColumnType::Text)
    {
        put(&mut value, path, json!("not of this type"));
    }
    (id, Some(value.to_string().into_bytes()))
}

fn put(object: &mut Value, path: &[String], value: Value) {
    let mut place = object;
    for name in path {
        if !place.is_object() {
            *place = json!({});
        }
        place = place.as_object_mut().expect("an object").entry(name.clone()).or_insert(Value::Null);
    }
    *place = value;
}

fn draw(ty: &ColumnType, unit: Option<TimeUnit>, random: &mut fastrand::Rng) -> Value {
    match ty {
        ColumnType::Int16 | ColumnType::Int32 | ColumnType::Int64 => json!(random.i64(-1..200)),
        ColumnType::Decimal { .. } => json!(format!("{}.{:02}", random.u32(..200), random.u32(..100))),
        ColumnType::Float32 | ColumnType::Float64 => json!(random.i32(0..100)),
        ColumnType::Bool => json!(random.bool()),
        ColumnType::Timestamp | ColumnType::TimestampTz => {
            let second = 1_793_491_200 + random.i64(0..300);
            match unit {
                Some(TimeUnit::Seconds) => json!(second),
                Some(TimeUnit::Milliseconds) => json!(second * 1_000),
                Some(TimeUnit::Microseconds) => json!(second * 1_000_000),
                Some(TimeUnit::Nanoseconds) => json!(second * 1_000_000_000),
                None => json!(format!("2026-11-01T00:{:02}:{:02}Z", second / 60 % 60, second % 60)),
            }
        }
        ColumnType::Date => json!("2026-11-01"),
        ColumnType::List(_) => Value::from_iter((0..random.usize(0..4)).map(|_| word(random))),
        ColumnType::Json => {
            let item = |random: &mut fastrand::Rng| json!({ "name": word(random), "line": random.u8(..9), "sku": word(random), "pieces": random.u8(1..5) });
            Value::from_iter((0..random.usize(0..4)).map(|_| item(random)))
        }
        _ => word(random),
    }
}

/// Also a sku, as the examples have them.
fn word(random: &mut fastrand::Rng) -> Value {
    json!(random.choice(["a-1", "b-2", "lamp-3", "cable-4"]))
}
