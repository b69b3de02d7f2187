//! What can go wrong in a helper, by type.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use crate::quantity::QuantityError;

/// What the function of an item may fail with: every `std::error::Error` converts into it by `?`, so do
/// texts and other boxed errors.
pub type Cause = Box<dyn StdError + Send + Sync + 'static>;

/// Why a helper stopped.
///
/// It can be cloned: a failure of a source reaches every branch that reads from it.
///
/// ```
/// use anio_parallel::{Error, ParMap};
///
/// let error: Error = ["1", "2", "x"].try_par_map(|text| text.parse::<u32>()).unwrap_err();
/// assert_eq!(error.index(), Some(2));
/// assert!(error.cause::<std::num::ParseIntError>().is_some());
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Error {
    /// The work was called off: the token of its scope was cancelled, or a sibling failed. What had not
    /// begun never will. Pass it on.
    Cancelled,
    /// The function of an item panicked. The thread it ran on lives; the other items were stopped.
    Panicked {
        /// The stage, where it has a name.
        stage: Option<Arc<str>>,
        /// Which item, from 0; `None` where the work is not about items.
        index: Option<u64>,
        /// What the panic said.
        message: String,
        /// File, line and column, where known: not for a panic on another thread of plain rayon.
        location: Option<String>,
    },
    /// The function of an item, or the source, returned an error. The other items were stopped.
    ///
    /// The message of that error is part of this one's; `source()` gives what that error names as its own
    /// source, so that a printed chain says nothing twice.
    Failed {
        /// The stage, where it has a name.
        stage: Option<Arc<str>>,
        /// Which item, from 0; `None` for an error of a stream's source. In a
        /// [`Pipeline`](crate::Pipeline) it is the item's number in the source.
        index: Option<u64>,
        /// The error itself.
        source: Arc<dyn StdError + Send + Sync + 'static>,
    },
    /// The other side of a channel is gone; nothing more can be sent.
    Closed,
    /// A channel or queue is full, and the sender would not wait. Nothing was sent.
    Full,
    /// A text stands for no rate or duration. Nothing was run; the message says what is allowed.
    Quantity(QuantityError),
    /// The threads of a pool could not be started. Nothing was run; a smaller pool may do.
    Pool {
        /// How many were asked for; 0 for one per core.
        n_threads: usize,
        /// What rayon says.
        source: Arc<rayon::ThreadPoolBuildError>,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cancelled => f.write_str("cancelled"),
            Self::Panicked { stage, index, message, location } => {
                write_place(f, stage.as_deref(), *index)?;
                f.write_str("panicked")?;
                if let Some(location) = location {
                    write!(f, " at {location}")?;
                }
                write!(f, ": {message}")
            }
            Self::Failed { stage, index, source } => {
                write_place(f, stage.as_deref(), *index)?;
                fmt::Display::fmt(source, f)
            }
            Self::Closed => f.write_str("the channel is closed"),
            Self::Full => f.write_str("the channel is full"),
            Self::Quantity(error) => fmt::Display::fmt(error, f),
            Self::Pool { n_threads, source } => {
                write!(f, "a pool of {n_threads} threads could not be started: {source}")
            }
        }
    }
}

fn write_place(f: &mut fmt::Formatter<'_>, stage: Option<&str>, index: Option<u64>) -> fmt::Result {
    match (stage, index) {
        (Some(stage), Some(index)) => write!(f, "stage {stage:?}, item {index}: "),
        (Some(stage), None) => write!(f, "stage {stage:?}: "),
        (None, Some(index)) => write!(f, "item {index}: "),
        (None, None) => Ok(()),
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Failed { source, .. } => source.source(),
            Self::Quantity(error) => error.source(),
            Self::Pool { source, .. } => source.source(),
            _ => None,
        }
    }
}

impl From<QuantityError> for Error {
    fn from(error: QuantityError) -> Self {
        Self::Quantity(error)
    }
}

impl Error {
    /// Makes an error of what a function returned. An [`Error`] inside stays what it is, so that
    /// `check()?` in the function of an item still says `Cancelled`.
    pub fn from_cause(cause: impl Into<Cause>) -> Self {
        match cause.into().downcast::<Self>() {
            Ok(error) => *error,
            Err(cause) => Self::Failed { stage: None, index: None, source: Arc::from(cause) },
        }
    }

    /// Which item it was, from 0, where it was one.
    pub const fn index(&self) -> Option<u64> {
        match self {
            Self::Panicked { index, .. } | Self::Failed { index, .. } => *index,
            _ => None,
        }
    }

    /// The name of the stage, where it has one.
    pub fn stage(&self) -> Option<&str> {
        match self {
            Self::Panicked { stage, .. } | Self::Failed { stage, .. } => stage.as_deref(),
            _ => None,
        }
    }

    /// The error that the function of an item returned, if it is an `E`.
    pub fn cause<E: StdError + 'static>(&self) -> Option<&E> {
        match self {
            Self::Failed { source, .. } => source.downcast_ref(),
            _ => None,
        }
    }

    /// Whether it is [`Error::Cancelled`].
    pub const fn is_cancelled(&self) -> bool {
        matches!(self, Self::Cancelled)
    }

    /// Writes down where it happened; what an inner helper has written stays.
    pub(crate) fn at(mut self, name: Option<&Arc<str>>, position: Option<u64>) -> Self {
        if let Self::Panicked { stage, index, .. } | Self::Failed { stage, index, .. } = &mut self
            && stage.is_none()
            && index.is_none()
        {
            *stage = name.cloned();
            *index = position;
        }
        self
    }
}
