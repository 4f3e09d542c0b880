//! `/metrics` of the real binary: every documented name is there, and both ledgers add up to the record and to the row.

use std::path::PathBuf;
use std::time::Duration;

use crate::support::daemon::{Daemon, Scrape, eventually};
use crate::support::database::{Kind, TestDatabase};
use crate::support::kafka::{self, End, Sent};
use crate::support::services;

const PATIENCE: Duration = Duration::from_secs(90);
const PARTITIONS: i32 = 2;
/// Of each partition.
const RECORDS: i64 = 2_000;

/// What becomes of a record.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fate {
    Good,
    /// Older than others of its key.
    Old,
    Tombstone,
    /// A tombstone of a key that no table has.
    Stray,
    /// No JSON.
    Broken,
    /// The database refuses it.
    Refused,
    /// A check drops it.
    Dropped,
}

fn fate(seq: i64) -> Fate {
    match seq {
        _ if seq % 50 == 49 => Fate::Broken,
        _ if seq % 97 == 96 => Fate::Refused,
        _ if seq % 83 == 82 => Fate::Dropped,
        _ if seq % 62 == 30 => Fate::Stray,
        _ if seq % 31 == 30 => Fate::Tombstone,
        _ if seq % 9 == 7 => Fate::Old,
        _ => Fate::Good,
    }
}

fn count(is_one: impl Fn(Fate) -> bool) -> f64 {
    let per_partition = (0..RECORDS).filter(|seq| is_one(fate(*seq))).count();
    per_partition as f64 * f64::from(PARTITIONS)
}

