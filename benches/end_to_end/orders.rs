//! Orders of about 194 bytes, as scripts/orders prints them.

use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

use crate::Mode;
use crate::support::database::Kind;
use crate::support::{kafka, services};

const PARTITIONS: u64 = 4;
const STATUS: [&str; 5] = ["NEW", "PAID", "SHIPPED", "DELIVERED", "CANCELLED"];

pub fn order(i: u64) -> String {
    format!(
        "{{\"order_id\":{i},\"customer_id\":{},\"sku\":\"SKU-{:08}\",\"quantity\":{},\"price\":{}.{:02},\"status\":\"{}\",\
         \"created_at\":\"2026-11-{:02}T{:02}:{:02}:{:02}.{:03}Z\",\"note\":\"please leave parcel {i} at the back\"}}",
        (i * 7919) % 1_000_003,
        (i * 31) % 99_991,
        quantity(i),
        (i * 37) % 2000,
        i % 100,
        STATUS[(i % 5) as usize],
        i % 28 + 1,
        i % 24,
        i / 7 % 60,
        i / 3 % 60,
        i % 1000,
    )
}

fn quantity(i: u64) -> u64 {
    i % 17 + 1
}

fn cents(i: u64) -> u64 {
    (i * 37) % 2000 * 100 + i % 100
}

/// Sums over `rows` orders: quantities, and prices in cents.
pub fn sums(rows: u64) -> (u64, u64) {
    (0..rows).fold((0, 0), |(quantities, prices), i| (quantities + quantity(i), prices + cents(i)))
}

/// A topic with `rows` orders.
pub fn produce(rows: u64) -> String {
    let topic = kafka::topic(PARTITIONS as i32);
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", services::kafka())
        .set("linger.ms", "20")
        .set("compression.type", "lz4")
        .create()
        .expect("a producer");
    let started = Instant::now();
    for i in 0..rows {
        let (key, value) = (i.to_string(), order(i));
        let mut record = BaseRecord::to(&topic).partition((i % PARTITIONS) as i32).key(&key).payload(&value);
        while let Err((error, back)) = producer.send(record) {
            assert_eq!(error, KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull));
            producer.poll(Duration::from_millis(10));
            record = back;
        }
    }
    producer.flush(Duration::from_secs(120)).expect("records to be delivered");
    println!("{rows} orders in {PARTITIONS} partitions, produced in {:.1} s\n", started.elapsed().as_secs_f64());
    topic
}

const PROJECT: &str = "SELECT order_id, customer_id, upper(sku) AS sku, quantity, price, status, created_at, note \
                       FROM input WHERE quantity > 0";
const GROUP: &str = "SELECT date_bin(interval '1 hour', created_at) AS hour, status, count(*) AS orders, \
                     sum(quantity) AS quantity, sum(price) AS price FROM input GROUP BY 1, 2";

/// `[source.columns]`, and the `[[table]]`.
pub fn sections(kind: Kind, mode: Mode) -> (String, String) {
    let plain = |mode: &str| format!("[[table]]\nname = \"orders\"\nmode = \"{mode}\"\n");
    let table = match mode {
        Mode::Append => plain("append"),
        Mode::Upsert => plain("upsert"),
        Mode::Project => format!("{}sql = \"{PROJECT}\"\n", plain("append")),
        Mode::Group => format!(
            "{}merge = {{ orders = \"count\", quantity = \"sum\", price = \"sum\" }}\nsql = \"{GROUP}\"\n",
            plain("merge")
        ),
    };
    let columns = match mode {
        Mode::Project | Mode::Group => {
            "[source.columns]\norder_id = \"bigint\"\ncustomer_id = \"bigint\"\nsku = \"text\"\nquantity = \"bigint\"\n\
             price = \"decimal(12,2)\"\nstatus = \"text\"\ncreated_at = \"timestamptz\"\nnote = \"text\"\n"
        }
        // SQLite keeps an exact decimal as text, where the file says that it is one.
        _ if kind == Kind::Sqlite => "[source.columns]\nprice = \"decimal(12,2)\"\n",
        _ => "",
    };
    (columns.to_owned(), table)
}

pub fn table(kind: Kind, mode: Mode) -> String {
    let key = if mode == Mode::Upsert { " PRIMARY KEY" } else { "" };
    let (text, time, price, options) = match kind {
        Kind::Postgres => ("text", "timestamptz", "numeric(12,2)", ""),
        Kind::MariaDb | Kind::MySql => ("varchar(64)", "datetime(6)", "decimal(12,2)", ""),
        Kind::Sqlite => ("TEXT", "TEXT", "TEXT", " STRICT"),
    };
    let int = if kind == Kind::Sqlite { "INTEGER" } else { "bigint" };
    if mode == Mode::Group {
        let sum = price.replace("12", "20");
        return format!(
            "CREATE TABLE orders (hour {time} NOT NULL, status {text} NOT NULL, orders {int} NOT NULL, \
             quantity {int} NOT NULL, price {sum} NOT NULL, PRIMARY KEY (hour, status)){options}"
        );
    }
    format!(
        "CREATE TABLE orders (order_id {int}{key}, customer_id {int}, sku {text}, quantity {int}, price {price}, \
         status {text}, created_at {time}, note {text}){options}"
    )
}
