//! What is read of a table, and what is said of it before any row moves.

use tidegate::config::Mode;
use tidegate::types::ColumnType;
use tidegate::write::session::Session;

use super::{Db, plan};

const TABLES: &str = "
    CREATE TABLE Orders (
        id INTEGER PRIMARY KEY,
        sku TEXT NOT NULL,
        price DECIMAL(12,2),
        city TEXT NOT NULL DEFAULT '?',
        total REAL GENERATED ALWAYS AS (price * 2),
        email TEXT COLLATE NOCASE UNIQUE,
        UNIQUE (sku, city)
    );
    CREATE UNIQUE INDEX some ON Orders (price) WHERE price > 0;
    CREATE UNIQUE INDEX lowered ON Orders (lower(sku));
    CREATE INDEX plain ON Orders (city);
    CREATE TABLE pairs (b TEXT, a INT, PRIMARY KEY (a, b)) STRICT, WITHOUT ROWID;
    CREATE TABLE \"main.dotted\" (a INT PRIMARY KEY);
    CREATE TABLE odd (a ANY, b GEOMETRY, c);
    CREATE VIEW seen AS SELECT * FROM Orders;";

#[tokio::test]
async fn a_table_is_read_as_it_is() {
    let db = Db::new(TABLES).await;
    let mut session = db.session().await;
    let table = session.table("orders").await.unwrap().unwrap();
    assert_eq!((table.name.as_str(), table.schema.as_deref()), ("Orders", None));
    let columns: Vec<_> =
        table.columns.iter().map(|c| (c.name.as_str(), c.ty.clone(), c.nullable, c.has_default, c.generated)).collect();
    assert_eq!(
        columns,
        [
            ("id", Some(ColumnType::Int64), false, true, false),
            ("sku", Some(ColumnType::Text), false, false, false),
            ("price", Some(ColumnType::Decimal { precision: 12, scale: 2 }), true, false, false),
            ("city", Some(ColumnType::Text), false, true, false),
            ("total", Some(ColumnType::Float64), true, false, true),
            ("email", Some(ColumnType::Text), true, false, false),
        ]
    );
    let unique: Vec<_> = table.unique.iter().map(|index| (index.primary, index.columns.clone())).collect();
    assert_eq!(unique, [(true, vec![0]), (false, vec![1, 3])]);
    assert_eq!(table.unusable_unique.len(), 3, "partial, by expression, without case: {:?}", table.unusable_unique);

    let pairs = session.table("main.pairs").await.unwrap().unwrap();
    assert_eq!(pairs.unique[0].columns, [1, 0]);
    assert!(pairs.columns.iter().all(|column| !column.nullable && !column.has_default));
    let dotted = session.table("main.dotted").await.unwrap().unwrap();
    assert!(!dotted.columns[0].has_default, "INT PRIMARY KEY is not the rowid");
    let odd = session.table("odd").await.unwrap().unwrap();
    let types: Vec<_> = odd.columns.iter().map(|column| column.ty.clone()).collect();
    assert_eq!(types, [None, None, Some(ColumnType::Text)]);
    assert_eq!(session.table("nowhere").await.unwrap(), None);
}

#[tokio::test]
async fn problems_are_told_with_their_cure() {
    let db = Db::new(TABLES).await;
    let mut session = db.session().await;
    let orders = plan(&mut session, "orders", Mode::Upsert).await;
    let problems = session.inspect_table(&orders).await.unwrap();
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].contains("price") && problems[0].contains("declare it TEXT"), "{problems:?}");
    let view = plan(&mut session, "seen", Mode::Append).await;
    let problems = session.inspect_table(&view).await.unwrap();
    assert!(problems[0].contains("this is a view"), "{problems:?}");
    let pairs = plan(&mut session, "pairs", Mode::Upsert).await;
    assert!(session.inspect_table(&pairs).await.unwrap().is_empty());
    db.execute("DROP TABLE pairs").await;
    assert!(session.inspect_table(&pairs).await.unwrap()[0].contains("no such table"));
    assert!(session.inspect_server().await.unwrap().is_empty());
}
