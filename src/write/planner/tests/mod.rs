//! What is planned; what is refused, and with which words, is in [`wrong`].

mod merge;
mod queries;
mod wrong;

use crate::config::{Deletes, Filtered, Missing, Mode, SourceColumn, Table};
use crate::rows::{ColumnSource, OutputColumn, TimeUnit};
use crate::types::ColumnType;
use crate::write::catalog::{CatalogColumn, CatalogTable, UniqueIndex};
use crate::write::plan::DeletePlan;

use super::{Planned, Request, plan};

fn column(name: &str, ty: ColumnType) -> CatalogColumn {
    CatalogColumn {
        name: name.to_owned(),
        native: ty.to_string(),
        ty: Some(ty),
        oid: 1,
        nullable: true,
        has_default: false,
        generated: false,
    }
}

fn required(name: &str, ty: ColumnType) -> CatalogColumn {
    CatalogColumn { nullable: false, ..column(name, ty) }
}

fn generated(name: &str, ty: ColumnType) -> CatalogColumn {
    CatalogColumn { generated: true, ..column(name, ty) }
}

fn unsupported(name: &str, native: &str) -> CatalogColumn {
    CatalogColumn { ty: None, native: native.to_owned(), ..column(name, ColumnType::Text) }
}

fn index(name: &str, primary: bool, columns: &[usize]) -> UniqueIndex {
    UniqueIndex { name: name.to_owned(), primary, columns: columns.to_vec() }
}

/// id (primary key), sku (unique), quantity, price, created_at, updated_at, active, note, total (computed), area.
fn orders() -> CatalogTable {
    CatalogTable {
        schema: Some("shop".to_owned()),
        name: "orders".to_owned(),
        columns: vec![
            required("id", ColumnType::Int64),
            column("sku", ColumnType::Text),
            column("quantity", ColumnType::Int32),
            column("price", ColumnType::Decimal { precision: 12, scale: 2 }),
            column("created_at", ColumnType::TimestampTz),
            column("updated_at", ColumnType::TimestampTz),
            required("active", ColumnType::Bool),
            column("note", ColumnType::Json),
            generated("total", ColumnType::Numeric),
            unsupported("area", "polygon"),
        ],
        unique: vec![index("orders_pkey", true, &[0]), index("orders_sku_key", false, &[1])],
        unusable_unique: Vec::new(),
    }
}

fn table(mode: Mode) -> Table {
    Table {
        name: "orders".to_owned(),
        route: None,
        mode,
        key: Vec::new(),
        deletes: if matches!(mode, Mode::Upsert | Mode::Update) { Deletes::Hard } else { Deletes::Ignore },
        version: None,
        missing: Missing::Null,
        sql: None,
        filtered: Filtered::Ignore,
        replace: Vec::new(),
        merge: Vec::new(),
        create: false,
        from: None,
        retention: None,
    }
}

fn upsert() -> Table {
    table(Mode::Upsert)
}

fn keyed(mode: Mode, key: &[&str]) -> Table {
    Table { key: key.iter().map(ToString::to_string).collect(), ..table(mode) }
}

fn soft(mark: &str) -> Table {
    Table { deletes: Deletes::Soft(mark.to_owned()), ..upsert() }
}

fn versioned(column: &str) -> Table {
    Table { version: Some(column.to_owned()), ..upsert() }
}

fn declare(name: &str, ty: ColumnType) -> SourceColumn {
    SourceColumn {
        name: name.to_owned(),
        ty: Some(ty),
        source: ColumnSource::Value(vec![name.to_owned()]),
        unit: None,
        encoding: None,
        default: None,
    }
}

fn without_primary_key() -> CatalogTable {
    CatalogTable { unique: Vec::new(), ..orders() }
}

fn change(mut table: CatalogTable, change: impl FnOnce(&mut CatalogTable)) -> CatalogTable {
    change(&mut table);
    table
}

