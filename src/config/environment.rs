//! The environment as a snapshot: what `${..}` and `TIDEGATE__*` may read.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;

/// Ours are the variables that begin with this; a single underscore is somebody else's.
pub const PREFIX: &str = "TIDEGATE__";

/// A snapshot of environment variables.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<String, OsString>);

impl Environment {
    /// The process's own.
    pub fn of_process() -> Self {
        Self(std::env::vars_os().map(|(name, value)| (name.to_string_lossy().into_owned(), value)).collect())
    }

    /// `None`: not set. `Some(None)`: set to something that is not UTF-8.
    pub fn get(&self, name: &str) -> Option<Option<&str>> {
        self.0.get(name).map(|value| value.to_str())
    }

    /// The variables that begin with [`PREFIX`]: the whole name, and the value (`None`: not UTF-8).
    pub fn settings(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        let ours = self.0.range(PREFIX.to_owned()..).take_while(|(name, _)| name.starts_with(PREFIX));
        ours.map(|(name, value)| (name.as_str(), value.to_str()))
    }
}

impl<N: Into<String>, V: Into<OsString>> FromIterator<(N, V)> for Environment {
    fn from_iter<T: IntoIterator<Item = (N, V)>>(variables: T) -> Self {
        Self(variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

/// Names only: any value may be a secret.
impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
