//! Mistakes: each is told before anything runs, with its place and its cure.

use crate::config::MergeColumn;
use crate::config::MergeFunction::Sum;

use super::merge::{functions, last};
use super::{planned, planned_as};

/// Statement, line, column, a part of the message, a part of the cure.
type Mistake = (&'static str, usize, usize, &'static str, &'static str);

const ROW_WISE: &[Mistake] = &[
    ("", 1, 1, "no statement", "SELECT"),
    ("SELEC sku FROM input", 1, 1, "no SQL", "PostgreSQL"),
    ("SELECT sku FROM input WHERE", 1, 28, "no SQL", "correct it"),
    ("SELECT 'sku FROM input", 1, 8, "nterminated", "close the quote"),
    ("SELECT sku FROM input; SELECT sku FROM input", 1, 24, "second statement", "one statement"),
    ("DELETE FROM input", 1, 1, "DELETE is no statement", "SELECT"),
    ("UPDATE input SET sku = 'x'", 1, 1, "UPDATE is no statement", "SELECT"),
    ("CREATE TABLE t (a int)", 1, 1, "CREATE is no statement", "SELECT"),
    ("VALUES (1)", 1, 1, "VALUES reads no records", "FROM input"),
    ("SELECT sku FROM orderz", 1, 17, "no table orderz", "`orders`"),
    ("SELECT sku FROM warehouse", 1, 17, "no table warehouse", "FROM input"),
    ("SELECT 1 AS one", 1, 1, "without FROM", "FROM input"),
    ("SELECT skuu FROM input", 1, 8, "no column skuu", "did you mean `sku`?"),
    ("SELECT sku,\n  customer\nFROM input", 2, 3, "no column customer", "customer = \"text\""),
    ("SELECT upper(skuu) AS s FROM input", 1, 14, "no column skuu", "`sku`"),
    ("SELECT sku FROM input WHERE qty > 1", 1, 29, "no column qty", "[source.columns]"),
    ("SELECT o.sku FROM input", 1, 8, "no table o", "input.sku"),
    ("SELECT doc.a FROM input", 1, 8, "doc has no fields", "doc ->> 'a'"),
    ("SELECT _headers FROM input", 1, 8, "_headers alone", "_headers['name']"),
    ("SELECT uper(sku) AS s FROM input", 1, 8, "no function uper", "`upper`"),
    ("SELECT iif(true, sku, '') AS s FROM input", 1, 8, "no function iif", "CASE"),
    ("SELECT zzzzzz(sku) AS s FROM input", 1, 8, "no function zzzzzz", "docs/sql.md"),
    ("SELECT to_timestamp(sku) AS s FROM input", 1, 8, "no function to_timestamp", "CAST(x AS timestamptz)"),
    ("SELECT now() AS t FROM input", 1, 8, "now() would give another result", "_timestamp"),
    ("SELECT sku FROM input WHERE created_at > current_timestamp", 1, 42, "another result", "_timestamp"),
    ("SELECT current_date AS d FROM input", 1, 8, "current_date() would", "CAST(_timestamp AS date)"),
    ("SELECT random() AS r FROM input", 1, 8, "random() would", "md5("),
    ("SELECT uuid() AS r FROM input", 1, 8, "uuid() would", "md5("),
    ("SELECT upper(sku) FROM input", 1, 8, "without a name", "AS name"),
    ("SELECT sku, order_id AS sku FROM input", 1, 13, "two results are called sku", "another name"),
    ("SELECT a.sku FROM input a JOIN input b ON a.sku = b.sku", 1, 27, "a join", "view"),
    ("SELECT sku FROM input, orders", 1, 24, "a join", "view"),
    ("SELECT DISTINCT sku FROM input", 1, 8, "DISTINCT", "upsert"),
    ("SELECT sku FROM input LIMIT 5", 1, 23, "LIMIT", "WHERE"),
    ("SELECT sku FROM input ORDER BY sku", 1, 23, "ORDER BY", "when they are read"),
    ("SELECT sku FROM input HAVING true", 1, 23, "HAVING", "view"),
    ("SELECT sku FROM input UNION SELECT sku FROM input", 1, 23, "UNION", "[[table]]"),
    ("WITH a AS (SELECT 1) SELECT sku FROM input", 1, 1, "WITH", "into the SELECT"),
    ("SELECT sku FROM (SELECT sku FROM input) x", 1, 17, "subquery", "into the SELECT"),
    ("SELECT sku FROM input WHERE sku IN (SELECT 'a')", 1, 37, "subquery", "view"),
    ("SELECT sku FROM input WHERE EXISTS (SELECT 1)", 1, 37, "subquery", "view"),
    ("SELECT row_number() OVER () AS n FROM input", 1, 8, "over a window", "merge"),
    ("SELECT sum(price) OVER (PARTITION BY sku) AS n FROM input", 1, 8, "over a window", "merge"),
    ("SELECT count(*) AS n FROM input", 1, 8, "count needs more than one record", "mode = \"merge\""),
    ("SELECT sku FROM input GROUP BY sku", 1, 32, "GROUP BY", "mode = \"merge\""),
    ("SELECT sku + 1 AS x FROM input", 1, 8, "", "CAST"),
    ("SELECT upper(sku, 1) AS x FROM input", 1, 8, "upper does not take (text, bigint)", "upper("),
    ("SELECT order_id FROM input WHERE order_id", 1, 34, "WHERE needs a condition, this is bigint", "compare"),
    ("SELECT CAST(sku AS varchar(10)) AS x FROM input", 1, 13, "no cast to", "left(x, 10)"),
    ("SELECT CAST(sku AS decimal) AS x FROM input", 1, 13, "no cast to", "decimal(12,2)"),
    ("SELECT ratio * 1e300 AS x FROM input", 1, 16, "more digits than a decimal has", "AS double"),
    ("SELECT CAST(sku AS wibble) AS x FROM input", 1, 13, "no cast to wibble", "docs/sql.md"),
    ("SELECT CAST(sku AS uuid) AS x FROM input", 1, 13, "no cast to UUID", "uuid column"),
    ("SELECT created_at - created_at AS x FROM input", 1, 8, "no column holds an interval", "date_part"),
    ("SELECT struct(sku, 1) AS x FROM input", 1, 8, "no function struct", ""),
    ("SELECT exact + 1 AS x FROM input", 1, 8, "decimal of any size", "decimal(38,9)"),
    ("SELECT UNNEST(sku) AS x FROM input WHERE UNNEST(tags) = 'x'", 1, 42, "UNNEST outside of SELECT", "SELECT list"),
    ("SELECT UNNEST(UNNEST(tags)) AS x FROM input", 1, 15, "UNNEST inside UNNEST", "one level"),
    ("SELECT UNNEST(order_id) AS x FROM input", 1, 8, "UNNEST takes a list", "json"),
    ("SELECT x FROM UNNEST(tags) AS x", 1, 15, "UNNEST after FROM", "in SELECT"),
    ("SELECT order_id -> 'a' AS x FROM input", 1, 8, "only JSON and text", "\"json\""),
    ("SELECT date_bin('1 minute', sku) AS x FROM input", 1, 8, "date_bin takes an interval", "interval '1 minute'"),
    ("SELECT created_at AT TIME ZONE 'Mars/Base' AS x FROM input", 1, 8, "no time zone Mars/Base", "IANA"),
    ("SELECT sku FROM input WHERE sku = $1", 1, 35, "parameter", "value itself"),
    ("INSERT INTO other (a) SELECT sku FROM input", 1, 13, "INSERT INTO other", "INSERT INTO shop"),
    (
        "INSERT INTO shop (a, b) SELECT sku FROM input",
        1,
        25,
        "names 2 columns, the SELECT gives 1",
        "one expression per column",
    ),
    ("INSERT INTO shop (a, a) SELECT sku, sku FROM input", 1, 22, "named twice", "once"),
    ("INSERT INTO shop (a) SELECT sku FROM input ON CONFLICT DO NOTHING", 1, 44, "ON CONFLICT", "mode"),
    ("INSERT INTO shop (a) SELECT sku FROM input RETURNING a", 1, 44, "RETURNING", "leave it out"),
    ("INSERT INTO shop VALUES (1)", 1, 18, "VALUES", "FROM input"),
];

const MERGING: &[Mistake] = &[
    ("SELECT sku, avg(price) AS total FROM input GROUP BY sku", 1, 13, "avg do not add up", "sum(x) and count(x)"),
    ("SELECT sku, count(DISTINCT price) AS total FROM input GROUP BY sku", 1, 13, "DISTINCT", "in its key"),
    ("SELECT sku, max(price) AS total FROM input GROUP BY sku", 1, 13, "max(..) does not fit", "total = \"max\""),
    ("SELECT sku, sum(price) AS other FROM input GROUP BY sku", 1, 13, "not in `merge`", "other = \"sum\""),
    ("SELECT sku, price AS total FROM input GROUP BY sku, price", 1, 13, "is no aggregate", "sum(..)"),
    ("SELECT sku, last_value(price) AS total FROM input GROUP BY sku", 1, 13, "do not add up", "last(x ORDER BY t)"),
    (
        "SELECT sku, sum(price) AS city FROM input GROUP BY sku",
        1,
        13,
        "does not fit the merge function of city, last",
        "sum",
    ),
    (
        "SELECT sku, last(price ORDER BY created_at) AS city FROM input GROUP BY sku",
        1,
        13,
        "no result is created_at, which keeps the order of city",
        "add max(created_at) AS created_at",
    ),
    (
        "SELECT sku, last(price ORDER BY order_id) AS city, max(created_at) AS created_at FROM input GROUP BY sku",
        1,
        13,
        "ordered by another expression than created_at",
        "the same t",
    ),
    (
        "SELECT sku, last(price ORDER BY created_at DESC) AS city, max(created_at) AS created_at FROM input GROUP BY sku",
        1,
        13,
        "ordered by one expression, ascending",
        "say the direction",
    ),
    (
        "SELECT sku, first(price) AS city, max(created_at) AS created_at FROM input GROUP BY sku",
        1,
        13,
        "first(..) does not fit the merge function of city, last",
        "city = { first = { by",
    ),
    ("SELECT sku, sum(price) AS total FROM input", 1, 13, "without GROUP BY", "GROUP BY"),
    (
        "SELECT sku, order_id, sum(price) AS total FROM input GROUP BY sku",
        1,
        13,
        "neither an aggregate nor in GROUP BY",
        "add it",
    ),
    ("SELECT sku, sum(price) AS total FROM input GROUP BY 5", 1, 53, "GROUP BY 5", "number the results"),
    (
        "SELECT sku, sum(price) AS total FROM input GROUP BY 2",
        1,
        53,
        "names total, which is an aggregate",
        "key columns",
    ),
    ("SELECT sku, sum(price) AS total FROM input GROUP BY sku, quantity", 1, 58, "no result", "SELECT list"),
    (
        "SELECT sku, sum(price) + 1 AS total FROM input GROUP BY sku",
        1,
        13,
        "inside an expression",
        "a column of its own",
    ),
    ("SELECT sku, sum(sum(price)) AS total FROM input GROUP BY sku", 1, 17, "inside an aggregate", "once"),
    ("SELECT sku, sum(price) AS total FROM input WHERE sum(price) > 1 GROUP BY sku", 1, 50, "sum in WHERE", "view"),
    ("SELECT sku, sum(sku) AS total FROM input GROUP BY sku", 1, 13, "sum adds numbers", "cast"),
    ("SELECT sku, sum(price) AS total FROM input GROUP BY sku HAVING sum(price) > 1", 1, 57, "HAVING", "view"),
    ("SELECT sku, sum(price) AS total FROM input GROUP BY ALL", 1, 44, "GROUP BY ALL", "GROUP BY 1, 2"),
    ("SELECT sku, sum(price) AS total FROM input GROUP BY ROLLUP (sku)", 1, 61, "grouping sets", "key columns"),
];

fn check(mistakes: &[Mistake], aggregates: Option<&[MergeColumn]>) {
    let mut wrong = Vec::new();
    for (sql, line, column, message, cure) in mistakes {
        match planned_as(sql, aggregates) {
            Ok(_) => wrong.push(format!("{sql}\n    was accepted")),
            Err(problems) => {
                let is_told = problems.iter().any(|problem| {
                    (problem.line, problem.column) == (*line, *column)
                        && problem.message.contains(message)
                        && problem.cure.contains(cure)
                });
                if !is_told {
                    wrong.push(format!("{sql}\n    {problems:?}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), mistakes.len(), wrong.join("\n"));
}

#[test]
fn each_mistake_is_told_with_its_place_and_cure() {
    check(ROW_WISE, None);
}

#[test]
fn each_mistake_of_a_roll_up_is_told_with_its_place_and_cure() {
    check(MERGING, Some(&functions(&[("total", Sum), ("city", last())])));
}

#[test]
fn all_mistakes_are_told_at_once() {
    let problems = planned("SELECT skuu, uper(sku) AS u, now() AS t FROM input WHERE zzz > 1 LIMIT 1").unwrap_err();
    let places: Vec<_> = problems.iter().map(|problem| problem.column).collect();
    assert_eq!(places, [8, 14, 30, 58, 66], "{problems:?}");
}
