//! How a daemon ends: drained, at the second signal, refused at its start.

use std::time::Duration;

use super::scene::{GroupOffsets, PATIENCE, Scene, is_ready, plain};
use super::{on_databases, on_every_database};
use crate::support::daemon::{Daemon, eventually};
use crate::support::database::Kind;
use crate::support::kafka;

on_every_database!(terminated_under_load, second_signal, missing_table_at_start);
on_databases!([postgres => Postgres, sqlite => Sqlite]: drain_limit);

async fn terminated_under_load(kind: Kind) {
    let scene = Scene::new(kind).await;
    let load = scene.load(plain);
    let group = GroupOffsets::of(&scene);
    for _ in 0..3 {
        let daemon = scene.ready().await;
        scene.has_rows().await;
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

/// Holds the table, and waits until a batch waits for it.
async fn hold_table(scene: &Scene, daemon: &Daemon) -> Box<dyn std::any::Any> {
    let lock = scene
        .database
        .hold(match scene.database.kind {
            Kind::Postgres => "BEGIN; LOCK TABLE ev IN ACCESS EXCLUSIVE MODE",
            Kind::MariaDb | Kind::MySql => "LOCK TABLES ev WRITE",
            Kind::Sqlite => "BEGIN IMMEDIATE",
        })
        .await;
    // From now on nothing is committed, so that what piles up has a batch before it that waits.
    let before = daemon.metric("tidegate_buffered_bytes", &[]);
    eventually("records pile up", PATIENCE, || async { daemon.metric("tidegate_buffered_bytes", &[]) > before }).await;
    lock
}

/// A drain that cannot end, because somebody holds the table.
async fn second_signal(kind: Kind) {
    let scene = Scene::new(kind).await;
    let load = scene.load(plain);
    let group = GroupOffsets::of(&scene);
    let mut daemon = scene.ready().await;
    scene.has_rows().await;
    let lock = hold_table(&scene, &daemon).await;
    daemon.terminate();
    eventually("it drains", PATIENCE, || async { daemon.log().contains("draining") }).await;
    assert!(daemon.is_running(), "{kind:?}: it waits for the table:\n{}", daemon.log());
    daemon.terminate();
    // Well below the drain limit of 25 s.
    assert_eq!(daemon.wait(Duration::from_secs(10)).code(), Some(3), "{kind:?}");
    drop(lock);
    scene.sample(&group, &load).await;
    let daemon = scene.ready().await;
    scene.settle(&load.finish()).await;
    assert_eq!(daemon.stop(), 0);
}

async fn drain_limit(kind: Kind) {
    let scene = Scene::new(kind).await;
    let load = scene.load(plain);
    let group = GroupOffsets::of(&scene);
    let mut daemon = Daemon::start_with(&scene.file(), &["--drain-limit", "1"], &[]);
    is_ready(&daemon).await;
    scene.has_rows().await;
    let lock = hold_table(&scene, &daemon).await;
    daemon.terminate();
    assert_eq!(daemon.wait(Duration::from_secs(20)).code(), Some(3), "{kind:?}:\n{}", daemon.log());
    drop(lock);
    scene.sample(&group, &load).await;
    let daemon = scene.ready().await;
    scene.settle(&load.finish()).await;
    assert_eq!(daemon.stop(), 0);
}

/// Somebody else uses the daemon's static instance: the group has thrown it out for good.
#[tokio::test(flavor = "multi_thread")]
async fn a_taken_instance_is_exit_code_4() {
    let scene = Scene::new(Kind::Sqlite).await;
    let instance = kafka::unique("i");
    let mut daemon = Daemon::start_with(&scene.file(), &[], &[("TIDEGATE__SOURCE__INSTANCE", &instance)]);
    is_ready(&daemon).await;
    eventually("it has its partitions", PATIENCE, || async { !scene.positions().await.is_empty() }).await;
    let (group, topic) = (scene.group(), scene.topic.clone());
    let rival = tokio::task::spawn_blocking(move || kafka::rival(&group, &instance, &topic)).await.unwrap();
    assert_eq!(daemon.wait(PATIENCE).code(), Some(4), "{}", daemon.log());
    assert!(daemon.log().contains("instance"), "the cause is told:\n{}", daemon.log());
    scene.judge_logs();
    drop(rival);
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
