//! Statements over real batches.

mod conditions;
mod errors;
mod expressions;
mod joins;
mod merge;
mod mistakes;
mod private;
mod properties;
mod replace;
mod rows;

use std::sync::Arc;

use arrow_array::builder::{ListBuilder, StringBuilder};
use arrow_array::{
    ArrayRef, Decimal128Array, FixedSizeBinaryArray, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow_buffer::BooleanBuffer;
use arrow_cast::display::array_value_to_string;

use crate::config::{KeyFormat, MergeColumn};
use crate::rows::{BytesEncoding, ColumnSource, InputColumn, InputSchema, Operation, Rows};
use crate::types::ColumnType;

use super::{Filtered, Plan, Query, SqlProblem, Transformed, plan};

/// One record of the orders that the tests read.
#[derive(Debug, Clone)]
pub struct Order {
    pub order_id: i64,
    pub sku: Option<&'static str>,
    pub quantity: Option<i32>,
    /// Hundredths.
    pub price: Option<i128>,
    /// Microseconds.
    pub created_at: Option<i64>,
    pub doc: Option<&'static str>,
    pub tags: Option<Vec<Option<&'static str>>>,
    pub ratio: Option<f64>,
    /// Was `sku` in the record?
    pub has_sku: bool,
    pub topic: &'static str,
    pub is_delete: bool,
}

pub fn order(order_id: i64) -> Order {
    Order {
        order_id,
        sku: Some("ab-1"),
        quantity: Some(3),
        price: Some(950),
        // 2026-11-01T00:00:30.5Z
        created_at: Some(1_793_491_230_500_000),
        doc: Some(
            r#"{"a": {"b": [1, 2.50, "x"]}, "n": 1.10, "s": "t\u00e9", "z": null, "big": 12345678901234567890.10}"#,
        ),
        tags: Some(vec![Some("x"), None, Some("y")]),
        ratio: Some(0.5),
        has_sku: true,
        topic: "orders",
        is_delete: false,
    }
}

pub fn delete(order_id: i64) -> Order {
    Order {
        sku: None,
        quantity: None,
        price: None,
        created_at: None,
        doc: None,
        tags: None,
        ratio: None,
        is_delete: true,
        ..order(order_id)
    }
}

fn column(name: &str, ty: ColumnType) -> InputColumn {
    let source = ColumnSource::Value(vec![name.to_owned()]);
    InputColumn {
        name: name.to_owned(),
        ty,
        source,
        unit: None,
        encoding: BytesEncoding::Base64,
        default: None,
        key: false,
    }
}

pub fn columns() -> Vec<InputColumn> {
    vec![
        column("order_id", ColumnType::Int64),
        column("sku", ColumnType::Text),
        column("quantity", ColumnType::Int32),
        column("price", ColumnType::Decimal { precision: 12, scale: 2 }),
        column("created_at", ColumnType::TimestampTz),
        column("doc", ColumnType::Json),
        column("tags", ColumnType::List(Box::new(ColumnType::Text))),
        column("ratio", ColumnType::Float64),
        column("id", ColumnType::Uuid),
        column("exact", ColumnType::Numeric),
        column("Name", ColumnType::Text),
    ]
}

fn tags(orders: &[Order]) -> ArrayRef {
    let mut lists = ListBuilder::new(StringBuilder::new());
    for order in orders {
        match &order.tags {
            Some(tags) => lists.append_value(tags.clone()),
            None => lists.append_null(),
        }
    }
    Arc::new(lists.finish())
}

/// A column of the input, and which rows have it.
fn array(name: &str, orders: &[Order]) -> ArrayRef {
    let of = |row: &Order| row.clone();
    match name {
        "order_id" => Arc::new(orders.iter().map(|o| Some(o.order_id)).collect::<Int64Array>()),
        "sku" => Arc::new(orders.iter().map(|o| o.sku.filter(|_| o.has_sku)).collect::<StringArray>()),
        "quantity" => Arc::new(orders.iter().map(|o| o.quantity).collect::<Int32Array>()),
        "price" => {
            let prices: Decimal128Array = orders.iter().map(|o| o.price).collect();
            Arc::new(prices.with_precision_and_scale(12, 2).unwrap())
        }
        "created_at" => {
            let times: TimestampMicrosecondArray = orders.iter().map(|o| o.created_at).collect();
            Arc::new(times.with_timezone("UTC"))
        }
        "doc" => Arc::new(orders.iter().map(|o| o.doc).collect::<StringArray>()),
        "tags" => tags(orders),
        "ratio" => Arc::new(orders.iter().map(|o| o.ratio).collect::<Float64Array>()),
        "id" => Arc::new(
            FixedSizeBinaryArray::try_from_iter(orders.iter().map(|o| (o.order_id as u128).to_be_bytes())).unwrap(),
        ),
        "exact" => Arc::new(orders.iter().map(|_| Some("1.5")).collect::<StringArray>()),
        "Name" | "_key" => Arc::new(orders.iter().map(|o| Some(format!("n{}", o.order_id))).collect::<StringArray>()),
        "_topic" => Arc::new(orders.iter().map(|o| Some(o.topic)).collect::<StringArray>()),
        "_partition" => Arc::new(orders.iter().map(|_| Some(2)).collect::<Int32Array>()),
        "_offset" => Arc::new((0..orders.len() as i64).map(Some).collect::<Int64Array>()),
        "_timestamp" => {
            let times: TimestampMicrosecondArray = orders.iter().map(of).map(|o| o.created_at).collect();
            Arc::new(times.with_timezone("UTC"))
        }
        "_headers['tenant']" => Arc::new(orders.iter().map(|_| Some("acme")).collect::<StringArray>()),
        other => panic!("no column {other}"),
    }
}

/// The decoded batch of a plan's inputs.
pub fn decoded(plan: &Plan, orders: &[Order]) -> (Arc<InputSchema>, Rows) {
    let schema = InputSchema::new(plan.reads().to_vec(), None);
    let columns: Vec<ArrayRef> = plan.reads().iter().map(|column| array(&column.name, orders)).collect();
    let options = arrow_array::RecordBatchOptions::new().with_row_count(Some(orders.len()));
    let presence = plan.reads().iter().map(|column| {
        let is_partial = column.name == "sku" && orders.iter().any(|order| !order.has_sku);
        is_partial.then(|| orders.iter().map(|order| order.has_sku).collect::<BooleanBuffer>())
    });
    let operation = |order: &Order| if order.is_delete { Operation::Delete } else { Operation::Upsert };
    let rows = Rows {
        batch: RecordBatch::try_new_with_options(schema.arrow.clone(), columns, &options).unwrap(),
        operations: orders.iter().map(operation).collect(),
        origins: (0..orders.len() as u32).collect(),
        timestamps: (0..orders.len() as i64).map(|row| 1_000 + row).collect(),
        presence: presence.collect(),
    };
    (schema, rows)
}

pub fn planned(sql: &str) -> Result<Plan, Vec<SqlProblem>> {
    planned_as(sql, None)
}

pub fn planned_as(sql: &str, aggregates: Option<&[MergeColumn]>) -> Result<Plan, Vec<SqlProblem>> {
    let inputs = columns();
    let topics = ["orders".to_owned(), "returns".to_owned()];
    let (key_format, keys) = (KeyFormat::Json, private::keys());
    let (inputs, topics) = (&inputs, &topics);
    plan(&Query {
        sql,
        output: "shop",
        aggregates,
        replace: &[],
        inputs,
        topics,
        lookups: &[],
        key_format,
        keys: &keys,
        follows: false,
    })
}

pub fn planned_to_replace(sql: &str, replace: &[&str]) -> Result<Plan, Vec<SqlProblem>> {
    let (inputs, key_format, keys) = (&columns(), KeyFormat::Json, &private::keys());
    let replace: &[String] = &replace.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    plan(&Query {
        sql,
        output: "shop",
        aggregates: None,
        replace,
        inputs,
        topics: &[],
        lookups: &[],
        key_format,
        keys,
        follows: false,
    })
}

/// Runs a statement over records; its results keep their own types.
pub fn run(sql: &str, orders: &[Order]) -> Transformed {
    run_with(sql, orders, &[], Filtered::Ignore)
}

pub fn run_with(sql: &str, orders: &[Order], key: &[usize], filtered: Filtered) -> Transformed {
    let plan = planned(sql).unwrap_or_else(|problems| panic!("{sql}: {problems:?}"));
    run_plan(&plan, orders, key, filtered)
}

pub fn run_plan(plan: &Plan, orders: &[Order], key: &[usize], filtered: Filtered) -> Transformed {
    let targets: Vec<ColumnType> = plan.outputs().iter().map(|output| output.ty.clone()).collect();
    let (schema, rows) = decoded(plan, orders);
    let transform = plan.compile(&schema, &targets, key, filtered).unwrap_or_else(|problems| panic!("{problems:?}"));
    transform.run(&rows)
}

/// The rows as text: cells joined by `|`, null as `~`, a delete with a `-` before it, a parent to replace with a `=`.
pub fn texts(transformed: &Transformed) -> Vec<String> {
    let rows = &transformed.rows;
    let cell = |column: &ArrayRef, row: usize| match column.is_null(row) {
        true => "~".to_owned(),
        false => array_value_to_string(column, row).unwrap(),
    };
    let line = |row: usize| {
        let cells: Vec<String> = rows.batch.columns().iter().map(|column| cell(column, row)).collect();
        let mark = match rows.operations[row] {
            Operation::Upsert => "",
            Operation::Delete => "-",
            Operation::Replace => "=",
        };
        format!("{mark}{}", cells.join("|"))
    };
    (0..rows.len()).map(line).collect()
}
