//! The worked examples of docs/scenarios.md, as their files have them: the table that the comment describes, the
//! statement, and rows.

use std::path::Path;

use tidegate::config::{Environment, load_pipelines};

use super::{Scene, ddl_of};
use crate::support::database::Kind;
use crate::support::kafka;
use crate::support::services;

/// A scene of `config/<name>.toml` on PostgreSQL: its tables are created as its comment says.
async fn example(name: &str) -> (Scene, String) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config").join(format!("{name}.toml"));
    let text = std::fs::read_to_string(path).expect("the example");
    let ddl = ddl_of(&text);
    assert!(!ddl.is_empty(), "{name}: the comment has the tables");
    let ddl: Vec<&str> = ddl.iter().map(String::as_str).collect();
    (Scene::new(Kind::Postgres, &ddl, "").await, text)
}

/// Runs the example's own file on the records.
async fn run(name: &str, records: &[&str]) -> Scene {
    run_with_topic(name, records).await.1
}

/// And gives the topic that its events went to.
async fn run_with_topic(name: &str, records: &[&str]) -> (String, Scene) {
    let (mut scene, text) = example(name).await;
    let records: Vec<(&str, Option<&str>)> = records.iter().map(|record| ("k", Some(*record))).collect();
    scene.send(&records);
    let topic = run_in(&scene, name, text).await;
    (topic, scene)
}

/// Returns the topic that its events went to.
async fn run_in(scene: &Scene, name: &str, text: String) -> String {
    let file = scene.folder.path().join(format!("{name}.toml"));
    std::fs::write(&file, text).expect("a file");
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
    let topic = kafka::topic(1);
    pipeline.topics.iter_mut().for_each(|derived| derived.name.clone_from(&topic));
    scene.run_pipeline(pipeline).await;
    assert!(scene.dead_letters().await.is_empty());
    topic
}

