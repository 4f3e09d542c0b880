//! `--watch`: the real binary as a child, and files that change under it.

use std::fs;
use std::io::{BufRead as _, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

const LIMIT: Duration = Duration::from_secs(60);

struct Watched {
    child: Child,
    lines: Receiver<String>,
}

impl Watched {
    fn start(folder: &Path, arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_tidegate"))
            .args(arguments)
            .arg("--watch")
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let (sender, lines) = channel();
        let streams: [Box<dyn Read + Send>; 2] =
            [Box::new(child.stdout.take().expect("piped")), Box::new(child.stderr.take().expect("piped"))];
        for stream in streams {
            let sender = sender.clone();
            std::thread::spawn(move || {
                let lines = BufReader::new(stream).lines().map_while(Result::ok);
                lines.for_each(|line| drop(sender.send(line)));
            });
        }
        Self { child, lines }
    }

    /// Waits for a line, and returns those before it.
    fn until(&self, wanted: &str) -> Vec<String> {
        let mut before = Vec::new();
        loop {
            let Ok(line) = self.lines.recv_timeout(LIMIT) else { panic!("{wanted:?} never came: {before:?}") };
            if line.contains(wanted) {
                return before;
            }
            before.push(line);
        }
    }

    fn interrupt(mut self) -> Option<i32> {
        kill_process(Pid::from_child(&self.child), Signal::INT).expect("it runs");
        self.child.wait().expect("it ends").code()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn text(expected: u32) -> String {
    format!(
        "name = \"orders\"\n[source]\nbrokers = [\"127.0.0.1:1\"]\ntopics = [\"orders\"]\n[source.columns]\nid = \"bigint\"\n\
         [sink]\nurl = \"postgres://app:${{file:password}}@127.0.0.1:1/shop\"\n\
         [[table]]\nname = \"orders\"\nkey = [\"id\"]\nsql = \"SELECT id FROM input\"\n\
         [[test]]\nname = \"one\"\ninput = [{{ value = {{ id = 1 }} }}]\nexpect = {{ orders = [{{ id = {expected} }}] }}\n"
    )
}

#[test]
fn a_change_runs_the_cases_again_however_the_editor_saves() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("orders.toml");
    fs::write(folder.path().join("password"), "x").unwrap();
    fs::write(&file, text(1)).unwrap();
    let watched = Watched::start(folder.path(), &["test", "orders.toml"]);
    watched.until("1 case, 1 passed, 0 failed");
    watched.until("exit code 0; waiting for a change");
    // In place.
    fs::write(&file, text(2)).unwrap();
    watched.until("expected 2, found 1");
    watched.until("exit code 1; waiting for a change");
    // A new file in its place.
    fs::write(folder.path().join(".orders.toml.swp"), text(1)).unwrap();
    fs::rename(folder.path().join(".orders.toml.swp"), &file).unwrap();
    watched.until("1 case, 1 passed, 0 failed");
    watched.until("exit code 0");
    // A mistake is told, and ends nothing.
    fs::write(&file, text(1).replace("[[table]]", "[[tabel]]")).unwrap();
    watched.until("did you mean");
    watched.until("exit code 2");
    // Deleted, and written anew.
    fs::remove_file(&file).unwrap();
    watched.until("exit code 2");
    fs::write(&file, text(1)).unwrap();
    watched.until("1 case, 1 passed, 0 failed");
    watched.until("exit code 0");
    assert_eq!(watched.interrupt(), Some(0));
}

#[test]
fn another_file_runs_nothing_and_what_the_file_refers_to_does() {
    let folder = tempfile::tempdir().expect("a folder");
    let secrets = tempfile::tempdir().expect("a folder");
    let secret = secrets.path().join("password");
    fs::write(&secret, "x").unwrap();
    let with_secret = |id| text(id).replace("${file:password}", &format!("${{file:{}}}", secret.display()));
    fs::write(folder.path().join("orders.toml"), with_secret(1)).unwrap();
    let watched = Watched::start(folder.path(), &["test", "."]);
    watched.until("exit code 0; waiting for a change");
    fs::write(folder.path().join("notes.txt"), "nothing").unwrap();
    // The same content again is no change either.
    fs::write(folder.path().join("orders.toml"), with_secret(1)).unwrap();
    fs::write(&secret, "y").unwrap();
    let before = watched.until("---- changed");
    assert_eq!(before, Vec::<String>::new());
    let again = watched.until("exit code 0; waiting for a change");
    assert_eq!(again.iter().filter(|line| line.contains("---- changed")).count(), 0, "{again:?}");
    // A second file in the folder belongs to it.
    fs::write(
        folder.path().join("more.toml"),
        with_secret(2).replace("name = \"orders\"\n[source]", "name = \"more\"\n[source]"),
    )
    .unwrap();
    watched.until("more: one");
    watched.until("exit code 1");
    assert_eq!(watched.interrupt(), Some(0));
}

#[test]
fn ctrl_c_ends_a_run_that_waits_for_a_server() {
    let folder = tempfile::tempdir().expect("a folder");
    // It takes the connection, and says nothing.
    let server = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("postgres://a:b@{}/shop", server.local_addr().expect("bound"));
    fs::write(folder.path().join("password"), "x").unwrap();
    let text = text(1).replace("postgres://app:${file:password}@127.0.0.1:1/shop", &url);
    fs::write(folder.path().join("orders.toml"), text).unwrap();
    for command in ["try", "plan", "check"] {
        let watched = Watched::start(folder.path(), &[command, "orders.toml"]);
        let (_connection, _) = server.accept().expect("it connects");
        assert_eq!(watched.interrupt(), Some(0), "{command}");
    }
}
