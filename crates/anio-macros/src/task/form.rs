//! How many task runs a task has.

use crate::errors::Errors;
use crate::task::check::{Edge, Kind, Task};

impl Task {
    /// Whether it runs once per element of a list.
    pub(crate) fn is_mapped(&self) -> bool {
        self.dependencies.iter().any(|dependency| matches!(dependency.edge, Edge::Each(_)))
    }
}

/// Checks what makes no sense for the task runs that a task is to have.
pub(super) fn check(task: &Task, errors: &mut Errors) {
    check_lists(task, errors);
    check_guard(task, errors);
}

/// One list to map over.
fn check_lists(task: &Task, errors: &mut Errors) {
    let lists = task.arguments.iter().filter(|argument| matches!(argument.kind, Kind::Each { .. }));
    for argument in lists.skip(1) {
        errors.at(&argument.ty, "a task maps over one list; take this one whole, as `Vec<T>` or `&Vec<T>`");
    }
}

/// A function that decides for a whole task cannot be given one element.
fn check_guard(task: &Task, errors: &mut Errors) {
    if let Some(guard) = task.guard.as_ref().filter(|_| task.is_mapped()) {
        errors.at(
            guard,
            "a function in `when` decides whether the whole task runs, and this one runs once per element; leave \
             elements out in a task before it that returns the list, or decide in the body",
        );
    }
}
