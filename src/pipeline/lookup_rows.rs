//! A lookup's rows: texts into typed columns, by the decoder that reads every plain text, and those that are held whole.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use arrow_array::{Array, ArrayRef};
use hashbrown::HashMap;

use crate::config::{KeyFormat, Lookup, LookupFrom, Pipeline};
use crate::dead_letter::Fault;
use crate::decode;
use crate::events;
use crate::lease::Lease;
use crate::lookup::cache::{Codec, Row};
use crate::lookup::{Texts, file};
use crate::offsets::TopicPartition;
use crate::records::Records;
use crate::rows::{BytesEncoding, ColumnSource, InputColumn, InputSchema};

/// Rows by their keys.
pub type ByKey = HashMap<Box<[u8]>, Row>;

/// A row with its key; `None`: a part of the key is null.
pub type Keyed = (Option<Box<[u8]>>, Row);

/// The columns that are read of a lookup.
pub struct Columns {
    pub codec: Codec,
    /// One per column that is read.
    schema: Arc<InputSchema>,
    /// Places in the schema.
    key: Vec<usize>,
    used: Vec<usize>,
    /// Indexes into the lookup's columns, of `used`.
    indexes: Vec<usize>,
    /// How many the lookup has.
    count: usize,
}

/// The columns that are read, by index: those that SQL names, and the key's.
pub fn read_columns(lookup: &Lookup, used: &BTreeSet<usize>) -> Vec<usize> {
    let key = lookup.key.iter().filter_map(|name| lookup.column(name));
    key.chain(used.iter().copied()).collect::<BTreeSet<_>>().into_iter().collect()
}

impl Columns {
    pub fn new(lookup: &Lookup, used: &BTreeSet<usize>, timezone: Option<&str>) -> Self {
        let read = read_columns(lookup, used);
        let place = |index: &usize| read.iter().position(|other| other == index);
        let is_table = lookup.table().is_some();
        let column = |(place, index): (usize, &usize)| InputColumn {
            name: lookup.columns()[*index].name.clone(),
            ty: lookup.columns()[*index].ty.clone(),
            source: ColumnSource::Header(place.to_string()),
            unit: None,
            encoding: if is_table { BytesEncoding::Hex } else { BytesEncoding::Base64 },
            default: None,
            key: false,
        };
        let columns: Vec<InputColumn> = read.iter().enumerate().map(column).collect();
        // The connections' time zone.
        let timezone = if is_table { Some("UTC".to_owned()) } else { timezone.map(str::to_owned) };
        let key: Vec<usize> = lookup.key.iter().filter_map(|name| place(&lookup.column(name)?)).collect();
        let values: Vec<usize> = used.iter().filter_map(place).collect();
        let types = |places: &[usize]| places.iter().map(|place| columns[*place].ty.arrow()).collect::<Vec<_>>();
        Self {
            codec: Codec::new(&types(&key), &types(&values)),
            key,
            used: values,
            indexes: used.iter().copied().collect(),
            count: lookup.columns().len(),
            schema: InputSchema::new(columns.clone(), timezone),
        }
    }

    /// The rows that these texts are.
    ///
    /// # Errors
    /// The first row that is not of the columns' types, by its index.
    pub fn read(&self, texts: &[Texts]) -> Result<Vec<Keyed>, (usize, Fault)> {
        let lease = Arc::new(Lease::new(TopicPartition::new("lookup", 0), 0, 0));
        let names: Vec<String> = (0..self.schema.columns.len()).map(|place| place.to_string()).collect();
        let mut records = Records::default();
        for (offset, row) in (0..).zip(texts) {
            let headers =
                names.iter().zip(row).map(|(name, text)| (name.as_bytes(), text.as_deref().map(str::as_bytes)));
            let pushed = records.push(&lease, offset, offset, None, None, Some(b"{}"), headers);
            pushed.expect("the offsets rise by one");
        }
        let decoded = decode::json(self.schema.clone(), KeyFormat::Text).decode(&records);
        if let Some((row, fault)) = decoded.bad.into_iter().next() {
            return Err((row as usize, fault));
        }
        let columns = |places: &[usize]| -> Vec<ArrayRef> {
            places.iter().map(|place| decoded.rows.batch.column(*place).clone()).collect()
        };
        let keys = self.codec.keys(&columns(&self.key));
        let rows = self.codec.rows(&columns(&self.used), texts.len());
        Ok(rows.into_iter().enumerate().map(|(index, row)| (keys.get(index).map(Box::from), row)).collect())
    }

    /// The lookup's columns of these rows, by index; `None` where nobody reads the column.
    pub fn spread(&self, rows: &[Row]) -> Vec<Option<ArrayRef>> {
        let mut columns = vec![None; self.count];
        for (index, array) in self.indexes.iter().zip(self.codec.columns(rows)) {
            debug_assert_eq!(array.len(), rows.len());
            columns[*index] = Some(array);
        }
        columns
    }

    fn names(&self) -> Vec<&str> {
        self.schema.columns.iter().map(|column| column.name.as_str()).collect()
    }

