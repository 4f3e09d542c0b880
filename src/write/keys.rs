//! Row keys as bytes that compare as the typed values do: one `memcmp` instead of a comparison per column and type.
//!
//! The order is the same in every process, so everybody who sorts by it locks rows in one order. Texts compare by
//! their bytes, whatever the collation of the database's column. Values that SQL calls equal have equal bytes: `-0.0`
//! and `0.0`, every NaN, `1.0` and `1.00`.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Decimal128Type, Decimal256Type, Float32Type, Float64Type, Int8Type, Int16Type,
    Int32Type, Int64Type, Time64MicrosecondType, TimestampMicrosecondType, UInt8Type, UInt16Type, UInt32Type,
    UInt64Type,
};
use arrow_array::{Array, ArrayRef};
use arrow_buffer::{NullBuffer, i256};
use arrow_schema::DataType;

use crate::types::ColumnType;

/// Can a column of this type be in a key? A JSON document has no canonical text, and a list may hold one.
pub fn is_comparable(ty: &ColumnType) -> bool {
    !matches!(ty, ColumnType::Json | ColumnType::List(_))
}

/// The keys of the rows of a batch, in one buffer.
#[derive(Debug)]
pub struct RowKeys {
    bytes: Vec<u8>,
    /// Where each row's key ends; it begins where the one before ends. An empty key has a null in it: the encoding of
    /// a value is never empty.
    ends: Vec<u32>,
    longest: usize,
    /// How many bytes all keys begin with alike: `order-` says nothing about their order.
    common: usize,
}

impl RowKeys {
    /// Encodes the columns of a key, in its order. The type decides how texts compare: as numbers, where they are
    /// decimals that travel as text.
    ///
    /// # Panics
    /// On a type that is not [comparable](is_comparable), and without columns.
    pub fn new(columns: &[(&ArrayRef, &ColumnType)]) -> Self {
        let rows = columns[0].0.len();
        let nulls = columns.iter().fold(None, |nulls, (array, _)| NullBuffer::union(nulls.as_ref(), array.nulls()));
        let encoders: Vec<_> = columns.iter().map(|(array, ty)| encoder(array, ty)).collect();
        let mut keys =
            Self { bytes: Vec::with_capacity(rows * 8), ends: Vec::with_capacity(rows), longest: 0, common: 0 };
        let mut start = 0;
        for row in 0..rows {
            if nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row)) {
                for encode in &encoders {
                    encode(row, &mut keys.bytes);
                }
            }
            let end = keys.bytes.len();
            keys.longest = keys.longest.max(end - start);
            start = end;
            // A batch is bounded far below by `sink.batch.bytes`.
            keys.ends.push(u32::try_from(end).expect("the keys of a batch are below 4 GiB"));
        }
        keys.common = keys.common_bytes();
        keys
    }

    fn common_bytes(&self) -> usize {
        let mut keys = (0..self.ends.len() as u32).filter_map(|row| self.get(row));
        let Some(first) = keys.next() else { return 0 };
        keys.fold(first.len(), |common, key| {
            first[..common].iter().zip(key).position(|(a, b)| a != b).unwrap_or(common.min(key.len()))
        })
    }

    /// The key of a row; `None` where one of its columns is null.
    pub fn get(&self, row: u32) -> Option<&[u8]> {
        let bytes = self.bytes_of(row);
        (!bytes.is_empty()).then_some(bytes)
    }

    fn bytes_of(&self, row: u32) -> &[u8] {
        let row = row as usize;
        let start = if row == 0 { 0 } else { self.ends[row - 1] };
        &self.bytes[start as usize..self.ends[row] as usize]
    }

    /// `rows`, by key, and rows of one key as they were. Rows without a key are left out.
    pub fn sorted(&self, rows: &[u32]) -> Vec<u32> {
        let with_key = rows.iter().filter(|&&row| !self.bytes_of(row).is_empty());
        let mut pairs: Vec<(u64, u32)> = with_key.map(|&row| (self.prefix(row), row)).collect();
        if self.longest - self.common <= size_of::<u64>() {
            pairs.sort_unstable();
        } else {
            pairs.sort_unstable_by(|(prefix, row), (other_prefix, other)| {
                let rest = || self.bytes_of(*row).cmp(self.bytes_of(*other)).then(row.cmp(other));
                prefix.cmp(other_prefix).then_with(rest)
            });
        }
        pairs.into_iter().map(|(_, row)| row).collect()
    }

    /// The first eight bytes that can differ, as a number that orders as they do. No key is the beginning of another,
    /// so shorter ones can be filled up with zeros.
    fn prefix(&self, row: u32) -> u64 {
        let bytes = &self.bytes_of(row)[self.common..];
        match bytes.first_chunk::<8>() {
            Some(first) => u64::from_be_bytes(*first),
            None => {
                let mut first = [0; 8];
                first[..bytes.len()].copy_from_slice(bytes);
                u64::from_be_bytes(first)
            }
        }
    }
}

