//! The rows that were merged into a table, for whoever follows it: the stored totals beside what was added.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::{Array, ArrayRef, RecordBatch, UInt32Array};
use arrow_schema::{Field, Schema};
use arrow_select::concat::concat;
use arrow_select::take::take;

use crate::config::Mode;
use crate::follow::{Merged, Wanted};

use super::keys::RowKeys;
use super::merge::json::Patch;
use super::merge::{self, Folded, Runs};
use super::plan::{Merge, TablePlan};
use super::step::{Action, Step};
use super::texts;

/// A stored row: the partial row whose key found it, and the values of the columns that were asked for, as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    pub row: u32,
    pub values: Vec<Option<String>>,
}

/// Why the totals cannot be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub class: &'static str,
    pub message: String,
    pub column: Option<String>,
}

/// The partial rows of a transaction, several of which may have gone into one stored row.
pub struct Partial<'a> {
    plan: &'a TablePlan,
    steps: &'a [Step],
    /// Per column of the plan; `None` where only documents are patched.
    columns: Vec<Option<ArrayRef>>,
    /// Of each row the last record.
    origins: Vec<u32>,
}

impl<'a> Partial<'a> {
    /// `None`: nothing was merged.
    pub fn of(plan: &'a TablePlan, steps: &'a [Step]) -> Option<Self> {
        debug_assert_eq!(plan.mode, Mode::Merge);
        let puts: Vec<&Step> = steps.iter().filter(|step| step.action == Action::Put).collect();
        let origins: Vec<u32> = puts.iter().flat_map(|step| step.origins.iter().copied()).collect();
        if origins.is_empty() {
            return None;
        }
        // Every put of a merge has the same columns.
        let place = |column: usize| puts[0].columns.iter().position(|have| *have == column);
        let column = |column: usize| {
            let place = place(column)?;
            let parts: Vec<&dyn Array> = puts.iter().map(|step| step.batch.column(place).as_ref()).collect();
            Some(concat(&parts).expect("the parts of a column have one type"))
        };
        let columns = (0..plan.columns.len()).map(column).collect();
        Some(Self { plan, steps, columns, origins })
    }

    fn array(&self, column: usize) -> &ArrayRef {
        self.columns[column].as_ref().expect("keys and numbers are in every put")
    }

    /// The keys of all partial rows, as a step that asks for rows: key columns in the table's order.
    pub fn keys(&self) -> Step {
        let mut columns = self.plan.key.clone();
        columns.sort_unstable();
        let arrays: Vec<ArrayRef> = columns.iter().map(|&column| self.array(column).clone()).collect();
        let name = |column: usize| self.plan.columns[column].column.name.as_str();
        let fields = columns
            .iter()
            .zip(&arrays)
            .map(|(column, array)| Field::new(name(*column), array.data_type().clone(), true));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let batch = RecordBatch::try_new(schema, arrays).expect("the schema is made from the arrays");
        Step { action: Action::Put, columns, batch, origins: self.origins.clone() }
    }

    /// The totals as they are stored. `stored`: of the key columns, in the plan's order, and of the wanted ones.
    ///
    /// # Errors
    /// A total has no form in the type in which it is wanted; a row is not where it was merged into.
    pub fn with_stored(&self, wanted: &[Wanted], mut stored: Vec<Stored>) -> Result<Merged, Problem> {
        stored.sort_by_key(|stored| stored.row);
        let keys = self.plan.key.len();
        // What the database takes for one key may come in several ways: upper and lower case, blanks at the end.
        let mut groups: HashMap<Vec<Option<String>>, usize> = HashMap::new();
        let mut rows: Vec<(Vec<u32>, Vec<Option<String>>)> = Vec::new();
        let mut found = vec![false; self.origins.len()];
        for Stored { row, mut values } in stored {
            let totals = values.split_off(keys);
            found[row as usize] = true;
            let next = rows.len();
            let group = *groups.entry(values).or_insert(next);
            if group == next {
                rows.push((Vec::new(), totals));
            }
            rows[group].0.push(row);
        }
        if found.contains(&false) {
            return Err(Problem {
                class: "not-found",
                message: "a row that was merged is not found by its key again: the table's column changes the values of \
                          the key, as one that rounds times does, or a trigger does; give it a type that keeps them, or \
                          round them in the `sql` of the merge table"
                    .to_owned(),
                column: None,
            });
        }
        let (order, runs) = self.runs(rows.iter().map(|(rows, _)| rows.clone()).collect());
        let total = |index: usize, wanted: &Wanted| {
            let texts: Vec<_> = order.iter().map(|&group| rows[group].1[index].clone()).collect();
            texts::array(&wanted.ty, &texts).map_err(|()| self.unfit(wanted))
        };
        let totals = wanted.iter().enumerate().map(|(index, wanted)| total(index, wanted));
        Ok(Merged {
            totals: totals.collect::<Result<_, _>>()?,
            deltas: self.deltas(wanted, &runs)?,
            origins: self.last(&runs),
        })
    }

