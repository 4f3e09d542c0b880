//! What each database is told to make.

use super::*;
use crate::config::{Filtered, MergeColumn, Missing};
use crate::rows::ColumnSource;
use crate::write::{mysql, postgres, sqlite};

fn table(mode: Mode, key: &[&str]) -> Table {
    Table {
        name: "shop.orders".to_owned(),
        route: None,
        mode,
        key: key.iter().map(ToString::to_string).collect(),
        deletes: Deletes::Ignore,
        version: None,
        missing: Missing::Null,
        sql: None,
        filtered: Filtered::Ignore,
        replace: Vec::new(),
        merge: Vec::new(),
        create: true,
        from: None,
        retention: None,
    }
}

fn output(name: &str, ty: ColumnType) -> OutputColumn {
    OutputColumn { name: name.to_owned(), ty, nullable: true, passes: None }
}

fn declared(name: &str, ty: Option<ColumnType>) -> SourceColumn {
    let source = ColumnSource::Value(vec![name.to_owned()]);
    SourceColumn { name: name.to_owned(), ty, source, unit: None, encoding: None, default: None }
}

fn decimal(precision: u32, scale: u32) -> ColumnType {
    ColumnType::Decimal { precision, scale }
}

const MYSQL: mysql::Server = mysql::Server { flavor: mysql::Flavor::MySql, has_uuid: false };
const MARIADB: mysql::Server = mysql::Server { flavor: mysql::Flavor::MariaDb, has_uuid: true };

/// A key of two columns, a mark, and a name that tries to leave its quotes.
fn orders() -> NewTable {
    let outputs = [
        output("id", ColumnType::Int64),
        output("sku", ColumnType::Text),
        output("to\"t`al", decimal(23, 2)),
        output("at", ColumnType::TimestampTz),
        output("note", ColumnType::Json),
    ];
    let table = Table { deletes: Deletes::Soft("gone".to_owned()), ..table(Mode::Upsert, &["sku", "id"]) };
    design(&table, Some(&outputs), &[]).unwrap()
}

