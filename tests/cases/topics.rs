//! `tidegate test`: what is expected of topics.

use super::{outcomes, text_of, tidegate_test};

const TOPICS: &str = r#"name = "orders"
[source]
brokers = ["127.0.0.1:1"]
topics = ["orders"]
key_format = "json"
[source.columns]
order_id = "bigint"
sku = "text"
quantity = "int"
price = "decimal(12,2)"
ratio = "double"
tenant = { type = "text", header = "tenant" }
[sink]
url = "postgres://app:${NO_SUCH_PASSWORD}@127.0.0.1:1/shop"
[[table]]
name = "orders"
key = ["order_id"]
sql = "SELECT order_id, upper(sku) AS sku, quantity * price AS total FROM input WHERE quantity > 0"
[[topic]]
name = "orders.large"
key = "order_id"
headers = { "x-tenant" = "tenant" }
sql = "SELECT order_id, quantity * price AS total, 1 / ratio AS share, tenant FROM input WHERE quantity * price > 10000"
[[topic]]
name = "orders.clean"
key = ["sku", "order_id"]
sql = "SELECT sku, order_id FROM input WHERE order_id IS NOT NULL"
[[topic]]
name = "orders.state"
key = "order_id"
deletes = "tombstone"
sql = "SELECT order_id, sku FROM input"
[[topic]]
name = "orders.keyless"
sql = "SELECT quantity FROM input WHERE quantity > 100"
"#;

/// The example of the pipeline file's documentation, from its SQL to its case.
const EXAMPLE: &str = r#"name = "orders"
[source]
brokers = ["localhost:9092"]
topics  = ["orders"]
format  = "json"
key_format = "json"
[source.columns]
order_id   = "bigint"
sku        = "text"
quantity   = "int"
price      = "decimal(12,2)"
created_at = "timestamptz"
updated_at = { type = "timestamptz", unit = "ms" }
city       = { type = "text", path = "$.customer.address.city", default = "?" }
photo      = { type = "bytes", encoding = "base64" }
tenant     = { type = "text", header = "tenant" }
[sink]
url = "postgres://app:${DB_PASSWORD}@db/shop"
[[table]]
name = "orders"
mode = "upsert"
key  = ["order_id"]
sql  = "SELECT order_id, upper(sku) AS sku, quantity * price AS total, created_at, updated_at FROM input WHERE quantity > 0"
deletes  = "hard"
filtered = "ignore"
version  = "updated_at"
missing  = "null"
[[table]]
name  = "revenue_per_minute"
mode  = "merge"
key   = ["minute", "sku"]
merge = { orders = "sum", revenue = "sum", max_price = "max" }
sql   = "SELECT date_bin(interval '1 minute', created_at) AS minute, sku, count(*) AS orders, sum(quantity*price) AS revenue, max(price) AS max_price FROM input GROUP BY 1, 2"
[[topic]]
name = "orders.large"
key  = "order_id"
sql  = "SELECT * FROM input WHERE quantity * price > 10000"
[[check]]
name = "price"
sql  = "price >= 0"
action = "dead-letter"
[errors]
bad_records  = "dead-letter"
[[test]]
name   = "a large order"
input  = [{ key = "7", value = { order_id = 7, sku = "a", quantity = 2, price = "9000.00", created_at = "2026-11-01T00:00:00Z", updated_at = 1793491200000 } }]
expect = { orders = [{ order_id = 7, sku = "A", total = "18000.00" }], "topic:orders.large" = [{ order_id = 7 }] }
"#;

