//! `tidegate test` with lookups: files, and rows that a case gives.

use std::process::{Command, Output};

const HEAD: &str = r#"name = "orders"
[source]
brokers = ["127.0.0.1:1"]
topics = ["orders", "returns"]
key_format = "text"
[source.columns]
order_id = "bigint"
customer = "int"
country = "text"
amount = "bigint"
[sink]
url = "postgres://app:x@127.0.0.1:1/shop"
[[lookup]]
name = "customers"
table = "customers"
key = ["id"]
columns = { id = "bigint", name = "text", class = "text", vip = "boolean", since = "date" }
[[lookup]]
name = "countries"
file = "countries.csv"
key = ["code"]
columns = { rate = "decimal(5,2)", eu = "boolean" }
"#;

const COUNTRIES: &str = "code,name,rate,eu\nDE,Germany,1.50,true\nFR,\"France, la\",2,false\nXX,,,\n";

const TABLES: &str = r#"
[[table]]
name = "orders"
key = ["order_id"]
sql = """
SELECT o.order_id, c.name, c.since, k.name AS country, amount * k.rate AS cost, coalesce(c.vip, false) AS vip
FROM input o
LEFT JOIN customers c ON o.customer = c.id
LEFT JOIN countries k ON upper(o.country) = k.code
"""
[[table]]
name = "european"
mode = "append"
sql = "SELECT order_id FROM input JOIN countries ON code = country WHERE eu"
[[table]]
name = "per_class"
mode = "merge"
key = ["class"]
merge = { orders = "count", total = "sum" }
sql = """
SELECT coalesce(c.class, '?') AS class, count(*) AS orders, sum(amount) AS total
FROM input i LEFT JOIN customers c ON i.customer = c.id GROUP BY 1
"""
[[table]]
name = "returned"
mode = "append"
sql = "SELECT r.order_id, c.name FROM returns r JOIN customers c ON c.id = CAST(r.country AS bigint)"
"#;

fn run(sections: &str, csv: &str) -> Output {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("countries.csv"), csv).expect("a file");
    std::fs::write(folder.path().join("orders.toml"), format!("{HEAD}{sections}")).expect("a file");
    let mut tidegate = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    // Not in the file's folder: its own paths begin there all the same.
    tidegate.arg("test").arg(folder.path().join("orders.toml")).env_clear().output().expect("it runs")
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn hits_misses_and_nulls() {
    let case = r#"
[[test]]
name = "all of it"
lookup = { customers = [{ id = 1, name = "Ada", class = "gold", vip = true, since = "2020-02-29" }, { id = 2, class = "tin" }] }
input = [
  { value = { order_id = 1, customer = 1, country = "de", amount = 10 } },
  { value = { order_id = 2, customer = 2, country = "FR", amount = 1 } },
  { value = { order_id = 3, customer = 3, country = "DE", amount = 2 } },
  { value = { order_id = 4, country = "XX", amount = 5 } },
  { topic = "returns", value = { order_id = 5, customer = 1, country = "2", amount = 3 } },
  { topic = "returns", value = { order_id = 6, country = "1", amount = 1 } },
]
[test.expect]
orders = [
  { order_id = 1, name = "Ada", since = "2020-02-29", country = "Germany", cost = "15.00", vip = true },
  { order_id = 2, country = "France, la", cost = 2, vip = false, _null = ["name", "since"] },
  { order_id = 3, country = "Germany", cost = 3, _null = ["name"] },
  { order_id = 4, _null = ["name", "country", "cost"] },
  { order_id = 5, name = "Ada", _null = ["country"] },
  { order_id = 6, _null = ["name", "country"] },
]
european = [{ order_id = 3 }]
per_class = [{ class = "tin", orders = 1, total = 1 }, { class = "gold", orders = 2, total = 13 }, { class = "?", orders = 3, total = 8 }]
returned = [{ order_id = 5, _null = ["name"] }, { order_id = 6, name = "Ada" }]
"#;
    let output = run(&format!("{TABLES}{case}"), COUNTRIES);
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
}

