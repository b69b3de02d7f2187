//! The function of the user's that says when a map has enough.

use std::ops::ControlFlow;

use anio_core::task::Until;
use serde::de::DeserializeOwned;

/// A fold over the outputs of a mapped task whose elements are `T`.
pub fn until<T, A, F>(fold: F) -> Until
where
    T: DeserializeOwned + Send + Sync + 'static,
    A: Default + Clone + Send + Sync + 'static,
    F: Fn(&mut A, &T) -> ControlFlow<()> + Send + Sync + 'static,
{
    Until::new(fold)
}
