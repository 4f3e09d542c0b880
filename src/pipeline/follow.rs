//! `from`: statements over the rows that a transaction merged, run between its statements.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow_array::{ArrayRef, RecordBatch};
use arrow_cast::display::array_value_to_string;
use arrow_schema::Schema;

use crate::config::{MergeFunction, Pipeline, Table};
use crate::follow::{Followers, Following, Merged, Unfollowed, Wanted};
use crate::rows::{BytesEncoding, ColumnSource, InputColumn, InputSchema, Operation, Rows};
use crate::transform::{Plan, SqlProblem, Transform};
use crate::types::ColumnType;
use crate::write::plan::TablePlan;

/// The columns of `input` for what follows a merge table: the totals, in the order of its statement or of
/// [source.columns], then the deltas.
pub fn inputs(pipeline: &Pipeline, table: &Table, statement: Option<&Plan>) -> Vec<InputColumn> {
    let given: Vec<(String, ColumnType)> = match statement {
        Some(plan) => plan.outputs().iter().map(|output| (output.name.clone(), output.ty.clone())).collect(),
        None => {
            let declared = pipeline.source.columns.iter();
            declared.filter_map(|column| Some((column.name.clone(), column.ty.clone()?))).collect()
        }
    };
    let adds = |name: &str| {
        let merged = table.merge.iter().find(|merged| merged.column == name);
        merged.is_some_and(|merged| matches!(merged.function, MergeFunction::Sum | MergeFunction::Count))
    };
    let column = |name: String, ty: ColumnType| InputColumn {
        source: ColumnSource::Value(vec![name.clone()]),
        name,
        ty,
        unit: None,
        encoding: BytesEncoding::Base64,
        default: None,
        key: false,
    };
    let totals = given.iter().map(|(name, ty)| column(name.clone(), if adds(name) { sum_of(ty) } else { ty.clone() }));
    let mut columns: Vec<InputColumn> = totals.collect();
    for (name, ty) in given.iter().filter(|(name, _)| adds(name)) {
        let delta = delta_of(name);
        // A column of the table hides it.
        if given.iter().all(|(other, _)| *other != delta) {
            columns.push(column(delta, sum_of(ty)));
        }
    }
    columns
}

fn delta_of(name: &str) -> String {
    format!("{name}_delta")
}

/// The type of totals of a column: what a batch adds may be narrow, what has been added up since is not.
fn sum_of(ty: &ColumnType) -> ColumnType {
    use ColumnType::{Decimal, Float32, Float64, Int8, Int16, Int32, Int64, UInt8, UInt16, UInt32, UInt64};
    match ty {
        Int8 | Int16 | Int32 => Int64,
        UInt8 | UInt16 | UInt32 => UInt64,
        Float32 => Float64,
        Decimal { precision, scale } if *precision < 38 => {
            Decimal { precision: (precision + 10).min(38), scale: *scale }
        }
        other => other.clone(),
    }
}

/// A mistake in a statement over merged rows: what it can name is told instead of [source.columns].
pub fn explained(table: &str, inputs: &[InputColumn], mistake: SqlProblem) -> SqlProblem {
    let Some(name) = mistake.message.strip_prefix("there is no column ") else { return mistake };
    let names = inputs.iter().map(|column| column.name.as_str()).collect::<Vec<_>>().join(", ");
    let known = |name: &str| inputs.iter().any(|column| column.name == name);
    let cure = match name.strip_suffix("_delta") {
        Some(total) if known(total) => format!(
            "only sum and count have a delta; to see that another one crosses a value, count what is beyond it: \
             sum(CASE WHEN x > 100 THEN 1 ELSE 0 END) AS over in the `sql` of {table}, then over > 0 AND over = over_delta"
        ),
        _ => format!("input is the merged rows of {table}: {names}"),
    };
    SqlProblem { cure, ..mistake }
}

/// A merge table and what follows it, ready to run.
pub struct Followed {
    /// Index of the merge table.
    table: usize,
    name: String,
    plan: TablePlan,
    wanted: Vec<Wanted>,
    /// Indexes into `wanted`, in the order of the key.
    key: Vec<usize>,
    schema: Arc<InputSchema>,
    /// With the indexes and names of their sections.
    tables: Vec<(usize, String, Transform)>,
    topics: Vec<(usize, String, Transform)>,
}

impl Followed {
    /// `columns`: what [`inputs`] gave; `column_of`: where each of the totals is in the table's plan.
    ///
    /// # Errors
    /// A sentence with its cure.
    pub fn new(
        (table, name): (usize, &str),
        plan: TablePlan,
        columns: &[InputColumn],
        column_of: impl Fn(usize) -> Option<usize>,
    ) -> Result<Self, String> {
        let delta = |column: &InputColumn| {
            let delta = delta_of(&column.name);
            columns.iter().find(|other| other.name == delta)
        };
        let is_delta = |column: &InputColumn| columns.iter().any(|other| delta(other) == Some(column));
        let (mut wanted, mut totals, mut deltas, mut key) = (Vec::new(), Vec::new(), Vec::new(), BTreeMap::new());
        for (index, input) in columns.iter().enumerate().filter(|(_, input)| !is_delta(input)) {
            let Some(column) = column_of(index) else { continue };
            if let Some(place) = plan.key.iter().position(|key| *key == column) {
                key.insert(place, wanted.len());
            }
            let added = delta(input).filter(|_| matches!(plan.merge(column), Some(crate::write::plan::Merge::Sum)));
            wanted.push(Wanted { column, ty: input.ty.clone(), has_delta: added.is_some() });
            totals.push(input.clone());
            deltas.extend(added.cloned());
        }
        if let Some(missing) = (0..plan.key.len()).find(|place| !key.contains_key(place)) {
            let column = &plan.columns[plan.key[missing]].column.name;
            return Err(format!(
                "table {name}: what follows it by `from` needs the type of its key column {column}: declare it in \
                 [source.columns]"
            ));
        }
        totals.extend(deltas);
        Ok(Self {
            table,
            name: name.to_owned(),
            plan,
            wanted,
            key: key.into_values().collect(),
            schema: InputSchema::new(totals, None),
            tables: Vec::new(),
            topics: Vec::new(),
        })
    }

