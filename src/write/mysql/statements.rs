//! SQL as text. Identifiers are quoted, values are always placeholders.
//!
//! Updates and deletes join the table with the rows to apply:
//!
//! ```text
//! (SELECT key, .. FROM t WHERE FALSE UNION ALL VALUES ROW(?, ..), ..) AS rows STRAIGHT_JOIN t FORCE INDEX (key)
//! ```
//!
//! The empty first member gives the columns their names, types and collations, so that the join uses the key's index;
//! the order of the join makes it read the few rows and look each up, rather than scan (and lock) the table.

use crate::config::{Missing, Mode};
use crate::types::ColumnType;
use crate::write::catalog::{CatalogColumn, CatalogTable};
use crate::write::plan::{DeletePlan, TablePlan};
use crate::write::step::Action;

use super::merge;

/// The two servers, where they differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavor {
    MySql,
    MariaDb,
}

impl Flavor {
    fn row(self) -> &'static str {
        match self {
            Self::MySql => "ROW",
            Self::MariaDb => "",
        }
    }
}

/// The alias of the rows that come.
pub(super) const ROWS: &str = "tidegate_rows";
/// The alias of the table in a join.
pub(super) const TARGET: &str = "tidegate_target";

/// A quoted identifier.
pub(super) fn quote(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

pub(super) fn quote_table(table: &CatalogTable) -> String {
    match &table.schema {
        Some(schema) => format!("{}.{}", quote(schema), quote(&table.name)),
        None => quote(&table.name),
    }
}

/// A statement over any number of rows.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Statement {
    head: String,
    /// One row of placeholders.
    row: String,
    tail: String,
    /// Does the server tell how many rows it changed? `ON DUPLICATE KEY UPDATE` counts a row that was there and stays
    /// as it is like one that was inserted.
    pub tells_changed: bool,
}

impl Statement {
    pub fn sql(&self, rows: usize) -> String {
        let mut sql = String::with_capacity(self.head.len() + rows * (self.row.len() + 1) + self.tail.len());
        sql.push_str(&self.head);
        for row in 0..rows {
            if row > 0 {
                sql.push(',');
            }
            sql.push_str(&self.row);
        }
        sql.push_str(&self.tail);
        sql
    }

    /// Bytes that a row adds to the text.
    pub fn row_length(&self) -> usize {
        self.row.len() + 1
    }
}

/// The statement of an action over rows that have `columns` (indexes into [`TablePlan::columns`]).
pub(super) fn statement(flavor: Flavor, plan: &TablePlan, action: Action, columns: &[usize]) -> Statement {
    match (action, plan.mode) {
        (Action::Put, Mode::Update) => update(flavor, plan, columns),
        (Action::Put, _) => insert(flavor, plan, columns),
        (Action::Patch, _) => merge::patch(flavor, plan, columns),
        (Action::Delete, _) => delete(flavor, plan, columns),
        (Action::Replace, _) => remove(flavor, plan, columns),
        (Action::SoftDelete, _) => soft_delete(flavor, plan, columns),
    }
}

pub(super) fn name(plan: &TablePlan, column: usize) -> String {
    quote(&plan.columns[column].column.name)
}

/// The columns that these rows do not have and that go back to their defaults.
fn reset_columns<'a>(plan: &'a TablePlan, columns: &'a [usize]) -> impl Iterator<Item = usize> + 'a {
    let reset = plan.missing != Missing::Keep;
    (0..plan.columns.len()).filter(move |column| reset && !columns.contains(column) && !plan.is_key(*column))
}

fn cleared(mark: &ColumnType) -> &'static str {
    match mark {
        ColumnType::Bool => "FALSE",
        _ => "NULL",
    }
}

