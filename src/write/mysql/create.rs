//! A table that is to be made, in the words of MySQL and MariaDB.

use sqlx::{AssertSqlSafe, Executor};

use crate::types::ColumnType;
use crate::write::create::{Draft, NewTable, Stored, Syntax};
use crate::write::error::WriteError;

use super::MySqlSession;
use super::errors::write_error;
use super::statements::{Flavor, quote};

/// DDL waits no longer for other sessions: what waits behind it would wait as well.
const LIMIT: &str = "SET SESSION lock_wait_timeout = 5";

/// The longest index of InnoDB, in bytes.
const LONGEST_KEY: usize = 3072;
/// Bytes of a character of utf8mb4.
const CHARACTER: usize = 4;
/// The most characters of a text in a key; shorter where several share the index.
const KEY_TEXT: usize = 255;
/// Fewer are of no use.
const LEAST_KEY_TEXT: usize = 32;
/// The widest column of another type in a key: a decimal.
const OTHER: usize = 32;

const MOST_DIGITS: u32 = 65;
const MOST_SCALE: u32 = 30;

/// What a server is, as far as its types go.
#[derive(Debug, Clone, Copy)]
pub struct Server {
    pub flavor: Flavor,
    /// Does it have the type `uuid`?
    pub has_uuid: bool,
}

/// `database`: where a name without one is looked for.
pub fn draft(new: &NewTable, server: Server, database: &str) -> Result<Draft, Vec<String>> {
    let (named, table) = new.split_name();
    let target = match named {
        Some(schema) => format!("{}.{}", quote(schema), quote(table)),
        None => quote(table),
    };
    let tail = " ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4";
    let syntax = Syntax { quote, tail, target, folds_case: true, primary: "PRIMARY".to_owned() };
    let length = key_text(new);
    Draft::new(new, Some(named.unwrap_or(database).to_owned()), &syntax, |column| {
        let ty = &new.columns[column].ty;
        if new.is_key(column) { key(ty, server, length) } else { stored(ty, server) }
    })
}

/// How long the texts and bytes of the key may be, all in one index.
fn key_text(new: &NewTable) -> usize {
    let is_text = |&&key: &&usize| is_long(&new.columns[key].ty);
    let texts = new.key.iter().filter(is_text).count();
    let others = (new.key.len() - texts) * OTHER;
    (LONGEST_KEY.saturating_sub(others) / (texts.max(1) * CHARACTER)).min(KEY_TEXT)
}

fn is_long(ty: &ColumnType) -> bool {
    matches!(ty, ColumnType::Text | ColumnType::Enum | ColumnType::Bytes)
}

/// A column of the key: texts and bytes need a length, and two texts are one key only where they are the same: without
/// regard to neither case, accents nor trailing blanks they are not.
fn key(ty: &ColumnType, server: Server, length: usize) -> Result<Stored, String> {
    if is_long(ty) && length < LEAST_KEY_TEXT {
        return Err(format!(
            "the key has too many texts for an index of {LONGEST_KEY} bytes: create the table yourself"
        ));
    }
    let collation = match server.flavor {
        Flavor::MySql => "utf8mb4_0900_bin",
        Flavor::MariaDb => "utf8mb4_nopad_bin",
    };
    let (native, ty) = match ty {
        ColumnType::Text | ColumnType::Enum => {
            (format!("varchar({length}) CHARACTER SET utf8mb4 COLLATE {collation}"), ColumnType::Text)
        }
        ColumnType::Bytes => (format!("varbinary({length})"), ColumnType::Bytes),
        ColumnType::Json => return Err("a document cannot be in a key here: declare it as text".to_owned()),
        other => return stored(other, server),
    };
    Ok(Stored { native, ty, oid: 0 })
}

/// The inverse of the catalog's types.
fn stored(ty: &ColumnType, server: Server) -> Result<Stored, String> {
    use ColumnType as T;
    let native = match ty {
        T::Bool => "tinyint(1)".to_owned(),
        T::Int8 => "tinyint".to_owned(),
        T::Int16 => "smallint".to_owned(),
        T::Int32 => "int".to_owned(),
        T::Int64 => "bigint".to_owned(),
        T::UInt8 => "tinyint unsigned".to_owned(),
        T::UInt16 => "smallint unsigned".to_owned(),
        T::UInt32 => "int unsigned".to_owned(),
        T::UInt64 => "bigint unsigned".to_owned(),
        T::Float32 => "float".to_owned(),
        T::Float64 => "double".to_owned(),
        T::Decimal { precision, scale } if *precision <= MOST_DIGITS && *scale <= MOST_SCALE => {
            format!("decimal({precision},{scale})")
        }
        T::Decimal { .. } | T::Numeric => {
            return Err(format!(
                "a decimal has at most {MOST_DIGITS} digits here, {MOST_SCALE} of them behind the point: declare how \
                 many, as decimal(p,s)"
            ));
        }
        T::Text | T::Enum => "longtext".to_owned(),
        T::Bytes => "longblob".to_owned(),
        T::Uuid if server.has_uuid => "uuid".to_owned(),
        T::Uuid => return Err("this server has no type for it: declare it as text".to_owned()),
        T::Date => "date".to_owned(),
        T::Time => "time(6)".to_owned(),
        // Not TIMESTAMP, which ends in 2038: the time in UTC.
        T::Timestamp | T::TimestampTz => "datetime(6)".to_owned(),
        T::Json => "json".to_owned(),
        T::List(_) => return Err("there are no arrays here: declare it as json".to_owned()),
    };
    let ty = match ty {
        T::Enum => T::Text,
        T::TimestampTz => T::Timestamp,
        other => other.clone(),
    };
    Ok(Stored { native, ty, oid: 0 })
}

impl MySqlSession {
    pub(super) fn draft_table(&self, new: &NewTable) -> Result<Draft, Vec<String>> {
        let has_uuid = self.flavor == Flavor::MariaDb && self.version >= (10, 7, 0);
        draft(new, Server { flavor: self.flavor, has_uuid }, &self.database)
    }

    /// Runs a draft's statement. A table that somebody else created meanwhile is left alone.
    pub(super) async fn create_table_of(&mut self, draft: &Draft) -> Result<(), WriteError> {
        self.connection.execute(LIMIT).await.map_err(write_error)?;
        let created = self.connection.execute(AssertSqlSafe(draft.sql.clone())).await;
        created.map(drop).map_err(|error| draft.refused(write_error(error)))
    }
}
