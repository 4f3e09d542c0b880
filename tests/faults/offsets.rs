//! `tidegate offsets`: both stores coherently, never under a living owner, and with force past it.

use std::process::{Command, Stdio};

use serde_json::Value;

use super::on_every_database;
use super::scene::{PATIENCE, Scene};
use crate::support::daemon::{Daemon, eventually};
use crate::support::database::Kind;
use crate::support::kafka::{self, Sent};

on_every_database!(positions_by_hand, positions_by_force);

/// The exit code, standard output, standard error.
fn offsets(scene: &Scene, action: &str, arguments: &[&str]) -> (i32, String, String) {
    offsets_with(scene, action, arguments, &[])
}

fn offsets_with(
    scene: &Scene,
    action: &str,
    arguments: &[&str],
    environment: &[(&str, &str)],
) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_tidegate"))
        .args(["offsets", action])
        .arg(scene.file())
        .args(arguments)
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .output()
        .expect("the binary starts");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (output.status.code().expect("it ends by itself"), text(output.stdout), text(output.stderr))
}

/// What `show` tells of a partition.
fn shown(scene: &Scene, partition: usize) -> Value {
    let (code, text, error) = offsets(scene, "show", &["--output", "json"]);
    assert_eq!(code, 0, "{error}");
    let all: Value = serde_json::from_str(&text).expect("JSON");
    all["partitions"][partition].clone()
}

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

async fn rows(scene: &Scene) -> i64 {
    scene.database.number("SELECT count(*) FROM ev").await
}

fn group_is_at(scene: &Scene, offset: i64) {
    kafka::wait_until("the group's offset", || kafka::committed(&scene.group(), &scene.topic, 0) == Some(offset));
}

async fn positions_by_hand(kind: Kind) {
    let scene = Scene::new(kind).await;
    produce(&scene, 0, 100);
    let before = shown(&scene, 0);
    assert_eq!(before["position"], Value::Null, "our tables are not there yet: {before}");
    assert_eq!((before["high"].as_i64(), before["lag"].as_i64()), (Some(100), None));

    let daemon = scene.ready().await;
    is_at(&scene, 100).await;
    let (code, _, error) = offsets(&scene, "reset", &["--to", "earliest", "--yes"]);
    assert_eq!(code, 2, "{error}");
    assert!(error.contains("is running") && error.contains("has 1 members ("), "{error}");
    assert_eq!(scene.positions().await[&0], 100);
    group_is_at(&scene, 100);
    assert_eq!(daemon.stop(), 0);
    let epoch = shown(&scene, 0)["epoch"].as_i64().expect("it was claimed");

    let (code, _, error) = offsets(&scene, "reset", &["--to", "40", "--yes"]);
    assert_eq!(code, 2);
    assert!(error.contains(&format!("{}-1 has 0 to 0", scene.topic)), "{error}");
    let set = ["--topic", &scene.topic, "--partition", "0", "--to"];
    let (code, _, error) = offsets(&scene, "set", &[&set[..], &["101", "--yes"]].concat());
    assert_eq!(code, 2);
    assert!(error.contains(&format!("{}-0 has 0 to 100", scene.topic)), "{error}");
    let (code, _, error) = offsets(&scene, "set", &["--topic", "none", "--partition", "0", "--to", "1", "--yes"]);
    assert_eq!(code, 2);
    assert!(error.contains("does not read partition 0 of topic none"), "{error}");

    let (code, told, _) = offsets(&scene, "set", &[&set[..], &["40", "--dry-run"]].concat());
    assert_eq!(code, 0);
    assert!(told.contains("60 records are read again, 0 are passed over"), "{told}");
    assert!(told.contains("table ev appends"), "{told}");
    let (code, _, error) = offsets(&scene, "set", &[&set[..], &["40"]].concat());
    assert_eq!(code, 2);
    assert!(error.contains("--yes"), "{error}");
    assert_eq!(scene.positions().await[&0], 100, "nothing has moved so far");

    // The static member that stopped is in its group until its session ends: that is waited for.
    let (code, told, error) = offsets(&scene, "set", &[&set[..], &["40", "--yes"]].concat());
    assert_eq!(code, 0, "{told}{error}");
    let now = shown(&scene, 0);
    assert_eq!((now["position"].as_i64(), now["committed"].as_i64()), (Some(40), Some(40)), "{now}");
    assert_eq!((now["lag"].as_i64(), now["epoch"].as_i64()), (Some(60), Some(epoch + 1)), "{now}");
    assert!(now["owner"].as_str().expect("an owner").starts_with("offsets@"), "{now}");
    let moved: jiff::Timestamp = now["moved_at"].as_str().expect("a time").parse().expect("RFC 3339");
    assert!(jiff::Timestamp::now().duration_since(moved).abs().as_secs() < 3_600, "{moved}");

    let (code, told, error) = offsets(&scene, "set", &[&set[..], &["90", "--yes", "--output", "json"]].concat());
    assert_eq!(code, 0, "{told}{error}");
    let told: Value = serde_json::from_str(&told).expect("JSON");
    assert_eq!((told["passed_over"].as_i64(), told["done"].as_bool()), (Some(50), Some(true)), "{told}");
    assert_eq!(kafka::committed(&scene.group(), &scene.topic, 0), Some(90));
    let columns = ["part", "from_offset", "to_offset"].map(|column| scene.database.text(column)).join(", ");
    let gaps = scene.database.texts(&format!("SELECT {columns} FROM tidegate_gaps")).await;
    assert_eq!(gaps, [[0, 40, 90].map(|number: i64| Some(number.to_string())).to_vec()]);

    let daemon = scene.ready().await;
    is_at(&scene, 100).await;
    assert_eq!(daemon.stop(), 0);
    assert_eq!(rows(&scene).await, 110, "the last ten were read again");
    scene.judge_logs();
}

