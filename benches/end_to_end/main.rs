//! The whole daemon against real services: a backlog drained into each database, checked by count and sums, and the
//! time from produce to visible row. Services come from the environment, as for the tests (`scripts/services env`).
//!
//!   cargo bench --bench end_to_end -- [--rows N] [--rate N] [postgres|mariadb|mysql|sqlite|append|upsert|project|group|latency ...]
//!
//! Without names everything is measured. Absolute numbers depend on the machine, on which broker and database run too.

mod backlog;
mod latency;
mod orders;
#[path = "../../tests/support/mod.rs"]
#[allow(dead_code, reason = "the tests need more of it")]
mod support;

use support::database::ALL;

/// The size of the comparisons with other systems in docs/performance.md.
const ROWS: u64 = 2_000_000;
/// Messages a second, for the latency.
const RATE: u64 = 100;

#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Append,
    Upsert,
    /// As [`Mode::Append`], through a projection and a filter.
    Project,
    /// A roll-up by two keys.
    Group,
}

impl Mode {
    const ALL: [Self; 4] = [Self::Append, Self::Upsert, Self::Project, Self::Group];

    fn name(self) -> &'static str {
        match self {
            Self::Append => "append",
            Self::Upsert => "upsert",
            Self::Project => "project",
            Self::Group => "group",
        }
    }
}

fn main() {
    let (mut rows, mut rate, mut names) = (ROWS, RATE, Vec::new());
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut number = || arguments.next().and_then(|text| text.parse().ok()).expect("a number follows");
        match argument.as_str() {
            "--bench" => {} // cargo's own
            "--rows" => rows = number(),
            "--rate" => rate = number(),
            _ => names.push(argument),
        }
    }
    let wants = |group: &[&str], name: &str| {
        !names.iter().any(|given| group.contains(&given.as_str())) || names.iter().any(|given| given == name)
    };
    let databases = ["postgres", "mariadb", "mysql", "sqlite"];
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    if names.iter().any(|name| name != "latency") || names.is_empty() {
        let topic = orders::produce(rows);
        backlog::heading();
        for kind in ALL {
            for mode in Mode::ALL {
                let name = format!("{kind:?}").to_lowercase();
                if wants(&databases, &name) && wants(&Mode::ALL.map(Mode::name), mode.name()) {
                    runtime.block_on(backlog::drain(kind, mode, &topic, rows));
                }
            }
        }
        support::kafka::delete(&topic);
    }
    if names.is_empty() || names.iter().any(|name| name == "latency") {
        runtime.block_on(latency::measure(rate));
    }
}

/// A pipeline file for `topic` into `url`; `columns` is the section `[source.columns]`, if there is any.
fn pipeline_file(
    folder: &std::path::Path,
    topic: &str,
    url: &str,
    (columns, section): (&str, &str),
) -> std::path::PathBuf {
    let brokers = support::services::kafka();
    let name = support::kafka::unique("bench");
    let text = format!(
        "name = \"{name}\"\n[source]\nbrokers = [\"{brokers}\"]\ntopics = [\"{topic}\"]\nformat = \"json\"\n{columns}\
         [sink]\nurl = \"{url}\"\n{section}"
    );
    let file = folder.join(format!("{name}.toml"));
    std::fs::write(&file, text).expect("a file");
    file
}
