//! What is wrong with a configuration: every problem with its place, what is allowed, and its cure.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;

/// Where a setting was written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// A file as a whole, or a directory.
    File(Arc<Path>),
    /// Line and column count from 1; columns count characters.
    Text { file: Arc<Path>, line: usize, column: usize },
    /// An environment variable, by its name.
    Variable(Arc<str>),
    /// The command line, or nowhere in particular.
    Nowhere,
}

impl Place {
    pub fn file(path: &Path) -> Self {
        Self::File(path.into())
    }

    pub fn variable(name: &str) -> Self {
        Self::Variable(name.into())
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(file) => f.write_str(&printable(&file.to_string_lossy())),
            Self::Text { file, line, column } => write!(f, "{}:{line}:{column}", printable(&file.to_string_lossy())),
            Self::Variable(name) => f.write_str(&printable(name)),
            Self::Nowhere => f.write_str("tidegate"),
        }
    }
}

/// The kind of a problem, for machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// The file cannot be read, is too large, or is not UTF-8.
    File,
    /// Not TOML.
    Syntax,
    UnknownKey,
    /// A key or value that a later version will have.
    NotYet,
    Missing,
    /// A text where a number belongs, and the like.
    Type,
    /// A value that the option does not take.
    Value,
    /// A number, size or time beyond its bounds.
    Bounds,
    /// Two settings that exclude each other, or one that can have no effect.
    Contradiction,
    /// `${..}` that is unset, unreadable or malformed.
    Reference,
    UnknownVariable,
    /// Not wrong, but dangerous.
    Warning,
}

/// One problem. No text in it holds a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub place: Place,
    pub rule: Rule,
    /// What is wrong.
    pub what: String,
    /// What the option takes; empty where that says nothing more.
    pub allowed: String,
    /// What to write or do instead.
    pub cure: String,
}

impl Problem {
    pub fn new(place: &Place, rule: Rule, what: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { place: place.clone(), rule, what: what.into(), allowed: String::new(), cure: cure.into() }
    }

    #[must_use]
    pub fn allowed(mut self, allowed: impl Into<String>) -> Self {
        self.allowed = allowed.into();
        self
    }

    /// The file, where there is one.
    pub fn file(&self) -> Option<&Path> {
        match &self.place {
            Place::File(file) | Place::Text { file, .. } => Some(file),
            Place::Variable(_) | Place::Nowhere => None,
        }
    }

    /// Line and column, both from 1.
    pub fn position(&self) -> Option<(usize, usize)> {
        match self.place {
            Place::Text { line, column, .. } => Some((line, column)),
            _ => None,
        }
    }

    /// The environment variable that holds the setting.
    pub fn variable(&self) -> Option<&str> {
        match &self.place {
            Place::Variable(name) => Some(name),
            _ => None,
        }
    }
}

/// One line: the place, what is wrong, what is allowed, the cure.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)?;
        if !self.allowed.is_empty() {
            write!(f, "; allowed: {}", self.allowed)?;
        }
        if !self.cure.is_empty() {
            write!(f, "; {}", self.cure)?;
        }
        Ok(())
    }
}

impl Serialize for Problem {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Plain<'a> {
            file: Option<String>,
            line: Option<usize>,
            column: Option<usize>,
            variable: Option<&'a str>,
            rule: Rule,
            what: &'a str,
            allowed: &'a str,
            cure: &'a str,
        }
        Plain {
            file: self.file().map(|file| file.to_string_lossy().into_owned()),
            line: self.position().map(|position| position.0),
            column: self.position().map(|position| position.1),
            variable: self.variable(),
            rule: self.rule,
            what: &self.what,
            allowed: &self.allowed,
            cure: &self.cure,
        }
        .serialize(serializer)
    }
}

/// Every problem of every file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Problems(Vec<Problem>);

impl Problems {
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a problem. One variable goes to every pipeline: its problem is told once.
    pub fn push(&mut self, problem: Problem) {
        if problem.variable().is_none() || !self.0.contains(&problem) {
            self.0.push(problem);
        }
    }

    /// Takes over the problems of another load, so that pipelines and daemon file are told together.
    pub fn extend(&mut self, others: Problems) {
        others.0.into_iter().for_each(|problem| self.push(problem));
    }

