//! A connection with everything set that must not depend on the server's defaults.

use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use sqlx::mysql::{MySqlConnectOptions, MySqlConnection, MySqlSslMode};
use sqlx::{AssertSqlSafe, Column, ConnectOptions, Executor, Row};
use tokio::time::timeout;
use url::Url;

use crate::config::Sink;
use crate::retry::Disposition;
use crate::write::error::WriteError;
use crate::write::socket;

use super::bind::Types;
use super::errors::write_error;
use super::statements::Flavor;

/// To a server that is up, a connection takes milliseconds.
const CONNECT_DEADLINE: Duration = Duration::from_secs(10);

/// Prepared statements per connection: a few dozen per table (`chunks`), and those of a large batch take megabytes of
/// the server's memory.
const STATEMENTS: usize = 64;

/// Strict: a value that does not fit is an error and never cut, rounded to zero or replaced. NO_AUTO_VALUE_ON_ZERO: a 0
/// in an AUTO_INCREMENT column is a 0. Not in it: PIPES_AS_CONCAT and ANSI_QUOTES, which change what SQL means.
const SQL_MODE: &str = "STRICT_TRANS_TABLES,STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ZERO_DATE,NO_ZERO_IN_DATE,\
                        NO_ENGINE_SUBSTITUTION,NO_AUTO_VALUE_ON_ZERO";

/// What was found behind the URL.
pub(super) struct Connected {
    pub connection: MySqlConnection,
    pub flavor: Flavor,
    /// Major, minor, patch.
    pub version: (u32, u32, u32),
    /// The connection's database.
    pub database: String,
    /// The server's `max_allowed_packet`, in bytes.
    pub max_packet: usize,
    pub types: Types,
}

pub(super) async fn connect(sink: &Sink) -> Result<Connected, WriteError> {
    let options = options(sink.url.expose())?;
    let attempt = async {
        let connection = options.connect().await.map_err(write_error)?;
        socket::tune_connections(options.get_port());
        set_up(connection).await
    };
    timeout(CONNECT_DEADLINE, attempt).await.unwrap_or_else(|_| {
        let message = format!("the database did not answer within {} s", CONNECT_DEADLINE.as_secs());
        Err(WriteError::new(Disposition::Retry, "connection", "", message))
    })
}

fn options(url: &str) -> Result<MySqlConnectOptions, WriteError> {
    // A parser's error may quote the URL, and the URL holds the password.
    let invalid = |_| WriteError::new(Disposition::Block, "configuration", "", "sink.url is not a valid URL");
    let parsed = Url::parse(url).map_err(|error| invalid(error.to_string()))?;
    let mut options = MySqlConnectOptions::from_str(url).map_err(|error| invalid(error.to_string()))?;
    let says_tls = parsed.query_pairs().any(|(name, _)| matches!(&*name, "ssl-mode" | "sslmode"));
    if !says_tls && options.get_socket().is_none() && !is_loopback(options.get_host()) {
        // The driver's default encrypts if the server offers it, and trusts anybody.
        options = options.ssl_mode(MySqlSslMode::VerifyIdentity);
    }
    // The session's settings are ours, below; the driver would add to sql_mode.
    let options = options.charset("utf8mb4").pipes_as_concat(false).no_engine_substitution(false).timezone(None);
    let options = options.statement_cache_capacity(STATEMENTS);
    // Statements at DEBUG would be the size of the batches.
    Ok(options.disable_statement_logging())
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

async fn set_up(mut connection: MySqlConnection) -> Result<Connected, WriteError> {
    let facts = "SELECT VERSION(), DATABASE(), CAST(@@max_allowed_packet AS SIGNED), \
                 CAST(NULL AS DATE), CAST(NULL AS DATETIME(6))";
    let row = connection.fetch_one(facts).await.map_err(write_error)?;
    let text: String = row.try_get(0).map_err(write_error)?;
    let flavor = if text.to_ascii_lowercase().contains("mariadb") { Flavor::MariaDb } else { Flavor::MySql };
    let database: Option<String> = row.try_get(1).map_err(write_error)?;
    let database = database.ok_or_else(|| {
        let message = "sink.url names no database: add it, as in mysql://user@host/database";
        WriteError::new(Disposition::Block, "configuration", "", message)
    })?;
    let max_packet: i64 = row.try_get(2).map_err(write_error)?;
    let types = Types { date: row.column(3).type_info().clone(), datetime: row.column(4).type_info().clone() };
    connection.execute(AssertSqlSafe(settings(flavor))).await.map_err(write_error)?;
    let row = connection.fetch_one("SELECT @@SESSION.sql_mode, @@SESSION.time_zone").await.map_err(write_error)?;
    let (mode, zone): (String, String) = (row.try_get(0).map_err(write_error)?, row.try_get(1).map_err(write_error)?);
    if !mode.contains("STRICT_ALL_TABLES") || zone != "+00:00" {
        let message = "the session did not take its sql_mode or time_zone: a proxy between us and the server drops SET; \
                       connect to the server itself";
        return Err(WriteError::new(Disposition::Block, "session", "", message));
    }
    let max_packet = usize::try_from(max_packet).unwrap_or(1 << 20);
    Ok(Connected { connection, flavor, version: version(&text), database, max_packet, types })
}

/// Time limits: a statement waits 30 s for a row's or a table's lock and runs 60 s at most; a connection whose daemon
/// is frozen in the middle of a transaction is ended, and with it its locks, which its successor waits for. MariaDB knows
/// idle transactions: between two statements a daemon computes for milliseconds, so 15 s are long. MySQL knows only idle
/// connections: longer than a lane keeps one that has nothing to do (45 s).
fn settings(flavor: Flavor) -> String {
    let limits = match flavor {
        Flavor::MariaDb => "max_statement_time = 60, idle_transaction_timeout = 15",
        // Limits SELECT only; MySQL has no limit for other statements.
        Flavor::MySql => "max_execution_time = 60000",
    };
    format!(
        "SET SESSION time_zone = '+00:00', sql_mode = '{SQL_MODE}', autocommit = 1, innodb_lock_wait_timeout = 30, \
         lock_wait_timeout = 30, wait_timeout = 60, {limits}"
    )
}

/// `10.11.6-MariaDB`, `8.0.36`; some proxies and old MariaDB servers put `5.5.5-` before it.
fn version(text: &str) -> (u32, u32, u32) {
    let text = text.strip_prefix("5.5.5-").unwrap_or(text);
    let mut parts = text.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0), parts.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        assert_eq!(version("10.11.6-MariaDB-0+deb12u1"), (10, 11, 6));
        assert_eq!(version("5.5.5-10.4.2-MariaDB"), (10, 4, 2));
        assert_eq!(version("8.4.0"), (8, 4, 0));
    }

    #[test]
    fn only_the_own_machine_is_trusted_without_a_certificate() {
        for host in ["localhost", "127.0.0.1", "[::1]"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["db", "10.0.0.1", "localhost.example.org"] {
            assert!(!is_loopback(host), "{host}");
        }
        let mode = |url: &str| format!("{:?}", options(url).unwrap());
        assert!(mode("mysql://u:p@db/shop").contains("ssl_mode: VerifyIdentity"));
        assert!(mode("mysql://u:p@db/shop?ssl-mode=required").contains("ssl_mode: Required"));
        assert!(mode("mysql://u:p@localhost/shop").contains("ssl_mode: Preferred"));
    }

    #[test]
    fn a_bad_url_is_not_quoted() {
        let error = options("mysql://user:hunter2@[/x").unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{error}");
        let error = options("mysql://user:hunter2@db/x?ssl-mode=nonsense").unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}
