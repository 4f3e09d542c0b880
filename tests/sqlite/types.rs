//! How values are stored, and which are not.

use arrow_array::types::{Decimal128Type, Decimal256Type};
use arrow_array::*;
use arrow_buffer::i256;
use tidegate::config::Mode;
use tidegate::write::step::Action;

use super::{Db, array, assert_isolated, plan, step, write};

const NOON: i64 = 1_795_262_400_123_456;

/// The declared type, the array, and what SQLite's `quote` and `typeof` say of what is stored.
fn cases() -> Vec<(&'static str, ArrayRef, &'static str)> {
    let decimal =
        |value| array(PrimitiveArray::<Decimal128Type>::from(vec![value]).with_precision_and_scale(12, 2).unwrap());
    let wide = PrimitiveArray::<Decimal256Type>::from(vec![i256::from_string(&"7".repeat(70)).unwrap()]);
    let wide = || array(wide.clone().with_precision_and_scale(76, 10).unwrap());
    let whole = PrimitiveArray::<Decimal128Type>::from(vec![999_999_999_999_999_999]);
    let uuid = || {
        let bytes: [u8; 16] = std::array::from_fn(|i| i as u8 * 17);
        array(FixedSizeBinaryArray::try_from_iter([bytes].into_iter()).unwrap())
    };
    let text = |value: &str| array(StringArray::from(vec![value]));
    let timestamp = || TimestampMicrosecondArray::from(vec![NOON]);
    vec![
        ("BOOLEAN", array(BooleanArray::from(vec![true])), "integer 1"),
        ("INTEGER", array(BooleanArray::from(vec![false])), "integer 0"),
        ("TINYINT", array(Int8Array::from(vec![-128])), "integer -128"),
        ("SMALLINT", array(Int16Array::from(vec![i16::MIN])), "integer -32768"),
        ("INT", array(Int32Array::from(vec![i32::MAX])), "integer 2147483647"),
        ("BIGINT", array(Int64Array::from(vec![i64::MIN])), "integer -9223372036854775808"),
        ("BIGINT UNSIGNED", array(UInt64Array::from(vec![i64::MAX as u64])), "integer 9223372036854775807"),
        ("INT", array(UInt32Array::from(vec![u32::MAX])), "integer 4294967295"),
        ("INT", array(UInt8Array::from(vec![255])), "integer 255"),
        ("REAL", array(Float64Array::from(vec![0.1])), "real 0.1"),
        ("DOUBLE", array(Float64Array::from(vec![f64::INFINITY])), "real 9.0e+999"),
        ("REAL", array(Float32Array::from(vec![0.5])), "real 0.5"),
        ("TEXT", array(Float64Array::from(vec![0.1 + 0.2])), "text '0.30000000000000004'"),
        ("TEXT", decimal(Some(-5)), "text '-0.05'"),
        ("TEXT", decimal(Some(999_999_999_999)), "text '9999999999.99'"),
        ("TEXT", wide(), "text '777777777777777777777777777777777777777777777777777777777777.7777777777'"),
        ("DECIMAL(18)", array(whole.with_precision_and_scale(18, 0).unwrap()), "integer 999999999999999999"),
        ("TEXT", text("it's \u{1F30A}"), "text 'it''s \u{1F30A}'"),
        ("VARCHAR(2)", text("longer"), "text 'longer'"),
        ("TEXT", text("0012.50"), "text '0012.50'"),
        ("ANY", text("0012.50"), "text '0012.50'"),
        ("JSON", text(r#"{"a": 1.10}"#), r#"text '{"a": 1.10}'"#),
        ("BLOB", array(BinaryArray::from(vec![&[0u8, 255][..]])), "blob X'00FF'"),
        ("VARBINARY", array(BinaryArray::from(vec![&b"12"[..]])), "blob X'3132'"),
        ("UUID", uuid(), "text '00112233-4455-6677-8899-aabbccddeeff'"),
        ("TEXT", uuid(), "text '00112233-4455-6677-8899-aabbccddeeff'"),
        ("BLOB", uuid(), "blob X'00112233445566778899AABBCCDDEEFF'"),
        ("DATE", array(Date32Array::from(vec![20_778])), "text '2026-11-21'"),
        ("TIME", array(Time64MicrosecondArray::from(vec![43_200_000_001])), "text '12:00:00.000001'"),
        ("DATETIME", array(timestamp()), "text '2026-11-21 12:00:00.123456'"),
        ("TIMESTAMPTZ", array(timestamp().with_timezone("UTC")), "text '2026-11-21T12:00:00.123456Z'"),
        ("TEXT", array(Int64Array::from(vec![42])), "text '42'"),
    ]
}

#[tokio::test]
async fn every_type_has_its_stored_form() {
    let cases = cases();
    for strict in [false, true] {
        // A STRICT table knows five declared types.
        let known = |declared: &str| ["INTEGER", "INT", "REAL", "TEXT", "BLOB", "ANY"].contains(&declared) == strict;
        let cases: Vec<_> = cases.iter().filter(|(declared, ..)| !strict || known(declared)).collect();
        let columns: Vec<_> = cases.iter().enumerate().map(|(i, (declared, ..))| format!("c{i} {declared}")).collect();
        let columns: Vec<_> = columns.iter().filter(|column| strict || !column.ends_with("ANY")).cloned().collect();
        let cases: Vec<_> = cases.into_iter().filter(|(declared, ..)| strict || *declared != "ANY").collect();
        let options = if strict { "STRICT" } else { "" };
        let db = Db::new(&format!("CREATE TABLE t ({}) {options}", columns.join(", "))).await;
        let mut session = db.session().await;
        let plan = plan(&mut session, "t", Mode::Append).await;
        let all: Vec<usize> = (0..cases.len()).collect();
        let values = step(Action::Put, &all, cases.iter().map(|(_, array, _)| array.clone()).collect());
        assert_eq!(write(&mut session, &plan, &values).await, Ok(1));
        let nulls = cases.iter().map(|(_, array, _)| new_null_array(array.data_type(), 1)).collect();
        assert_eq!(write(&mut session, &plan, &step(Action::Put, &all, nulls)).await, Ok(1));
        for (planned, (declared, array, expected)) in plan.columns.iter().zip(&cases) {
            let name = &planned.column.name;
            let stored = db.read(&format!("SELECT typeof({name}) || ' ' || quote({name}) FROM t ORDER BY rowid")).await;
            let kind = array.data_type();
            assert_eq!(stored, [*expected, "null NULL"], "{kind} in {declared}, strict: {strict}");
        }
    }
}

#[tokio::test]
async fn what_cannot_be_stored_as_it_is_is_isolated() {
    let db = Db::new("CREATE TABLE t (c TEXT)").await;
    let mut session = db.session().await;
    let plan = plan(&mut session, "t", Mode::Append).await;
    let bad: [ArrayRef; 4] = [
        array(Float64Array::from(vec![1.0, f64::NAN])),
        array(Float32Array::from(vec![1.0, f32::NAN])),
        array(TimestampMicrosecondArray::from(vec![0, i64::MAX])),
        array(Date32Array::from(vec![0, i32::MIN])),
    ];
    for values in bad {
        let error = write(&mut session, &plan, &step(Action::Put, &[0], vec![values])).await.unwrap_err();
        assert_isolated(&error, "out-of-range", Some("c"), Some(102));
    }
    assert_eq!(db.read("SELECT count(*) || '' FROM t").await, ["0"]);
}

/// As text it has every digit; SQLite's whole numbers end at 2^63.
#[tokio::test]
async fn a_large_unsigned_number_is_text_or_out_of_range() {
    let db = Db::new("CREATE TABLE digits (c TEXT); CREATE TABLE numbers (c BIGINT UNSIGNED)").await;
    let mut session = db.session().await;
    let values = || array(UInt64Array::from(vec![1, i64::MAX as u64 + 1]));
    let digits = plan(&mut session, "digits", Mode::Append).await;
    write(&mut session, &digits, &step(Action::Put, &[0], vec![values()])).await.unwrap();
    assert_eq!(db.read("SELECT c FROM digits ORDER BY c").await, ["1", "9223372036854775808"]);
    let numbers = plan(&mut session, "numbers", Mode::Append).await;
    let error = write(&mut session, &numbers, &step(Action::Put, &[0], vec![values()])).await.unwrap_err();
    assert_isolated(&error, "out-of-range", Some("c"), Some(102));
    assert_eq!(db.read("SELECT count(*) || '' FROM numbers").await, ["0"]);
}
