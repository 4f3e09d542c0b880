//! The rows of one key -> the fewest statements that leave the table as all of them would, whatever is stored.
//!
//! What is left of a key is a hard delete and puts after it, or puts with one mark somewhere between them. Puts of one
//! key go into successive *rounds*, each its own statement. Nearly always there is one:
//!
//! - Without `version` a later put makes an earlier one needless where it writes all of its columns. Under
//!   `missing = "keep"` what it does not write is taken over from the earlier ones, so that there is always one row.
//!   Otherwise, what a statement does to the columns that it leaves out is the database's affair: two rounds.
//! - With `version`, a put that is older than an earlier one of the batch can never be applied: it is stale. One that
//!   is not older is applied whenever the earlier one is, so it makes that needless where it writes all of its
//!   columns. Rows are not merged: the earlier one may be stale against the stored row, and the later one not.

use std::cell::OnceCell;

use crate::config::Missing;
use crate::rows::Operation;

use super::super::keys::RowKeys;
use super::super::plan::DeletePlan;
use super::super::step::{RowCounts, Step};
use super::build::{Builder, Put};

/// What is to be done, by key within each list.
#[derive(Default)]
struct Schedule {
    /// Hard deletes, and marks with puts after them.
    first: Vec<u32>,
    rounds: Vec<Round>,
    /// Marks after all puts of their key.
    last: Vec<u32>,
}

impl Schedule {
    fn first_round(&mut self) -> &mut Vec<Put> {
        if self.rounds.is_empty() {
            self.rounds.push(Round::default());
        }
        &mut self.rounds[0].puts
    }
}

#[derive(Default)]
struct Round {
    puts: Vec<Put>,
    /// Marks between this round and the next.
    marks: Vec<u32>,
}

/// What is left so far of the key at hand.
#[derive(Default)]
struct Pending {
    delete: Option<u32>,
    puts: Vec<Put>,
    /// A soft delete, and how many of `puts` come before it.
    mark: Option<(u32, usize)>,
    /// The row with the highest version since the last hard delete: the last one that was not stale.
    newest: Option<u32>,
}

pub(super) struct Fold<'a> {
    builder: Builder<'a>,
    soft: bool,
    merges: bool,
    versions: OnceCell<RowKeys>,
    pending: Pending,
    schedule: Schedule,
    counts: RowCounts,
}

impl<'a> Fold<'a> {
    pub(super) fn new(builder: Builder<'a>) -> Self {
        let plan = builder.plan;
        Self {
            soft: matches!(plan.deletes, DeletePlan::Soft(_)),
            merges: plan.missing == Missing::Keep && plan.version.is_none(),
            builder,
            versions: OnceCell::new(),
            pending: Pending::default(),
            schedule: Schedule::default(),
            counts: RowCounts::default(),
        }
    }

    /// Adds all rows of one key, in their order. Keys come in their order.
    pub(super) fn key(&mut self, rows: &[u32]) {
        if let [row] = *rows
            && self.builder.rows.operations[row as usize] == Operation::Upsert
        {
            return self.schedule.first_round().push(Put { row, set: self.builder.sets.of(row), merged: None });
        }
        for &row in rows {
            match self.builder.rows.operations[row as usize] {
                Operation::Upsert => self.upsert(row),
                Operation::Delete if self.soft => self.mark(row),
                Operation::Delete => self.delete(row),
                // Those come before all rows of their parent.
                Operation::Replace => {}
            }
        }
        self.schedule();
    }

    /// The steps, and what was decided here.
    pub(super) fn finish(self) -> (Vec<Step>, RowCounts) {
        let mut steps = Vec::new();
        self.builder.delete(self.schedule.first, &mut steps);
        for round in self.schedule.rounds {
            self.builder.puts(round.puts, &mut steps);
            self.builder.delete(round.marks, &mut steps);
        }
        self.builder.delete(self.schedule.last, &mut steps);
        (steps, self.counts)
    }

