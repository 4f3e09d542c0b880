//! Every wrong situation, and the words that must tell it.

use crate::rows::BytesEncoding;

use super::*;

/// What is wrong, and the words that must tell it.
type Wrong = (Table, CatalogTable, Vec<SourceColumn>, &'static [&'static str]);

fn wrong_keys() -> Vec<Wrong> {
    let none = Vec::new;
    vec![
        (
            keyed(Mode::Upsert, &["order"]),
            orders(),
            none(),
            &["no column order, which `key` names", "there are id, sku"],
        ),
        (keyed(Mode::Upsert, &["skuu"]), orders(), none(), &["no column skuu", "did you mean sku?"]),
        (keyed(Mode::Upsert, &["id", "ID"]), orders(), none(), &["`key` names the column ID twice"]),
        (
            keyed(Mode::Upsert, &["Sku"]),
            change(orders(), |table| table.columns[2].name = "SKU".to_owned()),
            none(),
            &["no column Sku", "sku and SKU differ in case alone"],
        ),
        (
            upsert(),
            without_primary_key(),
            none(),
            &["mode = \"upsert\" must find rows", "no primary key", "with a unique index over them"],
        ),
        (
            table(Mode::Update),
            change(orders(), |table| {
                table.unique.remove(0);
            }),
            none(),
            &["mode = \"update\" must find rows", "for example those of the unique index orders_sku_key: sku"],
        ),
        (
            Table { deletes: Deletes::Hard, ..table(Mode::Append) },
            without_primary_key(),
            none(),
            &["deletes = \"hard\" must find rows"],
        ),
        (
            keyed(Mode::Upsert, &["sku", "quantity"]),
            orders(),
            none(),
            &[
                "unique index over exactly the key (sku, quantity)",
                "it has orders_pkey (id) and orders_sku_key (sku)",
                "CREATE UNIQUE INDEX orders_sku_quantity_key ON shop.orders (sku, quantity);",
            ],
        ),
        (
            keyed(Mode::InsertIgnore, &["quantity"]),
            orders(),
            none(),
            &["mode = \"insert-ignore\" with a `key` needs a unique index"],
        ),
        (
            keyed(Mode::Upsert, &["Order Id"]),
            change(without_primary_key(), |table| {
                table.columns[0].name = "Order Id".to_owned();
                table.unusable_unique = vec!["orders_active".to_owned()];
            }),
            none(),
            &[
                "orders_active cannot serve, because it is partial, over an expression, or deferrable",
                "CREATE UNIQUE INDEX \"orders_Order Id_key\" ON shop.orders (\"Order Id\");",
            ],
        ),
        (
            keyed(Mode::Upsert, &["total"]),
            change(orders(), |table| table.unique = vec![index("t", false, &[8])]),
            none(),
            &["key column total is computed by the database"],
        ),
        (
            keyed(Mode::Upsert, &["note"]),
            change(orders(), |table| table.unique = vec![index("n", false, &[7])]),
            none(),
            &["key column note is of type json, whose values have many forms"],
        ),
        (
            keyed(Mode::Upsert, &["area"]),
            change(orders(), |table| table.unique = vec![index("a", false, &[9])]),
            none(),
            &["key column area is of type polygon, which is not supported"],
        ),
    ]
}

