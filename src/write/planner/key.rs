//! The key of a table, and the unique index that stands behind it.

use crate::config::{Deletes, Mode};
use crate::write::catalog::UniqueIndex;
use crate::write::keys;

use super::names;
use super::table::TablePlanner;

impl TablePlanner<'_, '_> {
    /// The columns by which rows are found, in the order of their unique index; empty where none is needed.
    pub(super) fn key(&mut self) -> Vec<usize> {
        let finds_rows = matches!(self.table.mode, Mode::Upsert | Mode::Update | Mode::Merge)
            || self.table.deletes != Deletes::Ignore && self.table.replace.is_empty();
        let is_named = self.table.mode == Mode::InsertIgnore && !self.table.key.is_empty();
        if !finds_rows && !is_named {
            return Vec::new();
        }
        let key = if self.table.key.is_empty() { self.primary_key() } else { self.named_key() };
        for &column in &key {
            self.check_key_column(column);
        }
        key
    }

    fn primary_key(&mut self) -> Vec<usize> {
        if let Some(primary) = self.found.unique.iter().find(|index| index.primary) {
            return primary.columns.clone();
        }
        let example = match self.found.unique.first() {
            Some(index) => format!(
                ", for example those of the unique index {}: {}",
                index.name,
                names::list(self.found, &index.columns)
            ),
            None => ", with a unique index over them".to_owned(),
        };
        self.problem(format!(
            "{} must find rows, and the table has no primary key: add one, or name the columns that identify a row in \
             `key`{example}",
            self.finder()
        ));
        Vec::new()
    }

    fn named_key(&mut self) -> Vec<usize> {
        let mut key = Vec::with_capacity(self.table.key.len());
        let mut complete = true;
        for name in &self.table.key {
            match self.find_column(name, "key") {
                Some(column) if key.contains(&column) => {
                    self.problem(format!("`key` names the column {name} twice: name it once"));
                    complete = false;
                }
                Some(column) => key.push(column),
                None => complete = false,
            }
        }
        if !complete {
            return key;
        }
        let covers = |index: &&UniqueIndex| {
            index.columns.len() == key.len() && index.columns.iter().all(|column| key.contains(column))
        };
        match self.found.unique.iter().find(covers) {
            Some(index) => index.columns.clone(),
            None => {
                self.tell_missing_index(&key);
                key
            }
        }
    }

    fn tell_missing_index(&mut self, key: &[usize]) {
        let columns = names::list(self.found, key);
        let statement = names::create_unique_index(self.found, key);
        if !matches!(self.table.mode, Mode::Upsert | Mode::InsertIgnore | Mode::Merge) {
            return self.warning(format!(
                "no unique index covers the key ({columns}): a key that several rows share changes all of them, and \
                 each change searches the table: {statement}"
            ));
        }
        let mut text = format!("{} needs a unique index over exactly the key ({columns})", self.finder());
        if !self.found.unusable_unique.is_empty() {
            let plural = self.found.unusable_unique.len() > 1;
            text += &format!(
                "; {} cannot serve, because {} partial, over an expression, or deferrable",
                self.found.unusable_unique.join(" and "),
                if plural { "they are" } else { "it is" }
            );
        }
        let usable = self.found.unique.iter();
        let usable: Vec<String> =
            usable.map(|index| format!("{} ({})", index.name, names::list(self.found, &index.columns))).collect();
        if !usable.is_empty() {
            text += &format!("; it has {}", usable.join(" and "));
        }
        self.problem(format!("{text}: correct `key`, or create the index: {statement}"));
    }

    fn check_key_column(&mut self, column: usize) {
        let column = &self.found.columns[column];
        let name = &column.name;
        match &column.ty {
            _ if column.generated => self.problem(format!(
                "the key column {name} is computed by the database, so no event can name its row: choose another key"
            )),
            Some(ty) if !keys::is_comparable(ty) => self.problem(format!(
                "the key column {name} is of type {}, whose values have many forms: choose another key",
                column.native
            )),
            // A type that is not written is told with the columns.
            _ => {}
        }
    }

    /// What needs the key.
    fn finder(&self) -> String {
        match (self.table.mode, &self.table.deletes) {
            (Mode::Upsert, _) => "mode = \"upsert\"".to_owned(),
            (Mode::Update, _) => "mode = \"update\"".to_owned(),
            (Mode::Merge, _) => "mode = \"merge\"".to_owned(),
            (Mode::InsertIgnore, Deletes::Ignore) => "mode = \"insert-ignore\" with a `key`".to_owned(),
            (_, Deletes::Soft(column)) => format!("deletes = \"soft({column})\""),
            (..) => "deletes = \"hard\"".to_owned(),
        }
    }
}
