//! JSON documents, kept as they are written: a number's digits never change.

use std::fmt;
use std::sync::Arc;

use arrow_array::builder::{Int64Builder, StringBuilder};
use arrow_array::{Array, ArrayRef, Int64Array, StringArray};
use arrow_schema::{DataType, Field};
use datafusion_common::{Result, ScalarValue};
use datafusion_expr::{ColumnarValue, ScalarUDF};
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::{Own, column, is_text, no_such_form, row_error, strings};

pub fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        Own::udf(
            "json_extract_path",
            document_and_steps,
            |_| Ok(json_field()),
            |args, rows| extract(args, rows, as_written),
        ),
        Own::udf(
            "json_extract_path_text",
            document_and_steps,
            |_| Ok(text_field()),
            |args, rows| extract(args, rows, as_text),
        ),
        Own::udf("json_query", document_and_path, |_| Ok(json_field()), |args, rows| by_path(args, rows, as_written)),
        Own::udf(
            "json_value",
            document_and_path,
            |_| Ok(text_field()),
            |args, rows| by_path(args, rows, scalar_as_text),
        ),
        Own::udf(
            "json_typeof",
            one_document,
            |_| Ok(text_field()),
            |args, rows| each(args, rows, |json| Ok(Some(kind(json).to_owned()))),
        ),
        Own::udf(
            "json_array_length",
            one_document,
            |_| Ok(Field::new("json_array_length", DataType::Int64, true)),
            array_length,
        ),
    ]
}

/// The field of a document.
pub fn json_field() -> Field {
    let metadata = [(tidegate_sql::KIND.to_owned(), tidegate_sql::JSON.to_owned())].into();
    Field::new("json", DataType::Utf8, true).with_metadata(metadata)
}

fn text_field() -> Field {
    Field::new("text", DataType::Utf8, true)
}

fn document_and_steps(types: &[DataType]) -> Result<Vec<DataType>> {
    let step = |ty: &DataType| match ty {
        ty if ty.is_integer() => Some(DataType::Int64),
        ty if is_text(ty) => Some(DataType::Utf8),
        _ => None,
    };
    match types {
        [document, steps @ ..] if is_text(document) && !steps.is_empty() => {
            let steps: Option<Vec<DataType>> = steps.iter().map(step).collect();
            match steps {
                Some(steps) => Ok([vec![DataType::Utf8], steps].concat()),
                None => {
                    no_such_form("a field is named by a text, an element by an integer", "write x -> 'field' or x -> 0")
                }
            }
        }
        _ => no_such_form(
            "only JSON and text have fields to reach into",
            "declare the column as \"json\" in [source.columns]",
        ),
    }
}

fn document_and_path(types: &[DataType]) -> Result<Vec<DataType>> {
    match types {
        [document, path] if is_text(document) && is_text(path) => Ok(vec![DataType::Utf8, DataType::Utf8]),
        _ => no_such_form("this function takes a document and a path", "write json_value(x, '$.a.b[0]')"),
    }
}

fn one_document(types: &[DataType]) -> Result<Vec<DataType>> {
    match types {
        [document] if is_text(document) => Ok(vec![DataType::Utf8]),
        _ => {
            no_such_form("this function takes one JSON document", "declare the column as \"json\" in [source.columns]")
        }
    }
}

/// One step into a document.
enum Step<'a> {
    Field(&'a str),
    /// From the end, where it is negative.
    Element(i64),
}

fn no_json<E>(_: E) -> datafusion_common::DataFusionError {
    row_error("invalid-json", "a text that should be JSON is not")
}

/// What a step leads to; `None`: there is nothing.
fn take<'j>(json: &'j str, step: &Step) -> Result<Option<&'j str>> {
    let mut reader = serde_json::Deserializer::from_str(json);
    let found = match (step, json.as_bytes().first()) {
        (Step::Field(name), Some(b'{')) => Pick::Field(name).deserialize(&mut reader).map_err(no_json)?,
        // A path's numbers may come as text.
        (Step::Field(name), Some(b'[')) => match name.parse() {
            Ok(index) => return take(json, &Step::Element(index)),
            Err(_) => None,
        },
        (Step::Element(index), Some(b'[')) => {
            let index = if *index < 0 { elements(json)?.len() as i64 + index } else { *index };
            match usize::try_from(index) {
                Ok(index) => Pick::Element(index).deserialize(&mut reader).map_err(no_json)?,
                Err(_) => None,
            }
        }
        _ => None,
    };
    Ok(found)
}

