//! Tables that are not there yet: what `create = true` makes, and what a plan tells to make.
//!
//! ```text
//! [[table]] + its SQL's columns, or [source.columns] --design--> NewTable --each database--> Draft --create--> the table
//! ```
//!
//! A draft holds the table as the catalog will show it, so that everything is planned and checked before the statement
//! runs. The statement runs outside of any data transaction.

use crate::config::{Deletes, MergeFunction, Mode, SourceColumn, Table};
use crate::retry::Disposition;
use crate::rows::OutputColumn;
use crate::types::{ColumnType, MAX_ARROW_DECIMAL};

use super::catalog::{CatalogColumn, CatalogTable, UniqueIndex};
use super::error::WriteError;

/// The digits that a sum has more than its summands: room for ten thousand million of them.
const SUM_DIGITS: u32 = 10;
/// The widest decimal that a sum is widened to: what the engine computes with.
const WIDEST_SUM: u32 = 38;
const _: () = assert!(WIDEST_SUM <= MAX_ARROW_DECIMAL);

/// A table that is to be made, in the words of all databases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTable {
    /// As the file writes it: `orders` or `schema.orders`.
    pub name: String,
    pub columns: Vec<NewColumn>,
    /// Indexes into `columns`, in the order of the primary key; empty: none.
    pub key: Vec<usize>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewColumn {
    pub name: String,
    pub ty: ColumnType,
}

impl NewTable {
    pub fn is_key(&self, column: usize) -> bool {
        self.key.contains(&column)
    }

    /// The name's parts: the schema where there is one, and the table.
    pub fn split_name(&self) -> (Option<&str>, &str) {
        match self.name.split_once('.') {
            Some((schema, table)) => (Some(schema), table),
            None => (None, &self.name),
        }
    }
}

/// A statement that makes a table, and the table as the catalog shows it afterwards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    pub sql: String,
    pub table: CatalogTable,
}

/// How a database stores a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// In the statement, and in messages.
    pub native: String,
    /// As the catalog tells it.
    pub ty: ColumnType,
    /// PostgreSQL's.
    pub oid: u32,
}

/// What the databases write differently.
pub struct Syntax<'a> {
    pub quote: fn(&str) -> String,
    /// Behind the closing bracket.
    pub tail: &'a str,
    /// The quoted name of the table.
    pub target: String,
    /// Are names that differ in case alone the same?
    pub folds_case: bool,
    /// What the catalog calls the primary key's index.
    pub primary: String,
}

