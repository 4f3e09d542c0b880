//! A row as an event: value, key and headers.
//!
//! Every value is written exactly: decimals digit by digit, never by way of a floating-point number. arrow-json could
//! write half of the types so (its texts of times and bytes are others), so that the few lines are here.

use std::io::Write as _;

use arrow_array::cast::AsArray as _;
use arrow_array::types::{
    Date32Type, Decimal128Type, Decimal256Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    Time64MicrosecondType, TimestampMicrosecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, RecordBatch};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use jiff::tz::Offset;

use crate::config::{Topic, TopicDeletes};
use crate::outbox::Undelivered;
use crate::retry::Disposition;
use crate::rows::{Operation, OutputColumn, Rows};
use crate::types::{ColumnType, MAX_ARROW_DECIMAL};

/// How the rows of one `[[topic]]` become events.
#[derive(Debug, Clone)]
pub struct EventShape {
    pub(super) topic: String,
    columns: Vec<OutputColumn>,
    /// The beginning of each column in the value: its name as JSON and a colon.
    names: Vec<Vec<u8>>,
    /// Indexes of the columns of the value.
    value: Vec<usize>,
    key: Vec<usize>,
    headers: Vec<(String, usize)>,
    deletes: TopicDeletes,
}

/// What is sent of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// `None`: no key is asked for, or its only column is null.
    pub key: Option<Vec<u8>>,
    /// `None`: a tombstone.
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Vec<u8>)>,
}

/// A value that JSON has no form for.
#[derive(Debug, PartialEq, Eq)]
struct NoForm {
    column: String,
    reason: &'static str,
}

const NOT_FINITE: &str = "the result is not a finite number, which JSON has no form for";
const FAR_TIME: &str = "the time lies outside of the years 0000 to 9999, which RFC 3339 can hold";

impl EventShape {
    /// `outputs`: the columns of the statement's result.
    ///
    /// # Errors
    /// The first column that `key` or `headers` names and the result lacks.
    pub fn new(topic: &Topic, outputs: &[OutputColumn]) -> Result<Self, String> {
        let index = |name: &String| outputs.iter().position(|output| output.name == *name).ok_or(name.clone());
        let key = topic.key.iter().map(index).collect::<Result<Vec<_>, _>>()?;
        let with_index = |(header, name): &(String, String)| Ok((header.clone(), index(name)?));
        let headers = topic.headers.iter().map(with_index).collect::<Result<Vec<_>, String>>()?;
        let is_header = |index: &usize| headers.iter().any(|(_, header)| header == index);
        let names = outputs.iter().map(|output| {
            let mut name = Vec::new();
            write_text(&mut name, &output.name);
            name.push(b':');
            name
        });
        Ok(Self {
            topic: topic.name.clone(),
            columns: outputs.to_vec(),
            names: names.collect(),
            value: (0..outputs.len()).filter(|index| !is_header(index)).collect(),
            key,
            headers,
            deletes: topic.deletes,
        })
    }

    /// Indexes into the result of what a tombstone must have; empty where tombstones are ignored.
    pub fn tombstone_key(&self) -> &[usize] {
        match self.deletes {
            TopicDeletes::Tombstone => &self.key,
            TopicDeletes::Ignore => &[],
        }
    }

    pub fn sends_tombstones(&self) -> bool {
        self.deletes == TopicDeletes::Tombstone
    }

    pub fn has_key(&self) -> bool {
        !self.key.is_empty()
    }

    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// The columns of the value with their indexes into the result.
    pub fn value_columns(&self) -> impl Iterator<Item = (usize, &OutputColumn)> {
        self.value.iter().map(|index| (*index, &self.columns[*index]))
    }

    /// Does the row become an event? Deletes do where they are tombstones.
    pub fn is_sent(&self, rows: &Rows, row: usize) -> bool {
        rows.operations[row] == Operation::Upsert || self.sends_tombstones()
    }

