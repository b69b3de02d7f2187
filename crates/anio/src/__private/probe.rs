//! What a type can do, asked of the concrete type by method resolution.
//!
//! Each question is a method of the same name on several traits: method resolution takes the first
//! whose bounds hold, most references first. (D. Tolnay, *Autoref-based stable specialization*, 2019.)
//! That is how a task may use a type that has no `Clone`, and any error type that converts.

use std::error::Error;
use std::fmt;
use std::marker::PhantomData;

use anio_core::TaskError;

/// Something to ask about the type `T`.
pub struct Probe<T>(PhantomData<fn() -> T>);

impl<T> Probe<T> {
    /// The one value.
    pub const NEW: Self = Self(PhantomData);

    /// The one value, for the type of another.
    pub fn of(_: &T) -> Self {
        Self::NEW
    }
}

impl<T> fmt::Debug for Probe<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Probe")
    }
}

/// A copy by `Clone`.
pub trait ViaClone<T> {
    /// The type's own way to copy.
    fn cloner(&self) -> Option<fn(&T) -> T>;
}

impl<T: Clone> ViaClone<T> for &Probe<T> {
    fn cloner(&self) -> Option<fn(&T) -> T> {
        Some(T::clone)
    }
}

/// A copy by way of JSON.
pub trait ViaJson<T> {
    /// There is no `Clone`.
    fn cloner(&self) -> Option<fn(&T) -> T>;
}

impl<T> ViaJson<T> for Probe<T> {
    fn cloner(&self) -> Option<fn(&T) -> T> {
        None
    }
}

/// An error by `Into<TaskError>`: every `std::error::Error`, and `TaskError` itself.
pub trait ViaInto<E> {
    /// Converts.
    fn convert(&self, error: E) -> TaskError;
}

impl<E: Into<TaskError>> ViaInto<E> for &&Probe<E> {
    fn convert(&self, error: E) -> TaskError {
        error.into()
    }
}

/// An error by way of a boxed one: `anyhow::Error`, `String`, `Box<dyn Error + Send + Sync>`.
pub trait ViaBox<E> {
    /// Converts.
    fn convert(&self, error: E) -> TaskError;
}

impl<E: Into<Box<dyn Error + Send + Sync>>> ViaBox<E> for &Probe<E> {
    fn convert(&self, error: E) -> TaskError {
        TaskError::Failed(error.into())
    }
}

/// No way at all; says so.
pub trait ViaNothing<E> {
    /// Cannot be called.
    fn convert(&self, error: E) -> TaskError
    where
        E: TaskErrorSource;
}

impl<E> ViaNothing<E> for Probe<E> {
    fn convert(&self, error: E) -> TaskError
    where
        E: TaskErrorSource,
    {
        error.into_task_error()
    }
}

/// An error that a task may return.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the error of a task",
    label = "not an error that converts into `TaskError`",
    note = "it is `TaskError`, any `std::error::Error` that is `Send + Sync`, or what converts into a boxed one (`anyhow::Error`, `String`)"
)]
pub trait TaskErrorSource {
    /// Converts.
    fn into_task_error(self) -> TaskError;
}

impl TaskErrorSource for TaskError {
    fn into_task_error(self) -> TaskError {
        self
    }
}
