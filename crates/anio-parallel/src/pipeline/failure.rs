//! What a failed item does to the rest: it stops it, or is kept, or handed over.

use std::ops::ControlFlow;
use std::sync::{Mutex, PoisonError};

use tokio_util::sync::CancellationToken;

use crate::error::Error;
use crate::panic;

/// How many errors are kept at most.
const N_KEPT_MAX: usize = 1000;

/// Takes the errors of single items; one that it returns stops the pipeline.
pub(super) type Handler = Box<dyn FnMut(Error) -> Result<(), Error> + Send>;

pub(super) enum Policy {
    Stop,
    Keep(Vec<Error>),
    HandOver(Handler),
}

/// The errors of one run.
pub(super) struct Failures {
    state: Mutex<State>,
    /// That of the whole run.
    token: CancellationToken,
}

struct State {
    policy: Policy,
    /// What stopped it.
    fatal: Option<Error>,
}

impl Failures {
    pub(super) const fn new(policy: Policy, token: CancellationToken) -> Self {
        Self { state: Mutex::new(State { policy, fatal: None }), token }
    }

    /// Does with the error what was asked for: `Break` when it stops the run.
    pub(super) fn note(&self, error: Error) -> ControlFlow<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.fatal.is_some() {
            return ControlFlow::Break(());
        }
        let fatal = match &mut state.policy {
            Policy::Stop => Some(error),
            Policy::Keep(errors) => {
                if errors.len() < N_KEPT_MAX {
                    errors.push(error);
                }
                None
            }
            Policy::HandOver(handler) => panic::catch(|| handler(error)).flatten().err(),
        };
        let Some(fatal) = fatal else { return ControlFlow::Continue(()) };
        state.fatal = Some(fatal);
        drop(state);
        self.token.cancel();
        ControlFlow::Break(())
    }

    /// Stops the run, whatever was asked for.
    pub(super) fn stop(&self, error: Error) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.fatal.get_or_insert(error);
        drop(state);
        self.token.cancel();
    }

    /// The errors that were kept.
    ///
    /// # Errors
    /// What stopped the run.
    pub(super) fn take(&self) -> Result<Vec<Error>, Error> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match (state.fatal.take(), &mut state.policy) {
            (Some(fatal), _) => Err(fatal),
            (None, Policy::Keep(errors)) => Ok(std::mem::take(errors)),
            (None, Policy::Stop | Policy::HandOver(_)) => Ok(Vec::new()),
        }
    }
}
