//! The macros of Anio: `#[task]`, `#[workflow]` and `workflow!`. Use them through the `anio` crate.
//!
//! Each macro goes three steps: `parse` (tokens to what the user wrote, spans kept), `check` (all that is
//! wrong, at once, each at its place, worded as advice) and `expand` (cannot fail). What a macro cannot
//! know (types, tasks of other modules) it leaves to rustc: types by assignments at the parameter's
//! span, graphs by constant evaluation in `anio::__private`.

mod entry;
mod errors;
mod listed;
mod literal;
mod names;
mod task;
mod workflow;

use proc_macro::TokenStream;

/// Makes a function a task. Documented, with all its entries, as `anio::task`.
#[proc_macro_attribute]
pub fn task(arguments: TokenStream, item: TokenStream) -> TokenStream {
    task::attribute(arguments.into(), &item.into()).into()
}

/// Makes the tasks of a module a workflow. Documented, with all its entries, as `anio::prelude::workflow`.
#[proc_macro_attribute]
pub fn workflow(arguments: TokenStream, item: TokenStream) -> TokenStream {
    workflow::attribute(arguments.into(), &item.into()).into()
}

/// Makes free functions a workflow. Documented, with all its entries, as `anio::workflow!`.
///
/// It has another name here than there, since one crate cannot export an attribute and a macro of one name.
#[proc_macro]
pub fn workflow_macro(input: TokenStream) -> TokenStream {
    listed::expression(input.into()).into()
}
