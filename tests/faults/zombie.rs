//! A daemon that is frozen for longer than its session, and wakes up while another has its partitions.

use std::time::Duration;

use super::on_databases;
use super::scene::{GroupOffsets, PATIENCE, Scene, plain};
use crate::support::daemon::{Daemon, eventually};
use crate::support::database::Kind;

on_databases!([postgres => Postgres, mariadb => MariaDb]: frozen_in_a_transaction);
on_databases!([postgres => Postgres, mysql => MySql, sqlite => Sqlite]: frozen_daemon);

async fn frozen_daemon(kind: Kind) {
    let scene = Scene::new(kind).await;
    let load = scene.load(plain);
    let zombie = scene.ready().await;
    let group = GroupOffsets::of(&scene);
    eventually("rows", PATIENCE, || async { scene.database.number("SELECT count(*) FROM ev").await > 500 }).await;
    zombie.freeze();
    // The worst moment on PostgreSQL: it has no time limit for a COPY whose client sends nothing, and the COPY's
    // transaction holds the positions.
    let copies = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'active' \
                  AND wait_event = 'ClientRead'";
    while kind == Kind::Postgres && scene.database.number(copies).await == 0 {
        zombie.thaw();
        tokio::time::sleep(Duration::from_millis(50)).await;
        zombie.freeze();
    }
    let other = scene.ready().await;
    // The other one has all partitions once all positions are past where they were.
    let frozen_at = scene.positions().await;
    eventually("the other daemon takes over", PATIENCE, || async {
        let positions = scene.positions().await;
        frozen_at.iter().all(|(part, at)| positions[part] > *at + 100)
    })
    .await;
    scene.sample(&group, &load).await;
    zombie.thaw();
    for _ in 0..10 {
        scene.sample(&group, &load).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    scene.settle(&load.finish()).await;
    assert!(is_kept_out(&zombie), "{kind:?}: the frozen daemon was told:\n{}", zombie.log());
    assert_eq!(zombie.stop(), 0);
    assert_eq!(other.stop(), 0);
}

fn is_kept_out(zombie: &Daemon) -> bool {
    zombie.metric("tidegate_fenced_total", &[]) > 0.0 || zombie.log().contains("takes partitions away")
}

/// Frozen between two statements it holds the positions' locks: the server must end its transaction before another
/// daemon can have them.
async fn frozen_in_a_transaction(kind: Kind) {
    let scene = Scene::new(kind).await;
    let load = scene.load(plain);
    let zombie = scene.ready().await;
    eventually("rows", PATIENCE, || async { scene.database.number("SELECT count(*) FROM ev").await > 500 }).await;
    let lock = scene.database.hold("BEGIN; SELECT next_offset FROM tidegate_positions FOR UPDATE").await;
    let waiting = match kind {
        Kind::Postgres => {
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        }
        _ => {
            "SELECT count(*) FROM information_schema.processlist WHERE db = database() \
             AND info LIKE '%tidegate_positions%' AND info NOT LIKE '%processlist%'"
        }
    };
    eventually("its transaction waits", PATIENCE, || async { scene.database.number(waiting).await > 0 }).await;
    zombie.freeze();
    drop(lock);
    let other = scene.daemon();
    let frozen_at = scene.positions().await;
    eventually("the other daemon takes over", PATIENCE, || async {
        let positions = scene.positions().await;
        frozen_at.iter().all(|(part, at)| positions[part] > *at + 100)
    })
    .await;
    zombie.thaw();
    scene.settle(&load.finish()).await;
    eventually("the frozen daemon is told", PATIENCE, || async { is_kept_out(&zombie) }).await;
    assert_eq!(zombie.stop(), 0);
    assert_eq!(other.stop(), 0);
    scene.judge_logs();
}
