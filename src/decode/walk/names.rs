//! The names of an object's fields: what each means, found without a search where records resemble each other.

use std::collections::HashMap;

use super::Field;

/// How many undeclared names a decoder remembers, and reports. Beyond it they are ignored just as well: a producer
/// that makes up names must not fill the memory.
const MAX_REMEMBERED: usize = 1_000;

/// Longer names (in bytes) are remembered and reported by their beginning.
const MAX_NAME: usize = 256;

/// No name: before an object's first one, or after one that is not remembered.
pub(super) const NONE: u32 = u32::MAX;

/// What a name means to the columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// The name of this field.
    Exact(usize),
    /// The name of this field and of no other, but for case.
    Folded(usize),
    Unknown,
}

/// A name that objects of this level have had.
struct Known {
    text: Box<str>,
    meaning: Meaning,
    /// The name that last came after it: records of one producer keep their order.
    next: u32,
}

/// What a decoder remembers of undeclared names, over all levels.
pub(super) struct Names {
    reports: bool,
    remembered: usize,
    unknown: Vec<String>,
    /// A name under work.
    scratch: String,
}

impl Names {
    pub fn new(reports: bool) -> Self {
        Self { reports, remembered: 0, unknown: Vec::new(), scratch: String::new() }
    }

    pub fn take_unknown(&mut self) -> Vec<String> {
        std::mem::take(&mut self.unknown)
    }
}

/// The objects at one place in the documents.
pub(super) struct Level {
    /// The path to it, for reports: empty or `customer.`.
    pub prefix: String,
    pub fields: Vec<Field>,
    known: Vec<Known>,
    /// The name that objects last began with.
    first: u32,
    /// Hashed with random keys, so that no producer can choose names that collide.
    by_name: HashMap<Box<str>, u32>,
    /// `None`: fields of several names that differ only in case.
    by_folded: HashMap<String, Option<usize>>,
    /// Longer names are no field's.
    longest: usize,
}

impl Level {
    pub fn new(prefix: String) -> Self {
        Self {
            prefix,
            fields: Vec::new(),
            known: Vec::new(),
            first: NONE,
            by_name: HashMap::new(),
            by_folded: HashMap::new(),
            longest: MAX_NAME,
        }
    }

    /// The field of that exact name.
    pub fn declare(&mut self, name: &str) -> usize {
        if let Some(known) = self.by_name.get(name)
            && let Meaning::Exact(field) = self.known[*known as usize].meaning
        {
            return field;
        }
        let field = self.fields.len();
        self.fields.push(Field::default());
        self.remember(name, Meaning::Exact(field));
        let mut folded = String::new();
        fold(name, &mut folded);
        self.by_folded.entry(folded).and_modify(|field| *field = None).or_insert(Some(field));
        // 4: what a change of case may make of a character's length.
        self.longest = self.longest.max(4 * name.len());
        field
    }

    /// What `name`, which comes after `previous`, means; and the name itself, as the next one's `previous`.
    pub fn find(&mut self, name: &str, previous: u32, names: &mut Names) -> (u32, Meaning) {
        let expected = self.known.get(previous as usize).map_or(self.first, |previous| previous.next);
        match self.known.get(expected as usize) {
            Some(known) if *known.text == *name => (expected, known.meaning),
            _ => self.look_up(name, previous, names),
        }
    }

    fn look_up(&mut self, name: &str, previous: u32, names: &mut Names) -> (u32, Meaning) {
        if name.len() > self.longest {
            names.scratch.clear();
            names.scratch.push_str(&name[..name.floor_char_boundary(MAX_NAME)]);
            names.scratch.push('…');
            let beginning = std::mem::take(&mut names.scratch);
            let id = self.by_name.get(beginning.as_str()).copied();
            let id = id.unwrap_or_else(|| self.learn(&beginning, Meaning::Unknown, names));
            names.scratch = beginning;
            return (id, Meaning::Unknown);
        }
        let (id, meaning) = match self.by_name.get(name) {
            Some(id) => (*id, self.known[*id as usize].meaning),
            None => {
                fold(name, &mut names.scratch);
                let field = self.by_folded.get(&names.scratch).copied().flatten();
                let meaning = field.map_or(Meaning::Unknown, Meaning::Folded);
                (self.learn(name, meaning, names), meaning)
            }
        };
        match self.known.get_mut(previous as usize) {
            Some(previous) => previous.next = id,
            None => self.first = id,
        }
        (id, meaning)
    }