fn insert(flavor: Flavor, plan: &TablePlan, columns: &[usize]) -> Statement {
    let table = quote_table(&plan.table);
    let mut names: Vec<String> = columns.iter().map(|&column| name(plan, column)).collect();
    let mut cells: Vec<&str> = vec!["?"; columns.len()];
    if plan.mode == Mode::Upsert {
        for column in reset_columns(plan, columns) {
            names.push(name(plan, column));
            cells.push("DEFAULT");
        }
    }
    let head = format!("INSERT INTO {table} ({}) VALUES ", names.join(","));
    let row = format!("({})", cells.join(","));
    let has_unique = !plan.table.unique.is_empty() || !plan.table.unusable_unique.is_empty();
    let assignments = match plan.mode {
        Mode::Upsert => upsert_assignments(flavor, plan, &names),
        Mode::Merge => match merge::assignments(flavor, plan, columns) {
            assignments if assignments.is_empty() => unchanged(plan, &table),
            assignments => assignments,
        },
        // Not INSERT IGNORE: it would make every error of every row a warning.
        Mode::InsertIgnore if has_unique => unchanged(plan, &table),
        _ => Vec::new(),
    };
    if assignments.is_empty() {
        return Statement { head, row, tail: String::new(), tells_changed: true };
    }
    let alias = match (flavor, plan.mode) {
        (Flavor::MySql, Mode::Upsert | Mode::Merge) => format!(" AS {ROWS}"),
        _ => String::new(),
    };
    let tail = format!("{alias} ON DUPLICATE KEY UPDATE {}", assignments.join(", "));
    Statement { head, row, tail, tells_changed: false }
}

/// Assignments are evaluated from left to right and see what those before them did: the version comes last.
fn upsert_assignments(flavor: Flavor, plan: &TablePlan, names: &[String]) -> Vec<String> {
    let table = quote_table(&plan.table);
    let incoming = |name: &str| match flavor {
        Flavor::MySql => format!("{ROWS}.{name}"),
        Flavor::MariaDb => format!("VALUES({name})"),
    };
    let version = plan.version.map(|version| name(plan, version));
    let guard = version.as_deref().map(|version| {
        let stored = format!("{table}.{version}");
        if names.iter().any(|name| name == version) {
            format!("{stored} IS NULL OR {} >= {stored}", incoming(version))
        } else {
            format!("{stored} IS NULL")
        }
    });
    let assign = |name: &str, value: &str| match &guard {
        Some(guard) => format!("{name} = IF({guard}, {value}, {table}.{name})"),
        None => format!("{name} = {value}"),
    };
    let keys: Vec<String> = plan.key.iter().map(|&key| name(plan, key)).collect();
    let values = names.iter().filter(|name| !keys.contains(name) && Some(*name) != version.as_ref());
    let mut assignments: Vec<String> = values.map(|name| assign(name, &incoming(name))).collect();
    if let DeletePlan::Soft(mark) = &plan.deletes {
        let value = mark.ty.as_ref().map_or("NULL", cleared);
        assignments.push(assign(&quote(&mark.name), value));
    }
    if let Some(version) = version.filter(|version| names.contains(version) && !keys.contains(version)) {
        assignments.push(assign(&version, &incoming(&version)));
    }
    if assignments.is_empty() {
        // All columns are the key: a row that is there is as it should be.
        return unchanged(plan, &table);
    }
    assignments
}

/// An assignment that changes nothing.
fn unchanged(plan: &TablePlan, table: &str) -> Vec<String> {
    let column = plan.columns.first().map(|_| name(plan, plan.key.first().copied().unwrap_or(0)));
    column.map(|column| format!("{column} = {table}.{column}")).into_iter().collect()
}

/// `rows STRAIGHT_JOIN table ON key`, cut at the place of the rows.
struct Join {
    rows: String,
    row: String,
    target: String,
}

fn join(flavor: Flavor, plan: &TablePlan, columns: &[&CatalogColumn]) -> Join {
    join_on(flavor, plan, columns, &plan.key, key_index(plan))
}

