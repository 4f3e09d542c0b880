//! Partial rows of one key -> one partial row, by the functions with which the database will add it to the stored one.
//!
//! Rows of a key go into successive *rounds* only where two JSON patches cannot be made one, and where they are to be
//! applied in order.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, StringArray, UInt32Array};
use arrow_select::take::take;

use crate::dead_letter::{Fault, Stage};

use super::super::merge::json::Patch;
use super::super::merge::{self, Folded, Runs};
use super::super::plan::{Merge, TablePlan};
use super::super::step::{Action, Step};
use super::build::{Builder, Selection};
use super::{Keys, Reduced, Selected};

/// Rows of distinct keys, which one statement takes.
#[derive(Default)]
struct Round {
    runs: Runs,
    /// For each column of documents what each run makes of it.
    patches: Vec<Vec<Option<String>>>,
}

pub(super) fn merge(builder: &Builder<'_>, mut selected: Selected, in_order: bool, reduced: &mut Reduced) {
    let plan = builder.plan;
    let checks = Checks::new(builder);
    selected.rows.retain(|&row| match checks.fault(row) {
        Some(fault) => {
            reduced.bad.push((builder.rows.origins[row as usize], fault));
            false
        }
        None => true,
    });
    let documents = plan.documents();
    let mut rounds = Rounds { builder, documents: &documents, rounds: Vec::new() };
    if in_order {
        rounds.one_by_one(&selected);
    } else if let Some(keys) = &selected.keys {
        let sorted = keys.sorted(&selected.rows);
        sorted.chunk_by(|a, b| keys.get(*a) == keys.get(*b)).for_each(|rows| rounds.key(rows));
    }
    for round in rounds.rounds {
        reduced.counts.collapsed += (round.runs.rows() - round.runs.len()) as u64;
        put(builder, &round.runs, reduced);
        patch(builder, &round, &documents, &mut reduced.steps);
    }
}

struct Rounds<'a, 'b> {
    builder: &'a Builder<'b>,
    documents: &'a [usize],
    rounds: Vec<Round>,
}

impl Rounds<'_, '_> {
    /// All rows of one key, in their order.
    fn key(&mut self, rows: &[u32]) {
        if self.documents.is_empty() || rows.len() == 1 {
            return self.push(0, rows);
        }
        let mut start = 0;
        let mut round = 0;
        let mut held: Vec<Option<Patch>> = vec![None; self.documents.len()];
        for (index, &row) in rows.iter().enumerate() {
            if self.compose(&mut held, row).is_err() {
                if start < index {
                    self.push_patched(round, &rows[start..index], &mut held);
                    round += 1;
                    start = index;
                }
                // With nothing before it, only a document that is not taken apart is left: it goes by itself.
                if self.compose(&mut held, row).is_err() {
                    self.push(round, &rows[index..=index]);
                    round += 1;
                    start = index + 1;
                }
            }
        }
        if start < rows.len() {
            self.push_patched(round, &rows[start..], &mut held);
        }
    }

    /// Adds a row's patches to those before it. `Err`: they cannot be made one, and nothing has changed.
    fn compose(&self, held: &mut [Option<Patch>], row: u32) -> Result<(), ()> {
        let parse = |&column: &usize| match self.text(column, row) {
            Some(text) => Patch::parse(text).map(Some).ok_or(()),
            None => Ok(None),
        };
        let patches: Vec<Option<Patch>> = self.documents.iter().map(parse).collect::<Result<_, _>>()?;
        let fits = |(held, next): (&Option<Patch>, &Option<Patch>)| match (held, next) {
            (Some(held), Some(next)) => held.can_take(next),
            _ => true,
        };
        if !held.iter().zip(&patches).all(fits) {
            return Err(());
        }
        for (held, next) in held.iter_mut().zip(patches) {
            match (held.as_mut(), next) {
                (Some(held), Some(next)) => held.take(next),
                (None, Some(next)) => *held = Some(next),
                (_, None) => {}
            }
        }
        Ok(())
    }

    fn text(&self, column: usize, row: u32) -> Option<&str> {
        let texts = self.builder.input(column).as_any().downcast_ref::<StringArray>()?;
        texts.is_valid(row as usize).then(|| texts.value(row as usize))
    }

    fn push(&mut self, round: usize, rows: &[u32]) {
        let last = rows[rows.len() - 1];
        let patches: Vec<_> = self.documents.iter().map(|&column| self.text(column, last).map(str::to_owned)).collect();
        self.add(round, rows, patches);
    }

