//! GROUP BY into a merging table.

use super::Scene;
use crate::support::database::{ALL, Kind};

fn sections(sum: &str) -> String {
    format!(
        "
[source.columns]
sku = \"text\"
quantity = \"int\"
price = \"{sum}\"
created_at = \"timestamptz\"
[[table]]
name = \"revenue\"
mode = \"merge\"
key = [\"minute\", \"sku\"]
merge = {{ orders = \"sum\", revenue = \"sum\", highest = \"max\" }}
sql = \"\"\"
SELECT date_bin(interval '1 minute', created_at) AS minute, sku, count(*) AS orders, sum(quantity * price) AS revenue,
       max(quantity) AS highest
FROM input GROUP BY 1, 2
\"\"\""
    )
}

const DDL: &str = "CREATE TABLE revenue (minute {instant} NOT NULL, sku {text} NOT NULL, orders bigint, revenue {decimal}, \
                   highest int, PRIMARY KEY (minute, sku))";

fn sale(sku: &str, minute: u32, quantity: u32, price: &str) -> String {
    format!(r#"{{"sku":"{sku}","quantity":{quantity},"price":"{price}","created_at":"2026-11-01T10:{minute:02}:30Z"}}"#)
}

#[tokio::test(flavor = "multi_thread")]
async fn partial_sums_of_batches_add_up_in_every_database() {
    for kind in ALL {
        let mut scene = Scene::new(kind, &[DDL], &sections("decimal(12,2)")).await;
        // Two runs of the pipeline are at least two batches; the second one is late for its window.
        for round in 0..2 {
            let sales = [sale("a", 0, 1, "0.10"), sale("a", 0, 2, "0.20"), sale("b", 1, 3 + round, "9.99")];
            let records: Vec<_> = sales.iter().map(|sale| ("k", Some(sale.as_str()))).collect();
            scene.send(&records);
            scene.run().await;
        }
        let rows = scene.rows("revenue", &["sku", "orders", "revenue", "highest"]).await;
        assert_eq!(rows, ["a|4|1.00|2", "b|2|69.93|4"], "{kind:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_record_is_in_no_sum_and_its_neighbours_are() {
    for kind in [Kind::Postgres, Kind::Sqlite] {
        let sections = format!(
            "{}
[[table]]
name = \"checked\"
mode = \"append\"
sql = \"SELECT sku, CAST(sku AS int) AS number FROM input\"",
            sections("decimal(12,2)")
        );
        let ddl = [DDL, "CREATE TABLE checked (sku {text}, number int)"];
        let mut scene = Scene::new(kind, &ddl, &sections).await;
        let sales = [sale("1", 0, 1, "1.00"), sale("x", 0, 1, "1.00"), sale("1", 0, 1, "1.00")];
        let records: Vec<_> = sales.iter().map(|sale| ("k", Some(sale.as_str()))).collect();
        scene.send(&records);
        scene.run().await;
        assert_eq!(scene.rows("revenue", &["sku", "orders", "revenue"]).await, ["1|2|2.00"], "{kind:?}");
        assert_eq!(scene.rows("checked", &["number"]).await, ["1", "1"], "{kind:?}");
        assert_eq!(scene.dead_letters().await.len(), 1, "{kind:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_the_database_refuses_costs_one_record_and_not_its_group() {
    let ddl = "CREATE TABLE revenue (minute timestamptz, sku text, orders bigint CHECK (orders < 1000), revenue numeric(20,2), \
               highest int CHECK (highest < 100), PRIMARY KEY (minute, sku))";
    let mut scene = Scene::new(Kind::Postgres, &[ddl], &sections("decimal(12,2)")).await;
    let sales: Vec<String> = (0..500).map(|n| sale("a", 0, if n == 123 { 100 } else { 1 }, "1.00")).collect();
    let records: Vec<_> = sales.iter().map(|sale| ("k", Some(sale.as_str()))).collect();
    scene.send(&records);
    scene.run().await;
    assert_eq!(scene.rows("revenue", &["sku", "orders", "revenue", "highest"]).await, ["a|499|499.00|1"]);
    let letters = scene.dead_letters().await;
    assert_eq!(letters.len(), 1, "{letters:?}");
    assert!(letters[0].starts_with("123|"), "{letters:?}");
}

/// A last value keeps the time that it came with, which need not be the highest of its key.
#[tokio::test(flavor = "multi_thread")]
async fn last_values_and_documents_beside_sums_in_every_database() {
    let sections = "
[source.columns]
sku = \"text\"
city = \"text\"
at = \"timestamptz\"
doc = \"json\"
[[table]]
name = \"skus\"
mode = \"merge\"
key = [\"sku\"]
merge = { orders = \"count\", city = { last = { by = \"event_time\" } }, doc = \"json_merge\" }
sql = \"SELECT sku, count(*) AS orders, last(city ORDER BY at) AS city, max(at) AS event_time, json_merge(doc) AS doc FROM input GROUP BY sku\"
";
    for kind in ALL {
        let json = match kind {
            Kind::Postgres => "jsonb",
            Kind::MariaDb | Kind::MySql => "json",
            Kind::Sqlite => "TEXT",
        };
        let ddl = format!(
            "CREATE TABLE skus (sku {{text}} NOT NULL, orders bigint, city {{text}}, event_time {{instant}}, doc {json}, PRIMARY KEY (sku))"
        );
        let mut scene = Scene::new(kind, &[&ddl], sections).await;
        let record = |city: &str, second: u32, doc: &str| {
            format!(r#"{{"sku":"a","city":{city},"at":"2026-11-01T10:00:{second:02}Z","doc":{doc}}}"#)
        };
        let rounds = [
            [record("\"x\"", 5, r#"{"n":1}"#), record("\"y\"", 7, r#"{"m":1}"#), record("null", 9, "null")],
            [record("\"z\"", 6, r#"{"n":2}"#), record("\"y\"", 1, r#"{"m":null}"#), record("null", 30, "null")],
        ];
        for round in rounds {
            scene.send(&round.iter().map(|record| ("k", Some(record.as_str()))).collect::<Vec<_>>());
            scene.run().await;
        }
        let rows = scene.rows("skus", &["sku", "orders", "city", "doc"]).await;
        assert_eq!(rows[0].replace(' ', ""), r#"a|6|y|{"n":2}"#, "{kind:?}");
        let times = scene.rows("skus", &["event_time"]).await;
        assert!(times[0].contains("10:00:07"), "{kind:?}: {times:?}");
    }
}
