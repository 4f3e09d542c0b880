//! The wrong files of [`super::wrong`] through the real commands: refused with exit code 2, in the same words, before
//! anything is touched.

use std::io::ErrorKind;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use super::wrong::{Case, every_case, marked};
use super::{Files, GOOD};

/// A broker and a database that would notice any connection.
struct Outside {
    broker: TcpListener,
    database: TcpListener,
}

impl Outside {
    fn new() -> Self {
        let listen = || {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
            listener.set_nonblocking(true).expect("a listener that can be asked");
            listener
        };
        Self { broker: listen(), database: listen() }
    }

    /// A pipeline file with these two in the place of its broker and its database.
    fn in_the_place_of_theirs(&self, text: &str) -> String {
        let address = |listener: &TcpListener| listener.local_addr().expect("it is bound").to_string();
        let (broker, database) = (address(&self.broker), address(&self.database));
        text.replace("localhost:9092", &broker)
            .replace("@db/", &format!("@{database}/"))
            .replace("//db/", &format!("//{database}/"))
    }

    /// Has anybody connected since the last time?
    fn was_called(&self) -> bool {
        [&self.broker, &self.database].into_iter().any(|listener| match listener.accept() {
            Ok(_) => true,
            Err(error) if error.kind() == ErrorKind::WouldBlock => false,
            Err(error) => panic!("the listener fails: {error}"),
        })
    }
}

fn tidegate(command: &str, folder: &Path) -> Command {
    let mut tidegate = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    tidegate.arg(command).arg("orders.toml").current_dir(folder).stdin(Stdio::null());
    tidegate
}

/// What is wrong with how one command took one case.
fn problem(command: &str, case: Case, output: &Output, place: &str) -> Option<String> {
    let told = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = told.lines().collect();
    let is_told = match lines[..] {
        // One problem, its place, what is wrong, the cure; and that nothing was done.
        [problem, end] => {
            problem.starts_with(place)
                && case.2.iter().all(|word| problem.contains(word))
                && problem.contains("; ")
                && end == "1 problem in the configuration; nothing was started or changed"
        }
        _ => false,
    };
    let is_refused = output.status.code() == Some(2) && output.stdout.is_empty();
    (!is_told || !is_refused).then(|| format!("{command} {:?}: {}\n{told}", case.1, output.status))
}

#[test]
fn wrong_files_end_every_command_before_anything_is_touched() {
    let outside = Outside::new();
    let cases = every_case();
    assert!(cases.len() >= 100);
    let mut problems = Vec::new();
    for case in cases {
        let (text, line, column) = marked(&outside.in_the_place_of_theirs(&super::changed(case.0, case.1)));
        let files = Files::new([("orders.toml", text.as_str())]);
        for command in ["run", "check", "migrate"] {
            let output = tidegate(command, files.folder()).output().expect("the binary starts");
            problems.extend(problem(command, case, &output, &format!("orders.toml:{line}:{column}: ")));
            let left: Vec<_> = std::fs::read_dir(files.folder()).expect("our folder").flatten().collect();
            assert_eq!(left.len(), 1, "{command} {:?} leaves a file behind", case.1);
        }
        assert!(!outside.was_called(), "{:?}: somebody connected", case.1);
    }
    assert!(problems.is_empty(), "{}", problems.join("\n\n"));
}

/// Without this the silence of the listeners would prove nothing.
#[test]
fn a_good_file_does_connect() {
    let outside = Outside::new();
    let files = Files::new([("orders.toml", outside.in_the_place_of_theirs(GOOD).as_str())]);
    for command in ["run", "check", "migrate"] {
        let mut child = tidegate(command, files.folder())
            .env("TIDEGATE__HTTP__LISTEN", "127.0.0.1:0")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the binary starts");
        let end = Instant::now() + Duration::from_secs(60);
        let mut was_called = false;
        while !was_called && Instant::now() < end {
            was_called = outside.was_called();
            std::thread::sleep(Duration::from_millis(10));
        }
        child.kill().expect("the process is ours");
        child.wait().expect("it is dead");
        assert!(was_called, "{command} connects");
    }
}
