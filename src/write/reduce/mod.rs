//! Brings the rows of a batch to what their tables must be asked to do.
//!
//! | mode | what is left |
//! |---|---|
//! | append, insert-ignore | every row, in its order |
//! | upsert, update | per key what the last write and the last delete leave, see [`fold`] |
//! | with `replace` | per parent the rows of its last record, after a removal, see [`replace`] |
//! | merge | per key one row that adds what all of its rows would, see [`merge`] |
//!
//! Rows of one statement write the same columns, so a batch whose events have different fields may take several.

mod build;
mod fold;
mod merge;
mod replace;
mod sets;
#[cfg(test)]
mod tests;

use arrow_array::Array;

use crate::config::Mode;
use crate::dead_letter::{Fault, Stage};
use crate::rows::{Operation, Rows};

use self::build::{Builder, Put};
use self::fold::Fold;
use super::keys::RowKeys;
use super::plan::{DeletePlan, TablePlan};
use super::step::{Action, RowCounts, Step};

/// The steps for one table, and what the reduction already decided.
///
/// Every row is in a step, or in `counts` (`collapsed`, `stale`, `ignored`), or in `bad`.
#[derive(Debug, Default)]
pub struct Reduced {
    /// In the order in which they must be applied; all hard deletes before all puts unless the rows are applied in
    /// order. The rows within a keyed step are sorted by key.
    pub steps: Vec<Step>,
    pub counts: RowCounts,
    /// Rows without a key where one is needed, and rows that cannot be merged: the index of their record, and what is wrong with it.
    pub bad: Vec<(u32, Fault)>,
}

/// Reduces `rows` for `plan`. Applying the steps equals applying the rows one by one.
///
/// With `in_order` nothing is reduced: the steps are runs of rows as they came.
pub fn reduce(plan: &TablePlan, rows: &Rows, in_order: bool) -> Reduced {
    let mut reduced = Reduced::default();
    if rows.is_empty() {
        return reduced;
    }
    let mut selected = Selected::new(plan, rows, &mut reduced);
    let builder = Builder::new(plan, rows);
    if plan.mode == Mode::Merge {
        merge::merge(&builder, selected, in_order, &mut reduced);
        return reduced;
    }
    // Whether a row is ignored depends on those before it, and they may be of other sets.
    let depends_on_order = plan.mode == Mode::InsertIgnore && builder.sets.len() > 1;
    if !in_order && !depends_on_order {
        replace::remove_first(&builder, &mut selected, &mut reduced);
    }
    if in_order || !plan.is_keyed() && (selected.has_deletes || depends_on_order) {
        in_runs(&builder, &selected, &mut reduced.steps);
    } else if let (true, Some(keys)) = (plan.is_keyed(), &selected.keys) {
        let mut fold = Fold::new(builder);
        let sorted = keys.sorted(&selected.rows);
        sorted.chunk_by(|a, b| keys.get(*a) == keys.get(*b)).for_each(|rows| fold.key(rows));
        let (steps, counts) = fold.finish();
        reduced.steps.extend(steps);
        reduced.counts += counts;
    } else {
        let put = |&row: &u32| Put { row, set: builder.sets.of(row), merged: None };
        builder.puts(selected.rows.iter().map(put).collect(), &mut reduced.steps);
    }
    reduced
}

/// The rows that something is done with.
struct Selected {
    rows: Vec<u32>,
    has_deletes: bool,
    /// Where they are needed.
    keys: Option<RowKeys>,
    /// The keys of the parents whose rows are replaced.
    parents: Option<RowKeys>,
}

impl Selected {
    /// Sorts out deletes where they are ignored, and rows without the key that they need.
    fn new(plan: &TablePlan, rows: &Rows, reduced: &mut Reduced) -> Self {
        let parents = plan.replace.as_ref().map(|replace| row_keys(plan, rows, &replace.columns));
        let takes_deletes = parents.is_none() && plan.deletes != DeletePlan::Ignore && !plan.key.is_empty();
        let has_deletes = takes_deletes && rows.operations.contains(&Operation::Delete);
        let keys = (plan.is_keyed() || has_deletes).then(|| row_keys(plan, rows, &plan.key));
        let mut selected = Vec::with_capacity(rows.len());
        for row in 0..rows.len() as u32 {
            let operation = rows.operations[row as usize];
            if operation == Operation::Replace {
                match (&parents, &plan.replace) {
                    (Some(parents), _) if parents.get(row).is_some() => selected.push(row),
                    (_, Some(replace)) => {
                        let fault = null_key(plan, rows, row as usize, &replace.columns);
                        reduced.bad.push((rows.origins[row as usize], fault));
                    }
                    (..) => {}
                }
                continue;
            }
            let is_delete = operation == Operation::Delete;
            let without_key = || keys.as_ref().is_some_and(|keys| keys.get(row).is_none());
            if is_delete && !takes_deletes {
                reduced.counts.ignored += 1;
            } else if (is_delete || plan.is_keyed()) && without_key() {
                reduced.bad.push((rows.origins[row as usize], null_key(plan, rows, row as usize, &plan.key)));
            } else {
                selected.push(row);
            }
        }
        Self { rows: selected, has_deletes, keys, parents }
    }
}

