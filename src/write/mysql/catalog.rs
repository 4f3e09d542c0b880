//! A table as `information_schema` has it.

use std::collections::HashSet;

use sqlx::mysql::MySqlRow;
use sqlx::{Error, Row};

use crate::retry::Disposition;
use crate::types::ColumnType;
use crate::write::catalog::{CatalogColumn, CatalogTable, Index, UniqueIndex};
use crate::write::error::WriteError;

use super::MySqlSession;
use super::errors::write_error;
use super::statements::Flavor;

// CAST AS CHAR: the servers disagree on whether these texts are binary.
const TABLES: &str = "SELECT CAST(table_schema AS CHAR), CAST(table_name AS CHAR), CAST(table_type AS CHAR) \
                      FROM information_schema.tables WHERE table_schema = ? AND LOWER(table_name) = LOWER(?)";

const COLUMNS: &str = "SELECT CAST(column_name AS CHAR), CAST(data_type AS CHAR), CAST(column_type AS CHAR), \
                       CAST(is_nullable AS CHAR), CAST(column_default AS CHAR), CAST(extra AS CHAR), \
                       CAST(numeric_precision AS SIGNED), CAST(numeric_scale AS SIGNED) \
                       FROM information_schema.columns WHERE table_schema = ? AND table_name = ? \
                       ORDER BY ordinal_position";

// The primary key first. A part over an expression has no column name, one over a prefix a sub_part.
const UNIQUE: &str = "SELECT CAST(index_name AS CHAR), CAST(column_name AS CHAR), CAST(sub_part AS SIGNED) \
                      FROM information_schema.statistics \
                      WHERE table_schema = ? AND table_name = ? AND non_unique = 0 \
                      ORDER BY index_name <> 'PRIMARY', index_name, seq_in_index";

const INDEXES: &str = "SELECT CAST(index_name AS CHAR), CAST(column_name AS CHAR), CAST(sub_part AS SIGNED) \
                       FROM information_schema.statistics WHERE table_schema = ? AND table_name = ? \
                       AND index_type = 'BTREE' ORDER BY index_name <> 'PRIMARY', index_name, seq_in_index";

// MariaDB's JSON is a LONGTEXT with this constraint.
const JSON_CHECKS: &str = "SELECT CAST(check_clause AS CHAR) FROM information_schema.check_constraints \
                           WHERE constraint_schema = ? AND table_name = ? AND check_clause LIKE 'json\\_valid(%'";

impl MySqlSession {
    pub(super) async fn find_table(&mut self, name: &str) -> Result<Option<CatalogTable>, WriteError> {
        let database = self.database.clone();
        if let Some(found) = self.find_in(&database, name).await? {
            return Ok(Some(found));
        }
        match name.split_once('.') {
            Some((schema, name)) => self.find_in(schema, name).await,
            None => Ok(None),
        }
    }

