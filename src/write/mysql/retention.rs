//! Old rows.

use sqlx::mysql::MySqlArguments;
use sqlx::{Arguments, AssertSqlSafe, Row};

use crate::write::error::WriteError;
use crate::write::plan::{RetentionPlan, TablePlan};

use super::MySqlSession;
use super::errors::write_error;
use super::statements::{quote, quote_table};

fn statement(plan: &TablePlan, retention: &RetentionPlan, rows: u32) -> String {
    format!("DELETE FROM {} WHERE {} < ? LIMIT {rows}", quote_table(&plan.table), quote(&retention.column.name))
}

impl MySqlSession {
    pub(super) async fn expire_rows(
        &mut self,
        plan: &TablePlan,
        retention: &RetentionPlan,
        limit: &str,
        rows: u32,
    ) -> Result<u64, WriteError> {
        self.change(statement(plan, retention, rows), &[limit]).await
    }

    pub(super) async fn read_meta(&mut self, name: &str) -> Result<Option<String>, WriteError> {
        let sql = format!("SELECT value FROM {}.tidegate_meta WHERE name = ?", quote(&self.state_schema));
        let row = sqlx::query(AssertSqlSafe(sql)).bind(name).fetch_optional(&mut self.connection).await;
        row.and_then(|row| row.map(|row| row.try_get(0)).transpose()).map_err(write_error)
    }

    pub(super) async fn write_meta(&mut self, name: &str, old: Option<&str>, new: &str) -> Result<bool, WriteError> {
        let table = format!("{}.tidegate_meta", quote(&self.state_schema));
        let changed = match old {
            Some(old) => {
                let sql = format!("UPDATE {table} SET value = ? WHERE name = ? AND value = ?");
                self.change(sql, &[new, name, old]).await?
            }
            // Not INSERT IGNORE, which makes every error a warning. Of two that insert at once, one is refused.
            None => {
                let sql = format!(
                    "INSERT INTO {table} (name, value) SELECT ?, ? FROM DUAL \
                     WHERE NOT EXISTS (SELECT 1 FROM {table} AS known WHERE known.name = ?)"
                );
                match self.change(sql, &[name, new, name]).await {
                    Err(error) if error.class == "unique" => 0,
                    changed => changed?,
                }
            }
        };
        Ok(changed == 1)
    }

    async fn change(&mut self, sql: String, values: &[&str]) -> Result<u64, WriteError> {
        let mut arguments = MySqlArguments::default();
        for value in values {
            arguments.add((*value).to_owned()).map_err(|error| write_error(sqlx::Error::Encode(error)))?;
        }
        self.execute(sql, arguments).await.map_err(write_error)
    }
}
