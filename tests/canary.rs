//! A canary in every secret and in every private value, records that fail in every stage: nothing that the daemon and
//! the commands tell has the canary in it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tidegate::config::{Environment, load_pipelines};
use tidegate::dead_letter::{DeadLetter, Fault, Stage};
use tidegate::keys::Keys;

use crate::support::daemon::{Daemon, eventually};
use crate::support::database::{ALL, Kind, TestDatabase};
use crate::support::kafka::{self, Sent};
use crate::support::services;

const PATIENCE: Duration = Duration::from_secs(120);
const CANARY: &str = "c4n4ry";
const PASSWORD: &str = "C4n4ry-1-c4n4ry";

/// The canary as it is, in hex, in base64 at each place of its groups, and as a list of bytes.
fn needles(key: &str) -> Vec<String> {
    let bytes = format!("{:?}", CANARY.as_bytes());
    let in_base64 = |before: usize| {
        let text = STANDARD.encode([&vec![0; before], CANARY.as_bytes()].concat());
        // The first and the last digits hold bits of the neighbours.
        text.trim_end_matches('=')[(before * 8).div_ceil(6)..].split_at(6).0.to_owned()
    };
    let mut needles = vec![CANARY.to_owned(), hex::encode(CANARY), bytes.trim_matches(['[', ']']).to_owned()];
    needles.extend((0..3).map(in_base64));
    needles.extend([key.to_owned(), hex::encode(STANDARD.decode(key).expect("base64"))]);
    needles
}

struct Scene {
    database: TestDatabase,
    /// The URL with a password that holds the canary, where the database has passwords.
    url: String,
    /// What removes its role.
    farewell: Vec<String>,
    topic: String,
    derived: String,
    key: String,
    folder: tempfile::TempDir,
}

impl Scene {
    async fn new(kind: Kind) -> Self {
        let database = TestDatabase::new(kind).await;
        let (text, instant, decimal, strict) = match kind {
            Kind::Postgres => ("varchar(40)", "timestamptz", "numeric(12,2)", ""),
            Kind::MariaDb | Kind::MySql => ("varchar(40)", "datetime(6)", "decimal(12,2)", ""),
            Kind::Sqlite => ("TEXT CHECK (length(email) <= 40)", "TEXT", "REAL", " STRICT"),
        };
        let int = if kind == Kind::Sqlite { "INTEGER" } else { "bigint" };
        let ddl = format!(
            "CREATE TABLE people (id {int} NOT NULL PRIMARY KEY, email {text} NOT NULL UNIQUE, note {int}, \
             amount {decimal} CHECK (amount >= 0), at {instant}){strict}"
        );
        database.execute(&ddl).await;
        let (url, farewell) = with_password(&database).await;
        let folder = tempfile::tempdir().expect("a folder");
        let key = STANDARD.encode(std::array::from_fn::<u8, 32, _>(|_| fastrand::u8(..)));
        Self { database, url, farewell, topic: kafka::topic(2), derived: kafka::topic(1), key, folder }
    }

    fn file(&self) -> PathBuf {
        let (brokers, topic, derived) = (services::kafka(), &self.topic, &self.derived);
        let text = format!(
            r#"
name = "{name}"
[source]
brokers = ["{brokers}"]
topics = ["{topic}"]
instance = "none"
[source.columns]
id = "bigint"
email = "text"
note = "text"
code = "text"
cipher = "text"
filler = "text"
amount = "decimal(12,2)"
at = "timestamptz"
tenant = {{ type = "text", header = "tenant" }}
[sink]
url = "${{file:url}}"
[keys.k1]
value = "${{file:key}}"
[privacy]
columns = ["email", "note"]
key = "k1"
[[check]]
name = "email"
sql = "email LIKE '%@%'"
[[check]]
name = "code"
sql = "code IS NULL OR 100 / CAST(code AS bigint) > 0"
[[table]]
name = "people"
sql = "SELECT id, email, CAST(coalesce(decrypt(cipher), note) AS bigint) AS note, amount, at FROM input"
[[topic]]
name = "{derived}"
key = "id"
sql = "SELECT id, mask(email) AS email, filler || filler AS filler FROM input"
[[test]]
name = "a person"
input = [{{ value = {{ id = 1, email = "a@b" }} }}]
expect = {{ people = [{{ id = 1, email = "a@b" }}] }}
"#,
            name = kafka::unique("canary"),
        );
        let file = self.folder.path().join("people.toml");
        for (name, text) in [("url", &self.url), ("key", &self.key), ("people.toml", &text)] {
            std::fs::write(self.folder.path().join(name), text).expect("a file");
        }
        file
    }

