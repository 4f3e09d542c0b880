//! A topic, a database and a pipeline file of one test's own; and the verdicts.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::load::Load;
use crate::support::daemon::{Daemon, eventually};
use crate::support::database::{Kind, TestDatabase};
use crate::support::{kafka, services};

pub const PARTITIONS: i32 = 4;
/// Longer than a takeover from a dead member (6 s) and the longest backoff (5 s) on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// A produced record. Its place in its partition's ledger is its offset.
#[derive(Debug, Clone, Default)]
pub struct Event {
    pub key: Vec<u8>,
    /// `None`: a tombstone.
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    /// What `ev` and `kv` are to hold: id and seq. `None`: no row comes of it.
    pub row: Option<(String, i64)>,
    /// It belongs into the dead letters.
    pub is_bad: bool,
}

impl Event {
    /// A good record.
    pub fn row(id: String, seq: i64) -> Self {
        let value = format!(r#"{{"id":"{id}","seq":{seq}}}"#).into_bytes();
        Self { key: id.clone().into_bytes(), value: Some(value), row: Some((id, seq)), ..Self::default() }
    }

    pub fn tombstone(id: String) -> Self {
        Self { key: id.into_bytes(), ..Self::default() }
    }
}

/// The plain load: a record per sequence number.
pub fn plain(partition: i32, seq: i64) -> Event {
    Event::row(format!("p{partition}-{}", seq % 50), seq)
}

/// Updates and deletes of fifty keys per partition.
pub fn updates_and_deletes(partition: i32, seq: i64) -> Event {
    if seq % 7 == 3 { Event::tombstone(format!("p{partition}-{}", seq % 50)) } else { plain(partition, seq) }
}

/// Keys that all partitions share, so that all lanes add to the same rows. No field `n`: each counts one.
pub fn shared_keys(_partition: i32, seq: i64) -> Event {
    Event::row(format!("k{}", seq % 20), seq)
}

/// What was produced, by partition.
pub type Ledger = Vec<Vec<Event>>;

pub struct Scene {
    pub database: TestDatabase,
    pub brokers: String,
    pub topic: String,
    pub name: String,
    pub folder: tempfile::TempDir,
    /// What the daemon connects to, where that is not the database itself.
    pub url: String,
    pub delivery: &'static str,
    pub more: String,
    pub tables: Vec<&'static str>,
}

impl Scene {
    /// A topic with [`PARTITIONS`] partitions and the table `ev`.
    pub async fn new(kind: Kind) -> Self {
        let topic = kafka::topic(PARTITIONS);
        Self::with(TestDatabase::new(kind).await, services::kafka(), topic).await
    }

    pub async fn with(database: TestDatabase, brokers: String, topic: String) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let url = database.url.clone();
        let name = kafka::unique("f");
        let scene = Self {
            database,
            brokers,
            topic,
            name,
            folder,
            url,
            delivery: "exactly-once",
            more: String::new(),
            tables: vec!["ev"],
        };
        scene.create_ev().await;
        scene
    }

    pub async fn create_ev(&self) {
        let text = self.text_type();
        // No key: a record that is stored twice is there twice. `uniq` is for records that violate it.
        self.database
            .execute(&format!(
                "CREATE TABLE ev (topic {text} NOT NULL, part int NOT NULL, off bigint NOT NULL, id {text} NOT NULL, \
                 seq bigint NOT NULL, uniq {text} UNIQUE)"
            ))
            .await;
    }

    /// And the table `kv`, by key.
    pub async fn and_kv(mut self) -> Self {
        let text = self.text_type();
        let create = format!("CREATE TABLE kv (id {text} NOT NULL PRIMARY KEY, seq bigint, part int, off bigint)");
        self.database.execute(&create).await;
        self.tables.push("kv");
        self
    }

    /// And the table `sums`, a roll-up by key: each batch's GROUP BY is added up.
    pub async fn and_sums(mut self) -> Self {
        let text = self.text_type();
        let create =
            format!("CREATE TABLE sums (id {text} NOT NULL PRIMARY KEY, n bigint NOT NULL, seq bigint, off bigint)");
        self.database.execute(&create).await;
        self.tables.push("sums");
        self
    }

