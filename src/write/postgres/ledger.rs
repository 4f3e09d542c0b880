//! Our own rows as an operator looks at them.

use async_trait::async_trait;
use sqlx::Row as _;

use crate::write::error::WriteError;
use crate::write::ledger::{OwnTables, StoredPosition};

use super::PostgresSession;
use super::errors::write_error;
use super::positions;
use super::query::dynamic;

#[async_trait]
impl OwnTables for PostgresSession {
    async fn look_at_positions(&mut self, pipeline: &str) -> Result<Vec<StoredPosition>, WriteError> {
        let sql = format!(
            "SELECT topic, part, next_offset, cluster_id, topic_id, owner_epoch, owner,
    (extract(epoch FROM updated_at) * 1000)::bigint AS moved_at
FROM {}.tidegate_positions WHERE pipeline = $1 ORDER BY topic, part",
            self.quoted_schema
        );
        let rows = dynamic(sql).bind(pipeline).fetch_all(&mut self.connection).await.map_err(write_error)?;
        let stored = rows
            .iter()
            .map(|row| Ok(StoredPosition { position: positions::position(row)?, moved_at: row.try_get("moved_at")? }));
        stored.collect::<sqlx::Result<_>>().map_err(write_error)
    }
}