fn wrong_options() -> Vec<Wrong> {
    let none = Vec::new;
    vec![
        (versioned("updatedAt"), orders(), none(), &["no column updatedAt, which `version` names", "updated_at?"]),
        (versioned("sku"), orders(), none(), &["sku cannot be the `version`", "text", "choose a number or a time"]),
        (versioned("active"), orders(), none(), &["active cannot be the `version`", "boolean"]),
        (versioned("id"), orders(), none(), &["id cannot be the `version`, because it is in the key"]),
        (versioned("total"), orders(), none(), &["total cannot be the `version`, because the database computes it"]),
        (versioned("area"), orders(), none(), &["area cannot be the `version`, because its type is not supported"]),
        (
            Table { version: Some("updated_at".to_owned()), ..soft("updated_at") },
            orders(),
            none(),
            &["updated_at cannot be the `version`, because it marks deletes"],
        ),
        (
            Table { version: Some("updated_at".to_owned()), ..table(Mode::Append) },
            orders(),
            none(),
            &["only the modes upsert and update change"],
        ),
        (soft("deleted_at"), orders(), none(), &["no column deleted_at, which `deletes` names", "there are id"]),
        (soft("quantity"), orders(), none(), &["quantity cannot mark deletes", "of type int", "a boolean can"]),
        (soft("id"), orders(), none(), &["id cannot mark deletes, because it is in the key"]),
        (soft("total"), orders(), none(), &["total cannot mark deletes, because the database computes it"]),
        (
            soft("created_at"),
            change(orders(), |table| table.columns[4].nullable = false),
            none(),
            &["created_at cannot mark deletes, because it takes no null", "drop its NOT NULL"],
        ),
        (
            upsert(),
            change(orders(), |table| table.columns[9].nullable = false),
            none(),
            &["column area takes no null and has no default, and its type polygon is not supported"],
        ),
        (
            table(Mode::Update),
            change(orders(), |table| table.columns.truncate(1)),
            none(),
            &["mode = \"update\" has nothing to write but the key"],
        ),
        (
            table(Mode::Append),
            change(orders(), |table| table.columns = vec![generated("total", ColumnType::Numeric)]),
            none(),
            &["no column that can be written"],
        ),
    ]
}

fn wrong_declarations() -> Vec<Wrong> {
    let decimal = |precision, scale| ColumnType::Decimal { precision, scale };
    let unit = SourceColumn { unit: Some(TimeUnit::Seconds), ..declare("quantity", ColumnType::Int32) };
    let encoding = SourceColumn { encoding: Some(BytesEncoding::Hex), ..declare("sku", ColumnType::Text) };
    vec![
        (
            upsert(),
            orders(),
            vec![declare("qantity", ColumnType::Int32)],
            &["[source.columns] qantity: the table has no column of that name", "did you mean quantity?"],
        ),
        (upsert(), orders(), vec![declare("city", ColumnType::Text)], &["remove the line, or add the column"]),
        (
            upsert(),
            orders(),
            vec![declare("total", ColumnType::Numeric)],
            &["[source.columns] total: the database computes the column in table shop.orders", "remove the line"],
        ),
        (
            soft("updated_at"),
            orders(),
            vec![declare("updated_at", ColumnType::TimestampTz)],
            &["[source.columns] updated_at: the column marks deletes in table shop.orders"],
        ),
        (
            upsert(),
            orders(),
            vec![declare("area", ColumnType::Text)],
            &["[source.columns] area: the column is of type polygon in table shop.orders, which is not supported"],
        ),
        (
            upsert(),
            orders(),
            vec![declare("ID", ColumnType::Int64), declare("id", ColumnType::Int64)],
            &["[source.columns] ID: it names the same column id of table shop.orders as id"],
        ),
        (
            upsert(),
            orders(),
            vec![declare("quantity", ColumnType::Int64)],
            &["column quantity is of type int, which cannot hold every bigint", "declare int, or change the column"],
        ),
        (upsert(), orders(), vec![declare("price", decimal(14, 4))], &["decimal(12,2)", "every decimal(14,4)"]),
        (upsert(), orders(), vec![declare("sku", ColumnType::Int64)], &["column sku is of type text", "every bigint"]),
        (
            upsert(),
            orders(),
            vec![declare("created_at", ColumnType::Timestamp)],
            &["set `source.timezone`, or declare"],
        ),
        (upsert(), orders(), vec![unit], &["column quantity is of type int", "`unit`, which only times have"]),
        (upsert(), orders(), vec![encoding], &["column sku is of type text", "`encoding`, which only bytes have"]),
    ]
}

#[test]
fn what_is_wrong_is_told_in_one_sentence_with_its_cure() {
    let cases = [wrong_keys(), wrong_options(), wrong_declarations()].concat();
    assert!(cases.len() >= 40);
    for (table, found, declared, words) in cases {
        let problems = plan_one(table.clone(), found, &declared).expect_err(&format!("{table:?} {declared:?}"));
        assert_eq!(problems.len(), 1, "{problems:#?}");
        for word in words {
            assert!(problems[0].contains(word), "no {word:?} in {:?}", problems[0]);
        }
        assert!(problems[0].starts_with("table shop.orders: ") || problems[0].starts_with("[source.columns] "));
    }
}
