//! The rules one by one; that they hold together is in [`properties`].

mod model;
mod properties;
mod replace;

use arrow_array::Array;

use crate::config::{Missing, Mode};
use crate::rows::Rows;
use crate::types::ColumnType;

use self::model::*;
use super::super::plan::DeletePlan;
use super::super::step::{Action, Step};
use super::{Reduced, reduce};

fn upsert() -> Setting {
    Setting {
        mode: Mode::Upsert,
        missing: Missing::Null,
        deletes: DeletePlan::Hard,
        version: false,
        version_default: false,
        composite: false,
        in_order: false,
        resets: false,
    }
}

/// A whole row; `a` tells the rows of a key apart.
fn put(key: i64, a: i64) -> Input {
    let cells = [(0, key), (1, 0), (2, a), (3, a), (4, a), (5, a)];
    Input {
        delete: false,
        cells: cells.into_iter().map(|(column, value)| (column, Some(value))).collect(),
        timestamp: 7,
    }
}

fn partial(key: i64, column: usize, value: i64) -> Input {
    Input { delete: false, cells: [(0, Some(key)), (column, Some(value))].into(), timestamp: 7 }
}

fn delete(key: i64) -> Input {
    Input { delete: true, cells: [(0, Some(key))].into(), timestamp: 7 }
}

fn run(setting: &Setting, inputs: &[Input]) -> Reduced {
    reduce(&setting.plan(), &rows(inputs), setting.in_order)
}

/// Each step as its action and its records.
fn outline(steps: &[Step]) -> Vec<(Action, Vec<u32>)> {
    steps.iter().map(|step| (step.action, step.origins.iter().map(|origin| origin / 2).collect())).collect()
}

/// Is every column of the step the input's own memory?
fn is_zero_copy(step: &Step, rows: &Rows, setting: &Setting) -> bool {
    let plan = setting.plan();
    step.columns.iter().zip(step.batch.columns()).all(|(&column, array)| {
        let input = rows.batch.column(plan.columns[column].input);
        input.to_data().buffers().iter().zip(array.to_data().buffers()).all(|(a, b)| a.as_ptr() == b.as_ptr())
    })
}

#[test]
fn whole_rows_in_order_are_not_copied() {
    let inputs = [put(1, 0), put(2, 0), put(3, 0)];
    for mode in [Mode::Append, Mode::InsertIgnore, Mode::Upsert, Mode::Update] {
        let setting = Setting { mode, ..upsert() };
        let rows = rows(&inputs);
        let reduced = reduce(&setting.plan(), &rows, false);
        assert_eq!(outline(&reduced.steps), [(Action::Put, vec![0, 1, 2])]);
        assert!(is_zero_copy(&reduced.steps[0], &rows, &setting));
    }
}

#[test]
fn the_last_write_of_a_key_wins_and_keys_are_sorted() {
    let reduced = run(&upsert(), &[put(9, 0), put(-2, 0), put(9, 1), put(5, 0)]);
    assert_eq!(outline(&reduced.steps), [(Action::Put, vec![1, 3, 2])]);
    assert_eq!(reduced.counts.collapsed, 1);
}

#[test]
fn a_deleted_row_that_comes_back_is_deleted_first() {
    let reduced = run(&upsert(), &[put(1, 0), delete(1), put(1, 2), put(2, 0), delete(2)]);
    assert_eq!(outline(&reduced.steps), [(Action::Delete, vec![1, 4]), (Action::Put, vec![2])]);
    assert_eq!(reduced.counts.collapsed, 2);
}

#[test]
fn kept_columns_come_from_the_last_row_that_had_them() {
    let setting = Setting { missing: Missing::Keep, ..upsert() };
    let reduced = run(&setting, &[partial(1, 2, 10), partial(1, 3, 20), partial(1, 2, 11)]);
    assert_eq!(outline(&reduced.steps), [(Action::Put, vec![2])]);
    assert_eq!(cells_of(&reduced.steps[0], 0), [(0, Some(1)), (2, Some(11)), (3, Some(20))].into());
}

#[test]
fn rows_with_different_columns_are_different_steps() {
    let setting = Setting { missing: Missing::Default, ..upsert() };
    let reduced = run(&setting, &[partial(3, 2, 0), partial(2, 3, 0), partial(1, 2, 0)]);
    assert_eq!(outline(&reduced.steps), [(Action::Put, vec![2, 0]), (Action::Put, vec![1])]);
    assert_eq!(reduced.steps[0].columns, [0, 2]);
    assert_eq!(reduced.steps[1].columns, [0, 3]);
}