fn row_keys(plan: &TablePlan, rows: &Rows, key: &[usize]) -> RowKeys {
    let columns = key.iter().map(|&column| &plan.columns[column]);
    let typed = columns.filter_map(|key| Some((rows.batch.column(key.input), key.column.ty.as_ref()?)));
    RowKeys::new(&typed.collect::<Vec<_>>())
}

fn null_key(plan: &TablePlan, rows: &Rows, row: usize, key: &[usize]) -> Fault {
    let mut keys = key.iter().map(|&column| &plan.columns[column]);
    let column = keys.find(|column| rows.batch.column(column.input).is_null(row));
    let found = column.map_or("has no value", |column| match rows.is_present(column.input, row) {
        true => "is null",
        false => "is absent",
    });
    let name = column.map(|column| column.column.name.clone());
    Fault {
        stage: Stage::Write,
        class: "null-key",
        code: String::new(),
        reason: format!(
            "the key column {} {found}, so there is no row that the record stands for",
            name.as_deref().unwrap_or_default()
        ),
        column: name,
    }
}

/// Consecutive rows that one statement can take: of one action and one set of columns, and no key twice.
fn in_runs(builder: &Builder<'_>, selected: &Selected, steps: &mut Vec<Step>) {
    let keys = Keys::new(builder.rows.len(), selected);
    let mut last_run = vec![u32::MAX; keys.count];
    let mut run = 0;
    let mut current: Vec<Put> = Vec::new();
    let mut kind = None;
    for &row in &selected.rows {
        let next = match builder.rows.operations[row as usize] {
            Operation::Delete => (Action::Delete, u32::MAX),
            Operation::Replace => (Action::Replace, u32::MAX),
            Operation::Upsert => (Action::Put, builder.sets.of(row)),
        };
        // Rows that are only inserted may share a key; whether that is an error is the database's to say.
        let key = keys.of(row).filter(|_| builder.plan.is_keyed() || next.0 != Action::Put);
        if kind.is_some_and(|kind| kind != next) || key.is_some_and(|key| last_run[key] == run) {
            finish_run(builder, std::mem::take(&mut current), kind, steps);
            run += 1;
        }
        if let Some(key) = key {
            last_run[key] = run;
        }
        kind = Some(next);
        current.push(Put { row, set: next.1, merged: None });
    }
    finish_run(builder, current, kind, steps);
}

fn finish_run(builder: &Builder<'_>, run: Vec<Put>, kind: Option<(Action, u32)>, steps: &mut Vec<Step>) {
    match kind {
        Some((Action::Put, _)) => builder.puts(run, steps),
        Some((Action::Replace, _)) => builder.replace(run.iter().map(|put| put.row).collect(), steps),
        Some(_) => builder.delete(run.iter().map(|put| put.row).collect(), steps),
        None => {}
    }
}

/// Rows of one key have one number.
struct Keys {
    of_row: Vec<u32>,
    count: usize,
}

impl Keys {
    fn new(rows: usize, selected: &Selected) -> Self {
        let mut numbers = Self { of_row: Vec::new(), count: 0 };
        if let Some(keys) = &selected.keys {
            numbers.of_row.resize(rows, u32::MAX);
            for rows in keys.sorted(&selected.rows).chunk_by(|a, b| keys.get(*a) == keys.get(*b)) {
                rows.iter().for_each(|&row| numbers.of_row[row as usize] = numbers.count as u32);
                numbers.count += 1;
            }
        }
        numbers
    }

    fn of(&self, row: u32) -> Option<usize> {
        self.of_row.get(row as usize).filter(|&&key| key != u32::MAX).map(|&key| key as usize)
    }
}