/// A living daemon is fenced, claims again, and goes on from the new position: at the next record, and without one.
async fn positions_by_force(kind: Kind) {
    let scene = Scene::new(kind).await;
    produce(&scene, 0, 100);
    let mut daemon = scene.ready().await;
    is_at(&scene, 100).await;
    let set = ["--topic", &scene.topic, "--partition", "0", "--force", "--yes", "--to"];
    let (code, told, error) = offsets(&scene, "set", &[&set[..], &["30"]].concat());
    assert_eq!(code, 0, "{told}{error}");
    assert!(told.contains("are fenced"), "{told}");
    produce(&scene, 100, 1);
    eventually("it reads again from 30", PATIENCE, || async { rows(&scene).await == 171 }).await;
    is_at(&scene, 101).await;
    assert!(daemon.metric("tidegate_fenced_total", &[]) >= 1.0);
    group_is_at(&scene, 101);

    let (code, told, error) = offsets(&scene, "set", &[&set[..], &["81"]].concat());
    assert_eq!(code, 0, "{told}{error}");
    eventually("no record comes, and it reads again from 81", PATIENCE, || async { rows(&scene).await == 191 }).await;
    is_at(&scene, 101).await;
    let (code, told, error) = offsets(&scene, "set", &[&set[..], &["0"]].concat());
    assert_eq!(code, 0, "{told}{error}");
    eventually("it claims again", PATIENCE, || async { rows(&scene).await == 292 }).await;
    assert!(daemon.is_running());
    assert_eq!(daemon.stop(), 0);
    let each = "SELECT count(*) FROM (SELECT off FROM ev GROUP BY off HAVING count(*) >= 2) AS t";
    assert_eq!(scene.database.number(each).await, 101);
    scene.judge_logs();
}

