//! What SQLite's extended result codes mean: <https://www.sqlite.org/rescode.html>.

use sqlx::error::DatabaseError;

use crate::retry::Disposition::{self, Block, Isolate, Retry};
use crate::write::error::WriteError;
use crate::write::session::CommitError;

/// The low byte of an extended code is its primary code.
const PRIMARY: i32 = 0xff;

const ERROR: i32 = 1;
const INTERNAL: i32 = 2;
const PERM: i32 = 3;
const ABORT: i32 = 4;
const BUSY: i32 = 5;
const LOCKED: i32 = 6;
const NOMEM: i32 = 7;
const READONLY: i32 = 8;
const INTERRUPT: i32 = 9;
const IOERR: i32 = 10;
const CORRUPT: i32 = 11;
const FULL: i32 = 13;
const CANTOPEN: i32 = 14;
const PROTOCOL: i32 = 15;
const SCHEMA: i32 = 17;
const TOOBIG: i32 = 18;
const CONSTRAINT: i32 = 19;
const MISMATCH: i32 = 20;
const AUTH: i32 = 23;
const NOTADB: i32 = 26;
/// The file is not where it was when it was opened.
const READONLY_DBMOVED: i32 = READONLY | 4 << 8;
const CONSTRAINT_CHECK: i32 = CONSTRAINT | 1 << 8;
const CONSTRAINT_FOREIGNKEY: i32 = CONSTRAINT | 3 << 8;
const CONSTRAINT_NOTNULL: i32 = CONSTRAINT | 5 << 8;
const CONSTRAINT_PRIMARYKEY: i32 = CONSTRAINT | 6 << 8;
const CONSTRAINT_TRIGGER: i32 = CONSTRAINT | 7 << 8;
const CONSTRAINT_UNIQUE: i32 = CONSTRAINT | 8 << 8;
const CONSTRAINT_ROWID: i32 = CONSTRAINT | 10 << 8;
const CONSTRAINT_DATATYPE: i32 = CONSTRAINT | 12 << 8;

/// An error of a statement, in the operator's words.
pub(super) fn write_error(error: sqlx::Error) -> WriteError {
    match error {
        sqlx::Error::Database(error) => from_code(code(&*error), error.message()),
        // What remains between us and SQLite is a thread and a file.
        _ => WriteError::new(
            Retry,
            "connection",
            "",
            "the connection to the SQLite file ended unexpectedly; a new one is opened and the batch is tried again",
        ),
    }
}

/// An error of COMMIT. SQLite rolls a failed COMMIT back, except where it is only waiting for others (the caller ends
/// that transaction with [`is_busy`]) or where a deferred constraint failed, which leaves it open as well.
pub(super) fn commit_error(error: sqlx::Error) -> CommitError {
    let is_unknown = match &error {
        sqlx::Error::Database(error) => is_commit_unknown(code(&**error)),
        _ => true,
    };
    let error = write_error(error);
    if is_unknown { CommitError::Unknown(error) } else { CommitError::Aborted(error) }
}

/// The log may hold the whole transaction although its sync failed; and `SQLITE_ERROR` ("no transaction is active")
/// says that it ended before, we do not know how.
fn is_commit_unknown(code: i32) -> bool {
    matches!(code & PRIMARY, IOERR | NOMEM | INTERNAL | ERROR)
}

pub(super) fn is_busy(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Database(error) if code(&**error) & PRIMARY == BUSY)
}

fn code(error: &dyn DatabaseError) -> i32 {
    error.code().and_then(|code| code.parse().ok()).unwrap_or(ERROR)
}

fn from_code(code: i32, message: &str) -> WriteError {
    match code & PRIMARY {
        CONSTRAINT => constraint(code, message),
        ERROR => statement(code, message),
        primary => {
            let (disposition, class, sentence) = condition(primary, code);
            let error = WriteError::new(disposition, class, code.to_string(), sentence);
            // After all others SQLite may have rolled the transaction back by itself, or may do so at any time.
            if matches!(primary, MISMATCH | TOOBIG) { error.answered() } else { error }
        }
    }
}