    /// The dead letters as they were before they were encrypted; the second is the stage.
    async fn opened(&self, keys: &Keys) -> Vec<(DeadLetter, String, String)> {
        let database = &self.database;
        let (part, offset) = (database.text("part"), database.text("record_offset"));
        let (key, value) = (database.bytes_as_text("record_key"), database.bytes_as_text("record_value"));
        let sql = format!("SELECT {part}, {offset}, {key}, {value}, headers, stage, class FROM tidegate_dead_letters");
        let letter = |row: Vec<Option<String>>| {
            let text = |index: usize| row[index].clone().expect("no null");
            let bytes = |index: usize| row[index].clone().map(String::into_bytes);
            let fault =
                Fault { stage: Stage::Write, class: "", code: String::new(), reason: String::new(), column: None };
            let letter = DeadLetter {
                topic: self.topic.clone(),
                partition: text(0).parse().expect("a number"),
                offset: text(1).parse().expect("a number"),
                timestamp: None,
                key: bytes(2),
                value: bytes(3),
                headers: text(4),
                fault,
            };
            (letter.opened(keys).unwrap_or_else(|error| panic!("{error}")), text(5), text(6))
        };
        let mut letters: Vec<_> = database.texts(&sql).await.into_iter().map(letter).collect();
        letters.sort_by_key(|(letter, ..)| letter.offset);
        letters
    }

    /// Every row of our own tables, as one text.
    async fn own_tables(&self) -> String {
        let database = &self.database;
        let columns = [
            ("tidegate_dead_letters", "pipeline topic headers stage class code reason column_name"),
            ("tidegate_positions", "pipeline topic cluster_id topic_id owner"),
            ("tidegate_meta", "name value"),
        ];
        let mut all = String::new();
        for (table, columns) in columns {
            let columns: Vec<String> = columns.split(' ').map(|column| database.text(column)).collect();
            let rows = database.texts(&format!("SELECT {} FROM {table}", columns.join(", "))).await;
            all.push_str(&format!("{table}: {rows:?}\n"));
        }
        let bytes = [database.bytes_as_text("record_key"), database.bytes_as_text("record_value")];
        let rows = database.texts(&format!("SELECT {} FROM tidegate_dead_letters", bytes.join(", "))).await;
        all + &format!("{rows:?}")
    }
}

/// The URL of a role of the test's own, with the canary in its password, and what removes the role. SQLite has none.
async fn with_password(database: &TestDatabase) -> (String, Vec<String>) {
    if database.kind == Kind::Sqlite {
        return (database.url.clone(), Vec::new());
    }
    let mut url = url::Url::parse(&database.url).expect("a URL");
    let name = url.path().trim_start_matches('/').to_owned();
    let role = format!("u{:012x}", fastrand::u64(..1 << 48));
    let statements = match database.kind {
        Kind::Postgres => vec![
            format!("CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'"),
            format!("GRANT ALL ON SCHEMA public TO {role}"),
            format!("GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}"),
        ],
        _ => ["%", "localhost"]
            .iter()
            .flat_map(|host| {
                [
                    format!("CREATE USER {role}@'{host}' IDENTIFIED BY '{PASSWORD}'"),
                    format!("GRANT ALL ON {name}.* TO {role}@'{host}'"),
                ]
            })
            .collect(),
    };
    for statement in statements {
        database.execute(&statement).await;
    }
    url.set_username(&role).expect("a URL with a host");
    url.set_password(Some(PASSWORD)).expect("a URL with a host");
    let farewell = match database.kind {
        Kind::Postgres => vec![format!("DROP OWNED BY {role} CASCADE"), format!("DROP ROLE {role}")],
        _ => ["%", "localhost"].map(|host| format!("DROP USER {role}@'{host}'")).into(),
    };
    (url.into(), farewell)
}

