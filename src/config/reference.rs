//! The page docs/configuration.md: every option with its default, from the same comments as the JSON Schema.

use std::fmt::Write as _;

use serde_json::Value;

use super::cases::{RawCase, RawCaseRecord};
use super::columns::RawColumn;
use super::lookup::RawLookup;
use super::private::{RawKey, RawPrivacy};
use super::profile::RawProfile;
use super::raw::{
    RawBatch, RawDaemon, RawErrors, RawHttp, RawLimits, RawLog, RawPipeline, RawRetention, RawSink, RawSource,
    RawTable, RawTopic,
};
use super::read::Section;
use super::rules::RawCheck;
use super::{column_type, kafka, schema};

const HEAD: &str = "\
# Configuration

A pipeline is a TOML file; the daemon has one of its own, which is optional. Every problem of every file is told at
once, with its place, what is allowed and what to write instead, before anything is touched; the exit code is then 2.

This page is made from the program's own tables: it lists what this version takes. `tidegate schema` prints the same
as a JSON Schema; with `#:schema ./pipeline.schema.json` as its first line, editors complete and check a file.

## Everywhere

- **References.** In any text `${NAME}` is replaced by an environment variable and `${file:/run/secrets/x}` by a file's
  content, of which one last newline is cut. A relative path begins at the configuration file's folder. An unset
  variable or an unreadable file is an error. `$${` stands for a plain `${`. Inside `sink.url` the value is
  percent-encoded; a URL that is one reference and nothing else is taken as it is.
- **Environment.** `TIDEGATE__SINK__URL` sets `url` under `[sink]` of every pipeline, over what the file says;
  `TIDEGATE__TABLE__ORDERS__MODE` sets `mode` of the table `orders` (characters that a variable cannot have are `_`:
  `shop.orders` is `SHOP_ORDERS`); `TIDEGATE__SOURCE__KAFKA__SASL_PASSWORD` sets the property `sasl.password`;
  `TIDEGATE__HTTP__LISTEN` and the like set the daemon's. Lists have commas between. A variable that begins with
  `TIDEGATE__` and sets nothing is an error; other variables are not looked at.
- **Time spans** are whole numbers with a unit: `ms`, `s`, `m`, `h`, `d`. **Sizes** are whole numbers of bytes, or have
  a unit: `B`, `KB`, `MB`, `GB` (thousands), `KiB`, `MiB`, `GiB` (1024).

";

/// The page, as Markdown.
pub fn reference() -> String {
    let pipeline = schema::document::<RawPipeline>();
    let daemon = schema::document::<RawDaemon>();
    let mut page = HEAD.to_owned();
    page.push_str("## The pipeline file\n\n");
    section::<RawPipeline>(&mut page, "### Top of the file", &pipeline, &pipeline);
    section::<RawSource>(&mut page, "### `[source]`", &pipeline, definition(&pipeline, "Source"));
    let column = "### `[source.columns]`\n\nA line is a type, or a table with these options.";
    section::<RawColumn>(&mut page, column, &pipeline, definition(&pipeline, "Column"));
    let _ = writeln!(page, "Types: {}.\n", column_type::ALLOWED);
    properties(&mut page);
    section::<RawSink>(&mut page, "### `[sink]`", &pipeline, definition(&pipeline, "Sink"));
    section::<RawBatch>(&mut page, "### `[sink.batch]`", &pipeline, definition(&pipeline, "Batch"));
    section::<RawTable>(&mut page, "### `[[table]]`", &pipeline, definition(&pipeline, "Table"));
    section::<RawRetention>(&mut page, "### `[table.retention]`", &pipeline, definition(&pipeline, "Retention"));
    section::<RawCheck>(&mut page, "### `[[check]]`", &pipeline, definition(&pipeline, "Check"));
    section::<RawLookup>(&mut page, "### `[[lookup]]`", &pipeline, definition(&pipeline, "Lookup"));
    section::<RawTopic>(&mut page, "### `[[topic]]`", &pipeline, definition(&pipeline, "Topic"));
    section::<RawErrors>(&mut page, "### `[errors]`", &pipeline, definition(&pipeline, "Errors"));
    section::<RawKey>(&mut page, "### `[keys.<id>]`", &pipeline, definition(&pipeline, "Key"));
    section::<RawPrivacy>(&mut page, "### `[privacy]`", &pipeline, definition(&pipeline, "Privacy"));
    section::<RawProfile>(&mut page, "### `[profile]`", &pipeline, definition(&pipeline, "Profile"));
    section::<RawCase>(&mut page, "### `[[test]]`", &pipeline, definition(&pipeline, "Test"));
    let record = "### `input` of a `[[test]]`";
    section::<RawCaseRecord>(&mut page, record, &pipeline, definition(&pipeline, "TestRecord"));
    page.push_str("## The daemon file\n\n");
    page.push_str(
        "The file of `--config`, else `./tidegate.toml`, else `/etc/tidegate/tidegate.toml`, else defaults.\n\n",
    );
    section::<RawDaemon>(&mut page, "### Top of the daemon file", &daemon, &daemon);
    section::<RawHttp>(&mut page, "### `[http]`", &daemon, definition(&daemon, "Http"));
    section::<RawLog>(&mut page, "### `[log]`", &daemon, definition(&daemon, "Log"));
    section::<RawLimits>(&mut page, "### `[limits]`", &daemon, definition(&daemon, "Limits"));
    page.truncate(page.trim_end().len());
    page.push('\n');
    page
}

