//! What each mode does to rows that are there, older, equal or missing.

use std::sync::Arc;

use arrow_array::{ArrayRef, BooleanArray, Int32Array, RecordBatch, RecordBatchOptions, TimestampMicrosecondArray};
use arrow_schema::Schema;
use tidegate::config::{Missing, Mode};
use tidegate::retry::Disposition;
use tidegate::write::plan::{DeletePlan, TablePlan};
use tidegate::write::session::Session;
use tidegate::write::step::{Action, Step};

use super::{apply, ints, on_both, plan, step, texts};

const ORDERS: &str = "CREATE TABLE t (k INT NOT NULL, part VARCHAR(20) NOT NULL, v INT DEFAULT 7, at INT, \
                      deleted DATETIME(6) NULL, PRIMARY KEY (k, part))";

fn put(keys: &[i32], parts: &[&str], values: &[i32]) -> Step {
    let keys: Vec<_> = keys.iter().copied().map(Some).collect();
    let parts: Vec<_> = parts.iter().copied().map(Some).collect();
    let values: Vec<_> = values.iter().copied().map(Some).collect();
    step(Action::Put, &[0, 1, 2], vec![ints(&keys), texts(&parts), ints(&values)])
}

#[tokio::test]
async fn append_adds_and_a_double_is_a_fault() {
    on_both(async |database| {
        database.run(ORDERS).await;
        let mut session = database.session().await;
        let plan = plan(&mut session, "t", Mode::Append, &[]).await;
        assert_eq!(apply(&mut session, &plan, &[put(&[1, 2], &["a", "a"], &[1, 2])]).await, [2]);
        session.begin().await.unwrap();
        let error = session.apply(&plan, &put(&[3, 1], &["a", "a"], &[3, 3])).await.unwrap_err();
        assert_eq!((error.disposition, error.class, &*error.code), (Disposition::Isolate, "unique", "1062"));
        assert!(error.message.contains("PRIMARY"), "{error}");
        session.rollback().await.unwrap();
        assert_eq!(database.rows("SELECT k, v FROM t ORDER BY k").await, ["1|1", "2|2"]);
    })
    .await;
}

#[tokio::test]
async fn insert_ignore_leaves_rows_that_are_there() {
    on_both(async |database| {
        database.run(ORDERS).await;
        let mut session = database.session().await;
        let plan = plan(&mut session, "t", Mode::InsertIgnore, &["k", "part"]).await;
        apply(&mut session, &plan, &[put(&[1], &["a"], &[1])]).await;
        apply(&mut session, &plan, &[put(&[1, 2, 2], &["a", "a", "a"], &[9, 2, 9])]).await;
        assert_eq!(database.rows("SELECT k, v FROM t ORDER BY k").await, ["1|1", "2|2"]);
        // INSERT IGNORE would store this as 0 or as a cut text, and go on.
        session.begin().await.unwrap();
        let error = session.apply(&plan, &put(&[3], &["a text of more than twenty letters"], &[3])).await.unwrap_err();
        assert_eq!((error.class, error.column.as_deref(), error.suspect), ("too-long", Some("part"), Some(100)));
    })
    .await;
}

/// Where no field of a row is there, the database fills it.
#[tokio::test]
async fn a_row_of_no_columns_is_all_defaults() {
    on_both(async |database| {
        database.run("CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, v INT DEFAULT 7)").await;
        let mut session = database.session().await;
        let options = RecordBatchOptions::new().with_row_count(Some(3));
        let batch = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), Vec::new(), &options).unwrap();
        let put = Step { action: Action::Put, columns: Vec::new(), batch, origins: vec![0, 1, 2] };
        for (mode, rows) in [(Mode::Append, 3), (Mode::InsertIgnore, 6)] {
            let plan = plan(&mut session, "t", mode, &[]).await;
            assert_eq!(apply(&mut session, &plan, std::slice::from_ref(&put)).await, [3]);
            assert_eq!(database.rows("SELECT COUNT(*), MIN(v) FROM t").await, [format!("{rows}|7")]);
        }
    })
    .await;
}

#[tokio::test]
async fn upsert_replaces_and_reports_every_row_once() {
    on_both(async |database| {
        database.run(ORDERS).await;
        let mut session = database.session().await;
        let plan = plan(&mut session, "t", Mode::Upsert, &["k", "part"]).await;
        assert_eq!(apply(&mut session, &plan, &[put(&[1, 2], &["a", "b"], &[1, 2])]).await, [2]);
        // One row changes, one stays as it is, one is new: 2 + 1 + 1 by the server's count.
        assert_eq!(apply(&mut session, &plan, &[put(&[1, 2, 3], &["a", "b", "c"], &[5, 2, 3])]).await, [3]);
        assert_eq!(database.rows("SELECT k, part, v FROM t ORDER BY k").await, ["1|a|5", "2|b|2", "3|c|3"]);
        // All columns are the key.
        let keys_only = step(Action::Put, &[0, 1], vec![ints(&[Some(1), Some(9)]), texts(&[Some("a"), Some("z")])]);
        let keep = TablePlan { missing: Missing::Keep, ..plan };
        assert_eq!(apply(&mut session, &keep, &[keys_only]).await, [2]);
        assert_eq!(database.rows("SELECT k, v FROM t ORDER BY k").await, ["1|5", "2|2", "3|3", "9|7"]);
    })
    .await;
}