    fn text_type(&self) -> &'static str {
        if self.database.kind == Kind::Sqlite || self.database.kind == Kind::Postgres { "text" } else { "varchar(100)" }
    }

    pub fn group(&self) -> String {
        format!("tidegate-{}", self.name)
    }

    /// The pipeline file.
    pub fn file(&self) -> PathBuf {
        let Self { brokers, topic, name, url, delivery, more, .. } = self;
        let mut text = format!(
            "name = \"{name}\"\n[source]\nbrokers = [\"{brokers}\"]\ntopics = [\"{topic}\"]\n[source.columns]\n\
             topic = {{ type = \"text\", meta = \"topic\" }}\npart = {{ type = \"int\", meta = \"partition\" }}\n\
             off = {{ type = \"bigint\", meta = \"offset\" }}\n"
        );
        if self.tables.contains(&"sums") {
            text.push_str("id = \"text\"\nseq = \"bigint\"\n");
        }
        text.push_str(&format!("[sink]\nurl = \"{url}\"\ndelivery = \"{delivery}\"\n"));
        for table in &self.tables {
            let mode = match *table {
                "kv" => "upsert",
                "sums" => "merge",
                _ => "append",
            };
            text.push_str(&format!("[[table]]\nname = \"{table}\"\nmode = \"{mode}\"\n"));
            if mode == "merge" {
                text.push_str(
                    "merge = { n = \"count\", seq = \"sum\", off = \"max\" }\nsql = \"SELECT id, count(*) AS n, sum(seq) AS seq, \
                     max(off) AS off FROM input GROUP BY id\"\n",
                );
            }
        }
        text.push_str(more);
        let path = self.folder.path().join("pipeline.toml");
        std::fs::write(&path, text).expect("the folder is ours");
        path
    }

    pub fn daemon(&self) -> Daemon {
        Daemon::start(&self.file())
    }

    /// A daemon that works already.
    pub async fn ready(&self) -> Daemon {
        let daemon = self.daemon();
        is_ready(&daemon).await;
        daemon
    }

    pub fn load(&self, make: fn(i32, i64) -> Event) -> Load {
        Load::start(self.brokers.clone(), self.topic.clone(), make)
    }

    /// `next_offset` by partition.
    pub async fn positions(&self) -> BTreeMap<i32, i64> {
        let (part, next) = (self.database.text("part"), self.database.text("next_offset"));
        numbers(self.database.texts(&format!("SELECT {part}, {next} FROM tidegate_positions")).await)
            .into_iter()
            .map(|row| (row[0] as i32, row[1]))
            .collect()
    }

    /// Waits until everything that was produced is passed, then judges.
    pub async fn settle(&self, ledger: &Ledger) {
        eventually(&format!("all positions of {:?} at the end", self.database.kind), PATIENCE, || async {
            let positions = self.positions().await;
            ledger.iter().enumerate().all(|(part, log)| positions.get(&(part as i32)) == Some(&(log.len() as i64)))
        })
        .await;
        self.judge(ledger).await;
    }

    /// V1: every record is where it belongs, once; V3: `kv` is the fold of the log; V9: the logs are clean.
    pub async fn judge(&self, ledger: &Ledger) {
        let stored = self.stored().await;
        let dead = self.dead_letters().await;
        for (part, log) in ledger.iter().enumerate() {
            for (offset, event) in log.iter().enumerate() {
                let at = (part as i64, offset as i64);
                let rows = stored.get(&at).map_or(&[][..], Vec::as_slice);
                let expected: Vec<_> = event.row.clone().into_iter().collect();
                assert_eq!(rows, expected, "{:?}: rows of {at:?}", self.database.kind);
                match dead.get(&at) {
                    Some(letter) => {
                        assert!(event.is_bad, "{:?}: {at:?} is no bad record: {letter:?}", self.database.kind);
                        letter.is_of(event);
                    }
                    None => assert!(!event.is_bad, "{:?}: {at:?} is not in the dead letters", self.database.kind),
                }
            }
        }
        let known = |(part, offset): &(i64, i64)| ledger[*part as usize].len() as i64 > *offset;
        assert!(stored.keys().chain(dead.keys()).all(known), "nothing that was never produced");
        if self.tables.contains(&"kv") {
            self.judge_kv(ledger).await;
        }
        if self.tables.contains(&"sums") {
            self.judge_sums(ledger).await;
        }
        self.judge_logs();
    }

    /// The roll-up is one aggregate over the ledger.
    async fn judge_sums(&self, ledger: &Ledger) {
        let mut expected: BTreeMap<String, Vec<i64>> = BTreeMap::new();
        for (offset, event) in ledger.iter().flat_map(|log| log.iter().enumerate()) {
            let Some((id, seq)) = &event.row else { continue };
            let sums = expected.entry(id.clone()).or_insert_with(|| vec![0, 0, -1]);
            *sums = vec![sums[0] + 1, sums[1] + seq, sums[2].max(offset as i64)];
        }
        let columns = ["id", "n", "seq", "off"].map(|column| self.database.text(column)).join(", ");
        let rows = self.database.texts(&format!("SELECT {columns} FROM sums")).await;
        let mut found = BTreeMap::new();
        for mut row in rows {
            let id = row.remove(0).unwrap();
            found.insert(id, numbers(vec![row]).remove(0));
        }
        assert_eq!(found, expected, "{:?}: what was added up", self.database.kind);
    }

    async fn judge_kv(&self, ledger: &Ledger) {
        let mut expected = BTreeMap::new();
        for event in ledger.iter().flatten() {
            match &event.row {
                Some((id, seq)) => expected.insert(id.clone(), *seq),
                None => expected.remove(std::str::from_utf8(&event.key).expect("our own keys")),
            };
        }
        let (id, seq) = (self.database.text("id"), self.database.text("seq"));
        let rows = self.database.texts(&format!("SELECT {id}, {seq} FROM kv")).await;
        let found: BTreeMap<String, i64> =
            rows.into_iter().map(|mut row| (row[0].take().unwrap(), row[1].take().unwrap().parse().unwrap())).collect();
        assert_eq!(found, expected, "{:?}: the last state of every key", self.database.kind);
    }

    /// No daemon panicked, and none met a state that it says cannot be.
    pub fn judge_logs(&self) {
        for log in self.logs() {
            for bad in ["panicked", "do not chain", "does not join", "a defect of Tidegate"] {
                assert!(!log.contains(bad), "a daemon's log has {bad:?}:\n{log}");
            }
        }
    }

    /// What the daemons of this scene have said.
    pub fn logs(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.path()).expect("our folder").flatten();
        let is_log = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "log");
        let read = |path| String::from_utf8_lossy(&std::fs::read(path).expect("our file")).into_owned();
        entries.map(|entry| entry.path()).filter(is_log).map(read).collect()
    }

    /// Waits for work that is done.
    pub async fn has_rows(&self) {
        eventually("rows", PATIENCE, || async { self.database.number("SELECT count(*) FROM ev").await > 500 }).await;
    }

    /// Rows of `ev` by partition and offset.
    pub async fn stored(&self) -> BTreeMap<(i64, i64), Vec<(String, i64)>> {
        let columns = ["part", "off", "id", "seq"].map(|column| self.database.text(column)).join(", ");
        let mut stored: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for row in self.database.texts(&format!("SELECT {columns} FROM ev")).await {
            let number = |column: usize| row[column].as_deref().unwrap().parse::<i64>().unwrap();
            stored.entry((number(0), number(1))).or_default().push((row[2].clone().unwrap(), number(3)));
        }
        stored
    }

    async fn dead_letters(&self) -> BTreeMap<(i64, i64), Letter> {
        if self.delivery == "at-least-once" {
            return BTreeMap::new();
        }
        let hex = |column: &str| match self.database.kind {
            Kind::Postgres => format!("encode({column}, 'hex')"),
            _ => format!("lower(hex({column}))"),
        };
        let null_hex = |column: &str| format!("CASE WHEN {column} IS NULL THEN NULL ELSE {} END", hex(column));
        let columns = [
            self.database.text("part"),
            self.database.text("record_offset"),
            null_hex("record_key"),
            null_hex("record_value"),
            "headers".to_owned(),
            "reason".to_owned(),
        ];
        let select = format!("SELECT {} FROM tidegate_dead_letters", columns.join(", "));
        let mut letters = BTreeMap::new();
        for row in self.database.texts(&select).await {
            let mut row = row.into_iter();
            let mut next = || row.next().unwrap();
            let at = (next().unwrap().parse().unwrap(), next().unwrap().parse().unwrap());
            let unhex = |text: Option<String>| text.map(|text| hex_decode(&text));
            let letter =
                Letter { key: unhex(next()), value: unhex(next()), headers: next().unwrap(), reason: next().unwrap() };
            assert!(letters.insert(at, letter).is_none(), "{at:?} is in the dead letters twice");
        }
        letters
    }
}