    async fn find_in(&mut self, schema: &str, name: &str) -> Result<Option<CatalogTable>, WriteError> {
        let found = self.query(TABLES, schema, name).await?;
        let found = found.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?)));
        let found: Vec<(String, String, String)> = found.collect::<Result<_, Error>>().map_err(write_error)?;
        let exact = found.iter().find(|(_, table, _)| table == name);
        let Some((schema, name, kind)) = exact.or(if found.len() == 1 { found.first() } else { None }) else {
            return Ok(None);
        };
        if kind.contains("VIEW") {
            let message = "it is a view: name the table under it";
            return Err(WriteError::new(Disposition::Block, "target-table", "", message).on_table(name).answered());
        }
        let json = self.json_columns(schema, name).await?;
        let rows = self.query(COLUMNS, schema, name).await?;
        let columns = rows.iter().map(|row| column(row, self.flavor, &json));
        let columns: Vec<CatalogColumn> = columns.collect::<Result<_, Error>>().map_err(write_error)?;
        let rows = self.query(UNIQUE, schema, name).await?;
        let (unique, unusable_unique) = unique(&rows, &columns).map_err(write_error)?;
        Ok(Some(CatalogTable { schema: Some(schema.clone()), name: name.clone(), columns, unique, unusable_unique }))
    }

    pub(super) async fn find_names(&mut self, schema: Option<&str>) -> Result<Vec<String>, WriteError> {
        const SQL: &str = "SELECT CAST(table_name AS CHAR) FROM information_schema.tables \
                           WHERE table_schema = ? AND table_type = 'BASE TABLE' ORDER BY 1";
        let schema = schema.unwrap_or(&self.database).to_owned();
        let rows = sqlx::query(SQL).bind(schema).fetch_all(&mut self.connection).await.map_err(write_error)?;
        rows.iter().map(|row| row.try_get(0)).collect::<Result<_, Error>>().map_err(write_error)
    }

    pub(super) async fn find_indexes(&mut self, table: &CatalogTable) -> Result<Vec<Index>, WriteError> {
        let rows = self.query(INDEXES, table.schema.as_deref().unwrap_or_default(), &table.name).await?;
        let mut indexes: Vec<Index> = Vec::new();
        for row in &rows {
            let part = |row: &MySqlRow| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?));
            let (name, column, prefix): (String, Option<String>, Option<i64>) = part(row).map_err(write_error)?;
            let column = column.filter(|_| prefix.is_none()).unwrap_or_default();
            match indexes.last_mut() {
                Some(index) if index.name == name => index.columns.push(column),
                _ => indexes.push(Index { name, columns: vec![column] }),
            }
        }
        Ok(indexes)
    }

    async fn json_columns(&mut self, schema: &str, name: &str) -> Result<HashSet<String>, WriteError> {
        if self.flavor == Flavor::MySql {
            return Ok(HashSet::new());
        }
        let rows = self.query(JSON_CHECKS, schema, name).await?;
        let clauses = rows.iter().map(|row| row.try_get::<String, _>(0));
        let clauses: Vec<String> = clauses.collect::<Result<_, Error>>().map_err(write_error)?;
        let checked = |clause: &String| Some(clause.strip_prefix("json_valid(`")?.strip_suffix("`)")?.to_owned());
        Ok(clauses.iter().filter_map(checked).collect())
    }

    async fn query(&mut self, sql: &'static str, schema: &str, name: &str) -> Result<Vec<MySqlRow>, WriteError> {
        sqlx::query(sql).bind(schema).bind(name).fetch_all(&mut self.connection).await.map_err(write_error)
    }
}

fn column(row: &MySqlRow, flavor: Flavor, json: &HashSet<String>) -> Result<CatalogColumn, Error> {
    let name: String = row.try_get(0)?;
    let (data_type, native): (String, String) = (row.try_get(1)?, row.try_get(2)?);
    let nullable: String = row.try_get(3)?;
    let default: Option<String> = row.try_get(4)?;
    let extra: String = row.try_get::<String, _>(5)?.to_ascii_uppercase();
    let (precision, scale): (Option<i64>, Option<i64>) = (row.try_get(6)?, row.try_get(7)?);
    // MariaDB writes a default of NULL as the text NULL.
    let has_default = default.is_some_and(|default| flavor == Flavor::MySql || default != "NULL")
        || extra.contains("AUTO_INCREMENT")
        || extra.contains("DEFAULT_GENERATED");
    let ty = match column_type(&data_type, &native, precision, scale) {
        Some(ColumnType::Text) if json.contains(&name) => Some(ColumnType::Json),
        ty => ty,
    };
    Ok(CatalogColumn {
        ty,
        native,
        oid: 0,
        nullable: nullable == "YES",
        has_default,
        generated: ["VIRTUAL GENERATED", "STORED GENERATED", "PERSISTENT"].iter().any(|word| extra.contains(word)),
        name,
    })
}

