//! When a mapped task has enough: a fold over its outputs that says so.

use std::any::{Any, type_name};
use std::fmt;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use serde::de::DeserializeOwned;

use crate::error::{FailureKind, OutputError, TaskFailure};
use crate::output::Output;

/// What a fold has made of the outputs so far.
pub(crate) type Tally = Arc<dyn Any + Send + Sync>;

type Fold = dyn Fn(&mut Option<Tally>, &Output) -> Result<ControlFlow<()>, OutputError> + Send + Sync;

/// Tells when a mapped task has enough: a fold over the outputs of its elements, in the order in which they
/// ended. After the first `Break` no element begins any more.
///
/// It is called while the engine decides what comes next, once per element that succeeded, and again for each
/// when a run is read back: it should be quick, and depend on nothing but what it is given.
#[derive(Clone)]
pub struct Until(Arc<Fold>);

impl Until {
    /// A fold over outputs that read as a `T`, beginning with `A::default()`.
    pub fn new<A, T, F>(fold: F) -> Self
    where
        A: Default + Clone + Send + Sync + 'static,
        T: DeserializeOwned + Send + Sync + 'static,
        F: Fn(&mut A, &T) -> ControlFlow<()> + Send + Sync + 'static,
    {
        Self(Arc::new(move |tally, output| {
            let value = output.get::<T>()?;
            let sum = tally.take().and_then(|sum| sum.downcast::<A>().ok());
            let mut sum = sum.unwrap_or_default();
            let flow = fold(Arc::make_mut(&mut sum), &value);
            *tally = Some(sum);
            Ok(flow)
        }))
    }

    /// Folds one more output in, and tells whether that is enough.
    pub(crate) fn fold(&self, tally: &mut Option<Tally>, output: &Output) -> Result<bool, TaskFailure> {
        let folded = catch_unwind(AssertUnwindSafe(|| (self.0)(tally, output)));
        match folded {
            Ok(Ok(flow)) => Ok(flow.is_break()),
            Ok(Err(error)) => Err(TaskFailure::new(
                FailureKind::Data,
                format!("what its `until` folds cannot be read: {error}"),
            )),
            Err(panic) => {
                let message = panic
                    .downcast_ref::<&str>()
                    .map(|text| (*text).to_owned())
                    .or_else(|| panic.downcast_ref::<String>().cloned())
                    .unwrap_or_else(|| "a value that is no text".to_owned());
                Err(TaskFailure::new(FailureKind::Panic, format!("its `until` panicked: {message}")))
            }
        }
    }
}

impl fmt::Debug for Until {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(type_name::<Self>())
    }
}
