//! A receiver for OTLP over HTTP, on a port of its own on loopback, that keeps what it is sent.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

/// Takes every request until the process ends.
///
/// ```
/// use anio_testkit::otlp::Receiver;
///
/// let receiver = Receiver::start()?;
/// assert!(receiver.endpoint().starts_with("http://127.0.0.1:"));
/// assert!(receiver.bodies("/v1/traces").is_empty());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Receiver {
    address: SocketAddr,
    received: Arc<Mutex<Vec<Request>>>,
}

#[derive(Debug)]
struct Request {
    path: String,
    body: Vec<u8>,
}

impl Receiver {
    /// Starts to listen.
    ///
    /// # Errors
    /// When there is no free port.
    pub fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let (address, received) = (listener.local_addr()?, Arc::default());
        let keeps = Arc::clone(&received);
        thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let keeps = Arc::clone(&keeps);
                // A connection that breaks off has sent what it has sent; the test counts.
                thread::spawn(move || drop(serve(&connection, &keeps)));
            }
        });
        Ok(Self { address, received })
    }

    /// What goes into `OTEL_EXPORTER_OTLP_ENDPOINT`; traces go to its `/v1/traces`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The bodies of all requests to this path, as text.
    pub fn bodies(&self, path: &str) -> Vec<String> {
        let received = lock(&self.received);
        let to_path = received.iter().filter(|request| request.path == path);
        to_path.map(|request| String::from_utf8_lossy(&request.body).into_owned()).collect()
    }
}

fn lock(received: &Mutex<Vec<Request>>) -> MutexGuard<'_, Vec<Request>> {
    received.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Answers the requests of a connection until the other side closes it.
fn serve(connection: &TcpStream, received: &Mutex<Vec<Request>>) -> io::Result<()> {
    let mut reader = BufReader::new(connection);
    while let Some(request) = read_request(&mut reader)? {
        lock(received).push(request);
        let answer = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";
        (&mut &*connection).write_all(answer.as_bytes())?;
    }
    Ok(())
}

fn read_request(reader: &mut impl BufRead) -> io::Result<Option<Request>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut length = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        match header.trim_end().split_once(':') {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.trim().parse().map_err(io::Error::other)?;
            }
            Some(_) => {}
            None => break,
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(Some(Request { path, body }))
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn requests_on_one_connection_are_kept_by_path() -> io::Result<()> {
        let receiver = Receiver::start()?;
        let mut connection = TcpStream::connect(receiver.address)?;
        for (path, body) in [("/v1/traces", "one"), ("/v1/logs", "two"), ("/v1/traces", "three")] {
            let length = body.len();
            let request =
                format!("POST {path} HTTP/1.1\r\nhost: x\r\nContent-Length: {length}\r\n\r\n{body}");
            connection.write_all(request.as_bytes())?;
            let mut status = [0; 15];
            connection.read_exact(&mut status)?;
            assert_eq!(&status, b"HTTP/1.1 200 OK");
            let mut rest = [0; 57];
            connection.read_exact(&mut rest)?;
            assert!(rest.ends_with(b"{}"));
        }
        assert_eq!(receiver.bodies("/v1/traces"), ["one", "three"]);
        Ok(())
    }
}
