//! Pipelines from topic to topic, and dead letters in a topic.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;
use tidegate::config::{Environment, Pipeline, Start, load_pipelines};
use tidegate::dead_letter::{DeadLetter, Fault, Stage};
use tidegate::pipeline::Ending;
use tidegate::status::State;

use crate::support::daemon::eventually;
use crate::support::database::{ALL, Kind, TestDatabase};
use crate::support::kafka::{self, Bytes, End, Sent};
use crate::support::pipeline::Running;
use crate::support::services;

const PATIENCE: Duration = Duration::from_secs(60);

/// A topic, a topic for dead letters, and a file whose `[sink]` and outputs are the test's.
struct Scene {
    name: String,
    topic: String,
    dead: String,
    /// Where the column `id` comes from.
    id: &'static str,
    folder: TempDir,
}

impl Scene {
    fn new(partitions: i32) -> Self {
        Self {
            name: kafka::unique("k"),
            topic: kafka::topic(partitions),
            dead: kafka::topic(1),
            id: "id = \"bigint\"",
            folder: tempfile::tempdir().expect("a folder"),
        }
    }

    fn pipeline(&self, sections: &str) -> Pipeline {
        let Self { name, topic, dead, id, .. } = self;
        let brokers = services::kafka();
        let text = format!(
            "name = \"{name}\"\n[source]\nbrokers = [\"{brokers}\"]\ntopics = [\"{topic}\"]\ninstance = \"none\"\n\
             [source.columns]\n{id}\nnote = \"text\"\n[errors]\ndead_letters = \"topic:{dead}\"\n{sections}"
        );
        let file = self.folder.path().join("pipeline.toml");
        std::fs::write(&file, &text).expect("a file");
        let loaded = load_pipelines(&[file], &Environment::default());
        loaded.unwrap_or_else(|problems| panic!("{problems}\n{text}")).remove(0)
    }

    /// The group's offset of a partition.
    fn position(&self, partition: i32) -> Option<i64> {
        kafka::committed(&format!("tidegate-{}", self.name), &self.topic, partition)
    }

    async fn comes_to(&self, running: &Running, partition: i32, position: i64) {
        eventually(&format!("position {position}: {}", running.problems()), PATIENCE, || async {
            assert_ne!(running.status.state(), State::Failed, "{}", running.problems());
            self.position(partition) == Some(position)
        })
        .await;
    }

    async fn run_to(&self, pipeline: Pipeline, position: i64) {
        let running = Running::start(pipeline);
        self.comes_to(&running, 0, position).await;
        assert_eq!(running.stop().await, Ending::Drained);
    }
}

fn sent<'a>(key: &'a str, value: Option<&'a [u8]>) -> Sent<'a> {
    Sent { key: Some(key.as_bytes()), value, headers: vec![("trace", Some(&[0, 255])), ("none", None)] }
}

fn letters(topic: &str) -> Vec<Bytes> {
    kafka::received_bytes(&services::kafka(), topic)
}

fn is_letter(letter: &Bytes, record: &Sent<'_>, source: &str, stage: &str, class: &str) {
    assert_eq!(letter.header("tidegate-source"), Some(source));
    assert_eq!((letter.key.as_deref(), letter.value.as_deref()), (record.key, record.value), "{source}");
    let own: Vec<_> = letter.headers.iter().take(2).map(|(name, value)| (name.as_str(), value.as_deref())).collect();
    assert_eq!(own, record.headers, "{source}");
    assert_eq!((letter.header("tidegate-stage"), letter.header("tidegate-class")), (Some(stage), Some(class)));
    let mut parts = source.split('/');
    assert_eq!(letter.header("tidegate-topic"), parts.next());
    assert_eq!(letter.header("tidegate-partition"), parts.next());
    assert_eq!(letter.header("tidegate-offset"), parts.next());
    assert!(letter.header("tidegate-reason").is_some_and(|reason| !reason.is_empty()));
}

