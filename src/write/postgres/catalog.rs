//! Tables as `pg_catalog` describes them, and what the role may do with them.

use std::collections::HashMap;

use sqlx::postgres::PgRow;
use sqlx::postgres::types::Oid;
use sqlx::{PgConnection, Row as _};

use crate::config::Mode;
use crate::types::ColumnType;
use crate::write::catalog::{CatalogColumn, CatalogTable, Index, UniqueIndex};
use crate::write::plan::{DeletePlan, TablePlan};

use super::statements::{qualified, quote};

/// Tables, partitioned tables and views that the name can mean, those of the search path in its order. Foreign
/// tables are left out: what is written there is not part of the transaction.
const CANDIDATES: &str = r#"
SELECT c.oid, n.nspname, c.relname
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN unnest(current_schemas(false)) WITH ORDINALITY AS path(name, place) ON path.name = n.nspname
WHERE c.relkind IN ('r', 'p', 'v') AND lower(c.relname::text COLLATE "C") = lower($2 COLLATE "C")
  AND CASE WHEN $1 IS NULL THEN path.place IS NOT NULL
           ELSE lower(n.nspname::text COLLATE "C") = lower($1 COLLATE "C") END
ORDER BY path.place, n.nspname, c.relname"#;

/// Follows each column's type through domains and one array to the type that is written. An array over a domain keeps
/// its own name, because only the cast to it checks the domain.
const COLUMNS: &str = r#"
WITH RECURSIVE base(attnum, typid, typmod, required, has_default, array_oid, array_typmod, depth) AS (
    SELECT a.attnum, a.atttypid, a.atttypmod, a.attnotnull,
           a.atthasdef AND a.attgenerated = '' OR a.attidentity <> '', NULL::oid, NULL::int4, 0
    FROM pg_attribute a WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped
  UNION ALL
    SELECT b.attnum,
           CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.typelem END,
           CASE WHEN t.typtype = 'd' THEN t.typtypmod ELSE b.typmod END,
           b.required OR (b.depth = 0 AND t.typnotnull),
           b.has_default OR (b.depth = 0 AND t.typdefault IS NOT NULL),
           CASE WHEN t.typtype = 'd' THEN b.array_oid ELSE t.oid END,
           CASE WHEN t.typtype = 'd' THEN b.array_typmod ELSE b.typmod END,
           CASE WHEN t.typtype = 'd' THEN b.depth ELSE b.depth + 1 END
    FROM base b JOIN pg_type t ON t.oid = b.typid
    WHERE t.typtype = 'd' OR (t.typcategory = 'A' AND t.typelem <> 0 AND t.typlen = -1)
)
SELECT a.attnum, a.attname, b.typid, b.typmod, t.typtype::text AS typtype, b.depth,
       coalesce(b.array_oid, b.typid) AS oid,
       format_type(coalesce(b.array_oid, b.typid), coalesce(b.array_typmod, b.typmod)) AS native,
       NOT b.required AS nullable, b.has_default,
       a.attgenerated <> '' OR a.attidentity = 'a' AS generated
FROM base b JOIN pg_type t ON t.oid = b.typid JOIN pg_attribute a ON a.attrelid = $1 AND a.attnum = b.attnum
WHERE NOT (t.typtype = 'd' OR (t.typcategory = 'A' AND t.typelem <> 0 AND t.typlen = -1))
ORDER BY a.attnum"#;

/// What an ON CONFLICT can infer: complete, valid, immediate, over plain columns.
const UNIQUE: &str = "
SELECT c.relname, i.indisprimary, i.indkey::text AS attributes, i.indnkeyatts,
       i.indisvalid AND i.indimmediate AND i.indpred IS NULL AND i.indexprs IS NULL AS usable
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
WHERE i.indrelid = $1 AND i.indisunique
ORDER BY i.indisprimary DESC, c.relname";

pub(super) async fn table(connection: &mut PgConnection, name: &str) -> sqlx::Result<Option<CatalogTable>> {
    let Some((oid, schema, name)) = find(connection, name).await? else {
        return Ok(None);
    };
    let rows = sqlx::query(COLUMNS).bind(oid).fetch_all(&mut *connection).await?;
    let mut columns = Vec::with_capacity(rows.len());
    let mut places = HashMap::with_capacity(rows.len());
    for row in &rows {
        places.insert(row.try_get::<i16, _>("attnum")?, columns.len());
        columns.push(column(row)?);
    }
    let (mut unique, mut unusable_unique) = (Vec::new(), Vec::new());
    for row in sqlx::query(UNIQUE).bind(oid).fetch_all(connection).await? {
        let name: String = row.try_get("relname")?;
        let key = row.try_get::<i16, _>("indnkeyatts")? as usize;
        let attributes = row.try_get::<String, _>("attributes")?;
        let attributes = attributes.split(' ').take(key).filter_map(|number| places.get(&number.parse().ok()?));
        if row.try_get("usable")? {
            let primary = row.try_get("indisprimary")?;
            unique.push(UniqueIndex { name, primary, columns: attributes.copied().collect() });
        } else {
            unusable_unique.push(name);
        }
    }
    Ok(Some(CatalogTable { schema: Some(schema), name, columns, unique, unusable_unique }))
}

