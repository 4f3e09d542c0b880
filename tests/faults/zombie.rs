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
    scene.has_rows().await;
    freeze_at_the_worst_moment(&scene, &zombie).await;
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
    eventually("the frozen daemon is told, and nothing is stored twice meanwhile", PATIENCE, || async {
        scene.sample(&group, &load).await;
        is_kept_out(&zombie)
    })
    .await;
    scene.settle(&load.finish()).await;
    assert_eq!(zombie.stop(), 0);
    assert_eq!(other.stop(), 0);
}

/// On PostgreSQL inside a COPY: it has no time limit for a client that sends nothing, and the COPY's transaction holds the
/// positions.
async fn freeze_at_the_worst_moment(scene: &Scene, zombie: &Daemon) {
    let sessions = "SELECT coalesce(max(CASE WHEN state = 'active' AND wait_event = 'ClientRead' THEN 2 \
                    WHEN state = 'active' THEN 1 ELSE 0 END), 0)::bigint FROM pg_stat_activity \
                    WHERE datname = current_database() AND pid <> pg_backend_pid()";
    zombie.freeze();
    if scene.database.kind != Kind::Postgres {
        return;
    }
    loop {
        match scene.database.number(sessions).await {
            2 => return,
            // It is still working on what it was sent before.
            1 => tokio::time::sleep(Duration::from_millis(10)).await,
            _ => {
                zombie.thaw();
                tokio::time::sleep(Duration::from_millis(fastrand::u64(1..50))).await;
                zombie.freeze();
            }
        }
    }
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
    scene.has_rows().await;
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
