//! One pass over a JSON object, along the names that the columns ask for.
//!
//! The names form a tree, because a column may take its value from a nested object; each [`Level`] is one object. A
//! field's value goes as raw text straight into its columns. Everything else is skipped, but its syntax is checked.

mod names;

use std::fmt;
use std::ops::Range;

use serde::Deserializer;
use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::dead_letter::Fault;

use super::builders::Columns;
use super::document::{self, Part};
use super::token::{Input, Token};
use names::{Level, Meaning, NONE, Names};

/// A name that columns take their values from, or lead through.
#[derive(Default)]
struct Field {
    columns: Vec<usize>,
    /// The level of the object that is its value.
    below: Option<usize>,
    /// The walk that last met it by its exact name.
    exact_in: u64,
    /// The walk that last met it by a name that differs in case.
    folded_in: u64,
    /// The walk that last met several such names.
    ambiguous_in: u64,
}

/// A value whose name fits a field but for case: it counts once the whole object had nothing better.
struct Deferred {
    field: usize,
    /// Its place in the document.
    value: Range<usize>,
}

/// What the columns ask of a document.
pub(super) struct Tree {
    levels: Vec<Level>,
    names: Names,
    /// A stack: each object under way has its part of it on top.
    deferred: Vec<Deferred>,
    /// Counts the walks; tells which walk has met a field.
    walks: u64,
}

impl Tree {
    /// `reports`: are names that no column asks for remembered for [`Tree::take_unknown`]?
    pub fn new(reports: bool) -> Self {
        Self { levels: vec![Level::new(String::new())], names: Names::new(reports), deferred: Vec::new(), walks: 0 }
    }

    /// Lets a column take its value from the field that `path` leads to.
    pub fn add(&mut self, path: &[String], column: usize) {
        let mut level = 0;
        for (index, name) in path.iter().enumerate() {
            let field = self.levels[level].declare(name);
            if index + 1 == path.len() {
                self.levels[level].fields[field].columns.push(column);
            } else {
                level = self.levels[level].fields[field].below.unwrap_or_else(|| {
                    self.levels.push(Level::new(format!("{}{name}.", self.levels[level].prefix)));
                    let below = self.levels.len() - 1;
                    self.levels[level].fields[field].below = Some(below);
                    below
                });
            }
        }
    }

    /// Undeclared names met since the last call and never reported before.
    pub fn take_unknown(&mut self) -> Vec<String> {
        self.names.take_unknown()
    }

    /// Puts the fields of `document`, an object, into the current row of `columns`.
    pub fn walk(&mut self, document: &str, columns: &mut Columns, part: Part) -> Result<(), Fault> {
        self.walks += 1;
        self.deferred.clear();
        let mut walk = Walk { tree: self, columns, document, part, fault: None };
        let mut json = serde_json::Deserializer::from_str(document);
        let walked = Object { walk: &mut walk, level: 0 }.deserialize(&mut json).and_then(|()| json.end());
        walked.map_err(|error| walk.fault_of(&error))
    }

    fn first_column(&self, level: usize, field: usize) -> usize {
        let field = &self.levels[level].fields[field];
        match (field.columns.first(), field.below) {
            (Some(column), _) => *column,
            (None, Some(below)) => self.first_column(below, 0),
            (None, None) => unreachable!("a field has a column or leads to one"),
        }
    }
}

/// A walk under way.
struct Walk<'w> {
    tree: &'w mut Tree,
    columns: &'w mut Columns,
    document: &'w str,
    part: Part,
    /// Why the walk ended early; serde carries errors as text only.
    fault: Option<Fault>,
}

