//! Builds the SQL of the steps. Pure: from a plan and a step's shape to text with places for the values, row by row.
//!
//! The places are plain `?`: of numbered ones SQLite keeps a list of names, which every binding searches.
//! Every column is qualified: SQLite takes an unqualified `"name"` that is no column for a string.

use std::collections::HashMap;
use std::fmt::Write;

use crate::config::{Missing, Mode};
use crate::types::ColumnType;
use crate::write::catalog::CatalogColumn;
use crate::write::plan::{DeletePlan, TablePlan};
use crate::write::step::Action;

use super::merge;

/// Rows per statement. A hundred is where SQLite's rows per second no longer grow; few sizes keep the connection's
/// cache of prepared statements small.
const SIZES: [usize; 3] = [100, 10, 1];

/// `SQLITE_MAX_VARIABLE_NUMBER` as SQLite is built by default.
const MAX_BINDS: usize = 32_766;

/// The most rows, of `left`, that one statement takes with `columns` values a row.
pub(super) fn rows_of_next_statement(left: usize, columns: usize) -> usize {
    // A table has at most 2,000 columns, so ten rows always fit.
    SIZES.into_iter().find(|&rows| rows <= left && rows * columns <= MAX_BINDS).unwrap_or(1)
}

/// `"name"`, whatever is in it.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A step's statement for a number of rows.
pub(super) struct Shape<'a> {
    pub plan: &'a TablePlan,
    pub action: Action,
    /// As [`crate::write::step::Step::columns`].
    pub columns: &'a [usize],
    /// The DEFAULTs as SQL text of the columns that an update sets although its rows do not have them, by index into
    /// `plan.columns`.
    pub defaults: &'a HashMap<usize, String>,
    /// The columns of a merge whose new values the rows hold already, see [`merge::made_here`].
    pub made_here: &'a [usize],
}

