//! What is wrong in a pipeline without a database.

use super::{changed, load};

const SINK: &str = "[sink]\nurl = \"postgres://app:secret@db/shop\"\n\n[[table]]\nname = \"orders\"\n";

/// The outputs of a pipeline without a database, and its dead letters.
const RIGHT: &str = "[source.columns]\nid = \"bigint\"\n[sink]\nkafka = true\n[[topic]]\nname = \"large\"\n\
                     [errors]\ndead_letters = \"topic:dead\"\n";

fn told(text: &str) -> String {
    super::told(&load(text).expect_err("something is wrong")).join("\n")
}

/// What the right file has instead, and what is told.
const WRONG: &[(&str, &str, &str)] = &[
    ("kafka = true\n", "kafka = false\n", "`sink.kafka` cannot be false"),
    ("kafka = true\n", "kafka = \"yes\"\n", "`sink.kafka` is text; write true or false"),
    ("kafka = true\n", "kafka = true\nurl = \"sqlite://a.db\"\n", "`sink.url` and `sink.kafka` exclude each other"),
    ("kafka = true\n", "kafka = true\ndelivery = \"at-least-once\"\n", "no meaning with `sink.kafka`"),
    ("kafka = true\n", "kafka = true\nstate_schema = \"s\"\n", "`sink.state_schema` has no meaning"),
    ("kafka = true\n", "kafka = true\nwriters = 0\n", "`sink.writers` cannot be 0"),
    ("[[topic]]\n", "[[table]]\nname = \"orders\"\n[[topic]]\n", "a [[table]] needs a database"),
    ("[[topic]]\nname = \"large\"\n", "", "`topic` is missing"),
    ("dead_letters = \"topic:dead\"\n", "", "`errors.dead_letters` is missing"),
    ("topic:dead", "table", "dead_letters = \"table\" needs a database"),
    ("topic:dead", "topic:large", "is a [[topic]] of the pipeline too"),
    ("topic:dead", "topic:orders", "the pipeline itself reads the topic"),
];

#[test]
fn a_pipeline_without_a_database_is_right_with_topics_alone() {
    let pipeline = load(&changed(SINK, RIGHT)).expect("nothing is wrong");
    assert!(pipeline.sink.database().is_none() && pipeline.tables.is_empty());
    let skipping = RIGHT.replace("dead_letters = \"topic:dead\"", "bad_records = \"skip\"");
    load(&changed(SINK, &skipping)).expect("nobody needs a topic for dead letters then");
}

#[test]
fn what_needs_a_database_is_told() {
    for (right, wrong, words) in WRONG {
        assert!(RIGHT.contains(right), "{right}");
        let told = told(&changed(SINK, &RIGHT.replace(right, wrong)));
        assert!(told.contains(words), "{wrong:?}:\n{told}");
    }
}

#[test]
fn all_of_it_is_told_at_once() {
    let all = "[sink]\nkafka = true\nurl = \"sqlite://a.db\"\ndelivery = \"at-least-once\"\nstate_schema = \"s\"\n\
               [[table]]\nname = \"a\"\n[[table]]\nname = \"b\"\n";
    let told = told(&changed(SINK, all));
    for words in ["exclude each other", "at-least-once", "state_schema", "dead_letters", "`topic` is missing"] {
        assert!(told.contains(words), "{words}:\n{told}");
    }
    assert_eq!(told.matches("a [[table]] needs a database").count(), 2, "{told}");
}
