//! The simple query protocol of Postgres, as much as it takes to create a database and look into it.
//!
//! By hand, because the drivers of the engine are what is under test, and `psql` is not part of every
//! installation. Protocol 3.0: <https://www.postgresql.org/docs/current/protocol-flow.html>.

use std::{
    io::{self, BufReader, Read as _, Write as _},
    net::{TcpStream, ToSocketAddrs as _},
    time::Duration,
};

use super::{Error, address::Address};

/// Text values in the order of the columns; `None` is SQL's null.
pub(super) type Row = Vec<Option<String>>;

const PROTOCOL_3_0: i32 = 196_608;
const CONNECT_WAIT_MAX: Duration = Duration::from_secs(10);
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(60);

pub(super) struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    pub(super) fn connect(address: &Address, database: &str) -> Result<Self, Error> {
        let mut client =
            Self { stream: BufReader::new(dial(address).map_err(Error::io("connect to Postgres"))?) };
        let startup = [
            PROTOCOL_3_0.to_be_bytes().as_slice(),
            b"user\0",
            address.user.as_bytes(),
            b"\0database\0",
            database.as_bytes(),
            b"\0\0",
        ]
        .concat();
        client.send(None, &startup)?;
        client.answer(address.password.as_deref())?;
        Ok(client)
    }

    /// The rows of one or more statements, those of the last one at the end.
    pub(super) fn query(&mut self, sql: &str) -> Result<Vec<Row>, Error> {
        self.send(Some(b'Q'), &[sql.as_bytes(), b"\0"].concat())?;
        self.answer(None)
    }

    /// Reads until the server is ready for the next query.
    fn answer(&mut self, password: Option<&str>) -> Result<Vec<Row>, Error> {
        let mut rows = Vec::new();
        loop {
            let (kind, body) = self.receive().map_err(Error::io("read from Postgres"))?;
            match (kind, password) {
                (b'Z', _) => return Ok(rows),
                (b'E', _) => return Err(refused(&body)),
                (b'D', _) => rows.push(row(&body).map_err(Error::io("read a row from Postgres"))?),
                (b'R', _) if body.starts_with(&0_i32.to_be_bytes()) => {} // authenticated
                (b'R', Some(password)) if body.starts_with(&3_i32.to_be_bytes()) => {
                    self.send(Some(b'p'), &[password.as_bytes(), b"\0"].concat())?;
                }
                (b'R', _) => return Err(Error::Password),
                _ => {} // settings, notices, column names, counts
            }
        }
    }

    fn send(&mut self, kind: Option<u8>, body: &[u8]) -> Result<(), Error> {
        let length = i32::try_from(body.len() + 4).expect("a query of less than 2 GiB");
        let mut message = Vec::with_capacity(body.len() + 5);
        message.extend(kind);
        message.extend(length.to_be_bytes());
        message.extend(body);
        self.stream.get_mut().write_all(&message).map_err(Error::io("write to Postgres"))
    }

    fn receive(&mut self) -> io::Result<(u8, Vec<u8>)> {
        let mut head = [0; 5];
        self.stream.read_exact(&mut head)?;
        let [kind, length @ ..] = head;
        let length = usize::try_from(i32::from_be_bytes(length)).unwrap_or(0);
        let mut body = vec![0; length.checked_sub(4).ok_or(io::ErrorKind::InvalidData)?];
        self.stream.read_exact(&mut body)?;
        Ok((kind, body))
    }
}

fn dial(address: &Address) -> io::Result<TcpStream> {
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for place in (address.host.as_str(), address.port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&place, CONNECT_WAIT_MAX) {
            Ok(stream) => {
                stream.set_read_timeout(Some(ANSWER_WAIT_MAX))?;
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// The fields of an error: a letter, a text, a zero, and again.
fn refused(body: &[u8]) -> Error {
    let field = |letter: u8| {
        body.split(|byte| *byte == 0)
            .find_map(|field| field.strip_prefix(&[letter]))
            .map(|text| String::from_utf8_lossy(text).into_owned())
            .unwrap_or_default()
    };
    Error::Refused { code: field(b'C'), message: field(b'M') }
}

/// The number of columns, then per column its length (-1 for null) and its text.
fn row(mut body: &[u8]) -> io::Result<Row> {
    let mut n_columns = [0; 2];
    body.read_exact(&mut n_columns)?;
    (0..i16::from_be_bytes(n_columns))
        .map(|_| {
            let mut length = [0; 4];
            body.read_exact(&mut length)?;
            let Ok(length) = usize::try_from(i32::from_be_bytes(length)) else { return Ok(None) };
            let mut text = vec![0; length];
            body.read_exact(&mut text)?;
            Ok(Some(String::from_utf8_lossy(&text).into_owned()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_keeps_nulls_apart_from_empty_texts() {
        let body = [&[0, 3][..], &[0, 0, 0, 2], b"ab", &[255; 4], &[0; 4]].concat();
        assert_eq!(row(&body).unwrap(), [Some("ab".to_owned()), None, Some(String::new())]);
        assert!(row(&body[..5]).is_err());
    }

    #[test]
    fn an_error_carries_its_code_and_message() {
        let error = refused(b"SERROR\0C3D000\0Mno such database\0\0");
        assert_eq!(error.to_string(), "Postgres: no such database (3D000)");
    }
}
