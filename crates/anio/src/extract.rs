//! Parameters of a task that are known by their type: the run's input, an element, two neighbours, what the
//! step before returned, what became of a dependency, a shared value.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use anio_core::TaskFailure;

/// The run's input, as a parameter of a task.
///
/// `Input<T>` is a copy, `Input<&T>` is shared without one. `T` is read from JSON, so it implements
/// `serde::Deserialize`; an input that does not read as a `T` is refused when the run is submitted.
///
/// ```
/// use anio::Input;
///
/// let month = Input(4);
/// assert_eq!(*month + 1, 5);
/// assert_eq!(month.into_inner(), 4);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Input<T>(pub T);

/// One element of a task's list, as a parameter of a task that runs once per element.
///
/// `Each<T>` is a copy of the element, `Each<&T>` is shared without one. The list may have up to
/// 1,000,000 elements; an empty one is a map of zero task runs, which succeeds with an empty list.
///
/// ```
/// use anio::Each;
///
/// fn shout(word: Each<&String>) -> String {
///     word.to_uppercase()
/// }
/// assert_eq!(shout(Each(&"hello".to_owned())), "HELLO");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Each<T>(pub T);

/// Two neighbours of a task's list, as a parameter of a task that makes one of two until one is left.
///
/// The first is left of the second: of elements of the list, or of what other task runs made of elements. The
/// order of the list is kept, so what the task computes need be associative, and no more. Its output is the last
/// value; of a list of one element it is that element, without a task run, and where the list is empty the task
/// is skipped.
///
/// `Pair<T>` has copies, `Pair<&T>` shares without one. The task returns a `T`. The list may have up to 1,000,000
/// elements; the tree is as low as can be: ⌈log₂ n⌉ task runs from an element to the output.
///
/// ```
/// use anio::Pair;
///
/// fn joined(Pair(left, right): Pair<&String>) -> String {
///     format!("{left} {right}")
/// }
/// assert_eq!(joined(Pair(&"hello".to_owned(), &"Ada".to_owned())), "hello Ada");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pair<T>(pub T, pub T);

/// What the step before returned, as a parameter of a task that goes step by step; `None` in the first step.
///
/// Such a task returns a `Result<Option<T>>`: a `Some` is one more element of its output, which is the `Vec<T>`,
/// and is given to the next step; `None` ends it. Each step is durable before the next begins.
///
/// `Previous<T>` is a copy, `Previous<&T>` is shared without one. There are up to 1,000,000 steps.
///
/// ```
/// use anio::Previous;
///
/// fn countdown(previous: Previous<u32>) -> Option<u32> {
///     match previous.0 {
///         None => Some(3),
///         Some(0) => None,
///         Some(n) => Some(n - 1),
///     }
/// }
/// assert_eq!(countdown(Previous(None)), Some(3));
/// assert_eq!(countdown(Previous(Some(3))), Some(2));
/// assert_eq!(countdown(Previous(Some(0))), None);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Previous<T>(pub Option<T>);

macro_rules! wrapper {
    ($name:ident) => {
        impl<T> $name<T> {
            /// The value itself.
            pub fn into_inner(self) -> T {
                self.0
            }
        }

        impl<T> From<T> for $name<T> {
            fn from(value: T) -> Self {
                Self(value)
            }
        }

        impl<T> Deref for $name<T> {
            type Target = T;

            fn deref(&self) -> &T {
                &self.0
            }
        }

        impl<T> DerefMut for $name<T> {
            fn deref_mut(&mut self) -> &mut T {
                &mut self.0
            }
        }
    };
}

wrapper!(Input);
wrapper!(Each);

/// What became of a task, as a parameter of a task that runs whatever that is.
///
/// `Settled<T>` has a copy of the output, `Settled<&T>` shares it without one. Of a mapped task, `T` is the
/// list of its outputs; it has failed when one of its elements has.
///
/// A failure that a task is told of in this way counts as handled when that task succeeds: it does not fail
/// the run, and is listed by [`Outcome::handled_failures`](crate::Outcome::handled_failures).
///
/// ```
/// use anio::Settled;
/// use anio::error::{FailureKind, TaskFailure};
///
/// fn price(live: Settled<u32>) -> u32 {
///     match live {
///         Settled::Succeeded(price) => price,
///         Settled::Failed(_, _) | Settled::Skipped(_) => 100,
///     }
/// }
/// assert_eq!(price(Settled::Succeeded(99)), 99);
/// let failure = TaskFailure::new(FailureKind::Error, "no answer");
/// assert_eq!(price(Settled::Failed(failure, 3)), 100);
/// assert_eq!(Settled::<u32>::Skipped("not asked for".to_owned()).ok(), None);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settled<T> {
    /// It succeeded, with this output.
    Succeeded(T),
    /// It failed for good: why its last attempt failed, and how many attempts it had.
    Failed(TaskFailure, u32),
    /// It was skipped, for this reason.
    Skipped(String),
}

impl<T> Settled<T> {
    /// The output, where the task succeeded.
    pub fn ok(self) -> Option<T> {
        match self {
            Self::Succeeded(output) => Some(output),
            Self::Failed(..) | Self::Skipped(_) => None,
        }
    }

    /// Whether the task succeeded.
    pub fn is_succeeded(&self) -> bool {
        matches!(self, Self::Succeeded(_))
    }
}

/// A value registered with the engine and shared by all its tasks: a pool, a client, settings.
///
/// Cheap to clone. A task that asks for a value that is not registered fails at once, and its error
/// names the type.
///
/// ```
/// use anio::State;
///
/// struct Settings { greeting: &'static str }
/// fn greet(settings: State<Settings>) -> String {
///     format!("{}, Ada", settings.greeting)
/// }
/// assert_eq!(greet(State::from(Settings { greeting: "hello" })), "hello, Ada");
/// ```
#[derive(Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct State<T>(pub Arc<T>);

impl<T> State<T> {
    /// The shared value, to keep or to hand on.
    pub fn into_inner(self) -> Arc<T> {
        self.0
    }
}

impl<T> Clone for State<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> From<T> for State<T> {
    fn from(value: T) -> Self {
        Self(Arc::new(value))
    }
}

impl<T> From<Arc<T>> for State<T> {
    fn from(value: Arc<T>) -> Self {
        Self(value)
    }
}

impl<T> Deref for State<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}
