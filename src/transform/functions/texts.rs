//! Padding and repetition. The engine's take any length, and end the process where there is no memory for it.

use std::sync::Arc;

use arrow_array::builder::StringBuilder;
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, ArrayRef};
use arrow_schema::{DataType, Field};
use datafusion_common::Result;
use datafusion_expr::{ColumnarValue, ScalarUDF};

use super::{Own, column, is_text, no_such_form, row_error, strings};

/// Characters that one call may make of one row.
const LONGEST: i64 = 1 << 20;

pub fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        Own::udf(
            "lpad",
            text_and_length,
            |_| Ok(text_field()),
            |args, rows| each(args, rows, |text, fill| format!("{fill}{text}")),
        ),
        Own::udf(
            "rpad",
            text_and_length,
            |_| Ok(text_field()),
            |args, rows| each(args, rows, |text, fill| format!("{text}{fill}")),
        ),
        Own::udf("repeat", text_and_times, |_| Ok(text_field()), repeat),
    ]
}

fn text_field() -> Field {
    Field::new("text", DataType::Utf8, true)
}

fn text_and_length(types: &[DataType]) -> Result<Vec<DataType>> {
    match types {
        [text, length] if is_text(text) && length.is_integer() => Ok(vec![DataType::Utf8, DataType::Int64]),
        [text, length, fill] if is_text(text) && length.is_integer() && is_text(fill) => {
            Ok(vec![DataType::Utf8, DataType::Int64, DataType::Utf8])
        }
        _ => {
            no_such_form("padding takes a text, a length and what to fill with", "write lpad(CAST(x AS text), 8, '0')")
        }
    }
}

fn text_and_times(types: &[DataType]) -> Result<Vec<DataType>> {
    match types {
        [text, times] if is_text(text) && times.is_integer() => Ok(vec![DataType::Utf8, DataType::Int64]),
        _ => no_such_form("repeat takes a text and a number", "write repeat(x, 3)"),
    }
}

/// Pads to the length, or cuts to it.
fn each(args: &[ColumnarValue], rows: usize, join: fn(&str, &str) -> String) -> Result<ArrayRef> {
    let columns = args.iter().map(|arg| column(arg, rows)).collect::<Result<Vec<_>>>()?;
    let (texts, lengths) = (strings(&columns[0])?, columns[1].as_primitive::<Int64Type>());
    let fills = columns.get(2).map(strings).transpose()?;
    let mut out = StringBuilder::with_capacity(rows, rows * 8);
    for row in 0..rows {
        if texts.is_null(row) || lengths.is_null(row) || fills.is_some_and(|fills| fills.is_null(row)) {
            out.append_null();
            continue;
        }
        let (text, fill) = (texts.value(row), fills.map_or(" ", |fills| fills.value(row)));
        let length = lengths.value(row).max(0);
        if length > LONGEST {
            return Err(row_error("out-of-range", "padding makes at most 1048576 characters"));
        }
        let (length, own) = (length as usize, text.chars().count());
        match own < length {
            true => {
                let fill: String = fill.chars().cycle().take(if fill.is_empty() { 0 } else { length - own }).collect();
                out.append_value(join(text, &fill));
            }
            false => out.append_value(text.chars().take(length).collect::<String>()),
        }
    }
    Ok(Arc::new(out.finish()))
}

fn repeat(args: &[ColumnarValue], rows: usize) -> Result<ArrayRef> {
    let columns = args.iter().map(|arg| column(arg, rows)).collect::<Result<Vec<_>>>()?;
    let (texts, times) = (strings(&columns[0])?, columns[1].as_primitive::<Int64Type>());
    let mut out = StringBuilder::with_capacity(rows, rows * 8);
    for row in 0..rows {
        if texts.is_null(row) || times.is_null(row) {
            out.append_null();
            continue;
        }
        let (text, times) = (texts.value(row), times.value(row).max(0));
        if times.saturating_mul(text.len() as i64) > LONGEST {
            return Err(row_error("out-of-range", "repeat makes at most 1048576 bytes"));
        }
        // An empty text stays empty, however often.
        out.append_value(if text.is_empty() { String::new() } else { text.repeat(times as usize) });
    }
    Ok(Arc::new(out.finish()))
}
