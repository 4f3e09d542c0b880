//! Where columns take their values from.

use super::*;
use crate::rows::Operation;
use ColumnType::{Bytes as BytesType, Date, Int32, Int64, Json, Text, Timestamp, TimestampTz};

fn from(name: &str, ty: ColumnType, source: ColumnSource) -> InputColumn {
    InputColumn { source, ..column(name, ty) }
}

fn decode_one(columns: Vec<InputColumn>, format: KeyFormat, key: Option<&str>, value: Option<&str>) -> Decoded {
    let row = (key.map(str::as_bytes), value.map(str::as_bytes), &[][..]);
    decoder(columns, format).decode(&records_with(&[row]))
}

#[test]
fn one_walk_serves_nested_paths_that_share_names() {
    let columns = vec![
        path_column("city", Text, &["customer", "address", "city"]),
        path_column("zip", Text, &["customer", "address", "zip"]),
        path_column("customer", Json, &["customer"]),
        path_column("name", Text, &["customer", "name"]),
        path_column("again", Text, &["customer", "name"]),
        path_column("plain", Text, &["other", "deep"]),
    ];
    let mut decoder = decoder(columns, KeyFormat::Text);
    let value = r#"{"customer":{"id":7,"address":{"zip":"1","city":"X"},"name":"n"},"other":{"deep":"d","more":1}}"#;
    let decoded = decoder.decode(&records(&[value, r#"{"customer":null}"#, r#"{"CUSTOMER":{"NAME":"m"}}"#, "{}"]));
    assert_eq!(decoded.bad, []);
    assert_eq!(row(&decoded, 0), r#"X 1 {"id":7,"address":{"zip":"1","city":"X"},"name":"n"} n n d"#);
    assert_eq!(row(&decoded, 1), "null null null null null -", "a null object makes its fields null");
    assert_eq!(row(&decoded, 2), r#"- - {"NAME":"m"} m m -"#);
    assert_eq!(row(&decoded, 3), "- - - - - -");
    assert_eq!(decoded.new_unknown_fields, ["customer.id", "other.more"]);
    assert!(decoder.decode(&records(&[value])).new_unknown_fields.is_empty(), "reported once");
    for (value, column) in
        [(r#"{"other":"x"}"#, "plain"), (r#"{"other":[{}]}"#, "plain"), (r#"{"customer":1}"#, "city")]
    {
        let decoded = decoder.decode(&records(&[value]));
        assert_eq!(row_of(&decoded), Err("wrong-type"), "{value}");
        assert_eq!(decoded.bad[0].1.column.as_deref(), Some(column));
    }
}

#[test]
fn names_match_exactly_or_else_uniquely_but_for_case() {
    let decode = |value| row_of(&decoder(vec![column("id", Int32)], KeyFormat::Text).decode(&records(&[value])));
    assert_eq!(decode(r#"{"ID":1}"#).as_deref(), Ok("1"));
    assert_eq!(decode(r#"{"id":1,"ID":2}"#).as_deref(), Ok("1"));
    assert_eq!(decode(r#"{"ID":"no number","Id":3,"id":1}"#).as_deref(), Ok("1"), "the exact one wins");
    assert_eq!(decode(r#"{"ID":1,"Id":2}"#), Err("duplicate-key"));
    assert_eq!(decode(r#"{"id":1,"x":0,"id":1}"#), Err("duplicate-key"));
    assert_eq!(decode(r#"{"i\u0064":1,"id":1}"#), Err("duplicate-key"), "whatever its spelling");
    assert_eq!(decode(r#"{"x":1,"x":2,"id":1}"#).as_deref(), Ok("1"), "no column's");
    let nested = vec![path_column("id", Int32, &["a", "id"])];
    assert_eq!(
        row_of(&decode_one(nested.clone(), KeyFormat::Text, None, Some(r#"{"a":{},"a":{}}"#))),
        Err("duplicate-key")
    );
    assert_eq!(row_of(&decode_one(nested, KeyFormat::Text, None, Some(r#"{"A":{"ID":3,"x":1}}"#))).as_deref(), Ok("3"));
}

#[test]
fn absent_is_not_null_is_not_empty() {
    let columns = vec![column("a", Text), column("b", Text)];
    let values = [r#"{"a":"","b":"x"}"#, r#"{"a":null,"b":"x"}"#, r#"{"b":"x"}"#];
    let decoded = decoder(columns, KeyFormat::Text).decode(&records(&values));
    assert_eq!([row(&decoded, 0), row(&decoded, 1), row(&decoded, 2)], [" x", "null x", "- x"]);
    assert!(decoded.rows.presence[0].is_some());
    assert!(decoded.rows.presence[1].is_none(), "every row had it");
    assert!(decoded.rows.batch.column(0).is_null(2));
}

#[test]
fn a_default_fills_what_is_absent() {
    let with = |name, ty, default: &str| InputColumn { default: Some(default.to_owned()), ..column(name, ty) };
    let columns = vec![with("a", Text, "\"?\""), with("b", Int32, "7"), with("c", Text, "?")];
    let decoded = decoder(columns, KeyFormat::Text).decode(&records(&["{}", r#"{"a":null,"b":1,"c":"x"}"#]));
    assert_eq!([row(&decoded, 0), row(&decoded, 1)], ["? 7 ?", "null 1 x"]);
    assert_eq!(decoded.rows.presence, [None, None, None]);
    let wrong = decoder(vec![with("b", Int32, "\"x\"")], KeyFormat::Text).decode(&records(&["{}", r#"{"b":1}"#]));
    assert_eq!((wrong.bad.len(), row(&wrong, 0)), (1, "1".to_owned()));
}

#[test]
fn headers_and_the_records_place() {
    let columns = vec![
        from("tenant", Int32, ColumnSource::Header("tenant".to_owned())),
        from("flag", ColumnType::Bool, ColumnSource::Header("flag".to_owned())),
        from("none", Text, ColumnSource::Header("none".to_owned())),
        from("topic", Text, ColumnSource::Topic),
        from("partition", Int32, ColumnSource::Partition),
        from("offset", Int64, ColumnSource::Offset),
        from("timestamp", TimestampTz, ColumnSource::Timestamp),
        from("day", Date, ColumnSource::Timestamp),
        from("millis", Int64, ColumnSource::Timestamp),
    ];
    let headers: [Header<'_>; 4] =
        [(b"tenant", Some(b"1")), (b"flag", Some(b"true")), (b"tenant", Some(b"2")), (b"none", None)];
    let rows: [(_, Option<&[u8]>, &[Header<'_>]); 2] = [(None, Some(b"{}"), &headers), (None, Some(b"{}"), &[])];
    let decoded = decoder(columns.clone(), KeyFormat::Text).decode(&records_with(&rows));
    let place = "t 3 100 1700000000123000 19675 1700000000123";
    assert_eq!(row(&decoded, 0), format!("2 true null {place}"));
    assert_eq!(row(&decoded, 1), format!("- - - {}", place.replace("100", "101")));
    for (bad, class) in [(&b"x"[..], "wrong-type"), (b"\xff", "invalid-utf8")] {
        let headers: [Header<'_>; 1] = [(b"tenant", Some(bad))];
        let decoded = decoder(columns.clone(), KeyFormat::Text).decode(&records_with(&[(None, Some(b"{}"), &headers)]));
        assert_eq!(row_of(&decoded), Err(class));
    }
}

#[test]
fn columns_from_the_key() {
    let whole = vec![from("k", Text, ColumnSource::Key(vec![])), column("a", Int32)];
    let decode = |format, key| row_of(&decode_one(whole.clone(), format, key, Some(r#"{"a":1}"#)));
    assert_eq!(decode(KeyFormat::Text, Some("x")).as_deref(), Ok("x 1"));
    assert_eq!(decode(KeyFormat::Json, Some(" \"x\" ")).as_deref(), Ok("x 1"));
    assert_eq!(decode(KeyFormat::Json, Some(" {\"a\":2} ")).as_deref(), Ok("{\"a\":2} 1"));
    assert_eq!(decode(KeyFormat::Json, Some("x")), Err("invalid-json"));
    assert_eq!(decode(KeyFormat::Json, Some("")), Err("empty"));
    assert_eq!(decode(KeyFormat::Text, None).as_deref(), Ok("- 1"));
    assert_eq!(decode(KeyFormat::Bytes, Some("x")), Err("wrong-type"));
    let bytes = vec![from("k", BytesType, ColumnSource::Key(vec![]))];
    assert_eq!(row_of(&decode_one(bytes, KeyFormat::Bytes, Some("x"), Some("{}"))).as_deref(), Ok("78"));
    let path = vec![from("k", Int32, ColumnSource::Key(vec!["a".to_owned(), "b".to_owned()]))];
    let decode = |format, key| row_of(&decode_one(path.clone(), format, Some(key), Some("{}")));
    assert_eq!(decode(KeyFormat::Json, r#"{"a":{"b":5}}"#).as_deref(), Ok("5"));
    assert_eq!(decode(KeyFormat::Json, r#"{"a":{}}"#).as_deref(), Ok("-"));
    assert_eq!(decode(KeyFormat::Json, "5"), Err("wrong-type"));
    assert_eq!(decode(KeyFormat::Text, "5"), Err("wrong-type"));
}

#[test]
fn a_key_column_that_the_value_lacks_comes_from_the_key() {
    let one = vec![key_column("id", Int32), column("a", Int32)];
    let decode = |format, key, value| row_of(&decode_one(one.clone(), format, key, Some(value)));
    assert_eq!(decode(KeyFormat::Text, Some("7"), r#"{"a":1}"#).as_deref(), Ok("7 1"));
    assert_eq!(decode(KeyFormat::Text, Some("7"), r#"{"id":8,"a":1}"#).as_deref(), Ok("8 1"), "the value's goes first");
    assert_eq!(decode(KeyFormat::Text, Some("x"), r#"{"id":8,"a":1}"#).as_deref(), Ok("8 1"), "the key is not read");
    assert_eq!(decode(KeyFormat::Text, Some("x"), r#"{"a":1}"#), Err("wrong-type"));
    assert_eq!(decode(KeyFormat::Json, Some("7"), r#"{"a":1}"#).as_deref(), Ok("7 1"));
    assert_eq!(decode(KeyFormat::Json, Some(r#"{"ID":7,"a":5}"#), r#"{"a":1}"#).as_deref(), Ok("7 1"));
    assert_eq!(decode(KeyFormat::Json, Some("[7]"), r#"{"a":1}"#).as_deref(), Ok("- 1"));
    let two = vec![key_column("id", Int32), key_column("no", Int32)];
    let decode = |format, key| row_of(&decode_one(two.clone(), format, Some(key), Some(r#"{"no":2}"#)));
    assert_eq!(decode(KeyFormat::Text, "7").as_deref(), Ok("- 2"), "which of the two it is, nobody knows");
    assert_eq!(decode(KeyFormat::Json, r#"{"id":7,"no":3}"#).as_deref(), Ok("7 2"));
}

#[test]
fn a_tombstone_is_a_delete_by_key() {
    let columns = vec![
        key_column("id", Int32),
        InputColumn { default: Some("1".to_owned()), ..column("a", Int32) },
        from("offset", Int64, ColumnSource::Offset),
    ];
    let decode = |format, key| decode_one(columns.clone(), format, key, None);
    for (format, key) in [(KeyFormat::Text, "7"), (KeyFormat::Json, "7"), (KeyFormat::Json, r#"{"id":7,"a":1}"#)] {
        let decoded = decode(format, Some(key));
        assert_eq!(row_of(&decoded).as_deref(), Ok("7 - -"), "{key}");
        assert_eq!(decoded.rows.operations, [Operation::Delete]);
    }
    for (format, key) in [
        (KeyFormat::Text, None),
        (KeyFormat::Json, Some("null")),
        (KeyFormat::Json, Some(r#"{"id":null}"#)),
        (KeyFormat::Json, Some("{}")),
        (KeyFormat::Json, Some("[7]")),
    ] {
        assert_eq!(row_of(&decode(format, key)), Err("missing-key"), "{key:?}");
    }
    assert_eq!(row_of(&decode(KeyFormat::Text, Some("x"))), Err("wrong-type"));
    let partition = InputColumn { key: true, ..from("partition", Int32, ColumnSource::Partition) };
    let composite = vec![key_column("id", Int32), partition];
    assert_eq!(
        row_of(&decode_one(composite.clone(), KeyFormat::Json, Some(r#"{"id":7}"#), None)).as_deref(),
        Ok("7 3")
    );
    // What else is in the key is known from the record, so that one value is enough.
    assert_eq!(row_of(&decode_one(composite, KeyFormat::Json, Some("7"), None)).as_deref(), Ok("7 3"));
    let two = vec![key_column("id", Int32), key_column("tenant", Int32)];
    assert_eq!(row_of(&decode_one(two, KeyFormat::Json, Some("7"), None)), Err("missing-key"));
    let keyless = vec![column("a", Int32)];
    let decoded = decode_one(keyless, KeyFormat::Text, None, None);
    assert_eq!((row_of(&decoded).as_deref(), decoded.rows.operations), (Ok("-"), vec![Operation::Delete]));
}

#[test]
fn a_zoneless_column_takes_the_records_time_too() {
    let columns = vec![from("at", Timestamp, ColumnSource::Timestamp)];
    assert_eq!(row_of(&decode_one(columns, KeyFormat::Text, None, Some("{}"))).as_deref(), Ok("1700000000123000"));
}

#[test]
fn no_columns_are_rows_all_the_same() {
    let decoded = decoder(vec![], KeyFormat::Text).decode(&records(&["{\"a\":1}", "[]", "{}"]));
    assert_eq!((decoded.rows.batch.num_rows(), decoded.rows.len(), decoded.bad.len()), (2, 2, 1));
    assert_eq!(decoded.rows.origins, [0, 2]);
}
