//! Positions that the topic no longer has: told and waited for, or passed with a note of what is lost.

use super::on_databases;
use super::scene::{GroupOffsets, PARTITIONS, PATIENCE, Scene, is_blocked};
use crate::support::daemon::{Daemon, eventually};
use crate::support::database::Kind;
use crate::support::kafka::{self, Sent};

on_databases!([postgres => Postgres, mysql => MySql, sqlite => Sqlite]: retention_passed_the_position);
on_databases!([postgres => Postgres, mariadb => MariaDb]: topic_created_again);
on_databases!([postgres => Postgres, sqlite => Sqlite]: topic_truncated);

/// `count` good records into the first partition; their number goes on from `first`.
fn produce(scene: &Scene, first: i64, count: i64) {
    let values: Vec<String> = (first..first + count).map(|seq| format!(r#"{{"id":"a","seq":{seq}}}"#)).collect();
    let records = values.iter().map(|value| Sent { value: Some(value.as_bytes()), ..Sent::default() });
    kafka::send(&scene.topic, 0, records);
}

async fn is_at(scene: &Scene, position: i64) {
    eventually(&format!("position {position}"), PATIENCE, || async {
        scene.positions().await.get(&0) == Some(&position)
    })
    .await;
}

async fn count(scene: &Scene, condition: &str) -> i64 {
    scene.database.number(&format!("SELECT count(*) FROM ev WHERE {condition}")).await
}

/// A hundred records are stored, and no daemon runs.
async fn with_a_hundred(kind: Kind) -> Scene {
    let scene = Scene::new(kind).await;
    produce(&scene, 0, 100);
    let daemon = scene.ready().await;
    is_at(&scene, 100).await;
    assert_eq!(daemon.stop(), 0);
    scene
}

/// By default: blocked with the cause and the choice, and nothing moves.
async fn stops(scene: &Scene, cause: &str) {
    let group = GroupOffsets::of(scene);
    let before = (scene.positions().await, group.get().await, count(scene, "1 = 1").await);
    let daemon = scene.daemon();
    is_blocked(&daemon, cause).await;
    is_blocked(&daemon, "source.on_lost_position").await;
    assert!(daemon.metric("tidegate_blocked_total", &["class=\"lost-position\""]) >= 1.0);
    assert_eq!(daemon.metric("tidegate_gaps_total", &[]), 0.0);
    assert_eq!(daemon.stop(), 0);
    assert_eq!((scene.positions().await, group.get().await, count(scene, "1 = 1").await), before);
}

/// With a decision: it goes on at `to`, and what is lost is kept in a row.
async fn goes_on(scene: &Scene, decision: &str, from: i64, to: i64, end: i64) {
    let daemon = Daemon::start_with(&scene.file(), &[], &[("TIDEGATE__SOURCE__ON_LOST_POSITION", decision)]);
    is_at(scene, end).await;
    eventually("the gap is counted", PATIENCE, || async { daemon.metric("tidegate_gaps_total", &[]) == 1.0 }).await;
    assert_eq!(daemon.stop(), 0);
    let columns = ["part", "from_offset", "to_offset"].map(|column| scene.database.text(column)).join(", ");
    let gaps = scene.database.texts(&format!("SELECT {columns} FROM tidegate_gaps WHERE part = 0")).await;
    let expected = [0, from, to].map(|number| Some(number.to_string()));
    assert_eq!(gaps, [expected.to_vec()]);
    scene.judge_logs();
}

async fn retention_passed_the_position(kind: Kind) {
    let scene = with_a_hundred(kind).await;
    produce(&scene, 100, 50);
    kafka::delete_records(&scene.topic, 0, 120);
    stops(&scene, "retention has deleted records that were not read yet").await;
    goes_on(&scene, "earliest", 100, 120, 150).await;
    assert_eq!(count(&scene, "off >= 100").await, 30);
    assert_eq!(count(&scene, "off >= 120").await, 30, "what is still there arrives");
}

async fn topic_created_again(kind: Kind) {
    let scene = with_a_hundred(kind).await;
    kafka::delete(&scene.topic);
    kafka::create(&scene.topic, PARTITIONS);
    // Longer than the old one was: its number alone would not show that the position means nothing.
    produce(&scene, 1_000, 150);
    stops(&scene, "the topic was deleted and created again").await;
    let daemon = Daemon::start_with(&scene.file(), &[], &[("TIDEGATE__SOURCE__ON_LOST_POSITION", "earliest")]);
    is_at(&scene, 150).await;
    assert_eq!(daemon.stop(), 0);
    assert_eq!(count(&scene, "seq >= 1000").await, 150, "all of the new topic");
    assert_eq!(scene.database.number("SELECT count(*) FROM tidegate_gaps").await, i64::from(PARTITIONS));
    scene.judge_logs();
}

/// A broker that lost the end of its log answers as if the position lay beyond it.
async fn topic_truncated(kind: Kind) {
    let scene = with_a_hundred(kind).await;
    scene.database.execute("UPDATE tidegate_positions SET next_offset = 1100 WHERE part = 0").await;
    stops(&scene, "the topic ends at 100, before the stored position 1100").await;
    goes_on(&scene, "latest", 1_100, 100, 100).await;
    produce(&scene, 100, 1);
    let daemon = scene.ready().await;
    is_at(&scene, 101).await;
    assert_eq!(count(&scene, "1 = 1").await, 101, "nothing is read again");
    assert_eq!(daemon.stop(), 0);
}

/// While it is being read: its end is not where the reader stands.
#[tokio::test(flavor = "multi_thread")]
async fn topic_created_again_under_a_running_daemon() {
    let scene = Scene::new(Kind::Postgres).await;
    produce(&scene, 0, 100);
    let daemon = scene.ready().await;
    is_at(&scene, 100).await;
    kafka::delete(&scene.topic);
    kafka::create(&scene.topic, PARTITIONS);
    produce(&scene, 1_000, 50);
    is_blocked(&daemon, "the topic was deleted and created again").await;
    assert_eq!(count(&scene, "seq >= 1000").await, 0, "nothing of the new topic before it is decided");
    assert_eq!(scene.positions().await[&0], 100);
    assert_eq!(daemon.stop(), 0);
    scene.judge_logs();
}

/// And where the new topic soon reaches as far as the reader stood, so that nothing in the reading shows it. What comes
/// before it is noticed is stored; the decision is the operator's all the same.
#[tokio::test(flavor = "multi_thread")]
async fn longer_topic_created_again_under_a_running_daemon() {
    let scene = Scene::new(Kind::Postgres).await;
    produce(&scene, 0, 100);
    let daemon = scene.ready().await;
    is_at(&scene, 100).await;
    kafka::delete(&scene.topic);
    kafka::create(&scene.topic, PARTITIONS);
    produce(&scene, 1_000, 150);
    is_blocked(&daemon, "the topic was deleted and created again").await;
    assert_eq!(daemon.stop(), 0);
    let daemon = Daemon::start_with(&scene.file(), &[], &[("TIDEGATE__SOURCE__ON_LOST_POSITION", "earliest")]);
    eventually("all of the new topic", PATIENCE, || async {
        let all = "SELECT count(DISTINCT seq) FROM ev WHERE seq >= 1000";
        scene.database.number(all).await == 150
    })
    .await;
    assert_eq!(daemon.stop(), 0);
}

/// At-least-once has only the group's offset to lose.
#[tokio::test(flavor = "multi_thread")]
async fn group_offset_lost_at_least_once() {
    let scene = Scene { delivery: "at-least-once", ..Scene::new(Kind::Postgres).await };
    produce(&scene, 0, 100);
    let daemon = scene.ready().await;
    kafka::wait_until("the group's offset", || kafka::committed(&scene.group(), &scene.topic, 0) == Some(100));
    assert_eq!(daemon.stop(), 0);
    produce(&scene, 100, 50);
    kafka::delete_records(&scene.topic, 0, 120);
    let daemon = scene.daemon();
    is_blocked(&daemon, "the group's committed offset is 100, and the topic has 120 to 150").await;
    assert_eq!(daemon.stop(), 0);
    assert_eq!(kafka::committed(&scene.group(), &scene.topic, 0), Some(100));
    let daemon = Daemon::start_with(&scene.file(), &[], &[("TIDEGATE__SOURCE__ON_LOST_POSITION", "earliest")]);
    eventually("what is still there arrives", PATIENCE, || async { count(&scene, "off >= 120").await == 30 }).await;
    assert_eq!(daemon.metric("tidegate_gaps_total", &[]), 1.0);
    assert!(daemon.log().contains("records were lost before they could be read"));
    assert_eq!(daemon.stop(), 0);
    assert_eq!(count(&scene, "1 = 1").await, 130);
}
