//! Properties: nothing panics, nothing wrong passes, what was written is what is read.

use base64::Engine;
use jiff::Timestamp;
use proptest::prelude::*;
use serde::de::IgnoredAny;
use serde_json::json as value;

use super::*;
use crate::rows::TimeUnit;
use ColumnType::*;

/// Every type, at the top and below a shared path, with every source.
fn everything() -> Vec<InputColumn> {
    let types = [
        Bool,
        Int8,
        Int16,
        Int32,
        Int64,
        UInt8,
        UInt16,
        UInt32,
        UInt64,
        Float32,
        Float64,
        Decimal { precision: 12, scale: 2 },
        Decimal { precision: 60, scale: 20 },
        Decimal { precision: 100, scale: 20 },
        Numeric,
        Text,
        Enum,
        Bytes,
        Uuid,
        Date,
        Time,
        Timestamp,
        TimestampTz,
        Json,
        List(Box::new(Int64)),
        List(Box::new(Text)),
    ];
    let mut columns = Vec::new();
    for (index, ty) in types.into_iter().enumerate() {
        let name = char::from(b'a' + index as u8).to_string();
        let unit = (index % 2 == 0).then_some(TimeUnit::Nanoseconds);
        let nested = path_column(&format!("n{name}"), ty.clone(), &["n", &name]);
        columns.push(InputColumn { unit, ..nested });
        let source = ColumnSource::Key(vec![name.clone()]);
        columns.push(InputColumn { source, ..column(&format!("k{name}"), ty.clone()) });
        columns.push(InputColumn { encoding: BytesEncoding::Hex, ..column(&name, ty) });
    }
    columns.push(path_column("n", Json, &["n"]));
    columns.push(key_column("id", Int64));
    columns
}

/// JSON text that is mostly right, with the names that `everything` asks for.
fn document() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        "-?(0|[1-9][0-9]{0,25})(\\.[0-9]{1,8})?([eE][+-]?[0-9]{1,6})?",
        any::<i64>().prop_map(|number| number.to_string()),
        any::<f64>().prop_map(|number| number.to_string()),
        any::<String>().prop_map(|text| value!(text).to_string()),
        "\"(\\\\[\"\\\\/bfnrtu]|[0-9a-f]|\\\\u[0-9a-f]{4}){0,8}\"",
        "\"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9:.,+Zz\\[\\] -]{0,20}\"",
    ];
    leaf.prop_recursive(3, 24, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|elements| format!("[{}]", elements.join(","))),
            prop::collection::vec(("[a-zA-CN]|id|ID", inner), 0..6).prop_map(|fields| {
                let fields: Vec<_> = fields.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
                format!("{{{}}}", fields.join(" , "))
            }),
        ]
    })
}

fn is_json(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|text| serde_json::from_str::<IgnoredAny>(text).is_ok())
}

/// What a fuzzer asks: no panic, each record is a row or a fault, no broken JSON is a row.
fn survives(key: &[u8], value: &[u8]) -> Result<(), TestCaseError> {
    for format in [KeyFormat::Json, KeyFormat::Text, KeyFormat::Bytes] {
        let columns = everything();
        let columns =
            if format == KeyFormat::Json { columns } else { columns.into_iter().filter(value_only).collect() };
        let mut decoder = decoder(columns, format);
        let decoded = decoder.decode(&records_with(&[(Some(key), Some(value), &[]), (Some(key), None, &[])]));
        prop_assert_eq!(decoded.rows.len() + decoded.bad.len(), 2);
        prop_assert_eq!(decoded.rows.batch.num_rows(), decoded.rows.len());
        prop_assert!(is_json(value) || !decoded.rows.origins.contains(&0));
    }
    Ok(())
}

