//! Each statement as it is sent.

use super::*;
use crate::write::plan::PlanColumn;

fn column(name: &str, ty: ColumnType, oid: u32, native: &str) -> CatalogColumn {
    let native = native.to_owned();
    CatalogColumn { name: name.into(), ty: Some(ty), native, oid, nullable: true, has_default: false, generated: false }
}

/// id (key), sku char(3), state enum, address inet, tags text[], version.
fn plan(mode: Mode, missing: Missing) -> TablePlan {
    let columns = vec![
        column("id", ColumnType::Int64, 20, "bigint"),
        column("sku", ColumnType::Text, 1042, "character(3)"),
        column("state", ColumnType::Enum, 90_000, "shop.state"),
        column("address", ColumnType::Text, 869, "inet"),
        column("tags", ColumnType::List(Box::new(ColumnType::Text)), 1009, "text[]"),
        column("version", ColumnType::TimestampTz, 1184, "timestamp with time zone"),
    ];
    let table = CatalogTable {
        schema: Some("shop".into()),
        name: "orders".into(),
        columns: columns.clone(),
        unique: Vec::new(),
        unusable_unique: Vec::new(),
    };
    let columns = columns.into_iter().enumerate().map(|(input, column)| PlanColumn { column, input }).collect();
    TablePlan {
        table,
        mode,
        columns,
        key: vec![0],
        deletes: DeletePlan::Hard,
        version: None,
        missing,
        replace: None,
        retention: None,
        merge: Vec::new(),
    }
}

fn parameters(plan: &TablePlan, columns: &[usize]) -> Vec<Parameter> {
    columns.iter().map(|&column| Parameter::of(&plan.columns[column].column).unwrap()).collect()
}

fn put_of(plan: &TablePlan, columns: &[usize]) -> String {
    put(plan, columns, &parameters(plan, columns))
}

