//! Lookups: the rows that records are joined with, as they are kept in memory.
//!
//! ```text
//! file.rs    a CSV file's rows
//! keys.rs    keys of one type that are compared with another
//! cache.rs   rows by their keys, as bytes; the least recently used ones go
//! ```
//!
//! Where a table's rows come from is in `write/`, how they meet the records in `transform/`; `pipeline/` brings both
//! together.

pub mod cache;
pub mod file;
pub mod keys;

/// A row as the texts of its columns, which `decode/` reads like any plain text; `None` is null.
pub type Texts = Vec<Option<String>>;
