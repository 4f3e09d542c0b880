//! What UNNEST takes: lists as they are, and JSON arrays as lists of documents.

use std::sync::Arc;

use arrow_array::ArrayRef;
use arrow_array::builder::{ListBuilder, StringBuilder};
use arrow_schema::{DataType, Field};
use datafusion_common::Result;
use datafusion_expr::{ColumnarValue, ReturnFieldArgs, ScalarUDF};

use super::{Own, column, is_text, json, no_such_form, row_error, strings};

pub fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![Own::udf("unnest_list", one_list, returns, run)]
}

fn one_list(types: &[DataType]) -> Result<Vec<DataType>> {
    match types {
        [DataType::List(_)] => Ok(types.to_vec()),
        [DataType::LargeList(element) | DataType::FixedSizeList(element, _)] => {
            Ok(vec![DataType::List(element.clone())])
        }
        [text] if is_text(text) => Ok(vec![DataType::Utf8]),
        _ => no_such_form(
            "UNNEST takes a list or a JSON array",
            "declare the column as \"json\" or as a list: \"text[]\"",
        ),
    }
}

fn documents() -> DataType {
    DataType::List(Arc::new(Field::new("item", DataType::Utf8, true)))
}

/// A list's kind is that of its elements.
fn returns(args: &ReturnFieldArgs) -> Result<Field> {
    let (list, metadata) = match args.arg_fields[0].data_type() {
        list @ DataType::List(_) => (list.clone(), args.arg_fields[0].metadata().clone()),
        _ => (documents(), json::json_field().metadata().clone()),
    };
    Ok(Field::new("list", list, true).with_metadata(metadata))
}

fn run(args: &[ColumnarValue], rows: usize) -> Result<ArrayRef> {
    let array = column(&args[0], rows)?;
    if matches!(array.data_type(), DataType::List(_)) {
        return Ok(array);
    }
    let mut out = ListBuilder::new(StringBuilder::new());
    for document in strings(&array)? {
        let Some(json) = document.map(json::trim).filter(|json| *json != "null") else {
            out.append_null();
            continue;
        };
        if !json.starts_with('[') {
            return Err(row_error("wrong-type", "UNNEST needs a JSON array"));
        }
        for element in json::elements(json)? {
            out.values().append_value(element);
        }
        out.append(true);
    }
    Ok(Arc::new(out.finish()))
}
