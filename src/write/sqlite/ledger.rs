//! Our own rows as an operator looks at them.

use async_trait::async_trait;
use sqlx::Row;

use crate::write::error::WriteError;
use crate::write::ledger::{OwnTables, StoredPosition};

use super::SqliteSession;
use super::errors::write_error;
use super::positions;

/// ?1 pipeline
const LOOK: &str = "\
SELECT topic, part, next_offset, cluster_id, topic_id, owner_epoch, owner, \
CAST(round(unixepoch(updated_at, 'subsec') * 1000) AS INTEGER) FROM tidegate_positions \
WHERE pipeline = ?1 ORDER BY topic, part";

#[async_trait]
impl OwnTables for SqliteSession {
    async fn look_at_positions(&mut self, pipeline: &str) -> Result<Vec<StoredPosition>, WriteError> {
        let query = sqlx::query(LOOK).bind(pipeline.to_owned());
        let rows = query.fetch_all(&mut self.connection).await.map_err(write_error)?;
        let stored = rows
            .iter()
            .map(|row| Ok(StoredPosition { position: positions::position(row)?, moved_at: row.try_get(7)? }));
        stored.collect::<Result<_, sqlx::Error>>().map_err(write_error)
    }
}
