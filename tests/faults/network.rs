//! Between the daemon and its database: lost answers, and a database that is away or does not answer.

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
on_databases!([postgres => Postgres, mysql => MySql]: database_that_goes_away_in_a_commit);
on_databases!([postgres => Postgres, mysql => MySql]: database_that_does_not_answer);

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
    scene.has_rows().await;
    let group = GroupOffsets::of(&scene);
    for times in 1..=5 {
        proxy.swallow_next_commit();
        eventually("a lost answer", PATIENCE, || async { proxy.swallowed() >= times }).await;
        scene.sample(&group, &load).await;
        eventually("the daemon knows that it does not know", PATIENCE, || async {
            daemon.metric("tidegate_commit_unknown_total", &[]) >= times as f64
        })
        .await;
    }
    scene.settle(&load.finish()).await;
    assert_eq!(daemon.stop(), 0);
}

/// The group as its coordinator sees it, for as long as its members are without a database.
struct Group {
    name: String,
    generations: kafka::Generations,
}

impl Group {
    fn of(scene: &Scene) -> Self {
        Self { name: scene.group(), generations: kafka::Generations::of(&scene.group()) }
    }

    async fn has(&self, members: usize) {
        eventually("the group has its members", PATIENCE, || async {
            kafka::group_state(&self.name) == ("Stable".to_owned(), members)
        })
        .await;
    }

    /// For longer than a session: the same members in the same generation.
    async fn stays_as_it_is(&self, members: usize, mut look: impl AsyncFnMut()) {
        self.has(members).await;
        let ask = || tokio::task::block_in_place(|| self.generations.latest());
        let generation = ask();
        assert!(generation.is_some(), "the coordinator's log tells the generation of {}", self.name);
        let end = tokio::time::Instant::now() + AWAY;
        while tokio::time::Instant::now() < end {
            let state = tokio::task::block_in_place(|| kafka::group_state(&self.name));
            assert_eq!(state, ("Stable".to_owned(), members));
            look().await;
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        assert_eq!(ask(), generation, "no rebalance");
    }
}

async fn is_unready(daemon: &Daemon) {
    eventually("it says that the database is away", PATIENCE, || async {
        daemon.get("/readyz").is_some_and(|(code, _)| code == 503)
    })
    .await;
}

async fn has_assignment(scene: &Scene, daemon: &Daemon) {
    let given = format!("[{}-", scene.topic);
    eventually("the group gives it partitions", PATIENCE, || async {
        daemon.log().lines().any(|line| line.contains("the group gave us") && line.contains(&given))
    })
    .await;
}

async fn database_that_is_away(kind: Kind) {
    let (scene, proxy) = scene_with_proxy(kind).await;
    let group = Group::of(&scene);
    proxy.away(true);
    let load = scene.load(plain);
    let daemon = scene.daemon();
    let is_still_unready = async || assert_eq!(daemon.get("/readyz").map(|(code, _)| code), Some(503));
    has_assignment(&scene, &daemon).await;
    is_unready(&daemon).await;
    group.stays_as_it_is(1, is_still_unready).await;
    proxy.away(false);
    is_ready(&daemon).await;
    scene.has_rows().await;
    proxy.away(true);
    is_unready(&daemon).await;
    group.stays_as_it_is(1, is_still_unready).await;
    proxy.away(false);
    is_ready(&daemon).await;
    scene.settle(&load.finish()).await;
    assert_eq!(daemon.metric("tidegate_fenced_total", &[]), 0.0);
    assert_eq!(daemon.stop(), 0);
}

/// With one lane: there is no other that would notice.
async fn database_that_goes_away_in_a_commit(kind: Kind) {
    let (scene, proxy) = scene_with_proxy(kind).await;
    let load = scene.load(plain);
    let daemon = Daemon::start_with(&scene.file(), &[], &[("TIDEGATE__SINK__WRITERS", "1")]);
    is_ready(&daemon).await;
    scene.has_rows().await;
    proxy.away_in_next_commit();
    is_unready(&daemon).await;
    assert_eq!(daemon.metric("tidegate_commit_unknown_total", &[]), 1.0);
    proxy.away(false);
    is_ready(&daemon).await;
    scene.settle(&load.finish()).await;
    assert_eq!(daemon.stop(), 0);
}

/// At the start of the first daemon, and while a second one joins: the rebalance ends, and no other follows.
async fn database_that_does_not_answer(kind: Kind) {
    let (scene, proxy) = scene_with_proxy(kind).await;
    let group = Group::of(&scene);
    proxy.stall(true);
    let load = scene.load(plain);
    let first = scene.daemon();
    has_assignment(&scene, &first).await;
    group.stays_as_it_is(1, async || {}).await;
    proxy.stall(false);
    is_ready(&first).await;
    scene.has_rows().await;
    proxy.stall(true);
    let second = scene.daemon();
    has_assignment(&scene, &second).await;
    group.stays_as_it_is(2, async || {}).await;
    is_unready(&first).await;
    proxy.stall(false);
    is_ready(&first).await;
    is_ready(&second).await;
    scene.settle(&load.finish()).await;
    assert_eq!((first.stop(), second.stop()), (0, 0));
}