/// Without SQL.
fn plan_all(
    tables: &[Table],
    catalog: &[Option<CatalogTable>],
    columns: &[SourceColumn],
    timezone: Option<&str>,
) -> Result<Planned, Vec<String>> {
    let queries = vec![None; tables.len()];
    plan(Request { tables, catalog, queries: &queries, columns, timezone, other_readers: false })
}

fn plan_one(table: Table, found: CatalogTable, declared: &[SourceColumn]) -> Result<Planned, Vec<String>> {
    plan_from(table, found, declared, None)
}

fn plan_from(
    table: Table,
    found: CatalogTable,
    declared: &[SourceColumn],
    query: Option<Vec<OutputColumn>>,
) -> Result<Planned, Vec<String>> {
    let (tables, catalog, queries) = (&[table][..], &[Some(found)][..], &[query][..]);
    plan(Request { tables, catalog, queries, columns: declared, timezone: None, other_readers: false })
}

fn planned(table: Table, found: CatalogTable, declared: &[SourceColumn]) -> Planned {
    plan_one(table, found, declared).unwrap()
}

#[test]
fn every_writable_column_is_input_and_the_primary_key_is_the_key() {
    let planned = planned(upsert(), orders(), &[]);
    let names: Vec<_> = planned.input.columns.iter().map(|column| (&*column.name, column.key)).collect();
    let expected = ["id", "sku", "quantity", "price", "created_at", "updated_at", "active", "note"];
    assert_eq!(names, expected.map(|name| (name, name == "id")));
    assert_eq!(planned.tables[0].key, [0]);
    assert_eq!(
        planned.warnings,
        ["table shop.orders: column area is of type polygon, which is not supported: it is left alone"]
    );
}

#[test]
fn a_key_has_the_order_of_its_index_and_places_among_the_written_columns() {
    let found = change(orders(), |table| {
        table.columns.insert(0, generated("row_number", ColumnType::Int64));
        table.unique = vec![index("orders_active_id", false, &[7, 1])];
    });
    let planned = planned(keyed(Mode::Upsert, &["ID", "active"]), found, &[]);
    let plan = &planned.tables[0];
    let key: Vec<_> = plan.key.iter().map(|&column| &*plan.columns[column].column.name).collect();
    assert_eq!(key, ["active", "id"]);
}

#[test]
fn only_a_table_that_finds_rows_has_a_key() {
    assert!(planned(table(Mode::Append), orders(), &[]).tables[0].key.is_empty());
    assert!(planned(table(Mode::InsertIgnore), without_primary_key(), &[]).tables[0].key.is_empty());
    assert_eq!(planned(keyed(Mode::InsertIgnore, &["sku"]), orders(), &[]).tables[0].key, [1]);
    let deleting = Table { deletes: Deletes::Hard, ..table(Mode::Append) };
    assert_eq!(planned(deleting, orders(), &[]).tables[0].key, [0]);
}

#[test]
fn an_update_may_do_without_an_index_but_is_warned() {
    let planned = planned(keyed(Mode::Update, &["quantity"]), orders(), &[]);
    assert!(planned.warnings[0].contains("no unique index covers the key (quantity)"), "{:?}", planned.warnings);
}

#[test]
fn the_tables_type_rules_and_the_declarations_hints_are_kept() {
    let time = SourceColumn {
        unit: Some(TimeUnit::Milliseconds),
        source: ColumnSource::Header("at".to_owned()),
        ..declare("Updated_At", ColumnType::TimestampTz)
    };
    let planned = planned(upsert(), orders(), &[declare("quantity", ColumnType::Int16), time.clone()]);
    let quantity = &planned.input.columns[2];
    assert_eq!(quantity.ty, ColumnType::Int32);
    let updated = &planned.input.columns[5];
    assert_eq!((&*updated.name, updated.unit, &updated.source), ("Updated_At", time.unit, &time.source));
}

#[test]
fn a_soft_delete_keeps_its_column_from_the_events() {
    let plan = &planned(soft("updated_at"), orders(), &[]).tables[0];
    assert!(plan.columns.iter().all(|column| column.column.name != "updated_at"));
    assert!(matches!(&plan.deletes, DeletePlan::Soft(mark) if mark.name == "updated_at"));
    assert!(matches!(&planned(soft("active"), orders(), &[]).tables[0].deletes, DeletePlan::Soft(_)));
}

