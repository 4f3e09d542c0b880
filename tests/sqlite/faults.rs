//! What goes wrong, and what is said and kept then.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;

use arrow_array::{Int64Array, StringArray};
use tidegate::config::Mode;
use tidegate::retry::Disposition;
use tidegate::write::error::WriteError;
use tidegate::write::session::{CommitError, Session};
use tidegate::write::sqlite::SqliteSession;
use tidegate::write::step::{Action, Step};

use super::{Db, array, assert_isolated, plan, sink, step, write};

fn rows(ids: &[i64], names: &[Option<&str>]) -> Step {
    let arrays = vec![array(Int64Array::from(ids.to_vec())), array(StringArray::from(names.to_vec()))];
    step(Action::Put, &[0, 1], arrays)
}

async fn refused(url: &str) -> WriteError {
    match SqliteSession::connect(&sink(url), "p").await {
        Ok(_) => panic!("{url} was taken"),
        Err(error) => error,
    }
}

#[tokio::test]
async fn a_constraint_is_a_row_error_that_shows_no_value() {
    let db = Db::new(
        "CREATE TABLE p (id INTEGER PRIMARY KEY);
         CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE CHECK (name <> 'Anna-bad')) STRICT;
         INSERT INTO t VALUES (1, 'Anna');
         CREATE TABLE f (id INTEGER REFERENCES p (id), name TEXT);
         CREATE TABLE g (id INTEGER, name TEXT);
         CREATE TRIGGER no BEFORE INSERT ON g BEGIN SELECT RAISE(ABORT, 'no Anna here'); END;
         CREATE TABLE s (id INTEGER PRIMARY KEY, name INTEGER) STRICT",
    )
    .await;
    let mut session = db.session().await;
    for (table, name, class, column) in [
        ("t", None, "not-null", Some("name")),
        ("t", Some("Anna"), "unique", Some("name")),
        ("t", Some("Anna-bad"), "check", None),
        ("f", Some("Anna"), "foreign-key", None),
        ("g", Some("Anna"), "trigger", None),
        ("s", Some("Anna"), "wrong-type", Some("name")),
    ] {
        let plan = plan(&mut session, table, Mode::Append).await;
        let error = write(&mut session, &plan, &rows(&[7], &[name])).await.unwrap_err();
        assert_isolated(&error, class, column, Some(100));
        assert!(!error.to_string().contains("Anna"), "{error}");
        // Among others it is not known which row it was.
        let many: Vec<i64> = (10..20).collect();
        let error = write(&mut session, &plan, &rows(&many, &[name; 10])).await.unwrap_err();
        assert_eq!(error.suspect, None);
    }
    assert_eq!(db.read("SELECT count(*) || '' FROM t").await, ["1"]);
}

#[tokio::test]
async fn a_tables_own_conflict_rule_loses_no_row() {
    let db = Db::new(
        "CREATE TABLE t (id INTEGER PRIMARY KEY ON CONFLICT REPLACE, name TEXT UNIQUE ON CONFLICT IGNORE);
         INSERT INTO t VALUES (1, 'a'), (2, 'b')",
    )
    .await;
    let mut session = db.session().await;
    for mode in [Mode::Append, Mode::Upsert, Mode::Update] {
        let plan = plan(&mut session, "t", mode).await;
        let error = write(&mut session, &plan, &rows(&[2], &[Some("a")])).await.unwrap_err();
        assert_eq!((error.disposition, error.class), (Disposition::Isolate, "unique"), "{mode:?}");
    }
}

#[tokio::test]
async fn a_deferred_constraint_aborts_the_commit() {
    let db = Db::new(
        "CREATE TABLE p (id INTEGER PRIMARY KEY);
         CREATE TABLE t (id INTEGER REFERENCES p (id) DEFERRABLE INITIALLY DEFERRED, name TEXT)",
    )
    .await;
    let mut session = db.session().await;
    let plan = plan(&mut session, "t", Mode::Append).await;
    session.begin().await.unwrap();
    assert_eq!(session.apply(&plan, &rows(&[1], &[None])).await, Ok(1));
    let error = match session.commit().await {
        Err(CommitError::Aborted(error)) => error,
        other => panic!("{other:?}"),
    };
    assert_isolated(&error, "foreign-key", None, None);
    assert!(error.connection_usable);
    session.rollback().await.unwrap();
    assert_eq!(db.read("SELECT count(*) || '' FROM t").await, ["0"]);
    db.execute("INSERT INTO p VALUES (1)").await;
    assert_eq!(write(&mut session, &plan, &rows(&[1], &[None])).await, Ok(1));
}

#[tokio::test]
async fn a_transaction_that_sqlite_ended_is_noticed() {
    let db = Db::new(
        "CREATE TABLE t (id INTEGER, name TEXT);
         CREATE TRIGGER bang BEFORE INSERT ON t WHEN new.id = 3 BEGIN SELECT RAISE(ROLLBACK, 'x'); END",
    )
    .await;
    let mut session = db.session().await;
    let plan = plan(&mut session, "t", Mode::Append).await;
    session.begin().await.unwrap();
    session.apply(&plan, &rows(&[1], &[None])).await.unwrap();
    assert_isolated(&session.apply(&plan, &rows(&[3], &[None])).await.unwrap_err(), "trigger", None, Some(100));
    session.rollback().await.expect_err("there is no transaction any more, so the connection is given up");
    assert_eq!(db.read("SELECT count(*) || '' FROM t").await, ["0"]);
}