/// An exact name, the first of the search path; else the only one that equals it but for case.
async fn find(connection: &mut PgConnection, name: &str) -> sqlx::Result<Option<(Oid, String, String)>> {
    let (schema, table) = match name.split_once('.') {
        Some((schema, table)) => (Some(schema), table),
        None => (None, name),
    };
    let rows = sqlx::query(CANDIDATES).bind(schema).bind(table).fetch_all(connection).await?;
    let candidates = rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?)));
    let mut candidates: Vec<(Oid, String, String)> = candidates.collect::<sqlx::Result<_>>()?;
    let is_exact = |found: &(Oid, String, String)| found.2 == table && schema.is_none_or(|schema| found.1 == schema);
    Ok(match candidates.iter().position(is_exact) {
        Some(exact) => Some(candidates.swap_remove(exact)),
        None if candidates.len() == 1 => candidates.pop(),
        None => None,
    })
}

fn column(row: &PgRow) -> sqlx::Result<CatalogColumn> {
    let typid: Oid = row.try_get("typid")?;
    let scalar = column_type(typid.0, row.try_get("typtype")?, row.try_get("typmod")?);
    let ty = match row.try_get("depth")? {
        0 => scalar,
        1 => scalar.map(|element| ColumnType::List(Box::new(element))),
        _ => None,
    };
    Ok(CatalogColumn {
        name: row.try_get("attname")?,
        ty,
        native: row.try_get("native")?,
        oid: row.try_get::<Oid, _>("oid")?.0,
        nullable: row.try_get("nullable")?,
        has_default: row.try_get("has_default")?,
        generated: row.try_get("generated")?,
    })
}

/// `typtype` is that of `pg_type`.
fn column_type(oid: u32, typtype: &str, typmod: i32) -> Option<ColumnType> {
    Some(match (oid, typtype) {
        (16, _) => ColumnType::Bool,
        (17, _) => ColumnType::Bytes,
        (20, _) => ColumnType::Int64,
        (21, _) => ColumnType::Int16,
        (23, _) => ColumnType::Int32,
        (26, _) => ColumnType::UInt32,
        (114 | 3802, _) => ColumnType::Json,
        (700, _) => ColumnType::Float32,
        (701, _) => ColumnType::Float64,
        (1082, _) => ColumnType::Date,
        (1083, _) => ColumnType::Time,
        (1114, _) => ColumnType::Timestamp,
        (1184, _) => ColumnType::TimestampTz,
        // A time of day with a zone has no instant and no date; nothing that arrives can be brought to it.
        (1266, _) => return None,
        (1700, _) => numeric(typmod),
        (2950, _) => ColumnType::Uuid,
        (_, "e") => ColumnType::Enum,
        // Every other base type, range and multirange is written as its text, by a cast.
        (_, "b" | "r" | "m") => ColumnType::Text,
        _ => return None,
    })
}

/// The modifier holds precision and scale in two halves, plus the size of a length word. Since 15 a scale may be
/// negative (the digits before the point that are rounded away) or above the precision (zeros after the point).
fn numeric(typmod: i32) -> ColumnType {
    const LENGTH_WORD: i32 = 4;
    if typmod < LENGTH_WORD {
        return ColumnType::Numeric;
    }
    let precision = ((typmod - LENGTH_WORD) >> 16) & 0xffff;
    let scale = (((typmod - LENGTH_WORD) & 0x7ff) ^ 1024) - 1024;
    let (precision, scale) = if scale < 0 { (precision - scale, 0) } else { (precision.max(scale), scale) };
    ColumnType::Decimal { precision: precision as u32, scale: scale as u32 }
}

/// The rights that the plan needs and the role does not have, as a sentence.
pub(super) async fn missing_rights(connection: &mut PgConnection, plan: &TablePlan) -> sqlx::Result<Vec<String>> {
    const RIGHTS: &str = "SELECT current_user::text, needed.kind, needed.name
        FROM unnest($2::text[], $3::text[]) AS needed(kind, name)
        WHERE NOT CASE WHEN needed.name = '' THEN has_table_privilege($1::regclass, needed.kind)
                       ELSE has_column_privilege($1::regclass, needed.name, needed.kind) END";
    let table = qualified(&plan.table);
    let (kinds, names): (Vec<&str>, Vec<&str>) = needed_rights(plan).into_iter().unzip();
    let rows = sqlx::query(RIGHTS).bind(&table).bind(kinds).bind(names).fetch_all(connection).await?;
    let Some(first) = rows.first() else {
        return Ok(Vec::new());
    };
    let role: String = first.try_get(0)?;
    let mut kinds: Vec<String> = rows.iter().map(|row| row.try_get(1)).collect::<sqlx::Result<_>>()?;
    kinds.dedup();
    let kinds = kinds.join(", ");
    Ok(vec![format!(
        "table {}: the role {role:?} lacks {kinds} on it or on some of its columns: GRANT {kinds} ON TABLE {table} TO {}",
        plan.table.full_name(),
        quote(&role)
    )])
}