fn hex_decode(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hex digits")).collect()
}

pub fn numbers(rows: Vec<Vec<Option<String>>>) -> Vec<Vec<i64>> {
    let number = |text: Option<String>| text.map_or(0, |text| text.parse().expect("a number"));
    rows.into_iter().map(|row| row.into_iter().map(number).collect()).collect()
}

/// A row of `tidegate_dead_letters`.
#[derive(Debug)]
struct Letter {
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: String,
    reason: String,
}

impl Letter {
    fn is_of(&self, event: &Event) {
        use base64::Engine as _;
        assert_eq!(self.key.as_ref(), Some(&event.key), "the original key");
        assert_eq!(self.value, event.value, "the original value");
        assert!(!self.reason.is_empty());
        let headers: Vec<(String, Option<String>)> = serde_json::from_str(&self.headers).expect("headers as JSON");
        let encode = |value: &Vec<u8>| base64::engine::general_purpose::STANDARD.encode(value);
        let expected: Vec<_> =
            event.headers.iter().map(|(name, value)| (name.clone(), value.as_ref().map(encode))).collect();
        assert_eq!(headers, expected, "the original headers");
    }
}

pub async fn is_ready(daemon: &Daemon) {
    eventually("the daemon is ready", PATIENCE, || async {
        daemon.get("/readyz").is_some_and(|(code, _)| code == 200)
    })
    .await;
}

