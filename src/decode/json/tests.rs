//! The decoder as a whole, through its seam.

use std::fmt::Write as _;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, Decimal256Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    Time64MicrosecondType, TimestampMicrosecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef};
use arrow_schema::DataType;

use crate::config::KeyFormat;
use crate::decode::{Decoded, Decoder, json};
use crate::lease::Lease;
use crate::offsets::TopicPartition;
use crate::records::Records;
use crate::rows::{BytesEncoding, ColumnSource, InputColumn, InputSchema};
use crate::types::ColumnType;

mod faults;
mod properties;
mod sources;
mod types;

type Bytes<'a> = Option<&'a [u8]>;
type Header<'a> = (&'a [u8], Bytes<'a>);

fn column(name: &str, ty: ColumnType) -> InputColumn {
    InputColumn {
        name: name.to_owned(),
        ty,
        source: ColumnSource::Value(vec![name.to_owned()]),
        unit: None,
        encoding: BytesEncoding::Base64,
        default: None,
        key: false,
    }
}

fn key_column(name: &str, ty: ColumnType) -> InputColumn {
    InputColumn { key: true, ..column(name, ty) }
}

fn path_column(name: &str, ty: ColumnType, path: &[&str]) -> InputColumn {
    InputColumn { source: ColumnSource::Value(path.iter().map(|name| name.to_string()).collect()), ..column(name, ty) }
}

fn decoder(columns: Vec<InputColumn>, key_format: KeyFormat) -> Box<dyn Decoder> {
    json(InputSchema::new(columns, Some("Europe/Berlin".to_owned())), key_format)
}

/// Records of topic `t`, partition 3, from offset 100 on, at one time.
fn records_with(rows: &[(Bytes<'_>, Bytes<'_>, &[Header<'_>])]) -> Records {
    let lease = Arc::new(Lease::new(TopicPartition::new("t", 3), 1, 100));
    let mut records = Records::default();
    for (index, (key, value, headers)) in rows.iter().enumerate() {
        let offset = 100 + index as i64;
        records.push(&lease, offset, offset, Some(1_700_000_000_123), *key, *value, headers.iter().copied()).unwrap();
    }
    records
}

fn records(values: &[&str]) -> Records {
    let rows: Vec<_> = values.iter().map(|value| (None, Some(value.as_bytes()), &[][..])).collect();
    records_with(&rows)
}

/// The cells of the only row, or the fault.
fn row_of(decoded: &Decoded) -> Result<String, &'static str> {
    match &decoded.bad[..] {
        [] => Ok(row(decoded, 0)),
        [(_, fault), ..] => Err(fault.class),
    }
}

/// One value of one type, in a field `x`.
fn one(ty: ColumnType, json: &str) -> Result<String, &'static str> {
    one_in(column("x", ty), json)
}

fn one_in(column: InputColumn, json: &str) -> Result<String, &'static str> {
    let value = format!("{{\"x\":{json}}}");
    row_of(&decoder(vec![column], KeyFormat::Text).decode(&records(&[&value])))
}

/// A row's cells, with `-` for an absent one.
fn row(decoded: &Decoded, row: usize) -> String {
    let rows = &decoded.rows;
    let cells = rows
        .batch
        .columns()
        .iter()
        .enumerate()
        .map(|(index, array)| if rows.is_present(index, row) { show(array, row) } else { "-".to_owned() });
    cells.collect::<Vec<_>>().join(" ")
}

fn hex_of(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

fn show(array: &ArrayRef, row: usize) -> String {
    if array.is_null(row) {
        return "null".to_owned();
    }
    macro_rules! native {
        ($ty:ty) => {
            array.as_primitive::<$ty>().value(row).to_string()
        };
    }
    match array.data_type() {
        DataType::Boolean => array.as_boolean().value(row).to_string(),
        DataType::Int8 => native!(Int8Type),
        DataType::Int16 => native!(Int16Type),
        DataType::Int32 => native!(Int32Type),
        DataType::Int64 => native!(Int64Type),
        DataType::UInt8 => native!(UInt8Type),
        DataType::UInt16 => native!(UInt16Type),
        DataType::UInt32 => native!(UInt32Type),
        DataType::UInt64 => native!(UInt64Type),
        DataType::Float32 => native!(Float32Type),
        DataType::Float64 => native!(Float64Type),
        DataType::Decimal128(..) => native!(Decimal128Type),
        DataType::Decimal256(..) => native!(Decimal256Type),
        DataType::Date32 => native!(Date32Type),
        DataType::Time64(_) => native!(Time64MicrosecondType),
        DataType::Timestamp(..) => native!(TimestampMicrosecondType),
        DataType::Utf8 => array.as_string::<i32>().value(row).to_owned(),
        DataType::Binary => hex_of(array.as_binary::<i32>().value(row)),
        DataType::FixedSizeBinary(_) => hex_of(array.as_fixed_size_binary().value(row)),
        DataType::List(_) => {
            let elements = array.as_list::<i32>().value(row);
            let shown: Vec<_> = (0..elements.len()).map(|index| show(&elements, index)).collect();
            format!("[{}]", shown.join(","))
        }
        other => panic!("no column type travels as {other}"),
    }
}
