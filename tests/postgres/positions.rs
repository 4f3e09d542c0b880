//! The fence, and what else is kept beside the rows.

use super::*;

use arrow_array::Int64Array;
use tidegate::dead_letter::{DeadLetter, Fault, Stage};
use tidegate::write::session::Gap;

/// A pipeline with partitions 0 and 1 of `orders` at offset 10, epoch 1.
async fn claimed() -> (Fixture, PostgresSession) {
    let (fixture, mut session) = Fixture::migrated().await;
    session.insert_positions("p", &[position("orders", 1, 10, 1), position("orders", 0, 10, 1)]).await.unwrap();
    (fixture, session)
}

#[tokio::test]
async fn a_position_moves_only_from_its_predecessor_and_under_its_epoch() {
    let (mut fixture, mut session) = claimed().await;
    let right = movement("orders", 0, 1, 10, 15);
    for wrong in [
        movement("orders", 1, 2, 10, 15),
        movement("orders", 1, 0, 10, 15),
        movement("orders", 1, 1, 9, 15),
        movement("orders", 2, 1, 10, 15),
        movement("Orders", 1, 1, 10, 15),
    ] {
        let moves = [right.clone(), wrong];
        session.begin().await.unwrap();
        assert_eq!(session.advance("p", &moves).await.unwrap(), 1);
        assert_eq!(session.count_moved("p", &moves).await.unwrap(), 1);
        session.rollback().await.unwrap();
    }
    session.begin().await.unwrap();
    let moves = [right, movement("orders", 1, 1, 10, 11)];
    assert_eq!(session.advance("other", &moves).await.unwrap(), 0);
    assert_eq!(session.advance("p", &moves).await.unwrap(), 2);
    assert_eq!(session.count_moved("p", &moves).await.unwrap(), 2);
    session.commit().await.unwrap();
    assert_eq!(fixture.rows("part, next_offset", "tidegate_positions").await, ["0|15", "1|11"]);
}

#[tokio::test]
async fn positions_that_are_there_stay_and_claims_replace_them() {
    let (_fixture, mut session) = claimed().await;
    session.insert_positions("p", &[position("orders", 0, 99, 9), position("a", 5, 3, 0)]).await.unwrap();
    session.begin().await.unwrap();
    let stored = session.lock_positions("p").await.unwrap();
    let expected = [position("a", 5, 3, 0), position("orders", 0, 10, 1), position("orders", 1, 10, 1)];
    assert_eq!(stored, expected);
    let claimed = Position { owner: "other".into(), topic_id: "new".into(), ..position("orders", 0, 20, 2) };
    session.update_positions("p", std::slice::from_ref(&claimed)).await.unwrap();
    session.commit().await.unwrap();
    assert_eq!(session.lock_positions("p").await.unwrap()[1], claimed);
    assert_eq!(session.lock_positions("nobody").await.unwrap(), []);
}

#[tokio::test]
async fn a_zombie_waits_for_the_new_owner_and_then_moves_nothing() {
    let (mut fixture, mut owner) = claimed().await;
    let zombie_name = fixture.schema[14..].to_owned();
    let mut zombie = PostgresSession::connect(&fixture.sink(""), &zombie_name).await.unwrap();
    owner.begin().await.unwrap();
    let mut stored = owner.lock_positions("p").await.unwrap();
    let writing = tokio::spawn(async move {
        zombie.begin().await.unwrap();
        let moved = zombie.advance("p", &[movement("orders", 0, 1, 10, 15), movement("orders", 1, 1, 10, 15)]).await;
        zombie.rollback().await.unwrap();
        moved.unwrap()
    });
    fixture.somebody_waits(&format!("tidegate/{zombie_name}")).await;
    stored[0].owner_epoch += 1;
    owner.update_positions("p", &stored[..1]).await.unwrap();
    owner.commit().await.unwrap();
    assert_eq!(writing.await.unwrap(), 1, "the partition that nobody took over still moves");
}

