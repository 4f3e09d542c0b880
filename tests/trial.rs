//! `tidegate try`: the real binary on a real Kafka and every database.

use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::support::database::{ALL, Kind, TestDatabase};
use crate::support::kafka::{self, End, Sent};
use crate::support::services;

fn send(topic: &str, partition: i32, values: &[&str]) {
    let sent = values.iter().map(|value| Sent { value: Some(value.as_bytes()), ..Sent::default() });
    kafka::send(topic, partition, sent);
}

struct Trial {
    folder: tempfile::TempDir,
    group: String,
}

impl Trial {
    fn new(topic: &str, url: &str, sections: &str) -> Self {
        let (folder, group) = (tempfile::tempdir().expect("a folder"), kafka::unique("g"));
        let brokers = services::kafka();
        let text = format!(
            "name = \"tried\"\n[source]\nbrokers = [\"{brokers}\"]\ntopics = [\"{topic}\"]\ngroup = \"{group}\"\n\
             {sections}\n[sink]\nurl = \"{url}\"\n"
        );
        std::fs::write(folder.path().join("tried.toml"), text).expect("a file");
        Self { folder, group }
    }

    fn run(&self, more: &[&str]) -> Output {
        let mut tidegate = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        tidegate.args(["try", "tried.toml"]).args(more).current_dir(self.folder.path()).output().expect("it runs")
    }

    /// What it tells machines, if it ended with this code.
    fn json(&self, code: i32, more: &[&str]) -> Value {
        let output = self.run(&[more, &["--output", "json"]].concat());
        let (text, told) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "{text}{told}");
        let reports: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}{told}"));
        reports[0].clone()
    }
}

const SECTIONS: &str = r#"
[source.columns]
id = "bigint"
sku = "text"
quantity = "int"
price = "decimal(12,2)"
at = "bigint"
[[table]]
name = "orders"
key = ["id"]
version = "at"
sql = "SELECT id, sku, quantity * price AS total, at FROM input WHERE quantity > 0"
"#;

const TABLE: &str =
    "CREATE TABLE orders (id bigint NOT NULL PRIMARY KEY, sku varchar(20) NOT NULL, total numeric(14,2), at bigint)";

