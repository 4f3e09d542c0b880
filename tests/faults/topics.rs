//! Derived events while daemons are killed and the broker is away.

use std::collections::BTreeMap;
use std::time::Duration;

use super::scene::{Ledger, Scene, plain};
use super::{on_databases, rounds};
use crate::support::database::Kind;
use crate::support::kafka;

on_databases!([postgres => Postgres, sqlite => Sqlite]: killed_daemons_lose_no_event);

/// Every second record of the scene becomes an event.
pub fn derived_into(scene: &mut Scene, topic: &str) {
    scene.more = format!(
        "[[topic]]\nname = \"{topic}\"\nkey = \"part\"\nsql = \"SELECT part, off FROM input WHERE off % 2 = 0\"\n"
    );
}

/// Every derived event is there, and what is there twice says so.
pub fn judge_events(scene: &Scene, topic: &str, ledger: &Ledger) {
    let mut found = BTreeMap::new();
    for event in kafka::received(&scene.brokers, topic) {
        let source = event.header("tidegate-source").expect("the header").to_owned();
        let known = found.entry(source).or_insert_with(|| event.value.clone());
        assert_eq!(*known, event.value, "a repeat is the same");
    }
    let mut expected = BTreeMap::new();
    for (part, log) in ledger.iter().enumerate() {
        for off in (0..log.len()).step_by(2) {
            let value = format!(r#"{{"part":{part},"off":{off}}}"#);
            expected.insert(format!("{}/{part}/{off}/0", scene.topic), Some(value));
        }
    }
    assert!(found == expected, "{} events of {}", found.len(), expected.len());
}

async fn killed_daemons_lose_no_event(kind: Kind) {
    let mut scene = Scene::new(kind).await;
    let derived = kafka::topic(2);
    derived_into(&mut scene, &derived);
    let load = scene.load(plain);
    let mut daemon = scene.ready().await;
    for _ in 0..rounds().min(4) {
        tokio::time::sleep(Duration::from_millis(fastrand::u64(500..3_000))).await;
        assert!(daemon.is_running(), "it ended by itself:\n{}", daemon.log());
        daemon.kill();
        daemon = scene.daemon();
    }
    let ledger = load.finish();
    scene.settle(&ledger).await;
    assert_eq!(daemon.stop(), 0);
    judge_events(&scene, &derived, &ledger);
}
