//! What only an operator can mend: told, waited for, and of no concern to the other pipelines.

use super::on_every_database;
use super::scene::{PATIENCE, Scene, is_blocked, is_ready, plain};
use crate::support::daemon::{Daemon, eventually};
use crate::support::database::Kind;
use crate::support::kafka::{self, Sent};

on_every_database!(table_dropped_while_running, fail_fast);

async fn table_dropped_while_running(kind: Kind) {
    let scene = Scene::new(kind).await;
    let load = scene.load(plain);
    let daemon = scene.ready().await;
    scene.has_rows().await;
    scene.database.execute("DROP TABLE ev").await;
    is_blocked(&daemon, "table ").await;
    let stopped_at = scene.positions().await;
    scene.create_ev().await;
    is_ready(&daemon).await;
    let ledger = load.finish();
    eventually("all positions at the end", PATIENCE, || async {
        let positions = scene.positions().await;
        ledger.iter().enumerate().all(|(part, log)| positions[&(part as i32)] == log.len() as i64)
    })
    .await;
    // What was stored before went with the table; what came after it is there, once.
    let stored = scene.stored().await;
    for (part, log) in ledger.iter().enumerate() {
        for offset in 0..log.len() as i64 {
            let rows = stored.get(&(part as i64, offset)).map_or(0, Vec::len);
            let expected = usize::from(offset >= stopped_at[&(part as i32)]);
            assert_eq!(rows, expected, "{kind:?}: {part}-{offset}, dropped at {stopped_at:?}");
        }
    }
    let letters = scene.database.number("SELECT count(*) FROM tidegate_dead_letters").await;
    assert_eq!(letters, 0, "{kind:?}: a missing table is no record's fault");
    assert_eq!(daemon.stop(), 0);
    scene.judge_logs();
}

async fn fail_fast(kind: Kind) {
    let scene = Scene::new(kind).await;
    let load = scene.load(plain);
    let mut daemon = Daemon::start_with(&scene.file(), &["--fail-fast"], &[]);
    is_ready(&daemon).await;
    scene.has_rows().await;
    scene.database.execute("DROP TABLE ev").await;
    assert_eq!(daemon.wait(PATIENCE).code(), Some(5), "{kind:?}:\n{}", daemon.log());
    scene.judge_logs();
    drop(load.finish());
}

/// Three pipelines in one process. One finds its table missing, one stops at a bad record; the third does not notice,
/// and the first two go on once they are mended.
#[tokio::test(flavor = "multi_thread")]
async fn a_broken_pipeline_is_its_own_trouble() {
    let good = Scene::new(Kind::Postgres).await;
    let missing = Scene::new(Kind::MySql).await;
    missing.database.execute("DROP TABLE ev").await;
    let stops = Scene { more: "[errors]\nbad_records = \"stop\"\n".to_owned(), ..Scene::new(Kind::Sqlite).await };
    let folder = tempfile::tempdir().unwrap();
    for (name, scene) in [("good", &good), ("missing", &missing), ("stops", &stops)] {
        std::fs::copy(scene.file(), folder.path().join(format!("{name}.toml"))).unwrap();
    }
    kafka::send(&stops.topic, 1, [Sent { value: Some(b"{"), ..Sent::default() }]);
    let load = good.load(plain);
    let load_of_missing = missing.load(plain);
    let daemon = Daemon::start(folder.path());
    is_blocked(&daemon, &format!("{}: blocked", missing.name)).await;
    is_blocked(&daemon, &format!("{}-1 offset 0", stops.topic)).await;
    good.has_rows().await;
    let before = good.positions().await;
    eventually("the good one goes on", PATIENCE, || async {
        let now = good.positions().await;
        before.iter().all(|(part, at)| now[part] > *at)
    })
    .await;
    let failures = ["tidegate_pipeline_failures_total", "tidegate_blocked_total"].map(|name| {
        let of = |scene: &Scene| daemon.metric(name, &[&format!("pipeline=\"{}\"", scene.name)]);
        [of(&missing), of(&stops), of(&good)]
    });
    assert!(failures[0][0] >= 1.0 && failures[0][1..] == [0.0; 2], "{failures:?}");
    assert!(failures[1][1] >= 1.0 && failures[1][2] == 0.0, "{failures:?}");
    missing.create_ev().await;
    missing.settle(&load_of_missing.finish()).await;
    good.settle(&load.finish()).await;
    assert_eq!(stops.positions().await[&1], 0, "nothing passed the bad record");
    let (_, status) = daemon.get("/readyz").unwrap();
    assert!(status.contains(&format!("{}: running", missing.name)), "{status}");
    assert!(status.contains(&format!("{}: running", good.name)), "{status}");
    assert!(status.contains(&format!("{}: blocked", stops.name)), "{status}");
    assert_eq!(daemon.stop(), 0);
}
