//! What each mode does to rows, and how it counts them.

use arrow_array::{BooleanArray, Int64Array, StringArray};
use tidegate::config::{Missing, Mode};
use tidegate::write::plan::DeletePlan;
use tidegate::write::session::Session;
use tidegate::write::step::Action;

use super::{Db, array, assert_isolated, plan, step, write};

fn ids(values: &[i64]) -> arrow_array::ArrayRef {
    array(Int64Array::from(values.to_vec()))
}

fn texts(values: &[&str]) -> arrow_array::ArrayRef {
    array(StringArray::from(values.to_vec()))
}

#[tokio::test]
async fn append_takes_any_number_of_rows() {
    let db = Db::new("CREATE TABLE t (id INTEGER, name TEXT)").await;
    let mut session = db.session().await;
    let plan = plan(&mut session, "t", Mode::Append).await;
    // 3 x 100, 4 x 10 and 7 single ones.
    let rows = step(Action::Put, &[0], vec![array(Int64Array::from_iter_values(0..347))]);
    assert_eq!(write(&mut session, &plan, &rows).await, Ok(347));
    assert_eq!(write(&mut session, &plan, &rows).await, Ok(347));
    assert_eq!(
        db.read("SELECT count(*) || ',' || count(DISTINCT id) || ',' || sum(id) FROM t").await,
        ["694,347,120062"]
    );
}

#[tokio::test]
async fn insert_ignore_leaves_what_is_there() {
    let db = Db::new("CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT UNIQUE); INSERT INTO t VALUES (1, 'a')").await;
    let mut session = db.session().await;
    let plan = plan(&mut session, "t", Mode::InsertIgnore).await;
    let rows = step(Action::Put, &[0, 1], vec![ids(&[1, 2, 3]), texts(&["x", "a", "c"])]);
    assert_eq!(write(&mut session, &plan, &rows).await, Ok(1));
    assert_eq!(db.read("SELECT id || name FROM t ORDER BY id").await, ["1a", "3c"]);
}

#[tokio::test]
async fn upsert_replaces_by_key() {
    let db = Db::new("CREATE TABLE t (a TEXT, b INTEGER, c TEXT, PRIMARY KEY (b, a)) STRICT, WITHOUT ROWID").await;
    let mut session = db.session().await;
    let plan = plan(&mut session, "t", Mode::Upsert).await;
    assert_eq!(plan.key, [1, 0], "in the order of the index");
    let put = |c: [&str; 2]| step(Action::Put, &[0, 1, 2], vec![texts(&["x", "y"]), ids(&[1, 1]), texts(&c)]);
    assert_eq!(write(&mut session, &plan, &put(["1", "2"])).await, Ok(2));
    assert_eq!(write(&mut session, &plan, &put(["3", "4"])).await, Ok(2));
    assert_eq!(db.read("SELECT a || c FROM t ORDER BY a").await, ["x3", "y4"]);
}

#[tokio::test]
async fn a_version_decides_who_is_newer() {
    for (mode, inserted) in [(Mode::Upsert, 1), (Mode::Update, 0)] {
        let db = Db::new(
            "CREATE TABLE t (id INTEGER PRIMARY KEY, v INTEGER, name TEXT) STRICT;
             INSERT INTO t VALUES (1, 5, 'old'), (2, 5, 'old'), (3, NULL, 'old'), (4, 5, 'old'), (5, NULL, 'old')",
        )
        .await;
        let mut session = db.session().await;
        let mut plan = plan(&mut session, "t", mode).await;
        plan.version = Some(1);
        let versions = array(Int64Array::from(vec![Some(5), Some(4), Some(1), None, None, Some(1)]));
        let rows = step(
            Action::Put,
            &[0, 1, 2],
            vec![ids(&[1, 2, 3, 4, 5, 6]), versions, texts(&["new", "new", "new", "new", "new", "new"])],
        );
        assert_eq!(write(&mut session, &plan, &rows).await, Ok(3 + inserted), "{mode:?}");
        let names = db.read("SELECT name FROM t WHERE id < 6 ORDER BY id").await;
        assert_eq!(names, ["new", "old", "new", "old", "new"], "{mode:?}");
    }
}

#[tokio::test]
async fn a_table_that_is_all_key_counts_every_upsert() {
    let db = Db::new("CREATE TABLE t (id INTEGER PRIMARY KEY); INSERT INTO t VALUES (1)").await;
    let mut session = db.session().await;
    let plan = plan(&mut session, "t", Mode::Upsert).await;
    assert_eq!(write(&mut session, &plan, &step(Action::Put, &[0], vec![ids(&[1, 2])])).await, Ok(2));
    assert_eq!(db.read("SELECT group_concat(id) FROM t").await, ["1,2"]);
}

