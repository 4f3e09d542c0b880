//! Old rows.

use sqlx::{PgConnection, Row as _};

use crate::types::ColumnType;
use crate::write::plan::{RetentionPlan, TablePlan};

use super::query::dynamic;
use super::statements::{qualified, quote};

/// Found by their place, which needs no key. A place is one of a partition, and another may have a row at the same: the
/// condition is asked again. Rows that somebody has locked are left for the next time.
fn statement(plan: &TablePlan, retention: &RetentionPlan, rows: u32) -> String {
    let (table, column) = (qualified(&plan.table), quote(&retention.column.name));
    let limit = match retention.column.ty {
        Some(ColumnType::Date) => "$1::date",
        Some(ColumnType::TimestampTz) => "($1 || '+00')::timestamptz",
        _ => "$1::timestamp",
    };
    format!(
        "DELETE FROM {table} WHERE {column} < {limit} AND ctid = ANY(ARRAY(\
         SELECT ctid FROM {table} WHERE {column} < {limit} LIMIT {rows} FOR UPDATE SKIP LOCKED))"
    )
}

pub(super) async fn expire(
    connection: &mut PgConnection,
    plan: &TablePlan,
    retention: &RetentionPlan,
    limit: &str,
    rows: u32,
) -> sqlx::Result<u64> {
    let deleted = dynamic(statement(plan, retention, rows)).bind(limit.to_owned()).execute(connection).await?;
    Ok(deleted.rows_affected())
}

pub(super) async fn meta(connection: &mut PgConnection, schema: &str, name: &str) -> sqlx::Result<Option<String>> {
    let sql = format!("SELECT value FROM {schema}.tidegate_meta WHERE name = $1");
    let row = dynamic(sql).bind(name.to_owned()).fetch_optional(connection).await?;
    row.map(|row| row.try_get(0)).transpose()
}

pub(super) async fn swap_meta(
    connection: &mut PgConnection,
    schema: &str,
    name: &str,
    old: Option<&str>,
    new: &str,
) -> sqlx::Result<bool> {
    let sql = match old {
        Some(_) => format!("UPDATE {schema}.tidegate_meta SET value = $2 WHERE name = $1 AND value = $3"),
        None => format!("INSERT INTO {schema}.tidegate_meta (name, value) VALUES ($1, $2) ON CONFLICT DO NOTHING"),
    };
    let mut query = dynamic(sql).bind(name.to_owned()).bind(new.to_owned());
    if let Some(old) = old {
        query = query.bind(old.to_owned());
    }
    Ok(query.execute(connection).await?.rows_affected() == 1)
}
