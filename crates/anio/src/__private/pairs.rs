//! How a task over pairs is given its two.

use anio_core::TaskError;
use anio_core::task::TaskCall;

use super::arguments::{Element, List};
use crate::task_type::TaskType;

/// What a task over pairs of `T` returns.
#[diagnostic::on_unimplemented(
    message = "a task over pairs makes one `{T}` of two, and this one returns `{Self}`",
    label = "not `{T}`",
    note = "what it returns is paired again, until one is left: let it return `Result<{T}>`, or change the elements of the list before it"
)]
pub trait OneOf<T> {}

impl<T> OneOf<T> for T {}

/// Demands that a task over pairs of `T` returns one.
pub const fn check_pairs<R: OneOf<T>, T>() {}

/// The two elements that this task run makes one of, left and right, shared.
///
/// # Errors
/// [`TaskError::Data`] when the list does not read; [`TaskError::DependencyNotSatisfied`] when it has not two
/// elements.
pub fn pair<D: TaskType>(call: &TaskCall, position: usize) -> Result<[Element<D::Output>; 2], TaskError>
where
    D::Output: List,
{
    let list = call.argument_with(position, |value, _| D::read(value))?;
    if list.items().len() != 2 {
        return Err(TaskError::DependencyNotSatisfied {
            dependency: D::NAME.to_owned(),
            task_id: call.handle().task().to_string(),
        });
    }
    Ok([Element::new(list.clone(), 0), Element::new(list, 1)])
}
