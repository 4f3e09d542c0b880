//! The statements that write rows: pure functions from a plan to SQL. One text per table, action and set of columns,
//! whatever the number of rows, so that each is prepared once per connection.

use std::fmt::Write as _;

use crate::config::{Missing, Mode};
use crate::types::ColumnType;
use crate::write::catalog::{CatalogColumn, CatalogTable};
use crate::write::plan::{DeletePlan, TablePlan};

use super::wire::Parameter;

/// Quotes an identifier. Every name is one that the catalog reported, so it is short enough and holds no NUL.
pub(super) fn quote(identifier: &str) -> String {
    format!("\"{}\"", identifier.replace('"', "\"\""))
}

pub(super) fn qualified(table: &CatalogTable) -> String {
    match &table.schema {
        Some(schema) => format!("{}.{}", quote(schema), quote(&table.name)),
        None => quote(&table.name),
    }
}

/// `COPY .. FROM STDIN` of these columns.
pub(super) fn copy(plan: &TablePlan, columns: &[usize]) -> String {
    format!("COPY {} ({}) FROM STDIN (FORMAT binary)", qualified(&plan.table), names(plan, columns).join(", "))
}

/// The statement of a put by arrays, one parameter per column.
pub(super) fn put(plan: &TablePlan, columns: &[usize], parameters: &[Parameter]) -> String {
    if plan.mode == Mode::Update { update(plan, columns, parameters) } else { insert(plan, columns, parameters) }
}

fn insert(plan: &TablePlan, columns: &[usize], parameters: &[Parameter]) -> String {
    let mut targets = names(plan, columns);
    let mut values: Vec<String> = parameters.iter().enumerate().map(|(index, item)| value(index, item)).collect();
    if let DeletePlan::Soft(mark) = &plan.deletes
        && is_flag_without_default(mark)
    {
        targets.push(quote(&mark.name));
        values.push("false".to_owned());
    }
    let mut sql = format!(
        "INSERT INTO {} AS t ({})\nSELECT {}\nFROM {}",
        qualified(&plan.table),
        targets.join(", "),
        values.join(", "),
        unnest(parameters)
    );
    match plan.mode {
        Mode::Append | Mode::Update => {}
        Mode::InsertIgnore if plan.key.is_empty() => sql.push_str("\nON CONFLICT DO NOTHING"),
        Mode::InsertIgnore => write!(sql, "\nON CONFLICT ({}) DO NOTHING", key_names(plan)).expect("a String grows"),
        Mode::Upsert => sql.push_str(&on_conflict_update(plan, columns)),
        Mode::Merge => sql.push_str(&super::merge::on_conflict(plan, columns)),
    }
    sql
}

/// Does a repeated put of the same key leave the stored row alone, so that the server does not count it?
pub(super) fn leaves_stored_row(plan: &TablePlan, columns: &[usize]) -> bool {
    match plan.mode {
        Mode::Upsert => upsert_assignments(plan, columns).is_empty(),
        Mode::Merge => super::merge::assignments(plan, columns).is_empty(),
        _ => false,
    }
}

fn on_conflict_update(plan: &TablePlan, columns: &[usize]) -> String {
    let assignments = upsert_assignments(plan, columns);
    if assignments.is_empty() {
        return format!("\nON CONFLICT ({}) DO NOTHING", key_names(plan));
    }
    let mut sql = format!("\nON CONFLICT ({}) DO UPDATE SET {}", key_names(plan), assignments.join(", "));
    if let Some(version) = plan.version {
        let name = quote(&plan.columns[version].column.name);
        if columns.contains(&version) || plan.missing != Missing::Keep {
            write!(sql, "\nWHERE t.{name} IS NULL OR EXCLUDED.{name} >= t.{name}").expect("a String grows");
        } else {
            // A row without a version is one with a null version, which replaces no stored one.
            write!(sql, "\nWHERE t.{name} IS NULL").expect("a String grows");
        }
    }
    sql
}

/// What the conflicting row becomes. EXCLUDED holds the default of a column that is not inserted.
fn upsert_assignments(plan: &TablePlan, columns: &[usize]) -> Vec<String> {
    let is_set = |column: &usize| plan.missing != Missing::Keep || columns.contains(column);
    let mut assignments: Vec<String> = non_key_columns(plan)
        .filter(is_set)
        .map(|column| quote(&plan.columns[column].column.name))
        .map(|name| format!("{name} = EXCLUDED.{name}"))
        .collect();
    assignments.extend(cleared_mark(plan));
    assignments
}