fn join_on(flavor: Flavor, plan: &TablePlan, columns: &[&CatalogColumn], on: &[usize], index: Option<&str>) -> Join {
    let table = quote_table(&plan.table);
    let names: Vec<String> = columns.iter().map(|column| typed_name(column)).collect();
    let cells: Vec<String> = columns.iter().map(|column| placeholder(column)).collect();
    let on: Vec<String> = on.iter().map(|&key| name(plan, key)).collect();
    let on: Vec<String> = on.iter().map(|key| format!("{TARGET}.{key} = {ROWS}.{key}")).collect();
    let force = index.map_or(String::new(), |index| format!(" FORCE INDEX ({})", quote(index)));
    Join {
        rows: format!("(SELECT {} FROM {table} WHERE FALSE UNION ALL VALUES ", names.join(",")),
        row: format!("{}({})", flavor.row(), cells.join(",")),
        target: format!(") AS {ROWS} STRAIGHT_JOIN {table} AS {TARGET}{force} ON {}", on.join(" AND ")),
    }
}

/// The index over exactly the key.
fn key_index(plan: &TablePlan) -> Option<&str> {
    let is_key = |&column: &usize| plan.key.iter().any(|&key| plan.columns[key].column == plan.table.columns[column]);
    let covers = |columns: &[usize]| columns.len() == plan.key.len() && columns.iter().all(is_key);
    plan.table.unique.iter().find(|index| covers(&index.columns)).map(|index| index.name.as_str())
}

/// A placeholder in a list of rows has no column that gives it a type: without one a server would compare or convert
/// it as text or as a double, and lose digits. Text takes the type and the collation of its column.
fn placeholder(column: &CatalogColumn) -> String {
    let Some(ty) = &column.ty else { return "?".into() };
    let target = match ty {
        ColumnType::Bool | ColumnType::Int8 | ColumnType::Int16 | ColumnType::Int32 | ColumnType::Int64 => "SIGNED",
        ColumnType::UInt8 | ColumnType::UInt16 | ColumnType::UInt32 | ColumnType::UInt64 => "UNSIGNED",
        ColumnType::Float32 | ColumnType::Float64 => "DOUBLE",
        ColumnType::Decimal { precision, scale } => return format!("CAST(? AS DECIMAL({precision},{scale}))"),
        ColumnType::Bytes => "BINARY",
        ColumnType::Date => "DATE",
        ColumnType::Time => "TIME(6)",
        ColumnType::Timestamp | ColumnType::TimestampTz => "DATETIME(6)",
        _ => return "?".into(),
    };
    format!("CAST(? AS {target})")
}

/// The column as it lends its type to the rows. BIT would make their numbers strings of bits.
fn typed_name(column: &CatalogColumn) -> String {
    let name = quote(&column.name);
    if column.native.starts_with("bit") { format!("0 + {name} AS {name}") } else { name }
}

fn catalog_columns<'a>(plan: &'a TablePlan, columns: &[usize]) -> Vec<&'a CatalogColumn> {
    columns.iter().map(|&column| &plan.columns[column].column).collect()
}

fn update(flavor: Flavor, plan: &TablePlan, columns: &[usize]) -> Statement {
    let Join { rows, row, target } = join(flavor, plan, &catalog_columns(plan, columns));
    let values = columns.iter().filter(|column| !plan.is_key(**column)).map(|&column| name(plan, column));
    let mut assignments: Vec<String> = values.map(|name| format!("{TARGET}.{name} = {ROWS}.{name}")).collect();
    assignments.extend(reset_columns(plan, columns).map(|column| format!("{TARGET}.{} = DEFAULT", name(plan, column))));
    if let DeletePlan::Soft(mark) = &plan.deletes {
        let value = mark.ty.as_ref().map_or("NULL", cleared);
        assignments.push(format!("{TARGET}.{} = {value}", quote(&mark.name)));
    }
    if assignments.is_empty() {
        assignments.extend(plan.key.first().map(|&key| format!("{TARGET}.{0} = {TARGET}.{0}", name(plan, key))));
    }
    let guard = plan.version.map_or(String::new(), |version| {
        let column = name(plan, version);
        if columns.contains(&version) {
            format!(" WHERE {TARGET}.{column} IS NULL OR {ROWS}.{column} >= {TARGET}.{column}")
        } else {
            format!(" WHERE {TARGET}.{column} IS NULL")
        }
    });
    let tail = format!("{target} SET {}{guard}", assignments.join(", "));
    Statement { head: format!("UPDATE {rows}"), row, tail, tells_changed: true }
}

