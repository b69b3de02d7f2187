//! Where a server listens and as whom to speak to it.

use std::fmt;

use super::Error;

/// A `postgres://` URL, taken apart as far as this crate needs it.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) user: String,
    pub(super) password: Option<String>,
    pub(super) host: String,
    pub(super) port: u16,
    /// The database that the URL names: the one to be in while others are created and dropped.
    pub(super) database: String,
    /// `postgres://user@host:port`, as it was written.
    before_path: String,
    /// `?sslmode=disable`, or empty.
    after_path: String,
}

impl Address {
    /// A server of this crate: no password, the database `postgres`.
    pub(super) fn local(user: &str, port: u16) -> Self {
        Self {
            user: user.to_owned(),
            password: None,
            host: "127.0.0.1".to_owned(),
            port,
            database: "postgres".to_owned(),
            before_path: format!("postgres://{user}@127.0.0.1:{port}"),
            after_path: String::new(),
        }
    }

    pub(super) fn parse(url: &str) -> Result<Self, Error> {
        let bad = |reason| Error::Url { reason };
        let rest = ["postgres://", "postgresql://"]
            .iter()
            .find_map(|scheme| url.strip_prefix(scheme))
            .ok_or_else(|| bad("set it to a postgres:// URL, or to off"))?;
        let query_at = rest.find('?').unwrap_or(rest.len());
        let (rest, after_path) = rest.split_at(query_at);
        let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
        let (login, place) =
            authority.rsplit_once('@').ok_or_else(|| bad("the URL names no user: postgres://user@host/"))?;
        let (user, password) = match login.split_once(':') {
            Some((user, password)) => (user, Some(password)),
            None => (login, None),
        };
        let (host, port) = match place.rsplit_once(':') {
            // The last colon of `[::1]` belongs to the host.
            Some((host, port)) if !port.ends_with(']') => {
                (host, port.parse().map_err(|_| bad("the port is not a number"))?)
            }
            _ => (place, 5432),
        };
        if host.is_empty() || host.contains('%') || host.contains('/') {
            return Err(bad("the URL must name a TCP host, not the directory of a socket"));
        }
        let before_path = &url[..url.len() - after_path.len() - rest.len() + authority.len()];
        Ok(Self {
            user: decode(user),
            password: password.map(decode),
            host: host.trim_matches(['[', ']']).to_owned(),
            port,
            database: if database.is_empty() { "postgres".to_owned() } else { decode(database) },
            before_path: before_path.to_owned(),
            after_path: after_path.to_owned(),
        })
    }

    /// The URL of a database on this server.
    pub(super) fn url(&self, database: &str) -> String {
        format!("{}/{database}{}", self.before_path, self.after_path)
    }
}

/// Without the password.
impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}:{}/{}", self.user, self.host, self.port, self.database)
    }
}

/// Undoes `%41`; what is no such escape stays as it is.
fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let escape = tail.get(..2).filter(|_| *first == b'%').and_then(|hex| std::str::from_utf8(hex).ok());
        if let Some(byte) = escape.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            bytes.push(byte);
            rest = &tail[2..];
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart_and_put_together_again() {
        let address = Address::parse("postgres://ann:p%40ss@db.test:6000/main?sslmode=disable").unwrap();
        assert_eq!((&*address.user, address.password.as_deref()), ("ann", Some("p@ss")));
        assert_eq!((&*address.host, address.port, &*address.database), ("db.test", 6000, "main"));
        assert_eq!(address.url("other"), "postgres://ann:p%40ss@db.test:6000/other?sslmode=disable");

        let short = Address::parse("postgresql://ann@[::1]").unwrap();
        assert_eq!((&*short.host, short.port, &*short.database), ("::1", 5432, "postgres"));
        assert_eq!(
            Address::parse(&Address::local("anio", 7).url("postgres")).unwrap(),
            Address::local("anio", 7)
        );
    }

    #[test]
    fn what_cannot_be_used_is_said_without_repeating_the_url() {
        for (url, said) in [
            ("mysql://ann:secret@db/", "postgres:// URL"),
            ("on", "or to off"),
            ("postgres://localhost/x", "names no user"),
            ("postgres://ann:secret@db:many/x", "not a number"),
            ("postgres://ann:secret@%2Ftmp/x", "TCP host"),
            ("postgres://ann:secret@/x", "TCP host"),
        ] {
            let message = Address::parse(url).unwrap_err().to_string();
            assert!(message.contains(said) && !message.contains("secret"), "{url}: {message}");
        }
    }

    #[test]
    fn a_password_is_never_printed() {
        let address = Address::parse("postgres://ann:secret@db/x").unwrap();
        assert_eq!(format!("{address:?}"), "ann@db:5432/x");
    }
}
