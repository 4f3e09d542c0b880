//! The columns of a roll-up: each is in the key or has a function, and the function fits its type.

use crate::config::{MergeFunction, Mode};
use crate::types::ColumnType;
use crate::write::catalog::CatalogColumn;
use crate::write::plan::Merge;

use super::table::TablePlanner;
use super::{Origin, types};

/// What is done with each column of the table, by its index there; [`Merge`]'s own indexes are the table's too.
pub(super) type Merges = Vec<Option<Merge>>;

/// PostgreSQL's type `oid`, the only unsigned one there, which has no arithmetic.
const OID: u32 = 26;

impl TablePlanner<'_, '_> {
    pub(super) fn merge(&mut self, key: &[usize]) -> Merges {
        let mut merges: Merges = vec![None; self.found.columns.len()];
        if self.table.mode != Mode::Merge {
            return merges;
        }
        let table = self.table;
        for merged in &table.merge {
            let Some(index) = self.find_column(&merged.column, "merge") else { continue };
            let name = &merged.column;
            if merges[index].is_some() {
                self.problem(format!("`merge` names the column {name} twice: name it once"));
            } else if key.contains(&index) {
                self.problem(format!("{name} is in the key and in `merge`: keep it in one of them"));
            } else if self.found.columns[index].generated {
                self.problem(format!("the database computes {name}: remove it from `merge`"));
            } else {
                merges[index] = self.function(&merged.function);
            }
        }
        self.orders(key, &mut merges);
        merges
    }

    fn function(&mut self, function: &MergeFunction) -> Option<Merge> {
        Some(match function {
            MergeFunction::Sum | MergeFunction::Count => Merge::Sum,
            MergeFunction::Min => Merge::Min,
            MergeFunction::Max => Merge::Max,
            MergeFunction::BitOr => Merge::BitOr,
            MergeFunction::JsonMerge => Merge::JsonMerge,
            MergeFunction::First { by } => Merge::First { by: self.find_column(by, "by")? },
            MergeFunction::Last { by } => Merge::Last { by: self.find_column(by, "by")? },
        })
    }

    /// Gives each order column its part: it moves with the values that it orders.
    fn orders(&mut self, key: &[usize], merges: &mut Merges) {
        for lead in 0..merges.len() {
            let (by, last) = match merges[lead] {
                Some(Merge::First { by }) => (by, false),
                Some(Merge::Last { by }) => (by, true),
                _ => continue,
            };
            let (name, order) = (&self.found.columns[lead].name, &self.found.columns[by]);
            let fits = match merges[by] {
                None if key.contains(&by) => {
                    self.problem(format!("{name} is ordered by {}, which is in the key: choose another", order.name));
                    continue;
                }
                None => true,
                Some(Merge::Max) => last,
                Some(Merge::Min) => !last,
                // The first of its columns leads.
                Some(Merge::Order { last: known, .. }) if known == last => continue,
                Some(_) => false,
            };
            if order.generated {
                self.problem(format!(
                    "{name} is ordered by {}, which the database computes: choose another",
                    order.name
                ));
            } else if fits {
                merges[by] = Some(Merge::Order { lead, last });
            } else {
                self.problem(format!(
                    "{} cannot hold the order of {name}, because it has a part of its own in `merge`: give {name} an \
                     order column of its own",
                    order.name
                ));
            }
        }
    }

    /// Is a column none of ours? What is neither found, added up nor filled by the database is a mistake.
    pub(super) fn is_left_out(&mut self, index: usize, key: &[usize], merges: &Merges) -> bool {
        let column = &self.found.columns[index];
        if key.contains(&index) || merges[index].is_some() || column.generated {
            return false;
        }
        // What is wrong with its function was told.
        let is_named = self.table.merge.iter().any(|merged| self.found.column(&merged.column) == Some(index));
        if column.ty.is_none() {
            // As in the other modes.
            return is_named;
        }
        let wanted = self.origin.wanted(self.found, index);
        if !is_named && wanted.is_none() && matches!(self.origin, Origin::Query(_)) {
            // Whether the column can do without is said where it is looked for.
            return false;
        }
        if column.has_default && !is_named {
            let reason = format!("the column is neither in the key nor in `merge` of table {}", self.found.full_name());
            wanted.into_iter().for_each(|wanted| self.origin.refuse(wanted, reason.clone()));
            return true;
        }
        wanted.into_iter().for_each(|wanted| self.origin.forgive(wanted));
        // Without its key everything would be told.
        let has_key = !key.is_empty() && key.len() >= self.table.key.len();
        if !is_named && has_key {
            let name = &column.name;
            self.problem(format!(
                "column {name} is neither in the key nor in `merge`, so nothing says what becomes of its values: add \
                 {name} = \"sum\", \"max\", .. to `merge`, or give the column a default, which leaves it to the database"
            ));
        }
        true
    }