fn definition<'s>(document: &'s Value, name: &str) -> &'s Value {
    &document["$defs"][name]
}

fn section<S: Section>(page: &mut String, heading: &str, document: &Value, schema: &Value) {
    let _ = writeln!(page, "{heading}\n\n| option | takes | default | meaning |\n|---|---|---|---|");
    for key in S::KEYS {
        let property = &schema["properties"][*key];
        let target = match property["$ref"].as_str() {
            Some(reference) => definition(document, reference.trim_start_matches("#/$defs/")),
            None => property,
        };
        let default = match &property["default"] {
            _ if required(schema, key) => "required".to_owned(),
            Value::Null => String::new(),
            default => format!("`{default}`"),
        };
        let meaning = property["description"].as_str().unwrap_or_default();
        let _ = writeln!(page, "| `{key}` | {} | {default} | {}{} |", takes(target), escaped(meaning), words(target));
    }
    page.push('\n');
}

fn required(schema: &Value, key: &str) -> bool {
    schema["required"].as_array().is_some_and(|required| required.iter().any(|name| name == key))
}

/// The kind of value, or its words.
fn takes(schema: &Value) -> String {
    let constants = variants(schema).map(|(word, _)| format!("`\"{word}\"`")).collect::<Vec<_>>();
    if !constants.is_empty() {
        return constants.join(", ");
    }
    match &schema["type"] {
        Value::String(kind) => noun(kind).to_owned(),
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).map(noun).collect::<Vec<_>>().join(" or "),
        _ => "any value".to_owned(),
    }
}

fn noun(kind: &str) -> &str {
    match kind {
        "string" => "text",
        "integer" => "whole number",
        "array" => "list",
        "object" => "section",
        other => other,
    }
}

/// An enumeration's words with what each means.
fn variants(schema: &Value) -> impl Iterator<Item = (&str, &str)> {
    let listed = schema["enum"].as_array().into_iter().flatten().filter_map(|word| Some((word.as_str()?, "")));
    let described =
        schema["oneOf"].as_array().into_iter().flatten().filter_map(|variant| {
            Some((variant["const"].as_str()?, variant["description"].as_str().unwrap_or_default()))
        });
    listed.chain(described)
}

fn words(schema: &Value) -> String {
    let told = variants(schema).filter(|(_, meaning)| !meaning.is_empty());
    told.map(|(word, meaning)| format!(" `{word}`: {}", escaped(meaning))).collect()
}

fn escaped(text: &str) -> String {
    text.replace('|', "\\|")
}

fn properties(page: &mut String) {
    page.push_str("### `[source.kafka]`\n\nThese properties of librdkafka can be set. ");
    page.push_str("Names with points may stand in quotes or not.\n\n| property | takes |\n|---|---|\n");
    for (name, takes) in kafka::allowed() {
        let _ = writeln!(page, "| `{name}` | {takes} |");
    }
    page.push_str("\nThese cannot, for a reason.\n\n| property | why | instead |\n|---|---|---|\n");
    for (name, why, cure) in kafka::refusals() {
        let every = if name.ends_with('.') { "*" } else { "" };
        let _ = writeln!(page, "| `{name}{every}` | {} | {} |", escaped(why), escaped(cure));
    }
    page.push('\n');
}
