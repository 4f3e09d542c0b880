//! The rows of `tidegate_positions`, `tidegate_gaps` and `tidegate_dead_letters`.

use sqlx::mysql::{MySqlArguments, MySqlRow};
use sqlx::{Arguments, AssertSqlSafe, Row};

use crate::dead_letter::DeadLetter;
use crate::offsets::TopicPartition;
use crate::retry::Disposition;
use crate::write::error::WriteError;
use crate::write::session::{Gap, Move, Position};

use super::MySqlSession;
use super::bind::{Column, Types};
use super::chunks::Chunks;
use super::errors::write_error;
use super::statements::{Flavor, quote};

/// `n` rows, each as `row` says.
fn repeat(row: &str, rows: usize) -> String {
    let mut sql = row.to_owned();
    for _ in 1..rows {
        sql.push(',');
        sql.push_str(row);
    }
    sql
}

/// The positions table, joined with `rows` rows of topic, partition and `columns`, looked up one by one by its key:
/// no statement here locks or waits for a row that it is not about.
fn joined(flavor: Flavor, schema: &str, columns: &[(&str, &str)], rows: usize) -> String {
    let names: String = columns.iter().map(|(name, _)| format!(", {name}")).collect();
    let cells: String = columns.iter().map(|(_, cell)| format!(",{cell}")).collect();
    let row = match flavor {
        Flavor::MySql => format!("ROW(?,CAST(? AS SIGNED){cells})"),
        Flavor::MariaDb => format!("(?,CAST(? AS SIGNED){cells})"),
    };
    let table = format!("{}.tidegate_positions", quote(schema));
    format!(
        "(SELECT topic, part{names} FROM {table} WHERE FALSE UNION ALL VALUES {}) AS r STRAIGHT_JOIN {table} AS p \
         FORCE INDEX (PRIMARY) ON p.pipeline = ? AND p.topic = r.topic AND p.part = r.part",
        repeat(&row, rows)
    )
}

const NUMBER: &str = "CAST(? AS SIGNED)";

fn advance_sql(flavor: Flavor, schema: &str, rows: usize) -> String {
    let columns = [("owner_epoch", NUMBER), ("next_offset", NUMBER), ("next_offset AS moved_to", NUMBER)];
    format!(
        "UPDATE {} SET p.next_offset = r.moved_to, p.updated_at = UTC_TIMESTAMP(6) \
         WHERE p.owner_epoch = r.owner_epoch AND p.next_offset = r.next_offset",
        joined(flavor, schema, &columns, rows)
    )
}

fn count_sql(flavor: Flavor, schema: &str, rows: usize) -> String {
    format!(
        "SELECT COUNT(*) FROM {} WHERE p.owner_epoch = r.owner_epoch AND p.next_offset = r.next_offset",
        joined(flavor, schema, &[("owner_epoch", NUMBER), ("next_offset", NUMBER)], rows)
    )
}

fn lock_sql(schema: &str) -> String {
    format!(
        "SELECT topic, part, next_offset, cluster_id, topic_id, owner_epoch, owner FROM {}.tidegate_positions \
         FORCE INDEX (PRIMARY) WHERE pipeline = ? ORDER BY topic, part FOR UPDATE",
        quote(schema)
    )
}

/// Not INSERT IGNORE, which would hide other errors.
fn insert_sql(schema: &str, rows: usize) -> String {
    let table = format!("{}.tidegate_positions", quote(schema));
    format!(
        "INSERT INTO {table} (pipeline, topic, part, next_offset, cluster_id, topic_id, owner_epoch, owner, \
         updated_at) VALUES {} ON DUPLICATE KEY UPDATE pipeline = {table}.pipeline",
        repeat("(?,?,?,?,?,?,?,?,UTC_TIMESTAMP(6))", rows)
    )
}

fn update_sql(flavor: Flavor, schema: &str, rows: usize) -> String {
    let columns =
        [("next_offset", NUMBER), ("cluster_id", "?"), ("topic_id", "?"), ("owner_epoch", NUMBER), ("owner", "?")];
    format!(
        "UPDATE {} SET p.next_offset = r.next_offset, p.cluster_id = r.cluster_id, p.topic_id = r.topic_id, \
         p.owner_epoch = r.owner_epoch, p.owner = r.owner, p.updated_at = UTC_TIMESTAMP(6)",
        joined(flavor, schema, &columns, rows)
    )
}

