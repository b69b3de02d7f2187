//! How far the attempts that run here say they are. Kept in memory only: nothing of it is stored.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use anio_core::{RunId, TaskName, Timestamp};

use crate::clock::Clock;

/// How far one task run, or a helper inside it, has come.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct TaskProgress {
    /// The task.
    pub task: String,
    /// Which element of a mapped task, from 0.
    pub map_index: Option<u32>,
    /// Which attempt, from 1.
    pub attempt: u32,
    /// What counts: the name of a helper (`par_map`) or of a stage, or empty for the task's own count.
    pub what: String,
    /// How many are done.
    pub done: u64,
    /// Of how many, where that is known.
    pub total: Option<u64>,
    /// How many were done at the first report.
    pub done_at_first: u64,
    /// When the first report came; the count began anew when it fell.
    pub since: Timestamp,
    /// When the last report came.
    pub at: Timestamp,
}

impl TaskProgress {
    /// How many are done per second, from the first report to the last; `None` before there are two.
    pub fn rate(&self) -> Option<f64> {
        let (n, seconds) = (self.done - self.done_at_first, self.at.since(self.since).as_secs_f64());
        #[expect(clippy::cast_precision_loss, reason = "an estimate")]
        (n > 0 && seconds > 0.0).then(|| n as f64 / seconds)
    }

    /// How long the rest takes if it goes on at this rate, seen from the last report.
    pub fn time_left(&self) -> Option<Duration> {
        let n_left = self.total?.checked_sub(self.done)?;
        #[expect(clippy::cast_precision_loss, reason = "an estimate")]
        Duration::try_from_secs_f64(n_left as f64 / self.rate()?).ok()
    }
}

/// What all running attempts report. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Board(Arc<Mutex<HashMap<RunId, Vec<Arc<Reporter>>>>>);

impl Board {
    /// What the running attempts of a run report, by the task's name, the element, and the first report.
    pub(crate) fn of_run(&self, run: RunId) -> Vec<TaskProgress> {
        let reporters = self.lock().get(&run).cloned().unwrap_or_default();
        let mut all: Vec<_> = reporters.iter().flat_map(|reporter| reporter.counts().list.clone()).collect();
        all.sort_by(|a, b| (&a.task, a.map_index).cmp(&(&b.task, b.map_index)));
        all
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<RunId, Vec<Arc<Reporter>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes the reports of one attempt. It is on the board from its first report to its end.
#[derive(Debug)]
pub(crate) struct Reporter {
    me: Weak<Self>,
    board: Board,
    clock: Arc<dyn Clock>,
    run: RunId,
    task: TaskName,
    map_index: Option<u32>,
    attempt: u32,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    list: Vec<TaskProgress>,
    /// A handle may outlive its attempt; what it reports then is nobody's.
    is_over: bool,
}

impl Reporter {
    pub(crate) fn new(
        board: &Board,
        clock: &Arc<dyn Clock>,
        run: RunId,
        task: &TaskName,
        (map_index, attempt): (Option<u32>, u32),
    ) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            me: Weak::clone(me),
            board: board.clone(),
            clock: Arc::clone(clock),
            run,
            task: task.clone(),
            map_index,
            attempt,
            counts: Mutex::default(),
        })
    }

    fn note(&self, what: &str, done: u64, total: Option<u64>) {
        let now = self.clock.now();
        let mut counts = self.counts();
        if counts.is_over {
            return;
        }
        if counts.list.is_empty() {
            // The lock on the counts is held: the end of the attempt comes before this or after it.
            self.board.lock().entry(self.run).or_default().extend(self.me.upgrade());
        }
        match counts.list.iter_mut().find(|count| count.what == what) {
            Some(count) if count.done <= done => (count.done, count.total, count.at) = (done, total, now),
            Some(count) => *count = self.first(what, done, total, now),
            None => counts.list.push(self.first(what, done, total, now)),
        }
    }

    fn first(&self, what: &str, done: u64, total: Option<u64>, now: Timestamp) -> TaskProgress {
        TaskProgress {
            task: self.task.to_string(),
            map_index: self.map_index,
            attempt: self.attempt,
            what: what.to_owned(),
            done,
            total,
            done_at_first: done,
            since: now,
            at: now,
        }
    }

    fn end(&self) {
        let mut counts = self.counts();
        counts.is_over = true;
        if counts.list.is_empty() {
            return;
        }
        counts.list.clear();
        let mut board = self.board.lock();
        if let Some(reporters) = board.get_mut(&self.run) {
            reporters.retain(|reporter| !std::ptr::eq(Arc::as_ptr(reporter), self));
            if reporters.is_empty() {
                board.remove(&self.run);
            }
        }
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl anio_core::task::Progress for Reporter {
    fn report(&self, done: u64, total: Option<u64>) {
        self.note("", done, total);
    }
}

impl anio_parallel::Progress for Reporter {
    fn report(&self, what: &str, done: u64, total: Option<u64>) {
        self.note(what, done, total);
    }
}

/// Takes an attempt off the board when its body ends, however it ends.
#[derive(Debug)]
pub(crate) struct Reporting(pub(crate) Arc<Reporter>);

impl Drop for Reporting {
    fn drop(&mut self) {
        self.0.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;

    #[test]
    fn rates_are_reckoned_from_the_first_report() {
        let second = |n: i64| Timestamp::from_micros(n * 1_000_000);
        let board = Board::default();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let run = RunId::from_uuid(uuid::Uuid::nil());
        let reporter = Reporter::new(&board, &clock, run, &TaskName::new("load").expect("a name"), (None, 1));
        let mut progress = reporter.first("", 40, Some(100), second(10));
        assert_eq!((progress.rate(), progress.time_left()), (None, None));
        (progress.done, progress.at) = (60, second(15));
        assert_eq!((progress.rate(), progress.time_left()), (Some(4.0), Some(Duration::from_secs(10))));
        progress.total = None;
        assert_eq!(progress.time_left(), None);
    }

    #[test]
    fn an_attempt_is_on_the_board_from_its_first_report_to_its_end() {
        let board = Board::default();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let run = RunId::from_uuid(uuid::Uuid::nil());
        let name = TaskName::new("load").expect("a name");
        let reporter = Reporter::new(&board, &clock, run, &name, (Some(3), 2));
        let reporting = Reporting(Arc::clone(&reporter));
        assert!(board.of_run(run).is_empty());
        reporter.note("", 1, Some(9));
        reporter.note("par_map", 5, None);
        reporter.note("", 4, Some(9));
        let all = board.of_run(run);
        let seen: Vec<_> = all.iter().map(|one| (one.what.as_str(), one.done, one.done_at_first)).collect();
        assert_eq!(seen, [("", 4, 1), ("par_map", 5, 5)]);
        assert_eq!((all[0].map_index, all[0].attempt), (Some(3), 2));
        reporter.note("par_map", 0, None);
        assert_eq!(board.of_run(run)[1].done_at_first, 0, "a count that falls begins anew");
        drop(reporting);
        reporter.note("", 9, Some(9));
        assert!(board.of_run(run).is_empty() && board.lock().is_empty());
    }
}