    /// Tells a function that has no meaning for the column's values.
    pub(super) fn check_function(&mut self, index: usize, merges: &Merges, input: usize) {
        let Some(merge) = merges[index] else { return };
        let column = &self.found.columns[index];
        let Some(ty) = self.origin.ty(input).cloned() else { return };
        let is_count =
            self.table.merge.iter().any(|merged| {
                merged.function == MergeFunction::Count && self.found.column(&merged.column) == Some(index)
            });
        let is_integer = is_integer(&ty) && column.oid != OID;
        let (function, takes, fits) = match merge {
            Merge::Sum if is_count => ("count", "whole numbers", is_integer),
            Merge::Sum => ("sum", "numbers", is_integer || is_inexact_or_decimal(&ty)),
            Merge::Min => ("min", "numbers and times", is_ordered(&ty)),
            Merge::Max => ("max", "numbers and times", is_ordered(&ty)),
            Merge::BitOr => ("bit_or", "whole numbers", is_integer),
            Merge::JsonMerge => ("json_merge", "JSON documents", ty == ColumnType::Json),
            Merge::Order { .. } => ("by", "numbers and times", is_order(&ty, column)),
            Merge::First { .. } | Merge::Last { .. } => return,
        };
        if fits {
            return;
        }
        let (name, native) = (&column.name, &column.native);
        let cure = match (merge, &ty) {
            (Merge::JsonMerge, ColumnType::Text) => format!("declare {name} = \"json\" in [source.columns]"),
            (Merge::Min | Merge::Max, ColumnType::Text | ColumnType::Enum) => {
                "texts order by the database's collation, which is not known here; choose another function".to_owned()
            }
            (Merge::Order { .. }, _) if self.is_sqlite() => {
                "choose another column, or declare its type in [source.columns]".to_owned()
            }
            (Merge::Order { .. }, _) => "choose another column".to_owned(),
            _ => "choose another function, or change the column".to_owned(),
        };
        self.problem(format!("{name} is of type {native}, and {function} takes {takes}: {cure}"));
    }
}

/// The same with indexes into the plan's columns.
pub(super) fn in_plan(merges: &Merges, places: &[Option<usize>]) -> Vec<Option<Merge>> {
    if merges.iter().all(Option::is_none) {
        return Vec::new();
    }
    let written = merges.iter().zip(places).filter(|(_, place)| place.is_some());
    // An order that is not written was told, and there will be no plan.
    let place = |column: usize| places[column].unwrap_or_default();
    written
        .map(|(merge, _)| {
            merge.map(|merge| match merge {
                Merge::First { by } => Merge::First { by: place(by) },
                Merge::Last { by } => Merge::Last { by: place(by) },
                Merge::Order { lead, last } => Merge::Order { lead: place(lead), last },
                other => other,
            })
        })
        .collect()
}

fn is_integer(ty: &ColumnType) -> bool {
    use ColumnType::{Int8, Int16, Int32, Int64, UInt8, UInt16, UInt32, UInt64};
    matches!(ty, Int8 | Int16 | Int32 | Int64 | UInt8 | UInt16 | UInt32 | UInt64)
}

fn is_inexact_or_decimal(ty: &ColumnType) -> bool {
    matches!(ty, ColumnType::Float32 | ColumnType::Float64 | ColumnType::Decimal { .. } | ColumnType::Numeric)
}

fn is_ordered(ty: &ColumnType) -> bool {
    is_integer(ty) || is_inexact_or_decimal(ty) || (types::is_time(ty) && !matches!(ty, ColumnType::List(_)))
}

/// Do the daemon and the database agree on what comes first?
fn is_order(ty: &ColumnType, column: &CatalogColumn) -> bool {
    column.ty.as_ref().is_some_and(|stored| types::is_version(ty, stored))
}