    /// A row as an event, without the header that names its record.
    ///
    /// # Errors
    /// A value that JSON has no form for: its record is a bad one.
    pub fn event(&self, rows: &Rows, row: usize) -> Result<Event, Undelivered> {
        let render = || {
            let value = match rows.operations[row] {
                Operation::Upsert => Some(self.value(&rows.batch, row)?),
                Operation::Delete | Operation::Replace => None,
            };
            Ok(Event { key: self.key(&rows.batch, row)?, value, headers: self.headers(&rows.batch, row)? })
        };
        render().map_err(|NoForm { column, reason }| Undelivered {
            disposition: Disposition::Isolate,
            class: "out-of-range",
            message: format!("topic {}: column {column}: {reason}", self.topic),
            suspect: Some(rows.origins[row]),
            column: Some(column),
        })
    }

    /// The JSON object of a row.
    fn value(&self, batch: &RecordBatch, row: usize) -> Result<Vec<u8>, NoForm> {
        self.object(&self.value, batch, row)
    }

    /// `None`: no key is asked for, or its only column is null.
    fn key(&self, batch: &RecordBatch, row: usize) -> Result<Option<Vec<u8>>, NoForm> {
        match self.key.as_slice() {
            [] => Ok(None),
            [column] => self.text(*column, batch, row),
            columns => self.object(columns, batch, row).map(Some),
        }
    }

    /// The headers of a row; a null column gives none.
    fn headers(&self, batch: &RecordBatch, row: usize) -> Result<Vec<(String, Vec<u8>)>, NoForm> {
        let mut headers = Vec::with_capacity(self.headers.len());
        for (name, column) in &self.headers {
            if let Some(text) = self.text(*column, batch, row)? {
                headers.push((name.clone(), text));
            }
        }
        Ok(headers)
    }

    fn object(&self, columns: &[usize], batch: &RecordBatch, row: usize) -> Result<Vec<u8>, NoForm> {
        let mut json = vec![b'{'];
        for (place, column) in columns.iter().enumerate() {
            if place > 0 {
                json.push(b',');
            }
            json.extend_from_slice(&self.names[*column]);
            self.json(*column, batch, row, &mut json)?;
        }
        json.push(b'}');
        Ok(json)
    }

    fn json(&self, column: usize, batch: &RecordBatch, row: usize, json: &mut Vec<u8>) -> Result<(), NoForm> {
        let OutputColumn { name, ty, .. } = &self.columns[column];
        write(json, ty, batch.column(column), row).map_err(|reason| NoForm { column: name.clone(), reason })
    }

    /// What JSON writes as a text stands without its quotes.
    fn text(&self, column: usize, batch: &RecordBatch, row: usize) -> Result<Option<Vec<u8>>, NoForm> {
        let array = batch.column(column);
        if array.is_null(row) {
            return Ok(None);
        }
        if let ColumnType::Text | ColumnType::Enum = self.columns[column].ty {
            return Ok(Some(array.as_string::<i32>().value(row).as_bytes().to_vec()));
        }
        let mut json = Vec::new();
        self.json(column, batch, row, &mut json)?;
        if let ColumnType::Json = self.columns[column].ty {
            return Ok(Some(json));
        }
        // None of the other types' texts has anything to escape.
        let bare = json.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).map(<[u8]>::to_vec);
        Ok(Some(bare.unwrap_or(json)))
    }
}

/// A value as the JSON of an event, every digit of it.
///
/// # Errors
/// Why JSON has no form for it.
pub fn as_json(ty: &ColumnType, array: &dyn Array, row: usize) -> Result<String, &'static str> {
    let mut json = Vec::new();
    write(&mut json, ty, array, row)?;
    Ok(String::from_utf8_lossy(&json).into_owned())
}

fn write_text(json: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(json, text).expect("a text is written into memory");
}

