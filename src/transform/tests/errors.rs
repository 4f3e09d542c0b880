//! Records that a statement fails on.

use crate::dead_letter::Stage;

use super::{Order, order, run, texts};

const SECRET: &str = "4711-secret";

#[test]
fn a_failed_row_is_a_bad_record_and_the_others_go_on() {
    let mut orders: Vec<Order> = (0..10_000).map(|id| Order { sku: Some("12"), ..order(id) }).collect();
    orders[3_333].sku = Some(SECRET);
    orders[9_999].sku = None;
    let result = run("SELECT order_id, CAST(sku AS int) AS n FROM input", &orders);
    assert_eq!(result.rows.len(), 9_999);
    assert_eq!(result.bad.len(), 1);
    let (origin, fault) = &result.bad[0];
    assert_eq!((*origin, fault.stage, fault.class), (3_333, Stage::Transform, "wrong-type"));
    assert_eq!(fault.column.as_deref(), Some("n"));
    assert!(fault.reason.starts_with("column n: a value cannot be cast"), "{}", fault.reason);
    assert_eq!(result.rows.origins[3_333], 3_334);
}

#[test]
fn each_kind_of_failure_has_its_class_and_never_a_value() {
    let bad = Order { sku: Some(SECRET), quantity: Some(0), price: Some(999_999_999_999), ..order(i64::MAX) };
    let least = Order { order_id: i64::MIN, ..bad.clone() };
    let table = [
        ("order_id + 1", &bad, "out-of-range"),
        ("order_id * 2", &bad, "out-of-range"),
        ("-order_id", &least, "out-of-range"),
        ("abs(order_id)", &least, "out-of-range"),
        ("order_id - 1", &least, "out-of-range"),
        ("10 / quantity", &bad, "division-by-zero"),
        ("price / quantity", &bad, "division-by-zero"),
        ("10 % quantity", &bad, "division-by-zero"),
        ("CAST(order_id AS int)", &bad, "out-of-range"),
        ("CAST(sku AS bigint)", &bad, "wrong-type"),
        ("CAST(sku AS decimal(5,2))", &bad, "wrong-type"),
        ("CAST(sku AS timestamptz)", &bad, "wrong-type"),
        ("CAST(sku AS date)", &bad, "wrong-type"),
        ("CAST(price AS decimal(5,2))", &bad, "out-of-range"),
        ("sku -> 'a'", &bad, "invalid-json"),
        ("json_value(sku, '$.a')", &bad, "invalid-json"),
        ("UNNEST(sku)", &bad, "wrong-type"),
        ("json_array_length(doc)", &bad, "wrong-type"),
        ("factorial(order_id)", &bad, "out-of-range"),
    ];
    for (expr, order, class) in table {
        let result = run(&format!("SELECT {expr} AS x FROM input"), std::slice::from_ref(order));
        assert_eq!(texts(&result), Vec::<String>::new(), "{expr}");
        let (_, fault) = &result.bad[0];
        assert_eq!(fault.class, class, "{expr}: {}", fault.reason);
        for value in [SECRET, "9223372036854775807", "9223372036854775808", "9999999999"] {
            assert!(!fault.reason.contains(value), "{expr}: {}", fault.reason);
        }
    }
}

#[test]
fn where_guards_what_is_computed() {
    let orders = [Order { quantity: Some(0), ..order(1) }, order(2)];
    let result = run("SELECT 6 / quantity AS x FROM input WHERE quantity <> 0", &orders);
    assert_eq!((texts(&result), result.bad.len()), (vec!["2".to_owned()], 0));
    // A row gives the same alone and among others, though the engine evaluates both sides of AND for a batch.
    let mixed: Vec<Order> = (0..100).map(|id| Order { quantity: Some(id % 2), ..order(id.into()) }).collect();
    let result = run("SELECT order_id FROM input WHERE quantity <> 0 AND 6 / quantity > 1", &mixed);
    assert_eq!((result.rows.len(), result.bad.len(), result.filtered), (50, 0, 50));
    let result = run("SELECT order_id FROM input WHERE 6 / quantity > 1", &mixed);
    assert_eq!((result.rows.len(), result.bad.len()), (50, 50));
    assert!(result.bad[0].1.reason.starts_with("WHERE: division by zero"));
}

#[test]
fn case_guards_what_is_computed() {
    let orders = [Order { quantity: Some(0), ..order(1) }, order(2)];
    let result = run("SELECT CASE WHEN quantity = 0 THEN 0 ELSE 6 / quantity END AS x FROM input", &orders);
    assert_eq!(texts(&result), ["0", "2"]);
}

#[test]
fn a_record_is_bad_as_a_whole() {
    let orders = [
        Order { tags: Some(vec![Some("1"), Some("2")]), ..order(1) },
        Order { tags: Some(vec![Some("3"), Some("x"), Some("4")]), ..order(2) },
        Order { tags: Some(vec![Some("5")]), ..order(3) },
    ];
    let result = run("SELECT CAST(UNNEST(tags) AS int) AS n FROM input", &orders);
    assert_eq!(texts(&result), ["1", "2", "5"]);
    assert_eq!(result.bad.iter().map(|(origin, _)| *origin).collect::<Vec<_>>(), [1]);
    assert_eq!(result.rows.origins, [0, 0, 2]);
}

#[test]
fn all_can_be_bad_and_nothing_can_be_there() {
    let orders: Vec<Order> = (0..50).map(|id| Order { quantity: Some(0), ..order(id) }).collect();
    let result = run("SELECT 1 / quantity AS x FROM input", &orders);
    assert_eq!((result.rows.len(), result.bad.len()), (0, 50));
    let result = run("SELECT 1 / 0 AS x FROM input", &[]);
    assert_eq!((result.rows.len(), result.bad.len()), (0, 0));
}
