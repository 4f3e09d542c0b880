//! What a failed expression says: by kind, for the engine's own messages quote values.

use arrow_schema::ArrowError;
use datafusion_common::DataFusionError;

use crate::dead_letter::{Fault, Stage};

use super::functions::RowError;

/// Where an expression stands.
#[derive(Debug, Clone)]
pub enum Place {
    /// Nobody knows where.
    Statement,
    Filter,
    /// The condition of the `[[check]]` of this name.
    Check(String),
    /// The n-th UNNEST.
    Unnest,
    Output {
        name: String,
        text: String,
    },
}

/// An expression that failed on a batch.
#[derive(Debug)]
pub struct Failure {
    pub place: Place,
    pub error: DataFusionError,
}

/// Expressions are quoted up to here.
const LONGEST_TEXT: usize = 120;

impl Failure {
    pub fn fault(&self) -> Fault {
        let (class, what) = kind(&self.error);
        let (reason, column) = match &self.place {
            Place::Statement => (what.to_owned(), None),
            Place::Filter => (format!("WHERE: {what}"), None),
            Place::Check(name) => (format!("check {name}: {what}"), None),
            Place::Unnest => (format!("UNNEST: {what}"), None),
            Place::Output { name, text } if text == name => (format!("column {name}: {what}"), Some(name.clone())),
            Place::Output { name, text } => (format!("column {name}: {what}, in {}", short(text)), Some(name.clone())),
        };
        let stage = if matches!(self.place, Place::Check(_)) { Stage::Check } else { Stage::Transform };
        Fault { stage, class, code: String::new(), reason, column }
    }
}

fn short(text: &str) -> String {
    match text.char_indices().nth(LONGEST_TEXT) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

const BEYOND: (&str, &str) = ("out-of-range", "the result is beyond the range of its type");
const NO_CAST: (&str, &str) = ("wrong-type", "a value cannot be cast to the type asked for");

/// Class and sentence of an error.
fn kind(error: &DataFusionError) -> (&'static str, &'static str) {
    match error.find_root() {
        DataFusionError::External(error) => match error.downcast_ref::<RowError>() {
            Some(error) => (error.class, error.what),
            None => error.downcast_ref::<ArrowError>().map_or(("expression", "the expression failed"), arrow_kind),
        },
        DataFusionError::ArrowError(error, _) => arrow_kind(error),
        other => text_kind(&other.strip_backtrace()),
    }
}

fn arrow_kind(error: &ArrowError) -> (&'static str, &'static str) {
    match error {
        ArrowError::DivideByZero => ("division-by-zero", "division by zero"),
        ArrowError::ArithmeticOverflow(_) | ArrowError::OffsetOverflowError(_) => BEYOND,
        ArrowError::ParseError(_) => NO_CAST,
        ArrowError::ExternalError(error) => match error.downcast_ref::<RowError>() {
            Some(error) => (error.class, error.what),
            None => ("expression", "the expression failed"),
        },
        ArrowError::CastError(text) if !is_beyond(text) => NO_CAST,
        other => text_kind(&other.to_string()),
    }
}

fn is_beyond(text: &str) -> bool {
    let text = text.to_lowercase();
    let words =
        ["overflow", "too large", "too small", "out of range", "exceeds", "can't cast value", "cannot be represented"];
    words.iter().any(|word| text.contains(word))
}

fn text_kind(text: &str) -> (&'static str, &'static str) {
    let lower = text.to_lowercase();
    if lower.contains("divide by zero") || lower.contains("division by zero") {
        ("division-by-zero", "division by zero")
    } else if is_beyond(text) {
        BEYOND
    } else if lower.contains("regular expression") || lower.contains("regex") {
        ("expression", "a pattern is no regular expression")
    } else if lower.contains("cast") || lower.contains("parse") {
        NO_CAST
    } else {
        ("expression", "the expression failed")
    }
}
