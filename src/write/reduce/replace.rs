//! The rows of one parent -> its last record's.
//!
//! Each record of a batch replaces the rows that its parent has, those of earlier records of the batch included. So what
//! all of them leave is a removal of every parent's stored rows, and the rows of each parent's last record. No row of one
//! parent can take the place of another's (the planner sees to it), so removals of all parents may come first.

use crate::rows::Operation;

use super::build::Builder;
use super::{Reduced, Selected};

/// Makes the removal the first step, and leaves in `selected` the rows that stay.
pub(super) fn remove_first(builder: &Builder<'_>, selected: &mut Selected, reduced: &mut Reduced) {
    let Some(parents) = &selected.parents else { return };
    let operations = &builder.rows.operations;
    let is_mark = |row: &u32| operations[*row as usize] == Operation::Replace;
    let sorted = parents.sorted(&selected.rows);
    let mut removals = Vec::new();
    let mut kept = Vec::with_capacity(selected.rows.len());
    for rows in sorted.chunk_by(|a, b| parents.get(*a) == parents.get(*b)) {
        // The rows of a record follow its mark.
        let last = rows.iter().rposition(is_mark);
        removals.extend(last.map(|last| rows[last]));
        let (before, after) = rows.split_at(last.map_or(0, |last| last + 1));
        reduced.counts.collapsed += before.iter().filter(|row| !is_mark(row)).count() as u64;
        kept.extend_from_slice(after);
    }
    kept.sort_unstable();
    selected.rows = kept;
    builder.replace(removals, &mut reduced.steps);
}
