//! Workers on a SQLite file whose disk fails, runs full, or loses what was not synced.
//!
//! ```text
//!   sweep: for every operation n that SQLite asks of the disk in a small program's life
//!            a life on a disk where n goes wrong ──► a life on a good disk ──► check
//!   storm: the storms of `storm`, each life on another kind of bad disk, killed at random instants
//! ```
//!
//! The disk is that of `anio-faulty-disk`, in the worker's own process. Whatever it does: what was acknowledged
//! is kept, the worker ends by itself with an error that says what is wrong, or goes on, and it never hangs.

mod command;
pub(crate) mod errand;
mod sweep;
mod trial;
mod weather;

pub use self::command::Command;
pub use self::sweep::{Mode, Sweep};
pub use self::trial::{Ended, Trial, Verdict};
pub(crate) use self::weather::plan as weather;
