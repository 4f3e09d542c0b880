//! A database of one test's own, on each of the four servers.

use std::path::PathBuf;

use sqlx::{AssertSqlSafe, Connection, Executor, MySqlConnection, PgConnection, Row, SqliteConnection, raw_sql};

use super::services;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Postgres,
    MariaDb,
    MySql,
    Sqlite,
}

pub const ALL: [Kind; 4] = [Kind::Postgres, Kind::MariaDb, Kind::MySql, Kind::Sqlite];

/// A fresh, empty database.
pub struct TestDatabase {
    pub kind: Kind,
    /// For the pipeline file.
    pub url: String,
    _folder: Option<tempfile::TempDir>,
    file: PathBuf,
}

fn with_database(server: &str, name: &str) -> String {
    let mut url = url::Url::parse(server).expect("the endpoint is a URL");
    url.set_path(name);
    url.to_string()
}

impl TestDatabase {
    pub async fn new(kind: Kind) -> Self {
        let server = match kind {
            Kind::Postgres => services::postgres(),
            Kind::MariaDb => services::mariadb(),
            Kind::MySql => services::mysql(),
            Kind::Sqlite => String::new(),
        };
        Self::on(kind, server).await
    }

    /// On this server; SQLite has none.
    pub async fn on(kind: Kind, server: String) -> Self {
        let name = format!("tidegate_{:012x}", fastrand::u64(..1 << 48));
        let create = format!("CREATE DATABASE {name}");
        match kind {
            Kind::Postgres => {
                let url = with_database(&server, &name);
                let mut admin = PgConnection::connect(&server).await.expect("PostgreSQL answers");
                admin.execute(AssertSqlSafe(create)).await.expect("the role may create databases");
                Self { kind, url, _folder: None, file: PathBuf::new() }
            }
            Kind::MariaDb | Kind::MySql => {
                let url = with_database(&server, &name);
                let mut admin = MySqlConnection::connect(&server.replace("mariadb://", "mysql://"))
                    .await
                    .expect("the server answers");
                admin.execute(AssertSqlSafe(create)).await.expect("the user may create databases");
                Self { kind, url, _folder: None, file: PathBuf::new() }
            }
            Kind::Sqlite => {
                let folder = tempfile::tempdir().expect("a temporary folder");
                let file = folder.path().join("test.db");
                SqliteConnection::connect(&format!("sqlite://{}?mode=rwc", file.display())).await.expect("a new file");
                Self { kind, url: format!("sqlite://{}", file.display()), _folder: Some(folder), file }
            }
        }
    }

    /// Runs statements.
    pub async fn execute(&self, sql: &str) {
        let sql = raw_sql(AssertSqlSafe(sql.to_owned()));
        match self.kind {
            Kind::Postgres => drop(self.postgres().await.execute(sql).await.expect("PostgreSQL runs it")),
            Kind::MariaDb | Kind::MySql => drop(self.mysql().await.execute(sql).await.expect("the server runs it")),
            Kind::Sqlite => drop(self.sqlite().await.execute(sql).await.expect("SQLite runs it")),
        }
    }

    /// Runs statements on a connection that is kept, with its locks, until what is returned is dropped.
    pub async fn hold(&self, sql: &str) -> Box<dyn std::any::Any> {
        let sql = raw_sql(AssertSqlSafe(sql.to_owned()));
        match self.kind {
            Kind::Postgres => {
                let mut connection = self.postgres().await;
                connection.execute(sql).await.expect("PostgreSQL runs it");
                Box::new(connection)
            }
            Kind::MariaDb | Kind::MySql => {
                let mut connection = self.mysql().await;
                connection.execute(sql).await.expect("the server runs it");
                Box::new(connection)
            }
            Kind::Sqlite => {
                let mut connection = self.sqlite().await;
                connection.execute(sql).await.expect("SQLite runs it");
                Box::new(connection)
            }
        }
    }

    /// The first column of the first row, a 64-bit integer; 0 where it is null.
    pub async fn number(&self, sql: &str) -> i64 {
        let sql = AssertSqlSafe(sql.to_owned());
        let number: Option<i64> = match self.kind {
            Kind::Postgres => sqlx::query(sql).fetch_one(&mut self.postgres().await).await.expect("a row").get(0),
            Kind::MariaDb | Kind::MySql => {
                sqlx::query(sql).fetch_one(&mut self.mysql().await).await.expect("a row").get(0)
            }
            Kind::Sqlite => sqlx::query(sql).fetch_one(&mut self.sqlite().await).await.expect("a row").get(0),
        };
        number.unwrap_or_default()
    }

    /// All rows; every column must be text (cast it).
    pub async fn texts(&self, sql: &str) -> Vec<Vec<Option<String>>> {
        let sql = AssertSqlSafe(sql.to_owned());
        macro_rules! texts {
            ($connection:expr) => {
                sqlx::query(sql)
                    .fetch_all(&mut $connection)
                    .await
                    .expect("the query runs")
                    .iter()
                    .map(|row| (0..row.len()).map(|column| row.get(column)).collect())
                    .collect()
            };
        }
        match self.kind {
            Kind::Postgres => texts!(self.postgres().await),
            Kind::MariaDb | Kind::MySql => texts!(self.mysql().await),
            Kind::Sqlite => texts!(self.sqlite().await),
        }
    }

    /// `expression` as text, in this database's words.
    pub fn text(&self, expression: &str) -> String {
        match self.kind {
            Kind::MariaDb | Kind::MySql => format!("CAST({expression} AS CHAR)"),
            _ => format!("CAST({expression} AS text)"),
        }
    }

    /// A bytes column that holds text, as text.
    pub fn bytes_as_text(&self, column: &str) -> String {
        match self.kind {
            Kind::Postgres => format!("convert_from({column}, 'UTF8')"),
            Kind::MariaDb | Kind::MySql => format!("CONVERT({column} USING utf8mb4)"),
            Kind::Sqlite => format!("CAST({column} AS text)"),
        }
    }

    async fn postgres(&self) -> PgConnection {
        PgConnection::connect(&self.url).await.expect("PostgreSQL answers")
    }

    async fn mysql(&self) -> MySqlConnection {
        MySqlConnection::connect(&self.url.replace("mariadb://", "mysql://")).await.expect("the server answers")
    }

    async fn sqlite(&self) -> SqliteConnection {
        let options = sqlx::sqlite::SqliteConnectOptions::new()
            .filename(&self.file)
            .busy_timeout(std::time::Duration::from_secs(60));
        SqliteConnection::connect_with(&options).await.expect("the file opens")
    }
}