    /// Remembers a name that is no field's own, while there is room for it.
    fn learn(&mut self, name: &str, meaning: Meaning, names: &mut Names) -> u32 {
        if names.remembered == MAX_REMEMBERED {
            return NONE;
        }
        names.remembered += 1;
        if names.reports && meaning == Meaning::Unknown {
            names.unknown.push(format!("{}{name}", self.prefix));
        }
        self.remember(name, meaning)
    }

    fn remember(&mut self, name: &str, meaning: Meaning) -> u32 {
        let id = self.known.len() as u32;
        self.known.push(Known { text: name.into(), meaning, next: NONE });
        self.by_name.insert(name.into(), id);
        id
    }
}

/// Writes `name` without its case.
fn fold(name: &str, out: &mut String) {
    out.clear();
    if name.is_ascii() {
        out.push_str(name);
        out.make_ascii_lowercase();
    } else {
        out.extend(name.chars().flat_map(char::to_lowercase));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn level(fields: &[&str]) -> Level {
        let mut level = Level::new("a.".to_owned());
        for field in fields {
            level.declare(field);
        }
        level
    }

    #[test]
    fn a_name_fits_exactly_or_else_uniquely_but_for_case() {
        let mut names = Names::new(true);
        let mut level = level(&["id", "Name", "NAME", "straße"]);
        let mut find = |name| level.find(name, NONE, &mut names).1;
        assert_eq!(find("id"), Meaning::Exact(0));
        assert_eq!(find("ID"), Meaning::Folded(0));
        assert_eq!(find("NAME"), Meaning::Exact(2));
        assert_eq!(find("name"), Meaning::Unknown, "it could be either");
        assert_eq!(find("STRAßE"), Meaning::Folded(3));
        assert_eq!(find("іd"), Meaning::Unknown, "a Cyrillic letter that looks the same");
        assert_eq!(names.take_unknown(), ["a.name", "a.іd"]);
    }

    #[test]
    fn the_order_of_the_last_object_is_expected() {
        let mut names = Names::new(true);
        let mut level = level(&["a", "b"]);
        for _ in 0..2 {
            let (x, _) = level.find("x", NONE, &mut names);
            let (b, _) = level.find("b", x, &mut names);
            let (a, _) = level.find("a", b, &mut names);
            assert_eq!(level.first, x);
            assert_eq!((level.known[x as usize].next, level.known[b as usize].next), (b, a));
        }
        assert_eq!(names.take_unknown(), ["a.x"], "once");
    }

    #[test]
    fn only_so_many_names_are_remembered_and_only_so_much_of_each() {
        let mut names = Names::new(true);
        let mut level = level(&["id"]);
        let long = "é".repeat(100_000);
        level.find(&long, NONE, &mut names);
        level.find(&format!("{long}e"), NONE, &mut names);
        let reported = names.take_unknown();
        assert_eq!(reported.len(), 1);
        assert!(reported[0].len() < MAX_NAME + 10);
        let mut previous = NONE;
        for index in 0..10 * MAX_REMEMBERED {
            previous = level.find(&format!("field{index}"), previous, &mut names).0;
        }
        assert_eq!(names.take_unknown().len(), MAX_REMEMBERED - 1);
        assert_eq!(level.find("ID", previous, &mut names), (NONE, Meaning::Folded(0)), "known all the same");
        assert_eq!(level.find("id", previous, &mut names).1, Meaning::Exact(0));
    }
}
