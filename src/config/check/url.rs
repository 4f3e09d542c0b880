//! `sink.url`. No message here repeats any part of it but the scheme and the names of its parameters.

use ::url::Url;

use crate::config::Database;
use crate::config::problem::{Problem, Problems, Rule, nearest, printable};
use crate::config::read::Given;

const SCHEMES: [&str; 5] = ["postgres", "postgresql", "mysql", "mariadb", "sqlite"];

/// What each database's driver understands; it would log another parameter with its value, or pass it over.
const POSTGRES_PARAMETERS: &[&str] = &[
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "statement-cache-capacity",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "application_name",
    "options",
];
const MYSQL_PARAMETERS: &[&str] = &[
    "sslmode",
    "ssl-mode",
    "sslca",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "statement-cache-capacity",
    "socket",
];
const SQLITE_PARAMETERS: &[&str] = &["mode", "vfs"];

const POSTGRES_TLS: &[&str] = &["disable", "allow", "prefer", "require", "verify-ca", "verify-full"];
const MYSQL_TLS: &[&str] = &["disabled", "preferred", "required", "verify_ca", "verify_identity"];

type Fault = (String, String);

/// The database of a URL that its driver will take.
pub fn check(given: &Given<String>, literal: &mut Vec<String>, problems: &mut Problems) -> Option<Database> {
    let before = problems.len();
    let mut tell = |(what, cure): Fault| problems.push(Problem::new(&given.place, Rule::Value, what, cure));
    let database = match database(&given.value) {
        Ok(database) => database,
        Err(fault) => {
            tell(fault);
            return None;
        }
    };
    match database {
        Database::Sqlite => sqlite(&given.value).into_iter().for_each(&mut tell),
        Database::Postgres | Database::MySql => match server(&given.value, database) {
            Ok((faults, has_password)) => {
                faults.into_iter().for_each(&mut tell);
                if has_password && given.is_literal() {
                    literal.push("sink.url".to_owned());
                }
            }
            Err(fault) => tell(fault),
        },
    }
    (problems.len() == before).then_some(database)
}

fn database(url: &str) -> Result<Database, Fault> {
    let example = "write postgres://, mysql://, mariadb:// or sqlite:// and the rest of the address";
    let Some((scheme, _)) = url.split_once(':') else {
        return Err(("`sink.url` is no URL: it has no scheme".to_owned(), example.to_owned()));
    };
    match scheme {
        "postgres" | "postgresql" => Ok(Database::Postgres),
        "mysql" | "mariadb" => Ok(Database::MySql),
        "sqlite" => Ok(Database::Sqlite),
        // A text without a scheme may begin with anything, such as `user:password@host`.
        _ if !url.contains("://") || !scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c)) => {
            Err(("`sink.url` has no scheme of a database".to_owned(), example.to_owned()))
        }
        _ => {
            let near = nearest(scheme, SCHEMES).map_or(example.to_owned(), |near| format!("did you mean {near}://?"));
            Err((format!("`sink.url` has the unknown scheme {}://", printable(scheme)), near))
        }
    }
}

/// The faults of a server's URL, and whether a password is in it.
fn server(text: &str, database: Database) -> Result<(Vec<Fault>, bool), Fault> {
    let url = Url::parse(text).map_err(|error| {
        let cure = "percent-encode special characters, or put the password in by ${NAME}: that is encoded for you";
        (format!("`sink.url` is no URL: {error}"), cure.to_owned())
    })?;
    let parameters: Vec<(String, String)> =
        url.query_pairs().map(|(name, value)| (name.into_owned(), value.into_owned())).collect();
    let has = |names: &[&str]| parameters.iter().any(|(name, _)| names.contains(&name.as_str()));
    let mut faults = Vec::new();
    let host = url.host_str().is_some_and(|host| !host.is_empty()) || has(&["host", "hostaddr", "socket"]);
    if !host {
        faults.push(("`sink.url` names no host".to_owned(), "write scheme://user:password@host/database".to_owned()));
    }
    let path = url.path().trim_matches('/');
    if path.contains('/') {
        faults.push((
            "`sink.url` has a `/` in the database's name".to_owned(),
            "write scheme://user:password@host/database; a `/` in the password is %2F".to_owned(),
        ));
    } else if path.is_empty() && !(database == Database::Postgres && has(&["dbname"])) {
        faults.push((
            "`sink.url` names no database".to_owned(),
            "add it: scheme://user:password@host/database".to_owned(),
        ));
    }
    if url.fragment().is_some() {
        faults.push((
            "`sink.url` has a `#`, which cuts it off".to_owned(),
            "write %23, or put the password in by ${NAME}: that is encoded for you".to_owned(),
        ));
    }
    parameter_faults(&parameters, database, &mut faults);
    Ok((faults, url.password().is_some()))
}

