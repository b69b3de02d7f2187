//! Workers that are stopped for longer than their lease, and go on.

use std::collections::HashSet;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::time::{Duration, Instant};

use anio_core::Timestamp;

use crate::body::now;
use crate::history::Stop;
use crate::settings::Settings;
use crate::worker_process::WorkerProcess;
use crate::{Result, diary, log};

/// How long one that was buried may take to say so.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often somebody looks whether something has happened.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// A worker that is stopped.
#[derive(Debug)]
pub(super) struct Stopped {
    worker: WorkerProcess,
    since: Timestamp,
    until: Instant,
}

impl Stopped {
    /// Stops a worker until its lease has run out, and so much longer.
    pub(super) fn new(worker: WorkerProcess, lease: Duration, longer: Duration) -> Result<Self> {
        worker.signal("STOP")?;
        wait_for_stop(worker.pid());
        Ok(Self { worker, since: now(), until: Instant::now() + lease + longer })
    }

    /// Whether its time is over.
    pub(super) fn is_due(&self) -> bool {
        Instant::now() >= self.until
    }

    /// How long it stays stopped yet.
    pub(super) fn rest(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }

    /// Lets it go on. Where it has been taken over and `waits`, it is waited for until it says that it knows.
    pub(super) fn go_on(self, settings: &Settings, waits: bool) -> Result<(WorkerProcess, Stop)> {
        let pid = self.worker.pid();
        let mut stop = Stop { pid, stopped_at: self.since, continued_at: now(), waited: false };
        let mut news = File::open(settings.log())?;
        let from = news.seek(SeekFrom::End(0))?;
        let is_buried =
            waits && stop.buried_at(&diary::read(&settings.diary())?, &[], &HashSet::new()).is_some();
        stop.continued_at = now();
        self.worker.signal("CONT")?;
        if is_buried {
            wait_for_word(&settings.log(), from, pid)?;
            stop.waited = true;
        }
        Ok((self.worker, stop))
    }
}

/// The signal is on its way when it is sent; the process stands still when the system says so.
fn wait_for_stop(pid: u32) {
    let deadline = Instant::now() + PATIENCE;
    let stands = || {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok();
        // Where there is no such file, a while must do.
        stat.is_none_or(|stat| stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with(['T', 'Z'])))
    };
    while !stands() && Instant::now() < deadline {
        std::thread::sleep(LOOK_EVERY);
    }
    std::thread::sleep(LOOK_EVERY);
}

/// Waits until the process has said that its lease is lost; what it does not say in time, the checker sees.
fn wait_for_word(path: &Path, from: u64, pid: u32) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        let (mut file, mut text) = (File::open(path)?, String::new());
        file.seek(SeekFrom::Start(from))?;
        file.read_to_string(&mut text)?;
        if log::lost_leases(&text).iter().any(|(of, _)| *of == pid) {
            return Ok(());
        }
        std::thread::sleep(LOOK_EVERY);
    }
    Ok(())
}
