//! The batch's part of each group.

use crate::config::{MergeColumn, MergeFunction};
use crate::types::ColumnType;

use super::super::{Filtered, SqlProblem, Transformed};
use super::{Order, decoded, delete, order, planned_as, run_plan, texts};

pub fn functions(columns: &[(&str, MergeFunction)]) -> Vec<MergeColumn> {
    let column = |(name, function): &(&str, MergeFunction)| MergeColumn {
        column: (*name).to_owned(),
        function: function.clone(),
    };
    columns.iter().map(column).collect()
}

/// The newest value by `created_at`.
pub fn last() -> MergeFunction {
    MergeFunction::Last { by: "created_at".to_owned() }
}

fn merge(sql: &str, columns: &[(&str, MergeFunction)], orders: &[Order]) -> Transformed {
    let functions = functions(columns);
    let plan =
        planned_as(sql, Some(&functions)).unwrap_or_else(|problems: Vec<SqlProblem>| panic!("{sql}: {problems:?}"));
    run_plan(&plan, orders, &[], Filtered::Ignore)
}

use MergeFunction::{BitOr, Count, Max, Min, Sum};

#[test]
fn a_batch_gives_its_part_of_each_group() {
    let orders = [
        order(1),
        Order { sku: Some("b"), ..order(2) },
        Order { quantity: Some(5), ..order(3) },
        Order { sku: None, quantity: None, ..order(4) },
        delete(9),
    ];
    let sql = "SELECT date_bin(interval '1 minute', created_at) AS minute, sku, count(*) AS orders, count(quantity) AS q, \
               sum(quantity * price) AS revenue, max(price) AS highest, min(order_id) AS first_id, bit_or(order_id) AS bits \
               FROM input GROUP BY 1, sku";
    let merged =
        [("orders", Sum), ("q", Count), ("revenue", Sum), ("highest", Max), ("first_id", Min), ("bits", BitOr)];
    let result = merge(sql, &merged, &orders);
    let minute = "2026-11-01T00:00:00Z";
    let expected = [
        format!("{minute}|b|1|1|28.50|9.50|2|2"),
        format!("{minute}|ab-1|2|2|76.00|9.50|1|3"),
        format!("{minute}|~|1|0|~|9.50|4|4"),
    ];
    assert_eq!(texts(&result), expected);
    assert_eq!(result.rows.origins, [1, 2, 3], "each group has the origin of its last record");
    assert_eq!(result.rows.timestamps, [1_001, 1_002, 1_003]);
    assert_eq!(result.ignored, 1, "a delete has no part in a sum");
}

#[test]
fn filters_and_windows() {
    let orders = [order(1), Order { quantity: Some(9), ..order(2) }];
    let sql = "SELECT UNNEST(hop(created_at, interval '1 minute', interval '2 minutes')) AS w, count(*) AS n, \
               count(*) FILTER (WHERE quantity > 5) AS large, sum(price) FILTER (WHERE quantity > 5) AS s \
               FROM input WHERE order_id < 10 GROUP BY w";
    let result = merge(sql, &[("n", Sum), ("large", Sum), ("s", Sum)], &orders);
    assert_eq!(texts(&result), ["2026-10-31T23:59:00Z|2|1|9.50", "2026-11-01T00:00:00Z|2|1|9.50"]);
}

#[test]
fn sums_do_not_wrap() {
    let orders = [order(i64::MAX), order(1), order(5)];
    let functions = functions(&[("s", Sum)]);
    let plan = planned_as("SELECT sku, sum(order_id) AS s FROM input GROUP BY sku", Some(&functions)).unwrap();
    assert_eq!(plan.outputs()[1].ty, ColumnType::Int64);
    // The parts that fit go on: their sum is for whoever merges them to judge.
    let result = run_plan(&plan, &orders, &[], Filtered::Ignore);
    assert_eq!(texts(&result), ["ab-1|9223372036854775807", "ab-1|6"]);
    let (schema, rows) = decoded(&plan, &orders);
    let wide = plan.compile(&schema, &[ColumnType::Text, ColumnType::Numeric], &[], Filtered::Ignore).unwrap();
    assert_eq!(texts(&wide.run(&rows)), ["ab-1|9223372036854775813"]);
    let narrow = plan.compile(&schema, &[ColumnType::Text, ColumnType::Int16], &[], Filtered::Ignore).unwrap();
    let result = narrow.run(&rows);
    assert_eq!(texts(&result), ["ab-1|6"]);
    assert_eq!(result.bad.len(), 1);
    assert!(result.bad[0].1.reason.starts_with("column s: "), "{}", result.bad[0].1.reason);
}

#[test]
fn a_record_whose_argument_fails_has_no_part() {
    let orders = [order(1), Order { quantity: Some(0), ..order(2) }, order(3)];
    let result = merge("SELECT sku, sum(6 / quantity) AS s FROM input GROUP BY sku", &[("s", Sum)], &orders);
    assert_eq!(texts(&result), ["ab-1|4"]);
    assert_eq!(result.bad[0].0, 1);
    let result = merge("SELECT sku, count(1 / quantity) AS s FROM input GROUP BY sku", &[("s", Sum)], &orders[1..2]);
    assert_eq!((result.rows.len(), result.bad.len()), (0, 1));
}

#[test]
fn without_group_by_each_row_is_a_part() {
    let sql = "SELECT order_id, sku, created_at FROM input";
    let result = merge(sql, &[("sku", last()), ("created_at", Max)], &[order(1), delete(2)]);
    assert_eq!(texts(&result), ["1|ab-1|2026-11-01T00:00:30.500Z"]);
    assert_eq!(result.ignored, 1);
}

#[test]
fn floats_and_times_have_extremes() {
    let orders =
        [Order { ratio: Some(f64::NAN), ..order(1) }, Order { ratio: Some(-1.0), created_at: Some(5), ..order(2) }];
    let sql = "SELECT 'all' AS k, min(ratio) AS lo, max(ratio) AS hi, max(created_at) AS t, min(sku) AS s, sum(ratio) AS r \
               FROM input GROUP BY k";
    let columns = [("lo", Min), ("hi", Max), ("t", Max), ("s", Min), ("r", Sum)];
    let result = merge(sql, &columns, &orders);
    assert_eq!(texts(&result), ["all|-1.0|NaN|2026-11-01T00:00:30.500Z|ab-1|NaN"]);
}

#[test]
fn first_last_and_json_merge_leave_each_row_a_part_by_itself() {
    let orders = [order(1), Order { sku: None, quantity: None, ..order(2) }, delete(3)];
    let columns = [("n", Count), ("q", Sum), ("price", Max), ("city", last()), ("doc", MergeFunction::JsonMerge)];
    for city in ["last(sku ORDER BY created_at)", "last(sku)"] {
        let sql = format!(
            "SELECT order_id, count(quantity) AS n, sum(quantity) AS q, max(price) AS price, {city} AS city, \
             max(created_at) AS created_at, json_merge(doc -> 'a') AS doc FROM input GROUP BY 1"
        );
        let result = merge(&sql, &columns, &orders);
        let row = |start: &str, city: &str| {
            format!("{start}|9.50|{city}|2026-11-01T00:00:30.500Z|{{\"b\": [1, 2.50, \"x\"]}}")
        };
        assert_eq!(texts(&result), [row("1|1|3", "ab-1"), row("2|0|~", "~")], "{city}");
        assert_eq!((result.rows.origins.as_slice(), result.ignored), (&[0, 1][..], 1));
    }
}
