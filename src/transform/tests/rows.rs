//! What becomes of rows: WHERE, UNNEST, deletes, presence, origins, targets.

use crate::rows::Operation;
use crate::types::ColumnType;

use super::super::Filtered;
use super::{Order, decoded, delete, order, planned, run, run_with, texts};

#[test]
fn origins_times_and_presence_stay_with_their_rows() {
    let orders = [
        order(1),
        Order { quantity: Some(0), ..order(2) },
        Order { has_sku: false, ..order(3) },
        Order { quantity: None, ..order(4) },
    ];
    let result = run("SELECT order_id, sku, upper(sku) AS loud FROM input WHERE quantity > 0", &orders);
    assert_eq!(texts(&result), ["1|ab-1|AB-1", "3|~|~"]);
    assert_eq!(result.rows.origins, [0, 2]);
    assert_eq!(result.rows.timestamps, [1_000, 1_002]);
    assert_eq!(result.filtered, 2, "unknown is not true");
    assert!(result.rows.is_present(1, 0) && !result.rows.is_present(1, 1), "a bare column keeps its absence");
    assert!(result.rows.is_present(2, 1), "an expression over an absent value is null and present");
    assert!(result.rows.presence[0].is_none());
}

#[test]
fn insert_names_the_columns_by_position() {
    let result = run("INSERT INTO shop (a, \"B\") SELECT sku, order_id + 1 FROM input", &[order(1)]);
    assert_eq!(texts(&result), ["ab-1|2"]);
    let names: Vec<_> = result.rows.batch.schema().fields().iter().map(|field| field.name().clone()).collect();
    assert_eq!(names, ["a", "B"]);
}

#[test]
fn names_may_be_qualified() {
    assert_eq!(texts(&run("SELECT i.sku, i.\"Name\" FROM input AS i WHERE i.order_id = 1", &[order(1)])), ["ab-1|n1"]);
    assert_eq!(texts(&run("SELECT input.sku FROM input", &[order(1)])), ["ab-1"]);
    assert_eq!(texts(&run("SELECT i.* FROM input i", &[order(1)])).len(), 1);
}

#[test]
fn a_topics_name_means_its_records() {
    let orders = [order(1), Order { topic: "returns", ..order(2) }, Order { topic: "returns", ..delete(3) }, delete(4)];
    let result = run_with("SELECT order_id FROM returns", &orders, &[0], Filtered::Ignore);
    assert_eq!(texts(&result), ["2", "-3"]);
    assert_eq!((result.filtered, result.rows.origins.as_slice()), (0, &[1, 2][..]), "the others are not its rows");
}

#[test]
fn unnest_makes_a_row_of_each_element() {
    let orders = [order(1), Order { tags: None, ..order(2) }, Order { tags: Some(vec![]), ..order(3) }, order(4)];
    let result = run("SELECT order_id, UNNEST(tags) AS tag, upper(UNNEST(tags)) AS loud FROM input", &orders);
    assert_eq!(texts(&result), ["1|x|X", "1|~|~", "1|y|Y", "4|x|X", "4|~|~", "4|y|Y"]);
    assert_eq!(result.rows.origins, [0, 0, 0, 3, 3, 3]);
}

