//! The fence, and transactions that end in ways nobody asked for.

use sqlx::{Executor, Row};
use tidegate::config::Mode;
use tidegate::offsets::TopicPartition;
use tidegate::retry::Disposition;
use tidegate::write::mysql::MySqlSession;
use tidegate::write::session::{CommitError, Move, Position, Session};
use tidegate::write::step::Action;

use super::{Database, ints, on_both, plan, step};

fn position(topic: &str, partition: i32, next_offset: i64, epoch: i64) -> Position {
    Position {
        partition: TopicPartition::new(topic, partition),
        next_offset,
        cluster_id: "cluster".into(),
        topic_id: "id".into(),
        owner_epoch: epoch,
        owner: "me".into(),
    }
}

fn movement(topic: &str, partition: i32, epoch: i64, expected: i64, next: i64) -> Move {
    Move { partition: TopicPartition::new(topic, partition), epoch, expected, next }
}

/// A session with the tables and these positions of pipeline `p`.
async fn with_positions(database: &Database, positions: &[Position]) -> MySqlSession {
    let mut session = database.session().await;
    session.migrate().await.unwrap();
    session.begin().await.unwrap();
    session.insert_positions("p", positions).await.unwrap();
    session.commit().await.unwrap();
    session
}

#[tokio::test]
async fn positions_move_only_from_where_they_are_and_under_their_epoch() {
    on_both(async |database| {
        // Topics differ in case, and the names sort as Rust sorts them.
        let stored = [position("B", 0, 10, 1), position("b", 0, 10, 1), position("b", 1, 20, 2)];
        let mut session = with_positions(database, &stored).await;
        session.begin().await.unwrap();
        // Those that are there stay as they are.
        session.insert_positions("p", &[position("b", 1, 0, 0), position("c", 0, 0, 0)]).await.unwrap();
        let found = session.lock_positions("p").await.unwrap();
        assert_eq!(found[..3], stored);
        assert_eq!(found[3], position("c", 0, 0, 0));
        assert_eq!(session.lock_positions("other").await.unwrap(), []);
        session.commit().await.unwrap();

        let right = [movement("B", 0, 1, 10, 15), movement("b", 1, 2, 20, 21)];
        for wrong in [movement("b", 0, 2, 10, 15), movement("b", 0, 1, 11, 15), movement("x", 0, 1, 10, 15)] {
            session.begin().await.unwrap();
            let moves = [right[0].clone(), wrong, right[1].clone()];
            assert_eq!(session.advance("p", &moves).await.unwrap(), 2);
            assert_eq!(session.count_moved("p", &moves).await.unwrap(), 2);
            session.rollback().await.unwrap();
        }
        session.begin().await.unwrap();
        assert_eq!(session.advance("other", &right).await.unwrap(), 0);
        assert_eq!(session.advance("p", &right).await.unwrap(), 2);
        assert_eq!(session.count_moved("p", &right).await.unwrap(), 2);
        session.commit().await.unwrap();
        session.begin().await.unwrap();
        let after: Vec<i64> = session.lock_positions("p").await.unwrap().iter().map(|p| p.next_offset).collect();
        assert_eq!(after, [15, 10, 21, 0]);
        let claimed = [Position { owner: "you".into(), ..position("b", 1, 30, 3) }];
        session.update_positions("p", &claimed).await.unwrap();
        session.commit().await.unwrap();
        session.begin().await.unwrap();
        assert_eq!(session.lock_positions("p").await.unwrap()[2], claimed[0]);
    })
    .await;
}

#[tokio::test]
async fn many_partitions_move_at_once() {
    on_both(async |database| {
        let many = 300;
        let stored: Vec<_> = (0..many).map(|part| position("t", part, 0, 1)).collect();
        let mut session = with_positions(database, &stored).await;
        let moves: Vec<_> = (0..many).map(|part| movement("t", part, 1, 0, 5)).collect();
        session.begin().await.unwrap();
        assert_eq!(session.advance("p", &moves).await.unwrap(), many as u64);
        assert_eq!(session.count_moved("p", &moves).await.unwrap(), many as u64);
        session.commit().await.unwrap();
    })
    .await;
}

/// Waits until a query answers with this number.
async fn wait_for(database: &Database, query: &str, wanted: i64) {
    let mut connection = database.plain().await;
    let poll = async {
        loop {
            let row = connection.fetch_one(sqlx::AssertSqlSafe(query)).await.unwrap();
            if row.try_get::<i64, _>(0).unwrap() == wanted {
                break;
            }
            tokio::task::yield_now().await;
        }
    };
    let limit = std::time::Duration::from_secs(25);
    tokio::time::timeout(limit, poll).await.unwrap_or_else(|_| panic!("{}: never {wanted}: {query}", database.server));
}

