//! A storm under way: who lives, who stands still, who dies next, and when.

use std::process::ExitStatus;
use std::time::{Duration, Instant};

use super::kind::Kind;
use super::zombies::Stopped;
use super::{Aftermath, Life, Storm, Weather};
use crate::Result;
use crate::dice::{Dice, mix};
use crate::disk;
use crate::operator::Asked;
use crate::settings::Settings;
use crate::worker_process::{Event, WorkerProcess};

/// How long a worker may take to do anything at all before it counts as stuck.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long the last workers may take to finish what is left.
const FINISH_PATIENCE: Duration = Duration::from_secs(180);

/// No worker is stopped any more when so few are left to be killed.
const STOP_BEFORE: usize = 10;

/// How often the storm looks at the one that is stopped while it waits for something else.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// About how long it takes from the start of an engine to its end, on a database that is empty or not.
const START_UP: Duration = Duration::from_millis(40);

/// The first milliseconds of an engine.
const RECOVERY: Duration = Duration::from_millis(12);

pub(super) struct Raging<'a> {
    storm: &'a Storm,
    weather: &'a dyn Weather,
    dice: Dice,
    n_spawned: u64,
    n_killed: usize,
    /// Whether any worker has come up on this database.
    has_come_up: bool,
    workers: Vec<WorkerProcess>,
    stopped: Option<Stopped>,
    aftermath: Aftermath,
}

impl<'a> Raging<'a> {
    pub(super) fn new(storm: &'a Storm, weather: &'a dyn Weather) -> Self {
        Self {
            storm,
            weather,
            dice: Dice::new(mix(storm.settings.seed, 1 << 32)),
            n_spawned: 0,
            n_killed: 0,
            has_come_up: false,
            workers: Vec::new(),
            stopped: None,
            aftermath: Aftermath::default(),
        }
    }

    /// Until enough have died and the last ones have finished what was left.
    pub(super) fn rage(mut self) -> Result<Aftermath> {
        while !self.has_come_up && self.n_killed < self.storm.n_kills {
            self.kill_in_migration()?;
        }
        while self.n_killed < self.storm.n_kills {
            self.round()?;
        }
        if let Some(stopped) = self.stopped.take() {
            std::thread::sleep(stopped.rest());
            self.go_on(stopped)?;
        }
        self.kill_all(Kind::AtRandom)?;
        self.weather.calm_down()?;
        self.finish()?;
        Ok(self.aftermath)
    }

    fn round(&mut self) -> Result<()> {
        self.go_on_when_due()?;
        self.fill()?;
        self.sleep(self.weather.longer());
        match self.dice.below(24) {
            // In rough weather one cannot wait for what a worker says that goes on.
            // One at a time: one that is stopped may hold the lock that another needs to learn what it has lost.
            0..5 if self.may_stop() => return self.stop_one(),
            5 | 6 => return self.kill_in_recovery(),
            7 | 8 => return self.kill_in_start_up(),
            _ => {}
        }
        let at = self.dice.position(self.workers.len());
        let kind = self.wait_for_the_instant(at)?;
        if self.workers.len() > 1 && self.dice.percent(20) {
            self.kill_all(kind)?;
        } else {
            let victim = self.workers.swap_remove(at);
            self.kill(victim, kind)?;
        }
        if !self.workers.is_empty() && self.dice.percent(50) {
            // Time for the others to take over.
            self.sleep(Duration::from_millis(300));
        }
        Ok(())
    }

    fn may_stop(&self) -> bool {
        let is_late = self.storm.n_kills - self.n_killed < STOP_BEFORE;
        self.workers.len() > 1 && self.stopped.is_none() && !is_late && !self.weather.is_rough()
    }

    /// Side by side on an empty database, where the tables are made; nobody is up yet.
    fn kill_in_migration(&mut self) -> Result<()> {
        self.start_some()?;
        self.sleep(START_UP);
        self.kill_all(Kind::InMigration)?;
        // Sooner or later one must have its way.
        if self.n_killed >= self.storm.n_kills / 10 {
            self.has_come_up = true;
        }
        Ok(())
    }