    /// All values, or the problems of all.
    ///
    /// # Errors
    /// The problems of every result that has some.
    pub fn of<T>(results: impl IntoIterator<Item = Result<T, Self>>) -> Result<Vec<T>, Self> {
        let (mut values, mut all) = (Vec::new(), Self::new());
        for result in results {
            match result {
                Ok(value) => values.push(value),
                Err(problems) => all.extend(problems),
            }
        }
        all.check().map(|()| values)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.0.iter()
    }

    /// `Ok` where there is no problem; else all of them in the order of files and lines, variables last.
    ///
    /// # Errors
    /// Itself, unless it is empty.
    pub fn check(mut self) -> Result<(), Self> {
        if self.0.is_empty() {
            return Ok(());
        }
        self.0.sort_by(|a, b| {
            // Variables have neither file nor position: they come last, by name.
            let files = (a.file().is_none(), a.file()).cmp(&(b.file().is_none(), b.file()));
            files.then(a.position().cmp(&b.position())).then(a.variable().cmp(&b.variable()))
        });
        Err(self)
    }
}

impl<'a> IntoIterator for &'a Problems {
    type Item = &'a Problem;
    type IntoIter = std::slice::Iter<'a, Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// One problem a line, and their number.
impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in self {
            writeln!(f, "{problem}")?;
        }
        match self.len() {
            1 => f.write_str("1 problem in the configuration; nothing was started or changed"),
            count => write!(f, "{count} problems in the configuration; nothing was started or changed"),
        }
    }
}

impl std::error::Error for Problems {}

/// The longest piece of an input that a message repeats, in characters.
const LONGEST_QUOTE: usize = 80;

/// An input's text, fit for one line of a terminal or log: control and direction characters escaped, cut where long.
pub fn printable(text: &str) -> String {
    let mut quoted: String = text.chars().take(LONGEST_QUOTE).collect();
    if quoted.len() < text.len() {
        quoted.push_str("...");
    }
    let keep = |c: char| c == '"' || c == '\'' || c == '\\';
    quoted.chars().map(|c| if keep(c) { c.to_string() } else { c.escape_debug().to_string() }).collect()
}

/// The nearest of the allowed words, if one is near enough to be meant.
pub fn nearest<'a>(word: &str, allowed: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // A word longer than any option is no typing mistake, and the distance is quadratic.
    if word.len() > 200 {
        return None;
    }
    let lower = word.to_lowercase();
    allowed
        .into_iter()
        .map(|candidate| (strsim::normalized_damerau_levenshtein(&lower, &candidate.to_lowercase()), candidate))
        .filter(|(similarity, _)| *similarity >= 0.55)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_stays_on_its_line() {
        assert_eq!(printable("a\nb\u{1b}[2J\u{202e}c"), "a\\nb\\u{1b}[2J\\u{202e}c");
        assert_eq!(printable(&"x".repeat(500)).len(), LONGEST_QUOTE + 3);
        assert_eq!(printable(r#"C:\a "b""#), r#"C:\a "b""#);
    }

    #[test]
    fn only_a_near_word_is_proposed() {
        assert_eq!(nearest("brokrs", ["brokers", "topics"]), Some("brokers"));
        assert_eq!(nearest("UPSRT", ["append", "upsert"]), Some("upsert"));
        assert_eq!(nearest("zzz", ["append", "upsert"]), None);
    }

    #[test]
    fn problems_are_counted_sorted_and_told_once() {
        let file: Arc<Path> = Path::new("a.toml").into();
        let at = |line| Place::Text { file: Arc::clone(&file), line, column: 1 };
        let mut problems = Problems::new();
        for place in [Place::variable("TIDEGATE__X"), at(9), at(2), Place::variable("TIDEGATE__X")] {
            problems.push(Problem::new(&place, Rule::Value, "what", "cure"));
        }
        let told = problems.check().unwrap_err().to_string();
        let lines: Vec<&str> = told.lines().collect();
        assert_eq!(lines[0], "a.toml:2:1: what; cure");
        assert_eq!(lines[2], "TIDEGATE__X: what; cure");
        assert!(lines[3].starts_with("3 problems"));
    }
}
