//! From the tree of values to the raw types: each setting alone, every problem kept, nothing compared yet.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::DeserializeOwned;

use super::node::{Kind, Node};
use super::problem::{Place, Problem, Problems, Rule, nearest, printable};

/// A value that was read, and where it stands.
#[derive(Debug)]
pub struct Given<T> {
    pub value: T,
    pub place: Place,
    /// The place of its key.
    pub key: Place,
    /// The place of its first character, where it is a text.
    pub text: Place,
    /// A `${..}` is in it: not to be shown.
    pub hidden: bool,
}

impl<T> Given<T> {
    /// Was it written in a file, as it is? Then a secret is there for everyone who may read the file.
    pub fn is_literal(&self) -> bool {
        !self.hidden && matches!(self.place, Place::Text { .. })
    }
}

impl Given<String> {
    /// The text as a message may show it.
    pub fn shown(&self) -> String {
        if self.hidden { "the value of the reference".to_owned() } else { format!("\"{}\"", printable(&self.value)) }
    }
}

/// A setting as the file has it.
#[derive(Debug, Default)]
pub enum Setting<T> {
    #[default]
    Absent,
    /// Written, but a problem was told already.
    Broken,
    Given(Given<T>),
}

impl<T> Setting<T> {
    pub fn given(&self) -> Option<&Given<T>> {
        match self {
            Self::Given(given) => Some(given),
            Self::Absent | Self::Broken => None,
        }
    }

    pub fn value(&self) -> Option<&T> {
        self.given().map(|given| &given.value)
    }

    pub fn into_given(self) -> Option<Given<T>> {
        match self {
            Self::Given(given) => Some(given),
            Self::Absent | Self::Broken => None,
        }
    }

    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }

    /// The value, or a problem where it is missing.
    pub fn required(&self, section: &Place, option: &str, cure: &str, problems: &mut Problems) -> Option<&Given<T>> {
        if self.is_absent() {
            problems.push(Problem::new(section, Rule::Missing, format!("`{option}` is missing"), cure));
        }
        self.given()
    }
}

/// A setting looks like its value.
impl<T: JsonSchema> JsonSchema for Setting<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

impl<T: JsonSchema> JsonSchema for Given<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

/// What can be read from a node. `None` always comes with a problem told.
pub trait Read: Sized {
    fn read(node: &Node, option: &str, problems: &mut Problems) -> Option<Self>;
}

/// A node as a setting.
pub fn setting<T: Read>(node: &Node, option: &str, problems: &mut Problems) -> Setting<T> {
    if matches!(node.kind, Kind::Broken) {
        return Setting::Broken;
    }
    match T::read(node, option, problems) {
        Some(value) => Setting::Given(given(node, value)),
        None => Setting::Broken,
    }
}

/// Sections that there may be several of: `[[table]]`.
pub fn sections<T: Read>(node: &Node, option: &str, problems: &mut Problems) -> Option<Vec<Given<T>>> {
    let Kind::List(items) = &node.kind else {
        wrong_type(node, option, &format!("write [[{option}]] with two brackets: there may be several"), problems);
        return None;
    };
    let read = items.iter().map(|item| setting(item, option, problems).into_given());
    let read: Vec<Option<Given<T>>> = read.collect();
    read.into_iter().collect()
}

/// What was read from a node, with the node's places.
pub fn given<T>(node: &Node, value: T) -> Given<T> {
    Given { value, place: node.place.clone(), key: node.key.clone(), text: node.text.clone(), hidden: node.hidden }
}

pub fn wrong_type(node: &Node, option: &str, cure: &str, problems: &mut Problems) {
    let what = format!("`{option}` is {}", node.noun());
    problems.push(Problem::new(&node.place, Rule::Type, what, cure));
}

impl Read for String {
    fn read(node: &Node, option: &str, problems: &mut Problems) -> Option<Self> {
        if let Kind::Text(text) = &node.kind {
            return Some(text.clone());
        }
        wrong_type(node, option, &format!("write a text in quotes: {} = \"..\"", last(option)), problems);
        None
    }
}

