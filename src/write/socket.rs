//! Options of the sockets to the databases, which the driver opens and does not set.

/// Sets TCP_NODELAY and limits for dead peers on all connections of this process to `port`.
///
/// Without TCP_NODELAY every statement that is sent in two parts (a COPY, for one) waits 40 ms for a delayed
/// acknowledgement. Without the limits a connection to a host that vanished hangs for a quarter of an hour.
///
/// The driver gives no access to its socket, so it is found by its peer. That another connection to the same port is
/// set as well does it no harm. Outside Linux nothing is done.
pub fn tune_connections(port: u16) {
    #[cfg(target_os = "linux")]
    linux::tune_connections(port);
    #[cfg(not(target_os = "linux"))]
    let _ = port;
}

#[cfg(target_os = "linux")]
mod linux {
    use std::fs;
    use std::net::SocketAddr;
    use std::os::fd::{BorrowedFd, RawFd};
    use std::time::Duration;

    use rustix::io::Result;
    use rustix::net::{getpeername, sockopt};

    /// As long as the servers are given to notice a dead client; shorter than any of our deadlines.
    const DEAD_AFTER: Duration = Duration::from_secs(30);
    const PROBE_EVERY: Duration = Duration::from_secs(10);
    const PROBES: u32 = 3;

    pub fn tune_connections(port: u16) {
        let Ok(descriptors) = fs::read_dir("/proc/self/fd") else {
            return;
        };
        for descriptor in descriptors.flatten() {
            let Some(number) = descriptor.file_name().to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            // A refused option costs time, not correctness.
            if let Err(error) = tune(number, port) {
                tracing::debug!(%error, port, "an option of a connection to the database could not be set");
            }
        }
    }

    fn tune(number: RawFd, port: u16) -> Result<()> {
        // SAFETY: the descriptor is used within this function only, and never closed or kept. Should another thread
        // close it meanwhile, the calls fail with EBADF or meet another open file, of which they first ask whether it
        // is a connection to that port, and which they then give options that harm no connection.
        let socket = unsafe { BorrowedFd::borrow_raw(number) };
        // Most descriptors are no sockets, and most sockets no connections to that port.
        let peer = getpeername(socket).ok().flatten().and_then(|peer| SocketAddr::try_from(peer).ok());
        if peer.is_none_or(|peer| peer.port() != port) {
            return Ok(());
        }
        sockopt::set_tcp_nodelay(socket, true)?;
        sockopt::set_socket_keepalive(socket, true)?;
        sockopt::set_tcp_keepidle(socket, DEAD_AFTER)?;
        sockopt::set_tcp_keepintvl(socket, PROBE_EVERY)?;
        sockopt::set_tcp_keepcnt(socket, PROBES)?;
        sockopt::set_tcp_user_timeout(socket, DEAD_AFTER.as_millis() as u32)
    }

    #[cfg(test)]
    mod tests {
        use super::*;
        use std::net::{TcpListener, TcpStream};

        #[test]
        fn connections_to_the_port_are_set_and_no_others() {
            let [ours, other] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
            let [to_ours, to_other] =
                [&ours, &other].map(|listener| TcpStream::connect(listener.local_addr().unwrap()).unwrap());
            tune_connections(ours.local_addr().unwrap().port());
            assert!(to_ours.nodelay().unwrap());
            assert!(!to_other.nodelay().unwrap());
            assert_eq!(sockopt::tcp_user_timeout(&to_ours).unwrap(), 30_000);
            assert!(sockopt::socket_keepalive(&to_ours).unwrap());
        }
    }
}
