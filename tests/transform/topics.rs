//! Rows back into Kafka.

use std::collections::BTreeMap;

use tidegate::pipeline::Ending;
use tidegate::status::State;

use super::{PATIENCE, Scene};
use crate::support::daemon::eventually;
use crate::support::database::{ALL, Kind};
use crate::support::kafka::{self, Received};
use crate::support::pipeline::Running;
use crate::support::services;

fn events(topic: &str) -> Vec<Received> {
    kafka::received(&services::kafka(), topic)
}

/// The values by `tidegate-source`; a repeat must be the same again.
fn by_source(topic: &str) -> BTreeMap<String, String> {
    let mut found: BTreeMap<String, String> = BTreeMap::new();
    for event in events(topic) {
        let source = event.header("tidegate-source").expect("the header").to_owned();
        let value = event.value.expect("a value");
        let known = found.entry(source).or_insert_with(|| value.clone());
        assert_eq!(*known, value, "a repeat is the same");
    }
    found
}

const TABLE: &str = "CREATE TABLE orders (id bigint NOT NULL PRIMARY KEY, amount bigint)";

/// `id` and `amount` into `orders`, and a topic that goes on with `more`.
fn sections(topic: &str, more: &str) -> String {
    format!(
        "
[source.columns]
id = {{ type = \"bigint\", key = \"$\" }}
amount = \"bigint\"
note = \"text\"
[[table]]
name = \"orders\"
key = [\"id\"]
sql = \"SELECT id, amount FROM input\"
[[topic]]
name = \"{topic}\"
{more}"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn values_of_all_types_go_into_a_topic_beside_two_tables() {
    let derived = kafka::topic(3);
    let sections = format!(
        "
[source.columns]
id = \"bigint\"
price = \"decimal(38,4)\"
huge = \"decimal\"
ratio = \"double\"
ok = \"boolean\"
at = \"timestamptz\"
local = \"timestamp\"
day = \"date\"
clock = \"time\"
photo = \"bytes\"
uid = \"uuid\"
doc = \"json\"
tags = \"text[]\"
tenant = {{ type = \"text\", header = \"tenant\" }}
[[table]]
name = \"orders\"
mode = \"append\"
sql = \"SELECT id, id AS amount FROM input\"
[[table]]
name = \"copies\"
mode = \"append\"
sql = \"SELECT id FROM input\"
[[topic]]
name = \"{derived}\"
key = [\"id\", \"uid\"]
headers = {{ x-tenant = \"tenant\", x-day = \"day\" }}
sql = \"SELECT * FROM input WHERE id > 0\""
    );
    let full = r#"{"id":9223372036854775807,"price":"1234567890123456789012345678901234.5678",
        "huge":123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890.5,
        "ratio":0.1,"ok":true,"at":"2026-11-01T01:00:00.25+01:00","local":"2026-11-01T10:00:00","day":"2026-11-01",
        "clock":"10:00:00","photo":"AAEC/w==","uid":"6f9619ff-8b86-d011-b42d-00cf4fc964ff","doc":{"a":[1,"x"]},
        "tags":["a","b\"c",null]}"#;
    for kind in [Kind::Postgres, Kind::Sqlite] {
        let ddl = [TABLE, "CREATE TABLE copies (id bigint)"];
        let mut scene = Scene::new(kind, &ddl, &sections).await;
        scene.send(&[("k", Some(full)), ("k", Some(r#"{"id":1,"doc":null}"#)), ("k", Some(r#"{"id":0}"#))]);
        scene.run().await;
        assert!(scene.dead_letters().await.is_empty(), "{kind:?}: {:?}", scene.dead_letters().await);
        assert_eq!(scene.database.number("SELECT count(*) FROM copies").await, 3);
        let sources: Vec<Received> = events(&derived)
            .into_iter()
            .filter(|event| event.header("tidegate-source").is_some_and(|source| source.starts_with(&scene.topic)))
            .collect();
        let event = |offset: usize| {
            let source = format!("{}/0/{offset}/0", scene.topic);
            let found = sources.iter().find(|event| event.header("tidegate-source") == Some(&source));
            found.unwrap_or_else(|| panic!("{kind:?}: no event of {source}: {sources:?}"))
        };
        assert_eq!(sources.len(), 2, "{kind:?}: the third is filtered");
        let expected = r#"{"id":9223372036854775807,"price":1234567890123456789012345678901234.5678,"#.to_owned()
            + r#""huge":123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890.5,"#
            + r#""ratio":0.1,"ok":true,"at":"2026-11-01T00:00:00.25Z","local":"2026-11-01T10:00:00","clock":"10:00:00","#
            + r#""photo":"AAEC/w==","uid":"6f9619ff-8b86-d011-b42d-00cf4fc964ff","doc":{"a":[1,"x"]},"#
            + r#""tags":["a","b\"c",null]}"#;
        assert_eq!(event(0).value.as_deref(), Some(expected.as_str()), "{kind:?}");
        let key = r#"{"id":9223372036854775807,"uid":"6f9619ff-8b86-d011-b42d-00cf4fc964ff"}"#;
        assert_eq!(event(0).key.as_deref(), Some(key));
        assert_eq!((event(0).header("x-tenant"), event(0).header("x-day")), (Some("acme"), Some("2026-11-01")));
        assert_eq!(event(1).header("x-day"), None, "a null gives no header");
        assert!(event(1).value.as_ref().unwrap().contains(r#""price":null"#), "{:?}", event(1));
        let sent = events(&scene.topic)[0].timestamp;
        assert_eq!(event(0).timestamp, sent, "the record's time passes on");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_row_of_a_record_has_a_number_and_tombstones_have_the_key() {
    let (derived, items) = (kafka::topic(1), kafka::topic(1));
    let more = format!(
        "key = \"id\"
deletes = \"tombstone\"
sql = \"SELECT id, amount * 2 AS twice FROM input\"
[[topic]]
name = \"{items}\"
sql = \"SELECT id, unnest(generate_series(1, amount)) AS n FROM input\""
    );
    let more = more.replace("generate_series(1, amount)", "make_array(amount, amount + 1)");
    let mut scene = Scene::new(Kind::Sqlite, &[TABLE], &sections(&derived, &more)).await;
    scene.send(&[("7", Some(r#"{"amount":1}"#)), ("7", None), ("8", Some(r#"{"amount":2}"#))]);
    scene.run().await;
    let told: Vec<_> = events(&derived).into_iter().map(|event| (event.key, event.value)).collect();
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(
        told,
        [(text("7"), text(r#"{"id":7,"twice":2}"#)), (text("7"), None), (text("8"), text(r#"{"id":8,"twice":4}"#)),]
    );
    let items: Vec<_> = by_source(&items).into_iter().collect();
    let item =
        |offset: u32, number: u32, value: &str| (format!("{}/0/{offset}/{number}", scene.topic), value.to_owned());
    assert_eq!(
        items,
        [
            item(0, 0, r#"{"id":7,"n":1}"#),
            item(0, 1, r#"{"id":7,"n":2}"#),
            item(2, 0, r#"{"id":8,"n":2}"#),
            item(2, 1, r#"{"id":8,"n":3}"#),
        ],
        "a tombstone has no rows"
    );
    assert_eq!(scene.rows("orders", &["id", "amount"]).await, ["8|2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_row_and_a_refused_event_cost_their_record_alone() {
    for kind in ALL {
        let derived = kafka::topic(1);
        let more = "key = \"id\"\nsql = \"SELECT id, note || note AS note FROM input\"";
        let ddl = "CREATE TABLE orders (id bigint NOT NULL PRIMARY KEY, amount bigint NOT NULL)";
        let mut scene = Scene::new(kind, &[ddl], &sections(&derived, more)).await;
        let keys: Vec<String> = (0..40).map(|id| id.to_string()).collect();
        // Twice it is more than the 1 MiB that the topic takes; at random, for the topic's limit is for compressed batches.
        let long: String = std::iter::repeat_with(fastrand::alphanumeric).take(700_000).collect();
        let value = |id: usize| match id {
            // The database takes no null.
            5 => r#"{"amount":null,"note":"ab"}"#.to_owned(),
            20 => format!(r#"{{"amount":3,"note":"{long}"}}"#),
            _ => r#"{"amount":3,"note":"ab"}"#.to_owned(),
        };
        let values: Vec<String> = (0..keys.len()).map(value).collect();
        let records: Vec<_> =
            keys.iter().zip(&values).map(|(key, value)| (key.as_str(), Some(value.as_str()))).collect();
        scene.send(&records);
        scene.run().await;
        assert_eq!(scene.database.number("SELECT count(*) FROM orders").await, 38, "{kind:?}");
        let letters = scene.dead_letters().await;
        assert_eq!(letters.len(), 2, "{kind:?}: {letters:?}");
        let too_large = letters.iter().find(|letter| letter.starts_with("20|too-large|"));
        let too_large = too_large.unwrap_or_else(|| panic!("{kind:?}: {letters:?}"));
        assert!(too_large.contains(&derived) && too_large.contains("max.message.bytes"), "{too_large}");
        let found = by_source(&derived);
        assert_eq!(found.len(), 38, "{kind:?}");
        assert!(found.values().all(|value| value.contains("\"abab\"")), "{kind:?}: {found:?}");
    }
}

/// What a deferred constraint refuses is refused at COMMIT, when the events are out: they are there once more.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_commit_loses_no_event() {
    let derived = kafka::topic(1);
    let more = "key = \"id\"\nsql = \"SELECT id, amount FROM input\"";
    let ddl = "CREATE TABLE orders (id bigint PRIMARY KEY, amount bigint UNIQUE DEFERRABLE INITIALLY DEFERRED)";
    let mut scene = Scene::new(Kind::Postgres, &[ddl], &sections(&derived, more)).await;
    let records: Vec<_> = (0..20).map(|id| (id.to_string(), format!(r#"{{"amount":{}}}"#, id % 19))).collect();
    let sent: Vec<_> = records.iter().map(|(key, value)| (key.as_str(), Some(value.as_str()))).collect();
    scene.send(&sent);
    scene.run().await;
    assert_eq!(scene.database.number("SELECT count(*) FROM orders").await, 19);
    assert_eq!(scene.dead_letters().await.len(), 1);
    assert_eq!(by_source(&derived).len(), 20, "the refused record's event was out before");
    assert!(events(&derived).len() > 20, "and the others are there again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_topic_blocks_until_it_is_there() {
    let derived = kafka::unique("t");
    let mut scene = Scene::new(Kind::Postgres, &[TABLE], &sections(&derived, "key = \"id\"")).await;
    scene.send(&[("1", Some(r#"{"amount":1}"#)), ("2", Some(r#"{"amount":2}"#))]);
    let running = Running::start(scene.pipeline());
    eventually("it is blocked", PATIENCE, || async { running.status.state() == State::Blocked }).await;
    let told = running.problems();
    assert!(told.contains(&format!("create the topic {derived}")), "{told}");
    assert_eq!(scene.database.number("SELECT count(*) FROM orders").await, 0, "no row before its event");
    kafka::create(&derived, 1);
    eventually("it goes on by itself", PATIENCE, || async {
        scene.database.number("SELECT count(*) FROM orders").await == 2
    })
    .await;
    assert_eq!(running.stop().await, Ending::Drained);
    assert_eq!(by_source(&derived).len(), 2);
}
