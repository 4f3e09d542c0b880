//! Old rows.

use sqlx::{AssertSqlSafe, SqliteConnection};

use crate::types::ColumnType;
use crate::write::plan::{RetentionPlan, TablePlan};

use super::statements::quoted;

/// Found by their rowid. The stored forms of times sort as times.
fn statement(plan: &TablePlan, retention: &RetentionPlan, rows: u32) -> String {
    let (table, column) = (quoted(&plan.table.name), quoted(&retention.column.name));
    format!("DELETE FROM {table} WHERE rowid IN (SELECT t.rowid FROM {table} AS t WHERE t.{column} < ?1 LIMIT {rows})")
}

pub(super) async fn expire(
    connection: &mut SqliteConnection,
    plan: &TablePlan,
    retention: &RetentionPlan,
    limit: &str,
    rows: u32,
) -> sqlx::Result<u64> {
    let limit = match retention.ty {
        ColumnType::TimestampTz => format!("{}Z", limit.replacen(' ', "T", 1)),
        _ => limit.to_owned(),
    };
    let sql = AssertSqlSafe(statement(plan, retention, rows));
    Ok(sqlx::query(sql).bind(limit).execute(connection).await?.rows_affected())
}

pub(super) async fn meta(connection: &mut SqliteConnection, name: &str) -> sqlx::Result<Option<String>> {
    let sql = "SELECT value FROM tidegate_meta WHERE name = ?1";
    sqlx::query_scalar(sql).bind(name.to_owned()).fetch_optional(connection).await
}

pub(super) async fn swap_meta(
    connection: &mut SqliteConnection,
    name: &str,
    old: Option<&str>,
    new: &str,
) -> sqlx::Result<bool> {
    let sql = match old {
        Some(_) => "UPDATE tidegate_meta SET value = ?2 WHERE name = ?1 AND value = ?3",
        None => "INSERT INTO tidegate_meta (name, value) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
    };
    let mut query = sqlx::query(sql).bind(name.to_owned()).bind(new.to_owned());
    if let Some(old) = old {
        query = query.bind(old.to_owned());
    }
    Ok(query.execute(connection).await?.rows_affected() == 1)
}