fn update(plan: &TablePlan, columns: &[usize], parameters: &[Parameter]) -> String {
    let place = |column: usize| columns.iter().position(|&present| present == column);
    let mut assignments: Vec<String> = non_key_columns(plan)
        .filter_map(|column| {
            let name = quote(&plan.columns[column].column.name);
            match place(column) {
                Some(index) => Some(format!("{name} = {}", value(index, &parameters[index]))),
                None if plan.missing == Missing::Keep => None,
                None => Some(format!("{name} = DEFAULT")),
            }
        })
        .collect();
    assignments.extend(cleared_mark(plan));
    if assignments.is_empty() {
        // Nothing but the key: the row is written as it is, so that it is counted as found.
        assignments.push(names(plan, &plan.key[..1]).iter().map(|name| format!("{name} = t.{name}")).collect());
    }
    let mut sql = format!(
        "UPDATE {} AS t SET {}\nFROM {}\nWHERE {}",
        qualified(&plan.table),
        assignments.join(", "),
        unnest(parameters),
        key_equals(plan, columns, parameters)
    );
    if let Some(version) = plan.version {
        let name = quote(&plan.columns[version].column.name);
        match place(version) {
            Some(index) => {
                let new = value(index, &parameters[index]);
                write!(sql, " AND (t.{name} IS NULL OR {new} >= t.{name})").expect("a String grows");
            }
            None => write!(sql, " AND t.{name} IS NULL").expect("a String grows"),
        }
    }
    sql
}

/// Removes the rows that have these values in `columns`: in the key, or in the parent's.
pub(super) fn delete(plan: &TablePlan, columns: &[usize], parameters: &[Parameter]) -> String {
    let equal = columns.iter().enumerate().map(|(index, &column)| equals(plan, column, index, parameters));
    format!(
        "DELETE FROM {} AS t\nUSING {}\nWHERE {}",
        qualified(&plan.table),
        unnest(parameters),
        equal.collect::<Vec<_>>().join(" AND ")
    )
}

/// Marks the rows of the keys in `columns`; the mark is the last parameter.
pub(super) fn soft_delete(
    plan: &TablePlan,
    mark: &CatalogColumn,
    columns: &[usize],
    parameters: &[Parameter],
) -> String {
    format!(
        "UPDATE {} AS t SET {} = {}\nFROM {}\nWHERE {}",
        qualified(&plan.table),
        quote(&mark.name),
        value(columns.len(), &parameters[columns.len()]),
        unnest(parameters),
        key_equals(plan, columns, parameters)
    )
}

fn names(plan: &TablePlan, columns: &[usize]) -> Vec<String> {
    columns.iter().map(|&column| quote(&plan.columns[column].column.name)).collect()
}

pub(super) fn key_names(plan: &TablePlan) -> String {
    names(plan, &plan.key).join(", ")
}

fn non_key_columns(plan: &TablePlan) -> impl Iterator<Item = usize> {
    (0..plan.columns.len()).filter(|&column| !plan.is_key(column))
}

/// How a put takes a deletion mark back: to the column's default, else to null, else to false.
fn cleared_mark(plan: &TablePlan) -> Option<String> {
    let DeletePlan::Soft(mark) = &plan.deletes else {
        return None;
    };
    let cleared = match mark {
        _ if mark.has_default => "DEFAULT",
        _ if is_flag_without_default(mark) => "false",
        _ => "NULL",
    };
    Some(format!("{} = {cleared}", quote(&mark.name)))
}

/// A boolean mark that takes neither a null nor a default must be inserted as false.
fn is_flag_without_default(mark: &CatalogColumn) -> bool {
    mark.ty == Some(ColumnType::Bool) && !mark.nullable && !mark.has_default
}

pub(super) fn unnest(parameters: &[Parameter]) -> String {
    let arrays: Vec<String> =
        parameters.iter().enumerate().map(|(index, item)| format!("${}::{}[]", index + 1, item.name)).collect();
    let columns: Vec<String> = (0..parameters.len()).map(|index| format!("c{index}")).collect();
    format!("unnest({}) AS u({})", arrays.join(", "), columns.join(", "))
}

fn value(index: usize, parameter: &Parameter) -> String {
    match &parameter.cast {
        Some(cast) => format!("u.c{index}::{cast}"),
        None => format!("u.c{index}"),
    }
}

pub(super) fn key_equals(plan: &TablePlan, columns: &[usize], parameters: &[Parameter]) -> String {
    let keys = columns.iter().enumerate().filter(|(_, column)| plan.is_key(**column));
    let terms = keys.map(|(index, &column)| equals(plan, column, index, parameters));
    terms.collect::<Vec<_>>().join(" AND ")
}

fn equals(plan: &TablePlan, column: usize, index: usize, parameters: &[Parameter]) -> String {
    format!("t.{} = {}", quote(&plan.columns[column].column.name), value(index, &parameters[index]))
}

#[cfg(test)]
mod tests;
