//! The integration tests, as one binary: against a real Kafka, PostgreSQL, MariaDB, MySQL and SQLite.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod canary;
mod cases;
mod config;
mod consume;
mod explain;
mod faults;
mod kafka_sink;
mod merge;
mod metrics;
mod mysql;
mod pipeline;
mod plan;
mod postgres;
mod produce;
mod profile;
mod security;
mod sqlite;
mod support;
mod transform;
mod trial;
mod walls;
mod watch;
