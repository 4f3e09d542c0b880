//! Table names that come from a column or from the topic.

use std::num::NonZeroUsize;

use tidegate::config::{Environment, Target, load_pipelines};
use tidegate::pipeline::Ending;
use tidegate::status::State;

use super::{PATIENCE, Scene, in_words_of};
use crate::support::daemon::eventually;
use crate::support::database::{ALL, Kind, TestDatabase};
use crate::support::kafka::{self, Sent};
use crate::support::pipeline::Running;
use crate::support::services;

fn sections(more: &str) -> String {
    format!(
        "key_format = \"json\"
[source.columns]
id = \"bigint\"
region = \"text\"
amount = \"bigint\"
[[table]]
name = \"all_orders\"
mode = \"append\"
sql = \"SELECT id FROM input\"
[[table]]
name = \"orders_{{region}}\"
key = [\"id\"]
sql = \"SELECT id, lower(region) AS region, amount FROM input WHERE amount > 0\"
{more}"
    )
}

const ALL_ORDERS: &str = "CREATE TABLE all_orders (id bigint)";

fn orders(region: &str) -> String {
    format!("CREATE TABLE orders_{region} (id bigint NOT NULL PRIMARY KEY, amount bigint)")
}

fn order(id: u64, region: &str, amount: i64) -> String {
    format!(r#"{{"id":{id},"region":{region},"amount":{amount}}}"#)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_row_goes_to_the_table_that_it_names() {
    for kind in ALL {
        for rows in [1, 3, 10_000] {
            let (eu, us) = (orders("eu"), orders("us"));
            // The name needs the region of a tombstone, too.
            let list = "tables = [\"orders_us\", \"orders_eu\"]".to_owned();
            let text = sections(&list).replace("lower(region) AS region", "region");
            let mut scene = Scene::new(kind, &[ALL_ORDERS, &eu, &us], &text).await;
            let key = |id: u64, region: &str| format!(r#"{{"id":{id},"region":"{region}"}}"#);
            let records = [
                (key(1, "eu"), Some(order(1, "\"eu\"", 10))),
                (key(2, "us"), Some(order(2, "\"us\"", 20))),
                (key(3, "eu"), Some(order(3, "\"eu\"", 30))),
                (key(1, "eu"), Some(order(1, "\"eu\"", 11))),
                (key(4, "xx"), Some(order(4, "\"x'; DROP TABLE orders_eu; --\"", 1))),
                (key(5, "us"), Some(order(5, "null", 50))),
                (key(3, "eu"), None),
                (key(6, "us"), Some(order(6, "\"us\"", -1))),
                (key(1, "us"), Some(order(1, "\"us\"", 12))),
            ];
            for (key, value) in &records {
                scene.send(&[(key, value.as_deref())]);
            }
            let mut pipeline = scene.pipeline();
            let Target::Database(sink) = &mut pipeline.sink else { panic!("a database") };
            sink.batch.rows = rows;
            scene.run_pipeline(pipeline).await;
            assert_eq!(scene.rows("orders_eu", &["id", "amount"]).await, ["1|11"], "{kind:?}, batches of {rows}");
            let us = ["1|12", "2|20"];
            let mut found = scene.rows("orders_us", &["id", "amount"]).await;
            // A null in the value is no region, wherever the key says otherwise.
            found.retain(|row| row != "5|50");
            assert_eq!(found, us, "{kind:?}, batches of {rows}");
            let letters = scene.rows("tidegate_dead_letters", &["record_offset", "class", "reason"]).await;
            assert!(
                letters[0].starts_with("4|table-name|orders_{region} gives a name for the record's table"),
                "{letters:?}"
            );
            assert!(letters.iter().all(|letter| !letter.contains("DROP")), "no value is told");
            assert_eq!(letters[1], "5|table-name|region is null, so orders_{region} names no table for the record");
            assert_eq!(letters.len(), 2, "{letters:?}");
            let all = scene.rows("all_orders", &["id"]).await;
            assert_eq!(all, ["1", "1", "1", "2", "3", "6"], "{kind:?}: a record goes into all tables or into none");
        }
    }
}

/// Every table of a pattern is checked when it first appears, and the pipeline goes on when it is there.
#[tokio::test(flavor = "multi_thread")]
async fn a_table_of_a_pattern_may_come_later() {
    for kind in ALL {
        let eu = orders("eu");
        let more = "deletes = \"ignore\"\ntables = \"^orders_[a-z]{2}$\"";
        let mut scene = Scene::new(kind, &[ALL_ORDERS, &eu], &sections(more)).await;
        scene.send(&[
            ("1", Some(&order(1, "\"EU\"", 10))),
            ("2", Some(&order(2, "\"us\"", 20))),
            ("1", None),
            ("3", Some(&order(3, "\"eu2\"", 30))),
        ]);
        let running = Running::start(scene.pipeline());
        let is_told = async |text: &str| {
            eventually(text, PATIENCE, || async {
                running.status.state() == State::Blocked && running.problems().contains(text)
            })
            .await;
        };
        is_told("the database has no table of that name").await;
        assert!(running.problems().contains("orders_us"), "{}", running.problems());
        let other = "CREATE TABLE orders_us (id bigint NOT NULL PRIMARY KEY)";
        scene.database.execute(&in_words_of(kind, other)).await;
        is_told("`sql` gives a column amount, which the table does not have").await;
        scene.database.execute("DROP TABLE orders_us").await;
        scene.database.execute(&in_words_of(kind, &orders("us"))).await;
        let done = format!("SELECT count(*) FROM tidegate_positions WHERE next_offset = {}", scene.sent);
        eventually("everything is stored", PATIENCE, || async { scene.database.number(&done).await == 1 }).await;
        assert_eq!(running.stop().await, Ending::Drained);
        assert_eq!(scene.rows("orders_eu", &["id", "amount"]).await, ["1|10"], "{kind:?}");
        assert_eq!(scene.rows("orders_us", &["id", "amount"]).await, ["2|20"], "{kind:?}");
        let letters = scene.rows("tidegate_dead_letters", &["record_offset", "class"]).await;
        assert_eq!(letters, ["3|table-name"], "{kind:?}");
    }
}

/// Without SQL, on two lanes.
#[tokio::test(flavor = "multi_thread")]
async fn one_table_per_topic() {
    for kind in ALL {
        let database = TestDatabase::new(kind).await;
        let topics = [kafka::topic(2), kafka::topic(2)];
        for (number, topic) in topics.iter().enumerate() {
            let table = format!("raw_{}", topic.replace('-', "_"));
            database.execute(&in_words_of(kind, &format!("CREATE TABLE {table} (id bigint, sku {{text}})"))).await;
            for partition in 0..2 {
                let sent = (0..20).map(|id| format!(r#"{{"id":{id},"sku":"{number}-{partition}"}}"#));
                let sent: Vec<String> = sent.collect();
                let sent = sent.iter().map(|value| Sent { key: None, value: Some(value.as_bytes()), headers: vec![] });
                kafka::send(topic, partition, sent);
            }
        }
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("config/one-table-per-topic.toml");
        let environment = Environment::from_iter([
            ("DB_PASSWORD", "unused"),
            ("TIDEGATE__SINK__URL", database.url.as_str()),
            ("TIDEGATE__SOURCE__BROKERS", services::kafka().as_str()),
            ("TIDEGATE__SOURCE__TOPICS", topics.join(",").as_str()),
            ("TIDEGATE__SOURCE__INSTANCE", "none"),
        ]);
        // Its cases are of its own topics.
        let text = std::fs::read_to_string(path).expect("the example");
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("example.toml");
        std::fs::write(&file, text.split("[[test]]").next().expect("a part")).expect("a file");
        let pipelines = load_pipelines(&[file], &environment);
        let mut pipeline = pipelines.unwrap_or_else(|problems| panic!("{problems}")).remove(0);
        pipeline.name = kafka::unique("routes");
        pipeline.source.group = format!("tidegate-{}", pipeline.name);
        let Target::Database(sink) = &mut pipeline.sink else { panic!("a database") };
        sink.batch.rows = 7;
        sink.writers = NonZeroUsize::new(2);
        let running = Running::start(pipeline);
        let done = "SELECT count(*) FROM tidegate_positions WHERE next_offset = 20";
        eventually("everything is stored", PATIENCE, || async {
            assert!(!matches!(running.status.state(), State::Blocked | State::Failed), "{}", running.problems());
            running.status.state() == State::Running && database.number(done).await == 4
        })
        .await;
        assert_eq!(running.stop().await, Ending::Drained);
        for (number, topic) in topics.iter().enumerate() {
            let table = format!("raw_{}", topic.replace('-', "_"));
            let own = format!("SELECT count(*) FROM {table} WHERE sku LIKE '{number}-%'");
            assert_eq!(database.number(&own).await, 40, "{kind:?}");
            assert_eq!(database.number(&format!("SELECT count(*) FROM {table}")).await, 40, "{kind:?}");
        }
    }
}

/// What is wrong with the list's tables is told before anything is consumed, all of it.
#[tokio::test(flavor = "multi_thread")]
async fn listed_tables_are_checked_at_start() {
    use tidegate::pipeline::Queries;
    let other = "CREATE TABLE orders_us (id bigint NOT NULL PRIMARY KEY, amount int)";
    let scene = Scene::new(
        Kind::Postgres,
        &[ALL_ORDERS, &orders("eu"), other],
        &sections("deletes = \"ignore\"\ntables = [\"orders_eu\", \"orders_us\", \"orders_xx\"]"),
    )
    .await;
    let pipeline = scene.pipeline();
    let queries = Queries::plan(&pipeline).unwrap_or_else(|problems| panic!("{problems}"));
    let sink = pipeline.sink.database().expect("a database");
    let checked = tidegate::write::open(&pipeline, sink, queries.outputs()).check().await.unwrap();
    let problems = checked.map(drop).unwrap_err();
    let has = |words: &str| problems.iter().any(|text| text.contains(words));
    assert!(has("table orders_us: its columns or their types are not those of public.orders_eu"), "{problems:?}");
    assert!(has("table orders_xx: the database has no table of that name"), "{problems:?}");
    assert_eq!(problems.len(), 2, "{problems:?}");
}

/// What the name needs is looked for in the file alone.
#[test]
fn the_names_columns_are_checked_with_the_file() {
    use tidegate::pipeline::Queries;
    let told = |table: &str| {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("p.toml");
        let text = format!(
            "name = \"p\"\n[source]\nbrokers = [\"b:1\"]\ntopics = [\"t\"]\n[source.columns]\nid = \"bigint\"\n\
             items = \"json\"\nprice = \"decimal(9,2)\"\n[sink]\nurl = \"postgres://h/d\"\n[[table]]\ntables = \"^x.*$\"\n{table}\n"
        );
        std::fs::write(&file, text).unwrap();
        let pipeline =
            load_pipelines(&[file], &Environment::default()).unwrap_or_else(|told| panic!("{told}")).remove(0);
        Queries::plan(&pipeline).map(drop).unwrap_err().to_string()
    };
    for (table, words) in [
        ("name = \"x{r}\"\nsql = \"SELECT id FROM input\"", "its name needs a column r, which `sql` does not give"),
        ("name = \"x{price}\"\nsql = \"SELECT price FROM input\"", "write CAST(price AS text) AS price"),
        ("name = \"x{r}\"", "write r = \"text\" in [source.columns]"),
        ("name = \"x{price}\"", "the column price is of type decimal(9,2), which is no part of a name"),
        (
            "name = \"x{r}\"\nreplace = [\"id\"]\nsql = \"SELECT id, unnest(items) ->> 'r' AS r FROM input\"",
            "the column r of its name must not come of UNNEST",
        ),
    ] {
        let told = told(table);
        assert!(told.contains(words), "{table}: {told}");
    }
}
