//! From topic to topic while daemons are killed, frozen and regrouped: whoever reads committed records sees each result
//! once, and each bad record once among the dead letters.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::load::Load;
use super::rounds;
use super::scene::{Event, Ledger, PARTITIONS, PATIENCE, is_ready, plain};
use crate::support::daemon::{Daemon, eventually};
use crate::support::{kafka, services};

/// A pipeline without a database.
struct Exchange {
    name: String,
    topic: String,
    derived: String,
    dead: String,
    instance: &'static str,
    folder: tempfile::TempDir,
}

impl Exchange {
    fn new() -> Self {
        Self {
            name: kafka::unique("x"),
            topic: kafka::topic(PARTITIONS),
            derived: kafka::topic(3),
            dead: kafka::topic(1),
            instance: "auto",
            folder: tempfile::tempdir().expect("a temporary folder"),
        }
    }

    fn file(&self) -> PathBuf {
        let Self { name, topic, derived, dead, instance, .. } = self;
        let brokers = services::kafka();
        let text = format!(
            "name = \"{name}\"\n[source]\nbrokers = [\"{brokers}\"]\ntopics = [\"{topic}\"]\ninstance = \"{instance}\"\n\
             [source.columns]\nid = \"text\"\nseq = \"bigint\"\n[sink]\nkafka = true\n[errors]\n\
             dead_letters = \"topic:{dead}\"\n[[topic]]\nname = \"{derived}\"\nkey = \"id\"\n\
             sql = \"SELECT id, seq, _partition AS part, _offset AS off FROM input\"\n"
        );
        let path = self.folder.path().join("pipeline.toml");
        std::fs::write(&path, text).expect("the folder is ours");
        path
    }

    fn daemon(&self) -> Daemon {
        Daemon::start(&self.file())
    }

    async fn ready(&self) -> Daemon {
        let daemon = self.daemon();
        is_ready(&daemon).await;
        daemon
    }

    fn load(&self, make: fn(i32, i64) -> Event) -> Load {
        Load::start(services::kafka(), self.topic.clone(), make)
    }

    async fn committed(&self) -> Vec<i64> {
        let (group, topic) = (format!("tidegate-{}", self.name), self.topic.clone());
        let ask = move || {
            let position = |partition| kafka::committed(&group, &topic, partition).unwrap_or(0);
            (0..PARTITIONS).map(position).collect()
        };
        tokio::task::spawn_blocking(ask).await.expect("no panic")
    }

    /// Every partition is read on past where it is now.
    async fn goes_on(&self) {
        let before = self.committed().await;
        eventually("all partitions are read on", PATIENCE, || async {
            self.committed().await.iter().zip(&before).all(|(now, before)| *now > *before + 50)
        })
        .await;
    }

    /// Waits for the end, then judges.
    async fn settle(&self, ledger: &Ledger) {
        let lengths: Vec<i64> = ledger.iter().map(|log| log.len() as i64).collect();
        eventually("the group's offsets at the end", PATIENCE, || async { self.committed().await == lengths }).await;
        eventually("no transaction is open", PATIENCE, || async {
            !kafka::has_open_transaction(&self.derived) && !kafka::has_open_transaction(&self.dead)
        })
        .await;
        self.judge_events(ledger);
        self.judge_letters(ledger);
        self.judge_logs();
    }

