//! What a right file means.

use std::num::NonZeroUsize;
use std::time::Duration;

use tidegate::config::{
    Database, Deletes, Delivery, Environment, GroupProtocol, Instance, KeyFormat, MergeFunction, Missing, Mode,
    Pipeline, Start, Topics,
};
use tidegate::rows::{BytesEncoding, ColumnSource, TimeUnit};
use tidegate::types::ColumnType;

use super::{GOOD, changed, load, load_with};

fn loaded(text: &str) -> Pipeline {
    load(text).unwrap_or_else(|problems| panic!("{problems}\n{text}"))
}

#[test]
fn the_least_file_has_the_documented_defaults() {
    let pipeline = loaded(GOOD);
    assert_eq!(pipeline.source.group, "tidegate-orders");
    assert_eq!(pipeline.source.topics, Topics::List(vec!["orders".to_owned()]));
    assert_eq!(pipeline.source.start, Start::Earliest);
    assert_eq!(pipeline.source.key_format, KeyFormat::Text);
    assert_eq!(pipeline.source.protocol, GroupProtocol::Classic);
    assert_eq!(pipeline.source.instance, Instance::Auto);
    assert_eq!(pipeline.sink.database().unwrap().database, Database::Postgres);
    assert_eq!(pipeline.sink.database().unwrap().delivery, Delivery::ExactlyOnce);
    assert_eq!(pipeline.sink.database().unwrap().writers, None);
    assert_eq!(
        (pipeline.sink.database().unwrap().batch.rows, pipeline.sink.database().unwrap().batch.bytes),
        (10_000, 8 << 20)
    );
    assert_eq!(pipeline.sink.database().unwrap().batch.linger, Duration::from_millis(5));
    let table = &pipeline.tables[0];
    assert_eq!((table.mode, &table.deletes, table.missing), (Mode::Append, &Deletes::Ignore, Missing::Null));
    assert!(pipeline.path.is_some_and(|path| path.ends_with("orders.toml")));
}

#[test]
fn the_mode_follows_the_key_and_the_deletes_follow_the_mode() {
    let table = |lines: &str| loaded(&format!("{GOOD}{lines}")).tables.remove(0);
    let keyed = table("key = [\"id\"]\n");
    assert_eq!((keyed.mode, keyed.deletes), (Mode::Upsert, Deletes::Hard));
    assert_eq!(table("mode = \"update\"\n").deletes, Deletes::Hard);
    assert_eq!(table("mode = \"insert-ignore\"\n").deletes, Deletes::Ignore);
    let kept = table("mode = \"insert-ignore\"\nkey = [\"id\"]\ndeletes = \"hard\"\n");
    assert_eq!((kept.mode, kept.deletes), (Mode::InsertIgnore, Deletes::Hard));
    assert_eq!(table("key = [\"id\"]\ndeletes = \"soft( gone )\"\n").deletes, Deletes::Soft("gone".to_owned()));
}

#[test]
fn a_roll_up_has_a_function_per_column() {
    let merge = r#"mode = "merge"
key = ["minute"]
deletes = "ignore"
merge.orders = "count"
merge.bits = "bit_or"
[table.merge.city.last]
by = "at"
"#;
    let table = loaded(&format!("{GOOD}{merge}")).tables.remove(0);
    assert_eq!((table.mode, table.deletes), (Mode::Merge, Deletes::Ignore));
    let functions: Vec<_> = table.merge.iter().map(|merged| (merged.column.as_str(), &merged.function)).collect();
    let last = MergeFunction::Last { by: "at".to_owned() };
    assert_eq!(functions, [("orders", &MergeFunction::Count), ("bits", &MergeFunction::BitOr), ("city", &last)]);
    let inline = r#"mode = "merge"
merge = { total = "sum", low = "min", high = "max", doc = "json_merge", shop = { first = { by = "at" } }, at = "min" }
"#;
    let table = loaded(&format!("{GOOD}{inline}")).tables.remove(0);
    assert_eq!(table.merge.len(), 6);
    assert!(table.key.is_empty(), "the table's primary key");
}

