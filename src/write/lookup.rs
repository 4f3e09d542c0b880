//! Rows of lookups: read by their keys, on a connection of their own and outside of any data transaction.

use std::time::{Duration, Instant};

use arrow_array::{Array, ArrayRef};
use async_trait::async_trait;
use tokio::time::timeout;

use crate::config::{Lookup, LookupColumn, Sink};
use crate::lookup::Texts;
use crate::lookup::keys::{as_key, compares};
use crate::retry::Disposition;

use super::catalog::{CatalogColumn, CatalogTable};
use super::error::WriteError;
use super::session::Session;

/// The longest that an answer is waited for: longer than the servers' own statement limits.
const DEADLINE: Duration = Duration::from_secs(60);

/// A connection that had nothing to do for this long is not trusted any more: servers end idle ones.
const IDLE: Duration = Duration::from_secs(45);

/// Keys of one statement.
pub(super) const CHUNK: usize = 1024;

/// What is read of a lookup that is a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LookupTable {
    /// What SQL calls it.
    pub name: String,
    /// As written: `customers` or `schema.customers`.
    pub table: String,
    pub key: Vec<LookupColumn>,
    /// Their texts are read, in this order.
    pub columns: Vec<LookupColumn>,
}

impl LookupTable {
    /// All columns that are declared of a lookup. `None`: it is no table.
    pub fn of(lookup: &Lookup) -> Option<Self> {
        Self::with(lookup, (0..lookup.columns().len()).collect())
    }

    /// The key and these columns, by index. `None`: it is no table.
    pub fn with(lookup: &Lookup, columns: Vec<usize>) -> Option<Self> {
        let key = lookup.key.iter().filter_map(|name| lookup.columns().get(lookup.column(name)?).cloned());
        let columns = columns.into_iter().filter_map(|index| lookup.columns().get(index).cloned());
        let (name, table) = (lookup.name.clone(), lookup.table()?.to_owned());
        Some(Self { name, table, key: key.collect(), columns: columns.collect() })
    }

    fn error(&self, class: &'static str, message: String) -> WriteError {
        WriteError::new(Disposition::Block, class, "", format!("lookup {}: {message}", self.name)).answered()
    }
}

/// A lookup met by the table that the database has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LookupPlan {
    pub table: CatalogTable,
    /// Indexes into the table's columns.
    pub key: Vec<usize>,
    pub columns: Vec<usize>,
}

impl LookupPlan {
    /// # Errors
    /// What of the lookup the table does not have.
    fn new(wanted: &LookupTable, table: Option<CatalogTable>) -> Result<Self, WriteError> {
        let Some(table) = table else {
            let message = format!("there is no table {}: create it, or correct `table`", wanted.table);
            return Err(wanted.error("missing-table", message));
        };
        let index = |column: &LookupColumn| {
            let found = table.column(&column.name).filter(|index| table.columns[*index].ty.is_some());
            found.ok_or_else(|| {
                let message = format!(
                    "table {} has no column {} that can be read; correct `key`, `columns` or the SQL, or add it",
                    table.full_name(),
                    column.name
                );
                wanted.error("missing-column", message).on_column(&column.name)
            })
        };
        let key: Vec<usize> = wanted.key.iter().map(index).collect::<Result<_, _>>()?;
        let columns = wanted.columns.iter().map(index).collect::<Result<_, _>>()?;
        for (column, index) in wanted.key.iter().zip(&key) {
            let found = &table.columns[*index];
            if let Some(ty) = found.ty.as_ref().filter(|ty| !compares(&column.ty, ty)) {
                let (name, declared, native) = (&column.name, &column.ty, &found.native);
                let message = format!(
                    "key column {name} is {native} in the table and {declared} in `columns`; declare {name} = \"{ty}\""
                );
                return Err(wanted.error("changed-type", message).on_column(name));
            }
        }
        Ok(Self { table, key, columns })
    }

    /// Has the table a unique index that tells keys apart?
    fn is_unique(&self) -> bool {
        self.table.unique.iter().any(|index| index.columns.iter().all(|column| self.key.contains(column)))
    }

    pub(super) fn key_columns(&self) -> impl Iterator<Item = &CatalogColumn> {
        self.key.iter().map(|index| &self.table.columns[*index])
    }

    pub(super) fn value_columns(&self) -> impl Iterator<Item = &CatalogColumn> {
        self.columns.iter().map(|index| &self.table.columns[*index])
    }
}

/// The reader of a pipeline's lookups.
#[async_trait]
pub trait LookupReader: Send {
    /// The rows of these keys, in any order. `lookup`: index into the tables that it was made for. `keys`: one array per
    /// key column, without nulls and without repetitions.
    ///
    /// May be dropped at any time: its connection is then not used again.
    async fn read(&mut self, lookup: usize, keys: &[ArrayRef]) -> Result<Vec<Texts>, WriteError>;
}

/// A connection that reads lookups.
pub struct SqlLookups<S> {
    sink: Sink,
    pipeline: String,
    tables: Vec<Option<LookupTable>>,
    /// With when it was last used.
    session: Option<(S, Instant)>,
    /// As the connection found the tables.
    plans: Vec<Option<LookupPlan>>,
}

