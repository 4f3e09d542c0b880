//! A partition that the group has given to nobody: told, and given to somebody.

use super::on_databases;
use super::scene::{Event, PARTITIONS, PATIENCE, Scene, is_ready};
use crate::support::daemon::eventually;
use crate::support::database::Kind;
use crate::support::kafka::{self, Sent};

on_databases!([sqlite => Sqlite]: partition_without_an_owner);

/// The static member that comes back has its old assignment, and takes the new partition for an old one.
async fn partition_without_an_owner(kind: Kind) {
    let scene = Scene::new(kind).await;
    let mut daemon = scene.ready().await;
    eventually("it holds all", PATIENCE, || async { scene.positions().await.len() == PARTITIONS as usize }).await;
    assert_eq!(daemon.metric("tidegate_partitions_unassigned", &[]), 0.0);
    kafka::grow(&scene.topic, PARTITIONS as usize + 1);
    daemon.kill();
    let daemon = scene.daemon();
    eventually("it is told", PATIENCE, || async {
        let cause = format!("nobody in group {} holds {}-{PARTITIONS};", scene.group(), scene.topic);
        daemon.get("/readyz").is_some_and(|(code, body)| code == 503 && body.contains(&cause))
            && daemon.metric("tidegate_partitions_unassigned", &[]) == 1.0
    })
    .await;
    let event = Event::row("a".to_owned(), 1);
    kafka::send(&scene.topic, PARTITIONS, [Sent { value: event.value.as_deref(), ..Sent::default() }]);
    eventually("it is read", PATIENCE, || async { scene.positions().await.get(&PARTITIONS) == Some(&1) }).await;
    is_ready(&daemon).await;
    assert_eq!(daemon.metric("tidegate_partitions_unassigned", &[]), 0.0);
    assert_eq!(daemon.stop(), 0);
    scene.judge_logs();
}