impl Walk<'_> {
    #[cold]
    fn stop<E: Error>(&mut self, fault: Fault) -> E {
        self.fault = Some(fault);
        E::custom("")
    }

    fn fault_of(&mut self, error: &serde_json::Error) -> Fault {
        self.fault.take().unwrap_or_else(|| document::syntax_fault(error, self.document, self.part))
    }

    /// Notes that the field was met by its exact name.
    fn meet(&mut self, level: usize, field: usize) -> Result<(), Fault> {
        let walk = self.tree.walks;
        let met = std::mem::replace(&mut self.tree.levels[level].fields[field].exact_in, walk);
        if met == walk { Err(self.twice(level, field)) } else { Ok(()) }
    }

    #[cold]
    fn twice(&self, level: usize, field: usize) -> Fault {
        self.columns.fault(self.tree.first_column(level, field), "duplicate-key", "its field twice in one object")
    }

    /// Keeps a value whose name fits but for case until the object's end.
    fn defer(&mut self, level: usize, field: usize, json: &str) {
        let start = json.as_ptr().addr() - self.document.as_ptr().addr();
        self.tree.deferred.push(Deferred { field, value: start..start + json.len() });
        let walk = self.tree.walks;
        let field = &mut self.tree.levels[level].fields[field];
        if field.folded_in == walk {
            field.ambiguous_in = walk;
        }
        field.folded_in = walk;
    }

    /// At an object's end: a name that differs in case counts where no exact one was met, if there was only one.
    fn settle(&mut self, level: usize, mark: usize) -> Result<(), Fault> {
        let walk = self.tree.walks;
        for index in mark..self.tree.deferred.len() {
            let Deferred { field, ref value } = self.tree.deferred[index];
            let value = value.clone();
            let met = &self.tree.levels[level].fields[field];
            if met.exact_in == walk {
                continue;
            }
            if met.ambiguous_in == walk {
                return Err(self.twice(level, field));
            }
            self.give(level, field, &self.document[value])?;
        }
        self.tree.deferred.truncate(mark);
        Ok(())
    }

    /// Puts a field's value, raw JSON, into its columns and into those below it.
    fn give(&mut self, level: usize, field: usize, json: &str) -> Result<(), Fault> {
        let found = &self.tree.levels[level].fields[field];
        for column in &found.columns {
            self.columns.put(*column, Input::Json(json))?;
        }
        let Some(below) = found.below else { return Ok(()) };
        let object = Object { walk: self, level: below };
        let walked = object.deserialize(&mut serde_json::Deserializer::from_str(json));
        walked.map_err(|error| self.fault_of(&error))
    }

    /// The object of a level is null: so is everything in it.
    fn put_nulls(&mut self, level: usize) {
        for field in 0..self.tree.levels[level].fields.len() {
            let field = &self.tree.levels[level].fields[field];
            for column in &field.columns {
                self.columns.put_null(*column);
            }
            if let Some(below) = field.below {
                self.put_nulls(below);
            }
        }
    }
}

/// Reads the object of a level.
struct Object<'a, 'w> {
    walk: &'a mut Walk<'w>,
    level: usize,
}

impl<'de> DeserializeSeed<'de> for Object<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl Object<'_, '_> {
    #[cold]
    fn not_an_object<E: Error>(self, token: Token<'_>) -> E {
        let column = self.walk.tree.first_column(self.level, 0);
        let found = format!("{} where the path to it needs an object", token.kind());
        let fault = self.walk.columns.fault(column, "wrong-type", &found);
        self.walk.stop(fault)
    }
}

impl<'de> Visitor<'de> for Object<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<(), A::Error> {
        let Self { walk, level } = self;
        let mark = walk.tree.deferred.len();
        let mut previous = NONE;
        loop {
            let Tree { levels, names, .. } = &mut *walk.tree;
            let name = Name { level: &mut levels[level], names, previous };
            let Some((name, meaning)) = object.next_key_seed(name)? else { break };
            previous = name;
            match meaning {
                Meaning::Exact(field) => {
                    walk.meet(level, field).map_err(|fault| walk.stop(fault))?;
                    let found = &walk.tree.levels[level].fields[field];
                    if let (Some(below), true) = (found.below, found.columns.is_empty()) {
                        object.next_value_seed(Object { walk, level: below })?;
                    } else {
                        let json = object.next_value::<&RawValue>()?.get();
                        walk.give(level, field, json).map_err(|fault| walk.stop(fault))?;
                    }
                }
                Meaning::Folded(field) => walk.defer(level, field, object.next_value::<&RawValue>()?.get()),
                Meaning::Unknown => drop(object.next_value::<IgnoredAny>()?),
            }
        }
        walk.settle(level, mark).map_err(|fault| walk.stop(fault))
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.walk.put_nulls(self.level);
        Ok(())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        Err(self.not_an_object(Token::Bool(value)))
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        Err(self.not_an_object(Token::Number("")))
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        Err(self.not_an_object(Token::Number("")))
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        Err(self.not_an_object(Token::Number("")))
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        Err(self.not_an_object(Token::Text("")))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<(), A::Error> {
        Err(self.not_an_object(Token::Array("")))
    }
}

/// Reads a name and says what it means.
struct Name<'a> {
    level: &'a mut Level,
    names: &'a mut Names,
    previous: u32,
}

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = (u32, Meaning);

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = (u32, Meaning);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.level.find(name, self.previous, self.names))
    }
}