#[tokio::test(flavor = "multi_thread")]
async fn rows_and_bad_records_are_shown_and_nothing_is_kept() {
    for kind in ALL {
        let database = TestDatabase::new(kind).await;
        // SQLite's own STRICT types differ.
        let table = if kind == Kind::Sqlite { TABLE.replace("numeric(14,2)", "text") } else { TABLE.to_owned() };
        database.execute(&format!("{table}; INSERT INTO orders VALUES (3, 'old', 1, 900)")).await;
        let (topic, derived) = (kafka::topic(1), kafka::topic(1));
        send(
            &topic,
            0,
            &[
                r#"{"id": 1, "sku": "a", "quantity": 2, "price": "1.50", "at": 1}"#,
                r#"{"id": 2, "quantity": 1, "price": "1.00", "at": 1}"#,
                r#"{"id": 3, "sku": "stale", "quantity": 1, "price": "1.00", "at": 1}"#,
                r#"{"id": 4, "sku": "many", "quantity": "many", "price": "1.00", "at": 1}"#,
                r#"{"id": 5, "sku": "filtered", "quantity": 0, "price": "1.00", "at": 1}"#,
                r#"{"id": 6, "sku": "b", "quantity": 3, "price": "9.99", "at": 1}"#,
            ],
        );
        let sections = format!(
            "{SECTIONS}[[topic]]\nname = \"{derived}\"\nkey = \"id\"\nsql = \"SELECT id, price FROM input WHERE quantity > 2\"\n"
        );
        let trial = Trial::new(&topic, &database.url, &sections);
        let report = trial.json(1, &[]);
        let place = |offset: u32| json!(format!("{topic}-0@{offset}"));
        assert_eq!(
            report["records"],
            json!([{ "partition": format!("{topic}-0"), "first": 0, "last": 5, "records": 6 }])
        );
        let orders = &report["tables"][0];
        let shown: Vec<(&Value, &Value)> =
            orders["rows"].as_array().unwrap().iter().map(|row| (&row["record"], &row["values"]["total"])).collect();
        let total = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        let expected = [(&place(0), &total("3.00")), (&place(2), &total("1.00")), (&place(5), &total("29.97"))];
        assert_eq!(shown, expected, "{kind:?}: {report}");
        let is_told = !matches!(kind, Kind::MySql | Kind::MariaDb);
        let (written, stale) = if is_told { (2, 1) } else { (3, 0) };
        let counts = (orders["written"].as_u64().unwrap(), orders["stale"].as_u64().unwrap());
        assert!(counts == (written, stale) || (!is_told && counts == (2, 1)), "{kind:?}: {report}");
        assert_eq!(orders["filtered"], 1);
        let bad: Vec<(&Value, &Value, &Value)> = report["bad"]
            .as_array()
            .unwrap()
            .iter()
            .map(|bad| (&bad["record"], &bad["stage"], &bad["class"]))
            .collect();
        let (write, decode) = (json!("write"), json!("decode"));
        assert_eq!((bad[0].0, bad[0].1, bad[0].2), (&place(1), &write, &json!("not-null")), "{kind:?}: {report}");
        assert_eq!((bad[1].0, bad[1].1, bad.len()), (&place(3), &decode, 2), "{kind:?}: {report}");
        assert_eq!(
            report["topics"][0]["events"],
            json!([{ "record": place(5), "key": "6", "value": { "id": 6, "price": 9.99 }, "headers": {} }])
        );
        // Nothing came of it anywhere.
        assert_eq!(database.number("SELECT count(*) FROM orders").await, 1, "{kind:?}");
        assert_eq!(database.number("SELECT count(*) FROM orders WHERE sku = 'old'").await, 1, "{kind:?}");
        let ours = match kind {
            Kind::Sqlite => "SELECT count(*) FROM sqlite_master WHERE name LIKE 'tidegate%'",
            Kind::Postgres => "SELECT count(*) FROM information_schema.tables WHERE table_name LIKE 'tidegate%'",
            _ => {
                "SELECT count(*) FROM information_schema.tables WHERE table_schema = database() AND table_name LIKE 'tidegate%'"
            }
        };
        assert_eq!(database.number(ours).await, 0, "{kind:?}: no table of ours is made");
        assert_eq!(kafka::committed(&trial.group, &topic, 0), None);
        assert!(kafka::received(&services::kafka(), &derived).is_empty(), "nothing is produced");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_for_a_person_and_exit_code_0_where_everything_fits() {
    let database = TestDatabase::new(Kind::Postgres).await;
    database.execute("CREATE TABLE things (id bigint PRIMARY KEY, note text, photo bytea)").await;
    let topic = kafka::topic(1);
    let long = "x".repeat(100);
    let with_long = format!(r#"{{"id": 2, "note": "{long}", "photo": "AP8="}}"#);
    send(&topic, 0, &[r#"{"id": 1, "note": "a\u001b[2Jb"}"#, &with_long]);
    kafka::send(&topic, 0, [Sent { key: Some(b"1"), ..Sent::default() }]);
    let trial = Trial::new(&topic, &database.url, "[[table]]\nname = \"things\"\nmode = \"upsert\"\n");
    let output = trial.run(&["-n", "3"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], format!("tried: 3 records ({topic}-0@0..2); everything was rolled back"));
    assert!(lines[2].starts_with("table public.things: 3 rows ("), "{text}");
    assert!(lines[3].contains("| record") && lines[3].contains("| op") && lines[3].contains("| photo"), "{text}");
    assert!(text.contains(&format!("| {topic}-0@0 | upsert | 1  | a\\u{{1b}}[2Jb")), "{text}");
    assert!(
        text.contains("(absent)") && text.contains("\\x00ff") && text.contains(&format!("{}…", "x".repeat(60))),
        "{text}"
    );
    assert!(text.lines().any(|line| line.contains("@2 | delete | 1 ")), "{text}");
    assert!(!text.contains('\u{1b}'), "{text}");
    assert_eq!(database.number("SELECT count(*) FROM things").await, 0);
    // The newest one alone, and an empty place.
    assert_eq!(trial.json(0, &["-n", "1"])["records"][0]["first"], 2);
    assert_eq!(trial.json(0, &["--from", "1", "-n", "1"])["records"][0]["first"], 1);
    assert_eq!(trial.json(0, &["--from", "earliest", "-n", "2"])["records"][0]["last"], 1);
    assert_eq!(trial.json(0, &["--from", "2100-01-01T00:00:00Z"])["records"], json!([]));
    let wrong = trial.run(&["--partition", "7"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("partition 7"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_records_are_found_behind_markers_and_in_several_partitions() {
    let database = TestDatabase::new(Kind::Sqlite).await;
    database.execute("CREATE TABLE numbers (n bigint)").await;
    let topic = kafka::topic(2);
    for _ in 0..8 {
        kafka::transaction(&topic, 0, 1, End::Commit);
    }
    kafka::transaction(&topic, 0, 20, End::Abort);
    let sections = "[source.columns]\nn = { type = \"bigint\", meta = \"offset\" }\nv = \"int\"\n\
                    [[table]]\nname = \"numbers\"\nmode = \"append\"\nsql = \"SELECT n FROM input\"\n";
    let trial = Trial::new(&topic, &database.url, sections);
    // Numbers are no objects, so the records are bad ones; what counts here is which are found.
    let report = trial.json(1, &["-n", "5"]);
    assert_eq!(report["records"][0]["records"], 5, "{report}");
    assert_eq!((&report["records"][0]["first"], &report["records"][0]["last"]), (&json!(6), &json!(14)), "{report}");
    send(&topic, 1, &["{}", "{}"]);
    let report = trial.json(1, &["-n", "5"]);
    let spans = report["records"].as_array().unwrap();
    assert_eq!((&spans[0]["records"], &spans[1]["records"]), (&json!(3), &json!(2)), "{report}");
    assert_eq!(trial.json(0, &["--partition", "1"])["tables"][0]["rows"].as_array().unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn scattered_bad_records_are_each_found_where_the_server_names_none() {
    for kind in [Kind::Postgres, Kind::MariaDb] {
        let database = TestDatabase::new(kind).await;
        database
            .execute("CREATE TABLE per_sku (sku varchar(20) PRIMARY KEY, pieces bigint, CHECK (pieces < 100))")
            .await;
        let topic = kafka::topic(1);
        let pieces = |n: usize| if [3, 17, 18].contains(&n) { 1000 } else { 1 };
        let values: Vec<String> =
            (0..40).map(|n| format!(r#"{{"sku": "s{}", "pieces": {}}}"#, n % 5, pieces(n))).collect();
        send(&topic, 0, &values.iter().map(String::as_str).collect::<Vec<_>>());
        // A sum accuses no record: they are found by halves.
        let sections = "[source.columns]\nsku = \"text\"\npieces = \"int\"\n[[table]]\nname = \"per_sku\"\nmode = \"merge\"\n\
                        key = [\"sku\"]\nmerge = { pieces = \"sum\" }\n\
                        sql = \"SELECT sku, sum(pieces) AS pieces FROM input GROUP BY 1\"\n";
        let report = Trial::new(&topic, &database.url, sections).json(1, &["-n", "40"]);
        let bad: Vec<&Value> = report["bad"].as_array().unwrap().iter().map(|bad| &bad["record"]).collect();
        let places: Vec<Value> = [3, 17, 18].iter().map(|offset| json!(format!("{topic}-0@{offset}"))).collect();
        assert_eq!(bad, places.iter().collect::<Vec<_>>(), "{kind:?}: {report}");
        let sum: i64 = report["tables"][0]["rows"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| row["values"]["pieces"].as_i64().unwrap())
            .sum();
        assert_eq!(sum, 37, "{kind:?}: {report}");
        assert_eq!(database.number("SELECT count(*) FROM per_sku").await, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_commit_would_refuse_is_seen() {
    let database = TestDatabase::new(Kind::Postgres).await;
    database
        .execute(
            "CREATE TABLE parents (id bigint PRIMARY KEY); INSERT INTO parents VALUES (1);
             CREATE TABLE children (id bigint PRIMARY KEY, parent bigint REFERENCES parents DEFERRABLE INITIALLY DEFERRED)",
        )
        .await;
    let topic = kafka::topic(1);
    send(&topic, 0, &[r#"{"id": 1, "parent": 1}"#, r#"{"id": 2, "parent": 2}"#, r#"{"id": 3, "parent": 1}"#]);
    let trial = Trial::new(&topic, &database.url, "[[table]]\nname = \"children\"\nkey = [\"id\"]\n");
    let report = trial.json(1, &[]);
    assert_eq!(report["bad"][0]["record"], format!("{topic}-0@1"), "{report}");
    assert_eq!(report["bad"][0]["class"], "foreign-key", "{report}");
    assert_eq!(report["tables"][0]["written"], 2, "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_table_and_a_missing_right_are_exit_code_2() {
    for kind in ALL {
        let database = TestDatabase::new(kind).await;
        let topic = kafka::topic(1);
        let output = Trial::new(&topic, &database.url, SECTIONS).run(&[]);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{kind:?}: {told}");
        assert!(told.contains("orders") && output.stdout.is_empty(), "{kind:?}: {told}");
    }
    let database = TestDatabase::new(Kind::Postgres).await;
    let role = kafka::unique("reader").replace('-', "_");
    database
        .execute(&format!("{TABLE}; CREATE ROLE {role} LOGIN PASSWORD 'reader'; GRANT SELECT ON orders TO {role}"))
        .await;
    let mut url = url::Url::parse(&database.url).unwrap();
    url.set_username(&role).unwrap();
    url.set_password(Some("reader")).unwrap();
    let output = Trial::new(&kafka::topic(1), url.as_str(), SECTIONS).run(&[]);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    database.execute(&format!("REVOKE ALL ON orders FROM {role}; DROP ROLE {role}")).await;
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(told.contains("INSERT"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_is_waited_for_shortly() {
    for kind in ALL {
        let database = TestDatabase::new(kind).await;
        database
            .execute(
                &format!("{TABLE}; INSERT INTO orders VALUES (1, 'held', 1, 1)")
                    .replace("numeric(14,2)", if kind == Kind::Sqlite { "text" } else { "numeric(14,2)" }),
            )
            .await;
        let topic = kafka::topic(1);
        send(&topic, 0, &[r#"{"id": 1, "sku": "a", "quantity": 2, "price": "1.50", "at": 2}"#]);
        let trial = Trial::new(&topic, &database.url, SECTIONS);
        // SQLite's file is in WAL mode from here on, as with a running pipeline.
        assert_eq!(trial.json(0, &[])["tables"][0]["rows"].as_array().unwrap().len(), 1, "{kind:?}");
        let begin = if kind == Kind::Sqlite { "BEGIN IMMEDIATE" } else { "BEGIN" };
        let held = database.hold(&format!("{begin}; UPDATE orders SET sku = 'mine' WHERE id = 1")).await;
        let output = trial.run(&[]);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{kind:?}: {told}");
        assert!(told.contains("another session's transaction holds a lock"), "{kind:?}: {told}");
        drop(held);
        assert_eq!(trial.json(0, &[])["tables"][0]["rows"].as_array().unwrap().len(), 1, "{kind:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn private_columns_and_what_is_made_of_them_are_not_shown() {
    let database = TestDatabase::new(Kind::Sqlite).await;
    database.execute("CREATE TABLE people (id bigint PRIMARY KEY, mail text, domain text); CREATE TABLE plain (id bigint, email text)").await;
    let (topic, derived) = (kafka::topic(1), kafka::topic(1));
    send(
        &topic,
        0,
        &[r#"{"id": 1, "email": "canary@example.org"}"#, r#"{"id": "canary", "email": "canary@example.org"}"#],
    );
    let sections = format!(
        "[source.columns]\nid = \"bigint\"\nemail = \"text\"\n[privacy]\ncolumns = [\"email\"]\n\
         [[table]]\nname = \"people\"\nkey = [\"id\"]\nsql = \"SELECT id, email AS mail, upper(email) AS domain FROM input\"\n\
         [[table]]\nname = \"plain\"\nmode = \"append\"\n\
         [[topic]]\nname = \"{derived}\"\nkey = \"email\"\nheaders = {{ mail = \"mail\" }}\n\
         sql = \"SELECT id, email, email AS mail FROM input\"\n"
    );
    let trial = Trial::new(&topic, &database.url, &sections);
    for output in [trial.run(&[]), trial.run(&["--output", "json"])] {
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(!text.to_lowercase().contains("canary"), "{text}");
        assert_eq!(text.matches("(private)").count(), 6, "{text}");
    }
}
