//! Values: from Arrow's columns to SQLite's five storage classes. The stored forms are documented in docs/sqlite.md.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, Decimal256Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    Time64MicrosecondType, TimestampMicrosecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef};
use arrow_schema::{DataType, TimeUnit};
use sqlx::Arguments;
use sqlx::sqlite::SqliteArguments;

use crate::retry::Disposition;
use crate::write::catalog::CatalogColumn;
use crate::write::error::WriteError;

use super::declared::{Affinity, affinity};
use super::times;

/// Why one cell cannot be stored.
#[derive(Debug)]
struct Unstorable(&'static str);

type AddCell<'a> = Box<dyn Fn(usize, &mut SqliteArguments) -> Result<(), Unstorable> + Send + Sync + 'a>;

/// One column of a batch, ready to be bound cell by cell.
pub(super) struct Cells<'a> {
    array: &'a dyn Array,
    column: &'a CatalogColumn,
    add: AddCell<'a>,
}

impl<'a> Cells<'a> {
    /// # Errors
    /// `Block` for an Arrow type that has no stored form.
    pub fn new(array: &'a ArrayRef, column: &'a CatalogColumn) -> Result<Self, WriteError> {
        let add = adder(array, affinity(&column.native)).ok_or_else(|| {
            let message = format!(
                "column {}: SQLite has no stored form for {}; declare another type for it in [source.columns]",
                column.name,
                array.data_type()
            );
            WriteError::new(Disposition::Block, "unsupported-type", "", message).on_column(&column.name)
        })?;
        Ok(Self { array, column, add })
    }

    pub fn has_nulls(&self) -> bool {
        self.array.null_count() > 0
    }

    pub fn is_null(&self, row: usize) -> bool {
        self.array.is_null(row)
    }

    pub fn column(&self) -> &'a CatalogColumn {
        self.column
    }

    /// # Errors
    /// `Isolate` for a value that SQLite cannot store as it is.
    pub fn bind(&self, row: usize, arguments: &mut SqliteArguments) -> Result<(), WriteError> {
        if self.array.is_null(row) {
            add(arguments, None::<i64>);
            return Ok(());
        }
        (self.add)(row, arguments).map_err(|Unstorable(why)| {
            let message = format!("column {}: {why}", self.column.name);
            WriteError::new(Disposition::Isolate, "out-of-range", "", message).answered().on_column(&self.column.name)
        })
    }
}

fn add<'q, T>(arguments: &mut SqliteArguments, value: T)
where
    T: sqlx::Encode<'q, sqlx::Sqlite> + sqlx::Type<sqlx::Sqlite>,
{
    arguments.add(value).expect("numbers, text and bytes always encode");
}

/// How a cell of this array is stored in a column of this affinity.
fn adder(array: &dyn Array, affinity: Affinity) -> Option<AddCell<'_>> {
    macro_rules! integers {
        ($type:ty) => {{
            let array = array.as_primitive::<$type>();
            Box::new(move |row, arguments: &mut SqliteArguments| {
                add(arguments, i64::from(array.value(row)));
                Ok(())
            })
        }};
    }
    macro_rules! texts {
        ($type:ty, $text:expr) => {{
            let array = array.as_primitive::<$type>();
            Box::new(move |row, arguments: &mut SqliteArguments| {
                add(arguments, $text(array.value(row)).ok_or(times::OUT_OF_RANGE).map_err(Unstorable)?);
                Ok(())
            })
        }};
    }
    Some(match array.data_type() {
        DataType::Boolean => {
            let array = array.as_boolean();
            Box::new(move |row, arguments: &mut SqliteArguments| {
                add(arguments, i64::from(array.value(row)));
                Ok(())
            })
        }
        DataType::Int8 => integers!(Int8Type),
        DataType::Int16 => integers!(Int16Type),
        DataType::Int32 => integers!(Int32Type),
        DataType::Int64 => integers!(Int64Type),
        DataType::UInt8 => integers!(UInt8Type),
        DataType::UInt16 => integers!(UInt16Type),
        DataType::UInt32 => integers!(UInt32Type),
        DataType::UInt64 => {
            let array = array.as_primitive::<UInt64Type>();
            Box::new(move |row, arguments: &mut SqliteArguments| {
                match (i64::try_from(array.value(row)), affinity) {
                    (_, Affinity::Text) => add(arguments, array.value(row).to_string()),
                    (Ok(value), _) => add(arguments, value),
                    (Err(_), _) => return Err(Unstorable(ABOVE_INT64)),
                }
                Ok(())
            })
        }
        DataType::Float32 => {
            let array = array.as_primitive::<Float32Type>();
            Box::new(move |row, arguments: &mut SqliteArguments| {
                add_float(arguments, array.value(row).into(), affinity)
            })
        }
        DataType::Float64 => {
            let array = array.as_primitive::<Float64Type>();
            Box::new(move |row, arguments: &mut SqliteArguments| add_float(arguments, array.value(row), affinity))
        }
        DataType::Decimal128(..) => {
            let array = array.as_primitive::<Decimal128Type>();
            Box::new(move |row, arguments: &mut SqliteArguments| {
                add(arguments, array.value_as_string(row));
                Ok(())
            })
        }
        DataType::Decimal256(..) => {
            let array = array.as_primitive::<Decimal256Type>();
            Box::new(move |row, arguments: &mut SqliteArguments| {
                add(arguments, array.value_as_string(row));
                Ok(())
            })
        }
        DataType::Date32 => texts!(Date32Type, times::date),
        DataType::Time64(TimeUnit::Microsecond) => texts!(Time64MicrosecondType, times::time),
        DataType::Timestamp(TimeUnit::Microsecond, None) => texts!(TimestampMicrosecondType, times::timestamp),
        DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => texts!(TimestampMicrosecondType, times::timestamptz),
        _ => return bytes_adder(array, affinity),
    })
}

const ABOVE_INT64: &str = "the number is above 9223372036854775807, the largest that SQLite stores";
const NOT_A_NUMBER: &str = "the value is NaN, which SQLite would store as null";

fn bytes_adder(array: &dyn Array, affinity: Affinity) -> Option<AddCell<'_>> {
    Some(match array.data_type() {
        DataType::Utf8 => {
            let array = array.as_string::<i32>();
            Box::new(move |row, arguments: &mut SqliteArguments| {
                add(arguments, array.value(row).to_owned());
                Ok(())
            })
        }
        DataType::Binary => {
            let array = array.as_binary::<i32>();
            Box::new(move |row, arguments: &mut SqliteArguments| {
                add(arguments, array.value(row).to_owned());
                Ok(())
            })
        }
        DataType::FixedSizeBinary(16) => {
            let array = array.as_fixed_size_binary();
            Box::new(move |row, arguments: &mut SqliteArguments| {
                match affinity {
                    Affinity::Blob => add(arguments, array.value(row).to_owned()),
                    _ => add(arguments, hyphenated(array.value(row))),
                }
                Ok(())
            })
        }
        _ => return None,
    })
}

fn add_float(arguments: &mut SqliteArguments, value: f64, affinity: Affinity) -> Result<(), Unstorable> {
    if value.is_nan() {
        return Err(Unstorable(NOT_A_NUMBER));
    }
    match affinity {
        // SQLite's own conversion keeps 15 to 17 digits; this one always reads back as the same number.
        Affinity::Text => add(arguments, value.to_string()),
        _ => add(arguments, value),
    }
    Ok(())
}

/// `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx`
fn hyphenated(uuid: &[u8]) -> String {
    let hex = hex::encode(uuid);
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}
