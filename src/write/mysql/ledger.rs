//! Our own rows as an operator looks at them.

use async_trait::async_trait;
use sqlx::{AssertSqlSafe, Row};

use crate::write::error::WriteError;
use crate::write::ledger::{OwnTables, StoredPosition};

use super::MySqlSession;
use super::errors::write_error;
use super::positions;
use super::statements::quote;

#[async_trait]
impl OwnTables for MySqlSession {
    async fn look_at_positions(&mut self, pipeline: &str) -> Result<Vec<StoredPosition>, WriteError> {
        let sql = format!(
            "SELECT topic, part, next_offset, cluster_id, topic_id, owner_epoch, owner, \
             CAST(TIMESTAMPDIFF(MICROSECOND, '1970-01-01', updated_at) DIV 1000 AS SIGNED) \
             FROM {}.tidegate_positions WHERE pipeline = ? ORDER BY topic, part",
            quote(&self.state_schema)
        );
        let query = sqlx::query(AssertSqlSafe(sql)).bind(pipeline);
        let rows = query.fetch_all(&mut self.connection).await.map_err(write_error)?;
        let stored = rows
            .iter()
            .map(|row| Ok(StoredPosition { position: positions::position(row)?, moved_at: row.try_get(7)? }));
        stored.collect::<Result<_, sqlx::Error>>().map_err(write_error)
    }
}
