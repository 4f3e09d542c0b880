//! What the errors of MySQL and MariaDB mean: one match over their numbers.
//!
//! The servers' texts quote values (`Duplicate entry 'a@b.c' for key ..`), so none of them goes further: each sentence
//! here is our own, and of the text only the names at its end are read.

use sqlx::mysql::MySqlDatabaseError;

use crate::retry::Disposition::{self, Block, Isolate, Retry};
use crate::write::error::WriteError;
use crate::write::plan::TablePlan;
use crate::write::session::CommitError;

/// What a server's answer says besides the error itself.
pub(super) struct Answer {
    pub error: WriteError,
    /// `at row N`: the row of the statement, counted from 1.
    pub row: Option<usize>,
}

/// Reads any error of the driver. A column is named only if it is one of `plan`: what looks like a name in a server's
/// text may be part of a value.
pub(super) fn read(error: &sqlx::Error, plan: Option<&TablePlan>) -> Answer {
    let is_column = |name: &str| plan.is_some_and(|plan| plan.table.columns.iter().any(|column| column.name == name));
    let answer = |error| Answer { error, row: None };
    match error {
        sqlx::Error::Database(database) => match database.try_downcast_ref::<MySqlDatabaseError>() {
            Some(database) => {
                let state = database.code().unwrap_or_default();
                let message = database.message();
                Answer { error: classify(database.number(), state, message, &is_column), row: row_hint(message) }
            }
            None => answer(WriteError::new(Block, "database", "", "the database refused the statement")),
        },
        // The text of an I/O error comes from the operating system and names no data.
        sqlx::Error::Io(io) => {
            answer(WriteError::new(Retry, "connection", "", format!("the connection was lost: {}", io.kind())))
        }
        sqlx::Error::Tls(cause) => answer(WriteError::new(
            Block,
            "tls",
            "",
            format!(
                "no trusted TLS connection to the database: {cause}. Give ssl-ca in sink.url, or ssl-mode=required \
                 to encrypt without checking the certificate"
            ),
        )),
        // The password is sent whole to such a server, so it wants TLS.
        sqlx::Error::Configuration(cause) if cause.to_string().contains("RSA") => answer(WriteError::new(
            Block,
            "authentication",
            "",
            "the server asks for the password over an encrypted connection (caching_sha2_password): take \
             ssl-mode=disabled out of sink.url, or give the server a certificate",
        )),
        sqlx::Error::Configuration(cause) => {
            answer(WriteError::new(Block, "configuration", "", format!("sink.url cannot be used: {cause}")))
        }
        // The driver read something that it did not expect: nothing on this connection can be trusted any more.
        _ => answer(WriteError::new(Retry, "protocol", "", "the driver and the server lost step with each other")),
    }
}

/// [`read`], where a row means nothing.
pub(super) fn write_error(error: sqlx::Error) -> WriteError {
    read(&error, None).error
}

/// What the failure of a COMMIT means.
pub(super) fn commit_error(error: sqlx::Error) -> CommitError {
    let number = error
        .as_database_error()
        .and_then(|database| database.try_downcast_ref::<MySqlDatabaseError>())
        .map(MySqlDatabaseError::number);
    let error = write_error(error);
    match number {
        // Deadlock, lock wait timeout, "error during COMMIT", a snapshot conflict, Galera's and Group Replication's
        // certification, a read-only server, a constraint checked at COMMIT: all of them roll back.
        Some(1020 | 1180 | 1205 | 1213 | 1290 | 1792 | 1836 | 3100 | 3101 | 3572 | 1047) => CommitError::Aborted(error),
        _ => CommitError::Unknown(error),
    }
}

/// May the connection go on after ROLLBACK? Not after an error with which the server ends it, ends the transaction by
/// itself (1213: what follows would run in autocommit), or turns out not to be the primary any more.
fn keeps_session(number: u16) -> bool {
    !matches!(
        number,
        1040 | 1041 | 1042 | 1043 | 1044 | 1045 | 1049 | 1047 | 1053 | 1129 | 1130 | 1152 | 1153 | 1156
            ..=1161
                | 1180
                | 1181
                | 1203
                | 1213
                | 1226
                | 1243
                | 1290
                | 1792
                | 1836
                | 1927
                | 2006
                | 2013
                | 3100
                | 3101
                | 3118
                | 3159
                | 4031
    )
}

