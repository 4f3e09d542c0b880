//! What PostgreSQL's errors mean. One match over SQLSTATE; the sentences are ours, because the server's messages and
//! details hold values of rows.

use sqlx::postgres::{PgDatabaseError, PgSeverity};

use crate::retry::Disposition::{self, Block, Isolate, Retry};
use crate::write::error::WriteError;
use crate::write::session::CommitError;

/// The routine of the server that reports a prepared statement whose table has changed. Its message is translated,
/// the routine's name is not.
const STALE_PLAN_ROUTINE: &str = "RevalidateCachedQuery";

struct Verdict(Disposition, &'static str, &'static str);

/// <https://www.postgresql.org/docs/current/errcodes-appendix.html>
#[rustfmt::skip]
fn verdict(code: &str) -> Verdict {
    match code {
        // It passes by itself.
        "40001" => Verdict(Retry, "serialization", "the transaction collided with another one"),
        "40P01" => Verdict(Retry, "deadlock", "the transaction and another one waited for each other"),
        "55P03" => Verdict(Retry, "lock-timeout", "a lock was not granted in time: another session's transaction holds it (see pg_stat_activity)"),
        "55006" => Verdict(Retry, "in-use", "another session uses the object"),
        "57014" => Verdict(Retry, "statement-timeout", "the statement was not done within its time limit, or somebody cancelled it"),
        "57P01" => Verdict(Retry, "connection", "the server is shutting down, or an administrator ended the session"),
        "57P02" => Verdict(Retry, "connection", "the server ended the session after a crash of another one"),
        "57P03" => Verdict(Retry, "connection", "the server is starting up, shutting down or recovering"),
        "57P05" => Verdict(Retry, "connection", "the server ended the session because it was idle"),
        "53200" => Verdict(Retry, "out-of-memory", "the server is out of memory"),
        "53300" => Verdict(Retry, "too-many-connections", "the server has no connection slot left: raise max_connections, or lower sink.writers"),
        "25P02" => Verdict(Retry, "transaction-lost", "the transaction had already failed"),
        "25P03" => Verdict(Retry, "connection", "the server ended the session because its transaction was idle"),

        // A record is at fault.
        "21000" => Verdict(Isolate, "duplicate-key", "the batch holds two rows that the database takes for the same key"),
        "22001" => Verdict(Isolate, "too-long", "a text is longer than its column allows"),
        "22003" => Verdict(Isolate, "out-of-range", "a number is out of its column's range"),
        "22007" | "22008" => Verdict(Isolate, "out-of-range", "a date or time is malformed or out of range"),
        "22021" => Verdict(Isolate, "invalid-text", "a text holds a character that the database cannot store, such as U+0000"),
        "22P02" => Verdict(Isolate, "wrong-type", "a text is not a valid value of its column's type"),
        "22P05" => Verdict(Isolate, "invalid-text", "a document holds a character that the database cannot store, such as \\u0000"),
        "23502" => Verdict(Isolate, "not-null", "a null in a column that takes none"),
        "23503" => Verdict(Isolate, "foreign-key", "the row refers to one that does not exist, or is referred to"),
        "23505" => Verdict(Isolate, "unique", "the table already has a row with this unique key"),
        "23514" => Verdict(Isolate, "check", "the row violates a check constraint"),
        "23P01" => Verdict(Isolate, "exclusion", "the row conflicts with another one by an exclusion constraint"),
        "44000" => Verdict(Isolate, "check", "the row does not satisfy the view's WITH CHECK OPTION"),
        // Not a limit of the server but of one value: a key too long for its index, a text too long for a tsvector.
        "54000" => Verdict(Isolate, "too-long", "a value exceeds a limit of the database, such as the size of an index entry"),
        "P0001" | "P0004" => Verdict(Isolate, "trigger", "a trigger refused the row"),

        // An operator must act.
        "25006" => Verdict(Block, "read-only", "the server takes no writes: it is a standby, or set to read only; point sink.url to the primary"),
        "53100" => Verdict(Block, "disk-full", "the server's disk is full"),
        "57P04" => Verdict(Block, "missing-database", "the database was dropped"),
        "28P01" => Verdict(Block, "authentication", "the password is wrong, or the role does not exist: check sink.url"),
        "28000" => Verdict(Block, "authentication", "the server does not let this role in: check the role in sink.url, and pg_hba.conf at the server"),
        "3D000" => Verdict(Block, "missing-database", "the database does not exist: create it, or correct sink.url"),
        "3F000" => Verdict(Block, "missing-schema", "the schema does not exist: create it, or correct the name"),
        "42501" => Verdict(Block, "no-privilege", "the role lacks a right on the object (or a row security policy refuses the row): GRANT it"),
        "42P01" => Verdict(Block, "missing-table", "the table does not exist: it was dropped or renamed"),
        "42703" => Verdict(Block, "missing-column", "a column does not exist: it was dropped or renamed"),
        "42P10" => Verdict(Block, "missing-key", "the table has no unique index over exactly the key columns any more"),
        "428C9" => Verdict(Block, "generated-column", "a column became a generated one, which nobody can write"),
        "42804" | "42846" | "42883" | "42704" => Verdict(Block, "changed-type", "a column's type is no longer the one that was planned for"),
        "42809" | "55000" => Verdict(Block, "not-writable", "the object does not take this kind of write, for instance a view without an INSTEAD OF trigger"),
        "26000" | "42P05" => Verdict(Block, "pooler", "a prepared statement got lost: a connection pooler in transaction mode stands between; connect past it, or set it to session mode"),
        "0A000" => Verdict(Block, "unsupported", "the server does not support this on the table"),

        _ => by_class(code),
    }
}

