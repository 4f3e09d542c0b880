//! `[keys]`, `[privacy]`, and the functions that hide values, into real tables.

use tidegate::config::{Environment, Pipeline, load_pipelines};
use tidegate::dead_letter::{DeadLetter, Fault, Stage};
use tidegate::keys::Keys;
use tidegate::pipeline::{Queries, Rehearsal};
use tidegate::privacy::NotOpened;

use super::Scene;
use crate::support::database::{ALL, Kind};
use crate::support::services;

const K1: &str = "AAgQGCAoMDhASFBYYGhweICIkJigqLC4wMjQ2ODo8Pg=";
const K2: &str = "0b7c1f2e3d4c5b6a798897a6b5c4d3e2f10f1e2d3c4b5a69788796a5b4c3d2e1";

fn with_key(privacy: &str) -> String {
    format!(
        "[source.columns]\nid = \"bigint\"\nemail = \"text\"\n[[table]]\nname = \"people\"\nmode = \"append\"\n\
         sql = \"SELECT id, email FROM input\"\n[keys.k1]\nvalue = \"{K1}\"\n{privacy}"
    )
}

const DDL: [&str; 1] = ["CREATE TABLE people (id bigint NOT NULL PRIMARY KEY, email {text} NOT NULL)"];

/// The dead letters as the table has them.
async fn dead_letters(scene: &Scene) -> Vec<DeadLetter> {
    let database = &scene.database;
    let (key, value) = (database.bytes_as_text("record_key"), database.bytes_as_text("record_value"));
    let offset = database.text("record_offset");
    let sql =
        format!("SELECT {offset}, {key}, {value}, headers, reason FROM tidegate_dead_letters ORDER BY record_offset");
    let letter = |row: Vec<Option<String>>| {
        let text = |index: usize| row[index].clone().expect("no null");
        let bytes = |index: usize| row[index].clone().map(String::into_bytes);
        DeadLetter {
            topic: scene.topic.clone(),
            partition: 0,
            offset: text(0).parse().expect("a number"),
            timestamp: None,
            key: bytes(1),
            value: bytes(2),
            headers: text(3),
            fault: Fault { stage: Stage::Write, class: "", code: String::new(), reason: text(4), column: None },
        }
    };
    database.texts(&sql).await.into_iter().map(letter).collect()
}

const HEADERS: &str = r#"[["tenant","YWNtZQ=="]]"#;

