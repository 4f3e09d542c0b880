//! CSV files: read whole, with a header line, texts alone.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek};
use std::path::Path;
use std::time::SystemTime;

use csv::{Position, Reader, ReaderBuilder, StringRecord};

use super::Texts;

/// The names of a file's columns.
///
/// # Errors
/// Why the file cannot be read, without any value of it.
pub fn header(path: &Path) -> Result<Vec<String>, String> {
    let mut file = Csv::open(path)?;
    let read = file.reader.headers().map(|names| names.iter().map(str::to_owned).collect::<Vec<_>>());
    let names = read.map_err(|error| file.fault(&error))?;
    if names.iter().all(String::is_empty) {
        return Err(format!("{} has no header line", path.display()));
    }
    for (index, name) in names.iter().enumerate() {
        if name.is_empty() || name.chars().any(char::is_control) {
            return Err(format!("{}, line 1: column {} has no name", path.display(), index + 1));
        }
        if names[..index].contains(name) {
            return Err(format!("{}, line 1: two columns are called {name}", path.display()));
        }
    }
    Ok(names)
}

/// What a file holds in the columns that are asked for, with the line of each row. An empty field is null.
///
/// # Errors
/// As [`header`]; also a line with another number of fields than the header, a missing column, more than `max_rows`
/// rows.
pub fn read(path: &Path, columns: &[&str], max_rows: usize) -> Result<(Vec<u64>, Vec<Texts>), String> {
    let names = header(path)?;
    let mut file = Csv::open(path)?;
    // Else the library counts the lines from here on otherwise.
    file.reader.headers().map(drop).map_err(|error| file.fault(&error))?;
    let index = |column: &&str| {
        let index = names.iter().position(|name| name == *column);
        index.ok_or_else(|| format!("{} has no column {column}", path.display()))
    };
    let indexes: Vec<usize> = columns.iter().map(index).collect::<Result<_, _>>()?;
    let (mut lines, mut rows) = (Vec::new(), Vec::new());
    let mut record = StringRecord::new();
    while file.reader.read_record(&mut record).map_err(|error| file.fault(&error))? {
        if rows.len() == max_rows {
            let path = path.display();
            return Err(format!("{path} has more than {max_rows} rows: raise `max_rows`, or use a table"));
        }
        lines.push(file.line(record.position()));
        let text = |index: &usize| record.get(*index).filter(|text| !text.is_empty()).map(str::to_owned);
        rows.push(indexes.iter().map(text).collect());
    }
    Ok((lines, rows))
}

/// What tells one version of a file from another.
pub fn version(path: &Path) -> Option<(SystemTime, u64)> {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

struct Csv<'a> {
    path: &'a Path,
    reader: Reader<File>,
    /// What the library's line numbers lack: where lines end with CR LF, it counts a line at the LF, which it takes for
    /// the beginning of the next.
    late: u64,
}

/// A header line longer than this is none.
const LONGEST_HEADER: u64 = 1 << 20;

impl<'a> Csv<'a> {
    fn open(path: &'a Path) -> Result<Self, String> {
        let unreadable = |error: std::io::Error| format!("{} cannot be read: {error}", path.display());
        let mut file = File::open(path).map_err(unreadable)?;
        let mut first = Vec::new();
        BufReader::new((&file).take(LONGEST_HEADER)).read_until(b'\n', &mut first).map_err(unreadable)?;
        file.rewind().map_err(unreadable)?;
        let late = u64::from(first.ends_with(b"\r\n"));
        Ok(Self { path, reader: ReaderBuilder::new().from_reader(file), late })
    }

    fn line(&self, position: Option<&Position>) -> u64 {
        position.map_or(0, Position::line) + self.late
    }

    /// The library's own messages may quote a field.
    fn fault(&self, error: &csv::Error) -> String {
        use csv::ErrorKind::{Io, UnequalLengths, Utf8};
        let line =
            error.position().map_or_else(String::new, |position| format!(", line {}", self.line(Some(position))));
        let what = match error.kind() {
            Io(error) => format!("cannot be read: {error}"),
            Utf8 { .. } => "is not UTF-8".to_owned(),
            UnequalLengths { expected_len, len, .. } => format!("has {len} fields, the header line {expected_len}"),
            _ => "is no CSV".to_owned(),
        };
        format!("{}{line}: {what}", self.path.display())
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use tempfile::TempDir;

    use super::*;

    fn file(text: &[u8]) -> (TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.csv");
        std::fs::write(&path, text).unwrap();
        (folder, path)
    }

    #[test]
    fn quoted_fields_may_hold_anything_and_empty_ones_are_null() {
        let text = "\u{feff}id,name,note\r\n1,\"a, \"\"b\"\"\nc\",\r\n2,,x\r\n";
        let (_folder, path) = file(text.as_bytes());
        assert_eq!(header(&path).unwrap(), ["id", "name", "note"]);
        let (lines, rows) = read(&path, &["name", "id"], 10).unwrap();
        assert_eq!(
            rows,
            [vec![Some("a, \"b\"\nc".to_owned()), Some("1".to_owned())], vec![None, Some("2".to_owned())]]
        );
        assert_eq!(lines, [2, 4]);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line_and_no_value() {
        let message = |text: &[u8]| {
            let (_folder, path) = file(text);
            read(&path, &["id"], 1).unwrap_err().split_once("c.csv").unwrap().1.to_owned()
        };
        assert_eq!(message(b"id,name\n1,a\nsecret\n"), ", line 3: has 1 fields, the header line 2");
        assert_eq!(message(b"id\n\xff\n"), ", line 2: is not UTF-8");
        assert_eq!(message(b"id\n1\n2\n"), " has more than 1 rows: raise `max_rows`, or use a table");
        assert_eq!(message(b"name\na\n"), " has no column id");
        assert_eq!(message(b""), " has no header line");
        assert_eq!(message(b"id,id\n"), ", line 1: two columns are called id");
        assert!(header(Path::new("/nowhere/c.csv")).unwrap_err().starts_with("/nowhere/c.csv cannot be read"));
    }
}