#[test]
fn the_example_of_the_file_passes() {
    let output = tidegate_test(EXAMPLE, &[]);
    let told = text_of(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{told}{}", text_of(&output.stderr));
    assert_eq!(told, "ok      orders: a large order\n1 case, 1 passed, 0 failed\n");
}

#[test]
fn events_with_their_keys_headers_and_tombstones_pass() {
    let cases = r#"
[[test]]
name = "values, keys, headers"
input = [
  { headers = { tenant = "acme" }, value = { order_id = 7, sku = "a", quantity = 2, price = "9000.00", ratio = 4 } },
  { value = { order_id = 8, quantity = 200, price = "90.00" } },
  { value = { order_id = 9, sku = "b", quantity = 1, price = "1.00" } },
]
[test.expect]
"topic:orders.large" = [
  { _key = "7", _headers = { x-tenant = "acme" }, order_id = 7, total = 18000, share = 0.25 },
  { _key = 8, total = "18000.00", _null = ["share"] },
]
"topic:orders.clean" = [
  { _key = { sku = "a", order_id = 7 } },
  { _key = '{"sku":null,"order_id":8}', _null = ["sku"] },
  { order_id = 9 },
]
"topic:orders.keyless" = [{ quantity = 200, _null = ["_key"] }]

[[test]]
name = "deletes"
input = [{ key = "7", value = { order_id = 7, sku = "a" } }, { key = "7" }]
[test.expect]
"topic:orders.state" = [{ _key = "7", sku = "a" }, { _key = "7", _op = "tombstone" }]
"topic:orders.clean" = [{ order_id = 7 }]

[[test]]
name = "a value that no event can hold"
input = [
  { value = { order_id = 7, quantity = 2, price = "9000.00", ratio = 0 } },
  { value = { order_id = 8, quantity = 2, price = "9000.00", ratio = 1 } },
]
[test.expect]
orders = [{ order_id = 8 }]
"topic:orders.large" = [{ order_id = 8 }]
dead_letters = [{ offset = 0, stage = "write", class = "out-of-range", column = "share" }]
"#;
    let output = tidegate_test(&format!("{TOPICS}{cases}"), &[]);
    let told = text_of(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{told}{}", text_of(&output.stderr));
}

/// The topic, what is expected of its events, and what must be told: row, column, words of what was expected and found.
type Wrong = (&'static str, &'static str, &'static [(&'static str, &'static str, &'static str, &'static str)]);

const WRONG: [Wrong; 9] = [
    ("orders.large", "{ total = 1 }", &[("1", "total", "1.00", "18000.00")]),
    ("orders.large", "{ _key = \"8\" }", &[("1", "_key", "\"8\"", "\"7\"")]),
    ("orders.large", "{ _null = [\"_key\"] }", &[("1", "_key", "no key", "\"7\"")]),
    ("orders.keyless", "{ _key = \"\" }", &[("1", "_key", "\"\"", "no key")]),
    ("orders.large", "{ _headers = { x-tenant = \"x\" } }", &[("1", "_headers.x-tenant", "\"x\"", "\"acme\"")]),
    ("orders.large", "{ _headers = { other = \"x\" } }", &[("1", "_headers.other", "\"x\"", "no such header")]),
    ("orders.state", "{ _op = \"tombstone\", _key = \"7\" }", &[("1", "_op", "tombstone", "upsert")]),
    (
        "orders.large",
        "",
        &[("", "", "0 events", "1 event"), ("1", "", "no event", "{ _key = \"7\", order_id = 7, total = 18000.00")],
    ),
    (
        "orders.large",
        "{ order_id = 7 }, { _key = \"8\", _headers = { a = \"b\" }, _null = [\"total\"] }",
        &[
            ("", "", "2 events", "1 event"),
            ("2", "", "{ _key = \"8\", _headers = { a = \"b\" }, total = NULL }", "no event"),
        ],
    ),
];

#[test]
fn what_is_not_as_expected_of_an_event_is_told() {
    for (topic, expect, wanted) in WRONG {
        let case = format!(
            "[[test]]\nname = \"c\"\ninput = [{{ headers = {{ tenant = \"acme\" }}, \
             value = {{ order_id = 7, sku = \"a\", quantity = 200, price = 90, ratio = 2 }} }}]\n\
             expect = {{ \"topic:{topic}\" = [{expect}] }}\n"
        );
        let output = tidegate_test(&format!("{TOPICS}{case}"), &["--output", "json"]);
        assert_eq!(output.status.code(), Some(1), "{expect}: {}", text_of(&output.stderr));
        let outcome = &outcomes(&output)[0];
        let differences = outcome["differences"].as_array().expect("a list");
        assert_eq!(differences.len(), wanted.len(), "{expect}: {differences:?}");
        for (difference, (row, column, expected, found)) in differences.iter().zip(wanted) {
            assert_eq!(difference["output"], format!("topic:{topic}"));
            let at = difference["row"].as_u64().map(|row| row.to_string()).unwrap_or_default();
            assert_eq!(at, *row, "{expect}: {difference}");
            assert_eq!(difference["column"].as_str().unwrap_or_default(), *column, "{expect}: {difference}");
            assert!(difference["expected"].as_str().unwrap_or_default().contains(expected), "{expect}: {difference}");
            assert!(difference["found"].as_str().unwrap_or_default().contains(found), "{expect}: {difference}");
        }
    }
}

#[test]
fn an_expectation_that_cannot_be_is_told_with_place_and_cure() {
    for (expect, what, cure) in [
        ("\"topic:orders.lrge\" = []", "`topic:orders.lrge`, which is no topic", "did you mean `topic:orders.large`?"),
        ("\"orders.large\" = []", "`orders.large`, which is no table", "did you mean `topic:orders.large`?"),
        ("\"topic:orders\" = []", "`topic:orders`, which is no topic", "did you mean"),
        ("\"topic:orders.large\" = [{ totl = 1 }]", "`totl` of the topic orders.large", "did you mean `total`?"),
        ("\"topic:orders.large\" = [{ tenant = \"a\" }]", "`tenant` is the header x-tenant", "_headers = { x-tenant"),
        (
            "\"topic:orders.large\" = [{ _op = \"tombstone\" }]",
            "orders.large gets no tombstones",
            "deletes = \"tombstone\"",
        ),
        ("\"topic:orders.state\" = [{ _op = \"delete\" }]", "`_op` is what the event is", "_op = \"tombstone\""),
        (
            "\"topic:orders.state\" = [{ _op = \"tombstone\", sku = \"a\" }]",
            "a tombstone has no value, so no `sku`",
            "`_key`",
        ),
        ("\"topic:orders.state\" = [{ _headers = 1 }]", "`_headers` is no table", "_headers = {"),
        ("\"topic:orders.state\" = [{ _null = \"sku\" }]", "`_null` is the list", "_null = ["),
    ] {
        let case =
            format!("[[test]]\nname = \"c\"\ninput = [{{ value = {{ order_id = 1 }} }}]\nexpect = {{ {expect} }}\n");
        let output = tidegate_test(&format!("{TOPICS}{case}"), &[]);
        let told = text_of(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{expect}: {told}");
        let line = told.lines().next().unwrap_or_default();
        assert!(line.starts_with("orders.toml:") && line.contains(what) && line.contains(cure), "{expect}: {told}");
    }
}