/// Waits until it says that it is blocked, and why.
pub async fn is_blocked(daemon: &Daemon, cause: &str) {
    eventually(&format!("it is blocked by {cause:?}"), PATIENCE, || async {
        daemon
            .get("/readyz")
            .is_some_and(|(code, body)| code == 503 && body.contains("blocked") && body.contains(cause))
    })
    .await;
}

/// The offsets that a group has stored, asked again and again by one client.
pub struct GroupOffsets {
    client: Arc<BaseConsumer>,
    topic: String,
}

impl GroupOffsets {
    pub fn of(scene: &Scene) -> Self {
        let client: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", &scene.brokers)
            .set("group.id", scene.group())
            .set_log_level(rdkafka::config::RDKafkaLogLevel::Error)
            .create()
            .expect("a client");
        Self { client: Arc::new(client), topic: scene.topic.clone() }
    }

    /// By partition; 0 where there is none.
    pub async fn get(&self) -> Vec<i64> {
        let (client, topic) = (self.client.clone(), self.topic.clone());
        let ask = move || {
            let mut list = TopicPartitionList::new();
            for partition in 0..PARTITIONS {
                list.add_partition(&topic, partition);
            }
            let found = client.committed_offsets(list, Duration::from_secs(60)).expect("a coordinator");
            let offset = |partition| found.find_partition(&topic, partition).map(|element| element.offset());
            (0..PARTITIONS)
                .map(|partition| match offset(partition) {
                    Some(Offset::Offset(offset)) => offset,
                    _ => 0,
                })
                .collect()
        };
        tokio::task::spawn_blocking(ask).await.expect("no panic")
    }
}

impl Scene {
    /// V4 and V5, at this moment: the group's offsets are not ahead of the positions, and what is stored is exactly
    /// what lies below the positions.
    pub async fn sample(&self, group: &GroupOffsets, load: &Load) {
        let committed = group.get().await;
        let [part, next, rows, last] = ["part", "next_offset", "n", "last"].map(|column| self.database.text(column));
        // One statement: one snapshot.
        let select = format!(
            "SELECT {part}, {next}, {rows}, {last} FROM (SELECT p.part, p.next_offset, \
             (SELECT count(*) FROM ev WHERE ev.part = p.part) + \
             (SELECT count(*) FROM tidegate_dead_letters d WHERE d.part = p.part) AS n, \
             coalesce((SELECT max(off) FROM ev WHERE ev.part = p.part), -1) AS last FROM tidegate_positions p) AS s"
        );
        let stored = numbers(self.database.texts(&select).await);
        let ledger = load.so_far();
        for row in stored {
            let (part, next, rows, last) = (row[0] as usize, row[1], row[2], row[3]);
            let kind = self.database.kind;
            assert!(committed[part] <= next, "{kind:?}-{part}: group {} before position {next}", committed[part]);
            let below = &ledger[part][..next as usize];
            let expected = below.iter().filter(|event| event.row.is_some() || event.is_bad).count() as i64;
            assert_eq!(rows, expected, "{kind:?}-{part}: what is stored below position {next}");
            assert!(last < next, "{kind:?}-{part}: offset {last} is stored, the position is {next}");
        }
    }
}
