//! Conditions of `[[check]]`.

use crate::config::KeyFormat;
use crate::dead_letter::Stage;
use crate::keys::Keys;
use crate::transform::{Asked, Checked, Condition, SqlProblem, condition};

use super::{Order, columns, decoded, delete, order};

fn planned(sql: &str) -> Result<Condition, Vec<SqlProblem>> {
    condition(&Asked { name: "rule", sql, inputs: &columns(), key_format: KeyFormat::Json, keys: &Keys::default() })
}

fn check(sql: &str, orders: &[Order]) -> Checked {
    let condition = planned(sql).unwrap_or_else(|problems| panic!("{sql}: {problems:?}"));
    let (schema, rows) = decoded(condition.plan(), orders);
    condition.compile(&schema).unwrap_or_else(|problems| panic!("{problems:?}")).run(&rows)
}

#[test]
fn only_false_is_a_violation() {
    let quantity = |quantity| Order { quantity, ..order(1) };
    let orders = [quantity(Some(3)), quantity(Some(-1)), quantity(None), delete(1), quantity(Some(0))];
    assert_eq!(check("quantity > 0", &orders).violations, [1, 4], "NULL and deletes are none");
    assert_eq!(check("quantity > 0 -- of any order\n", &orders).violations, [1, 4]);
    assert_eq!(check("quantity IS NOT NULL", &orders).violations, [2]);
    assert_eq!(check("_op = 'upsert' AND _topic = 'orders'", &orders).violations, [0u32; 0]);
    assert_eq!(check("_headers['tenant'] <> 'acme'", &orders).violations, [0, 1, 2, 4]);
}

#[test]
fn what_cannot_be_computed_is_a_bad_record_without_its_value() {
    let orders = [order(1), Order { sku: Some("4711-secret"), ..order(2) }, Order { sku: Some("7"), ..order(3) }];
    let checked = check("CAST(sku AS int) > 10", &orders[1..]);
    assert_eq!(checked.violations, [1]);
    let (record, fault) = &checked.bad[0];
    assert_eq!((*record, fault.stage, fault.class), (0, Stage::Check, "wrong-type"));
    assert!(fault.reason.starts_with("check rule: a value cannot be cast"), "{}", fault.reason);
    assert!(!fault.reason.contains("4711"), "{}", fault.reason);
}

#[test]
fn what_is_no_condition_is_told_at_its_place() {
    let table = [
        ("amont > 0", (1, 1), "amont"),
        ("quantity > 0\n  AND amont > 0", (2, 7), "amont"),
        ("quantity", (1, 1), "the result is int, not true or false"),
        ("quantity > 0 AND", (1, 16), "no SQL"),
        ("SELECT quantity > 0 FROM input", (1, 1), "SELECT begins a statement"),
        ("true) AS x, (quantity > 0", (1, 1), "more than one condition"),
        ("sum(quantity) > 0", (1, 1), "sum"),
        ("_timestamp < now()", (1, 14), "now"),
    ];
    for (sql, place, words) in table {
        let problems = planned(sql).expect_err(sql);
        let problem = &problems[0];
        assert!(problem.message.contains(words), "{sql}: {problems:?}");
        assert_eq!((problem.line, problem.column), place, "{sql}: {problems:?}");
        assert!(!problem.cure.is_empty(), "{sql}");
    }
}
