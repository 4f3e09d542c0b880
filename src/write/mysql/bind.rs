//! Arrow cells as the values of a prepared statement, in MySQL's binary protocol and without a copy in between.
//!
//! Format: <https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_binary_resultset.html>.

use std::io::Write;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, Decimal256Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    Time64MicrosecondType, TimestampMicrosecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{
    Array, BinaryArray, BooleanArray, Decimal128Array, Decimal256Array, FixedSizeBinaryArray, PrimitiveArray,
    StringArray,
};
use arrow_schema::{DataType, TimeUnit};
use sqlx::encode::{Encode, IsNull};
use sqlx::error::BoxDynError;
use sqlx::mysql::types::MySqlTime;
use sqlx::mysql::{MySql, MySqlArguments, MySqlTypeInfo};
use sqlx::{Arguments, Type};

/// The types of parameters. The driver lets us name those of dates only as it saw them in an answer.
#[derive(Clone)]
pub(super) struct Types {
    pub date: MySqlTypeInfo,
    pub datetime: MySqlTypeInfo,
}

/// A value that MySQL cannot hold, whatever the column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unstorable {
    /// NaN or an infinity.
    NotFinite,
    /// A date outside the years 0 to 9999.
    Year,
}

/// A column of a batch, seen as parameters.
pub(super) enum Column<'a> {
    Bool(&'a BooleanArray),
    Int8(&'a PrimitiveArray<Int8Type>),
    Int16(&'a PrimitiveArray<Int16Type>),
    Int32(&'a PrimitiveArray<Int32Type>),
    Int64(&'a PrimitiveArray<Int64Type>),
    UInt8(&'a PrimitiveArray<UInt8Type>),
    UInt16(&'a PrimitiveArray<UInt16Type>),
    UInt32(&'a PrimitiveArray<UInt32Type>),
    UInt64(&'a PrimitiveArray<UInt64Type>),
    Float32(&'a PrimitiveArray<Float32Type>),
    Float64(&'a PrimitiveArray<Float64Type>),
    Decimal128(&'a Decimal128Array, usize),
    Decimal256(&'a Decimal256Array, usize),
    Text(&'a StringArray),
    Bytes(&'a BinaryArray),
    Uuid(&'a FixedSizeBinaryArray),
    Date(&'a PrimitiveArray<Date32Type>),
    Time(&'a PrimitiveArray<Time64MicrosecondType>),
    Timestamp(&'a PrimitiveArray<TimestampMicrosecondType>),
}

impl<'a> Column<'a> {
    /// `None`: not a type that the catalog of this database gives a column.
    pub fn new(array: &'a dyn Array) -> Option<Self> {
        Some(match array.data_type() {
            DataType::Boolean => Self::Bool(array.as_boolean()),
            DataType::Int8 => Self::Int8(array.as_primitive()),
            DataType::Int16 => Self::Int16(array.as_primitive()),
            DataType::Int32 => Self::Int32(array.as_primitive()),
            DataType::Int64 => Self::Int64(array.as_primitive()),
            DataType::UInt8 => Self::UInt8(array.as_primitive()),
            DataType::UInt16 => Self::UInt16(array.as_primitive()),
            DataType::UInt32 => Self::UInt32(array.as_primitive()),
            DataType::UInt64 => Self::UInt64(array.as_primitive()),
            DataType::Float32 => Self::Float32(array.as_primitive()),
            DataType::Float64 => Self::Float64(array.as_primitive()),
            DataType::Decimal128(_, scale) => {
                Self::Decimal128(array.as_primitive::<Decimal128Type>(), usize::try_from(*scale).ok()?)
            }
            DataType::Decimal256(_, scale) => {
                Self::Decimal256(array.as_primitive::<Decimal256Type>(), usize::try_from(*scale).ok()?)
            }
            DataType::Utf8 => Self::Text(array.as_string()),
            DataType::Binary => Self::Bytes(array.as_binary()),
            DataType::FixedSizeBinary(16) => Self::Uuid(array.as_fixed_size_binary()),
            DataType::Date32 => Self::Date(array.as_primitive()),
            DataType::Time64(TimeUnit::Microsecond) => Self::Time(array.as_primitive()),
            DataType::Timestamp(TimeUnit::Microsecond, _) => Self::Timestamp(array.as_primitive()),
            _ => return None,
        })
    }

    /// An upper bound of the bytes that the cell takes in a packet, its type included.
    pub fn size(&self, row: usize) -> usize {
        // 2 bytes of type, 1 of the null bitmap (an eighth), up to 9 of length.
        12 + match self {
            Self::Text(array) if array.is_valid(row) => array.value_length(row) as usize,
            Self::Bytes(array) if array.is_valid(row) => array.value_length(row) as usize,
            Self::Decimal128(..) | Self::Decimal256(..) => 80,
            Self::Uuid(_) => 36,
            _ => 13,
        }
    }

    /// Appends the cell as a parameter.
    pub fn bind(&self, row: usize, types: &Types, arguments: &mut MySqlArguments) -> Result<(), Unstorable> {
        let (ty, value) = self.cell(row, types)?;
        arguments.add(Cell { ty, value }).expect("encoding a checked cell cannot fail");
        Ok(())
    }

    /// Appends bytes that are the same for all values that some collation takes for equal. `false`: not all such values
    /// are known, as the text is not printable ASCII.
    pub fn fold(&self, row: usize, types: &Types, folded: &mut Vec<u8>) -> bool {
        let start = folded.len();
        let plain = match self {
            Self::Text(array) if array.is_valid(row) => {
                let text = array.value(row).trim_end_matches(' ').as_bytes();
                folded.extend(text.iter().map(u8::to_ascii_lowercase));
                text.iter().all(|byte| matches!(byte, b' '..=b'~'))
            }
            _ => {
                if let Ok((ty, value)) = self.cell(row, types) {
                    let _ = Cell { ty, value }.encode_by_ref(folded);
                }
                true
            }
        };
        // The length keeps ("a", "bc") and ("ab", "c") apart.
        folded.extend_from_slice(&(folded.len() - start).to_le_bytes());
        plain
    }

    fn cell(&self, row: usize, types: &Types) -> Result<(MySqlTypeInfo, Value<'a>), Unstorable> {
        /// The value at `row` of a fixed-width type, or null.
        macro_rules! number {
            ($array:expr, $native:ty) => {{
                let value = $array.is_valid(row).then(|| Value::Fixed(Fixed::from($array.value(row).to_le_bytes())));
                (<$native as Type<MySql>>::type_info(), value)
            }};
        }
        let text = <str as Type<MySql>>::type_info;
        let (ty, value) = match self {
            Self::Bool(array) => (
                <i8 as Type<MySql>>::type_info(),
                array.is_valid(row).then(|| Value::Fixed(Fixed::from([u8::from(array.value(row))]))),
            ),
            Self::Int8(array) => number!(array, i8),
            Self::Int16(array) => number!(array, i16),
            Self::Int32(array) => number!(array, i32),
            Self::Int64(array) => number!(array, i64),
            Self::UInt8(array) => number!(array, u8),
            Self::UInt16(array) => number!(array, u16),
            Self::UInt32(array) => number!(array, u32),
            Self::UInt64(array) => number!(array, u64),
            Self::Float32(array) if array.is_valid(row) && !array.value(row).is_finite() => {
                return Err(Unstorable::NotFinite);
            }
            Self::Float64(array) if array.is_valid(row) && !array.value(row).is_finite() => {
                return Err(Unstorable::NotFinite);
            }
            Self::Float32(array) => number!(array, f32),
            Self::Float64(array) => number!(array, f64),
            Self::Decimal128(array, scale) => {
                let value = array.is_valid(row).then(|| array.value(row));
                (text(), value.map(|value| Value::Decimal128(value, *scale)))
            }
            Self::Decimal256(array, scale) => {
                let value = array.is_valid(row).then(|| array.value(row));
                (text(), value.map(|value| Value::Decimal256(value, *scale)))
            }
            Self::Text(array) => (text(), array.is_valid(row).then(|| Value::Bytes(array.value(row).as_bytes()))),
            Self::Bytes(array) => {
                (<[u8] as Type<MySql>>::type_info(), array.is_valid(row).then(|| Value::Bytes(array.value(row))))
            }
            Self::Uuid(array) => (text(), array.is_valid(row).then(|| Value::Uuid(array.value(row)))),
            Self::Date(array) => {
                let value = array.is_valid(row).then(|| date(i64::from(array.value(row))).map(Value::Date));
                (types.date.clone(), value.transpose()?)
            }
            Self::Time(array) => {
                (<MySqlTime as Type<MySql>>::type_info(), array.is_valid(row).then(|| Value::Time(array.value(row))))
            }
            Self::Timestamp(array) => {
                let value = array.is_valid(row).then(|| timestamp(array.value(row)));
                (types.datetime.clone(), value.transpose()?)
            }
        };
        Ok((ty, value.unwrap_or(Value::Null)))
    }
}

/// A little-endian number.
struct Fixed {
    bytes: [u8; 8],
    length: usize,
}

impl<const N: usize> From<[u8; N]> for Fixed {
    fn from(value: [u8; N]) -> Self {
        let mut bytes = [0; 8];
        bytes[..N].copy_from_slice(&value);
        Self { bytes, length: N }
    }
}

/// Year, month and day.
type Civil = (u16, u8, u8);

enum Value<'a> {
    Null,
    Fixed(Fixed),
    Bytes(&'a [u8]),
    Uuid(&'a [u8]),
    Decimal128(i128, usize),
    Decimal256(arrow_buffer::i256, usize),
    Date(Civil),
    /// Microseconds since midnight.
    Time(i64),
    /// The date and the microseconds since its midnight.
    Timestamp(Civil, i64),
}

const DAY: i64 = 86_400_000_000;

fn timestamp(micros: i64) -> Result<Value<'static>, Unstorable> {
    Ok(Value::Timestamp(date(micros.div_euclid(DAY))?, micros.rem_euclid(DAY)))
}

/// The date of a number of days since 1970-01-01 in the Gregorian calendar
/// (<https://howardhinnant.github.io/date_algorithms.html#civil_from_days>).
fn date(days: i64) -> Result<Civil, Unstorable> {
    // Days since 0000-03-01, in eras of 400 years, each of 146,097 days; years begin in March.
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    match u16::try_from(year) {
        Ok(year @ 0..=9999) => Ok((year, month as u8, day as u8)),
        _ => Err(Unstorable::Year),
    }
}

/// One parameter, which the driver asks to write itself.
struct Cell<'a> {
    ty: MySqlTypeInfo,
    value: Value<'a>,
}

impl Type<MySql> for Cell<'_> {
    fn type_info() -> MySqlTypeInfo {
        // Never asked for: each cell says its own by `produces`.
        <str as Type<MySql>>::type_info()
    }
}

impl<'q> Encode<'q, MySql> for Cell<'_> {
    fn encode_by_ref(&self, buffer: &mut Vec<u8>) -> Result<IsNull, BoxDynError> {
        match &self.value {
            Value::Null => return Ok(IsNull::Yes),
            Value::Fixed(fixed) => buffer.extend_from_slice(&fixed.bytes[..fixed.length]),
            Value::Bytes(bytes) => return Encode::<MySql>::encode_by_ref(bytes, buffer),
            Value::Uuid(bytes) => put_uuid(buffer, bytes),
            Value::Decimal128(value, scale) => put_decimal(buffer, *value < 0, value.unsigned_abs(), *scale),
            Value::Decimal256(value, scale) => {
                put_decimal(buffer, value.is_negative(), value.wrapping_abs(), *scale);
            }
            Value::Date(date) => {
                buffer.push(4);
                put_date(buffer, *date);
            }
            Value::Time(micros) => {
                // Length, sign, days.
                buffer.extend_from_slice(&[12, 0, 0, 0, 0, 0]);
                put_time(buffer, *micros);
            }
            Value::Timestamp(date, micros) => {
                buffer.push(11);
                put_date(buffer, *date);
                put_time(buffer, *micros);
            }
        }
        Ok(IsNull::No)
    }

    fn produces(&self) -> Option<MySqlTypeInfo> {
        Some(self.ty.clone())
    }
}

fn put_date(buffer: &mut Vec<u8>, (year, month, day): Civil) {
    buffer.extend_from_slice(&year.to_le_bytes());
    buffer.extend_from_slice(&[month, day]);
}

fn put_time(buffer: &mut Vec<u8>, micros: i64) {
    let seconds = micros / 1_000_000;
    buffer.extend_from_slice(&[(seconds / 3600) as u8, (seconds / 60 % 60) as u8, (seconds % 60) as u8]);
    buffer.extend_from_slice(&((micros % 1_000_000) as u32).to_le_bytes());
}

/// A decimal as length-prefixed text: at most 78 digits, so one byte of length is enough.
fn put_decimal(buffer: &mut Vec<u8>, negative: bool, digits: impl std::fmt::Display, scale: usize) {
    let start = buffer.len();
    buffer.push(0);
    if negative {
        buffer.push(b'-');
    }
    let first = buffer.len();
    write!(buffer, "{digits}").expect("writing to a vector cannot fail");
    if scale > 0 {
        let missing = (scale + 1).saturating_sub(buffer.len() - first);
        buffer.splice(first..first, std::iter::repeat_n(b'0', missing));
        buffer.insert(buffer.len() - scale, b'.');
    }
    buffer[start] = (buffer.len() - start - 1) as u8;
}

fn put_uuid(buffer: &mut Vec<u8>, bytes: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    buffer.push(36);
    for (index, byte) in bytes.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            buffer.push(b'-');
        }
        buffer.extend_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_buffer::i256;

    #[test]
    fn days_are_dates_of_the_gregorian_calendar() {
        #[rustfmt::skip]
        let dates = [
            (0, (1970, 1, 1)), (-1, (1969, 12, 31)), (59, (1970, 3, 1)), (11_016, (2000, 2, 29)),
            (19_782, (2024, 2, 29)), (-719_162, (1, 1, 1)), (2_932_896, (9999, 12, 31)), (-719_528, (0, 1, 1)),
        ];
        for (days, civil) in dates {
            assert_eq!(date(days), Ok(civil), "{days}");
        }
        assert_eq!(date(2_932_897), Err(Unstorable::Year));
        assert_eq!(date(-719_529), Err(Unstorable::Year));
    }

    #[test]
    fn decimals_are_exact_text() {
        let text = |negative, digits: i128, scale| {
            let mut buffer = Vec::new();
            put_decimal(&mut buffer, negative, digits.unsigned_abs(), scale);
            assert_eq!(usize::from(buffer[0]), buffer.len() - 1);
            String::from_utf8(buffer.split_off(1)).unwrap()
        };
        assert_eq!(text(false, 0, 0), "0");
        assert_eq!(text(false, 0, 2), "0.00");
        assert_eq!(text(true, -5, 3), "-0.005");
        assert_eq!(text(false, 123_456, 2), "1234.56");
        assert_eq!(text(true, i128::MIN, 0), i128::MIN.to_string());
        let mut buffer = Vec::new();
        let digits = "9".repeat(65);
        put_decimal(&mut buffer, false, i256::from_string(&digits).unwrap(), 30);
        assert_eq!(&buffer[1..], format!("{}.{}", "9".repeat(35), "9".repeat(30)).as_bytes());
    }
}
