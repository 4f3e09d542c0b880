//! The whole way, from a real topic into each real database.

use std::time::Duration;

use tidegate::config::Mode;
use tidegate::pipeline::Ending;

use crate::support::daemon::eventually;
use crate::support::database::{ALL, Kind, TestDatabase};
use crate::support::kafka::{self, Sent};
use crate::support::pipeline::{Running, pipeline, table};

const PATIENCE: Duration = Duration::from_secs(60);

/// The orders table in a database's own types.
fn orders(kind: Kind, key: &str) -> String {
    let (text, decimal, instant) = match kind {
        Kind::Postgres => ("text", "numeric(12,2)", "timestamptz"),
        Kind::MariaDb | Kind::MySql => ("varchar(200)", "decimal(12,2)", "datetime(6)"),
        Kind::Sqlite => ("TEXT", "TEXT", "TEXT"),
    };
    format!(
        "CREATE TABLE orders (order_id bigint NOT NULL {key}, sku {text} NOT NULL, quantity int, price {decimal}, \
         created_at {instant}, note {text})"
    )
}

fn order(id: u64, quantity: u64) -> String {
    format!(
        r#"{{"order_id":{id},"sku":"SKU-{:05}","quantity":{quantity},"price":{}.{:02},"created_at":"2026-11-21T10:00:00.123456Z","note":"parcel \"{id}\""}}"#,
        id % 997,
        id % 1000,
        id % 100
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn every_record_arrives_once_in_every_database() {
    for kind in ALL {
        let database = TestDatabase::new(kind).await;
        database.execute(&orders(kind, "")).await;
        let topic = kafka::topic(4);
        for partition in 0..4 {
            let values: Vec<String> = (0..2_500).map(|n| order(n * 4 + partition, 1)).collect();
            kafka::send(
                &topic,
                partition as i32,
                values.iter().map(|value| Sent { value: Some(value.as_bytes()), ..Sent::default() }),
            );
        }
        let pipeline = pipeline(&topic, &database, vec![table("orders", Mode::Append)]);
        let group = pipeline.source.group.clone();
        let running = Running::start(pipeline);
        let database = &database;
        eventually(&format!("10,000 orders in {kind:?}"), PATIENCE, || async {
            let count = database.number("SELECT count(*) FROM orders").await;
            assert!(count <= 10_000, "{kind:?}: {count} rows");
            if count < 10_000 && running.status.state() == tidegate::status::State::Blocked {
                panic!("{kind:?}: {}", running.problems());
            }
            count == 10_000
        })
        .await;
        assert_eq!(database.number("SELECT count(DISTINCT order_id) FROM orders").await, 10_000);
        assert_eq!(running.stop().await, Ending::Drained);
        for partition in 0..4 {
            let position = format!("SELECT next_offset FROM tidegate_positions WHERE part = {partition}");
            assert_eq!(database.number(&position).await, 2_500, "{kind:?}");
            assert_eq!(kafka::committed(&group, &topic, partition), Some(2_500), "{kind:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn updates_and_tombstones_leave_the_last_state_of_each_key() {
    for kind in ALL {
        let database = TestDatabase::new(kind).await;
        database.execute(&orders(kind, "PRIMARY KEY")).await;
        let topic = kafka::topic(2);
        for partition in 0..2u64 {
            // Keys 0..100 of this partition, three rounds; then every tenth is deleted.
            let mut records: Vec<(String, Option<String>)> = Vec::new();
            for round in 1..=3 {
                for id in (0..200).filter(|id| id % 2 == partition) {
                    records.push((id.to_string(), Some(order(id, round))));
                }
            }
            for id in (0..200).filter(|id| id % 2 == partition && id % 10 < 2) {
                records.push((id.to_string(), None));
            }
            kafka::send(
                &topic,
                partition as i32,
                records.iter().map(|(key, value)| Sent {
                    key: Some(key.as_bytes()),
                    value: value.as_ref().map(|value| value.as_bytes()),
                    ..Sent::default()
                }),
            );
        }
        let running = Running::start(pipeline(&topic, &database, vec![table("orders", Mode::Upsert)]));
        let database = &database;
        let done = "SELECT count(*) FROM tidegate_positions WHERE next_offset = 320";
        eventually(&format!("all positions of {kind:?} at the end"), PATIENCE, || async {
            if running.status.state() == tidegate::status::State::Blocked {
                panic!("{kind:?}: {}", running.problems());
            }
            running.status.state() == tidegate::status::State::Running && database.number(done).await == 2
        })
        .await;
        assert_eq!(database.number("SELECT count(*) FROM orders").await, 160, "{kind:?}");
        assert_eq!(database.number("SELECT count(*) FROM orders WHERE quantity <> 3").await, 0, "{kind:?}");
        assert_eq!(running.stop().await, Ending::Drained);
    }
}
