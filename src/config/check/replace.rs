//! `replace` of a `[[table]]`, and what the other settings of the table say about it.

use std::collections::BTreeSet;

use crate::config::problem::{Problem, Problems, Rule};
use crate::config::raw::RawTable;
use crate::config::read::Given;
use crate::config::{Database, Deletes, Missing, Mode};

use super::table::identifier;

/// The columns whose stored rows are replaced; none where nothing is.
pub fn replace(
    raw: &RawTable,
    mode: Mode,
    key: &[String],
    deletes: Option<&Deletes>,
    database: Option<Database>,
    problems: &mut Problems,
) -> Option<Vec<String>> {
    if raw.replace.is_absent() {
        return Some(Vec::new());
    }
    let given = raw.replace.given()?;
    if given.value.is_empty() {
        let cure = "name the columns of the parent's key, such as replace = [\"order_id\"], or remove it";
        problems.push(Problem::new(&given.place, Rule::Missing, "`table.replace` is empty", cure));
    }
    names(&given.value, database, problems);
    let before = problems.len();
    contradictions(raw, given, mode, deletes, problems);
    if problems.len() == before && mode != Mode::Append && !key.is_empty() {
        for column in given.value.iter().filter(|column| !key.contains(&column.value)) {
            let what = format!(
                "`replace` names {}, which is not in `key`: rows of one parent could take the place of another's",
                column.shown()
            );
            let cure = "add it to `key`, or write mode = \"append\" and remove `key`";
            problems.push(Problem::new(&column.place, Rule::Contradiction, what, cure));
        }
    }
    Some(given.value.iter().map(|column| column.value.clone()).collect())
}

fn names(columns: &[Given<String>], database: Option<Database>, problems: &mut Problems) {
    let mut seen = BTreeSet::new();
    for column in columns {
        if let Err(cure) = identifier(&column.value, database) {
            let what = format!("`table.replace` cannot name a column {}", column.shown());
            problems.push(Problem::new(&column.place, Rule::Value, what, cure));
        } else if !seen.insert(&column.value) {
            let what = format!("`table.replace` lists {} twice", column.shown());
            problems.push(Problem::new(&column.place, Rule::Contradiction, what, "list it once"));
        }
    }
}

fn contradictions(
    raw: &RawTable,
    given: &Given<Vec<Given<String>>>,
    mode: Mode,
    deletes: Option<&Deletes>,
    problems: &mut Problems,
) {
    let mut tell = |place, what: &str, cure: &str| {
        problems.push(Problem::new(place, Rule::Contradiction, what, cure));
    };
    if let Mode::Merge | Mode::Update = mode {
        let what = match mode {
            Mode::Merge => "`replace` deletes rows, and mode = \"merge\" adds to them",
            _ => "`replace` deletes the rows that mode = \"update\" would change",
        };
        tell(&given.key, what, "write mode = \"append\", \"upsert\" or \"insert-ignore\", or remove `replace`");
    }
    if raw.sql.is_absent() {
        let what = "`replace` is for rows that UNNEST makes of one record, and there is no `sql`";
        tell(&given.key, what, "write `sql` with UNNEST, or mode = \"upsert\" with these columns as `key`");
    }
    if let Some(version) = raw.version.given() {
        let what =
            "`version` has no effect with `replace`: the stored rows are deleted, and nothing is left to compare";
        tell(&version.key, what, "remove one of them");
    }
    if let Some(missing) = raw.missing.given().filter(|missing| missing.value == Missing::Keep) {
        let what = "missing = \"keep\" has no effect with `replace`: the stored rows are deleted, with what they hold";
        tell(&missing.key, what, "write missing = \"null\" or \"default\", or remove `replace`");
    }
    if let (Some(Deletes::Soft(_)), Some(deletes)) = (deletes, raw.deletes.given()) {
        let what = "`replace` deletes rows, and deletes = \"soft(..)\" would keep them";
        tell(&deletes.key, what, "write deletes = \"hard\" or \"ignore\"");
    }
}
