//! Layering: what a file says, then what the environment says over it.

use std::collections::BTreeSet;

use ::config::{Config, ConfigError, Map, Source, Value, ValueKind};

use super::environment::{Environment, PREFIX};
use super::kafka;
use super::parse::variable_origin;
use super::private::RawPrivacy;
use super::problem::{Place, Problem, Problems, Rule, nearest, printable};
use super::profile::RawProfile;
use super::raw::{RawBatch, RawErrors, RawHttp, RawLimits, RawLog, RawSink, RawSource, RawTable, SECTIONS};
use super::read::Section;

/// Whose settings are layered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    Pipeline,
    Daemon,
}

/// What a variable means.
#[derive(Debug, PartialEq, Eq)]
enum Target {
    /// `sink.url`, in the layering crate's notation.
    Path(String),
    /// An entry of a table whose names are free: `source.columns`, `source.kafka`.
    Entry {
        table: &'static str,
        name: String,
    },
    /// A key of the table that the variable names.
    Table {
        name: String,
        key: String,
    },
    /// A setting of the other kind of file.
    OtherScope,
    Unknown {
        near: Option<String>,
    },
}

/// What the variables have in common with the tables of all pipelines, to tell which variable met none.
#[derive(Debug, Default)]
pub struct Met {
    variables: BTreeSet<String>,
    tables: BTreeSet<String>,
}

/// The root with the environment's settings over it.
pub fn apply(root: Value, scope: Scope, environment: &Environment, met: &mut Met, problems: &mut Problems) -> Value {
    let tables = table_names(&root);
    met.tables.extend(tables.iter().map(|table| as_variable(table)));
    let mut overrides = Overrides::default();
    for (variable, value) in environment.settings() {
        let target = target(&variable[PREFIX.len()..], scope);
        if matches!(target, Target::OtherScope | Target::Unknown { .. }) {
            continue;
        }
        let Some(value) = value else {
            let place = Place::variable(variable);
            let what = "the variable is not UTF-8";
            problems.push(Problem::new(&place, Rule::Reference, what, "set it to UTF-8 text"));
            continue;
        };
        let value = Value::new(Some(&variable_origin(variable)), value);
        match target {
            Target::Path(path) => overrides.set(&root, path, value),
            Target::Entry { table, name } => overrides.entry(&root, table, name, value),
            Target::Table { name, key } => {
                let named = tables.iter().enumerate().filter(|(_, table)| as_variable(table) == name);
                let indexes: Vec<usize> = named.map(|(index, _)| index).collect();
                if !indexes.is_empty() {
                    met.variables.insert(variable.to_owned());
                }
                match indexes[..] {
                    [] => {}
                    [index] => overrides.set(&root, format!("table[{index}].{key}"), value),
                    _ => {
                        let what = format!("the variable means {} tables of one pipeline", indexes.len());
                        let place = Place::variable(variable);
                        let cure = "write the setting into the file";
                        problems.push(Problem::new(&place, Rule::Contradiction, what, cure));
                    }
                }
            }
            Target::OtherScope | Target::Unknown { .. } => {}
        }
    }
    overrides.over(root)
}

/// Tells the variables that are ours by their name and mean nothing. `met`: of all pipelines that were read, where
/// their tables are known.
pub fn tell_unknown(scope: Scope, environment: &Environment, met: Option<&Met>, problems: &mut Problems) {
    for (variable, _) in environment.settings() {
        let (what, cure) = match target(&variable[PREFIX.len()..], scope) {
            Target::Unknown { near: Some(near) } => {
                ("this variable sets nothing".to_owned(), format!("did you mean {PREFIX}{near}?"))
            }
            Target::Unknown { near: None } => {
                let cure = format!("unset it; settings are {PREFIX}SECTION__KEY, such as {PREFIX}SINK__URL");
                ("this variable sets nothing".to_owned(), cure)
            }
            Target::Table { name, .. } => match met {
                Some(met) if !met.variables.contains(variable) => {
                    let near = nearest(&name, met.tables.iter().map(String::as_str));
                    let cure =
                        near.map_or("unset it".to_owned(), |near| format!("did you mean {PREFIX}TABLE__{near}__..?"));
                    (format!("no pipeline has a table {}", printable(&name)), cure)
                }
                _ => continue,
            },
            _ => continue,
        };
        problems.push(Problem::new(&Place::variable(variable), Rule::UnknownVariable, what, cure));
    }
}

