//! Row errors, and mistakes that are told before anything is read.

use super::Scene;
use crate::support::daemon::Daemon;
use crate::support::database::{ALL, Kind};

#[tokio::test(flavor = "multi_thread")]
async fn one_bad_row_of_thousands_is_a_dead_letter_and_the_others_go_on() {
    let sections = "
[source.columns]
id = \"bigint\"
amount = \"text\"
[[table]]
name = \"copies\"
mode = \"append\"
sql = \"SELECT id FROM input\"
[[table]]
name = \"amounts\"
mode = \"append\"
sql = \"SELECT id, CAST(amount AS bigint) * 1000000 AS micros FROM input\"";
    let ddl = ["CREATE TABLE copies (id bigint)", "CREATE TABLE amounts (id bigint, micros bigint)"];
    for kind in ALL {
        let mut scene = Scene::new(kind, &ddl, sections).await;
        // 1,234 is no number, 4,321 overflows.
        let amount = |id: u64| match id {
            1_234 => "canary-7391".to_owned(),
            4_321 => "9223372036854775807".to_owned(),
            _ => (id % 100).to_string(),
        };
        let values: Vec<String> = (0..10_000).map(|id| format!(r#"{{"id":{id},"amount":"{}"}}"#, amount(id))).collect();
        let records: Vec<(&str, Option<&str>)> = values.iter().map(|value| ("k", Some(value.as_str()))).collect();
        scene.send(&records);
        scene.run().await;
        for table in ["copies", "amounts"] {
            let count = scene.database.number(&format!("SELECT count(*) FROM {table}")).await;
            assert_eq!(count, 9_998, "{kind:?}: a record goes into all tables or into none");
        }
        let letters = scene.dead_letters().await;
        assert_eq!(letters.len(), 2, "{kind:?}: {letters:?}");
        assert!(letters[0].starts_with("1234|"), "{kind:?}: {letters:?}");
        assert!(letters[1].starts_with("4321|"), "{kind:?}: {letters:?}");
        assert!(letters.iter().all(|letter| letter.contains("micros")), "{kind:?}: {letters:?}");
        assert!(!letters[0].contains("canary-7391"), "a reason holds no value: {letters:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mistake_in_a_statement_ends_the_daemon_before_it_reads() {
    let sections = "
[source.columns]
id = \"bigint\"
amount = \"int\"
[[table]]
name = \"amounts\"
mode = \"append\"
sql = '''
SELECT id, amont FROM input
'''";
    let scene = Scene::new(Kind::Sqlite, &["CREATE TABLE amounts (id bigint, amount int)"], sections).await;
    scene.pipeline();
    let mut daemon = Daemon::start(&scene.folder.path().join("pipeline.toml"));
    assert_eq!(daemon.wait(super::PATIENCE).code(), Some(2));
    let log = daemon.log();
    assert!(log.contains("pipeline.toml:14:12: table amounts:"), "{log}");
    assert!(log.contains("amount"), "{log}");
    let tables = scene.database.number("SELECT count(*) FROM sqlite_master WHERE name LIKE 'tidegate%'").await;
    assert_eq!(tables, 0, "nothing was touched");
}