/// An UPDATE of the stored rows by rows that have `columns`.
pub(super) fn update_join(flavor: Flavor, plan: &TablePlan, columns: &[usize], assignments: &[String]) -> Statement {
    let Join { rows, row, target } = join(flavor, plan, &catalog_columns(plan, columns));
    let tail = format!("{target} SET {}", assignments.join(", "));
    Statement { head: format!("UPDATE {rows}"), row, tail, tells_changed: true }
}

/// Reads rows that are found by their key, each with the number that comes with its key; `texts`: what is read of it.
pub(super) fn read(flavor: Flavor, plan: &TablePlan, key: &[usize], texts: &[String]) -> Statement {
    let key = catalog_columns(plan, key);
    let names: Vec<String> = key.iter().map(|column| typed_name(column)).collect();
    let cells: Vec<String> = key.iter().map(|column| placeholder(column)).collect();
    let table = quote_table(&plan.table);
    let texts: String = texts.iter().map(|text| format!(", {text}")).collect();
    Statement {
        head: format!(
            "SELECT {ROWS}.tidegate_number{texts} FROM (SELECT {}, 0 AS tidegate_number FROM {table} WHERE FALSE \
             UNION ALL VALUES ",
            names.join(",")
        ),
        row: format!("{}({},CAST(? AS SIGNED))", flavor.row(), cells.join(",")),
        tail: join(flavor, plan, &key).target,
        tells_changed: false,
    }
}

fn delete(flavor: Flavor, plan: &TablePlan, columns: &[usize]) -> Statement {
    let Join { rows, row, target } = join(flavor, plan, &catalog_columns(plan, columns));
    Statement { head: format!("DELETE {TARGET} FROM {rows}"), row, tail: target, tells_changed: true }
}

/// A delete of the rows of parents.
fn remove(flavor: Flavor, plan: &TablePlan, columns: &[usize]) -> Statement {
    let index = plan.replace.as_ref().and_then(|replace| replace.index.as_deref());
    let Join { rows, row, target } = join_on(flavor, plan, &catalog_columns(plan, columns), columns, index);
    Statement { head: format!("DELETE {TARGET} FROM {rows}"), row, tail: target, tells_changed: true }
}

