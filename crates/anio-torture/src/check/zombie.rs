//! What processes begin that do not know yet that they were taken over from. It is allowed: execution is
//! at-least-once; that nothing of it is recorded is looked at by [`owner`](super::owner).

use std::collections::HashSet;
use std::time::Duration;

use anio_core::Timestamp;

use crate::diary::What;
use crate::history::{History, Stop};

/// How long a worker that nobody stopped, but that came to no processor in time, may have gone on unknowing.
const UNKNOWING: Duration = Duration::from_secs(5);

/// How long one that was stopped may go on unknowing before it says so, or is killed.
const BEFORE_IT_SAYS_SO: Duration = Duration::from_secs(10);

/// A body that was just about to begin when its process learned of it may begin so much later: its thread may have
/// to wait for a processor.
const ALREADY_BEGINNING: Duration = Duration::from_millis(100);

/// A process that was a zombie, from when to when.
struct Window {
    pid: u32,
    from: Timestamp,
    until: Timestamp,
}

/// The stops after which another worker had surely taken over.
pub(crate) fn buried(history: &History) -> Vec<&Stop> {
    let (stale, moves) = (stale_begins(history), history.moves());
    let is_buried = |stop: &&Stop| {
        let lines = history.diary.iter().enumerate().filter(|(at, _)| !stale.contains(at));
        stop.buried_at(lines.map(|(_, line)| line), &history.lost, &moves).is_some()
    };
    history.stops.iter().filter(is_buried).collect()
}

/// The positions in the diary of beginnings that count for nothing.
pub(super) fn stale_begins(history: &History) -> HashSet<usize> {
    let windows = windows(history);
    let mut stale = HashSet::new();
    // A process may be stopped between looking at the clock and writing its line; then the lines before tell
    // that it is later.
    let mut now = Timestamp::default();
    for (position, line) in history.diary.iter().enumerate() {
        now = now.max(line.at);
        let is_within =
            |window: &Window| line.pid == window.pid && now >= window.from && line.at <= window.until;
        let is_stale = history.zombies.contains(&line.pid) || windows.iter().any(is_within);
        if line.what == What::Begin && is_stale {
            stale.insert(position);
        }
    }
    stale
}

fn windows(history: &History) -> Vec<Window> {
    let mut windows: Vec<Window> = Vec::new();
    for &(pid, said_at) in &history.lost {
        let before = |time: Duration| Timestamp::from_micros(said_at.as_micros() - time.as_micros() as i64);
        let is_stop = |at: &Timestamp| *at <= said_at && *at >= before(BEFORE_IT_SAYS_SO);
        let stops = history.stops.iter().filter(|stop| stop.pid == pid).map(|stop| stop.continued_at);
        let from = stops.filter(is_stop).max().unwrap_or_else(|| before(UNKNOWING));
        windows.push(Window { pid, from, until: said_at.after(ALREADY_BEGINNING) });
    }
    for stop in &history.stops {
        let said = windows.iter().any(|window| window.pid == stop.pid && window.from == stop.continued_at);
        if !said {
            // It was killed first, or had lost nothing.
            let until = stop.continued_at.after(BEFORE_IT_SAYS_SO);
            windows.push(Window { pid: stop.pid, from: stop.continued_at, until });
        }
    }
    windows
}