    /// What its followers read.
    pub fn schema(&self) -> &InputSchema {
        &self.schema
    }

    pub fn table(&self) -> usize {
        self.table
    }

    pub fn plan(&self) -> &TablePlan {
        &self.plan
    }

    pub fn wanted(&self) -> &[Wanted] {
        &self.wanted
    }

    pub fn add_table(&mut self, index: usize, name: &str, transform: Transform) {
        self.tables.push((index, name.to_owned(), transform));
    }

    pub fn add_topic(&mut self, index: usize, name: &str, transform: Transform) {
        self.topics.push((index, name.to_owned(), transform));
    }

    /// The statement of a table, or else topic, that follows it.
    pub fn following(&self, is_table: bool, section: usize) -> Option<&Transform> {
        let following = if is_table { &self.tables } else { &self.topics };
        following.iter().find(|(index, ..)| *index == section).map(|(.., transform)| transform)
    }

    /// The merged rows; each is its own origin, so that every result tells which of them it comes from.
    fn input(&self, merged: &Merged) -> Rows {
        let columns: Vec<ArrayRef> = merged.totals.iter().chain(&merged.deltas).cloned().collect();
        let count = merged.origins.len();
        Rows {
            presence: vec![None; columns.len()],
            batch: RecordBatch::try_new(self.schema.arrow.clone(), columns)
                .expect("totals come in the types in which they are wanted"),
            operations: vec![Operation::Upsert; count],
            origins: (0..count as u32).collect(),
            timestamps: Vec::new(),
        }
    }

    /// The merged row in the words of a header: its table and its key.
    fn identity(&self, merged: &Merged, row: usize) -> String {
        let text = |key: &usize| array_value_to_string(&merged.totals[*key], row).unwrap_or_default();
        let key: Vec<String> = self.key.iter().map(text).collect();
        format!("{}/{}", self.name, serde_json::Value::from(key))
    }

    fn run(&self, merged: &Merged, state: &mut State) -> Result<(), Unfollowed> {
        let input = self.input(merged);
        let run = |kind: &str, name: &str, transform: &Transform| {
            let transformed = transform.run(&input);
            match transformed.bad.into_iter().next() {
                None => Ok((transformed.rows, transformed.filtered)),
                Some((_, fault)) => Err(Unfollowed {
                    class: fault.class,
                    message: format!(
                        "{kind} {name}: {}; no record is set aside for a total, which has many: correct the `sql` of \
                         the section, by a CASE, a WHERE or nullif(x, 0), and start the pipeline again",
                        fault.reason
                    ),
                }),
            }
        };
        for (index, name, transform) in &self.tables {
            let (mut rows, filtered) = run("table", name, transform)?;
            rows.origins.iter_mut().for_each(|origin| *origin = merged.origins[*origin as usize]);
            state.tables.insert(*index, Following { rows: Arc::new(rows), filtered });
        }
        for (index, name, transform) in &self.topics {
            let (mut rows, _) = run("topic", name, transform)?;
            let identities = rows.origins.iter().map(|row| self.identity(merged, *row as usize)).collect();
            rows.origins.iter_mut().for_each(|origin| *origin = merged.origins[*origin as usize]);
            state.topics.insert(*index, (Arc::new(rows), identities));
        }
        Ok(())
    }
}

/// No rows of whatever columns.
pub fn nothing() -> Arc<Rows> {
    Arc::new(Rows {
        batch: RecordBatch::new_empty(Arc::new(Schema::empty())),
        operations: Vec::new(),
        origins: Vec::new(),
        timestamps: Vec::new(),
        presence: Vec::new(),
    })
}

/// What has followed so far, by the index of the section.
#[derive(Default)]
struct State {
    tables: BTreeMap<usize, Following>,
    /// With the identity of each row.
    topics: BTreeMap<usize, (Arc<Rows>, Vec<String>)>,
}

/// What follows in one transaction.
pub struct Follow<'a> {
    followed: &'a [Followed],
    state: Mutex<State>,
}

impl<'a> Follow<'a> {
    pub fn new(followed: &'a [Followed]) -> Self {
        Self { followed, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The rows of each `[[topic]]` that follows, and of each row its identity.
    pub fn topics(&self, count: usize) -> (Vec<Arc<Rows>>, Vec<Vec<String>>) {
        let state = self.state();
        let of = |index: usize| state.topics.get(&index).cloned().unwrap_or_else(|| (nothing(), Vec::new()));
        (0..count).map(of).unzip()
    }
}

impl Followers for Follow<'_> {
    fn wanted(&self, table: usize) -> Option<&[Wanted]> {
        self.followed.iter().find(|followed| followed.table == table).map(Followed::wanted)
    }

    fn take(&self, table: usize, merged: Merged) -> Result<(), Unfollowed> {
        match self.followed.iter().find(|followed| followed.table == table) {
            Some(followed) => followed.run(&merged, &mut self.state()),
            None => Ok(()),
        }
    }

    fn rows(&self, table: usize) -> Option<Following> {
        let follows = |followed: &Followed| followed.tables.iter().any(|(index, ..)| *index == table);
        self.followed.iter().any(follows).then(|| {
            let known = self.state().tables.get(&table).cloned();
            known.unwrap_or_else(|| Following { rows: nothing(), filtered: 0 })
        })
    }
}
