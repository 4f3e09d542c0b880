//! Does a column's default fit its type?

use base64::Engine as _;
use jiff::civil;
use serde_json::Value;

use crate::config::SourceColumn;
use crate::config::columns::Json;
use crate::config::problem::{Problem, Problems, Rule, printable};
use crate::config::read::Given;
use crate::rows::BytesEncoding;
use crate::types::ColumnType;

pub fn check(column: &SourceColumn, given: &Given<Json>, timezone: Option<&str>, problems: &mut Problems) {
    let Some(ty) = &column.ty else { return };
    if let Err(cure) = fits(column, ty, &given.value.0, timezone.is_some()) {
        let what = format!("column `{}`: `default` does not fit the type {ty}", printable(&column.name));
        problems.push(Problem::new(&given.place, Rule::Value, what, cure));
    }
}

/// # Errors
/// What to write instead.
fn fits(column: &SourceColumn, ty: &ColumnType, value: &Value, zoned: bool) -> Result<(), String> {
    use ColumnType as T;
    let integer = |least: i128, most: i128| {
        let fits = value.as_number().and_then(serde_json::Number::as_i128).is_some_and(|n| (least..=most).contains(&n));
        ok(fits, &format!("write a whole number from {least} to {most}"))
    };
    let text = || value.as_str();
    let number = || value.as_number().is_some() && column.unit.is_some();
    match ty {
        T::Bool => ok(value.is_boolean(), "write true or false"),
        T::Int8 => integer(i8::MIN.into(), i8::MAX.into()),
        T::Int16 => integer(i16::MIN.into(), i16::MAX.into()),
        T::Int32 => integer(i32::MIN.into(), i32::MAX.into()),
        T::Int64 => integer(i64::MIN.into(), i64::MAX.into()),
        T::UInt8 => integer(0, u8::MAX.into()),
        T::UInt16 => integer(0, u16::MAX.into()),
        T::UInt32 => integer(0, u32::MAX.into()),
        T::UInt64 => integer(0, u64::MAX.into()),
        T::Float32 | T::Float64 => ok(value.is_number(), "write a number"),
        T::Decimal { precision, scale } => {
            let fits = digits(value).is_some_and(|(whole, fraction)| {
                fraction <= *scale as usize && whole <= (*precision - *scale) as usize
            });
            ok(fits, &format!("write a number in quotes, at most {precision} digits, {scale} of them behind the point"))
        }
        T::Numeric => ok(digits(value).is_some(), "write a number in quotes, such as \"9.90\""),
        T::Text | T::Enum => ok(value.is_string(), "write a text in quotes"),
        T::Bytes => {
            let hex = column.encoding == Some(BytesEncoding::Hex);
            let decoded = text().is_some_and(|text| match hex {
                true => hex::decode(text).is_ok(),
                false => base64::engine::general_purpose::STANDARD.decode(text).is_ok(),
            });
            ok(decoded, if hex { "write it in hex" } else { "write it in base64" })
        }
        T::Uuid => {
            let fits = text().is_some_and(|text| {
                let digits = text.chars().filter(|c| *c != '-');
                digits.clone().count() == 32 && digits.clone().all(|c| c.is_ascii_hexdigit())
            });
            ok(fits, "write a UUID such as \"00000000-0000-0000-0000-000000000000\"")
        }
        T::Date => {
            let fits = text().is_some_and(|text| text.parse::<civil::Date>().is_ok());
            ok(fits || number(), "write a date such as \"2026-11-01\"")
        }
        T::Time => {
            let fits = text().is_some_and(|text| text.parse::<civil::Time>().is_ok());
            ok(fits || number(), "write a time of day such as \"12:00:00\"")
        }
        T::Timestamp => {
            let fits = text().is_some_and(|text| civil_time(text) || instant(text));
            ok(fits || number(), "write a time such as \"2026-11-01T00:00:00\"; a number needs `unit`")
        }
        T::TimestampTz => {
            let fits = text().is_some_and(|text| instant(text) || (zoned && civil_time(text)));
            ok(fits || number(), "write a time with its zone such as \"2026-11-01T00:00:00Z\"; a number needs `unit`")
        }
        T::Json => Ok(()),
        T::List(element) => match value {
            Value::Array(items) => items.iter().try_for_each(|item| fits(column, element, item, zoned)),
            _ => Err("write a list: [..]".to_owned()),
        },
    }
}

fn ok(fits: bool, cure: &str) -> Result<(), String> {
    if fits { Ok(()) } else { Err(cure.to_owned()) }
}

fn civil_time(text: &str) -> bool {
    text.parse::<civil::DateTime>().is_ok()
}

fn instant(text: &str) -> bool {
    text.parse::<jiff::Timestamp>().is_ok()
}

/// The digits before and behind the point of a number or a number in quotes.
fn digits(value: &Value) -> Option<(usize, usize)> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(&text);
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let valid = !(whole.is_empty() && fraction.is_empty()) && all_digits(whole) && all_digits(fraction);
    valid.then(|| (whole.trim_start_matches('0').len(), fraction.trim_end_matches('0').len()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config::column_type;
    use crate::rows::{ColumnSource, TimeUnit};

    fn fits_type(ty: &str, value: Value, unit: Option<TimeUnit>) -> bool {
        let ty = column_type::parse(ty).expect("a type");
        let source = ColumnSource::Value(vec!["a".to_owned()]);
        let column = SourceColumn { name: "a".to_owned(), ty: None, source, unit, encoding: None, default: None };
        fits(&column, &ty, &value, false).is_ok()
    }

    #[test]
    fn defaults_fit_their_types_or_not() {
        for (ty, good, bad) in [
            ("boolean", json!(true), json!("true")),
            ("tinyint", json!(-128), json!(128)),
            ("int unsigned", json!(4294967295u32), json!(-1)),
            ("bigint unsigned", json!(u64::MAX), json!(1.0)),
            ("double", json!(1.5), json!("x")),
            ("decimal(4,2)", json!("-12.30"), json!("123.4")),
            ("decimal(4,2)", json!(12), json!("1.234")),
            ("decimal", json!("123456789012345678901234567890.1"), json!("1e5")),
            ("text", json!("?"), json!(1)),
            ("bytes", json!("AA=="), json!("A")),
            ("uuid", json!("00000000-0000-0000-0000-000000000000"), json!("0")),
            ("date", json!("2026-11-01"), json!("2026-13-01")),
            ("time", json!("12:00:00"), json!("25:00:00")),
            ("timestamp", json!("2026-11-01T00:00:00"), json!(0)),
            ("timestamptz", json!("2026-11-01T00:00:00Z"), json!("2026-11-01T00:00:00")),
            ("int[]", json!([1, 2]), json!([1, "2"])),
        ] {
            assert!(fits_type(ty, good.clone(), None), "{ty} {good}");
            assert!(!fits_type(ty, bad.clone(), None), "{ty} {bad}");
        }
        assert!(fits_type("timestamptz", json!(0), Some(TimeUnit::Milliseconds)));
        assert!(fits_type("json", json!({ "a": [] }), None));
    }
}
