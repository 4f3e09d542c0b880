//! Connecting, setting the session up, and what the server must be like.

use std::io;
use std::net::IpAddr;
use std::str::FromStr as _;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{ConnectOptions as _, PgConnection, Row as _, raw_sql};
use tokio::time::timeout;
use url::Url;

use crate::config::Sink;
use crate::retry::Disposition;
use crate::write::error::WriteError;
use crate::write::socket;

use super::errors::write_error;

/// The longest a connection may take, unless the URL says otherwise (`connect_timeout`, in seconds).
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Statements of our own are few, those of the tables one per `[[table]]`, action and set of present columns.
const STATEMENT_CACHE: usize = 256;
/// `attgenerated`, on which the catalog query relies, came with 12.
const OLDEST_VERSION: i32 = 120_000;

/// What the driver understands. It ignores and logs others with their value, which may be a secret.
const URL_PARAMETERS: [&str; 14] = [
    "application_name",
    "connect_timeout",
    "dbname",
    "host",
    "hostaddr",
    "options",
    "password",
    "port",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "ssl-mode",
    "user",
];

/// Statements: below the deadline of a whole transaction (120 s), so that a slow one ends with the server's answer.
/// Between two statements of a transaction a daemon computes for milliseconds; one that says nothing for 15 s is frozen,
/// and holds the positions that its successor waits for. Notices are off: a trigger's may hold values, and the driver
/// logs them.
const SESSION: &str = "SET timezone = 'UTC';
SET statement_timeout = '60s';
SET lock_timeout = '30s';
SET idle_in_transaction_session_timeout = '15s';
SET client_min_messages = 'error';
SET standard_conforming_strings = on;
SELECT current_schema()";

/// A connection that is set up, and the schema of our tables.
pub(super) async fn connect(sink: &Sink, pipeline: &str) -> Result<(PgConnection, String), WriteError> {
    let (options, limit) = options(sink.url.expose(), pipeline)?;
    let is_socket = options.get_socket().is_some() || options.get_host().starts_with('/');
    let place = format!(
        "{}, database {:?}, role {:?}",
        if is_socket {
            "the local socket".to_owned()
        } else {
            format!("{}:{}", options.get_host(), options.get_port())
        },
        options.get_database().unwrap_or(options.get_username()),
        options.get_username()
    );
    let attempt = async {
        let mut connection = options.connect().await?;
        if !is_socket {
            socket::tune_connections(options.get_port());
        }
        let schema: Option<String> = raw_sql(SESSION).fetch_one(&mut connection).await?.try_get(0)?;
        Ok((connection, schema))
    };
    let connected = timeout(limit, attempt).await.unwrap_or_else(|_| {
        let text = format!("no answer within {} s", limit.as_secs());
        Err(sqlx::Error::Io(io::Error::new(io::ErrorKind::TimedOut, text)))
    });
    let (connection, current) = connected.map_err(|error: sqlx::Error| {
        let error = write_error(error);
        WriteError { message: format!("{place}: {}", error.message), connection_usable: false, ..error }
    })?;
    match sink.state_schema.clone().or(current) {
        Some(schema) => Ok((connection, schema)),
        None => Err(WriteError::new(
            Disposition::Block,
            "missing-schema",
            "",
            "the role's search_path names no schema that exists, so there is no place for Tidegate's own tables: \
             create one, or set sink.state_schema",
        )),
    }
}

fn options(url: &str, pipeline: &str) -> Result<(PgConnectOptions, Duration), WriteError> {
    let wrong = |text: String| WriteError::new(Disposition::Block, "configuration", "", format!("sink.url: {text}"));
    let mut url = Url::parse(url).map_err(|error| wrong(error.to_string()))?;
    let mut limit = CONNECT_TIMEOUT;
    let mut parameters = Vec::new();
    for (name, value) in url.query_pairs() {
        if !URL_PARAMETERS.contains(&&*name) && !name.starts_with("options[") {
            let known = URL_PARAMETERS.join(", ");
            return Err(wrong(format!("the parameter {name:?} is unknown; there are {known}")));
        }
        if name == "connect_timeout" {
            let seconds = value.parse().ok().filter(|&seconds| seconds > 0);
            let seconds = seconds.ok_or_else(|| wrong("connect_timeout is a number of seconds above 0".to_owned()))?;
            limit = Duration::from_secs(seconds);
        } else {
            parameters.push((name.into_owned(), value.into_owned()));
        }
    }
    url.set_query(None);
    if !parameters.is_empty() {
        url.query_pairs_mut().extend_pairs(&parameters);
    }
    let is_given = |wanted: &[&str]| parameters.iter().any(|(name, _)| wanted.contains(&name.as_str()));
    let mut options = PgConnectOptions::from_str(url.as_str()).map_err(write_error)?;
    options = options.statement_cache_capacity(STATEMENT_CACHE).disable_statement_logging();
    if !is_given(&["application_name"]) {
        options = options.application_name(&format!("tidegate/{pipeline}"));
    }
    if !is_given(&["sslmode", "ssl-mode"]) {
        // The driver's own default takes an unencrypted or unverified connection where it must.
        let mode = if is_local(&options) { PgSslMode::Prefer } else { PgSslMode::VerifyFull };
        options = options.ssl_mode(mode);
    }
    Ok((options, limit))
}

