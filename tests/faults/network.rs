//! Between the daemon and its database: lost answers, and a database that is away.

use std::time::Duration;

use super::on_databases;
use super::proxy::Proxy;
use super::scene::{GroupOffsets, PATIENCE, Scene, is_ready, plain};
use crate::support::daemon::{Daemon, eventually};
use crate::support::database::Kind;
use crate::support::kafka;

/// Longer than the session of a group member (6 s).
const AWAY: Duration = Duration::from_secs(10);

on_databases!([postgres => Postgres, mariadb => MariaDb, mysql => MySql]: lost_commit_answers);
on_databases!([postgres => Postgres, mariadb => MariaDb, mysql => MySql]: database_that_is_away);

async fn scene_with_proxy(kind: Kind) -> (Scene, Proxy) {
    let scene = Scene::new(kind).await;
    let proxy = Proxy::start(&scene.url);
    let mut url = proxy.url(&scene.url);
    if kind == Kind::MySql {
        // The proxy must be able to read.
        url.push_str("?ssl-mode=DISABLED");
    }
    (Scene { url, ..scene }, proxy)
}

async fn lost_commit_answers(kind: Kind) {
    let (scene, proxy) = scene_with_proxy(kind).await;
    let load = scene.load(plain);
    let daemon = scene.ready().await;
    eventually("rows", PATIENCE, || async { scene.database.number("SELECT count(*) FROM ev").await > 0 }).await;
    let group = GroupOffsets::of(&scene);
    for times in 1..=5 {
        proxy.swallow_next_commit();
        eventually("a lost answer", PATIENCE, || async { proxy.swallowed() >= times }).await;
        scene.sample(&group, &load).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    scene.settle(&load.finish()).await;
    let unknown = daemon.metric("tidegate_commit_unknown_total", &[]);
    assert!(unknown >= 5.0, "{kind:?}: {unknown} of 5 lost answers were seen");
    assert_eq!(daemon.stop(), 0);
}

/// While the database is away the daemon is not ready and stays in its group.
async fn stays_while_away(scene: &Scene, daemon: &Daemon) {
    eventually("it says that the database is away", PATIENCE, || async {
        daemon.get("/readyz").is_some_and(|(code, _)| code == 503)
    })
    .await;
    let rebalances = daemon.metric("tidegate_rebalances_total", &[]);
    let end = tokio::time::Instant::now() + AWAY;
    while tokio::time::Instant::now() < end {
        let group = scene.group();
        let state = tokio::task::spawn_blocking(move || kafka::group_state(&group)).await.unwrap();
        assert_eq!(state, ("Stable".to_owned(), 1), "{:?}", scene.database.kind);
        assert_eq!(daemon.get("/readyz").map(|(code, _)| code), Some(503));
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert_eq!(daemon.metric("tidegate_rebalances_total", &[]), rebalances, "no rebalance");
}

async fn database_that_is_away(kind: Kind) {
    let (scene, proxy) = scene_with_proxy(kind).await;
    proxy.away(true);
    let load = scene.load(plain);
    let daemon = scene.daemon();
    let group = scene.group();
    eventually("it joins its group without a database", PATIENCE, || async {
        kafka::group_state(&group) == ("Stable".to_owned(), 1)
    })
    .await;
    stays_while_away(&scene, &daemon).await;
    proxy.away(false);
    is_ready(&daemon).await;
    eventually("rows", PATIENCE, || async { scene.database.number("SELECT count(*) FROM ev").await > 500 }).await;
    proxy.away(true);
    stays_while_away(&scene, &daemon).await;
    proxy.away(false);
    is_ready(&daemon).await;
    scene.settle(&load.finish()).await;
    assert_eq!(daemon.metric("tidegate_fenced_total", &[]), 0.0);
    assert_eq!(daemon.stop(), 0);
}
