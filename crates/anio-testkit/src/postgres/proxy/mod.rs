//! A TCP proxy between a client and a Postgres server that does what networks do: cuts, tears, delays, swallows
//! and refuses.
//!
//! ```text
//!   client ──► listener ──► one thread per direction ──► server
//!                                │ each whole message
//!                                ▼
//!                             Censor: what becomes of it?
//! ```
//!
//! It knows the framing of the protocol (version 3.0,
//! <https://www.postgresql.org/docs/current/protocol-message-formats.html>) and nothing else of it, so that a
//! fault can be aimed at the moment between the Sync that commits and its answer. It does not understand TLS.

mod link;

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, ToSocketAddrs as _};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use self::link::Link;
use super::{Error, address::Address};

/// How often a listener looks whether it is to end, or to leave.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// Which way a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the client to the server.
    ToServer,
    /// From the server to the client.
    ToClient,
}

/// A message on its way.
#[derive(Clone, Copy, Debug)]
pub struct Passing {
    /// Which connection, from 1 in the order in which they were accepted.
    pub connection: u64,
    /// Which way it goes.
    pub direction: Direction,
    /// How many have gone this way before, over all connections.
    pub n_before: u64,
    /// The letter of the protocol; 0 for the first message of a client, which has none.
    pub kind: u8,
    /// How long it is, its head included.
    pub n_bytes: usize,
}

impl Passing {
    /// Whether this is the message of a client upon which the server commits what came before: a Sync, or a
    /// simple query.
    pub const fn commits(&self) -> bool {
        matches!((self.direction, self.kind), (Direction::ToServer, b'S' | b'Q'))
    }

    /// Whether this tells the client that what it sent is done: `ReadyForQuery`.
    pub const fn is_done(&self) -> bool {
        matches!((self.direction, self.kind), (Direction::ToClient, b'Z'))
    }
}

/// What becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// It is handed on.
    Pass,
    /// It is handed on after this time, and so is all that follows it.
    Delay(Duration),
    /// It is not handed on: both ends are closed.
    Cut,
    /// It is handed on, and both ends are closed at once.
    PassAndCut,
    /// So many of its bytes are handed on, then both ends are closed.
    Tear(usize),
    /// From now on nothing is handed on either way, and no end learns of it: the connection is half open.
    Swallow,
}

/// Decides what becomes of each message.
pub type Censor = Box<dyn FnMut(&Passing) -> Deed + Send>;

/// A proxy before a server; its listener ends, and all its connections are cut, when it is dropped.
pub struct Proxy {
    server: Address,
    port: u16,
    shared: Arc<Shared>,
    listener: Option<JoinHandle<()>>,
}

/// What the threads of a proxy share.
struct Shared {
    upstream: SocketAddr,
    censor: Mutex<Censor>,
    n_connections: AtomicU64,
    n_to_server: AtomicU64,
    n_to_client: AtomicU64,
    n_cuts: AtomicU64,
    n_swallowed: AtomicU64,
    links: Mutex<Vec<Link>>,
    /// Nobody listens while this is set: connecting is refused by the system.
    is_shut: AtomicBool,
    /// What connects is accepted and hung up on while this is set.
    hangs_up: AtomicBool,
    is_over: AtomicBool,
}

impl Proxy {
    /// Listens on a free port of this machine, for the server that a `postgres://` URL names.
    ///
    /// # Errors
    /// When the URL is none, or nothing can be listened on.
    pub fn start(url: &str) -> Result<Self, Error> {
        let server = Address::parse(url)?;
        let failed = Error::io("start a proxy");
        let (listener, port, upstream) = listen(&server).map_err(failed)?;
        let shared = Arc::new(Shared::new(upstream));
        let theirs = Arc::clone(&shared);
        let listener = thread::spawn(move || theirs.serve(listener, port));
        Ok(Self { server, port, shared, listener: Some(listener) })
    }

    /// The URL of the database that was named at the start, by way of this proxy.
    pub fn url(&self) -> String {
        let Address { user, database, .. } = &self.server;
        format!("postgres://{user}@127.0.0.1:{}/{database}?sslmode=disable", self.port)
    }

    /// From now on this decides; what is under way is finished first.
    pub fn censor(&self, censor: impl FnMut(&Passing) -> Deed + Send + 'static) {
        *self.shared.censor.lock().unwrap_or_else(PoisonError::into_inner) = Box::new(censor);
    }

