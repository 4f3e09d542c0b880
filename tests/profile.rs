//! `[profile]`: what `/metrics` of the real binary tells of the input's columns.

use std::time::Duration;

use crate::support::daemon::{Daemon, eventually};
use crate::support::database::{Kind, TestDatabase};
use crate::support::kafka::{self, Sent};
use crate::support::services;

const PATIENCE: Duration = Duration::from_secs(90);
const RECORDS: usize = 3_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_is_told_by_metrics() {
    let database = TestDatabase::new(Kind::Sqlite).await;
    database.execute("CREATE TABLE orders (id INTEGER NOT NULL, price TEXT) STRICT").await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("orders.toml");
    let (topic, name) = (kafka::topic(2), kafka::unique("profile"));
    let text = format!(
        "name = \"{name}\"\n[source]\nbrokers = [\"{}\"]\ntopics = [\"{topic}\"]\ninstance = \"none\"\n\
         [source.columns]\nid = \"bigint\"\nprice = \"decimal(12,2)\"\nat = \"timestamptz\"\nsku = \"text\"\n\
         [sink]\nurl = \"{}\"\nbatch = {{ rows = 500 }}\n[[table]]\nname = \"orders\"\n\
         [profile]\ncolumns = [\"price\", \"at\", \"sku\"]\n",
        services::kafka(),
        database.url
    );
    std::fs::write(&file, text).unwrap();
    // One in four has no price; those that cannot be decoded have no profile.
    let value = |n: usize| match n {
        _ if n % 100 == 99 => "{".to_owned(),
        _ if n.is_multiple_of(4) => {
            format!(r#"{{"id":{n},"at":"2026-11-01T00:00:{:02}Z","sku":"s{}"}}"#, n % 60, n % 7)
        }
        _ => format!(r#"{{"id":{n},"price":"{n}.50","at":"2026-11-01T00:00:{:02}Z","sku":"s{}"}}"#, n % 60, n % 7),
    };
    let values: Vec<String> = (0..RECORDS).map(value).collect();
    for partition in 0..2 {
        let half = values.iter().skip(partition).step_by(2);
        kafka::send(
            &topic,
            partition as i32,
            half.map(|value| Sent { value: Some(value.as_bytes()), ..Sent::default() }),
        );
    }
    let daemon = Daemon::start(&file);
    let of = |metric: &str, column: &str| {
        daemon.metric(&format!("tidegate_profile_{metric}"), &[&format!("column=\"{column}\""), &format!("\"{name}\"")])
    };
    let good = (0..RECORDS).filter(|n| n % 100 != 99).count() as f64;
    eventually("every row is profiled", PATIENCE, || async { of("rows_total", "sku") == good }).await;
    let without_price = (0..RECORDS).filter(|n| n.is_multiple_of(4)).count() as f64;
    assert_eq!([of("nulls_total", "price"), of("nulls_total", "sku")], [without_price, 0.0]);
    assert_eq!([of("min", "price"), of("max", "price")], [1.5, 2998.5]);
    let day = 1_793_491_200.0;
    assert_eq!([of("min", "at"), of("max", "at")], [day, day + 59.0]);
    assert_eq!([of("distinct", "sku"), of("distinct", "at")], [7.0, 60.0]);
    let prices = good - without_price;
    assert!((of("distinct", "price") - prices).abs() < prices * 0.05, "{}", of("distinct", "price"));
    let scrape = daemon.scrape();
    assert!(scrape.values("tidegate_profile_min", &["column=\"sku\""]).is_empty(), "no text is shown");
    assert_eq!(daemon.stop(), 0);
}