/// A value as JSON; the array is as the type travels.
fn write(json: &mut Vec<u8>, ty: &ColumnType, array: &dyn Array, row: usize) -> Result<(), &'static str> {
    macro_rules! number {
        ($ty:ty) => {
            print(json, array.as_primitive::<$ty>().value(row))
        };
    }
    if array.is_null(row) {
        json.extend_from_slice(b"null");
        return Ok(());
    }
    match ty {
        ColumnType::Bool => print(json, array.as_boolean().value(row)),
        ColumnType::Int8 => number!(Int8Type),
        ColumnType::Int16 => number!(Int16Type),
        ColumnType::Int32 => number!(Int32Type),
        ColumnType::Int64 => number!(Int64Type),
        ColumnType::UInt8 => number!(UInt8Type),
        ColumnType::UInt16 => number!(UInt16Type),
        ColumnType::UInt32 => number!(UInt32Type),
        ColumnType::UInt64 => number!(UInt64Type),
        ColumnType::Float32 => {
            let number = array.as_primitive::<Float32Type>().value(row);
            number.is_finite().then_some(()).ok_or(NOT_FINITE)?;
            serde_json::to_writer(json, &number).expect("a finite number is written into memory");
        }
        ColumnType::Float64 => {
            let number = array.as_primitive::<Float64Type>().value(row);
            number.is_finite().then_some(()).ok_or(NOT_FINITE)?;
            serde_json::to_writer(json, &number).expect("a finite number is written into memory");
        }
        ColumnType::Decimal { precision, .. } if *precision <= 38 => {
            print(json, array.as_primitive::<Decimal128Type>().value_as_string(row));
        }
        ColumnType::Decimal { precision, .. } if *precision <= MAX_ARROW_DECIMAL => {
            print(json, array.as_primitive::<Decimal256Type>().value_as_string(row));
        }
        // Digits as text, and documents as text: both are JSON already.
        ColumnType::Decimal { .. } | ColumnType::Numeric | ColumnType::Json => {
            json.extend_from_slice(array.as_string::<i32>().value(row).as_bytes());
        }
        ColumnType::Text | ColumnType::Enum => write_text(json, array.as_string::<i32>().value(row)),
        ColumnType::Bytes => print(json, format_args!("\"{}\"", BASE64.encode(array.as_binary::<i32>().value(row)))),
        ColumnType::Uuid => {
            let hex = hex::encode(array.as_fixed_size_binary().value(row));
            let (a, b, c, d, e) = (&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]);
            print(json, format_args!("\"{a}-{b}-{c}-{d}-{e}\""));
        }
        ColumnType::Date => {
            let days = i64::from(array.as_primitive::<Date32Type>().value(row));
            print(json, format_args!("\"{}\"", civil(days * 86_400_000_000)?.date()));
        }
        ColumnType::Time => {
            let micros = array.as_primitive::<Time64MicrosecondType>().value(row);
            print(json, format_args!("\"{}\"", civil(micros)?.time()));
        }
        ColumnType::Timestamp => {
            let micros = array.as_primitive::<TimestampMicrosecondType>().value(row);
            print(json, format_args!("\"{}\"", civil(micros)?));
        }
        ColumnType::TimestampTz => {
            let micros = array.as_primitive::<TimestampMicrosecondType>().value(row);
            print(json, format_args!("\"{}Z\"", civil(micros)?));
        }
        ColumnType::List(element) => {
            let elements = array.as_list::<i32>().value(row);
            json.push(b'[');
            for index in 0..elements.len() {
                if index > 0 {
                    json.push(b',');
                }
                write(json, element, &elements, index)?;
            }
            json.push(b']');
        }
    }
    Ok(())
}

fn print(json: &mut Vec<u8>, value: impl std::fmt::Display) {
    write!(json, "{value}").expect("memory takes everything");
}

