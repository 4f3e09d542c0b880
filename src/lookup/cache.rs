//! Rows by their keys. Both are kept as bytes in Arrow's row format: one allocation each, compared and hashed as they
//! are, and back into columns for a whole batch at once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_array::{Array, ArrayRef};
use arrow_buffer::NullBuffer;
use arrow_row::{RowConverter, Rows, SortField};
use arrow_schema::DataType;
use hashlink::LruCache;

/// The columns of a row that SQL names.
pub type Row = Arc<[u8]>;

/// Columns to bytes and back.
#[derive(Debug)]
pub struct Codec {
    keys: RowConverter,
    values: Option<RowConverter>,
}

/// The keys of a batch.
#[derive(Debug)]
pub struct Keys {
    rows: Rows,
    nulls: Option<NullBuffer>,
}

impl Codec {
    /// # Panics
    /// For types that the configuration refuses: no column is a struct, a map or a union.
    pub fn new(keys: &[DataType], values: &[DataType]) -> Self {
        let converter = |types: &[DataType]| {
            let fields = types.iter().cloned().map(SortField::new).collect();
            RowConverter::new(fields).expect("columns have types that rows can hold")
        };
        Self { keys: converter(keys), values: (!values.is_empty()).then(|| converter(values)) }
    }

    pub fn keys(&self, columns: &[ArrayRef]) -> Keys {
        let nulls = columns.iter().fold(None, |nulls, column| NullBuffer::union(nulls.as_ref(), column.nulls()));
        Keys { rows: self.keys.convert_columns(columns).expect("the keys have the lookup's types"), nulls }
    }

    /// The rows of these columns.
    pub fn rows(&self, columns: &[ArrayRef], count: usize) -> Vec<Row> {
        match &self.values {
            None => vec![Row::from([]); count],
            Some(converter) => {
                let rows = converter.convert_columns(columns).expect("the columns have the lookup's types");
                rows.iter().map(|row| Row::from(row.as_ref())).collect()
            }
        }
    }

    /// The columns of these rows.
    pub fn columns(&self, rows: &[Row]) -> Vec<ArrayRef> {
        let Some(converter) = &self.values else { return Vec::new() };
        let parser = converter.parser();
        converter.convert_rows(rows.iter().map(|row| parser.parse(row))).expect("the bytes are those of rows")
    }
}

impl Keys {
    pub fn len(&self) -> usize {
        self.rows.num_rows()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The key's bytes; `None` where a part of it is null, which equals nothing.
    pub fn get(&self, row: usize) -> Option<&[u8]> {
        let is_null = self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row));
        // The bytes live as long as the rows, whatever the borrow of this call says.
        (!is_null).then(|| self.rows.row(row).data())
    }
}

/// What is known of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Read not longer ago than `max_age`; `None`: there was no such row.
    Fresh(Option<Row>),
    /// Read longer ago.
    Stale(Option<Row>),
    Unknown,
}

#[derive(Debug)]
struct Entry {
    row: Option<Row>,
    read: Instant,
}

/// The rows of a table that were read, as many as are allowed.
pub struct Cache {
    entries: LruCache<Box<[u8]>, Entry>,
    max_age: Duration,
}

impl Cache {
    pub fn new(max_rows: usize, max_age: Duration) -> Self {
        Self { entries: LruCache::new(max_rows), max_age }
    }

    pub fn get(&mut self, key: &[u8], now: Instant) -> Found {
        match self.entries.get(key) {
            None => Found::Unknown,
            Some(entry) if now.saturating_duration_since(entry.read) <= self.max_age => Found::Fresh(entry.row.clone()),
            Some(entry) => Found::Stale(entry.row.clone()),
        }
    }

    /// What was read at `read`; that there is no row is kept, too.
    pub fn put(&mut self, key: &[u8], row: Option<Row>, read: Instant) {
        self.entries.insert(key.into(), Entry { row, read });
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use arrow_array::{Int64Array, StringArray};

    use super::*;

    fn codec() -> Codec {
        Codec::new(&[DataType::Int64, DataType::Utf8], &[DataType::Utf8, DataType::Int64])
    }

    #[test]
    fn columns_come_back_as_they_went() {
        let names: ArrayRef = Arc::new(StringArray::from(vec![Some("ä"), None, Some("")]));
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![Some(-1), Some(i64::MAX), None]));
        let rows = codec().rows(&[names.clone(), numbers.clone()], 3);
        assert_eq!(codec().columns(&rows), [names, numbers]);
        let nothing = Codec::new(&[DataType::Int64], &[]);
        assert_eq!(nothing.columns(&nothing.rows(&[], 2)), Vec::<ArrayRef>::new());
    }

    #[test]
    fn a_key_with_a_null_is_no_key() {
        let ids: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None, Some(1), Some(1)]));
        let names: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), Some("a"), None, Some("a")]));
        let keys = codec().keys(&[ids, names]);
        assert_eq!((keys.get(1), keys.get(2)), (None, None));
        assert!(keys.get(0).is_some() && keys.get(0) == keys.get(3));
    }

    #[test]
    fn entries_age_and_the_least_used_go() {
        let start = Instant::now();
        let mut cache = Cache::new(2, Duration::from_secs(10));
        let row = |byte: u8| Some(Row::from([byte]));
        cache.put(b"a", row(1), start);
        cache.put(b"b", None, start);
        assert_eq!(cache.get(b"a", start + Duration::from_secs(10)), Found::Fresh(row(1)));
        assert_eq!(cache.get(b"b", start + Duration::from_secs(11)), Found::Stale(None));
        cache.put(b"c", row(3), start);
        assert_eq!(cache.get(b"a", start), Found::Unknown, "the least recently used");
        assert_eq!((cache.get(b"b", start), cache.len()), (Found::Fresh(None), 2));
    }
}