#[test]
fn unnest_takes_json_arrays() {
    let items = Order { doc: Some(r#"{"items": [{"sku": "a", "n": 1.50}, {"sku": "b"}, 7]}"#), ..order(1) };
    let sql = "SELECT order_id, UNNEST(doc -> 'items') ->> 'sku' AS sku, UNNEST(doc -> 'items') AS item FROM input";
    let result = run(sql, &[items, Order { doc: Some("{}"), ..order(2) }]);
    assert_eq!(texts(&result), [r#"1|a|{"sku": "a", "n": 1.50}"#, r#"1|b|{"sku": "b"}"#, "1|~|7"]);
    assert_eq!(planned(sql).unwrap().outputs()[2].ty, ColumnType::Json);
}

#[test]
fn shorter_lists_are_filled_with_nulls() {
    let result = run(
        "SELECT UNNEST(tags) AS tag, UNNEST(doc -> 'a' -> 'b') AS b FROM input",
        &[Order { tags: Some(vec![Some("x")]), ..order(1) }],
    );
    assert_eq!(texts(&result), ["x|1", "~|2.50", "~|\"x\""]);
}

#[test]
fn hop_gives_the_windows_of_a_time() {
    let sql = "SELECT UNNEST(hop(created_at, interval '1 minute', interval '3 minutes')) AS w FROM input";
    let expected = ["2026-10-31T23:58:00Z", "2026-10-31T23:59:00Z", "2026-11-01T00:00:00Z"];
    assert_eq!(texts(&run(sql, &[order(1), Order { created_at: None, ..order(2) }])), expected);
    let early = Order { created_at: Some(-1), ..order(1) };
    assert_eq!(texts(&run(sql, &[early]))[2], "1969-12-31T23:59:00Z");
}

#[test]
fn deletes_pass_by_where_with_their_key() {
    let orders = [order(1), delete(2), Order { quantity: Some(0), ..order(3) }, delete(4), order(5)];
    let sql = "SELECT sku, order_id, 1 / coalesce(quantity, 0) AS n FROM input WHERE quantity > 0";
    let result = run_with(sql, &orders, &[1], Filtered::Ignore);
    assert_eq!(texts(&result), ["ab-1|1|0", "-~|2|~", "-~|4|~", "ab-1|5|0"]);
    assert_eq!(result.rows.origins, [0, 1, 3, 4]);
    assert_eq!(result.filtered, 1);
}

#[test]
fn what_no_longer_matches_can_be_deleted() {
    let orders = [order(1), Order { quantity: Some(0), ..order(2) }, delete(3), Order { quantity: None, ..order(4) }];
    let sql = "SELECT order_id, sku FROM input WHERE quantity > 0";
    let result = run_with(sql, &orders, &[0], Filtered::Delete);
    assert_eq!(texts(&result), ["1|ab-1", "-2|~", "-3|~", "-4|~"]);
    assert_eq!(result.filtered, 0);
    assert_eq!(result.rows.operations[1], Operation::Delete);
}

#[test]
fn a_delete_is_answered_by_the_records_key_alone() {
    let deletable = |sql: &str, key: &[usize]| planned(sql).unwrap().deletable(key).map_err(|problem| problem.message);
    assert_eq!(deletable("SELECT order_id, upper(sku) AS s FROM input", &[0]), Ok(()));
    assert_eq!(deletable("SELECT order_id, order_id % 10 AS shard FROM input", &[0, 1]), Ok(()));
    assert_eq!(deletable("SELECT _key AS id, _topic FROM input", &[0, 1]), Ok(()));
    assert!(deletable("SELECT upper(sku) AS s FROM input", &[0]).unwrap_err().contains("key column s needs sku"));
    assert!(deletable("SELECT order_id, UNNEST(tags) AS t FROM input", &[0]).unwrap_err().contains("UNNEST"));
    let plan = planned("SELECT sku, order_id AS id, _offset FROM input").unwrap();
    let names: Vec<_> = plan.key_inputs(&[1, 2]).into_iter().map(|index| plan.reads()[index].name.clone()).collect();
    assert_eq!(names, ["order_id", "_offset"]);
}

/// Runs one expression into a target's type: the text of its value, or the class of its fault.
fn into(expr: &str, target: ColumnType) -> Result<String, &'static str> {
    let plan = planned(&format!("SELECT {expr} AS x FROM input")).unwrap();
    let (schema, rows) = decoded(&plan, &[order(7)]);
    let transform = plan.compile(&schema, &[target], &[], Filtered::Ignore).map_err(|_| "refused")?;
    let result = transform.run(&rows);
    match result.bad.first() {
        Some((_, fault)) => Err(fault.class),
        None => Ok(texts(&result).remove(0)),
    }
}

#[test]
fn results_become_the_targets_type_or_a_bad_record() {
    let decimal = |precision, scale| ColumnType::Decimal { precision, scale };
    let text = |value: &str| Ok(value.to_owned());
    use ColumnType::*;
    let table = [
        ("order_id", Int16, text("7")),
        ("order_id + 40000", Int16, Err("out-of-range")),
        ("order_id - 8", UInt32, Err("out-of-range")),
        ("order_id", decimal(12, 2), text("7.00")),
        ("order_id", Numeric, text("7")),
        ("order_id", Float64, text("7.0")),
        ("price", decimal(12, 1), text("9.5")),
        ("price + 0.01", decimal(12, 1), Err("inexact")),
        ("price", decimal(2, 2), Err("out-of-range")),
        ("price", Int32, Err("inexact")),
        ("price * 2", Int32, text("19")),
        ("price * 100", Numeric, text("950")),
        ("price * 2.50", Numeric, text("23.75")),
        ("ratio", Float32, text("0.5")),
        ("ratio * CAST('1e300' AS double)", Float32, Err("out-of-range")),
        ("created_at", Timestamp, text("2026-11-01T00:00:30.500")),
        ("doc", Text, Ok(order(1).doc.unwrap().to_owned())),
        ("id", Text, text("00000000-0000-0000-0000-000000000007")),
        ("upper(id)", Uuid, text("00000000000000000000000000000007")),
        ("sku", Uuid, Err("wrong-type")),
        ("NULL", Int64, Err("refused")),
        ("order_id", Text, Err("refused")),
        ("sku", Int64, Err("refused")),
        ("ratio", decimal(12, 2), Err("refused")),
        ("created_at", Date, Err("refused")),
        ("tags", Text, Err("refused")),
    ];
    for (expr, target, expected) in table {
        assert_eq!(into(expr, target.clone()), expected, "{expr} into {target}");
    }
}
