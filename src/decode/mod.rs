//! Decode: bytes -> columns and operations. One format a file.
//!
//! ```text
//! json.rs      one record -> one row: value, key, headers, place, defaults; tombstones
//! walk.rs      one pass over a JSON object, along the names that the columns ask for
//! document.rs  is it UTF-8, is it JSON, how deep is it
//! token.rs     one JSON value or one plain text, as the columns read it
//! values/      text of one value -> a cell, one family of types a file
//! builders.rs  cells -> Arrow arrays, with rows that can be taken back
//! ```

mod builders;
mod document;
mod json;
mod problem;
mod token;
mod values;
mod walk;

use std::sync::Arc;

use crate::config::KeyFormat;
use crate::dead_letter::Fault;
use crate::records::Records;
use crate::rows::{InputSchema, Rows};

/// What a batch of records decoded to.
#[derive(Debug)]
pub struct Decoded {
    pub rows: Rows,
    /// Records that are not in `rows`: their index in the batch and what is wrong with them.
    pub bad: Vec<(u32, Fault)>,
    /// Undeclared fields seen in this batch that were not reported before; each is reported once per decoder.
    pub new_unknown_fields: Vec<String>,
}

/// Decodes one format into one schema. Keeps its buffers from batch to batch.
pub trait Decoder: Send {
    fn decode(&mut self, records: &Records) -> Decoded;
}

/// A decoder for JSON values.
pub fn json(schema: Arc<InputSchema>, key_format: KeyFormat) -> Box<dyn Decoder> {
    Box::new(json::JsonDecoder::new(schema, key_format))
}