/// Reads one member and skips the others.
enum Pick<'a> {
    Field(&'a str),
    Element(usize),
}

impl<'de> DeserializeSeed<'de> for Pick<'_> {
    type Value = Option<&'de str>;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        match self {
            Self::Field(_) => deserializer.deserialize_map(self),
            Self::Element(_) => deserializer.deserialize_seq(self),
        }
    }
}

impl<'de> Visitor<'de> for Pick<'_> {
    type Value = Option<&'de str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or an array")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let Self::Field(wanted) = self else { return Ok(None) };
        let mut found = None;
        while let Some(is_wanted) = map.next_key_seed(IsName(wanted))? {
            // Of a field that is there twice, the last counts.
            match is_wanted {
                true => found = Some(map.next_value::<&'de RawValue>()?.get()),
                false => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Self::Value, A::Error> {
        let Self::Element(wanted) = self else { return Ok(None) };
        let (mut found, mut index) = (None, 0);
        loop {
            if index == wanted {
                match sequence.next_element::<&'de RawValue>()? {
                    Some(element) => found = Some(element.get()),
                    None => return Ok(None),
                }
            } else if sequence.next_element::<IgnoredAny>()?.is_none() {
                return Ok(found);
            }
            index += 1;
        }
    }
}

/// Compares a name without keeping it.
struct IsName<'a>(&'a str);

impl<'de> DeserializeSeed<'de> for IsName<'_> {
    type Value = bool;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for IsName<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<bool, E> {
        Ok(name == self.0)
    }
}

/// The elements of an array as they are written.
pub fn elements(json: &str) -> Result<Vec<&str>> {
    let raw: Vec<&RawValue> = serde_json::from_str(json).map_err(no_json)?;
    Ok(raw.into_iter().map(RawValue::get).collect())
}

type Finish = fn(&str) -> Result<Option<String>>;

fn as_written(json: &str) -> Result<Option<String>> {
    Ok(Some(json.to_owned()))
}

/// Text without its quotes; JSON null is null.
fn as_text(json: &str) -> Result<Option<String>> {
    match json.as_bytes().first() {
        Some(b'"') => serde_json::from_str(json).map(Some).map_err(no_json),
        Some(b'n') => Ok(None),
        _ => Ok(Some(json.to_owned())),
    }
}

fn scalar_as_text(json: &str) -> Result<Option<String>> {
    match json.as_bytes().first() {
        Some(b'{' | b'[') => Ok(None),
        _ => as_text(json),
    }
}

fn kind(json: &str) -> &'static str {
    match json.as_bytes().first() {
        Some(b'{') => "object",
        Some(b'[') => "array",
        Some(b'"') => "string",
        Some(b't' | b'f') => "boolean",
        Some(b'n') => "null",
        _ => "number",
    }
}

/// Without the space around it; whether all of it is JSON shows when it is read.
pub fn trim(json: &str) -> &str {
    json.trim_matches([' ', '\t', '\n', '\r'])
}

fn checked(json: &str) -> Result<&str> {
    let json = trim(json);
    serde_json::from_str::<IgnoredAny>(json).map_err(no_json)?;
    Ok(json)
}

fn each(args: &[ColumnarValue], rows: usize, finish: Finish) -> Result<ArrayRef> {
    let documents = column(&args[0], rows)?;
    let mut out = StringBuilder::with_capacity(rows, rows * 8);
    for document in strings(&documents)? {
        out.append_option(document.map(|json| finish(checked(json)?)).transpose()?.flatten());
    }
    Ok(Arc::new(out.finish()))
}

fn array_length(args: &[ColumnarValue], rows: usize) -> Result<ArrayRef> {
    let documents = column(&args[0], rows)?;
    let mut out = Int64Builder::with_capacity(rows);
    for document in strings(&documents)? {
        let Some(json) = document.map(trim).filter(|json| *json != "null") else {
            out.append_null();
            continue;
        };
        if !json.starts_with('[') {
            return Err(row_error("wrong-type", "json_array_length needs an array"));
        }
        out.append_value(elements(json)?.len() as i64);
    }
    Ok(Arc::new(out.finish()))
}

