//! What the databases' tests cannot show: ranges, ties, and that two patches as one do what both do.

use arrow_array::types::{Int8Type, Int64Type};
use arrow_array::{Decimal128Array, Float64Array, Int8Array, Int64Array, StringArray, UInt64Array};
use proptest::prelude::*;
use serde_json::{Map, Value};

use super::json::Patch;
use super::*;

fn runs(runs: &[&[u32]]) -> Runs {
    let mut all = Runs::default();
    runs.iter().for_each(|run| all.push(run));
    all
}

#[test]
fn a_sum_may_leave_its_range_and_come_back_but_not_stay_out() {
    let array: ArrayRef = Arc::new(Int8Array::from(vec![Some(127), Some(1), None, Some(-2), Some(100)]));
    let folded = sum(&array, &runs(&[&[0, 1, 2, 3], &[2], &[0, 4, 2]]), false);
    assert_eq!(folded.array.as_primitive::<Int8Type>().iter().collect::<Vec<_>>(), [Some(126), None, None]);
    assert_eq!(folded.overflows, [4], "the last value of the run");
    let unsigned: ArrayRef = Arc::new(UInt64Array::from(vec![u64::MAX, 1]));
    assert_eq!(sum(&unsigned, &runs(&[&[0, 1]]), false).overflows, [1]);
    let decimals = Decimal128Array::from(vec![999, 1]).with_precision_and_scale(3, 1).unwrap();
    assert_eq!(sum(&(Arc::new(decimals) as ArrayRef), &runs(&[&[0], &[0, 1]]), false).overflows, [1]);
}

#[test]
fn an_infinite_value_is_no_overflow() {
    let array: ArrayRef = Arc::new(Float64Array::from(vec![f64::INFINITY, 1.0, f64::MAX]));
    assert!(sum(&array, &runs(&[&[0, 1], &[0, 2]]), false).overflows.is_empty());
    assert_eq!(sum(&array, &runs(&[&[2, 2]]), false).overflows, [2]);
}

#[test]
fn decimals_of_any_size_are_exact() {
    let long = format!("{}.{}", "9".repeat(100), "9".repeat(50));
    let array: ArrayRef = Arc::new(StringArray::from(vec![long.as_str(), "0.1", "-0.1", "-7", "1e5"]));
    let folded = sum(&array, &runs(&[&[0, 1, 2], &[1, 2], &[1, 3], &[4]]), true);
    let sums: Vec<_> = folded.array.as_string::<i32>().iter().map(Option::unwrap).collect();
    assert_eq!(sums, [long.as_str(), "0", "-6.9", "0"]);
    assert_eq!(folded.overflows, [4], "no form that a decoder or a database writes");
    assert_eq!(Exact::parse("-1.50").unwrap().unscaled(3).unwrap(), "-1500");
    assert_eq!(Exact::parse("-1.50").unwrap().unscaled(1).unwrap(), "-15");
    assert_eq!(Exact::parse("-1.50").unwrap().unscaled(0), None);
    for wrong in ["", ".", "NaN", "1.2.3", "1.-2", "1.+2", "--1"] {
        assert!(Exact::parse(wrong).is_none(), "{wrong:?}");
    }
}

#[test]
fn bits_and_zeros() {
    let array: ArrayRef = Arc::new(Int64Array::from(vec![Some(i64::MIN), None, Some(1)]));
    let bits = |fill| bit_or(&array, &runs(&[&[0, 1, 2], &[1]]), fill).array;
    assert_eq!(bits(false).as_primitive::<Int64Type>().iter().collect::<Vec<_>>(), [Some(i64::MIN + 1), None]);
    assert_eq!(bits(true).as_primitive::<Int64Type>().value(1), 0);
}

#[test]
fn extremes_compare_decimals_as_numbers() {
    let array: ArrayRef = Arc::new(StringArray::from(vec![Some("9"), Some("10"), None, Some("-3")]));
    let all = runs(&[&[0, 1, 2, 3], &[2]]);
    assert_eq!(extreme(&array, true, &all).iter().collect::<Vec<_>>(), [Some(1), None]);
    assert_eq!(extreme(&array, false, &all).iter().collect::<Vec<_>>(), [Some(3), None]);
}

#[test]
fn ties_go_to_the_later_last_and_the_earlier_first() {
    let lead: ArrayRef = Arc::new(Int64Array::from(vec![Some(0), Some(0), None, Some(0), Some(0)]));
    let order: ArrayRef = Arc::new(Int64Array::from(vec![Some(5), Some(5), Some(9), None, None]));
    let all = runs(&[&[0, 1, 2, 3], &[3, 4], &[2], &[3, 0]]);
    assert_eq!(pick(&lead, &order, true, &all).iter().collect::<Vec<_>>(), [Some(1), Some(4), None, Some(0)]);
    assert_eq!(pick(&lead, &order, false, &all).iter().collect::<Vec<_>>(), [Some(0), Some(3), None, Some(0)]);
}

fn document() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![Just(Value::Null), Just(Value::from(1)), Just(Value::from(vec![Value::Null]))];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop::collection::btree_map("[ab]", inner, 0..3).prop_map(|members| members.into_iter().collect())
    })
}

/// RFC 7396, section 2.
fn apply(target: Value, patch: &Value) -> Value {
    let Value::Object(patch) = patch else { return patch.clone() };
    let mut target = if let Value::Object(target) = target { target } else { Map::new() };
    for (name, value) in patch {
        let held = target.remove(name).unwrap_or(Value::Null);
        if !value.is_null() {
            target.insert(name.clone(), apply(held, value));
        }
    }
    Value::Object(target)
}

proptest! {
    #[test]
    fn two_patches_as_one_do_what_both_do(target in document(), a in document(), b in document()) {
        let (mut both, next) = (Patch::parse(&a.to_string()).unwrap(), Patch::parse(&b.to_string()).unwrap());
        let expected = apply(apply(target.clone(), &a), &b);
        if both.can_take(&next) {
            both.take(next);
            let both: Value = serde_json::from_str(&both.to_string()).unwrap();
            prop_assert_eq!(apply(target, &both), expected);
        } else {
            // Somewhere an object follows what is none.
            prop_assert!(b.is_object());
        }
    }
}

#[test]
fn a_patch_keeps_every_digit_and_knows_its_limits() {
    let text = r#"{"b":12345678901234567890123.4500,"a\n":[1.0,null]}"#;
    assert_eq!(Patch::parse(text).unwrap().to_string(), r#"{"a\n":[1.0,null],"b":12345678901234567890123.4500}"#);
    let deep = |depth| "{\"a\":".repeat(depth) + "1" + &"}".repeat(depth);
    assert!(Patch::parse(&deep(60)).is_some());
    assert!(Patch::parse(&deep(10_000)).is_none());
    assert!(Patch::parse("{").is_none());
}
