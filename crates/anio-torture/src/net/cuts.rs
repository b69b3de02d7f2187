//! One worker and a little work, once for each message that its connections can be cut at: before the message,
//! after it, or in the middle of it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anio_testkit::postgres::Server;
use anio_testkit::postgres::proxy::{Deed, Direction, Proxy};

use crate::Result;
use crate::settings::Settings;
use crate::storm::{Aftermath, Kind, Life, Storm};
use crate::worker_process::{Event, WorkerProcess};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// How many runs come to their end after the cut, so that its consequences are seen.
const ENDS_AFTER: usize = 3;

/// When there was no cut, after so many ends there will be none.
const ENDS_MAX: usize = 12;

/// Where a connection is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Which way the message goes.
    pub direction: Direction,
    /// How many messages went this way before.
    pub n_before: u64,
    /// What becomes of it.
    pub how: How,
}

/// Where in a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// It is lost.
    Before,
    /// A part of it is handed on.
    Within,
    /// It arrives, and nothing after it.
    After,
}

impl Cut {
    /// The `n`-th cut, from 0: three ways of each message, by turns of both directions.
    pub fn nth(n: u64) -> Self {
        Self {
            direction: if (n / 3).is_multiple_of(2) { Direction::ToServer } else { Direction::ToClient },
            n_before: n / 6,
            how: [How::Before, How::Within, How::After][(n % 3) as usize],
        }
    }

    const fn deed(self, n_bytes: usize) -> Deed {
        match self.how {
            How::Before => Deed::Cut,
            How::Within => Deed::Tear(n_bytes / 2),
            How::After => Deed::PassAndCut,
        }
    }
}

/// One run of the little work.
#[derive(Debug)]
pub struct Try<'a> {
    /// The program that is a worker when called so.
    pub program: PathBuf,
    /// Where the database is made.
    pub server: &'a Server,
    /// What the worker does follows from it.
    pub seed: u64,
    /// The one cut.
    pub cut: Cut,
}

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
    /// Whether the message was sent at all.
    pub was_cut: bool,
    /// Everything that is wrong, in words.
    pub wrongs: Vec<String>,
}

impl Try<'_> {
    /// Does the work, lets another worker finish it, and checks what is left.
    ///
    /// # Errors
    /// Those of the system; what the engine does wrong is in the outcome.
    pub async fn run(&self) -> Result<Outcome> {
        let directory = tempfile::Builder::new().prefix("anio-net-").tempdir()?;
        let database = self.server.database()?;
        let proxy = Proxy::start(&database.url())?;
        let was_cut = Arc::<AtomicBool>::default();
        let (cut, is_cut) = (self.cut, Arc::clone(&was_cut));
        proxy.censor(move |passing| {
            let is_it = (passing.direction, passing.n_before) == (cut.direction, cut.n_before);
            if is_it {
                is_cut.store(true, Ordering::SeqCst);
            }
            if is_it { cut.deed(passing.n_bytes) } else { Deed::Pass }
        });
        let settings = Settings { feed: 2, ..Storm::settings(self.seed, proxy.url(), directory.path()) };
        let mut aftermath = Aftermath::default();
        self.work(&settings, &was_cut, &mut aftermath)?;
        proxy.calm();
        self.finish(&settings, &mut aftermath)?;
        aftermath.read(&settings).await?;
        let wrongs = aftermath.wrongs(self.seed);
        if !wrongs.is_empty() {
            crate::command::tell(&format!("diary and log are kept in {}", directory.keep().display()));
        }
        Ok(Outcome { was_cut: was_cut.load(Ordering::SeqCst), wrongs })
    }

    /// Works until enough was seen of what the cut does.
    fn work(&self, settings: &Settings, was_cut: &AtomicBool, aftermath: &mut Aftermath) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let (mut n_ends, mut n_ends_after) = (0, 0);
        for incarnation in 0.. {
            let settings = Settings { incarnation, ..settings.clone() };
            let mut worker = WorkerProcess::spawn(&self.program, &settings)?;
            while n_ends < ENDS_MAX && n_ends_after < ENDS_AFTER {
                let Some(event) = worker.next(deadline.saturating_duration_since(Instant::now())) else {
                    break;
                };
                let is_end = usize::from(matches!(event, Event::End(..)));
                n_ends += is_end;
                n_ends_after += is_end * usize::from(was_cut.load(Ordering::SeqCst));
            }
            // Only a worker that was cut off in its start may end by itself.
            let may_end =
                incarnation == 0 && was_cut.load(Ordering::SeqCst) && !worker.seen().contains(&Event::Up);
            let has_ended = worker.ended()?;
            note(worker, aftermath)?;
            match has_ended {
                Some(_) if may_end => {}
                Some(status) => {
                    aftermath.surprises.push(format!("a worker ended by itself: {status}"));
                    return Ok(());
                }
                None if Instant::now() >= deadline => {
                    aftermath.surprises.push("nothing came to its end any more".to_owned());
                    return Ok(());
                }
                None => return Ok(()),
            }
        }
        Ok(())
    }

    fn finish(&self, settings: &Settings, aftermath: &mut Aftermath) -> Result<()> {
        let last = Settings { feed: 0, until_idle: true, ..settings.clone() };
        let mut worker = WorkerProcess::spawn(&self.program, &last)?;
        if let Err(error) = worker.wait_for(PATIENCE, |event| *event == Event::Stopped) {
            aftermath.surprises.push(format!("what was left did not come to its end: {error}"));
        }
        note(worker, aftermath)
    }
}

/// Kills a worker, and keeps what it told.
fn note(worker: WorkerProcess, aftermath: &mut Aftermath) -> Result<()> {
    let (pid, spawned_at) = (worker.pid(), worker.spawned_at());
    let (at, events) = worker.kill()?;
    aftermath.lives.push(Life { pid, spawned_at, killed: Some((at, Kind::AtRandom)) });
    aftermath.note(events);
    Ok(())
}
