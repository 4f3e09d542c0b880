//! `create = true`: the tables that a pipeline makes for itself, and those that it leaves alone.

use tidegate::pipeline::Queries;
use tidegate::retry::Disposition;
use tidegate::write::Prepared;
use tidegate::write::error::WriteError;

use super::Scene;
use crate::support::database::{ALL, Kind};
use crate::support::pipeline::open;

/// Every type that all databases have, as declared and as a value.
const TYPES: &[(&str, &str, &str)] = &[
    ("flag", "boolean", "true"),
    ("i8", "tinyint", "-128"),
    ("i16", "smallint", "-32768"),
    ("i32", "int", "-2147483648"),
    ("i64", "bigint", "-9223372036854775808"),
    ("u8", "tinyint unsigned", "255"),
    ("u16", "smallint unsigned", "65535"),
    ("u32", "int unsigned", "4294967295"),
    ("u64", "bigint unsigned", "18446744073709551615"),
    ("f64", "double", "0.25"),
    ("price", "decimal(12,2)", "\"1234567890.10\""),
    ("note", "text", "\"ä'\\\"x\""),
    ("day", "date", "\"2026-11-01\""),
    ("clock", "time", "\"10:20:30.123456\""),
    ("local", "timestamp", "\"2026-11-01T10:20:30.123456\""),
    // Beyond 2038.
    ("instant", "timestamptz", "\"2199-11-01T12:20:30.123456+02:00\""),
    ("doc", "json", "{\"a\":[1]}"),
];

pub async fn prepare(scene: &Scene) -> Result<Prepared, WriteError> {
    let pipeline = scene.pipeline();
    let queries = Queries::plan(&pipeline).unwrap();
    let prepared = open(&pipeline, queries.outputs()).prepare().await?;
    queries.compile(&pipeline, &prepared).map(drop).unwrap();
    Ok(prepared)
}

/// What the SQL of each table gives.
pub fn outputs(scene: &Scene) -> Vec<Option<Vec<tidegate::rows::OutputColumn>>> {
    Queries::plan(&scene.pipeline()).unwrap().outputs()
}

