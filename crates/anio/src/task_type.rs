//! How a task is named in types.
//!
//! `#[task] fn load` leaves the function `load` as it is and puts a type `load` beside it. The type is
//! an alias of [`Declared<Tag, R>`], where `R` is what the function returns. The alias, rather than a
//! struct of its own with an associated output, is what lets a public task return a type that is private
//! to the program: rustc refuses private types in the associated types of public ones (E0446).

use std::any::Any;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use anio_core::context::Writes;
use anio_core::error::OutputError;
use anio_core::output::Gather;
use anio_core::task::{TaskDefinition, into_return};
use anio_core::{Output, TaskError, TaskHandle, TaskReturn};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::__private::Node;

/// A task, named in types: `outcome.output::<delays::report>()`.
///
/// `#[task]` implements it; there is no other way to.
///
/// ```
/// use anio::TaskType;
/// use anio::prelude::workflow;
///
/// #[workflow]
/// mod squares {
///     use anio::prelude::*;
///
///     #[task]
///     pub fn numbers() -> Result<Vec<u32>> {
///         Ok(vec![1, 2, 3])
///     }
///
///     #[task(name = "times itself")]
///     pub fn square(numbers: Each<u32>) -> Result<u64> {
///         Ok(u64::from(*numbers).pow(2))
///     }
/// }
///
/// assert_eq!(squares::square::NAME, "times itself");
/// let outputs: <squares::square as TaskType>::Output = vec![1, 4, 9]; // mapped, so a list
/// let element: <squares::square as TaskType>::Element = outputs[1];
/// assert_eq!(element, 4);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a task",
    label = "not a task",
    note = "a task is a function marked `#[task]` that returns a `Result`"
)]
pub trait TaskType: 'static {
    /// What the function returns in `Ok`; of a task that goes step by step, what it returns in `Some`.
    type Element: 'static;
    /// What dependants see: the element, or the list of all elements when the task is mapped or goes step by
    /// step.
    type Output: 'static;
    /// The task's name in its workflow.
    const NAME: &'static str;
    #[doc(hidden)]
    const NODE: &'static Node;

    /// The task as it is put into a workflow, for [`anio_core::WorkflowBuilder::define`].
    fn definition() -> TaskDefinition;

    /// Reads a stored output, without a copy when this process made it or has read it before.
    ///
    /// # Errors
    /// [`OutputError::Parse`] when the JSON does not read as the task's output.
    fn read(output: &Output) -> Result<Arc<Self::Output>, OutputError>;

    /// Reads a stored output as a value of one's own: a clone where the type has one, else read from
    /// the JSON text.
    ///
    /// # Errors
    /// [`OutputError::Parse`] when the JSON does not read as the task's output.
    fn copy(output: &Output) -> Result<Self::Output, OutputError>;
}

/// What a task returns: a `Result` of any name.
#[diagnostic::on_unimplemented(
    message = "a task returns a `Result`, not `{Self}`",
    label = "not a `Result`",
    note = "write `-> Result<{Self}>` and end the function with `Ok(..)`"
)]
pub trait ResultType: 'static {
    /// The value.
    type Ok: 'static;
    /// The error.
    type Err;

    /// The result itself.
    #[expect(clippy::missing_errors_doc, reason = "it is the identity")]
    fn into_result(self) -> Result<Self::Ok, Self::Err>;
}

impl<T: 'static, E: 'static> ResultType for Result<T, E> {
    type Ok = T;
    type Err = E;

    fn into_result(self) -> Self {
        self
    }
}

/// The type that stands beside the function of a task.
pub struct Declared<M, R>(PhantomData<fn() -> (M, R)>);

impl<M, R> fmt::Debug for Declared<M, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Declared")
    }
}

/// What `#[task]` implements for the marker that it makes. `R` stands in the trait's parameters so
/// that the impl is as private as the types in it.
pub trait Tag<R>: 'static {
    /// What one task run adds to the output.
    type Element: 'static;
    /// How the output follows from the elements.
    type Shape: Shape;
    /// The task's place among the tasks of the program.
    const NODE: &'static Node;

    /// The task as it is put into a workflow.
    fn definition() -> TaskDefinition;

    /// How values of the task are written and read.
    fn codec() -> Codec<Self::Element>;
}

impl<M: Tag<R>, R: 'static> TaskType for Declared<M, R> {
    type Element = M::Element;
    type Output = <M::Shape as Shape>::Of<M::Element>;
    const NAME: &'static str = M::NODE.name.text;
    const NODE: &'static Node = M::NODE;

    fn definition() -> TaskDefinition {
        M::definition()
    }

    fn read(output: &Output) -> Result<Arc<Self::Output>, OutputError> {
        M::Shape::read(&M::codec(), output)
    }

    fn copy(output: &Output) -> Result<Self::Output, OutputError> {
        M::Shape::copy(&M::codec(), output)
    }
}

