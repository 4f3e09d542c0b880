//! Reduced equals sequential: for every way to write a table, any rows, any stored state.

use std::collections::HashSet;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::config::{Missing, Mode};
use crate::types::ColumnType;

use super::super::super::plan::DeletePlan;
use super::super::super::step::Action;
use super::super::reduce;
use super::model::*;

/// Enough for every pair and most triples of operations on a key to meet, in each of some 1,500 settings.
const CASES: u32 = 40;

fn settings() -> Vec<Setting> {
    let soft = |ty| DeletePlan::Soft(column("mark", ty, false));
    let deletes = [
        DeletePlan::Hard,
        DeletePlan::Ignore,
        soft(ColumnType::TimestampTz),
        soft(ColumnType::Timestamp),
        soft(ColumnType::Bool),
    ];
    let mut all = Vec::new();
    for mode in [Mode::Append, Mode::InsertIgnore, Mode::Upsert, Mode::Update] {
        for missing in [Missing::Null, Missing::Keep, Missing::Default] {
            for deletes in &deletes {
                for flags in 0..32 {
                    let flag = |bit: u32| flags >> bit & 1 == 1;
                    let setting = Setting {
                        mode,
                        missing,
                        deletes: deletes.clone(),
                        version: flag(0),
                        version_default: flag(1),
                        composite: flag(2),
                        in_order: flag(3),
                        resets: flag(4),
                    };
                    if setting.is_keyed() || !setting.version {
                        all.push(setting);
                    }
                }
            }
        }
    }
    all
}

fn input(setting: &Setting) -> impl Strategy<Value = Input> + use<> {
    let key = setting.key();
    // Mostly values; a null or an absent field now and then.
    let value = prop_oneof![6 => (0_i64..4).prop_map(|v| Some(Some(v))), 2 => Just(Some(None)), 3 => Just(None)];
    let key_value = prop_oneof![40 => (0_i64..2).prop_map(|v| Some(Some(v))), 1 => Just(Some(None)), 1 => Just(None)];
    let values = prop::collection::vec(value, COLUMNS);
    let keys = prop::collection::vec(key_value, COLUMNS);
    let timestamp = prop_oneof![9 => 0_i64..1_000_000, 1 => Just(-1)];
    (prop::bool::weighted(0.25), values, keys, timestamp).prop_map(move |(delete, values, keys, timestamp)| {
        let mut cells = Cells::new();
        for column in 0..COLUMNS {
            let is_key = key.contains(&column);
            let cell = if is_key { keys[column] } else { values[column].filter(|_| !delete) };
            // A column without nulls is not given one: the database would refuse the row either way.
            if let Some(cell) = cell.filter(|cell| column != REQUIRED || cell.is_some()) {
                cells.insert(column, cell);
            }
        }
        Input { delete, cells, timestamp }
    })
}

fn stored(setting: &Setting) -> impl Strategy<Value = Vec<Stored>> + use<> {
    let setting = setting.clone();
    let cells = prop::array::uniform6(prop::option::weighted(0.8, 0_i64..4));
    prop::collection::vec((cells, prop::option::of(Just(5))), 0..4).prop_map(move |rows| {
        let mut table: Vec<Stored> = Vec::new();
        for (mut cells, mark) in rows {
            cells[NUMBER] = cells[NUMBER].map(|value| value % 2).or(Some(0));
            cells[NAME] = cells[NAME].map(|value| value % 2).or(Some(0));
            cells[REQUIRED] = cells[REQUIRED].or(Some(1));
            if setting.version_default {
                cells[VERSION] = cells[VERSION].or(Some(0));
            }
            let is_same = |row: &Stored| setting.key().iter().all(|&column| row.cells[column] == cells[column]);
            if !table.iter().any(is_same) {
                table.push(Stored { cells, mark });
            }
        }
        table
    })
}

/// The table after all rows one by one, and how many rows had no key or were ignored deletes.
fn sequential(setting: &Setting, mut table: Vec<Stored>, inputs: &[Input]) -> (Vec<Stored>, usize, u64) {
    let (mut bad, mut ignored) = (0, 0);
    for input in inputs {
        let key = setting.key_of(&input.cells);
        match (input.delete, key) {
            (true, _) if setting.deletes == DeletePlan::Ignore => ignored += 1,
            (true, Some(key)) => setting.delete(&mut table, &key, setting.mark(input)),
            (false, None) if setting.is_keyed() => bad += 1,
            (false, _) => setting.put(&mut table, &setting.written(input)),
            (true, None) => bad += 1,
        }
    }
    table.sort();
    (table, bad, ignored)
}

fn check(setting: &Setting, table: Vec<Stored>, inputs: &[Input]) -> Result<(), TestCaseError> {
    let plan = setting.plan();
    let reduced = reduce(&plan, &rows(inputs), setting.in_order);
    let (expected, bad, ignored) = sequential(setting, table.clone(), inputs);
    let mut found = table;
    let mut in_steps = 0;
    let mut seen_put = false;
    for step in &reduced.steps {
        prop_assert_eq!(step.origins.len(), step.batch.num_rows());
        prop_assert!(!step.origins.is_empty(), "a step without rows");
        prop_assert!(step.columns.is_sorted());
        in_steps += step.batch.num_rows() as u64;
        seen_put |= step.action == Action::Put;
        prop_assert!(setting.in_order || !setting.is_keyed() || step.action != Action::Delete || !seen_put);
        let keys: Vec<_> = (0..step.batch.num_rows()).map(|row| setting.key_of(&cells_of(step, row))).collect();
        if setting.is_keyed() || step.action == Action::SoftDelete {
            let distinct: HashSet<_> = keys.iter().collect();
            prop_assert_eq!(distinct.len(), keys.len(), "a key twice in a step");
        }
        prop_assert!(setting.in_order || !setting.is_keyed() || keys.is_sorted(), "not in the order of the keys");
        for (row, &origin) in step.origins.iter().enumerate() {
            let input = &inputs[origin as usize / 2];
            let cells = cells_of(step, row);
            prop_assert_eq!(input.delete, step.action != Action::Put);
            prop_assert_eq!(setting.key_of(&input.cells), setting.key_of(&cells));
            let is_kept = |(column, value): (&usize, &Option<i64>)| cells.get(column) == Some(value);
            prop_assert!(input.cells.iter().all(is_kept), "the last record's own values are in its row");
        }
        setting.apply(&mut found, step);
    }
    found.sort();
    prop_assert_eq!(&found, &expected, "{:#?}", reduced.steps);
    prop_assert_eq!(reduced.bad.len(), bad);
    prop_assert_eq!(reduced.counts.ignored, ignored);
    let decided = reduced.counts.collapsed + reduced.counts.stale + ignored + bad as u64;
    prop_assert_eq!(in_steps + decided, inputs.len() as u64, "every row is counted once");
    prop_assert!(!setting.in_order || reduced.counts.collapsed + reduced.counts.stale == 0);
    prop_assert!(setting.version || reduced.counts.stale == 0);
    Ok(())
}

#[test]
fn steps_leave_what_the_rows_leave_one_by_one() {
    for setting in settings() {
        let mut runner = TestRunner::new(Config { cases: CASES, failure_persistence: None, ..Config::default() });
        let strategy = (stored(&setting), prop::collection::vec(input(&setting), 0..12));
        let outcome = runner.run(&strategy, |(table, inputs)| check(&setting, table, &inputs));
        if let Err(error) = outcome {
            panic!("{setting:?}\n{error}");
        }
    }
}