async fn tables_like(scene: &Scene, name: &str) -> i64 {
    let catalog = match scene.database.kind {
        Kind::Sqlite => "sqlite_schema WHERE type = 'table' AND name",
        Kind::Postgres => "information_schema.tables WHERE table_name",
        _ => "information_schema.tables WHERE table_schema = DATABASE() AND table_name",
    };
    scene.database.number(&format!("SELECT count(*) FROM {catalog} = '{name}'")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn declared_columns_become_a_table_of_these_types() {
    let declared: String = TYPES.iter().map(|(name, ty, _)| format!("{name} = \"{ty}\"\n")).collect();
    let fields: Vec<String> = TYPES.iter().map(|(name, _, value)| format!("\"{name}\":{value}")).collect();
    let sections = format!(
        "[source.columns]\nid = \"bigint\"\nsku = \"text\"\n{declared}
         [[table]]\nname = \"everything\"\nkey = [\"id\", \"sku\"]\ncreate = true"
    );
    for kind in ALL {
        let mut scene = Scene::new(kind, &[], &sections).await;
        let value = format!(r#"{{"id":1,"sku":"a",{}}}"#, fields.join(","));
        let lower = value.replace(r#""sku":"a""#, r#""sku":"A""#);
        let blank = value.replace(r#""sku":"a""#, r#""sku":"a ""#);
        // The last one replaces the first; the others have keys of their own, whatever a collation thinks.
        let records: Vec<_> = [&value, &lower, &blank, &value].map(|value| ("k", Some(value.as_str()))).into();
        scene.send(&records);
        scene.run().await;
        assert_eq!(scene.dead_letters().await, [""; 0], "{kind:?}");
        let names: Vec<&str> = TYPES.iter().map(|(name, ..)| *name).collect();
        let rows = scene.rows("everything", &names).await;
        assert_eq!(rows.len(), 3, "{kind:?}: {rows:?}");
        for (column, part) in [
            ("i64", "-9223372036854775808"),
            ("u64", "18446744073709551615"),
            ("price", "1234567890.10"),
            ("note", "ä'\"x"),
            ("clock", "10:20:30.123456"),
            ("instant", "2199-11-01"),
            ("instant", "10:20:30.123456"),
        ] {
            let values = scene.rows("everything", &[column]).await;
            assert!(values.iter().all(|value| value.contains(part)), "{kind:?} {column}: {values:?}");
        }
        // It is there now.
        scene.send(&[("k", Some(value.replace(":1,", ":2,").as_str()))]);
        scene.run().await;
        assert_eq!(scene.rows("everything", &["id"]).await.len(), 4, "{kind:?}");
    }
}

const SHOP: &str = r#"
[source.columns]
id = "bigint"
sku = "text"
quantity = "int"
price = "decimal(12,2)"
at = "timestamptz"
[[table]]
name = "orders"
key = ["id"]
version = "at"
deletes = "soft(gone)"
create = true
sql = "SELECT id, upper(sku) AS sku, quantity * price AS total, at FROM input"
[[table]]
name = "items"
mode = "append"
create = true
sql = "SELECT id, quantity > 1 AS several FROM input"
[[table]]
name = "sums"
mode = "merge"
key = ["minute", "sku"]
merge = { orders = "sum", revenue = "sum", highest = "max" }
create = true
sql = """
SELECT date_bin(interval '1 minute', at) AS minute, sku, count(*) AS orders, sum(quantity * price) AS revenue,
       max(price) AS highest
FROM input GROUP BY 1, 2"""
"#;

#[tokio::test(flavor = "multi_thread")]
async fn the_columns_of_the_sql_become_tables_of_every_mode() {
    for kind in ALL {
        let mut scene = Scene::new(kind, &[], SHOP).await;
        let order = |id: u32, quantity: u32, second: u32| {
            format!(
                r#"{{"id":{id},"sku":"a","quantity":{quantity},"price":"0.10","at":"2026-11-01T10:00:{second:02}Z"}}"#
            )
        };
        let (first, newer, older) = (order(1, 1, 5), order(1, 3, 6), order(1, 9, 4));
        scene.send(&[("1", Some(&first)), ("1", Some(&newer))]);
        scene.run().await;
        scene.send(&[("1", Some(&older))]);
        scene.run().await;
        assert_eq!(scene.rows("orders", &["id", "sku", "total", "gone"]).await, ["1|A|0.30|-"], "{kind:?}");
        assert_eq!(scene.rows("items", &["id"]).await.len(), 3, "{kind:?}");
        assert_eq!(scene.rows("sums", &["sku", "orders", "revenue", "highest"]).await, ["a|3|1.30|0.10"], "{kind:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn daemons_that_create_at_once_create_one_table() {
    for kind in ALL {
        let sections = "[source.columns]\nid = \"bigint\"\nsku = \"text\"\n
                        [[table]]\nname = \"orders\"\nkey = [\"id\"]\ncreate = true";
        let scene = Scene::new(kind, &[], sections).await;
        // Our own tables are not what races here.
        open(&scene.pipeline(), vec![None]).migrate().await.unwrap();
        let racing: Vec<_> = (0..6)
            .map(|_| {
                let pipeline = scene.pipeline();
                tokio::spawn(async move { open(&pipeline, vec![None]).prepare().await })
            })
            .collect();
        for prepared in racing {
            match prepared.await.unwrap() {
                Ok(prepared) => assert_eq!(prepared.tables[0].columns.len(), 2),
                Err(error) => assert_eq!(error.disposition, Disposition::Retry, "{kind:?}: {error}"),
            }
        }
        assert_eq!(prepare(&scene).await.unwrap().tables[0].key, [0], "{kind:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_there_is_left_alone_and_checked_as_ever() {
    let sections = "[source.columns]\nid = \"bigint\"\nsku = \"text\"\n
                    [[table]]\nname = \"orders\"\nkey = [\"id\"]\ncreate = true";
    for kind in ALL {
        let scene = Scene::new(kind, &["CREATE TABLE orders (id bigint PRIMARY KEY, other int)"], sections).await;
        let error = prepare(&scene).await.map(drop).unwrap_err();
        assert_eq!(error.disposition, Disposition::Block, "{kind:?}");
        assert!(error.message.contains("[source.columns] sku"), "{kind:?}: {error}");
        assert_eq!(scene.database.number("SELECT count(other) FROM orders").await, 0, "{kind:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_created_where_something_is_wrong() {
    let sections = "[source.columns]\nid = \"bigint\"\nat = \"text\"\n
                    [[table]]\nname = \"fine\"\nkey = [\"id\"]\ncreate = true\nsql = \"SELECT id FROM input\"\n
                    [[table]]\nname = \"orders\"\nkey = [\"id\"]\nversion = \"at\"\ncreate = true
                    sql = \"SELECT id, at FROM input\"";
    for kind in ALL {
        let scene = Scene::new(kind, &[], sections).await;
        let error = prepare(&scene).await.map(drop).unwrap_err();
        assert!(error.message.contains("at cannot be the `version`"), "{kind:?}: {error}");
        assert_eq!(tables_like(&scene, "orders").await + tables_like(&scene, "fine").await, 0, "{kind:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_quoted() {
    let sections = "[source.columns]\n'id\"; DROP TABLE x; --`?$1' = \"text\"\nselect = \"int\"\n
                    [[table]]\nname = 'or\"de`rs; --'\nkey = ['id\"; DROP TABLE x; --`?$1']\ncreate = true";
    for kind in ALL {
        let mut scene = Scene::new(kind, &[], sections).await;
        scene.send(&[("k", Some(r#"{"id\"; DROP TABLE x; --`?$1":"a","select":7}"#))]);
        scene.run().await;
        let (table, column) = match kind {
            Kind::MariaDb | Kind::MySql => ("`or\"de``rs; --`", "`select`"),
            _ => ("\"or\"\"de`rs; --\"", "\"select\""),
        };
        assert_eq!(scene.rows(table, &[column]).await, ["7"], "{kind:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_that_may_not_create_gets_the_statement() {
    let sections = "[source.columns]\nid = \"bigint\"\nsku = \"text\"\n
                    [[table]]\nname = \"orders\"\nkey = [\"id\"]\ncreate = true";
    for kind in [Kind::Postgres, Kind::MariaDb, Kind::MySql] {
        let mut scene = Scene::new(kind, &[], sections).await;
        open(&scene.pipeline(), vec![None]).migrate().await.unwrap();
        let user = format!("u{:08x}", fastrand::u32(..));
        let (admin, database) = (scene.database.url.clone(), scene.database.url.rsplit('/').next().unwrap().to_owned());
        match kind {
            Kind::Postgres => {
                let grants = format!(
                    "CREATE ROLE {user} LOGIN; REVOKE CREATE ON SCHEMA public FROM PUBLIC;
                     GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {user};
                     ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO {user}"
                );
                scene.database.execute(&grants).await;
            }
            _ => {
                // Of two entries the one of the nearer host counts, and anonymous users have one.
                for host in ["%", "localhost"] {
                    scene.database.execute(&format!("CREATE USER {user}@'{host}'")).await;
                    let grant = format!("GRANT SELECT, INSERT, UPDATE, DELETE ON {database}.* TO {user}@'{host}'");
                    scene.database.execute(&grant).await;
                }
            }
        }
        let mut theirs = url::Url::parse(&admin).unwrap();
        theirs.set_username(&user).unwrap();
        theirs.set_password(None).unwrap();
        scene.database.url = theirs.to_string();
        let error = prepare(&scene).await.map(drop).unwrap_err();
        assert_eq!((error.disposition, error.class), (Disposition::Block, "no-privilege"), "{kind:?}: {error}");
        // The statement as it was printed is enough.
        let (_, statement) = error.message.split_once(":\n").unwrap_or_else(|| panic!("{kind:?}: {error}"));
        let statement = statement.to_owned();
        scene.database.url = admin.clone();
        scene.database.execute(&statement).await;
        scene.database.url = theirs.into();
        prepare(&scene).await.unwrap();
        scene.database.url = admin;
        let gone = match kind {
            Kind::Postgres => format!("DROP OWNED BY {user}; DROP ROLE {user}"),
            _ => format!("DROP USER {user}@'%'; DROP USER {user}@localhost"),
        };
        scene.database.execute(&gone).await;
    }
}
