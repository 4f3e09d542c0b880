//! The column of `retention`: its time says how old a row is.

use crate::types::ColumnType;
use crate::write::plan::{PlanColumn, RetentionPlan};

use super::table::TablePlanner;

impl TablePlanner<'_, '_> {
    /// `places`: where each column of the table is in `columns`.
    pub(super) fn retention(&mut self, columns: &[PlanColumn], places: &[Option<usize>]) -> Option<RetentionPlan> {
        let table = self.table;
        let retention = table.retention.as_ref()?;
        let index = self.find_column(&retention.column, "retention")?;
        let column = self.found.columns[index].clone();
        let place = places[index];
        let written = place.and_then(|place| self.origin.ty(columns[place].input)).cloned();
        let ty = written.or_else(|| column.ty.clone());
        let ty = ty.filter(|ty| matches!(ty, ColumnType::Date | ColumnType::Timestamp | ColumnType::TimestampTz));
        let Some(ty) = ty else {
            let cure = match self.is_sqlite() {
                true => "declare its type in [source.columns], or choose another column",
                false => "choose another column",
            };
            self.problem(format!(
                "`retention` names {}, which is of type {}, and only a date, a timestamp or a timestamptz says how old a \
                 row is: {cure}",
                column.name, column.native
            ));
            return None;
        };
        Some(RetentionPlan { column, ty, place, keep: retention.keep })
    }
}
