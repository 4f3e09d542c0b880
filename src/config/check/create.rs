//! `create` of a `[[table]]`.

use crate::config::Mode;
use crate::config::problem::{Problem, Problems, Rule};
use crate::config::raw::{RawPipeline, RawTable};

/// Is the table created where it is not there?
pub fn create(raw: &RawTable, mode: Mode, problems: &mut Problems) -> bool {
    let Some(given) = raw.create.given().filter(|given| given.value) else { return false };
    if mode != Mode::Append && raw.key.is_absent() {
        let what = "create = true needs `key`: a table that is not there has no primary key to take";
        let cure = "write key = [\"..\"], or mode = \"append\"";
        problems.push(Problem::new(&given.key, Rule::Missing, what, cure));
    }
    true
}

/// Does anything say which columns the tables are to have?
pub fn columns(raw: &RawPipeline, problems: &mut Problems) {
    let Some(source) = raw.source.value() else { return };
    if !source.columns.is_absent() {
        return;
    }
    let tables = raw.table.value().into_iter().flatten();
    for table in tables.map(|table| &table.value).filter(|table| table.sql.is_absent()) {
        let Some(given) = table.create.given().filter(|given| given.value) else { continue };
        let what = "create = true, and nothing says which columns the table has";
        let cure = "declare them with their types in [source.columns], or write `sql`";
        problems.push(Problem::new(&given.key, Rule::Missing, what, cure));
    }
}