/// The sections whose keys a variable may set, by path.
fn section(path: &[&str]) -> Option<(Scope, Keys)> {
    let keys = |keys, later| Keys { keys, later };
    Some(match path {
        ["source"] => (Scope::Pipeline, keys(RawSource::KEYS, RawSource::LATER)),
        ["sink"] => (Scope::Pipeline, keys(RawSink::KEYS, RawSink::LATER)),
        ["sink", "batch"] => (Scope::Pipeline, keys(RawBatch::KEYS, RawBatch::LATER)),
        ["errors"] => (Scope::Pipeline, keys(RawErrors::KEYS, RawErrors::LATER)),
        ["privacy"] => (Scope::Pipeline, keys(RawPrivacy::KEYS, RawPrivacy::LATER)),
        ["profile"] => (Scope::Pipeline, keys(RawProfile::KEYS, RawProfile::LATER)),
        ["http"] => (Scope::Daemon, keys(RawHttp::KEYS, RawHttp::LATER)),
        ["log"] => (Scope::Daemon, keys(RawLog::KEYS, RawLog::LATER)),
        ["limits"] => (Scope::Daemon, keys(RawLimits::KEYS, RawLimits::LATER)),
        _ => return None,
    })
}

struct Keys {
    keys: &'static [&'static str],
    later: &'static [(&'static str, &'static str)],
}

impl Keys {
    fn has(&self, key: &str) -> bool {
        self.keys.contains(&key) || self.later.iter().any(|(later, _)| *later == key)
    }
}

/// What the part behind the prefix means.
fn target(name: &str, scope: Scope) -> Target {
    let lower = name.to_ascii_lowercase();
    let segments: Vec<&str> = lower.split("__").collect();
    let in_scope = |section_scope, target| if section_scope == scope { target } else { Target::OtherScope };
    match segments[..] {
        ["name"] => in_scope(Scope::Pipeline, Target::Path("name".to_owned())),
        ["table", _, .., key]
            if RawTable::KEYS.contains(&key) || RawTable::LATER.iter().any(|later| later.0 == key) =>
        {
            // The table's own name may hold `__`.
            let table = &name["table__".len()..name.len() - key.len() - "__".len()];
            in_scope(Scope::Pipeline, Target::Table { name: table.to_ascii_uppercase(), key: key.to_owned() })
        }
        ["source", "columns", column] => {
            in_scope(Scope::Pipeline, Target::Entry { table: "source.columns", name: column.to_owned() })
        }
        ["source", "kafka", property] => {
            let name = kafka::from_variable(property);
            in_scope(Scope::Pipeline, Target::Entry { table: "source.kafka", name })
        }
        [ref path @ .., key] => match section(path) {
            Some((section_scope, keys)) if keys.has(key) && !is_section(&segments) => {
                in_scope(section_scope, Target::Path(segments.join(".")))
            }
            // The other kind of file's loader tells it.
            Some((section_scope, _)) if section_scope != scope => Target::OtherScope,
            _ => Target::Unknown { near: near(name) },
        },
        [] => Target::Unknown { near: None },
    }
}

fn is_section(segments: &[&str]) -> bool {
    section(segments).is_some() || matches!(segments, ["source", "columns" | "kafka"])
}

/// The nearest variable that sets something.
fn near(name: &str) -> Option<String> {
    let names = SECTIONS.iter().filter(|(section, _)| {
        !["", "tidegate.toml", "source.columns", "check", "topic", "lookup", "keys.<id>", "test", "test.input"]
            .contains(section)
    });
    let all: Vec<String> = names
        .flat_map(|(section, keys)| {
            let section = if *section == "table" { "TABLE__<NAME>".to_owned() } else { as_path(section) };
            keys.iter().map(move |key| format!("{section}__{}", key.to_ascii_uppercase()))
        })
        .filter(|variable| !is_section(&variable.to_ascii_lowercase().split("__").collect::<Vec<_>>()))
        .collect();
    nearest(name, all.iter().map(String::as_str)).map(str::to_owned)
}

