//! `postgres://user:password@host:port/database?sslmode=require`: where a database is and how to get in.
//!
//! The password stays inside: neither `Display` nor `Debug` nor an error shows it, nor any part of a URL
//! that might be one.

use std::fmt;
use std::future::poll_fn;
use std::path::PathBuf;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::AbortHandle;
use tokio_postgres::config::SslMode;
use tokio_postgres::{AsyncMessage, Client, Config, NoTls, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::tls::{self, Verification};
use crate::error::StoreError;

const SCHEMES: [&str; 2] = ["postgres://", "postgresql://"];
const PARAMETERS: &str = "sslmode, sslrootcert, connect_timeout, answer_timeout, application_name, options, host (the directory of a socket)";

/// When the URL names no `connect_timeout`. A server that does not answer for so long is not reached.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// When the URL names no `answer_timeout`. A server that is silent for so long after it was asked something is
/// not there any more: some network devices, poolers and frozen servers acknowledge all and answer nothing.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// How long sent data may stay without an acknowledgement before the connection counts as broken: a network
/// that is cut without a word must not hold a commit for the quarter of an hour that TCP would wait.
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(30);

/// How often an idle connection is asked for a sign of life, once it was idle for [`TCP_USER_TIMEOUT`].
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);

/// After so many signs that did not come it is broken.
const KEEPALIVE_RETRIES: u32 = 3;

/// A database on a server, and how to log in.
#[derive(Clone)]
pub(super) struct Address {
    config: Config,
    tls: Option<Verification>,
    sslrootcert: Option<PathBuf>,
    has_password: bool,
    answer_timeout: Duration,
    shown: String,
    user: String,
    database: String,
}

