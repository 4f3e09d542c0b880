//! Any records, in any cut, in order or folded: the table is what one aggregate over all of them is.

use std::collections::BTreeMap;

use serde_json::Value;
use tidegate::config::MergeFunction::{self, BitOr, Count, JsonMerge, Max, Min, Sum};
use tidegate::types::ColumnType;

use super::model::{Event, Row, aggregate, event};
use super::{Rollup, declare, first, last, on_each};
use crate::support::database::Kind;

on_each!(any_cut_is_one_aggregate);

fn columns(kind: Kind) -> &'static str {
    match kind {
        Kind::Postgres => {
            "k bigint, part text, n bigint, orders bigint NOT NULL, price numeric(38,4), exact numeric, \
             ratio double precision, lowest int, highest numeric(30,4), latest timestamp, bits bigint, doc jsonb, \
             city text, city_at timestamp, shop text, shop_order int, PRIMARY KEY (k, part)"
        }
        Kind::MariaDb | Kind::MySql => {
            "k bigint NOT NULL, part varchar(20) NOT NULL, n bigint, orders bigint NOT NULL, price decimal(38,4), \
             exact decimal(65,4), ratio double, lowest int, highest decimal(30,4), latest datetime(6), bits bigint, \
             doc json, city text, city_at datetime(6), shop text, shop_order int, PRIMARY KEY (part, k)"
        }
        Kind::Sqlite => {
            "k INTEGER, part TEXT, n INTEGER, orders INTEGER NOT NULL, price TEXT, exact TEXT, ratio REAL, \
             lowest INTEGER, highest TEXT, latest TEXT, bits INTEGER, doc JSON, city TEXT, city_at TIMESTAMP, \
             shop TEXT, shop_order INTEGER, PRIMARY KEY (k, part)"
        }
    }
}

fn functions() -> Vec<(&'static str, MergeFunction)> {
    vec![
        ("n", Sum),
        ("orders", Count),
        ("price", Sum),
        ("exact", Sum),
        ("ratio", Sum),
        ("lowest", Min),
        ("highest", Max),
        ("latest", Max),
        ("bits", BitOr),
        ("doc", JsonMerge),
        ("city", last("city_at")),
        // Told for completeness: it is kept with the city.
        ("city_at", Max),
        ("shop", first("shop_order")),
    ]
}

async fn any_cut_is_one_aggregate(kind: Kind) {
    let declared = match kind {
        Kind::Sqlite => vec![
            declare("price", ColumnType::Decimal { precision: 38, scale: 4 }),
            declare("exact", ColumnType::Numeric),
            declare("highest", ColumnType::Decimal { precision: 30, scale: 4 }),
            declare("latest", ColumnType::Timestamp),
        ],
        _ => Vec::new(),
    };
    let mut rollup = Rollup::with(kind, columns(kind), &functions(), declared).await;
    let rounds = if kind == Kind::Sqlite { 60 } else { 12 };
    let seed = fastrand::u64(..);
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut expected = BTreeMap::new();
    for round in 0..rounds {
        let events: Vec<Event> = (0..rng.usize(1..40)).map(|_| event(&mut rng, round)).collect();
        let mut left = &events[..];
        while !left.is_empty() {
            let (batch, rest) = left.split_at(rng.usize(1..=left.len()));
            let values: Vec<String> = batch.iter().map(Event::text).collect();
            let in_order = rng.u8(..4) == 0;
            let written = rollup.add(&values, in_order).await;
            written.unwrap_or_else(|error| panic!("{kind:?}, seed {seed}: {error}"));
            left = rest;
        }
        let mut by_key: BTreeMap<_, Vec<&Event>> = BTreeMap::new();
        events.iter().for_each(|event| by_key.entry(event.key).or_default().push(event));
        expected.extend(by_key.into_iter().map(|((k, part), events)| (format!("{k}|{part}"), aggregate(&events))));
    }
    let found = stored(&rollup).await;
    for (key, row) in &expected {
        assert_eq!(found.get(key), Some(row), "{kind:?}, seed {seed}: {key}");
    }
    assert_eq!(found.len(), expected.len(), "{kind:?}");
}

async fn stored(rollup: &Rollup) -> BTreeMap<String, Row> {
    const COLUMNS: [&str; 16] = [
        "k",
        "part",
        "n",
        "orders",
        "price",
        "exact",
        "ratio",
        "lowest",
        "highest",
        "latest",
        "bits",
        "doc",
        "city",
        "city_at",
        "shop",
        "shop_order",
    ];
    let select: Vec<String> = COLUMNS.iter().map(|column| rollup.database.text(column)).collect();
    let rows = rollup.database.texts(&format!("SELECT {} FROM t", select.join(", "))).await;
    let rows = rows.into_iter().map(|row| {
        let cell = |(name, cell): (&&'static str, Option<String>)| {
            (*name, cell.map_or("-".to_owned(), |cell| plain(name, cell)))
        };
        let mut row: Row = COLUMNS.iter().zip(row).map(cell).collect();
        let key = format!("{}|{}", row.remove("k").unwrap(), row.remove("part").unwrap());
        (key, row)
    });
    rows.collect()
}

/// The databases' forms of one value as one.
fn plain(name: &str, cell: String) -> String {
    match name {
        "ratio" => cell.parse::<f64>().unwrap().to_string(),
        "doc" => serde_json::from_str::<Value>(&cell).unwrap().to_string(),
        "latest" | "city_at" => cell.trim_end_matches(".000000").to_owned(),
        "exact" => {
            // Without zeros at its end where it has no scale of its own.
            let (whole, fraction) = cell.split_once('.').unwrap_or((&cell, ""));
            format!("{whole}.{fraction:0<4}")
        }
        _ => cell,
    }
}