#[tokio::test(flavor = "multi_thread")]
async fn results_and_dead_letters_are_there_once_and_the_group_at_the_end() {
    let scene = Scene { id: "id = { type = \"bigint\", key = \"$\" }", ..Scene::new(1) };
    let (derived, rest) = (kafka::topic(2), kafka::topic(1));
    let pipeline = scene.pipeline(&format!(
        "[sink]\nkafka = true\n[[check]]\nname = \"small\"\nsql = \"id < 1000\"\n\
         [[topic]]\nname = \"{derived}\"\nkey = \"id\"\ndeletes = \"tombstone\"\n\
         sql = \"SELECT id, upper(note) AS note FROM input\"\n\
         [[topic]]\nname = \"{rest}\"\nsql = \"SELECT id FROM input WHERE id > 1\"\n"
    ));
    let records = [
        sent("1", Some(br#"{"note":"a"}"#)),
        sent("2", Some(b"\xff\xfe")),
        sent("2", Some(br#"{"note":"b"}"#)),
        sent("5000", Some(br#"{"note":"c"}"#)),
        sent("1", None),
    ];
    kafka::send(&scene.topic, 0, records.clone());
    kafka::transaction(&scene.topic, 0, 3, End::Abort);
    // Behind the records: three that were aborted, and the marker that says so.
    scene.run_to(pipeline, 9).await;
    let source = |offset: usize| format!("{}/0/{offset}/0", scene.topic);
    let mut events: Vec<_> = kafka::received(&services::kafka(), &derived)
        .into_iter()
        .map(|event| (event.header("tidegate-source").unwrap().to_owned(), event.key, event.value))
        .collect();
    events.sort();
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(
        events,
        [
            (source(0), text("1"), text(r#"{"id":1,"note":"A"}"#)),
            (source(2), text("2"), text(r#"{"id":2,"note":"B"}"#)),
            (source(4), text("1"), None),
        ]
    );
    let rest: Vec<_> = kafka::received(&services::kafka(), &rest).into_iter().map(|event| event.value).collect();
    assert_eq!(rest, [text(r#"{"id":2}"#)]);
    let letters = letters(&scene.dead);
    assert_eq!(letters.len(), 2, "{letters:?}");
    is_letter(&letters[0], &records[1], &source(1), "decode", "invalid-utf8");
    is_letter(&letters[1], &records[3], &source(3), "check", "check");
}

/// What one event is refused for is its record's fault, and no part of the refused transactions is seen.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_is_refused_costs_its_record_alone() {
    let scene = Scene::new(1);
    let derived = kafka::topic(1);
    // Twice it is more than the 1 MiB that the topic takes; at random, for the topic's limit is for compressed batches.
    let long: String = std::iter::repeat_with(fastrand::alphanumeric).take(700_000).collect();
    let value = |id: usize| match id {
        20 => format!(r#"{{"id":{id},"note":"{long}"}}"#),
        _ => format!(r#"{{"id":{id},"note":"ab"}}"#),
    };
    let values: Vec<String> = (0..40).map(value).collect();
    kafka::send(&scene.topic, 0, values.iter().map(|value| sent("k", Some(value.as_bytes()))));
    let section = format!(
        "[sink]\nkafka = true\n[[topic]]\nname = \"{derived}\"\nsql = \"SELECT id, note || note AS note FROM input\"\n"
    );
    scene.run_to(scene.pipeline(&section), 40).await;
    let mut found: Vec<_> = kafka::received(&services::kafka(), &derived)
        .iter()
        .map(|event| event.header("tidegate-source").unwrap().split('/').nth(2).unwrap().parse::<i64>().unwrap())
        .collect();
    found.sort_unstable();
    assert_eq!(found, (0..40).filter(|id| *id != 20).collect::<Vec<_>>());
    let letters = letters(&scene.dead);
    assert_eq!(letters.len(), 1);
    let source = format!("{}/0/20/0", scene.topic);
    is_letter(&letters[0], &sent("k", Some(values[20].as_bytes())), &source, "write", "too-large");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_topic_blocks_until_it_is_there_also_one_of_dead_letters() {
    let scene = Scene { dead: kafka::unique("t"), ..Scene::new(1) };
    let derived = kafka::unique("t");
    let section = format!("[sink]\nkafka = true\n[[topic]]\nname = \"{derived}\"\nsql = \"SELECT id FROM input\"\n");
    kafka::send(&scene.topic, 0, [sent("k", Some(br#"{"id":1}"#))]);
    let running = Running::start(scene.pipeline(&section));
    let blocked = async |topic: &str| {
        eventually(&format!("it is blocked by {topic}"), PATIENCE, || async {
            running.status.state() == State::Blocked
                && running.problems().contains(&format!("create the topic {topic}"))
        })
        .await;
    };
    blocked(&derived).await;
    kafka::create(&derived, 1);
    scene.comes_to(&running, 0, 1).await;
    kafka::send(&scene.topic, 0, [sent("k", Some(b"{")), sent("k", Some(br#"{"id":2}"#))]);
    blocked(&scene.dead).await;
    assert_eq!(scene.position(0), Some(1));
    kafka::create(&scene.dead, 1);
    scene.comes_to(&running, 0, 3).await;
    assert_eq!(running.stop().await, Ending::Drained);
    assert_eq!(kafka::received(&services::kafka(), &derived).len(), 2);
    assert_eq!(letters(&scene.dead).len(), 1);
}

/// `start` is resolved once, for all partitions; what appears later begins at its first record.
#[tokio::test(flavor = "multi_thread")]
async fn the_first_positions_are_stored_before_anything_is_read() {
    let scene = Scene::new(2);
    let derived = kafka::topic(1);
    let section = format!("[sink]\nkafka = true\n[[topic]]\nname = \"{derived}\"\nsql = \"SELECT id FROM input\"\n");
    let latest = || {
        let mut pipeline = scene.pipeline(&section);
        pipeline.source.start = Start::Latest;
        pipeline
    };
    let two = [sent("k", Some(br#"{"id":1}"#)), sent("k", Some(br#"{"id":2}"#))];
    kafka::send(&scene.topic, 0, two.clone());
    kafka::send(&scene.topic, 1, two.clone());
    let running = Running::start(latest());
    scene.comes_to(&running, 0, 2).await;
    scene.comes_to(&running, 1, 2).await;
    assert_eq!(running.stop().await, Ending::Drained);
    kafka::send(&scene.topic, 0, two.clone());
    kafka::grow(&scene.topic, 3);
    kafka::send(&scene.topic, 2, two.clone());
    let running = Running::start(latest());
    scene.comes_to(&running, 0, 4).await;
    scene.comes_to(&running, 2, 2).await;
    assert_eq!(running.stop().await, Ending::Drained);
    assert_eq!(scene.position(1), Some(2));
    assert_eq!(kafka::received(&services::kafka(), &derived).len(), 4);
}

/// Of a database's pipeline: the record is passed when its dead letter is in the topic.
#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_of_a_table_go_into_a_topic() {
    for kind in ALL {
        let scene = Scene::new(1);
        let database = TestDatabase::new(kind).await;
        database.execute("CREATE TABLE notes (id bigint NOT NULL PRIMARY KEY, note varchar(200) NOT NULL)").await;
        let url = &database.url;
        let records = [
            sent("a", Some(br#"{"id":1,"note":"a"}"#)),
            sent("b", Some(b"{")),
            // The database takes no null.
            sent("c", Some(br#"{"id":2,"note":null}"#)),
            sent("d", Some(br#"{"id":3,"note":"d"}"#)),
        ];
        kafka::send(&scene.topic, 0, records.clone());
        let section =
            format!("[sink]\nurl = \"{url}\"\n[[table]]\nname = \"notes\"\nkey = [\"id\"]\ndeletes = \"ignore\"\n");
        scene.run_to(scene.pipeline(&section), 4).await;
        assert_eq!(database.number("SELECT count(*) FROM notes").await, 2, "{kind:?}");
        assert_eq!(database.number("SELECT count(*) FROM tidegate_dead_letters").await, 0, "{kind:?}");
        let mut letters = letters(&scene.dead);
        letters.sort_by_key(|letter| letter.header("tidegate-offset").map(str::to_owned));
        assert_eq!(letters.len(), 2, "{kind:?}: {letters:?}");
        let source = |offset: usize| format!("{}/0/{offset}/0", scene.topic);
        is_letter(&letters[0], &records[1], &source(1), "decode", "invalid-json");
        is_letter(&letters[1], &records[2], &source(2), "write", "not-null");
        let has_code = letters[1].header("tidegate-code").is_some_and(|code| !code.is_empty());
        assert!(has_code, "{kind:?}: {:?}", letters[1]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_topic_of_dead_letters_holds_the_tables_rows_back() {
    let scene = Scene { dead: kafka::unique("t"), ..Scene::new(1) };
    let database = TestDatabase::new(Kind::Sqlite).await;
    database.execute("CREATE TABLE notes (id bigint, note text)").await;
    kafka::send(&scene.topic, 0, [sent("a", Some(br#"{"id":1}"#)), sent("b", Some(b"{"))]);
    let section = format!("[sink]\nurl = \"{}\"\n[[table]]\nname = \"notes\"\n", database.url);
    let running = Running::start(scene.pipeline(&section));
    eventually("it is blocked", PATIENCE, || async { running.status.state() == State::Blocked }).await;
    let told = running.problems();
    assert!(told.contains(&format!("create the topic {}", scene.dead)) && told.contains("dead_letters"), "{told}");
    assert_eq!(database.number("SELECT count(*) FROM notes").await, 0, "no row before the dead letter");
    kafka::create(&scene.dead, 1);
    scene.comes_to(&running, 0, 2).await;
    assert_eq!(running.stop().await, Ending::Drained);
    assert_eq!(database.number("SELECT count(*) FROM notes").await, 1);
    assert_eq!(letters(&scene.dead).len(), 1);
}

/// With `[privacy]` nothing of the record is in the topic in clear.
#[tokio::test(flavor = "multi_thread")]
async fn private_records_are_dead_letters_that_only_the_key_opens() {
    const CANARY: &str = "c4n4ry";
    let scene = Scene::new(1);
    let derived = kafka::topic(1);
    let section = format!(
        "[sink]\nkafka = true\n[[topic]]\nname = \"{derived}\"\nsql = \"SELECT id FROM input\"\n\
         [keys.k1]\nvalue = \"AAgQGCAoMDhASFBYYGhweICIkJigqLC4wMjQ2ODo8Pg=\"\n\
         [privacy]\ncolumns = [\"note\"]\nkey = \"k1\"\n"
    );
    let value = format!(r#"{{"id":"x","note":"{CANARY}"}}"#);
    let record = Sent { headers: vec![("who", Some(CANARY.as_bytes()))], ..sent(CANARY, Some(value.as_bytes())) };
    kafka::send(&scene.topic, 0, [record]);
    let pipeline = scene.pipeline(&section);
    scene.run_to(pipeline.clone(), 1).await;
    let letter = letters(&scene.dead).remove(0);
    let headers = letter.headers.iter().filter_map(|(_, value)| value.clone());
    let all: Vec<u8> = headers.chain(letter.key.clone()).chain(letter.value.clone()).flatten().collect();
    assert!(!String::from_utf8_lossy(&all).contains(CANARY), "{letter:?}");
    let kept = DeadLetter {
        topic: scene.topic.clone(),
        partition: 0,
        offset: 0,
        timestamp: None,
        key: letter.key.clone(),
        value: letter.value.clone(),
        headers: letter.header("tidegate-headers").expect("ours").to_owned(),
        fault: Fault { stage: Stage::Decode, class: "", code: String::new(), reason: String::new(), column: None },
    };
    let opened = kept.opened(&pipeline.keys).expect("the key opens it");
    assert_eq!((opened.key.as_deref(), opened.value.as_deref()), (Some(CANARY.as_bytes()), Some(value.as_bytes())));
    assert!(opened.headers.contains("who"), "{}", opened.headers);
}

/// The example's own file, on topics of the test's own.
#[tokio::test(flavor = "multi_thread")]
async fn the_example_runs() {
    let scene = Scene::new(1);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/topic-to-topic.toml");
    let environment = Environment::from_iter([
        ("TIDEGATE__SOURCE__BROKERS", services::kafka().as_str()),
        ("TIDEGATE__SOURCE__TOPICS", scene.topic.as_str()),
        ("TIDEGATE__SOURCE__INSTANCE", "none"),
        ("TIDEGATE__SOURCE__GROUP", format!("tidegate-{}", scene.name).as_str()),
        ("TIDEGATE__ERRORS__DEAD_LETTERS", format!("topic:{}", scene.dead).as_str()),
    ]);
    let loaded = load_pipelines(&[path], &environment);
    let mut pipeline = loaded.unwrap_or_else(|problems| panic!("{problems}")).remove(0);
    pipeline.name.clone_from(&scene.name);
    pipeline.topics.iter_mut().for_each(|topic| topic.name = kafka::topic(1));
    let names: Vec<String> = pipeline.topics.iter().map(|topic| topic.name.clone()).collect();
    let values = [
        r#"{"payment_id":1,"account":"a","amount":"250.00","currency":"eur","at":"2026-11-01T00:00:00Z"}"#,
        r#"{"payment_id":2,"account":"b","amount":"10000.00","currency":"usd","at":"2026-11-01T00:00:00Z"}"#,
        r#"{"payment_id":3,"account":"b","amount":"0.00","currency":"usd","at":"2026-11-01T00:00:00Z"}"#,
    ];
    kafka::send(&scene.topic, 0, values.iter().map(|value| sent("k", Some(value.as_bytes()))));
    scene.run_to(pipeline, 3).await;
    let values = |topic: &str| -> Vec<_> {
        kafka::received(&services::kafka(), topic).into_iter().map(|event| event.value.unwrap()).collect()
    };
    assert_eq!(
        values(&names[0]),
        [
            r#"{"payment_id":1,"account":"a","amount":250.00,"currency":"EUR","at":"2026-11-01T00:00:00Z"}"#,
            r#"{"payment_id":2,"account":"b","amount":10000.00,"currency":"USD","at":"2026-11-01T00:00:00Z"}"#
        ]
    );
    assert_eq!(values(&names[1]), [r#"{"payment_id":2,"account":"b","amount":10000.00}"#]);
    assert_eq!(letters(&scene.dead).len(), 1);
}

/// `check` looks at the topics; `plan` and `migrate` have nothing to ask a database.
#[tokio::test(flavor = "multi_thread")]
async fn the_commands_know_pipelines_without_a_database() {
    let scene = Scene { dead: kafka::unique("t"), ..Scene::new(1) };
    let derived = kafka::topic(1);
    scene.pipeline(&format!(
        "[sink]\nkafka = true\n[[topic]]\nname = \"{derived}\"\nkey = \"id\"\nsql = \"SELECT id, id * 2 AS twice FROM input\"\n"
    ));
    let run = |command: &str| {
        let file = scene.folder.path().join("pipeline.toml");
        let output = Command::new(env!("CARGO_BIN_EXE_tidegate")).arg(command).arg(file).output().expect("it runs");
        let told = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(told).expect("text"))
    };
    let (code, told) = run("check");
    assert_eq!(code, Some(2), "{told}");
    assert!(told.contains(&format!("topic {}, which dead letters go to, does not exist", scene.dead)), "{told}");
    kafka::create(&scene.dead, 1);
    let (code, told) = run("check");
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains(&format!("topic {derived}: 1 partitions")), "{told}");
    let (code, told) = run("plan");
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains(&format!("topic {derived} (key id")) && told.contains("twice bigint"), "{told}");
    let (code, told) = run("migrate");
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("there are no tables"), "{told}");
}
