//! Events at random, and what one aggregate over all of them is.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

pub const PARTS: [&str; 2] = ["a", "b"];

/// A record: a key, and for each column a value, a null, or nothing.
#[derive(Debug, Clone)]
pub struct Event {
    pub key: (i64, &'static str),
    pub fields: Map<String, Value>,
}

impl Event {
    pub fn text(&self) -> String {
        let mut fields = self.fields.clone();
        fields.insert("k".to_owned(), self.key.0.into());
        fields.insert("part".to_owned(), self.key.1.into());
        Value::Object(fields).to_string()
    }
}

/// `price` as text, so that no digit is lost on the way.
fn decimal(cents: i128) -> String {
    format!("{}{}.{:04}", if cents < 0 { "-" } else { "" }, cents.abs() / 10_000, cents.abs() % 10_000)
}

pub fn time(seconds: i64) -> String {
    format!("2026-11-21 10:{:02}:{:02}", seconds / 60, seconds % 60)
}

fn patch(rng: &mut fastrand::Rng, depth: usize) -> Value {
    let name = || ["x", "y", "z\"'"];
    match rng.u8(..if depth == 0 { 4 } else { 8 }) {
        0 => Value::Null,
        1 => json!(rng.i64(..)),
        2 => json!([1, null, {"x": null}]),
        3 => json!("text"),
        _ => {
            let mut members = Map::new();
            for _ in 0..rng.usize(..3) {
                let name = name()[rng.usize(..3)];
                members.insert(name.to_owned(), patch(rng, depth - 1));
            }
            Value::Object(members)
        }
    }
}

pub fn event(rng: &mut fastrand::Rng, round: i64) -> Event {
    let mut fields = Map::new();
    let mut put = |rng: &mut fastrand::Rng, name: &str, value: Value| match rng.u8(..10) {
        0 => {}
        1 => drop(fields.insert(name.to_owned(), Value::Null)),
        _ => drop(fields.insert(name.to_owned(), value)),
    };
    // Large enough that a double would lose their last digits.
    let large = rng.i64(-(1 << 57)..1 << 57);
    put(rng, "n", large.into());
    let small = rng.i64(0..100).into();
    put(rng, "orders", small);
    let price = decimal(i128::from(rng.i64(..)) * 1_000);
    put(rng, "price", price.into());
    let exact = decimal(i128::from(rng.i64(-99_999..99_999)));
    put(rng, "exact", exact.into());
    let half = (f64::from(rng.i32(-1_000..1_000)) / 2.0).into();
    put(rng, "ratio", half);
    let lowest = rng.i64(-50..50).into();
    put(rng, "lowest", lowest);
    let highest = decimal(i128::from(rng.i64(-99_999..99_999)));
    put(rng, "highest", highest.into());
    let at = time(rng.i64(0..600));
    put(rng, "latest", at.into());
    let bits = (1_i64 << rng.u8(..64)).into();
    put(rng, "bits", bits);
    let document = match patch(rng, 3) {
        Value::Object(members) => Value::Object(members),
        // A document that is null is none.
        other => json!({ "x": other }),
    };
    put(rng, "doc", document);
    let city = ["Rome", "Oslo", "Kyiv"][rng.usize(..3)];
    put(rng, "city", city.into());
    // Few, so that there are ties.
    let at = time(rng.i64(0..8));
    put(rng, "city_at", at.into());
    let shop = ["one", "two", "three"][rng.usize(..3)];
    put(rng, "shop", shop.into());
    let order = rng.i64(-4..4).into();
    put(rng, "shop_order", order);
    Event { key: (round * 2 + rng.i64(0..2), PARTS[rng.usize(..2)]), fields }
}

/// A row of the table as texts that do not depend on the database.
pub type Row = BTreeMap<&'static str, String>;

/// One aggregate over all events of a key.
pub fn aggregate(events: &[&Event]) -> Row {
    let values = |name: &str| -> Vec<Value> {
        events.iter().filter_map(|event| event.fields.get(name).filter(|value| !value.is_null()).cloned()).collect()
    };
    let integers = |name: &str| -> Vec<i128> { values(name).iter().map(|v| v.as_i64().unwrap().into()).collect() };
    let decimals = |name: &str| -> Vec<i128> {
        values(name).iter().map(|value| value.as_str().unwrap().replace('.', "").parse().unwrap()).collect()
    };
    let sum = |numbers: Vec<i128>| (!numbers.is_empty()).then(|| numbers.iter().sum::<i128>());
    let mut row = Row::new();
    let mut set = |name: &'static str, value: Option<String>| drop(row.insert(name, value.unwrap_or("-".to_owned())));
    set("n", sum(integers("n")).map(|n| n.to_string()));
    // Takes no null.
    set("orders", Some(integers("orders").iter().sum::<i128>().to_string()));
    set("price", sum(decimals("price")).map(decimal));
    set("exact", sum(decimals("exact")).map(decimal));
    let ratios: Vec<f64> = values("ratio").iter().filter_map(Value::as_f64).collect();
    set("ratio", (!ratios.is_empty()).then(|| ratios.iter().sum::<f64>().to_string()));
    set("lowest", integers("lowest").into_iter().min().map(|n| n.to_string()));
    set("highest", decimals("highest").into_iter().max().map(decimal));
    set("latest", values("latest").iter().filter_map(Value::as_str).max().map(str::to_owned));
    let bits = values("bits").iter().filter_map(Value::as_i64).reduce(|a, b| a | b);
    set("bits", bits.map(|bits| bits.to_string()));
    let document = values("doc").iter().fold(None, |document, patch| Some(merge_patch(document, patch)));
    set("doc", document.map(|document| document.to_string()));
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    let mut city: (Option<String>, Option<String>) = (None, None);
    let mut shop: (Option<String>, Option<i64>) = (None, None);
    for event in events {
        let new = (text(event.fields.get("city")), text(event.fields.get("city_at")));
        // Nothing is less than something.
        if new.0.is_some() && (city.0.is_none() || new.1 >= city.1) {
            city = new;
        }
        let new = (text(event.fields.get("shop")), event.fields.get("shop_order").and_then(Value::as_i64));
        let is_before = match (new.1, shop.1) {
            (Some(new), Some(held)) => new < held,
            (new, held) => new.is_some() && held.is_none(),
        };
        if new.0.is_some() && (shop.0.is_none() || is_before) {
            shop = new;
        }
    }
    set("city", city.0);
    set("city_at", city.1);
    set("shop", shop.0);
    set("shop_order", shop.1.map(|order| order.to_string()));
    row
}

/// RFC 7396, as its section 2 says it.
fn merge_patch(target: Option<Value>, patch: &Value) -> Value {
    let Value::Object(patch) = patch else { return patch.clone() };
    let mut target = match target {
        Some(Value::Object(target)) => target,
        _ => Map::new(),
    };
    for (name, value) in patch {
        if value.is_null() {
            target.remove(name);
        } else {
            let merged = merge_patch(target.remove(name), value);
            target.insert(name.clone(), merged);
        }
    }
    Value::Object(target)
}