fn value_only(column: &InputColumn) -> bool {
    matches!(column.source, ColumnSource::Value(_))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn arbitrary_bytes_never_panic(key: Vec<u8>, value: Vec<u8>) {
        survives(&key, &value)?;
    }

    #[test]
    fn arbitrary_documents_never_panic(key in document(), value in document()) {
        survives(key.as_bytes(), value.as_bytes())?;
    }

    #[test]
    fn broken_documents_never_panic(value in document(), at: prop::sample::Index, byte: u8, cut: bool) {
        let mut bytes = format!("{{\"n\":{value},\"a\":true}}").into_bytes();
        let at = at.index(bytes.len());
        if cut { bytes.truncate(at) } else { bytes[at] = byte }
        survives(&bytes, &bytes)?;
    }

    #[test]
    fn bad_records_change_nothing_but_their_own_fate(values in prop::collection::vec(document(), 0..20)) {
        let values: Vec<_> = values.iter().map(|value| format!("{{\"p\":\"x\",\"x\":{value},\"w\":1}}")).collect();
        let columns = vec![column("p", Text), column("x", Text), column("w", Json), column("X", List(Box::new(Text)))];
        let columns = [columns, vec![path_column("y", Int64, &["x", "a"])]].concat();
        let all: Vec<_> = values.iter().map(String::as_str).collect();
        let decoded = decoder(columns.clone(), KeyFormat::Text).decode(&records(&all));
        let good: Vec<_> = decoded.rows.origins.iter().map(|origin| all[*origin as usize]).collect();
        let alone = decoder(columns, KeyFormat::Text).decode(&records(&good));
        prop_assert_eq!(&alone.bad, &[]);
        prop_assert_eq!(&alone.rows.batch, &decoded.rows.batch);
        // `None` and all present say the same.
        for (index, row) in (0..good.len()).flat_map(|row| (0..5).map(move |index| (index, row))) {
            prop_assert_eq!(alone.rows.is_present(index, row), decoded.rows.is_present(index, row));
        }
    }

    #[test]
    fn integers_round_trip(a: i8, b: i16, c: i32, d: i64, e: u8, f: u16, g: u32, h: u64) {
        let numbers: [(ColumnType, String); 8] = [
            (Int8, a.to_string()), (Int16, b.to_string()), (Int32, c.to_string()), (Int64, d.to_string()),
            (UInt8, e.to_string()), (UInt16, f.to_string()), (UInt32, g.to_string()), (UInt64, h.to_string()),
        ];
        for (ty, text) in numbers {
            for json in [text.clone(), format!("\"{text}\""), format!("{text}.0"), format!("\"{text}000e-3\"")] {
                prop_assert_eq!(one(ty.clone(), &json), Ok(text.clone()), "{} into {}", json, ty);
            }
        }
    }

    #[test]
    fn floats_round_trip(wide in prop::num::f64::NORMAL | prop::num::f64::SUBNORMAL | prop::num::f64::ZERO,
                         narrow in prop::num::f32::NORMAL | prop::num::f32::SUBNORMAL) {
        prop_assert_eq!(one(Float64, &format!("{wide:e}")), Ok(wide.to_string()));
        prop_assert_eq!(one(Float64, &value!(wide).to_string()), Ok(wide.to_string()));
        prop_assert_eq!(one(Float32, &format!("{narrow:e}")), Ok(narrow.to_string()));
    }

    #[test]
    fn decimals_round_trip(unscaled in -999_999_999_999i64..=999_999_999_999) {
        let sign = if unscaled < 0 { "-" } else { "" };
        let magnitude = unscaled.unsigned_abs();
        let text = format!("{sign}{}.{:02}", magnitude / 100, magnitude % 100);
        for (precision, digits) in [(12, unscaled.to_string()), (60, unscaled.to_string())] {
            let ty = Decimal { precision, scale: 2 };
            for json in [text.clone(), format!("\"{text}\""), format!("{unscaled}e-2")] {
                prop_assert_eq!(one(ty.clone(), &json), Ok(digits.clone()), "{}", json);
            }
        }
        let canonical = one(Numeric, &text).unwrap();
        prop_assert_eq!(one(Numeric, &canonical), Ok(canonical.clone()));
        prop_assert_eq!(one(Decimal { precision: 12, scale: 2 }, &canonical), Ok(unscaled.to_string()));
    }

    #[test]
    fn text_json_and_bytes_round_trip(text: String, bytes: Vec<u8>, number: i64) {
        let json = value!(text).to_string();
        let expected = if text.contains('\0') { Err("nul-character") } else { Ok(text.clone()) };
        prop_assert_eq!(one(Text, &json), expected);
        prop_assert_eq!(one(Json, &json), Ok(json.clone()));
        prop_assert_eq!(one(Json, &format!("{{{json}: {number}}}")), Ok(format!("{{{json}: {number}}}")));
        let base64 = base64::engine::general_purpose::STANDARD.encode(&bytes);
        prop_assert_eq!(one(Bytes, &value!(base64).to_string()), Ok(hex_of(&bytes)));
    }

    #[test]
    fn lists_and_uuids_round_trip(list: Vec<Option<i64>>, uuid: u128) {
        let shown: Vec<_> = list.iter().map(|element| element.map_or("null".to_owned(), |n| n.to_string())).collect();
        prop_assert_eq!(one(List(Box::new(Int64)), &value!(list).to_string()), Ok(format!("[{}]", shown.join(","))));
        let digits = format!("{uuid:032x}");
        let hyphenated = [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]].join("-");
        prop_assert_eq!(one(Uuid, &value!(hyphenated).to_string()), Ok(digits.clone()));
        prop_assert_eq!(one(Uuid, &value!(digits).to_string()), Ok(digits));
    }

    #[test]
    fn instants_round_trip(micros in Timestamp::MIN.as_microsecond()..Timestamp::MAX.as_microsecond(), offset in -86_399i32..86_400) {
        let instant = Timestamp::from_microsecond(micros).unwrap();
        let utc = instant.to_string();
        prop_assert_eq!(one(TimestampTz, &value!(utc).to_string()), Ok(micros.to_string()), "{}", utc);
        prop_assert_eq!(one(Timestamp, &value!(utc).to_string()), Ok(micros.to_string()), "{}", utc);
        // RFC 3339 offsets have no seconds.
        let offset = jiff::tz::Offset::from_seconds(offset / 60 * 60).unwrap();
        let shifted = instant.display_with_offset(offset).to_string();
        prop_assert_eq!(one(TimestampTz, &value!(shifted).to_string()), Ok(micros.to_string()), "{}", shifted);
        let zoneless = jiff::tz::TimeZone::UTC.to_datetime(instant);
        prop_assert_eq!(one(Timestamp, &value!(zoneless.to_string()).to_string()), Ok(micros.to_string()));
        let unit = InputColumn { unit: Some(TimeUnit::Microseconds), ..column("x", TimestampTz) };
        prop_assert_eq!(one_in(unit, &micros.to_string()), Ok(micros.to_string()));
    }

    #[test]
    fn dates_and_times_round_trip(days in -4_371_587i32..2_932_896, micros in 0i64..86_400_000_000) {
        let date = jiff::civil::date(1970, 1, 1) + jiff::Span::new().days(days);
        prop_assert_eq!(one(Date, &value!(date.to_string()).to_string()), Ok(days.to_string()), "{}", date);
        let time = jiff::civil::Time::midnight() + jiff::Span::new().microseconds(micros);
        prop_assert_eq!(one(Time, &value!(time.to_string()).to_string()), Ok(micros.to_string()), "{}", time);
    }
}