#[test]
fn append() {
    let plan = plan(Mode::Append, Missing::Null);
    insta::assert_snapshot!(copy(&plan, &[0, 1, 5]), @r#"COPY "shop"."orders" ("id", "sku", "version") FROM STDIN (FORMAT binary)"#);
    insta::assert_snapshot!(put_of(&plan, &[0, 3, 4]), @r#"
    INSERT INTO "shop"."orders" AS t ("id", "address", "tags")
    SELECT u.c0, u.c1::inet, u.c2::text[]
    FROM unnest($1::int8[], $2::text[], $3::text[]) AS u(c0, c1, c2)
    "#);
}

#[test]
fn insert_ignore() {
    let mut plan = plan(Mode::InsertIgnore, Missing::Null);
    insta::assert_snapshot!(put_of(&plan, &[0, 1]), @r#"
    INSERT INTO "shop"."orders" AS t ("id", "sku")
    SELECT u.c0, u.c1::bpchar
    FROM unnest($1::int8[], $2::text[]) AS u(c0, c1)
    ON CONFLICT ("id") DO NOTHING
    "#);
    plan.key.clear();
    insta::assert_snapshot!(put_of(&plan, &[0]), @r#"
    INSERT INTO "shop"."orders" AS t ("id")
    SELECT u.c0
    FROM unnest($1::int8[]) AS u(c0)
    ON CONFLICT DO NOTHING
    "#);
}

#[test]
fn upsert() {
    let mut plan = plan(Mode::Upsert, Missing::Null);
    insta::assert_snapshot!(put_of(&plan, &[0, 1, 2, 3, 4, 5]), @r#"
    INSERT INTO "shop"."orders" AS t ("id", "sku", "state", "address", "tags", "version")
    SELECT u.c0, u.c1::bpchar, u.c2::shop.state, u.c3::inet, u.c4::text[], u.c5
    FROM unnest($1::int8[], $2::text[], $3::text[], $4::text[], $5::text[], $6::timestamptz[]) AS u(c0, c1, c2, c3, c4, c5)
    ON CONFLICT ("id") DO UPDATE SET "sku" = EXCLUDED."sku", "state" = EXCLUDED."state", "address" = EXCLUDED."address", "tags" = EXCLUDED."tags", "version" = EXCLUDED."version"
    "#);
    plan.missing = Missing::Keep;
    insta::assert_snapshot!(put_of(&plan, &[0, 1]), @r#"
    INSERT INTO "shop"."orders" AS t ("id", "sku")
    SELECT u.c0, u.c1::bpchar
    FROM unnest($1::int8[], $2::text[]) AS u(c0, c1)
    ON CONFLICT ("id") DO UPDATE SET "sku" = EXCLUDED."sku"
    "#);
    assert!(!leaves_stored_row(&plan, &[0, 1]));
    insta::assert_snapshot!(put_of(&plan, &[0]), @r#"
    INSERT INTO "shop"."orders" AS t ("id")
    SELECT u.c0
    FROM unnest($1::int8[]) AS u(c0)
    ON CONFLICT ("id") DO NOTHING
    "#);
    assert!(leaves_stored_row(&plan, &[0]));
}

#[test]
fn upsert_with_a_version() {
    let mut plan = plan(Mode::Upsert, Missing::Keep);
    plan.version = Some(5);
    insta::assert_snapshot!(put_of(&plan, &[0, 1, 5]), @r#"
    INSERT INTO "shop"."orders" AS t ("id", "sku", "version")
    SELECT u.c0, u.c1::bpchar, u.c2
    FROM unnest($1::int8[], $2::text[], $3::timestamptz[]) AS u(c0, c1, c2)
    ON CONFLICT ("id") DO UPDATE SET "sku" = EXCLUDED."sku", "version" = EXCLUDED."version"
    WHERE t."version" IS NULL OR EXCLUDED."version" >= t."version"
    "#);
    insta::assert_snapshot!(put_of(&plan, &[0, 1]), @r#"
    INSERT INTO "shop"."orders" AS t ("id", "sku")
    SELECT u.c0, u.c1::bpchar
    FROM unnest($1::int8[], $2::text[]) AS u(c0, c1)
    ON CONFLICT ("id") DO UPDATE SET "sku" = EXCLUDED."sku"
    WHERE t."version" IS NULL
    "#);
}

#[test]
fn upsert_takes_a_deletion_mark_back() {
    let mut plan = plan(Mode::Upsert, Missing::Keep);
    let mut mark = column("deleted", ColumnType::Bool, 16, "boolean");
    plan.deletes = DeletePlan::Soft(mark.clone());
    insta::assert_snapshot!(put_of(&plan, &[0, 1]), @r#"
    INSERT INTO "shop"."orders" AS t ("id", "sku")
    SELECT u.c0, u.c1::bpchar
    FROM unnest($1::int8[], $2::text[]) AS u(c0, c1)
    ON CONFLICT ("id") DO UPDATE SET "sku" = EXCLUDED."sku", "deleted" = NULL
    "#);
    mark.nullable = false;
    plan.deletes = DeletePlan::Soft(mark.clone());
    insta::assert_snapshot!(put_of(&plan, &[0, 1]), @r#"
    INSERT INTO "shop"."orders" AS t ("id", "sku", "deleted")
    SELECT u.c0, u.c1::bpchar, false
    FROM unnest($1::int8[], $2::text[]) AS u(c0, c1)
    ON CONFLICT ("id") DO UPDATE SET "sku" = EXCLUDED."sku", "deleted" = false
    "#);
    mark.has_default = true;
    plan.deletes = DeletePlan::Soft(mark);
    insta::assert_snapshot!(put_of(&plan, &[0, 1]), @r#"
    INSERT INTO "shop"."orders" AS t ("id", "sku")
    SELECT u.c0, u.c1::bpchar
    FROM unnest($1::int8[], $2::text[]) AS u(c0, c1)
    ON CONFLICT ("id") DO UPDATE SET "sku" = EXCLUDED."sku", "deleted" = DEFAULT
    "#);
}

#[test]
fn update() {
    let mut plan = plan(Mode::Update, Missing::Default);
    plan.version = Some(5);
    insta::assert_snapshot!(put_of(&plan, &[0, 1, 3, 5]), @r#"
    UPDATE "shop"."orders" AS t SET "sku" = u.c1::bpchar, "state" = DEFAULT, "address" = u.c2::inet, "tags" = DEFAULT, "version" = u.c3
    FROM unnest($1::int8[], $2::text[], $3::text[], $4::timestamptz[]) AS u(c0, c1, c2, c3)
    WHERE t."id" = u.c0 AND (t."version" IS NULL OR u.c3 >= t."version")
    "#);
    plan.missing = Missing::Keep;
    insta::assert_snapshot!(put_of(&plan, &[0, 2]), @r#"
    UPDATE "shop"."orders" AS t SET "state" = u.c1::shop.state
    FROM unnest($1::int8[], $2::text[]) AS u(c0, c1)
    WHERE t."id" = u.c0 AND t."version" IS NULL
    "#);
    plan.version = None;
    insta::assert_snapshot!(put_of(&plan, &[0]), @r#"
    UPDATE "shop"."orders" AS t SET "id" = t."id"
    FROM unnest($1::int8[]) AS u(c0)
    WHERE t."id" = u.c0
    "#);
}

#[test]
fn deletes() {
    let mut plan = plan(Mode::Upsert, Missing::Null);
    plan.key = vec![1, 0];
    insta::assert_snapshot!(delete(&plan, &[0, 1], &parameters(&plan, &[0, 1])), @r#"
    DELETE FROM "shop"."orders" AS t
    USING unnest($1::int8[], $2::text[]) AS u(c0, c1)
    WHERE t."id" = u.c0 AND t."sku" = u.c1::bpchar
    "#);
    let mark = column("deleted_at", ColumnType::TimestampTz, 1184, "timestamp with time zone");
    let mut with_mark = parameters(&plan, &[0, 1]);
    with_mark.extend(Parameter::of(&mark));
    insta::assert_snapshot!(soft_delete(&plan, &mark, &[0, 1], &with_mark), @r#"
    UPDATE "shop"."orders" AS t SET "deleted_at" = u.c2
    FROM unnest($1::int8[], $2::text[], $3::timestamptz[]) AS u(c0, c1, c2)
    WHERE t."id" = u.c0 AND t."sku" = u.c1::bpchar
    "#);
}

#[test]
fn hostile_names_stay_names() {
    let mut plan = plan(Mode::Upsert, Missing::Null);
    plan.table.schema = Some("a.b".into());
    plan.table.name = "x\"; DROP TABLE ev;--".into();
    plan.columns.truncate(2);
    plan.columns[0].column.name = "$1 'q' \\ ü\n日".into();
    plan.columns[1].column.name = "n".repeat(63);
    insta::assert_snapshot!(put_of(&plan, &[0, 1]), @r#"
    INSERT INTO "a.b"."x""; DROP TABLE ev;--" AS t ("$1 'q' \ ü
    日", "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn")
    SELECT u.c0, u.c1::bpchar
    FROM unnest($1::int8[], $2::text[]) AS u(c0, c1)
    ON CONFLICT ("$1 'q' \ ü
    日") DO UPDATE SET "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn" = EXCLUDED."nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"
    "#);
    insta::assert_snapshot!(copy(&plan, &[0]), @r#"
    COPY "a.b"."x""; DROP TABLE ev;--" ("$1 'q' \ ü
    日") FROM STDIN (FORMAT binary)
    "#);
}
