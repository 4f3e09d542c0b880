//! What the tests share.

pub mod containers;
pub mod daemon;
pub mod database;
pub mod kafka;
pub mod pipeline;
pub mod servers;
pub mod services;
