//! Servers that nobody else uses, started by scripts/services: to be killed, or to listen in ways of their own.

use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

const PORTS: [&str; 5] = ["KAFKA_PORT", "KAFKA_CONTROLLER_PORT", "KAFKA_SASL_PORT", "POSTGRES_PORT", "MARIADB_PORT"];

/// A set of servers with a folder and ports of its own. They go with the value.
pub struct Servers {
    home: tempfile::TempDir,
    ports: [(&'static str, u16); PORTS.len()],
}

/// Below the ports that systems give to outgoing connections: nobody takes it before the server does.
fn free_port() -> u16 {
    let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    std::iter::repeat_with(|| fastrand::u16(10_000..20_000)).find(is_free).expect("a free port")
}

impl Servers {
    /// Starts servers for a test. Where they cannot be started the test is told as not run; in CI it fails.
    pub fn start(test: &str, names: &[&str]) -> Option<Self> {
        let home = tempfile::Builder::new().prefix("tidegate-servers-").tempdir().expect("a temporary folder");
        let servers = Self { home, ports: PORTS.map(|name| (name, free_port())) };
        let Err(cause) = servers.run(&[&["up"], names].concat()) else { return Some(servers) };
        assert!(std::env::var_os("CI").is_none(), "servers of our own must start in CI: {cause}");
        let names = names.join(", ");
        // Not by eprintln!, which is shown of failed tests only.
        let _ =
            writeln!(std::io::stderr(), "NOT RUN: {test}, because scripts/services cannot start {names} here: {cause}");
        None
    }

    pub fn port(&self, name: &str) -> u16 {
        self.ports.iter().find(|(known, _)| *known == name).expect("one of them").1
    }

    /// Where they keep their files.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// `scripts/services`, for this set; what it said where it did not work.
    pub fn run(&self, arguments: &[&str]) -> Result<(), String> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/services");
        let log = self.home().join("services.log");
        let output = std::fs::File::create(&log).expect("our folder");
        // To a file: the servers inherit the output, and a pipe would stay open as long as they live.
        let status = Command::new(script)
            .args(arguments)
            .env("SERVICES_HOME", self.home())
            .env("SERVICES_CACHE", cache())
            .envs(self.ports.iter().map(|(name, port)| (name, port.to_string())))
            .stdout(output.try_clone().expect("a descriptor"))
            .stderr(output)
            .status()
            .expect("bash runs it");
        if status.success() { Ok(()) } else { Err(std::fs::read_to_string(log).unwrap_or_default()) }
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