#[test]
fn a_key_that_cannot_be_computed_is_its_records_fault() {
    let case = r#"
[[test]]
name = "no number"
lookup = { customers = [] }
input = [
  { topic = "returns", value = { order_id = 1, country = "x" } },
  { topic = "orders", value = { order_id = 2, country = "x", amount = 4 } },
]
[test.expect]
orders = [{ order_id = 2 }]
per_class = [{ class = "?", orders = 1, total = 4 }]
dead_letters = [{ offset = 0, stage = "transform", class = "wrong-type", column = "id" }]
"#;
    let output = run(&format!("{TABLES}{case}"), COUNTRIES);
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
}

#[test]
fn what_a_case_lacks_or_has_wrong_is_told() {
    let case = |lookup: &str| {
        format!(
            "{TABLES}[[test]]\nname = \"a\"\n{lookup}input = [{{ value = {{ order_id = 1 }} }}]\nexpect = {{ orders = [] }}\n"
        )
    };
    let mistakes = [
        ("", "lookup customers: it is a table, and a case asks no database"),
        ("lookup = { customers = [{ id = 1 }, { id = 1 }] }\n", "row 2: its key (id) is that of row 1"),
        ("lookup = { customers = [{ name = \"x\" }] }\n", "row 1: a part of the key (id) is empty"),
        ("lookup = { customers = [{ id = \"x\" }] }\n", "row 1: column id: expected bigint"),
        ("lookup = { customers = [{ id = 1, nam = \"x\" }] }\n", "lookup customers has no column `nam`"),
        ("lookup = { customer = [] }\n", "did you mean `customers`?"),
    ];
    for (lookup, words) in mistakes {
        let output = run(&case(lookup), COUNTRIES);
        assert_eq!(output.status.code(), Some(2), "{lookup}: {}", told(&output));
        assert!(told(&output).contains(words), "{lookup}: {}", told(&output));
    }
}

#[test]
fn what_is_wrong_with_a_file_is_told_with_its_line_and_no_value() {
    let case = format!(
        "{TABLES}[[test]]\nname = \"a\"\nlookup = {{ customers = [] }}\ninput = [{{ value = {{ order_id = 1 }} }}]\nexpect = {{ european = [] }}\n"
    );
    let mistakes = [
        ("code,name,rate,eu\nDE,a,1,true\nDE,b,1,true\n", "line 3: its key (code) is that of"),
        ("code,name,rate,eu\n,a,1,true\n", "line 2: a part of the key (code) is empty"),
        ("code,name,rate,eu\nDE,a,secret,true\n", "line 2: column rate: expected decimal(5,2)"),
        ("code,name,rate,eu\nDE,a,1.555,true\n", "line 2: column rate: expected decimal(5,2)"),
        ("code,name,rate,eu\nDE,a\n", "line 2: has 2 fields, the header line 4"),
        ("code,name,rat,eu\n", "the file has no column `rate`"),
    ];
    for (csv, words) in mistakes {
        let output = run(&case, csv);
        assert_eq!(output.status.code(), Some(2), "{csv}: {}", told(&output));
        assert!(told(&output).contains(words), "{csv}: {}", told(&output));
        assert!(!told(&output).contains("secret"));
    }
    let output = run(&case, COUNTRIES);
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
}

#[test]
fn a_tombstone_finds_no_row_of_a_lookup() {
    let sections = r#"
[[table]]
name = "orders"
key = ["name"]
sql = "SELECT c.name, amount FROM input i JOIN customers c ON c.id = i.customer"
[[test]]
name = "a"
lookup = { customers = [] }
input = []
expect = { orders = [] }
"#;
    let output = run(sections, COUNTRIES);
    assert_eq!(output.status.code(), Some(2), "{}", told(&output));
    let words = "key column name needs the lookup customers, and a tombstone finds no row of it";
    assert!(told(&output).contains(words), "{}", told(&output));
}