    fn delete(&mut self, row: u32) {
        self.counts.collapsed += self.pending.puts.len() as u64 + u64::from(self.pending.delete.is_some());
        self.pending.puts.clear();
        self.pending.delete = Some(row);
        self.pending.newest = None;
    }

    fn mark(&mut self, row: u32) {
        // The later mark overwrites the earlier one, and a put between them can only have cleared it.
        self.counts.collapsed += u64::from(self.pending.mark.is_some());
        self.pending.mark = Some((row, self.pending.puts.len()));
    }

    fn upsert(&mut self, row: u32) {
        let set = self.builder.sets.of(row);
        if self.builder.plan.version.is_some() {
            return self.versioned(row, set);
        }
        // It clears the mark, whatever happens before it.
        self.counts.collapsed += u64::from(self.pending.mark.take().is_some());
        self.drop_overwritten(set);
        if self.merges
            && let Some(earlier) = self.pending.puts.pop()
        {
            let merged = self.merge(earlier, row, set);
            self.counts.collapsed += 1;
            return self.pending.puts.push(merged);
        }
        self.pending.puts.push(Put { row, set, merged: None });
    }

    fn versioned(&mut self, row: u32, set: u32) {
        let comparable = self.has_known_version(set);
        if let (true, Some(newest)) = (comparable, self.pending.newest) {
            // `None` is below every version: a null never replaces one.
            if self.version(row) < self.version(newest) {
                self.counts.stale += 1;
                return;
            }
        }
        if comparable {
            self.drop_overwritten(set);
            self.pending.newest = Some(row);
        }
        self.pending.puts.push(Put { row, set, merged: None });
    }

    /// A version that the row leaves to a default of the database cannot be compared here.
    fn has_known_version(&self, set: u32) -> bool {
        let plan = self.builder.plan;
        plan.version
            .is_some_and(|column| self.builder.sets.contains(set, column) || !plan.columns[column].column.has_default)
    }

    fn version(&self, row: u32) -> Option<&[u8]> {
        let column = &self.builder.plan.columns[self.builder.plan.version?];
        let ty = column.column.ty.as_ref()?;
        let versions =
            self.versions.get_or_init(|| RowKeys::new(&[(self.builder.rows.batch.column(column.input), ty)]));
        versions.get(row)
    }

    /// Drops the puts at the end that a put of `set`, which is not older, overwrites in full.
    fn drop_overwritten(&mut self, set: u32) {
        let versioned = self.builder.plan.version.is_some();
        while let Some(last) = self.pending.puts.last() {
            let is_overwritten = self.builder.sets.is_subset(last.set, set);
            if !is_overwritten || versioned && !self.has_known_version(last.set) {
                break;
            }
            self.pending.puts.pop();
            self.counts.collapsed += 1;
        }
        if let Some((_, before)) = &mut self.pending.mark {
            *before = (*before).min(self.pending.puts.len());
        }
    }

    /// The earlier row, with what `row` has over it.
    fn merge(&mut self, earlier: Put, row: u32, set: u32) -> Put {
        let Builder { plan, sets, merged, .. } = &mut self.builder;
        let start = earlier.merged.unwrap_or_else(|| {
            let start = merged.len() as u32;
            merged.resize(merged.len() + plan.columns.len(), earlier.row);
            start
        });
        for &column in sets.columns(set) {
            merged[start as usize + column] = row;
        }
        Put { row, set: sets.union(earlier.set, set), merged: Some(start) }
    }

    fn schedule(&mut self) {
        let Pending { delete, puts, mark, newest } = &mut self.pending;
        let Schedule { first, rounds, last } = &mut self.schedule;
        first.extend(delete.take());
        if rounds.len() < puts.len() {
            rounds.resize_with(puts.len(), Round::default);
        }
        if let Some((row, before)) = mark.take() {
            match before {
                _ if before == puts.len() => last.push(row),
                0 => first.push(row),
                _ => rounds[before - 1].marks.push(row),
            }
        }
        for (round, put) in rounds.iter_mut().zip(puts.drain(..)) {
            round.puts.push(put);
        }
        *newest = None;
    }
}