#[rustfmt::skip]
fn by_class(code: &str) -> Verdict {
    match code.get(..2).unwrap_or_default() {
        "08" => Verdict(Retry, "connection", "the connection to the server failed"),
        "40" => Verdict(Retry, "rollback", "the server rolled the transaction back"),
        "53" => Verdict(Retry, "resources", "the server lacks resources"),
        "25" => Verdict(Retry, "transaction-lost", "the transaction is not in the state it should be in"),
        "58" => Verdict(Retry, "server", "the server had an error of its operating system; see its log"),
        "22" => Verdict(Isolate, "bad-value", "a value is not one that its column can hold"),
        "23" => Verdict(Isolate, "constraint", "the row violates a constraint"),
        "28" => Verdict(Block, "authentication", "the server does not let this role in"),
        "42" => Verdict(Block, "changed-table", "the table or the role's rights on it are not as planned"),
        _ => Verdict(Block, "unexpected", "the server reported an error that has no rule here; its log has the text"),
    }
}

/// An error of a statement.
pub(super) fn write_error(error: sqlx::Error) -> WriteError {
    let class_and_text = match &error {
        sqlx::Error::Database(database) => {
            return match database.try_downcast_ref::<PgDatabaseError>() {
                Some(error) => server_error(error),
                None => WriteError::new(Retry, "connection", "", "the server answered in an unknown way"),
            };
        }
        // The texts of these come from the operating system, the TLS library and the driver.
        sqlx::Error::Io(error) => (Retry, "connection", format!("the connection failed: {error}")),
        sqlx::Error::Tls(error) => (Block, "tls", tls_text(&error.to_string())),
        sqlx::Error::Configuration(error) => (Block, "configuration", format!("sink.url: {error}")),
        sqlx::Error::Protocol(_) => (Retry, "connection", "the server's answer was not understood".to_owned()),
        _ => (Block, "driver", "the answer of the server could not be used".to_owned()),
    };
    let (disposition, class, text) = class_and_text;
    WriteError::new(disposition, class, "", text)
}

fn tls_text(error: &str) -> String {
    format!(
        "TLS to the server failed: {error}. Off the local host the certificate is verified unless sink.url says \
         otherwise: add ?sslrootcert=<file> for a private authority, or ?sslmode=disable for a server without TLS"
    )
}

