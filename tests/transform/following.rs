//! `from`: what follows from the rows that a transaction merged.

use std::collections::BTreeMap;

use tidegate::status::State;

use super::{PATIENCE, Scene};
use crate::support::daemon::eventually;
use crate::support::database::{ALL, Kind};
use crate::support::kafka;
use crate::support::pipeline::Running;
use crate::support::services;

const TOTALS: &str = "CREATE TABLE totals (sku {text} NOT NULL, amount {decimal}, pieces bigint, PRIMARY KEY (sku))";
const ALERTS: &str = "CREATE TABLE alerts (sku {text}, amount {decimal}, added {decimal}, pieces bigint)";

/// Amounts per sku, and what crosses 100 into a table and a topic.
fn sections(topic: &str) -> String {
    format!(
        "
[source.columns]
sku = \"text\"
amount = \"decimal(12,2)\"
note = \"int\"
[[table]]
name = \"totals\"
mode = \"merge\"
key = [\"sku\"]
merge = {{ amount = \"sum\", pieces = \"count\" }}
sql = \"SELECT sku, sum(amount) AS amount, count(*) AS pieces FROM input WHERE note IS NULL OR 1 / note > 0 GROUP BY 1\"
[[table]]
name = \"alerts\"
from = \"totals\"
sql = \"SELECT sku, amount, amount_delta AS added, pieces FROM input WHERE amount > 100 AND amount - amount_delta <= 100\"
[[topic]]
name = \"{topic}\"
from = \"totals\"
key = \"sku\"
sql = \"SELECT sku, amount FROM input WHERE amount > 100 AND amount - amount_delta <= 100\""
    )
}

fn in_sevens(scene: &Scene) -> tidegate::config::Pipeline {
    let mut pipeline = scene.pipeline();
    let tidegate::config::Target::Database(sink) = &mut pipeline.sink else { panic!("a database") };
    sink.batch.rows = 7;
    pipeline
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crossing_is_told_once_in_every_database_however_records_are_cut() {
    for kind in ALL {
        let topic = kafka::topic(1);
        let mut scene = Scene::new(kind, &[TOTALS, ALERTS], &sections(&topic)).await;
        for round in 0..3 {
            let record = |n: usize| {
                let sku = ["a", "b", "c"][n % 3];
                // `c` never gets there.
                let amount = if sku == "c" { "0.01" } else { "3.10" };
                format!(r#"{{"sku":"{sku}","amount":"{amount}"}}"#)
            };
            let records: Vec<String> = (0..60).map(record).collect();
            scene.send(&records.iter().map(|record| ("k", Some(record.as_str()))).collect::<Vec<_>>());
            // Batches of 7, then of as much as there is.
            let pipeline = if round == 1 { scene.pipeline() } else { in_sevens(&scene) };
            scene.run_pipeline(pipeline).await;
        }
        let totals = scene.rows("totals", &["sku", "amount", "pieces"]).await;
        assert_eq!(totals, ["a|186.00|60", "b|186.00|60", "c|0.60|60"], "{kind:?}");
        let alerts = scene.rows("alerts", &["sku", "amount", "added"]).await;
        let skus: Vec<&str> = alerts.iter().map(|alert| &alert[..1]).collect();
        assert_eq!(skus, ["a", "b"], "{kind:?}: {alerts:?}");
        let events = kafka::received(&services::kafka(), &topic);
        let sources: BTreeMap<_, _> =
            events.iter().map(|event| (event.header("tidegate-source").unwrap(), event.value.clone())).collect();
        let names: Vec<&str> = sources.keys().copied().collect();
        assert_eq!(names, [r#"totals/["a"]/a"#, r#"totals/["b"]/b"#], "{kind:?}");
        assert_eq!(events.len(), 2, "{kind:?}: {events:?}");
        assert!(events[0].value.as_ref().unwrap().starts_with(r#"{"sku":"a","amount":1"#), "{events:?}");
    }
}

/// A bad record is found by halving; what follows is that of the parts.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_is_written_in_parts_tells_each_crossing_once() {
    for kind in [Kind::Postgres, Kind::MySql] {
        let topic = kafka::topic(1);
        let checked = TOTALS.replace("amount {decimal}", "amount {decimal} CHECK (amount < 1000)");
        let mut scene = Scene::new(kind, &[&checked, ALERTS], &sections(&topic)).await;
        let record = |n: usize| match n {
            30 => r#"{"sku":"a","amount":"5000"}"#.to_owned(),
            // Divides by zero.
            40 => r#"{"sku":"a","amount":"50","note":0}"#.to_owned(),
            n => format!(r#"{{"sku":"{}","amount":"4"}}"#, ["a", "b"][n % 2]),
        };
        let records: Vec<String> = (0..100).map(record).collect();
        scene.send(&records.iter().map(|record| ("k", Some(record.as_str()))).collect::<Vec<_>>());
        scene.run().await;
        let letters = scene.dead_letters().await;
        assert_eq!(letters.len(), 2, "{kind:?}: {letters:?}");
        let totals = scene.rows("totals", &["sku", "amount"]).await;
        assert_eq!(totals, ["a|192.00", "b|200.00"], "{kind:?}");
        let alerts = scene.rows("alerts", &["sku"]).await;
        assert_eq!(alerts, ["a", "b"], "{kind:?}");
        let sources: std::collections::BTreeSet<String> = kafka::received(&services::kafka(), &topic)
            .iter()
            .map(|event| event.header("tidegate-source").unwrap().to_owned())
            .collect();
        assert_eq!(sources.len(), 2, "{kind:?}: {sources:?}");
    }
}

/// Each type comes back as it was stored.
#[tokio::test(flavor = "multi_thread")]
async fn totals_of_all_types_are_read_back_exactly() {
    for kind in ALL {
        let (bytes, json, double) = match kind {
            Kind::Postgres => ("bytea", "jsonb", "double precision"),
            Kind::MariaDb | Kind::MySql => ("varbinary(20)", "json", "double"),
            Kind::Sqlite => ("BLOB", "TEXT", "REAL"),
        };
        let columns = format!(
            "big {{decimal}}, whole bigint, at {{instant}}, ratio {double}, photo {bytes}, city {{text}}, bits int, doc {json}"
        );
        let totals = format!(
            "CREATE TABLE totals (minute {{instant}} NOT NULL, sku {{text}} NOT NULL, {columns}, PRIMARY KEY (minute, sku))"
        );
        let seen = format!("CREATE TABLE seen (sku {{text}}, minute {{instant}}, {columns}, added bigint)");
        let sections = "
[source.columns]
minute = \"timestamptz\"
sku = \"text\"
big = \"decimal(20,2)\"
whole = \"bigint\"
at = \"timestamptz\"
ratio = \"double\"
photo = \"bytes\"
city = \"text\"
bits = \"int\"
doc = \"json\"
[[table]]
name = \"totals\"
mode = \"merge\"
key = [\"minute\", \"sku\"]
merge = { big = \"sum\", whole = \"sum\", ratio = \"max\", bits = \"bit_or\", photo = { last = { by = \"at\" } }, city = { last = { by = \"at\" } }, doc = \"json_merge\" }
[[table]]
name = \"seen\"
key = [\"sku\"]
from = \"totals\"
sql = \"SELECT sku, minute, big, whole, at, ratio, photo, city, bits, doc, whole_delta AS added FROM input\"
";
        let seen = seen.replace("sku {text}", "sku {text} PRIMARY KEY");
        let mut scene = Scene::new(kind, &[&totals, &seen], sections).await;
        let record = |sku: &str, whole: i64, second: u32, doc: &str| {
            format!(
                r#"{{"minute":"2026-11-01T10:00:00Z","sku":"{sku}","big":"123456789012345678.25","whole":{whole},
                "at":"2026-11-01T10:00:{second:02}.000001Z","ratio":0.1,"photo":"AP8=","city":"Köln {second}","bits":{second},"doc":{doc}}}"#
            )
        };
        for second in [1, 2] {
            let records = [record("a", 5, second, r#"{"n":1,"gone":2}"#), record("b", -7, second, r#"{"gone":null}"#)];
            scene.send(&records.iter().map(|record| ("k", Some(record.as_str()))).collect::<Vec<_>>());
            scene.run().await;
        }
        assert!(scene.dead_letters().await.is_empty(), "{kind:?}: {:?}", scene.dead_letters().await);
        let columns = ["sku", "minute", "big", "whole", "at", "ratio", "city", "bits"];
        let (totals, seen) = (scene.rows("totals", &columns).await, scene.rows("seen", &columns).await);
        assert_eq!(totals, seen, "{kind:?}");
        assert!(seen[0].contains("246913578024691356.5") && seen[0].contains("Köln 2"), "{kind:?}: {seen:?}");
        assert_eq!(scene.rows("seen", &["sku", "added"]).await, ["a|5", "b|-7"], "{kind:?}");
        let same = "SELECT count(*) FROM totals JOIN seen ON totals.sku = seen.sku AND totals.photo = seen.photo";
        assert_eq!(scene.database.number(same).await, 2, "{kind:?}");
        let docs = scene.rows("seen", &["sku", "doc"]).await;
        let docs: Vec<String> = docs.iter().map(|doc| doc.replace(' ', "")).collect();
        assert_eq!(docs, [r#"a|{"n":1,"gone":2}"#, "b|{}"], "{kind:?}");
    }
}

/// Keys that a collation takes for one are one row: what was added is told of it as a whole.
#[tokio::test(flavor = "multi_thread")]
async fn keys_that_the_database_takes_for_one_cross_once() {
    for kind in [Kind::MySql, Kind::MariaDb] {
        let topic = kafka::topic(1);
        let mut scene = Scene::new(kind, &[TOTALS, ALERTS], &sections(&topic)).await;
        let records = [("a", 60), ("A", 30), ("a", 20), ("A", 20), ("a ", 1)];
        let records: Vec<String> =
            records.iter().map(|(sku, amount)| format!(r#"{{"sku":"{sku}","amount":{amount}}}"#)).collect();
        scene.send(&records[..2].iter().map(|record| ("k", Some(record.as_str()))).collect::<Vec<_>>());
        scene.run().await;
        scene.send(&records[2..].iter().map(|record| ("k", Some(record.as_str()))).collect::<Vec<_>>());
        scene.run().await;
        let alerts = scene.rows("alerts", &["amount", "added", "pieces"]).await;
        assert_eq!(alerts.len(), 1, "{kind:?}: {alerts:?}");
        assert!(
            alerts[0].starts_with("131.00|41.00|5") || alerts[0].starts_with("130.00|40.00|4"),
            "{kind:?}: {alerts:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_over_a_total_blocks_and_says_so() {
    for (what, cause) in [
        ("SELECT sku, 100 / (pieces - 2) AS amount FROM input", "column amount: division by zero"),
        ("SELECT sku, 1 AS amount, pieces FROM input", "table public.strict"),
    ] {
        let ddl = [TOTALS, "CREATE TABLE strict (sku text, amount bigint, pieces bigint CHECK (pieces < 2))"];
        let sections = format!(
            "{}[[table]]\nname = \"strict\"\nmode = \"append\"\nfrom = \"totals\"\nsql = \"{what}\"\n",
            sections("unused").split("[[table]]\nname = \"alerts\"").next().unwrap()
        );
        let mut scene = Scene::new(Kind::Postgres, &ddl, &sections).await;
        let record = Some(r#"{"sku":"a","amount":1}"#);
        scene.send(&[("k", record), ("k", record)]);
        let running = Running::start(scene.pipeline());
        eventually("it is blocked", PATIENCE, || async { running.status.state() == State::Blocked }).await;
        let told = running.problems();
        assert!(told.contains(cause) && told.contains("no record is set aside"), "{told}");
        assert_eq!(scene.database.number("SELECT count(*) FROM totals").await, 0, "nothing is stored");
        assert!(scene.dead_letters().await.is_empty());
        running.stop().await;
    }
}