#[tokio::test]
async fn a_claim_waits_for_an_open_transaction_and_sees_its_outcome() {
    let (mut fixture, mut writer) = claimed().await;
    let claimer_name = fixture.schema[14..].to_owned();
    let mut claimer = PostgresSession::connect(&fixture.sink(""), &claimer_name).await.unwrap();
    writer.begin().await.unwrap();
    assert_eq!(writer.advance("p", &[movement("orders", 0, 1, 10, 15)]).await.unwrap(), 1);
    let claiming = tokio::spawn(async move {
        claimer.begin().await.unwrap();
        claimer.lock_positions("p").await.unwrap()
    });
    fixture.somebody_waits(&format!("tidegate/{claimer_name}")).await;
    writer.commit().await.unwrap();
    assert_eq!(claiming.await.unwrap()[0].next_offset, 15);
}

#[tokio::test]
async fn after_a_swallowed_error_the_tripwire_does_not_count_and_nothing_is_kept() {
    let (mut fixture, mut session) = claimed().await;
    fixture.run("CREATE TABLE t (id bigint PRIMARY KEY)").await;
    let plan = plan(&mut session, "t", Mode::Append).await;
    let moves = [movement("orders", 0, 1, 10, 15)];
    session.begin().await.unwrap();
    session.advance("p", &moves).await.unwrap();
    let twice = put(&[0], vec![Arc::new(Int64Array::from(vec![1, 1]))]);
    assert_eq!(session.apply(&plan, &twice).await.unwrap_err().code, "23505");
    assert_eq!(session.count_moved("p", &moves).await.unwrap_err().class, "transaction-lost");
    session.commit().await.expect("the driver hides that the server answers ROLLBACK");
    assert_eq!(fixture.rows("part, next_offset", "tidegate_positions").await, ["0|10", "1|10"]);
    session.begin().await.unwrap();
    assert_eq!(session.count_moved("p", &moves).await.unwrap(), 0);
}

fn letter(offset: i64, timestamp: Option<i64>, value: Option<Vec<u8>>) -> DeadLetter {
    DeadLetter {
        topic: "orders".into(),
        partition: 3,
        offset,
        timestamp,
        key: None,
        value,
        headers: "[]".into(),
        fault: Fault {
            stage: Stage::Write,
            class: "unique",
            code: "23505".into(),
            reason: "field \"a\0b\"".into(),
            column: Some("a\0b".into()),
        },
    }
}

#[tokio::test]
async fn dead_letters_are_kept_once_with_their_original_bytes() {
    let (mut fixture, mut session) = Fixture::migrated().await;
    let large = vec![0xff; 5 << 20];
    let letters = [
        letter(1, Some(1_500), Some(vec![0, 255])),
        letter(2, None, None),
        letter(3, Some(i64::MAX), Some(large.clone())),
        letter(4, Some(9_223_372_036_854_775), Some(large)),
    ];
    session.store_dead_letters("p", &letters).await.unwrap();
    session.store_dead_letters("p", &[letter(1, None, None)]).await.unwrap();
    let stored = fixture.rows("record_offset, coalesce(record_time::text, '-'), coalesce(left(record_value::text, 6), '-'), length(record_value)", "tidegate_dead_letters").await;
    let expected = ["1|1970-01-01 00:00:01.5+00|\\x00ff|2", "2|-|-", "3|-|\\xffff|5242880"];
    assert_eq!(stored[..3], expected);
    assert!(stored[3].starts_with("4|294247-01-10"), "{}", stored[3]);
    let described = "pipeline, topic, part, headers, stage, class, code, reason, column_name, attempts";
    let stored = fixture.rows(described, "tidegate_dead_letters WHERE record_offset = 1").await;
    assert_eq!(stored, ["p|orders|3|[]|write|unique|23505|field \"a\u{fffd}b\"|a\u{fffd}b|1"]);
}

#[tokio::test]
async fn a_gap_is_kept() {
    let (mut fixture, mut session) = Fixture::migrated().await;
    let gap = Gap { partition: TopicPartition::new("orders", 1), from: 3, to: 9, reason: "retention".into() };
    session.store_gap("p", &gap).await.unwrap();
    let stored = fixture.rows("pipeline, topic, part, from_offset, to_offset, reason", "tidegate_gaps").await;
    assert_eq!(stored, ["p|orders|1|3|9|retention"]);
}