fn server_error(error: &PgDatabaseError) -> WriteError {
    let code = error.code();
    if code == "0A000" && error.routine() == Some(STALE_PLAN_ROUTINE) {
        let text = "the table changed under a prepared statement; a new connection prepares it again";
        return WriteError::new(Retry, "changed-table", code, text);
    }
    let Verdict(disposition, class, sentence) = verdict(code);
    let mut written = WriteError::new(disposition, class, code, with_names(error, sentence));
    if error.severity() == PgSeverity::Error {
        written = written.answered();
    }
    if let (Some(schema), Some(table)) = (error.schema(), error.table()) {
        written = written.on_table(format!("{schema}.{table}"));
    }
    if let Some(column) = error.column().or_else(|| copy_column(error)) {
        written = written.on_column(column);
    }
    written
}

/// Names are escaped: whoever named a constraint must not write our log.
fn with_names(error: &PgDatabaseError, sentence: &str) -> String {
    let column = error.column().or_else(|| copy_column(error)).map(|name| format!("column {name:?}"));
    let constraint = error.constraint().map(|name| format!("constraint {name:?}"));
    let names: Vec<String> = column.into_iter().chain(constraint).collect();
    if names.is_empty() { sentence.to_owned() } else { format!("{sentence} ({})", names.join(", ")) }
}

/// The row of a COPY, from 1, that the server was at: `COPY orders, line 3, column sku`. The words are translated, so
/// only the table's name and the number are relied on.
pub(super) fn copy_line(error: &sqlx::Error, table: &str) -> Option<usize> {
    let context = context(error.as_database_error()?.try_downcast_ref()?)?.replacen(table, "", 1);
    let digits = context.trim_start_matches(|character: char| !character.is_ascii_digit());
    let end = digits.find(|character: char| !character.is_ascii_digit()).unwrap_or(digits.len());
    digits[..end].parse().ok()
}

/// In English only; elsewhere the line must do.
fn copy_column(error: &PgDatabaseError) -> Option<&str> {
    context(error)?.split_once(", column ").map(|(_, column)| column)
}

/// The outermost context, where it is that of a COPY. A binary COPY shows no values there.
fn context(error: &PgDatabaseError) -> Option<&str> {
    error.r#where()?.lines().next_back().filter(|line| line.contains("COPY"))
}

/// An error of COMMIT. Only an answer of the server that cannot come after the commit says that it did not happen.
pub(super) fn commit_error(error: sqlx::Error) -> CommitError {
    let error = write_error(error);
    let refused = error.disposition == Isolate || error.code.starts_with("40");
    if error.connection_usable && refused { CommitError::Aborted(error) } else { CommitError::Unknown(error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_of_sqlstate_has_its_meaning() {
        for (codes, disposition) in [
            (
                "40001 40P01 40003 55P03 57014 57P01 57P02 57P03 57P05 08006 08P01 53200 53300 53400 25P02 25P03 58030",
                Retry,
            ),
            (
                "22001 22003 22P02 22021 22P05 22012 23502 23503 23505 23514 23P01 23000 21000 44000 54000 P0001",
                Isolate,
            ),
            ("42P01 42703 42501 42601 28000 28P01 3D000 3F000 25006 53100 57P04 0A000 26000 XX000 99999 P0002", Block),
        ] {
            for code in codes.split(' ') {
                assert_eq!(verdict(code).0, disposition, "{code}");
            }
        }
    }

    #[test]
    fn an_error_without_a_code_leaves_the_connection() {
        let broken = write_error(sqlx::Error::Io(std::io::ErrorKind::ConnectionReset.into()));
        assert_eq!((broken.disposition, broken.connection_usable), (Retry, false));
        let garbled = write_error(sqlx::Error::Protocol("secret".into()));
        assert_eq!((garbled.disposition, garbled.connection_usable), (Retry, false));
        assert!(!garbled.message.contains("secret"));
        assert!(matches!(
            commit_error(sqlx::Error::Io(std::io::ErrorKind::BrokenPipe.into())),
            CommitError::Unknown(_)
        ));
    }
}
