//! A file's text -> values with their places.
//!
//! The layering crate keeps one text per value, its origin. The place is written into it: `line:column` of the value,
//! `@`, `line:column` of its key, and for a text `#` and the place of its first character; for a value from the
//! environment, `$` and the variable's name.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use ::config::{Map, Value, ValueKind};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{Place, Problem, Problems, Rule};

/// No pipeline file is this large; a wrong path may be.
const LARGEST_FILE: u64 = 4 << 20;

/// After this many places that are not TOML the rest is noise that follows from the first.
const MOST_SYNTAX_PROBLEMS: usize = 10;

/// A file's text, or a problem.
pub fn read(path: &Path, problems: &mut Problems) -> Option<String> {
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).and_then(|file| file.take(LARGEST_FILE + 1).read_to_end(&mut bytes));
    if let Err(error) = file {
        let what = format!("the file cannot be read: {}", reason(&error));
        problems.push(Problem::new(&Place::file(path), Rule::File, what, "check the path and its permissions"));
        return None;
    }
    if bytes.len() as u64 > LARGEST_FILE {
        let what = "the file is larger than 4 MiB";
        problems.push(Problem::new(&Place::file(path), Rule::File, what, "give a Tidegate configuration file"));
        return None;
    }
    match String::from_utf8(bytes) {
        Ok(text) => Some(text),
        Err(error) => {
            let valid = error.utf8_error().valid_up_to();
            let text = String::from_utf8_lossy(&error.as_bytes()[..valid]).into_owned();
            let place = Lines::new(&text, &path.into()).place(valid);
            let cure = "save the file as UTF-8";
            problems.push(Problem::new(&place, Rule::File, "the file is not UTF-8 from here on", cure));
            None
        }
    }
}

/// An I/O error without the operating system's number.
pub fn reason(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "it does not exist".to_owned(),
        std::io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        std::io::ErrorKind::IsADirectory => "it is a directory".to_owned(),
        kind => kind.to_string(),
    }
}

/// The text as a tree. A repeated key is a problem that leaves the rest readable; any other syntax error does not.
pub fn parse(text: &str, path: &Path, problems: &mut Problems) -> Option<Value> {
    let lines = Lines::new(text, &path.into());
    let (root, errors) = DeTable::parse_recoverable(text);
    let mut readable = true;
    for error in errors.iter().take(MOST_SYNTAX_PROBLEMS) {
        let place = lines.place(error.span().map_or(0, |span| span.start));
        if error.message() == "duplicate key" {
            let what = "this key or table was written before";
            let cure = "keep one; a list of tables is written [[table]]";
            problems.push(Problem::new(&place, Rule::Syntax, what, cure));
        } else {
            readable = false;
            let cure = "texts stand in \"quotes\", lists in [brackets], one setting a line";
            problems.push(Problem::new(&place, Rule::Syntax, format!("not TOML: {}", error.message()), cure));
        }
    }
    let mut reader = Reader { lines, problems };
    readable.then(|| reader.table("1:1@1:1".to_owned(), root.get_ref()))
}

struct Reader<'a> {
    lines: Lines<'a>,
    problems: &'a mut Problems,
}

