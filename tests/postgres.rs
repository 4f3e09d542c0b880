//! The PostgreSQL session against a real server: each test in a schema of its own, dropped at its end.

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{Field, Schema};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _};

use tidegate::config::{BatchLimits, Database, Delivery, Missing, Mode, Secret, Sink};
use tidegate::offsets::TopicPartition;
use tidegate::write::catalog::CatalogTable;
use tidegate::write::plan::{DeletePlan, PlanColumn, TablePlan};
use tidegate::write::postgres::PostgresSession;
use tidegate::write::session::{Move, Position, Session as _};
use tidegate::write::step::{Action, Step};

use crate::support::services;

mod catalog;
mod errors;
mod modes;
mod own_tables;
mod positions;
mod types;

/// A schema of its own, and a connection to look into it.
struct Fixture {
    schema: String,
    admin: PgConnection,
    /// A role that may use the schema, where the test wanted one.
    role: Option<String>,
}

impl Fixture {
    async fn new() -> Self {
        let schema = format!("tidegate_test_{:016x}", fastrand::u64(..));
        let mut admin = PgConnection::connect(&services::postgres()).await.expect("the test server answers");
        let script = format!("CREATE SCHEMA {schema}; SET search_path = {schema}; SET timezone = 'UTC'");
        sqlx::raw_sql(AssertSqlSafe(script)).execute(&mut admin).await.unwrap();
        Self { schema, admin, role: None }
    }

    /// With our own tables in it.
    async fn migrated() -> (Self, PostgresSession) {
        let fixture = Self::new().await;
        let mut session = fixture.session().await;
        session.migrate().await.unwrap();
        (fixture, session)
    }

    async fn run(&mut self, sql: impl Into<String>) {
        let sql = sql.into();
        sqlx::raw_sql(AssertSqlSafe(sql.clone()))
            .execute(&mut self.admin)
            .await
            .unwrap_or_else(|e| panic!("{sql}: {e}"));
    }

    /// A role that may log in and use the schema, and what `URL` it connects with.
    async fn role(&mut self) -> (String, Sink) {
        let role = format!("{}_role", self.schema);
        self.role = Some(role.clone());
        self.run(format!("CREATE ROLE {role} LOGIN; GRANT USAGE ON SCHEMA {} TO {role}", self.schema)).await;
        let sink = self.sink(&format!("&user={role}"));
        (role, sink)
    }

    /// The texts of one column.
    async fn texts(&mut self, sql: impl Into<String>) -> Vec<Option<String>> {
        sqlx::query_scalar(AssertSqlSafe(sql.into())).fetch_all(&mut self.admin).await.unwrap()
    }

    /// The rows as texts, for a short comparison: `1|a`, nulls as nothing.
    async fn rows(&mut self, columns: &str, table: &str) -> Vec<String> {
        let sql = format!("SELECT concat_ws('|', {columns}) FROM {table} ORDER BY 1");
        self.texts(sql).await.into_iter().flatten().collect()
    }

    async fn number(&mut self, sql: impl Into<String>) -> i64 {
        sqlx::query_scalar(AssertSqlSafe(sql.into())).fetch_one(&mut self.admin).await.unwrap()
    }

    /// `parameters` of the URL besides the search path.
    fn sink(&self, parameters: &str) -> Sink {
        let url = services::postgres();
        sink_at(&format!("{url}?options=-c%20search_path%3D{}{parameters}", self.schema))
    }

    async fn session(&self) -> PostgresSession {
        PostgresSession::connect(&self.sink(""), "test").await.unwrap()
    }

    /// Waits until some backend waits for a lock that a transaction of this test holds.
    async fn somebody_waits(&mut self, application: &str) {
        let waiting = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = '{application}' AND wait_event_type = 'Lock'"
        );
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while self.number(waiting.clone()).await == 0 {
            assert!(std::time::Instant::now() < deadline, "nobody waits for a lock");
            tokio::task::yield_now().await;
        }
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        let mut script = format!("DROP SCHEMA {} CASCADE;", self.schema);
        if let Some(role) = &self.role {
            script += &format!("DROP OWNED BY {role}; DROP ROLE {role}");
        }
        // Also after a failed test, and in a destructor nothing can be awaited: a thread with a runtime of its own.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let mut admin = PgConnection::connect(&services::postgres()).await.unwrap();
                let _ = sqlx::raw_sql(AssertSqlSafe(script)).execute(&mut admin).await;
            });
        });
        let _ = dropping.join();
    }
}

fn sink_at(url: &str) -> Sink {
    Sink {
        database: Database::Postgres,
        url: Secret::new(url),
        delivery: Delivery::ExactlyOnce,
        writers: None,
        batch: BatchLimits::default(),
        state_schema: None,
    }
}

/// All columns that can be written, keyed by the first unique index.
fn plan_of(table: CatalogTable, mode: Mode) -> TablePlan {
    let writable = table.columns.iter().filter(|column| column.ty.is_some() && !column.generated).cloned();
    let columns: Vec<PlanColumn> = writable.enumerate().map(|(input, column)| PlanColumn { column, input }).collect();
    let place = |name: &str| columns.iter().position(|planned| planned.column.name == name).unwrap();
    let key = match table.unique.first() {
        Some(unique) => unique.columns.iter().map(|&column| place(&table.columns[column].name)).collect(),
        None => Vec::new(),
    };
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

async fn plan(session: &mut PostgresSession, table: &str, mode: Mode) -> TablePlan {
    plan_of(session.table(table).await.unwrap().expect("the table exists"), mode)
}

/// A step whose rows come from the records 100, 101, ...
fn step(action: Action, columns: &[usize], arrays: Vec<ArrayRef>) -> Step {
    let fields = arrays
        .iter()
        .enumerate()
        .map(|(index, array)| Field::new(format!("c{index}"), array.data_type().clone(), true));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let batch = RecordBatch::try_new(schema, arrays).unwrap();
    let origins = (100..100 + batch.num_rows() as u32).collect();
    Step { action, columns: columns.to_vec(), batch, origins }
}

fn put(columns: &[usize], arrays: Vec<ArrayRef>) -> Step {
    step(Action::Put, columns, arrays)
}

/// A transaction of one step.
async fn apply(session: &mut PostgresSession, plan: &TablePlan, step: &Step) -> u64 {
    session.begin().await.unwrap();
    let changed = session.apply(plan, step).await.unwrap();
    session.commit().await.unwrap();
    changed
}

fn position(topic: &str, partition: i32, next_offset: i64, owner_epoch: i64) -> Position {
    Position {
        partition: TopicPartition::new(topic, partition),
        next_offset,
        cluster_id: "cluster".into(),
        topic_id: "topic".into(),
        owner_epoch,
        owner: "host/1/abc".into(),
    }
}

fn movement(topic: &str, partition: i32, epoch: i64, expected: i64, next: i64) -> Move {
    Move { partition: TopicPartition::new(topic, partition), epoch, expected, next }
}