fn extract(args: &[ColumnarValue], rows: usize, finish: Finish) -> Result<ArrayRef> {
    let documents = column(&args[0], rows)?;
    let steps = args[1..].iter().map(|arg| column(arg, rows)).collect::<Result<Vec<_>>>()?;
    let steps = steps.iter().map(Steps::of).collect::<Result<Vec<_>>>()?;
    let mut out = StringBuilder::with_capacity(rows, rows * 8);
    for (row, document) in strings(&documents)?.iter().enumerate() {
        let path = steps.iter().map(|steps| steps.at(row));
        out.append_option(walk(document, path, finish)?);
    }
    Ok(Arc::new(out.finish()))
}

/// The steps of one argument.
enum Steps<'a> {
    Fields(&'a StringArray),
    Elements(&'a Int64Array),
}

impl<'a> Steps<'a> {
    fn of(array: &'a ArrayRef) -> Result<Self> {
        match array.as_any().downcast_ref() {
            Some(elements) => Ok(Self::Elements(elements)),
            None => strings(array).map(Self::Fields),
        }
    }

    fn at(&self, row: usize) -> Option<Step<'a>> {
        match self {
            Self::Fields(names) => names.is_valid(row).then(|| Step::Field(names.value(row))),
            Self::Elements(indexes) => indexes.is_valid(row).then(|| Step::Element(indexes.value(row))),
        }
    }
}

fn walk<'s>(
    document: Option<&str>,
    path: impl Iterator<Item = Option<Step<'s>>>,
    finish: Finish,
) -> Result<Option<String>> {
    let Some(document) = document else { return Ok(None) };
    let mut json = trim(document);
    let mut is_first = true;
    for step in path {
        let Some(step) = step else { return Ok(None) };
        match take(json, &step)? {
            Some(found) => json = found,
            None => {
                // Nothing was read of a document that has no such member to read.
                return if is_first { checked(json).map(|_| None) } else { Ok(None) };
            }
        }
        is_first = false;
    }
    finish(json)
}

fn by_path(args: &[ColumnarValue], rows: usize, finish: Finish) -> Result<ArrayRef> {
    let documents = column(&args[0], rows)?;
    let mut out = StringBuilder::with_capacity(rows, rows * 8);
    // A path is nearly always the same for all rows.
    if let ColumnarValue::Scalar(ScalarValue::Utf8(path)) = &args[1] {
        let steps = path.as_deref().map(parse_path).transpose()?;
        for document in strings(&documents)? {
            let found = steps.as_ref().map(|steps| walk(document, steps.iter().map(borrowed), finish)).transpose()?;
            out.append_option(found.flatten());
        }
        return Ok(Arc::new(out.finish()));
    }
    let paths = column(&args[1], rows)?;
    for (document, path) in strings(&documents)?.iter().zip(strings(&paths)?) {
        let steps = path.map(parse_path).transpose()?;
        let found = steps.as_ref().map(|steps| walk(document, steps.iter().map(borrowed), finish)).transpose()?;
        out.append_option(found.flatten());
    }
    Ok(Arc::new(out.finish()))
}

enum PathStep {
    Field(String),
    Element(i64),
}

fn borrowed(step: &PathStep) -> Option<Step<'_>> {
    Some(match step {
        PathStep::Field(name) => Step::Field(name),
        PathStep::Element(index) => Step::Element(*index),
    })
}

/// `$.a.b[0]`, `$['a b']`: the part of SQL/JSON paths that leads to one value.
fn parse_path(path: &str) -> Result<Vec<PathStep>> {
    let wrong = || row_error("wrong-type", "a JSON path is written like $.field[0]");
    let mut rest = path.trim().strip_prefix('$').ok_or_else(wrong)?;
    let mut steps = Vec::new();
    while !rest.is_empty() {
        if let Some(named) = rest.strip_prefix('.') {
            let (name, after) = match named.strip_prefix('"') {
                Some(quoted) => quoted.split_once('"').ok_or_else(wrong)?,
                None => named.split_at(named.find(['.', '[']).unwrap_or(named.len())),
            };
            if name.is_empty() || name == "*" {
                return Err(wrong());
            }
            steps.push(PathStep::Field(name.to_owned()));
            rest = after;
        } else {
            let (inside, after) = rest.strip_prefix('[').and_then(|rest| rest.split_once(']')).ok_or_else(wrong)?;
            let quoted = inside.strip_prefix('\'').and_then(|inside| inside.strip_suffix('\''));
            steps.push(match quoted {
                Some(name) => PathStep::Field(name.to_owned()),
                None => PathStep::Element(inside.trim().parse().map_err(|_| wrong())?),
            });
            rest = after;
        }
    }
    Ok(steps)
}