    /// All at once, and those who come after them in their first milliseconds, again and again.
    fn kill_in_recovery(&mut self) -> Result<()> {
        self.kill_all(Kind::AtRandom)?;
        for _ in 0..2 + self.dice.below(3) {
            self.start_some()?;
            let longest = Instant::now() + 4 * START_UP;
            while !self.workers.iter_mut().any(WorkerProcess::is_up) && Instant::now() < longest {
                std::thread::sleep(Duration::from_micros(500));
            }
            self.sleep(RECOVERY);
            self.kill_all(Kind::InRecovery)?;
        }
        Ok(())
    }

    fn kill_in_start_up(&mut self) -> Result<()> {
        let at = self.dice.position(self.workers.len());
        let victim = self.workers.swap_remove(at);
        self.kill(victim, Kind::AtRandom)?;
        let mut victim = self.spawn()?;
        victim.wait_for(PATIENCE, |event| *event == Event::Starting)?;
        self.sleep(START_UP);
        self.kill(victim, Kind::InStartUp)
    }

    /// As many as there may be, or fewer, up to the start of the first engine.
    fn start_some(&mut self) -> Result<()> {
        let n_most = self.storm.n_workers.saturating_sub(usize::from(self.stopped.is_some())).max(1);
        for _ in 0..=self.dice.position(n_most) {
            let worker = self.spawn()?;
            self.workers.push(worker);
        }
        self.workers[0].wait_for(PATIENCE, |event| *event == Event::Starting).map(drop)
    }

    fn fill(&mut self) -> Result<()> {
        let n_most = self.storm.n_workers.saturating_sub(usize::from(self.stopped.is_some())).max(1);
        while self.workers.len() < n_most {
            let worker = self.spawn()?;
            self.workers.push(worker);
        }
        Ok(())
    }

    fn stop_one(&mut self) -> Result<()> {
        let at = self.dice.position(self.workers.len());
        let mut victim = self.workers.swap_remove(at);
        self.wait_until_up(&mut victim)?;
        self.sleep(Duration::from_millis(60));
        if let Some(status) = victim.ended()? {
            self.aftermath.surprises.push(format!("worker {} ended by itself: {status}", victim.pid()));
            return self.kill(victim, Kind::AtRandom);
        }
        let longer = Duration::from_millis(200) + self.dice.duration(Duration::from_millis(800));
        self.stopped = Some(Stopped::new(victim, self.storm.settings.lease, longer)?);
        Ok(())
    }

    fn go_on_when_due(&mut self) -> Result<()> {
        match self.stopped.take_if(|stopped| stopped.is_due()) {
            Some(stopped) => self.go_on(stopped),
            None => Ok(()),
        }
    }

    fn go_on(&mut self, stopped: Stopped) -> Result<()> {
        let waits = self.dice.percent(60);
        let (worker, stop) = stopped.go_on(&self.storm.settings, waits)?;
        self.aftermath.history.stops.push(stop);
        if waits {
            self.workers.push(worker);
            return Ok(());
        }
        self.sleep(Duration::from_millis(40));
        self.kill(worker, Kind::AsZombie)
    }

