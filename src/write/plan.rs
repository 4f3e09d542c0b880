//! What is done to one table: the checked meeting of a `[[table]]` with the table that the database has.

use crate::config::{Missing, Mode};

use super::catalog::{CatalogColumn, CatalogTable};

/// How rows go into one table. Made once per start and per schema change, by [`super::planner`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TablePlan {
    pub table: CatalogTable,
    pub mode: Mode,
    /// The columns that are written, in the table's order.
    pub columns: Vec<PlanColumn>,
    /// Indexes into `columns`: the key by which rows are found, in the order of the unique index. Empty for a table
    /// without one, which `append` and `insert-ignore` can serve.
    pub key: Vec<usize>,
    pub deletes: DeletePlan,
    /// Index into `columns`.
    pub version: Option<usize>,
    pub missing: Missing,
}

/// One written column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanColumn {
    pub column: CatalogColumn,
    /// Index into the input schema.
    pub input: usize,
}

/// What a delete does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeletePlan {
    Hard,
    /// The marking column: set by a delete to the record's time or to true, cleared by an upsert. Not in `columns`.
    Soft(CatalogColumn),
    Ignore,
}

impl TablePlan {
    pub fn is_key(&self, column: usize) -> bool {
        self.key.contains(&column)
    }

    /// Must rows of one key be brought to one row per batch? Where rows are only added, each stands for itself.
    pub fn is_keyed(&self) -> bool {
        !self.key.is_empty() && matches!(self.mode, Mode::Upsert | Mode::Update)
    }
}
