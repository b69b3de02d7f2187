//! One connection through the proxy: two threads, each of which hands whole messages on.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::{Deed, Direction, Shared};

/// A message longer than this is none: the stream is out of step.
const BYTES_MAX: usize = 1 << 30;

/// Both ends of a connection.
#[derive(Clone)]
pub(super) struct Link {
    client: Arc<TcpStream>,
    server: Arc<TcpStream>,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    is_swallowed: AtomicBool,
    is_cut: AtomicBool,
}

impl Link {
    /// Connects to the server, and hands on from now on what either says.
    pub(super) fn start(shared: &Arc<Shared>, n: u64, client: TcpStream) -> io::Result<Self> {
        client.set_nonblocking(false)?;
        client.set_nodelay(true)?;
        let server = TcpStream::connect(shared.upstream)?;
        server.set_nodelay(true)?;
        let link = Self { client: Arc::new(client), server: Arc::new(server), state: Arc::default() };
        for direction in [Direction::ToServer, Direction::ToClient] {
            let (link, shared) = (link.clone(), Arc::clone(shared));
            thread::spawn(move || link.pump(&shared, n, direction));
        }
        Ok(link)
    }

    /// Closes both ends.
    pub(super) fn cut(&self) {
        self.state.is_cut.store(true, Ordering::SeqCst);
        // One that is closed already is closed.
        let _ = self.client.shutdown(Shutdown::Both);
        let _ = self.server.shutdown(Shutdown::Both);
    }

    pub(super) fn is_open(&self) -> bool {
        !self.state.is_cut.load(Ordering::SeqCst)
    }

    /// Hands on until either end closes, or the censor says so.
    fn pump(&self, shared: &Shared, n: u64, direction: Direction) {
        let (mut from, mut to) = match direction {
            Direction::ToServer => (&*self.client, &*self.server),
            Direction::ToClient => (&*self.server, &*self.client),
        };
        let mut is_first = direction == Direction::ToServer;
        while let Ok((kind, message)) = read(&mut from, is_first) {
            is_first = false;
            if self.is_swallowed() {
                continue;
            }
            let deed = shared.judge(n, direction, kind, message.len());
            if let Deed::Delay(time) = deed {
                thread::sleep(time);
            }
            let handed_on = match deed {
                Deed::Pass | Deed::Delay(_) | Deed::PassAndCut => &message[..],
                Deed::Tear(n_bytes) => &message[..n_bytes.min(message.len())],
                Deed::Cut | Deed::Swallow => &[],
            };
            // Swallowed while it was late, it stays away.
            if !self.is_swallowed() && to.write_all(handed_on).is_err() {
                break;
            }
            match deed {
                Deed::Pass | Deed::Delay(_) => {}
                Deed::Swallow => self.state.is_swallowed.store(true, Ordering::SeqCst),
                Deed::Cut | Deed::PassAndCut | Deed::Tear(_) => break,
            }
        }
        // The client of a connection that is half open is not told that the server has gone; the server, which
        // would otherwise be left with a session for ever, is told when the client has.
        if !(self.is_swallowed() && direction == Direction::ToClient) {
            self.cut();
        }
    }

    fn is_swallowed(&self) -> bool {
        self.state.is_swallowed.load(Ordering::SeqCst)
    }
}

/// The next whole message, and its letter. The first of a client has a length and no letter.
fn read(from: &mut &TcpStream, is_first: bool) -> io::Result<(u8, Vec<u8>)> {
    let n_kind = usize::from(!is_first);
    let mut message = vec![0; n_kind + 4];
    from.read_exact(&mut message)?;
    let kind = if is_first { 0 } else { message[0] };
    let length: [u8; 4] = message[n_kind..].try_into().map_err(|_| io::ErrorKind::InvalidData)?;
    let n_bytes = usize::try_from(u32::from_be_bytes(length)).map_err(|_| io::ErrorKind::InvalidData)?;
    if !(4..BYTES_MAX).contains(&n_bytes) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    message.resize(n_kind + n_bytes, 0);
    from.read_exact(&mut message[n_kind + 4..])?;
    Ok((kind, message))
}
