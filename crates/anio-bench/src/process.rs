//! What the operating system counts for this process. Linux alone: the figures are read from `/proc`.

use std::fs;

use crate::Result;

/// The unit of times in `/proc/self/stat`, the same on every platform that Rust runs on.
const TICKS_PER_SECOND: f64 = 100.0;

/// Seconds of processor time so far, of all threads.
pub(crate) fn cpu_seconds() -> Result<f64> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    // The second field is the program's name in brackets, and may have anything in it.
    let fields = stat.rsplit_once(')').ok_or("/proc/self/stat has no name in it")?.1;
    let ticks = |n| fields.split_whitespace().nth(n).and_then(|field| field.parse::<f64>().ok());
    // Fields 14 and 15 of the whole: user and system time.
    let (user, system) = ticks(11).zip(ticks(12)).ok_or("/proc/self/stat has no times in it")?;
    Ok((user + system) / TICKS_PER_SECOND)
}

/// Bytes of memory that are resident.
pub(crate) fn resident_bytes() -> Result<u64> {
    Ok(number_after("/proc/self/status", "VmRSS:")? * 1024)
}

/// Bytes given to `write` and its relatives so far; sockets are written by other calls.
pub(crate) fn written_bytes() -> Result<u64> {
    number_after("/proc/self/io", "wchar:")
}

fn number_after(file: &str, name: &str) -> Result<u64> {
    let text = fs::read_to_string(file)?;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.ok_or_else(|| format!("{file} has no {name}").into())
}
