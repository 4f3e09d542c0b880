//! What cannot be added is one record's fault, told in words, and leaves no trace.

use tidegate::config::MergeFunction::{Count, Max, Sum};
use tidegate::retry::Disposition;
use tidegate::types::ColumnType;

use super::{Rollup, declare, on_each};
use crate::support::database::Kind;

on_each!(sums_never_wrap, a_record_without_its_key_is_a_bad_one, required_columns);

async fn sums_never_wrap(kind: Kind) {
    let (key, price) = match kind {
        Kind::Sqlite => ("k INTEGER PRIMARY KEY", "text"),
        _ => ("k bigint PRIMARY KEY", "decimal(6,2)"),
    };
    let columns = format!("{key}, n bigint, price {price}, x double precision");
    let decimal = ColumnType::Decimal { precision: 6, scale: 2 };
    let declared = if kind == Kind::Sqlite { vec![declare("price", decimal)] } else { Vec::new() };
    let mut rollup = Rollup::with(kind, &columns, &[("n", Sum), ("price", Sum), ("x", Sum)], declared).await;
    let cases = [
        ("n", "9223372036854775807", "1"),
        ("n", "-9223372036854775808", "-1"),
        ("price", "9999.98", "0.02"),
        ("x", "1.7e308", "1.7e308"),
    ];
    for (case, (column, stored, more)) in cases.into_iter().enumerate() {
        // Against each other within a batch, and against what is stored.
        let (folded, separate) = (case * 2, case * 2 + 1);
        let row = |key: usize, value: &str| format!(r#"{{"k":{key},"{column}":{value}}}"#);
        let batch = [row(separate, stored), row(folded, stored), row(folded, more)];
        let error = rollup.add(&batch, false).await.unwrap_err();
        assert_eq!(
            (error.disposition, error.class),
            (Disposition::Isolate, "out-of-range"),
            "{kind:?} {column} {error}"
        );
        assert_eq!((error.column.as_deref(), error.suspect), (Some(column), Some(2)), "{kind:?}");
        rollup.take(&[row(separate, stored)]).await;
        let error = rollup.add(&[row(separate, more)], false).await.unwrap_err();
        assert_eq!(
            (error.disposition, error.class),
            (Disposition::Isolate, "out-of-range"),
            "{kind:?} {column} {error}"
        );
        assert_eq!(error.suspect.unwrap_or(0), 0, "{kind:?}");
        // An exact sum may leave the range on its way.
        let is_exact = column != "x";
        let back = more.strip_prefix('-').map_or_else(|| format!("-{more}"), str::to_owned);
        let batch = [row(folded, stored), row(folded, more), row(folded, &back)];
        rollup.take(if is_exact { &batch } else { &batch[..1] }).await;
    }
    assert_eq!(rollup.rows(&["k"]).await.len(), 8);
    assert_eq!(rollup.rows(&["n"]).await.iter().filter(|n| *n == "9223372036854775807").count(), 2);
}

async fn a_record_without_its_key_is_a_bad_one(kind: Kind) {
    let columns = "k bigint NOT NULL, part varchar(20) NOT NULL, n bigint, PRIMARY KEY (k, part)";
    let mut rollup = Rollup::new(kind, columns, &[("n", Sum)]).await;
    for (value, column) in [(r#"{"k":1,"n":1}"#, "part"), (r#"{"k":null,"part":"a","n":1}"#, "k")] {
        let error = rollup.add(&[r#"{"k":1,"part":"a","n":1}"#, value], false).await.unwrap_err();
        assert_eq!((error.disposition, error.class, error.suspect), (Disposition::Isolate, "null-key", Some(1)));
        assert_eq!(error.column.as_deref(), Some(column), "{kind:?}");
    }
    assert!(rollup.rows(&["n"]).await.is_empty(), "{kind:?}");
}

/// SQLite stores anything in a column that is not STRICT.
#[tokio::test]
async fn a_stored_value_of_another_type_is_not_added_to() {
    let mut rollup = Rollup::new(Kind::Sqlite, "k INTEGER PRIMARY KEY, n INTEGER", &[("n", Sum)]).await;
    rollup.database.execute("INSERT INTO t VALUES (1, 'many'), (2, 1.5)").await;
    for key in [1, 2] {
        let error = rollup.add(&[format!(r#"{{"k":{key},"n":1}}"#)], false).await.unwrap_err();
        assert_eq!((error.disposition, error.class), (Disposition::Block, "stored-value"), "{error}");
        assert_eq!(error.column.as_deref(), Some("n"));
    }
}

/// Zero stands for null in a sum; an extreme has no such value, and the record says so alone or with others.
async fn required_columns(kind: Kind) {
    let key = if kind == Kind::Sqlite { "k INTEGER PRIMARY KEY" } else { "k bigint PRIMARY KEY" };
    let columns = format!("{key}, n bigint NOT NULL, hi bigint NOT NULL, seen bigint DEFAULT 7");
    let mut rollup = Rollup::new(kind, &columns, &[("n", Count), ("hi", Max)]).await;
    rollup.take(&[r#"{"k":1,"hi":1}"#, r#"{"k":1,"hi":2,"n":4}"#, r#"{"k":1,"hi":0,"n":null}"#]).await;
    for in_order in [false, true] {
        let error = rollup.add(&[r#"{"k":1,"n":1,"hi":9}"#, r#"{"k":1,"n":1}"#], in_order).await.unwrap_err();
        assert_eq!((error.disposition, error.class), (Disposition::Isolate, "not-null"), "{kind:?}: {error}");
        assert_eq!((error.column.as_deref(), error.suspect), (Some("hi"), Some(1)), "{kind:?}");
    }
    assert_eq!(rollup.rows(&["n", "hi", "seen"]).await, ["4|2|7"], "the database's own column is left alone");
}