/// Errors that concern neither a constraint nor the text of a statement.
fn condition(primary: i32, code: i32) -> (Disposition, &'static str, &'static str) {
    match primary {
        BUSY | LOCKED | PROTOCOL => {
            (Retry, "locked", "another process is writing to the file; the whole batch is tried again")
        }
        ABORT | INTERRUPT | SCHEMA => (Retry, "interrupted", "SQLite stopped the statement; the batch is tried again"),
        NOMEM => (Retry, "out-of-memory", "SQLite got no memory; the batch is tried again"),
        FULL => (
            Block,
            "disk-full",
            "the disk or the database is full (or PRAGMA max_page_count is reached); nothing of the batch is stored, \
             and it goes on by itself once there is room",
        ),
        READONLY if code == READONLY_DBMOVED => (
            Block,
            "file-moved",
            "the database file was moved, deleted or replaced while it was open; put it back where sink.url says",
        ),
        READONLY => {
            (Block, "read-only", "the database cannot be written to; give the daemon's user the right to write to it")
        }
        CANTOPEN => (
            Block,
            "cannot-open",
            "the database file, its -wal or its -shm file cannot be opened; the daemon's user must be allowed to \
             create files in its directory",
        ),
        PERM | AUTH => (Block, "no-privilege", "SQLite refuses the access; give the daemon's user the right to it"),
        IOERR => (
            Block,
            "io",
            "the operating system reported an input/output error on the database file; look at the disk and at the \
             system's log",
        ),
        CORRUPT => (
            Block,
            "corrupt",
            "the database file is damaged; stop its other users, check it with PRAGMA integrity_check, and restore it \
             from a backup",
        ),
        NOTADB => (Block, "not-a-database", "the file is not a SQLite database, or it is encrypted; correct sink.url"),
        TOOBIG => (Isolate, "too-big", "a value is longer than SQLite stores (1,000,000,000 bytes)"),
        MISMATCH => (Isolate, "wrong-type", "an INTEGER PRIMARY KEY column was given something that is no integer"),
        _ => (Block, "sqlite", "SQLite refused the work; its code is explained at https://www.sqlite.org/rescode.html"),
    }
}

/// A row that its table does not take.
fn constraint(code: i32, message: &str) -> WriteError {
    let (table, column) = failed_column(code, message);
    let named = |with: &str, without: &str| match &column {
        Some(column) => with.replace("{}", column),
        None => without.to_owned(),
    };
    let (class, sentence) = match code {
        CONSTRAINT_NOTNULL => ("not-null", named("column {} takes no null", "a column takes no null")),
        CONSTRAINT_PRIMARYKEY | CONSTRAINT_UNIQUE | CONSTRAINT_ROWID => (
            "unique",
            named(
                "another row has the same value in {}, which must be unique",
                "another row has the same value where a unique index allows one",
            ),
        ),
        CONSTRAINT_CHECK => ("check", "a CHECK constraint of the table refuses the row".to_owned()),
        CONSTRAINT_FOREIGNKEY => (
            "foreign-key",
            "a FOREIGN KEY refuses the row: what it refers to is missing, or something refers to it".to_owned(),
        ),
        CONSTRAINT_DATATYPE => (
            "wrong-type",
            named(
                "column {} of a STRICT table does not store this type of value",
                "a column of a STRICT table does not store this type of value",
            ),
        ),
        CONSTRAINT_TRIGGER => ("trigger", "a trigger of the table refuses the row".to_owned()),
        _ => ("constraint", "a constraint of the table refuses the row".to_owned()),
    };
    let mut error = WriteError::new(Isolate, class, code.to_string(), sentence).answered();
    error.table = table;
    error.column = column;
    error
}

/// The names in `UNIQUE constraint failed: t.a, t.b` and `cannot store TEXT value in INTEGER column t.a`. Only codes
/// whose messages end in names are looked at: a CHECK's may be any text.
fn failed_column(code: i32, message: &str) -> (Option<String>, Option<String>) {
    let names = match code {
        CONSTRAINT_NOTNULL | CONSTRAINT_PRIMARYKEY | CONSTRAINT_UNIQUE => message.split_once(" constraint failed: "),
        CONSTRAINT_DATATYPE => message.split_once(" column "),
        _ => None,
    };
    // `index 'name'` has no dot: an index over expressions.
    match names.and_then(|(_, names)| names.split_once('.')) {
        Some((table, columns)) => {
            let columns = columns.replace(&format!(", {table}."), ", ");
            (Some(table.to_owned()), Some(columns))
        }
        None => (None, None),
    }
}