fn is_local(options: &PgConnectOptions) -> bool {
    let host = options.get_host().trim_start_matches('[').trim_end_matches(']');
    options.get_socket().is_some()
        || host.starts_with('/')
        || host == "localhost"
        || IpAddr::from_str(host).is_ok_and(|address| address.is_loopback())
}

/// Refuses a server that takes no writes or is too old; returns what else an operator should know.
pub(super) async fn inspect(connection: &mut PgConnection) -> Result<Vec<String>, WriteError> {
    const FACTS: &str = "SELECT pg_is_in_recovery(), current_setting('default_transaction_read_only') = 'on',
        current_setting('server_version_num')::int4, current_setting('fsync') = 'on',
        current_setting('synchronous_commit')";
    let facts: (bool, bool, i32, bool, String) =
        sqlx::query_as(FACTS).fetch_one(connection).await.map_err(write_error)?;
    let (is_standby, is_read_only, version, has_fsync, synchronous_commit) = facts;
    if version < OLDEST_VERSION {
        let have = version / 10_000;
        return Err(refused("old-server", format!("the server is PostgreSQL {have}; 12 or newer is needed")));
    }
    if is_standby {
        return Err(refused("read-only", "the server is a standby: point sink.url to the primary".to_owned()));
    }
    if is_read_only {
        let text = "default_transaction_read_only is on for this role or database: somebody wants no writes here; \
                    point sink.url to the primary, or set it off";
        return Err(refused("read-only", text.to_owned()));
    }
    let mut warnings = Vec::new();
    if !has_fsync {
        warnings.push("the server runs with fsync = off: a crash can corrupt the whole database".to_owned());
    }
    if synchronous_commit == "off" {
        let text = "synchronous_commit is off: the server confirms transactions that a crash of it undoes; Tidegate \
                    then goes on from the older position, but with delivery = \"at-least-once\" the rows are lost";
        warnings.push(text.to_owned());
    }
    Ok(warnings)
}

fn refused(class: &'static str, text: String) -> WriteError {
    WriteError::new(Disposition::Block, class, "", text).answered()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(url: &str) -> String {
        format!("{:?}", options(url, "p").unwrap().0.get_ssl_mode())
    }

    #[test]
    fn certificates_are_verified_off_the_local_host() {
        assert_eq!(mode("postgres://a@db.example/shop"), "VerifyFull");
        assert_eq!(mode("postgres://a@db.example/shop?sslmode=disable"), "Disable");
        for local in ["localhost", "127.0.0.1", "127.8.0.1:6000", "[::1]", "%2Fvar%2Frun%2Fpostgresql"] {
            assert_eq!(mode(&format!("postgres://a@{local}/shop")), "Prefer", "{local}");
        }
    }

    #[test]
    fn the_parameters_of_the_url_are_known_ones() {
        let (given, limit) = options("postgres://a@localhost/shop?connect_timeout=3&dbname=b", "orders").unwrap();
        assert_eq!((given.get_database(), limit), (Some("b"), Duration::from_secs(3)));
        assert_eq!(given.get_application_name(), Some("tidegate/orders"));
        for wrong in ["pasword=hunter2", "connect_timeout=hunter2", "sslmode=hunter2"] {
            let error = options(&format!("postgres://a@localhost/shop?{wrong}"), "p").unwrap_err();
            assert_eq!(error.disposition, Disposition::Block, "{wrong}");
            assert!(wrong.starts_with("sslmode") || !error.message.contains("hunter2"), "{}", error.message);
        }
    }
}