/// The meaning of an error number, in a sentence that holds no value.
fn classify(number: u16, state: &str, message: &str, is_column: &dyn Fn(&str) -> bool) -> WriteError {
    let column = column_name(message).filter(|name| is_column(name));
    let the_column = column.map_or("a column".to_owned(), |column| format!("column {column}"));
    let (disposition, class, sentence): (Disposition, &'static str, String) = match number {
        // It passes.
        1213 => (Retry, "deadlock", "a deadlock with another session; the server rolled back this one".into()),
        1205 | 3572 => (Retry, "lock-timeout", "another session holds a lock for longer than 30 s".into()),
        1020 | 1412 | 1615 => (Retry, "conflict", "somebody changed the row or the table at the same moment".into()),
        3100 | 3101 => (Retry, "conflict", "the cluster rolled the transaction back; another member was first".into()),
        1317 | 1969 | 3024 => {
            (Retry, "statement-timeout", "the statement was interrupted, or ran longer than 60 s".into())
        }
        1040 | 1203 | 1226 => (Retry, "too-many-connections", "the server takes no more connections".into()),
        1461 => (Retry, "resources", "the server holds max_prepared_stmt_count statements already".into()),
        1037 | 1038 | 1041 | 1206 | 1637 => (Retry, "resources", "the server is out of memory or of locks".into()),
        1053 | 1077..=1079 => (Retry, "shutdown", "the server is shutting down".into()),
        1047 => (Retry, "shutdown", "the cluster node is not ready for queries".into()),
        1042 | 1043 | 1152 | 1156..=1161 | 1180 | 1181 | 1243 | 1927 | 2006 | 2013 | 4031 => {
            (Retry, "connection", "the server ended the connection".into())
        }
        // A record is at fault.
        1048 | 1263 | 1364 => (Isolate, "not-null", format!("{the_column} needs a value and the row has none")),
        1022 | 1062 | 1169 | 1586 | 1859 => (Isolate, "unique", unique_sentence(message)),
        1216 | 1452 => (Isolate, "foreign-key", foreign_key_sentence(message, "refers to a row that does not exist")),
        1217 | 1451 => (Isolate, "foreign-key", foreign_key_sentence(message, "is still referred to by another row")),
        3819 => (Isolate, "check", "the row violates a check constraint of the table".into()),
        // MySQL has another error under this number.
        4025 if state == "23000" => (Isolate, "check", "the row violates a check constraint of the table".into()),
        1264 | 1690 | 3167 => (Isolate, "out-of-range", format!("the value is out of the range of {the_column}")),
        1406 => (Isolate, "too-long", format!("the value is too long for {the_column}")),
        1265 => (Isolate, "wrong-type", format!("the value is not one that {the_column} can hold")),
        1292 | 1366 | 1411 | 1525 => {
            (Isolate, "wrong-type", format!("the value does not fit the type or the character set of {the_column}"))
        }
        1300 | 3854 => {
            (Isolate, "wrong-type", format!("the text cannot be stored in the character set of {the_column}"))
        }
        3140..=3158 => (Isolate, "invalid-json", format!("the value of {the_column} is not valid JSON")),
        1644 => (Isolate, "rejected", "a trigger of the table rejected the row (SIGNAL)".into()),
        1153 => (Isolate, "packet-too-large", "the row is larger than the server's max_allowed_packet".into()),
        // Only an operator can mend it.
        1044 | 1142 | 1143 | 1227 | 1370 | 1410 => {
            (Block, "no-privilege", "the user of sink.url lacks a right here: grant it".into())
        }
        1045 | 1698 | 3118 | 3159 => {
            (Block, "authentication", "the server refused the user or password of sink.url".into())
        }
        1129 | 1130 => (Block, "authentication", "the server takes no connections from this host".into()),
        1049 => (Block, "missing-database", "there is no such database: create it, or correct the name".into()),
        1146 | 1051 => (Block, "missing-table", "the table does not exist: create it, or correct its name".into()),
        1054 | 1136 => {
            (Block, "missing-column", format!("{the_column} does not exist any more: the table was changed"))
        }
        1290 | 1792 | 1836 => {
            (Block, "read-only", "the server takes no writes (read_only): it is not the primary".into())
        }
        1021 | 1114 | 1030 | 1026 => {
            (Block, "disk-full", "the server cannot write: its disk or the table is full, or its storage fails".into())
        }
        1064 | 1149 => {
            (Block, "syntax", "the server does not know this statement: its version is not supported".into())
        }
        1665 => (
            Block,
            "binlog-format",
            "READ COMMITTED needs binlog_format = ROW or MIXED, and the server has STATEMENT".into(),
        ),
        1267 | 1270 | 1271 => {
            (Block, "collation", "the collations of the table and of the connection cannot be compared".into())
        }
        _ => by_state(state),
    };
    let mut error = WriteError::new(disposition, class, number.to_string(), sentence);
    error.column = column.map(str::to_owned);
    error.connection_usable = keeps_session(number);
    error
}

