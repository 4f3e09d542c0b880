//! The columns of `replace`: by them a parent's stored rows are found, and they keep its rows from another's.

use crate::config::Mode;
use crate::write::keys;
use crate::write::plan::ReplacePlan;

use super::names;
use super::table::TablePlanner;

impl TablePlanner<'_, '_> {
    /// The columns that `replace` names, by their indexes in the table.
    pub(super) fn replace(&mut self, key: &[usize]) -> Vec<usize> {
        let table = self.table;
        let mut columns = Vec::with_capacity(table.replace.len());
        for name in &table.replace {
            let Some(index) = self.find_column(name, "replace") else { continue };
            let column = &self.found.columns[index];
            if columns.contains(&index) {
                self.problem(format!("`replace` names the column {name} twice: name it once"));
            } else if column.generated {
                self.problem(format!("the database computes {name}: `replace` must name columns that are written"));
            } else if column.ty.as_ref().is_some_and(|ty| !keys::is_comparable(ty)) {
                let native = &column.native;
                self.problem(format!(
                    "`replace` names {name}, which is of type {native}, whose values have many forms: choose another"
                ));
            } else {
                columns.push(index);
            }
        }
        if columns.len() == table.replace.len() && !columns.is_empty() {
            self.check_parents_are_apart(key, &columns);
        }
        columns
    }

    /// A row of one parent must not take the place of another's: what is left would depend on the order in which the
    /// parents come, which a batch does not keep.
    fn check_parents_are_apart(&mut self, key: &[usize], replace: &[usize]) {
        let is_apart = |columns: &[usize]| replace.iter().all(|column| columns.contains(column));
        let parent = names::list(self.found, replace);
        match self.table.mode {
            Mode::Upsert if !key.is_empty() && !is_apart(key) => {
                let key = names::list(self.found, key);
                self.problem(format!(
                    "the key ({key}) does not hold the columns of `replace` ({parent}), so a row of one parent could \
                     take the place of another's: use a `key` that begins with them, or mode = \"append\""
                ));
            }
            Mode::InsertIgnore => {
                let indexes = self.found.unique.iter().filter(|index| !is_apart(&index.columns));
                let names = indexes.map(|index| &index.name).chain(&self.found.unusable_unique);
                let names: Vec<&str> = names.map(String::as_str).collect();
                if !names.is_empty() {
                    let names = names.join(" and ");
                    self.problem(format!(
                        "the unique index {names} does not hold the columns of `replace` ({parent}), so whether a row \
                         is there already would depend on another parent's: use mode = \"append\", or add them to it"
                    ));
                }
            }
            _ => {}
        }
    }
}

/// The plan's part; what is not written was told, and there will be no plan.
pub(super) fn in_plan(replace: &[usize], places: &[Option<usize>]) -> Option<ReplacePlan> {
    let columns: Vec<usize> = replace.iter().filter_map(|&column| places[column]).collect();
    (!columns.is_empty()).then_some(ReplacePlan { columns, index: None })
}
