//! `replace`, the columns by which the rows of a record replace the stored ones, and the columns of the table's name.
//!
//! They are computed once per record, so that a record whose list is empty deletes the rows that its parent has.

use std::collections::BTreeSet;

use tidegate_sql::{Output, Statement, unnested};

use super::SqlProblem;
use super::plan::{Plan, columns_of, problem};

/// The outputs that `replace` names.
///
/// # Errors
/// Every one that is not there, or that depends on the element of a list.
pub(super) fn outputs(statement: &Statement, names: &[String]) -> Result<Vec<usize>, Vec<SqlProblem>> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let Some(first) = statement.outputs.first() else { return Ok(Vec::new()) };
    if statement.unnests.is_empty() {
        let message = "`replace` is for rows that UNNEST makes of one record, and this SELECT has no UNNEST".to_owned();
        let cure = format!("remove `replace` and write mode = \"upsert\", key = [\"{}\"]", names.join("\", \""));
        return Err(vec![problem(first, message, &cure)]);
    }
    let elements: BTreeSet<String> = (0..statement.unnests.len()).map(unnested).collect();
    let (mut found, mut problems) = (Vec::with_capacity(names.len()), Vec::new());
    for name in names {
        let Some(index) = find(&statement.outputs, name) else {
            let given: Vec<&str> = statement.outputs.iter().map(|output| output.name.as_str()).collect();
            let message = format!("`replace` names {name}, which this SELECT does not give");
            problems.push(problem(first, message, &format!("add it, or name one of: {}", given.join(", "))));
            continue;
        };
        let output = &statement.outputs[index];
        if columns_of(&output.expr).is_disjoint(&elements) {
            found.push(index);
        } else {
            let message = format!(
                "column {name}, which `replace` names, comes of UNNEST: a record with an empty list would have none"
            );
            problems.push(problem(output, message, "name columns of the record itself: the key of the parent"));
        }
    }
    if problems.is_empty() { Ok(found) } else { Err(problems) }
}

/// By the exact name, else by the only one that equals it but for case, as the table's columns are found.
fn find(outputs: &[Output], name: &str) -> Option<usize> {
    if let Some(exact) = outputs.iter().position(|output| output.name == name) {
        return Some(exact);
    }
    let mut similar = (0..outputs.len()).filter(|index| outputs[*index].name.eq_ignore_ascii_case(name));
    let first = similar.next()?;
    similar.next().is_none().then_some(first)
}

impl Plan {
    /// The output of a name: the exact one, else the only one that equals it but for case.
    pub fn output(&self, name: &str) -> Option<usize> {
        find(&self.statement.outputs, name)
    }

    /// The same, where the name of the table needs these outputs in every row.
    #[must_use]
    pub fn named_by(self, names: Vec<usize>) -> Self {
        Self { names, ..self }
    }

    /// Indexes into `outputs`: what the table's name needs.
    pub fn names(&self) -> &[usize] {
        &self.names
    }

    /// Is the output the record's own, and not an element's?
    pub fn is_of_record(&self, output: usize) -> bool {
        let elements: BTreeSet<String> = (0..self.statement.unnests.len()).map(unnested).collect();
        columns_of(&self.statement.outputs[output].expr).is_disjoint(&elements)
    }

    /// Do rows that delete need the output, besides the key?
    pub(super) fn is_needed(&self, output: usize, deletes: bool) -> bool {
        let is_named = self.names.contains(&output) && (deletes || !self.replace.is_empty());
        is_named || self.replace.contains(&output)
    }
}
