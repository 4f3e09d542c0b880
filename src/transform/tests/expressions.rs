//! What expressions give.

use crate::types::ColumnType;

use super::super::SqlProblem;
use super::{order, planned, run, texts};

/// The value of one expression over one order.
fn value(expr: &str) -> String {
    let transformed = run(&format!("SELECT {expr} AS x FROM input"), &[order(7)]);
    assert!(transformed.bad.is_empty(), "{expr}: {:?}", transformed.bad);
    texts(&transformed).remove(0)
}

#[test]
fn expressions_give_what_postgresql_gives() {
    let table = [
        ("order_id + 1", "8"),
        ("-order_id", "-7"),
        ("quantity * price", "28.50"),
        ("price / 2", "4.750000"),
        ("0.1 + 0.2", "0.3"),
        ("order_id / 2", "3"),
        ("order_id % 4", "3"),
        ("upper(sku) || '!'", "AB-1!"),
        ("UPPER(SKU)", "AB-1"),
        ("\"Name\"", "n7"),
        ("substring(sku FROM 1 FOR 2)", "ab"),
        ("trim('  x ')", "x"),
        ("split_part(sku, '-', 2)", "1"),
        ("position('-' IN sku)", "3"),
        ("CASE WHEN quantity > 2 THEN 'many' ELSE 'few' END", "many"),
        ("CASE quantity WHEN 3 THEN 'three' END", "three"),
        ("coalesce(NULL, sku, 'none')", "ab-1"),
        ("coalesce(order_id, 1 / 0)", "7"),
        ("nullif(sku, 'ab-1')", "~"),
        ("CAST('12.50' AS decimal(10,2))", "12.50"),
        ("'42'::bigint", "42"),
        ("TRY_CAST(sku AS int)", "~"),
        ("sku ~ '^ab'", "true"),
        ("regexp_replace(sku, '[0-9]+', 'N')", "ab-N"),
        ("sku LIKE 'ab%'", "true"),
        ("sku IN ('a', 'ab-1')", "true"),
        ("order_id BETWEEN 1 AND 10", "true"),
        ("sku IS NOT NULL AND NOT (quantity = 2)", "true"),
        ("round(price)", "10"),
        ("abs(-3)", "3"),
        ("greatest(order_id, 10)", "10"),
        ("date_trunc('minute', created_at)", "2026-11-01T00:00:00Z"),
        ("extract(year FROM created_at)", "2026"),
        ("created_at + interval '1 day'", "2026-11-02T00:00:30.500Z"),
        ("CAST(created_at AS date)", "2026-11-01"),
        ("created_at > timestamptz '2026-01-01 00:00:00Z'", "true"),
        ("created_at AT TIME ZONE 'Europe/Berlin'", "2026-11-01T01:00:30.500"),
        ("timestamp '2026-03-29 02:30:00' AT TIME ZONE 'Europe/Berlin'", "2026-03-29T01:30:00Z"),
        ("date_bin(interval '1 minute', created_at)", "2026-11-01T00:00:00Z"),
        ("date_bin(interval '1 hour', timestamp '1969-12-31 23:59:59')", "1969-12-31T23:00:00"),
        ("date_bin(interval '1 day', timestamp '9999-12-31 23:59:59')", "9999-12-31T00:00:00"),
        ("date_bin(interval '15 minutes', created_at, timestamptz '2026-01-01 00:05:00Z')", "2026-10-31T23:50:00Z"),
        ("doc -> 'a' -> 'b' -> 1", "2.50"),
        ("doc -> 'a' -> 'b' ->> -1", "x"),
        ("doc ->> 's'", "té"),
        ("doc ->> 'big'", "12345678901234567890.10"),
        ("CAST(doc ->> 'big' AS decimal(30,2)) * 2", "24691357802469135780.20"),
        ("doc ->> 'z'", "~"),
        ("doc -> 'z'", "null"),
        ("doc ->> 'missing'", "~"),
        ("doc ->> 'n' = '1.10'", "true"),
        ("doc #>> '{a,b,2}'", "x"),
        ("json_value(doc, '$.a.b[1]')", "2.50"),
        ("json_query(doc, '$.a')", r#"{"b": [1, 2.50, "x"]}"#),
        ("json_array_length(doc -> 'a' -> 'b')", "3"),
        ("json_typeof(doc -> 'n')", "number"),
        ("tags[1]", "x"),
        ("array_length(tags)", "3"),
        ("array_to_string(tags, ',')", "x,y"),
        ("'x' = ANY(tags)", "true"),
        ("md5('a')", "0cc175b9c0f1b6a831c399e269772661"),
        ("encode(sha256('a'), 'hex')", "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"),
        ("upper(id)", "00000000-0000-0000-0000-000000000007"),
        ("id = '00000000-0000-0000-0000-000000000007'", "true"),
        ("_topic", "orders"),
        ("_partition", "2"),
        ("_offset + 1", "1"),
        ("_key", "n7"),
        ("_op", "upsert"),
        ("_headers['tenant']", "acme"),
        ("upper(_headers['tenant'])", "ACME"),
        ("to_char(created_at, '%Y-%m')", "2026-11"),
        ("exact", "1.5"),
        ("(price)", "9.50"),
        ("ratio / 0", "inf"),
        ("3000000000", "3000000000"),
        ("quantity + 2147483647", "2147483650"),
        ("-(-9223372036854775807 - 1 + 1)", "9223372036854775807"),
    ];
    for (expr, expected) in table {
        assert_eq!(value(expr), expected, "{expr}");
    }
}

fn types_of(sql: &str) -> Vec<(String, ColumnType, Option<String>)> {
    let plan = planned(sql).unwrap_or_else(|problems: Vec<SqlProblem>| panic!("{sql}: {problems:?}"));
    plan.outputs().iter().map(|output| (output.name.clone(), output.ty.clone(), output.passes.clone())).collect()
}

#[test]
fn results_have_the_nearest_type() {
    let decimal = |precision, scale| ColumnType::Decimal { precision, scale };
    let passes = |name: &str| Some(name.to_owned());
    let sql = "SELECT order_id, SKU AS s, doc, doc -> 'a' AS a, doc ->> 'a' AS t, id, upper(id) AS u, price * quantity \
               AS total, exact, tags, created_at, CAST(created_at AS date) AS d, _offset, quantity + 1 AS q FROM input";
    let expected = [
        ("order_id", ColumnType::Int64, passes("order_id")),
        ("s", ColumnType::Text, passes("sku")),
        ("doc", ColumnType::Json, passes("doc")),
        ("a", ColumnType::Json, None),
        ("t", ColumnType::Text, None),
        ("id", ColumnType::Uuid, passes("id")),
        ("u", ColumnType::Text, None),
        ("total", decimal(23, 2), None),
        ("exact", ColumnType::Numeric, passes("exact")),
        ("tags", ColumnType::List(Box::new(ColumnType::Text)), passes("tags")),
        ("created_at", ColumnType::TimestampTz, passes("created_at")),
        ("d", ColumnType::Date, None),
        ("_offset", ColumnType::Int64, passes("_offset")),
        ("q", ColumnType::Int64, None),
    ];
    for ((name, ty, passes), found) in expected.into_iter().zip(types_of(sql)) {
        assert_eq!(found, (name.to_owned(), ty, passes));
    }
}

#[test]
fn only_what_is_read_is_asked_for() {
    let reads =
        |sql: &str| -> Vec<String> { planned(sql).unwrap().reads().iter().map(|column| column.name.clone()).collect() };
    assert_eq!(reads("SELECT sku FROM input WHERE quantity > 0"), ["sku", "quantity"]);
    assert_eq!(reads("SELECT 1 AS one FROM input"), Vec::<String>::new());
    assert_eq!(reads("SELECT _offset, _op, _headers['tenant'] AS t FROM input"), ["_offset", "_headers['tenant']"]);
    assert_eq!(reads("SELECT * FROM input").len(), 11);
    assert_eq!(reads("SELECT sku FROM returns"), ["sku", "_topic"]);
}

#[test]
fn padding_is_bounded() {
    assert_eq!(value("lpad(CAST(order_id AS text), 3, '0')"), "007");
    assert_eq!(value("rpad(sku, 6, '.-')"), "ab-1.-");
    assert_eq!(value("lpad(sku, 2)"), "ab");
    assert_eq!(value("lpad(sku, 6, '')"), "ab-1");
    assert_eq!(value("repeat(sku, 2)"), "ab-1ab-1");
    for call in ["lpad(sku, order_id * 1000000)", "repeat(sku, 1000000000 * order_id)"] {
        let result = run(&format!("SELECT {call} AS x FROM input"), &[order(7)]);
        assert_eq!(result.bad[0].1.class, "out-of-range", "{call}");
    }
}
