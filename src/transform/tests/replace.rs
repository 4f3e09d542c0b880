//! The rows of a record replace those of its parent.

use super::*;

const SQL: &str = "SELECT order_id, UNNEST(tags) AS tag FROM input WHERE quantity > 0";

/// `deletes`: do they reach the table?
fn replaced(sql: &str, orders: &[Order], deletes: bool, filtered: Filtered) -> Transformed {
    let plan = planned_to_replace(sql, &["order_id"]).unwrap_or_else(|problems| panic!("{problems:?}"));
    let key = plan.replace().to_vec();
    run_plan(&plan, orders, if deletes { &key } else { &[] }, filtered)
}

fn orders() -> Vec<Order> {
    let draft = Order { quantity: Some(0), ..order(4) };
    vec![
        order(1),
        Order { tags: Some(Vec::new()), ..order(2) },
        Order { tags: None, ..order(3) },
        draft,
        delete(5),
        order(6),
    ]
}

#[test]
fn each_record_that_passes_names_its_parent_before_its_rows() {
    let result = replaced(SQL, &orders(), true, Filtered::Ignore);
    let expected = ["=1|~", "1|x", "1|~", "1|y", "=2|~", "=3|~", "=5|~", "=6|~", "6|x", "6|~", "6|y"];
    assert_eq!(texts(&result), expected, "without children, too, and a tombstone; not what WHERE leaves out");
    assert_eq!(result.rows.origins, [0, 0, 0, 0, 1, 2, 4, 5, 5, 5, 5]);
    assert_eq!((result.filtered, result.rows.produced()), (1, 6));
}

#[test]
fn what_where_leaves_out_removes_its_parents_rows_where_the_file_says_so() {
    let result = replaced(SQL, &orders(), true, Filtered::Delete);
    assert_eq!(texts(&result)[6..8], ["=4|~", "=5|~"]);
    assert_eq!(result.filtered, 0);
}

#[test]
fn ignored_deletes_remove_nothing() {
    let result = replaced(SQL, &orders(), false, Filtered::Ignore);
    assert!(!texts(&result).contains(&"=5|~".to_owned()));
    assert_eq!(result.ignored, 1);
}

#[test]
fn a_parent_may_be_an_expression_and_a_bad_record_has_none() {
    let sql = "SELECT 10 / quantity AS order_id, UNNEST(tags) AS tag FROM input";
    let zero = Order { quantity: Some(0), tags: Some(Vec::new()), ..order(2) };
    let result = replaced(sql, &[order(1), zero], false, Filtered::Ignore);
    assert_eq!(texts(&result), ["=3|~", "3|x", "3|~", "3|y"]);
    assert_eq!(
        result.bad.iter().map(|(record, fault)| (*record, fault.class)).collect::<Vec<_>>(),
        [(1, "division-by-zero")]
    );
}

#[test]
fn a_parent_must_be_the_records_own() {
    let problem = |sql: &str, replace: &[&str]| {
        let problem = planned_to_replace(sql, replace).unwrap_err().remove(0);
        (problem.line, problem.column, format!("{}; {}", problem.message, problem.cure))
    };
    let (line, column, text) = problem("SELECT order_id,\n  UNNEST(tags) AS tag FROM input", &["tag"]);
    assert_eq!((line, column), (2, 3));
    assert!(text.contains("column tag, which `replace` names, comes of UNNEST"), "{text}");
    let (.., text) = problem("SELECT order_id, UNNEST(tags) AS tag FROM input", &["parent"]);
    assert!(text.contains("`replace` names parent") && text.contains("order_id, tag"), "{text}");
    let (.., text) = problem("SELECT order_id, sku FROM input", &["order_id"]);
    assert!(text.contains("no UNNEST") && text.contains("key = [\"order_id\"]"), "{text}");
    assert!(planned_to_replace("SELECT ORDER_ID, UNNEST(tags) AS tag FROM input", &["order_id"]).is_ok());
}

#[test]
fn a_tombstone_must_know_its_parent() {
    let plan =
        planned_to_replace("SELECT order_id + 1 AS parent, UNNEST(tags) AS tag FROM input", &["parent"]).unwrap();
    let problem = plan.deletable(plan.replace()).unwrap_err();
    assert!(problem.message.contains("needs order_id, which a tombstone does not have"), "{}", problem.message);
    let plan = planned_to_replace(SQL, &["order_id"]).unwrap();
    assert!(plan.deletable(plan.replace()).is_ok());
}
