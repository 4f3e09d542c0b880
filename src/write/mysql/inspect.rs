//! What an operator must know about the server and about a table before any data moves.

use sqlx::{AssertSqlSafe, Executor, Row, SqlSafeStr};

use crate::config::{Missing, Mode};
use crate::retry::Disposition;
use crate::types::ColumnType;
use crate::write::error::WriteError;
use crate::write::plan::{DeletePlan, TablePlan};
use crate::write::step::Action;

use super::MySqlSession;
use super::errors::{self, write_error};
use super::statements::{self, Flavor};

/// Row aliases and lists of rows (`VALUES ROW`) came with MySQL 8.0.19, table value constructors with MariaDB 10.3.
const OLDEST_MYSQL: (u32, u32, u32) = (8, 0, 19);
const OLDEST_MARIADB: (u32, u32, u32) = (10, 3, 0);

const AUTO_INCREMENT: &str = "SELECT CAST(column_name AS CHAR) FROM information_schema.columns \
                              WHERE table_schema = ? AND table_name = ? AND extra LIKE '%auto_increment%'";

// Constants are not among them; the current time is, and MySQL applies it as one.
const EXPRESSION_DEFAULTS: &str = "SELECT CAST(column_name AS CHAR) FROM information_schema.columns \
                                   WHERE table_schema = ? AND table_name = ? AND extra LIKE '%DEFAULT_GENERATED%' \
                                   AND column_default NOT LIKE 'CURRENT_TIMESTAMP%'";

const ENGINE: &str = "SELECT CAST(engine AS CHAR) FROM information_schema.tables \
                      WHERE table_schema = ? AND table_name = ?";

