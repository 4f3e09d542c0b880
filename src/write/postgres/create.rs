//! A table that is to be made, in PostgreSQL's words.

use sqlx::{Connection as _, PgConnection};

use crate::types::ColumnType;
use crate::write::create::{Draft, NewTable, Stored, Syntax};
use crate::write::error::WriteError;

use super::errors::write_error;
use super::query::dynamic_script;
use super::statements::quote;

/// DDL waits no longer for other sessions: what waits behind it would wait as well.
const LIMITS: &str = "SET LOCAL lock_timeout = '5s'; SET LOCAL statement_timeout = '30s'";

/// Daemons that create tables come one after another: the letters "tidecrea".
const LOCK: i64 = i64::from_be_bytes(*b"tidecrea");

/// `schema`: where a name without one is looked for.
pub fn draft(new: &NewTable, schema: &str) -> Result<Draft, Vec<String>> {
    let (named, table) = new.split_name();
    let target = match named {
        Some(schema) => format!("{}.{}", quote(schema), quote(table)),
        None => quote(table),
    };
    let primary = format!("{table}_pkey");
    let syntax = Syntax { quote, tail: "", target, folds_case: false, primary };
    Draft::new(new, Some(named.unwrap_or(schema).to_owned()), &syntax, |column| stored(&new.columns[column].ty))
}

/// The inverse of the catalog's types.
fn stored(ty: &ColumnType) -> Result<Stored, String> {
    use ColumnType as T;
    let (native, ty, oid) = match ty {
        T::Bool => ("boolean".to_owned(), T::Bool, 16),
        // The smallest that holds every value: there are no unsigned integers, and none of 8 bits.
        T::Int8 | T::Int16 | T::UInt8 => ("smallint".to_owned(), T::Int16, 21),
        T::Int32 | T::UInt16 => ("integer".to_owned(), T::Int32, 23),
        T::Int64 | T::UInt32 => ("bigint".to_owned(), T::Int64, 20),
        T::UInt64 => ("numeric(20,0)".to_owned(), T::Decimal { precision: 20, scale: 0 }, 1700),
        T::Float32 => ("real".to_owned(), T::Float32, 700),
        T::Float64 => ("double precision".to_owned(), T::Float64, 701),
        T::Decimal { precision, scale } => (format!("numeric({precision},{scale})"), ty.clone(), 1700),
        T::Numeric => ("numeric".to_owned(), T::Numeric, 1700),
        T::Text | T::Enum => ("text".to_owned(), T::Text, 25),
        T::Bytes => ("bytea".to_owned(), T::Bytes, 17),
        T::Uuid => ("uuid".to_owned(), T::Uuid, 2950),
        T::Date => ("date".to_owned(), T::Date, 1082),
        T::Time => ("time without time zone".to_owned(), T::Time, 1083),
        T::Timestamp => ("timestamp without time zone".to_owned(), T::Timestamp, 1114),
        T::TimestampTz => ("timestamp with time zone".to_owned(), T::TimestampTz, 1184),
        T::Json => ("jsonb".to_owned(), T::Json, 3802),
        T::List(element) => {
            let element = stored(element)?;
            let oid = super::wire::array_of(element.oid).ok_or("declare it as json")?;
            (format!("{}[]", element.native), T::List(Box::new(element.ty)), oid)
        }
    };
    Ok(Stored { native, ty, oid })
}

/// The schema that a name without one is looked for in first, and created in.
pub(super) async fn schema(connection: &mut PgConnection) -> Result<String, WriteError> {
    let schema: Option<String> =
        sqlx::query_scalar("SELECT current_schema()").fetch_one(connection).await.map_err(write_error)?;
    Ok(schema.unwrap_or_else(|| "public".to_owned()))
}

/// Runs a draft's statement, in a transaction of its own. A table that somebody else created meanwhile is left alone.
pub(super) async fn create(connection: &mut PgConnection, draft: &Draft) -> Result<(), WriteError> {
    match run(connection, draft).await {
        Ok(()) => Ok(()),
        // Somebody who does not know our lock: IF NOT EXISTS looks before it creates, and another session may be in
        // between (a name in pg_type, the table itself). It is there now.
        Err(sqlx::Error::Database(error)) if matches!(error.code().as_deref(), Some("23505" | "42P07" | "42710")) => {
            Ok(())
        }
        Err(error) => Err(draft.refused(write_error(error))),
    }
}

async fn run(connection: &mut PgConnection, draft: &Draft) -> sqlx::Result<()> {
    let mut transaction = connection.begin().await?;
    sqlx::raw_sql(LIMITS).execute(&mut *transaction).await?;
    sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(LOCK).execute(&mut *transaction).await?;
    dynamic_script(draft.sql.clone()).execute(&mut *transaction).await?;
    transaction.commit().await
}
