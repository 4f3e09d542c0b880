//! One `[[table]]` and the table that the database has.

use crate::config::{Deletes, Mode, Table};
use crate::types::ColumnType;
use crate::write::catalog::{CatalogColumn, CatalogTable};
use crate::write::plan::{DeletePlan, PlanColumn, TablePlan};

use super::{Findings, Origin, merge, names, replace, types};

pub struct TablePlanner<'a, 'i> {
    pub(super) table: &'a Table,
    pub(super) found: &'a CatalogTable,
    pub(super) origin: Origin<'a, 'i>,
    findings: &'a mut Findings,
}

/// What a column is to its table.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Key,
    /// It marks deletes.
    Mark,
    Version,
    /// It has a function in `merge`, or holds the order of one.
    Merged,
    Other,
}

impl<'a, 'i> TablePlanner<'a, 'i> {
    pub(super) fn new(
        table: &'a Table,
        found: &'a CatalogTable,
        origin: Origin<'a, 'i>,
        findings: &'a mut Findings,
    ) -> Self {
        Self { table, found, origin, findings }
    }

    /// The plan; of no use where it found problems.
    pub(super) fn plan(mut self) -> TablePlan {
        let key = self.key();
        let mark = self.mark(&key);
        let version = self.version(&key, mark);
        let merge = self.merge(&key);
        let replace = self.replace(&key);
        let mut columns = Vec::with_capacity(self.found.columns.len());
        // Where each column of the table is in `columns`.
        let mut places = vec![None; self.found.columns.len()];
        for (index, column) in self.found.columns.iter().enumerate() {
            if self.table.mode == Mode::Merge && self.is_left_out(index, &key, &merge) {
                continue;
            }
            let role = if mark == Some(index) {
                Role::Mark
            } else if key.contains(&index) {
                Role::Key
            } else if version == Some(index) {
                Role::Version
            } else if merge[index].is_some() {
                Role::Merged
            } else {
                Role::Other
            };
            if let Some(input) = self.input(index, role) {
                places[index] = Some(columns.len());
                columns.push(PlanColumn { column: column.clone(), input });
                self.check_function(index, &merge, input);
            }
        }
        if columns.is_empty() {
            self.problem("it has no column that can be written: check that it is the table that was meant".to_owned());
        } else if self.table.mode == Mode::Update && columns.len() == key.len() {
            self.problem(
                "mode = \"update\" has nothing to write but the key: add columns, or use another mode".to_owned(),
            );
        }
        let retention = self.retention(&columns, &places);
        TablePlan {
            table: self.found.clone(),
            mode: self.table.mode,
            columns,
            // What is not written was told, and there will be no plan.
            key: key.iter().filter_map(|&column| places[column]).collect(),
            deletes: self.deletes(mark),
            version: version.and_then(|column| places[column]),
            missing: self.table.missing,
            replace: replace::in_plan(&replace, &places),
            retention,
            merge: merge::in_plan(&merge, &places),
        }
    }

    pub(super) fn problem(&mut self, text: String) {
        self.findings.problems.push(format!("table {}: {text}", self.found.full_name()));
    }

    pub(super) fn warning(&mut self, text: String) {
        self.findings.warnings.push(format!("table {}: {text}", self.found.full_name()));
    }

    /// The column that an option of the file names.
    pub(super) fn find_column(&mut self, name: &str, option: &str) -> Option<usize> {
        let found = self.found.column(name);
        if found.is_none() {
            let hint = names::hint(name, self.found.columns.iter().map(|column| column.name.as_str()));
            self.problem(format!("it has no column {name}, which `{option}` names: correct it, or add it{hint}"));
        }
        found
    }

    pub(super) fn is_sqlite(&self) -> bool {
        self.found.schema.is_none()
    }

