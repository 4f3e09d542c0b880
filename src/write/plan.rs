//! What is done to one table: the checked meeting of a `[[table]]` with the table that the database has.

use std::time::Duration;

use crate::config::{Missing, Mode};
use crate::types::ColumnType;

use super::catalog::{CatalogColumn, CatalogTable};
use super::step::Action;

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
    pub replace: Option<ReplacePlan>,
    pub retention: Option<RetentionPlan>,
    /// With [`Mode::Merge`] one per entry of `columns`, `None` for those of the key; else empty.
    pub merge: Vec<Option<Merge>>,
}

/// Old rows go, and do not come in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetentionPlan {
    pub column: CatalogColumn,
    /// `Date`, `Timestamp` or `TimestampTz`: what the column holds, also where it is stored as text.
    pub ty: ColumnType,
    /// Index into [`TablePlan::columns`], where the column is written.
    pub place: Option<usize>,
    pub keep: Duration,
}

/// The stored rows of a parent go before the rows of its record come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplacePlan {
    /// The parent's key: indexes into [`TablePlan::columns`].
    pub columns: Vec<usize>,
    /// An index that begins with these columns.
    pub index: Option<String>,
}

/// What a merge does with a column that is not in the key. A null changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Merge {
    Sum,
    Min,
    Max,
    BitOr,
    JsonMerge,
    /// The value whose order is lowest; a column of orders by its index into `columns`.
    First {
        by: usize,
    },
    /// The value whose order is highest.
    Last {
        by: usize,
    },
    /// The order of the stored first or last value: both move together. `lead` is the first of the columns that it
    /// orders; where that is null, the row brings none of them.
    Order {
        lead: usize,
        last: bool,
    },
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

    /// What a merge does with a column.
    pub fn merge(&self, column: usize) -> Option<Merge> {
        self.merge.get(column).copied().flatten()
    }

    /// The columns whose documents are patched.
    pub fn documents(&self) -> Vec<usize> {
        (0..self.columns.len()).filter(|&column| self.merge(column) == Some(Merge::JsonMerge)).collect()
    }

    /// What is done to the table, each with the columns that rows have who have all: deletes, then puts, then patches.
    pub fn actions(&self) -> Vec<(Action, Vec<usize>)> {
        let documents = self.documents();
        let mut keys = self.key.clone();
        keys.sort_unstable();
        let mut actions = Vec::new();
        let mut parents = self.replace.as_ref().map_or_else(Vec::new, |replace| replace.columns.clone());
        parents.sort_unstable();
        match self.deletes {
            _ if self.replace.is_some() => actions.push((Action::Replace, parents)),
            DeletePlan::Hard => actions.push((Action::Delete, keys.clone())),
            DeletePlan::Soft(_) => actions.push((Action::SoftDelete, keys.clone())),
            DeletePlan::Ignore => {}
        }
        actions.push((Action::Put, (0..self.columns.len()).filter(|column| !documents.contains(column)).collect()));
        if !documents.is_empty() {
            keys.extend(documents);
            keys.sort_unstable();
            actions.push((Action::Patch, keys));
        }
        actions
    }

    /// The order column of a first or last value.
    pub fn order_of(&self, column: usize) -> Option<usize> {
        match self.merge(column)? {
            Merge::First { by } | Merge::Last { by } => Some(by),
            Merge::Order { .. } => Some(column),
            _ => None,
        }
    }

    /// Must rows of one key be brought to one row per batch? Where rows are only added, each stands for itself.
    pub fn is_keyed(&self) -> bool {
        !self.key.is_empty() && matches!(self.mode, Mode::Upsert | Mode::Update | Mode::Merge)
    }
}
