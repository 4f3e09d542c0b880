//! `tidegate test`: the real binary, with no Kafka and no database.

mod following;
mod topics;

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

/// Nothing listens there, and the password is not set.
const HEAD: &str = r#"name = "orders"
[source]
brokers = ["127.0.0.1:1"]
topics = ["orders", "returns"]
[source.columns]
order_id = "bigint"
sku = "text"
quantity = "int"
price = "decimal(12,2)"
ratio = "double"
created_at = { type = "timestamptz", unit = "ms" }
doc = "json"
tags = "text"
tenant = { type = "text", header = "tenant" }
[sink]
url = "postgres://app:${NO_SUCH_PASSWORD}@127.0.0.1:1/shop"
[[check]]
name = "price"
sql = "price >= 0"
[[check]]
name = "load test"
sql = "sku <> 'load-test'"
action = "drop"
[[table]]
name = "orders"
key = ["order_id"]
sql = """
SELECT order_id, upper(sku) AS sku, quantity * price AS total, ratio * 3 AS ratio, created_at, doc, tenant,
       100 / quantity AS share
FROM input WHERE quantity > 0 OR quantity IS NULL OR _op = 'delete'"""
[[table]]
name = "plain"
mode = "append"
"#;

const ROLL_UP: &str = r#"
[[table]]
name = "per_sku"
mode = "merge"
key = ["sku"]
merge = { orders = "count", pieces = "sum" }
sql = "SELECT sku, count(*) AS orders, sum(quantity) AS pieces FROM input GROUP BY 1"
"#;

fn tidegate_test(text: &str, more: &[&str]) -> Output {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("orders.toml"), text).expect("a file");
    run(folder.path(), &[&["orders.toml"], more].concat())
}

fn run(folder: &Path, arguments: &[&str]) -> Output {
    let mut tidegate = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    tidegate.arg("test").args(arguments).current_dir(folder).env_clear().output().expect("it runs")
}

fn outcomes(output: &Output) -> Vec<Value> {
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}\n{}", text_of(&output.stderr)))
}

