//! A weather service as such services are: it answers in some milliseconds, a few requests at a time, and
//! refuses those who ask too often.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

/// Requests per second, and at once after a pause.
const RATE: f64 = 100.0;
const BURST: f64 = 20.0;

const N_AT_ONE_TIME: usize = 4;
const TAKES: Duration = Duration::from_millis(4);

/// Why there was no answer.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    #[error("429 too many requests")]
    TooMany,
}

pub struct Service {
    desks: Semaphore,
    limits: Limits,
    state: Mutex<State>,
}

/// Whether the service minds how often it is asked.
#[derive(Clone, Copy, PartialEq)]
pub enum Limits {
    Enforced,
    Lifted,
}

struct State {
    /// How many requests it would take at once.
    n_allowed: f64,
    looked: Instant,
    /// The stations that it was asked for and did not refuse, in that order.
    asked: Vec<String>,
}

impl Service {
    pub fn new(limits: Limits) -> Self {
        let state = State { n_allowed: BURST, looked: Instant::now(), asked: Vec::new() };
        Self { desks: Semaphore::new(N_AT_ONE_TIME), limits, state: Mutex::new(state) }
    }

    /// The temperature at a station.
    pub async fn temperature(&self, station: &str) -> Result<i32, ServiceError> {
        self.admit(station)?;
        let _desk = self.desks.acquire().await;
        tokio::time::sleep(TAKES).await;
        Ok(station.bytes().map(i32::from).sum::<i32>() % 30)
    }

    fn admit(&self, station: &str) -> Result<(), ServiceError> {
        if self.limits == Limits::Lifted {
            return Ok(());
        }
        let mut state = self.lock();
        let now = Instant::now();
        let refilled = state.n_allowed + (now - state.looked).as_secs_f64() * RATE;
        (state.n_allowed, state.looked) = (refilled.min(BURST), now);
        if state.n_allowed < 1.0 {
            return Err(ServiceError::TooMany);
        }
        state.n_allowed -= 1.0;
        state.asked.push(station.to_owned());
        Ok(())
    }

    pub fn asked(&self) -> Vec<String> {
        self.lock().asked.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
