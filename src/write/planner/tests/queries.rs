//! Tables with SQL.

use crate::config::{Mode, Table};
use crate::rows::OutputColumn;
use crate::types::ColumnType;

use super::super::Planned;
use super::{declare, orders, plan_from, soft, table, upsert, versioned};

fn output(name: &str, ty: ColumnType) -> OutputColumn {
    OutputColumn { name: name.to_owned(), ty, nullable: true, passes: None }
}

fn decimal(precision: u32, scale: u32) -> ColumnType {
    ColumnType::Decimal { precision, scale }
}

/// `plan_from`, where the statement reads `id` and gives these columns.
fn plan(table: Table, outputs: &[(&str, ColumnType)]) -> Result<Planned, Vec<String>> {
    let outputs = outputs.iter().map(|(name, ty)| output(name, ty.clone())).collect();
    plan_from(table, orders(), &[declare("raw", ColumnType::Text)], Some(outputs))
}

#[test]
fn a_table_gets_what_its_statement_gives_and_nothing_else() {
    let outputs = [("ACTIVE", ColumnType::Bool), ("price", decimal(10, 2)), ("id", ColumnType::Int32)];
    let planned = plan(upsert(), &outputs).unwrap();
    let written: Vec<_> =
        planned.tables[0].columns.iter().map(|column| (column.column.name.as_str(), column.input)).collect();
    assert_eq!(written, [("id", 2), ("price", 1), ("active", 0)], "in the table's order");
    assert_eq!(planned.tables[0].key, [0]);
    assert_eq!(planned.targets, [Some(vec![ColumnType::Bool, decimal(12, 2), ColumnType::Int64])]);
    assert!(planned.input.columns.is_empty(), "nothing is decoded for the table itself");
    assert!(planned.warnings.is_empty(), "{:?}", planned.warnings);
}

#[test]
fn what_may_not_fit_is_told_before() {
    let outputs = [("id", ColumnType::Int64), ("active", ColumnType::Bool), ("price", decimal(23, 2))];
    let planned = plan(upsert(), &outputs).unwrap();
    assert_eq!(planned.targets[0].as_ref().unwrap()[2], decimal(12, 2));
    assert!(planned.warnings[0].contains("column price is of type decimal(12,2), and `sql` gives decimal(23,2)"));
}

#[test]
fn what_does_not_fit_the_table_is_told() {
    let id = ("id", ColumnType::Int64);
    let active = ("active", ColumnType::Bool);
    type Case<'a> = (Table, Vec<(&'a str, ColumnType)>, &'a str);
    let cases: Vec<Case<'_>> = vec![
        (upsert(), vec![id.clone()], "column active takes no null and has no default, and `sql` does not give it"),
        (upsert(), vec![active.clone()], "column id is in the key, and `sql` does not give it"),
        (versioned("updated_at"), vec![id.clone(), active.clone()], "column updated_at is the `version`, and `sql`"),
        (
            upsert(),
            vec![id.clone(), active.clone(), ("skuu", ColumnType::Text)],
            "`sql` gives a column skuu, which the table does not have: name it after the table's column by AS, take it \
             out of the SELECT, or add the column; did you mean sku?",
        ),
        (
            upsert(),
            vec![id.clone(), active.clone(), ("total", ColumnType::Numeric)],
            "`sql` gives total, but the database computes the column",
        ),
        (
            upsert(),
            vec![id.clone(), active.clone(), ("area", ColumnType::Text)],
            "`sql` gives area, but the column is of",
        ),
        (
            soft("updated_at"),
            vec![id.clone(), active.clone(), ("updated_at", ColumnType::TimestampTz)],
            "`sql` gives updated_at, but the column marks deletes",
        ),
        (
            upsert(),
            vec![id.clone(), active.clone(), ("created_at", ColumnType::Bool)],
            "column created_at is of type timestamptz, and `sql` gives boolean, which does not become it: write \
             CAST(created_at AS ..)",
        ),
        (upsert(), vec![id.clone(), active.clone(), ("ID", ColumnType::Int64)], "`sql` gives the column ID twice"),
    ];
    for (table, outputs, expected) in cases {
        let problems = plan(table, &outputs).unwrap_err();
        assert_eq!(problems.len(), 1, "{problems:#?}");
        assert!(problems[0].contains(expected), "{}\nlacks {expected}", problems[0]);
    }
}

#[test]
fn an_update_needs_no_more_than_its_key_and_something_to_change() {
    let planned = plan(table(Mode::Update), &[("id", ColumnType::Int64), ("sku", ColumnType::Text)]).unwrap();
    assert_eq!(planned.tables[0].columns.len(), 2);
}
