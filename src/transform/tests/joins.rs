//! JOIN: which lookups there are and by which keys; mistakes in it.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::{KeyFormat, Lookup, LookupColumn, LookupFrom, OnUnavailable, Place};
use crate::transform::{Plan, Query, SqlProblem, plan};
use crate::types::ColumnType;

use super::columns;

fn lookup(name: &str, key: &[&str], columns: &[(&str, ColumnType)]) -> Lookup {
    let column = |(name, ty): &(&str, ColumnType)| LookupColumn { name: (*name).to_owned(), ty: ty.clone() };
    Lookup {
        name: name.to_owned(),
        from: LookupFrom::File(PathBuf::new()),
        key: key.iter().map(|name| (*name).to_owned()).collect(),
        columns: Some(columns.iter().map(column).collect()),
        max_rows: 10,
        max_age: Duration::ZERO,
        on_unavailable: OnUnavailable::Wait,
        place: Place::Nowhere,
    }
}

fn lookups() -> Vec<Lookup> {
    use ColumnType::{Int64, Text};
    vec![
        lookup("articles", &["sku"], &[("sku", Text), ("title", Text), ("maker", Int64)]),
        lookup("makers", &["id"], &[("id", Int64), ("country", Text)]),
        lookup("prices", &["sku", "zone"], &[("sku", Text), ("zone", Text), ("net", Int64)]),
    ]
}

fn planned(sql: &str) -> Result<Plan, Vec<SqlProblem>> {
    let (inputs, lookups) = (columns(), lookups());
    let topics = ["orders".to_owned(), "returns".to_owned()];
    plan(&Query {
        sql,
        output: "shop",
        aggregates: None,
        replace: &[],
        inputs: &inputs,
        topics: &topics,
        lookups: &lookups,
        follows: false,
        key_format: KeyFormat::Json,
        keys: &super::private::keys(),
    })
}

fn ids(sql: &str) -> Vec<String> {
    planned(sql)
        .unwrap_or_else(|problems| panic!("{sql}: {problems:?}"))
        .joins()
        .into_iter()
        .map(|join| join.id)
        .collect()
}

#[test]
fn equal_lookups_by_equal_keys_are_one() {
    let one = ids("SELECT a.title FROM input i LEFT JOIN articles a ON i.sku = a.sku");
    assert_eq!(one, ["articles[\"sku\"]"]);
    let same = [
        "SELECT title FROM input JOIN articles ON articles.sku = input.sku",
        "SELECT x.maker FROM input LEFT OUTER JOIN articles x ON ((x.sku) = (input.sku))",
    ];
    for sql in same {
        assert_eq!(ids(sql), one, "{sql}");
    }
    assert_ne!(ids("SELECT title FROM input JOIN articles a ON a.sku = upper(input.sku)"), one);
    assert_ne!(
        ids("SELECT title FROM orders o JOIN articles a ON a.sku = o.sku"),
        one,
        "only that topic's records ask"
    );
}

#[test]
fn a_key_may_come_of_the_lookup_before() {
    let sql = "SELECT order_id, m.country FROM input i LEFT JOIN articles a ON a.sku = i.sku LEFT JOIN makers m ON m.id = a.maker";
    let plan = planned(sql).unwrap();
    let read: Vec<Vec<String>> = plan
        .joins()
        .iter()
        .map(|join| join.columns.iter().map(|column| column.name.rsplit('.').next().unwrap().to_owned()).collect())
        .collect();
    assert_eq!(read, [["maker"], ["country"]]);
    let backwards =
        "SELECT m.country FROM input i LEFT JOIN makers m ON m.id = a.maker LEFT JOIN articles a ON a.sku = i.sku";
    assert!(planned(backwards).unwrap_err()[0].message.contains("no table a"));
}

#[test]
fn a_star_is_the_columns_of_all_or_of_one() {
    let names = |sql: &str| -> Vec<String> {
        planned(sql).unwrap().outputs().iter().map(|output| output.name.clone()).collect()
    };
    let from = "FROM input i LEFT JOIN makers m ON m.id = i.order_id";
    assert_eq!(names(&format!("SELECT m.* {from}")), ["id", "country"]);
    assert_eq!(names(&format!("SELECT i.*, m.country {from}")).len(), columns().len() + 1);
    let both = planned(&format!("SELECT * {from}")).unwrap_err();
    assert!(both[0].message.contains("two results are called id"), "{both:?}");
}

