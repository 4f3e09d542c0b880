//! What each type takes and refuses.

use super::*;
use crate::rows::TimeUnit;
use ColumnType::*;

/// Every value gives the text beside it, or the fault's class.
fn check(ty: ColumnType, cases: &[(&str, Result<&str, &'static str>)]) {
    for (json, expected) in cases {
        assert_eq!(one(ty.clone(), json).as_deref().map_err(|class| *class), *expected, "{json} into {ty}");
    }
}

fn check_with(column: &InputColumn, cases: &[(&str, Result<&str, &'static str>)]) {
    for (json, expected) in cases {
        let actual = one_in(column.clone(), json);
        assert_eq!(actual.as_deref().map_err(|class| *class), *expected, "{json} into {}", column.ty);
    }
}

#[test]
fn null_is_null_in_every_type() {
    let list = List(Box::new(Int32));
    for ty in [Bool, Int8, UInt64, Float32, Numeric, Text, Enum, Bytes, Uuid, Date, Time, Timestamp, Json, list] {
        check(ty, &[("null", Ok("null"))]);
    }
}

#[test]
fn booleans() {
    let wrong = Err("wrong-type");
    check(Bool, &[("true", Ok("true")), (" false ", Ok("false")), ("1", wrong), ("\"true\"", wrong), ("{}", wrong)]);
}

#[test]
fn integers_are_exact_in_any_notation() {
    let (range, wrong) = (Err("out-of-range"), Err("wrong-type"));
    check(Int8, &[("127", Ok("127")), ("128", range), ("-128", Ok("-128")), ("-129", range)]);
    check(UInt8, &[("255", Ok("255")), ("-1", range), ("-0", Ok("0")), ("256", range)]);
    check(Int32, &[("1.0", Ok("1")), ("1e3", Ok("1000")), ("1.5", Err("inexact")), ("\"7\"", Ok("7"))]);
    check(Int32, &[("2147483648", range), ("1e999999999999", range), ("1e-1", Err("inexact")), ("true", wrong)]);
    check(Int32, &[("\" 7\"", wrong), ("\"\"", wrong), ("\"7a\"", wrong), ("[7]", wrong), ("\"\\u0037\"", Ok("7"))]);
    let past_f64 = "9007199254740993";
    check(Int64, &[(past_f64, Ok(past_f64)), ("9007199254740993.0", Ok(past_f64)), ("9223372036854775808", range)]);
    check(Int64, &[("-9223372036854775808", Ok("-9223372036854775808")), ("1.00000000000000000001", Err("inexact"))]);
    check(UInt64, &[("18446744073709551615", Ok("18446744073709551615")), ("18446744073709551616", range)]);
}

#[test]
fn floats_are_finite_numbers_or_say_otherwise_in_words() {
    let (range, wrong) = (Err("out-of-range"), Err("wrong-type"));
    check(Float64, &[("1e400", range), ("-0.0", Ok("-0")), ("\"NaN\"", Ok("NaN")), ("\"-Infinity\"", Ok("-inf"))]);
    check(Float64, &[("\"inf\"", wrong), ("\"nan\"", wrong), ("\"1.5\"", Ok("1.5")), ("false", wrong)]);
    check(Float64, &[("0.1", Ok("0.1")), ("123456789012345680000", Ok("123456789012345680000"))]);
    check(Float32, &[("1e39", range), ("0.1", Ok("0.1")), ("16777217", Ok("16777216"))]);
    check(Float64, &[("NaN", Err("invalid-json")), ("Infinity", Err("invalid-json")), ("-", Err("invalid-json"))]);
}

#[test]
fn decimals_of_every_width() {
    let money = Decimal { precision: 12, scale: 2 };
    check(money, &[("9000.00", Ok("900000")), ("\"9e3\"", Ok("900000")), ("1.234", Err("inexact"))]);
    let wide = Decimal { precision: 50, scale: 2 };
    check(wide, &[("-1.5", Ok("-150")), ("0", Ok("0")), ("1e48", Err("out-of-range"))]);
    let widest = Decimal { precision: 100, scale: 2 };
    check(widest, &[("1.50", Ok("1.5")), ("1e98", Err("out-of-range")), ("\"x\"", Err("wrong-type"))]);
    check(Numeric, &[("1.50", Ok("1.5")), ("\"-1E+2\"", Ok("-100")), ("1e200000", Err("out-of-range"))]);
}

#[test]
fn text_takes_every_value_as_it_is_written() {
    check(Text, &[("\"a\\n\\u00e9\"", Ok("a\né")), ("\"\"", Ok("")), ("1.50", Ok("1.50")), ("true", Ok("true"))]);
    check(Text, &[("{\"a\": 1}", Ok("{\"a\": 1}")), ("[1, 2]", Ok("[1, 2]")), ("\"' OR '1'='1\"", Ok("' OR '1'='1"))]);
    check(Text, &[("\"a\\u0000b\"", Err("nul-character")), ("\"\\ud800\"", Err("invalid-json"))]);
    check(Enum, &[("\"NEW\"", Ok("NEW")), ("\"\\u0000\"", Err("nul-character"))]);
    check(Text, &[("\"a\u{1}b\"", Err("invalid-json"))]);
}

#[test]
fn json_stays_as_it_is_written() {
    for json in ["{\"a\":1, \"a\":2}", "[1, [2]]", "\"\\u0000\"", "1e400", "true", "{}"] {
        check(Json, &[(json, Ok(json))]);
    }
}

#[test]
fn bytes_and_uuids() {
    check(
        Bytes,
        &[("\"AQL/\"", Ok("0102ff")), ("\"AQL_\"", Ok("0102ff")), ("\"AQ\"", Ok("01")), ("1", Err("wrong-type"))],
    );
    check(Bytes, &[("\"AQ=!\"", Err("invalid-base64"))]);
    let hex = InputColumn { encoding: BytesEncoding::Hex, ..column("x", Bytes) };
    check_with(&hex, &[("\"00fF\"", Ok("00ff")), ("\"0\"", Err("invalid-hex"))]);
    let uuid = "123e4567e89b12d3a456426614174000";
    check(Uuid, &[("\"123e4567-e89b-12d3-a456-426614174000\"", Ok(uuid)), ("\"123e\"", Err("invalid-uuid"))]);
}

#[test]
fn dates_and_times_of_day() {
    let (bad_date, bad_time) = (Err("invalid-date"), Err("invalid-time"));
    check(Date, &[("\"1970-01-02\"", Ok("1")), ("\"2026-11-21\"", Ok("20778")), ("\"2026-02-29\"", bad_date)]);
    check(Date, &[("\"2024-02-29\"", Ok("19782")), ("\"0000-01-01\"", Ok("-719528")), ("\"2026-1-1\"", bad_date)]);
    check(Date, &[("\"2026-11-21T00:00:00Z\"", bad_date), ("20778", Err("missing-unit")), ("\"\"", bad_date)]);
    let days = InputColumn { unit: Some(TimeUnit::Milliseconds), ..column("x", Date) };
    check_with(&days, &[("86400000", Ok("1")), ("-1", Ok("-1")), ("\"86399999\"", Ok("0"))]);
    check(Time, &[("\"00:00\"", Ok("0")), ("\"23:59:59.9999999\"", Ok("86399999999")), ("\"24:00\"", bad_time)]);
    check(Time, &[("\"10:00:00Z\"", bad_time), ("\"23:59:60\"", bad_time), ("5", Err("missing-unit"))]);
    let seconds = InputColumn { unit: Some(TimeUnit::Seconds), ..column("x", Time) };
    check_with(&seconds, &[("1.5", Ok("1500000")), ("86400", Err("out-of-range")), ("-1", Err("out-of-range"))]);
}

#[test]
fn instants_from_text() {
    let bad = Err("invalid-timestamp");
    for text in [
        "1970-01-01T00:00:01Z",
        "1970-01-01 00:00:01z",
        "1970-01-01t01:00:01+01:00",
        "1969-12-31T23:30:01-0030",
        "1970-01-01 00:00:01 +00",
        "1970-01-01T00:00:01.0000009Z",
        "1970-01-01T02:00:01+02:00[Europe/Helsinki]",
        "1970-01-01T01:00:01,000",
    ] {
        check(TimestampTz, &[(&format!("\"{text}\""), Ok("1000000"))]);
    }
    for text in ["", "1970-01-01T", "1970-01-01T00", "1970-01-01T00:60Z", "1970-01-01T00:00:61Z", "1970-13-01T00:00Z"] {
        check(TimestampTz, &[(&format!("\"{text}\""), bad)]);
    }
    for text in ["1970-01-01T00:00:00.Z", "1970-01-01T00:00:00+24:00", "1970-01-01T00:00Zx", "1970-01-01T24:00:01Z"] {
        check(TimestampTz, &[(&format!("\"{text}\""), bad)]);
    }
    check(TimestampTz, &[("\"2016-12-31T23:59:60Z\"", Ok("1483228800000000")), ("{}", Err("wrong-type"))]);
    check(TimestampTz, &[("\"1969-12-31T23:59:59.999999999Z\"", Ok("-1"))]);
    check(TimestampTz, &[("\"+294247-01-10T04:00:54.775807Z\"", Ok("9223372036854775807"))]);
    check(TimestampTz, &[("\"+294247-01-10T04:00:54.775808Z\"", Err("out-of-range"))]);
}

#[test]
fn a_text_without_a_zone_has_the_declared_one() {
    let berlin = |text: &str| one(TimestampTz, &format!("\"{text}\"")).unwrap().parse::<i64>().unwrap() / 3_600_000_000;
    let utc = |text: &str| one(Timestamp, &format!("\"{text}\"")).unwrap().parse::<i64>().unwrap() / 3_600_000_000;
    assert_eq!(berlin("2026-11-21T12:00:00"), utc("2026-11-21T11:00:00"));
    assert_eq!(berlin("2026-07-21"), utc("2026-07-20T22:00:00"));
    assert_eq!(berlin("2026-03-29T02:00:00"), utc("2026-03-29T01:00:00"), "skipped: an hour on");
    assert_eq!(berlin("2026-10-25T02:00:00"), utc("2026-10-25T00:00:00"), "twice: the first");
    assert_eq!(utc("2026-11-21T12:00:00+02:00"), utc("2026-11-21T10:00:00"), "zoned text is stored as UTC");
    check(TimestampTz, &[("\"+012026-01-01T00:00:00\"", Err("out-of-range"))]);
    for zone in [None, Some("Mars/Olympus".to_owned())] {
        let schema = InputSchema::new(vec![column("x", TimestampTz)], zone);
        let decoded = json(schema, KeyFormat::Text).decode(&records(&[r#"{"x":"2026-11-21T12:00:00"}"#]));
        assert_eq!(row_of(&decoded), Err("missing-zone"));
    }
}

#[test]
fn instants_from_numbers_need_a_unit() {
    let column = |unit| InputColumn { unit, ..column("x", TimestampTz) };
    check_with(&column(None), &[("1700000000", Err("missing-unit")), ("\"1700000000\"", Err("invalid-timestamp"))]);
    check_with(&column(Some(TimeUnit::Seconds)), &[("1700000000.123456", Ok("1700000000123456"))]);
    check_with(&column(Some(TimeUnit::Seconds)), &[("1.7e9", Ok("1700000000000000")), ("1e30", Err("out-of-range"))]);
    check_with(&column(Some(TimeUnit::Milliseconds)), &[("-0.0015", Ok("-2")), ("\"1000\"", Ok("1000000"))]);
    check_with(&column(Some(TimeUnit::Nanoseconds)), &[("1999", Ok("1")), ("-1", Ok("-1"))]);
    check_with(&column(Some(TimeUnit::Microseconds)), &[("9223372036854775808", Err("out-of-range"))]);
    check_with(&column(Some(TimeUnit::Seconds)), &[("\"1970-01-01T00:00:01Z\"", Ok("1000000"))]);
}

#[test]
fn lists_have_one_dimension() {
    let list = |ty| List(Box::new(ty));
    check(list(Int32), &[("[1, null, 3]", Ok("[1,null,3]")), ("[]", Ok("[]")), ("[[1]]", Err("wrong-type"))]);
    check(list(Int32), &[("[1,\"x\"]", Err("wrong-type")), ("1", Err("wrong-type")), ("[1e99]", Err("out-of-range"))]);
    check(list(Text), &[("[\"a\\n\",\"\"]", Ok("[a\n,]")), ("[[\"a\"]]", Err("wrong-type"))]);
    check(list(Json), &[("[[1],{}]", Ok("[[1],{}]"))]);
    check(list(Decimal { precision: 5, scale: 1 }), &[("[1.5]", Ok("[15]"))]);
    let mut decoder = decoder(vec![column("x", list(Int32))], KeyFormat::Text);
    let values = [r#"{"x":[1]}"#, r#"{"x":[2,true]}"#, r#"{"x":null}"#, r#"{"x":[3,4]}"#];
    let decoded = decoder.decode(&records(&values));
    let rows: Vec<_> = (0..3).map(|index| row(&decoded, index)).collect();
    assert_eq!(rows, ["[1]", "null", "[3,4]"], "nothing of the bad one is left");
}
