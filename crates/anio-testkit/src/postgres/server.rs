//! A running Postgres.

use std::{
    env,
    net::{Ipv4Addr, TcpListener},
    path::Path,
    sync::{Mutex, OnceLock, PoisonError},
};

use super::{
    Binaries, Database, Error, VARIABLE, address::Address, client::Client, is_off, supervisor::Supervisor,
};

const USER: &str = super::supervisor::DATABASE_USER;

/// Another process may take a port between the moment it was found free and the start.
const PORTS_TRIED_MAX: u32 = 5;

/// A server that is stopped, and its directory removed, when this value or the process ends, however it ends.
#[derive(Debug)]
pub struct Server {
    address: Address,
    /// None if the server was there before and is only used.
    supervisor: Option<Mutex<Supervisor>>,
}

impl Server {
    /// The server that the tests of this process share: the one that `ANIO_TEST_POSTGRES` names, else one that
    /// is started by the first call.
    ///
    /// # Errors
    /// The same one for every caller; see [`Error`].
    pub fn shared() -> Result<&'static Self, &'static Error> {
        static SHARED: OnceLock<Result<Server, Error>> = OnceLock::new();
        SHARED.get_or_init(|| Self::named().unwrap_or_else(Self::start)).as_ref()
    }

    fn named() -> Option<Result<Self, Error>> {
        let url = env::var(VARIABLE).ok().filter(|url| !url.is_empty() && url != "off")?;
        Some(Address::parse(&url).map(|address| Self { address, supervisor: None }))
    }

    /// Starts a server of one's own, whatever `ANIO_TEST_POSTGRES` names. Takes about a second.
    ///
    /// # Errors
    /// [`Error::Off`] if `ANIO_TEST_POSTGRES=off`; otherwise what was missing or failed. Nothing is left then.
    pub fn start() -> Result<Self, Error> {
        if is_off() {
            return Err(Error::Off);
        }
        Self::start_with(&Binaries::find()?)
    }

    /// [`Server::start`] with programs that were found before.
    ///
    /// # Errors
    /// What failed, with the end of what it printed.
    pub fn start_with(binaries: &Binaries) -> Result<Self, Error> {
        let mut supervisor = Supervisor::spawn(binaries)?;
        supervisor.initdb()?;
        let port = start_on_a_free_port(&mut supervisor)?;
        Ok(Self { address: Address::local(USER, port), supervisor: Some(Mutex::new(supervisor)) })
    }

    /// The URL of the database that a client is in while it creates others.
    pub fn url(&self) -> String {
        self.address.url(&self.address.database)
    }

    /// Creates an empty database (20 to 130 ms).
    ///
    /// # Errors
    /// If the server does not answer or refuses.
    pub fn database(&self) -> Result<Database, Error> {
        Database::create(&self.address)
    }

    /// The version in the words of the server: `18.3`.
    ///
    /// # Errors
    /// If the server does not answer.
    pub fn version(&self) -> Result<String, Error> {
        let rows = Client::connect(&self.address, &self.address.database)?.query("show server_version")?;
        Ok(rows.into_iter().flatten().flatten().next().unwrap_or_default())
    }

    /// Stops the server as a power cut would: no checkpoint, connections torn. Stopping twice is fine.
    ///
    /// # Errors
    /// [`Error::NotOurs`] for a server that was not started here.
    pub fn stop_immediate(&self) -> Result<(), Error> {
        self.with_supervisor(Supervisor::stop_immediate)
    }

    /// Starts the server again on the same port, after an immediate stop if it still runs. Databases stay.
    ///
    /// # Errors
    /// [`Error::NotOurs`] for a server that was not started here; otherwise what failed.
    pub fn restart(&self) -> Result<(), Error> {
        self.with_supervisor(|supervisor| {
            supervisor.stop_immediate()?;
            supervisor.start(self.address.port)
        })
    }

    /// Where the server keeps its files; `None` if it was not started here.
    pub fn directory(&self) -> Option<std::path::PathBuf> {
        let supervisor = self.supervisor.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner);
        Some(Path::to_owned(supervisor.directory()))
    }

    fn with_supervisor<T>(&self, work: impl FnOnce(&mut Supervisor) -> Result<T, Error>) -> Result<T, Error> {
        let supervisor = self.supervisor.as_ref().ok_or(Error::NotOurs)?;
        // A test that panicked in another thread leaves the conversation at the end of a line.
        work(&mut supervisor.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn start_on_a_free_port(supervisor: &mut Supervisor) -> Result<u16, Error> {
    let mut n_tried = 0;
    loop {
        let listener =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(Error::io("look for a free port"))?;
        let port = listener.local_addr().map_err(Error::io("look for a free port"))?.port();
        drop(listener);
        n_tried += 1;
        match supervisor.start(port) {
            Ok(()) => return Ok(port),
            Err(_) if n_tried < PORTS_TRIED_MAX => {}
            Err(error) => return Err(error),
        }
    }
}
