//! What workers say on standard error: each event begins with who says it, so that the storm can read whose lease
//! was lost, and when.

use std::io::{self, Write};

use anio_core::Timestamp;
use chrono::{DateTime, Utc};

/// How the engine says that another worker has taken over.
const LOST: &str = "the lease is lost";

/// Standard error, each write headed by the number of this process.
#[derive(Debug)]
pub struct Signed;

impl Write for Signed {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let mut line = format!("[{}] ", std::process::id()).into_bytes();
        line.extend_from_slice(event);
        io::stderr().lock().write_all(&line)?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// Which processes said that their lease was lost, and when, in the order of the log.
pub fn lost_leases(log: &str) -> Vec<(u32, Timestamp)> {
    log.lines().filter(|line| line.contains(LOST)).filter_map(who_and_when).collect()
}

fn who_and_when(line: &str) -> Option<(u32, Timestamp)> {
    let (pid, rest) = line.strip_prefix('[')?.split_once("] ")?;
    let at: DateTime<Utc> = rest.split(' ').next()?.parse().ok()?;
    Some((pid.parse().ok()?, at.into()))
}

/// The lines that tell of a panic which no body was fated to.
pub fn panics(log: &str) -> impl Iterator<Item = &str> {
    log.lines().filter(|line| line.contains("panicked at") && !line.contains("/body.rs:"))
}

/// The lines that tell of an engine which has given up on its database.
pub fn stops(log: &str) -> impl Iterator<Item = &str> {
    log.lines().filter(|line| line.contains("the engine stops"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_lost_a_lease_and_who_panicked_is_read() {
        let log = "\
[17] 2026-11-21T09:29:13.000250Z ERROR anio_scheduler::worker: the lease is lost: another worker has
[18] 2026-11-21T09:29:13.123456Z  WARN anio_torture::worker: not submitted
thread 'a' panicked at crates/anio-torture/src/body.rs:1:2:
thread 'b' panicked at crates/anio-core/src/run/mod.rs:1:2:
";
        let at: DateTime<Utc> = "2026-11-21T09:29:13.000250Z".parse().unwrap_or_default();
        assert_eq!(lost_leases(log), [(17, at.into())]);
        assert_eq!(panics(log).count(), 1);
    }
}
