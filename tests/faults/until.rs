//! `tidegate run --until`: it ends by itself when what was there is stored, and not before.

use super::on_every_database;
use super::scene::{PATIENCE, Scene};
use crate::support::daemon::{Daemon, eventually};
use crate::support::database::Kind;
use crate::support::kafka::{self, Sent};

on_every_database!(what_is_there_is_stored);

fn produce(scene: &Scene, partition: i32, first: i64, count: i64) {
    let values: Vec<String> = (first..first + count).map(|seq| format!(r#"{{"id":"a","seq":{seq}}}"#)).collect();
    let records = values.iter().map(|value| Sent { value: Some(value.as_bytes()), ..Sent::default() });
    kafka::send(&scene.topic, partition, records);
}

async fn rows(scene: &Scene) -> i64 {
    scene.database.number("SELECT count(*) FROM ev").await
}

/// Runs to its end.
fn run(scene: &Scene, until: &str) -> String {
    let mut daemon = Daemon::start_with(&scene.file(), &["--until", until], &[]);
    let code = daemon.wait(PATIENCE).code();
    assert_eq!(code, Some(0), "{}", daemon.log());
    daemon.log()
}

async fn what_is_there_is_stored(kind: Kind) {
    let scene = Scene::new(kind).await;
    produce(&scene, 0, 0, 100);
    produce(&scene, 1, 0, 50);
    let log = run(&scene, "end");
    assert!(log.contains("all 150 records are stored"), "{log}");
    assert_eq!(rows(&scene).await, 150);
    // The end of a log that holds no more records is reached, too.
    kafka::transaction(&scene.topic, 2, 20, kafka::End::Abort);
    let log = run(&scene, "end");
    assert!(log.contains("all 21 records are stored"), "twenty records that were aborted, and their marker: {log}");
    assert_eq!(rows(&scene).await, 150, "the second run has nothing to store");
    scene.judge_logs();
}

#[tokio::test(flavor = "multi_thread")]
async fn records_before_a_time() {
    let scene = Scene { delivery: "at-least-once", ..Scene::new(Kind::Postgres).await };
    produce(&scene, 0, 0, 50);
    // Kafka's times are milliseconds: the next record's is later.
    let between = jiff::Timestamp::now() + std::time::Duration::from_millis(5);
    while jiff::Timestamp::now() <= between {
        tokio::task::yield_now().await;
    }
    produce(&scene, 0, 50, 50);
    let log = run(&scene, &between.to_string());
    assert!(log.contains("all 50 records are stored"), "{log}");
    assert_eq!(scene.database.number("SELECT count(*) FROM ev WHERE seq < 50").await, 50);
}

/// Told to stop before the end, it says so: a script must not take it for done.
#[tokio::test(flavor = "multi_thread")]
async fn stopped_before_its_end() {
    let mut scene = Scene::new(Kind::Postgres).await;
    scene.more = "[errors]\nbad_records = \"stop\"\n".to_owned();
    produce(&scene, 0, 0, 10);
    kafka::send(&scene.topic, 0, [Sent { value: Some(b"{"), ..Sent::default() }]);
    let daemon = Daemon::start_with(&scene.file(), &["--until", "end"], &[]);
    eventually("it is blocked", PATIENCE, || async {
        daemon.get("/readyz").is_some_and(|(code, body)| code == 503 && body.contains("blocked"))
    })
    .await;
    assert_eq!(daemon.stop(), 6);
}

/// What a producer has not ended yet is behind the end: nobody may read it.
#[tokio::test(flavor = "multi_thread")]
async fn an_open_transaction_is_behind_the_end() {
    let scene = Scene::new(Kind::Sqlite).await;
    produce(&scene, 0, 0, 10);
    let open = kafka::open_transaction(&scene.topic, 0, 5);
    let log = run(&scene, "end");
    assert!(log.contains("all 10 records are stored"), "{log}");
    open.end(kafka::End::Abort);
}