    fn judge_events(&self, ledger: &Ledger) {
        let mut expected = BTreeMap::new();
        for (part, log) in ledger.iter().enumerate() {
            for (off, event) in log.iter().enumerate() {
                if let Some((id, seq)) = &event.row {
                    let value = format!(r#"{{"id":"{id}","seq":{seq},"part":{part},"off":{off}}}"#);
                    expected.insert(format!("{}/{part}/{off}/0", self.topic), value);
                }
            }
        }
        let mut last: BTreeMap<(i32, String), i64> = BTreeMap::new();
        for event in kafka::received(&services::kafka(), &self.derived) {
            let source = event.header("tidegate-source").expect("the header").to_owned();
            let value = expected.remove(&source);
            assert!(
                value.is_some() && value == event.value,
                "{source} is there twice, or was never produced: {event:?}"
            );
            let mut parts = source.split('/').skip(1).map(|part| part.parse::<i64>().unwrap());
            let (part, off) = (parts.next().unwrap(), parts.next().unwrap());
            let before = last.insert((event.partition, format!("{part}")), off);
            assert!(before.is_none_or(|before| before < off), "{source} comes behind {before:?}");
        }
        assert!(expected.is_empty(), "{} events are missing: {:?}", expected.len(), expected.keys().next());
    }

    fn judge_letters(&self, ledger: &Ledger) {
        let mut expected = BTreeMap::new();
        for (part, log) in ledger.iter().enumerate() {
            let bad = log.iter().enumerate().filter(|(_, event)| event.is_bad);
            expected.extend(bad.map(|(off, event)| (format!("{}/{part}/{off}/0", self.topic), event)));
        }
        for letter in kafka::received_bytes(&services::kafka(), &self.dead) {
            let source = letter.header("tidegate-source").expect("the header").to_owned();
            let event =
                expected.remove(&source).unwrap_or_else(|| panic!("{source} is no bad record, or is there twice"));
            assert_eq!((letter.key.as_deref(), &letter.value), (Some(&*event.key), &event.value), "{source}");
            assert_eq!(letter.headers[..event.headers.len()], event.headers, "{source}");
            assert_eq!(letter.header("tidegate-stage"), Some("decode"), "{source}");
            assert!(letter.header("tidegate-reason").is_some_and(|reason| !reason.is_empty()), "{source}");
        }
        assert!(expected.is_empty(), "{} dead letters are missing: {:?}", expected.len(), expected.keys().next());
    }

    fn judge_logs(&self) {
        for entry in std::fs::read_dir(self.folder.path()).expect("our folder").flatten() {
            if entry.path().extension().is_some_and(|extension| extension == "log") {
                let log = String::from_utf8_lossy(&std::fs::read(entry.path()).expect("our file")).into_owned();
                for bad in ["panicked", "do not chain", "does not join", "a defect of Tidegate"] {
                    assert!(!log.contains(bad), "a daemon's log has {bad:?}:\n{log}");
                }
            }
        }
    }
}

/// Every fiftieth is bad, in turn for each reason.
fn some_are_bad(partition: i32, seq: i64) -> Event {
    let id = format!("p{partition}-{}", seq % 50);
    if seq % 50 != 49 {
        return Event::row(id, seq);
    }
    let value: Vec<u8> = match (seq / 50 + i64::from(partition)) % 5 {
        0 => format!(r#"{{"id":"{id}",,"seq":{seq}}}"#).into_bytes(),
        1 => format!(r#"{{"id":"{id}","seq":"many"}}"#).into_bytes(),
        2 => Vec::new(),
        3 => [br#"{"id":"a"#, &[0xc3, 0x28][..], br#"","seq":1}"#].concat(),
        _ => b"[1, 2, 3]".to_vec(),
    };
    let headers = vec![("trace".to_owned(), Some(vec![0, 255, 1])), ("none".to_owned(), None)];
    Event { value: Some(value), headers, row: None, is_bad: true, ..Event::row(id, seq) }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_daemons_from_topic_to_topic() {
    let scene = Exchange::new();
    let load = scene.load(some_are_bad);
    let mut daemons = [scene.ready().await, scene.ready().await];
    for _ in 0..rounds() {
        tokio::time::sleep(Duration::from_millis(fastrand::u64(300..3_000))).await;
        let victim = fastrand::usize(..daemons.len());
        assert!(daemons[victim].is_running(), "it ended by itself:\n{}", daemons[victim].log());
        daemons[victim].kill();
        daemons[victim] = scene.daemon();
    }
    let ledger = load.finish();
    scene.settle(&ledger).await;
    for daemon in daemons {
        assert_eq!(daemon.stop(), 0);
    }
    scene.settle(&ledger).await;
}

/// Members that come and go, without a static identity: each time the group is shared out anew.
#[tokio::test(flavor = "multi_thread")]
async fn rebalanced_daemons_from_topic_to_topic() {
    let scene = Exchange { instance: "none", ..Exchange::new() };
    let load = scene.load(some_are_bad);
    let mut daemons = vec![scene.ready().await];
    for round in 0..rounds() {
        daemons.push(scene.ready().await);
        tokio::time::sleep(Duration::from_millis(fastrand::u64(500..3_000))).await;
        if round % 2 == 1 {
            let leaving = daemons.remove(fastrand::usize(..daemons.len()));
            assert_eq!(leaving.stop(), 0);
            daemons.remove(0).kill();
        }
    }
    let ledger = load.finish();
    scene.settle(&ledger).await;
    for daemon in daemons {
        assert_eq!(daemon.stop(), 0);
    }
}

/// Freezes a daemon while it has a transaction open.
async fn freeze_in_a_transaction(scene: &Exchange, zombie: &Daemon) {
    let end = Instant::now() + PATIENCE;
    loop {
        zombie.freeze();
        // The end of one that was just committed is written by the broker alone.
        tokio::time::sleep(Duration::from_millis(300)).await;
        if kafka::has_open_transaction(&scene.derived) {
            return;
        }
        assert!(Instant::now() < end, "it never had a transaction open");
        zombie.thaw();
        tokio::time::sleep(Duration::from_millis(fastrand::u64(1..60))).await;
    }
}

/// `thaw_after`: the takeover, or, before that, the end of the frozen one's session.
async fn frozen(thaw_after: Option<Duration>) {
    let scene = Exchange::new();
    let load = scene.load(plain);
    let zombie = scene.ready().await;
    scene.goes_on().await;
    freeze_in_a_transaction(&scene, &zombie).await;
    let other = scene.ready().await;
    match thaw_after {
        Some(pause) => tokio::time::sleep(pause).await,
        None => scene.goes_on().await,
    }
    zombie.thaw();
    scene.goes_on().await;
    eventually("the frozen daemon is told", PATIENCE, || async { zombie.log().contains("takes partitions away") })
        .await;
    scene.settle(&load.finish()).await;
    assert_eq!(zombie.stop(), 0);
    assert_eq!(other.stop(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn frozen_daemon_from_topic_to_topic() {
    frozen(None).await;
}

/// It wakes up when the group has already given its partitions to the other, who waits for its transaction.
#[tokio::test(flavor = "multi_thread")]
async fn daemon_that_wakes_during_the_takeover() {
    frozen(Some(Duration::from_secs(8))).await;
}

/// A daemon that comes back ends what it left open: the readers do not have to wait until it has run out of time. A busy
/// machine may be slow once.
#[tokio::test(flavor = "multi_thread")]
async fn restarted_daemon_from_topic_to_topic() {
    let scene = Exchange::new();
    let load = scene.load(plain);
    let mut daemon = scene.ready().await;
    scene.goes_on().await;
    let mut times = Vec::new();
    while times.iter().all(|time| *time >= Duration::from_secs(10)) {
        assert!(times.len() < 4, "read on after {times:?}");
        freeze_in_a_transaction(&scene, &daemon).await;
        daemon.kill();
        let started = Instant::now();
        daemon = scene.daemon();
        scene.goes_on().await;
        times.push(started.elapsed());
    }
    scene.settle(&load.finish()).await;
    assert_eq!(daemon.stop(), 0);
}

/// Both ledgers add up, and the files' numbers are those of the topics.
#[tokio::test(flavor = "multi_thread")]
async fn the_ledger_of_a_pipeline_without_a_database() {
    let scene = Exchange::new();
    let daemon = scene.ready().await;
    let ledger = scene.load(some_are_bad);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let ledger = ledger.finish();
    scene.settle(&ledger).await;
    let all: usize = ledger.iter().map(Vec::len).sum();
    let bad = ledger.iter().flatten().filter(|event| event.is_bad).count();
    let records =
        |outcome: &str| daemon.metric("tidegate_records_total", &[&format!("outcome=\"{outcome}\"")]) as usize;
    eventually("all records are counted", PATIENCE, || async { records("consumed") == all }).await;
    assert_eq!((records("processed"), records("dead_lettered")), (all - bad, bad));
    assert_eq!((records("skipped"), records("dropped")), (0, 0));
    assert_eq!(daemon.metric("tidegate_events_total", &[]) as usize, all - bad);
    assert_eq!(daemon.metric("tidegate_dead_letters_total", &[]) as usize, bad);
    eventually("no lag is left", PATIENCE, || async {
        let lags = daemon.scrape().values("tidegate_lag_records", &[]);
        lags.len() == PARTITIONS as usize && lags.iter().all(|lag| *lag == 0.0)
    })
    .await;
    assert_eq!(daemon.stop(), 0);
}
