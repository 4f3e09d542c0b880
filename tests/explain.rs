//! `tidegate explain`: the real binary, with a database and without one.

use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::support::database::{Kind, TestDatabase};

const SECTIONS: &str = r#"[source]
brokers = ["127.0.0.1:1"]
topics = ["orders", "returns"]
[source.columns]
order_id = "bigint"
sku = "text"
quantity = "int"
price = { type = "decimal(12,2)", path = "$.amounts.price" }
tags = "text[]"
unused = "text"
[[check]]
name = "price"
sql = "price >= 0"
[[table]]
name = "orders"
key = ["order_id"]
sql = "SELECT order_id, quantity * price AS total, quantity AS pieces FROM input WHERE quantity > 1 + 1"
[[table]]
name = "per_sku"
mode = "merge"
key = ["sku"]
merge = { pieces = "sum" }
sql = "SELECT sku, sum(quantity) AS pieces FROM orders GROUP BY 1"
[[topic]]
name = "tags"
sql = "SELECT UNNEST(tags) AS tag FROM input"
"#;

fn explain(url: &str, sections: &str, more: &[&str]) -> Output {
    let folder = tempfile::tempdir().expect("a folder");
    let text = format!("name = \"orders\"\n{sections}[sink]\nurl = \"{url}\"\n");
    std::fs::write(folder.path().join("orders.toml"), text).expect("a file");
    let mut tidegate = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    tidegate.args(["explain", "orders.toml"]).args(more).current_dir(folder.path()).output().expect("it runs")
}

fn json(output: &Output) -> Value {
    let (text, told) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{text}{told}");
    let plans: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}{told}"));
    plans[0].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_step_is_shown_as_it_runs() {
    let database = TestDatabase::new(Kind::Postgres).await;
    database
        .execute(
            "CREATE TABLE orders (order_id bigint PRIMARY KEY, total numeric(14,2), pieces bigint);
             CREATE TABLE per_sku (sku text PRIMARY KEY, pieces bigint)",
        )
        .await;
    let plan = json(&explain(&database.url, SECTIONS, &["--output", "json"]));
    assert_eq!(plan["unreachable"], Value::Null);
    let decodes = plan["decodes"].as_array().unwrap();
    assert!(decodes.contains(&json!("price decimal(12,2) ($.amounts.price)")), "{plan}");
    assert!(!plan.to_string().contains("unused"), "what nothing reads is not decoded: {plan}");
    let check = plan["checks"][0]["plan"]["outputs"][0]["expression"].as_str().unwrap();
    assert!(check.starts_with("price@0 >= "), "{plan}");
    let orders = &plan["tables"][0]["plan"];
    let filter = orders["filter"].as_str().unwrap();
    assert!(filter.starts_with("quantity@") && filter.ends_with("> 2"), "what is constant is computed: {filter}");
    let output = |index: usize| &orders["outputs"][index];
    assert_eq!((&output(0)["passes"], &output(0)["converts"]), (&json!(true), &Value::Null));
    assert_eq!(output(1)["column"], "total");
    assert!(output(1)["expression"].as_str().unwrap().contains(" * "), "{plan}");
    assert_eq!(output(1)["converts"], "Decimal128(23, 2) to Decimal128(14, 2)");
    assert_eq!(output(2)["converts"], "Int32 to Int64");
    let sums = &plan["tables"][1]["plan"];
    assert_eq!((&sums["grouped"], &sums["topic"]), (&json!(true), &json!("orders")));
    assert_eq!(sums["outputs"][1]["aggregate"], "sum");
    assert!(plan["topics"][0]["plan"]["unnests"][0].as_str().unwrap().contains("tags@0"), "{plan}");
    let text = String::from_utf8_lossy(&explain(&database.url, SECTIONS, &[]).stdout).into_owned();
    for line in ["  decode", "  check price", "  table orders", "  table per_sku", "  topic tags"] {
        assert!(text.lines().any(|found| found == line), "{line}: {text}");
    }
    assert!(text.contains("    group by  sku\n") && text.contains("    topic     only records of orders\n"), "{text}");
}

#[test]
fn without_the_database_the_types_are_those_of_the_sql() {
    let output = explain("postgres://app:hunter2@127.0.0.1:1/shop", SECTIONS, &["--output", "json"]);
    let plan = json(&output);
    assert!(plan["unreachable"].as_str().unwrap().starts_with("the database was not asked"), "{plan}");
    assert!(!plan.to_string().contains("hunter2"));
    assert_eq!(plan["tables"][0]["plan"]["outputs"][1]["converts"], Value::Null);
    let wrong = explain("sqlite://x.db", &SECTIONS.replace("quantity * price", "quantity * prize"), &[]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&wrong.stderr).starts_with("orders.toml:"));
}