#[tokio::test]
async fn update_and_deletes_count_only_rows_that_are_there() {
    let db = Db::new(
        "CREATE TABLE t (a INTEGER, b TEXT, c TEXT, PRIMARY KEY (a, b));
         INSERT INTO t VALUES (1, 'x', 'old'), (2, 'x', 'old'), (3, 'x', 'old'), (4, 'x', 'old')",
    )
    .await;
    let mut session = db.session().await;
    let mut plan = plan(&mut session, "t", Mode::Update).await;
    let rows = step(Action::Put, &[0, 1, 2], vec![ids(&[1, 9]), texts(&["x", "x"]), texts(&["new", "new"])]);
    assert_eq!(write(&mut session, &plan, &rows).await, Ok(1));
    let keys = step(Action::Delete, &[0, 1], vec![ids(&[2, 3, 3]), texts(&["x", "x", "y"])]);
    assert_eq!(write(&mut session, &plan, &keys).await, Ok(2));
    assert_eq!(db.read("SELECT a || b || c FROM t ORDER BY a").await, ["1xnew", "4xold"]);

    plan.key = vec![0];
    assert_eq!(write(&mut session, &plan, &step(Action::Delete, &[0], vec![ids(&[4, 5])])).await, Ok(1));
    assert_eq!(db.read("SELECT group_concat(a) FROM t").await, ["1"]);
}

#[tokio::test]
async fn an_absent_column_takes_its_default_or_keeps_its_value() {
    for mode in [Mode::Upsert, Mode::Update] {
        let db = Db::new(
            "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, city TEXT NOT NULL DEFAULT ('?' || '!'), z TEXT);
             INSERT INTO t VALUES (1, 'old', 'Rome', 'z')",
        )
        .await;
        let mut session = db.session().await;
        let mut plan = plan(&mut session, "t", mode).await;
        let rows = step(Action::Put, &[0, 1], vec![ids(&[1]), texts(&["new"])]);
        for (missing, expected) in [(Missing::Keep, "new,Rome,z"), (Missing::Default, "new,?!,null")] {
            plan.missing = missing;
            assert_eq!(write(&mut session, &plan, &rows).await, Ok(1));
            let row = db.read("SELECT name || ',' || city || ',' || coalesce(z, 'null') FROM t").await;
            assert_eq!(row, [expected], "{mode:?}");
        }
    }
}

#[tokio::test]
async fn a_soft_delete_marks_and_the_next_row_clears_the_mark() {
    let db = Db::new("CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, gone BOOLEAN NOT NULL)").await;
    let mut session = db.session().await;
    let mut plan = plan(&mut session, "t", Mode::Upsert).await;
    plan.deletes = DeletePlan::Soft(plan.columns.remove(2).column);
    let put = step(Action::Put, &[0, 1], vec![ids(&[1, 2]), texts(&["a", "b"])]);
    assert_eq!(write(&mut session, &plan, &put).await, Ok(2));
    let delete = step(Action::SoftDelete, &[0], vec![ids(&[1, 7]), array(BooleanArray::from(vec![true, true]))]);
    assert_eq!(write(&mut session, &plan, &delete).await, Ok(1));
    assert_eq!(db.read("SELECT name || gone FROM t ORDER BY id").await, ["a1", "b0"]);
    assert_eq!(write(&mut session, &plan, &put).await, Ok(2));
    assert_eq!(db.read("SELECT name || gone FROM t ORDER BY id").await, ["a0", "b0"]);
}

#[tokio::test]
async fn a_null_key_is_a_row_error() {
    let db = Db::new("CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT)").await;
    let mut session = db.session().await;
    let plan = plan(&mut session, "t", Mode::Upsert).await;
    let keys = array(Int64Array::from(vec![Some(1), None]));
    let error = write(&mut session, &plan, &step(Action::Put, &[0, 1], vec![keys, texts(&["a", "b"])])).await;
    assert_isolated(&error.unwrap_err(), "null-key", Some("id"), Some(102));
    assert_eq!(db.read("SELECT count(*) || '' FROM t").await, ["0"], "SQLite would have made up an id");
}

#[tokio::test]
async fn names_are_only_names() {
    let db = Db::new(
        r#"CREATE TABLE "we""ird; DROP TABLE t --" ("select" INTEGER PRIMARY KEY, "a.b" TEXT, "c""d" TEXT, "?1 ü" TEXT);
           CREATE TABLE t (id INTEGER)"#,
    )
    .await;
    let mut session = db.session().await;
    for mode in [Mode::Upsert, Mode::Update] {
        let plan = plan(&mut session, "we\"ird; DROP TABLE t --", mode).await;
        let value = if mode == Mode::Upsert { "'); DROP TABLE t; --" } else { "b" };
        let rows = step(Action::Put, &[0, 1, 2, 3], vec![ids(&[1]), texts(&[value]), texts(&["c"]), texts(&["d"])]);
        assert_eq!(write(&mut session, &plan, &rows).await, Ok(1));
        assert_eq!(db.read(r#"SELECT "a.b" FROM "we""ird; DROP TABLE t --""#).await, [value]);
    }
    let plan = plan(&mut session, "we\"ird; DROP TABLE t --", Mode::Upsert).await;
    assert!(session.inspect_table(&plan).await.unwrap().is_empty());
    assert_eq!(write(&mut session, &plan, &step(Action::Delete, &[0], vec![ids(&[1])])).await, Ok(1));
    assert_eq!(db.read("SELECT count(*) || '' FROM t").await, ["0"], "the other table is still there");
}
