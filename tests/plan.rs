//! `tidegate plan`: the real binary, with a database and without one.

use std::process::{Command, Output};

use serde_json::Value;

use crate::support::database::{Kind, TestDatabase};

const SECTIONS: &str = r#"[source]
brokers = ["127.0.0.1:1"]
topics = ["orders"]
[source.columns]
order_id = "bigint"
quantity = "int"
price = { type = "decimal(12,2)", path = "$.amounts.price" }
created_at = "timestamptz"
tags = "text[]"
tenant = { type = "text", header = "tenant" }
[[table]]
name = "orders"
key = ["order_id"]
deletes = "soft(gone)"
sql = """
SELECT order_id, quantity * price AS total, price, created_at, tenant FROM input"""
[[table]]
name = "plain"
mode = "append"
[[table]]
name = "tags"
mode = "append"
sql = "SELECT UNNEST(tags) AS tag, _offset AS at FROM input"
"#;

fn plan(url: &str, more: &[&str]) -> Output {
    plan_of(SECTIONS, url, more)
}

fn plan_of(sections: &str, url: &str, more: &[&str]) -> Output {
    let folder = tempfile::tempdir().expect("a folder");
    let text = format!("name = \"orders\"\n{sections}[sink]\nurl = \"{url}\"\n");
    std::fs::write(folder.path().join("orders.toml"), text).expect("a file");
    let mut tidegate = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    tidegate.args(["plan", "orders.toml"]).args(more).current_dir(folder.path()).output().expect("it runs")
}

fn json(output: &Output) -> Value {
    let (text, told) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let plans: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}{told}"));
    plans[0].clone()
}

fn column<'p>(table: &'p Value, result: &str) -> &'p Value {
    let columns = table["columns"].as_array().expect("a list");
    let is_it = |column: &&Value| column["result"].as_str().is_some_and(|text| text.starts_with(result));
    columns.iter().find(is_it).unwrap_or_else(|| panic!("no {result}: {columns:?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_column_is_followed_from_the_record_to_the_table() {
    let database = TestDatabase::new(Kind::Postgres).await;
    database
        .execute(
            "CREATE TABLE orders (order_id bigint PRIMARY KEY, total numeric(14,2), price double precision,
                 created_at timestamp, tenant text, gone timestamptz, note text, stored timestamptz DEFAULT now());
             CREATE TABLE plain (order_id bigint, quantity int);
             CREATE TABLE tags (tag text, at bigint);",
        )
        .await;
    let output = plan(&database.url, &["--output", "json"]);
    let planned = json(&output);
    assert_eq!(output.status.code(), Some(0), "{planned}");
    assert_eq!(planned["unreachable"], Value::Null);
    let orders = &planned["tables"][0];
    assert_eq!(orders["table"], "public.orders");
    assert_eq!(
        (&orders["mode"], &orders["key"][0], &orders["deletes"]),
        (&"upsert".into(), &"order_id".into(), &"soft(gone)".into())
    );
    let total = column(orders, "total ");
    assert_eq!(
        total["inputs"],
        serde_json::json!(["quantity int ($.quantity)", "price decimal(12,2) ($.amounts.price)"])
    );
    assert_eq!((&total["sql"], &total["native"]), (&"quantity * price".into(), &"numeric(14,2)".into()));
    assert_eq!(total["loss"], "none, but what does not fit is a bad record");
    assert_eq!(column(orders, "order_id ")["loss"], Value::Null);
    assert!(column(orders, "price ")["loss"].as_str().unwrap().contains("rounded"));
    assert!(column(orders, "created_at ")["loss"].as_str().unwrap().contains("zone"));
    assert_eq!(column(orders, "tenant ")["inputs"][0], "tenant text (header tenant)");
    let unfilled = orders["unfilled"].as_array().unwrap();
    let unfilled: Vec<_> =
        unfilled.iter().map(|column| (column["column"].as_str().unwrap(), column["gets"].as_str().unwrap())).collect();
    assert_eq!(unfilled, [("gone", "the mark of deleted rows"), ("note", "NULL"), ("stored", "its default")]);
    let quantity = column(&planned["tables"][1], "quantity ");
    assert_eq!((&quantity["sql"], &quantity["inputs"][0]), (&Value::Null, &"quantity int ($.quantity)".into()));
    let tag = column(&planned["tables"][2], "tag ");
    assert_eq!(tag["inputs"], serde_json::json!(["tags text[] ($.tags)"]));
    let ours = "SELECT count(*) FROM information_schema.tables WHERE table_name LIKE 'tidegate%'";
    assert_eq!(database.number(ours).await, 0, "nothing was changed");
    let text = String::from_utf8_lossy(&plan(&database.url, &[]).stdout).into_owned();
    assert!(text.contains("table public.orders (upsert, key order_id, deletes soft(gone))"), "{text}");
    assert!(text.contains("nothing fills note text: it gets NULL"), "{text}");
}

