//! `kill -9`: two daemons in one group on one host, either of them at any moment.

use std::time::Duration;

use super::load::Load;
use super::scene::{Event, GroupOffsets, PATIENCE, Scene, shared_keys, updates_and_deletes};
use super::{on_every_database, rounds};
use crate::support::daemon::{Daemon, eventually};
use crate::support::database::Kind;

on_every_database!(
    killed_daemons,
    killed_daemons_add_up_once,
    killed_daemons_with_bad_records,
    killed_daemons_at_least_once,
    restarted_daemon
);

/// Kills one of them every 0.3 to 3 s and starts it again; `look` is called in between.
async fn kill_again_and_again(scene: &Scene, daemons: &mut [Daemon], mut look: impl AsyncFnMut()) {
    for _ in 0..rounds() {
        let pause = Duration::from_millis(fastrand::u64(300..3_000));
        let end = tokio::time::Instant::now() + pause;
        while tokio::time::Instant::now() < end {
            look().await;
            tokio::time::sleep(
                Duration::from_millis(200).min(end.saturating_duration_since(tokio::time::Instant::now())),
            )
            .await;
        }
        let victim = fastrand::usize(..daemons.len());
        assert!(daemons[victim].is_running(), "it ended by itself:\n{}", daemons[victim].log());
        daemons[victim].kill();
        daemons[victim] = scene.daemon();
    }
}

pub async fn two_daemons(scene: &Scene) -> Vec<Daemon> {
    vec![scene.ready().await, scene.ready().await]
}

async fn exactly_once_under_kills(scene: Scene, load: Load) {
    let mut daemons = two_daemons(&scene).await;
    let group = GroupOffsets::of(&scene);
    kill_again_and_again(&scene, &mut daemons, async || scene.sample(&group, &load).await).await;
    let ledger = load.finish();
    scene.settle(&ledger).await;
    // Also what a killed daemon committed, without telling the group.
    let lengths: Vec<i64> = ledger.iter().map(|log| log.len() as i64).collect();
    eventually("the group follows the database", PATIENCE, || async { group.get().await == lengths }).await;
    for daemon in daemons {
        assert_eq!(daemon.stop(), 0);
    }
    scene.judge(&ledger).await;
    let positions: Vec<i64> = scene.positions().await.into_values().collect();
    assert_eq!(group.get().await, positions, "after a drain the group is where the database is");
}

async fn killed_daemons(kind: Kind) {
    let scene = Scene::new(kind).await.and_kv().await;
    let load = scene.load(updates_and_deletes);
    exactly_once_under_kills(scene, load).await;
}

/// Nothing shows a repetition like a sum.
async fn killed_daemons_add_up_once(kind: Kind) {
    let scene = Scene::new(kind).await.and_sums().await;
    let load = scene.load(shared_keys);
    exactly_once_under_kills(scene, load).await;
}

/// One in a hundred is bad, in turn for each reason.
fn some_are_bad(partition: i32, seq: i64) -> Event {
    let id = format!("p{partition}-{}", seq % 50);
    let good = Event::row(id.clone(), seq);
    if seq == 0 && partition == 0 {
        let value = format!(r#"{{"id":"{id}","seq":0,"uniq":"taken"}}"#).into_bytes();
        return Event { value: Some(value), ..good };
    }
    if seq % 100 != 99 {
        return good;
    }
    let value: Vec<u8> = match (seq / 100 + i64::from(partition)) % 11 {
        0 => format!(r#"{{"id":"{id}",,"seq":{seq}}}"#).into_bytes(),
        1 => format!(r#"{{"id":"{id}","se"#).into_bytes(),
        2 => format!(r#"{{"id":"{id}","seq":"many"}}"#).into_bytes(),
        3 => format!(r#"{{"id":"{id}","seq":99999999999999999999}}"#).into_bytes(),
        4 => b"null".to_vec(),
        5 => Vec::new(),
        6 => format!(r#"{{"id":{{"text":"{id}"}},"seq":true}}"#).into_bytes(),
        7 => format!(r#"{{"id":"{id}","seq":null}}"#).into_bytes(),
        8 => [br#"{"id":"a"#, &[0xc3, 0x28][..], br#"","seq":1}"#].concat(),
        9 => format!(r#"{{"id":"{id}","seq":{seq},"uniq":"taken"}}"#).into_bytes(),
        _ => b"[1, 2, 3]".to_vec(),
    };
    let headers = vec![("trace".to_owned(), Some(vec![0, 255, 1])), ("none".to_owned(), None)];
    Event { value: Some(value), headers, row: None, is_bad: true, ..good }
}

async fn killed_daemons_with_bad_records(kind: Kind) {
    let scene = Scene::new(kind).await;
    let load = scene.load(some_are_bad);
    exactly_once_under_kills(scene, load).await;
}

/// Nothing is missing, some may be there twice, and the group is never ahead of what is stored.
async fn killed_daemons_at_least_once(kind: Kind) {
    let scene = Scene { delivery: "at-least-once", ..Scene::new(kind).await };
    let load = scene.load(super::scene::plain);
    let mut daemons = two_daemons(&scene).await;
    let group = GroupOffsets::of(&scene);
    let stored_up_to_the_group = async || {
        let committed = group.get().await;
        for (part, offset) in committed.iter().enumerate() {
            let count = format!("SELECT count(DISTINCT off) FROM ev WHERE part = {part} AND off < {offset}");
            assert_eq!(
                scene.database.number(&count).await,
                *offset,
                "{kind:?}-{part}: stored below the group's offset"
            );
        }
    };
    kill_again_and_again(&scene, &mut daemons, stored_up_to_the_group).await;
    let ledger = load.finish();
    let lengths: Vec<i64> = ledger.iter().map(|log| log.len() as i64).collect();
    eventually("the group at the end", PATIENCE, || async { group.get().await == lengths }).await;
    let stored = scene.stored().await;
    for (part, log) in ledger.iter().enumerate() {
        for (offset, event) in log.iter().enumerate() {
            let rows = stored.get(&(part as i64, offset as i64)).map_or(&[][..], Vec::as_slice);
            assert_eq!(rows.first(), event.row.as_ref(), "{kind:?}: {part}-{offset} is missing");
        }
    }
    assert_eq!(stored.len() as i64, lengths.iter().sum::<i64>(), "nothing that was never produced");
    for daemon in daemons {
        assert_eq!(daemon.stop(), 0);
    }
    scene.judge_logs();
}

/// A killed daemon has its static membership back, and its partitions with it: no session has to run out. A busy machine
/// may be slow once; a session of 6 s would have to run out each time.
async fn restarted_daemon(kind: Kind) {
    let scene = Scene::new(kind).await;
    let load = scene.load(super::scene::plain);
    let mut daemon = scene.ready().await;
    let count = async || scene.database.number("SELECT count(*) FROM ev").await;
    scene.has_rows().await;
    let mut times = Vec::new();
    while times.iter().all(|time| *time >= Duration::from_secs(5)) {
        assert!(times.len() < 4, "{kind:?}: the first rows after {times:?}");
        daemon.kill();
        let before = count().await;
        let started = std::time::Instant::now();
        daemon = scene.daemon();
        eventually("a new row", PATIENCE, || async { count().await > before }).await;
        times.push(started.elapsed());
    }
    assert!(daemon.is_running());
    scene.settle(&load.finish()).await;
    assert_eq!(daemon.stop(), 0);
}
