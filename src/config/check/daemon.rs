//! The daemon file.

use std::net::SocketAddr;

use tracing_subscriber::EnvFilter;

use crate::config::problem::{Problem, Problems, Rule, nearest};
use crate::config::raw::{RawDaemon, RawHttp};
use crate::config::read::Given;
use crate::config::units::ByteSize;
use crate::config::{Daemon, Http, Secret};

/// Below this not even one batch of each of two lanes has room.
const LEAST_MEMORY: u64 = 16 << 20;

const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];

/// `literal` collects the names of secrets that the file holds as they are.
pub fn daemon(raw: &RawDaemon, literal: &mut Vec<String>, problems: &mut Problems) -> Daemon {
    let mut daemon = Daemon::default();
    if let Some(http) = raw.http.value() {
        self::http(http, &mut daemon.http, literal, problems);
    }
    if let Some(log) = raw.log.value() {
        if let Some(format) = log.format.value() {
            daemon.log.format = *format;
        }
        if let Some(given) = log.level.given() {
            level(given, problems);
            daemon.log.level.clone_from(&given.value);
        }
    }
    if let Some(given) = raw.limits.value().and_then(|limits| limits.memory.given()) {
        memory(given, &mut daemon.limits.memory, problems);
    }
    daemon
}

fn http(raw: &RawHttp, http: &mut Http, literal: &mut Vec<String>, problems: &mut Problems) {
    if let Some(given) = raw.listen.given() {
        match given.value.parse::<SocketAddr>() {
            Ok(listen) => {
                http.listen = listen;
                http.explicit = true;
            }
            Err(_) => {
                let cure = match given.value.split_once(':') {
                    Some(("", port)) if port.parse::<u16>().is_ok() => {
                        format!("write \"127.0.0.1:{port}\" or \"0.0.0.0:{port}\"")
                    }
                    Some(("localhost", port)) if port.parse::<u16>().is_ok() => format!("write \"127.0.0.1:{port}\""),
                    _ => "write an IP address and a port, such as \"127.0.0.1:9470\" or \"[::]:9470\"".to_owned(),
                };
                let what = format!("`http.listen` cannot be {}", given.shown());
                problems.push(Problem::new(&given.place, Rule::Value, what, cure));
            }
        }
    }
    if let Some(given) = raw.token.given() {
        // A header carries it.
        let cure = "write at least one visible ASCII character and no space, such as ${file:/run/secrets/token}";
        if given.value.is_empty() {
            problems.push(Problem::new(&given.place, Rule::Value, "`http.token` is empty", cure));
        } else if !given.value.chars().all(|c| c.is_ascii_graphic()) {
            let what = "`http.token` has a character that a header cannot carry";
            problems.push(Problem::new(&given.place, Rule::Value, what, cure));
        }
        if given.is_literal() {
            literal.push("http.token".to_owned());
        }
        http.token = Some(Secret::new(given.value.clone()));
    }
}

fn level(given: &Given<String>, problems: &mut Problems) {
    let text = given.value.trim();
    let wrong = |cure: String| {
        let what = format!("`log.level` cannot be {}", given.shown());
        Problem::new(&given.place, Rule::Value, what, cure)
            .allowed("error, warn, info, debug, trace, off, or a filter by module")
    };
    // The filter takes any lone word for a module's name, so a mistyped level would silence the log.
    for directive in text.split(',').map(str::trim) {
        let level = directive.rsplit_once('=').map_or(directive, |(_, level)| level);
        if !LEVELS.iter().any(|known| known.eq_ignore_ascii_case(level)) {
            let near = nearest(level, LEVELS).unwrap_or("info");
            problems.push(wrong(format!("did you mean \"{near}\"? A filter is written \"warn,tidegate=debug\"")));
            return;
        }
    }
    if EnvFilter::builder().parse(text).is_err() {
        problems.push(wrong("write a level, or a filter such as \"warn,tidegate=debug\"".to_owned()));
    }
}

fn memory(given: &Given<ByteSize>, memory: &mut usize, problems: &mut Problems) {
    match usize::try_from(given.value.0) {
        // Half of the address space: beyond it sums overflow.
        Ok(bytes) if given.value.0 >= LEAST_MEMORY && bytes <= isize::MAX as usize => *memory = bytes,
        _ => {
            let what = format!("`limits.memory` cannot be {} bytes", given.value.0);
            let cure = "write at least 16MiB; the default is 256MiB";
            problems.push(Problem::new(&given.place, Rule::Bounds, what, cure));
        }
    }
}