fn as_path(section: &str) -> String {
    section.replace('.', "__").to_ascii_uppercase()
}

/// A table's name as a variable writes it: `shop.orders` is `SHOP_ORDERS`.
fn as_variable(table: &str) -> String {
    table.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect()
}

fn table_names(root: &Value) -> Vec<String> {
    let ValueKind::Table(entries) = &root.kind else { return Vec::new() };
    let Some(Value { kind: ValueKind::Array(tables), .. }) = entries.get("table") else { return Vec::new() };
    let name = |table: &Value| match &table.kind {
        ValueKind::Table(entries) => match entries.get("name").map(|name| &name.kind) {
            Some(ValueKind::String(name)) => name.clone(),
            _ => String::new(),
        },
        _ => String::new(),
    };
    tables.iter().map(name).collect()
}

/// The environment's settings as a layer.
#[derive(Clone, Default)]
struct Overrides(Map<String, Value>);

/// Names only: any value may be a secret.
impl std::fmt::Debug for Overrides {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Overrides {
    /// Sets a value, unless the file has something else where its section belongs: that is a problem of the file.
    fn set(&mut self, root: &Value, path: String, value: Value) {
        if section_is_table(root, &path) {
            self.0.insert(path, value);
        }
    }

    fn entry(&mut self, root: &Value, table: &'static str, name: String, value: Value) {
        let present = lookup(root, table);
        if !section_is_table(root, &format!("{table}.x")) {
            return;
        }
        // The file's own spelling of the name, and the type of a column that is written as a table.
        let known = present.and_then(|entries| entries.keys().find(|key| key.to_ascii_lowercase() == name).cloned());
        let is_table = present
            .zip(known.as_ref())
            .and_then(|(entries, known)| entries.get(known))
            .is_some_and(|value| matches!(value.kind, ValueKind::Table(_)));
        let value = if is_table { Value::new(None, Map::from_iter([("type".to_owned(), value)])) } else { value };
        let entries = self.0.entry(table.to_owned()).or_insert_with(|| Value::new(None, Map::<String, Value>::new()));
        if let ValueKind::Table(entries) = &mut entries.kind {
            entries.insert(known.unwrap_or(name), value);
        }
    }

    fn over(self, root: Value) -> Value {
        if self.0.is_empty() {
            return root;
        }
        let unlayered = root.clone();
        let layered = Config::builder().add_source(File(root)).add_source(self).build();
        // The only failure is a path that does not parse; ours are made of known words.
        layered.map_or(unlayered, |config| config.cache)
    }
}

fn lookup<'v>(root: &'v Value, path: &str) -> Option<&'v Map<String, Value>> {
    path.split('.')
        .try_fold(root, |value, key| match &value.kind {
            ValueKind::Table(entries) => entries.get(key),
            _ => None,
        })
        .and_then(|value| match &value.kind {
            ValueKind::Table(entries) => Some(entries),
            _ => None,
        })
}

fn section_is_table(root: &Value, path: &str) -> bool {
    let mut at = root;
    for key in path.split('.').collect::<Vec<_>>().split_last().map_or(&[][..], |(_, parents)| parents) {
        let ValueKind::Table(entries) = &at.kind else { return false };
        let key = key.split('[').next().unwrap_or(key);
        match entries.get(key) {
            None => return true,
            Some(value) => at = value,
        }
    }
    // `table[0]` was found by its name, so it is one.
    matches!(at.kind, ValueKind::Table(_) | ValueKind::Array(_))
}

impl Source for Overrides {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        Ok(self.0.clone())
    }
}

/// The file as the lowest layer, as it is: its keys are no paths.
#[derive(Clone)]
struct File(Value);

impl std::fmt::Debug for File {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("File")
    }
}

impl Source for File {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        self.0.clone().into_table()
    }

    fn collect_to(&self, cache: &mut Value) -> Result<(), ConfigError> {
        *cache = self.0.clone();
        Ok(())
    }
}
