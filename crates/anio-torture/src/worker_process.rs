//! A worker, seen from outside: a child process that can be spoken to, stopped and killed.

use std::fs::OpenOptions;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anio_core::{RunId, Timestamp};

use crate::Result;
use crate::body::now;
use crate::history::{Ack, Ended};
use crate::operator::Ask;
use crate::settings::Settings;

/// Something that a worker has told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Its engine is about to start.
    Starting,
    /// Its engine has started.
    Up,
    /// A submit was acknowledged.
    Ack(Ack),
    /// An end was acknowledged.
    End(Ended),
    /// Something was asked of a run.
    Asked(Ask),
    /// A graceful shutdown is over.
    Stopped,
}

/// A worker under way; killed when dropped.
#[derive(Debug)]
pub struct WorkerProcess {
    child: Child,
    input: ChildStdin,
    events: Receiver<Event>,
    /// What it has told so far, as far as somebody waited for it.
    seen: Vec<Event>,
    spawned_at: Timestamp,
    was_told_to_stop: bool,
}

impl WorkerProcess {
    /// Starts the program as a worker. What it says on standard error is appended to the log.
    ///
    /// # Errors
    /// Those of the system.
    pub fn spawn(program: &Path, settings: &Settings) -> Result<Self> {
        let log = OpenOptions::new().append(true).create(true).open(settings.log())?;
        let spawned_at = now();
        let mut child = Command::new(program)
            .arg("worker")
            .arg(serde_json::to_string(settings)?)
            // Bodies panic by the hundred.
            .env("RUST_BACKTRACE", "0")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()?;
        let input = child.stdin.take().ok_or("a child with standard input")?;
        let output = child.stdout.take().ok_or("a child with standard output")?;
        Ok(Self {
            child,
            input,
            events: read_events(output),
            seen: Vec::new(),
            spawned_at,
            was_told_to_stop: false,
        })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// When it was started.
    pub const fn spawned_at(&self) -> Timestamp {
        self.spawned_at
    }

    /// What it has told, as far as somebody waited for it.
    pub fn seen(&self) -> &[Event] {
        &self.seen
    }

    /// Whether it has told that it is up, as far as it has told by now.
    pub fn is_up(&mut self) -> bool {
        self.seen.extend(self.events.try_iter());
        self.seen.contains(&Event::Up)
    }

    /// The next event; `None` when none comes in time, or ever.
    pub fn next(&mut self, patience: Duration) -> Option<Event> {
        match self.events.recv_timeout(patience) {
            Ok(event) => {
                self.seen.push(event.clone());
                Some(event)
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => None,
        }
    }

    /// The next event of a kind, from now on; `None` when none comes in time, or ever.
    pub fn next_such(&mut self, patience: Duration, is_it: impl Fn(&Event) -> bool) -> Option<Event> {
        let deadline = Instant::now() + patience;
        loop {
            let event = self.next(deadline.saturating_duration_since(Instant::now()))?;
            if is_it(&event) {
                return Some(event);
            }
        }
    }

    /// Waits for an event, also one that came before.
    ///
    /// # Errors
    /// When none comes in time.
    pub fn wait_for(&mut self, patience: Duration, is_it: impl Fn(&Event) -> bool) -> Result<Event> {
        let deadline = Instant::now() + patience;
        if let Some(event) = self.seen.iter().find(|event| is_it(event)) {
            return Ok(event.clone());
        }
        while let Some(event) = self.next(deadline.saturating_duration_since(Instant::now())) {
            if is_it(&event) {
                return Ok(event);
            }
        }
        let ended = self.child.try_wait()?;
        Err(format!("process {} did not tell in {patience:?}; its exit: {ended:?}", self.pid()).into())
    }

    /// Submits a run and returns when it is acknowledged.
    ///
    /// # Errors
    /// When it is not in time.
    pub fn submit(&mut self, workflow: &str, n: u64, patience: Duration) -> Result<RunId> {
        self.send(&format!("submit {workflow} {n}"))?;
        let is_it =
            |event: &Event| matches!(event, Event::Ack(ack) if ack.workflow == workflow && ack.n == n);
        match self.wait_for(patience, is_it)? {
            Event::Ack(ack) => Ok(ack.run),
            _ => unreachable!("an acknowledgement was waited for"),
        }
    }

    fn send(&mut self, line: &str) -> Result<()> {
        Ok(self.input.write_all(format!("{line}\n").as_bytes())?)
    }

    /// Tells it to shut down gracefully.
    pub fn shut_down(&mut self) {
        self.was_told_to_stop = true;
        // One that is gone is down already.
        let _ = self.send("shutdown");
    }

    /// Whether it was told to shut down.
    pub const fn was_told_to_stop(&self) -> bool {
        self.was_told_to_stop
    }

    /// Sends a signal by name: `STOP`, `CONT`.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn signal(&self, name: &str) -> Result<()> {
        let status = Command::new("kill").arg(format!("-{name}")).arg(self.pid().to_string()).status()?;
        if status.success() { Ok(()) } else { Err(format!("kill -{name} {}: {status}", self.pid()).into()) }
    }

    /// How it ended by itself, if it did.
    ///
    /// # Errors
    /// Those of the system.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Waits for it to end by itself.
    ///
    /// # Errors
    /// When it does not in time.
    pub fn wait(&mut self, patience: Duration) -> Result<ExitStatus> {
        let deadline = Instant::now() + patience;
        // The end of its output comes with its end, and is waited for without looking again and again.
        while self.next(deadline.saturating_duration_since(Instant::now())).is_some() {}
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Err(format!("process {} has not ended in {patience:?}", self.pid()).into())
    }

    /// Kills it by SIGKILL; returns when, and all that it told.
    ///
    /// # Errors
    /// Those of the system.
    pub fn kill(mut self) -> Result<(Timestamp, Vec<Event>)> {
        let at = now();
        self.child.kill()?;
        self.child.wait()?;
        // The pipe is at its end: all that was told is there.
        self.seen.extend(self.events.iter());
        Ok((at, std::mem::take(&mut self.seen)))
    }
}

impl Drop for WorkerProcess {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits for a process to end, and kills one that does not in time; `None` for that.
///
/// # Errors
/// Those of the system.
pub(crate) fn end_or_kill(child: &mut Child, patience: Duration) -> std::io::Result<Option<ExitStatus>> {
    let deadline = Instant::now() + patience;
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill()?;
    child.wait()?;
    Ok(None)
}

fn read_events(output: ChildStdout) -> Receiver<Event> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(std::io::Result::ok) {
            let Some(event) = event_of(&line) else { continue };
            if sender.send(event).is_err() {
                return;
            }
        }
    });
    receiver
}

pub(crate) fn event_of(line: &str) -> Option<Event> {
    let words: Vec<&str> = line.split(' ').collect();
    match words[..] {
        ["STARTING"] => Some(Event::Starting),
        ["UP"] => Some(Event::Up),
        ["STOPPED"] => Some(Event::Stopped),
        ["ACK", run, workflow, n, ref key @ ..] => Some(Event::Ack(Ack {
            run: run.parse().ok()?,
            workflow: workflow.to_owned(),
            n: n.parse().ok()?,
            key: key.first().map(|&key| key.to_owned()),
        })),
        ["ASKED", ref words @ ..] => Ask::of_words(words).map(Event::Asked),
        ["END", run, status, outputs] => Some(Event::End(Ended {
            run: run.parse().ok()?,
            status: status.to_owned(),
            outputs: u64::from_str_radix(outputs, 16).ok()?,
        })),
        _ => None,
    }
}