    /// Lets the one that is stopped go on meanwhile when its time has come: it may hold the lock of a SQLite file.
    fn wait_until_up(&mut self, worker: &mut WorkerProcess) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while worker.wait_for(LOOK_EVERY, |event| *event == Event::Up).is_err() {
            let ended = worker.ended()?;
            let may_fail = |status| self.weather.is_rough() || self.may_have_failed(status);
            if ended.is_some_and(may_fail) {
                break;
            }
            if ended.is_some() || Instant::now() > deadline {
                let found = format!("worker {} did not come up: {ended:?}", worker.pid());
                self.aftermath.surprises.push(found);
                break;
            }
            self.go_on_when_due()?;
        }
        Ok(())
    }

    /// Some die while they start, some after an event of theirs, at any instant.
    fn wait_for_the_instant(&mut self, at: usize) -> Result<Kind> {
        let mut worker = self.workers.swap_remove(at);
        self.wait_until_up(&mut worker)?;
        let (kind, longest) = match self.dice.below(10) {
            0..5 => (Kind::AtRandom, 120),
            // Long enough for most of what was under way to end.
            5 => (Kind::AtRandom, 700),
            6 => {
                worker.shut_down();
                (Kind::InShutdown, 60)
            }
            // Before it is done.
            7 | 8 => {
                let is_asked = |event: &Event| matches!(event, Event::Asked(ask) if matches!(ask.what, Asked::Cancel | Asked::GiveUp(..) | Asked::Pause));
                worker.next_such(Duration::from_millis(400), is_asked);
                (Kind::AfterAsking, 2)
            }
            _ => {
                worker.next(Duration::from_millis(100));
                (Kind::AfterAnswer, 30)
            }
        };
        self.sleep(Duration::from_millis(longest));
        // Where it was.
        self.workers.push(worker);
        let last = self.workers.len() - 1;
        self.workers.swap(at, last);
        Ok(kind)
    }

    fn finish(&mut self) -> Result<()> {
        let settings = Settings { feed: 0, until_idle: true, ..self.storm.settings.clone() };
        let mut last = Vec::new();
        for _ in 0..self.storm.n_workers {
            last.push(WorkerProcess::spawn(&self.storm.program, &settings)?);
        }
        let deadline = Instant::now() + FINISH_PATIENCE;
        for mut worker in last {
            let patience = deadline.saturating_duration_since(Instant::now());
            let surprises = &mut self.aftermath.surprises;
            if let Err(error) = worker.wait_for(patience, |event| *event == Event::Stopped) {
                surprises.push(format!("what was left did not come to its end: {error}"));
            } else if let Err(error) = worker.wait(PATIENCE) {
                surprises.push(format!("a graceful shutdown left the process behind: {error}"));
            }
            let life = Life { pid: worker.pid(), spawned_at: worker.spawned_at(), killed: None };
            self.aftermath.lives.push(life);
            let (_, events) = worker.kill()?;
            self.aftermath.note(events);
        }
        Ok(())
    }

    fn spawn(&mut self) -> Result<WorkerProcess> {
        self.n_spawned += 1;
        let Settings { seed, weather, .. } = self.storm.settings;
        let disk = weather.then(|| disk::weather(seed, self.n_spawned));
        let settings = Settings { incarnation: self.n_spawned, disk, ..self.storm.settings.clone() };
        WorkerProcess::spawn(&self.storm.program, &settings)
    }

    /// On a bad disk a worker may say why, and end.
    fn may_have_failed(&self, status: ExitStatus) -> bool {
        self.storm.settings.weather && status.code() == Some(1)
    }

    fn kill_all(&mut self, kind: Kind) -> Result<()> {
        std::mem::take(&mut self.workers).into_iter().try_for_each(|worker| self.kill(worker, kind))
    }

    fn kill(&mut self, mut worker: WorkerProcess, kind: Kind) -> Result<()> {
        let (pid, spawned_at) = (worker.pid(), worker.spawned_at());
        let (ended, was_told) = (worker.ended()?, worker.was_told_to_stop());
        let (at, events) = worker.kill()?;
        let may_fail = self.weather.is_rough() && (was_told || !events.contains(&Event::Up));
        if let Some(status) = ended
            && !(was_told && status.success() || may_fail || self.may_have_failed(status))
        {
            self.aftermath.surprises.push(format!("worker {pid} ended by itself: {status}"));
        }
        let kind = self.kind_of(kind, &events);
        self.has_come_up |= events.contains(&Event::Up);
        self.n_killed += usize::from(ended.is_none());
        self.aftermath.lives.push(Life { pid, spawned_at, killed: ended.is_none().then_some((at, kind)) });
        self.aftermath.note(events);
        Ok(())
    }

    /// What was meant, and what it came to: whoever has not told that it is up was not.
    fn kind_of(&self, meant: Kind, events: &[Event]) -> Kind {
        let (is_up, has_begun) = (events.contains(&Event::Up), events.contains(&Event::Starting));
        match meant {
            _ if !is_up && has_begun && !self.has_come_up => Kind::InMigration,
            _ if !is_up => Kind::InStartUp,
            Kind::InMigration | Kind::InStartUp => Kind::InRecovery,
            meant => meant,
        }
    }

    fn sleep(&mut self, longest: Duration) {
        std::thread::sleep(self.dice.duration(longest));
    }
}