fn parameter_faults(parameters: &[(String, String)], database: Database, faults: &mut Vec<Fault>) {
    let (known, modes, example) = match database {
        Database::Postgres => (POSTGRES_PARAMETERS, POSTGRES_TLS, "verify-full"),
        Database::MySql => (MYSQL_PARAMETERS, MYSQL_TLS, "verify_identity"),
        Database::Sqlite => (SQLITE_PARAMETERS, &[][..], ""),
    };
    for (name, value) in parameters {
        if name == "password" {
            let what = "`sink.url` has the password among its parameters, where others log it".to_owned();
            faults.push((what, "write it before the host: user:${DB_PASSWORD}@host".to_owned()));
        } else if matches!(name.as_str(), "sslmode" | "ssl-mode") {
            if !modes.contains(&value.to_ascii_lowercase().as_str()) {
                let near = nearest(value, modes.iter().copied()).unwrap_or(example);
                let what = format!("`sink.url`: {name} does not take this value; allowed: {}", modes.join(", "));
                faults.push((what, format!("write {name}={near}")));
            }
        } else if !(known.contains(&name.as_str()) || database == Database::Postgres && name.starts_with("options[")) {
            // Its name is not repeated: a `?` in a password makes the rest of it look like one.
            let cure = match nearest(name, known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "remove it; a `?` in the password is %3F".to_owned(),
            };
            faults.push((format!("`sink.url` has an unknown parameter; allowed: {}", known.join(", ")), cure));
        }
    }
}

fn sqlite(text: &str) -> Vec<Fault> {
    let rest = text.strip_prefix("sqlite:").unwrap_or(text);
    let rest = rest.strip_prefix("//").unwrap_or(rest);
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let parameters: Vec<(String, String)> = ::url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let mode = parameters.iter().find(|(name, _)| name == "mode").map(|(_, value)| value.as_str());
    let mut faults = Vec::new();
    if path == ":memory:" || mode == Some("memory") {
        let what = "`sink.url` is a database in memory, which ends with the process".to_owned();
        faults.push((what, "write a file: sqlite://orders.db".to_owned()));
    } else if path.is_empty() {
        faults.push((
            "`sink.url` names no file".to_owned(),
            "write sqlite://orders.db, or sqlite:///var/lib/orders.db".to_owned(),
        ));
    }
    match mode {
        None | Some("rw" | "rwc" | "memory") => {}
        Some("ro") => {
            let what = "`sink.url` opens the database read-only".to_owned();
            faults.push((what, "remove mode=ro".to_owned()));
        }
        Some(_) => faults
            .push(("`sink.url`: mode does not take this value".to_owned(), "write mode=rwc or remove it".to_owned())),
    }
    parameter_faults(&parameters, Database::Sqlite, &mut faults);
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(url: &str) -> usize {
        match database(url) {
            Ok(Database::Sqlite) => sqlite(url).len(),
            Ok(database) => server(url, database).map_or(1, |(faults, _)| faults.len()),
            Err(_) => 1,
        }
    }

    #[test]
    fn what_the_drivers_take_is_taken() {
        for url in [
            "postgres://db/shop",
            "postgresql://app:secret@[::1]:5433/shop?sslmode=verify-full&application_name=t",
            "postgres:///shop?host=/var/run/postgresql",
            "postgres://db/?dbname=shop",
            "mysql://app:p%40ss@db:3306/shop?ssl-mode=VERIFY_IDENTITY",
            "mariadb://app@db/shop",
            "sqlite://orders.db",
            "sqlite:///var/lib/t/orders.db?mode=rwc",
            "sqlite:orders.db",
        ] {
            assert_eq!(faults(url), 0, "{url}");
        }
    }

    #[test]
    fn what_they_would_misread_is_refused() {
        for url in [
            "",
            "db/shop",
            "app:secret@db/shop",
            "oracle://db/shop",
            "postgres://db",
            "postgres:///shop",
            "postgres://app:a/b@db/shop",
            "postgres://app:a#b@db/shop",
            "postgres://db/a/b",
            "postgres://db/shop?sslmode=on",
            "postgres://db/shop?password=secret",
            "postgres://db/shop?pasword=secret",
            "postgres://db:99999/shop",
            "mysql://db/shop?sslmode=require",
            "sqlite://",
            "sqlite::memory:",
            "sqlite://a.db?mode=ro",
            "sqlite://a.db?immutable=1",
        ] {
            assert!(faults(url) > 0, "{url}");
        }
    }
}
