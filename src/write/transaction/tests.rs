//! The order of the steps of several tables, and what a row without a key leads to.

use arrow_array::{ArrayRef, Int64Array, RecordBatch};
use arrow_schema::{DataType, Field, Schema};

use crate::config::{BatchLimits, Database, Delivery, Missing, Mode, Secret};
use crate::dead_letter::DeadLetter;
use crate::lookup::Texts;
use crate::offsets::Offsets;
use crate::rows::{Operation, Rows};
use crate::types::ColumnType;
use crate::write::catalog::{CatalogColumn, CatalogTable, Index};
use crate::write::create::{Draft, NewTable};
use crate::write::destination::TableRows;
use crate::write::lookup::LookupPlan;
use crate::write::merged::Stored;
use crate::write::plan::{DeletePlan, PlanColumn, RetentionPlan};
use crate::write::session::Gap;

use super::*;

/// Remembers what it was asked to apply, and can do nothing else.
#[derive(Default)]
struct Recorder(Vec<(String, Action)>);

#[async_trait]
impl Session for Recorder {
    async fn apply(&mut self, plan: &TablePlan, step: &Step) -> Result<u64, WriteError> {
        self.0.push((plan.table.name.clone(), step.action));
        Ok(step.batch.num_rows() as u64)
    }
    async fn read(&mut self, _: &TablePlan, _: &Step, _: &[usize]) -> Result<Vec<Stored>, WriteError> {
        unreachable!()
    }
    async fn connect(_: &Sink, _: &str) -> Result<Self, WriteError> {
        unreachable!()
    }
    async fn inspect_server(&mut self) -> Result<Vec<String>, WriteError> {
        unreachable!()
    }
    async fn migrate(&mut self) -> Result<(), WriteError> {
        unreachable!()
    }
    async fn table(&mut self, _: &str) -> Result<Option<CatalogTable>, WriteError> {
        unreachable!()
    }
    async fn draft(&mut self, _: &NewTable) -> Result<Result<Draft, Vec<String>>, WriteError> {
        unreachable!("a transaction makes no table")
    }

    async fn create(&mut self, _: &Draft) -> Result<(), WriteError> {
        unreachable!("a transaction makes no table")
    }

    async fn expire(&mut self, _: &TablePlan, _: &RetentionPlan, _: &str, _: u32) -> Result<u64, WriteError> {
        unreachable!("a transaction deletes no old rows")
    }

    async fn meta(&mut self, _: &str) -> Result<Option<String>, WriteError> {
        unreachable!("a transaction needs no lease")
    }

    async fn swap_meta(&mut self, _: &str, _: Option<&str>, _: &str) -> Result<bool, WriteError> {
        unreachable!("a transaction needs no lease")
    }

    fn statement(&self, _: &TablePlan, _: Action, _: &[usize]) -> Option<String> {
        unreachable!("nobody looks at it")
    }

    async fn table_names(&mut self, _: Option<&str>) -> Result<Vec<String>, WriteError> {
        unreachable!()
    }
    async fn inspect_table(&mut self, _: &TablePlan) -> Result<Vec<String>, WriteError> {
        unreachable!()
    }
    async fn indexes(&mut self, _: &CatalogTable) -> Result<Vec<Index>, WriteError> {
        unreachable!()
    }
    async fn lookup(&mut self, _: &LookupPlan, _: &[ArrayRef]) -> Result<Vec<Texts>, WriteError> {
        unreachable!()
    }
    async fn begin(&mut self) -> Result<(), WriteError> {
        unreachable!()
    }
    async fn begin_trial(&mut self) -> Result<(), WriteError> {
        unreachable!()
    }
    async fn advance(&mut self, _: &str, _: &[Move]) -> Result<u64, WriteError> {
        unreachable!()
    }
    async fn store_dead_letters(&mut self, _: &str, _: &[DeadLetter]) -> Result<(), WriteError> {
        unreachable!()
    }
    async fn store_gap(&mut self, _: &str, _: &Gap) -> Result<(), WriteError> {
        unreachable!()
    }
    async fn lock_positions(&mut self, _: &str) -> Result<Vec<Position>, WriteError> {
        unreachable!()
    }
    async fn insert_positions(&mut self, _: &str, _: &[Position]) -> Result<(), WriteError> {
        unreachable!()
    }
    async fn update_positions(&mut self, _: &str, _: &[Position]) -> Result<(), WriteError> {
        unreachable!()
    }
    async fn count_moved(&mut self, _: &str, _: &[Move]) -> Result<u64, WriteError> {
        unreachable!()
    }
    async fn commit(&mut self) -> Result<(), CommitError> {
        unreachable!()
    }
    async fn rollback(&mut self) -> Result<(), WriteError> {
        unreachable!()
    }
    async fn close(self) {}
}