fn dead_letters_sql(schema: &str, rows: usize) -> String {
    let table = format!("{}.tidegate_dead_letters", quote(schema));
    format!(
        "INSERT INTO {table} (pipeline, topic, part, record_offset, record_time, record_key, record_value, headers, \
         stage, class, code, reason, column_name, first_seen, last_seen, attempts) VALUES {} \
         ON DUPLICATE KEY UPDATE pipeline = {table}.pipeline",
        repeat("(?,?,?,?,?,?,?,?,?,?,?,?,?,UTC_TIMESTAMP(6),UTC_TIMESTAMP(6),1)", rows)
    )
}

/// Binds a value; the types here cannot fail to encode.
macro_rules! bind {
    ($arguments:expr, $($value:expr),+ $(,)?) => {
        $($arguments.add($value).expect("numbers, texts and bytes always encode");)+
    };
}

impl MySqlSession {
    pub(super) async fn advance_positions(&mut self, pipeline: &str, moves: &[Move]) -> Result<u64, WriteError> {
        let mut moved = 0;
        for part in self.parts(moves, 5) {
            let sql = advance_sql(self.flavor, &self.state_schema, part.len());
            let mut arguments = MySqlArguments::default();
            for Move { partition, epoch, expected, next } in part {
                bind!(arguments, &*partition.topic, partition.partition, *epoch, *expected, *next);
            }
            bind!(arguments, pipeline);
            moved += self.execute(sql, arguments).await.map_err(write_error)?;
        }
        Ok(moved)
    }

    pub(super) async fn count_positions(&mut self, pipeline: &str, moves: &[Move]) -> Result<u64, WriteError> {
        let mut found = 0;
        for part in self.parts(moves, 4) {
            let sql = count_sql(self.flavor, &self.state_schema, part.len());
            let mut arguments = MySqlArguments::default();
            for Move { partition, epoch, next, .. } in part {
                bind!(arguments, &*partition.topic, partition.partition, *epoch, *next);
            }
            bind!(arguments, pipeline);
            let query = sqlx::query_with(AssertSqlSafe(sql), arguments);
            let count: i64 =
                query.fetch_one(&mut self.connection).await.and_then(|row| row.try_get(0)).map_err(write_error)?;
            found += count.unsigned_abs();
        }
        Ok(found)
    }

    pub(super) async fn read_positions(&mut self, pipeline: &str) -> Result<Vec<Position>, WriteError> {
        let query = sqlx::query(AssertSqlSafe(lock_sql(&self.state_schema))).bind(pipeline);
        let rows = query.fetch_all(&mut self.connection).await.map_err(write_error)?;
        rows.iter().map(position).collect::<Result<_, _>>().map_err(write_error)
    }

    pub(super) async fn add_positions(&mut self, pipeline: &str, positions: &[Position]) -> Result<(), WriteError> {
        for part in self.parts(positions, 8) {
            let mut arguments = MySqlArguments::default();
            for position in part {
                let TopicPartition { topic, partition } = &position.partition;
                bind!(arguments, pipeline, &**topic, *partition, position.next_offset, &*position.cluster_id);
                bind!(arguments, &*position.topic_id, position.owner_epoch, &*position.owner);
            }
            self.execute(insert_sql(&self.state_schema, part.len()), arguments).await.map_err(write_error)?;
        }
        Ok(())
    }

    pub(super) async fn write_positions(&mut self, pipeline: &str, positions: &[Position]) -> Result<(), WriteError> {
        let mut found = 0;
        for part in self.parts(positions, 7) {
            let sql = update_sql(self.flavor, &self.state_schema, part.len());
            let mut arguments = MySqlArguments::default();
            for position in part {
                let TopicPartition { topic, partition } = &position.partition;
                bind!(arguments, &**topic, *partition, position.next_offset, &*position.cluster_id);
                bind!(arguments, &*position.topic_id, position.owner_epoch, &*position.owner);
            }
            bind!(arguments, pipeline);
            found += self.execute(sql, arguments).await.map_err(write_error)?;
        }
        if found == positions.len() as u64 {
            return Ok(());
        }
        let message = "rows of tidegate_positions disappeared while they were being claimed; the claim is repeated";
        Err(WriteError::new(Disposition::Retry, "conflict", "", message).answered())
    }

