//! Roll-ups and what follows from them, while daemons are killed and others come and go.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::kills::two_daemons;
use super::scene::{Event, Ledger, Scene, is_ready, numbers};
use super::{on_every_database, rounds};
use crate::support::database::Kind;
use crate::support::kafka;

on_every_database!(each_crossing_is_told_once);

/// How many of a window's records are too many.
const THRESHOLD: i64 = 150;

/// Windows of 100 records of each partition, which all partitions add to; each tenth record is late, by up to five
/// windows.
fn late(_partition: i32, seq: i64) -> Event {
    let late_by = if seq % 10 == 0 { 1 + seq / 10 % 5 } else { 0 };
    Event::row(format!("w{}", (seq / 100 - late_by).max(0)), seq)
}

/// What crosses the threshold goes into a table and into a topic.
fn crossings_into(scene: &mut Scene, topic: &str) {
    let crossing = format!("FROM input WHERE n > {THRESHOLD} AND n - n_delta <= {THRESHOLD}");
    scene.more = format!(
        "[[table]]\nname = \"crossings\"\nmode = \"append\"\nfrom = \"sums\"\nsql = \"SELECT id, n, n_delta AS added {crossing}\"\n\
         [[topic]]\nname = \"{topic}\"\nfrom = \"sums\"\nkey = \"id\"\nsql = \"SELECT id, n, n_delta AS added {crossing}\"\n"
    );
}

async fn each_crossing_is_told_once(kind: Kind) {
    let mut scene = Scene::new(kind).await.and_sums().await;
    let text = if matches!(kind, Kind::MariaDb | Kind::MySql) { "varchar(100)" } else { "text" };
    // Nothing in it would keep a crossing from being there twice.
    scene.database.execute(&format!("CREATE TABLE crossings (id {text}, n bigint, added bigint)")).await;
    let topic = kafka::topic(2);
    crossings_into(&mut scene, &topic);
    let load = scene.load(late);
    let mut daemons = two_daemons(&scene).await;
    for round in 0..rounds() {
        tokio::time::sleep(Duration::from_millis(fastrand::u64(300..2_000))).await;
        let victim = fastrand::usize(..daemons.len());
        assert!(daemons[victim].is_running(), "it ended by itself:\n{}", daemons[victim].log());
        daemons[victim].kill();
        daemons[victim] = scene.daemon();
        if round % 4 == 3 {
            // It has read its file, which the next one writes again.
            is_ready(&daemons[victim]).await;
            // A third one comes, and goes in good order: the group deals its partitions out twice.
            let third = scene.ready().await;
            tokio::time::sleep(Duration::from_millis(fastrand::u64(300..2_000))).await;
            assert_eq!(third.stop(), 0);
        }
    }
    let ledger = load.finish();
    scene.settle(&ledger).await;
    for daemon in daemons {
        assert_eq!(daemon.stop(), 0);
    }
    judge(&scene, &topic, &ledger).await;
}

async fn judge(scene: &Scene, topic: &str, ledger: &Ledger) {
    let kind = scene.database.kind;
    let mut counts: BTreeMap<&str, i64> = BTreeMap::new();
    for (id, _) in ledger.iter().flatten().filter_map(|event| event.row.as_ref()) {
        *counts.entry(id).or_default() += 1;
    }
    let expected: Vec<&str> = counts.iter().filter(|(_, count)| **count > THRESHOLD).map(|(id, _)| *id).collect();
    assert!(expected.len() > 1, "{kind:?}: the load was too short to tell anything: {counts:?}");

    let columns = ["id", "n", "added"].map(|column| scene.database.text(column)).join(", ");
    let mut rows = scene.database.texts(&format!("SELECT {columns} FROM crossings")).await;
    rows.sort();
    let ids: Vec<String> = rows.iter_mut().map(|row| row.remove(0).unwrap_or_default()).collect();
    assert_eq!(ids, expected, "{kind:?}: each crossing is in the table once");
    for row in numbers(rows) {
        assert!(row[0] > THRESHOLD && row[0] - row[1] <= THRESHOLD, "{kind:?}: {row:?} crosses nothing");
    }

    // A reader that drops what it has seen the source of.
    let sources: BTreeSet<String> = kafka::received(&scene.brokers, topic)
        .iter()
        .map(|event| event.header("tidegate-source").expect("the header").to_owned())
        .collect();
    let expected: BTreeSet<String> = expected.iter().map(|id| format!("sums/[\"{id}\"]/{id}")).collect();
    assert_eq!(sources, expected, "{kind:?}: each crossing is in the topic, once for a reader that drops repeats");
}
