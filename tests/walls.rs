//! The walls of the house: which folder may name what.

use std::fs;
use std::path::{Path, PathBuf};

fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(&root).unwrap().display().to_string();
                let text = fs::read_to_string(&path).unwrap();
                // The tests at a file's end may ask a client whether it takes what the file says.
                let product = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
                files.push((name, product.to_owned()));
            }
        }
    }
    assert!(files.len() > 20, "the sources were not found");
    files
}

/// The lines of code of a file that hold `needle`; comments may name anything.
fn lines_with<'a>(text: &'a str, needle: &str) -> Vec<&'a str> {
    text.lines().filter(|line| !line.trim_start().starts_with("//") && line.contains(needle)).collect()
}

fn assert_only_in(needle: &str, allowed: &[&str]) {
    for (name, text) in sources() {
        if allowed.iter().any(|folder| name.starts_with(folder)) {
            continue;
        }
        let lines = lines_with(&text, needle);
        assert!(lines.is_empty(), "src/{name} names {needle}, which belongs to {allowed:?}: {lines:?}");
    }
}

#[test]
fn kafkas_client_is_named_in_its_stages_alone() {
    let places = ["kafka/", "consume/", "produce/", "embedded_broker.rs"];
    assert_only_in("rdkafka::", &places);
    assert_only_in("rdkafka_sys::", &places);
}

#[test]
fn the_databases_client_is_named_in_write_alone() {
    assert_only_in("sqlx::", &["write/"]);
}

#[test]
fn the_query_engine_is_named_in_transform_alone() {
    assert_only_in("datafusion", &["transform/"]);
    assert_only_in("tidegate_sql", &["transform/"]);
}

#[test]
fn ciphers_are_named_in_one_file() {
    assert_only_in("use ring::", &["keys.rs"]);
    assert_only_in(" ring::", &["keys.rs"]);
    assert_only_in("aes_gcm_siv", &["keys.rs"]);
}

#[test]
fn no_stage_imports_another() {
    let stages = ["consume", "decode", "transform", "write", "produce"];
    for (name, text) in sources() {
        let Some(stage) = stages.iter().find(|stage| name.starts_with(&format!("{stage}/"))) else { continue };
        for other in stages.iter().filter(|other| *other != stage) {
            let lines = lines_with(&text, &format!("crate::{other}"));
            assert!(lines.is_empty(), "src/{name} imports the stage {other}: {lines:?}");
        }
    }
}

#[test]
fn what_travels_knows_no_stage() {
    let nouns = [
        "records.rs",
        "rows.rs",
        "offsets.rs",
        "lease.rs",
        "inbox.rs",
        "types.rs",
        "dead_letter.rs",
        "keys.rs",
        "privacy.rs",
        "retry.rs",
        "outbox.rs",
        "follow.rs",
    ];
    for (name, text) in sources().iter().filter(|(name, _)| nouns.contains(&name.as_str())) {
        for stage in ["consume", "decode", "transform", "write", "produce", "pipeline", "cli"] {
            let lines = lines_with(text, &format!("crate::{stage}"));
            assert!(lines.is_empty(), "src/{name} imports {stage}: {lines:?}");
        }
    }
}

#[test]
fn one_receipt_one_maker() {
    // Only a COMMIT makes a receipt, and only a receipt moves the group's offsets; or Kafka's own transaction does.
    assert_only_in("Durable::new", &["write/"]);
    assert_only_in("Transacted::new", &["produce/"]);
}

#[test]
fn unsafe_code_stays_behind_its_doors() {
    let doors = [
        "consume/admin.rs",
        "consume/cluster.rs",
        "consume/describe_group.rs",
        "consume/describe_topics.rs",
        "consume/queue.rs",
        "write/socket.rs",
    ];
    assert_only_in("unsafe ", &doors);
}

#[test]
fn the_database_folders_do_not_know_each_other() {
    let databases = ["postgres", "mysql", "sqlite"];
    for (name, text) in sources() {
        let Some(own) = databases.iter().find(|own| name.starts_with(&format!("write/{own}/"))) else { continue };
        for other in databases.iter().filter(|other| *other != own) {
            let lines = lines_with(&text, &format!("{other}::"));
            let imports: Vec<_> = lines.iter().filter(|line| !line.contains("sqlx::")).collect();
            assert!(imports.is_empty(), "src/{name} names {other}: {imports:?}");
        }
    }
}

/// The table of promises in ARCHITECTURE.md: each cell of tests is paths, each followed by functions in that file.
#[test]
fn every_promise_names_tests_that_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("ARCHITECTURE.md")).unwrap();
    let (_, section) = page.split_once("## The promises and their tests").expect("the table");
    let section = section.split("\n## ").next().unwrap_or_default();
    let rows: Vec<&str> = section.lines().filter(|line| line.starts_with("| ")).skip(1).collect();
    assert!(rows.len() >= 20, "{rows:?}");
    for row in rows {
        let tests = row.split('|').nth(2).expect("a cell of tests");
        let (mut text, mut named) = (String::new(), 0);
        for name in tests.split('`').skip(1).step_by(2) {
            if name.ends_with(".rs") {
                text = fs::read_to_string(root.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
            } else {
                assert!(text.contains(&format!("fn {name}(")), "no test {name}: {row}");
                named += 1;
            }
        }
        assert!(named > 0, "no test: {row}");
    }
}
