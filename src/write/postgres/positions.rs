//! Our own rows: positions, gaps and dead letters. All statements are set-based, and rows are locked in the order of
//! (topic, partition), so that no two daemons wait for each other.

use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row as _, raw_sql};

use crate::dead_letter::DeadLetter;
use crate::offsets::TopicPartition;
use crate::write::error::WriteError;
use crate::write::session::{Gap, Move, Position};

use super::encode;
use super::errors::write_error;
use super::query::dynamic;

/// Dead letters per statement, in bytes of records: far below the 1 GiB of a message, and no burden on memory.
const STATEMENT_BYTES: usize = 8 << 20;

/// `schema` in these functions is the quoted schema of our tables.
pub(super) async fn advance(
    connection: &mut PgConnection,
    schema: &str,
    pipeline: &str,
    moves: &[Move],
) -> sqlx::Result<u64> {
    // The locks come first, in their order; the update then finds a row only as its last owner left it.
    let sql = format!(
        "WITH m AS (
    SELECT * FROM unnest($2::text[], $3::int4[], $4::int8[], $5::int8[], $6::int8[])
        AS m(topic, part, epoch, expected, next)
), locked AS MATERIALIZED (
    SELECT p.topic, p.part FROM {schema}.tidegate_positions p JOIN m ON p.topic = m.topic AND p.part = m.part
    WHERE p.pipeline = $1
    ORDER BY p.topic, p.part
    FOR UPDATE OF p
)
UPDATE {schema}.tidegate_positions p SET next_offset = m.next, updated_at = now()
FROM m JOIN locked ON locked.topic = m.topic AND locked.part = m.part
WHERE p.pipeline = $1 AND p.topic = m.topic AND p.part = m.part
  AND p.owner_epoch = m.epoch AND p.next_offset = m.expected"
    );
    let done = dynamic(sql)
        .bind(pipeline)
        .bind(column(moves, |movement| &*movement.partition.topic))
        .bind(column(moves, |movement| movement.partition.partition))
        .bind(column(moves, |movement| movement.epoch))
        .bind(column(moves, |movement| movement.expected))
        .bind(column(moves, |movement| movement.next))
        .execute(connection)
        .await?;
    Ok(done.rows_affected())
}

pub(super) async fn count_moved(
    connection: &mut PgConnection,
    schema: &str,
    pipeline: &str,
    moves: &[Move],
) -> sqlx::Result<u64> {
    let sql = format!(
        "SELECT count(*) FROM {schema}.tidegate_positions p
JOIN unnest($2::text[], $3::int4[], $4::int8[], $5::int8[]) AS m(topic, part, epoch, next)
  ON p.topic = m.topic AND p.part = m.part AND p.owner_epoch = m.epoch AND p.next_offset = m.next
WHERE p.pipeline = $1"
    );
    let row = dynamic(sql)
        .bind(pipeline)
        .bind(column(moves, |movement| &*movement.partition.topic))
        .bind(column(moves, |movement| movement.partition.partition))
        .bind(column(moves, |movement| movement.epoch))
        .bind(column(moves, |movement| movement.next))
        .fetch_one(connection)
        .await?;
    row.try_get::<i64, _>(0).map(|count| count as u64)
}

/// The longest this waits for somebody else's transaction. Above what a frozen writer may stay silent for between two
/// statements (`idle_in_transaction_session_timeout`, 15 s), so that only one inside a COPY is still there afterwards.
const LOCK_TIMEOUT: &str = "SET LOCAL lock_timeout = '20s'";

pub(super) async fn lock(
    connection: &mut PgConnection,
    schema: &str,
    pipeline: &str,
) -> Result<Vec<Position>, WriteError> {
    let sql = format!(
        "SELECT topic, part, next_offset, cluster_id, topic_id, owner_epoch, owner FROM {schema}.tidegate_positions
WHERE pipeline = $1 ORDER BY topic, part FOR UPDATE"
    );
    raw_sql(LOCK_TIMEOUT).execute(&mut *connection).await.map_err(write_error)?;
    let error = match dynamic(sql).bind(pipeline).fetch_all(&mut *connection).await {
        Ok(rows) => return rows.iter().map(position).collect::<sqlx::Result<_>>().map_err(write_error),
        Err(error) => error,
    };
    let is_held = error.as_database_error().is_some_and(|error| error.code().as_deref() == Some(LOCK_NOT_AVAILABLE));
    let mut error = write_error(error);
    if is_held {
        let ended = end_frozen_writers(connection, schema).await.map_err(write_error)?;
        if ended > 0 {
            error.message += &format!("; ended {ended} session(s) of this pipeline that were frozen inside a COPY");
        }
    }
    Err(error)
}

