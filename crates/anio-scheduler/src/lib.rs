//! Executes runs: the one place where the state machine of a run meets the world.
//!
//! ```text
//!             claim, renew, take over                    facts, in batches
//!   keeper ◄──────────────────────────► store ◄───────────────────────────────┐
//!     │ claimed runs                                                          │
//!     ▼                                                                       │
//!   scheduler: inbox ──► RunState::apply ──► perform(effects) ──► pending ────┘
//!     ▲                                          │
//!     │ returned                                 ▼
//!   executor: tokio │ rayon pool │ blocking threads        timers
//! ```
//!
//! A worker owns whole runs under one lease. The scheduler's loop is the only one that touches their
//! state, so there is no lock on it; bodies, the store and the timers speak to it through its inbox.

mod block_on;
mod callback;
pub mod clock;
pub mod config;
pub mod error;
mod executor;
mod forecast;
pub mod ids;
mod keeper;
mod lanes;
mod limit;
mod live_run;
mod map;
pub mod metrics;
mod pending;
mod progress;
mod ready;
pub mod scheduler;
mod timer;
mod trace;
mod verdict;
mod watch;
mod worker;

pub use crate::forecast::{RunForecast, forecast};
pub use clock::{Clock, SystemClock};
pub use config::Config;
pub use error::Error;
pub use ids::{Ids, SystemIds};
pub use lanes::Lanes;
pub use live_run::{record_of, replay};
pub use metrics::Metrics;
pub use progress::TaskProgress;
pub use scheduler::{Finished, Scheduler};
pub use trace::TraceContext;
