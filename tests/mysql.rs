//! MySQL and MariaDB. Every test runs on both.

mod fence;
mod limits;
mod modes;
mod tables;
mod types;

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{Field, Schema};
use sqlx::{AssertSqlSafe, Connection, Executor, MySqlConnection, Row};
use tidegate::config::{BatchLimits, Database as Kind, Delivery, Missing, Mode, Secret, Sink};
use tidegate::write::mysql::MySqlSession;
use tidegate::write::plan::{DeletePlan, PlanColumn, TablePlan};
use tidegate::write::session::Session;
use tidegate::write::step::{Action, Step};

use crate::support::services;

/// A database of its own on one of the servers.
pub struct Database {
    /// For messages of failed tests.
    pub server: &'static str,
    pub is_mariadb: bool,
    pub name: String,
    server_url: String,
}

/// Runs a test on both servers.
pub async fn on_both(test: impl AsyncFn(&Database)) {
    for (server, is_mariadb, url) in [("MariaDB", true, services::mariadb()), ("MySQL", false, services::mysql())] {
        let name = format!("tidegate_test_{:016x}", fastrand::u64(..));
        let database = Database { server, is_mariadb, name, server_url: url };
        let mut admin = MySqlConnection::connect(&database.server_url).await.expect("the server answers");
        let create = format!("CREATE DATABASE {} CHARACTER SET utf8mb4", database.name);
        admin.execute(AssertSqlSafe(create)).await.expect("the test may create databases");
        test(&database).await;
        admin.execute(AssertSqlSafe(format!("DROP DATABASE {}", database.name))).await.expect("it is still there");
    }
}

impl Database {
    pub fn url(&self) -> String {
        let mut url = url::Url::parse(&self.server_url).expect("the endpoint is a URL");
        url.set_path(&self.name);
        url.into()
    }

    pub fn sink(&self) -> Sink {
        self.sink_as(&self.url())
    }

    pub fn sink_as(&self, url: &str) -> Sink {
        Sink {
            database: Kind::MySql,
            url: Secret::new(url),
            delivery: Delivery::ExactlyOnce,
            writers: None,
            batch: BatchLimits::default(),
            state_schema: None,
        }
    }

    /// A session of the program's own.
    pub async fn session(&self) -> MySqlSession {
        MySqlSession::connect(&self.sink(), "p").await.expect("the server answers")
    }

    /// A plain connection, to set things up and to look at them.
    pub async fn plain(&self) -> MySqlConnection {
        let mut connection = MySqlConnection::connect(&self.url()).await.expect("the server answers");
        connection.execute("SET SESSION innodb_lock_wait_timeout = 30").await.expect("it is a session variable");
        connection
    }

    pub async fn run(&self, sql: &str) {
        self.plain().await.execute(AssertSqlSafe(sql)).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    /// The rows of a query as lines of texts.
    pub async fn rows(&self, sql: &str) -> Vec<String> {
        let rows = self.plain().await.fetch_all(AssertSqlSafe(sql)).await;
        let rows = rows.unwrap_or_else(|error| panic!("{sql}: {error}"));
        let cell = |row: &sqlx::mysql::MySqlRow, index: usize| {
            let bytes: Option<Vec<u8>> = row.try_get_unchecked(index).expect("every column can be had as bytes");
            bytes.map_or("null".to_owned(), |bytes| String::from_utf8_lossy(&bytes).into_owned())
        };
        rows.iter().map(|row| (0..row.len()).map(|i| cell(row, i)).collect::<Vec<_>>().join("|")).collect()
    }

    pub async fn count(&self, table: &str) -> u64 {
        self.rows(&format!("SELECT COUNT(*) FROM {table}")).await[0].parse().expect("a count is a number")
    }
}

/// A plan over all columns of a table that can be written, the marking column of soft deletes aside.
pub async fn plan(session: &mut MySqlSession, table: &str, mode: Mode, key: &[&str]) -> TablePlan {
    let table = session.table(table).await.expect("the catalog answers").expect("the table is there");
    let columns: Vec<PlanColumn> = table
        .columns
        .iter()
        .filter(|column| !column.generated && column.name != "deleted")
        .enumerate()
        .map(|(input, column)| PlanColumn { column: column.clone(), input })
        .collect();
    let index = |name: &&str| columns.iter().position(|column| column.column.name == **name).expect("a known column");
    let key = key.iter().map(index).collect();
    TablePlan {
        table,
        mode,
        columns,
        key,
        deletes: DeletePlan::Ignore,
        version: None,
        missing: Missing::Null,
        replace: None,
        retention: None,
        merge: Vec::new(),
    }
}

/// A step over columns of these indexes; the record of row i is 100 + i.
pub fn step(action: Action, columns: &[usize], arrays: Vec<ArrayRef>) -> Step {
    let fields: Vec<Field> = arrays
        .iter()
        .enumerate()
        .map(|(i, array)| Field::new(i.to_string(), array.data_type().clone(), true))
        .collect();
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).expect("columns of one length");
    let origins = (0..batch.num_rows() as u32).map(|row| 100 + row).collect();
    Step { action, columns: columns.to_vec(), batch, origins }
}

/// Applies steps in one transaction; how many rows each changed.
pub async fn apply(session: &mut MySqlSession, plan: &TablePlan, steps: &[Step]) -> Vec<u64> {
    session.begin().await.expect("a transaction begins");
    let mut changed = Vec::new();
    for step in steps {
        changed.push(session.apply(plan, step).await.unwrap_or_else(|error| panic!("{}: {error}", plan.table.name)));
    }
    session.commit().await.expect("it commits");
    changed
}

pub fn ints(values: &[Option<i32>]) -> ArrayRef {
    Arc::new(arrow_array::Int32Array::from(values.to_vec()))
}

pub fn texts(values: &[Option<&str>]) -> ArrayRef {
    Arc::new(arrow_array::StringArray::from(values.to_vec()))
}
