//! `tidegate health`: the health check of the container image, which has no other HTTP client.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use crate::config;

use super::{Context, Stop};

/// Ask a running daemon on this host whether it lives (for container health checks)
#[derive(Debug, clap::Args)]
pub struct Health {}

/// Shorter than the health checks' own limit, so that the cause is told and not a time-out.
const LIMIT: Duration = Duration::from_secs(2);

impl Health {
    pub fn execute(self, context: &Context) -> Result<u8, Stop> {
        let daemon = config::load_daemon(context.daemon_file.as_deref(), &context.environment)?;
        let listen = daemon.http.listen;
        let ip = if listen.ip().is_unspecified() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { listen.ip() };
        let address = SocketAddr::new(ip, listen.port());
        let answer = ask(address).map_err(|error| Stop::new(1, format!("{address} does not answer: {error}")))?;
        let status = answer.lines().next().unwrap_or_default();
        if status.split(' ').nth(1) == Some("200") {
            return Ok(0);
        }
        Err(Stop::new(1, format!("{address} answers {status:?}")))
    }
}

fn ask(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, LIMIT)?;
    stream.set_read_timeout(Some(LIMIT))?;
    write!(stream, "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    // The status line is all that matters; 64 KiB bounds what a stranger on that port could send.
    stream.take(64 << 10).read_to_string(&mut answer)?;
    Ok(answer)
}
