//! Which columns a row writes.

use std::collections::HashMap;

use crate::config::Missing;
use crate::rows::{Operation, Rows};

use super::super::plan::TablePlan;

/// The distinct sets of columns that the rows of a batch write. Most batches have one.
pub(super) struct ColumnSets {
    /// One bit per column of the plan.
    masks: Vec<Vec<u64>>,
    /// The columns of each mask, ascending.
    columns: Vec<Vec<usize>>,
    /// The set of each row; empty where all rows are of the first.
    of_row: Vec<u32>,
    known: HashMap<Vec<u64>, u32>,
}

impl ColumnSets {
    /// The sets of the upserts in `rows`.
    pub(super) fn new(plan: &TablePlan, rows: &Rows) -> Self {
        let mut sets = Self { masks: Vec::new(), columns: Vec::new(), of_row: Vec::new(), known: HashMap::new() };
        let mut all = vec![0; plan.columns.len().div_ceil(64)];
        (0..plan.columns.len()).for_each(|column| all[column / 64] |= 1 << (column % 64));
        let incomplete: Vec<_> = (0..plan.columns.len())
            .filter(|&column| may_be_left_out(plan, column))
            .filter_map(|column| Some((column, rows.presence[plan.columns[column].input].as_ref()?)))
            .filter(|(_, present)| present.count_set_bits() < present.len())
            .collect();
        if incomplete.is_empty() {
            sets.intern(&all);
            return sets;
        }
        let fallback = never_empty(plan);
        let mut mask = all.clone();
        let mut last: Option<u32> = None;
        for row in 0..rows.len() {
            if rows.operations[row] != Operation::Upsert {
                sets.of_row.push(u32::MAX);
                continue;
            }
            mask.copy_from_slice(&all);
            for (column, present) in &incomplete {
                if !present.value(row) {
                    mask[column / 64] &= !(1 << (column % 64));
                }
            }
            if let (Some(column), true) = (fallback, mask.iter().all(|word| *word == 0)) {
                mask[column / 64] |= 1 << (column % 64);
            }
            let set = last.filter(|&set| sets.masks[set as usize] == mask).unwrap_or_else(|| sets.intern(&mask));
            sets.of_row.push(set);
            last = Some(set);
        }
        sets
    }

    fn intern(&mut self, mask: &[u64]) -> u32 {
        if let Some(&set) = self.known.get(mask) {
            return set;
        }
        let set = self.masks.len() as u32;
        let has = |column: &usize| mask[column / 64] >> (column % 64) & 1 == 1;
        self.columns.push((0..mask.len() * 64).filter(has).collect());
        self.masks.push(mask.to_vec());
        self.known.insert(mask.to_vec(), set);
        set
    }

    pub(super) fn len(&self) -> usize {
        self.masks.len()
    }

    /// The set of a row, which must be an upsert.
    pub(super) fn of(&self, row: u32) -> u32 {
        self.of_row.get(row as usize).copied().unwrap_or(0)
    }

    pub(super) fn columns(&self, set: u32) -> &[usize] {
        &self.columns[set as usize]
    }

    pub(super) fn contains(&self, set: u32, column: usize) -> bool {
        self.masks[set as usize][column / 64] >> (column % 64) & 1 == 1
    }

    pub(super) fn is_subset(&self, part: u32, whole: u32) -> bool {
        let mut words = self.masks[part as usize].iter().zip(&self.masks[whole as usize]);
        part == whole || words.all(|(part, whole)| part & !whole == 0)
    }

    pub(super) fn union(&mut self, a: u32, b: u32) -> u32 {
        let words = self.masks[a as usize].iter().zip(&self.masks[b as usize]);
        let mask: Vec<u64> = words.map(|(a, b)| a | b).collect();
        self.intern(&mask)
    }
}

/// Is the column left out of the statement where the event has no such field? Otherwise it is written as null.
fn may_be_left_out(plan: &TablePlan, column: usize) -> bool {
    let described = &plan.columns[column].column;
    match plan.missing {
        Missing::Null => !described.nullable && described.has_default,
        // In a row that is only ever inserted a null is what a column without a default gets anyway: fewer statements.
        Missing::Keep | Missing::Default => plan.is_keyed() || described.has_default,
    }
}

/// A column to write as null rather than none at all: one that has no other default, so that it means the same.
fn never_empty(plan: &TablePlan) -> Option<usize> {
    plan.columns.iter().position(|column| !column.column.has_default)
}
