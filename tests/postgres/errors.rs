//! What the server's errors mean, what they tell, and what is left of the connection.

use super::*;

use arrow_array::{Int64Array, StringArray, TimestampMicrosecondArray};
use tidegate::retry::Disposition;
use tidegate::write::error::WriteError;
use tidegate::write::session::CommitError;

const TABLE: &str = "CREATE TYPE state AS ENUM ('new', 'done');
    CREATE TABLE parent (id bigint PRIMARY KEY);
    CREATE TABLE t (id bigint PRIMARY KEY, name varchar(10) NOT NULL, state state, doc jsonb,
        parent bigint REFERENCES parent, CONSTRAINT positive CHECK (id > 0));
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no % here', NEW.name; END $$;
    CREATE TRIGGER refuse BEFORE INSERT ON t FOR EACH ROW WHEN (NEW.name = 'hunter2!') EXECUTE FUNCTION refuse();
    INSERT INTO t VALUES (1, 'stored')";

/// Id, name, state, document and parent.
type Row<'a> = (i64, Option<&'a str>, &'a str, &'a str, Option<i64>);

fn rows<const N: usize>(rows: [Row<'_>; N]) -> Step {
    let text = |of: fn(&Row<'_>) -> Option<String>| {
        Arc::new(StringArray::from(rows.iter().map(of).collect::<Vec<_>>())) as ArrayRef
    };
    put(
        &[0, 1, 2, 3, 4],
        vec![
            Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.0))),
            text(|row| row.1.map(str::to_owned)),
            text(|row| Some(row.2.to_owned())),
            text(|row| Some(row.3.to_owned())),
            Arc::new(Int64Array::from_iter(rows.iter().map(|row| row.4))),
        ],
    )
}

async fn refused(session: &mut PostgresSession, plan: &TablePlan, step: &Step) -> WriteError {
    session.begin().await.unwrap();
    let error = session.apply(plan, step).await.unwrap_err();
    session.rollback().await.unwrap();
    error
}

