//! Rows that replace those of their parent: any records, folded or in order, leave what they leave one by one.

use proptest::prelude::*;

use crate::config::{Missing, Mode};
use crate::rows::{Operation, Rows};

use super::super::super::plan::{DeletePlan, ReplacePlan, TablePlan};
use super::super::super::step::Action;
use super::super::reduce;
use super::model::*;

/// A parent and its children: the second part of their key, and a value.
type Record = (i64, Vec<(i64, i64)>);

fn setting(mode: Mode) -> Setting {
    Setting {
        mode,
        missing: Missing::Null,
        deletes: DeletePlan::Hard,
        version: false,
        version_default: false,
        composite: true,
        in_order: false,
        resets: false,
    }
}

fn plan(mode: Mode) -> TablePlan {
    TablePlan { replace: Some(ReplacePlan { columns: vec![NUMBER], index: None }), ..setting(mode).plan() }
}

fn cells(parent: i64, child: Option<(i64, i64)>) -> Cells {
    let rest = child.into_iter().flat_map(|(name, value)| [(NAME, Some(name)), (2, Some(value)), (REQUIRED, Some(1))]);
    std::iter::once((NUMBER, Some(parent))).chain(rest).collect()
}

/// As the transform gives them: each record's parent, then its children.
fn batch(records: &[Record]) -> Rows {
    let mut inputs = Vec::new();
    let (mut operations, mut origins) = (Vec::new(), Vec::new());
    for (origin, (parent, children)) in records.iter().enumerate() {
        let marks = std::iter::once((None, Operation::Replace));
        for (child, operation) in marks.chain(children.iter().map(|child| (Some(*child), Operation::Upsert))) {
            inputs.push(Input { delete: false, cells: cells(*parent, child), timestamp: 7 });
            operations.push(operation);
            origins.push(origin as u32);
        }
    }
    let mut batch = rows(&inputs);
    (batch.operations, batch.origins, batch.presence) = (operations, origins, vec![None; COLUMNS]);
    batch
}

fn sequential(mode: Mode, table: &mut Vec<Stored>, records: &[Record]) {
    for (parent, children) in records {
        table.retain(|stored| stored.cells[NUMBER] != Some(*parent));
        children.iter().for_each(|child| setting(mode).put(table, &cells(*parent, Some(*child))));
    }
    table.sort();
}

fn records() -> impl Strategy<Value = Vec<Record>> {
    prop::collection::vec((0_i64..3, prop::collection::vec((0_i64..3, 0_i64..9), 0..4)), 0..7)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn what_is_left_is_each_parents_last_list(
        mode in prop::sample::select(vec![Mode::Append, Mode::InsertIgnore, Mode::Upsert]),
        before in records(),
        now in records(),
        in_order: bool,
    ) {
        let mut expected = Vec::new();
        sequential(mode, &mut expected, &before);
        let mut found = expected.clone();
        sequential(mode, &mut expected, &now);
        let rows = batch(&now);
        let reduced = reduce(&plan(mode), &rows, in_order);
        prop_assert!(reduced.bad.is_empty());
        let (mut put, mut seen_put) = (0, false);
        for step in &reduced.steps {
            seen_put |= step.action == Action::Put;
            prop_assert!(in_order || step.action == Action::Put || !seen_put, "removals come first");
            put += if step.action == Action::Put { step.batch.num_rows() as u64 } else { 0 };
            setting(mode).apply(&mut found, step);
        }
        found.sort();
        prop_assert_eq!(found, expected);
        prop_assert_eq!(put + reduced.counts.collapsed, rows.produced() as u64, "every row has one outcome");
    }
}

#[test]
fn a_parent_without_a_key_is_a_bad_record() {
    let mut rows = batch(&[(1, vec![(1, 1)]), (2, Vec::new())]);
    let numbers = rows.batch.column(COLUMNS - 1 - NUMBER);
    let none = arrow_array::new_null_array(numbers.data_type(), numbers.len());
    let mut columns = rows.batch.columns().to_vec();
    columns[COLUMNS - 1 - NUMBER] = none;
    rows.batch = arrow_array::RecordBatch::try_new(rows.batch.schema(), columns).unwrap();
    let reduced = reduce(&plan(Mode::Append), &rows, false);
    let bad: Vec<_> = reduced.bad.iter().map(|(origin, fault)| (*origin, fault.class, &*fault.reason)).collect();
    assert_eq!(bad[0], (0, "null-key", "the key column number is null, so there is no row that the record stands for"));
    assert_eq!(bad[1].0, 1);
}

#[test]
fn parents_are_removed_in_the_order_of_their_keys() {
    let rows = batch(&[(9, vec![(1, 1)]), (2, Vec::new()), (9, vec![(4, 1), (3, 1)]), (5, Vec::new())]);
    let reduced = reduce(&plan(Mode::Append), &rows, false);
    let outline: Vec<_> = reduced.steps.iter().map(|step| (step.action, step.origins.clone())).collect();
    assert_eq!(outline, [(Action::Replace, vec![1, 3, 2]), (Action::Put, vec![2, 2])]);
    assert_eq!(reduced.counts.collapsed, 1);
}