const RECORDS: [(&str, Option<&str>); 4] = [
    ("anna", Some(r#"{"id": 1, "email": "anna@example.org"}"#)),
    // The database refuses it, the decoder refuses it, and no decoder takes it.
    ("bert", Some(r#"{"id": 1, "email": "bert@example.org"}"#)),
    ("cleo", Some(r#"{"id": "x", "email": "cleo@example.org"}"#)),
    ("dora", Some("dora@example.org")),
];

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_encrypted_and_opened_with_the_key() {
    for kind in ALL {
        let mut scene = Scene::new(kind, &DDL, &with_key("[privacy]\ncolumns = [\"email\"]\nkey = \"k1\"\n")).await;
        scene.send(&RECORDS);
        scene.run().await;
        let keys = scene.pipeline().keys;
        let letters = dead_letters(&scene).await;
        assert_eq!(letters.len(), 3, "{kind:?}");
        for (letter, (key, value)) in letters.into_iter().zip(&RECORDS[1..]) {
            assert!(letter.headers.starts_with(r#"{"encrypted":"tg1.k1."#), "{kind:?}: {}", letter.headers);
            assert!(!format!("{letter:?}").contains("example"), "{kind:?}: {letter:?}");
            assert_eq!(letter.clone().opened(&Keys::default()), Err(NotOpened::UnknownKey("k1".to_owned())));
            let opened = letter.opened(&keys).unwrap_or_else(|error| panic!("{kind:?}: {error}"));
            assert_eq!(opened.key.as_deref(), Some(key.as_bytes()), "{kind:?}");
            assert_eq!(opened.value.as_deref(), value.map(str::as_bytes), "{kind:?}");
            assert_eq!(opened.headers, HEADERS, "{kind:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_key_dead_letters_keep_no_record_and_without_privacy_all_of_it() {
    let mut scene = Scene::new(Kind::Sqlite, &DDL, &with_key("[privacy]\ncolumns = [\"email\"]\n")).await;
    scene.send(&RECORDS);
    scene.run().await;
    for letter in dead_letters(&scene).await {
        assert_eq!((letter.key.as_deref(), letter.value.as_deref()), (Some(&b"withheld"[..]), Some(&b"withheld"[..])));
        assert!(letter.fault.reason.ends_with("cannot be replayed"), "{}", letter.fault.reason);
        assert_eq!(letter.opened(&Keys::default()), Err(NotOpened::Withheld));
    }
    let mut scene = Scene::new(Kind::Sqlite, &DDL, &with_key("")).await;
    scene.send(&RECORDS);
    scene.run().await;
    for (letter, (key, value)) in dead_letters(&scene).await.into_iter().zip(&RECORDS[1..]) {
        assert_eq!((letter.key.as_deref(), letter.value.as_deref()), (Some(key.as_bytes()), value.map(str::as_bytes)));
        assert_eq!(letter.headers, HEADERS);
        assert_eq!(letter.clone().opened(&Keys::default()), Ok(letter));
    }
}

/// `config/privacy.toml` as it is, with keys of its own.
fn example(scene: &Scene) -> Pipeline {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("config/privacy.toml");
    let folder = scene.folder.path();
    let text = std::fs::read_to_string(path).expect("the example");
    let text = text.replace("/run/secrets/", &format!("{}/", folder.display()));
    let file = folder.join("privacy.toml");
    for (name, text) in [("k1", K1), ("k2", K2), ("privacy.toml", text.as_str())] {
        std::fs::write(folder.join(name), text).expect("a file");
    }
    let environment = Environment::from_iter([
        ("DB_PASSWORD", "unused"),
        ("TIDEGATE__SINK__URL", scene.database.url.as_str()),
        ("TIDEGATE__SOURCE__BROKERS", services::kafka().as_str()),
        ("TIDEGATE__SOURCE__TOPICS", scene.topic.as_str()),
        ("TIDEGATE__SOURCE__INSTANCE", "none"),
    ]);
    let mut pipeline = load_pipelines(&[file], &environment).unwrap_or_else(|problems| panic!("{problems}")).remove(0);
    pipeline.name.clone_from(&scene.name);
    pipeline.source.group = format!("tidegate-{}", scene.name);
    pipeline
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_stores_nothing_private_in_clear() {
    let ddl = "CREATE TABLE people (person text PRIMARY KEY, email text NOT NULL, phone text, city text, seen_at timestamptz)";
    let mut scene = Scene::new(Kind::Postgres, &[ddl], "").await;
    let anna =
        r#"{"id":7,"email":"Anna@example.org","phone":"+49 40 1234567","city":"Hamburg","at":"2026-11-01T10:00:00Z"}"#;
    scene.send(&[("7", Some(anna)), ("8", Some(r#"{"id":8,"phone":"+49 40 1234567"}"#)), ("7", Some(anna))]);
    let pipeline = example(&scene);
    let keys = pipeline.keys.clone();
    scene.run_pipeline(pipeline).await;
    let rows = scene.rows("people", &["person", "email", "phone", "city"]).await;
    let [row] = rows.as_slice() else { panic!("one person, twice seen: {rows:?}") };
    let cells: Vec<&str> = row.split('|').collect();
    let person = keys.get("k1").expect("a key").hasher().hash(b"7");
    assert_eq!([cells[0], cells[2], cells[3]], [person.as_str(), "***********567", "Hamburg"]);
    let email = keys.opener().open(cells[1], b"column").expect("an encrypted e-mail");
    assert_eq!(email, b"anna@example.org");
    // The record without e-mail: refused by the table, kept encrypted.
    let letters = dead_letters(&scene).await;
    assert!(letters.len() == 1 && letters[0].clone().opened(&keys).is_ok(), "{letters:?}");
}

#[test]
fn what_encrypt_gives_is_no_key() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("p.toml");
    let load = |function: &str| {
        let text = format!(
            "name = \"p\"\n[source]\nbrokers = [\"b:1\"]\ntopics = [\"t\"]\n[source.columns]\nemail = \"text\"\n[sink]\n\
             url = \"sqlite://x.db\"\n[keys.k1]\nvalue = \"{K1}\"\n[[table]]\nname = \"a\"\nmode = \"upsert\"\n\
             deletes = \"ignore\"\nkey = [\"email\"]\nsql = \"SELECT {function}(email, 'k1') AS email FROM input\"\n\
             [[topic]]\nname = \"out\"\nkey = \"email\"\nsql = \"SELECT {function}(email, 'k1') AS email FROM input\"\n"
        );
        std::fs::write(&file, text).expect("a file");
        load_pipelines(std::slice::from_ref(&file), &Environment::default()).unwrap().remove(0)
    };
    let told = |function: &str| {
        let pipeline = load(function);
        let queries = Queries::plan(&pipeline).unwrap_or_else(|problems| panic!("{problems}"));
        Rehearsal::new(&pipeline, &queries).map(|_| ()).err().unwrap_or_default()
    };
    let problems = told("encrypt");
    assert_eq!(problems.len(), 2, "{problems:#?}");
    assert!(problems[0].contains("p.toml:16:15: table a") && problems[1].contains("topic out"), "{problems:#?}");
    assert!(problems.iter().all(|problem| problem.contains("use encrypt_deterministic or hash")), "{problems:#?}");
    assert!(told("encrypt_deterministic").is_empty() && told("hash").is_empty());
}