#[test]
fn columns_are_read_in_the_order_of_the_file() {
    let columns = r#"topics = ["orders"]
key_format = "json"
[source.columns]
z = "VARCHAR(20)"
a = { type = "timestamptz", unit = "us", path = "$.x['y.z']" }
k = { key = "$.id" }
h = { type = "text", header = "tenant", default = "none" }
m = { type = "bigint", meta = "offset" }
b = { type = "bytes", encoding = "hex" }
n = { type = "int[]", default = [1, 2] }
"#;
    let columns = loaded(&changed("topics = [\"orders\"]\n", columns)).source.columns;
    let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
    assert_eq!(names, ["z", "a", "k", "h", "m", "b", "n"]);
    assert_eq!(columns[0].ty, Some(ColumnType::Text));
    assert_eq!(columns[0].source, ColumnSource::Value(vec!["z".to_owned()]));
    assert_eq!(columns[1].source, ColumnSource::Value(vec!["x".to_owned(), "y.z".to_owned()]));
    assert_eq!(columns[1].unit, Some(TimeUnit::Microseconds));
    assert_eq!((&columns[2].ty, &columns[2].source), (&None, &ColumnSource::Key(vec!["id".to_owned()])));
    assert_eq!(columns[3].source, ColumnSource::Header("tenant".to_owned()));
    assert_eq!(columns[3].default.as_deref(), Some("\"none\""));
    assert_eq!(columns[4].source, ColumnSource::Offset);
    assert_eq!(columns[5].encoding, Some(BytesEncoding::Hex));
    assert_eq!(columns[6].default.as_deref(), Some("[1,2]"));
}

#[test]
fn start_takes_times_and_databases_take_their_schemes() {
    let start = |start: &str| loaded(&changed("[sink]", &format!("start = {start}\n[sink]"))).source.start;
    assert_eq!(start("\"1970-01-01T01:00:00.5+01:00\""), Start::Time(500));
    assert_eq!(start("1970-01-01T00:00:01Z"), Start::Time(1000));
    assert_eq!(start("\"committed\""), Start::Committed);
    for (url, database) in [
        ("postgresql://db/shop", Database::Postgres),
        ("mysql://db/shop", Database::MySql),
        ("mariadb://db/shop", Database::MySql),
        ("sqlite://orders.db", Database::Sqlite),
    ] {
        assert_eq!(
            loaded(&changed("postgres://app:secret@db/shop", url)).sink.database().unwrap().database,
            database,
            "{url}"
        );
    }
}

#[test]
fn properties_are_taken_with_and_without_quotes_around_their_names() {
    let kafka = r#"[source.kafka]
"security.protocol" = "SASL_SSL"
sasl.mechanism = "plain"
"sasl.username" = "u"
"sasl.password" = "p"
"socket.timeout.ms" = 5000
socket.keepalive.enable = true
"#;
    let properties = loaded(&changed("[sink]", &format!("{kafka}[sink]"))).source.kafka;
    let of = |name: &str| properties.get(name).map(|value| value.expose().to_owned());
    assert_eq!(of("security.protocol").as_deref(), Some("sasl_ssl"));
    assert_eq!(of("sasl.mechanism").as_deref(), Some("PLAIN"));
    assert_eq!(of("socket.timeout.ms").as_deref(), Some("5000"));
    assert_eq!(of("socket.keepalive.enable").as_deref(), Some("true"));
}

#[test]
fn references_give_numbers_too() {
    let text = changed("[sink]", "[sink]\nwriters = \"${WRITERS}\"\nbatch = { rows = \"${ROWS}\" }");
    let environment = Environment::from_iter([("WRITERS", "3"), ("ROWS", "7")]);
    let sink = load_with(&text, &environment).expect("numbers by reference").sink;
    let sink = sink.database().unwrap();
    assert_eq!((sink.writers.map(NonZeroUsize::get), sink.batch.rows), (Some(3), 7));
}

#[test]
fn a_statement_knows_its_place_whatever_its_quotes() {
    let place = |written: &str, line, column| {
        let sql = loaded(&format!("{GOOD}sql = {written}\n")).tables.remove(0).sql.expect("a statement");
        sql.place_of(line, column).to_string().rsplit('/').next().expect("a file").to_owned()
    };
    // The last line of GOOD is 11.
    assert_eq!(place("\"SELECT x FROM input\"", 1, 8), "orders.toml:12:15");
    assert_eq!(place("'SELECT x FROM input'", 1, 8), "orders.toml:12:15");
    assert_eq!(place("\"\"\"SELECT x\nFROM input\"\"\"", 1, 8), "orders.toml:12:17");
    assert_eq!(place("\"\"\"SELECT x\nFROM input\"\"\"", 2, 6), "orders.toml:13:6");
    assert_eq!(place("'''\nSELECT x\nFROM input'''", 1, 8), "orders.toml:13:8");
    assert_eq!(place("\"\"\"\r\nSELECT x FROM input\"\"\"", 1, 8), "orders.toml:13:8");
}
