//! What is wrong with one value, before the column's name is put to it.

use std::borrow::Cow;

use crate::dead_letter::{Fault, Stage};

/// Why a value does not fit its column. `found` completes the sentence "expected <type>, found ..." and never holds
/// the value itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    pub class: &'static str,
    pub found: Cow<'static, str>,
}

impl Problem {
    pub fn new(class: &'static str, found: impl Into<Cow<'static, str>>) -> Self {
        Self { class, found: found.into() }
    }

    pub fn wrong_type(found: &'static str) -> Self {
        Self::new("wrong-type", found)
    }

    pub fn out_of_range() -> Self {
        Self::new("out-of-range", "a number beyond its range")
    }

    /// A value that would have to be rounded.
    pub fn inexact() -> Self {
        Self::new("inexact", "a number that has more digits after the point than the column keeps")
    }
}

/// A fault of the record as a whole.
pub(super) fn record_fault(class: &'static str, reason: impl Into<String>) -> Fault {
    Fault { stage: Stage::Decode, class, code: String::new(), reason: reason.into(), column: None }
}
