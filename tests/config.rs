//! Configuration files: what is taken, what is refused, where it says so, and that nothing secret is told.

mod binary;
mod daemon;
mod environment;
mod examples;
mod hostile;
mod secrets;
mod values;
mod wrong;
mod wrong_create;
mod wrong_follow;
mod wrong_kafka_sink;
mod wrong_lookups;
mod wrong_merge;
mod wrong_privacy;
mod wrong_replace;
mod wrong_routes;
mod wrong_topics;

use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tidegate::config::{Environment, Pipeline, Problems, load_pipelines};

/// A pipeline with nothing wrong in it.
const GOOD: &str = r#"name = "orders"

[source]
brokers = ["localhost:9092"]
topics = ["orders"]

[sink]
url = "postgres://app:secret@db/shop"

[[table]]
name = "orders"
"#;

/// A folder of files; it goes with the value.
struct Files(TempDir);

impl Files {
    fn new<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let folder = Self(tempfile::tempdir().expect("a temporary folder"));
        for (name, text) in files {
            folder.write(name, text.as_bytes());
        }
        folder
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.path(name), bytes).expect("a file can be written");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn folder(&self) -> &Path {
        self.0.path()
    }
}

fn load_with(text: &str, environment: &Environment) -> Result<Pipeline, Problems> {
    let files = Files::new([("orders.toml", text)]);
    let mut pipelines = load_pipelines(&[files.path("orders.toml")], environment)?;
    Ok(pipelines.remove(0))
}

fn load(text: &str) -> Result<Pipeline, Problems> {
    load_with(text, &Environment::default())
}

/// [`GOOD`] with one piece replaced.
fn changed(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "{from:?} is not in the good file");
    GOOD.replacen(from, to, 1)
}

/// Every problem as its place and the rest, without the temporary folder.
fn told(problems: &Problems) -> Vec<String> {
    let told = problems.iter().map(|problem| {
        let text = problem.to_string();
        match problem.file().and_then(Path::parent) {
            Some(folder) => text.replace(&format!("{}/", folder.display()), ""),
            None => text,
        }
    });
    told.collect()
}