impl Shape<'_> {
    /// Values per row.
    pub fn width(&self) -> usize {
        self.columns.len() + usize::from(self.action == Action::SoftDelete)
    }

    pub fn sql(&self, rows: usize) -> String {
        match (self.action, self.plan.mode) {
            (Action::Put, Mode::Append) => self.insert(rows, ""),
            (Action::Put, Mode::InsertIgnore) => self.insert(rows, " ON CONFLICT DO NOTHING"),
            (Action::Put, Mode::Upsert) => self.insert(rows, &self.on_conflict()),
            (Action::Put, Mode::Merge) => {
                self.insert(rows, &merge::on_conflict(self.plan, self.columns, self.made_here))
            }
            (Action::Put, Mode::Update) => self.update(rows),
            (Action::Patch, _) => self.update_from(rows, &merge::patches(self.plan, self.columns)),
            (Action::Delete | Action::Replace, _) => self.delete(rows),
            (Action::SoftDelete, _) => self.soft_delete(rows),
        }
    }

    fn name(&self, column: usize) -> String {
        quoted(&self.plan.columns[column].column.name)
    }

    /// The marking column and the value that unmarks a row.
    fn unmark(&self) -> Option<(String, &'static str)> {
        match &self.plan.deletes {
            DeletePlan::Soft(mark) => Some((quoted(&mark.name), cleared(mark))),
            DeletePlan::Hard | DeletePlan::Ignore => None,
        }
    }

    /// `OR ABORT` overrules `ON CONFLICT IGNORE` and the like in a table's definition, which would lose rows silently.
    fn insert(&self, rows: usize, conflict: &str) -> String {
        let mut names: Vec<String> = self.columns.iter().map(|&column| self.name(column)).collect();
        let unmark = self.unmark().filter(|_| self.plan.mode == Mode::Upsert);
        let literal = unmark.as_ref().map(|(_, cleared)| *cleared);
        names.extend(unmark.map(|(name, _)| name));
        let mut sql =
            format!("INSERT OR ABORT INTO {} AS t ({}) VALUES ", quoted(&self.plan.table.name), names.join(", "));
        places(&mut sql, rows, self.width(), literal);
        sql.push_str(conflict);
        sql
    }

    fn on_conflict(&self) -> String {
        let plan = self.plan;
        let key: Vec<String> = plan.key.iter().map(|&column| self.name(column)).collect();
        let mut sets: Vec<String> = (0..plan.columns.len())
            .filter(|column| !plan.is_key(*column))
            // `excluded` holds the DEFAULT of a column that the statement does not name.
            .filter(|column| self.columns.contains(column) || plan.missing != Missing::Keep)
            .map(|column| format!("{0} = excluded.{0}", self.name(column)))
            .collect();
        sets.extend(self.unmark().map(|(name, _)| format!("{name} = excluded.{name}")));
        let mut sql = format!(" ON CONFLICT ({}) DO ", key.join(", "));
        if sets.is_empty() {
            sql.push_str("NOTHING");
            return sql;
        }
        let _ = write!(sql, "UPDATE SET {}", sets.join(", "));
        if let Some(version) = plan.version {
            let _ = write!(sql, " WHERE {}", newer(&self.name(version), &format!("excluded.{}", self.name(version))));
        }
        sql
    }

    fn update(&self, rows: usize) -> String {
        let plan = self.plan;
        let mut sets: Vec<String> = (0..plan.columns.len())
            .filter(|column| !plan.is_key(*column))
            .filter_map(|column| {
                let value = match self.value(column) {
                    Some(value) => value,
                    None if plan.missing == Missing::Keep => return None,
                    None => format!("({})", self.defaults.get(&column).map_or("NULL", String::as_str)),
                };
                Some(format!("{} = {value}", self.name(column)))
            })
            .collect();
        sets.extend(self.unmark().map(|(name, cleared)| format!("{name} = {cleared}")));
        if sets.is_empty() {
            // Nothing to set, but the rows that are there are to be counted.
            sets.extend(plan.key.first().map(|&column| format!("{0} = t.{0}", self.name(column))));
        }
        let mut sql = self.update_from(rows, &sets.join(", "));
        if let Some(version) = plan.version {
            let new = self.value(version).unwrap_or_else(|| "NULL".to_owned());
            let _ = write!(sql, " AND ({})", newer(&self.name(version), &new));
        }
        sql
    }

    fn soft_delete(&self, rows: usize) -> String {
        let (mark, _) = self.unmark().expect("only a plan with a marking column has soft deletes");
        self.update_from(rows, &format!("{mark} = v.column{}", self.width()))
    }

    /// `UPDATE .. SET {sets} FROM (VALUES ..) AS v WHERE` the keys are equal.
    fn update_from(&self, rows: usize, sets: &str) -> String {
        let mut sql = format!("UPDATE OR ABORT {} AS t SET {sets} FROM (VALUES ", quoted(&self.plan.table.name));
        places(&mut sql, rows, self.width(), None);
        let keys: Vec<String> = self.keys().map(|(key, value)| format!("t.{key} = v.column{value}")).collect();
        let _ = write!(sql, ") AS v WHERE {}", keys.join(" AND "));
        sql
    }

    /// With `IN` for one column and `OR` for several: `(a, b) IN (VALUES ..)` would read the whole table, as SQLite
    /// uses no index for it.
    fn delete(&self, rows: usize) -> String {
        let mut sql = format!("DELETE FROM {} AS t WHERE ", quoted(&self.plan.table.name));
        if let [column] = self.columns {
            let _ = write!(sql, "t.{} IN (", self.name(*column));
            repeat(&mut sql, "?", rows, ", ");
            sql.push(')');
            return sql;
        }
        let keys: Vec<String> = self.columns.iter().map(|&column| format!("t.{} = ?", self.name(column))).collect();
        let row = format!("({})", keys.join(" AND "));
        repeat(&mut sql, &row, rows, " OR ");
        sql
    }

    /// The key's columns with the numbers of their values within a row.
    fn keys(&self) -> impl Iterator<Item = (String, usize)> {
        self.plan.key.iter().map(|&column| {
            let value = self.columns.iter().position(|&have| have == column).expect("a step's rows have their key");
            (self.name(column), value + 1)
        })
    }

    /// Where an update's row has the value of a column.
    fn value(&self, column: usize) -> Option<String> {
        self.columns.iter().position(|&have| have == column).map(|value| format!("v.column{}", value + 1))
    }
}

