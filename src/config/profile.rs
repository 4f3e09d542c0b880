//! `[profile]` as written.

use schemars::JsonSchema;

use super::node::Node;
use super::problem::Problems;
use super::read::{Given, Setting, section};

/// Metrics of what columns of the input hold: missing and distinct values, lowest and highest (docs/checks.md).
#[derive(Debug, Default, JsonSchema)]
#[schemars(rename = "Profile", extend("required" = ["columns"]))]
#[serde(default, deny_unknown_fields)]
pub struct RawProfile {
    /// The columns of the input; not those of [privacy].
    #[schemars(length(min = 1), extend("examples" = [["price", "created_at"]]))]
    pub columns: Setting<Vec<Given<String>>>,
}

section!(RawProfile = "profile" { columns } later {});
