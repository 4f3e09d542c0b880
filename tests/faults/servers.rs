//! Servers that die and return: an own Kafka, PostgreSQL and MariaDB, killed with SIGKILL and started again.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::scene::{PATIENCE, Scene, plain};
use crate::support::daemon::eventually;
use crate::support::database::{Kind, TestDatabase};
use crate::support::kafka;

/// A set of servers that nobody else uses.
struct Servers {
    home: tempfile::TempDir,
    ports: [(&'static str, u16); 4],
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("it is bound").port()
}

impl Servers {
    fn new() -> Self {
        let home = tempfile::Builder::new().prefix("tidegate-faults-").tempdir().expect("a temporary folder");
        let names = ["KAFKA_PORT", "KAFKA_CONTROLLER_PORT", "POSTGRES_PORT", "MARIADB_PORT"];
        Self { home, ports: names.map(|name| (name, free_port())) }
    }

    fn port(&self, name: &str) -> u16 {
        self.ports.iter().find(|(known, _)| *known == name).expect("one of them").1
    }

    /// `scripts/services`, for this set; whether it worked, and what it said.
    fn run(&self, arguments: &[&str]) -> Result<(), String> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/services");
        let log: PathBuf = self.home.path().join("services.log");
        let output = std::fs::File::create(&log).expect("our folder");
        // To a file: the servers inherit the output, and a pipe would stay open as long as they live.
        let status = Command::new(script)
            .args(arguments)
            .env("SERVICES_HOME", self.home.path())
            .env("SERVICES_CACHE", cache())
            .envs(self.ports.iter().map(|(name, port)| (name, port.to_string())))
            .stdout(output.try_clone().expect("a descriptor"))
            .stderr(output)
            .status()
            .expect("bash runs it");
        if status.success() { Ok(()) } else { Err(std::fs::read_to_string(log).unwrap_or_default()) }
    }

    fn dies_and_returns(&self, name: &str, down: Duration) {
        self.run(&["kill", name]).expect("it runs");
        std::thread::sleep(down);
        self.run(&["up", name]).expect("it starts with its data");
    }
}

fn cache() -> PathBuf {
    std::env::var_os("SERVICES_CACHE")
        .map_or_else(|| std::env::temp_dir().join("tidegate-services-cache"), PathBuf::from)
}

impl Drop for Servers {
    fn drop(&mut self) {
        let _ = self.run(&["wipe"]);
    }
}

#[test]
fn servers_that_die_and_return() {
    let servers = Servers::new();
    if let Err(cause) = servers.run(&["up", "kafka", "postgres", "mariadb"]) {
        let is_ci = std::env::var_os("CI").is_some();
        assert!(!is_ci, "servers of our own must start in CI: {cause}");
        eprintln!("NOT RUN: servers_that_die_and_return, because scripts/services cannot start servers here: {cause}");
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let postgres = format!("postgres://postgres@127.0.0.1:{}/postgres", servers.port("POSTGRES_PORT"));
        let mariadb = format!("mariadb://root@127.0.0.1:{}/test", servers.port("MARIADB_PORT"));
        exactly_once(&servers, Kind::Postgres, &postgres, "postgres").await;
        exactly_once(&servers, Kind::MariaDb, &mariadb, "mariadb").await;
    });
}

async fn exactly_once(servers: &Servers, kind: Kind, url: &str, database: &str) {
    let brokers = format!("127.0.0.1:{}", servers.port("KAFKA_PORT"));
    let topic = kafka::unique("t");
    kafka::create_at(&brokers, &topic, super::scene::PARTITIONS);
    let scene = Scene::with(TestDatabase::on(kind, url.to_owned()).await, brokers, topic).await;
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
    eventually("rows", PATIENCE, || async { scene.database.number("SELECT count(*) FROM ev").await > 500 }).await;
    for name in [database, "kafka", database] {
        tokio::task::block_in_place(|| servers.dies_and_returns(name, Duration::from_secs(2)));
        progress(name).await;
        assert!(daemon.is_running(), "{}", daemon.log());
    }
    scene.settle(&load.finish()).await;
    assert_eq!(daemon.stop(), 0);
}
