//! `replace`: whatever the records and however they are cut into batches, a parent has the rows of its last record.

use std::collections::BTreeMap;

use tidegate::config::Target;

use super::Scene;
use crate::support::database::{ALL, Kind};

/// One record of an order.
#[derive(Debug, Clone)]
enum Event {
    Tombstone,
    /// `None`: no such field. A list may hold a line twice: the last one stays.
    Lines(Option<Vec<i64>>),
    /// WHERE leaves it out.
    Draft(Vec<i64>),
}

type Lines = BTreeMap<(i64, i64), String>;

/// The table after the events one by one.
fn sequential(events: &[(i64, Event)], filtered_deletes: bool) -> Lines {
    let mut table = Lines::new();
    for (offset, (order, event)) in events.iter().enumerate() {
        let lines = match event {
            Event::Tombstone | Event::Lines(None) => &Vec::new(),
            Event::Lines(Some(lines)) => lines,
            Event::Draft(_) if !filtered_deletes => continue,
            Event::Draft(_) => &Vec::new(),
        };
        table.retain(|(parent, _), _| parent != order);
        for (place, line) in lines.iter().enumerate() {
            table.insert((*order, *line), format!("{offset}/{place}"));
        }
    }
    table
}

fn text(offset: usize, order: i64, event: &Event) -> Option<String> {
    let items = |lines: &[i64]| {
        let item = |(place, line): (usize, &i64)| format!(r#"{{"line":{line},"label":"{offset}/{place}"}}"#);
        lines.iter().enumerate().map(item).collect::<Vec<_>>().join(",")
    };
    match event {
        Event::Tombstone => None,
        Event::Lines(None) => Some(format!(r#"{{"order_id":{order},"status":"paid"}}"#)),
        Event::Lines(Some(lines)) => {
            Some(format!(r#"{{"order_id":{order},"status":"paid","items":[{}]}}"#, items(lines)))
        }
        Event::Draft(lines) => Some(format!(r#"{{"order_id":{order},"status":"draft","items":[{}]}}"#, items(lines))),
    }
}

fn events(rng: &mut fastrand::Rng) -> Vec<(i64, Event)> {
    let mut lines = |longest| (0..rng.usize(..longest)).map(|_| rng.i64(..6)).collect::<Vec<_>>();
    let lists: Vec<Vec<i64>> = (0..60).map(|_| lines(4)).collect();
    let event = |lines: Vec<i64>| {
        let event = match rng.u8(..10) {
            0 => Event::Tombstone,
            1 => Event::Lines(None),
            2 => Event::Draft(lines),
            _ => Event::Lines(Some(lines)),
        };
        (rng.i64(..5), event)
    };
    lists.into_iter().map(event).collect()
}

fn each_line_once(event: &mut Event) {
    if let Event::Lines(Some(lines)) | Event::Draft(lines) = event {
        let mut seen = std::collections::BTreeSet::new();
        lines.retain(|line| seen.insert(*line));
    }
}

fn sections(more: &str) -> String {
    format!(
        "
[source.columns]
order_id = \"bigint\"
status = \"text\"
items = \"json\"
[[table]]
name = \"orders\"
key = [\"order_id\"]
sql = \"SELECT order_id, status FROM input\"
[[table]]
name = \"order_lines\"
replace = [\"order_id\"]
{more}
sql = \"\"\"
SELECT order_id, CAST(unnest(items) ->> 'line' AS bigint) AS line, unnest(items) ->> 'label' AS label
FROM input WHERE status <> 'draft'\"\"\""
    )
}

const ORDERS: &str = "CREATE TABLE orders (order_id bigint NOT NULL PRIMARY KEY, status {text})";
const LINES: &str = "CREATE TABLE order_lines (order_id bigint NOT NULL, line bigint NOT NULL, label {text}, \
                     PRIMARY KEY (order_id, line))";

async fn any_cut_leaves_the_last_lists(kind: Kind) {
    let seed = fastrand::u64(..);
    let all = events(&mut fastrand::Rng::with_seed(seed));
    let settings = [
        ("filtered = \"ignore\"", false, false),
        ("key = [\"order_id\", \"line\"]\nfiltered = \"delete\"", true, true),
    ];
    for (more, is_keyed, filtered_deletes) in settings {
        let mut events = all.clone();
        if !is_keyed {
            events.iter_mut().for_each(|(_, event)| each_line_once(event));
        }
        let expected = sequential(&events, filtered_deletes);
        let expected: Vec<String> =
            expected.iter().map(|((order, line), label)| format!("{label}|{order}|{line}")).collect();
        for rows in [1, 7, 10_000] {
            let mut scene = Scene::new(kind, &[ORDERS, LINES], &sections(more)).await;
            for (offset, (order, event)) in events.iter().enumerate() {
                let (key, value) = (order.to_string(), text(offset, *order, event));
                scene.send(&[(&key, value.as_deref())]);
            }
            let mut pipeline = scene.pipeline();
            let Target::Database(sink) = &mut pipeline.sink else { panic!("a database") };
            sink.batch.rows = rows;
            scene.run_pipeline(pipeline).await;
            let mut found = scene.rows("order_lines", &["label", "order_id", "line"]).await;
            found.sort_by_key(|row| {
                let mut cells = row.split('|').skip(1).map(|cell| cell.parse::<i64>().unwrap());
                (cells.next(), cells.next())
            });
            assert_eq!(found, expected, "{kind:?}, batches of {rows}, {more}, seed {seed}: {events:?}");
            assert!(scene.dead_letters().await.is_empty(), "{kind:?}, batches of {rows}, seed {seed}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres() {
    any_cut_leaves_the_last_lists(Kind::Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb() {
    any_cut_leaves_the_last_lists(Kind::MariaDb).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mysql() {
    any_cut_leaves_the_last_lists(Kind::MySql).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite() {
    any_cut_leaves_the_last_lists(Kind::Sqlite).await;
}

/// What a constraint refuses is tried in the records' order and then alone, and the others still replace.
#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_the_database_refuses_is_one_dead_letter() {
    for kind in ALL {
        let mut scene = Scene::new(kind, &[ORDERS, LINES], &sections("")).await;
        let lines = |lines: &[i64]| Event::Lines(Some(lines.to_vec()));
        let events = [
            (1, lines(&[1, 2])),
            (2, lines(&[4])),
            (2, lines(&[1, 1])),
            (1, lines(&[2])),
            (3, lines(&[3])),
            (3, lines(&[])),
        ];
        for (offset, (order, event)) in events.iter().enumerate() {
            scene.send(&[(&order.to_string(), text(offset, *order, event).as_deref())]);
        }
        scene.run().await;
        assert_eq!(scene.rows("order_lines", &["order_id", "line", "label"]).await, ["1|2|3/0", "2|4|1/0"], "{kind:?}");
        assert_eq!(scene.rows("tidegate_dead_letters", &["record_offset", "class"]).await, ["2|unique"], "{kind:?}");
    }
}

/// What the database says of the table before anything is consumed.
#[tokio::test(flavor = "multi_thread")]
async fn the_table_is_checked_at_start() {
    use tidegate::pipeline::Queries;
    let without_index = "CREATE TABLE order_lines (order_id bigint, line bigint, label {text})";
    let with_index = [without_index, "CREATE INDEX by_order ON order_lines (order_id, line)"];
    let other_key = "CREATE TABLE order_lines (order_id bigint, line bigint NOT NULL PRIMARY KEY, label {text})";
    for kind in ALL {
        let checked = async |ddl: &[&str], more: &str| {
            let strict = |ddl: &&str| !ddl.starts_with("CREATE INDEX");
            let tables: Vec<&str> = ddl.iter().copied().filter(strict).chain([ORDERS]).collect();
            let scene = Scene::new(kind, &tables, &sections(more)).await;
            for index in ddl.iter().filter(|ddl| !strict(ddl)) {
                scene.database.execute(index).await;
            }
            let pipeline = scene.pipeline();
            let queries = Queries::plan(&pipeline).unwrap_or_else(|problems| panic!("{problems}"));
            let sink = pipeline.sink.database().expect("a database");
            let checked = tidegate::write::open(&pipeline, sink, queries.outputs()).check().await;
            checked.unwrap_or_else(|error| panic!("{kind:?}: {error}")).map(|prepared| prepared.warnings)
        };
        let warns = |warnings: &[String]| warnings.iter().any(|text| text.contains("no index begins with the columns"));
        assert!(warns(&checked(&[without_index], "").await.unwrap()), "{kind:?}");
        assert!(!warns(&checked(&with_index, "").await.unwrap()), "{kind:?}");
        let problems = checked(&[other_key], "mode = \"upsert\"").await.unwrap_err();
        let expected = "the key (line) does not hold the columns of `replace` (order_id)";
        assert!(problems.iter().any(|text| text.contains(expected)), "{kind:?}: {problems:?}");
        let problems = checked(&[other_key], "mode = \"insert-ignore\"").await.unwrap_err();
        let expected = "does not hold the columns of `replace` (order_id)";
        assert!(problems.iter().any(|text| text.contains(expected)), "{kind:?}: {problems:?}");
    }
}
