//! How many task runs a task has: one, one per element of a list, one per two of its elements, or one after the
//! other.

use proc_macro2::TokenStream;
use quote::quote_spanned;
use syn::parse::Parser;
use syn::{Path, ReturnType};

use crate::entry::{Entry, Value};
use crate::errors::Errors;
use crate::task::callback::place;
use crate::task::check::{Argument, Edge, Kind, Task};
use crate::task::types::{no_option, shown};

/// How many task runs a task has.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// One.
    Once,
    /// One per element of a list: `Each`.
    Mapped,
    /// One per two, until one is left: `Pair`.
    Tree,
    /// One after the other, until one returns `None`: `Previous`.
    Steps,
}

impl Form {
    /// What a task run is for, where there are more than one.
    fn per(self) -> Option<&'static str> {
        match self {
            Self::Once => None,
            Self::Mapped => Some("element"),
            Self::Tree => Some("pair of elements"),
            Self::Steps => Some("step"),
        }
    }
}

impl Task {
    /// How many task runs it has.
    pub(crate) fn form(&self) -> Form {
        let has_edge =
            |is: fn(&Edge) -> bool| self.dependencies.iter().any(|dependency| is(&dependency.edge));
        if self.has(|kind| matches!(kind, Kind::Previous { .. })) {
            Form::Steps
        } else if has_edge(|edge| matches!(edge, Edge::Pairs(_))) {
            Form::Tree
        } else if has_edge(|edge| matches!(edge, Edge::Each(_))) {
            Form::Mapped
        } else {
            Form::Once
        }
    }
}

/// Reads `until = path`.
pub(super) fn until(entry: &Entry) -> syn::Result<Path> {
    const WHAT: &str = "`until` is the path of a `fn(&mut A, &T) -> ControlFlow<()>`, such as `is_enough`, where `T` \
                        is what the task returns, and `A` a `Default` of your own to remember it in";
    match &entry.value {
        Value::Assigned(tokens) => {
            Path::parse_mod_style.parse2(tokens.clone()).map_err(|_| entry.at_value(tokens, WHAT.to_owned()))
        }
        Value::Nothing | Value::List(_) => Err(syn::Error::new_spanned(&entry.key, WHAT)),
    }
}

/// Checks what makes no sense for the task runs that a task is to have.
pub(super) fn check(task: &Task, errors: &mut Errors) {
    match task.form() {
        Form::Steps => check_steps(task, errors),
        Form::Once | Form::Mapped | Form::Tree => {
            check_lists(task, errors);
            check_guard(task, errors);
        }
    }
    check_until(task, errors);
}

/// One list whose elements are taken.
fn check_lists(task: &Task, errors: &mut Errors) {
    let is_of_a_list = |argument: &&Argument| matches!(argument.kind, Kind::Each { .. } | Kind::Pair { .. });
    for argument in task.arguments.iter().filter(is_of_a_list).skip(1) {
        errors.at(
            &argument.ty,
            "a task takes the elements of one list; take this one whole, as `Vec<T>` or `&Vec<T>`",
        );
    }
}

/// A function that decides for a whole task cannot be given one element.
fn check_guard(task: &Task, errors: &mut Errors) {
    if let (Some(guard), Some(per)) = (&task.guard, task.form().per()) {
        let message = format!(
            "a function in `when` decides whether the whole task runs, and this one runs once per {per}; leave \
             elements out in a task before it that returns the list, or decide in the body"
        );
        errors.at(guard, message);
    }
}

/// The steps are the only thing that decides how often a task goes step by step.
fn check_steps(task: &Task, errors: &mut Errors) {
    const DECIDES: &str = "a task that goes step by step needs all that it waits for; put the condition on a task \
                           before it";
    for argument in &task.arguments {
        match argument.kind {
            Kind::Each { .. } | Kind::Pair { .. } => errors.at(
                &argument.ty,
                "a task that goes step by step is not mapped over a list; take the list whole, as `Vec<T>` or \
                 `&Vec<T>`",
            ),
            Kind::Settled { .. } => errors.at(
                &argument.ty,
                "a task that goes step by step needs all that it waits for; take this as `T` or `&T`, or decide by \
                 it in a task before",
            ),
            _ => {}
        }
    }
    let written = match &task.function.sig.output {
        ReturnType::Type(_, ty) => no_option(ty),
        ReturnType::Default => None,
    };
    if let Some(ty) = written {
        let message = format!(
            "a task that goes step by step returns an `Option`: write `-> Result<Option<{}>>`, with `Ok(Some(..))` for \
             one more element of its list and `Ok(None)` to end",
            shown(&ty)
        );
        errors.at(&ty, message);
    }
    if let Some(key) = task.when_key.as_ref().filter(|_| task.condition.is_some() || task.guard.is_some()) {
        errors.at(key, DECIDES);
    }
}

/// What ends a map needs one.
fn check_until(task: &Task, errors: &mut Errors) {
    let why = match task.form() {
        Form::Mapped => return,
        Form::Once => {
            "this task is not mapped; let it take one element of a list, as `Each<T>`, or leave `until` out"
        }
        Form::Tree => "this task is not mapped, it makes one of all elements; leave `until` out",
        Form::Steps => "this task is not mapped, it goes step by step and ends when it returns `None`",
    };
    if let Some(until) = &task.until {
        errors.at(until, format!("`until` ends a map; {why}"));
    }
}

/// The value of the definition's `until`; what does not fit is shown under the path.
pub(super) fn fold(path: &Path, element: &TokenStream) -> TokenStream {
    let place = place(path);
    quote_spanned!(place=> ::anio::__private::until::<#element, _, _>(#path))
}
