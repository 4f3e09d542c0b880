//! Our own tables: ownership, the fence, dead letters, gaps and migrations.

use std::sync::Arc;

use tidegate::config::*;
use tidegate::dead_letter::{DeadLetter, Fault, Stage};
use tidegate::keys::Keys;
use tidegate::lease::Lease;
use tidegate::offsets::{PartitionLog, TopicPartition};
use tidegate::retry::Disposition;
use tidegate::write::session::{Gap, Move, Session};
use tidegate::write::sqlite::SqliteSession;
use tidegate::write::{ClaimOutcome, ClaimRequest, Destination, open};

use super::{Db, sink};

fn destination(db: &Db) -> Box<dyn Destination> {
    let pipeline = Pipeline {
        name: "p".to_owned(),
        path: None,
        source: Source {
            brokers: Vec::new(),
            topics: Topics::List(vec!["orders".to_owned()]),
            group: "g".to_owned(),
            start: Start::Earliest,
            format: Format::Json,
            key_format: KeyFormat::Text,
            protocol: GroupProtocol::Classic,
            instance: Instance::Auto,
            on_lost_position: LostPosition::Stop,
            columns: Vec::new(),
            timezone: None,
            kafka: Default::default(),
        },
        sink: Target::Database(sink(&db.url())),
        tables: Vec::new(),
        checks: Vec::new(),
        lookups: Vec::new(),
        topics: Vec::new(),
        errors: Errors { bad_records: BadRecords::DeadLetter, dead_letters: DeadLetters::Table },
        keys: Keys::default(),
        privacy: None,
        profile: Vec::new(),
        cases: Vec::new(),
    };
    open(&pipeline, &sink(&db.url()), Vec::new())
}

/// Topics that differ in case only, and one with a quote, are different topics.
fn logs() -> Vec<PartitionLog> {
    let log = |topic: &str, partition| PartitionLog {
        partition: TopicPartition::new(topic, partition),
        cluster_id: "c".to_owned(),
        topic_id: "t".to_owned(),
        low: 5,
        high: 1 << 60,
    };
    vec![log("orders", 0), log("orders", 1), log("Orders", 0), log("o\"r'ders", 0)]
}

async fn claim(db: &Db, owner: &str) -> Vec<Arc<Lease>> {
    let first = logs().into_iter().map(|log| (log, (1 << 53) + 1)).collect();
    let request = ClaimRequest {
        owner: owner.to_owned(),
        candidates: logs(),
        first_positions: Some(first),
        on_lost: LostPosition::Stop,
    };
    match destination(db).claim(&request).await.unwrap() {
        ClaimOutcome::Claimed(leases) => leases,
        ClaimOutcome::FirstStart => panic!("the first positions were given"),
    }
}

fn moves(leases: &[Arc<Lease>], by: i64) -> Vec<Move> {
    let to_move = |lease: &Arc<Lease>| Move {
        partition: lease.partition().clone(),
        epoch: lease.epoch(),
        expected: lease.start(),
        next: lease.start() + by,
    };
    leases.iter().map(to_move).collect()
}

#[tokio::test]
async fn only_the_last_claim_moves_positions() {
    let db = Db::new("").await;
    let old = claim(&db, "old").await;
    assert_eq!(old.iter().map(|lease| lease.start()).collect::<Vec<_>>(), [(1 << 53) + 1; 4], "exact beyond 2^53");
    let mut session = db.session().await;
    session.begin().await.unwrap();
    assert_eq!(session.advance("p", &moves(&old, 10)).await, Ok(4));
    assert_eq!(session.count_moved("p", &moves(&old, 10)).await, Ok(4));
    session.commit().await.unwrap();

    let new = claim(&db, "new").await;
    assert!(new.iter().zip(&old).all(|(new, old)| new.epoch() == old.epoch() + 1 && new.start() == old.start() + 10));
    session.begin().await.unwrap();
    let zombie: Vec<_> = moves(&old, 20).into_iter().map(|m| Move { expected: m.expected + 10, ..m }).collect();
    assert_eq!(session.advance("p", &zombie).await, Ok(0), "the position is right, the epoch is not");
    let repeated: Vec<_> = moves(&new, 10).into_iter().map(|m| Move { expected: m.expected - 10, ..m }).collect();
    assert_eq!(session.advance("p", &repeated).await, Ok(0), "the epoch is right, the position is not");
    assert_eq!(session.advance("another pipeline", &moves(&new, 10)).await, Ok(0));
    assert_eq!(session.count_moved("p", &moves(&new, 10)).await, Ok(0));
    assert_eq!(session.advance("p", &moves(&new[..2], 1)).await, Ok(2));
    session.rollback().await.unwrap();
    let owners = db.read("SELECT DISTINCT owner || ' ' || owner_epoch FROM tidegate_positions").await;
    assert_eq!(owners, ["new 2"]);
}