impl<S: Session> SqlLookups<S> {
    pub fn new(sink: Sink, pipeline: String, tables: Vec<Option<LookupTable>>) -> Self {
        Self { sink, pipeline, plans: vec![None; tables.len()], tables, session: None }
    }

    async fn try_read(&mut self, session: &mut S, lookup: usize, keys: &[ArrayRef]) -> Result<Vec<Texts>, WriteError> {
        let Some(wanted) = &self.tables[lookup] else { return Ok(Vec::new()) };
        let plan = match &mut self.plans[lookup] {
            Some(plan) => plan,
            none => none.insert(LookupPlan::new(wanted, session.table(&wanted.table).await?)?),
        };
        read(session, plan, keys).await.map_err(|error| of_lookup(wanted, error))
    }
}

async fn read<S: Session>(session: &mut S, plan: &LookupPlan, keys: &[ArrayRef]) -> Result<Vec<Texts>, WriteError> {
    let types = plan.key_columns().map(|column| column.ty.as_ref().map(crate::types::ColumnType::arrow));
    let keys: Vec<ArrayRef> =
        keys.iter().zip(types).map(|(keys, ty)| ty.map_or_else(|| keys.clone(), |ty| as_key(keys, &ty))).collect();
    session.lookup(plan, &keys).await
}

/// Nothing of a lookup is a record's fault.
fn of_lookup(wanted: &LookupTable, error: WriteError) -> WriteError {
    let disposition = match error.disposition {
        Disposition::Isolate | Disposition::Fenced => Disposition::Block,
        other => other,
    };
    WriteError { disposition, message: format!("lookup {}: {}", wanted.name, error.message), ..error }
}

#[async_trait]
impl<S: Session> LookupReader for SqlLookups<S> {
    async fn read(&mut self, lookup: usize, keys: &[ArrayRef]) -> Result<Vec<Texts>, WriteError> {
        // Taken out while it works: whatever drops this future drops the connection with it.
        let held = self.session.take().filter(|(_, used)| used.elapsed() < IDLE);
        let mut session = match held {
            Some((session, _)) => session,
            None => {
                self.plans.fill(None);
                S::connect(&self.sink, &self.pipeline).await?
            }
        };
        match timeout(DEADLINE, self.try_read(&mut session, lookup, keys)).await {
            Ok(Ok(rows)) => {
                self.session = Some((session, Instant::now()));
                Ok(rows)
            }
            Ok(Err(error)) => {
                // The table may be another one by the next try.
                self.plans.fill(None);
                if error.connection_usable {
                    self.session = Some((session, Instant::now()));
                }
                Err(error)
            }
            Err(_) => {
                let message = format!("the lookup was not answered within {} s", DEADLINE.as_secs());
                Err(WriteError::new(Disposition::Retry, "deadline", "", message))
            }
        }
    }
}

/// The tables that lookups name, as the database has them.
pub(super) async fn tables<S: Session>(session: &mut S, lookups: &[Lookup]) -> Result<Tables, WriteError> {
    let mut tables = Vec::with_capacity(lookups.len());
    for lookup in lookups {
        tables.push(match lookup.table() {
            Some(name) => session.table(name).await?,
            None => None,
        });
    }
    Ok(tables)
}

/// Per lookup its table; `None`: it is a file, or the table is not there.
pub type Tables = Vec<Option<CatalogTable>>;

/// Warnings and problems, as sentences.
pub(super) async fn inspect<S: Session>(
    session: &mut S,
    lookups: &[Lookup],
) -> Result<(Vec<String>, Vec<String>), WriteError> {
    let (mut warnings, mut problems) = (Vec::new(), Vec::new());
    for wanted in lookups.iter().filter_map(LookupTable::of) {
        let plan = match LookupPlan::new(&wanted, session.table(&wanted.table).await?) {
            Ok(plan) => plan,
            Err(error) => {
                problems.push(error.message);
                continue;
            }
        };
        if !plan.is_unique() {
            let key: Vec<&str> = wanted.key.iter().map(|column| column.name.as_str()).collect();
            warnings.push(format!(
                "lookup {}: table {} has no unique index over its key ({}): each question may read the whole table, and \
                 two rows of one key block the pipeline",
                wanted.name,
                plan.table.full_name(),
                key.join(", ")
            ));
        }
        // Without keys: does the role have the right to ask?
        let nothing: Vec<ArrayRef> =
            wanted.key.iter().map(|column| arrow_array::new_empty_array(&column.ty.arrow())).collect();
        match read(session, &plan, &nothing).await.map_err(|error| of_lookup(&wanted, error)) {
            Ok(_) => {}
            Err(error) if error.disposition == Disposition::Block && error.connection_usable => {
                problems.push(error.message);
            }
            Err(error) => return Err(error),
        }
    }
    Ok((warnings, problems))
}

/// Stretches of at most [`CHUNK`] keys, none empty but that of no keys at all.
pub(super) fn chunks(keys: &[ArrayRef]) -> impl Iterator<Item = std::ops::Range<usize>> {
    let count = keys.first().map_or(0, |keys| keys.len());
    let starts = (0..count.max(1)).step_by(CHUNK);
    starts.map(move |start| start..count.min(start + CHUNK))
}
