//! Values and tables for a terminal. What is shown came from anywhere: nothing of it reaches the terminal as a command.

use arrow_array::cast::AsArray as _;
use arrow_array::{Array, ArrayRef};
use arrow_cast::display::array_value_to_string;
use comfy_table::{ContentArrangement, Table, presets};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::produce;
use crate::types::ColumnType;

/// The longest cell, in characters.
const WIDEST: usize = 60;
/// So many bytes of a binary value.
const MOST_BYTES: usize = 16;

/// A value as a person reads it.
pub fn cell(ty: &ColumnType, array: &ArrayRef, row: usize) -> String {
    if array.is_null(row) {
        return "NULL".to_owned();
    }
    match ty {
        ColumnType::Text | ColumnType::Enum | ColumnType::Json => shortened(array.as_string::<i32>().value(row)),
        ColumnType::Bytes => bytes(array.as_binary::<i32>().value(row)),
        _ => match produce::as_json(ty, array, row) {
            Ok(json) => shortened(json.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(&json)),
            Err(_) => shortened(&other_form(array, row)),
        },
    }
}

/// A value as JSON, every digit of it; what JSON has no form for as text.
pub fn json(ty: &ColumnType, array: &ArrayRef, row: usize) -> Box<RawValue> {
    let form = produce::as_json(ty, array, row).ok().and_then(|json| RawValue::from_string(json).ok());
    form.unwrap_or_else(|| {
        serde_json::value::to_raw_value(&Value::from(other_form(array, row))).expect("a text is JSON")
    })
}

/// What arrow writes where JSON has no form: `NaN`, years beyond 9999.
fn other_form(array: &ArrayRef, row: usize) -> String {
    array_value_to_string(array, row).unwrap_or_else(|error| error.to_string())
}

fn bytes(bytes: &[u8]) -> String {
    match bytes.len() {
        length if length > MOST_BYTES => format!("\\x{}.. ({length} bytes)", hex::encode(&bytes[..MOST_BYTES])),
        _ => format!("\\x{}", hex::encode(bytes)),
    }
}

/// Cut, and without what a terminal would act upon.
pub fn shortened(text: &str) -> String {
    let acts = |character: char| {
        character.is_control()
            || matches!(character, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    let mut shown = String::new();
    for (index, character) in text.chars().enumerate() {
        if index == WIDEST {
            shown.push('…');
            break;
        }
        match acts(character) {
            true => shown.extend(character.escape_default()),
            false => shown.push(character),
        }
    }
    shown
}

/// Rows under their names, as wide as the terminal where there is one.
pub fn table(header: Vec<String>, rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_preset(presets::ASCII_MARKDOWN).set_header(header).add_rows(rows);
    if let Some((terminal_size::Width(width), _)) = terminal_size::terminal_size() {
        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
    }
    table.to_string()
}

/// `1 row`, `2 rows`
pub fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{BinaryArray, Float64Array, StringArray};

    use super::*;

    #[test]
    fn a_value_cannot_steer_the_terminal_and_is_cut() {
        let hostile: ArrayRef = Arc::new(StringArray::from(vec![Some("a\u{1b}[2J\n\u{202e}b"), None]));
        assert_eq!(cell(&ColumnType::Text, &hostile, 0), "a\\u{1b}[2J\\n\\u{202e}b");
        assert_eq!(cell(&ColumnType::Text, &hostile, 1), "NULL");
        let long: ArrayRef = Arc::new(StringArray::from(vec!["ä".repeat(61)]));
        assert_eq!(cell(&ColumnType::Text, &long, 0), format!("{}…", "ä".repeat(60)));
        let binary: ArrayRef = Arc::new(BinaryArray::from(vec![&b"\x00\xff"[..], &[7; 17]]));
        assert_eq!(cell(&ColumnType::Bytes, &binary, 0), "\\x00ff");
        assert_eq!(cell(&ColumnType::Bytes, &binary, 1), format!("\\x{}.. (17 bytes)", "07".repeat(16)));
    }

    #[test]
    fn what_json_has_no_form_for_is_a_text() {
        let numbers: ArrayRef = Arc::new(Float64Array::from(vec![Some(0.5), Some(f64::NAN), None]));
        let shown: Vec<String> = (0..3).map(|row| json(&ColumnType::Float64, &numbers, row).get().to_owned()).collect();
        assert_eq!(shown, ["0.5", "\"NaN\"", "null"]);
        assert_eq!(cell(&ColumnType::Float64, &numbers, 1), "NaN");
    }
}