/// Applies where the new version is not below the stored one; a null replaces only a null.
fn newer(name: &str, new: &str) -> String {
    format!("{new} >= t.{name} OR t.{name} IS NULL")
}

/// What the marking column of a row that is there holds: false where true marks it as gone, else null.
fn cleared(mark: &CatalogColumn) -> &'static str {
    match mark.ty {
        Some(ColumnType::Bool | ColumnType::Int64 | ColumnType::UInt64) => "0",
        _ => "NULL",
    }
}

/// `(?, ?), (?, ?)`, each with `literal` at its end.
pub(super) fn places(sql: &mut String, rows: usize, width: usize, literal: Option<&str>) {
    let mut row: Vec<&str> = vec!["?"; width];
    row.extend(literal);
    let row = format!("({})", row.join(", "));
    repeat(sql, &row, rows, ", ");
}

fn repeat(sql: &mut String, part: &str, times: usize, separator: &str) {
    for index in 0..times {
        if index > 0 {
            sql.push_str(separator);
        }
        sql.push_str(part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::write::catalog::CatalogTable;
    use crate::write::plan::PlanColumn;

    fn column(name: &str, ty: ColumnType) -> CatalogColumn {
        let native = ty.to_string();
        let name = name.to_owned();
        CatalogColumn { name, ty: Some(ty), native, oid: 0, nullable: true, has_default: false, generated: false }
    }

    /// `a`, `b` (the key), `v` (the version where there is one) and a name that must be quoted.
    fn plan(mode: Mode) -> TablePlan {
        let columns: Vec<_> = ["a", "b", "v", "odd\"; --"].iter().map(|name| column(name, ColumnType::Text)).collect();
        let table = CatalogTable {
            schema: None,
            name: "my table".to_owned(),
            columns: columns.clone(),
            unique: Vec::new(),
            unusable_unique: Vec::new(),
        };
        let columns = columns.into_iter().enumerate().map(|(input, column)| PlanColumn { column, input }).collect();
        let (deletes, missing) = (DeletePlan::Hard, Missing::Null);
        TablePlan {
            table,
            mode,
            columns,
            key: vec![1, 0],
            deletes,
            version: None,
            missing,
            replace: None,
            retention: None,
            merge: Vec::new(),
        }
    }

    /// On several lines, for reading.
    fn sql(plan: &TablePlan, action: Action, columns: &[usize], rows: usize) -> String {
        let defaults = HashMap::from([(3, "CURRENT_TIMESTAMP".to_owned())]);
        let mut sql = Shape { plan, action, columns, defaults: &defaults, made_here: &[] }.sql(rows);
        for part in [" SET ", " VALUES ", " FROM ", " ON CONFLICT ", " WHERE "] {
            sql = sql.replace(part, &format!("\n{}", part.trim_start()));
        }
        sql
    }

    #[test]
    fn rows_are_added() {
        insta::assert_snapshot!(sql(&plan(Mode::Append), Action::Put, &[0, 3], 2), @r#"
        INSERT OR ABORT INTO "my table" AS t ("a", "odd""; --")
        VALUES (?, ?), (?, ?)
        "#);
        insta::assert_snapshot!(sql(&plan(Mode::InsertIgnore), Action::Put, &[0, 1, 2, 3], 1), @r#"
        INSERT OR ABORT INTO "my table" AS t ("a", "b", "v", "odd""; --")
        VALUES (?, ?, ?, ?)
        ON CONFLICT DO NOTHING
        "#);
    }

    #[test]
    fn rows_replace_those_of_their_key() {
        let mut plan = plan(Mode::Upsert);
        insta::assert_snapshot!(sql(&plan, Action::Put, &[0, 1, 2, 3], 1), @r#"
        INSERT OR ABORT INTO "my table" AS t ("a", "b", "v", "odd""; --")
        VALUES (?, ?, ?, ?)
        ON CONFLICT ("b", "a") DO UPDATE
        SET "v" = excluded."v", "odd""; --" = excluded."odd""; --"
        "#);
        plan.version = Some(2);
        insta::assert_snapshot!(sql(&plan, Action::Put, &[0, 1, 2, 3], 1), @r#"
        INSERT OR ABORT INTO "my table" AS t ("a", "b", "v", "odd""; --")
        VALUES (?, ?, ?, ?)
        ON CONFLICT ("b", "a") DO UPDATE
        SET "v" = excluded."v", "odd""; --" = excluded."odd""; --"
        WHERE excluded."v" >= t."v" OR t."v" IS NULL
        "#);
    }

    #[test]
    fn a_missing_column_takes_its_default_or_keeps_its_value() {
        let mut plan = plan(Mode::Upsert);
        plan.missing = Missing::Default;
        insta::assert_snapshot!(sql(&plan, Action::Put, &[0, 1, 2], 1), @r#"
        INSERT OR ABORT INTO "my table" AS t ("a", "b", "v")
        VALUES (?, ?, ?)
        ON CONFLICT ("b", "a") DO UPDATE
        SET "v" = excluded."v", "odd""; --" = excluded."odd""; --"
        "#);
        plan.missing = Missing::Keep;
        insta::assert_snapshot!(sql(&plan, Action::Put, &[0, 1, 2], 1), @r#"
        INSERT OR ABORT INTO "my table" AS t ("a", "b", "v")
        VALUES (?, ?, ?)
        ON CONFLICT ("b", "a") DO UPDATE
        SET "v" = excluded."v"
        "#);
        plan.mode = Mode::Update;
        insta::assert_snapshot!(sql(&plan, Action::Put, &[0, 1, 2], 1), @r#"
        UPDATE OR ABORT "my table" AS t
        SET "v" = v.column3
        FROM (VALUES (?, ?, ?)) AS v
        WHERE t."b" = v.column2 AND t."a" = v.column1
        "#);
        plan.missing = Missing::Default;
        insta::assert_snapshot!(sql(&plan, Action::Put, &[0, 1, 2], 1), @r#"
        UPDATE OR ABORT "my table" AS t
        SET "v" = v.column3, "odd""; --" = (CURRENT_TIMESTAMP)
        FROM (VALUES (?, ?, ?)) AS v
        WHERE t."b" = v.column2 AND t."a" = v.column1
        "#);
    }

    #[test]
    fn a_table_that_is_all_key_has_nothing_to_change() {
        let mut plan = plan(Mode::Upsert);
        plan.columns.truncate(2);
        insta::assert_snapshot!(sql(&plan, Action::Put, &[0, 1], 1), @r#"
        INSERT OR ABORT INTO "my table" AS t ("a", "b")
        VALUES (?, ?)
        ON CONFLICT ("b", "a") DO NOTHING
        "#);
        plan.mode = Mode::Update;
        insta::assert_snapshot!(sql(&plan, Action::Put, &[0, 1], 1), @r#"
        UPDATE OR ABORT "my table" AS t
        SET "b" = t."b"
        FROM (VALUES (?, ?)) AS v
        WHERE t."b" = v.column2 AND t."a" = v.column1
        "#);
    }

    #[test]
    fn an_update_touches_only_rows_that_are_there() {
        let mut plan = plan(Mode::Update);
        plan.version = Some(2);
        insta::assert_snapshot!(sql(&plan, Action::Put, &[0, 1, 2, 3], 2), @r#"
        UPDATE OR ABORT "my table" AS t
        SET "v" = v.column3, "odd""; --" = v.column4
        FROM (VALUES (?, ?, ?, ?), (?, ?, ?, ?)) AS v
        WHERE t."b" = v.column2 AND t."a" = v.column1 AND (v.column3 >= t."v" OR t."v" IS NULL)
        "#);
        plan.missing = Missing::Keep;
        insta::assert_snapshot!(sql(&plan, Action::Put, &[0, 1], 1), @r#"
        UPDATE OR ABORT "my table" AS t
        SET "b" = t."b"
        FROM (VALUES (?, ?)) AS v
        WHERE t."b" = v.column2 AND t."a" = v.column1 AND (NULL >= t."v" OR t."v" IS NULL)
        "#);
    }

    #[test]
    fn rows_are_deleted_by_their_key() {
        let mut plan = plan(Mode::Upsert);
        insta::assert_snapshot!(sql(&plan, Action::Delete, &[0, 1], 2), @r#"
        DELETE
        FROM "my table" AS t
        WHERE (t."a" = ? AND t."b" = ?) OR (t."a" = ? AND t."b" = ?)
        "#);
        plan.key = vec![0];
        insta::assert_snapshot!(sql(&plan, Action::Delete, &[0], 3), @r#"
        DELETE
        FROM "my table" AS t
        WHERE t."a" IN (?, ?, ?)
        "#);
    }

    #[test]
    fn a_soft_delete_marks_and_an_upsert_clears_the_mark() {
        let mut plan = plan(Mode::Upsert);
        plan.deletes = DeletePlan::Soft(column("gone", ColumnType::Bool));
        insta::assert_snapshot!(sql(&plan, Action::SoftDelete, &[0, 1], 2), @r#"
        UPDATE OR ABORT "my table" AS t
        SET "gone" = v.column3
        FROM (VALUES (?, ?, ?), (?, ?, ?)) AS v
        WHERE t."b" = v.column2 AND t."a" = v.column1
        "#);
        insta::assert_snapshot!(sql(&plan, Action::Put, &[0, 1, 2, 3], 1), @r#"
        INSERT OR ABORT INTO "my table" AS t ("a", "b", "v", "odd""; --", "gone")
        VALUES (?, ?, ?, ?, 0)
        ON CONFLICT ("b", "a") DO UPDATE
        SET "v" = excluded."v", "odd""; --" = excluded."odd""; --", "gone" = excluded."gone"
        "#);
        plan.deletes = DeletePlan::Soft(column("gone_at", ColumnType::TimestampTz));
        plan.mode = Mode::Update;
        insta::assert_snapshot!(sql(&plan, Action::Put, &[0, 1, 2, 3], 1), @r#"
        UPDATE OR ABORT "my table" AS t
        SET "v" = v.column3, "odd""; --" = v.column4, "gone_at" = NULL
        FROM (VALUES (?, ?, ?, ?)) AS v
        WHERE t."b" = v.column2 AND t."a" = v.column1
        "#);
    }

    #[test]
    fn statements_have_few_sizes_and_never_too_many_values() {
        let sizes = |mut left: usize, columns: usize| {
            let mut sizes = Vec::new();
            while left > 0 {
                let rows = rows_of_next_statement(left, columns);
                assert!(rows * columns <= MAX_BINDS);
                sizes.push(rows);
                left -= rows;
            }
            sizes
        };
        assert_eq!(sizes(212, 8), [100, 100, 10, 1, 1]);
        assert_eq!(sizes(100, 327), [100]);
        assert_eq!(sizes(100, 328), [10; 10]);
        assert_eq!(sizes(20, 2000), [10, 10]);
    }
    #[test]
    fn partial_rows_are_added() {
        use crate::write::plan::Merge;
        let mut plan = plan(Mode::Merge);
        plan.columns
            .extend(["n", "at", "doc"].map(|name| PlanColumn { column: column(name, ColumnType::Text), input: 0 }));
        let functions = [Merge::Sum, Merge::Last { by: 5 }, Merge::Max, Merge::Order { lead: 3, last: true }];
        plan.merge = [&[None, None][..], &functions.map(Some), &[Some(Merge::JsonMerge)]].concat();
        let defaults = HashMap::new();
        let shape = |action, columns| Shape { plan: &plan, action, columns, defaults: &defaults, made_here: &[2] };
        insta::assert_snapshot!(shape(Action::Put, &[0, 1, 2, 3, 4, 5]).sql(1));
        insta::assert_snapshot!(shape(Action::Put, &[0, 1, 6]).sql(2));
        insta::assert_snapshot!(shape(Action::Patch, &[0, 1, 6]).sql(2));
        insta::assert_snapshot!(merge::select(&plan, &[2, 4], 2));
        let first = [Merge::BitOr, Merge::First { by: 5 }, Merge::Min, Merge::Order { lead: 3, last: false }];
        plan.merge.splice(2..6, first.map(Some));
        let shape = Shape {
            plan: &plan,
            action: Action::Put,
            columns: &[0, 1, 2, 3, 4, 5],
            defaults: &defaults,
            made_here: &[],
        };
        insta::assert_snapshot!(shape.sql(1));
    }
}