    fn of_lines(&self, lookup: &Lookup, path: &Path, lines: &[u64], texts: &[Texts]) -> Result<ByKey, String> {
        self.by_key(lookup, texts, |row| format!("{}, line {}", path.display(), lines[row]))
    }

    /// `place`: how a row is called in a message.
    fn by_key(&self, lookup: &Lookup, texts: &[Texts], place: impl Fn(usize) -> String) -> Result<ByKey, String> {
        let rows = self.read(texts).map_err(|(row, fault)| format!("{}: {}", place(row), fault.reason))?;
        let mut firsts: HashMap<Box<[u8]>, usize> = HashMap::new();
        let mut found = ByKey::with_capacity(rows.len());
        for (index, (key, row)) in rows.into_iter().enumerate() {
            let key_columns = || lookup.key.join(", ");
            let Some(key) = key else {
                return Err(format!("{}: a part of the key ({}) is empty", place(index), key_columns()));
            };
            if let Some(first) = firsts.insert(key.clone(), index) {
                return Err(format!(
                    "{}: its key ({}) is that of {}: keep one row, or name more columns in `key`",
                    place(index),
                    key_columns(),
                    place(first)
                ));
            }
            found.insert(key, row);
        }
        Ok(found)
    }
}

/// All rows of a file or of a case.
pub struct Held {
    rows: tokio::sync::Mutex<Version>,
    file: Option<PathBuf>,
}

struct Version {
    rows: Arc<ByKey>,
    version: Option<(SystemTime, u64)>,
    checked: Instant,
}

impl Held {
    fn new(rows: ByKey, file: Option<PathBuf>, version: Option<(SystemTime, u64)>) -> Self {
        let version = Version { rows: Arc::new(rows), version, checked: Instant::now() };
        Self { rows: tokio::sync::Mutex::new(version), file }
    }

    /// `None`: the lookup is no file.
    pub fn of_file(lookup: &Lookup, columns: &Columns) -> Option<Result<Self, String>> {
        let LookupFrom::File(path) = &lookup.from else { return None };
        // Before the rows, so that a change in between is seen.
        let version = file::version(path);
        Some(load(lookup, columns).map(|rows| Self::new(rows, Some(path.clone()), version)))
    }

    /// The rows of a case, as names with texts; a column that a row does not name is null.
    pub fn of_case(lookup: &Lookup, columns: &Columns, rows: &[Vec<(String, String)>]) -> Result<Self, String> {
        let text = |row: &[(String, String)], name: &str| {
            row.iter().find(|(column, _)| column == name).map(|(_, text)| text.clone())
        };
        let texts = rows.iter().map(|row| columns.names().into_iter().map(|name| text(row, name)).collect());
        let texts: Vec<Texts> = texts.collect();
        columns.by_key(lookup, &texts, |row| format!("row {}", row + 1)).map(|rows| Self::new(rows, None, None))
    }

    /// The rows, of the file's newest version that can be read. It is looked at every `max_age`.
    pub async fn current(&self, pipeline: &str, lookup: &Lookup, columns: &Columns) -> Arc<ByKey> {
        let mut held = self.rows.lock().await;
        let Some(path) = self.file.as_ref().filter(|_| held.checked.elapsed() > lookup.max_age) else {
            return held.rows.clone();
        };
        held.checked = Instant::now();
        let (path, names) = (path.clone(), columns.names().into_iter().map(str::to_owned).collect::<Vec<_>>());
        let (known, max_rows) = (held.version, lookup.max_rows);
        let look = move || {
            let version = file::version(&path);
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let read = (version != known).then(|| file::read(&path, &names, max_rows));
            (path, version, read)
        };
        let looked = tokio::task::spawn_blocking(look).await;
        let (path, version, read) = looked.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
        let Some(read) = read else { return held.rows.clone() };
        // A broken version is told once, and looked at again when it changes.
        held.version = version;
        match read.and_then(|(lines, texts)| columns.of_lines(lookup, &path, &lines, &texts)) {
            Ok(rows) => {
                events::lookup_reloaded(pipeline, &lookup.name, rows.len());
                held.rows = Arc::new(rows);
            }
            Err(what) => events::lookup_kept(pipeline, &lookup.name, &what),
        }
        held.rows.clone()
    }
}

/// What is wrong with the files of lookups, as sentences.
pub fn broken_files(pipeline: &Pipeline) -> Vec<String> {
    let broken = pipeline.lookups.iter().filter_map(|lookup| {
        let all = (0..lookup.columns().len()).collect();
        let columns = Columns::new(lookup, &all, pipeline.source.timezone.as_deref());
        let what = Held::of_file(lookup, &columns)?.err()?;
        Some(format!("lookup {}: {what}", lookup.name))
    });
    broken.collect()
}

fn load(lookup: &Lookup, columns: &Columns) -> Result<ByKey, String> {
    let LookupFrom::File(path) = &lookup.from else { return Ok(ByKey::new()) };
    let (lines, texts) = file::read(path, &columns.names(), lookup.max_rows)?;
    columns.of_lines(lookup, path, &lines, &texts)
}