#[tokio::test]
async fn a_pipeline_without_positions_asks_for_its_start() {
    let db = Db::new("").await;
    let request =
        ClaimRequest { owner: "a".to_owned(), candidates: logs(), first_positions: None, on_lost: LostPosition::Stop };
    assert!(matches!(destination(&db).claim(&request).await, Ok(ClaimOutcome::FirstStart)));
}

#[tokio::test]
async fn a_dead_letter_is_kept_once_and_whole() {
    let db = Db::new("").await;
    let mut session = db.session().await;
    let letter = |reason: &str| DeadLetter {
        topic: "orders".to_owned(),
        partition: 3,
        offset: 7,
        timestamp: Some(1_795_262_400_123),
        key: None,
        value: Some(vec![0, 255]),
        headers: "[]".to_owned(),
        fault: Fault {
            stage: Stage::Write,
            class: "unique",
            code: "2067".to_owned(),
            reason: reason.to_owned(),
            column: Some("sku".to_owned()),
        },
    };
    for reason in ["first", "second"] {
        session.begin().await.unwrap();
        session.store_dead_letters("p", &[letter(reason)]).await.unwrap();
        session.commit().await.unwrap();
    }
    let stored = db
        .read(
            "SELECT concat_ws(' ', topic, part, record_offset, record_time, quote(record_key), \
        quote(record_value), headers, stage, class, code, reason, column_name, attempts) FROM tidegate_dead_letters",
        )
        .await;
    assert_eq!(stored, ["orders 3 7 2026-11-21T12:00:00.123000Z NULL X'00FF' [] write unique 2067 first sku 1"]);

    session.begin().await.unwrap();
    let gap = Gap { partition: TopicPartition::new("orders", 3), from: 7, to: 9, reason: "retention".to_owned() };
    session.store_gap("p", &gap).await.unwrap();
    session.commit().await.unwrap();
    let gaps =
        db.read("SELECT concat_ws(' ', pipeline, topic, part, from_offset, to_offset, reason) FROM tidegate_gaps");
    assert_eq!(gaps.await, ["p orders 3 7 9 retention"]);
}

#[tokio::test]
async fn many_may_migrate_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}/sink.db?mode=rwc", directory.path().display());
    let migrate = |url: String| async move {
        loop {
            let attempt = async {
                let mut session = SqliteSession::connect(&sink(&url), "p").await?;
                session.migrate().await
            };
            match attempt.await {
                // A new file changes its journal mode once, and that waits for nobody.
                Err(error) if error.disposition == Disposition::Retry => tokio::task::yield_now().await,
                other => return other,
            }
        }
    };
    let all: Vec<_> = (0..8).map(|_| tokio::spawn(migrate(url.clone()))).collect();
    for one in all {
        one.await.unwrap().unwrap();
    }
    let db = Db { directory };
    assert_eq!(db.read("SELECT value FROM tidegate_meta WHERE name = 'schema_version'").await, ["1"]);
    db.execute("UPDATE tidegate_meta SET value = '99'").await;
    let error = db.session().await.migrate().await.unwrap_err();
    assert_eq!((error.disposition, error.class), (Disposition::Block, "newer-version"), "{error}");
}