/// Sums would count what is read again twice.
#[tokio::test(flavor = "multi_thread")]
async fn sums_are_not_doubled_unasked() {
    let scene = Scene::new(Kind::Postgres).await.and_sums().await;
    produce(&scene, 0, 100);
    let daemon = scene.ready().await;
    is_at(&scene, 100).await;
    assert_eq!(daemon.stop(), 0);
    let (code, told, error) = offsets(&scene, "reset", &["--to", "earliest", "--yes"]);
    assert_eq!(code, 2);
    assert!(error.contains("table sums adds up") && error.contains("100 records would be counted TWICE"), "{error}");
    assert!(told.contains("WARNING"), "{told}");
    assert_eq!(scene.positions().await[&0], 100);
    let (code, _, error) = offsets(&scene, "reset", &["--to", "earliest", "--yes", "--accept-double-count"]);
    assert_eq!(code, 0, "{error}");
    let daemon = scene.ready().await;
    is_at(&scene, 100).await;
    assert_eq!(daemon.stop(), 0);
    let n = scene.database.text("n");
    assert_eq!(scene.database.texts(&format!("SELECT {n} FROM sums")).await, [[Some("200".to_owned())]]);
}

/// A table that is replayed from a time equals a fresh one.
#[tokio::test(flavor = "multi_thread")]
async fn replayed_from_a_time() {
    let scene = Scene::new(Kind::Postgres).await;
    produce(&scene, 0, 50);
    // Kafka's times are milliseconds: the next record's is later.
    let between = jiff::Timestamp::now() + std::time::Duration::from_millis(5);
    while jiff::Timestamp::now() <= between {
        tokio::task::yield_now().await;
    }
    produce(&scene, 50, 50);
    let daemon = scene.ready().await;
    is_at(&scene, 100).await;
    assert_eq!(daemon.stop(), 0);
    scene.database.execute("DELETE FROM ev WHERE seq >= 50").await;
    let (code, told, error) = offsets(&scene, "reset", &["--to-time", &between.to_string(), "--yes"]);
    assert_eq!(code, 0, "{told}{error}");
    assert!(told.contains("50 records are read again"), "{told}");
    let daemon = scene.ready().await;
    is_at(&scene, 100).await;
    assert_eq!(daemon.stop(), 0);
    let (all, distinct) = ("SELECT count(*) FROM ev", "SELECT count(DISTINCT seq) FROM ev");
    assert_eq!((scene.database.number(all).await, scene.database.number(distinct).await), (100, 100));
}

/// Setting one partition is no first start of the others: they begin where the file says.
#[tokio::test(flavor = "multi_thread")]
async fn before_the_first_start() {
    let scene = Scene::new(Kind::Sqlite).await;
    for partition in 0..2 {
        kafka::produce(&scene.topic, partition, 10);
    }
    let latest = [("TIDEGATE__SOURCE__START", "latest")];
    let set = ["--topic", &scene.topic, "--partition", "0", "--to", "3", "--yes"];
    let (code, told, error) = offsets_with(&scene, "set", &set, &latest);
    assert_eq!(code, 0, "{told}{error}");
    let positions: Vec<i64> = scene.positions().await.into_values().collect();
    assert_eq!(positions, [3, 10, 0, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn at_least_once_has_the_groups_offsets() {
    let scene = Scene { delivery: "at-least-once", ..Scene::new(Kind::MariaDb).await };
    produce(&scene, 0, 100);
    let daemon = scene.ready().await;
    group_is_at(&scene, 100);
    let (code, _, error) = offsets(&scene, "reset", &["--to", "earliest", "--yes", "--force"]);
    assert_eq!(code, 2, "it has no fence");
    assert!(error.contains("--force does not help"), "{error}");
    assert_eq!(daemon.stop(), 0);
    let set = ["--topic", &scene.topic, "--partition", "0", "--to", "75", "--yes"];
    let (code, told, error) = offsets(&scene, "set", &set);
    assert_eq!(code, 0, "{told}{error}");
    assert_eq!(kafka::committed(&scene.group(), &scene.topic, 0), Some(75));
    assert_eq!(scene.database.number("SELECT count(*) FROM tidegate_positions").await, 0);
    let now = shown(&scene, 0);
    assert_eq!((now["position"].as_i64(), now["lag"].as_i64()), (Some(75), Some(25)), "{now}");
    let daemon = Daemon::start(&scene.file());
    eventually("it goes on from 75", PATIENCE, || async { rows(&scene).await == 125 }).await;
    assert_eq!(daemon.stop(), 0);
}
