//! The record's key: columns that name it as their source, and columns of the table's key that the value lacks.

use crate::config::KeyFormat;
use crate::dead_letter::Fault;
use crate::decode::builders::Columns;
use crate::decode::document::{self, KEY};
use crate::decode::token::Input;
use crate::decode::walk::Tree;
use crate::records::Record;
use crate::rows::{ColumnSource, InputSchema};

pub(super) struct Keys {
    format: KeyFormat,
    /// The key's fields, by the paths that columns name and by the names of the table's key columns.
    fields: Tree,
    /// Columns that take the whole key.
    whole: Vec<usize>,
    /// Columns that take a field of the key.
    by_path: Vec<usize>,
    /// Columns of the table's key that the value should give, and the record's key else.
    fallback: Vec<usize>,
    /// The table's only key column, if it is one of `fallback`: a key that is one value is its value.
    single: Option<usize>,
}

impl Keys {
    pub fn new(schema: &InputSchema, format: KeyFormat) -> Self {
        let mut fields = Tree::new(false);
        let (mut whole, mut by_path, mut fallback) = (Vec::new(), Vec::new(), Vec::new());
        for (index, column) in schema.columns.iter().enumerate() {
            match &column.source {
                ColumnSource::Key(path) if path.is_empty() => whole.push(index),
                ColumnSource::Key(path) => {
                    by_path.push(index);
                    fields.add(path, index);
                }
                ColumnSource::Value(_) if column.key => {
                    fallback.push(index);
                    fields.add(std::slice::from_ref(&column.name), index);
                }
                _ => {}
            }
        }
        // A topic, a header or the like is in the key besides, and known from elsewhere.
        let is_in_record = |source: &ColumnSource| matches!(source, ColumnSource::Value(_) | ColumnSource::Key(_));
        let is_only_key =
            schema.columns.iter().filter(|column| column.key && is_in_record(&column.source)).count() == 1;
        let single = fallback.first().copied().filter(|_| is_only_key);
        Self { format, fields, whole, by_path, fallback, single }
    }

    /// Does the current row, whose value was read, take anything from the key?
    pub fn are_wanted(&self, columns: &Columns) -> bool {
        !self.whole.is_empty()
            || !self.by_path.is_empty()
            || self.fallback.iter().any(|column| !columns.is_filled(*column))
    }

    /// Fills what the key gives and the current row has not yet. A null key gives nothing.
    pub fn fill(&mut self, record: Record<'_>, columns: &mut Columns) -> Result<(), Fault> {
        let Some(key) = record.key() else { return Ok(()) };
        if self.whole.is_empty() && self.by_path.is_empty() && self.fallback.is_empty() {
            return Ok(());
        }
        match self.format {
            KeyFormat::Json => self.fill_from_json(key, columns),
            KeyFormat::Bytes => self.fill_from_one_value(Input::Bytes(key), columns),
            KeyFormat::Text => {
                let text = std::str::from_utf8(key).map_err(|_| self.no_text(columns))?;
                self.fill_from_one_value(Input::Plain(text), columns)
            }
        }
    }

    fn fill_from_json(&mut self, key: &[u8], columns: &mut Columns) -> Result<(), Fault> {
        let text = document::text(key, KEY)?;
        if document::first_byte(text) != Some(b'{') {
            let json = document::check(text, KEY)?;
            return self.fill_from_one_value(Input::Json(json), columns);
        }
        self.fields.walk(text, columns, KEY)?;
        for column in &self.whole {
            columns.put(*column, Input::Json(text.trim_matches([' ', '\t', '\n', '\r'])))?;
        }
        Ok(())
    }

    /// A key that has no fields.
    fn fill_from_one_value(&self, key: Input<'_>, columns: &mut Columns) -> Result<(), Fault> {
        for column in &self.whole {
            columns.put(*column, key)?;
        }
        if key.is_null() {
            return Ok(());
        }
        if let Some(column) = self.by_path.first() {
            let found = match self.format {
                KeyFormat::Json => "a key that is no object",
                _ => "a key without fields: set key_format = \"json\" if it is JSON",
            };
            return Err(columns.fault(*column, "wrong-type", found));
        }
        let is_array = matches!(key, Input::Json(json) if json.starts_with('['));
        match self.single {
            Some(column) if !is_array => columns.put(column, key),
            _ => Ok(()),
        }
    }

    #[cold]
    fn no_text(&self, columns: &Columns) -> Fault {
        let mut wanting = self.whole.iter().chain(&self.by_path).chain(&self.fallback);
        let column = *wanting.next().expect("the key is read for a column");
        let found = "a key that is not UTF-8: set key_format = \"bytes\" if it is no text";
        columns.fault(column, "invalid-utf8", found)
    }
}
