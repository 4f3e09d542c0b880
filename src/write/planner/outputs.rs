//! What a table's statement gives, against the table's columns.

use crate::rows::OutputColumn;
use crate::types::ColumnType;
use crate::write::catalog::CatalogTable;

use super::{Findings, names};

/// The columns of a statement, and what came of each.
pub struct Outputs<'a> {
    columns: &'a [OutputColumn],
    uses: Vec<Use>,
}

#[derive(Clone)]
enum Use {
    /// The table has no such column.
    None,
    /// The table has one that cannot be written: why.
    Refused(String),
    /// What is wrong with it was told.
    Told,
    Written(ColumnType),
}

impl<'a> Outputs<'a> {
    pub fn new(columns: &'a [OutputColumn]) -> Self {
        Self { columns, uses: vec![Use::None; columns.len()] }
    }

    /// The output for a table's column.
    pub fn find(&self, table: &CatalogTable, column: usize) -> Option<(usize, &'a OutputColumn)> {
        let index = self.columns.iter().position(|output| table.column(&output.name) == Some(column))?;
        Some((index, &self.columns[index]))
    }

    pub fn write(&mut self, output: usize, ty: ColumnType) {
        self.uses[output] = Use::Written(ty);
    }

    /// The table cannot take this output: why.
    pub fn refuse(&mut self, output: usize, reason: String) {
        self.uses[output] = Use::Refused(reason);
    }

    /// The output is wrong for a reason that was told.
    pub fn forgive(&mut self, output: usize) {
        self.uses[output] = Use::Told;
    }

    /// The type that the output must have.
    pub fn target(&self, output: usize) -> Option<&ColumnType> {
        match &self.uses[output] {
            Use::Written(ty) => Some(ty),
            _ => None,
        }
    }

    /// The types that the statement's columns must have, in their order; of no use where problems were found. `in_name`:
    /// the columns of the table's name.
    pub fn into_targets(self, table: &CatalogTable, in_name: &[&str], findings: &mut Findings) -> Vec<ColumnType> {
        let mut targets = Vec::with_capacity(self.columns.len());
        for (output, used) in self.columns.iter().zip(self.uses) {
            let name = &output.name;
            let problem = match used {
                Use::Written(ty) => {
                    targets.push(ty);
                    continue;
                }
                Use::Told => continue,
                // It says which table, and the table need not have it.
                Use::None if in_name.iter().any(|column| column.eq_ignore_ascii_case(name)) => {
                    targets.push(output.ty.clone());
                    continue;
                }
                Use::Refused(reason) => format!("`sql` gives {name}, but {reason}; take it out of the SELECT"),
                Use::None if table.column(name).is_some() => {
                    format!("`sql` gives the column {name} twice, in names that differ in case alone: keep one")
                }
                Use::None => {
                    let hint = names::hint(name, table.columns.iter().map(|column| column.name.as_str()));
                    format!(
                        "`sql` gives a column {name}, which the table does not have: name it after the table's column \
                         by AS, take it out of the SELECT, or add the column{hint}"
                    )
                }
            };
            findings.problems.push(format!("table {}: {problem}", table.full_name()));
        }
        targets
    }
}
