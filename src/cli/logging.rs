//! Logs on standard error.

use std::io::{self, Write};

use indicatif::ProgressBar;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

use crate::config::{Log, LogFormat};

use super::{CONFIGURATION_WRONG, Stop};

/// Installs the subscriber. Once per process.
pub fn install(log: &Log) -> Result<(), Stop> {
    install_beside(log, None)
}

/// As [`install`]; the lines go past a bar that stands below them.
pub fn install_beside(log: &Log, bar: Option<ProgressBar>) -> Result<(), Stop> {
    let filter = EnvFilter::try_new(&log.level)
        .map_err(|error| Stop::new(CONFIGURATION_WRONG, format!("log.level {:?}: {error}", log.level)))?;
    let writer = match bar {
        Some(bar) => BoxMakeWriter::new(move || Beside(bar.clone())),
        None => BoxMakeWriter::new(io::stderr),
    };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    let installed = match log.format {
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
        LogFormat::Text => builder.with_target(false).try_init(),
    };
    installed.map_err(|error| Stop::new(1, format!("the log cannot be set up: {error}")))
}

/// Standard error with a bar on it.
struct Beside(ProgressBar);

impl Write for Beside {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.suspend(|| io::stderr().write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}
