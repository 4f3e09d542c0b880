//! The demo's load: orders as a shop would send them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::produce::Feeder;

use super::super::Stop;

/// The table that the demo's orders go to.
pub const TABLE: &str = "\
CREATE TABLE orders (
    order_id    INTEGER PRIMARY KEY,
    customer_id INTEGER NOT NULL,
    sku         TEXT NOT NULL,
    quantity    INTEGER NOT NULL,
    price       TEXT NOT NULL,      -- exact decimal text
    status      TEXT NOT NULL,
    created_at  TEXT NOT NULL,      -- RFC 3339, UTC
    note        TEXT
) STRICT;
";

const STATUSES: [&str; 5] = ["NEW", "PAID", "SHIPPED", "DELIVERED", "CANCELLED"];

/// The `number`th order: about 200 bytes.
pub fn order(number: u64) -> String {
    let created_at = jiff::Timestamp::now();
    format!(
        r#"{{"order_id":{number},"customer_id":{},"sku":"SKU-{:08}","quantity":{},"price":{}.{:02},"status":"{}","created_at":"{created_at:.3}","note":"leave parcel {number} at the \"back\" door, please"}}"#,
        number * 7919 % 1_000_003,
        number * 31 % 99_991,
        number % 17 + 1,
        number * 37 % 2000,
        number % 100,
        STATUSES[(number % 5) as usize],
    )
}

/// Sends orders, numbered on from one call to the next.
pub struct Load {
    feeder: Feeder,
    next: u64,
}

impl Load {
    pub fn new(broker: &str, topic: &str) -> Result<Self, Stop> {
        let feeder = Feeder::connect(&[broker.to_owned()], topic, &BTreeMap::new());
        Ok(Self { feeder: feeder.map_err(|error| Stop::new(1, error.to_string()))?, next: 1 })
    }

    fn send(&mut self) -> Result<(), Stop> {
        let key = self.next.to_string();
        let value = order(self.next);
        self.next += 1;
        self.feeder.send(Some(key.as_bytes()), Some(value.as_bytes())).map_err(|error| Stop::new(1, error.to_string()))
    }

    /// As many at once, confirmed.
    pub fn burst(&mut self, count: u64) -> Result<(), Stop> {
        for _ in 0..count {
            self.send()?;
        }
        self.feeder.flush().map_err(|error| Stop::new(1, error.to_string()))
    }

    /// `per_second` orders, evenly, for as long as `go_on` says. Blocks its thread.
    pub fn steady(&mut self, per_second: u32, mut go_on: impl FnMut() -> bool) -> Result<(), Stop> {
        let pause = Duration::from_secs(1) / per_second;
        let mut due = Instant::now();
        while go_on() {
            self.send()?;
            due += pause;
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
        }
        self.feeder.flush().map_err(|error| Stop::new(1, error.to_string()))
    }

    /// Orders sent so far.
    pub fn sent(&self) -> u64 {
        self.next - 1
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn an_order_is_json_of_about_200_bytes() {
        let order = super::order(12_345);
        let value: serde_json::Value = serde_json::from_str(&order).unwrap();
        assert_eq!(value["order_id"], 12_345);
        assert!((180..260).contains(&order.len()), "{}", order.len());
    }
}
