//! Between the statements of a merge table and those of the tables that follow it: the merged rows are read back, under
//! the locks that their statements took, and handed on.

use crate::follow::{Followers, Unfollowed, Wanted};
use crate::retry::Disposition;

use super::super::destination::Batch;
use super::super::error::WriteError;
use super::super::merged::{Partial, Problem};
use super::super::plan::TablePlan;
use super::super::reduce::{Reduced, reduce};
use super::super::retention;
use super::super::session::Session;
use super::super::step::Step;

/// What is done to a table that follows one before it; `None`: it follows none.
pub(super) fn reduced(batch: &Batch<'_>, table: usize, plan: &TablePlan) -> Result<Option<Reduced>, WriteError> {
    let Some(following) = batch.follow.and_then(|followers| followers.rows(table)) else { return Ok(None) };
    let (rows, expired) = retention::arriving(plan, &following.rows);
    let mut reduced = reduce(plan, &rows, batch.in_order);
    reduced.counts.expired = expired;
    if let Some((record, fault)) = reduced.bad.first() {
        return Err(blameless(super::bad_row(plan, *record, fault)));
    }
    reduced.counts.filtered += following.filtered;
    Ok(Some(reduced))
}

/// Hands on what the steps merged into a table, where something follows from it.
pub(super) async fn hand_on<S: Session>(
    session: &mut S,
    batch: &Batch<'_>,
    table: usize,
    plan: &TablePlan,
    steps: &[Step],
) -> Result<(), WriteError> {
    let Some((followers, wanted)) = batch.follow.and_then(|all| Some((all, all.wanted(table)?))) else { return Ok(()) };
    let Some(partial) = Partial::of(plan, steps) else { return Ok(()) };
    hand_over(session, followers, table, plan, wanted, &partial)
        .await
        .map_err(|error| error.on_table(plan.table.full_name()))
}

async fn hand_over<S: Session>(
    session: &mut S,
    followers: &dyn Followers,
    table: usize,
    plan: &TablePlan,
    wanted: &[Wanted],
    partial: &Partial<'_>,
) -> Result<(), WriteError> {
    let columns: Vec<usize> = plan.key.iter().copied().chain(wanted.iter().map(|wanted| wanted.column)).collect();
    let stored = session.read(plan, &partial.keys(), &columns).await?;
    let merged = partial.with_stored(wanted, stored).map_err(told)?;
    followers.take(table, merged).map_err(|Unfollowed { class, message }| {
        WriteError::new(Disposition::Block, class, "", format!("what follows from it: {message}")).answered()
    })
}

fn told(problem: Problem) -> WriteError {
    let error = WriteError::new(Disposition::Block, problem.class, "", problem.message).answered();
    match problem.column {
        Some(column) => error.on_column(column),
        None => error,
    }
}

/// A row that follows from totals accuses no record: which records a total has depends on how they were cut into
/// batches, and another record would meet the same.
pub(super) fn blameless(error: WriteError) -> WriteError {
    if error.disposition != Disposition::Isolate {
        return error;
    }
    let message = format!(
        "{}; the row follows from totals, so no record is set aside for it: correct the `sql` of the section, or the \
         table",
        error.message
    );
    WriteError { disposition: Disposition::Block, suspect: None, message, ..error }
}
