//! Lists as the text of an array literal: `{1,NULL,"a \"b\""}`.

use std::fmt::Write as _;
use std::ops::Range;

use super::encode::{Cells, Unwritable};

const DAY_MICROS: i64 = 86_400_000_000;

/// Appends the literal of the elements `rows`.
pub(super) fn write(elements: &Cells<'_>, rows: Range<usize>, out: &mut Vec<u8>) -> Result<(), Unwritable> {
    let mut text = String::new();
    out.push(b'{');
    for (index, row) in rows.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        if elements.is_null(row) {
            out.extend_from_slice(b"NULL");
            continue;
        }
        text.clear();
        write_element(elements, row, &mut text)?;
        out.push(b'"');
        for &byte in text.as_bytes() {
            if matches!(byte, b'"' | b'\\') {
                out.push(b'\\');
            }
            out.push(byte);
        }
        out.push(b'"');
    }
    out.push(b'}');
    Ok(())
}

/// The text form of one element, as its type's input function reads it.
fn write_element(elements: &Cells<'_>, row: usize, text: &mut String) -> Result<(), Unwritable> {
    let written = match elements {
        Cells::Bool(array) => write!(text, "{}", array.value(row)),
        Cells::Int16(array) => write!(text, "{}", array.value(row)),
        Cells::Int32(array) => write!(text, "{}", array.value(row)),
        Cells::Int64(array) => write!(text, "{}", array.value(row)),
        Cells::UInt32(array) => write!(text, "{}", array.value(row)),
        // Rust writes the shortest text that reads back as the same number, and `inf`, `NaN` for the others.
        Cells::Float32(array) => write!(text, "{:e}", array.value(row)),
        Cells::Float64(array) => write!(text, "{:e}", array.value(row)),
        Cells::Decimal128(array, _) => write!(text, "{}", array.value_as_string(row)),
        Cells::Decimal256(array, _) => write!(text, "{}", array.value_as_string(row)),
        Cells::Numeric(array) | Cells::Text(array) | Cells::Jsonb(array) => write!(text, "{}", array.value(row)),
        Cells::Bytes(array) => write!(text, "\\x{}", hex::encode(array.value(row))),
        Cells::Uuid(array) => write!(text, "{}", hex::encode(array.value(row))),
        Cells::Date(array) => write_date(i64::from(array.value(row)), "", text),
        Cells::Time(array) => write_time(array.value(row), text),
        Cells::Timestamp(array) | Cells::TimestampTz(array) => {
            let micros = array.value(row);
            let mut time = String::from(" ");
            write_time(micros.rem_euclid(DAY_MICROS), &mut time).and_then(|()| {
                // The session's time zone is UTC, but the text says so itself.
                time.push_str(if matches!(elements, Cells::TimestampTz(_)) { "+00" } else { "" });
                write_date(micros.div_euclid(DAY_MICROS), &time, text)
            })
        }
        Cells::List { .. } | Cells::Literal { .. } => return Err(Unwritable("a list of lists cannot be written")),
    };
    written.map_err(|_| Unwritable("the element has no text form"))
}

fn write_time(micros: i64, text: &mut String) -> std::fmt::Result {
    let seconds = micros / 1_000_000;
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    write!(text, "{hour:02}:{minute:02}:{second:02}.{:06}", micros % 1_000_000)
}

/// `time` stands between the date and the era. Proleptic Gregorian, by
/// <https://howardhinnant.github.io/date_algorithms.html#civil_from_days>; it has no limit that a date could reach.
fn write_date(days_since_1970: i64, time: &str, text: &mut String) -> std::fmt::Result {
    let days = days_since_1970 + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    // There is no year 0: the year before 1 is 1 BC.
    let (year, era) = if year > 0 { (year, "") } else { (1 - year, " BC") };
    write!(text, "{year:04}-{month:02}-{day:02}{time}{era}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_all_eras() {
        for (days, expected) in [
            (0, "1970-01-01"),
            (-1, "1969-12-31"),
            (11_016, "2000-02-29"),
            (2_932_896, "9999-12-31"),
            (-719_162, "0001-01-01"),
            (-719_163, "0001-12-31 BC"),
            (-2_440_588, "4714-11-24 BC"),
            (2145042905, "5874897-12-31"),
        ] {
            let mut text = String::new();
            write_date(days, "", &mut text).unwrap();
            assert_eq!(text, expected);
        }
    }

    #[test]
    fn quotes_and_backslashes_are_escaped_and_null_is_not_a_text() {
        let texts = arrow_array::StringArray::from(vec![Some("NULL"), None, Some("a\"b\\c,{}"), Some("")]);
        let mut out = Vec::new();
        write(&Cells::Text(&texts), 0..4, &mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), r#"{"NULL",NULL,"a\"b\\c,{}",""}"#);
    }
}
