//! A database's tables, as far as writing to them needs, in words that all databases share.

use crate::types::ColumnType;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogTable {
    /// The schema (PostgreSQL) or database (MySQL) it was found in; `None` for SQLite.
    pub schema: Option<String>,
    /// The exact name.
    pub name: String,
    pub columns: Vec<CatalogColumn>,
    /// Unique indexes that an `ON CONFLICT` can infer, the primary key first.
    pub unique: Vec<UniqueIndex>,
    /// Unique indexes that it cannot: partial ones, ones over expressions, deferrable ones. By name.
    pub unusable_unique: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogColumn {
    pub name: String,
    /// `None`: a type that we do not write.
    pub ty: Option<ColumnType>,
    /// As the database writes it: `numeric(12,2)`, `varchar(20)`.
    pub native: String,
    /// PostgreSQL's type oid; 0 elsewhere.
    pub oid: u32,
    pub nullable: bool,
    /// Has a default, an identity or a sequence.
    pub has_default: bool,
    /// Computed by the database, so it cannot be written.
    pub generated: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UniqueIndex {
    pub name: String,
    pub primary: bool,
    /// Indexes into `CatalogTable::columns`.
    pub columns: Vec<usize>,
}

/// An index, unique or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    pub name: String,
    /// In the index's order; an expression or a part of a column is an empty name.
    pub columns: Vec<String>,
}

impl Index {
    /// Does it begin with these columns, in any order?
    pub fn leads_with(&self, columns: &[&str]) -> bool {
        let leading = self.columns.get(..columns.len()).unwrap_or_default();
        !leading.is_empty() && columns.iter().all(|column| leading.iter().any(|name| name == column))
    }
}

impl CatalogTable {
    /// Finds a column by its exact name, else by the only one that equals it but for case.
    pub fn column(&self, name: &str) -> Option<usize> {
        if let Some(exact) = self.columns.iter().position(|column| column.name == name) {
            return Some(exact);
        }
        let mut similar = (0..self.columns.len()).filter(|&i| self.columns[i].name.eq_ignore_ascii_case(name));
        let first = similar.next()?;
        similar.next().is_none().then_some(first)
    }

    /// `schema.name` for messages.
    pub fn full_name(&self) -> String {
        match &self.schema {
            Some(schema) => format!("{schema}.{}", self.name),
            None => self.name.clone(),
        }
    }
}
