//! Roll-ups: what is planned, and what is refused with which words.

use crate::config::{MergeColumn, MergeFunction};
use crate::write::plan::Merge;

use super::*;

/// minute and sku (the key), orders, revenue, city, event_time, doc, average (computed), made_at (defaulted).
fn rollup() -> CatalogTable {
    CatalogTable {
        schema: Some("shop".to_owned()),
        name: "rollup".to_owned(),
        columns: vec![
            required("minute", ColumnType::TimestampTz),
            required("sku", ColumnType::Text),
            column("orders", ColumnType::Int64),
            column("revenue", ColumnType::Decimal { precision: 12, scale: 2 }),
            column("city", ColumnType::Text),
            column("event_time", ColumnType::TimestampTz),
            column("doc", ColumnType::Json),
            generated("average", ColumnType::Numeric),
            CatalogColumn { has_default: true, ..column("made_at", ColumnType::TimestampTz) },
        ],
        unique: vec![index("rollup_pkey", true, &[0, 1])],
        unusable_unique: Vec::new(),
    }
}

fn last(by: &str) -> MergeFunction {
    MergeFunction::Last { by: by.to_owned() }
}

fn merging(functions: &[(&str, MergeFunction)]) -> Table {
    let merge =
        functions.iter().map(|(name, function)| MergeColumn { column: (*name).to_owned(), function: function.clone() });
    Table { merge: merge.collect(), ..table(Mode::Merge) }
}

fn all() -> Vec<(&'static str, MergeFunction)> {
    vec![
        ("Orders", MergeFunction::Count),
        ("revenue", MergeFunction::Sum),
        ("city", last("event_time")),
        ("doc", MergeFunction::JsonMerge),
    ]
}

fn with(name: &'static str, function: MergeFunction) -> Table {
    let mut functions = all();
    functions.retain(|(known, _)| *known != name);
    functions.push((name, function));
    merging(&functions)
}

#[test]
fn keys_functions_and_orders_are_written_and_nothing_else() {
    let plan = &planned(merging(&all()), rollup(), &[]).tables[0];
    let names: Vec<_> = plan.columns.iter().map(|column| column.column.name.as_str()).collect();
    assert_eq!(names, ["minute", "sku", "orders", "revenue", "city", "event_time", "doc"]);
    assert_eq!(plan.key, [0, 1]);
    let order = Merge::Order { lead: 4, last: true };
    let expected = [Merge::Sum, Merge::Sum, Merge::Last { by: 5 }, order, Merge::JsonMerge].map(Some);
    assert_eq!(plan.merge, [&[None, None][..], &expected].concat());
    assert_eq!(plan.documents(), [6]);
    // Told or not, an order is kept with its value.
    assert_eq!(&planned(with("event_time", MergeFunction::Max), rollup(), &[]).tables[0], plan);
}

#[test]
fn indexes_are_those_of_the_plan() {
    let found = change(rollup(), |table| {
        table.columns.insert(0, generated("row_number", ColumnType::Int64));
        table.unique = vec![index("k", true, &[1, 2])];
    });
    let plan = &planned(merging(&all()), found, &[]).tables[0];
    assert_eq!(plan.merge(4), Some(Merge::Last { by: 5 }));
    assert_eq!(plan.merge(5), Some(Merge::Order { lead: 4, last: true }));
}

#[test]
fn sqlite_adds_decimals_up_that_it_stores_as_text() {
    let found = change(rollup(), |table| {
        table.schema = None;
        table.columns[3].ty = Some(ColumnType::Text);
    });
    let declared = [declare("revenue", ColumnType::Decimal { precision: 12, scale: 2 })];
    assert!(plan_one(merging(&all()), found.clone(), &declared).is_ok());
    let problems = plan_one(merging(&all()), found, &[]).unwrap_err();
    assert!(problems[0].contains("revenue is of type decimal(12,2), and sum takes numbers"), "{problems:?}");
}

