//! Kills programs that run Anio, starts them again, and checks what they left behind.
//!
//! ```text
//!   storm (this process)                         worker (a child process, one or two at a time)
//!     spawn, SIGKILL, spawn, SIGKILL, …  ──────►   engine on SQLite or Postgres
//!     collects ACK, END, ASKED lines     ◄──────   executes blueprints: DAGs made from a seed; cancels,
//!        │                                         pauses, resumes, retries runs while they go on
//!        │                                            │ each body and callback appends lines
//!        ▼                                            ▼
//!     history: acknowledgements  +  rows of the database  +  diary of the bodies
//!        │
//!        ▼
//!     check: the history against the reference interpreter ──► violations
//! ```
//!
//! The checker is pure and knows nothing of the engine but its words; its own tests plant one bad history
//! for each of its rules.

pub mod blueprint;
pub mod body;
pub mod check;
pub mod command;
pub mod diary;
pub mod dice;
pub mod disk;
pub mod history;
pub mod intent;
pub mod joint;
pub mod lease;
pub mod ledger;
pub mod log;
pub mod net;
pub mod operator;
pub mod page;
pub mod plants;
pub mod points;
pub mod reference;
pub mod report;
pub mod settings;
pub mod simulate;
pub mod special;
pub mod storm;
pub mod surroundings;
pub mod worker;
pub mod worker_process;

/// What fails here fails the whole program or test, with its message.
pub type Result<T, E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;
