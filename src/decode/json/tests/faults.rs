//! Hostile and broken records: a fault with its name, and never the value in it.

use super::*;
use ColumnType::{Int32, Json, Text};

fn class_of(value: &[u8]) -> Option<&'static str> {
    let columns = vec![column("a", Int32), column("b", Text), column("c", Json)];
    let decoded = decoder(columns, KeyFormat::Text).decode(&records_with(&[(None, Some(value), &[])]));
    assert_eq!(decoded.bad.len() + decoded.rows.len(), 1);
    decoded.bad.first().map(|(_, fault)| fault.class)
}

#[test]
fn what_is_no_document_has_a_name() {
    for (value, class) in [
        (&b""[..], "empty"),
        (b"  ", "invalid-json"),
        (b"null", "null-document"),
        (b" null ", "null-document"),
        (b"nul", "invalid-json"),
        (b"[]", "not-an-object"),
        (b"\"x\"", "not-an-object"),
        (b"7", "not-an-object"),
        (b"true", "not-an-object"),
        (b"NaN", "invalid-json"),
        (b"{\"a\":1", "invalid-json"),
        (b"{\"a\":1}x", "invalid-json"),
        (b"{\"a\":1}{\"a\":2}", "invalid-json"),
        (b"{\"a\":1,}", "invalid-json"),
        (b"{a:1}", "invalid-json"),
        (b"{'a':1}", "invalid-json"),
        (b"{\"a\":01}", "invalid-json"),
        (b"{\"a\":NaN}", "invalid-json"),
        (b"{\"z\":Infinity}", "invalid-json"),
        (b"{\"z\":\"\x01\"}", "invalid-json"),
        (b"{\"b\":\"\\ud800\"}", "invalid-json"),
        (b"{\"\\ud800\":1}", "invalid-json"),
        (b"{\"b\":\"\xff\"}", "invalid-utf8"),
        (b"{\"z\":\"\xff\"}", "invalid-utf8"),
        (b"{\"z\":\"\xc0\xaf\"}", "invalid-utf8"),
        (b"{\"z\":\"\xed\xa0\x80\"}", "invalid-utf8"),
        (b"\xef\xbb\xbf{\"a\":1}", "byte-order-mark"),
        (b"\xff\xfe{\0}\0", "invalid-utf8"),
        (b"{\0}\0", "invalid-utf8"),
        (b"\0{\0}", "invalid-utf8"),
        (b"{\"a\":1}\0", "invalid-json"),
    ] {
        assert_eq!(class_of(value), Some(class), "{}", value.escape_ascii());
    }
}

#[test]
fn depth_is_limited_everywhere() {
    for name in ["b", "c", "z"] {
        let nested = |depth| format!("{{\"{name}\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(class_of(nested(127).as_bytes()), None, "{name}");
        assert_eq!(class_of(nested(128).as_bytes()), Some("too-deep"), "{name}");
        assert_eq!(class_of(nested(1_000_000).as_bytes()), Some("too-deep"), "{name}");
    }
}

#[test]
fn a_fault_names_the_column_and_not_the_value() {
    let columns = || vec![column("quantity", Int32), column("note", Text)];
    let fault = |value: &str| decoder(columns(), KeyFormat::Text).decode(&records(&[value])).bad.remove(0).1;
    let wrong = fault(r#"{"quantity":"hunter2"}"#);
    assert_eq!(wrong.reason, "column quantity: expected int, found a string that is no number");
    assert_eq!((wrong.column.as_deref(), wrong.class), (Some("quantity"), "wrong-type"));
    let range = fault(r#"{"quantity":77777777777}"#);
    assert_eq!(range.reason, "column quantity: expected int, found a number beyond its range");
    let syntax = fault("{\"note\":\"hunter2\", hunter2}");
    assert_eq!(syntax.reason, "the value is not valid JSON: key must be a string at line 1 column 20");
    for value in [
        r#"{"quantity":{"hunter2":1}}"#,
        r#"{"note":"hunter2\u0000"}"#,
        r#"{"note":"hunter2","note":"hunter2"}"#,
        r#"{"note":"hunter2"#,
        r#""hunter2""#,
    ] {
        assert!(!fault(value).reason.contains("hunter2"), "{value}");
    }
}

#[test]
fn a_bad_record_leaves_no_trace() {
    let columns = vec![column("b", Text), column("a", Int32)];
    let values = [
        r#"{"b":"one","a":1}"#,
        r#"{"b":"bad","a":"x"}"#,
        r#"{"a":2,"b":"half\u0000"}"#,
        r#"{"b":"two\n"}"#,
        r#"{"b":null,"a":1,"#,
        r#"{"a":3}"#,
    ];
    let mut decoder = decoder(columns, KeyFormat::Text);
    let decoded = decoder.decode(&records(&values));
    let rows: Vec<_> = (0..3).map(|index| row(&decoded, index)).collect();
    assert_eq!(rows, ["one 1", "two\n -", "- 3"]);
    assert_eq!(decoded.rows.origins, [0, 3, 5]);
    assert_eq!(decoded.bad.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [1, 2, 4]);
    let next = decoder.decode(&records(&values[..1]));
    assert_eq!((row(&next, 0), next.rows.len()), ("one 1".to_owned(), 1), "nor in the next batch");
}

#[test]
fn hostile_sizes_cost_no_more_than_their_size() {
    let spaces = format!("{{{}\"a\":{}1}}", " ".repeat(4 << 20), " ".repeat(4 << 20));
    assert_eq!(class_of(spaces.as_bytes()), None);
    let mut many = String::from("{");
    for index in 0..300_000 {
        write!(many, "\"k{index}\":{index},").unwrap();
    }
    many.push_str("\"A\":1}");
    assert_eq!(class_of(many.as_bytes()), None);
    let twice = format!("{{{}\"a\":1}}", "\"A\":1,".repeat(300_000));
    assert_eq!(class_of(twice.as_bytes()), None, "the exact name wins over any number of others");
    let long = format!("{{\"{}\":1,\"a\":1}}", "x".repeat(8 << 20));
    assert_eq!(class_of(long.as_bytes()), None);
    let digits = format!("{{\"a\":{}}}", "9".repeat(4 << 20));
    assert_eq!(class_of(digits.as_bytes()), Some("out-of-range"));
}