impl MySqlSession {
    pub(super) async fn check_server(&mut self) -> Result<Vec<String>, WriteError> {
        self.check_version()?;
        let names = [
            "read_only",
            "super_read_only",
            "innodb_read_only",
            "wsrep_on",
            "innodb_flush_log_at_trx_commit",
            "log_bin",
            "sync_binlog",
            "binlog_format",
            "explicit_defaults_for_timestamp",
        ];
        // Not every server has every variable.
        let list = names.map(|name| format!("'{name}'")).join(",");
        let sql = format!("SHOW GLOBAL VARIABLES WHERE Variable_name IN ({list})");
        let rows = self.connection.fetch_all(AssertSqlSafe(sql)).await.map_err(write_error)?;
        let mut variables = Vec::with_capacity(rows.len());
        for row in rows {
            let pair: (String, String) = (row.try_get(0).map_err(write_error)?, row.try_get(1).map_err(write_error)?);
            variables.push(pair);
        }
        let value = |name: &str| variables.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value);
        judge_server(value)
    }

    fn check_version(&self) -> Result<(), WriteError> {
        let (server, oldest) = match self.flavor {
            Flavor::MySql => ("MySQL", OLDEST_MYSQL),
            Flavor::MariaDb => ("MariaDB", OLDEST_MARIADB),
        };
        if self.version >= oldest {
            return Ok(());
        }
        let text = |(major, minor, patch)| format!("{major}.{minor}.{patch}");
        let message = format!("{server} {} is too old: {} is the oldest that works", text(self.version), text(oldest));
        Err(WriteError::new(Disposition::Block, "server-version", "", message))
    }

    pub(super) async fn check_table(&mut self, plan: &TablePlan) -> Result<Vec<String>, WriteError> {
        let mut problems = Vec::new();
        let table = plan.table.full_name();
        let engine = self.names(ENGINE, plan).await?.pop().unwrap_or_default();
        if !engine.eq_ignore_ascii_case("InnoDB") {
            problems.push(format!(
                "table {table}: its engine is {engine}, whose rows survive a ROLLBACK, so nothing could be exactly \
                 once: ALTER TABLE {} ENGINE = InnoDB",
                statements::quote_table(&plan.table)
            ));
        }
        if matches!(plan.mode, Mode::Upsert | Mode::InsertIgnore | Mode::Merge) {
            let generated = self.names(AUTO_INCREMENT, plan).await?;
            problems.extend(extra_unique(plan, &generated));
        }
        problems.extend(key_problems(plan));
        if plan.mode == Mode::Update && plan.missing != Missing::Keep && self.flavor == Flavor::MySql {
            // missing = "null" asks for the default of columns that take no null.
            let resets = |name: &str| {
                plan.columns.iter().any(|column| {
                    column.column.name == name && (plan.missing == Missing::Default || !column.column.nullable)
                })
            };
            for column in self.names(EXPRESSION_DEFAULTS, plan).await?.iter().filter(|name| resets(name)) {
                problems.push(format!(
                    "table {table}, column {column}: MySQL sets a default that is an expression to NULL in such an \
                     UPDATE: use missing = \"keep\", a constant default, or mode = \"upsert\""
                ));
            }
        }
        if problems.is_empty() {
            problems.extend(self.check_rights(plan).await?);
        }
        Ok(problems)
    }

    /// Prepares the statements that will run: the server then checks rights and columns, and touches no row.
    async fn check_rights(&mut self, plan: &TablePlan) -> Result<Option<String>, WriteError> {
        for (action, columns) in plan.actions() {
            let sql = statements::statement(self.flavor, plan, action, &columns).sql(1);
            let prepared = self.connection.prepare(AssertSqlSafe(sql).into_sql_str()).await;
            let Err(error) = prepared.map(drop) else { continue };
            let error = errors::read(&error, Some(plan)).error;
            if error.disposition != Disposition::Block {
                return Err(error);
            }
            let table = plan.table.full_name();
            if error.class != "no-privilege" {
                return Ok(Some(format!("table {table}: {}", error.message)));
            }
            let rights = match (action, plan.mode) {
                (Action::Put, Mode::Append) => "INSERT",
                (Action::Put, Mode::Update) | (Action::SoftDelete | Action::Patch, _) => "SELECT and UPDATE",
                (Action::Put, _) => "SELECT, INSERT and UPDATE",
                (Action::Delete | Action::Replace, _) => "SELECT and DELETE",
            };
            return Ok(Some(format!(
                "table {table}: the user of sink.url may not write it: GRANT {} ON {} TO that user ({})",
                rights.replace(" and", ","),
                statements::quote_table(&plan.table),
                error.code
            )));
        }
        Ok(None)
    }

    /// The texts that a query about the table of `plan` answers.
    async fn names(&mut self, sql: &'static str, plan: &TablePlan) -> Result<Vec<String>, WriteError> {
        let query = sqlx::query(sql).bind(plan.table.schema.as_deref()).bind(&*plan.table.name);
        let rows = query.fetch_all(&mut self.connection).await.map_err(write_error)?;
        let names = rows.iter().map(|row| Ok(row.try_get::<Option<String>, _>(0)?.unwrap_or_default()));
        names.collect::<Result<_, sqlx::Error>>().map_err(write_error)
    }
}

