//! `[[check]]`.

use std::collections::BTreeSet;

use crate::config::problem::{Place, Problem, Problems, Rule};
use crate::config::read::{Given, Setting};
use crate::config::rules::RawCheck;
use crate::config::{Check, CheckAction, Sql};

/// A check's name becomes a metric's label and stands in every dead letter.
const LONGEST_NAME: usize = 100;

/// The checks; what their conditions say is planned later.
pub fn checks(given: &Setting<Vec<Given<RawCheck>>>, problems: &mut Problems) -> Option<Vec<Check>> {
    let given = match given {
        Setting::Absent => return Some(Vec::new()),
        Setting::Broken => return None,
        Setting::Given(given) => given,
    };
    let mut seen = BTreeSet::new();
    for name in given.value.iter().filter_map(|check| check.value.name.given()) {
        if !seen.insert(&name.value) {
            let what = format!("there are two checks with the name {}", name.shown());
            let cure = "give each a name of its own: dead letters and metrics are told by it";
            problems.push(Problem::new(&name.place, Rule::Contradiction, what, cure));
        }
    }
    let checked: Vec<Option<Check>> = given.value.iter().map(|raw| check(&raw.value, &raw.place, problems)).collect();
    checked.into_iter().collect()
}

fn check(raw: &RawCheck, section: &Place, problems: &mut Problems) -> Option<Check> {
    let cure = "write name = \"..\" under [[check]]";
    let name = raw.name.required(section, "check.name", cure, problems).and_then(|given| name(given, problems));
    let cure = "write the condition that a record has to meet: sql = \"price >= 0\"";
    let sql = raw.sql.required(section, "check.sql", cure, problems);
    if let Some(given) = sql.filter(|given| given.value.trim().is_empty()) {
        problems.push(Problem::new(&given.place, Rule::Missing, "`check.sql` is empty", cure));
    }
    let action = match &raw.action {
        Setting::Absent => Some(CheckAction::DeadLetter),
        setting => setting.value().copied(),
    };
    let sql = sql.map(|given| Sql { text: given.value.clone(), place: given.text.clone() });
    Some(Check { name: name?, sql: sql?, action: action? })
}

fn name(given: &Given<String>, problems: &mut Problems) -> Option<String> {
    let name = &given.value;
    if name.trim().is_empty() || name.chars().any(char::is_control) || name.chars().count() > LONGEST_NAME {
        let what = format!("`check.name` cannot be {}", given.shown());
        let problem = Problem::new(&given.place, Rule::Value, what, "write a name such as \"price\"");
        problems.push(problem.allowed(format!("1 to {LONGEST_NAME} characters on one line")));
        return None;
    }
    Some(name.clone())
}
