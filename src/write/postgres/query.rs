//! The one place where SQL that is not a literal goes to the driver. Its names are quoted by
//! [`super::statements::quote`], and it holds no values: those are always bound.

use sqlx::postgres::{PgArgumentBuffer, PgArguments, PgTypeInfo, types::Oid};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Encode, Postgres, RawSql, Type, encode::IsNull, error::BoxDynError, raw_sql};

/// A prepared statement, kept by the connection under its text.
pub(super) fn dynamic(sql: impl Into<std::sync::Arc<str>>) -> Query<'static, Postgres, PgArguments> {
    sqlx::query(AssertSqlSafe(sql.into()))
}

/// Statements without parameters, sent as they are.
pub(super) fn dynamic_script(sql: String) -> RawSql {
    raw_sql(AssertSqlSafe(sql))
}

/// A parameter that is already in the server's binary form.
pub(super) struct Binary<'a> {
    pub oid: u32,
    pub bytes: &'a [u8],
}

impl Type<Postgres> for Binary<'_> {
    fn type_info() -> PgTypeInfo {
        // Asked for only where a value does not say its own type; ours always do (`produces`).
        PgTypeInfo::with_oid(Oid(0))
    }
}

impl Encode<'_, Postgres> for Binary<'_> {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        buffer.extend_from_slice(self.bytes);
        Ok(IsNull::No)
    }

    fn produces(&self) -> Option<PgTypeInfo> {
        Some(PgTypeInfo::with_oid(Oid(self.oid)))
    }

    fn size_hint(&self) -> usize {
        self.bytes.len()
    }
}