type Encode<'a> = Box<dyn Fn(usize, &mut Vec<u8>) + 'a>;

fn encoder<'a>(array: &'a ArrayRef, ty: &ColumnType) -> Encode<'a> {
    match array.data_type() {
        DataType::Boolean => {
            let values = array.as_boolean().values();
            Box::new(move |row, out| out.push(values.value(row).into()))
        }
        DataType::Int8 => fixed::<Int8Type, 1>(array, |v| (v ^ i8::MIN).to_be_bytes()),
        DataType::Int16 => fixed::<Int16Type, 2>(array, |v| (v ^ i16::MIN).to_be_bytes()),
        DataType::Int32 => fixed::<Int32Type, 4>(array, |v| (v ^ i32::MIN).to_be_bytes()),
        DataType::Int64 => fixed::<Int64Type, 8>(array, |v| (v ^ i64::MIN).to_be_bytes()),
        DataType::UInt8 => fixed::<UInt8Type, 1>(array, u8::to_be_bytes),
        DataType::UInt16 => fixed::<UInt16Type, 2>(array, u16::to_be_bytes),
        DataType::UInt32 => fixed::<UInt32Type, 4>(array, u32::to_be_bytes),
        DataType::UInt64 => fixed::<UInt64Type, 8>(array, u64::to_be_bytes),
        DataType::Float32 => fixed::<Float32Type, 8>(array, |v| float(v.into())),
        DataType::Float64 => fixed::<Float64Type, 8>(array, float),
        // One scale in the whole column: the unscaled numbers order as the decimals do.
        DataType::Decimal128(..) => fixed::<Decimal128Type, 16>(array, |v| (v ^ i128::MIN).to_be_bytes()),
        DataType::Decimal256(..) => fixed::<Decimal256Type, 32>(array, |v| (v ^ i256::MIN).to_be_bytes()),
        DataType::Date32 => fixed::<Date32Type, 4>(array, |v| (v ^ i32::MIN).to_be_bytes()),
        DataType::Time64(_) => fixed::<Time64MicrosecondType, 8>(array, |v| (v ^ i64::MIN).to_be_bytes()),
        DataType::Timestamp(..) => fixed::<TimestampMicrosecondType, 8>(array, |v| (v ^ i64::MIN).to_be_bytes()),
        DataType::Utf8 => {
            let values = array.as_string::<i32>();
            match ty {
                ColumnType::Decimal { .. } | ColumnType::Numeric => {
                    Box::new(move |row, out| number(values.value(row), out))
                }
                _ => Box::new(move |row, out| variable(values.value(row).as_bytes(), out)),
            }
        }
        DataType::Binary => {
            let values = array.as_binary::<i32>();
            Box::new(move |row, out| variable(values.value(row), out))
        }
        DataType::FixedSizeBinary(_) => {
            let values = array.as_fixed_size_binary();
            Box::new(move |row, out| out.extend_from_slice(values.value(row)))
        }
        other => panic!("the planner lets no {other} into a key"),
    }
}

fn fixed<T: ArrowPrimitiveType, const N: usize>(array: &ArrayRef, bytes: fn(T::Native) -> [u8; N]) -> Encode<'_> {
    let values = array.as_primitive::<T>().values();
    Box::new(move |row, out| out.extend_from_slice(&bytes(values[row])))
}

/// IEEE 754 numbers order as their bits do, once negative ones are inverted. NaN is above everything, as in PostgreSQL.
fn float(value: f64) -> [u8; 8] {
    let value = if value.is_nan() { f64::NAN.abs() } else { value + 0.0 };
    let bits = value.to_bits();
    let flip = if bits >> 63 == 1 { u64::MAX } else { 1 << 63 };
    (bits ^ flip).to_be_bytes()
}

