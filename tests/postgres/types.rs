//! Every type arrives exactly, by COPY and by arrays.

use super::*;

use arrow_array::{
    Array as _, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Decimal256Array, FixedSizeBinaryArray,
    Float32Array, Float64Array, Int16Array, Int32Array, Int64Array, ListArray, StringArray, Time64MicrosecondArray,
    TimestampMicrosecondArray, UInt32Array,
};
use arrow_buffer::{NullBuffer, OffsetBuffer, i256};

/// A column, its four values and how the server shows them.
struct Case {
    ty: &'static str,
    values: ArrayRef,
    shown: [Option<&'static str>; 4],
}

fn case(ty: &'static str, values: impl arrow_array::Array + 'static, shown: [Option<&'static str>; 4]) -> Case {
    Case { ty, values: Arc::new(values), shown }
}

fn texts(values: [Option<&'static str>; 4]) -> StringArray {
    StringArray::from(values.to_vec())
}

/// A text that is shown as it came.
fn same(ty: &'static str, values: [&'static str; 3]) -> Case {
    let [a, b, c] = values.map(Some);
    case(ty, texts([a, b, c, None]), [a, b, c, None])
}

/// Four lists: empty, null, and two and three of the elements.
fn list(elements: impl arrow_array::Array + 'static) -> ListArray {
    let field = Arc::new(Field::new_list_field(elements.data_type().clone(), true));
    let offsets = OffsetBuffer::new(vec![0, 0, 0, 2, 5].into());
    let nulls = NullBuffer::from(vec![true, false, true, true]);
    ListArray::new(field, offsets, Arc::new(elements), Some(nulls))
}

fn lists(
    ty: &'static str,
    elements: impl arrow_array::Array + 'static,
    two: &'static str,
    three: &'static str,
) -> Case {
    case(ty, list(elements), [Some("{}"), None, Some(two), Some(three)])
}

fn scalars() -> Vec<Case> {
    let nines = i256::from_string(&"9".repeat(76)).unwrap();
    let d38 = 99_999_999_999_999_999_999_999_999_999_999_999_999_i128;
    let ids: Vec<Option<&[u8]>> = vec![Some(&[0; 16]), Some(&[255; 16]), Some(b"0123456789abcdef"), None];
    let uuids = FixedSizeBinaryArray::try_from_sparse_iter_with_size(ids.into_iter(), 16).unwrap();
    let times = || {
        let julian_start = -210_866_803_200_000_000; // 24 November 4714 BC: where PostgreSQL's calendar begins
        TimestampMicrosecondArray::from(vec![Some(julian_start), Some(i64::MAX), Some(-1), None])
    };
    vec![
        case(
            "boolean",
            BooleanArray::from(vec![Some(true), Some(false), None, None]),
            [Some("true"), Some("false"), None, None],
        ),
        case(
            "smallint",
            Int16Array::from(vec![Some(i16::MIN), Some(i16::MAX), Some(0), None]),
            [Some("-32768"), Some("32767"), Some("0"), None],
        ),
        case(
            "integer",
            Int32Array::from(vec![Some(i32::MIN), Some(i32::MAX), Some(-1), None]),
            [Some("-2147483648"), Some("2147483647"), Some("-1"), None],
        ),
        case(
            "bigint",
            Int64Array::from(vec![Some(i64::MIN), Some(i64::MAX), Some(1), None]),
            [Some("-9223372036854775808"), Some("9223372036854775807"), Some("1"), None],
        ),
        case(
            "oid",
            UInt32Array::from(vec![Some(0), Some(u32::MAX), Some(7), None]),
            [Some("0"), Some("4294967295"), Some("7"), None],
        ),
        case(
            "real",
            Float32Array::from(vec![Some(f32::NAN), Some(f32::NEG_INFINITY), Some(0.1), None]),
            [Some("NaN"), Some("-Infinity"), Some("0.1"), None],
        ),
        case(
            "double precision",
            Float64Array::from(vec![Some(f64::MIN_POSITIVE), Some(f64::INFINITY), Some(-0.0), None]),
            [Some("2.2250738585072014e-308"), Some("Infinity"), Some("-0"), None],
        ),
        case(
            "numeric(12,2)",
            Decimal128Array::from(vec![Some(-999_999_999_999), Some(0), Some(5), None])
                .with_precision_and_scale(12, 2)
                .unwrap(),
            [Some("-9999999999.99"), Some("0.00"), Some("0.05"), None],
        ),
        case(
            "numeric(38,0)",
            Decimal128Array::from(vec![Some(d38), Some(-d38), Some(10_000), None])
                .with_precision_and_scale(38, 0)
                .unwrap(),
            [
                Some("99999999999999999999999999999999999999"),
                Some("-99999999999999999999999999999999999999"),
                Some("10000"),
                None,
            ],
        ),
        case(
            "numeric(38,37)",
            Decimal128Array::from(vec![Some(d38), Some(1), Some(-d38), None]).with_precision_and_scale(38, 37).unwrap(),
            [
                Some("9.9999999999999999999999999999999999999"),
                Some("0.0000000000000000000000000000000000001"),
                Some("-9.9999999999999999999999999999999999999"),
                None,
            ],
        ),
        case(
            "numeric(76,20)",
            Decimal256Array::from(vec![Some(nines), Some(-nines), Some(i256::from(1)), None])
                .with_precision_and_scale(76, 20)
                .unwrap(),
            [
                Some("99999999999999999999999999999999999999999999999999999999.99999999999999999999"),
                Some("-99999999999999999999999999999999999999999999999999999999.99999999999999999999"),
                Some("0.00000000000000000001"),
                None,
            ],
        ),
        same(
            "numeric(100,30)",
            [
                "1234567890123456789012345678901234567890123456789012345678901234567890.000000000000000000000000000001",
                "0.000000000000000000000000000000",
                "-10000.000000000000000000000000000000",
            ],
        ),
        case(
            "numeric",
            texts([Some("1e-20"), Some("-120.50"), Some("1E5"), None]),
            [Some("0.00000000000000000001"), Some("-120.50"), Some("100000"), None],
        ),
        same("text", ["", "ünï 日本 🎉 \u{1}", "a\\b\"c'{},NULL\n\t\\."]),
        same("varchar(10)", ["", "日本日本日本日本日本", "it's"]),
        case("char(3)", texts([Some(""), Some("ab"), Some("abc"), None]), [Some(""), Some("ab"), Some("abc"), None]),
        same("name", ["", "n", "a b"]),
        same("mood", ["sad", "it's \"fine\"", "ok"]),
        case(
            "bytea",
            BinaryArray::from(vec![Some(&b""[..]), Some(&[0, 1, 254, 255]), Some(b"\\x"), None]),
            [Some("\\x"), Some("\\x0001feff"), Some("\\x5c78"), None],
        ),
        case(
            "uuid",
            uuids,
            [
                Some("00000000-0000-0000-0000-000000000000"),
                Some("ffffffff-ffff-ffff-ffff-ffffffffffff"),
                Some("30313233-3435-3637-3839-616263646566"),
                None,
            ],
        ),
        case(
            "date",
            Date32Array::from(vec![Some(-2_440_588), Some(2_145_042_905), Some(-1), None]),
            [Some("4714-11-24 BC"), Some("5874897-12-31"), Some("1969-12-31"), None],
        ),
        case(
            "time",
            Time64MicrosecondArray::from(vec![Some(0), Some(86_400_000_000), Some(45_296_789_012), None]),
            [Some("00:00:00"), Some("24:00:00"), Some("12:34:56.789012"), None],
        ),
        case(
            "timestamp",
            times(),
            [
                Some("4714-11-24 00:00:00 BC"),
                Some("294247-01-10 04:00:54.775807"),
                Some("1969-12-31 23:59:59.999999"),
                None,
            ],
        ),
        case(
            "timestamptz",
            times().with_timezone("UTC"),
            [
                Some("4714-11-24 00:00:00+00 BC"),
                Some("294247-01-10 04:00:54.775807+00"),
                Some("1969-12-31 23:59:59.999999+00"),
                None,
            ],
        ),
        same("json", ["{\"a\": 1, \"a\":  2}", "null", "[]"]),
        case(
            "jsonb",
            texts([Some("{\"a\": 1, \"a\":  2}"), Some("null"), Some("12345678901234567890.10"), None]),
            [Some("{\"a\": 2}"), Some("null"), Some("12345678901234567890.10"), None],
        ),
        same("small", ["", "abc", "日本日"]),
        case(
            "positive",
            Int32Array::from(vec![Some(1), Some(i32::MAX), Some(2), None]),
            [Some("1"), Some("2147483647"), Some("2"), None],
        ),
    ]
}

fn arrays() -> Vec<Case> {
    let ids: Vec<Option<&[u8]>> = vec![Some(&[0; 16]), None, None, Some(&[255; 16]), None];
    let five = |values: [Option<&'static str>; 5]| StringArray::from(values.to_vec());
    vec![
        lists(
            "boolean[]",
            BooleanArray::from(vec![Some(true), None, Some(false), None, Some(true)]),
            "{t,NULL}",
            "{f,NULL,t}",
        ),
        lists("smallint[]", Int16Array::from(vec![1, 2, 3, 4, 5]), "{1,2}", "{3,4,5}"),
        lists(
            "integer[]",
            Int32Array::from(vec![Some(1), None, Some(i32::MIN), Some(0), None]),
            "{1,NULL}",
            "{-2147483648,0,NULL}",
        ),
        lists(
            "bigint[]",
            Int64Array::from(vec![1, 2, i64::MIN, 4, i64::MAX]),
            "{1,2}",
            "{-9223372036854775808,4,9223372036854775807}",
        ),
        lists(
            "real[]",
            Float32Array::from(vec![0.1, f32::NAN, 1e30, f32::INFINITY, f32::NEG_INFINITY]),
            "{0.1,NaN}",
            "{1e+30,Infinity,-Infinity}",
        ),
        lists(
            "double precision[]",
            Float64Array::from(vec![0.1, -0.0, f64::MAX, f64::MIN_POSITIVE, f64::NAN]),
            "{0.1,-0}",
            "{1.7976931348623157e+308,2.2250738585072014e-308,NaN}",
        ),
        lists(
            "numeric(5,2)[]",
            Decimal128Array::from(vec![Some(100), None, Some(-1), Some(0), Some(99_999)])
                .with_precision_and_scale(5, 2)
                .unwrap(),
            "{1.00,NULL}",
            "{-0.01,0.00,999.99}",
        ),
        lists(
            "numeric[]",
            five([Some("1e-20"), None, Some("-5"), Some("0.10"), None]),
            "{0.00000000000000000001,NULL}",
            "{-5,0.10,NULL}",
        ),
        lists(
            "text[]",
            five([Some("NULL"), None, Some("a\"b\\c"), Some(""), Some("日,{}")]),
            "{\"NULL\",NULL}",
            "{\"a\\\"b\\\\c\",\"\",\"日,{}\"}",
        ),
        lists(
            "varchar(3)[]",
            five([Some("abc"), None, Some("日本日"), Some(""), Some("x")]),
            "{abc,NULL}",
            "{日本日,\"\",x}",
        ),
        lists(
            "char(3)[]",
            five([Some("abc"), None, Some("日本日"), Some("x"), Some("y")]),
            "{abc,NULL}",
            "{日本日,\"x  \",\"y  \"}",
        ),
        lists(
            "bytea[]",
            BinaryArray::from(vec![Some(&b""[..]), None, Some(&[0, 255]), Some(b"a"), None]),
            "{\"\\\\x\",NULL}",
            "{\"\\\\x00ff\",\"\\\\x61\",NULL}",
        ),
        lists(
            "uuid[]",
            FixedSizeBinaryArray::try_from_sparse_iter_with_size(ids.into_iter(), 16).unwrap(),
            "{00000000-0000-0000-0000-000000000000,NULL}",
            "{NULL,ffffffff-ffff-ffff-ffff-ffffffffffff,NULL}",
        ),
        lists(
            "date[]",
            Date32Array::from(vec![0, -2_440_588, 2_145_042_905, 11_016, -1]),
            "{1970-01-01,\"4714-11-24 BC\"}",
            "{5874897-12-31,2000-02-29,1969-12-31}",
        ),
        lists(
            "time[]",
            Time64MicrosecondArray::from(vec![0, 86_400_000_000, 1, 2, 45_296_789_012]),
            "{00:00:00,24:00:00}",
            "{00:00:00.000001,00:00:00.000002,12:34:56.789012}",
        ),
        lists(
            "timestamptz[]",
            TimestampMicrosecondArray::from(vec![0, -1, i64::MAX, 1, 2]).with_timezone("UTC"),
            "{\"1970-01-01 00:00:00+00\",\"1969-12-31 23:59:59.999999+00\"}",
            "{\"294247-01-10 04:00:54.775807+00\",\"1970-01-01 00:00:00.000001+00\",\"1970-01-01 00:00:00.000002+00\"}",
        ),
        lists(
            "jsonb[]",
            five([Some("{\"a\": 1}"), None, Some("null"), Some("\"x\""), Some("[]")]),
            "{\"{\\\"a\\\": 1}\",NULL}",
            "{\"null\",\"\\\"x\\\"\",[]}",
        ),
    ]
}

/// Types that are written by their text form, which no COPY in binary can carry.
fn by_text() -> Vec<Case> {
    vec![
        case(
            "inet",
            texts([Some("10.0.0.1/8"), Some("::1"), Some("1.2.3.4"), None]),
            [Some("10.0.0.1/8"), Some("::1/128"), Some("1.2.3.4/32"), None],
        ),
        case(
            "interval",
            texts([Some("1 day 2 hours"), Some("-3 mons"), Some("P1Y"), None]),
            [Some("1 day 02:00:00"), Some("-3 mons"), Some("1 year"), None],
        ),
        same("bit(3)", ["101", "000", "111"]),
        case(
            "int4range",
            texts([Some("[1,5]"), Some("empty"), Some("(,3)"), None]),
            [Some("[1,6)"), Some("empty"), Some("(,3)"), None],
        ),
        same("macaddr", ["08:00:2b:01:02:03", "00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff"]),
        lists(
            "inet[]",
            StringArray::from(vec![Some("::1"), None, Some("1.2.3.4"), Some("::2"), None]),
            "{::1,NULL}",
            "{1.2.3.4,::2,NULL}",
        ),
        lists(
            "mood[]",
            StringArray::from(vec![Some("sad"), None, Some("it's \"fine\""), Some("ok"), None]),
            "{sad,NULL}",
            "{\"it's \\\"fine\\\"\",ok,NULL}",
        ),
        lists("positive[]", Int32Array::from(vec![Some(1), None, Some(2), Some(3), None]), "{1,NULL}", "{2,3,NULL}"),
    ]
}

async fn round_trip(cases: Vec<Case>) {
    let mut fixture = Fixture::new().await;
    fixture.run("CREATE TYPE mood AS ENUM ('sad', 'ok', 'it''s \"fine\"'); CREATE DOMAIN small AS varchar(3); CREATE DOMAIN positive AS int CHECK (value > 0)").await;
    let columns: Vec<String> = cases.iter().enumerate().map(|(index, case)| format!("v{index} {}", case.ty)).collect();
    let mut session = fixture.session().await;
    for (table, mode) in [("appended", Mode::Append), ("upserted", Mode::Upsert)] {
        fixture.run(format!("CREATE TABLE {table} (id int PRIMARY KEY, {})", columns.join(", "))).await;
        let plan = plan(&mut session, table, mode).await;
        for (case, planned) in cases.iter().zip(&plan.columns[1..]) {
            let expected = planned.column.ty.as_ref().expect(case.ty).arrow();
            assert_eq!(*case.values.data_type(), expected, "{}", case.ty);
        }
        let mut arrays: Vec<ArrayRef> = vec![Arc::new(Int32Array::from(vec![1, 2, 3, 4]))];
        arrays.extend(cases.iter().map(|case| case.values.clone()));
        let all: Vec<usize> = (0..plan.columns.len()).collect();
        // The second time the upsert goes through the update.
        for _ in 0..if mode == Mode::Upsert { 2 } else { 1 } {
            assert_eq!(apply(&mut session, &plan, &put(&all, arrays.clone())).await, 4, "{table}");
        }
        for (index, case) in cases.iter().enumerate() {
            let stored = fixture.texts(format!("SELECT v{index}::text FROM {table} ORDER BY id")).await;
            let stored: Vec<Option<&str>> = stored.iter().map(Option::as_deref).collect();
            assert_eq!(stored, case.shown, "{} in {table}", case.ty);
        }
    }
}

#[tokio::test]
async fn scalars_arrive_exactly() {
    round_trip(scalars()).await;
}

#[tokio::test]
async fn arrays_arrive_exactly() {
    round_trip(arrays()).await;
}

#[tokio::test]
async fn types_without_a_binary_form_arrive_by_their_text() {
    round_trip(by_text()).await;
}

#[tokio::test]
async fn what_is_too_long_is_refused_and_never_cut() {
    let mut fixture = Fixture::new().await;
    fixture.run("CREATE DOMAIN small AS varchar(3)").await;
    let mut session = fixture.session().await;
    let long = || Arc::new(StringArray::from(vec!["abcdef"])) as ArrayRef;
    let longs = || {
        Arc::new(ListArray::new(
            Arc::new(Field::new_list_field(arrow_schema::DataType::Utf8, true)),
            OffsetBuffer::new(vec![0, 1].into()),
            long(),
            None,
        )) as ArrayRef
    };
    for (index, (ty, value)) in [
        ("varchar(3)", long()),
        ("char(3)", long()),
        ("small", long()),
        ("varchar(3)[]", longs()),
        ("char(3)[]", longs()),
        ("small[]", longs()),
    ]
    .into_iter()
    .enumerate()
    {
        fixture.run(format!("CREATE TABLE t{index} (id int PRIMARY KEY, v {ty})")).await;
        for mode in [Mode::Append, Mode::Upsert] {
            let plan = plan(&mut session, &format!("t{index}"), mode).await;
            let arrays: Vec<ArrayRef> = vec![Arc::new(Int32Array::from(vec![1])), value.clone()];
            session.begin().await.unwrap();
            let error = session.apply(&plan, &put(&[0, 1], arrays)).await.expect_err(ty);
            assert_eq!((error.class, error.code.as_str()), ("too-long", "22001"), "{ty}");
            session.rollback().await.unwrap();
        }
    }
}