#[test]
fn without_the_database_the_side_of_the_sql_is_shown_and_a_sentence_says_so() {
    let output = plan("postgres://app:hunter2@127.0.0.1:1/shop", &["--output", "json"]);
    let planned = json(&output);
    assert_eq!(output.status.code(), Some(0));
    assert!(planned["unreachable"].as_str().unwrap().starts_with("the database was not asked"), "{planned}");
    assert!(!planned.to_string().contains("hunter2"));
    assert_eq!(column(&planned["tables"][0], "total ")["sql"], "quantity * price");
    assert_eq!(column(&planned["tables"][0], "total ")["column"], Value::Null);
    assert_eq!(planned["tables"][1]["columns"].as_array().unwrap().len(), 6);
    let orders = &planned["tables"][0];
    assert!(orders["ddl"].as_str().unwrap().contains("\"total\" numeric(23,2)"), "{orders}");
    assert_eq!(orders["statements"].as_array().unwrap().len(), 2, "{orders}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_that_are_not_there_are_shown_with_their_statements() {
    let database = TestDatabase::new(Kind::Sqlite).await;
    let sections =
        SECTIONS.replace("tags = \"text[]\"\n", "").replace("SELECT UNNEST(tags) AS tag", "SELECT tenant AS tag");
    let output = plan_of(&sections, &database.url, &["--output", "json"]);
    let plan = json(&output);
    // Nobody is told to create them.
    assert_eq!(output.status.code(), Some(2), "{plan}");
    assert!(plan["problems"][0].as_str().unwrap().contains("write create = true"), "{plan}");
    let output = plan_of(
        &sections
            .replace("mode = \"append\"", "mode = \"append\"\ncreate = true")
            .replace("key =", "create = true\nkey ="),
        &database.url,
        &[],
    );
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{text}");
    for part in [
        "where it is not there, it is created at start:",
        "\"order_id\" INTEGER NOT NULL,",
        "\"gone\" TEXT",
        ") STRICT;",
        "it is written by:",
        "INSERT OR ABORT INTO \"orders\" AS t (\"order_id\", \"total\"",
        "UPDATE OR ABORT \"orders\" AS t SET \"gone\"",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!(database.number("SELECT count(*) FROM sqlite_schema").await, 0, "nothing was changed");
}

#[test]
fn a_mistake_is_exit_code_2_with_its_place() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = format!(
        "name = \"orders\"\n{}[sink]\nurl = \"sqlite://x.db\"\n",
        SECTIONS.replace("price, created", "prize, created")
    );
    std::fs::write(folder.path().join("orders.toml"), text).expect("a file");
    let mut tidegate = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    let output = tidegate.args(["plan", "orders.toml"]).current_dir(folder.path()).output().expect("it runs");
    assert_eq!(output.status.code(), Some(2));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("orders.toml:17:") && told.contains("prize"), "{told}");
}

#[test]
fn what_follows_a_roll_up_names_it_as_the_place_its_columns_come_from() {
    let folder = tempfile::tempdir().expect("a folder");
    let roll_up = "[[table]]\nname = \"totals\"\nmode = \"merge\"\nkey = [\"tenant\"]\nmerge = { amount = \"sum\" }\n\
                   sql = \"SELECT tenant, sum(price) AS amount FROM input GROUP BY 1\"\n\
                   [[table]]\nname = \"alerts\"\nfrom = \"totals\"\nsql = \"SELECT tenant, amount - amount_delta AS before FROM input\"\n";
    let text = format!("name = \"orders\"\n{SECTIONS}{roll_up}[sink]\nurl = \"postgres://app@127.0.0.1:1/shop\"\n");
    std::fs::write(folder.path().join("orders.toml"), text).expect("a file");
    let mut tidegate = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    let output = tidegate.args(["plan", "orders.toml", "--output", "json"]).current_dir(folder.path()).output();
    let plan_of = json(&output.expect("it runs"));
    let before = column(&plan_of["tables"][4], "before ");
    let inputs = serde_json::json!(["amount decimal(32,2) (totals)", "amount_delta decimal(32,2) (totals)"]);
    assert_eq!(before["inputs"], inputs);
}
