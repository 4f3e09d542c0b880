//! `from` of a `[[table]]` or `[[topic]]`: the merge table whose rows are its input.

use crate::config::problem::{Place, Problem, Problems, Rule, nearest};
use crate::config::raw::{RawTable, RawTopic};
use crate::config::read::Given;
use crate::config::{Deletes, Filtered, Mode, Table, Topic, TopicDeletes};

/// Whose rows each table takes, and what has no meaning beside that.
pub fn tables(given: &[Given<RawTable>], tables: &mut [Option<Table>], problems: &mut Problems) {
    for (index, Given { value: raw, place, .. }) in given.iter().enumerate() {
        let Some(from) = raw.from.given() else { continue };
        contradictions(raw, place, problems);
        let named = |index: usize| given[index].value.name.value().map(String::as_str);
        let modes = tables.iter().map(|table| table.as_ref().map(|table| table.mode)).collect::<Vec<_>>();
        let found = find(from, given.len(), named, |index| modes[index], problems);
        let Some(table) = found else { continue };
        if table >= index {
            let what = format!("the table {} comes after what follows from it", from.shown());
            let cure = "write its [[table]] before this one: tables are written in the order of the file";
            problems.push(Problem::new(&from.place, Rule::Contradiction, what, cure));
        } else if let Some(this) = &mut tables[index] {
            this.from = Some(table);
            // There are none.
            this.deletes = Deletes::Ignore;
        }
    }
}

/// Whose rows each topic takes; `tables` is `None` where something else is wrong with them.
pub fn topics(
    given: Option<&Given<Vec<Given<RawTopic>>>>,
    topics: Option<Vec<Topic>>,
    tables: Option<&[Table]>,
    problems: &mut Problems,
) -> Option<Vec<Topic>> {
    let mut topics = topics?;
    let (Some(given), Some(tables)) = (given, tables) else { return Some(topics) };
    for (topic, Given { value: raw, .. }) in topics.iter_mut().zip(&given.value) {
        let Some(from) = raw.from.given() else { continue };
        if let Some(deletes) = raw.deletes.given().filter(|given| given.value == TopicDeletes::Tombstone) {
            let what = "deletes = \"tombstone\" has no effect with `from`: no row of a merge table is deleted";
            problems.push(Problem::new(&deletes.key, Rule::Contradiction, what, "remove it"));
        }
        let named = |index: usize| Some(tables[index].name.as_str());
        topic.from = find(from, tables.len(), named, |index| Some(tables[index].mode), problems);
    }
    Some(topics)
}

/// The index of the merge table that `from` names.
fn find<'a>(
    from: &Given<String>,
    count: usize,
    named: impl Fn(usize) -> Option<&'a str>,
    mode: impl Fn(usize) -> Option<Mode>,
    problems: &mut Problems,
) -> Option<usize> {
    let found = (0..count).find(|index| named(*index) == Some(from.value.as_str()));
    // What is wrong with a table that is not known was told.
    let merges = (0..count).filter(|index| mode(*index) == Some(Mode::Merge)).filter_map(&named);
    let (what, cure) = match found {
        Some(index) => match mode(index) {
            Some(Mode::Merge) => return Some(index),
            None => return None,
            Some(_) => (
                format!("the table {} is not of mode \"merge\", and only such a table has totals", from.shown()),
                "write mode = \"merge\" there, or remove `from`: the input is then the records".to_owned(),
            ),
        },
        None => (
            format!("`from` names {}, which is no table of this pipeline", from.shown()),
            match nearest(&from.value, merges.clone()) {
                Some(near) => format!("did you mean \"{near}\"?"),
                None => "write the `name` of a [[table]] with mode = \"merge\"".to_owned(),
            },
        ),
    };
    let allowed = merges.collect::<Vec<_>>().join(", ");
    let problem = Problem::new(&from.place, Rule::Value, what, cure);
    problems.push(if allowed.is_empty() { problem } else { problem.allowed(allowed) });
    None
}

fn contradictions(raw: &RawTable, section: &Place, problems: &mut Problems) {
    let mut tell = |place: &Place, rule: Rule, what: &str, cure: &str| {
        problems.push(Problem::new(place, rule, what, cure));
    };
    if let Some(given) = raw.mode.given().filter(|given| given.value == Mode::Merge) {
        let what = "mode = \"merge\" does not go with `from`: a total is not a part of another total";
        let cure = "merge the records: remove `from`; or write mode = \"upsert\" to keep the last row of each key";
        tell(&given.place, Rule::Contradiction, what, cure);
    }
    if raw.sql.is_absent() {
        let what = "`from` needs `sql`, which says what becomes of the merged rows";
        tell(
            section,
            Rule::Missing,
            what,
            "write sql = \"SELECT .. FROM input WHERE total > 100 AND total - total_delta <= 100\"",
        );
    }
    if let Some(given) = raw.deletes.given().filter(|given| given.value != "ignore") {
        let what = "`deletes` has no effect with `from`: no row of a merge table is deleted";
        tell(&given.key, Rule::Contradiction, what, "remove it");
    }
    if let Some(given) = raw.replace.given() {
        let what = "`replace` does not go with `from`: a merged row has no record whose rows it could replace";
        tell(&given.key, Rule::Contradiction, what, "remove it; mode = \"upsert\" keeps the last row of each key");
    }
    if let Some(given) = raw.filtered.given().filter(|given| given.value == Filtered::Delete) {
        let what = "filtered = \"delete\" does not go with `from`: what was written once stays";
        tell(&given.key, Rule::Contradiction, what, "remove it");
    }
}