#[test]
fn each_database_has_its_own_words() {
    insta::assert_snapshot!(postgres::draft(&orders(), "public").unwrap().sql, @r#"
    CREATE TABLE IF NOT EXISTS "shop"."orders" (
      "id" bigint NOT NULL,
      "sku" text NOT NULL,
      "to""t`al" numeric(23,2),
      "at" timestamp with time zone,
      "note" jsonb,
      "gone" timestamp with time zone,
      PRIMARY KEY ("sku", "id")
    );
    "#);
    insta::assert_snapshot!(mysql::draft(&orders(), MYSQL, "db").unwrap().sql, @r#"
    CREATE TABLE IF NOT EXISTS `shop`.`orders` (
      `id` bigint NOT NULL,
      `sku` varchar(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_bin NOT NULL,
      `to"t``al` decimal(23,2),
      `at` datetime(6),
      `note` json,
      `gone` datetime(6),
      PRIMARY KEY (`sku`, `id`)
    ) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;
    "#);
    let mariadb = mysql::draft(&orders(), MARIADB, "db").unwrap().sql;
    assert!(mariadb.contains("COLLATE utf8mb4_nopad_bin NOT NULL"), "{mariadb}");
    insta::assert_snapshot!(sqlite::draft(&orders()).unwrap().sql, @r#"
    CREATE TABLE IF NOT EXISTS "shop.orders" (
      "id" INTEGER NOT NULL,
      "sku" TEXT NOT NULL,
      "to""t`al" TEXT,
      "at" TEXT,
      "note" TEXT,
      "gone" TEXT,
      PRIMARY KEY ("sku", "id")
    ) STRICT;
    "#);
}

#[test]
fn an_append_has_no_key() {
    let new = design(&table(Mode::Append, &[]), Some(&[output("id", ColumnType::Int64)]), &[]).unwrap();
    let sql = sqlite::draft(&new).unwrap().sql;
    assert!(!sql.contains("PRIMARY KEY") && !sql.contains("NOT NULL"), "{sql}");
}

#[test]
fn sums_have_room() {
    let merged = |column: &str, function| MergeColumn { column: column.to_owned(), function };
    let columns = [
        declared("day", Some(ColumnType::Date)),
        declared("orders", Some(ColumnType::Int32)),
        declared("revenue", Some(decimal(12, 2))),
        declared("most", Some(ColumnType::Int32)),
        declared("wide", Some(decimal(34, 2))),
    ];
    let merge = vec![
        merged("orders", MergeFunction::Count),
        merged("revenue", MergeFunction::Sum),
        merged("most", MergeFunction::Max),
        merged("wide", MergeFunction::Sum),
    ];
    let new = design(&Table { merge, ..table(Mode::Merge, &["day"]) }, None, &columns).unwrap();
    let types: Vec<_> = new.columns.iter().map(|column| column.ty.to_string()).collect();
    assert_eq!(types, ["date", "bigint", "decimal(22,2)", "int", "decimal(38,2)"]);
    assert_eq!(new.key, [0]);
}

#[test]
fn what_is_missing_is_told_with_its_cure() {
    let told = design(&table(Mode::Upsert, &["id"]), None, &[]).unwrap_err();
    assert!(told[0].contains("declare them with their types in [source.columns]"), "{told:?}");
    let told = design(&table(Mode::Upsert, &["id"]), None, &[declared("id", None)]).unwrap_err();
    assert!(told[0].contains("gives id no type"), "{told:?}");
    let versioned = Table { version: Some("at".to_owned()), ..table(Mode::Upsert, &["key"]) };
    let told = design(&versioned, Some(&[output("id", ColumnType::Int64)]), &[]).unwrap_err();
    assert!(told[0].contains("key, which `key` names: add it to the SELECT"), "{told:?}");
    assert!(told[1].contains("at, which `version` names"), "{told:?}");
}

#[test]
fn what_a_database_cannot_store_is_told_with_its_cure() {
    let new = |ty| design(&table(Mode::Append, &[]), Some(&[output("a", ty)]), &[]).unwrap();
    let list = || ColumnType::List(Box::new(ColumnType::Text));
    assert_eq!(postgres::draft(&new(list()), "public").unwrap().table.columns[0].oid, 1009);
    for told in [sqlite::draft(&new(list())).unwrap_err(), mysql::draft(&new(list()), MYSQL, "db").unwrap_err()] {
        assert!(told[0].contains("declare it as json"), "{told:?}");
    }
    for ty in [ColumnType::Numeric, decimal(66, 2), decimal(40, 31)] {
        let told = mysql::draft(&new(ty), MYSQL, "db").unwrap_err();
        assert!(told[0].contains("decimal(p,s)"), "{told:?}");
    }
    assert!(mysql::draft(&new(ColumnType::Uuid), MYSQL, "db").unwrap_err()[0].contains("declare it as text"));
    assert!(mysql::draft(&new(ColumnType::Uuid), MARIADB, "db").is_ok());
}

#[test]
fn names_that_are_one_name_there_are_told() {
    let outputs = [output("a", ColumnType::Int64), output("A", ColumnType::Int64)];
    let new = design(&table(Mode::Append, &[]), Some(&outputs), &[]).unwrap();
    assert!(postgres::draft(&new, "public").is_ok());
    assert!(sqlite::draft(&new).unwrap_err()[0].contains("a and A have one name"));
    assert!(mysql::draft(&new, MYSQL, "db").is_err());
}

#[test]
fn texts_of_a_key_share_the_index() {
    let outputs: Vec<_> = (0..4).map(|n| output(&format!("k{n}"), ColumnType::Text)).collect();
    let new = |count: usize| {
        let names: Vec<String> = (0..count).map(|n| format!("k{n}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        design(&table(Mode::Upsert, &names), Some(&outputs), &[]).unwrap()
    };
    let sql = |count| mysql::draft(&new(count), MYSQL, "db").unwrap().sql;
    assert!(sql(3).contains("`k0` varchar(255)") && sql(3).contains("`k3` longtext"));
    assert!(sql(4).contains("`k0` varchar(192)"), "{}", sql(4));
}

#[test]
fn a_draft_reads_as_the_catalog_will() {
    let new = design(&table(Mode::Upsert, &["id"]), Some(&[output("id", ColumnType::UInt32)]), &[]).unwrap();
    let draft = sqlite::draft(&new).unwrap();
    assert!(draft.table.columns[0].has_default && !draft.table.columns[0].nullable, "the rowid: {draft:?}");
    assert_eq!(draft.table.unique[0].columns, [0]);
    let draft = postgres::draft(&new, "public").unwrap();
    assert_eq!((draft.table.schema.as_deref(), draft.table.name.as_str()), (Some("shop"), "orders"));
    assert_eq!(draft.table.columns[0].ty, Some(ColumnType::Int64));
}
