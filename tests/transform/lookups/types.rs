//! Values of all types come through a lookup as they are in the table.

use std::fmt::Write as _;

use super::Scene;
use crate::support::database::Kind;

/// Type and a value as SQL writes it.
type Column = (&'static str, &'static str);

const POSTGRES: &[Column] = &[
    ("boolean", "true"),
    ("smallint", "-7"),
    ("integer", "2147483647"),
    ("bigint", "-9223372036854775808"),
    ("numeric(20,4)", "1234567890123456.7890"),
    ("numeric", "12345678901234567890123456789012345678901234567890.5"),
    ("real", "0.1"),
    ("double precision", "0.1::float8 + 0.2"),
    ("double precision", "'NaN'"),
    ("text", "E'a\\n\"é\\\\'"),
    ("varchar(9)", "''"),
    ("char(5)", "'ab'"),
    ("bytea", "'\\x00ff10'"),
    ("uuid", "'6f9619ff-8b86-d011-b42d-00cf4fc964ff'"),
    ("date", "'2026-02-28'"),
    ("time", "'23:59:59.123456'"),
    ("timestamp", "'2026-02-28 23:59:59.123456'"),
    ("timestamptz", "'2026-02-28 23:59:59.123456+05:30'"),
    ("json", "'{\"a\": [1, 2.50]}'"),
    ("jsonb", "'{\"a\": [1, 2.50]}'"),
    ("text[]", "array['a', null, 'b\"c']"),
    ("integer[]", "'{}'"),
    ("inet", "'10.0.0.0/8'"),
    ("text", "NULL"),
];

const MYSQL: &[Column] = &[
    ("tinyint(1)", "1"),
    ("tinyint unsigned", "255"),
    ("smallint", "-7"),
    ("int", "2147483647"),
    ("bigint", "-9223372036854775808"),
    ("bigint unsigned", "18446744073709551615"),
    ("decimal(20,4)", "1234567890123456.7890"),
    ("float", "0.1"),
    ("double", "0.30000000000000004"),
    ("varchar(20) CHARACTER SET utf8mb4", "'a\"é 🚢'"),
    ("longtext", "''"),
    ("enum('a','b')", "'b'"),
    ("varbinary(9)", "x'00ff10'"),
    ("date", "'2026-02-28'"),
    ("time(6)", "'23:59:59.123456'"),
    ("datetime(6)", "'2026-02-28 23:59:59.123456'"),
    ("timestamp(6) NULL", "'2026-02-28 23:59:59.123456'"),
    ("json", "'{\"a\": [1, 2.5]}'"),
    ("text", "NULL"),
];

const SQLITE: &[Column] = &[
    ("BOOLEAN", "1"),
    ("INTEGER", "-9223372036854775808"),
    ("REAL", "0.1 + 0.2"),
    ("TEXT", "'a\"é'"),
    ("TEXT", "''"),
    ("BLOB", "x'00ff10'"),
    ("UUID", "'6f9619ff-8b86-d011-b42d-00cf4fc964ff'"),
    ("DATE", "'2026-02-28'"),
    ("TIME", "'23:59:59.123456'"),
    ("TEXT", "NULL"),
];

#[tokio::test(flavor = "multi_thread")]
async fn values_are_the_tables() {
    for (kind, columns) in
        [(Kind::Postgres, POSTGRES), (Kind::MySql, MYSQL), (Kind::MariaDb, MYSQL), (Kind::Sqlite, SQLITE)]
    {
        let (mut table, mut values, mut select, mut names) = (String::new(), String::new(), String::new(), Vec::new());
        for (index, (ty, value)) in columns.iter().enumerate() {
            let _ = write!(table, ", c{index} {ty}");
            let _ = write!(values, ", {value}");
            let _ = write!(select, ", t.c{index}");
            // SQLite has bytes that are no text.
            let is_blob = *ty == "BLOB";
            names.push(if is_blob {
                format!("iif(c{index} IS NULL, NULL, hex(c{index}))")
            } else {
                format!("c{index}")
            });
        }
        let sections = format!(
            "
[source.columns]
id = \"bigint\"
[[lookup]]
name = \"things\"
table = \"things\"
key = [\"id\"]
[[table]]
name = \"copies\"
key = [\"id\"]
sql = \"SELECT i.id{select} FROM input i LEFT JOIN things t ON t.id = i.id\"
"
        );
        let ddl = |name: &str| format!("CREATE TABLE {name} (id int PRIMARY KEY{table})");
        // Not STRICT in SQLite: with the types as they are declared.
        let mut scene = Scene::new(kind, &[], &sections).await;
        scene.database.execute(&ddl("things")).await;
        scene.database.execute(&ddl("copies")).await;
        scene.database.execute(&format!("INSERT INTO things VALUES (1{values})")).await;
        scene.send(&[("k", Some(r#"{"id":1}"#)), ("k", Some(r#"{"id":2}"#))]);
        scene.run().await;
        assert_eq!(scene.dead_letters().await, Vec::<String>::new(), "{kind:?}");
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let (things, copies) = (scene.rows("things", &names).await, scene.rows("copies", &names).await);
        assert!(copies.contains(&things[0]), "{kind:?}: {things:?} {copies:?}");
        let miss = vec!["-"; names.len()].join("|");
        assert!(copies.contains(&miss), "{kind:?}: {copies:?}");
    }
}
