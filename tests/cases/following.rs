//! What follows from roll-ups, in cases.

use super::{text_of, tidegate_test};

const HEAD: &str = r#"name = "totals"
[source]
brokers = ["127.0.0.1:1"]
topics = ["orders"]
[source.columns]
sku = "text"
amount = "decimal(12,2)"
highest = "int"
city = "text"
at = "timestamptz"
doc = "json"
[sink]
url = "postgres://app@127.0.0.1:1/shop"
"#;

const PLAIN: &str = r#"
[[table]]
name = "totals"
mode = "merge"
key = ["sku"]
merge = { amount = "sum", highest = "max", city = { last = { by = "at" } }, doc = "json_merge" }
"#;

const SEEN: &str = r#"
[[table]]
name = "seen"
mode = "append"
from = "totals"
sql = "SELECT sku, amount, amount_delta AS added, highest, city, doc FROM input WHERE amount > 10 AND amount - amount_delta <= 10"
[[topic]]
name = "seen"
from = "totals"
key = "sku"
"#;

const CASE: &str = r#"
[[test]]
name = "a table that was empty"
input = [
  { value = { sku = "a", amount = "6.00", highest = 3, city = "x", at = "2026-11-01T10:00:02Z", doc = { n = 1, m = { a = 1, b = 2 } } } },
  { value = { sku = "b", amount = "9.99", highest = 1, city = "y", at = "2026-11-01T10:00:00Z" } },
  { value = { sku = "a", amount = "4.50", highest = 2, city = "z", at = "2026-11-01T10:00:01Z", doc = { m = { a = 3, b = 1000 } } } },
]
"#;

#[test]
fn totals_and_what_was_added_are_those_of_an_empty_table() {
    let expect = r#"
[test.expect]
seen = [{ sku = "a", amount = "10.50", added = "10.50", highest = 3, city = "x", doc = { n = 1, m = { a = 3, b = 1000 } } }]
"topic:seen" = [{ _key = "b", sku = "b", amount = 9.99, amount_delta = 9.99 }, { _key = "a", amount_delta = 10.5, city = "x" }]
"#;
    let output = tidegate_test(&format!("{HEAD}{PLAIN}{SEEN}{CASE}{expect}"), &[]);
    assert_eq!(output.status.code(), Some(0), "{}{}", text_of(&output.stdout), text_of(&output.stderr));
}

#[test]
fn what_would_block_the_pipeline_fails_the_case() {
    let section = "[[table]]\nname = \"seen\"\nmode = \"append\"\nfrom = \"totals\"\nsql = \"SELECT 1 / (highest - 3) AS x FROM input\"\n";
    let output = tidegate_test(&format!("{HEAD}{PLAIN}{section}{CASE}expect = {{ seen = [] }}"), &[]);
    let told = text_of(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{told}{}", text_of(&output.stderr));
    assert!(told.contains("a blocked pipeline: table totals: table seen: column x: division by zero"), "{told}");
}

/// What is wrong with the SQL, and what mends it.
const MISTAKES: [(&str, &str, &str); 5] = [
    ("SELECT highest_delta AS x FROM input", "no column highest_delta", "only sum and count have a delta"),
    (
        "SELECT amnt AS x FROM input",
        "no column amnt",
        "the merged rows of totals: sku, amount, highest, city, at, doc, amount_delta",
    ),
    ("SELECT _offset AS x FROM input", "no column _offset", "the merged rows of totals"),
    ("SELECT sum(amount) AS x FROM input", "sum", "merge"),
    ("SELECT amount AS x FROM orders", "no table orders", "FROM input"),
];

#[test]
fn mistakes_are_told_with_place_and_cure() {
    for (sql, what, cure) in MISTAKES {
        let section = format!("[[table]]\nname = \"seen\"\nmode = \"append\"\nfrom = \"totals\"\nsql = \"{sql}\"\n");
        let output = tidegate_test(&format!("{HEAD}{PLAIN}{section}{CASE}expect = {{ seen = [] }}"), &[]);
        let told = text_of(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{sql}: {told}");
        assert!(told.contains(what) && told.contains(cure) && told.contains("orders.toml:"), "{sql}: {told}");
    }
}

#[test]
fn a_key_that_only_the_database_knows_is_asked_for() {
    let without_key = PLAIN.replace("key = [\"sku\"]\n", "");
    let output = tidegate_test(&format!("{HEAD}{without_key}{SEEN}{CASE}expect = {{ seen = [] }}"), &[]);
    let told = text_of(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(told.contains("table totals: what follows it by `from` needs its key"), "{told}");
}