#[tokio::test]
async fn a_bad_row_is_told_by_its_class_and_never_by_its_value() {
    let mut fixture = Fixture::new().await;
    fixture.run(TABLE).await;
    let mut session = fixture.session().await;
    let append = plan(&mut session, "t", Mode::Append).await;
    let ignore = TablePlan { mode: Mode::InsertIgnore, key: Vec::new(), ..append.clone() };
    let secret = Some("hunter2");
    for (class, code, row, names, has_line) in [
        ("unique", "23505", (1, secret, "new", "{}", None), "\"t_pkey\"", true),
        ("not-null", "23502", (10, None, "new", "{}", None), "\"name\"", true),
        ("check", "23514", (-1, secret, "new", "{}", None), "\"positive\"", true),
        // Checked at the end of the statement, when no line is current.
        ("foreign-key", "23503", (10, secret, "new", "{}", Some(7)), "\"t_parent_fkey\"", false),
        ("too-long", "22001", (10, Some("hunter2hunter2"), "new", "{}", None), "", true),
        ("wrong-type", "22P02", (10, secret, "hunter2", "{}", None), "", true),
        ("wrong-type", "22P02", (10, secret, "new", "hunter2", None), "", true),
        ("invalid-text", "22021", (10, Some("a\0b"), "new", "{}", None), "", true),
        ("invalid-text", "22P05", (10, secret, "new", r#"{"hunter2": "\u0000"}"#, None), "", true),
        ("trigger", "P0001", (10, Some("hunter2!"), "new", "{}", None), "", true),
    ] {
        let step = rows([good_at(20), good_at(21), row, good_at(22)]);
        for plan in [&append, &ignore] {
            if code == "23505" && plan.mode != Mode::Append {
                continue;
            }
            let error = refused(&mut session, plan, &step).await;
            assert_eq!((error.class, error.code.as_str()), (class, code), "{error}");
            assert_eq!(error.disposition, Disposition::Isolate, "{error}");
            assert!(error.connection_usable && error.message.contains(names), "{error}");
            assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
            let suspect = (has_line && plan.mode == Mode::Append).then_some(102);
            assert_eq!(error.suspect, suspect, "{code} {error}");
        }
    }
    // The connection is as good as new.
    assert_eq!(apply(&mut session, &append, &rows([good_at(30)])).await, 1);
    assert_eq!(fixture.rows("id", "t").await, ["1", "30"]);
}

fn good_at(id: i64) -> Row<'static> {
    (id, Some("good"), "new", "{}", None)
}

#[tokio::test]
async fn a_value_without_a_form_ends_a_copy_cleanly() {
    let mut fixture = Fixture::new().await;
    fixture.run("CREATE TABLE t (id bigint PRIMARY KEY, at timestamptz)").await;
    let mut session = fixture.session().await;
    let times = |times: Vec<i64>| Arc::new(TimestampMicrosecondArray::from(times).with_timezone("UTC")) as ArrayRef;
    let ids = || Arc::new(Int64Array::from(vec![1, 2])) as ArrayRef;
    for mode in [Mode::Append, Mode::Upsert] {
        let plan = plan(&mut session, "t", mode).await;
        let error = refused(&mut session, &plan, &put(&[0, 1], vec![ids(), times(vec![0, i64::MIN])])).await;
        assert_eq!((error.disposition, error.suspect), (Disposition::Isolate, Some(101)));
        assert_eq!(error.column.as_deref(), Some("at"));
        assert_eq!(apply(&mut session, &plan, &put(&[0, 1], vec![ids(), times(vec![0, 1])])).await, 2);
        fixture.run("TRUNCATE t").await;
    }
}

#[tokio::test]
async fn rows_of_another_type_than_planned_are_our_fault() {
    let mut fixture = Fixture::new().await;
    fixture.run("CREATE TABLE t (id bigint)").await;
    let mut session = fixture.session().await;
    let plan = plan(&mut session, "t", Mode::Append).await;
    let error = refused(&mut session, &plan, &put(&[0], vec![Arc::new(StringArray::from(vec!["1"]))])).await;
    assert_eq!((error.disposition, error.class), (Disposition::Block, "internal"));
}

#[tokio::test]
async fn a_table_that_changed_blocks_until_it_fits_again() {
    let mut fixture = Fixture::new().await;
    fixture.run("CREATE TABLE t (id bigint PRIMARY KEY, a text)").await;
    let mut session = fixture.session().await;
    let plan = plan(&mut session, "t", Mode::Upsert).await;
    let row = put(&[0, 1], vec![Arc::new(Int64Array::from(vec![1])), Arc::new(StringArray::from(vec!["a"]))]);
    for (change, class, repair) in [
        ("ALTER TABLE t RENAME COLUMN a TO b", "missing-column", "ALTER TABLE t RENAME COLUMN b TO a"),
        ("ALTER TABLE t RENAME TO u", "missing-table", "ALTER TABLE u RENAME TO t"),
        ("ALTER TABLE t DROP CONSTRAINT t_pkey", "missing-key", "ALTER TABLE t ADD PRIMARY KEY (id)"),
        ("ALTER TABLE t ALTER a TYPE int USING 1", "changed-type", "ALTER TABLE t ALTER a TYPE text"),
    ] {
        assert_eq!(apply(&mut session, &plan, &row).await, 1);
        fixture.run(change).await;
        let error = refused(&mut session, &plan, &row).await;
        assert_eq!((error.disposition, error.class), (Disposition::Block, class), "{error}");
        fixture.run(repair).await;
    }
    assert_eq!(apply(&mut session, &plan, &row).await, 1);
}

#[tokio::test]
async fn a_prepared_statement_whose_table_changed_costs_the_connection_only() {
    let (mut fixture, mut session) = Fixture::migrated().await;
    session.begin().await.unwrap();
    session.lock_positions("p").await.unwrap();
    session.rollback().await.unwrap();
    fixture.run("ALTER TABLE tidegate_positions ALTER owner TYPE varchar(300)").await;
    session.begin().await.unwrap();
    let error = session.lock_positions("p").await.unwrap_err();
    assert_eq!((error.disposition, error.code.as_str()), (Disposition::Retry, "0A000"));
    assert!(!error.connection_usable);
    fixture.session().await.lock_positions("p").await.unwrap();
}

#[tokio::test]
async fn a_deferred_constraint_aborts_the_commit() {
    let mut fixture = Fixture::new().await;
    fixture.run("CREATE TABLE t (id bigint UNIQUE DEFERRABLE INITIALLY DEFERRED)").await;
    let mut session = fixture.session().await;
    let plan = plan(&mut session, "t", Mode::Append).await;
    session.begin().await.unwrap();
    session.apply(&plan, &put(&[0], vec![Arc::new(Int64Array::from(vec![1, 1]))])).await.unwrap();
    match session.commit().await {
        Err(CommitError::Aborted(error)) => assert_eq!((error.class, error.connection_usable), ("unique", true)),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_killed_backend_is_retried_on_a_new_connection_and_its_commit_is_unknown() {
    let mut fixture = Fixture::new().await;
    fixture.run("CREATE TABLE t (id bigint)").await;
    let kill =
        "SELECT count(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity WHERE application_name = $$tidegate/";
    let rows = put(&[0], vec![Arc::new(Int64Array::from(vec![1]))]);
    for at_commit in [false, true] {
        let pipeline = format!("{}{at_commit}", &fixture.schema[..30]);
        let mut session = PostgresSession::connect(&fixture.sink(""), &pipeline).await.unwrap();
        let plan = plan(&mut session, "t", Mode::Append).await;
        session.begin().await.unwrap();
        session.apply(&plan, &rows).await.unwrap();
        assert_eq!(fixture.number(format!("{kill}{pipeline}$$")).await, 1);
        if at_commit {
            assert!(matches!(session.commit().await, Err(CommitError::Unknown(_))));
        } else {
            let error = session.apply(&plan, &rows).await.unwrap_err();
            assert_eq!((error.disposition, error.connection_usable), (Disposition::Retry, false), "{error}");
        }
    }
    assert_eq!(fixture.rows("id", "t").await, [""; 0]);
}

#[tokio::test]
async fn connecting_tells_what_is_wrong() {
    async fn error(url: &str) -> WriteError {
        PostgresSession::connect(&sink_at(url), "test").await.err().expect(url)
    }
    let url = services::postgres();
    let (place, _) = url.split_once("://").unwrap().1.split_once('/').unwrap();
    let host = place.split_once('@').map_or(place, |(_, host)| host);
    for (url, disposition, class) in [
        (format!("postgres://{place}/no_such_database"), Disposition::Block, "missing-database"),
        (format!("postgres://no_such_role@{host}/postgres"), Disposition::Block, "authentication"),
        ("postgres://a:hunter2@127.0.0.1:1/b".to_owned(), Disposition::Retry, "connection"),
        (format!("{url}?sslmode=verify-full"), Disposition::Block, "tls"),
        (format!("{url}?secret=hunter2"), Disposition::Block, "configuration"),
        (format!("{url}?options=-c%20search_path%3Dno_such_schema"), Disposition::Block, "missing-schema"),
    ] {
        let error = error(&url).await;
        assert_eq!((error.disposition, error.class), (disposition, class), "{error}");
        assert!(!error.connection_usable && !error.message.contains("hunter2"), "{error}");
    }
}

#[tokio::test]
async fn a_server_that_never_answers_is_given_up() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("postgres://a@{}/b?connect_timeout=1", silent.local_addr().unwrap());
    let error = PostgresSession::connect(&sink_at(&url), "test").await.err().unwrap();
    assert_eq!((error.disposition, error.class), (Disposition::Retry, "connection"));
    assert!(error.message.contains("no answer within 1 s"), "{error}");
}

#[tokio::test]
async fn a_server_for_reading_only_is_refused() {
    let fixture = Fixture::new().await;
    assert!(fixture.session().await.inspect_server().await.is_ok());
    let sink = fixture.sink("&options=-c%20default_transaction_read_only%3Don");
    let error = PostgresSession::connect(&sink, "test").await.unwrap().inspect_server().await.unwrap_err();
    assert_eq!((error.disposition, error.class), (Disposition::Block, "read-only"));
    let sink = fixture.sink("&options=-c%20synchronous_commit%3Doff");
    let warnings = PostgresSession::connect(&sink, "test").await.unwrap().inspect_server().await.unwrap();
    assert!(warnings.iter().any(|warning| warning.contains("synchronous_commit")), "{warnings:?}");
}
