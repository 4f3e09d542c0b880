//! No result depends on how records are cut into batches.

use std::collections::BTreeMap;

use proptest::prelude::*;

use crate::config::MergeFunction::{BitOr, Max, Min, Sum};

use super::super::{Filtered, Plan};
use super::merge::functions;
use super::{Order, delete, order, planned, planned_as, run_plan, texts};

fn some_order() -> impl Strategy<Value = Order> {
    let sku = prop_oneof![Just(None), Just(Some("a")), Just(Some("12")), Just(Some("x"))];
    let tags = prop_oneof![
        Just(None),
        Just(Some(vec![])),
        Just(Some(vec![Some("1"), Some("q")])),
        Just(Some(vec![Some("7")]))
    ];
    let doc = prop_oneof![Just(None), Just(Some("{\"n\": 1.50}")), Just(Some("[1, 2]")), Just(Some("no json"))];
    let id = prop_oneof![4 => 0..5i64, 1 => Just(i64::MAX)];
    (id, sku, proptest::option::of(-1..3i32), tags, doc, any::<bool>(), 0..10u8).prop_map(
        |(id, sku, quantity, tags, doc, has_sku, roll)| match roll {
            0 => delete(id),
            _ => Order { sku, quantity, tags, doc, has_sku, ..order(id) },
        },
    )
}

/// The rows of all batches and the bad records, by their place in `orders`.
fn in_batches(
    plan: &Plan,
    orders: &[Order],
    size: usize,
    filtered: Filtered,
) -> (Vec<String>, Vec<(usize, String)>, u64) {
    let (mut rows, mut bad, mut left_out) = (Vec::new(), Vec::new(), 0);
    let key: &[usize] = if filtered == Filtered::Delete { &[0] } else { &[] };
    for (index, batch) in orders.chunks(size.max(1)).enumerate() {
        let start = index * size;
        let result = run_plan(plan, batch, key, filtered);
        let presence = |row: usize| (0..plan.outputs().len()).map(move |column| (column, row));
        for (row, text) in texts(&result).into_iter().enumerate() {
            let present: Vec<bool> = presence(row).map(|(column, row)| result.rows.is_present(column, row)).collect();
            rows.push(format!("{} {text} {present:?}", start + result.rows.origins[row] as usize));
        }
        bad.extend(result.bad.into_iter().map(|(origin, fault)| (start + origin as usize, fault.reason)));
        left_out += result.filtered + result.ignored;
    }
    (rows, bad, left_out)
}

const ROW_WISE: [&str; 6] = [
    "SELECT order_id, sku, quantity * price AS total FROM input WHERE quantity > 0",
    "SELECT order_id + 1 AS next, CAST(sku AS int) AS n FROM input",
    "SELECT order_id, 6 / quantity AS x FROM input WHERE sku IS NULL OR 6 / quantity > 2",
    "SELECT order_id, CAST(UNNEST(tags) AS int) AS n FROM input WHERE order_id < 100",
    "SELECT order_id, doc ->> 'n' AS n, coalesce(sku, 'none') AS s FROM input",
    "SELECT order_id, UNNEST(doc) AS element, _op FROM input",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn rows_do_not_depend_on_the_cut(orders in prop::collection::vec(some_order(), 0..40), sql in 0..ROW_WISE.len(), size in 2..9usize) {
        let plan = planned(ROW_WISE[sql]).unwrap();
        let modes = if sql == 0 { vec![Filtered::Ignore, Filtered::Delete] } else { vec![Filtered::Ignore] };
        for filtered in modes {
            let whole = in_batches(&plan, &orders, orders.len().max(1), filtered);
            prop_assert_eq!(&in_batches(&plan, &orders, 1, filtered), &whole);
            prop_assert_eq!(&in_batches(&plan, &orders, 7, filtered), &whole);
            prop_assert_eq!(&in_batches(&plan, &orders, size, filtered), &whole);
        }
    }

    #[test]
    fn parts_add_up_to_the_whole(orders in prop::collection::vec(some_order(), 0..40), size in 2..9usize) {
        let merged = functions(&[("n", Sum), ("q", Sum), ("hi", Max), ("lo", Min), ("bits", BitOr)]);
        let sql = "SELECT sku, count(*) AS n, sum(6 / quantity) AS q, max(quantity) AS hi, min(quantity) AS lo, \
                   bit_or(quantity) AS bits FROM input WHERE order_id < 100 GROUP BY sku";
        let plan = planned_as(sql, Some(&merged)).unwrap();
        let whole = folded(&plan, &orders, orders.len().max(1));
        prop_assert_eq!(folded(&plan, &orders, 1), whole.clone());
        prop_assert_eq!(folded(&plan, &orders, 7), whole.clone());
        prop_assert_eq!(folded(&plan, &orders, size), whole);
    }
}