/// Bytes of any length: a zero becomes `00 FF`, and `00 00` ends it, below everything that a longer one could go on with.
fn variable(mut bytes: &[u8], out: &mut Vec<u8>) {
    while let Some(zero) = memchr::memchr(0, bytes) {
        out.extend_from_slice(&bytes[..zero]);
        out.extend_from_slice(&[0, 0xFF]);
        bytes = &bytes[zero + 1..];
    }
    out.extend_from_slice(bytes);
    out.extend_from_slice(&[0, 0]);
}

/// A decimal number in text: its class, then `0.digits * 10^exponent` without zeros at either end, so that one value
/// has one form; all inverted for a negative number.
fn number(text: &str, out: &mut Vec<u8>) {
    const MINUS_INFINITY: u8 = 0;
    const NEGATIVE: u8 = 1;
    const ZERO: u8 = 2;
    const POSITIVE: u8 = 3;
    const INFINITY: u8 = 4;
    const OTHER: u8 = 5;
    let (negative, unsigned) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    let Some((digits, exponent)) = normalize(unsigned) else {
        if unsigned.eq_ignore_ascii_case("infinity") || unsigned.eq_ignore_ascii_case("inf") {
            out.push(if negative { MINUS_INFINITY } else { INFINITY });
        } else {
            // NaN, and what is no number at all, which the database will refuse.
            out.push(OTHER);
            variable(unsigned.to_ascii_lowercase().as_bytes(), out);
        }
        return;
    };
    if digits.is_empty() {
        return out.push(ZERO);
    }
    out.push(if negative { NEGATIVE } else { POSITIVE });
    let start = out.len();
    out.extend_from_slice(&(exponent ^ i64::MIN).to_be_bytes());
    out.extend_from_slice(&digits);
    out.push(0);
    if negative {
        out[start..].iter_mut().for_each(|byte| *byte = !*byte);
    }
}

/// The digits of an unsigned decimal number without zeros at either end (none of zero), and its exponent.
fn normalize(text: &str) -> Option<(Vec<u8>, i64)> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.len() + fraction.len() == 0 || !all_digits(whole) || !all_digits(fraction) {
        return None;
    }
    let mut digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
    let leading = digits.iter().take_while(|&&digit| digit == b'0').count();
    digits.drain(..leading);
    let used = digits.iter().rposition(|&digit| digit != b'0').map_or(0, |last| last + 1);
    digits.truncate(used);
    let exponent = exponent.checked_add(whole.len() as i64)?.checked_sub(leading as i64)?;
    Some((digits, exponent))
}

#[cfg(test)]
mod tests {
    use std::cmp::Ordering;
    use std::sync::Arc;

    use arrow_array::{
        BinaryArray, BooleanArray, Decimal128Array, Decimal256Array, FixedSizeBinaryArray, Float64Array, Int16Array,
        Int64Array, StringArray, TimestampMicrosecondArray, UInt64Array,
    };
    use proptest::prelude::*;

    use super::*;

    fn keys(array: ArrayRef, ty: ColumnType) -> RowKeys {
        RowKeys::new(&[(&array, &ty)])
    }

    /// Every pair of rows must compare as `values` do.
    fn assert_order<T: std::fmt::Debug>(keys: &RowKeys, values: &[T], compare: impl Fn(&T, &T) -> Ordering) {
        for (i, a) in values.iter().enumerate() {
            for (j, b) in values.iter().enumerate() {
                let found = keys.get(i as u32).unwrap().cmp(keys.get(j as u32).unwrap());
                assert_eq!(found, compare(a, b), "{a:?} and {b:?}");
            }
        }
    }