/// A number that is not in the match: its SQLSTATE class still tells whose fault it is.
fn by_state(state: &str) -> (Disposition, &'static str, String) {
    match state.get(..2) {
        Some("22") => (Isolate, "wrong-type", "the server refused a value of the row".into()),
        Some("23") => (Isolate, "constraint", "the row violates a constraint of the table".into()),
        Some("40") => (Retry, "conflict", "the server rolled the transaction back".into()),
        Some("08") => (Retry, "connection", "the server ended the connection".into()),
        _ => (Block, "database", "the server refused the statement".into()),
    }
}

fn unique_sentence(message: &str) -> String {
    match name_after(message, " for key ") {
        Some(index) => format!("a row with this key is there already (unique index {index})"),
        None => "a row with this key is there already".into(),
    }
}

fn foreign_key_sentence(message: &str, what: &str) -> String {
    // `.. fails (`db`.`t`, CONSTRAINT `name` FOREIGN KEY ..)`: names only.
    let name = message.split("CONSTRAINT `").nth(1).and_then(|rest| rest.split('`').next());
    match name {
        Some(name) => format!("the row {what} (foreign key {name})"),
        None => format!("the row {what} (foreign key)"),
    }
}

/// The column that a message names. Where a value is quoted as well, the name comes after it, at the end.
fn column_name(message: &str) -> Option<&str> {
    name_after(message, " for column ")
        .or_else(|| name_after(message, "Column "))
        .or_else(|| name_after(message, "Field "))
}

/// The last part of the quoted name that follows the last `lead`, if nothing but known words follows it.
fn name_after<'a>(message: &'a str, lead: &str) -> Option<&'a str> {
    let at = message.rfind(lead)?;
    // `Column 'x' cannot be null` and `Field 'x' doesn't ..` begin with the name; a value cannot come before it.
    if !lead.starts_with(' ') && at != 0 {
        return None;
    }
    let rest = message[at + lead.len()..].trim_end_matches('.');
    let rest = match rest.rfind(" at row ") {
        Some(end) => &rest[..end],
        None => rest.trim_end_matches(" cannot be null").trim_end_matches(" doesn't have a default value"),
    };
    let name = match rest.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')) {
        Some(quoted) => quoted,
        None => rest.strip_prefix('`')?.strip_suffix('`')?,
    };
    // `orders.total`, or "`shop`.`orders`.`total`".
    let name = name.rsplit_once("`.`").map_or(name, |(_, last)| last);
    let name = name.rsplit_once('.').map_or(name, |(_, last)| last);
    (!name.is_empty()).then_some(name)
}

