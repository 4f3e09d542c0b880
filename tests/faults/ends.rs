//! How a daemon ends: drained, at the second signal, refused at its start.

use std::time::Duration;

use super::on_every_database;
use super::scene::{GroupOffsets, PATIENCE, Scene, plain};
use crate::support::daemon::{Daemon, eventually};
use crate::support::database::Kind;
use crate::support::kafka;

on_every_database!(terminated_under_load, second_signal, missing_table_at_start);

async fn has_rows(scene: &Scene) {
    eventually("rows", PATIENCE, || async { scene.database.number("SELECT count(*) FROM ev").await > 500 }).await;
}

async fn terminated_under_load(kind: Kind) {
    let scene = Scene::new(kind).await;
    let load = scene.load(plain);
    let group = GroupOffsets::of(&scene);
    for _ in 0..3 {
        let daemon = scene.ready().await;
        has_rows(&scene).await;
        let before = scene.positions().await;
        eventually("new rows", PATIENCE, || async { scene.positions().await != before }).await;
        assert_eq!(daemon.stop(), 0);
        let positions: Vec<i64> = scene.positions().await.into_values().collect();
        assert_eq!(group.get().await, positions, "{kind:?}");
        scene.sample(&group, &load).await;
    }
    let daemon = scene.ready().await;
    scene.settle(&load.finish()).await;
    assert_eq!(daemon.stop(), 0);
}

/// A drain that cannot end, because somebody holds the table.
async fn second_signal(kind: Kind) {
    let scene = Scene::new(kind).await;
    let load = scene.load(plain);
    let group = GroupOffsets::of(&scene);
    let mut daemon = scene.ready().await;
    has_rows(&scene).await;
    let lock = scene
        .database
        .hold(match kind {
            Kind::Postgres => "BEGIN; LOCK TABLE ev IN ACCESS EXCLUSIVE MODE",
            Kind::MariaDb | Kind::MySql => "LOCK TABLES ev WRITE",
            Kind::Sqlite => "BEGIN IMMEDIATE",
        })
        .await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    daemon.terminate();
    eventually("it drains", PATIENCE, || async { daemon.log().contains("draining") }).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(daemon.is_running(), "{kind:?}: it waits for the table:\n{}", daemon.log());
    daemon.terminate();
    assert_eq!(daemon.wait(Duration::from_secs(5)).code(), Some(3), "{kind:?}");
    drop(lock);
    scene.sample(&group, &load).await;
    let daemon = scene.ready().await;
    scene.settle(&load.finish()).await;
    assert_eq!(daemon.stop(), 0);
}

async fn missing_table_at_start(kind: Kind) {
    let scene = Scene::new(kind).await;
    scene.database.execute("DROP TABLE ev").await;
    kafka::produce(&scene.topic, 0, 10);
    let mut daemon = scene.daemon();
    assert_eq!(daemon.wait(PATIENCE).code(), Some(2), "{kind:?}:\n{}", daemon.log());
    assert!(daemon.log().contains("ev"), "{kind:?}: the table is named:\n{}", daemon.log());
    assert_eq!(kafka::committed(&scene.group(), &scene.topic, 0), None, "{kind:?}: no offset has moved");
    scene.judge_logs();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_file_is_exit_code_2() {
    let scene = Scene { more: "nonsense = true\n".to_owned(), ..Scene::new(Kind::Sqlite).await };
    let mut daemon = scene.daemon();
    assert_eq!(daemon.wait(PATIENCE).code(), Some(2));
    assert!(daemon.log().contains("nonsense"), "{}", daemon.log());
    let mut daemon = Daemon::start(&scene.folder.path().join("none.toml"));
    assert_eq!(daemon.wait(PATIENCE).code(), Some(2));
}
