//! One step as prepared statements over many rows.

use std::collections::HashSet;

use arrow_array::Array;
use sqlx::Arguments;
use sqlx::mysql::MySqlArguments;

use crate::config::Mode;
use crate::retry::Disposition;
use crate::write::error::WriteError;
use crate::write::plan::{DeletePlan, TablePlan};
use crate::write::step::{Action, Step};

use super::MySqlSession;
use super::bind::{Column, Types, Unstorable};
use super::chunks::Chunks;
use super::errors;
use super::statements::statement;

impl MySqlSession {
    pub(super) async fn apply_step(&mut self, plan: &TablePlan, step: &Step) -> Result<u64, WriteError> {
        let columns = columns(plan, step)?;
        let statement = statement(self.flavor, plan, step.action, &step.columns);
        let chunks = Chunks {
            placeholders_per_row: columns.len(),
            sql_per_row: statement.row_length(),
            max_packet: self.max_packet,
        };
        let size = |row: usize| columns.iter().map(|column| column.size(row)).sum::<usize>();
        let rows = step.batch.num_rows();
        let (mut from, mut changed) = (0, 0);
        while from < rows {
            let mut count = chunks.next(rows - from, |row| size(from + row));
            if finds_each_row_once(plan, step.action) {
                count = distinct_keys(plan, step, &columns, &self.types, from, count);
            }
            if !chunks.fits(size(from)) {
                return Err(too_large(self.max_packet, step.origins[from]));
            }
            let arguments = self.bind_rows(plan, step, &columns, from, count)?;
            let affected = self
                .execute(statement.sql(count), arguments)
                .await
                .map_err(|error| blame(errors::read(&error, Some(plan)), &step.origins[from..from + count]))?;
            changed += if statement.tells_changed { affected } else { count as u64 };
            from += count;
        }
        Ok(changed)
    }

    fn bind_rows(
        &self,
        plan: &TablePlan,
        step: &Step,
        columns: &[Column<'_>],
        from: usize,
        count: usize,
    ) -> Result<MySqlArguments, WriteError> {
        let mut arguments = MySqlArguments::default();
        arguments.reserve(count * columns.len(), 0);
        for row in from..from + count {
            for (index, column) in columns.iter().enumerate() {
                column.bind(row, &self.types, &mut arguments).map_err(|cause| {
                    let name = step.columns.get(index).map(|&column| plan.columns[column].column.name.as_str());
                    unstorable(cause, name, step.origins[row])
                })?;
            }
        }
        Ok(arguments)
    }
}

pub(super) fn columns<'a>(plan: &TablePlan, step: &'a Step) -> Result<Vec<Column<'a>>, WriteError> {
    let column = |(index, array): (usize, &'a std::sync::Arc<dyn Array>)| {
        Column::new(array).ok_or_else(|| {
            let name = step.columns.get(index).map_or("the mark", |&column| &plan.columns[column].column.name);
            let message = format!("column {name}: values of type {} cannot be written to MySQL", array.data_type());
            WriteError::new(Disposition::Block, "unsupported-type", "", message).answered()
        })
    };
    step.batch.columns().iter().enumerate().map(column).collect()
}

/// An UPDATE that joins rows changes each row of the table once, whichever of several rows matched it first.
fn finds_each_row_once(plan: &TablePlan, action: Action) -> bool {
    match action {
        Action::Put => plan.mode == Mode::Update,
        Action::Patch => true,
        Action::SoftDelete => matches!(plan.deletes, DeletePlan::Soft(_)),
        Action::Delete | Action::Replace => false,
    }
}

/// How many of the `count` rows from `from` have keys that no collation takes for equal. The reduction compares bytes;
/// to a collation `a` and `A`, `ä` and `a`, `x` and `x ` may be one key, and then the later row must come in a later
/// statement. Texts other than printable ASCII go alone: what equals them, only the server knows.
fn distinct_keys(
    plan: &TablePlan,
    step: &Step,
    columns: &[Column<'_>],
    types: &Types,
    from: usize,
    count: usize,
) -> usize {
    let keys: Vec<_> =
        columns.iter().zip(&step.columns).filter(|(_, column)| plan.is_key(**column)).map(|(array, _)| array).collect();
    if !keys.iter().any(|key| matches!(key, Column::Text(_))) {
        return count;
    }
    let mut seen = HashSet::with_capacity(count);
    for row in from..from + count {
        let mut folded = Vec::new();
        let mut plain = true;
        for key in &keys {
            plain &= key.fold(row, types, &mut folded);
        }
        if !plain || !seen.insert(folded) {
            return Chunks::round((row - from).max(1));
        }
    }
    count
}

/// The server's hint at a row, as the record that it came from.
fn blame(answer: errors::Answer, origins: &[u32]) -> WriteError {
    let mut error = answer.error;
    if error.disposition == Disposition::Isolate {
        let alone = (origins.len() == 1).then_some(1);
        error.suspect = answer.row.or(alone).and_then(|row| origins.get(row - 1)).copied();
    }
    error
}

pub(super) fn unstorable(cause: Unstorable, column: Option<&str>, origin: u32) -> WriteError {
    let name = column.map_or("the marking column".to_owned(), |column| format!("column {column}"));
    let (class, message) = match cause {
        Unstorable::NotFinite => ("not-finite", format!("{name}: MySQL has no NaN and no infinity")),
        Unstorable::Year => ("out-of-range", format!("{name}: MySQL's dates end with the year 9999")),
    };
    let mut error = WriteError::new(Disposition::Isolate, class, "", message).answered();
    error.column = column.map(str::to_owned);
    error.suspect = Some(origin);
    error
}

fn too_large(max_packet: usize, origin: u32) -> WriteError {
    let message = format!(
        "the row is larger than the server's max_allowed_packet of {max_packet} bytes: raise it to store such rows"
    );
    let mut error = WriteError::new(Disposition::Isolate, "packet-too-large", "", message).answered();
    error.suspect = Some(origin);
    error
}
