//! The real daemon as a child process: started, killed, stopped, asked.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// A running `tidegate run`.
pub struct Daemon {
    child: Child,
    log: PathBuf,
}

impl Daemon {
    /// Starts `tidegate run FILE` with its log in `FILE.<n>.log`.
    pub fn start(file: &Path) -> Self {
        Self::start_with(file, &[], &[])
    }

    pub fn start_with(file: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let log = file.with_extension(format!("{:08x}.log", fastrand::u32(..)));
        let output = File::create(&log).expect("a log file");
        let child = Command::new(env!("CARGO_BIN_EXE_tidegate"))
            .arg("run")
            .arg(file)
            .args(arguments)
            .env("TIDEGATE__HTTP__LISTEN", "127.0.0.1:0")
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(output)
            .spawn()
            .expect("the binary starts");
        Self { child, log }
    }

    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("the process is there");
    }

    pub fn kill(&mut self) {
        self.child.kill().expect("the process is there");
        self.child.wait().expect("it is dead");
    }

    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Waits for the end of the process.
    pub fn wait(&mut self, limit: Duration) -> ExitStatus {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.child.try_wait().expect("the process is ours") {
                return status;
            }
            assert!(Instant::now() < deadline, "the daemon did not end within {limit:?}:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// SIGTERM, then the exit code.
    pub fn stop(mut self) -> i32 {
        self.terminate();
        self.wait(Duration::from_secs(40)).code().expect("it was not killed")
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("the process is ours").is_none()
    }

    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// GET `path`: the status code and the body. `None` while nobody answers.
    pub fn get(&self, path: &str) -> Option<(u16, String)> {
        let log = self.log();
        let address = log.split("metrics and health: http://").nth(1)?.split('/').next()?;
        let mut stream = TcpStream::connect(address).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let code = answer.split(' ').nth(1)?.parse().ok()?;
        let (_, body) = answer.split_once("\r\n\r\n")?;
        Some((code, body.to_owned()))
    }

    /// What `/metrics` tells; nothing while nobody answers.
    pub fn scrape(&self) -> Scrape {
        let body = self.get("/metrics").map_or_else(String::new, |(_, body)| body);
        let sample = |line: &str| {
            let (series, value) = line.rsplit_once(' ')?;
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            Some(Sample { name: name.to_owned(), labels: labels.to_owned(), value: value.parse().ok()? })
        };
        Scrape(body.lines().filter(|line| !line.starts_with('#')).filter_map(sample).collect())
    }

    /// The sum of a metric over all its label sets that hold every one of `labels` (`name="value"`); 0 while it is not
    /// there.
    pub fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        self.scrape().values(name, labels).iter().sum()
    }
}

/// One answer of `/metrics`.
pub struct Scrape(Vec<Sample>);

struct Sample {
    name: String,
    /// As they were written: `a="b",c="d"}`.
    labels: String,
    value: f64,
}

impl Scrape {
    /// The values of a metric, one per label set that holds every one of `labels` (`name="value"`).
    pub fn values(&self, name: &str, labels: &[&str]) -> Vec<f64> {
        let has = |sample: &&Sample| labels.iter().all(|label| sample.labels.contains(label));
        self.0.iter().filter(|sample| sample.name == name).filter(has).map(|sample| sample.value).collect()
    }

    /// Is it there, with any labels? A histogram is there by its count.
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|sample| sample.name == name || sample.name.strip_suffix("_count") == Some(name))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = self.log();
            let tail: Vec<&str> = log.lines().rev().take(60).collect();
            eprintln!("--- the daemon's last words");
            for line in tail.into_iter().rev() {
                eprintln!("{line}");
            }
        }
    }
}

/// Polls until `condition` holds.
pub async fn eventually<F: Future<Output = bool>>(what: &str, limit: Duration, mut condition: impl FnMut() -> F) {
    let deadline = Instant::now() + limit;
    while !condition().await {
        assert!(Instant::now() < deadline, "within {limit:?}: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
