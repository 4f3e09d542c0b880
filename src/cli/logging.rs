//! Logs on standard error.

use tracing_subscriber::EnvFilter;

use crate::config::{Log, LogFormat};

use super::{CONFIGURATION_WRONG, Stop};

/// Installs the subscriber. Once per process.
pub fn install(log: &Log) -> Result<(), Stop> {
    let filter = EnvFilter::try_new(&log.level)
        .map_err(|error| Stop::new(CONFIGURATION_WRONG, format!("log.level {:?}: {error}", log.level)))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let installed = match log.format {
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
        LogFormat::Text => builder.with_target(false).try_init(),
    };
    installed.map_err(|error| Stop::new(1, format!("the log cannot be set up: {error}")))
}