    /// The totals that a table has which was empty before.
    ///
    /// # Errors
    /// A total has no form in the type in which it is wanted.
    pub fn alone(&self, wanted: &[Wanted]) -> Result<Merged, Problem> {
        let plan = self.plan;
        let columns = plan.key.iter().filter_map(|&key| Some((self.array(key), plan.columns[key].column.ty.as_ref()?)));
        let keys = RowKeys::new(&columns.collect::<Vec<_>>());
        let sorted = keys.sorted(&(0..self.origins.len() as u32).collect::<Vec<_>>());
        let groups = sorted.chunk_by(|a, b| keys.get(*a) == keys.get(*b)).map(<[u32]>::to_vec).collect();
        let (_, runs) = self.runs(groups);
        let total = |wanted: &Wanted| {
            if plan.merge(wanted.column) == Some(Merge::JsonMerge) {
                let documents: Vec<_> = self.documents(wanted.column, &keys, &runs);
                return texts::array(&wanted.ty, &documents).map_err(|()| self.unfit(wanted));
            }
            texts::cast(&self.total(wanted.column, &runs), &wanted.ty).map_err(|_| self.unfit(wanted))
        };
        let totals = wanted.iter().map(total).collect::<Result<_, _>>()?;
        Ok(Merged { totals, deltas: self.deltas(wanted, &runs)?, origins: self.last(&runs) })
    }

    /// One value per run, by the column's function.
    fn total(&self, column: usize, runs: &Runs) -> ArrayRef {
        let array = self.array(column);
        let chosen = |rows: &UInt32Array| take(array, rows, None).expect("rows of the array itself");
        let picked = |by: usize| match self.plan.merge(by) {
            Some(Merge::Order { lead, last }) => chosen(&merge::pick(self.array(lead), self.array(by), last, runs)),
            _ => chosen(&runs.last_rows().into()),
        };
        match self.plan.merge(column) {
            Some(Merge::Sum) => merge::sum(array, runs, false).array,
            Some(Merge::BitOr) => merge::bit_or(array, runs, false).array,
            Some(Merge::Min) => chosen(&merge::extreme(array, false, runs)),
            Some(Merge::Max) => chosen(&merge::extreme(array, true, runs)),
            Some(Merge::First { by } | Merge::Last { by }) => picked(by),
            Some(Merge::Order { .. }) => picked(column),
            Some(Merge::JsonMerge) | None => chosen(&runs.last_rows().into()),
        }
    }

    /// What the patches of a column make of nothing.
    fn documents(&self, column: usize, keys: &RowKeys, runs: &Runs) -> Vec<Option<String>> {
        let mut documents: HashMap<Vec<u8>, Patch> = HashMap::new();
        for step in self.steps.iter().filter(|step| step.action == Action::Patch) {
            let typed = self.plan.key.iter().filter_map(|key| {
                let place = step.columns.iter().position(|have| have == key)?;
                Some((step.batch.column(place), self.plan.columns[*key].column.ty.as_ref()?))
            });
            let patched = RowKeys::new(&typed.collect::<Vec<_>>());
            let Some(place) = step.columns.iter().position(|have| *have == column) else { continue };
            let patches = step.batch.column(place).as_any().downcast_ref::<arrow_array::StringArray>();
            for (row, patch) in patches.into_iter().flatten().enumerate() {
                let (Some(key), Some(patch)) = (patched.get(row as u32), patch.and_then(Patch::parse)) else {
                    continue;
                };
                let document = documents.remove(key);
                documents.insert(key.to_vec(), patch.applied_to(document));
            }
        }
        let document = |row: u32| documents.get(keys.get(row)?).map(ToString::to_string);
        runs.last_rows().into_iter().map(document).collect()
    }

    /// What was added, where that is wanted.
    fn deltas(&self, wanted: &[Wanted], runs: &Runs) -> Result<Vec<ArrayRef>, Problem> {
        let delta = |wanted: &Wanted| {
            let Folded { array, overflows } = merge::sum(self.array(wanted.column), runs, true);
            match texts::cast(&array, &wanted.ty) {
                Ok(array) if overflows.is_empty() => Ok(array),
                _ => Err(self.unfit(wanted)),
            }
        };
        wanted.iter().filter(|wanted| wanted.has_delta).map(delta).collect()
    }

    /// The groups in the order of their last records: where each was, and its rows as a run.
    fn runs(&self, groups: Vec<Vec<u32>>) -> (Vec<usize>, Runs) {
        let last = |group: &usize| groups[*group].iter().map(|&row| self.origins[row as usize]).max();
        let mut order: Vec<usize> = (0..groups.len()).collect();
        order.sort_by_key(last);
        let mut runs = Runs::default();
        order.iter().for_each(|&group| runs.push(&groups[group]));
        (order, runs)
    }

    fn last(&self, runs: &Runs) -> Vec<u32> {
        runs.iter().filter_map(|rows| rows.iter().map(|&row| self.origins[row as usize]).max()).collect()
    }

    fn unfit(&self, wanted: &Wanted) -> Problem {
        let column = &self.plan.columns[wanted.column].column;
        Problem {
            class: "stored-value",
            message: format!(
                "column {}: a total that is stored as {} has no form in {}, the type that the section which follows it \
                 is planned with: cast what the merge table's `sql` gives to a type that holds it, or declare it so in \
                 [source.columns]",
                column.name, column.native, wanted.ty
            ),
            column: Some(column.name.clone()),
        }
    }
}