#[tokio::test(flavor = "multi_thread")]
async fn monitoring() {
    let scene = run(
        "monitoring",
        &[
            r#"{"at":"2026-11-01T10:00:07Z","path":"/cart","status":200,"duration_us":1000}"#,
            r#"{"at":"2026-11-01T10:00:59.999Z","path":"/cart","status":200,"duration_us":3000}"#,
            r#"{"at":"2026-11-01T10:00:10Z","path":"/cart","status":500,"duration_us":9}"#,
            r#"{"at":"2026-11-01T10:01:00Z","path":"/","status":200,"duration_us":7}"#,
        ],
    )
    .await;
    let rows = scene.rows("requests_per_minute", &["minute", "status", "requests", "worst_us", "mean_us"]).await;
    let expected = ["10:00:00+00|200|2|3000|2000", "10:00:00+00|500|1|9|9", "10:01:00+00|200|1|7|7"];
    let mut rows: Vec<&str> = rows.iter().map(|row| row.trim_start_matches("2026-11-01 ")).collect();
    rows.sort_unstable();
    assert_eq!(rows, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn analytics() {
    let scene = run(
        "analytics",
        &[
            r#"{"order_id":1,"sku":"a","quantity":2,"price":"0.10","created_at":"2026-11-01T10:00:07Z"}"#,
            r#"{"order_id":2,"sku":"a","quantity":1,"price":"0.20","created_at":"2026-11-01T10:00:08Z"}"#,
            r#"{"order_id":3,"sku":"b","quantity":1,"price":"5.00","created_at":"2026-11-01T10:00:09Z"}"#,
        ],
    )
    .await;
    assert_eq!(scene.rows("sales", &["order_id", "sku", "total"]).await, ["1|a|0.20", "2|a|0.20", "3|b|5.00"]);
    let totals = scene.rows("revenue_per_minute", &["sku", "orders", "revenue", "max_price"]).await;
    assert_eq!(totals, ["a|2|0.40|0.20", "b|1|5.00|5.00"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn recommendation() {
    let scene = run(
        "recommendation",
        &[
            r#"{"item":"lamp","together_with":["bulb","cable"],"at":"2026-11-01T10:00:07Z"}"#,
            r#"{"item":"lamp","together_with":["bulb"],"at":"2026-11-01T10:00:08Z"}"#,
            r#"{"item":"pen","together_with":[],"at":"2026-11-01T10:00:09Z"}"#,
        ],
    )
    .await;
    assert_eq!(scene.rows("bought_together", &["other", "item", "times"]).await, ["bulb|lamp|2", "cable|lamp|1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn enrichment() {
    let (mut scene, text) = example("enrichment").await;
    let countries = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/enrichment-countries.csv");
    std::fs::copy(countries, scene.folder.path().join("enrichment-countries.csv")).expect("the file");
    scene.database.execute("INSERT INTO customers VALUES (1, 'Ada', 'gold'), (2, 'Bob', NULL)").await;
    let order =
        |id: i64, rest: &str| format!(r#"{{"order_id":{id},"amount":"100.00","at":"2026-11-01T10:00:07Z",{rest}}}"#);
    let orders = [
        order(1, r#""customer":1,"country":"de""#),
        order(2, r#""customer":2,"country":"FR""#),
        order(3, r#""customer":9,"country":"XX""#),
        order(4, r#""customer":1,"country":null"#),
    ];
    let records: Vec<(&str, Option<&str>)> = orders.iter().map(|order| ("k", Some(order.as_str()))).collect();
    scene.send(&records);
    run_in(&scene, "enrichment", text).await;
    let orders = scene.rows("enriched_orders", &["order_id", "customer", "segment", "country", "tax"]).await;
    assert_eq!(orders, ["1|Ada|gold|Germany|19.00", "2|Bob|-|France|20.00", "3|-|-|-|-", "4|Ada|gold|-|-"]);
    let revenue = scene.rows("revenue_per_segment", &["segment", "day", "orders", "revenue"]).await;
    assert_eq!(revenue, ["gold|2026-11-01|2|200.00", "none|2026-11-01|1|100.00"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn sql() {
    let scene = run(
        "sql",
        &[
            r#"{"order_id":7,"sku":"a-1","quantity":2,"price":"9000.00","created_at":"2026-11-01T00:00:00Z","customer":{"address":{"city":"Hamburg"}},"items":[{"name":"lamp","pieces":1},{"name":"bulb","pieces":3}]}"#,
        ],
    )
    .await;
    let orders = scene.rows("orders", &["order_id", "sku", "total", "size", "city", "day", "tenant"]).await;
    assert_eq!(orders, ["7|A-1|18000.00|large|Hamburg|2026-11-01|acme"]);
    assert_eq!(scene.rows("order_items", &["name", "pieces"]).await, ["bulb|3", "lamp|1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn order_lines() {
    let scene = run(
        "order-lines",
        &[
            r#"{"order_id":7,"customer":"Ann","status":"paid","items":[{"line":1,"sku":"a","pieces":2},{"line":2,"sku":"b","pieces":1}]}"#,
            r#"{"order_id":8,"customer":"Bob","status":"paid","items":[{"line":1,"sku":"c","pieces":5}]}"#,
            r#"{"order_id":7,"customer":"Ann","status":"paid","items":[{"line":2,"sku":"b","pieces":3}]}"#,
            r#"{"order_id":8,"customer":"Bob","status":"cancelled","items":[{"line":1,"sku":"c","pieces":5}]}"#,
        ],
    )
    .await;
    assert_eq!(scene.rows("orders", &["order_id", "status"]).await, ["7|paid", "8|cancelled"]);
    assert_eq!(scene.rows("order_lines", &["order_id", "line", "sku", "pieces"]).await, ["7|2|b|3"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn alerting() {
    let failure = |second: u32, status: u32| {
        format!(r#"{{"at":"2026-11-01T10:00:{second:02}Z","service":"cart","status":{status}}}"#)
    };
    let mut records: Vec<String> = (0..9).map(|second| failure(second, if second == 3 { 200 } else { 503 })).collect();
    records.push(r#"{"at":"2026-11-01T10:01:00Z","service":"cart","status":503}"#.to_owned());
    let records: Vec<&str> = records.iter().map(String::as_str).collect();
    let (topic, scene) = run_with_topic("alerting", &records).await;
    let totals = scene.rows("errors_per_minute", &["errors", "requests"]).await;
    assert_eq!(totals, ["1|1", "8|9"]);
    assert_eq!(scene.database.number("SELECT count(*) FROM alerts WHERE minute = '2026-11-01T10:00:00Z'").await, 1);
    assert_eq!(scene.database.number("SELECT count(*) FROM alerts").await, 1);
    let events = kafka::received(&services::kafka(), &topic);
    let values: Vec<_> = events.iter().map(|event| event.value.as_deref().unwrap_or_default()).collect();
    assert_eq!(values, [r#"{"service":"cart","minute":"2026-11-01T10:00:00Z","more_than":5}"#]);
    let source = events[0].header("tidegate-source").unwrap_or_default();
    let key = r#"{"service":"cart","minute":"2026-11-01T10:00:00Z"}"#;
    assert_eq!(source, format!(r#"errors_per_minute/["cart","2026-11-01T10:00:00Z"]/{key}"#));
}