impl Address {
    /// Takes a URL apart.
    ///
    /// # Errors
    /// [`StoreError::InvalidUrl`].
    pub(super) fn parse(url: &str) -> Result<Self, StoreError> {
        let invalid = |problem: String| StoreError::InvalidUrl { url: without_secrets(url), problem };
        let rest = SCHEMES
            .iter()
            .find_map(|scheme| url.strip_prefix(scheme))
            .ok_or_else(|| invalid("a Postgres URL is postgres://user@host/database".to_owned()))?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
        let (login, place) = authority.rsplit_once('@').unwrap_or(("", authority));
        let (user, password) = match login.split_once(':') {
            Some((user, password)) => (user, Some(password)),
            None => (login, None),
        };
        let (host, port) = split_port(place).map_err(|problem| invalid(problem.to_owned()))?;
        let decoded = |text: &str| decode(text).ok_or_else(|| invalid("a %-escape is not UTF-8".to_owned()));

        let user = match decoded(user)? {
            user if user.is_empty() => std::env::var("USER").unwrap_or_else(|_| "postgres".to_owned()),
            user => user,
        };
        let database = match decoded(database)? {
            database if database.is_empty() => user.clone(),
            database => database,
        };
        let host = decoded(host.trim_start_matches('[').trim_end_matches(']'))?;
        if host.contains(',') {
            return Err(invalid("one host, not a list".to_owned()));
        }
        let mut address = Self {
            config: Config::new(),
            tls: Some(Verification::Nobody),
            sslrootcert: None,
            has_password: password.is_some(),
            answer_timeout: ANSWER_TIMEOUT,
            shown: String::new(),
            user,
            database,
        };
        if let Some(password) = password {
            address.config.password(decoded(password)?);
        }
        let mut socket_directory = None;
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = decoded(value)?;
            if key == "host" {
                socket_directory = Some(value);
            } else {
                address.set(key, &value).map_err(&invalid)?;
            }
        }
        let host = match (host.is_empty(), socket_directory) {
            (_, None) if host.is_empty() => "localhost".to_owned(),
            (true, Some(directory)) => directory,
            (false, Some(_)) => return Err(invalid("it names two hosts".to_owned())),
            (_, None) => host,
        };
        address.shown = format!("postgres://{}@{host}:{port}/{}", address.user, address.database);
        address
            .config
            .user(&address.user)
            .dbname(&address.database)
            .host(host)
            .port(port)
            .keepalives_idle(TCP_USER_TIMEOUT)
            .keepalives_interval(KEEPALIVE_INTERVAL)
            .keepalives_retries(KEEPALIVE_RETRIES)
            .tcp_user_timeout(TCP_USER_TIMEOUT);
        if address.config.get_application_name().is_none() {
            address.config.application_name("anio");
        }
        if address.config.get_connect_timeout().is_none() {
            address.config.connect_timeout(CONNECT_TIMEOUT);
        }
        Ok(address)
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        match key {
            "sslmode" => {
                let (mode, verification) = match value {
                    "disable" => (SslMode::Disable, None),
                    "prefer" => (SslMode::Prefer, Some(Verification::Nobody)),
                    "require" => (SslMode::Require, Some(Verification::Nobody)),
                    "verify-full" => (SslMode::Require, Some(Verification::Full)),
                    _ => return Err("sslmode is disable, prefer, require or verify-full".to_owned()),
                };
                self.config.ssl_mode(mode);
                self.tls = verification;
            }
            "sslrootcert" => {
                let file = std::path::Path::new(value);
                if !file.is_file() {
                    return Err(format!("sslrootcert: {value:?} is not a file"));
                }
                self.sslrootcert = Some(file.to_owned());
            }
            "connect_timeout" => {
                self.config.connect_timeout(seconds(key, value)?);
            }
            "answer_timeout" => self.answer_timeout = seconds(key, value)?,
            "application_name" => {
                self.config.application_name(value);
            }
            "options" => {
                self.config.options(value);
            }
            _ => return Err(format!("parameter {key:?} is unknown; allowed are {PARAMETERS}")),
        }
        Ok(())
    }

    /// Connects, logs in, and leaves a task behind that serves the socket until the client is dropped, or until
    /// the task is called off.
    pub(super) async fn connect(&self) -> Result<(Client, AbortHandle), LoginError> {
        let (client, mut messages) = self.open().await?;
        let serving = tokio::spawn(async move {
            // The error reaches whoever waits for an answer, or is told "closed" by the next statement.
            while let Some(Ok(_)) = poll_fn(&mut messages).await {}
        });
        Ok((client, serving.abort_handle()))
    }

    /// Connects and logs in. The client works for as long as somebody asks for messages.
    pub(super) async fn open(&self) -> Result<(Client, Messages), LoginError> {
        // The driver bounds only how long the network takes, and not how long the server does.
        match tokio::time::timeout(self.connect_timeout(), self.log_in()).await {
            Ok(opened) => opened.map_err(LoginError::Driver),
            Err(_) => Err(LoginError::Silent(self.connect_timeout())),
        }
    }

    async fn log_in(&self) -> Result<(Client, Messages), tokio_postgres::Error> {
        let Some(verification) = self.tls else {
            let (client, connection) = self.config.connect(NoTls).await?;
            return Ok((client, messages(connection)));
        };
        let tls = tls::client(verification, self.sslrootcert.as_deref());
        let (client, connection) = self.config.connect(MakeRustlsConnect::new(tls)).await?;
        Ok((client, messages(connection)))
    }

    /// How long connecting and logging in may take.
    pub(super) fn connect_timeout(&self) -> Duration {
        self.config.get_connect_timeout().copied().unwrap_or(CONNECT_TIMEOUT)
    }

    /// How long an answer may take before the connection counts as broken.
    pub(super) const fn answer_timeout(&self) -> Duration {
        self.answer_timeout
    }

    /// Who logs in.
    pub(super) fn user(&self) -> &str {
        &self.user
    }

    /// The name of the database.
    pub(super) fn database(&self) -> &str {
        &self.database
    }

    /// Whether only a connection with TLS will do.
    pub(super) fn wants_tls(&self) -> bool {
        self.config.get_ssl_mode() == SslMode::Require
    }

    /// Whether the URL names a password.
    pub(super) const fn has_password(&self) -> bool {
        self.has_password
    }
}

/// Why there is no session.
#[derive(Debug)]
pub(super) enum LoginError {
    /// The driver says so.
    Driver(tokio_postgres::Error),
    /// The server took the connection, and has not let anybody in for so long.
    Silent(Duration),
}