type Totals = [Option<i64>; 5];

/// The parts of all batches, merged as a table would.
fn folded(plan: &Plan, orders: &[Order], size: usize) -> (BTreeMap<String, Totals>, Vec<usize>) {
    let (mut totals, mut bad): (BTreeMap<String, Totals>, _) = (BTreeMap::new(), Vec::new());
    for (index, batch) in orders.chunks(size).enumerate() {
        let result = run_plan(plan, batch, &[], Filtered::Ignore);
        for text in texts(&result) {
            let mut cells = text.split('|');
            let key = cells.next().unwrap().to_owned();
            let total = totals.entry(key).or_default();
            for (column, (total, cell)) in total.iter_mut().zip(cells).enumerate() {
                let part: Option<i64> = cell.parse().ok();
                *total = match (*total, part) {
                    (Some(total), Some(part)) => Some(match column {
                        0 | 1 => total + part,
                        2 => total.max(part),
                        3 => total.min(part),
                        _ => total | part,
                    }),
                    (total, part) => total.or(part),
                };
            }
        }
        bad.extend(result.bad.iter().map(|(origin, _)| index * size + *origin as usize));
    }
    (totals, bad)
}

/// No function may panic, whatever the values: a panic would end the lane, not the record.
#[test]
fn no_function_panics_at_the_ends_of_its_types() {
    let orders: Vec<Order> = [i64::MIN, -1, 0, 1, i64::MAX]
        .into_iter()
        .zip([i32::MIN, -1, 0, 1, i32::MAX])
        .map(|(id, quantity)| Order {
            quantity: Some(quantity),
            price: Some(if id < 0 { -999_999_999_999 } else { 999_999_999_999 }),
            created_at: Some(id),
            ratio: Some(if id == 0 { f64::NAN } else { f64::MAX * id as f64 }),
            sku: Some(if id == 0 { "" } else { "é%(\\" }),
            tags: Some(if id == 0 { vec![] } else { vec![None, Some("")] }),
            ..order(id)
        })
        .collect();
    let arguments = [
        "order_id",
        "sku",
        "quantity",
        "price",
        "created_at",
        "ratio",
        "tags",
        "doc",
        "NULL",
        "CAST(created_at AS date)",
    ];
    let mut panics = Vec::new();
    let mut ran = 0;
    for name in tidegate_sql::function_groups().iter().flat_map(|(_, names)| names.iter()) {
        let one = arguments.iter().map(|a| (*a).to_owned());
        let two = arguments.iter().flat_map(|a| arguments.iter().map(move |b| format!("{a}, {b}")));
        let three = arguments.iter().flat_map(|a| ["order_id", "sku"].map(|b| format!("{a}, {b}, {b}")));
        for call in one.chain(two).chain(three).map(|args| format!("{name}({args})")) {
            let Ok(plan) = planned(&format!("SELECT {call} AS x FROM input")) else { continue };
            ran += 1;
            let result = run_plan(&plan, &orders, &[], Filtered::Ignore);
            // What panicked is a bad record of no column.
            if result.bad.iter().any(|(_, fault)| fault.column.is_none()) {
                panics.push(call);
            }
        }
    }
    assert!(ran > 500, "only {ran} calls are possible");
    assert!(panics.is_empty(), "{panics:#?}");
}