    fn push_patched(&mut self, round: usize, rows: &[u32], held: &mut [Option<Patch>]) {
        let patches = held.iter_mut().map(|patch| patch.take().map(|patch| patch.to_string())).collect();
        self.add(round, rows, patches);
    }

    fn add(&mut self, round: usize, rows: &[u32], patches: Vec<Option<String>>) {
        if self.rounds.len() <= round {
            let patches = vec![Vec::new(); self.documents.len()];
            self.rounds.push(Round { runs: Runs::default(), patches });
        }
        let round = &mut self.rounds[round];
        round.runs.push(rows);
        round.patches.iter_mut().zip(patches).for_each(|(all, patch)| all.push(patch));
    }

    /// Every row for itself, in the order of the records; a round ends where a key comes again.
    fn one_by_one(&mut self, selected: &Selected) {
        let keys = Keys::new(self.builder.rows.len(), selected);
        let mut last_round = vec![usize::MAX; keys.count];
        let mut round = 0;
        for &row in &selected.rows {
            let Some(key) = keys.of(row) else { continue };
            if last_round[key] == round {
                round += 1;
            }
            last_round[key] = round;
            self.push(round, &[row]);
        }
    }
}

/// The rows of a round but for their documents, which only a stored row can take.
fn put(builder: &Builder<'_>, runs: &Runs, reduced: &mut Reduced) {
    let plan = builder.plan;
    let last = Selection::new(runs.last_rows());
    let mut columns = Vec::with_capacity(plan.columns.len());
    let mut arrays = Vec::with_capacity(plan.columns.len());
    for column in 0..plan.columns.len() {
        let array = builder.input(column);
        let required = !plan.columns[column].column.nullable;
        let folded = match plan.merge(column) {
            None => last.take(array),
            // A patch of what is not there yet is one of an empty document; here it is only made room for.
            Some(Merge::JsonMerge) if required => Arc::new(StringArray::from(vec!["{}"; runs.len()])),
            Some(Merge::JsonMerge) => continue,
            Some(merge) => {
                let Folded { array, overflows } = fold(builder, column, merge, runs, &last);
                for row in overflows {
                    reduced.bad.push((builder.rows.origins[row as usize], overflow(plan, column)));
                }
                array
            }
        };
        columns.push(column);
        arrays.push(folded);
    }
    reduced.steps.push(builder.step(Action::Put, columns, arrays, None, last));
}

fn fold(builder: &Builder<'_>, column: usize, merge: Merge, runs: &Runs, last: &Selection) -> Folded {
    let array = builder.input(column);
    let whole = |array: ArrayRef| Folded { array, overflows: Vec::new() };
    let chosen = |array: &ArrayRef, rows: &UInt32Array| {
        whole(take(array, rows, None).expect("a selection of the batch's own rows"))
    };
    let fill = !builder.plan.columns[column].column.nullable && array.null_count() > 0;
    match merge {
        Merge::Sum if !runs.are_single() || fill => merge::sum(array, runs, fill),
        Merge::BitOr if !runs.are_single() || fill => merge::bit_or(array, runs, fill),
        Merge::Min | Merge::Max if !runs.are_single() => {
            chosen(array, &merge::extreme(array, merge == Merge::Max, runs))
        }
        Merge::First { by } | Merge::Last { by } => chosen(array, &picked(builder, by, runs)),
        // An order without a value says nothing.
        Merge::Order { .. } => chosen(&order(builder, column), &picked(builder, column, runs)),
        _ => whole(last.take(array)),
    }
}

/// The row of each run that has the first or last value by the column `by`.
fn picked(builder: &Builder<'_>, by: usize, runs: &Runs) -> UInt32Array {
    let Some(Merge::Order { lead, last }) = builder.plan.merge(by) else {
        unreachable!("the planner makes the column that orders a value an order");
    };
    merge::pick(builder.input(lead), &order(builder, by), last, runs)
}

