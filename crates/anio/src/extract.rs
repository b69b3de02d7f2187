//! Parameters of a task that are known by their type: the run's input, an element, a shared value.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

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
