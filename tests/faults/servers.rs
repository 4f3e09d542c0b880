//! Servers that die and return: an own Kafka, PostgreSQL and MariaDB, killed with SIGKILL and started again.

use std::time::Duration;

use super::scene::{PATIENCE, Scene, plain};
use super::topics::{derived_into, judge_events};
use crate::support::daemon::eventually;
use crate::support::database::{Kind, TestDatabase};
use crate::support::kafka;
use crate::support::servers::Servers;

#[test]
fn servers_that_die_and_return() {
    let Some(servers) = Servers::start("servers_that_die_and_return", &["kafka", "postgres", "mariadb"]) else {
        return;
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let postgres = format!("postgres://postgres@127.0.0.1:{}/postgres", servers.port("POSTGRES_PORT"));
        let mariadb = format!("mariadb://root@127.0.0.1:{}/test", servers.port("MARIADB_PORT"));
        exactly_once(&servers, Kind::Postgres, &postgres, "postgres").await;
        exactly_once(&servers, Kind::MariaDb, &mariadb, "mariadb").await;
    });
}

fn dies_and_returns(servers: &Servers, name: &str) {
    servers.run(&["kill", name]).expect("it runs");
    // Longer than the first tries to reach it again.
    std::thread::sleep(Duration::from_secs(2));
    servers.run(&["up", name]).expect("it starts with its data");
}

async fn exactly_once(servers: &Servers, kind: Kind, url: &str, database: &str) {
    let brokers = format!("127.0.0.1:{}", servers.port("KAFKA_PORT"));
    let (topic, derived) = (kafka::unique("t"), kafka::unique("t"));
    kafka::create_at(&brokers, &topic, super::scene::PARTITIONS);
    kafka::create_at(&brokers, &derived, 2);
    let mut scene = Scene::with(TestDatabase::on(kind, url.to_owned()).await, brokers, topic).await;
    derived_into(&mut scene, &derived);
    let load = scene.load(plain);
    let mut daemon = scene.ready().await;
    let progress = async |after: &str| {
        let before = scene.positions().await;
        eventually(&format!("{kind:?}: new rows after {after}"), PATIENCE, || async {
            let now = scene.positions().await;
            before.len() == now.len() && !before.is_empty() && before.iter().all(|(part, at)| now[part] > *at)
        })
        .await;
    };
    scene.has_rows().await;
    for name in [database, "kafka", database] {
        tokio::task::block_in_place(|| dies_and_returns(servers, name));
        progress(name).await;
        assert!(daemon.is_running(), "{}", daemon.log());
    }
    let ledger = load.finish();
    scene.settle(&ledger).await;
    assert_eq!(daemon.stop(), 0);
    judge_events(&scene, &derived, &ledger);
}
