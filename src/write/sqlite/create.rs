//! A table that is to be made, in SQLite's words: STRICT, with decimals and times as text in the documented forms.

use sqlx::{AssertSqlSafe, SqliteConnection};

use crate::types::ColumnType;
use crate::write::create::{Draft, NewTable, Stored, Syntax};
use crate::write::error::WriteError;

use super::errors::write_error;
use super::statements::quoted;

pub fn draft(new: &NewTable) -> Result<Draft, Vec<String>> {
    // A name with a dot is one name here, but for the schema of the file itself.
    let name = new.name.strip_prefix("main.").unwrap_or(&new.name);
    let new = NewTable { name: name.to_owned(), ..new.clone() };
    let syntax = Syntax {
        quote: quoted,
        tail: " STRICT",
        target: quoted(name),
        folds_case: true,
        primary: format!("sqlite_autoindex_{name}_1"),
    };
    let mut draft = Draft::new(&new, None, &syntax, |column| stored(&new.columns[column].ty))?;
    if let [key] = new.key[..]
        && draft.table.columns[key].native == "INTEGER"
    {
        // The rowid itself, as the catalog reads it.
        draft.table.columns[key].has_default = true;
        "PRIMARY KEY".clone_into(&mut draft.table.unique[0].name);
    }
    Ok(draft)
}

/// The storage class of each type.
fn stored(ty: &ColumnType) -> Result<Stored, String> {
    use ColumnType as T;
    let (native, ty) = match ty {
        T::Bool | T::Int8 | T::Int16 | T::Int32 | T::Int64 | T::UInt8 | T::UInt16 | T::UInt32 => ("INTEGER", T::Int64),
        T::Float32 | T::Float64 => ("REAL", T::Float64),
        T::Bytes => ("BLOB", T::Bytes),
        // INTEGER ends with 63 bits.
        T::UInt64 => ("TEXT", T::Text),
        T::Decimal { .. } | T::Numeric | T::Text | T::Enum | T::Uuid | T::Json => ("TEXT", T::Text),
        T::Date | T::Time | T::Timestamp | T::TimestampTz => ("TEXT", T::Text),
        T::List(_) => return Err("SQLite has no arrays: declare it as json".to_owned()),
    };
    Ok(Stored { native: native.to_owned(), ty, oid: 0 })
}

/// Runs a draft's statement. A table that another process created meanwhile is left alone.
pub(super) async fn create(connection: &mut SqliteConnection, draft: &Draft) -> Result<(), WriteError> {
    let statement = sqlx::query(AssertSqlSafe(draft.sql.clone()));
    statement.execute(connection).await.map(drop).map_err(|error| draft.refused(write_error(error)))
}