/// The values of an order column as the table can hold them: what is one time there must be one here.
fn order(builder: &Builder<'_>, by: usize) -> ArrayRef {
    let (plan, array) = (builder.plan, builder.input(by));
    let native = &plan.columns[by].column.native;
    let digits = native.split_once('(').and_then(|(_, rest)| rest.split_once(')')?.0.parse::<u32>().ok());
    // Of the databases with schemas, PostgreSQL alone gives its types numbers; it keeps microseconds by default.
    let is_mysql = plan.table.schema.is_some() && plan.columns[by].column.oid == 0;
    let digits = digits.unwrap_or(if is_mysql { 0 } else { 6 });
    // SQLite stores a time as its text, whatever the declared type says.
    if plan.table.schema.is_none() || digits >= 6 {
        return Arc::clone(array);
    }
    merge::floored(array, 10_i64.pow(6 - digits))
}

/// What the documents of the stored rows become.
fn patch(builder: &Builder<'_>, round: &Round, documents: &[usize], steps: &mut Vec<Step>) {
    let is_patched = |run: &usize| round.patches.iter().any(|patches| patches[*run].is_some());
    let runs: Vec<usize> = (0..round.runs.len()).filter(is_patched).collect();
    if runs.is_empty() {
        return;
    }
    let last = round.runs.last_rows();
    let rows = Selection::new(runs.iter().map(|&run| last[run]).collect());
    let mut columns = [builder.plan.key.as_slice(), documents].concat();
    columns.sort_unstable();
    let array = |&column: &usize| match documents.iter().position(|&document| document == column) {
        Some(document) => {
            let texts = runs.iter().map(|&run| round.patches[document][run].as_deref());
            Arc::new(texts.collect::<StringArray>()) as ArrayRef
        }
        None => rows.take(builder.input(column)),
    };
    let arrays = columns.iter().map(array).collect();
    steps.push(builder.step(Action::Patch, columns, arrays, None, rows));
}

/// What a row must have, told of each row by itself, so that it does not matter which others are in its batch.
struct Checks<'a> {
    builder: &'a Builder<'a>,
    /// Columns that must have a value, and the column that takes no null: itself, or its order.
    required: Vec<(usize, usize)>,
    /// The first column of an order, and another one that must be null where that is.
    together: Vec<(usize, usize)>,
}

impl<'a> Checks<'a> {
    fn new(builder: &'a Builder<'_>) -> Self {
        let plan = builder.plan;
        let mut checks = Self { builder, required: Vec::new(), together: Vec::new() };
        for column in 0..plan.columns.len() {
            let Some(merge) = plan.merge(column) else { continue };
            let has_zero = matches!(merge, Merge::Sum | Merge::BitOr);
            if !plan.columns[column].column.nullable && !has_zero {
                checks.required.push((column, column));
                if let Merge::Order { lead, .. } = merge {
                    checks.required.push((lead, column));
                }
            }
            if let Merge::First { by } | Merge::Last { by } = merge
                && let Some(Merge::Order { lead, .. }) = plan.merge(by)
                && lead != column
            {
                checks.together.push((lead, column));
            }
        }
        checks.required.retain(|&(column, _)| builder.input(column).null_count() > 0);
        checks
    }

    fn fault(&self, row: u32) -> Option<Fault> {
        let plan = self.builder.plan;
        let is_null = |column: usize| self.builder.input(column).is_null(row as usize);
        let name = |column: usize| plan.columns[column].column.name.clone();
        if let Some(&(column, required)) = self.required.iter().find(|&&(column, _)| is_null(column)) {
            let reason = format!(
                "column {} takes no null, and the record brings no value of {} for it: drop its NOT NULL, so that \
                 such a record changes nothing in it",
                name(required),
                name(column)
            );
            return Some(fault("not-null", reason, name(required)));
        }
        let (lead, column) = *self.together.iter().find(|&&(a, b)| is_null(a) != is_null(b))?;
        let (without, with) = if is_null(lead) { (lead, column) } else { (column, lead) };
        let reason = format!(
            "column {} has no value while {}, which has the same order column, has one: give each an order column of \
             its own",
            name(without),
            name(with)
        );
        Some(fault("partial-order", reason, name(without)))
    }
}

fn overflow(plan: &TablePlan, column: usize) -> Fault {
    let column = &plan.columns[column].column;
    let ty = column.ty.as_ref().map_or_else(|| column.native.clone(), ToString::to_string);
    let reason = format!("column {}: what the batch's records add up to is out of the range of {ty}", column.name);
    fault("out-of-range", reason, column.name.clone())
}

fn fault(class: &'static str, reason: String, column: String) -> Fault {
    Fault { stage: Stage::Write, class, code: String::new(), reason, column: Some(column) }
}
