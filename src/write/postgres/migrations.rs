//! Our own tables: created where they are missing, their version checked.

use sqlx::{Connection as _, PgConnection, Row as _};

use crate::retry::Disposition;
use crate::write::error::WriteError;

use super::errors::write_error;
use super::query::{dynamic, dynamic_script};
use super::statements::quote;

/// In their order; the version of a database is how many of them it has.
const MIGRATIONS: [&str; 1] = [include_str!("../../../migrations/postgres/0001_positions_and_dead_letters.sql")];

/// Serializes daemons that start at the same time. Any number that nobody else uses: these are the letters "tidegate".
const LOCK: i64 = i64::from_be_bytes(*b"tidegate");

/// The statements that create our tables in `schema`, for an operator to run.
pub fn ddl(schema: &str) -> String {
    let schema = quote(schema);
    let tables: String = MIGRATIONS.map(|migration| migration.replace("{schema}", &schema)).join("\n");
    format!("CREATE SCHEMA IF NOT EXISTS {schema};\n\n{tables}\n{}", store_version(&schema))
}

fn store_version(quoted_schema: &str) -> String {
    format!(
        "INSERT INTO {quoted_schema}.tidegate_meta (name, value) VALUES ('schema_version', '{}')\n\
         ON CONFLICT (name) DO UPDATE SET value = EXCLUDED.value;\n",
        MIGRATIONS.len()
    )
}

/// Creates what is missing, in a transaction of its own.
pub(super) async fn migrate(connection: &mut PgConnection, schema: &str) -> Result<(), WriteError> {
    // Without a look first, a role that may use our tables but not create any could not start.
    if version(connection, schema).await? == MIGRATIONS.len() {
        return Ok(());
    }
    create(connection, schema).await.map_err(|error| {
        let error = write_error(error);
        if error.class != "no-privilege" {
            return error;
        }
        let message = format!(
            "the role may not create Tidegate's own tables in schema {schema:?}. Grant it CREATE there, or let somebody \
             who may run what `tidegate migrate FILE --print` shows:\n{}",
            ddl(schema)
        );
        WriteError { message, ..error }
    })
}

async fn create(connection: &mut PgConnection, schema: &str) -> sqlx::Result<()> {
    let mut transaction = connection.begin().await?;
    sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(LOCK).execute(&mut *transaction).await?;
    let exists: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)")
        .bind(schema)
        .fetch_one(&mut *transaction)
        .await?;
    let quoted = quote(schema);
    if !exists {
        dynamic_script(format!("CREATE SCHEMA {quoted}")).execute(&mut *transaction).await?;
    }
    for migration in MIGRATIONS {
        dynamic_script(migration.replace("{schema}", &quoted)).execute(&mut *transaction).await?;
    }
    dynamic_script(store_version(&quoted)).execute(&mut *transaction).await?;
    transaction.commit().await
}

/// How many of the migrations the database has.
async fn version(connection: &mut PgConnection, schema: &str) -> Result<usize, WriteError> {
    let is_there = "SELECT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                    WHERE n.nspname = $1 AND c.relname = 'tidegate_meta')";
    let is_there: bool =
        sqlx::query_scalar(is_there).bind(schema).fetch_one(&mut *connection).await.map_err(write_error)?;
    if !is_there {
        return Ok(0);
    }
    let stored = dynamic(format!("SELECT value FROM {}.tidegate_meta WHERE name = 'schema_version'", quote(schema)));
    let row = stored.fetch_optional(connection).await.map_err(write_error)?;
    let stored: Option<String> = row.map(|row| row.try_get(0)).transpose().map_err(write_error)?;
    match stored.as_deref().map(str::parse) {
        None => Ok(0),
        Some(Ok(version)) if version <= MIGRATIONS.len() => Ok(version),
        _ => Err(WriteError::new(
            Disposition::Block,
            "newer-schema",
            "",
            format!(
                "Tidegate's own tables in schema {schema:?} are of version {}, and this program knows up to {}: run \
                 the newer program",
                stored.unwrap_or_default().escape_debug(),
                MIGRATIONS.len()
            ),
        )
        .answered()),
    }
}