/// `.. at row 7`, as the servers end many texts.
fn row_hint(message: &str) -> Option<usize> {
    message[message.rfind(" at row ")? + " at row ".len()..].parse().ok().filter(|&row| row > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_has_its_meaning() {
        #[rustfmt::skip]
        let table: &[(u16, &str, Disposition, &str, bool)] = &[
            (1213, "40001", Retry,   "deadlock",             false),
            (1205, "HY000", Retry,   "lock-timeout",         true),
            (1020, "HY000", Retry,   "conflict",             true),
            (1040, "08004", Retry,   "too-many-connections", false),
            (1053, "08S01", Retry,   "shutdown",             false),
            (1158, "08S01", Retry,   "connection",           false),
            (1161, "08S01", Retry,   "connection",           false),
            (1317, "70100", Retry,   "statement-timeout",    true),
            (1969, "70100", Retry,   "statement-timeout",    true),
            (3024, "HY000", Retry,   "statement-timeout",    true),
            (1927, "70100", Retry,   "connection",           false),
            (2006, "HY000", Retry,   "connection",           false),
            (2013, "HY000", Retry,   "connection",           false),
            (4031, "HY000", Retry,   "connection",           false),
            (1044, "42000", Block,   "no-privilege",         false),
            (1045, "28000", Block,   "authentication",       false),
            (1049, "42000", Block,   "missing-database",     false),
            (1054, "42S22", Block,   "missing-column",       true),
            (1142, "42000", Block,   "no-privilege",         true),
            (1143, "42000", Block,   "no-privilege",         true),
            (1146, "42S02", Block,   "missing-table",        true),
            (1290, "HY000", Block,   "read-only",            false),
            (1792, "25006", Block,   "read-only",            false),
            (1836, "HY000", Block,   "read-only",            false),
            (1021, "HY000", Block,   "disk-full",            true),
            (1114, "HY000", Block,   "disk-full",            true),
            (1064, "42000", Block,   "syntax",               true),
            (1665, "HY000", Block,   "binlog-format",        true),
            (1364, "HY000", Isolate, "not-null",             true),
            (1048, "23000", Isolate, "not-null",             true),
            (1062, "23000", Isolate, "unique",               true),
            (1216, "23000", Isolate, "foreign-key",          true),
            (1217, "23000", Isolate, "foreign-key",          true),
            (1264, "22003", Isolate, "out-of-range",         true),
            (1265, "01000", Isolate, "wrong-type",           true),
            (1292, "22007", Isolate, "wrong-type",           true),
            (1366, "22007", Isolate, "wrong-type",           true),
            (1406, "22001", Isolate, "too-long",             true),
            (1451, "23000", Isolate, "foreign-key",          true),
            (1452, "23000", Isolate, "foreign-key",          true),
            (3819, "HY000", Isolate, "check",                true),
            (4025, "23000", Isolate, "check",                true),
            (4025, "HY000", Block,   "database",             true),
            (1644, "45000", Isolate, "rejected",             true),
            (1690, "22003", Isolate, "out-of-range",         true),
            (3140, "22032", Isolate, "invalid-json",         true),
            (1153, "08S01", Isolate, "packet-too-large",     false),
            // Not in the match: by SQLSTATE.
            (9999, "22018", Isolate, "wrong-type",           true),
            (9999, "23000", Isolate, "constraint",           true),
            (9999, "40001", Retry,   "conflict",             true),
            (9999, "08S01", Retry,   "connection",           true),
            (9999, "HY000", Block,   "database",             true),
            (9999, "",      Block,   "database",             true),
        ];
        for &(number, state, disposition, class, usable) in table {
            let error = classify(number, state, "", &|_| true);
            assert_eq!((error.disposition, error.class), (disposition, class), "{number} {state}");
            assert_eq!(error.connection_usable, usable, "{number}: may the connection be used again?");
        }
    }

    #[test]
    fn names_are_read_and_values_are_not() {
        #[rustfmt::skip]
        let texts = [
            (1048, "Column 'sku' cannot be null", Some("sku"), None),
            (1364, "Field 'sku' doesn't have a default value", Some("sku"), None),
            (1406, "Data too long for column 'sku' at row 3", Some("sku"), Some(3)),
            (1366, "Incorrect string value: '\\xF0' for column `shop`.`orders`.`sku` at row 12", Some("sku"), Some(12)),
            (1366, "Incorrect integer value: 'x' for column 'y' at row 9' for column 'qty' at row 2", Some("qty"), Some(2)),
            (3140, "Invalid JSON text: \"Invalid value.\" at position 1 in value for column 'orders.doc'.", Some("doc"), None),
            (1062, "Duplicate entry 'secret' for key 'orders.PRIMARY'", None, None),
            (1292, "Truncated incorrect DOUBLE value: 'secret'", None, None),
            (1366, "Incorrect integer value: 'Column 'secret' cannot be null' for something else", None, None),
        ];
        for (number, text, column, row) in texts {
            let error = classify(number, "", text, &|_| true);
            assert_eq!(error.column.as_deref(), column, "{text}");
            assert_eq!(row_hint(text), row, "{text}");
            assert!(!error.to_string().contains("secret"), "{error}");
        }
        let hostile = "Incorrect datetime value: 'at noon for column 'secret''";
        assert_eq!(classify(1292, "", hostile, &|name| name == "at").column, None);
        let unique =
            classify(1062, "23000", "Duplicate entry 'secret' for key 'orders.uq_email'", &|_| true).to_string();
        assert_eq!(unique, "a row with this key is there already (unique index uq_email) (1062)");
        let foreign = "Cannot add or update a child row: a foreign key constraint fails (`shop`.`items`, CONSTRAINT \
                       `items_order` FOREIGN KEY (`order_id`) REFERENCES `orders` (`id`))";
        let foreign = classify(1452, "23000", foreign, &|_| true).to_string();
        assert_eq!(foreign, "the row refers to a row that does not exist (foreign key items_order) (1452)");
    }
}
