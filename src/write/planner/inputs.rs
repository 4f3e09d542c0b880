//! The columns of the input: what the tables need, with what `[source.columns]` says of it.

use crate::config::SourceColumn;
use crate::rows::{BytesEncoding, ColumnSource, InputColumn};
use crate::types::ColumnType;
use crate::write::catalog::CatalogTable;

use super::names;

pub struct Inputs<'a> {
    declared: &'a [SourceColumn],
    /// Per declared column: what came of it.
    uses: Vec<Use>,
    columns: Vec<InputColumn>,
    /// Is there a `source.timezone`?
    pub zone_is_known: bool,
}

#[derive(Clone)]
enum Use {
    /// No table so far has such a column.
    None,
    /// A table has one that cannot be written: why.
    Refused(String),
    Written,
}

impl<'a> Inputs<'a> {
    pub fn new(declared: &'a [SourceColumn], zone_is_known: bool) -> Self {
        Self { declared, uses: vec![Use::None; declared.len()], columns: Vec::new(), zone_is_known }
    }

    /// The declaration of a table's column: the one of its exact name, else the one that is found by it.
    pub fn declaration(&mut self, table: &CatalogTable, column: usize) -> Option<usize> {
        let name = &table.columns[column].name;
        let mut candidates: Vec<usize> =
            (0..self.declared.len()).filter(|&i| table.column(&self.declared[i].name) == Some(column)).collect();
        candidates.sort_by_key(|&i| self.declared[i].name != *name);
        let (&first, others) = candidates.split_first()?;
        for &other in others {
            let winner = &self.declared[first].name;
            self.refuse(other, format!("it names the same column {name} of table {} as {winner}", table.full_name()));
        }
        Some(first)
    }

    pub fn declared(&self, index: usize) -> &'a SourceColumn {
        &self.declared[index]
    }

    /// A table cannot write this declared column. A problem, unless another table does.
    pub fn refuse(&mut self, declaration: usize, reason: String) {
        if matches!(self.uses[declaration], Use::None) {
            self.uses[declaration] = Use::Refused(reason);
        }
    }

    /// The declared column is wrong for a reason that was told.
    pub fn forgive(&mut self, declaration: usize) {
        self.uses[declaration] = Use::Written;
    }

    /// The index of the input column for a table's column; tables that take the same share it.
    pub fn column(&mut self, declaration: Option<usize>, name: &str, ty: ColumnType, key: bool) -> usize {
        let wanted = match declaration {
            Some(index) => {
                self.uses[index] = Use::Written;
                InputColumn { key, ..self.declared[index].input(ty) }
            }
            None => InputColumn {
                name: name.to_owned(),
                ty,
                source: ColumnSource::Value(vec![name.to_owned()]),
                unit: None,
                encoding: BytesEncoding::Base64,
                default: None,
                key,
            },
        };
        let is_wanted = |column: &InputColumn| InputColumn { key, ..column.clone() } == wanted;
        if let Some(known) = self.columns.iter().position(is_wanted) {
            self.columns[known].key |= key;
            return known;
        }
        self.columns.push(wanted);
        self.columns.len() - 1
    }

    /// A declared column that no table writes is a mistake. (Where there is SQL the declarations describe the input, of
    /// which a statement takes what it needs.)
    pub fn check_all_used(&self, catalog: &[Option<CatalogTable>], in_names: &[&str], problems: &mut Vec<String>) {
        // A table that is not there may be the one that has them.
        let all_tables_known = catalog.iter().all(Option::is_some);
        for (declared, used) in self.declared.iter().zip(&self.uses) {
            let name = &declared.name;
            match used {
                Use::Written => {}
                Use::None if in_names.contains(&name.as_str()) => {}
                Use::Refused(reason) => {
                    problems.push(format!("[source.columns] {name}: {reason}; remove the line"));
                }
                Use::None if all_tables_known => {
                    let columns = catalog.iter().flatten().flat_map(|table| &table.columns);
                    let hint = names::hint(name, columns.map(|column| column.name.as_str()));
                    let which = if catalog.len() == 1 { "the table has no" } else { "none of the tables has a" };
                    problems.push(format!(
                        "[source.columns] {name}: {which} column of that name: correct it, remove the line, or add \
                         the column{hint}"
                    ));
                }
                Use::None => {}
            }
        }
    }

    /// The type that an input column is decoded as.
    pub fn decoded(&self, input: usize) -> &ColumnType {
        &self.columns[input].ty
    }

    pub fn into_columns(self) -> Vec<InputColumn> {
        self.columns
    }
}