/// `SQLITE_ERROR`: the statement does not fit the tables, or an expression of the table failed on a row. Where it does
/// not fit, the connection is not used again: it may go on judging by what it remembers of the schema, after the schema
/// was mended.
fn statement(code: i32, message: &str) -> WriteError {
    let is = |text: &str| message.contains(text);
    let block = |class, sentence: &str| WriteError::new(Block, class, code.to_string(), sentence);
    if let Some((_, table)) = message.split_once("no such table: ") {
        let sentence = if table.contains("tidegate_") {
            "one of our own tables is missing; `tidegate migrate` creates it"
        } else {
            "there is no such table any more; create it again, or correct [[table]] name"
        };
        return block("missing-table", sentence).on_table(table.trim_start_matches("main."));
    }
    if is("no such column") || is("has no column named") {
        let sentence = "a column that the pipeline writes is gone; add it again, or restart the pipeline so that it \
                        reads the table's columns anew";
        return block("missing-column", sentence);
    }
    if is("ON CONFLICT clause does not match") {
        let sentence = "the unique index over the key columns is gone; create it again, or correct [[table]] key";
        return block("missing-key", sentence);
    }
    if is("malformed JSON") || is("JSON path error") || is("integer overflow") {
        // A CHECK, a generated column, an index over an expression or a trigger.
        let sentence =
            "an expression of the table (a CHECK, a generated column, an index or a trigger) failed on a row";
        return WriteError::new(Isolate, "expression", code.to_string(), sentence).answered();
    }
    let sentence =
        "SQLite refused the statement; has the table been changed? The pipeline reads it anew when it starts";
    block("statement", sentence)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_its_meaning() {
        let table: &[(i32, &str, Disposition, &str)] = &[
            (5, "database is locked", Retry, "locked"),
            (261, "database is locked", Retry, "locked"),
            (517, "database is locked", Retry, "locked"),
            (6, "database table is locked", Retry, "locked"),
            (262, "database table is locked", Retry, "locked"),
            (15, "locking protocol", Retry, "locked"),
            (4, "query aborted", Retry, "interrupted"),
            (9, "interrupted", Retry, "interrupted"),
            (17, "database schema has changed", Retry, "interrupted"),
            (7, "out of memory", Retry, "out-of-memory"),
            (13, "database or disk is full", Block, "disk-full"),
            (8, "attempt to write a readonly database", Block, "read-only"),
            (1544, "attempt to write a readonly database", Block, "read-only"),
            (1032, "attempt to write a readonly database", Block, "file-moved"),
            (14, "unable to open database file", Block, "cannot-open"),
            (10, "disk I/O error", Block, "io"),
            (1034, "disk I/O error", Block, "io"),
            (11, "database disk image is malformed", Block, "corrupt"),
            (267, "database disk image is malformed", Block, "corrupt"),
            (26, "file is not a database", Block, "not-a-database"),
            (3, "access permission denied", Block, "no-privilege"),
            (23, "authorization denied", Block, "no-privilege"),
            (21, "bad parameter or other API misuse", Block, "sqlite"),
            (18, "string or blob too big", Isolate, "too-big"),
            (20, "datatype mismatch", Isolate, "wrong-type"),
            (275, "CHECK constraint failed: price >= 0", Isolate, "check"),
            (787, "FOREIGN KEY constraint failed", Isolate, "foreign-key"),
            (1299, "NOT NULL constraint failed: t.c", Isolate, "not-null"),
            (1555, "UNIQUE constraint failed: t.c", Isolate, "unique"),
            (2067, "UNIQUE constraint failed: t.c", Isolate, "unique"),
            (2579, "rowid is not unique", Isolate, "unique"),
            (1811, "whatever the trigger says", Isolate, "trigger"),
            (3091, "cannot store TEXT value in INTEGER column t.c", Isolate, "wrong-type"),
            (1043, "constraint failed", Isolate, "constraint"),
            (1, "no such table: orders", Block, "missing-table"),
            (1, "no such column: t.c", Block, "missing-column"),
            (1, "table orders has no column named c", Block, "missing-column"),
            (1, "ON CONFLICT clause does not match any PRIMARY KEY or UNIQUE constraint", Block, "missing-key"),
            (1, "malformed JSON", Isolate, "expression"),
            (1, "near \"x\": syntax error", Block, "statement"),
        ];
        for (code, message, disposition, class) in table {
            let error = from_code(*code, message);
            assert_eq!((error.disposition, error.class), (*disposition, *class), "{code} {message}");
            assert_eq!(error.code, code.to_string());
        }
    }

    #[test]
    fn the_connection_is_kept_only_where_the_transaction_is_still_ours() {
        for (code, message) in [(2067, "UNIQUE constraint failed: t.c"), (20, "datatype mismatch"), (18, "")] {
            assert!(from_code(code, message).connection_usable, "{code}");
        }
        for code in [5, 13, 10, 11, 7, 9, 1032] {
            assert!(!from_code(code, "").connection_usable, "{code}");
        }
    }

    #[test]
    fn a_commit_is_in_doubt_only_where_it_may_have_happened() {
        for code in [5, 13, 8, 787, 1811] {
            assert!(!is_commit_unknown(code), "{code}");
        }
        for code in [10, 1034, 7, 1] {
            assert!(is_commit_unknown(code), "{code}");
        }
    }

    #[test]
    fn names_are_told_and_nothing_else_of_the_message() {
        let error = from_code(2067, "UNIQUE constraint failed: t.a, t.b");
        assert_eq!((error.table.as_deref(), error.column.as_deref()), (Some("t"), Some("a, b")));
        let error = from_code(3091, "cannot store TEXT value in INTEGER column t.c");
        assert_eq!((error.table.as_deref(), error.column.as_deref()), (Some("t"), Some("c")));
        let error = from_code(2067, "UNIQUE constraint failed: index 'i'");
        assert_eq!((error.table, error.column), (None, None));
        let error = from_code(1811, "the customer 'Anna' is unknown");
        assert!(!error.to_string().contains("Anna"), "{error}");
        let error = from_code(275, "CHECK constraint failed: secret = 'Anna'");
        assert!(!error.to_string().contains("Anna"), "{error}");
    }
}