/// Serves a socket while it is polled; tells what the server says unasked. `None` when the session has ended.
pub(super) type Messages =
    Box<dyn FnMut(&mut Context<'_>) -> Poll<Option<Result<AsyncMessage, tokio_postgres::Error>>> + Send>;

fn messages<S>(mut connection: tokio_postgres::Connection<Socket, S>) -> Messages
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    Box::new(move |cx| connection.poll_message(cx))
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The seconds that a parameter names.
fn seconds(key: &str, value: &str) -> Result<Duration, String> {
    let seconds = value.parse().ok().filter(|seconds| (1..=3600).contains(seconds));
    seconds.map(Duration::from_secs).ok_or_else(|| format!("{key} is 1 to 3600 seconds"))
}

/// Host and port; the last colon of `[::1]` belongs to the host.
fn split_port(place: &str) -> Result<(&str, u16), &'static str> {
    match place.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => {
            Ok((host, port.parse().map_err(|_| "the port is not a number up to 65535")?))
        }
        _ => Ok((place, 5432)),
    }
}

/// Undoes `%41`; `None` when the bytes are no UTF-8.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let digits = tail.get(..2).filter(|_| *first == b'%').and_then(|hex| std::str::from_utf8(hex).ok());
        if let Some(byte) = digits.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            bytes.push(byte);
            rest = &tail[2..];
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    String::from_utf8(bytes).ok()
}

/// The URL up to its query, with `***` for all that stands between the user's colon and the host.
///
/// A URL that cannot be taken apart may have its password anywhere behind a colon: without an `@`, what
/// follows the colon is hidden unless it is a port.
fn without_secrets(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return "***".to_owned() };
    let rest = rest.split_once('?').map_or(rest, |(rest, _)| rest);
    // A password with an unescaped slash would end the authority early: the last `@` counts.
    let (login, place) = match rest.rsplit_once('@') {
        Some((login, place)) => (Some(login), place),
        None => (None, rest),
    };
    let login = match login.map(|login| login.split_once(':').ok_or(login)) {
        Some(Ok((user, _))) => format!("{user}:***@"),
        Some(Err(user)) => format!("{user}@"),
        None => String::new(),
    };
    let (authority, path) = place.split_at(place.find('/').unwrap_or(place.len()));
    let authority = match authority.split_once(':') {
        Some((host, port)) if login.is_empty() && port.parse::<u16>().is_err() && !host.starts_with('[') => {
            format!("{host}:***")
        }
        _ => authority.to_owned(),
    };
    format!("{scheme}://{login}{authority}{path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(url: &str) -> String {
        Address::parse(url).unwrap_err().to_string()
    }

    #[test]
    fn a_url_is_taken_apart() {
        for (url, shown) in [
            ("postgres://ann:s3cret@db.test:6000/main", "postgres://ann@db.test:6000/main"),
            ("postgresql://ann@[::1]", "postgres://ann@::1:5432/ann"),
            ("postgres://ann@/main?host=/run/postgresql", "postgres://ann@/run/postgresql:5432/main"),
            (
                "postgres://ann:p%40ss@db/main?sslmode=disable&connect_timeout=3",
                "postgres://ann@db:5432/main",
            ),
        ] {
            let address = Address::parse(url).unwrap();
            assert_eq!(address.to_string(), shown);
            assert_eq!(format!("{address:?}"), shown);
        }
    }

    #[test]
    fn an_unknown_parameter_is_an_error_that_lists_the_known_ones() {
        let problem = problem("postgres://ann:s3cret@db/main?sslmod=require");
        assert!(problem.contains("\"sslmod\" is unknown"), "{problem}");
        assert!(problem.contains("sslmode, sslrootcert, connect_timeout"), "{problem}");
    }

    #[test]
    fn an_error_never_shows_a_password() {
        for url in [
            "postgres://ann:s3cret@db/main?x=1",
            "postgres://ann:s3cret@db:99999/main",
            "postgres://ann:s3cret/main",
            "postgres://ann:s3/cret@db:x/main",
            "postgres://ann:s3@cret@db:x/main",
            "postgres://db/main?password=s3cret",
            "mysql://ann:s3cret@db/main",
            "ann:s3cret@db",
        ] {
            let problem = problem(url);
            assert!(!problem.contains("cret"), "{problem}");
        }
    }

    #[test]
    fn the_values_of_parameters_are_checked() {
        assert!(problem("postgres://a@b/c?sslmode=maybe").contains("disable, prefer, require"));
        assert!(problem("postgres://a@b/c?connect_timeout=0").contains("1 to 3600"));
        assert!(problem("postgres://a@b/c?answer_timeout=never").contains("answer_timeout is 1 to 3600"));
        assert!(problem("postgres://a@b/c?host=/tmp").contains("two hosts"));
        assert!(problem("postgres://a@b,c/d").contains("one host"));
    }
}