    /// From now on all passes, on new connections and on those that are not swallowed.
    pub fn calm(&self) {
        self.censor(|_| Deed::Pass);
        self.shared.hangs_up.store(false, Ordering::SeqCst);
        self.shared.is_shut.store(false, Ordering::SeqCst);
    }

    /// Cuts all connections.
    pub fn cut_all(&self) {
        for link in self.shared.links.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            link.cut();
        }
    }

    /// Whether new connections are refused: nobody listens.
    pub fn refuse(&self, refuses: bool) {
        self.shared.is_shut.store(refuses, Ordering::SeqCst);
    }

    /// Whether new connections are accepted and closed at once.
    pub fn hang_up(&self, hangs_up: bool) {
        self.shared.hangs_up.store(hangs_up, Ordering::SeqCst);
    }

    /// How many messages have gone a way.
    pub fn n_messages(&self, direction: Direction) -> u64 {
        self.shared.counter(direction).load(Ordering::SeqCst)
    }

    /// How many connections were cut by the censor, and how many were swallowed.
    pub fn n_faults(&self) -> (u64, u64) {
        (self.shared.n_cuts.load(Ordering::SeqCst), self.shared.n_swallowed.load(Ordering::SeqCst))
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        self.cut_all();
        if let Some(listener) = self.listener.take() {
            // It ends at its next look.
            drop(listener.join());
        }
        // What it accepted in between.
        self.cut_all();
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy")
            .field("server", &self.server)
            .field("port", &self.port)
            .finish_non_exhaustive()
    }
}

impl Shared {
    fn new(upstream: SocketAddr) -> Self {
        Self {
            upstream,
            censor: Mutex::new(Box::new(|_| Deed::Pass)),
            n_connections: AtomicU64::new(0),
            n_to_server: AtomicU64::new(0),
            n_to_client: AtomicU64::new(0),
            n_cuts: AtomicU64::new(0),
            n_swallowed: AtomicU64::new(0),
            links: Mutex::default(),
            is_shut: AtomicBool::new(false),
            hangs_up: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
        }
    }

    const fn counter(&self, direction: Direction) -> &AtomicU64 {
        match direction {
            Direction::ToServer => &self.n_to_server,
            Direction::ToClient => &self.n_to_client,
        }
    }

    /// What becomes of the next message of a connection.
    fn judge(&self, connection: u64, direction: Direction, kind: u8, n_bytes: usize) -> Deed {
        let mut censor = self.censor.lock().unwrap_or_else(PoisonError::into_inner);
        // Counted under the lock, so that each sees its own number.
        let n_before = self.counter(direction).fetch_add(1, Ordering::SeqCst);
        let deed = censor(&Passing { connection, direction, n_before, kind, n_bytes });
        match deed {
            Deed::Pass | Deed::Delay(_) => {}
            Deed::Cut | Deed::PassAndCut | Deed::Tear(_) => drop(self.n_cuts.fetch_add(1, Ordering::SeqCst)),
            Deed::Swallow => drop(self.n_swallowed.fetch_add(1, Ordering::SeqCst)),
        }
        deed
    }

    fn serve(self: &Arc<Self>, listener: TcpListener, port: u16) {
        let mut door = Some(listener);
        while !self.is_over.load(Ordering::SeqCst) {
            if self.is_shut.load(Ordering::SeqCst) {
                door = None;
            } else if door.is_none() {
                // Another program may have the port for a moment.
                door = listener_on(port).ok();
            }
            match door.as_ref().map(TcpListener::accept) {
                Some(Ok((client, _))) if !self.hangs_up.load(Ordering::SeqCst) => {
                    let n = 1 + self.n_connections.fetch_add(1, Ordering::SeqCst);
                    // A server that is down hangs up on its clients.
                    if let Ok(link) = Link::start(self, n, client) {
                        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
                        links.retain(Link::is_open);
                        links.push(link);
                    }
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => thread::sleep(LOOK_EVERY),
            }
        }
    }
}

fn listen(server: &Address) -> io::Result<(TcpListener, u16, SocketAddr)> {
    let upstream =
        (server.host.as_str(), server.port).to_socket_addrs()?.next().ok_or(io::ErrorKind::NotFound)?;
    let listener = listener_on(0)?;
    let port = listener.local_addr()?.port();
    Ok((listener, port, upstream))
}

/// A listener that does not block, so that it can leave.
fn listener_on(port: u16) -> io::Result<TcpListener> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}
