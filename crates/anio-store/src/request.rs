//! What becomes of a request: the table of [`Backend::request`](crate::backend::Backend::request), the same
//! on every database.

use crate::record::{Request, Requested, RunStatus};

/// What a backend does about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Nothing; the answer stands.
    Nothing(Requested),
    /// The run changes its state at once, and nothing is requested of it then. One that is cancelled has
    /// ended: it has an end, is not parked, and is not due.
    Move(RunStatus),
    /// It stays as it is; this is requested of its worker, or its next, from now on, and there is one more of its
    /// news.
    Send(Option<Request>),
}

impl Step {
    /// What to do about a request to a run in this state, of which this was requested before.
    ///
    /// One that had a worker may have callbacks that a crash left to be called: so it is its next worker that ends
    /// it, and not the request; unless that is made again, for a run that no worker is to be had for.
    pub(crate) const fn of(
        status: RunStatus,
        had_worker: bool,
        requested: Option<Request>,
        request: Request,
    ) -> Self {
        use Request::{Cancel, Pause, Resume};
        use RunStatus::{Cancelled, Failed, Parked, Paused, Queued, Running, Succeeded};
        let refused = Self::Nothing(Requested::Refused(status));
        match (status, request) {
            // What was asked for good is not taken back.
            (Queued | Running, Pause) if matches!(requested, Some(Cancel)) => refused,
            (Queued, Pause) => Self::Move(Paused),
            (Paused, Pause) => Self::Nothing(Requested::Done(Paused)),
            (Paused, Resume) => Self::Move(Queued),
            (Queued, Cancel) if had_worker && requested.is_none() => Self::Send(Some(request)),
            (Queued | Paused | Parked, Cancel) => Self::Move(Cancelled),
            (Running, Pause | Cancel) => Self::Send(Some(request)),
            (Running, Resume) if matches!(requested, Some(Pause)) => Self::Send(None),
            (Cancelled, Cancel) => Self::Nothing(Requested::Done(Cancelled)),
            (Queued | Running | Parked, Pause | Resume) | (Succeeded | Failed | Cancelled, _) => refused,
        }
    }

    /// What the caller is told.
    pub(crate) const fn answer(self) -> Requested {
        match self {
            Self::Nothing(answer) => answer,
            Self::Move(status) => Requested::Done(status),
            Self::Send(_) => Requested::Sent,
        }
    }
}

/// What one is told who asks a second time for facts to be added, because the answer was lost, and the facts
/// are there.
pub(crate) const fn appended_before(status: RunStatus) -> Requested {
    match status {
        // Whoever has it, or had it, has been told.
        RunStatus::Running | RunStatus::Succeeded | RunStatus::Failed | RunStatus::Cancelled => {
            Requested::Sent
        }
        RunStatus::Queued | RunStatus::Paused | RunStatus::Parked => Requested::Done(status),
    }
}