impl Draft {
    /// Writes the statement. `schema`: where the table will be found.
    ///
    /// # Errors
    /// What this database cannot store, as sentences with their cures.
    pub fn new(
        new: &NewTable,
        schema: Option<String>,
        syntax: &Syntax<'_>,
        stored: impl Fn(usize) -> Result<Stored, String>,
    ) -> Result<Self, Vec<String>> {
        let mut problems = Vec::new();
        let mut columns: Vec<CatalogColumn> = Vec::with_capacity(new.columns.len());
        let mut lines = Vec::with_capacity(new.columns.len() + 1);
        for (index, NewColumn { name, ty }) in new.columns.iter().enumerate() {
            let is_same = |known: &&CatalogColumn| match syntax.folds_case {
                true => known.name.to_lowercase() == name.to_lowercase(),
                false => known.name == *name,
            };
            if let Some(known) = columns.iter().find(is_same) {
                problems.push(format!(
                    "table {}: the columns {} and {name} have one name in this database: rename one",
                    new.name, known.name
                ));
            }
            match stored(index) {
                Ok(Stored { native, ty, oid }) => {
                    let null = if new.is_key(index) { " NOT NULL" } else { "" };
                    lines.push(format!("  {} {native}{null}", (syntax.quote)(name)));
                    let (name, nullable) = (name.clone(), !new.is_key(index));
                    let (has_default, generated) = (false, false);
                    columns.push(CatalogColumn { name, ty: Some(ty), native, oid, nullable, has_default, generated });
                }
                Err(cure) => problems.push(format!("table {}: column {name} is {ty}: {cure}", new.name)),
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let mut unique = Vec::new();
        if !new.key.is_empty() {
            let names: Vec<String> = new.key.iter().map(|&key| (syntax.quote)(&new.columns[key].name)).collect();
            lines.push(format!("  PRIMARY KEY ({})", names.join(", ")));
            unique.push(UniqueIndex { name: syntax.primary.clone(), primary: true, columns: new.key.clone() });
        }
        let sql = format!("CREATE TABLE IF NOT EXISTS {} (\n{}\n){};", syntax.target, lines.join(",\n"), syntax.tail);
        let name = match &schema {
            Some(_) => new.split_name().1.to_owned(),
            None => new.name.clone(),
        };
        Ok(Self { sql, table: CatalogTable { schema, name, columns, unique, unusable_unique: Vec::new() } })
    }

    /// What the server's refusal of the statement means: it is never about a record.
    pub fn refused(&self, error: WriteError) -> WriteError {
        if error.disposition == Disposition::Retry {
            return error;
        }
        let table = self.table.full_name();
        let message = format!(
            "table {table} does not exist, and it cannot be created: {}. Mend that, or let somebody who may run the \
             following:\n{}\n",
            error.message, self.sql
        );
        let class = if error.class == "no-privilege" { error.class } else { "create-table" };
        WriteError { disposition: Disposition::Block, class, message, table: None, column: None, ..error }
    }
}

/// The table that `[[table]]` asks for: the columns that its SQL gives, else those of `[source.columns]`.
///
/// # Errors
/// What is missing for it, as sentences with their cures.
pub fn design(
    table: &Table,
    query: Option<&[OutputColumn]>,
    declared: &[SourceColumn],
) -> Result<NewTable, Vec<String>> {
    let mut problems = Vec::new();
    let mut columns: Vec<NewColumn> = match query {
        Some(outputs) => {
            outputs.iter().map(|output| NewColumn { name: output.name.clone(), ty: output.ty.clone() }).collect()
        }
        None => typed(table, declared, &mut problems),
    };
    if let Deletes::Soft(mark) = &table.deletes
        && find(&columns, mark).is_none()
    {
        columns.push(NewColumn { name: mark.clone(), ty: ColumnType::TimestampTz });
    }
    for (name, option) in named(table) {
        if find(&columns, name).is_none() {
            let place = if query.is_some() { "the SELECT" } else { "[source.columns]" };
            problems.push(format!(
                "table {}: it would be created without a column {name}, which `{option}` names: add it to {place}",
                table.name
            ));
        }
    }
    for merged in &table.merge {
        if let (MergeFunction::Sum | MergeFunction::Count, Some(column)) =
            (&merged.function, find(&columns, &merged.column))
        {
            columns[column].ty = with_room(&columns[column].ty);
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    // An append has no key that rows could meet.
    let key = if table.mode == Mode::Append { &[][..] } else { &table.key };
    let key = key.iter().filter_map(|name| find(&columns, name)).collect();
    Ok(NewTable { name: table.name.clone(), columns, key })
}

fn typed(table: &Table, declared: &[SourceColumn], problems: &mut Vec<String>) -> Vec<NewColumn> {
    if declared.is_empty() {
        problems.push(format!(
            "table {}: nothing says which columns it has: declare them with their types in [source.columns], or write \
             `sql`",
            table.name
        ));
    }
    let column = |column: &SourceColumn| match &column.ty {
        Some(ty) => Some(NewColumn { name: column.name.clone(), ty: ty.clone() }),
        None => {
            problems.push(format!(
                "table {}: [source.columns] gives {} no type: add type = \"..\"",
                table.name, column.name
            ));
            None
        }
    };
    declared.iter().filter_map(column).collect()
}

/// The columns that the table's options name.
fn named(table: &Table) -> Vec<(&str, &'static str)> {
    let mut named: Vec<(&str, &str)> = table.key.iter().map(|name| (name.as_str(), "key")).collect();
    named.extend(table.version.iter().map(|name| (name.as_str(), "version")));
    named.extend(table.retention.iter().map(|retention| (retention.column.as_str(), "retention")));
    for merged in &table.merge {
        named.push((&merged.column, "merge"));
        if let MergeFunction::First { by } | MergeFunction::Last { by } = &merged.function {
            named.push((by, "by"));
        }
    }
    named
}

/// As [`CatalogTable::column`].
fn find(columns: &[NewColumn], name: &str) -> Option<usize> {
    columns.iter().position(|column| column.name == name).or_else(|| {
        let mut similar = (0..columns.len()).filter(|&index| columns[index].name.eq_ignore_ascii_case(name));
        let first = similar.next()?;
        similar.next().is_none().then_some(first)
    })
}

/// The type of a sum of values of this type.
fn with_room(ty: &ColumnType) -> ColumnType {
    use ColumnType as T;
    match ty {
        T::Int8 | T::Int16 | T::Int32 => T::Int64,
        T::UInt8 | T::UInt16 | T::UInt32 => T::UInt64,
        T::Float32 => T::Float64,
        T::Decimal { precision, scale } if *precision < WIDEST_SUM => {
            T::Decimal { precision: (precision + SUM_DIGITS).min(WIDEST_SUM), scale: *scale }
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests;
