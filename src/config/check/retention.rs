//! `retention` of a `[[table]]`.

use std::time::Duration;

use crate::config::problem::{Problem, Problems, Rule};
use crate::config::raw::RawTable;
use crate::config::{Database, Retention};

use super::table::identifier;

/// A row must live longer than clocks differ.
const LEAST: Duration = Duration::from_secs(60);

/// How long rows are kept; the inner `None`: for ever.
pub fn retention(raw: &RawTable, database: Option<Database>, problems: &mut Problems) -> Option<Option<Retention>> {
    if raw.retention.is_absent() {
        return Some(None);
    }
    let given = raw.retention.given()?;
    let cure = "write retention = { column = \"created_at\", keep = \"30d\" }";
    let column = given.value.column.required(&given.place, "table.retention.column", cure, problems);
    let keep = given.value.keep.required(&given.place, "table.retention.keep", cure, problems);
    let (column, keep) = (column?, keep?);
    if let Err(cure) = identifier(&column.value, database) {
        let what = format!("`table.retention.column` cannot be {}", column.shown());
        problems.push(Problem::new(&column.place, Rule::Value, what, cure));
        return None;
    }
    if keep.value.0 < LEAST {
        let what = "`table.retention.keep` is shorter than a minute";
        problems.push(Problem::new(
            &keep.place,
            Rule::Bounds,
            what,
            "write a time such as \"30d\"; the least is \"1m\"",
        ));
        return None;
    }
    Some(Some(Retention { column: column.value.clone(), keep: keep.value.0 }))
}