impl Read for bool {
    fn read(node: &Node, option: &str, problems: &mut Problems) -> Option<Self> {
        match &node.kind {
            Kind::Bool(value) => return Some(*value),
            Kind::Text(text) if node.is_variable() || node.hidden => {
                if let Ok(value) = text.trim().parse() {
                    return Some(value);
                }
            }
            _ => {}
        }
        wrong_type(node, option, "write true or false without quotes", problems);
        None
    }
}

impl Read for i128 {
    fn read(node: &Node, option: &str, problems: &mut Problems) -> Option<Self> {
        match &node.kind {
            Kind::Integer(number) => return Some(*number),
            Kind::Text(text) if node.is_variable() || node.hidden => {
                if let Ok(number) = text.trim().parse() {
                    return Some(number);
                }
            }
            _ => {}
        }
        wrong_type(node, option, "write a whole number without quotes", problems);
        None
    }
}

/// Texts; a variable or a reference gives them with commas between.
impl Read for Vec<Given<String>> {
    fn read(node: &Node, option: &str, problems: &mut Problems) -> Option<Self> {
        match &node.kind {
            Kind::List(items) => {
                let read: Vec<_> = items.iter().filter_map(|item| self::item(item, option, problems)).collect();
                (read.len() == items.len()).then_some(read)
            }
            Kind::Text(list) if node.is_variable() => {
                Some(list.split(',').map(|item| given(node, item.trim().to_owned())).collect())
            }
            _ => {
                wrong_type(node, option, &format!("write a list of texts: {} = [\"..\"]", last(option)), problems);
                None
            }
        }
    }
}

fn item(node: &Node, option: &str, problems: &mut Problems) -> Option<Given<String>> {
    match &node.kind {
        Kind::Text(text) => Some(given(node, text.clone())),
        Kind::Broken => None,
        _ => {
            let what = format!("an item of `{option}` is {}", node.noun());
            problems.push(Problem::new(&node.place, Rule::Type, what, "write it as a text in quotes"));
            None
        }
    }
}

/// The last part of an option's name.
pub fn last(option: &str) -> &str {
    option.rsplit('.').next().unwrap_or(option)
}

/// Reads one of an enumeration's words. `later` are words that a later version takes, each with what to do instead.
pub fn choice<T: DeserializeOwned>(
    node: &Node,
    option: &str,
    later: &[(&str, &str)],
    problems: &mut Problems,
) -> Option<T> {
    let words = words::<T>();
    let Kind::Text(text) = &node.kind else {
        let cure = format!("write {} = \"{}\"", last(option), words.first().unwrap_or(&""));
        wrong_type(node, option, &cure, problems);
        return None;
    };
    if let Ok(value) = T::deserialize(serde::de::value::StrDeserializer::<Refused>::new(text)) {
        return Some(value);
    }
    let found = later.iter().find(|(word, _)| text == word || (word.ends_with(':') && text.starts_with(word)));
    let problem = match found {
        Some((word, instead)) => {
            let what = format!("this version does not have {option} = \"{}\" yet", word.trim_end_matches(':'));
            Problem::new(&node.place, Rule::NotYet, what, *instead)
        }
        None => {
            let near = nearest(text, words.iter().copied()).unwrap_or(words[0]);
            let what = format!("`{option}` cannot be {}", node.shown());
            Problem::new(&node.place, Rule::Value, what, format!("write {} = \"{near}\"", last(option)))
        }
    };
    problems.push(problem.allowed(words.join(", ")));
    None
}

/// The words of an enumeration, as its deserializer knows them.
pub fn words<T: DeserializeOwned>() -> &'static [&'static str] {
    match T::deserialize(serde::de::value::StrDeserializer::<Refused>::new("\0")) {
        Err(Refused(words)) => words,
        Ok(_) => &[],
    }
}

/// Why a word was refused: it is none of these.
#[derive(Debug)]
struct Refused(&'static [&'static str]);

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.join(", "))
    }
}

impl std::error::Error for Refused {}

impl serde::de::Error for Refused {
    fn custom<T: std::fmt::Display>(_message: T) -> Self {
        Self(&[])
    }

    fn unknown_variant(_variant: &str, expected: &'static [&'static str]) -> Self {
        Self(expected)
    }
}

