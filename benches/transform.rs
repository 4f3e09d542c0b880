//! The two statements of docs/decisions/datafusion.md over full batches and over single rows.

use std::hint::black_box;
use std::sync::Arc;

use arrow_array::{
    ArrayRef, Decimal128Array, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tidegate::config::{Filtered, KeyFormat, MergeColumn, MergeFunction};
use tidegate::keys::Keys;
use tidegate::rows::{BytesEncoding, ColumnSource, InputColumn, InputSchema, Operation, Rows};
use tidegate::transform::{Query, plan};
use tidegate::types::ColumnType;

const ROW_WISE: &str =
    "SELECT order_id, upper(sku) AS sku, quantity * price AS total, created_at FROM input WHERE quantity > 0";
const GROUPED: &str = "SELECT date_bin(interval '1 minute', created_at) AS minute, sku, count(*) AS orders, \
                       sum(quantity * price) AS revenue FROM input GROUP BY 1, 2";

fn columns() -> Vec<InputColumn> {
    let types = [
        ("order_id", ColumnType::Int64),
        ("sku", ColumnType::Text),
        ("quantity", ColumnType::Int32),
        ("price", ColumnType::Decimal { precision: 10, scale: 2 }),
        ("created_at", ColumnType::TimestampTz),
    ];
    let column = |(name, ty): (&str, ColumnType)| InputColumn {
        name: name.to_owned(),
        ty,
        source: ColumnSource::Value(vec![name.to_owned()]),
        unit: None,
        encoding: BytesEncoding::Base64,
        default: None,
        key: false,
    };
    types.into_iter().map(column).collect()
}

fn array(name: &str, rows: i64) -> ArrayRef {
    match name {
        "order_id" => Arc::new(Int64Array::from_iter_values(0..rows)),
        "sku" => Arc::new(StringArray::from_iter_values((0..rows).map(|row| format!("sku-{:04}", row % 100)))),
        "quantity" => Arc::new(Int32Array::from_iter_values((0..rows).map(|row| (row % 10) as i32))),
        "price" => {
            let prices = Decimal128Array::from_iter_values((0..rows).map(|row| i128::from(row % 10_000)));
            Arc::new(prices.with_precision_and_scale(10, 2).expect("four digits"))
        }
        _ => {
            let times = (0..rows).map(|row| 1_793_491_200_000_000 + row * 10_000);
            Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC"))
        }
    }
}

fn rows(schema: &InputSchema, count: i64) -> Rows {
    let columns = schema.columns.iter().map(|column| array(&column.name, count)).collect::<Vec<_>>();
    Rows {
        batch: RecordBatch::try_new(schema.arrow.clone(), columns).expect("the columns have the schema's types"),
        operations: vec![Operation::Upsert; count as usize],
        origins: (0..count as u32).collect(),
        timestamps: vec![0; count as usize],
        presence: vec![None; schema.columns.len()],
    }
}

fn transform(criterion: &mut Criterion) {
    let inputs = columns();
    let merge = ["orders", "revenue"].map(|name| MergeColumn { column: name.to_owned(), function: MergeFunction::Sum });
    for (name, sql, aggregates) in [("row-wise", ROW_WISE, None), ("grouped", GROUPED, Some(&merge[..]))] {
        let (key_format, keys) = (KeyFormat::Text, Keys::default());
        let query = Query {
            sql,
            output: "orders",
            aggregates,
            replace: &[],
            inputs: &inputs,
            topics: &[],
            lookups: &[],
            key_format,
            keys: &keys,
            follows: false,
        };
        let planned = plan(&query).expect("the statement is right");
        let schema = InputSchema::new(planned.reads().to_vec(), None);
        let targets: Vec<ColumnType> = planned.outputs().iter().map(|output| output.ty.clone()).collect();
        let compiled = planned.compile(&schema, &targets, &[0], Filtered::Ignore).expect("the types are its own");
        let mut group = criterion.benchmark_group(name);
        for count in [10_000, 1] {
            let rows = rows(&schema, count);
            group.throughput(Throughput::Elements(count as u64));
            group.bench_function(format!("{count} rows"), |bencher| bencher.iter(|| compiled.run(black_box(&rows))));
        }
        group.bench_function("plan and compile", |bencher| {
            bencher.iter(|| {
                let planned = plan(black_box(&query)).expect("the statement is right");
                planned.compile(&schema, &targets, &[0], Filtered::Ignore).expect("the types are its own")
            });
        });
        group.finish();
    }
}

criterion_group!(benches, transform);
criterion_main!(benches);