#[tokio::test]
async fn a_version_decides_between_two_rows() {
    on_both(async |database| {
        for mode in [Mode::Upsert, Mode::Update] {
            database.run("DROP TABLE IF EXISTS t").await;
            database.run(ORDERS).await;
            database.run("INSERT INTO t (k, part, v, at) VALUES (1,'a',1,10), (2,'a',1,10), (3,'a',1,10), (4,'a',1,NULL), (5,'a',1,10)").await;
            let mut session = database.session().await;
            let plan = plan(&mut session, "t", mode, &["k", "part"]).await;
            let plan = TablePlan { version: Some(3), ..plan };
            let keys = ints(&[Some(1), Some(2), Some(3), Some(4), Some(5)]);
            let parts = texts(&[Some("a"); 5]);
            let values = ints(&[Some(2); 5]);
            // Older, equal, newer; nothing stored; nothing sent.
            let versions = ints(&[Some(9), Some(10), Some(11), Some(1), None]);
            let changed =
                apply(&mut session, &plan, &[step(Action::Put, &[0, 1, 2, 3], vec![keys, parts, values, versions])]).await;
            let shown = database.rows("SELECT k, v, at FROM t ORDER BY k").await;
            assert_eq!(shown, ["1|1|10", "2|2|10", "3|2|11", "4|2|1", "5|1|10"], "{} {mode:?}", database.server);
            if mode == Mode::Update {
                assert_eq!(changed, [3], "{}: an update tells which rows were stale", database.server);
            }
        }
    })
    .await;
}

