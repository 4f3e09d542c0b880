//! The statements of `mode = "merge"`: what a partial row and the stored one become together.

use crate::types::ColumnType;
use crate::write::plan::{Merge, TablePlan};

use super::statements::{self, Flavor, ROWS, Statement, TARGET, name, quote_table};

/// Assignments are evaluated from left to right and see what those before them did: a value that was taken is told by
/// its order and by the first column of that order, so these come last, the order at the very end.
pub(super) fn assignments(flavor: Flavor, plan: &TablePlan, columns: &[usize]) -> Vec<String> {
    let rank = |column: usize| match plan.merge(column) {
        Some(Merge::Order { .. }) => 2,
        _ if leads(plan, column) => 1,
        _ => 0,
    };
    let mut columns: Vec<usize> = columns.iter().copied().filter(|&column| plan.merge(column).is_some()).collect();
    columns.sort_by_key(|&column| rank(column));
    columns.into_iter().filter_map(|column| assignment(flavor, plan, column)).collect()
}

fn leads(plan: &TablePlan, column: usize) -> bool {
    let order = plan.order_of(column).and_then(|by| plan.merge(by));
    matches!(order, Some(Merge::Order { lead, .. }) if lead == column)
}

fn incoming(flavor: Flavor, plan: &TablePlan, column: usize) -> String {
    match flavor {
        Flavor::MySql => format!("{ROWS}.{}", name(plan, column)),
        Flavor::MariaDb => format!("VALUES({})", name(plan, column)),
    }
}

fn assignment(flavor: Flavor, plan: &TablePlan, column: usize) -> Option<String> {
    let name = name(plan, column);
    let stored = format!("{}.{name}", quote_table(&plan.table));
    let new = incoming(flavor, plan, column);
    let value = match plan.merge(column)? {
        Merge::Sum => format!("COALESCE({stored} + {new}, {stored}, {new})"),
        // Both are null where one of the values is.
        Merge::Min => format!("COALESCE(LEAST({stored}, {new}), {stored}, {new})"),
        Merge::Max => format!("COALESCE(GREATEST({stored}, {new}), {stored}, {new})"),
        Merge::BitOr if is_signed(plan, column) => {
            // The operator's result is unsigned.
            format!("COALESCE(CAST({stored} | {new} AS SIGNED), {stored}, {new})")
        }
        Merge::BitOr => format!("COALESCE({stored} | {new}, {stored}, {new})"),
        Merge::JsonMerge => return None,
        Merge::First { .. } | Merge::Last { .. } | Merge::Order { .. } => {
            format!("IF({}, {new}, {stored})", wins(flavor, plan, column)?)
        }
    };
    Some(format!("{name} = {value}"))
}

fn is_signed(plan: &TablePlan, column: usize) -> bool {
    use ColumnType::{Int8, Int16, Int32, Int64};
    matches!(plan.columns[column].column.ty, Some(Int8 | Int16 | Int32 | Int64))
}

/// Is the partial row's first or last value, and its order, the one to keep?
fn wins(flavor: Flavor, plan: &TablePlan, column: usize) -> Option<String> {
    let by = plan.order_of(column)?;
    let Merge::Order { lead, last } = plan.merge(by)? else { return None };
    let table = quote_table(&plan.table);
    let stored = |column| format!("{table}.{}", name(plan, column));
    let (new_lead, new_by) = (incoming(flavor, plan, lead), incoming(flavor, plan, by));
    let (old_lead, old_by) = (stored(lead), stored(by));
    Some(if last {
        format!("{new_lead} IS NOT NULL AND ({old_lead} IS NULL OR {old_by} IS NULL OR {new_by} >= {old_by})")
    } else {
        format!(
            "{new_lead} IS NOT NULL AND ({old_lead} IS NULL OR {new_by} < {old_by} \
             OR ({old_by} IS NULL AND {new_by} IS NOT NULL))"
        )
    })
}

/// Applies RFC 7396 patches to the rows of the keys in `columns`, which are locked by their put.
pub(super) fn patch(flavor: Flavor, plan: &TablePlan, columns: &[usize]) -> Statement {
    let documents = columns.iter().filter(|column| !plan.is_key(**column)).map(|&column| name(plan, column));
    let assignments = documents.map(|name| {
        let (stored, patch) = (format!("{TARGET}.{name}"), format!("{ROWS}.{name}"));
        let merged = format!("JSON_MERGE_PATCH(COALESCE({stored}, '{{}}'), {patch})");
        format!("{stored} = IF({patch} IS NULL, {stored}, {merged})")
    });
    statements::update_join(flavor, plan, columns, &assignments.collect::<Vec<_>>())
}
