//! What each mode does to the stored rows, and what it counts.

use super::*;

use arrow_array::{BooleanArray, Int32Array, Int64Array, StringArray, TimestampMicrosecondArray};

fn ids(ids: impl IntoIterator<Item = i64>) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(ids))
}

fn texts<const N: usize>(values: [&str; N]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

fn numbers<const N: usize>(values: [Option<i32>; N]) -> ArrayRef {
    Arc::new(Int32Array::from(values.to_vec()))
}

async fn table(columns: &str, mode: Mode) -> (Fixture, PostgresSession, TablePlan) {
    let mut fixture = Fixture::new().await;
    fixture.run(format!("CREATE TABLE t ({columns})")).await;
    let mut session = fixture.session().await;
    let plan = plan(&mut session, "t", mode).await;
    (fixture, session, plan)
}

#[tokio::test]
async fn an_upsert_inserts_and_replaces() {
    let (mut fixture, mut session, plan) = table("id bigint PRIMARY KEY, a text, b text", Mode::Upsert).await;
    assert_eq!(
        apply(&mut session, &plan, &put(&[0, 1, 2], vec![ids([1, 2]), texts(["a", "b"]), texts(["x", "y"])])).await,
        2
    );
    assert_eq!(
        apply(&mut session, &plan, &put(&[0, 1, 2], vec![ids([2, 3]), texts(["c", "d"]), texts(["z", "w"])])).await,
        2
    );
    assert_eq!(fixture.rows("id, a, b", "t").await, ["1|a|x", "2|c|z", "3|d|w"]);
}

#[tokio::test]
async fn an_absent_column_is_kept_or_takes_its_default() {
    let (mut fixture, mut session, mut plan) =
        table("id bigint PRIMARY KEY, a text, b text NOT NULL DEFAULT 'default'", Mode::Upsert).await;
    fixture.run("INSERT INTO t VALUES (1, 'old', 'old'), (2, 'old', 'old'), (3, 'old', 'old')").await;
    plan.missing = Missing::Keep;
    assert_eq!(apply(&mut session, &plan, &put(&[0, 1], vec![ids([1, 4]), texts(["new", "new"])])).await, 2);
    plan.missing = Missing::Default;
    apply(&mut session, &plan, &put(&[0, 2], vec![ids([2]), texts(["new"])])).await;
    plan.missing = Missing::Null;
    apply(&mut session, &plan, &put(&[0, 1], vec![ids([3]), texts(["new"])])).await;
    let stored = fixture.rows("id, coalesce(a, 'null'), b", "t").await;
    assert_eq!(stored, ["1|new|old", "2|null|new", "3|new|default", "4|new|default"]);
}

#[tokio::test]
async fn an_older_version_replaces_nothing() {
    let (mut fixture, mut session, mut plan) = table("id bigint PRIMARY KEY, v int, a text", Mode::Upsert).await;
    plan.version = Some(1);
    fixture.run("INSERT INTO t VALUES (1, 5, 'old'), (2, 5, 'old'), (3, 5, 'old'), (4, 5, 'old'), (5, NULL, 'old'), (6, NULL, 'old')").await;
    let versions = numbers([Some(4), Some(5), Some(6), None, Some(1), None, None]);
    let step = put(&[0, 1, 2], vec![ids(1..=7), versions, texts(["new"; 7])]);
    assert_eq!(apply(&mut session, &plan, &step).await, 5);
    let expected = ["1|5|old", "2|5|new", "3|6|new", "4|5|old", "5|1|new", "6||new", "7||new"];
    assert_eq!(fixture.rows("id, coalesce(v::text, ''), a", "t").await, expected);

    plan.mode = Mode::Update;
    let step =
        put(&[0, 1, 2], vec![ids([1, 2, 6, 9]), numbers([Some(4), Some(5), None, Some(9)]), texts(["newer"; 4])]);
    assert_eq!(apply(&mut session, &plan, &step).await, 2);
    assert_eq!(fixture.rows("id", "t WHERE a = 'newer'").await, ["2", "6"]);
    // Rows without the version count as rows with a null one.
    assert_eq!(apply(&mut session, &plan, &put(&[0, 2], vec![ids([2, 6]), texts(["last"; 2])])).await, 1);
    assert_eq!(fixture.rows("id", "t WHERE a = 'last'").await, ["6"]);
}

#[tokio::test]
async fn an_update_touches_only_what_is_there() {
    let (mut fixture, mut session, plan) = table("id bigint PRIMARY KEY, a text", Mode::Update).await;
    fixture.run("INSERT INTO t VALUES (1, 'old')").await;
    assert_eq!(apply(&mut session, &plan, &put(&[0, 1], vec![ids([1, 2]), texts(["new", "new"])])).await, 1);
    assert_eq!(fixture.rows("id, a", "t").await, ["1|new"]);
}

#[tokio::test]
async fn insert_ignore_counts_what_was_not_there() {
    let (mut fixture, mut session, mut plan) = table("id bigint PRIMARY KEY, a text UNIQUE", Mode::InsertIgnore).await;
    fixture.run("INSERT INTO t VALUES (1, 'old')").await;
    assert_eq!(apply(&mut session, &plan, &put(&[0, 1], vec![ids([1, 2]), texts(["new", "b"])])).await, 1);
    // Only a conflict of the key is ignored; without a key, any.
    let clash = put(&[0, 1], vec![ids([3]), texts(["b"])]);
    session.begin().await.unwrap();
    assert_eq!(session.apply(&plan, &clash).await.unwrap_err().class, "unique");
    session.rollback().await.unwrap();
    plan.key.clear();
    assert_eq!(apply(&mut session, &plan, &clash).await, 0);
    assert_eq!(fixture.rows("id, a", "t").await, ["1|old", "2|b"]);
}

#[tokio::test]
async fn deletes_remove_or_mark_and_an_upsert_takes_the_mark_back() {
    let columns = "tenant text, id bigint, a text, gone timestamptz, hidden boolean NOT NULL, PRIMARY KEY (id, tenant)";
    let (mut fixture, mut session, mut plan) = table(columns, Mode::Upsert).await;
    let (gone, hidden) = (plan.columns[3].column.clone(), plan.columns[4].column.clone());
    plan.columns.truncate(3);
    plan.deletes = DeletePlan::Soft(hidden);
    let rows = put(&[0, 1, 2], vec![texts(["x"; 3]), ids(1..=3), texts(["a"; 3])]);
    assert_eq!(apply(&mut session, &plan, &rows).await, 3);
    assert_eq!(fixture.rows("id", "t WHERE NOT hidden").await, ["1", "2", "3"]);
    let hide: Vec<ArrayRef> = vec![texts(["x", "y"]), ids([1, 2]), Arc::new(BooleanArray::from(vec![true, true]))];
    assert_eq!(apply(&mut session, &plan, &step(Action::SoftDelete, &[0, 1], hide)).await, 1);
    assert_eq!(fixture.rows("id", "t WHERE hidden").await, ["1"]);
    assert_eq!(apply(&mut session, &plan, &rows).await, 3);
    assert_eq!(fixture.rows("id", "t WHERE hidden").await, [""; 0]);

    fixture.run("ALTER TABLE t ALTER hidden SET DEFAULT false").await;
    plan.deletes = DeletePlan::Soft(gone);
    let time = Arc::new(TimestampMicrosecondArray::from(vec![1_000_000]).with_timezone("UTC"));
    assert_eq!(
        apply(&mut session, &plan, &step(Action::SoftDelete, &[0, 1], vec![texts(["x"]), ids([2]), time])).await,
        1
    );
    assert_eq!(fixture.rows("id, gone", "t WHERE gone IS NOT NULL").await, ["2|1970-01-01 00:00:01+00"]);
    assert_eq!(apply(&mut session, &plan, &put(&[0, 1], vec![texts(["x"]), ids([2])])).await, 1);
    assert_eq!(fixture.rows("id", "t WHERE gone IS NULL").await, ["1", "2", "3"]);

    plan.deletes = DeletePlan::Hard;
    assert_eq!(
        apply(&mut session, &plan, &step(Action::Delete, &[0, 1], vec![texts(["x", "y"]), ids([2, 3])])).await,
        1
    );
    assert_eq!(fixture.rows("id", "t").await, ["1", "3"]);
}

#[tokio::test]
async fn a_table_that_is_all_key_counts_each_row_once() {
    let (mut fixture, mut session, mut plan) = table("id bigint PRIMARY KEY", Mode::Upsert).await;
    for mode in [Mode::Upsert, Mode::Upsert, Mode::Update] {
        plan.mode = mode;
        assert_eq!(apply(&mut session, &plan, &put(&[0], vec![ids([1, 2])])).await, 2);
    }
    assert_eq!(fixture.rows("id", "t").await, ["1", "2"]);
}

#[tokio::test]
async fn keys_of_all_kinds_of_text_are_found() {
    let mut fixture = Fixture::new().await;
    fixture.run("CREATE TYPE state AS ENUM ('a', 'b')").await;
    let mut session = fixture.session().await;
    for (index, ty) in ["text", "varchar(5)", "char(5)", "name", "state"].into_iter().enumerate() {
        fixture.run(format!("CREATE TABLE t{index} (k {ty} PRIMARY KEY, a int)")).await;
        let mut plan = plan(&mut session, &format!("t{index}"), Mode::Upsert).await;
        let rows = put(&[0, 1], vec![texts(["a", "b"]), numbers([Some(1), Some(2)])]);
        assert_eq!(apply(&mut session, &plan, &rows).await, 2, "{ty}");
        plan.mode = Mode::Update;
        assert_eq!(apply(&mut session, &plan, &rows).await, 2, "{ty}");
        plan.deletes = DeletePlan::Hard;
        assert_eq!(apply(&mut session, &plan, &step(Action::Delete, &[0], vec![texts(["b"])])).await, 1, "{ty}");
    }
}

#[tokio::test]
async fn a_large_step_is_cut_into_statements_and_pieces() {
    const ROWS: i64 = 25_000;
    // More than 8 MiB in all, so that both limits of a statement and several pieces of a COPY occur.
    let filler = StringArray::from_iter_values((0..ROWS).map(|row| "x".repeat(if row < 3000 { 4000 } else { 10 })));
    let filler: ArrayRef = Arc::new(filler);
    for mode in [Mode::Append, Mode::Upsert] {
        let (mut fixture, mut session, plan) = table("id bigint PRIMARY KEY, a text", mode).await;
        let rows = put(&[0, 1], vec![ids(0..ROWS), filler.clone()]);
        assert_eq!(apply(&mut session, &plan, &rows).await, ROWS as u64, "{mode:?}");
        assert_eq!(
            fixture.number("SELECT count(*) FROM t WHERE length(a) = CASE WHEN id < 3000 THEN 4000 ELSE 10 END").await,
            ROWS
        );
    }
}

#[tokio::test]
async fn an_empty_step_changes_nothing() {
    let (_fixture, mut session, plan) = table("id bigint PRIMARY KEY", Mode::Append).await;
    assert_eq!(apply(&mut session, &plan, &put(&[0], vec![ids([])])).await, 0);
}

#[tokio::test]
async fn where_no_copy_is_allowed_rows_are_inserted() {
    let mut fixture = Fixture::new().await;
    let (role, sink) = fixture.role().await;
    fixture
        .run(format!(
            "CREATE TABLE t (id bigint PRIMARY KEY, a text); CREATE VIEW v AS SELECT * FROM t WHERE id < 100;
             GRANT SELECT, INSERT ON t TO {role}; ALTER TABLE t ENABLE ROW LEVEL SECURITY;
             CREATE POLICY p ON t TO {role} USING (true) WITH CHECK (id < 10)"
        ))
        .await;
    let mut session = fixture.session().await;
    let view = plan(&mut session, "v", Mode::Append).await;
    assert_eq!(apply(&mut session, &view, &put(&[0, 1], vec![ids([1]), texts(["a"])])).await, 1);

    let mut session = PostgresSession::connect(&sink, "test").await.unwrap();
    let secured = plan(&mut session, "t", Mode::Append).await;
    assert_eq!(apply(&mut session, &secured, &put(&[0, 1], vec![ids([2]), texts(["a"])])).await, 1);
    session.begin().await.unwrap();
    let error = session.apply(&secured, &put(&[0, 1], vec![ids([20]), texts(["a"])])).await.unwrap_err();
    assert_eq!(error.class, "no-privilege");
    session.close().await;
    assert_eq!(fixture.rows("id", "t").await, ["1", "2"]);
}

#[tokio::test]
async fn hostile_names_are_names() {
    let mut fixture = Fixture::new().await;
    let (name, key, value) = ("x\"; DROP TABLE ev;--", "$1 'q' \\ \n日本", "n".repeat(63));
    let quoted = [name, key, &value].map(|name| format!("\"{}\"", name.replace('"', "\"\"")));
    let [table, key_column, value_column] = &quoted;
    fixture
        .run(format!("CREATE TABLE ev (); CREATE TABLE {table} ({key_column} bigint PRIMARY KEY, {value_column} text)"))
        .await;
    let mut session = fixture.session().await;
    let mut plan = plan(&mut session, name, Mode::Append).await;
    plan.deletes = DeletePlan::Hard;
    for (mode, id) in [(Mode::Append, 1), (Mode::Upsert, 1), (Mode::InsertIgnore, 2), (Mode::Update, 2)] {
        plan.mode = mode;
        let rows = put(&[0, 1], vec![ids([id]), texts(["' OR '1'='1"])]);
        assert_eq!(apply(&mut session, &plan, &rows).await, 1, "{mode:?}");
    }
    assert_eq!(apply(&mut session, &plan, &step(Action::Delete, &[0], vec![ids([2])])).await, 1);
    assert_eq!(fixture.rows(&format!("{key_column}, {value_column}"), table).await, ["1|' OR '1'='1"]);
    assert_eq!(session.inspect_table(&plan).await.unwrap(), Vec::<String>::new());
}
