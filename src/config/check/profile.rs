//! `[profile]`.

use std::collections::BTreeSet;

use crate::config::problem::{Problem, Problems, Rule};
use crate::config::profile::RawProfile;
use crate::config::read::Setting;
use crate::config::{Source, Table};
use crate::privacy::Privacy;

use super::private::column;

/// The profiled columns.
pub fn profile(
    given: &Setting<RawProfile>,
    privacy: Option<&Privacy>,
    source: Option<&Source>,
    tables: Option<&[Table]>,
    problems: &mut Problems,
) -> Option<Vec<String>> {
    let given = match given {
        Setting::Absent => return Some(Vec::new()),
        Setting::Broken => return None,
        Setting::Given(given) => given,
    };
    let before = problems.len();
    let cure = "write columns = [\"..\"] with columns of the input";
    let columns = given.value.columns.required(&given.place, "profile.columns", cure, problems)?;
    if columns.value.is_empty() {
        problems.push(Problem::new(&columns.place, Rule::Missing, "`profile.columns` is empty", cure));
    }
    let mut seen = BTreeSet::new();
    for name in &columns.value {
        if !seen.insert(&name.value) {
            let what = format!("the column {} is listed twice", name.shown());
            problems.push(Problem::new(&name.place, Rule::Contradiction, what, "list it once"));
        } else if privacy.is_some_and(|privacy| privacy.columns.contains(&name.value)) {
            let what = format!("the column {} is private: its lowest and highest value would be shown", name.shown());
            let cure = "leave it out of profile.columns, or out of privacy.columns";
            problems.push(Problem::new(&name.place, Rule::Contradiction, what, cure));
        } else if let (Some(source), Some(tables)) = (source, tables) {
            column(name, source, tables, problems);
        }
    }
    if problems.len() > before {
        return None;
    }
    Some(columns.value.iter().map(|name| name.value.clone()).collect())
}
