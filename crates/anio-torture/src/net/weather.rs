//! Bad weather over a storm: a thread that disturbs the proxy, the database and the server at random, until it is
//! told to calm down.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anio_testkit::postgres::proxy::{Deed, Passing, Proxy};
use anio_testkit::postgres::{Database, Server};

use super::faults::{self, Fault};
use crate::Result;
use crate::dice::{Dice, mix};
use crate::storm::Weather;

/// The longest quiet between two disturbances.
const QUIET: Duration = Duration::from_millis(400);

/// How much longer than in a plain storm a worker lives.
const LONGER: Duration = Duration::from_millis(2500);

/// How long the server may take to be well again.
const PATIENCE: Duration = Duration::from_secs(60);

/// What was done.
#[derive(Debug, Default)]
pub struct Tally {
    /// The server was killed and started again.
    pub restarts: AtomicU64,
    /// Times in which nobody could connect, or nobody was answered.
    pub closures: AtomicU64,
    /// Errors, ended sessions, locks, deadlocks and changes of the database's role.
    pub faults: AtomicU64,
}

/// A database, and all that is between it and the workers.
#[derive(Debug)]
pub struct Place {
    /// The proxy that the workers connect to.
    pub proxy: Proxy,
    /// What is behind it.
    pub database: Database,
    /// The server of that, which is this place's own.
    pub server: Server,
}

impl Place {
    /// Starts a server, makes a database with Anio's tables, and puts a proxy before it.
    ///
    /// # Errors
    /// Those of starting.
    pub async fn new() -> Result<Self> {
        let server = Server::start()?;
        let database = server.database()?;
        faults::prepare(&database).await?;
        Ok(Self { proxy: Proxy::start(&database.url())?, database, server })
    }

    /// The URL for workers: one that gives up on what is silent before their lease runs out.
    pub fn url(&self) -> String {
        format!("{}&connect_timeout=2&answer_timeout=2", self.proxy.url())
    }
}

/// The weather of one storm.
pub struct Rough {
    place: Arc<Place>,
    tally: Arc<Tally>,
    is_over: Arc<AtomicBool>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Rough {
    /// Begins at once.
    pub fn begin(place: Arc<Place>, seed: u64) -> Self {
        let (tally, is_over) = (Arc::<Tally>::default(), Arc::<AtomicBool>::default());
        let sky = Sky {
            place: Arc::clone(&place),
            tally: Arc::clone(&tally),
            is_over: Arc::clone(&is_over),
            dice: Dice::new(mix(seed, 1 << 33)),
        };
        let thread = Mutex::new(Some(std::thread::spawn(move || sky.rage())));
        Self { place, tally, is_over, thread }
    }

    /// What was done so far.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }
}

impl Weather for Rough {
    fn longer(&self) -> Duration {
        LONGER
    }

    fn is_rough(&self) -> bool {
        true
    }

    fn calm_down(&self) -> Result<()> {
        self.is_over.store(true, Ordering::SeqCst);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        thread.map_or(Ok(()), |thread| thread.join().map_err(|_| "the weather panicked"))?;
        self.place.proxy.calm();
        let deadline = Instant::now() + PATIENCE;
        loop {
            faults::calm(&self.place.database);
            match faults::is_calm(&self.place.database) {
                Ok(true) => return Ok(()),
                Ok(false) | Err(_) if Instant::now() < deadline => std::thread::sleep(QUIET),
                result => return result.map(drop),
            }
        }
    }
}

impl Drop for Rough {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
    }
}

impl std::fmt::Debug for Rough {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rough").field("tally", &self.tally).finish_non_exhaustive()
    }
}

/// The thread that makes the weather.
struct Sky {
    place: Arc<Place>,
    tally: Arc<Tally>,
    is_over: Arc<AtomicBool>,
    dice: Dice,
}

impl Sky {
    fn rage(mut self) {
        self.drizzle();
        while !self.is_over.load(Ordering::SeqCst) {
            std::thread::sleep(self.dice.duration(QUIET));
            self.strike();
        }
    }

    /// From now on messages are lost here and there.
    fn drizzle(&mut self) {
        let mut dice = Dice::new(self.dice.roll());
        self.place.proxy.censor(move |passing| fate(passing, &mut dice));
    }

    fn strike(&mut self) {
        let Place { proxy, database, server } = &*self.place;
        let Self { tally, dice, .. } = self;
        let a_while = dice.duration(Duration::from_millis(900));
        let close = |is_closed: &dyn Fn(bool)| {
            tally.closures.fetch_add(1, Ordering::SeqCst);
            is_closed(true);
            proxy.cut_all();
            std::thread::sleep(a_while);
            is_closed(false);
        };
        match dice.below(20) {
            0 => {
                tally.restarts.fetch_add(1, Ordering::SeqCst);
                // What fails is tried again by the next, or by whoever wants to see the end.
                let stopped = server.stop_immediate();
                std::thread::sleep(a_while);
                drop(stopped.and_then(|()| server.restart()));
                while server.version().is_err() {
                    drop(server.restart());
                }
            }
            1 | 2 => close(&|is_shut| proxy.refuse(is_shut)),
            3 => close(&|hangs_up| proxy.hang_up(hangs_up)),
            4 => {
                tally.closures.fetch_add(1, Ordering::SeqCst);
                proxy.censor(|_| Deed::Swallow);
                std::thread::sleep(a_while);
                self.drizzle();
            }
            5 | 6 => proxy.cut_all(),
            _ => {
                tally.faults.fetch_add(1, Ordering::SeqCst);
                Fault::ALL[dice.position(Fault::ALL.len())].strike(database, dice);
            }
        }
    }
}

/// What becomes of a message while nothing else is the matter.
fn fate(passing: &Passing, dice: &mut Dice) -> Deed {
    if passing.commits() && dice.below(250) == 0 {
        return if dice.percent(50) { Deed::Cut } else { Deed::PassAndCut };
    }
    // The server has committed, and nobody hears of it.
    if passing.is_done() && dice.below(400) == 0 {
        return Deed::Cut;
    }
    match dice.below(12_000) {
        0..2 => Deed::Cut,
        2..5 => Deed::Tear(dice.position(passing.n_bytes.max(1))),
        5 => Deed::Swallow,
        6..40 => Deed::Delay(dice.duration(Duration::from_millis(30))),
        _ => Deed::Pass,
    }
}