#[test]
fn mistakes_are_told_with_place_and_cure() {
    #[rustfmt::skip]
    let mistakes = [
        ("SELECT a.title FROM input i LEFT JOIN artcles a ON i.sku = a.sku", 1, 39, "no lookup artcles", "`articles`"),
        ("SELECT a.title FROM input i LEFT JOIN stock a ON i.sku = a.sku", 1, 39, "no lookup stock", "[[lookup]] with name = \"stock\""),
        ("SELECT i.sku FROM input i LEFT JOIN returns r ON i.sku = r.sku", 1, 32, "a join", "view"),
        ("SELECT i.sku FROM input i, makers m", 1, 28, "a join", "after JOIN"),
        ("SELECT i.sku FROM input i RIGHT JOIN makers m ON m.id = i.order_id", 1, 38, "LEFT JOIN or JOIN", "LEFT JOIN makers ON makers.id = .."),
        ("SELECT i.sku FROM input i CROSS JOIN makers m", 1, 38, "LEFT JOIN or JOIN", "LEFT JOIN makers"),
        ("SELECT i.sku FROM input i LEFT JOIN articles USING (sku)", 1, 37, "joined by ON", "ON articles.sku = .."),
        ("SELECT i.sku FROM input i LEFT JOIN prices p ON p.sku = i.sku", 1, 37, "does not give p.zone", "AND p.zone = .."),
        ("SELECT i.sku FROM input i LEFT JOIN makers m ON m.id > i.order_id", 1, 49, "by = and AND alone", "WHERE"),
        ("SELECT i.sku FROM input i LEFT JOIN makers m ON m.id = i.order_id OR m.id = 1", 1, 49, "by = and AND alone", "WHERE"),
        ("SELECT i.sku FROM input i LEFT JOIN makers m ON m.country = i.sku", 1, 49, "country does not belong to the key of makers: id", "WHERE"),
        ("SELECT i.sku FROM input i LEFT JOIN makers m ON i.order_id = i.quantity", 1, 49, "one side of =", "m.id ="),
        ("SELECT i.sku FROM input i LEFT JOIN makers m ON m.id = i.order_id AND m.id = 1", 1, 37, "gives m.id twice", "once"),
        ("SELECT i.sku FROM input i LEFT JOIN makers i ON i.id = 1", 1, 37, "two tables are called i", "AS other"),
        ("SELECT sku FROM input i LEFT JOIN articles a ON i.sku = a.sku", 1, 8, "sku can be a column of i and of a", "i.sku"),
        ("SELECT a.titel FROM input i LEFT JOIN articles a ON i.sku = a.sku", 1, 10, "lookup articles has no column titel", "`title`"),
        ("SELECT i.sku FROM input i LEFT JOIN makers m ON m.id = i.ordr", 1, 58, "no column ordr", "[source.columns]"),
        ("SELECT i.sku FROM input i LEFT JOIN makers m ON m.id = random()", 1, 56, "another result", "md5"),
        ("SELECT i.sku FROM input i LEFT JOIN (SELECT 1) m ON m.id = 1", 1, 32, "a join", "view"),
    ];
    for (sql, line, column, message, cure) in mistakes {
        let problems = planned(sql).err().unwrap_or_else(|| panic!("{sql}: nothing is wrong"));
        let found = problems.iter().any(|problem| {
            (problem.line, problem.column) == (line, column)
                && problem.message.contains(message)
                && problem.cure.contains(cure)
        });
        assert!(found, "{sql}: {problems:#?}");
    }
}

#[test]
fn a_key_of_another_kind_is_refused() {
    let (inputs, lookups) = (columns(), lookups());
    let compile = |sql: &str| {
        let plan = planned(sql).unwrap();
        let join = plan.joins().remove(0);
        let schema = crate::rows::InputSchema::new(inputs.clone(), None);
        join.compile(&schema, &lookups[join.lookup]).map(drop).map_err(|problems| problems[0].clone())
    };
    assert_eq!(compile("SELECT country FROM input JOIN makers m ON m.id = quantity"), Ok(()));
    let problem = compile("SELECT country FROM input JOIN makers m ON m.id = sku").unwrap_err();
    assert_eq!(problem.message, "makers.id is bigint, and sku is text");
    assert_eq!(problem.cure, "cast it: CAST(sku AS bigint)");
}
