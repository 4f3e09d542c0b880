//! One-dimensional arrays.

use std::fmt;
use std::sync::Arc;

use arrow_array::{ArrayRef, ListArray};
use arrow_buffer::NullBuffer;
use arrow_schema::{Field, FieldRef};
use serde::Deserializer;
use serde::de::{Error, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::decode::builders::{Cells, Ends, Nullable};
use crate::decode::problem::Problem;
use crate::decode::token::{Input, Token};
use crate::types::ColumnType;

use super::text::checked;

/// JSON arrays whose elements are values of one type or null. Arrays within are a fault, except in `json[]`.
pub(super) struct Lists {
    field: FieldRef,
    ends: Ends,
    elements: Nullable,
    may_nest: bool,
}

impl Lists {
    pub fn new(element: &ColumnType, elements: Box<dyn Cells>) -> Self {
        Self {
            field: Arc::new(Field::new_list_field(element.arrow(), true)),
            ends: Ends::default(),
            elements: Nullable::new(elements),
            may_nest: matches!(element, ColumnType::Json | ColumnType::List(_)),
        }
    }
}

impl Cells for Lists {
    fn put(&mut self, input: Input<'_>, scratch: &mut String) -> Result<(), Problem> {
        let json = match input {
            Input::Json(json) => json,
            Input::Plain(text) => checked(text)?,
            Input::Bytes(_) => return Err(Problem::wrong_type("bytes (with key_format = \"bytes\")")),
        };
        if !json.starts_with('[') {
            return Err(Problem::wrong_type(Input::Json(json).token(scratch)?.kind()));
        }
        let mut problem = None;
        let elements = Elements { list: self, scratch, problem: &mut problem };
        let read = serde_json::Deserializer::from_str(json).deserialize_seq(elements);
        if let Some(problem) = problem {
            return Err(Problem::new(problem.class, format!("{} as an element", problem.found)));
        }
        read.map_err(|_| Problem::new("invalid-json", "an array that is not valid JSON"))?;
        self.ends.push(self.elements.len())
    }

    fn put_null(&mut self) {
        self.ends.repeat();
    }

    fn truncate(&mut self, len: usize) {
        self.ends.truncate(len);
        self.elements.truncate(self.ends.last());
    }

    fn take(&mut self, nulls: Option<NullBuffer>) -> ArrayRef {
        let array = ListArray::try_new(self.field.clone(), self.ends.take(), self.elements.take(), nulls);
        Arc::new(array.expect("the ends lie within the elements, which have the field's type"))
    }
}

/// Puts the elements of one array into the list.
struct Elements<'a> {
    list: &'a mut Lists,
    scratch: &'a mut String,
    problem: &'a mut Option<Problem>,
}

impl<'de> Visitor<'de> for Elements<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<(), A::Error> {
        while let Some(element) = array.next_element::<&RawValue>()? {
            let json = element.get();
            let put = if json.starts_with('[') && !self.list.may_nest {
                Err(Problem::wrong_type(Token::Array(json).kind()))
            } else {
                self.list.elements.put(Input::Json(json), self.scratch)
            };
            if let Err(problem) = put {
                *self.problem = Some(problem);
                return Err(A::Error::custom("an element does not fit"));
            }
        }
        Ok(())
    }
}
