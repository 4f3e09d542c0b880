//! `[[check]]`: what becomes of records that violate a condition.

use tidegate::pipeline::Ending;
use tidegate::status::State;

use super::{PATIENCE, Scene};
use crate::support::daemon::{Daemon, eventually};
use crate::support::database::{ALL, Kind};
use crate::support::pipeline::Running;

const DDL: [&str; 2] = ["CREATE TABLE plain (id bigint, price int)", "CREATE TABLE doubled (id bigint, twice bigint)"];

fn sections(checks: &str) -> String {
    format!(
        "
[source.columns]
id = \"bigint\"
price = \"int\"
origin = \"text\"
{checks}
[[table]]
name = \"plain\"
mode = \"append\"
[[table]]
name = \"doubled\"
mode = \"append\"
sql = \"SELECT id, price * 2 AS twice FROM input WHERE id <> 6\""
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn violations_are_dead_letters_dropped_or_counted() {
    let checks = "
[[check]]
name = \"no tests\"
sql = \"origin <> 'test'\"
action = \"drop\"
[[check]]
name = \"price\"
sql = \"price >= 0\"
[[check]]
name = \"odd\"
sql = \"id % 2 = 1\"
action = \"warn\"
[[check]]
name = \"share\"
sql = \"100 / price < 1000\"";
    for kind in ALL {
        let mut scene = Scene::new(kind, &DDL, &sections(checks)).await;
        scene.send(&[
            ("k", Some(r#"{"id":1,"price":5}"#)),
            ("k", Some(r#"{"id":2,"price":-5,"origin":"test"}"#)),
            ("k", Some(r#"{"id":3,"price":-5,"origin":"shop"}"#)),
            ("k", Some(r#"{"id":4,"origin":"shop"}"#)),
            ("k", Some(r#"{"id":5,"price":0}"#)),
            ("k", Some(r#"{"id":6,"price":7}"#)),
            ("k", None),
        ]);
        scene.run().await;
        assert_eq!(scene.rows("plain", &["id", "price"]).await, ["1|5", "4|-", "6|7"], "{kind:?}");
        assert_eq!(scene.rows("doubled", &["id", "twice"]).await, ["1|10", "4|-"], "{kind:?}");
        let letters = scene.rows("tidegate_dead_letters", &["record_offset", "stage", "class", "reason"]).await;
        assert_eq!(
            letters,
            [
                "2|check|check|the record violates the check price",
                "4|check|division-by-zero|check share: division by zero",
            ],
            "{kind:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_that_stops_blocks_until_the_file_is_changed() {
    let with =
        |action: &str| sections(&format!("[[check]]\nname = \"price\"\nsql = \"price >= 0\"\naction = \"{action}\""));
    let mut scene = Scene::new(Kind::Sqlite, &DDL, &with("stop")).await;
    scene.send(&[("k", Some(r#"{"id":1,"price":5}"#)), ("k", Some(r#"{"id":2,"price":-5}"#))]);
    let running = Running::start(scene.pipeline());
    eventually("it is blocked", PATIENCE, || async { running.status.state() == State::Blocked }).await;
    let problems = running.problems();
    assert!(problems.contains("offset 1") && problems.contains("violates the check price"), "{problems}");
    assert!(problems.contains("the check's action is"), "{problems}");
    assert!(!matches!(running.stop().await, Ending::Configuration));
    assert!(scene.rows("doubled", &["id"]).await.iter().all(|id| id != "2"), "nothing past it");
    scene.sections = with("drop");
    scene.run().await;
    assert_eq!(scene.rows("plain", &["id"]).await, ["1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mistake_in_a_condition_ends_the_daemon_before_it_reads() {
    let check = "[[check]]\nname = \"price\"\nsql = '''\nprice >= 0\n  AND amont > 0'''";
    let scene = Scene::new(Kind::Sqlite, &DDL, &sections(check)).await;
    scene.pipeline();
    let file = scene.folder.path().join("pipeline.toml");
    let line = std::fs::read_to_string(&file).unwrap().lines().position(|line| line.contains("amont")).unwrap() + 1;
    let mut daemon = Daemon::start(&file);
    assert_eq!(daemon.wait(PATIENCE).code(), Some(2));
    let log = daemon.log();
    assert!(log.contains(&format!("pipeline.toml:{line}:7: check price:")) && log.contains("amont"), "{log}");
}