/// A table of the file whose keys are known.
pub trait Section {
    /// As in `[source]`; empty for the top of the file.
    const NAME: &'static str;
    /// In the order of the documentation.
    const KEYS: &'static [&'static str];
    /// Keys of later versions, each with what to do instead.
    const LATER: &'static [(&'static str, &'static str)];
}

/// The keys of a section that is being read.
pub struct Fields<'n> {
    entries: &'n [(String, Node)],
    option: String,
}

impl<'n> Fields<'n> {
    /// Opens a section and tells its unknown keys.
    pub fn open<S: Section>(node: &'n Node, option: &str, problems: &mut Problems) -> Option<Self> {
        let Kind::Table(entries) = &node.kind else {
            wrong_type(node, option, &format!("write it as a table: [{option}]"), problems);
            return None;
        };
        for (key, node) in entries {
            if let Some((_, instead)) = S::LATER.iter().find(|(later, _)| later == key) {
                let what = format!("this version does not have `{}` yet", joined(option, key));
                problems.push(Problem::new(&node.key, Rule::NotYet, what, *instead));
            } else if !S::KEYS.contains(&key.as_str()) {
                problems.push(unknown_key::<S>(key, node));
            }
        }
        Some(Self { entries, option: option.to_owned() })
    }

    pub fn take<T: Read>(&mut self, key: &str, problems: &mut Problems) -> Setting<T> {
        let key = key.trim_start_matches("r#");
        match self.entries.iter().find(|(name, _)| name == key) {
            Some((_, node)) => setting(node, &joined(&self.option, key), problems),
            None => Setting::Absent,
        }
    }
}

fn unknown_key<S: Section>(key: &str, node: &Node) -> Problem {
    let section = match S::NAME {
        "" | "tidegate.toml" => "at the top of the file".to_owned(),
        name => format!("in [{name}]"),
    };
    let what = format!("unknown key `{}` {section}", printable(key));
    let elsewhere = super::raw::sections_with(key).into_iter().find(|name| *name != S::NAME);
    let cure = match (nearest(key, S::KEYS.iter().copied()), elsewhere) {
        (_, Some("")) => format!("move `{}` to the top of the pipeline file", printable(key)),
        (_, Some(home)) if home.ends_with(".toml") => {
            format!("[{}] belongs into the daemon file, {home}", printable(key))
        }
        (_, Some(home)) => format!("move it to [{home}]"),
        (Some(near), None) => format!("did you mean `{near}`?"),
        (None, None) => "remove it".to_owned(),
    };
    Problem::new(&node.key, Rule::UnknownKey, what, cure).allowed(S::KEYS.join(", "))
}

pub fn joined(option: &str, key: &str) -> String {
    if option.is_empty() { key.to_owned() } else { format!("{option}.{key}") }
}

/// Declares how a raw type is read: its fields are the section's keys.
macro_rules! section {
    ($ty:ident = $name:literal { $($field:ident),+ $(,)? } later { $($key:literal => $instead:literal),* $(,)? }) => {
        impl $crate::config::read::Section for $ty {
            const NAME: &'static str = $name;
            const KEYS: &'static [&'static str] = &[$($crate::config::read::key(stringify!($field))),+];
            const LATER: &'static [(&'static str, &'static str)] = &[$(($key, $instead)),*];
        }

        impl $crate::config::read::Read for $ty {
            fn read(node: &Node, option: &str, problems: &mut Problems) -> Option<Self> {
                let mut fields = $crate::config::read::Fields::open::<Self>(node, option, problems)?;
                Some(Self { $($field: fields.take(stringify!($field), problems)),+ })
            }
        }
    };
}
pub(crate) use section;

/// A field's name as the file writes it (`r#type` is `type`).
pub const fn key(field: &'static str) -> &'static str {
    match field.as_bytes() {
        [b'r', b'#', ..] => field.split_at(2).1,
        _ => field,
    }
}

/// Declares which enumerations are read by their words, and the words of later versions.
macro_rules! choices {
    ($($ty:ty { $($word:literal => $instead:literal),* })+) => {
        $(impl $crate::config::read::Read for $ty {
            fn read(node: &Node, option: &str, problems: &mut Problems) -> Option<Self> {
                $crate::config::read::choice(node, option, &[$(($word, $instead)),*], problems)
            }
        })+
    };
}
pub(crate) use choices;
