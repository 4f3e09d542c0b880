//! The statements over our own tables. Sets of rows travel as one JSON text, so each statement is prepared once
//! however many partitions a batch has.

use serde_json::{Value, json};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use crate::dead_letter::DeadLetter;
use crate::offsets::TopicPartition;
use crate::write::error::WriteError;
use crate::write::session::{Gap, Move, Position};

use super::errors::write_error;
use super::times;

/// ?1 pipeline, ?2 moves, ?3 now
pub(super) const ADVANCE: &str = "\
UPDATE OR ABORT tidegate_positions AS p SET next_offset = m.value ->> 4, updated_at = ?3 FROM json_each(?2) AS m \
WHERE p.pipeline = ?1 AND p.topic = m.value ->> 0 AND p.part = m.value ->> 1 \
AND p.owner_epoch = m.value ->> 2 AND p.next_offset = m.value ->> 3";

/// ?1 pipeline, ?2 moves
pub(super) const COUNT_MOVED: &str = "\
SELECT count(*) FROM json_each(?2) AS m CROSS JOIN tidegate_positions AS p \
WHERE p.pipeline = ?1 AND p.topic = m.value ->> 0 AND p.part = m.value ->> 1 \
AND p.owner_epoch = m.value ->> 2 AND p.next_offset = m.value ->> 4";

/// ?1 pipeline
const READ: &str = "\
SELECT topic, part, next_offset, cluster_id, topic_id, owner_epoch, owner FROM tidegate_positions \
WHERE pipeline = ?1 ORDER BY topic, part";

/// ?1 pipeline, ?2 positions, ?3 now
const INSERT: &str = "\
INSERT INTO tidegate_positions \
(pipeline, topic, part, next_offset, cluster_id, topic_id, owner_epoch, owner, updated_at) \
SELECT ?1, m.value ->> 0, m.value ->> 1, m.value ->> 2, m.value ->> 3, m.value ->> 4, m.value ->> 5, m.value ->> 6, ?3 \
FROM json_each(?2) AS m WHERE true ON CONFLICT DO NOTHING";

/// ?1 pipeline, ?2 positions, ?3 now
pub(super) const UPDATE: &str = "\
UPDATE OR ABORT tidegate_positions AS p SET next_offset = m.value ->> 2, cluster_id = m.value ->> 3, \
topic_id = m.value ->> 4, owner_epoch = m.value ->> 5, owner = m.value ->> 6, updated_at = ?3 \
FROM json_each(?2) AS m WHERE p.pipeline = ?1 AND p.topic = m.value ->> 0 AND p.part = m.value ->> 1";

const STORE_GAP: &str = "\
INSERT INTO tidegate_gaps (pipeline, topic, part, from_offset, to_offset, reason, at) \
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";

const STORE_DEAD_LETTER: &str = "\
INSERT INTO tidegate_dead_letters (pipeline, topic, part, record_offset, record_time, record_key, record_value, \
headers, stage, class, code, reason, column_name, first_seen, last_seen, attempts) \
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?14, 1) ON CONFLICT DO NOTHING";

/// Now, in the form of `timestamptz` columns.
fn now() -> Option<String> {
    times::timestamptz(jiff::Timestamp::now().as_microsecond())
}

fn moves_as_json(moves: &[Move]) -> String {
    let row = |m: &Move| json!([&*m.partition.topic, m.partition.partition, m.epoch, m.expected, m.next]);
    Value::Array(moves.iter().map(row).collect()).to_string()
}

fn positions_as_json(positions: &[Position]) -> String {
    let row = |p: &Position| {
        let TopicPartition { topic, partition } = &p.partition;
        json!([&**topic, partition, p.next_offset, p.cluster_id, p.topic_id, p.owner_epoch, p.owner])
    };
    Value::Array(positions.iter().map(row).collect()).to_string()
}

async fn execute(
    connection: &mut SqliteConnection,
    sql: &'static str,
    pipeline: &str,
    rows: String,
) -> Result<u64, WriteError> {
    let query = sqlx::query(sql).bind(pipeline.to_owned()).bind(rows).bind(now());
    Ok(query.execute(connection).await.map_err(write_error)?.rows_affected())
}

pub(super) async fn advance(
    connection: &mut SqliteConnection,
    pipeline: &str,
    moves: &[Move],
) -> Result<u64, WriteError> {
    execute(connection, ADVANCE, pipeline, moves_as_json(moves)).await
}

pub(super) async fn count_moved(
    connection: &mut SqliteConnection,
    pipeline: &str,
    moves: &[Move],
) -> Result<u64, WriteError> {
    let query = sqlx::query_scalar::<_, i64>(COUNT_MOVED).bind(pipeline.to_owned()).bind(moves_as_json(moves));
    Ok(query.fetch_one(connection).await.map_err(write_error)?.unsigned_abs())
}

pub(super) async fn read(connection: &mut SqliteConnection, pipeline: &str) -> Result<Vec<Position>, WriteError> {
    let rows = sqlx::query(READ).bind(pipeline.to_owned()).fetch_all(connection).await.map_err(write_error)?;
    rows.iter().map(position).collect::<Result<_, _>>().map_err(write_error)
}

pub(super) fn position(row: &SqliteRow) -> Result<Position, sqlx::Error> {
    Ok(Position {
        partition: TopicPartition::new(row.try_get::<&str, _>(0)?, row.try_get(1)?),
        next_offset: row.try_get(2)?,
        cluster_id: row.try_get(3)?,
        topic_id: row.try_get(4)?,
        owner_epoch: row.try_get(5)?,
        owner: row.try_get(6)?,
    })
}

pub(super) async fn insert(
    connection: &mut SqliteConnection,
    pipeline: &str,
    positions: &[Position],
) -> Result<(), WriteError> {
    execute(connection, INSERT, pipeline, positions_as_json(positions)).await.map(|_| ())
}

pub(super) async fn update(
    connection: &mut SqliteConnection,
    pipeline: &str,
    positions: &[Position],
) -> Result<(), WriteError> {
    execute(connection, UPDATE, pipeline, positions_as_json(positions)).await.map(|_| ())
}

pub(super) async fn store_gap(connection: &mut SqliteConnection, pipeline: &str, gap: &Gap) -> Result<(), WriteError> {
    let query = sqlx::query(STORE_GAP)
        .bind(pipeline.to_owned())
        .bind(gap.partition.topic.to_string())
        .bind(gap.partition.partition)
        .bind(gap.from)
        .bind(gap.to)
        .bind(gap.reason.clone())
        .bind(now());
    query.execute(connection).await.map_err(write_error)?;
    Ok(())
}

/// One statement a letter: they are rare, and their bytes are bound once.
pub(super) async fn store_dead_letters(
    connection: &mut SqliteConnection,
    pipeline: &str,
    letters: &[DeadLetter],
) -> Result<(), WriteError> {
    let now = now();
    for letter in letters {
        let time = letter.timestamp.and_then(|millis| times::timestamptz(millis.checked_mul(1000)?));
        let query = sqlx::query(STORE_DEAD_LETTER)
            .bind(pipeline)
            .bind(&letter.topic)
            .bind(letter.partition)
            .bind(letter.offset)
            .bind(time)
            .bind(letter.key.as_deref())
            .bind(letter.value.as_deref())
            .bind(&letter.headers)
            .bind(letter.fault.stage.name())
            .bind(letter.fault.class)
            .bind(&letter.fault.code)
            .bind(&letter.fault.reason)
            .bind(letter.fault.column.as_deref())
            .bind(now.as_deref());
        query.execute(&mut *connection).await.map_err(write_error)?;
    }
    Ok(())
}