impl Reader<'_> {
    fn table(&mut self, origin: String, table: &DeTable<'_>) -> Value {
        let entries = table.iter().map(|(key, value)| {
            let key_at = self.lines.text(key.span().start);
            (key.get_ref().clone().into_owned(), self.value(value, &key_at))
        });
        let entries: Map<String, Value> = entries.collect();
        Value::new(Some(&origin), entries)
    }

    fn value(&mut self, value: &Spanned<DeValue<'_>>, key_at: &str) -> Value {
        let start = value.span().start;
        let at = self.lines.text(start);
        let mut origin = format!("{at}@{key_at}");
        if matches!(value.get_ref(), DeValue::String(_)) {
            origin = format!("{origin}#{}", self.lines.text(start + self.lines.quote(start)));
        }
        let kind = match value.get_ref() {
            DeValue::String(text) => ValueKind::String(text.clone().into_owned()),
            DeValue::Boolean(value) => ValueKind::Boolean(*value),
            // As text: what reads it says which times it takes.
            DeValue::Datetime(time) => ValueKind::String(time.to_string()),
            DeValue::Float(float) => float.as_str().parse().map_or(ValueKind::Nil, ValueKind::Float),
            DeValue::Integer(integer) => match i128::from_str_radix(integer.as_str(), integer.radix()) {
                Ok(integer) => ValueKind::I128(integer),
                Err(_) => {
                    let cure = "write a smaller number";
                    let place = self.lines.place(start);
                    self.problems.push(Problem::new(&place, Rule::Bounds, "the number is too large", cure));
                    ValueKind::Nil
                }
            },
            DeValue::Array(items) => ValueKind::Array(
                items
                    .iter()
                    .map(|item| {
                        let at = self.lines.text(item.span().start);
                        self.value(item, &at)
                    })
                    .collect(),
            ),
            DeValue::Table(table) => return self.table(origin, table),
        };
        Value::new(Some(&origin), kind)
    }
}

/// Byte offsets as lines and columns.
struct Lines<'a> {
    text: &'a str,
    file: Arc<Path>,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    fn new(text: &'a str, file: &Arc<Path>) -> Self {
        let starts = std::iter::once(0).chain(memchr::memchr_iter(b'\n', text.as_bytes()).map(|at| at + 1));
        Self { text, file: Arc::clone(file), starts: starts.collect() }
    }

    fn position(&self, offset: usize) -> (usize, usize) {
        let offset = self.text.floor_char_boundary(offset);
        let line = self.starts.partition_point(|start| *start <= offset);
        let before = &self.text[self.starts[line - 1]..offset];
        (line, before.trim_start_matches('\u{feff}').chars().count() + 1)
    }

    /// How many bytes the opening quote takes of the text that begins at `offset`, the line break after it included.
    fn quote(&self, offset: usize) -> usize {
        let text = &self.text[offset..];
        let quote = ["\"\"\"\r\n", "\"\"\"\n", "\"\"\"", "'''\r\n", "'''\n", "'''"]
            .iter()
            .find(|quote| text.starts_with(**quote));
        quote.map_or(1, |quote| quote.len())
    }

    fn text(&self, offset: usize) -> String {
        let (line, column) = self.position(offset);
        format!("{line}:{column}")
    }

    fn place(&self, offset: usize) -> Place {
        let (line, column) = self.position(offset);
        Place::Text { file: Arc::clone(&self.file), line, column }
    }
}

/// The origin of a value that the environment gives.
pub fn variable_origin(name: &str) -> String {
    format!("${name}")
}

/// Where a value stands.
pub struct Places {
    pub value: Place,
    pub key: Place,
    /// The first character, where the value is a text.
    pub text: Place,
}

/// The places of a value, from its origin.
pub fn places(origin: Option<&str>, file: &Arc<Path>) -> Places {
    let all = |place: Place| Places { value: place.clone(), key: place.clone(), text: place };
    let Some(origin) = origin else { return all(Place::File(Arc::clone(file))) };
    if let Some(name) = origin.strip_prefix('$') {
        return all(Place::variable(name));
    }
    let (value, rest) = origin.split_once('@').unwrap_or((origin, origin));
    let (key, text) = rest.split_once('#').unwrap_or((rest, value));
    Places { value: text_place(value, file), key: text_place(key, file), text: text_place(text, file) }
}

fn text_place(at: &str, file: &Arc<Path>) -> Place {
    let position = at.split_once(':').and_then(|(line, column)| Some((line.parse().ok()?, column.parse().ok()?)));
    match position {
        Some((line, column)) => Place::Text { file: Arc::clone(file), line, column },
        None => Place::File(Arc::clone(file)),
    }
}