fn soft_delete(flavor: Flavor, plan: &TablePlan, columns: &[usize]) -> Statement {
    let mut columns = catalog_columns(plan, columns);
    let DeletePlan::Soft(mark) = &plan.deletes else {
        unreachable!("only a plan with a marking column makes soft deletes");
    };
    let name = quote(&mark.name);
    columns.push(mark);
    let Join { rows, row, target } = join(flavor, plan, &columns);
    let tail = format!("{target} SET {TARGET}.{name} = {ROWS}.{name}");
    Statement { head: format!("UPDATE {rows}"), row, tail, tells_changed: true }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::write::catalog::UniqueIndex;
    use crate::write::plan::PlanColumn;

    fn column(name: &str, ty: ColumnType) -> CatalogColumn {
        let native = String::new();
        CatalogColumn {
            name: name.into(),
            ty: Some(ty),
            native,
            oid: 0,
            nullable: true,
            has_default: false,
            generated: false,
        }
    }

    /// A table whose names try to leave their quotes.
    fn plan(mode: Mode) -> TablePlan {
        let columns = vec![
            column("id`; DROP TABLE x; --", ColumnType::UInt64),
            column("part", ColumnType::Text),
            column("total", ColumnType::Decimal { precision: 65, scale: 30 }),
            column("at", ColumnType::TimestampTz),
            column("a\\'\"?", ColumnType::Json),
        ];
        let table = CatalogTable {
            schema: Some("sh`op".into()),
            name: "or.ders".into(),
            columns: columns.clone(),
            unique: vec![UniqueIndex { name: "PRI`MARY".into(), primary: true, columns: vec![0, 1] }],
            unusable_unique: Vec::new(),
        };
        let columns = columns.into_iter().enumerate().map(|(input, column)| PlanColumn { column, input }).collect();
        let deletes = DeletePlan::Hard;
        TablePlan {
            table,
            mode,
            columns,
            key: vec![0, 1],
            deletes,
            version: None,
            missing: Missing::Keep,
            replace: None,
            retention: None,
            merge: Vec::new(),
        }
    }

    fn both(plan: &TablePlan, action: Action, columns: &[usize]) -> String {
        let sql = |flavor| statement(flavor, plan, action, columns).sql(2);
        format!("MySQL: {}\nMariaDB: {}", sql(Flavor::MySql), sql(Flavor::MariaDb))
    }

    #[test]
    fn inserts() {
        let all = [0, 1, 2, 3, 4];
        let versioned = TablePlan { version: Some(3), ..plan(Mode::Upsert) };
        let soft = DeletePlan::Soft(column("gone", ColumnType::Bool));
        let sql = [
            both(&plan(Mode::Append), Action::Put, &all),
            both(&plan(Mode::InsertIgnore), Action::Put, &all),
            both(&plan(Mode::InsertIgnore), Action::Put, &[]),
            both(&plan(Mode::Upsert), Action::Put, &all),
            both(&plan(Mode::Upsert), Action::Put, &[0, 1, 2]),
            both(&plan(Mode::Upsert), Action::Put, &[0, 1]),
            both(&TablePlan { missing: Missing::Default, ..plan(Mode::Upsert) }, Action::Put, &[0, 1, 2, 3]),
            both(&versioned, Action::Put, &all),
            both(&versioned, Action::Put, &[0, 1, 2]),
            both(&TablePlan { deletes: soft, ..versioned }, Action::Put, &[0, 1, 3]),
        ];
        insta::assert_snapshot!(sql.join("\n\n"));
    }

    #[test]
    fn updates_and_deletes() {
        let all = [0, 1, 2, 3, 4];
        let soft = |ty| DeletePlan::Soft(column("go`ne", ty));
        let soft_time = TablePlan { deletes: soft(ColumnType::Timestamp), ..plan(Mode::Update) };
        let sql = [
            both(&plan(Mode::Update), Action::Put, &all),
            both(&plan(Mode::Update), Action::Put, &[0, 1]),
            both(&TablePlan { missing: Missing::Default, ..plan(Mode::Update) }, Action::Put, &[0, 1, 2]),
            both(&TablePlan { version: Some(3), ..plan(Mode::Update) }, Action::Put, &[0, 1, 3]),
            both(&soft_time, Action::Put, &[0, 1, 2]),
            both(&plan(Mode::Upsert), Action::Delete, &[0, 1]),
            both(&soft_time, Action::SoftDelete, &[0, 1]),
        ];
        insta::assert_snapshot!(sql.join("\n\n"));
    }
    #[test]
    fn merges() {
        use crate::write::plan::Merge;
        let mut plan = plan(Mode::Merge);
        plan.columns[4].column.name = "city".into();
        let functions = |functions: [Merge; 3]| {
            let merge = [&[None, None][..], &functions.map(Some)].concat();
            TablePlan { merge, ..plan.clone() }
        };
        let last = functions([Merge::Sum, Merge::Order { lead: 4, last: true }, Merge::Last { by: 3 }]);
        let first = functions([Merge::First { by: 3 }, Merge::Order { lead: 2, last: false }, Merge::First { by: 3 }]);
        let extremes = functions([Merge::Min, Merge::Max, Merge::JsonMerge]);
        let mut bits = functions([Merge::BitOr, Merge::BitOr, Merge::JsonMerge]);
        bits.columns[3].column.ty = Some(ColumnType::Int32);
        let sql = [
            both(&last, Action::Put, &[0, 1, 2, 3, 4]),
            both(&first, Action::Put, &[0, 1, 2, 3, 4]),
            both(&extremes, Action::Put, &[0, 1, 2, 3]),
            both(&bits, Action::Put, &[0, 1, 2, 3]),
            both(&bits, Action::Put, &[0, 1]),
            both(&bits, Action::Patch, &[0, 1, 4]),
        ];
        insta::assert_snapshot!(sql.join("\n\n"));
    }
}