fn column(name: &str, ty: ColumnType) -> CatalogColumn {
    CatalogColumn {
        name: name.to_owned(),
        native: ty.to_string(),
        ty: Some(ty),
        oid: 0,
        nullable: true,
        has_default: false,
        generated: false,
    }
}

fn plan(name: &str, deletes: DeletePlan) -> TablePlan {
    let id = column("id", ColumnType::Int64);
    let table = CatalogTable {
        schema: None,
        name: name.to_owned(),
        columns: vec![id.clone()],
        unique: Vec::new(),
        unusable_unique: Vec::new(),
    };
    let columns = vec![PlanColumn { column: id, input: 0 }];
    TablePlan {
        table,
        mode: Mode::Upsert,
        columns,
        key: vec![0],
        deletes,
        version: None,
        missing: Missing::Null,
        replace: None,
        retention: None,
        merge: Vec::new(),
    }
}

fn rows(ids: &[Option<i64>], operations: &[Operation]) -> Rows {
    let array: ArrayRef = Arc::new(Int64Array::from(ids.to_vec()));
    let schema = Schema::new(vec![Field::new("id", DataType::Int64, true)]);
    Rows {
        batch: RecordBatch::try_new(Arc::new(schema), vec![array]).unwrap(),
        operations: operations.to_vec(),
        origins: (0..ids.len() as u32).map(|row| row + 40).collect(),
        timestamps: Vec::new(),
        presence: vec![None],
    }
}

async fn apply(plans: Vec<TablePlan>, rows: &Rows, in_order: bool) -> (Recorder, Result<Vec<RowCounts>, WriteError>) {
    let sink = Sink {
        database: Database::Sqlite,
        url: Secret::new(""),
        delivery: Delivery::AtLeastOnce,
        writers: None,
        batch: BatchLimits::default(),
        state_schema: None,
    };
    let tables: Vec<_> =
        (0..plans.len()).map(|table| TableRows { table, name: None, rows: rows.clone().into() }).collect();
    let work = Work { sink, pipeline: "p".to_owned(), plans: plans.into(), routes: None };
    let covered = Offsets::default();
    let batch = Batch {
        covered: &covered,
        leases: &[],
        tables: &tables,
        dead_letters: &[],
        follow: None,
        outbox: None,
        in_order,
    };
    let mut session = Recorder::default();
    let outcome = work.apply(&mut session, &batch, &vec![None; tables.len()]).await;
    (session, outcome)
}

#[tokio::test]
async fn deletes_go_from_the_last_table_to_the_first_and_puts_the_other_way() {
    use Action::{Delete, Put, SoftDelete};
    let marked = DeletePlan::Soft(column("gone", ColumnType::Bool));
    let plans = vec![plan("parent", DeletePlan::Hard), plan("marked", marked), plan("child", DeletePlan::Hard)];
    let rows = rows(&[Some(1), Some(1), Some(2)], &[Operation::Upsert, Operation::Delete, Operation::Upsert]);
    let expected = [("child", Delete), ("parent", Delete), ("parent", Put), ("marked", Put), ("marked", SoftDelete)];
    let (session, outcome) = apply(plans.clone(), &rows, false).await;
    let asked: Vec<_> = session.0.iter().map(|(table, action)| (table.as_str(), *action)).collect();
    assert_eq!(asked[..5], expected);
    assert_eq!(asked[5..], [("child", Put)]);
    let counts = outcome.unwrap();
    assert_eq!((counts[0].written, counts[0].collapsed), (2, 1));
    assert_eq!((counts[1].written, counts[1].collapsed), (3, 0));

    let (session, _) = apply(plans[..1].to_vec(), &rows, true).await;
    let actions: Vec<_> = session.0.iter().map(|(_, action)| *action).collect();
    assert_eq!(actions, [Put, Delete, Put], "as the records came");
}

#[tokio::test]
async fn a_row_without_its_key_is_isolated_before_anything_is_asked() {
    let rows = rows(&[Some(1), None], &[Operation::Upsert, Operation::Upsert]);
    let (session, outcome) = apply(vec![plan("orders", DeletePlan::Hard)], &rows, false).await;
    let error = outcome.unwrap_err();
    assert_eq!((error.disposition, error.class, error.suspect), (Disposition::Isolate, "null-key", Some(41)));
    assert_eq!((error.table.as_deref(), error.column.as_deref()), (Some("orders"), Some("id")));
    assert!(error.connection_usable && session.0.is_empty());
}
