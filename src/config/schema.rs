//! The JSON Schemas of the files, so that editors complete and check them.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::Value;

use super::raw::{RawDaemon, RawPipeline};

/// The JSON Schema (draft 2020-12) of a pipeline file, as text with a last newline.
pub fn schema() -> String {
    text(&document::<RawPipeline>())
}

/// The JSON Schema of the daemon file, as text with a last newline.
pub fn daemon_schema() -> String {
    text(&document::<RawDaemon>())
}

pub(super) fn document<T: JsonSchema>() -> Value {
    let mut document = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<T>().to_value();
    join_lines(&mut document);
    document
}

/// A comment's lines as one: editors wrap descriptions themselves.
fn join_lines(value: &mut Value) {
    match value {
        Value::Object(entries) => {
            for (key, value) in entries {
                match value {
                    Value::String(text) if key == "description" => *text = text.replace('\n', " "),
                    value => join_lines(value),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(join_lines),
        _ => {}
    }
}

fn text(document: &Value) -> String {
    // A map of strings always serialises.
    serde_json::to_string_pretty(document).unwrap_or_default() + "\n"
}
