//! Plays schedules: whole workers on one database, in one thread, in a time that only passes when everybody waits.
//!
//! ```text
//!   seed ──► script: workflows, runs to submit, what people ask, crashes, weather
//!                │
//!   hosts ───────┤  a process each: the engine, its store, its clients ──► kill, freeze, cut off, stop, start again
//!                │                      │ verbs, delayed
//!                ▼                      ▼
//!   one runtime, paused time      database: memory, which loses answers, is busy, acts late
//!                │
//!                ▼
//!   history: what clients were told + the database + the diary of the bodies ──► check, as after a storm
//! ```
//!
//! The engine is the real one: its loop, keeper, executor, timers, limits and the store's writer. Beside time only
//! its threads are missing: plain functions execute as tasks. All that happens follows from the seed, so a seed that
//! went wrong goes wrong again.

mod client;
mod command;
mod database;
mod deadly;
mod host;
mod play;
mod process;
mod script;
mod weather;
mod world;

pub use self::command::Command;
pub use self::play::{Played, play};
