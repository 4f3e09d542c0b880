//! `[[check]]`: conditions on the records, as written and as checked.

use schemars::JsonSchema;
use serde::Deserialize;

use super::Sql;
use super::node::Node;
use super::problem::Problems;
use super::read::{Given, Read, Setting, choices, section, sections};

/// A `[[check]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    pub name: String,
    /// The condition.
    pub sql: Sql,
    pub action: CheckAction,
}

/// What becomes of a record that violates a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CheckAction {
    /// It is a bad record: kept as a dead letter, unless `errors.bad_records` says otherwise.
    DeadLetter,
    /// It goes nowhere, and is counted.
    Drop,
    /// It goes on as if nothing were wrong, and is counted.
    Warn,
    /// The pipeline is blocked.
    Stop,
}

impl CheckAction {
    /// As the file writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::DeadLetter => "dead-letter",
            Self::Drop => "drop",
            Self::Warn => "warn",
            Self::Stop => "stop",
        }
    }
}

/// A condition that every record has to meet, before any table's `sql`. Deletes (records without value) are not checked.
#[derive(Debug, Default, JsonSchema)]
#[schemars(rename = "Check", extend("required" = ["name", "sql"]))]
#[serde(default, deny_unknown_fields)]
pub struct RawCheck {
    /// What dead letters, metrics and messages call it; each check has a name of its own.
    #[schemars(extend("examples" = ["price"]))]
    pub name: Setting<String>,
    /// The condition, over the columns of [source.columns] and the pseudo-columns (docs/sql.md). A record for which it
    /// is false violates the check; one for which it is NULL does not, as with CHECK in SQL.
    #[schemars(extend("examples" = ["price >= 0", "quantity BETWEEN 1 AND 1000 AND sku <> ''"]))]
    pub sql: Setting<String>,
    /// What becomes of a record that violates it. Of several checks the first in the file that is no `warn` decides.
    #[schemars(extend("default" = "dead-letter"))]
    pub action: Setting<CheckAction>,
}

section!(RawCheck = "check" { name, sql, action } later {});

choices! {
    CheckAction {}
}

impl Read for Vec<Given<RawCheck>> {
    fn read(node: &Node, option: &str, problems: &mut Problems) -> Option<Self> {
        sections(node, option, problems)
    }
}
