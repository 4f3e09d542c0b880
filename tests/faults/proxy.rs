//! A TCP proxy between a daemon and its database, which can be cut, can stall, and can lose the answer to a COMMIT.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};

#[derive(Default)]
struct State {
    is_away: AtomicBool,
    is_stalled: Mutex<bool>,
    goes_on: Condvar,
    /// The next COMMIT that loses its answer is the last thing that passes.
    goes_away: AtomicBool,
    /// So many COMMITs still lose their answer.
    to_swallow: AtomicUsize,
    swallowed: AtomicUsize,
    open: Mutex<Vec<TcpStream>>,
}

impl State {
    fn wait_while_stalled(&self) {
        drop(self.goes_on.wait_while(self.is_stalled.lock().unwrap(), |is_stalled| *is_stalled).unwrap());
    }
}

pub struct Proxy {
    address: SocketAddr,
    state: Arc<State>,
}

impl Proxy {
    /// In front of the server of `url`.
    pub fn start(url: &str) -> Self {
        let url = url::Url::parse(url).expect("a URL");
        let target = format!("{}:{}", url.host_str().expect("a host"), url.port().expect("a port"));
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let state = Arc::new(State::default());
        // It ends with the process.
        std::thread::spawn({
            let state = state.clone();
            move || listener.incoming().flatten().for_each(|client| connect(client, &target, &state))
        });
        Self { address, state }
    }

    /// `url` by way of this proxy.
    pub fn url(&self, url: &str) -> String {
        let mut url = url::Url::parse(url).expect("a URL");
        url.set_host(Some("127.0.0.1")).expect("a host");
        url.set_port(Some(self.address.port())).expect("a port");
        url.to_string()
    }

    /// Cuts every connection and refuses new ones, or lets them pass again.
    pub fn away(&self, is_away: bool) {
        self.state.is_away.store(is_away, Ordering::SeqCst);
        if is_away {
            self.state.open.lock().unwrap().drain(..).for_each(|stream| drop(stream.shutdown(Shutdown::Both)));
        }
    }

    /// Keeps every byte for itself, in both directions, or lets them pass again. Connections stay open, and new ones are
    /// taken.
    pub fn stall(&self, is_stalled: bool) {
        *self.state.is_stalled.lock().unwrap() = is_stalled;
        self.state.goes_on.notify_all();
    }

    /// The next COMMIT is executed, and its answer lost with the connection.
    pub fn swallow_next_commit(&self) {
        self.state.to_swallow.store(1, Ordering::SeqCst);
    }

    /// The same, and from then on it is away.
    pub fn away_in_next_commit(&self) {
        self.state.goes_away.store(true, Ordering::SeqCst);
        self.swallow_next_commit();
    }

    pub fn swallowed(&self) -> usize {
        self.state.swallowed.load(Ordering::SeqCst)
    }
}

fn connect(client: TcpStream, target: &str, state: &Arc<State>) {
    let Ok(server) = TcpStream::connect(target) else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let again = |stream: &TcpStream| stream.try_clone().expect("a descriptor");
    {
        let mut open = state.open.lock().unwrap();
        // Under the lock that a cut takes: no connection is made past it.
        if state.is_away.load(Ordering::SeqCst) {
            return;
        }
        open.extend([again(&client), again(&server)]);
    }
    let is_mute = Arc::new(AtomicBool::new(false));
    let to_server = (again(&client), again(&server));
    std::thread::spawn({
        let (state, is_mute) = (state.clone(), is_mute.clone());
        move || {
            relay(to_server.0, to_server.1, |bytes| {
                state.wait_while_stalled();
                if contains_commit(bytes) && take_one(&state.to_swallow) {
                    is_mute.store(true, Ordering::SeqCst);
                    let goes_away = state.goes_away.swap(false, Ordering::SeqCst);
                    state.is_away.fetch_or(goes_away, Ordering::SeqCst);
                }
                true
            });
        }
    });
    let state = state.clone();
    std::thread::spawn(move || {
        relay(server, client, |_| {
            state.wait_while_stalled();
            let is_mute = is_mute.load(Ordering::SeqCst);
            if is_mute {
                state.swallowed.fetch_add(1, Ordering::SeqCst);
            }
            !is_mute
        });
    });
}

/// Copies until an end, an error, or until `pass` says no.
fn relay(mut from: TcpStream, mut to: TcpStream, mut pass: impl FnMut(&[u8]) -> bool) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if !pass(&buffer[..count]) || to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}

/// Not the isolation level READ COMMITTED.
fn contains_commit(bytes: &[u8]) -> bool {
    let is_commit = |at: usize| bytes[at..].starts_with(b"COMMIT") && bytes.get(at + 6) != Some(&b'T');
    (0..bytes.len()).any(is_commit)
}

fn take_one(count: &AtomicUsize) -> bool {
    count.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |count| count.checked_sub(1)).is_ok()
}