    pub(super) async fn add_gap(&mut self, pipeline: &str, gap: &Gap) -> Result<(), WriteError> {
        let sql = format!(
            "INSERT INTO {}.tidegate_gaps (pipeline, topic, part, from_offset, to_offset, reason, at) \
             VALUES (?,?,?,?,?,?,UTC_TIMESTAMP(6))",
            quote(&self.state_schema)
        );
        let mut arguments = MySqlArguments::default();
        bind!(arguments, pipeline, &*gap.partition.topic, gap.partition.partition, gap.from, gap.to, &*gap.reason);
        self.execute(sql, arguments).await.map(drop).map_err(write_error)
    }

    pub(super) async fn add_dead_letters(&mut self, pipeline: &str, letters: &[DeadLetter]) -> Result<(), WriteError> {
        let chunks = Chunks { placeholders_per_row: 13, sql_per_row: 80, max_packet: self.max_packet };
        if let Some(letter) = letters.iter().find(|letter| !chunks.fits(size(letter))) {
            let message = format!(
                "the dead letter of {}-{} at offset {} is larger than the server's max_allowed_packet: raise it above \
                 {} bytes",
                letter.topic,
                letter.partition,
                letter.offset,
                size(letter) + 1024
            );
            return Err(WriteError::new(Disposition::Block, "packet-too-large", "", message).answered());
        }
        let mut left = letters;
        while !left.is_empty() {
            let (part, rest) = left.split_at(chunks.next(left.len(), |index| size(&left[index])));
            left = rest;
            let mut arguments = MySqlArguments::default();
            for letter in part {
                bind_dead_letter(pipeline, letter, &self.types, &mut arguments);
            }
            self.execute(dead_letters_sql(&self.state_schema, part.len()), arguments).await.map_err(write_error)?;
        }
        Ok(())
    }

    /// Cuts rows of `placeholders` small values into what one statement takes.
    fn parts<'a, T>(&self, rows: &'a [T], placeholders: usize) -> Vec<&'a [T]> {
        let chunks =
            Chunks { placeholders_per_row: placeholders, sql_per_row: 20 * placeholders, max_packet: self.max_packet };
        let mut left = rows;
        let mut parts = Vec::new();
        while !left.is_empty() {
            // 1 KiB: more than any position's names.
            let (part, rest) = left.split_at(chunks.next(left.len(), |_| 1024));
            parts.push(part);
            left = rest;
        }
        parts
    }
}

/// An upper bound of a dead letter's bytes in a packet.
fn size(letter: &DeadLetter) -> usize {
    let bytes = |value: &Option<Vec<u8>>| value.as_ref().map_or(0, Vec::len);
    // 1 KiB: the names and the numbers.
    1024 + bytes(&letter.key) + bytes(&letter.value) + letter.headers.len() + letter.fault.reason.len()
}

fn bind_dead_letter(pipeline: &str, letter: &DeadLetter, types: &Types, arguments: &mut MySqlArguments) {
    bind!(arguments, pipeline, &*letter.topic, letter.partition, letter.offset);
    // A time that MySQL cannot hold (beyond the year 9999) is not worth losing the letter for.
    let time = letter.timestamp.and_then(|millis| millis.checked_mul(1000));
    let bind_time = |micros: Option<i64>, arguments: &mut MySqlArguments| {
        let array = arrow_array::TimestampMicrosecondArray::from(vec![micros]);
        Column::Timestamp(&array).bind(0, types, arguments)
    };
    if bind_time(time, arguments).is_err() {
        let _ = bind_time(None, arguments);
    }
    bind!(arguments, letter.key.as_deref(), letter.value.as_deref(), &*letter.headers);
    let fault = &letter.fault;
    bind!(arguments, fault.stage.name(), fault.class, &*fault.code, &*fault.reason, fault.column.as_deref());
}

pub(super) fn position(row: &MySqlRow) -> Result<Position, sqlx::Error> {
    let topic: String = row.try_get(0)?;
    Ok(Position {
        partition: TopicPartition::new(topic, row.try_get(1)?),
        next_offset: row.try_get(2)?,
        cluster_id: row.try_get(3)?,
        topic_id: row.try_get(4)?,
        owner_epoch: row.try_get(5)?,
        owner: row.try_get(6)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_statements_over_our_own_tables() {
        let all = [
            advance_sql(Flavor::MySql, "my`db", 2),
            advance_sql(Flavor::MariaDb, "state", 1),
            count_sql(Flavor::MySql, "state", 1),
            lock_sql("state"),
            insert_sql("state", 2),
            update_sql(Flavor::MariaDb, "state", 1),
            dead_letters_sql("state", 1),
        ];
        insta::assert_snapshot!(all.join("\n\n"));
    }
}