#[test]
fn an_absent_field_is_null_unless_the_column_takes_none() {
    let reduced = run(&upsert(), &[partial(1, 2, 0)]);
    assert_eq!(reduced.steps[0].columns, [0, 1, 2, 3, 5], "the required column is left to its default");
}

#[test]
fn an_older_version_never_replaces_a_newer_one() {
    let setting = Setting { version: true, ..upsert() };
    let reduced = run(&setting, &[put(1, 5), put(1, 3), put(2, 1), put(2, 1)]);
    assert_eq!(outline(&reduced.steps), [(Action::Put, vec![0, 3])]);
    assert_eq!((reduced.counts.stale, reduced.counts.collapsed), (1, 1));
}

#[test]
fn versioned_partial_rows_are_put_one_after_another() {
    let setting = Setting { version: true, missing: Missing::Keep, ..upsert() };
    let row = |column, version| {
        let mut row = partial(1, column, 0);
        row.cells.insert(VERSION, Some(version));
        row
    };
    let reduced = run(&setting, &[row(2, 1), row(3, 2), put(2, 0)]);
    assert_eq!(reduced.counts.collapsed, 0);
    let rounds: Vec<_> = reduced.steps.iter().map(|step| step.origins.clone()).collect();
    assert_eq!(rounds, [vec![0], vec![4], vec![2]], "by set within the first round, then the second");
}

#[test]
fn a_mark_stays_after_the_row_that_it_marks() {
    let soft = DeletePlan::Soft(column("gone_at", ColumnType::TimestampTz, false));
    let setting = Setting { deletes: soft, ..upsert() };
    let reduced = run(&setting, &[put(1, 0), delete(1), put(2, 0), delete(2), put(2, 1), delete(3)]);
    assert_eq!(outline(&reduced.steps), [(Action::Put, vec![0, 4]), (Action::SoftDelete, vec![1, 5])]);
    let step = &reduced.steps[1];
    assert_eq!((step.columns.as_slice(), step.batch.num_columns()), ([0].as_slice(), 2));
    assert_eq!(step.batch.schema().field(1).name(), "gone_at");
}

#[test]
fn a_stale_row_does_not_bring_a_marked_one_back() {
    let soft = DeletePlan::Soft(column("gone", ColumnType::Bool, false));
    let setting = Setting { deletes: soft, version: true, ..upsert() };
    let reduced = run(&setting, &[put(1, 5), delete(1), put(1, 3), put(2, 1), delete(2), put(2, 2)]);
    let expected = [(Action::SoftDelete, vec![4]), (Action::Put, vec![0, 5]), (Action::SoftDelete, vec![1])];
    assert_eq!(outline(&reduced.steps), expected);
    assert_eq!((reduced.counts.stale, reduced.counts.collapsed), (1, 1));
}

#[test]
fn in_order_breaks_only_where_it_must() {
    let setting = Setting { in_order: true, ..upsert() };
    let reduced = run(&setting, &[put(2, 0), put(1, 0), put(2, 1), delete(2), delete(1), put(1, 2)]);
    let expected =
        [(Action::Put, vec![0, 1]), (Action::Put, vec![2]), (Action::Delete, vec![3, 4]), (Action::Put, vec![5])];
    assert_eq!(outline(&reduced.steps), expected);
}

#[test]
fn a_row_without_its_key_is_a_fault_that_names_the_column() {
    let mut null = put(1, 0);
    null.cells.insert(NUMBER, None);
    let mut absent = put(1, 0);
    absent.cells.remove(&NAME);
    let reduced = run(&Setting { composite: true, ..upsert() }, &[put(1, 0), null, absent]);
    assert_eq!(outline(&reduced.steps), [(Action::Put, vec![0])]);
    let bad: Vec<_> = reduced.bad.iter().map(|(origin, fault)| (*origin, fault.class, &*fault.reason)).collect();
    assert_eq!(bad[0], (2, "null-key", "the key column number is null, so there is no row that the record stands for"));
    assert_eq!(bad[1], (4, "null-key", "the key column name is absent, so there is no row that the record stands for"));
}

#[test]
fn deletes_that_are_ignored_are_counted() {
    let setting = Setting { deletes: DeletePlan::Ignore, ..upsert() };
    let reduced = run(&setting, &[put(1, 0), delete(1)]);
    assert_eq!(outline(&reduced.steps), [(Action::Put, vec![0])]);
    assert_eq!(reduced.counts.ignored, 1);
}

#[test]
fn nothing_in_is_nothing_out() {
    assert!(run(&upsert(), &[]).steps.is_empty());
}