/// What each record fails by: its value, then stage and class of its dead letter (of any database).
fn poison(filler: &str) -> Vec<(Vec<u8>, &'static str, &'static [&'static str])> {
    let long = CANARY.repeat(8);
    let mut records: Vec<(Vec<u8>, &str, &[&str])> = [
        (format!(r#"{{"id": {CANARY}"#), "decode", &["invalid-json"][..]),
        (format!(r#"{{"id": "{CANARY}"}}"#), "decode", &["wrong-type"]),
        (format!(r#"{{"id": {{"{CANARY}": 1}}}}"#), "decode", &["wrong-type"]),
        (format!(r#"{{"id": 3, "at": "{CANARY}"}}"#), "decode", &["invalid-timestamp"]),
        (format!(r#"{{"id": 4, "amount": "{CANARY}"}}"#), "decode", &["wrong-type"]),
        (format!(r#"{{"id": 5, "email": "{CANARY}"}}"#), "check", &["check"]),
        (format!(r#"{{"id": 6, "email": "a@6", "code": "{CANARY}"}}"#), "check", &["wrong-type"]),
        (format!(r#"{{"id": 7, "email": "a@7", "note": "{CANARY}"}}"#), "transform", &["wrong-type"]),
        (format!(r#"{{"id": 8, "email": "a@8", "cipher": "{CANARY}"}}"#), "transform", &["decrypt"]),
        (format!(r#"{{"id": 9, "email": "{CANARY}@1"}}"#), "write", &["unique"]),
        (format!(r#"{{"id": 10, "email": "{long}@"}}"#), "write", &["too-long", "check"]),
        (format!(r#"{{"id": 11, "email": null, "tenant": "{CANARY}"}}"#), "write", &["not-null"]),
        (format!(r#"{{"id": 12, "email": "{CANARY}@12", "amount": -1}}"#), "write", &["check"]),
        (format!(r#"{{"id": 13, "email": "{CANARY}@13", "filler": "{filler}"}}"#), "write", &["too-large"]),
    ]
    .into_iter()
    .map(|(value, stage, classes)| (value.into_bytes(), stage, classes))
    .collect();
    records.push((
        [b"{\"id\": 14, \"email\": \"\xff", CANARY.as_bytes(), b"\"}"].concat(),
        "decode",
        &["invalid-utf8"],
    ));
    records
}

async fn nothing_tells(kind: Kind) {
    let scene = Scene::new(kind).await;
    let file = scene.file();
    let needles = needles(&scene.key);
    let is_silent = |what: &str, text: &str| {
        for needle in &needles {
            if let Some(at) = text.find(needle.as_str()) {
                let line = text[..at].lines().count().saturating_sub(1);
                let line: String = text.lines().nth(line).unwrap_or_default().chars().take(400).collect();
                panic!("{kind:?}: {what} tells {needle}: {line}");
            }
        }
    };
    for arguments in
        [&["check"][..], &["plan"], &["plan", "--output", "json"], &["test"], &["test", "--output", "json"]]
    {
        let (code, told) = tidegate(arguments, &file);
        is_silent(&arguments.join(" "), &told);
        assert_eq!(code, Some(0), "{kind:?}: {arguments:?}: {told}");
    }
    let daemon = Daemon::start_with(&file, &[], &[("TIDEGATE__LOG__LEVEL", "trace")]);
    let filler: String = std::iter::repeat_with(fastrand::alphanumeric).take(700_000).chain(CANARY.chars()).collect();
    let poison = poison(&filler);
    let good = format!(r#"{{"id": 1, "email": "{CANARY}@1"}}"#);
    let key = format!("{CANARY}-key");
    let record = |value| Sent {
        key: Some(key.as_bytes()),
        value: Some(value),
        headers: vec![("tenant", Some(CANARY.as_bytes())), (CANARY, None)],
    };
    // The good one first: another violates its unique e-mail address.
    kafka::send(&scene.topic, 0, [record(good.as_bytes())]);
    let stored = "SELECT count(*) FROM people";
    eventually("the good record", PATIENCE, || async { scene.database.number(stored).await == 1 }).await;
    kafka::send(&scene.topic, 0, poison.iter().map(|(value, ..)| record(value)));
    let dead = "SELECT count(*) FROM tidegate_dead_letters";
    eventually("every dead letter", PATIENCE, || async { scene.database.number(dead).await == poison.len() as i64 })
        .await;
    for page in ["/metrics", "/readyz", "/healthz", "/"] {
        let (_, body) = daemon.get(page).expect("it answers");
        is_silent(page, &body);
    }
    let process = format!("/proc/{}", daemon.pid().as_raw_nonzero());
    is_silent("the command line", &std::fs::read_to_string(format!("{process}/cmdline")).unwrap_or_default());
    let limits = std::fs::read_to_string(format!("{process}/limits")).expect("Linux");
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).expect("a limit");
    assert!(core.split_whitespace().nth(4) == Some("0"), "no core dump: {core}");
    is_silent("our own tables", &scene.own_tables().await);
    // What SQL stores in clear is in clear: the search does find it.
    let emails = scene.database.texts("SELECT email FROM people").await;
    assert!(needles.iter().any(|needle| format!("{emails:?}").contains(needle.as_str())), "{kind:?}: {emails:?}");
    for event in kafka::received(&services::kafka(), &scene.derived) {
        is_silent("a derived event", &format!("{:?} {:?} {:?}", event.key, event.value, event.headers));
    }
    let log = daemon.log();
    assert_eq!(daemon.stop(), 0);
    is_silent("the log", &log);
    assert!(log.contains("bad record: "), "{kind:?}: the log has reasons: {log}");
    all_are_there(kind, &scene, &file, &poison, key.as_bytes()).await;
    // Connections that fail: by the password, where the server looks at it, and by the database.
    for url in [scene.url.replace(PASSWORD, "C4n4ry-2-c4n4ry"), format!("{}x", scene.url)] {
        std::fs::write(scene.folder.path().join("url"), url).expect("a file");
        for arguments in [&["check"][..], &["plan"]] {
            is_silent("a refused connection", &tidegate(arguments, &file).1);
        }
    }
    for statement in &scene.farewell {
        scene.database.execute(statement).await;
    }
}

/// The test is one: every record failed where it was to, and is there as it was.
async fn all_are_there(kind: Kind, scene: &Scene, file: &Path, poison: &[(Vec<u8>, &str, &[&str])], key: &[u8]) {
    let pipelines = load_pipelines(&[file.to_owned()], &Environment::default());
    let keys = pipelines.unwrap_or_else(|problems| panic!("{problems}")).remove(0).keys;
    let letters = scene.opened(&keys).await;
    let (mut stages, mut unexpected) = (BTreeSet::new(), Vec::new());
    for ((letter, stage, class), (value, expected, classes)) in letters.iter().zip(poison) {
        let shown = String::from_utf8_lossy(&value[..value.len().min(80)]).into_owned();
        assert_eq!((letter.key.as_deref(), letter.value.as_ref()), (Some(key), Some(value)), "{kind:?}: {shown}");
        assert!(letter.headers.contains(&STANDARD.encode(CANARY)), "{kind:?}: {}", letter.headers);
        assert_eq!(stage, expected, "{kind:?}: {shown}: {class}");
        if !classes.contains(&class.as_str()) {
            unexpected.push(format!("{shown}: {class}"));
        }
        stages.insert(stage.as_str());
    }
    assert!(unexpected.is_empty(), "{kind:?}: {unexpected:#?}");
    assert_eq!(stages.len(), 4, "{kind:?}: {stages:?}");
}

/// Exit code, standard output and standard error.
fn tidegate(arguments: &[&str], file: &Path) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_tidegate")).args(arguments).arg(file).output().expect("it runs");
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&text).into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_and_no_private_value_is_told() {
    for kind in ALL {
        nothing_tells(kind).await;
    }
}