/// SQLSTATE of a lock that was not granted in time.
const LOCK_NOT_AVAILABLE: &str = "55P03";

/// Ends this pipeline's sessions that the server has been waiting for inside a statement for 15 s: no time limit of the
/// server covers a COPY whose client sends nothing, and it would hold its positions until the client dies. Whoever is
/// ended that lives after all does its batch again, unless it is fenced by then: either way nothing is lost.
async fn end_frozen_writers(connection: &mut PgConnection, schema: &str) -> sqlx::Result<u64> {
    const SQL: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND usename = current_user AND application_name = current_setting('application_name')
  AND state = 'active' AND wait_event = 'ClientRead' AND query_start < clock_timestamp() - interval '15 s'
  AND pid IN (SELECT pid FROM pg_locks
              WHERE relation = $1::text::regclass AND mode = 'RowExclusiveLock' AND granted)";
    raw_sql("ROLLBACK").execute(&mut *connection).await?;
    Ok(sqlx::query(SQL).bind(format!("{schema}.tidegate_positions")).fetch_all(connection).await?.len() as u64)
}

pub(super) fn position(row: &PgRow) -> sqlx::Result<Position> {
    Ok(Position {
        partition: TopicPartition::new(row.try_get::<&str, _>("topic")?, row.try_get("part")?),
        next_offset: row.try_get("next_offset")?,
        cluster_id: row.try_get("cluster_id")?,
        topic_id: row.try_get("topic_id")?,
        owner_epoch: row.try_get("owner_epoch")?,
        owner: row.try_get("owner")?,
    })
}

const POSITION_COLUMNS: &str = "topic, part, next_offset, cluster_id, topic_id, owner_epoch, owner";
const POSITION_ARRAYS: &str =
    "unnest($2::text[], $3::int4[], $4::int8[], $5::text[], $6::text[], $7::int8[], $8::text[])";

pub(super) async fn insert(
    connection: &mut PgConnection,
    schema: &str,
    pipeline: &str,
    positions: &[Position],
) -> sqlx::Result<()> {
    let sql = format!(
        "INSERT INTO {schema}.tidegate_positions (pipeline, {POSITION_COLUMNS})
SELECT $1, n.* FROM {POSITION_ARRAYS} AS n({POSITION_COLUMNS})
ORDER BY n.topic COLLATE \"C\", n.part
ON CONFLICT (pipeline, topic, part) DO NOTHING"
    );
    store(connection, sql, pipeline, positions).await
}

pub(super) async fn update(
    connection: &mut PgConnection,
    schema: &str,
    pipeline: &str,
    positions: &[Position],
) -> sqlx::Result<()> {
    let sql = format!(
        "UPDATE {schema}.tidegate_positions p SET next_offset = n.next_offset, cluster_id = n.cluster_id,
    topic_id = n.topic_id, owner_epoch = n.owner_epoch, owner = n.owner, updated_at = now()
FROM {POSITION_ARRAYS} AS n({POSITION_COLUMNS})
WHERE p.pipeline = $1 AND p.topic = n.topic AND p.part = n.part"
    );
    store(connection, sql, pipeline, positions).await
}

async fn store(connection: &mut PgConnection, sql: String, pipeline: &str, positions: &[Position]) -> sqlx::Result<()> {
    dynamic(sql)
        .bind(pipeline)
        .bind(column(positions, |position| &*position.partition.topic))
        .bind(column(positions, |position| position.partition.partition))
        .bind(column(positions, |position| position.next_offset))
        .bind(column(positions, |position| &position.cluster_id))
        .bind(column(positions, |position| &position.topic_id))
        .bind(column(positions, |position| position.owner_epoch))
        .bind(column(positions, |position| &position.owner))
        .execute(connection)
        .await
        .map(drop)
}