#[test]
fn sqlite_stores_declared_types_as_text() {
    let found = change(orders(), |table| {
        table.schema = None;
        table.columns = ["id", "at", "price", "gone_at"].map(|name| column(name, ColumnType::Text)).to_vec();
        table.unique.truncate(1);
    });
    let price = ColumnType::Decimal { precision: 10, scale: 2 };
    let declared = [declare("at", ColumnType::TimestampTz), declare("price", price.clone())];
    let table = Table { version: Some("at".to_owned()), ..soft("gone_at") };
    let planned = planned(table, found, &declared);
    let types: Vec<_> = planned.input.columns.iter().map(|column| column.ty.clone()).collect();
    assert_eq!(types, [ColumnType::Text, ColumnType::TimestampTz, price]);
    let DeletePlan::Soft(mark) = &planned.tables[0].deletes else { panic!("not soft") };
    assert_eq!(mark.ty, Some(ColumnType::TimestampTz));
    assert_eq!(planned.tables[0].columns[1].column.ty, Some(ColumnType::Text), "the catalog's own type");
}

#[test]
fn tables_share_the_input_they_take_alike() {
    let mut other = orders();
    other.columns = vec![column("id", ColumnType::Int64), column("sku", ColumnType::Enum)];
    other.unique.clear();
    let planned = plan_all(&[table(Mode::Append), upsert()], &[Some(other), Some(orders())], &[], None).unwrap();
    let input = |table: usize, column: usize| planned.tables[table].columns[column].input;
    assert_eq!(input(0, 0), input(1, 0));
    assert!(planned.input.columns[input(0, 0)].key, "it is in the key of one of them");
    assert_ne!(input(0, 1), input(1, 1), "the types differ");
}

#[test]
fn a_column_that_one_table_computes_may_be_declared_for_another() {
    let mut plain = orders();
    plain.columns = vec![column("total", ColumnType::Numeric)];
    plain.unique.clear();
    let declared = [declare("total", ColumnType::Numeric)];
    assert!(plan_all(&[upsert(), table(Mode::Append)], &[Some(orders()), Some(plain)], &declared, None).is_ok());
}

#[test]
fn a_timestamp_fits_timestamptz_once_the_zone_is_known() {
    let declared = [declare("created_at", ColumnType::Timestamp)];
    let zone = Some("Europe/Berlin");
    let planned = plan_all(&[upsert()], &[Some(orders())], &declared, zone).unwrap();
    assert_eq!(planned.input.columns[4].ty, ColumnType::TimestampTz);
    assert_eq!(planned.input.timezone.as_deref(), zone);
}

#[test]
fn all_problems_are_told_at_once() {
    let table = Table { version: Some("sku".to_owned()), ..keyed(Mode::Upsert, &["idd"]) };
    let problems = plan_one(table, orders(), &[declare("qantity", ColumnType::Int32)]).unwrap_err();
    assert_eq!(problems.len(), 3, "{problems:#?}");
}

#[test]
fn a_missing_table_is_told_and_nothing_that_follows_from_it() {
    let problems = plan_all(&[upsert()], &[None], &[declare("id", ColumnType::Int64)], None).unwrap_err();
    assert_eq!(problems.len(), 1);
    assert!(problems[0].contains("table orders: the database has no table of that name"), "{problems:?}");
}

#[test]
fn mysql_names_are_quoted_its_way() {
    let found = change(without_primary_key(), |table| {
        table.columns.iter_mut().for_each(|column| column.oid = 0);
        table.columns[0].name = "Id".to_owned();
    });
    let problems = plan_one(keyed(Mode::Upsert, &["Id"]), found, &[]).unwrap_err();
    assert!(problems[0].contains("CREATE UNIQUE INDEX `orders_Id_key` ON shop.orders (`Id`);"), "{problems:?}");
}
