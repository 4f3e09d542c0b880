//! Values that a database gave as text, in the types in which they are wanted: exact, or not at all.

use std::sync::Arc;

use arrow_array::{ArrayRef, BinaryArray, Decimal128Array, Decimal256Array, FixedSizeBinaryArray, StringArray};
use arrow_buffer::i256;
use arrow_cast::display::FormatOptions;
use arrow_cast::{CastOptions, cast_with_options};
use arrow_schema::ArrowError;

use crate::types::{ColumnType, MAX_ARROW_DECIMAL};

use super::merge::Exact;

const CHECKED: CastOptions =
    CastOptions { safe: false, format_options: FormatOptions::new().with_display_error(false) };

/// Bytes come as hexadecimal digits, times in an ISO form, with their offset where they have one.
///
/// # Errors
/// A value has no form in the type.
pub fn array(ty: &ColumnType, texts: &[Option<String>]) -> Result<ArrayRef, ()> {
    let texts = || texts.iter().map(Option::as_deref);
    Ok(match ty {
        ColumnType::Text | ColumnType::Enum | ColumnType::Json => Arc::new(texts().collect::<StringArray>()),
        ColumnType::Decimal { precision, scale } if *precision <= 38 => {
            let numbers =
                texts().map(|text| text.map(|text| unscaled(text, *scale)?.parse().map_err(drop)).transpose());
            let numbers = numbers.collect::<Result<Decimal128Array, ()>>()?;
            let numbers = numbers.with_precision_and_scale(*precision as u8, *scale as i8).map_err(drop)?;
            numbers.validate_decimal_precision(*precision as u8).map_err(drop)?;
            Arc::new(numbers)
        }
        ColumnType::Decimal { precision, scale } if *precision <= MAX_ARROW_DECIMAL => {
            let parse = |text: &str| i256::from_string(&unscaled(text, *scale)?).ok_or(());
            let numbers = texts().map(|text| text.map(parse).transpose()).collect::<Result<Decimal256Array, ()>>()?;
            let numbers = numbers.with_precision_and_scale(*precision as u8, *scale as i8).map_err(drop)?;
            numbers.validate_decimal_precision(*precision as u8).map_err(drop)?;
            Arc::new(numbers)
        }
        ColumnType::Decimal { .. } | ColumnType::Numeric => {
            let canonical = |text: &str| Exact::parse(text).map(|number| number.to_string()).ok_or(());
            Arc::new(texts().map(|text| text.map(canonical).transpose()).collect::<Result<StringArray, ()>>()?)
        }
        ColumnType::Bytes => {
            let bytes = texts().map(|text| text.map(hex::decode).transpose().map_err(drop));
            let bytes = bytes.collect::<Result<Vec<_>, ()>>()?;
            Arc::new(BinaryArray::from_iter(bytes))
        }
        ColumnType::Uuid => {
            let uuids = texts().map(|text| text.map(|text| hex::decode(text.replace('-', ""))).transpose());
            let uuids = uuids.collect::<Result<Vec<_>, _>>().map_err(drop)?;
            Arc::new(FixedSizeBinaryArray::try_from_sparse_iter_with_size(uuids.into_iter(), 16).map_err(drop)?)
        }
        ColumnType::List(_) => return Err(()),
        // The column may keep digits after the point that a whole number has none of.
        ty if ty.is_integer() => {
            let whole = texts().map(|text| text.map(|text| unscaled(text, 0)).transpose());
            cast(&(Arc::new(whole.collect::<Result<StringArray, ()>>()?) as ArrayRef), ty).map_err(drop)?
        }
        ty => cast(&(Arc::new(texts().collect::<StringArray>()) as ArrayRef), ty).map_err(drop)?,
    })
}

/// Values of a column in another type that holds them.
pub fn cast(values: &ArrayRef, ty: &ColumnType) -> Result<ArrayRef, ArrowError> {
    cast_with_options(values, &ty.arrow(), &CHECKED)
}

/// The number times `10^scale`.
fn unscaled(text: &str, scale: u32) -> Result<String, ()> {
    Exact::parse(text).and_then(|number| number.unscaled(scale as usize)).ok_or(())
}

#[cfg(test)]
mod tests {
    use arrow_array::Array as _;
    use arrow_cast::display::array_value_to_string;

    use super::*;

    fn read(ty: &ColumnType, text: &str) -> Option<String> {
        let array = array(ty, &[Some(text.to_owned()), None]).ok()?;
        assert_eq!(*array.data_type(), ty.arrow(), "{ty}");
        assert!(array.is_null(1));
        Some(array_value_to_string(&array, 0).unwrap())
    }

    #[test]
    fn what_databases_write_is_read_exactly() {
        let decimal = |precision, scale| ColumnType::Decimal { precision, scale };
        #[rustfmt::skip]
        let cases = [
            (ColumnType::Int64, "-9223372036854775808", Some("-9223372036854775808")),
            (ColumnType::Int64, "5.00", Some("5")),
            (ColumnType::Int64, "9223372036854775808", None),
            (ColumnType::Int32, "5.50", None),
            (ColumnType::UInt64, "18446744073709551615", Some("18446744073709551615")),
            (ColumnType::Bool, "1", Some("true")),
            (ColumnType::Bool, "false", Some("false")),
            (ColumnType::Float64, "0.30000000000000004", Some("0.30000000000000004")),
            (decimal(38, 2), "-123456789012345678901234567890123456.78", Some("-123456789012345678901234567890123456.78")),
            (decimal(12, 2), "7", Some("7.00")),
            (decimal(12, 2), "7.0000", Some("7.00")),
            (decimal(12, 2), "0.005", None),
            (decimal(4, 2), "100", None),
            (decimal(60, 1), "12345678901234567890123456789012345678901234567.5", Some("12345678901234567890123456789012345678901234567.5")),
            (ColumnType::Numeric, "10.500", Some("10.5")),
            (ColumnType::Numeric, "NaN", None),
            (ColumnType::Date, "2026-11-01", Some("2026-11-01")),
            (ColumnType::Time, "10:00:00.25", Some("10:00:00.250")),
            (ColumnType::Timestamp, "2026-11-01 10:00:00.000001", Some("2026-11-01T10:00:00.000001")),
            (ColumnType::Timestamp, "2026-11-01T10:00:00", Some("2026-11-01T10:00:00")),
            (ColumnType::TimestampTz, "2026-11-01T10:00:00+00:00", Some("2026-11-01T10:00:00Z")),
            (ColumnType::TimestampTz, "2026-11-01 10:00:00.5", Some("2026-11-01T10:00:00.500Z")),
            (ColumnType::TimestampTz, "infinity", None),
            (ColumnType::Bytes, "00FF", Some("00ff")),
            (ColumnType::Uuid, "6f9619ff-8b86-d011-b42d-00cf4fc964ff", Some("6f9619ff8b86d011b42d00cf4fc964ff")),
            (ColumnType::Text, "a", Some("a")),
        ];
        for (ty, text, expected) in cases {
            assert_eq!(read(&ty, text).as_deref(), expected, "{ty} {text}");
        }
    }
}
