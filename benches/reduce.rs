//! What the reduction costs a row: batches of 10,000 orders of 8 columns, as a full lane sees them.

use std::hint::black_box;
use std::sync::Arc;

use arrow_array::{
    ArrayRef, Decimal128Array, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow_buffer::BooleanBuffer;
use arrow_schema::{Field, Schema};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tidegate::config::{Missing, Mode};
use tidegate::rows::{Operation, Rows};
use tidegate::types::ColumnType;
use tidegate::write::catalog::{CatalogColumn, CatalogTable};
use tidegate::write::plan::{DeletePlan, PlanColumn, TablePlan};
use tidegate::write::reduce::reduce;

/// The default of `sink.batch.rows`.
const ROWS: usize = 10_000;

fn types() -> [(&'static str, ColumnType); 8] {
    [
        ("order_id", ColumnType::Int64),
        ("sku", ColumnType::Text),
        ("quantity", ColumnType::Int32),
        ("price", ColumnType::Decimal { precision: 12, scale: 2 }),
        ("created_at", ColumnType::TimestampTz),
        ("updated_at", ColumnType::TimestampTz),
        ("city", ColumnType::Text),
        ("note", ColumnType::Text),
    ]
}

fn plan(key: &[usize], missing: Missing, version: Option<usize>) -> TablePlan {
    let columns: Vec<CatalogColumn> = types()
        .into_iter()
        .map(|(name, ty)| CatalogColumn {
            name: name.to_owned(),
            native: ty.to_string(),
            ty: Some(ty),
            oid: 0,
            nullable: true,
            has_default: false,
            generated: false,
        })
        .collect();
    TablePlan {
        table: CatalogTable {
            schema: None,
            name: "orders".to_owned(),
            columns: columns.clone(),
            unique: Vec::new(),
            unusable_unique: Vec::new(),
        },
        mode: Mode::Upsert,
        columns: columns.into_iter().enumerate().map(|(input, column)| PlanColumn { column, input }).collect(),
        key: key.to_vec(),
        deletes: DeletePlan::Hard,
        version,
        missing,
        replace: None,
        retention: None,
        merge: Vec::new(),
    }
}

/// Rows of these keys, all of them upserts and complete.
fn rows(keys: &[i64]) -> Rows {
    let times: Vec<i64> = (0..keys.len() as i64).map(|row| 1_793_491_200_000_000 + row * 1000).collect();
    let text = |prefix: &str| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(keys.iter().map(|key| format!("{prefix}-{:06}", key % 100_000))))
    };
    let prices = Decimal128Array::from_iter_values(keys.iter().map(|key| i128::from(key % 100_000)));
    let instants = |times: &[i64]| TimestampMicrosecondArray::from(times.to_vec()).with_timezone("UTC");
    let arrays: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(keys.to_vec())),
        text("sku"),
        Arc::new(Int32Array::from_iter_values(keys.iter().map(|key| (key % 7) as i32))),
        Arc::new(prices.with_precision_and_scale(12, 2).expect("12 digits hold it")),
        Arc::new(instants(&times)),
        Arc::new(instants(&times)),
        text("city"),
        text("a note of some length"),
    ];
    let fields: Vec<Field> = types().iter().map(|(name, ty)| Field::new(*name, ty.arrow(), true)).collect();
    Rows {
        batch: RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).expect("the types are the columns'"),
        operations: vec![Operation::Upsert; keys.len()],
        origins: (0..keys.len() as u32).collect(),
        timestamps: vec![1_793_491_200_000; keys.len()],
        presence: vec![None; 8],
    }
}

/// `distinct` keys in a fixed disorder.
fn shuffled(distinct: i64) -> Vec<i64> {
    let mut random = fastrand::Rng::with_seed(7);
    let mut keys: Vec<i64> = (0..distinct).collect();
    let repeated: Vec<i64> = (distinct..ROWS as i64).map(|_| random.i64(0..distinct)).collect();
    keys.extend(repeated);
    random.shuffle(&mut keys);
    keys
}

fn with_deletes(mut rows: Rows, every: usize) -> Rows {
    rows.operations.iter_mut().step_by(every).for_each(|operation| *operation = Operation::Delete);
    rows
}

/// Events that hold only some of the fields.
fn partial(mut rows: Rows) -> Rows {
    let every = |n: usize| Some(BooleanBuffer::collect_bool(rows.len(), |row| row % n != 0));
    (rows.presence[2], rows.presence[3]) = (every(2), every(3));
    rows
}

fn benchmark(criterion: &mut Criterion) {
    let whole = plan(&[0], Missing::Null, None);
    let unique = ROWS as i64;
    let some_repeated = ROWS as i64 * 7 / 10;
    let in_order: Vec<i64> = (0..unique).collect();
    let cases = [
        ("append", TablePlan { mode: Mode::Append, key: Vec::new(), ..whole.clone() }, rows(&in_order)),
        ("unique, in order", whole.clone(), rows(&in_order)),
        ("unique", whole.clone(), rows(&shuffled(unique))),
        ("unique, key of two columns", plan(&[1, 0], Missing::Null, None), rows(&shuffled(unique))),
        ("30 % repeated", whole.clone(), rows(&shuffled(some_repeated))),
        ("30 % repeated, versions", plan(&[0], Missing::Null, Some(5)), rows(&shuffled(some_repeated))),
        ("30 % repeated, partial", plan(&[0], Missing::Keep, None), partial(rows(&shuffled(some_repeated)))),
        ("30 % repeated, 10 % deletes", whole, with_deletes(rows(&shuffled(some_repeated)), 10)),
    ];
    let mut group = criterion.benchmark_group("reduce");
    group.throughput(Throughput::Elements(ROWS as u64));
    for (name, plan, rows) in &cases {
        group.bench_function(*name, |bencher| bencher.iter(|| reduce(black_box(plan), black_box(rows), false)));
    }
    group.finish();
}

criterion_group!(benches, benchmark);
criterion_main!(benches);