/// How many task runs a task has: how its output follows from its elements.
pub trait Shape: 'static {
    /// The output of a task whose elements are `T`.
    type Of<T: 'static>: 'static;

    /// Reads it shared.
    #[expect(clippy::missing_errors_doc, reason = "as `TaskType::read`")]
    fn read<T: 'static>(codec: &Codec<T>, output: &Output) -> Result<Arc<Self::Of<T>>, OutputError>;

    /// Reads a copy.
    #[expect(clippy::missing_errors_doc, reason = "as `TaskType::copy`")]
    fn copy<T: 'static>(codec: &Codec<T>, output: &Output) -> Result<Self::Of<T>, OutputError>;

    /// How the outputs of several task runs become a list.
    fn gather<M: Tag<R>, R>() -> Option<Gather>;
}

/// A task that runs once.
#[derive(Debug)]
pub struct One;

impl Shape for One {
    type Of<T: 'static> = T;

    fn read<T: 'static>(codec: &Codec<T>, output: &Output) -> Result<Arc<T>, OutputError> {
        (codec.read)(output)
    }

    fn copy<T: 'static>(codec: &Codec<T>, output: &Output) -> Result<T, OutputError> {
        codec.copy(output)
    }

    fn gather<M: Tag<R>, R>() -> Option<Gather> {
        None
    }
}

/// A task whose output is the list of what its task runs returned: one per element of a list, or step by step.
#[derive(Debug)]
pub struct Many;

impl Shape for Many {
    type Of<T: 'static> = Vec<T>;

    fn read<T: 'static>(codec: &Codec<T>, output: &Output) -> Result<Arc<Vec<T>>, OutputError> {
        (codec.read_list)(output)
    }

    fn copy<T: 'static>(codec: &Codec<T>, output: &Output) -> Result<Vec<T>, OutputError> {
        match codec.clone {
            Some(clone) => Ok((codec.read_list)(output)?.iter().map(clone).collect()),
            None => (codec.parse_list)(output),
        }
    }

    fn gather<M: Tag<R>, R>() -> Option<Gather> {
        Some(gather_list::<M, R>)
    }
}

/// A task that makes one of two, until one is left: the output is an element, and two that are paired are
/// given to it as a list.
#[derive(Debug)]
pub struct Tree;

impl Shape for Tree {
    type Of<T: 'static> = T;

    fn read<T: 'static>(codec: &Codec<T>, output: &Output) -> Result<Arc<T>, OutputError> {
        One::read(codec, output)
    }

    fn copy<T: 'static>(codec: &Codec<T>, output: &Output) -> Result<T, OutputError> {
        One::copy(codec, output)
    }

    fn gather<M: Tag<R>, R>() -> Option<Gather> {
        Some(gather_list::<M, R>)
    }
}

/// The typed list of these outputs, each a copy.
fn gather_list<M: Tag<R>, R>(elements: &[Output]) -> Result<Arc<dyn Any + Send + Sync>, OutputError> {
    let codec = M::codec();
    let list: Result<Vec<_>, _> = elements.iter().map(|element| codec.copy(element)).collect();
    Ok((codec.erase)(list?))
}

/// How values of type `T` are written and read. Made in one place per task, the only one that demands
/// anything of the type, so that a missing `Serialize` is one message at the function's return type and
/// none at its dependants.
pub struct Codec<T> {
    clone: Option<fn(&T) -> T>,
    read: fn(&Output) -> Result<Arc<T>, OutputError>,
    parse: fn(&Output) -> Result<T, OutputError>,
    read_list: fn(&Output) -> Result<Arc<Vec<T>>, OutputError>,
    parse_list: fn(&Output) -> Result<Vec<T>, OutputError>,
    erase: fn(Vec<T>) -> Arc<dyn Any + Send + Sync>,
    pub(crate) write: fn(&TaskHandle, T, Writes) -> Result<TaskReturn, TaskError>,
}

impl<T> Codec<T> {
    /// A codec by serde; `clone` is the type's own way to copy, where it has one.
    pub fn new(clone: Option<fn(&T) -> T>) -> Self
    where
        T: Serialize + DeserializeOwned + Send + Sync + 'static,
    {
        Self {
            clone,
            read: Output::get,
            parse: Output::parse,
            read_list: Output::get,
            parse_list: Output::parse,
            erase: |list| Arc::new(list),
            write: into_return,
        }
    }

    pub(crate) fn shared(&self, output: &Output) -> Result<Arc<T>, OutputError> {
        (self.read)(output)
    }

    pub(crate) fn copy(&self, output: &Output) -> Result<T, OutputError> {
        match self.clone {
            Some(clone) => Ok(clone(&*(self.read)(output)?)),
            None => (self.parse)(output),
        }
    }
}

impl<T> fmt::Debug for Codec<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Codec")
    }
}