#[tokio::test]
async fn a_zombie_waits_for_the_new_owner_and_then_moves_nothing() {
    on_both(async |database| {
        let mut owner = with_positions(database, &[position("t", 0, 0, 1), position("t", 1, 0, 1)]).await;
        let mut zombie = database.session().await;
        owner.begin().await.unwrap();
        owner.update_positions("p", &[position("t", 0, 0, 2)]).await.unwrap();
        zombie.begin().await.unwrap();
        // Other partitions are not held up.
        assert_eq!(zombie.advance("p", &[movement("t", 1, 1, 0, 5)]).await.unwrap(), 1);
        let stale = [movement("t", 0, 1, 0, 5)];
        let (moved, ()) = tokio::join!(zombie.advance("p", &stale), async {
            // It cannot end while the owner holds the row.
            let running = "SELECT COUNT(*) FROM information_schema.processlist WHERE db = DATABASE() AND \
                           command = 'Execute' AND id <> CONNECTION_ID()";
            wait_for(database, running, 1).await;
            owner.commit().await.unwrap();
        });
        assert_eq!(moved.unwrap(), 0);
        let facts = zombie.lock_positions("p").await.unwrap();
        assert_eq!((facts[0].owner_epoch, facts[0].next_offset), (2, 0));
        zombie.rollback().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_deadlock_is_retried_and_leaves_nothing() {
    on_both(async |database| {
        database.run("CREATE TABLE t (k INT PRIMARY KEY, v INT)").await;
        database.run("INSERT INTO t VALUES (1, 0), (2, 0)").await;
        let mut session = with_positions(database, &[position("t", 0, 0, 1)]).await;
        let upsert = plan(&mut session, "t", Mode::Upsert, &["k"]).await;
        let put = |key| step(Action::Put, &[0, 1], vec![ints(&[Some(key)]), ints(&[Some(9)])]);
        let moves = [movement("t", 0, 1, 0, 5)];

        let mut other = database.plain().await;
        session.begin().await.unwrap();
        assert_eq!(session.advance("p", &moves).await.unwrap(), 1);
        session.apply(&upsert, &put(1)).await.unwrap();
        // The other one changed more rows, so that the server picks our transaction.
        other.execute("BEGIN").await.unwrap();
        other.execute("CREATE TABLE IF NOT EXISTS filler (k INT)").await.unwrap();
        other.execute("BEGIN").await.unwrap();
        let filler = (0..200).map(|k| format!("({k})")).collect::<Vec<_>>().join(",");
        other.execute(sqlx::AssertSqlSafe(format!("INSERT INTO filler VALUES {filler}"))).await.unwrap();
        other.execute("UPDATE t SET v = 1 WHERE k = 2").await.unwrap();
        // Each holds what the other one wants, whoever asks first.
        let last = put(2);
        let (theirs, ours) =
            tokio::join!(other.execute("UPDATE t SET v = 1 WHERE k = 1"), session.apply(&upsert, &last));
        theirs.unwrap();
        let error = ours.unwrap_err();
        assert_eq!((error.disposition, error.class), (Disposition::Retry, "deadlock"), "{}", database.server);
        assert!(!error.connection_usable, "what follows on it would run without a transaction");
        drop(session);
        other.execute("COMMIT").await.unwrap();
        assert_eq!(database.rows("SELECT k, v FROM t ORDER BY k").await, ["1|1", "2|1"]);
        assert_eq!(database.rows("SELECT next_offset FROM tidegate_positions").await, ["0"]);
    })
    .await;
}

/// The tripwire: whatever ended the transaction, the positions do not show as moved.
#[tokio::test]
async fn a_transaction_that_the_server_ended_is_noticed_before_commit() {
    on_both(async |database| {
        let mut session = with_positions(database, &[position("t", 0, 0, 1)]).await;
        let moves = [movement("t", 0, 1, 0, 5)];
        session.begin().await.unwrap();
        session.advance("p", &moves).await.unwrap();
        session.rollback().await.unwrap();
        assert_eq!(session.count_moved("p", &moves).await.unwrap(), 0);
    })
    .await;
}

/// Ends all sessions in this database, and with them their transactions.
async fn kill_sessions(database: &Database) {
    let others = "FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID()";
    let ids = database.rows(&format!("SELECT CAST(id AS CHAR) {others}")).await;
    let mut connection = database.plain().await;
    for id in ids {
        // One that ended meanwhile is as good.
        let _ = connection.execute(sqlx::AssertSqlSafe(format!("KILL {id}"))).await;
    }
    drop(connection);
    wait_for(database, &format!("SELECT COUNT(*) {others}"), 0).await;
}

#[tokio::test]
async fn a_killed_connection_is_retried_and_leaves_nothing() {
    on_both(async |database| {
        database.run("CREATE TABLE t (k INT PRIMARY KEY, v INT)").await;
        let mut session = database.session().await;
        let append = plan(&mut session, "t", Mode::Append, &[]).await;
        let put = step(Action::Put, &[0, 1], vec![ints(&[Some(1)]), ints(&[Some(1)])]);
        session.begin().await.unwrap();
        session.apply(&append, &put).await.unwrap();
        kill_sessions(database).await;
        let again = step(Action::Put, &[0, 1], vec![ints(&[Some(2)]), ints(&[Some(2)])]);
        let error = session.apply(&append, &again).await.unwrap_err();
        assert_eq!(error.disposition, Disposition::Retry, "{}: {error}", database.server);
        assert!(!error.connection_usable);
        assert_eq!(database.count("t").await, 0);
    })
    .await;
}

#[tokio::test]
async fn a_commit_without_an_answer_is_of_unknown_outcome() {
    on_both(async |database| {
        database.run("CREATE TABLE t (k INT PRIMARY KEY, v INT)").await;
        let mut session = database.session().await;
        let append = plan(&mut session, "t", Mode::Append, &[]).await;
        session.begin().await.unwrap();
        let put = step(Action::Put, &[0, 1], vec![ints(&[Some(1)]), ints(&[Some(1)])]);
        session.apply(&append, &put).await.unwrap();
        kill_sessions(database).await;
        let error = session.commit().await.unwrap_err();
        assert!(matches!(error, CommitError::Unknown(_)), "{}: {error:?}", database.server);
    })
    .await;
}