    #[test]
    fn fixed_types_order_as_their_values() {
        let ints = [i64::MIN, -7, -1, 0, 1, i64::MAX];
        assert_order(&keys(Arc::new(Int64Array::from(ints.to_vec())), ColumnType::Int64), &ints, i64::cmp);
        let shorts = [i16::MIN, -1, 0, 300, i16::MAX];
        assert_order(&keys(Arc::new(Int16Array::from(shorts.to_vec())), ColumnType::Int16), &shorts, i16::cmp);
        let unsigned = [0, 1, u64::MAX];
        assert_order(&keys(Arc::new(UInt64Array::from(unsigned.to_vec())), ColumnType::UInt64), &unsigned, u64::cmp);
        let bools = [false, true];
        assert_order(&keys(Arc::new(BooleanArray::from(bools.to_vec())), ColumnType::Bool), &bools, bool::cmp);
        let times = TimestampMicrosecondArray::from(ints.to_vec()).with_timezone("UTC");
        assert_order(&keys(Arc::new(times), ColumnType::TimestampTz), &ints, i64::cmp);
        let decimals = [-10_000_i128, -1, 0, 5, 10_000];
        let narrow = Decimal128Array::from(decimals.to_vec()).with_precision_and_scale(12, 2).unwrap();
        let ty = ColumnType::Decimal { precision: 12, scale: 2 };
        assert_order(&keys(Arc::new(narrow), ty), &decimals, i128::cmp);
        let wide =
            Decimal256Array::from(decimals.map(i256::from_i128).to_vec()).with_precision_and_scale(60, 2).unwrap();
        let ty = ColumnType::Decimal { precision: 60, scale: 2 };
        assert_order(&keys(Arc::new(wide), ty), &decimals, i128::cmp);
        let uuids = [[0_u8; 16], [7; 16], [255; 16]];
        let array = FixedSizeBinaryArray::try_from_iter(uuids.iter()).unwrap();
        assert_order(&keys(Arc::new(array), ColumnType::Uuid), &uuids, Ord::cmp);
    }

    #[test]
    fn zeros_are_one_key_and_so_are_nans() {
        let negative_nan = f64::from_bits(f64::NAN.to_bits() | 1 << 63 | 1);
        let values = [f64::NEG_INFINITY, -1.5, -0.0, 0.0, 1.5, f64::INFINITY, f64::NAN, negative_nan];
        let rank = |value: &f64| if value.is_nan() { (1, 0.0) } else { (0, *value) };
        let keys = keys(Arc::new(Float64Array::from(values.to_vec())), ColumnType::Float64);
        assert_order(&keys, &values, |a, b| rank(a).partial_cmp(&rank(b)).unwrap());
    }

    #[test]
    fn decimal_texts_compare_as_numbers() {
        let values = [
            ("-Infinity", -9),
            ("-1e3", -6),
            ("-12.30", -5),
            ("-12.3", -5),
            ("-12", -4),
            ("-0.05", -3),
            ("-0.0", 0),
            ("0", 0),
            ("+0.00", 0),
            ("0.0007", 1),
            ("7e-4", 1),
            (".5", 2),
            ("1", 3),
            ("1.00", 3),
            ("01", 3),
            ("9", 4),
            ("10", 5),
            ("1E1", 5),
            ("10.01", 6),
            ("123456789012345678901234567890", 7),
            ("Infinity", 8),
            ("NaN", 9),
            ("nan", 9),
        ]; // text, rank
        let array = StringArray::from(values.map(|(text, _)| text).to_vec());
        assert_order(&keys(Arc::new(array), ColumnType::Numeric), &values, |a, b| a.1.cmp(&b.1));
    }

    #[test]
    fn a_null_anywhere_is_no_key() {
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None, Some(1)]));
        let texts: ArrayRef = Arc::new(StringArray::from(vec![Some(""), Some("a"), None]));
        let keys = RowKeys::new(&[(&numbers, &ColumnType::Int64), (&texts, &ColumnType::Text)]);
        assert!(keys.get(0).is_some());
        assert_eq!((keys.get(1), keys.get(2)), (None, None));
        assert_eq!(keys.sorted(&[0, 1, 2]), [0]);
    }

    proptest! {
        #[test]
        fn composite_keys_order_as_tuples(rows in prop::collection::vec((prop::collection::vec(0_u8..3, 0..4), -2_i64..2, "[a\0b]{0,12}"), 1..30)) {
            let bytes: ArrayRef = Arc::new(BinaryArray::from_iter_values(rows.iter().map(|row| &row.0)));
            let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.1)));
            let texts: ArrayRef = Arc::new(StringArray::from_iter_values(rows.iter().map(|row| &row.2)));
            let keys = RowKeys::new(&[
                (&bytes, &ColumnType::Bytes), (&numbers, &ColumnType::Int64), (&texts, &ColumnType::Text),
            ]);
            assert_order(&keys, &rows, Ord::cmp);
            let all: Vec<u32> = (0..rows.len() as u32).collect();
            let mut expected = all.clone();
            expected.sort_by_key(|&row| &rows[row as usize]);
            prop_assert_eq!(keys.sorted(&all), expected);
        }
    }
}