#[tokio::test]
async fn a_second_writer_waits_and_then_tries_again() {
    let db = Db::new("CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT)").await;
    let (mut first, mut second) = (db.session().await, db.session().await);
    let plan = plan(&mut first, "t", Mode::Append).await;
    first.begin().await.unwrap();
    first.apply(&plan, &rows(&[1], &[None])).await.unwrap();
    // Longer than SQLite waits.
    let error = second.begin().await.unwrap_err();
    assert_eq!((error.disposition, error.class), (Disposition::Retry, "locked"), "{error}");
    // Shorter.
    let (begun, committed) = tokio::join!(second.begin(), first.commit());
    begun.unwrap();
    committed.unwrap();
    second.apply(&plan, &rows(&[2], &[None])).await.unwrap();
    second.commit().await.unwrap();
    assert_eq!(db.read("SELECT group_concat(id) FROM t").await, ["1,2"]);
}

#[tokio::test]
async fn a_connection_that_is_dropped_leaves_nothing() {
    let db = Db::new("CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT)").await;
    let mut session = db.session().await;
    let plan = plan(&mut session, "t", Mode::Append).await;
    session.begin().await.unwrap();
    session.apply(&plan, &rows(&[1], &[None])).await.unwrap();
    drop(session);
    let mut session = db.session().await;
    assert_eq!(write(&mut session, &plan, &rows(&[2], &[None])).await, Ok(1));
    assert_eq!(db.read("SELECT group_concat(id) FROM t").await, ["2"]);
}

#[tokio::test]
async fn a_table_that_changed_blocks_until_it_is_mended() {
    let db = Db::new("CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT)").await;
    let plan = plan(&mut db.session().await, "t", Mode::Upsert).await;
    for (change, class) in [
        ("ALTER TABLE t RENAME COLUMN name TO other", "missing-column"),
        ("DROP TABLE t; CREATE TABLE t (id INTEGER, name TEXT)", "missing-key"),
        ("DROP TABLE t", "missing-table"),
    ] {
        let mut session = db.session().await;
        db.execute(change).await;
        session.begin().await.unwrap();
        let error = session.apply(&plan, &rows(&[1], &[None])).await.unwrap_err();
        assert_eq!((error.disposition, error.class), (Disposition::Block, class), "{error}");
        assert!(!error.connection_usable, "it remembers the table as it was");
        drop(session);
        db.execute("DROP TABLE IF EXISTS t; CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT)").await;
        assert_eq!(write(&mut db.session().await, &plan, &rows(&[1], &[None])).await, Ok(1));
    }
    db.execute("DROP TABLE tidegate_positions").await;
    let error = db.session().await.lock_positions("p").await.unwrap_err();
    assert!(error.message.contains("tidegate migrate"), "{error}");
}

#[tokio::test]
async fn a_file_that_cannot_be_the_sink_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("mistyped.db");
    let error = refused(&format!("sqlite://{}", missing.display())).await;
    assert_eq!((error.disposition, error.class), (Disposition::Block, "missing-file"));
    assert!(error.message.contains("mistyped.db") && error.message.contains("mode=rwc"), "{error}");
    assert!(!missing.exists(), "nothing was created");
    let error = refused(&format!("sqlite://{}/none/a.db?mode=rwc", directory.path().display())).await;
    assert!(error.message.contains("no such directory"), "{error}");
    let text = directory.path().join("letter.txt");
    std::fs::write(&text, "This is a letter and not a database. ".repeat(100)).unwrap();
    let error = refused(&format!("sqlite://{}", text.display())).await;
    assert_eq!((error.disposition, error.class), (Disposition::Block, "not-a-database"), "{error}");
    assert!(error.message.contains("letter.txt"), "{error}");
}

/// Set for the process in which [`a_file_without_the_right_to_write_is_refused`] is not root.
const UNPRIVILEGED: &str = "TIDEGATE_TEST_UNPRIVILEGED";

#[test]
fn a_file_without_the_right_to_write_is_refused() {
    if rustix::process::geteuid().is_root() && std::env::var_os(UNPRIVILEGED).is_none() {
        // Root may write anywhere, so somebody else runs this test.
        let name = std::thread::current().name().unwrap().to_owned();
        let mut command = std::process::Command::new(std::env::current_exe().unwrap());
        let output = command.args(["--exact", &name]).env(UNPRIVILEGED, "1").uid(65_534).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("1 passed"), "{text}");
        return;
    }
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let db = Db::new("").await;
        let protect = |path, mode| std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
        protect(db.path(), 0o444);
        let error = refused(&db.url()).await;
        assert_eq!((error.disposition, error.class), (Disposition::Block, "read-only"), "{error}");
        protect(db.path(), 0o644);
        protect(db.directory.path().to_owned(), 0o555);
        let error = refused(&db.url()).await;
        assert_eq!((error.disposition, error.class), (Disposition::Block, "read-only"), "{error}");
        protect(db.directory.path().to_owned(), 0o755);
        db.session().await;
    });
}