#[test]
fn what_is_wrong_is_told_in_one_sentence_with_its_cure() {
    let first = |by: &str| MergeFunction::First { by: by.to_owned() };
    let without = |name: &str| merging(&all().into_iter().filter(|(known, _)| *known != name).collect::<Vec<_>>());
    let cases: Vec<(Table, CatalogTable, Vec<SourceColumn>, &[&str])> = vec![
        (
            without("revenue"),
            rollup(),
            vec![],
            &["column revenue is neither in the key nor in `merge`", "revenue = \"sum\""],
        ),
        (
            without("revenue"),
            rollup(),
            vec![declare("revenue", ColumnType::Decimal { precision: 12, scale: 2 })],
            &["column revenue is neither in the key nor in `merge`"],
        ),
        (
            merging(&all()),
            rollup(),
            vec![declare("made_at", ColumnType::TimestampTz)],
            &["[source.columns] made_at: the column is neither in the key nor in `merge`", "remove the line"],
        ),
        (
            with("revnue", MergeFunction::Max),
            rollup(),
            vec![],
            &["no column revnue, which `merge` names", "did you mean revenue?"],
        ),
        (with("ORDERS", MergeFunction::Sum), rollup(), vec![], &["`merge` names the column ORDERS twice"]),
        (with("SKU", MergeFunction::Max), rollup(), vec![], &["SKU is in the key and in `merge`"]),
        (
            with("average", MergeFunction::Sum),
            rollup(),
            vec![],
            &["the database computes average", "remove it from `merge`"],
        ),
        (
            with("city", MergeFunction::Max),
            change(rollup(), |t| t.columns[5].has_default = true),
            vec![],
            &["city is of type text, and max takes numbers and times", "collation"],
        ),
        (
            with("revenue", MergeFunction::BitOr),
            rollup(),
            vec![],
            &["revenue is of type decimal(12,2), and bit_or takes whole numbers"],
        ),
        (with("revenue", MergeFunction::Count), rollup(), vec![], &["and count takes whole numbers"]),
        (with("doc", MergeFunction::Sum), rollup(), vec![], &["doc is of type json, and sum takes numbers"]),
        (with("revenue", MergeFunction::JsonMerge), rollup(), vec![], &["json_merge takes JSON documents"]),
        (
            with("city", MergeFunction::JsonMerge),
            change(rollup(), |t| t.columns[5].has_default = true),
            vec![],
            &["city is of type text", "declare city = \"json\" in [source.columns]"],
        ),
        (
            with("city", last("evnt_time")),
            change(rollup(), |t| t.columns[5].has_default = true),
            vec![],
            &["no column evnt_time, which `by` names", "event_time?"],
        ),
        (
            with("city", last("minute")),
            change(rollup(), |t| t.columns[5].has_default = true),
            vec![],
            &["city is ordered by minute, which is in the key"],
        ),
        (
            with("city", last("average")),
            change(rollup(), |t| t.columns[5].has_default = true),
            vec![],
            &["ordered by average, which the database computes"],
        ),
        (
            with("orders", first("event_time")),
            rollup(),
            vec![],
            &["event_time cannot hold the order of", "an order column of its own"],
        ),
        (with("event_time", MergeFunction::Min), rollup(), vec![], &["event_time cannot hold the order of city"]),
        (
            merging(&[
                ("orders", last("city")),
                ("revenue", MergeFunction::Sum),
                ("doc", MergeFunction::JsonMerge),
                ("event_time", MergeFunction::Max),
            ]),
            rollup(),
            vec![],
            &["city is of type text, and by takes numbers and times"],
        ),
        (
            merging(&all()),
            change(rollup(), |t| t.unique.clear()),
            vec![],
            &["mode = \"merge\" must find rows", "no primary key"],
        ),
        (
            Table { key: vec!["sku".to_owned()], ..with("minute", MergeFunction::Max) },
            rollup(),
            vec![],
            &["mode = \"merge\" needs a unique index over exactly the key (sku)"],
        ),
    ];
    for (table, found, declared, words) in cases {
        let mut table = table;
        // The capital letter of the plan's test is a second name of the same column.
        if table.merge.iter().any(|merged| merged.column == "orders") {
            table.merge.retain(|merged| merged.column != "Orders");
        }
        let problems = plan_one(table.clone(), found, &declared).expect_err(&format!("{table:?}"));
        assert_eq!(problems.len(), 1, "{words:?}: {problems:#?}");
        for word in words {
            assert!(problems[0].contains(word), "no {word:?} in {:?}", problems[0]);
        }
    }
}