/// What a column of MySQL holds. `None`: not written (bit fields of several bits, geometry, vectors ..).
fn column_type(data_type: &str, native: &str, precision: Option<i64>, scale: Option<i64>) -> Option<ColumnType> {
    use ColumnType as T;
    let unsigned = native.contains("unsigned");
    let pick = |signed: T, other: T| if unsigned { other } else { signed };
    Some(match data_type {
        // What BOOLEAN is short for.
        "tinyint" if native.starts_with("tinyint(1)") && !unsigned => T::Bool,
        "tinyint" => pick(T::Int8, T::UInt8),
        "smallint" => pick(T::Int16, T::UInt16),
        "mediumint" | "int" => pick(T::Int32, T::UInt32),
        "bigint" => pick(T::Int64, T::UInt64),
        "bit" if native == "bit(1)" => T::Bool,
        "decimal" => T::Decimal { precision: u32::try_from(precision?).ok()?, scale: u32::try_from(scale?).ok()? },
        "float" => T::Float32,
        "double" => T::Float64,
        "char" | "varchar" | "tinytext" | "text" | "mediumtext" | "longtext" | "set" => T::Text,
        "inet4" | "inet6" => T::Text,
        "enum" => T::Enum,
        "binary" | "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob" => T::Bytes,
        "date" => T::Date,
        "time" => T::Time,
        "datetime" => T::Timestamp,
        "timestamp" => T::TimestampTz,
        "year" => T::Int16,
        "json" => T::Json,
        "uuid" => T::Uuid,
        _ => return None,
    })
}

/// Unique indexes over whole columns, the primary key first, and the names of the others.
fn unique(rows: &[MySqlRow], columns: &[CatalogColumn]) -> Result<(Vec<UniqueIndex>, Vec<String>), Error> {
    let mut usable: Vec<UniqueIndex> = Vec::new();
    let mut unusable: Vec<String> = Vec::new();
    for row in rows {
        let name: String = row.try_get(0)?;
        let column: Option<String> = row.try_get(1)?;
        let prefix: Option<i64> = row.try_get(2)?;
        if unusable.contains(&name) {
            continue;
        }
        let whole = column.filter(|_| prefix.is_none());
        let Some(column) = whole.and_then(|column| columns.iter().position(|known| known.name == column)) else {
            usable.retain(|index| index.name != name);
            unusable.push(name);
            continue;
        };
        match usable.last_mut() {
            Some(index) if index.name == name => index.columns.push(column),
            _ => usable.push(UniqueIndex { primary: name == "PRIMARY", name, columns: vec![column] }),
        }
    }
    Ok((usable, unusable))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn native_types_have_their_meaning() {
        use ColumnType as T;
        #[rustfmt::skip]
        let types = [
            ("tinyint", "tinyint(1)", Some(T::Bool)), ("tinyint", "tinyint(4)", Some(T::Int8)),
            ("tinyint", "tinyint(1) unsigned", Some(T::UInt8)), ("smallint", "smallint unsigned", Some(T::UInt16)),
            ("mediumint", "mediumint(9)", Some(T::Int32)), ("int", "int(10) unsigned zerofill", Some(T::UInt32)),
            ("bigint", "bigint", Some(T::Int64)), ("bigint", "bigint unsigned", Some(T::UInt64)),
            ("bit", "bit(1)", Some(T::Bool)), ("bit", "bit(8)", None),
            ("float", "float", Some(T::Float32)), ("double", "double", Some(T::Float64)),
            ("set", "set('a','b')", Some(T::Text)), ("enum", "enum('unsigned')", Some(T::Enum)),
            ("binary", "binary(16)", Some(T::Bytes)), ("uuid", "uuid", Some(T::Uuid)),
            ("datetime", "datetime(6)", Some(T::Timestamp)), ("timestamp", "timestamp", Some(T::TimestampTz)),
            ("year", "year", Some(T::Int16)), ("json", "json", Some(T::Json)), ("point", "point", None),
        ];
        for (data_type, native, ty) in types {
            assert_eq!(column_type(data_type, native, None, None), ty, "{native}");
        }
        let decimal = column_type("decimal", "decimal(65,30)", Some(65), Some(30));
        assert_eq!(decimal, Some(T::Decimal { precision: 65, scale: 30 }));
    }
}
