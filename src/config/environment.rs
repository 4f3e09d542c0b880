//! The environment as a snapshot: what `${..}` and `TIDEGATE__*` may read.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;

/// Ours are the variables that begin with this; a single underscore is somebody else's.
pub const PREFIX: &str = "TIDEGATE__";

/// A snapshot of environment variables.
#[derive(Clone, Default)]
pub struct Environment {
    variables: BTreeMap<String, OsString>,
    has_placeholders: bool,
}

impl Environment {
    /// The process's own.
    pub fn of_process() -> Self {
        std::env::vars_os().map(|(name, value)| (name.to_string_lossy().into_owned(), value)).collect()
    }

    /// What a reference does not find is no problem: a command that connects to nothing needs no secret.
    #[must_use]
    pub fn with_placeholders(self) -> Self {
        Self { has_placeholders: true, ..self }
    }

    /// Does something stand in for what a reference does not find?
    pub fn has_placeholders(&self) -> bool {
        self.has_placeholders
    }

    /// `None`: not set. `Some(None)`: set to something that is not UTF-8.
    pub fn get(&self, name: &str) -> Option<Option<&str>> {
        self.variables.get(name).map(|value| value.to_str())
    }

    /// The variables that begin with [`PREFIX`]: the whole name, and the value (`None`: not UTF-8).
    pub fn settings(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        let ours = self.variables.range(PREFIX.to_owned()..).take_while(|(name, _)| name.starts_with(PREFIX));
        ours.map(|(name, value)| (name.as_str(), value.to_str()))
    }
}

impl<N: Into<String>, V: Into<OsString>> FromIterator<(N, V)> for Environment {
    fn from_iter<T: IntoIterator<Item = (N, V)>>(variables: T) -> Self {
        let variables = variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        Self { variables, has_placeholders: false }
    }
}

/// Names only: any value may be a secret.
impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.variables.keys()).finish()
    }
}
