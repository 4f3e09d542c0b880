//! Decoding order messages: the decoder beside what `serde_json` needs for a struct of the same fields.

use std::borrow::Cow;
use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use serde::Deserialize;
use tidegate::config::KeyFormat;
use tidegate::decode;
use tidegate::lease::Lease;
use tidegate::offsets::TopicPartition;
use tidegate::records::Records;
use tidegate::rows::{BytesEncoding, ColumnSource, InputColumn, InputSchema};
use tidegate::types::ColumnType;

/// A full batch, as `sink.batch.rows` has it.
const RECORDS: u64 = 10_000;

fn order(i: u64) -> String {
    let status = ["NEW", "PAID", "SHIPPED", "DELIVERED", "CANCELLED"][i as usize % 5];
    let (customer, sku, quantity) = (i * 104_729 % 1_000_003, i * 37 % 99_991, i % 12 + 1);
    let (units, cents) = (i * 53 % 3_000, i % 100);
    let (day, hour, minute, second, millis) = (i % 28 + 1, i % 24, i / 11 % 60, i / 5 % 60, i % 1000);
    format!(
        r#"{{"order_id":{i},"customer_id":{customer},"sku":"SKU-{sku:08}","quantity":{quantity},"price":{units}.{cents:02},"status":"{status}","created_at":"2026-11-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z","note":"leave order {i} with the \"blue\" door's neighbour, if nobody opens"}}"#
    )
}

fn records(texts: &[String]) -> Records {
    let lease = Arc::new(Lease::new(TopicPartition::new("orders", 0), 1, 0));
    let mut records = Records::default();
    for (offset, text) in (0..).zip(texts) {
        let pushed = records.push(&lease, offset, offset, Some(0), None, Some(text.as_bytes()), std::iter::empty());
        pushed.expect("offsets follow each other");
    }
    records
}

fn columns() -> Vec<InputColumn> {
    let types = [
        ("order_id", ColumnType::Int64),
        ("customer_id", ColumnType::Int64),
        ("sku", ColumnType::Text),
        ("quantity", ColumnType::Int32),
        ("price", ColumnType::Decimal { precision: 12, scale: 2 }),
        ("status", ColumnType::Text),
        ("created_at", ColumnType::TimestampTz),
        ("note", ColumnType::Text),
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

/// The same fields without what the decoder does beyond parsing: no exact decimal, no instant, no columns.
#[derive(Deserialize)]
struct Order<'a> {
    order_id: i64,
    customer_id: i64,
    #[serde(borrow)]
    sku: Cow<'a, str>,
    quantity: i32,
    price: f64,
    #[serde(borrow)]
    status: Cow<'a, str>,
    #[serde(borrow)]
    created_at: Cow<'a, str>,
    #[serde(borrow)]
    note: Cow<'a, str>,
}

fn typed(records: &Records) -> usize {
    records.iter().fold(0, |sum, record| {
        let order: Order<'_> = serde_json::from_slice(record.value().unwrap_or_default()).expect("an order");
        let numbers = order.order_id + order.customer_id + i64::from(order.quantity) + order.price as i64;
        let texts = order.sku.len() + order.status.len() + order.created_at.len() + order.note.len();
        sum + numbers as usize + texts
    })
}

fn orders(c: &mut Criterion) {
    let texts: Vec<_> = (0..RECORDS).map(order).collect();
    let batch = records(&texts);
    let mut group = c.benchmark_group("decode");
    group.throughput(Throughput::Elements(RECORDS));
    group.bench_function("serde_json struct", |b| b.iter(|| black_box(typed(&batch))));
    let mut bench = |name: &str, columns: Vec<InputColumn>, batch: &Records| {
        let mut decoder = decode::json(InputSchema::new(columns, None), KeyFormat::Text);
        assert!(decoder.decode(batch).bad.is_empty());
        group.bench_function(name, |b| b.iter(|| black_box(decoder.decode(batch))));
    };
    bench("columns", columns(), &batch);
    let mut reversed = columns();
    reversed.reverse();
    bench("columns in another order than the fields", reversed, &batch);
    bench("two of eight fields", columns().into_iter().take(2).collect(), &batch);
    let other_case = records(&texts.iter().map(|text| text.replace("\"sku\"", "\"SKU\"")).collect::<Vec<_>>());
    bench("a name in another case", columns(), &other_case);
    group.finish();
}

criterion_group!(benches, orders);
criterion_main!(benches);
