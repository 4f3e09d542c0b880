//! What a statement makes of records.

use super::Scene;
use crate::support::database::ALL;

const COLUMNS: &str = r#"
[source.columns]
order_id   = "bigint"
sku        = "text"
quantity   = "int"
price      = "decimal(12,2)"
created_at = "timestamptz"
items      = "json"
"#;

fn order(id: u64, quantity: i64, price: &str) -> String {
    format!(
        r#"{{"order_id":{id},"sku":"sku-{id}","quantity":{quantity},"price":"{price}","created_at":"2026-11-01T00:00:0{id}Z"}}"#
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn map_filter_and_compute_in_every_database() {
    let sections = format!(
        "{COLUMNS}
[[table]]
name = \"orders\"
key  = [\"order_id\"]
sql  = \"\"\"
SELECT order_id, upper(sku) AS sku, quantity * price AS total, created_at, _headers['tenant'] AS tenant,
       CASE WHEN quantity > 10 THEN 'bulk' ELSE 'retail' END AS kind, _offset AS position
FROM input WHERE quantity > 0
\"\"\""
    );
    let ddl = "CREATE TABLE orders (order_id bigint NOT NULL PRIMARY KEY, sku {text}, total {decimal}, \
               created_at {instant}, tenant {text}, kind {text}, position bigint)";
    for kind in ALL {
        let mut scene = Scene::new(kind, &[ddl], &sections).await;
        let values = [order(1, 2, "9000.05"), order(2, 0, "1.00"), order(3, 11, "0.10"), order(1, 3, "9000.05")];
        for value in &values {
            scene.send(&[("k", Some(value))]);
        }
        scene.run().await;
        let rows = scene.rows("orders", &["order_id", "sku", "total", "tenant", "kind", "position"]).await;
        assert_eq!(rows, ["1|SKU-1|27000.15|acme|retail|3", "3|SKU-3|1.10|acme|bulk|2"], "{kind:?}");
        assert!(scene.dead_letters().await.is_empty(), "{kind:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_record_becomes_many_rows_and_two_tables_share_the_transaction() {
    let sections = format!(
        "{COLUMNS}
[[table]]
name = \"orders\"
mode = \"append\"
sql  = \"SELECT order_id, sku FROM input\"

[[table]]
name = \"items\"
mode = \"append\"
sql  = \"INSERT INTO items (parent, item) SELECT order_id, unnest(items) ->> 'name' FROM input\""
    );
    let ddl = ["CREATE TABLE orders (order_id bigint, sku {text})", "CREATE TABLE items (parent bigint, item {text})"];
    for kind in ALL {
        let mut scene = Scene::new(kind, &ddl, &sections).await;
        scene.send(&[
            ("a", Some(r#"{"order_id":1,"sku":"x","items":[{"name":"apple"},{"name":"pear"}]}"#)),
            ("b", Some(r#"{"order_id":2,"sku":"y","items":[]}"#)),
            ("c", Some(r#"{"order_id":3,"sku":"z","items":[{"name":"plum"}]}"#)),
        ]);
        scene.run().await;
        assert_eq!(scene.rows("orders", &["order_id", "sku"]).await, ["1|x", "2|y", "3|z"], "{kind:?}");
        assert_eq!(scene.rows("items", &["item", "parent"]).await, ["apple|1", "pear|1", "plum|3"], "{kind:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_without_sql_stands_beside_one_with_it() {
    let sections = "
[source.columns]
order_id = \"bigint\"
quantity = \"int\"
[[table]]
name = \"raw\"
mode = \"append\"
[[table]]
name = \"large\"
mode = \"append\"
sql = \"SELECT order_id FROM input WHERE quantity >= 10\"";
    let ddl = ["CREATE TABLE raw (order_id bigint, quantity int, sku {text})", "CREATE TABLE large (order_id bigint)"];
    for kind in ALL {
        let mut scene = Scene::new(kind, &ddl, sections).await;
        scene.send(&[
            ("a", Some(r#"{"order_id":1,"quantity":9,"sku":"x"}"#)),
            ("b", Some(r#"{"order_id":2,"quantity":10,"sku":"y"}"#)),
        ]);
        scene.run().await;
        assert_eq!(scene.rows("raw", &["order_id", "quantity", "sku"]).await, ["1|9|x", "2|10|y"], "{kind:?}");
        assert_eq!(scene.rows("large", &["order_id"]).await, ["2"], "{kind:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_absent_field_keeps_what_is_stored_through_a_bare_reference() {
    let sections = "
[source.columns]
id = \"bigint\"
a = \"text\"
b = \"text\"
[[table]]
name = \"kv\"
key = [\"id\"]
missing = \"keep\"
sql = \"SELECT id, a, upper(b) AS b FROM input\"";
    for kind in ALL {
        let ddl = "CREATE TABLE kv (id bigint NOT NULL PRIMARY KEY, a {text}, b {text})";
        let mut scene = Scene::new(kind, &[ddl], sections).await;
        scene.send(&[("1", Some(r#"{"id":1,"a":"one","b":"x"}"#)), ("1", Some(r#"{"id":1}"#))]);
        scene.run().await;
        // `a` is a reference, so its absence is known; `upper(b)` is an expression, and null.
        assert_eq!(scene.rows("kv", &["id", "a", "b"]).await, ["1|one|-"], "{kind:?}");
    }
}
