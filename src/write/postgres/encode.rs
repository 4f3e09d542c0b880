//! Arrow columns as PostgreSQL's binary values, each with its length before it: the form that a binary COPY and the
//! elements of a binary array have in common.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, Decimal256Type, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type,
    Time64MicrosecondType, TimestampMicrosecondType, UInt32Type,
};
use arrow_array::{Array, BinaryArray, BooleanArray, FixedSizeBinaryArray, ListArray, PrimitiveArray, StringArray};

use crate::types::ColumnType;
use crate::write::catalog::CatalogColumn;

use super::{literal, numeric, wire};

/// Days and microseconds from 1970, where Arrow counts from, to 2000, where PostgreSQL does.
const EPOCH_DAYS: i32 = 10_957;
const EPOCH_MICROS: i64 = 946_684_800_000_000;

const NULL: i32 = -1;

const TOO_FAR: Unwritable = Unwritable("the time lies beyond what PostgreSQL can hold");

/// Why a value has no form in PostgreSQL: a sentence without the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unwritable(pub &'static str);

/// Where the values go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    /// A field of a binary COPY.
    Copy,
    /// An element of an array parameter. Arrays of arrays would be flattened by UNNEST, so lists travel as text.
    Element,
}

/// One column of a batch, ready to be written cell by cell.
pub(super) enum Cells<'a> {
    Bool(&'a BooleanArray),
    Int16(&'a PrimitiveArray<Int16Type>),
    Int32(&'a PrimitiveArray<Int32Type>),
    Int64(&'a PrimitiveArray<Int64Type>),
    UInt32(&'a PrimitiveArray<UInt32Type>),
    Float32(&'a PrimitiveArray<Float32Type>),
    Float64(&'a PrimitiveArray<Float64Type>),
    Decimal128(&'a PrimitiveArray<Decimal128Type>, u32),
    Decimal256(&'a PrimitiveArray<Decimal256Type>, u32),
    /// An exact decimal that travels as its text.
    Numeric(&'a StringArray),
    Text(&'a StringArray),
    Jsonb(&'a StringArray),
    Bytes(&'a BinaryArray),
    Uuid(&'a FixedSizeBinaryArray),
    Date(&'a PrimitiveArray<Date32Type>),
    Time(&'a PrimitiveArray<Time64MicrosecondType>),
    Timestamp(&'a PrimitiveArray<TimestampMicrosecondType>),
    TimestampTz(&'a PrimitiveArray<TimestampMicrosecondType>),
    List {
        lists: &'a ListArray,
        elements: Box<Cells<'a>>,
        element: u32,
    },
    /// A list as the text of an array literal.
    Literal {
        lists: &'a ListArray,
        elements: Box<Cells<'a>>,
    },
}

impl<'a> Cells<'a> {
    /// `None` where `array` is not what [`ColumnType::arrow`] says for the column.
    pub fn new(column: &CatalogColumn, array: &'a dyn Array, target: Target) -> Option<Self> {
        let ty = column.ty.as_ref()?;
        let ColumnType::List(element) = ty else {
            return Self::scalar(ty, wire::is_jsonb(column.oid), array);
        };
        let lists = array.as_list_opt::<i32>()?;
        let oid = match target {
            Target::Copy => Some(wire::array_element(column.oid)?),
            Target::Element => None,
        };
        let elements = Box::new(Self::scalar(element, oid.is_some_and(wire::is_jsonb), lists.values())?);
        Some(match oid {
            Some(element) => Self::List { lists, elements, element },
            None => Self::Literal { lists, elements },
        })
    }

    fn scalar(ty: &ColumnType, is_jsonb: bool, array: &'a dyn Array) -> Option<Self> {
        if *array.data_type() != ty.arrow() {
            return None;
        }
        Some(match ty {
            ColumnType::Bool => Self::Bool(array.as_boolean_opt()?),
            ColumnType::Int16 => Self::Int16(array.as_primitive_opt()?),
            ColumnType::Int32 => Self::Int32(array.as_primitive_opt()?),
            ColumnType::Int64 => Self::Int64(array.as_primitive_opt()?),
            ColumnType::UInt32 => Self::UInt32(array.as_primitive_opt()?),
            ColumnType::Float32 => Self::Float32(array.as_primitive_opt()?),
            ColumnType::Float64 => Self::Float64(array.as_primitive_opt()?),
            ColumnType::Decimal { scale, .. } => match array.as_primitive_opt() {
                Some(decimals) => Self::Decimal128(decimals, *scale),
                None => match array.as_primitive_opt() {
                    Some(decimals) => Self::Decimal256(decimals, *scale),
                    None => Self::Numeric(array.as_string_opt()?),
                },
            },
            ColumnType::Numeric => Self::Numeric(array.as_string_opt()?),
            ColumnType::Json if is_jsonb => Self::Jsonb(array.as_string_opt()?),
            ColumnType::Text | ColumnType::Enum | ColumnType::Json => Self::Text(array.as_string_opt()?),
            ColumnType::Bytes => Self::Bytes(array.as_binary_opt()?),
            ColumnType::Uuid => Self::Uuid(array.as_fixed_size_binary_opt()?),
            ColumnType::Date => Self::Date(array.as_primitive_opt()?),
            ColumnType::Time => Self::Time(array.as_primitive_opt()?),
            ColumnType::Timestamp => Self::Timestamp(array.as_primitive_opt()?),
            ColumnType::TimestampTz => Self::TimestampTz(array.as_primitive_opt()?),
            // No list of lists, and no type that PostgreSQL's catalog does not report.
            ColumnType::List(_) | ColumnType::Int8 | ColumnType::UInt8 | ColumnType::UInt16 | ColumnType::UInt64 => {
                return None;
            }
        })
    }

    fn array(&self) -> &'a dyn Array {
        match self {
            Self::Bool(array) => *array,
            Self::Int16(array) => *array,
            Self::Int32(array) => *array,
            Self::Int64(array) => *array,
            Self::UInt32(array) => *array,
            Self::Float32(array) => *array,
            Self::Float64(array) => *array,
            Self::Decimal128(array, _) => *array,
            Self::Decimal256(array, _) => *array,
            Self::Numeric(array) | Self::Text(array) | Self::Jsonb(array) => *array,
            Self::Bytes(array) => *array,
            Self::Uuid(array) => *array,
            Self::Date(array) => *array,
            Self::Time(array) => *array,
            Self::Timestamp(array) | Self::TimestampTz(array) => *array,
            Self::List { lists, .. } | Self::Literal { lists, .. } => *lists,
        }
    }

    pub fn is_null(&self, row: usize) -> bool {
        self.array().is_null(row)
    }

    /// Appends the cell of `row` with its length before it. On an error `out` may hold a part of it.
    pub fn write(&self, row: usize, out: &mut Vec<u8>) -> Result<(), Unwritable> {
        if self.is_null(row) {
            out.extend_from_slice(&NULL.to_be_bytes());
            return Ok(());
        }
        match self {
            Self::Bool(array) => fixed([u8::from(array.value(row))], out),
            Self::Int16(array) => fixed(array.value(row).to_be_bytes(), out),
            Self::Int32(array) => fixed(array.value(row).to_be_bytes(), out),
            Self::Int64(array) => fixed(array.value(row).to_be_bytes(), out),
            Self::UInt32(array) => fixed(array.value(row).to_be_bytes(), out),
            Self::Float32(array) => fixed(array.value(row).to_be_bytes(), out),
            Self::Float64(array) => fixed(array.value(row).to_be_bytes(), out),
            Self::Date(array) => fixed(date(array.value(row))?.to_be_bytes(), out),
            Self::Time(array) => fixed(array.value(row).to_be_bytes(), out),
            Self::Timestamp(array) | Self::TimestampTz(array) => {
                fixed(timestamp(array.value(row))?.to_be_bytes(), out);
            }
            Self::Text(array) => bytes(array.value(row).as_bytes(), out),
            Self::Bytes(array) => bytes(array.value(row), out),
            Self::Uuid(array) => bytes(array.value(row), out),
            _ => return measured(out, |out| self.write_variable(row, out)),
        }
        Ok(())
    }

    fn write_variable(&self, row: usize, out: &mut Vec<u8>) -> Result<(), Unwritable> {
        match self {
            Self::Decimal128(array, scale) => numeric::write_i128(array.value(row), *scale, out),
            Self::Decimal256(array, scale) => {
                let text = array.value(row).to_string();
                let digits = text.strip_prefix('-').unwrap_or(&text);
                numeric::write_digits(text.len() != digits.len(), digits.as_bytes(), *scale, out)
            }
            Self::Numeric(array) => numeric::write_text(array.value(row), out),
            Self::Jsonb(array) => {
                const VERSION: u8 = 1;
                out.push(VERSION);
                out.extend_from_slice(array.value(row).as_bytes());
                Ok(())
            }
            Self::List { lists, elements, element } => {
                let offsets = lists.value_offsets();
                write_list(elements, offsets[row] as usize..offsets[row + 1] as usize, *element, out)
            }
            Self::Literal { lists, elements } => {
                let offsets = lists.value_offsets();
                literal::write(elements, offsets[row] as usize..offsets[row + 1] as usize, out)
            }
            _ => unreachable!("cells of a fixed form are written by `write`"),
        }
    }
}

/// Appends the header of a binary array: its element type and how many elements follow.
pub(super) fn write_array_header(element: u32, length: usize, has_nulls: bool, out: &mut Vec<u8>) {
    let dimensions = i32::from(length > 0);
    out.extend_from_slice(&dimensions.to_be_bytes());
    out.extend_from_slice(&i32::from(has_nulls).to_be_bytes());
    out.extend_from_slice(&element.to_be_bytes());
    if dimensions == 1 {
        const LOWER_BOUND: i32 = 1;
        // A batch has far fewer rows, and a list far fewer elements, than an i32 counts.
        out.extend_from_slice(&(length as i32).to_be_bytes());
        out.extend_from_slice(&LOWER_BOUND.to_be_bytes());
    }
}

fn write_list(
    elements: &Cells<'_>,
    rows: std::ops::Range<usize>,
    element: u32,
    out: &mut Vec<u8>,
) -> Result<(), Unwritable> {
    let has_nulls = rows.clone().any(|row| elements.is_null(row));
    write_array_header(element, rows.len(), has_nulls, out);
    for row in rows {
        elements.write(row, out)?;
    }
    Ok(())
}

fn date(days: i32) -> Result<i32, Unwritable> {
    days.checked_sub(EPOCH_DAYS).ok_or(TOO_FAR)
}

/// Microseconds since 2000. The extreme values are PostgreSQL's infinities, which no Arrow time means.
pub(super) fn timestamp(micros: i64) -> Result<i64, Unwritable> {
    micros.checked_sub(EPOCH_MICROS).filter(|&micros| micros != i64::MIN).ok_or(TOO_FAR)
}

fn fixed<const N: usize>(value: [u8; N], out: &mut Vec<u8>) {
    out.extend_from_slice(&(N as i32).to_be_bytes());
    out.extend_from_slice(&value);
}

fn bytes(value: &[u8], out: &mut Vec<u8>) {
    // An Arrow value of 32-bit offsets is below 2 GiB.
    out.extend_from_slice(&(value.len() as i32).to_be_bytes());
    out.extend_from_slice(value);
}

/// Writes the length once it is known.
fn measured(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>) -> Result<(), Unwritable>) -> Result<(), Unwritable> {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    write(out)?;
    let length = (out.len() - start - 4) as i32;
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::{Int32Array, TimestampMicrosecondArray};
    use std::sync::Arc;

    fn column(ty: ColumnType, oid: u32) -> CatalogColumn {
        CatalogColumn {
            name: "c".into(),
            ty: Some(ty),
            native: String::new(),
            oid,
            nullable: true,
            has_default: false,
            generated: false,
        }
    }

    #[test]
    fn a_batch_of_another_type_than_the_column_is_refused() {
        let ints = Int32Array::from(vec![1]);
        assert!(Cells::new(&column(ColumnType::Int32, 23), &ints, Target::Copy).is_some());
        assert!(Cells::new(&column(ColumnType::Int64, 20), &ints, Target::Copy).is_none());
    }

    #[test]
    fn nulls_have_a_length_of_minus_one_and_no_bytes() {
        let ints = Int32Array::from(vec![None, Some(7)]);
        let cells = Cells::new(&column(ColumnType::Int32, 23), &ints, Target::Copy).unwrap();
        let mut out = Vec::new();
        cells.write(0, &mut out).unwrap();
        cells.write(1, &mut out).unwrap();
        assert_eq!(out, [255, 255, 255, 255, 0, 0, 0, 4, 0, 0, 0, 7]);
    }

    #[test]
    fn times_count_from_2000_and_never_become_infinite_by_accident() {
        assert_eq!(date(10_957), Ok(0));
        assert_eq!(timestamp(EPOCH_MICROS), Ok(0));
        assert!(date(i32::MIN).is_err());
        assert!(timestamp(i64::MIN).is_err());
        assert!(timestamp(i64::MIN + EPOCH_MICROS).is_err());
        let times = TimestampMicrosecondArray::from(vec![i64::MIN]).with_timezone("UTC");
        let cells = Cells::new(&column(ColumnType::TimestampTz, 1184), &times, Target::Copy).unwrap();
        assert_eq!(cells.write(0, &mut Vec::new()), Err(TOO_FAR));
    }

    #[test]
    fn an_empty_list_has_no_dimension() {
        let field = Arc::new(arrow_schema::Field::new_list_field(arrow_schema::DataType::Int32, true));
        let offsets = arrow_buffer::OffsetBuffer::new(vec![0, 0, 2].into());
        let lists = ListArray::new(field, offsets, Arc::new(Int32Array::from(vec![Some(1), None])), None);
        let cells = Cells::new(&column(ColumnType::List(Box::new(ColumnType::Int32)), 1007), &lists, Target::Copy);
        let cells = cells.unwrap();
        let mut out = Vec::new();
        cells.write(0, &mut out).unwrap();
        assert_eq!(out, [0, 0, 0, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 23]);
        out.clear();
        cells.write(1, &mut out).unwrap();
        assert_eq!(out[..4], [0, 0, 0, 32]);
        assert_eq!(out[4..12], [0, 0, 0, 1, 0, 0, 0, 1]);
    }
}
