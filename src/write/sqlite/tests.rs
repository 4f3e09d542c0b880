//! Faults that must be put into the session's own connection.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, StringArray};
use sqlx::AssertSqlSafe;

use super::*;
use crate::config::{BatchLimits, Database, Delivery, Secret};
use crate::offsets::TopicPartition;
use crate::write::plan::PlanColumn;

const ROWS: usize = 2_000;

async fn open(directory: &tempfile::TempDir) -> SqliteSession {
    let url = format!("sqlite://{}/sink.db?mode=rwc", directory.path().display());
    let sink = Sink {
        database: Database::Sqlite,
        url: Secret::new(url),
        delivery: Delivery::ExactlyOnce,
        writers: None,
        batch: BatchLimits::default(),
        state_schema: None,
    };
    let mut session = SqliteSession::connect(&sink, "p").await.unwrap();
    session.migrate().await.unwrap();
    session
}

async fn plan(session: &mut SqliteSession) -> TablePlan {
    session.execute("CREATE TABLE t (name TEXT)").await.unwrap();
    let table = session.table("t").await.unwrap().unwrap();
    let columns = vec![PlanColumn { column: table.columns[0].clone(), input: 0 }];
    let (mode, deletes, missing) = (Mode::Append, DeletePlan::Ignore, Missing::Null);
    TablePlan {
        table,
        mode,
        columns,
        key: Vec::new(),
        deletes,
        version: None,
        missing,
        replace: None,
        retention: None,
        merge: Vec::new(),
    }
}

fn step() -> Step {
    let names: ArrayRef = Arc::new(StringArray::from_iter_values((0..ROWS).map(|row| format!("{row:0200}"))));
    let batch = RecordBatch::try_from_iter(BTreeMap::from([("name", names)])).unwrap();
    Step { action: Action::Put, columns: vec![0], batch, origins: (0..ROWS as u32).collect() }
}

async fn number(session: &mut SqliteSession, sql: &str) -> i64 {
    sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut session.connection).await.unwrap()
}

#[tokio::test]
async fn a_full_database_blocks_keeps_nothing_and_goes_on_when_there_is_room() {
    let directory = tempfile::tempdir().unwrap();
    let mut session = open(&directory).await;
    let plan = plan(&mut session).await;
    let position = Position {
        partition: TopicPartition::new("orders", 0),
        next_offset: 5,
        cluster_id: String::new(),
        topic_id: String::new(),
        owner_epoch: 1,
        owner: "me".to_owned(),
    };
    let moves = [Move { partition: position.partition.clone(), epoch: 1, expected: 5, next: 9 }];
    session.insert_positions("p", std::slice::from_ref(&position)).await.unwrap();

    let pages = number(&mut session, "PRAGMA page_count").await;
    number(&mut session, &format!("PRAGMA max_page_count = {}", pages + 20)).await;
    session.begin().await.unwrap();
    assert_eq!(session.advance("p", &moves).await, Ok(1));
    let error = session.apply(&plan, &step()).await.unwrap_err();
    assert_eq!((error.disposition, error.class, error.connection_usable), (Disposition::Block, "disk-full", false));
    // SQLite has rolled back by itself: what came now would be stored on its own.
    session.rollback().await.expect_err("no transaction is active");
    assert_eq!(session.count_moved("p", &moves).await, Ok(0));
    assert_eq!(number(&mut session, "SELECT count(*) FROM t").await, 0);
    drop(session);

    // The limit was the connection's; a new one has room.
    let mut session = open(&directory).await;
    assert_eq!(session.lock_positions("p").await, Ok(vec![position]));
    session.begin().await.unwrap();
    assert_eq!(session.advance("p", &moves).await, Ok(1));
    assert_eq!(session.apply(&plan, &step()).await, Ok(ROWS as u64));
    session.commit().await.unwrap();
    assert_eq!(number(&mut session, "SELECT count(*) FROM t").await, ROWS as i64);
}

#[tokio::test]
async fn a_connection_is_set_up_for_durability() {
    let directory = tempfile::tempdir().unwrap();
    let mut session = open(&directory).await;
    assert_eq!(session.journal_mode, "wal");
    for (pragma, expected) in [("synchronous", 2), ("foreign_keys", 1), ("trusted_schema", 0), ("busy_timeout", 5000)] {
        assert_eq!(number(&mut session, &format!("PRAGMA {pragma}")).await, expected, "{pragma}");
    }
}

#[tokio::test]
async fn positions_and_keys_are_found_by_their_indexes() {
    let directory = tempfile::tempdir().unwrap();
    let mut session = open(&directory).await;
    session.execute("CREATE TABLE two (a TEXT, b INTEGER, c TEXT, PRIMARY KEY (a, b))").await.unwrap();
    for sql in [
        positions::ADVANCE,
        positions::COUNT_MOVED,
        positions::UPDATE,
        "UPDATE OR ABORT two AS t SET c = v.column3 FROM (VALUES (?, ?, ?), (?, ?, ?)) AS v \
         WHERE t.a = v.column1 AND t.b = v.column2",
        "SELECT v.column3, t.c FROM (VALUES (?, ?, ?), (?, ?, ?)) AS v CROSS JOIN two AS t \
         WHERE t.a = v.column1 AND t.b = v.column2",
        "DELETE FROM two AS t WHERE (t.a = ? AND t.b = ?) OR (t.a = ? AND t.b = ?)",
    ] {
        let explain = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}"));
        let steps: Vec<(i64, i64, i64, String)> =
            sqlx::query_as(explain).fetch_all(&mut session.connection).await.unwrap();
        let scanned: Vec<_> = steps.iter().filter(|(.., step)| step == "SCAN p" || step == "SCAN t").collect();
        assert!(scanned.is_empty(), "{sql}: {steps:?}");
        assert!(steps.iter().any(|(.., step)| step.starts_with("SEARCH")), "{sql}: {steps:?}");
    }
}