    /// The column that `soft(..)` marks.
    fn mark(&mut self, key: &[usize]) -> Option<usize> {
        let Deletes::Soft(name) = &self.table.deletes else { return None };
        let index = self.find_column(name, "deletes")?;
        let column = &self.found.columns[index];
        let name = &column.name;
        if key.contains(&index) {
            self.problem(format!("{name} cannot mark deletes, because it is in the key: choose another column"));
        } else if column.generated {
            self.problem(format!(
                "{name} cannot mark deletes, because the database computes it: choose another column"
            ));
        } else if self.mark_type(column).is_none() {
            self.problem(format!(
                "{name} cannot mark deletes, because it is of type {}: a timestamp with or without time zone, or a \
                 boolean can",
                column.native
            ));
        } else if self.mark_type(column) != Some(ColumnType::Bool) && !column.nullable {
            self.problem(format!(
                "{name} cannot mark deletes, because it takes no null, which is what a row that is not deleted has \
                 there: drop its NOT NULL"
            ));
        }
        Some(index)
    }

    fn mark_type(&self, column: &CatalogColumn) -> Option<ColumnType> {
        match &column.ty {
            Some(ty @ (ColumnType::TimestampTz | ColumnType::Timestamp | ColumnType::Bool)) => Some(ty.clone()),
            // Times are stored as text there.
            Some(ColumnType::Text) if self.is_sqlite() => Some(ColumnType::TimestampTz),
            _ => None,
        }
    }

    fn deletes(&self, mark: Option<usize>) -> DeletePlan {
        match (&self.table.deletes, mark) {
            (Deletes::Hard, _) => DeletePlan::Hard,
            (Deletes::Soft(_), Some(mark)) => {
                let mut column = self.found.columns[mark].clone();
                column.ty = self.mark_type(&column);
                DeletePlan::Soft(column)
            }
            (Deletes::Soft(_) | Deletes::Ignore, _) => DeletePlan::Ignore,
        }
    }

    fn version(&mut self, key: &[usize], mark: Option<usize>) -> Option<usize> {
        let name = self.table.version.as_ref()?;
        if !matches!(self.table.mode, Mode::Upsert | Mode::Update) {
            self.problem(
                "`version` compares with the stored row, which only the modes upsert and update change: remove it, or \
                 set one of them"
                    .to_owned(),
            );
        }
        let index = self.find_column(name, "version")?;
        let column = &self.found.columns[index];
        let reason = if key.contains(&index) {
            "it is in the key, so it never differs from the stored one"
        } else if mark == Some(index) {
            "it marks deletes"
        } else if column.generated {
            "the database computes it, so events do not bring it"
        } else if column.ty.is_none() {
            "its type is not supported"
        } else {
            return Some(index);
        };
        self.problem(format!("{} cannot be the `version`, because {reason}: choose another column", column.name));
        Some(index)
    }

    /// Where one column of the table takes its values from; `None` where it is not written.
    fn input(&mut self, index: usize, role: Role) -> Option<usize> {
        let column = &self.found.columns[index];
        let wanted = self.origin.wanted(self.found, index);
        let (name, table) = (&column.name, self.found.full_name());
        let refusal = if role == Role::Mark {
            format!("the column marks deletes in table {table}, so events do not fill it")
        } else if column.generated {
            format!("the database computes the column in table {table}, so it cannot be written")
        } else if column.ty.is_none() {
            self.tell_unsupported(column, role == Role::Key, wanted.is_some());
            format!("the column is of type {} in table {table}, which is not supported", column.native)
        } else {
            let source = match self.origin {
                Origin::Record(_) => self.field(column, wanted, role)?,
                Origin::Query(_) => self.output(index, role)?,
            };
            if let (Role::Version, Some(ty), Some(stored)) = (role, self.origin.ty(source), &column.ty)
                && !types::is_version(ty, stored)
            {
                self.problem(format!(
                    "{name} cannot be the `version`, because values of type {} cannot be ordered here and in the \
                     database alike: choose a number or a time",
                    column.native
                ));
            }
            return Some(source);
        };
        if let Some(wanted) = wanted {
            self.origin.refuse(wanted, refusal);
        }
        None
    }

    /// The input column for a column of the table.
    fn field(&mut self, column: &CatalogColumn, declaration: Option<usize>, role: Role) -> Option<usize> {
        let ty = self.decoded_type(column, declaration)?;
        let Origin::Record(inputs) = &mut self.origin else { return None };
        Some(inputs.column(declaration, &column.name, ty, role == Role::Key))
    }