#[tokio::test]
async fn missing_columns_keep_their_value_or_go_back_to_the_default() {
    on_both(async |database| {
        for (mode, missing, expected) in [
            (Mode::Upsert, Missing::Keep, "1|5|8"),
            (Mode::Upsert, Missing::Default, "1|7|8"),
            (Mode::Update, Missing::Keep, "1|5|8"),
            (Mode::Update, Missing::Default, "1|7|8"),
        ] {
            database.run("DROP TABLE IF EXISTS t").await;
            database.run(ORDERS).await;
            database.run("INSERT INTO t (k, part, v, at) VALUES (1, 'a', 5, 6)").await;
            let mut session = database.session().await;
            let plan = plan(&mut session, "t", mode, &["k", "part"]).await;
            let plan = TablePlan { missing, ..plan };
            let step = step(Action::Put, &[0, 1, 3], vec![ints(&[Some(1)]), texts(&[Some("a")]), ints(&[Some(8)])]);
            apply(&mut session, &plan, &[step]).await;
            assert_eq!(database.rows("SELECT k, v, at FROM t").await, [expected], "{mode:?} {missing:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn update_touches_only_rows_that_are_there() {
    on_both(async |database| {
        database.run(ORDERS).await;
        database.run("INSERT INTO t (k, part, v) VALUES (1,'a',1), (2,'a',2), (3,'a',3)").await;
        let mut session = database.session().await;
        let plan = plan(&mut session, "t", Mode::Update, &["k", "part"]).await;
        // Changed, the same as before, missing.
        let changed = apply(&mut session, &plan, &[put(&[1, 2, 8], &["a", "a", "a"], &[9, 2, 9])]).await;
        assert_eq!(changed, [2], "{}", database.server);
        assert_eq!(database.rows("SELECT k, v FROM t ORDER BY k").await, ["1|9", "2|2", "3|3"]);
    })
    .await;
}

#[tokio::test]
async fn deletes_remove_or_mark_and_an_upsert_clears_the_mark() {
    on_both(async |database| {
        database.run(ORDERS).await;
        let mut session = database.session().await;
        let hard = plan(&mut session, "t", Mode::Upsert, &["k", "part"]).await;
        let mark = hard.table.columns.iter().find(|column| column.name == "deleted").unwrap().clone();
        let hard = TablePlan { deletes: DeletePlan::Hard, ..hard };
        let soft = TablePlan { deletes: DeletePlan::Soft(mark), ..hard.clone() };
        apply(&mut session, &hard, &[put(&[1, 2, 3], &["a", "a", "a"], &[1, 2, 3])]).await;

        let keys = |keys: &[i32]| -> Vec<ArrayRef> {
            vec![Arc::new(Int32Array::from(keys.to_vec())), texts(&vec![Some("a"); keys.len()])]
        };
        assert_eq!(apply(&mut session, &hard, &[step(Action::Delete, &[0, 1], keys(&[1, 8]))]).await, [1]);
        let mut marked = keys(&[2, 3, 9]);
        marked.push(Arc::new(TimestampMicrosecondArray::from(vec![1, 2_000_001, 3])));
        assert_eq!(apply(&mut session, &soft, &[step(Action::SoftDelete, &[0, 1], marked)]).await, [2]);
        let shown = "SELECT k, v, CAST(deleted AS CHAR) FROM t ORDER BY k";
        let marked = ["2|2|1970-01-01 00:00:00.000001", "3|3|1970-01-01 00:00:02.000001"];
        assert_eq!(database.rows(shown).await, marked, "{}", database.server);

        apply(&mut session, &soft, &[put(&[2], &["a"], &[5])]).await;
        let update = TablePlan { mode: Mode::Update, ..soft };
        apply(&mut session, &update, &[put(&[3], &["a"], &[6])]).await;
        assert_eq!(database.rows(shown).await, ["2|5|null", "3|6|null"], "{}", database.server);
    })
    .await;
}

#[tokio::test]
async fn a_boolean_marks_too() {
    on_both(async |database| {
        database.run("CREATE TABLE t (k INT PRIMARY KEY, v INT, deleted BOOLEAN NOT NULL DEFAULT FALSE)").await;
        let mut session = database.session().await;
        let plan = plan(&mut session, "t", Mode::Upsert, &["k"]).await;
        let mark = plan.table.columns[2].clone();
        let plan = TablePlan { deletes: DeletePlan::Soft(mark), ..plan };
        let put = || step(Action::Put, &[0, 1], vec![ints(&[Some(1)]), ints(&[Some(1)])]);
        let mark = step(Action::SoftDelete, &[0], vec![ints(&[Some(1)]), Arc::new(BooleanArray::from(vec![true]))]);
        apply(&mut session, &plan, &[put(), mark]).await;
        assert_eq!(database.rows("SELECT k, deleted FROM t").await, ["1|1"]);
        apply(&mut session, &plan, &[put()]).await;
        assert_eq!(database.rows("SELECT k, deleted FROM t").await, ["1|0"]);
    })
    .await;
}

/// The reduction tells `a` and `A` apart, the table's collation may not: the later row has to win all the same.
#[tokio::test]
async fn keys_that_a_collation_takes_for_equal_are_applied_in_order() {
    on_both(async |database| {
        for mode in [Mode::Upsert, Mode::Update] {
            database.run("DROP TABLE IF EXISTS t").await;
            database
                .run("CREATE TABLE t (n INT, k VARCHAR(20) COLLATE utf8mb4_general_ci, v INT, PRIMARY KEY (n, k))")
                .await;
            database.run("INSERT INTO t VALUES (1, 'a', 0), (1, 'b', 0), (2, 'a', 0), (1, 'straße', 0)").await;
            let mut session = database.session().await;
            let plan = plan(&mut session, "t", mode, &["n", "k"]).await;
            let numbers = ints(&[Some(1), Some(1), Some(2), Some(1), Some(1), Some(1)]);
            let keys = texts(&[Some("A"), Some("b"), Some("a"), Some("ä"), Some("STRASE"), Some("straße")]);
            let values = ints(&[Some(1), Some(2), Some(3), Some(4), Some(5), Some(6)]);
            let put = step(Action::Put, &[0, 1, 2], vec![numbers, keys, values]);
            assert_eq!(apply(&mut session, &plan, &[put]).await, [6], "{} {mode:?}", database.server);
            let shown = database.rows("SELECT n, k, v FROM t ORDER BY n, k, v").await;
            assert_eq!(shown, ["1|a|4", "1|b|2", "1|straße|6", "2|a|3"], "{} {mode:?}", database.server);
            let twice = step(Action::Delete, &[0, 1], vec![ints(&[Some(1), Some(1)]), texts(&[Some("a"), Some("A")])]);
            let hard = TablePlan { deletes: DeletePlan::Hard, ..plan };
            assert_eq!(apply(&mut session, &hard, &[twice]).await, [1], "{} {mode:?}", database.server);
        }
    })
    .await;
}

/// A row that breaks a rule is told with its record, its column and no value.
#[tokio::test]
async fn faults_name_the_record_and_the_column_and_no_value() {
    on_both(async |database| {
        database.run("CREATE TABLE parent (id INT PRIMARY KEY)").await;
        database
            .run(
                "CREATE TABLE t (k INT PRIMARY KEY, s VARCHAR(5) NOT NULL, e ENUM('x','y'), small TINYINT, j JSON, \
                 parent INT, CONSTRAINT t_parent FOREIGN KEY (parent) REFERENCES parent (id), CHECK (k <> 13))",
            )
            .await;
        let mut session = database.session().await;
        let plan = plan(&mut session, "t", Mode::Upsert, &["k"]).await;
        let plan = TablePlan { missing: Missing::Keep, ..plan };
        let s = || texts(&[Some("a"), Some("b"), Some("c")]);
        let keys = || ints(&[Some(1), Some(2), Some(3)]);
        let bad = |value: &'static str| texts(&[None, None, Some(value)]);
        let cases = [
            (vec![0, 1], vec![keys(), texts(&[Some("a"), None, Some("c")])], "not-null", Some("s"), false),
            (vec![0, 1], vec![keys(), texts(&[Some("a"), Some("b"), Some("secret!")])], "too-long", Some("s"), true),
            (vec![0, 1, 2], vec![keys(), s(), bad("secret!")], "wrong-type", Some("e"), true),
            (vec![0, 1, 3], vec![keys(), s(), ints(&[None, None, Some(128)])], "out-of-range", Some("small"), true),
            (vec![0, 1, 5], vec![keys(), s(), ints(&[None, None, Some(5)])], "foreign-key", None, false),
            (vec![0, 1], vec![ints(&[Some(1), Some(2), Some(13)]), s()], "check", None, false),
            (vec![0], vec![keys()], "not-null", Some("s"), false),
        ];
        for (columns, arrays, class, column, row_known) in cases {
            session.begin().await.unwrap();
            let error = session.apply(&plan, &step(Action::Put, &columns, arrays)).await.unwrap_err();
            assert_eq!((error.disposition, error.class), (Disposition::Isolate, class), "{}: {error}", database.server);
            assert_eq!(error.column.as_deref(), column, "{}: {error}", database.server);
            assert!(!error.to_string().contains("secret"), "{error}");
            if row_known {
                assert_eq!(error.suspect, Some(102), "{}: {error}", database.server);
            }
            assert!(error.connection_usable);
            session.rollback().await.unwrap();
        }
        session.begin().await.unwrap();
        let broken = step(Action::Put, &[0, 1, 4], vec![keys(), s(), bad("{secret")]);
        let error = session.apply(&plan, &broken).await.unwrap_err();
        // MariaDB's JSON is a text with a check constraint.
        assert_eq!(error.class, if database.is_mariadb { "check" } else { "invalid-json" });
        assert!(!error.to_string().contains("secret"), "{error}");
        session.rollback().await.unwrap();
        assert_eq!(database.count("t").await, 0);
    })
    .await;
}

/// A scan of the table would wait for rows that somebody else has locked.
#[tokio::test]
async fn no_statement_waits_for_rows_that_it_is_not_about() {
    on_both(async |database| {
        database.run(ORDERS).await;
        let mut session = database.session().await;
        let upsert = plan(&mut session, "t", Mode::Upsert, &["k", "part"]).await;
        let mark = upsert.table.columns.iter().find(|column| column.name == "deleted").unwrap().clone();
        let soft = TablePlan { deletes: DeletePlan::Soft(mark), ..upsert.clone() };
        let hard = TablePlan { deletes: DeletePlan::Hard, ..upsert.clone() };
        let update = TablePlan { mode: Mode::Update, ..upsert.clone() };
        apply(&mut session, &upsert, &[put(&[1, 2, 3, 4], &["a", "a", "a", "a"], &[1, 2, 3, 4])]).await;

        let mut other = database.session().await;
        other.begin().await.unwrap();
        other.apply(&update, &put(&[1, 4], &["a", "a"], &[9, 9])).await.unwrap();
        let key = || vec![ints(&[Some(2)]), texts(&[Some("a")])];
        let marked = [key(), vec![Arc::new(TimestampMicrosecondArray::from(vec![1])) as ArrayRef]].concat();
        // Each would end with a lock timeout otherwise.
        assert_eq!(apply(&mut session, &upsert, &[put(&[3], &["a"], &[5])]).await, [1]);
        assert_eq!(apply(&mut session, &update, &[put(&[2], &["a"], &[5])]).await, [1]);
        assert_eq!(apply(&mut session, &soft, &[step(Action::SoftDelete, &[0, 1], marked)]).await, [1]);
        assert_eq!(apply(&mut session, &hard, &[step(Action::Delete, &[0, 1], key())]).await, [1]);
        other.commit().await.unwrap();
        assert_eq!(database.rows("SELECT k, v FROM t ORDER BY k").await, ["1|9", "3|5", "4|9"]);
    })
    .await;
}