fn record(partition: i32, seq: i64) -> (String, Option<String>) {
    let fate = fate(seq);
    let key = match fate {
        Fate::Stray => format!("none-{partition}-{seq}"),
        _ => format!("{partition}-{}", seq % 20),
    };
    let version = if fate == Fate::Old { 0 } else { seq + 1 };
    let value = match fate {
        Fate::Tombstone | Fate::Stray => None,
        Fate::Broken => Some("{".to_owned()),
        Fate::Refused => Some(format!(r#"{{"id":"{key}","seq":-1,"version":{version}}}"#)),
        Fate::Dropped => Some(format!(r#"{{"id":"{key}","seq":{seq},"version":{version},"origin":"test"}}"#)),
        Fate::Good | Fate::Old => Some(format!(r#"{{"id":"{key}","seq":{seq},"version":{version},"surprise":1}}"#)),
    };
    (key, value)
}

/// A topic, another one that can be deleted, and a table for each mode.
struct Scene {
    database: TestDatabase,
    topic: String,
    doomed: String,
    /// Where events go.
    derived: String,
    folder: tempfile::TempDir,
}

impl Scene {
    async fn new() -> Self {
        let database = TestDatabase::new(Kind::Postgres).await;
        database
            .execute(
                "CREATE TABLE current (id text PRIMARY KEY, seq bigint NOT NULL, version bigint);
                 CREATE TABLE history (id text, seq bigint NOT NULL CHECK (seq >= 0), made timestamptz DEFAULT now());
                 INSERT INTO history VALUES ('old', 0, '2020-01-01');
                 CREATE TABLE first (id text PRIMARY KEY, seq bigint NOT NULL);
                 CREATE TABLE known (id text PRIMARY KEY, seq bigint);
                 INSERT INTO known SELECT '0-' || n, 0 FROM generate_series(0, 19) AS n;",
            )
            .await;
        let (topic, doomed) = (kafka::topic(PARTITIONS), kafka::topic(1));
        Self { database, topic, doomed, derived: kafka::topic(1), folder: tempfile::tempdir().unwrap() }
    }

    fn file(&self) -> PathBuf {
        let Self { topic, doomed, derived, .. } = self;
        let text = format!(
            "name = \"{}\"\n[source]\nbrokers = [\"{}\"]\ntopics = [\"{topic}\", \"{doomed}\"]\n[source.columns]\norigin = \"text\"\n\
             id = \"text\"\nseq = \"bigint\"\n\
             [sink]\nurl = \"{}\"\n\
             [[check]]\nname = \"origin\"\nsql = \"origin <> 'test'\"\naction = \"drop\"\n\
             [[table]]\nname = \"current\"\nmode = \"upsert\"\nversion = \"version\"\n\
             [[table]]\nname = \"history\"\nmode = \"append\"\nmissing = \"default\"\nretention = {{ column = \"made\", keep = \"30d\" }}\n\
             [[table]]\nname = \"first\"\nmode = \"insert-ignore\"\n\
             [[table]]\nname = \"known\"\nmode = \"update\"\n\
             [[lookup]]\nname = \"origins\"\nfile = \"origins.csv\"\nkey = [\"name\"]\n\
             [[topic]]\nname = \"{derived}\"\nkey = \"id\"\n\
             sql = \"SELECT input.*, note FROM input LEFT JOIN origins o ON o.name = origin WHERE seq >= 0\"\n",
            kafka::unique("m"),
            services::kafka(),
            self.database.url
        );
        let path = self.folder.path().join("pipeline.toml");
        std::fs::write(&path, text).unwrap();
        std::fs::write(self.folder.path().join("origins.csv"), "name,note\nshop,a\n").unwrap();
        path
    }

    fn produce(&self) {
        for partition in 0..PARTITIONS {
            let records: Vec<_> = (0..RECORDS).map(|seq| record(partition, seq)).collect();
            let sent = records.iter().map(|(key, value)| Sent {
                key: Some(key.as_bytes()),
                value: value.as_ref().map(String::as_bytes),
                ..Sent::default()
            });
            kafka::send(&self.topic, partition, sent);
        }
    }

    async fn has_counted(&self, daemon: &Daemon, records: f64) {
        eventually("every record is counted", PATIENCE, || async {
            daemon.metric("tidegate_records_total", &["outcome=\"consumed\""]) >= records
        })
        .await;
    }

    fn send_one(&self) {
        kafka::send(&self.topic, 0, [Sent { value: Some(br#"{"id":"last","seq":1}"#), ..Sent::default() }]);
    }
}

async fn is_ready(daemon: &Daemon) {
    eventually("the daemon is ready", PATIENCE, || async {
        daemon.get("/readyz").is_some_and(|(code, _)| code == 200)
    })
    .await;
}

/// The rows of the table in docs/metrics.md: name, and when it is there.
fn documented() -> Vec<(String, String)> {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md")).unwrap();
    let rows = page.lines().filter(|line| line.starts_with("| `tidegate_"));
    let cells = rows.map(|row| row.split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>());
    let documented: Vec<_> = cells.map(|cells| (cells[1].trim_matches('`').to_owned(), cells[3].clone())).collect();
    assert!(documented.len() >= 20, "the table of docs/metrics.md was not found");
    documented
}

fn missing(scrape: &Scrape, when: &[&str]) -> Vec<String> {
    let wanted = documented().into_iter().filter(|(_, appears)| when.contains(&appears.as_str()));
    wanted.map(|(name, _)| name).filter(|name| !scrape.has(name)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_documented_metric_is_there_and_the_ledgers_add_up() {
    let scene = Scene::new().await;
    let daemon = Daemon::start(&scene.file());
    is_ready(&daemon).await;
    assert_eq!(missing(&daemon.scrape(), &["always"]), [""; 0], "before the first record");
    scene.produce();
    let all = RECORDS as f64 * f64::from(PARTITIONS);
    scene.has_counted(&daemon, all).await;
    records_add_up(&scene, &daemon.scrape()).await;
    rows_add_up(&scene, &daemon.scrape()).await;
    eventually("the lag is told, and is 0", PATIENCE, || async {
        let scrape = daemon.scrape();
        let is_zero = |name| {
            let values = scrape.values(name, &[&format!("topic=\"{}\"", scene.topic)]);
            values.len() == PARTITIONS as usize && values.iter().all(|value| *value == 0.0)
        };
        is_zero("tidegate_lag_records") && is_zero("tidegate_lag_stable_records")
    })
    .await;
    assert_eq!(missing(&daemon.scrape(), &["always", "with the first batch", "with the first partition"]), [""; 0]);
    for (name, labels, at_least) in [
        ("tidegate_unknown_fields_total", &[][..], 1.0),
        ("tidegate_isolations_total", &[], 1.0),
        ("tidegate_events_total", &[], count(|fate| matches!(fate, Fate::Good | Fate::Old))),
        ("tidegate_rebalances_total", &[], 1.0),
        ("tidegate_bytes_total", &[], 20.0 * all),
        ("tidegate_lookup_rows_total", &["outcome=\"missing\""], 1.0),
        ("tidegate_lookup_entries", &["lookup=\"origins\""], 1.0),
        ("tidegate_batch_records_sum", &[], all),
        ("tidegate_record_to_commit_seconds_count", &[], all),
        ("tidegate_pipeline_state", &["state=\"running\""], 1.0),
    ] {
        let value = daemon.metric(name, labels);
        assert!(value >= at_least, "{name} is {value}");
    }
    provoke_the_rest(&scene, &daemon).await;
    assert_eq!(daemon.stop(), 0);
}

/// consumed = processed + dead_lettered + skipped + dropped, per partition, and as the topic and the database have it.
async fn records_add_up(scene: &Scene, scrape: &Scrape) {
    for partition in 0..PARTITIONS {
        let of = |outcome: &str| {
            let (partition, outcome) = (format!("partition=\"{partition}\""), format!("outcome=\"{outcome}\""));
            let topic = format!("topic=\"{}\"", scene.topic);
            scrape.values("tidegate_records_total", &[&topic, &partition, &outcome]).iter().sum::<f64>()
        };
        assert_eq!(of("consumed"), RECORDS as f64);
        let outcomes = ["processed", "dead_lettered", "skipped", "dropped"].map(of);
        assert_eq!(of("consumed"), outcomes.iter().sum::<f64>(), "{outcomes:?}");
    }
    let dead = count(|fate| matches!(fate, Fate::Broken | Fate::Refused));
    let dropped = count(|fate| fate == Fate::Dropped);
    let sum = |name, labels: &[&str]| scrape.values(name, labels).iter().sum::<f64>();
    assert_eq!(sum("tidegate_records_total", &["outcome=\"dead_lettered\""]), dead);
    assert_eq!(sum("tidegate_records_total", &["outcome=\"dropped\""]), dropped);
    assert_eq!(sum("tidegate_check_violations_total", &["check=\"origin\"", "action=\"drop\""]), dropped);
    assert_eq!(sum("tidegate_dead_letters_total", &[]), dead);
    assert_eq!(sum("tidegate_dead_letters_total", &["stage=\"decode\""]), count(|fate| fate == Fate::Broken));
    assert_eq!(sum("tidegate_dead_letters_total", &["class=\"check\""]), count(|fate| fate == Fate::Refused));
    assert_eq!(scene.database.number("SELECT count(*) FROM tidegate_dead_letters").await as f64, dead);
}

/// produced = written + collapsed + filtered + stale + unmatched + ignored + expired + dead_lettered, per table.
async fn rows_add_up(scene: &Scene, scrape: &Scrape) {
    let refused = count(|fate| fate == Fate::Refused);
    let tombstones = count(|fate| matches!(fate, Fate::Tombstone | Fate::Stray));
    let table_of = |table: &str| format!("table=\"public.{table}\"");
    let of = |table: &str, outcome: &str| {
        scrape.values("tidegate_rows_total", &[&table_of(table), &format!("outcome=\"{outcome}\"")]).iter().sum::<f64>()
    };
    for table in ["current", "history", "first", "known"] {
        let all: f64 = scrape.values("tidegate_rows_total", &[&table_of(table)]).iter().sum();
        let produced = of(table, "produced");
        let rows = count(|fate| !matches!(fate, Fate::Broken | Fate::Dropped));
        assert_eq!(produced, rows, "{table}: a row per record that could be decoded and was not dropped");
        assert_eq!(all - produced, produced, "{table}: every row has one outcome");
        assert_eq!(of(table, "dead_lettered"), refused, "{table}: a record goes into all tables or into none");
    }
    let rows = async |table: &str| scene.database.number(&format!("SELECT count(*) FROM {table}")).await as f64;
    assert_eq!(of("history", "written"), rows("history").await);
    assert_eq!(of("history", "ignored"), tombstones, "append has no deletes");
    assert_eq!(of("first", "written"), rows("first").await);
    assert_eq!(of("first", "ignored"), of("first", "produced") - refused - rows("first").await);
    // How many of these there are depends on how the records were cut into batches; that there are some does not.
    for (table, outcome) in [
        ("current", "written"),
        ("current", "collapsed"),
        ("current", "stale"),
        ("current", "unmatched"),
        ("known", "written"),
        ("known", "collapsed"),
        ("known", "unmatched"),
    ] {
        assert!(of(table, outcome) > 0.0, "{table}: none is {outcome}");
    }
}

/// What is there only when one happens. tests/faults has the rare ones of those that are always there: fenced
/// partitions (zombie.rs), COMMITs of unknown outcome (network.rs), gaps (lost.rs), failures of pipelines (blocked.rs).
async fn provoke_the_rest(scene: &Scene, daemon: &Daemon) {
    let comes = async |name: &str| eventually(name, PATIENCE, || async { daemon.metric(name, &[]) >= 1.0 }).await;
    scene
        .database
        .execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
        .await;
    scene.send_one();
    comes("tidegate_retries_total").await;
    is_ready(daemon).await;
    scene.database.execute("ALTER TABLE history RENAME TO elsewhere").await;
    scene.send_one();
    comes("tidegate_blocked_total").await;
    assert_eq!(daemon.metric("tidegate_pipeline_state", &["state=\"blocked\""]), 1.0);
    scene.database.execute("ALTER TABLE elsewhere RENAME TO history").await;
    is_ready(daemon).await;
    kafka::delete(&scene.doomed);
    comes("tidegate_kafka_problems_total").await;
    assert_eq!(missing(&daemon.scrape(), &["only when one happens"]), [""; 0]);
    let known =
        ["always", "with the first batch", "with the first partition", "only when one happens", "only with [profile]"];
    for (name, appears) in documented() {
        assert!(known.contains(&appears.as_str()), "{name}: docs/metrics.md says {appears:?}");
    }
}

/// At the end of a partition the position passes transaction markers and aborted records.
#[tokio::test(flavor = "multi_thread")]
async fn lag_reaches_zero_behind_transaction_markers() {
    let scene = Scene::new().await;
    for partition in 0..PARTITIONS {
        kafka::transaction(&scene.topic, partition, 3, End::Commit);
        kafka::transaction(&scene.topic, partition, 5, End::Abort);
    }
    let daemon = Daemon::start(&scene.file());
    let lags = |name: &str| {
        let mut lags = Vec::new();
        for partition in 0..PARTITIONS {
            let labels = [format!("topic=\"{}\"", scene.topic), format!("partition=\"{partition}\"")];
            lags.extend(daemon.scrape().values(name, &[&labels[0], &labels[1]]));
        }
        lags
    };
    let are = async |what: &str, lag: [f64; 2], stable: [f64; 2]| {
        eventually(what, PATIENCE, || async {
            lags("tidegate_lag_records") == lag && lags("tidegate_lag_stable_records") == stable
        })
        .await;
    };
    are("no lag behind markers", [0.0; 2], [0.0; 2]).await;
    let at_end = "SELECT count(*) FROM tidegate_positions WHERE part < 2 AND next_offset = 3 + 1 + 5 + 1";
    assert_eq!(scene.database.number(at_end).await, 2);
    // Records of a transaction that is still open are there, and nobody may read them yet.
    let open = kafka::open_transaction(&scene.topic, 1, 4);
    are("lag to the high watermark alone", [0.0, 4.0], [0.0; 2]).await;
    open.end(End::Abort);
    are("no lag behind an aborted transaction", [0.0; 2], [0.0; 2]).await;
    assert_eq!(daemon.stop(), 0);
}