fn civil(micros: i64) -> Result<jiff::civil::DateTime, &'static str> {
    let at = Offset::UTC.to_datetime(jiff::Timestamp::from_microsecond(micros).map_err(|_| FAR_TIME)?);
    (0..=9999).contains(&at.year()).then_some(at).ok_or(FAR_TIME)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, Decimal128Array, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray};
    use arrow_schema::{Field, Schema};

    use super::*;
    use crate::config::{Place, Sql};

    fn shape(key: &[&str], headers: &[(&str, &str)], columns: &[(&str, ColumnType)]) -> EventShape {
        let place = Place::file(std::path::Path::new("t.toml"));
        let topic = Topic {
            name: "t".to_owned(),
            key: key.iter().map(|name| (*name).to_owned()).collect(),
            headers: headers.iter().map(|(name, column)| ((*name).to_owned(), (*column).to_owned())).collect(),
            sql: Sql { text: String::new(), place: place.clone() },
            deletes: TopicDeletes::Ignore,
            from: None,
            place,
        };
        let output = |(name, ty): &(&str, ColumnType)| OutputColumn {
            name: (*name).to_owned(),
            ty: ty.clone(),
            nullable: true,
            passes: None,
        };
        EventShape::new(&topic, &columns.iter().map(output).collect::<Vec<_>>()).unwrap()
    }

    fn batch(columns: Vec<(&str, ColumnType, ArrayRef)>) -> RecordBatch {
        let fields: Vec<_> = columns.iter().map(|(name, ty, _)| Field::new(*name, ty.arrow(), true)).collect();
        let arrays = columns.into_iter().map(|(.., array)| array).collect();
        RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap()
    }

    #[test]
    fn numbers_keep_every_digit_and_headers_leave_the_value() {
        let price = ColumnType::Decimal { precision: 38, scale: 2 };
        let columns = [
            ("id", ColumnType::Int64),
            ("te\"nant", ColumnType::Text),
            ("price", price.clone()),
            ("n", ColumnType::Numeric),
        ];
        let shape = shape(&["id", "price"], &[("x-tenant", "te\"nant")], &columns);
        let price_array = Decimal128Array::from(vec![Some(-1_234_567_890_123_456_789_012_345_678_901_234_567), None])
            .with_precision_and_scale(38, 2)
            .unwrap();
        let batch = batch(vec![
            ("id", ColumnType::Int64, Arc::new(Int64Array::from(vec![i64::MAX, 2]))),
            ("te\"nant", ColumnType::Text, Arc::new(StringArray::from(vec![Some("a\"b"), None]))),
            ("price", price, Arc::new(price_array)),
            ("n", ColumnType::Numeric, Arc::new(StringArray::from(vec![Some("0.10"), None]))),
        ]);
        let value = String::from_utf8(shape.value(&batch, 0).unwrap()).unwrap();
        let price = "-12345678901234567890123456789012345.67";
        assert_eq!(value, format!(r#"{{"id":9223372036854775807,"price":{price},"n":0.10}}"#));
        let key = shape.key(&batch, 0).unwrap().unwrap();
        assert_eq!(String::from_utf8(key).unwrap(), format!(r#"{{"id":9223372036854775807,"price":{price}}}"#));
        assert_eq!(shape.headers(&batch, 0).unwrap(), [("x-tenant".to_owned(), b"a\"b".to_vec())]);
        assert_eq!(shape.headers(&batch, 1).unwrap(), [], "a null column gives no header");
        assert_eq!(shape.value(&batch, 1).unwrap(), br#"{"id":2,"price":null,"n":null}"#);
    }

    #[test]
    fn what_json_has_no_form_for_is_told_with_its_column() {
        let shape = shape(&[], &[], &[("ratio", ColumnType::Float64)]);
        let batch = batch(vec![("ratio", ColumnType::Float64, Arc::new(Float64Array::from(vec![f64::NAN, 1e300])))]);
        assert_eq!(shape.value(&batch, 0).unwrap_err(), NoForm { column: "ratio".to_owned(), reason: NOT_FINITE });
        assert_eq!(shape.value(&batch, 1).unwrap(), br#"{"ratio":1e+300}"#);
    }

    #[test]
    fn a_single_key_stands_without_quotes() {
        let shape = shape(&["at"], &[], &[("at", ColumnType::TimestampTz)]);
        let times = TimestampMicrosecondArray::from(vec![1_795_255_200_500_000, i64::MAX]).with_timezone("UTC");
        let batch = batch(vec![("at", ColumnType::TimestampTz, Arc::new(times))]);
        assert_eq!(shape.key(&batch, 0).unwrap().unwrap(), b"2026-11-21T10:00:00.5Z");
        assert_eq!(shape.key(&batch, 1).unwrap_err().reason, FAR_TIME);
    }
}