pub(super) async fn store_gap(
    connection: &mut PgConnection,
    schema: &str,
    pipeline: &str,
    gap: &Gap,
) -> sqlx::Result<()> {
    let sql = format!(
        "INSERT INTO {schema}.tidegate_gaps (pipeline, topic, part, from_offset, to_offset, reason)
VALUES ($1, $2, $3, $4, $5, $6)"
    );
    dynamic(sql)
        .bind(pipeline)
        .bind(gap.partition.topic.as_ref())
        .bind(gap.partition.partition)
        .bind(gap.from)
        .bind(gap.to)
        .bind(&gap.reason)
        .execute(connection)
        .await
        .map(drop)
}

pub(super) async fn store_dead_letters(
    connection: &mut PgConnection,
    schema: &str,
    pipeline: &str,
    letters: &[DeadLetter],
) -> sqlx::Result<()> {
    const COLUMNS: &str = "topic, part, record_offset, record_time, record_key, record_value, headers, stage, class, \
                           code, reason, column_name";
    // The time comes as microseconds since 2000, so that no client-side date type bounds it.
    let sql = format!(
        "INSERT INTO {schema}.tidegate_dead_letters (pipeline, {COLUMNS})
SELECT $1, n.topic, n.part, n.record_offset,
    timestamptz '2000-01-01 00:00:00+00' + n.record_time * interval '1 microsecond',
    n.record_key, n.record_value, n.headers, n.stage, n.class, n.code, n.reason, n.column_name
FROM unnest($2::text[], $3::int4[], $4::int8[], $5::int8[], $6::bytea[], $7::bytea[], $8::text[], $9::text[],
    $10::text[], $11::text[], $12::text[], $13::text[]) AS n({COLUMNS})
ON CONFLICT (pipeline, topic, part, record_offset) DO NOTHING"
    );
    let mut rest = letters;
    while !rest.is_empty() {
        let (chunk, tail) = rest.split_at(chunk_length(rest));
        rest = tail;
        dynamic(sql.clone())
            .bind(pipeline)
            .bind(column(chunk, |letter| &letter.topic))
            .bind(column(chunk, |letter| letter.partition))
            .bind(column(chunk, |letter| letter.offset))
            .bind(column(chunk, record_time))
            .bind(column(chunk, |letter| letter.key.as_deref()))
            .bind(column(chunk, |letter| letter.value.as_deref()))
            .bind(column(chunk, |letter| &letter.headers))
            .bind(column(chunk, |letter| letter.fault.stage.name()))
            .bind(column(chunk, |letter| letter.fault.class))
            .bind(column(chunk, |letter| storable(&letter.fault.code)))
            .bind(column(chunk, |letter| storable(&letter.fault.reason)))
            .bind(column(chunk, |letter| letter.fault.column.as_deref().map(storable)))
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// How many of `letters` go into one statement; at least one.
fn chunk_length(letters: &[DeadLetter]) -> usize {
    let mut bytes = 0;
    let fitting = letters.iter().take_while(|letter| {
        let [key, value] = [&letter.key, &letter.value].map(|part| part.as_ref().map_or(0, Vec::len));
        bytes += key + value + letter.headers.len();
        bytes <= STATEMENT_BYTES
    });
    fitting.count().max(1)
}

/// Microseconds since 2000. A producer can set any timestamp: one that PostgreSQL cannot hold must not stop the letter.
fn record_time(letter: &DeadLetter) -> Option<i64> {
    encode::timestamp(letter.timestamp?.checked_mul(1000)?).ok()
}

/// A field's name in a reason can hold U+0000, which no text in PostgreSQL can.
fn storable(text: &str) -> String {
    text.replace('\0', "\u{FFFD}")
}

/// One array parameter: a value of each item.
fn column<'a, T, V>(items: &'a [T], of: impl Fn(&'a T) -> V) -> Vec<V> {
    items.iter().map(of).collect()
}