/// Kinds of rights with the column that each is needed on; DELETE exists for whole tables only.
fn needed_rights(plan: &TablePlan) -> Vec<(&'static str, &str)> {
    let columns = || plan.columns.iter().map(|planned| planned.column.name.as_str());
    let keys = || plan.key.iter().map(|&column| plan.columns[column].column.name.as_str());
    let version = || plan.version.map(|column| plan.columns[column].column.name.as_str());
    let mut needed = Vec::new();
    if plan.mode != Mode::Update {
        needed.extend(columns().map(|name| ("INSERT", name)));
    }
    if matches!(plan.mode, Mode::Upsert | Mode::Update | Mode::Merge) {
        let written = plan.columns.iter().enumerate().filter(|(column, _)| !plan.is_key(*column));
        needed.extend(written.map(|(_, planned)| ("UPDATE", planned.column.name.as_str())));
    }
    if plan.mode == Mode::Merge {
        // What is added to is read.
        let merged = plan.columns.iter().enumerate().filter(|(column, _)| !plan.is_key(*column));
        needed.extend(merged.map(|(_, planned)| ("SELECT", planned.column.name.as_str())));
    }
    if let DeletePlan::Soft(mark) = &plan.deletes {
        needed.push(("UPDATE", mark.name.as_str()));
    }
    // To find a row by its key, and to compare versions, is to read.
    if plan.mode != Mode::Append || plan.deletes != DeletePlan::Ignore {
        needed.extend(keys().chain(version()).map(|name| ("SELECT", name)));
    }
    if let Some(retention) = &plan.retention {
        needed.extend([("SELECT", retention.column.name.as_str()), ("DELETE", "")]);
    }
    if plan.deletes == DeletePlan::Hard || plan.replace.is_some() {
        needed.push(("DELETE", ""));
    }
    let replaced = plan.replace.iter().flat_map(|replace| &replace.columns);
    needed.extend(replaced.map(|&column| ("SELECT", plan.columns[column].column.name.as_str())));
    needed
}

/// Tables, without views; in the first schema of the search path where none is named.
pub(super) async fn table_names(connection: &mut PgConnection, schema: Option<&str>) -> sqlx::Result<Vec<String>> {
    const NAMES: &str = "SELECT c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'p') AND n.nspname = coalesce($1, current_schema()::text) ORDER BY 1";
    sqlx::query_scalar(NAMES).bind(schema).fetch_all(connection).await
}

/// Every whole index with the columns that it is over, an expression as an empty name.
pub(super) async fn indexes(connection: &mut PgConnection, table: &CatalogTable) -> sqlx::Result<Vec<Index>> {
    const INDEXES: &str = "SELECT c.relname::text, ARRAY(
            SELECT coalesce(a.attname::text, '') FROM generate_series(1, i.indnkeyatts) AS n
            LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[n - 1] ORDER BY n)
        FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
        WHERE i.indrelid = to_regclass($1) AND i.indisvalid AND i.indpred IS NULL
        ORDER BY i.indisprimary DESC, c.relname";
    let rows = sqlx::query(INDEXES).bind(qualified(table)).fetch_all(connection).await?;
    rows.iter().map(|row| Ok(Index { name: row.try_get(0)?, columns: row.try_get(1)? })).collect()
}

/// Can rows be copied into the table? Not into a view, and not where row security applies to this role.
pub(super) async fn takes_copy(connection: &mut PgConnection, plan: &TablePlan) -> sqlx::Result<bool> {
    const QUESTION: &str = "SELECT relkind IN ('r', 'p') AND NOT row_security_active(oid) FROM pg_class
        WHERE oid = to_regclass($1)";
    let row = sqlx::query(QUESTION).bind(qualified(&plan.table)).fetch_optional(connection).await?;
    // A table that is gone: the COPY says so in the server's words.
    row.map_or(Ok(true), |row| row.try_get(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn precision_and_scale_of_a_numeric() {
        let modifier = |precision: i32, scale: i32| (precision << 16 | (scale & 0x7ff)) + 4;
        let decimal = |precision, scale| ColumnType::Decimal { precision, scale };
        assert_eq!(numeric(-1), ColumnType::Numeric);
        assert_eq!(numeric(modifier(12, 2)), decimal(12, 2));
        assert_eq!(numeric(modifier(1000, 1000)), decimal(1000, 1000));
        assert_eq!(numeric(modifier(3, 5)), decimal(5, 5));
        assert_eq!(numeric(modifier(5, -2)), decimal(7, 0));
    }
}
