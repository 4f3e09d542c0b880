//! Tidegate: Kafka topics into SQL tables, exactly once.

pub mod cli;
pub mod commit;
pub mod config;
pub mod consume;
pub mod dead_letter;
pub mod decode;
pub mod embedded_broker;
pub mod events;
pub mod http;
pub mod inbox;
pub mod kafka;
pub mod keys;
pub mod lease;
pub mod metrics;
pub mod offsets;
pub mod outbox;
pub mod pipeline;
pub mod privacy;
pub mod produce;
pub mod records;
pub mod retry;
pub mod rows;
pub mod status;
pub mod transform;
pub mod types;
pub mod write;