fn text_of(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn what_is_as_expected_passes() {
    let cases = r#"
[[test]]
name = "values, not their notation"
input = [{ key = "7", headers = { tenant = "acme" }, value = { order_id = 7, sku = "a", quantity = 2, price = "9000.00", ratio = 0.1, created_at = 1793491200000, doc = { b = 1, a = [1.50] } } }]
[test.expect]
orders = [{ order_id = 7, sku = "A", total = 18000, ratio = 0.3, created_at = "2026-11-01T01:00:00+01:00", doc = { a = [1.5], b = 1 }, tenant = "acme", share = "50.0" }]
plain = [{ order_id = 7, price = 9000, created_at = 1793491200000, _null = ["tags"] }]

[[test]]
name = "deletes, filtered and dropped records, refused ones"
input = [
  { key = "1", value = { order_id = 1, sku = "a", quantity = 2, price = 1 } },
  { key = "2", value = { order_id = 2, sku = "a", quantity = -2, price = 1 } },
  { key = "3", value = { order_id = 3, sku = "load-test", quantity = 2, price = 1 } },
  { key = "4", value = { order_id = 4, quantity = 2, price = -1 } },
  { key = "5", value = '{"order_id": 5,', topic = "returns", partition = 3, offset = 40, timestamp = "2026-11-01T00:00:00Z" },
  { key = "1" },
  { key = "6", value = '{"order_id": 6, "quantity": null, "sku": "b"}' },
]
[test.expect]
orders = [
  { order_id = 1, total = "2" },
  { order_id = 1, _op = "delete" },
  { order_id = 6, _null = ["total", "share"] },
]
plain = [{ order_id = 1 }, { order_id = 2 }, { order_id = 6 }]
dead_letters = [
  { key = "4", offset = 3, stage = "check", class = "check", reason = "the record violates the check price", value = { order_id = 4, quantity = 2, price = -1 } },
  { topic = "returns", partition = 3, offset = 40, stage = "decode", class = "invalid-json", key = "5" },
]
"#;
    let output = tidegate_test(&format!("{HEAD}{cases}"), &[]);
    let told = text_of(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{told}{}", text_of(&output.stderr));
    assert!(told.contains("ok      orders: values, not their notation\n"), "{told}");
    assert!(told.ends_with("2 cases, 2 passed, 0 failed\n"), "{told}");
}

#[test]
fn a_roll_up_gives_the_parts_of_the_batch() {
    let case = r#"
[[test]]
name = "two skus"
input = [
  { value = { order_id = 1, sku = "a", quantity = 2 } },
  { value = { order_id = 2, sku = "b", quantity = 5 } },
  { value = { order_id = 3, sku = "a", quantity = 1 } },
]
expect = { per_sku = [{ sku = "b", orders = 1, pieces = 5 }, { sku = "a", orders = 2, pieces = 3 }] }
"#;
    let output = tidegate_test(&format!("{HEAD}{ROLL_UP}{case}"), &[]);
    assert_eq!(output.status.code(), Some(0), "{}{}", text_of(&output.stdout), text_of(&output.stderr));
}

/// Row, column, and words of what was expected and of what was found.
type Told = (&'static str, &'static str, &'static str, &'static str);

/// Input of one order, what is expected of it, and what must be told.
const WRONG: [(&str, &str, &[Told]); 8] = [
    ("quantity = 2", "orders = [{ total = \"18.00\" }]", &[("1", "total", "18.00", "19.00")]),
    ("quantity = 2", "orders = [{ sku = \"a\", total = 19 }]", &[("1", "sku", "\"a\"", "\"A\"")]),
    ("quantity = 2", "orders = [{ _null = [\"sku\"] }]", &[("1", "sku", "NULL", "\"A\"")]),
    ("quantity = 2", "orders = [{ tenant = \"x\" }]", &[("1", "tenant", "\"x\"", "NULL")]),
    ("quantity = 2", "orders = [{ order_id = 7, _op = \"delete\" }]", &[("1", "_op", "delete", "upsert")]),
    ("quantity = 2", "orders = []", &[("", "", "0 rows", "1 row"), ("1", "", "no row", "{ order_id = 7")]),
    (
        "quantity = -2",
        "orders = [{ order_id = 7 }]",
        &[("", "", "1 row", "0 rows"), ("1", "", "order_id = 7", "no row")],
    ),
    ("quantity = 0", "plain = []", &[("", "", "0 rows", "1 row"), ("1", "", "no row", "offset 0 of orders-0: decode")]),
];

#[test]
fn what_is_not_as_expected_is_told_by_row_and_column() {
    for (input, expect, wanted) in WRONG {
        // The last one brings what is no number.
        let quantity = if input == "quantity = 0" { "quantity = \"many\"" } else { input };
        let case = format!(
            "[[test]]\nname = \"c\"\ninput = [{{ value = {{ order_id = 7, sku = \"a\", price = \"9.50\", {quantity} }} }}]\n\
             expect = {{ {expect} }}\n"
        );
        let output = tidegate_test(&format!("{HEAD}{case}"), &["--output", "json"]);
        assert_eq!(output.status.code(), Some(1), "{expect}: {}", text_of(&output.stderr));
        let outcome = &outcomes(&output)[0];
        assert_eq!(outcome["passed"], false);
        let differences = outcome["differences"].as_array().expect("a list");
        assert_eq!(differences.len(), wanted.len(), "{expect}: {differences:?}");
        for (difference, (row, column, expected, found)) in differences.iter().zip(wanted) {
            let row_found = difference["row"].as_u64().map(|row| row.to_string()).unwrap_or_default();
            assert_eq!(row_found, *row, "{expect}: {difference}");
            assert_eq!(difference["column"].as_str().unwrap_or_default(), *column, "{expect}: {difference}");
            assert!(difference["expected"].as_str().unwrap_or_default().contains(expected), "{expect}: {difference}");
            assert!(difference["found"].as_str().unwrap_or_default().contains(found), "{expect}: {difference}");
        }
    }
}

#[test]
fn a_failed_case_is_a_line_a_person_can_read() {
    let cases = "[[test]]\nname = \"good\"\ninput = [{ value = { order_id = 1 } }]\nexpect = { orders = [{ order_id = 1 }] }\n\
                 [[test]]\nname = \"bad\"\ninput = [{ value = { order_id = 1, sku = \"x\" } }]\n\
                 expect = { orders = [{ order_id = 2, sku = \"y\" }] }\n";
    let output = tidegate_test(&format!("{HEAD}{cases}"), &[]);
    assert_eq!(output.status.code(), Some(1));
    let expected = "ok      orders: good\n\
                    FAILED  orders: bad\n          \
                    orders, row 1, column order_id: expected 2, found 1\n          \
                    orders, row 1, column sku: expected \"y\", found \"X\"\n\
                    2 cases, 1 passed, 1 failed\n";
    assert_eq!(text_of(&output.stdout), expected);
}

#[test]
fn a_wrong_file_is_exit_code_2_with_place_and_cure() {
    let record = "input = [{ value = { order_id = 1 } }]\n";
    let table = [
        (format!("{record}expect = {{ ordrs = [] }}\n"), "`ordrs`", "did you mean `orders`?"),
        (format!("{record}expect = {{ orders = [{{ totl = 1 }}] }}\n"), "`totl` of the table orders", "`total`?"),
        (format!("{record}expect = {{ dead_letters = [{{ clas = \"x\" }}] }}\n"), "no `clas`", "`class`?"),
        (format!("{record}expect = {{ orders = [{{ _op = \"remove\" }}] }}\n"), "`_op`", "_op = \"delete\""),
        (record.to_owned(), "`test.expect` is missing", "expect = {"),
        ("input = [{ topic = \"ordrs\" }]\nexpect = {}\n".to_owned(), "`test.input.topic`", "topic = \"orders\""),
        (
            "input = [{ offset = 4, value = {} }, { offset = 4, value = {} }]\nexpect = {}\n".to_owned(),
            "`test.input.offset` 4 comes after offset 4",
            "rising offsets",
        ),
        ("input = [{ timestamp = \"noon\" }]\nexpect = {}\n".to_owned(), "`test.input.timestamp`", "2026-11-01"),
    ];
    for (case, what, cure) in table {
        let output = tidegate_test(&format!("{HEAD}[[test]]\nname = \"c\"\n{case}"), &[]);
        let told = text_of(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{case}: {told}");
        let line = told.lines().next().unwrap_or_default();
        assert!(line.starts_with("orders.toml:") && line.contains(what) && line.contains(cure), "{case}: {told}");
    }
    let output = tidegate_test(HEAD, &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text_of(&output.stderr).contains("there is no [[test]]"));
}

#[test]
fn the_cases_of_the_examples_pass() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let examples = [
        "sql",
        "checks",
        "alerts-to-topic",
        "privacy",
        "order-lines",
        "topic-to-topic",
        "enrichment",
        "one-table-per-topic",
    ];
    let examples = examples.map(|name| format!("config/{name}.toml"));
    let output = run(root, &examples.each_ref().map(String::as_str));
    let told = text_of(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{told}{}", text_of(&output.stderr));
    assert!(told.contains("orders-sql: ") && told.contains("orders-checked: "), "{told}");
}