    /// The statement's column for a column of the table.
    fn output(&mut self, index: usize, role: Role) -> Option<usize> {
        let column = &self.found.columns[index];
        let name = &column.name;
        let Origin::Query(outputs) = &mut self.origin else { return None };
        let Some((output, found)) = outputs.find(self.found, index) else {
            self.tell_not_given(column, role);
            return None;
        };
        let stored = column.ty.as_ref()?;
        let fit = if self.found.schema.is_none() { types::decoded_without_types } else { types::decoded };
        let fitting = fit(&found.ty, stored, true);
        let is_narrower = fitting.is_none();
        let target = fitting.or_else(|| found.ty.converts_to(stored).then(|| stored.clone()));
        let Some(target) = target else {
            outputs.forgive(output);
            self.problem(format!(
                "column {name} is of type {}, and `sql` gives {}, which does not become it: write CAST({name} AS ..) in \
                 the SELECT, or change the column",
                column.native, found.ty
            ));
            return None;
        };
        outputs.write(output, target);
        if is_narrower {
            self.warning(format!(
                "column {name} is of type {}, and `sql` gives {}: a record whose value does not fit is a bad record",
                column.native, found.ty
            ));
        }
        Some(output)
    }

    /// The statement has nothing for this column.
    fn tell_not_given(&mut self, column: &CatalogColumn, role: Role) {
        let name = &column.name;
        let part = match role {
            Role::Key => "is in the key",
            Role::Version => "is the `version`",
            Role::Merged => "has a part in `merge`",
            Role::Mark | Role::Other => {
                let is_inserted = self.table.mode != Mode::Update;
                if is_inserted && !column.nullable && !column.has_default {
                    self.problem(format!(
                        "column {name} takes no null and has no default, and `sql` does not give it: add it to the \
                         SELECT, or give the column a default"
                    ));
                }
                return;
            }
        };
        self.problem(format!("column {name} {part}, and `sql` does not give it: add it to the SELECT"));
    }

    fn tell_unsupported(&mut self, column: &CatalogColumn, is_key: bool, is_declared: bool) {
        let CatalogColumn { name, native, .. } = column;
        if is_key {
            self.problem(format!(
                "the key column {name} is of type {native}, which is not supported: choose another key, or change the \
                 type"
            ));
        } else if !column.nullable && !column.has_default {
            self.problem(format!(
                "column {name} takes no null and has no default, and its type {native} is not supported: change the \
                 type, or give the column a default"
            ));
        } else if !is_declared && matches!(self.origin, Origin::Record(_)) {
            self.warning(format!("column {name} is of type {native}, which is not supported: it is left alone"));
        }
    }

    /// The type that the decoder fills the column with.
    fn decoded_type(&mut self, column: &CatalogColumn, declaration: Option<usize>) -> Option<ColumnType> {
        let table = column.ty.as_ref()?;
        let Origin::Record(inputs) = &mut self.origin else { return None };
        let Some(declared) = declaration.map(|index| inputs.declared(index)) else { return Some(table.clone()) };
        let zone_is_known = inputs.zone_is_known;
        let fit = if self.found.schema.is_none() { types::decoded_without_types } else { types::decoded };
        let ty = match &declared.ty {
            None => Some(table.clone()),
            Some(declared) => fit(declared, table, zone_is_known),
        };
        let name = &column.name;
        let Some(ty) = ty else {
            let declared = declared.ty.as_ref()?;
            let cure = match (declared, table) {
                (ColumnType::Timestamp, ColumnType::TimestampTz) => "set `source.timezone`, or declare",
                _ => "declare",
            };
            self.problem(format!(
                "column {name} is of type {}, which cannot hold every {declared} that [source.columns] declares: \
                 {cure} {table}, or change the column",
                column.native
            ));
            // It is not unused besides.
            if let Origin::Record(inputs) = &mut self.origin {
                inputs.column(declaration, name, table.clone(), false);
            }
            return None;
        };
        if declared.unit.is_some() && !types::is_time(&ty) {
            self.problem(format!(
                "column {name} is of type {}, and [source.columns] gives it a `unit`, which only times have: remove it",
                column.native
            ));
        }
        if declared.encoding.is_some() && !types::is_bytes(&ty) {
            self.problem(format!(
                "column {name} is of type {}, and [source.columns] gives it an `encoding`, which only bytes have: \
                 remove it",
                column.native
            ));
        }
        Some(ty)
    }
}
