//! Single functions where a database is known to be peculiar.

use tidegate::config::MergeFunction::{BitOr, JsonMerge, Max, Sum};

use super::{Rollup, first, last, on_each};
use crate::support::database::Kind;

on_each!(
    a_null_changes_nothing,
    averages_are_generated_columns,
    bits_of_signed_numbers,
    late_values_do_not_become_the_last,
    orders_are_as_precise_as_their_column,
    values_that_share_an_order_move_together,
    patches_follow_rfc_7396,
    tombstones_are_ignored,
);

fn key(kind: Kind) -> &'static str {
    if kind == Kind::Sqlite { "k INTEGER PRIMARY KEY" } else { "k bigint PRIMARY KEY" }
}

async fn a_null_changes_nothing(kind: Kind) {
    let columns = format!("{}, n bigint, m bigint NOT NULL", key(kind));
    let mut rollup = Rollup::new(kind, &columns, &[("n", Sum), ("m", Sum)]).await;
    rollup.take(&[r#"{"k":1,"n":null}"#, r#"{"k":2,"n":5,"m":1}"#]).await;
    assert_eq!(rollup.rows(&["k", "n", "m"]).await, ["1|-|0", "2|5|1"]);
    rollup.take(&[r#"{"k":1,"n":3}"#, r#"{"k":2}"#, r#"{"k":3}"#]).await;
    rollup.take(&[r#"{"k":1,"m":2}"#, r#"{"k":2,"n":null,"m":null}"#]).await;
    assert_eq!(rollup.rows(&["k", "n", "m"]).await, ["1|3|2", "2|5|1", "3|-|0"]);
}

async fn averages_are_generated_columns(kind: Kind) {
    let columns = format!(
        "{}, total bigint, orders bigint, average double precision GENERATED ALWAYS AS (total * 1.0 / orders) STORED",
        key(kind)
    );
    let mut rollup = Rollup::new(kind, &columns, &[("total", Sum), ("orders", Sum)]).await;
    rollup.take(&[r#"{"k":1,"total":6,"orders":2}"#]).await;
    rollup.take(&[r#"{"k":1,"total":4,"orders":2}"#]).await;
    let average = rollup.rows(&["average"]).await[0].parse::<f64>().unwrap();
    assert_eq!(average, 2.5);
}

async fn bits_of_signed_numbers(kind: Kind) {
    let columns = format!("{}, a bigint, b int", key(kind));
    let mut rollup = Rollup::new(kind, &columns, &[("a", BitOr), ("b", BitOr)]).await;
    for value in [r#"{"k":1,"a":-9223372036854775808,"b":-8}"#, r#"{"k":1,"a":1,"b":3}"#, r#"{"k":1,"a":null}"#] {
        rollup.take(&[value]).await;
    }
    assert_eq!(rollup.rows(&["a", "b"]).await, ["-9223372036854775807|-5"]);
}

async fn late_values_do_not_become_the_last(kind: Kind) {
    let columns = format!("{}, x text, x_at int, y text, y_at int", key(kind));
    let mut rollup = Rollup::new(kind, &columns, &[("x", last("x_at")), ("y", first("y_at"))]).await;
    let row = |value: &str, at: &str| format!(r#"{{"k":1,"x":{value},"x_at":{at},"y":{value},"y_at":{at}}}"#);
    for (value, at, expected) in [
        (r#""a""#, "null", "a|-|a|-"),
        // Without an order the later one is last, and the earlier one first.
        (r#""b""#, "null", "b|-|a|-"),
        (r#""c""#, "5", "c|5|c|5"),
        // A tie.
        (r#""d""#, "5", "d|5|c|5"),
        (r#""e""#, "4", "d|5|e|4"),
        (r#""f""#, "6", "f|6|e|4"),
        // No value: its order says nothing.
        ("null", "9", "f|6|e|4"),
        ("null", "1", "f|6|e|4"),
        (r#""g""#, "8", "g|8|e|4"),
        (r#""h""#, "2", "g|8|h|2"),
        (r#""i""#, "null", "g|8|h|2"),
    ] {
        rollup.take(&[row(value, at)]).await;
        assert_eq!(rollup.rows(&["x", "x_at", "y", "y_at"]).await, [expected], "{kind:?}: after {value} at {at}");
    }
}

/// Databases round, or cut, what a column cannot hold: two times that are one there must be one here.
async fn orders_are_as_precise_as_their_column(kind: Kind) {
    let (coarse, fine) = match kind {
        Kind::Postgres => ("timestamp(0)", "timestamp(3)"),
        Kind::MariaDb | Kind::MySql => ("datetime", "datetime(3)"),
        Kind::Sqlite => return,
    };
    let columns = format!("{}, x text, x_at {coarse}, y text, y_at {fine}", key(kind));
    let mut rollup = Rollup::new(kind, &columns, &[("x", last("x_at")), ("y", last("y_at"))]).await;
    let row = |key: u8, value: &str, at: &str| {
        let at = format!("2026-11-21 10:00:0{at}");
        format!(r#"{{"k":{key},"x":"{value}","x_at":"{at}","y":"{value}","y_at":"{at}"}}"#)
    };
    let events = [("a", "1.9998"), ("b", "1.9992"), ("c", "1.7"), ("d", "0.9999"), ("e", "2.0001"), ("f", "2.00009")];
    let batch: Vec<String> = events.iter().map(|(value, at)| row(1, value, at)).collect();
    rollup.take(&batch).await;
    for (value, at) in events {
        rollup.take(&[row(2, value, at)]).await;
    }
    assert_eq!(rollup.rows(&["x", "y"]).await, ["f|f", "f|f"], "{kind:?}");
    let same = rollup.rows(&["k - k", "x_at", "y_at"]).await;
    assert_eq!(same[0], same[1], "{kind:?}");
    rollup.take(&[row(3, "a", "1.9998"), row(3, "b", "1.9992"), row(3, "c", "1.7")]).await;
    for (value, at) in &events[..3] {
        rollup.take(&[row(4, value, at)]).await;
    }
    assert_eq!(rollup.rows(&["k", "x", "y"]).await[2..], ["3|c|b", "4|c|b"], "{kind:?}");
}

async fn values_that_share_an_order_move_together(kind: Kind) {
    let columns = format!("{}, x int, y int, at int", key(kind));
    let mut rollup = Rollup::new(kind, &columns, &[("y", last("at")), ("x", last("at"))]).await;
    rollup.take(&[r#"{"k":1,"x":1,"y":1,"at":5}"#, r#"{"k":1,"x":2,"y":2,"at":4}"#]).await;
    rollup.take(&[r#"{"k":1,"at":9}"#]).await;
    assert_eq!(rollup.rows(&["x", "y", "at"]).await, ["1|1|5"]);
    rollup.take(&[r#"{"k":1,"x":3,"y":3,"at":7}"#]).await;
    assert_eq!(rollup.rows(&["x", "y", "at"]).await, ["3|3|7"]);
    let error = rollup.add(&[r#"{"k":1,"x":4,"at":8}"#], false).await.unwrap_err();
    assert_eq!((error.class, error.column.as_deref()), ("partial-order", Some("y")), "{kind:?}: {error}");
}

/// The examples of its appendix A, each on a row of its own, patched in the transaction that inserts and in a later one.
async fn patches_follow_rfc_7396(kind: Kind) {
    const EXAMPLES: [(&str, &str, &str); 13] = [
        (r#"{"a":"b"}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
        (r#"{"a":"b"}"#, r#"{"b":"c"}"#, r#"{"a":"b","b":"c"}"#),
        (r#"{"a":"b"}"#, r#"{"a":null}"#, r#"{}"#),
        (r#"{"a":"b","b":"c"}"#, r#"{"a":null}"#, r#"{"b":"c"}"#),
        (r#"{"a":["b"]}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
        (r#"{"a":"c"}"#, r#"{"a":["b"]}"#, r#"{"a":["b"]}"#),
        (r#"{"a":{"b":"c"}}"#, r#"{"a":{"b":"d","c":null}}"#, r#"{"a":{"b":"d"}}"#),
        (r#"{"a":[{"b":"c"}]}"#, r#"{"a":[1]}"#, r#"{"a":[1]}"#),
        (r#"["a","b"]"#, r#"["c","d"]"#, r#"["c","d"]"#),
        (r#"{"a":"b"}"#, r#"["c"]"#, r#"["c"]"#),
        (r#"{"e":{"x":1}}"#, r#"{"a":1}"#, r#"{"a":1,"e":{"x":1}}"#),
        (r#"[1,2]"#, r#"{"a":"b","c":null}"#, r#"{"a":"b"}"#),
        (r#"{}"#, r#"{"a":{"bb":{"ccc":null}}}"#, r#"{"a":{"bb":{}}}"#),
    ];
    for not_null in ["", " NOT NULL"] {
        let json = if kind == Kind::Postgres { "jsonb" } else { "json" };
        let columns = format!("{}, n bigint, doc {json}{not_null}", key(kind));
        let mut rollup = Rollup::new(kind, &columns, &[("doc", JsonMerge), ("n", Sum)]).await;
        let row = |key: usize, document: &str| format!(r#"{{"k":{key},"doc":{document},"n":1}}"#);
        let targets: Vec<String> = EXAMPLES.iter().enumerate().map(|(i, (target, ..))| row(i, target)).collect();
        let patches: Vec<String> = EXAMPLES.iter().enumerate().map(|(i, (_, patch, _))| row(i, patch)).collect();
        rollup.take(&targets).await;
        rollup.take(&patches).await;
        let both = EXAMPLES.iter().enumerate().flat_map(|(i, (a, b, _))| [row(100 + i, a), row(100 + i, b)]);
        rollup.take(&both.collect::<Vec<_>>()).await;
        let columns = ["k", "doc", "n"].map(|column| rollup.database.text(column)).join(", ");
        let found = rollup.database.texts(&format!("SELECT {columns} FROM t")).await;
        assert_eq!(found.len(), 2 * EXAMPLES.len());
        for row in found {
            let key: usize = row[0].as_deref().unwrap().parse().unwrap();
            let parse = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
            let (target, patch, expected) = EXAMPLES[key % 100];
            let document = parse(row[1].as_deref().unwrap());
            assert_eq!(document, parse(expected), "{kind:?}, {key}: {target} and {patch}");
            assert_eq!(row[2].as_deref(), Some("2"));
        }
    }
}

async fn tombstones_are_ignored(kind: Kind) {
    let mut rollup =
        Rollup::new(kind, &format!("{}, n bigint, hi bigint", key(kind)), &[("n", Sum), ("hi", Max)]).await;
    let counts = rollup.take(&[r#"{"k":1,"n":1,"hi":3}"#, "", r#"{"k":1,"n":1,"hi":2}"#]).await;
    assert_eq!((counts.written, counts.collapsed, counts.ignored), (1, 1, 1));
    assert_eq!(rollup.rows(&["n", "hi"]).await, ["2|3"]);
}