fn judge_server<'a>(value: impl Fn(&str) -> &'a str) -> Result<Vec<String>, WriteError> {
    let on = |name: &str| matches!(value(name), "ON" | "1");
    let read_only = ["super_read_only", "innodb_read_only", "read_only"].into_iter().find(|name| on(name));
    if let Some(name) = read_only {
        let message = format!(
            "the server is read-only ({name} = ON): it is a replica, or was made read-only. Point sink.url at the \
             primary"
        );
        return Err(WriteError::new(Disposition::Block, "read-only", "", message));
    }
    if on("log_bin") && value("binlog_format") == "STATEMENT" {
        let message = "binlog_format = STATEMENT does not allow READ COMMITTED: set it to ROW";
        return Err(WriteError::new(Disposition::Block, "binlog-format", "", message));
    }
    let mut warnings = Vec::new();
    if value("innodb_flush_log_at_trx_commit") != "1" {
        warnings.push(format!(
            "innodb_flush_log_at_trx_commit is {}, not 1: a crash of the server may lose commits that it has \
             confirmed, while Kafka's group offset has passed them",
            value("innodb_flush_log_at_trx_commit")
        ));
    }
    if on("log_bin") && value("sync_binlog") != "1" {
        warnings.push(format!(
            "sync_binlog is {}, not 1: after a crash the replicas may lack commits that the server has confirmed",
            value("sync_binlog")
        ));
    }
    if on("wsrep_on") {
        warnings.push(
            "the server is a Galera node: write to one node only; on two nodes the fence of tidegate_positions is \
             checked at COMMIT only"
                .into(),
        );
    }
    if value("explicit_defaults_for_timestamp") == "OFF" {
        warnings.push(
            "explicit_defaults_for_timestamp is OFF: a null in a TIMESTAMP NOT NULL column becomes the current time"
                .into(),
        );
    }
    Ok(warnings)
}

/// Unique indexes besides the key's. `ON DUPLICATE KEY UPDATE` fires on any of them, and would then change a row of
/// another key. One that holds an AUTO_INCREMENT column that we do not write never fires.
fn extra_unique(plan: &TablePlan, generated: &[String]) -> Vec<String> {
    let is_written = |name: &str| plan.columns.iter().any(|column| column.column.name == name);
    let column_name = |&column: &usize| plan.table.columns[column].name.as_str();
    let is_key = |columns: &[usize]| {
        let names = columns.iter().map(column_name);
        columns.len() == plan.key.len()
            && names.clone().all(|name| plan.key.iter().any(|&key| plan.columns[key].column.name == name))
    };
    let never_fires = |columns: &[usize]| {
        columns.iter().map(column_name).any(|name| generated.iter().any(|known| known == name) && !is_written(name))
    };
    let usable = plan.table.unique.iter().filter(|index| !is_key(&index.columns) && !never_fires(&index.columns));
    let mut names: Vec<&str> = usable.map(|index| index.name.as_str()).collect();
    names.extend(plan.table.unusable_unique.iter().map(String::as_str));
    if plan.key.is_empty() && names.len() <= 1 {
        // `insert-ignore` without a key: the only unique index is what tells that a row is there.
        return Vec::new();
    }
    let table = plan.table.full_name();
    let problem = |name: &str| {
        format!(
            "table {table}: besides the key it has the unique index {name}. MySQL's ON DUPLICATE KEY UPDATE cannot \
             tell which of them a row met, so it could overwrite or swallow a row of another key. Drop {name}, make it \
             the key, or use mode = \"append\" or \"update\""
        )
    };
    names.into_iter().map(problem).collect()
}

fn key_problems(plan: &TablePlan) -> Vec<String> {
    let table = plan.table.full_name();
    let mut problems = Vec::new();
    for column in plan.key.iter().map(|&key| &plan.columns[key].column) {
        if matches!(plan.mode, Mode::Upsert | Mode::Merge) && column.nullable {
            problems.push(format!(
                "table {table}, key column {}: it takes NULL, and rows with NULL in their key are never the same row: \
                 declare it NOT NULL",
                column.name
            ));
        }
    }
    let finds = plan.mode == Mode::Update || !plan.documents().is_empty() || plan.deletes != DeletePlan::Ignore;
    let searched = plan.key.iter().filter(|_| finds).chain(plan.replace.iter().flat_map(|replace| &replace.columns));
    for column in searched.map(|&column| &plan.columns[column].column) {
        if matches!(column.ty, Some(ColumnType::Float32)) {
            problems.push(format!(
                "table {table}, key column {}: FLOAT is approximate, and no value finds its row again: use DECIMAL or \
                 an integer",
                column.name
            ));
        }
    }
    problems
}
